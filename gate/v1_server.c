#include <limits.h>

#include "gate/say.h"
#include "gate/mem.h"
#include "gate/loop.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/v2.h"
#include "gate/held.h"
#include "gate/tunnel.h"
#include "gate/answer.h"
#include "gate/v1_server.h"

static int
method_is_v1(struct view m)
{
	static const char *const known[] = {
		"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(known); i++)
		if (http_equal(m, known[i]))
			return 1;
	return 0;
}

/* Fields that v1 does not carry: what they ask for is done here. */
static void
v1_strip(struct ws_msg *m)
{
	size_t i, n = 0;

	for (i = 0; i < m->nfields; i++)
		if (!http_equal_nocase(m->field[i].name, "expect") &&
		    !http_equal_nocase(m->field[i].name, "te") &&
		    !http_equal_nocase(m->field[i].name, "trailer"))
			m->field[n++] = m->field[i];
	m->nfields = n;
}

int
forward_v1(struct stream *s, const struct http_head *h)
{
	long long most;
	int r;

	if (!method_is_v1(h->method))
		return -405;
	s->upgrade = 0;
	r = request_message(s, h);
	if (r < 0)
		return r;
	v1_strip(&msg_out);
	r = v1_begin(s, ws_v1_request_put);
	if (r < 0)
		return r;
	most = v1_body_max(s);
	if (h->length > most)
		return -413;
	if (h->length > 0 &&
	    BASE64_SIZE((size_t)h->length) > budget_whole_room())
		return -503;
	if (s->up_limit > most)
		s->up_limit = most;
	ws_half_init(&s->up, LLONG_MAX / 4, h->length);
	ws_half_init(&s->down, LLONG_MAX / 4, -1);
	if (h->expect_continue && h->framing != HTTP_NO_BODY)
		conn_put(s->http, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	return 0;
}

/* Whether a body begins as its content coding does. */
static int
coding_is_there(struct view coding, struct view body)
{
	const unsigned char *b = body.p;

	if (body.n < 4)
		return body.n == 0;
	if (http_list_has(coding, "gzip") || http_list_has(coding, "x-gzip"))
		return b[0] == 0x1f && b[1] == 0x8b;
	if (http_list_has(coding, "deflate"))
		return (b[0] & 15) == 8 && (b[0] * 256 + b[1]) % 31 == 0;
	if (http_list_has(coding, "zstd"))
		return b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f &&
		    b[3] == 0xfd;
	return 1;
}

/* The reference's client decodes bodies but keeps the fields of the encoded
 * one: Content-Length is made from the body, and a coding that is not there is
 * dropped. */
static void
v1_mend(const struct stream *s, struct ws_msg *m, char length[24])
{
	int bare = answer_is_bare(s, m->status);
	size_t i, n = 0;

	for (i = 0; i < m->nfields; i++) {
		struct http_field *f = &m->field[i];

		if (!bare && http_equal_nocase(f->name, "content-length"))
			continue;
		if (!bare && http_equal_nocase(f->name, "content-encoding") &&
		    !coding_is_there(f->value, m->body))
			continue;
		m->field[n++] = *f;
	}
	m->nfields = n;
	if (bare || n == HTTP_OUT_FIELDS)
		return;
	text_put(length, 24, "%zu", m->body.n);
	m->field[m->nfields++] = field_of("content-length", length);
}

/* A whole answer came over v1. */
static void
answer_v1(struct stream *s, struct ws_msg *m)
{
	char length[24];

	if (!answer_head_ok(m)) {
		answer_refuse(s, "the answer's head is not valid HTTP, or too large");
		return;
	}
	if (m->body.n > budget_whole_room()) {
		answer_refuse(s, "the answer is larger than this server can "
		    "hold now");
		return;
	}
	if (answer_is_bare(s, m->status))
		m->body.n = 0;
	v1_mend(s, m, length);
	m->end = m->body.n == 0;
	answer_begin(s, m);
	if (m->end || s->down.state != WS_HALF_OPEN)
		return;
	if (stream_down(s, m->body.p, m->body.n, 1) == 0 &&
	    s->down.state == WS_HALF_ENDED)
		stream_down_end(s, NULL, 0);
}

void
take_v1(struct link *l, unsigned char *p, size_t n)
{
	struct stream *s;
	int has_id = 0, r = ws_v1_response_read(&msg_in, p, n, &has_id);

	if (!has_id || (s = take_find(l, msg_in.id)) == NULL) {
		if (!has_id)
			log_event(LEVEL_INFO, "event=message-ignored id=%s "
			    "why=\"not an answer\"", l->tunnel->id);
		return;
	}
	if (s->head_down || s->down.state != WS_HALF_OPEN)
		return;
	if (r < 0)
		answer_refuse(s, "the client sent a malformed answer");
	else
		answer_v1(s, &msg_in);
}

void
link_ops_oversize(struct link *l, const unsigned char *p, size_t n)
{
	unsigned char id[16];
	struct stream *s;

	if (!ws_v1_id_find(id, p, n) || (s = take_find(l, id)) == NULL ||
	    s->head_down)
		return;
	answer_refuse(s, "the answer is larger than this server holds");
}
