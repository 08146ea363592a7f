#include <stdio.h>
#include <string.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/held.h"
#include "gate/origin.h"
#include "gate/fetch.h"
#include "gate/v1_request.h"

/* The framing of a v1 request is made anew from the body that it has. */
static void
v1_frame(struct ws_v1 *m, char length[24])
{
	struct http_head *h = &m->head;
	size_t i, n = 0;
	int had = m->body.n > 0;

	h->nfields = http_fields_filter(h->field, h->nfields);
	for (i = 0; i < h->nfields; i++) {
		if (http_equal_nocase(h->field[i].name, "content-length"))
			had = 1;
		else if (!http_equal_nocase(h->field[i].name, "expect"))
			h->field[n++] = h->field[i];
	}
	h->nfields = n;
	if (!had || n == HTTP_LINK_FIELDS)
		return;
	snprintf(length, 24, "%zu", m->body.n);
	h->field[h->nfields++] = field_of("content-length", length);
}

/* Puts the request's head through the one parser, as text in space[0..cap).
 * Returns 0, or -1: it is not valid HTTP. */
static int
v1_head(struct http_head *h, const struct ws_v1 *m, unsigned char *space,
    size_t cap)
{
	const struct http_head *said = &m->head;
	struct http_out o = { space, cap, 0 };

	if (!http_method_ok(said->method) || !http_path_ok(said->path) ||
	    !http_fields_ok(said->field, said->nfields))
		return -1;
	http_link_request_put(&o, said);
	return o.len > o.cap ? -1 : http_link_request_parse(h, space, o.len);
}

static struct stream *
client_stream_v1(struct link *l, const unsigned char id[16])
{
	struct stream *s = client_stream(l, id);

	if (s == NULL)
		return NULL;
	half_open(&s->to_link.half, NO_CREDIT_LIMIT, -1);
	half_open(&s->from_link.half, NO_CREDIT_LIMIT, -1);
	s->from_link.window.size = NO_CREDIT_LIMIT;
	return s;
}

/* There is no memory for a stream.  A server that could not even be told that
 * would wait for an answer in vain. */
static void
v1_refuse(struct link *l, const unsigned char id[16])
{
	if (held_refuse(l, id, 503, client_no_memory) == -1)
		link_close(l, 1013, "the client is out of memory");
}

/* Starts on a request whose body is there, whole. */
static void
v1_start(struct stream *s, struct ws_v1 *m)
{
	static unsigned char space[HTTP_LINK_HEAD_MAX];
	struct http_head h;
	char length[24];

	v1_frame(m, length);
	if (v1_head(&h, m, space, sizeof(space)) == -1) {
		client_fail(s, 400, client_malformed);
		return;
	}
	client_start(s, &h, m->body.n > 0);
	if (s->http == NULL || !half_is_open(&s->from_link.half))
		return;
	stream_take_last(s, m->body.p, m->body.n, NULL, 0);
}

void
request_v1(struct link *l, int opcode, unsigned char *p, size_t n)
{
	static unsigned char space[4 * HTTP_TARGET_MAX];
	struct ws_v1 m;
	struct stream *s;
	int has_id = 0, r;

	(void)opcode;			/* JSON is a request in a binary message too */
	r = ws_v1_request_read(&m, p, n, &has_id, space, sizeof(space));
	if (!has_id || stream_find(m.id) != NULL) {
		log_event(LEVEL_INFO, "event=message-ignored why=\"not a "
		    "request\"");
		return;
	}
	s = client_stream_v1(l, m.id);
	if (s == NULL) {
		v1_refuse(l, m.id);
		return;
	}
	if (r < 0)
		client_fail(s, 400, "the server sent a malformed request");
	else if (l->streams.n > l->max_streams)
		client_fail(s, 503, "too many requests at once for this client");
	else
		v1_start(s, &m);
}

/* No more is known of the request than its id. */
void
request_v1_unheld(struct link *l, int status, const unsigned char *p, size_t n)
{
	unsigned char id[16];
	struct stream *s;

	if (!ws_v1_id_find(id, p, n) || stream_find(id) != NULL)
		return;
	s = client_stream_v1(l, id);
	if (s == NULL) {
		v1_refuse(l, id);
		return;
	}
	client_fail(s, status, status == 413 ?
	    "the request is larger than this client holds" :
	    "this client has no memory for the request");
}
