#include <stdio.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/tunnel.h"
#include "gate/answer.h"
#include "gate/v1_answer.h"

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
v1_mend(const struct stream *s, struct ws_v1 *m, char length[24])
{
	struct http_head *h = &m->head;
	int bare = answer_is_bare(s, h->status);
	size_t i, n = 0;

	h->nfields = http_fields_filter(h->field, h->nfields);
	for (i = 0; i < h->nfields; i++) {
		struct http_field *f = &h->field[i];

		if (!bare && http_equal_nocase(f->name, "content-length"))
			continue;
		if (!bare && http_equal_nocase(f->name, "content-encoding") &&
		    !coding_is_there(f->value, m->body))
			continue;
		h->field[n++] = *f;
	}
	h->nfields = n;
	if (bare || n == HTTP_LINK_FIELDS)
		return;
	snprintf(length, 24, "%zu", m->body.n);
	h->field[h->nfields++] = field_of("content-length", length);
}

/* The answer's head goes through the one parser, as text. */
static void
v1_pass(struct stream *s, struct ws_v1 *m)
{
	static unsigned char space[HTTP_LINK_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	struct http_head h;
	char length[24];

	if (answer_is_bare(s, m->head.status))
		m->body.n = 0;
	v1_mend(s, m, length);
	if (http_fields_ok(m->head.field, m->head.nfields))
		http_link_answer_put(&o, &m->head);
	if (o.len > o.cap || answer_parse(&h, s, http_out_view(&o)) == -1) {
		answer_refuse(s, answer_malformed);
		return;
	}
	answer_begin(s, &h, m->body.n > 0);
	if (half_is_open(&s->from_link.half))
		stream_take_last(s, m->body.p, m->body.n, NULL, 0);
}

/* The stream that waits for the answer of that id on l, or NULL. */
static struct stream *
v1_find(const struct link *l, const unsigned char id[16])
{
	struct stream *s = stream_find(id);

	if (s == NULL || s->link != l || s->from_link.head_passed ||
	    !half_is_open(&s->from_link.half))
		return NULL;
	return s;
}

static void
v1_ignored(const struct link *l, const char *why)
{
	const struct tunnel *t = l->of;

	log_event(LEVEL_INFO, "event=message-ignored id=%s why=\"%s\"", t->id,
	    why);
}

/* A binary message is no answer, but the request that it names gets one. */
static void
v1_binary(const struct link *l, const unsigned char *p, size_t n)
{
	unsigned char id[16];
	struct stream *s;

	if (!ws_v1_id_find(id, p, n))
		v1_ignored(l, "a binary frame on the v1 wire");
	else if ((s = v1_find(l, id)) != NULL)
		answer_refuse(s, "the client sent a malformed answer");
}

void
answer_v1(struct link *l, int opcode, unsigned char *p, size_t n)
{
	struct ws_v1 m;
	struct stream *s;
	int has_id = 0, r;

	if (opcode != WS_TEXT) {
		v1_binary(l, p, n);
		return;
	}
	r = ws_v1_response_read(&m, p, n, &has_id);
	if (!has_id)
		v1_ignored(l, "not an answer");
	else if ((s = v1_find(l, m.id)) == NULL)
		return;			/* late */
	else if (r < 0)
		answer_refuse(s, "the client sent a malformed answer");
	else if (m.body.n > account_room(l->account))
		answer_refuse(s, "the answer is larger than this server can "
		    "hold now");
	else
		v1_pass(s, &m);
}

void
answer_v1_unheld(struct link *l, int status, const unsigned char *p, size_t n)
{
	unsigned char id[16];
	struct stream *s;

	if (!ws_v1_id_find(id, p, n) || (s = v1_find(l, id)) == NULL)
		return;
	answer_refuse(s, status == 413 ?
	    "the answer is larger than this server holds" :
	    "the answer is larger than this server can hold now");
}
