#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/loop.h"
#include "gate/settings.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"
#include "gate/reply.h"
#include "gate/tunnel.h"
#include "gate/answer.h"

int
answer_is_bare(const struct stream *s, int status)
{
	return s->head_only || status == 204 || status == 304;
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
	return s->minor > 0 ? HTTP_CHUNKED : HTTP_UNTIL_CLOSE;
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
	struct http_answer_shape shape;
	char hex[32];

	memset(&shape, 0, sizeof(shape));
	ws_hex_put(hex, s->id);
	shape.status = m->status;
	shape.reason = m->reason;
	shape.framing = framing;
	shape.minor = s->http->minor;
	shape.keep_alive = s->http->keep_alive;
	shape.date = clock_wall();
	shape.correlation_id.p = (const unsigned char *)hex;
	shape.correlation_id.n = sizeof(hex);
	http_answer_put(&o, &shape, m->field, m->nfields);
	if (o.len <= o.cap)
		conn_put(s->http, space, o.len);
	else
		conn_abort(s->http);
}

/* The answer cannot be had, or not to its end. */
static void
server_lost(struct stream *s, int status, const char *why)
{
	struct conn *c = s->http;

	if (c == NULL)
		return;
	if (srv.stopping)
		status = 504;
	if (!s->head_down) {
		stream_detach(s);
		if (s->up.state != WS_HALF_ENDED)
			c->keep_alive = 0;
		s->status = status;
		stream_error(s, c, why);
		return;
	}
	log_event(LEVEL_INFO, "event=broken-off id=%s request=\"%s\" "
	    "why=\"%s\"", s->tunnel->id, s->label, why);
	stream_detach(s);
	conn_abort(c);
}

void
answer_refuse(struct stream *s, const char *why)
{
	server_lost(s, 502, why);
	stream_reset(s, 502, why);
}

/* After 101 both halves carry raw bytes. */
static void
answer_switch(struct stream *s)
{
	http_body_init(&s->source, HTTP_RAW, -1);
	s->head_up = 1;
	s->http->keep_alive = 0;
	s->up_limit = LLONG_MAX;
	stream_news(s);
}

void
answer_begin(struct stream *s, struct ws_msg *m)
{
	enum http_framing framing = answer_framing(s, m);

	if (framing == HTTP_LENGTH)
		s->down.left = length_of(msg_length_field(m));
	if ((framing == HTTP_LENGTH && (s->down.left < 0 ||
	    (m->end && s->down.left > 0)))) {
		answer_refuse(s, "the answer's Content-Length is not that of "
		    "its body");
		return;
	}
	if (framing == HTTP_UNTIL_CLOSE)
		s->http->keep_alive = 0;
	s->sink = framing;
	s->sink_dead = framing == HTTP_NO_BODY;
	if (framing == HTTP_UNTIL_CLOSE || framing == HTTP_RAW)
		conn_guard(s->http, 1);
	s->status = m->status;
	s->head_down = 1;
	if (s->upgrade && framing == HTTP_RAW)
		answer_switch(s);
	answer_put(s, m, framing);
	if (s->upgrade && framing != HTTP_RAW)
		s->up.state = WS_HALF_ENDED;
	if (m->end) {
		s->down.state = WS_HALF_ENDED;
		stream_down_end(s, NULL, 0);
	}
}

static void
answer_informational(struct stream *s, struct ws_msg *m)
{
	if (++s->informational > 16) {
		link_fail(s->link, -1002, "too many interim answers");
		return;
	}
	if (s->minor > 0)
		answer_put(s, m, HTTP_NO_BODY);
}

/* An answer's head came over v2. */
static void
server_message(struct stream *s, struct ws_msg *m)
{
	if (m->type != WS_MSG_RESPONSE || s->head_down ||
	    s->down.state != WS_HALF_OPEN) {
		link_fail(s->link, -1002, "a message out of its order");
		return;
	}
	if (!answer_head_ok(m))
		answer_refuse(s, "the answer's head is not valid HTTP, or too large");
	else if (m->status < 200 && m->status != 101)
		answer_informational(s, m);
	else if (m->status == 101 && !s->upgrade)
		answer_refuse(s, "the service switched protocols unasked");
	else
		answer_begin(s, m);
}

void
caller_leaves(struct conn *c, const char *why)
{
	struct stream *s = c->stream;

	log_event(LEVEL_INFO, "event=caller-left id=%s request=\"%s\" "
	    "why=\"%s\" ms=%lld", s->tunnel->id, s->label, why,
	    now_ms - s->start_ms);
	wait_leave(s);
	stream_detach(s);
	conn_kill(c);
	stream_reset(s, 499, "the caller left");
}

void
caller_break(struct stream *s, int status, const char *why)
{
	server_lost(s, status, why);
	stream_reset(s, status, "the request was broken off");
}

static void
server_fault(struct stream *s, enum source_fault f)
{
	char why[128];

	switch (f) {
	case SOURCE_EOF:
		caller_leaves(s->http, "closed inside its body");
		break;
	case SOURCE_BROKEN:
		caller_leaves(s->http, "connection broke");
		break;
	case SOURCE_BAD:
		caller_break(s, 400, "the chunked body is malformed");
		break;
	case SOURCE_NO_ROOM:
		caller_break(s, 503, "the server is short of memory: try again");
		break;
	case SOURCE_TOO_BIG:
		if (s->up_limit < opt.max_body || opt.max_body == 0)
			text_put(why, sizeof(why), "%s",
			    forward_refusal(s, 413));
		else
			text_put(why, sizeof(why), "the body exceeds %lld "
			    "bytes, the limit of PIPEGATE_MAX_BODY_BYTES",
			    opt.max_body);
		caller_break(s, 413, why);
		break;
	}
}

/* The head of a request goes at dispatch; what is asked for here is a
 * protocol switch that has not come. */
static int
server_head(struct stream *s)
{
	(void)s;
	return 0;
}

static void
server_sink_gone(struct stream *s)
{
	caller_leaves(s->http, "connection broke");
}

static void
server_over(struct stream *s)
{
	struct conn *c = s->http;

	wait_leave(s);
	if (c == NULL)
		return;
	log_event(LEVEL_INFO, "event=request id=%s request=\"%s\" status=%d "
	    "ms=%lld in=%lld out=%lld", s->tunnel->id, s->label, s->status,
	    now_ms - s->start_ms, s->up_bytes, s->down_bytes);
	stream_detach(s);
	if (s->up.state == WS_HALF_RESET && s->sink == HTTP_RAW) {
		conn_abort(c);
		return;
	}
	if (s->up.state == WS_HALF_RESET || s->sink == HTTP_UNTIL_CLOSE)
		c->keep_alive = 0;
	caller_answered(c);
}

const struct role server_role = {
	.answer_down = 1, .head = server_head, .fault = server_fault,
	.sink_gone = server_sink_gone, .message = server_message,
	.lost = server_lost, .over = server_over,
};
