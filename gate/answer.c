#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/settings.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"
#include "gate/reply.h"
#include "gate/tunnel.h"
#include "gate/answer.h"

void
answer_attach(struct stream *s, struct caller *w)
{
	s->http = w->c;
	w->stream = s;
}

static struct caller *
caller_of(const struct stream *s)
{
	return s->http->of;
}

static void
server_detached(struct stream *s)
{
	caller_of(s)->stream = NULL;
}

/* --- the end of a request */

/* No answer comes, or not all of it. */
static void
server_lost(struct stream *s, int status, const char *why)
{
	struct caller *w;

	if (s->http == NULL)
		return;
	w = caller_of(s);
	stream_detach(s);
	if (s->from_link.head_passed) {
		log_event(LEVEL_INFO, "event=broken-off id=%s request=\"%s\" "
		    "why=\"%s\"", s->tunnel->id, s->label, why);
		conn_abort(w->c);
		return;
	}
	if (loop_is_stopping())
		status = 504;
	if (s->to_link.half.state != WS_HALF_ENDED || loop_is_stopping())
		w->keep_alive = 0;
	s->status = status;
	stream_error(s, w, why);
}

void
caller_leaves(struct caller *w, const char *why)
{
	struct stream *s = w->stream;

	log_event(LEVEL_INFO, "event=caller-left id=%s request=\"%s\" "
	    "why=\"%s\" ms=%lld", s->tunnel->id, s->label, why,
	    now_ms - s->start_ms);
	tunnel_wait_leave(s);
	stream_detach(s);
	conn_kill(w->c);
	stream_reset(s, 499, "the caller left");
}

void
caller_break(struct stream *s, int status, const char *why)
{
	server_lost(s, status, why);
	stream_reset(s, status, "the request was broken off");
}

void
answer_refuse(struct stream *s, const char *why)
{
	server_lost(s, 502, why);
	stream_reset(s, 502, why);
}

/* The limit may be the wire's, or our own. */
static void
server_too_big(struct stream *s)
{
	int ours = opt->max_body > 0 && s->to_link.limit >= opt->max_body;

	caller_break(s, 413, ours ? reply_too_big() : forward_refusal(413));
}

static void
server_fault(struct stream *s, enum source_fault f)
{
	switch (f) {
	case SOURCE_EOF:
		caller_leaves(caller_of(s), "closed inside its body");
		break;
	case SOURCE_BROKEN:
		caller_leaves(caller_of(s), "connection broke");
		break;
	case SOURCE_BAD:
		caller_break(s, 400, "the chunked body is malformed");
		break;
	case SOURCE_NO_ROOM:
		caller_break(s, 503, reply_no_memory);
		break;
	case SOURCE_TOO_BIG:
		server_too_big(s);
		break;
	}
}

/* stream_forward() has passed on the head of every request: only one that waits
 * for a protocol switch comes here, and nothing of it goes before that. */
static int
server_head(struct stream *s)
{
	(void)s;
	return 0;
}

static void
server_over(struct stream *s)
{
	struct caller *w;

	tunnel_wait_leave(s);
	if (s->http == NULL)
		return;
	w = caller_of(s);
	log_event(LEVEL_INFO, "event=request id=%s request=\"%s\" status=%d "
	    "ms=%lld in=%lld out=%lld", s->tunnel->id, s->label, s->status,
	    now_ms - s->start_ms, s->to_link.octets, s->from_link.octets);
	stream_detach(s);
	if (s->to_link.half.state == WS_HALF_RESET &&
	    s->from_link.framing == HTTP_RAW) {
		conn_abort(w->c);
		return;
	}
	if (s->to_link.half.state == WS_HALF_RESET ||
	    s->from_link.framing == HTTP_UNTIL_CLOSE)
		w->keep_alive = 0;
	caller_answered(w);
}

/* --- an answer's head */

int
answer_is_bare(const struct stream *s, int status)
{
	return caller_of(s)->head_only || status == 204 || status == 304;
}

static enum http_framing
answer_framing(const struct stream *s, struct ws_msg *m)
{
	if (m->status == 101)
		return HTTP_RAW;
	if (answer_is_bare(s, m->status))
		return HTTP_NO_BODY;
	if (msg_length_field(m) != NULL)
		return HTTP_LENGTH;
	if (m->end && m->nfields < HTTP_OUT_FIELDS) {
		m->field[m->nfields++] = field_of("content-length", "0");
		return HTTP_LENGTH;
	}
	return caller_of(s)->minor > 0 ? HTTP_CHUNKED : HTTP_UNTIL_CLOSE;
}

int
answer_head_ok(const struct ws_msg *m)
{
	size_t i, n = m->reason.n;

	for (i = 0; i < m->nfields; i++)
		n += m->field[i].name.n + m->field[i].value.n + 4;
	return n <= HTTP_HEAD_MAX && m->nfields <= HTTP_FIELDS_MAX &&
	    http_fields_ok(m->field, m->nfields);
}

/* Writes the head of an answer, with framing. */
static void
answer_put(struct stream *s, const struct ws_msg *m, enum http_framing framing)
{
	static unsigned char space[3 * HTTP_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	const struct caller *w = caller_of(s);
	struct http_answer_shape shape;
	char hex[32];

	memset(&shape, 0, sizeof(shape));
	ws_hex_put(hex, s->id);
	shape.status = m->status;
	shape.reason = m->reason;
	shape.framing = framing;
	shape.minor = w->minor;
	shape.keep_alive = w->keep_alive;
	shape.date = clock_wall();
	shape.correlation_id.p = (const unsigned char *)hex;
	shape.correlation_id.n = sizeof(hex);
	http_answer_put(&o, &shape, m->field, m->nfields);
	if (o.len <= o.cap)
		conn_put(s->http, space, o.len);
	else
		conn_abort(s->http);
}

/* After 101 both halves carry raw octets; after anything else the request has
 * ended. */
static void
answer_upgraded(struct stream *s, enum http_framing framing)
{
	if (framing != HTTP_RAW) {
		half_end(&s->to_link.half);
		return;
	}
	http_body_init(&s->to_link.body, HTTP_RAW, -1);
	s->to_link.head_passed = 1;
	s->to_link.limit = LLONG_MAX;
	caller_of(s)->keep_alive = 0;
}

/* Takes Content-Length as the length that the body must have.  Returns 0, or -1
 * where it cannot be that. */
static int
answer_expect_length(struct stream *s, const struct ws_msg *m)
{
	long long n = length_of(msg_length_field(m));

	if (n < 0 || (m->end && n > 0))
		return -1;
	s->from_link.half.left = n;
	return 0;
}

/* A body that ends with the connection is guarded: if it breaks off, the caller
 * gets an RST, so that it does not take a part for the whole. */
static void
answer_set_framing(struct stream *s, enum http_framing framing)
{
	if (framing == HTTP_UNTIL_CLOSE)
		caller_of(s)->keep_alive = 0;
	s->from_link.framing = framing;
	s->from_link.dropped = framing == HTTP_NO_BODY;
	if (framing == HTTP_UNTIL_CLOSE || framing == HTTP_RAW)
		conn_guard(s->http, 1);
}

void
answer_begin(struct stream *s, struct ws_msg *m)
{
	enum http_framing framing = answer_framing(s, m);

	if (framing == HTTP_LENGTH && answer_expect_length(s, m) == -1) {
		answer_refuse(s, "the answer's Content-Length is not that of "
		    "its body");
		return;
	}
	answer_set_framing(s, framing);
	if (half_is_open(&s->to_link.half) && !s->upgrade)
		caller_of(s)->keep_alive = 0;	/* what is left is not read */
	s->status = m->status;
	s->from_link.head_passed = 1;
	if (s->upgrade)
		answer_upgraded(s, framing);
	answer_put(s, m, framing);
	if (framing == HTTP_RAW)
		stream_news(s);
	if (m->end && half_is_open(&s->from_link.half))
		stream_take_last(s, NULL, 0, NULL, 0);
}

static void
answer_informational(struct stream *s, struct ws_msg *m)
{
	if (++s->informational > INFORMATIONAL_MAX) {
		link_fail(s->link, -1002, "too many interim answers");
		return;
	}
	if (caller_of(s)->minor > 0)
		answer_put(s, m, HTTP_NO_BODY);
}

/* An answer's head came over v2. */
static void
server_message(struct stream *s, struct ws_msg *m)
{
	if (m->type != WS_MSG_RESPONSE || s->from_link.head_passed ||
	    !half_is_open(&s->from_link.half)) {
		link_fail(s->link, -1002, "a message out of its order");
		return;
	}
	if (s->http == NULL)
		return;
	if (!answer_head_ok(m))
		answer_refuse(s, "the answer's head is not valid HTTP, or too large");
	else if (m->status < 200 && m->status != 101)
		answer_informational(s, m);
	else if (m->status == 101 && !s->upgrade)
		answer_refuse(s, "the service switched protocols unasked");
	else
		answer_begin(s, m);
}

const struct role server_role = {
	.answer_comes = 1, .head = server_head, .fault = server_fault,
	.message = server_message, .lost = server_lost, .over = server_over,
	.detached = server_detached,
};
