#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/settings.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"
#include "gate/v2.h"
#include "gate/reply.h"
#include "gate/tunnel.h"
#include "gate/pin.h"
#include "gate/answer.h"

#define COOKIES_MAX 8192	/* octets of our own cookies in an answer */
#define AGAIN_MS 10000		/* for so long a request goes from client to client */

void
answer_attach(struct stream *s, struct caller *w)
{
	struct account *a = s->tunnel->charged;

	s->http = w->c;
	w->stream = s;
	caller_count_in(w, a, SHARE_CONNS);
	conn_count_in(w->c, account_octets(a));
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
server_break(struct stream *s, enum ender by, int status, const char *why)
{
	struct caller *w;

	if (s->http == NULL)
		return;
	w = caller_of(s);
	stream_detach(s);
	if (s->from_link.head_passed && !caller_answer_undo(w)) {
		stream_journal(s, w, s->tunnel->id, by, why);
		conn_abort(w->c);
		return;
	}
	if (loop_is_stopping())
		status = 504;
	if (s->to_link.half.state != WS_HALF_ENDED || loop_is_stopping())
		w->keep_alive = 0;
	s->status = status;
	stream_error(s, w, s->tunnel->id, by, why);
}

/* What comes from the link came to an end too early. */
static void
server_lost(struct stream *s, int status, const char *why)
{
	server_break(s, loop_is_stopping() ? BY_SERVER : BY_CLIENT, status, why);
}

void
caller_leaves(struct caller *w, enum ender by, const char *why)
{
	struct stream *s = w->stream;

	if (!s->from_link.head_passed)
		s->status = 499;
	stream_journal(s, w, s->tunnel->id, by, why);
	tunnel_wait_leave(s);
	stream_detach(s);
	conn_kill(w->c);
	stream_reset(s, 499, "the caller left");
}

void
caller_break(struct stream *s, int status, const char *why)
{
	server_break(s, BY_SERVER, status, why);
	stream_reset(s, status, "the request was broken off");
}

void
answer_refuse(struct stream *s, const char *why)
{
	server_break(s, BY_SERVER, 502, why);
	stream_reset(s, 502, why);
}

/* Whether a service may be asked once more for the request of s, of which no octet of
 * the answer came (RFC 9110 9.2.2): in a time in which it may have been restarted. */
static int
may_resend(const struct stream *s)
{
	const struct caller *w = caller_of(s);

	return w->gets && !w->resent && s->to_link.octets == 0 &&
	    source_done(s);
}

/* For how long the request of s may be given out again that a client gave back with
 * these flags. */
static long long
again_ms(const struct stream *s, int flags)
{
	long long wait_ms = opt->service_wait_s * 1000;

	if ((flags & WS_REFUSED) != 0)
		return AGAIN_MS;
	if ((flags & WS_UNREACHED) != 0)
		return tunnel_stands(s->tunnel) && wait_ms < AGAIN_MS ?
		    AGAIN_MS : wait_ms;
	return (flags & WS_UNANSWERED) != 0 && may_resend(s) ? wait_ms : 0;
}

/* Notes that the request of s came back with these flags.  The time that it took to
 * find nobody there counts. */
static void
server_back(struct stream *s, int flags)
{
	struct caller *w = caller_of(s);
	int unreached = (flags & (WS_UNREACHED | WS_REFUSED)) == WS_UNREACHED;

	if (w->back_ms == 0) {
		w->back_ms = unreached ? s->begun_ms : now_ms;
		w->back_after_ms = (unsigned int)(w->back_ms - s->start_ms);
	}
	if (unreached)
		standing_unreached(s->link, s->begun_ms);
}

/* Whatever was read of the request is handled as if it came only now; not for
 * ever. */
static int
server_again(struct stream *s, int flags)
{
	struct caller *w;

	if (s->http == NULL || flags == 0)
		return 0;
	w = caller_of(s);
	server_back(s, flags);
	if (now_ms - w->back_ms >= again_ms(s, flags) || !stream_unread(s))
		return 0;
	if ((flags & WS_UNANSWERED) != 0)
		w->resent = 1;
	log_event(LEVEL_DEBUG, "event=again id=%s request=\"%s\"",
	    s->tunnel->id, s->label);
	stream_detach(s);
	conn_state(w->c, CONN_HEAD);
	caller_next(w);
	stream_drop_halves(s);
	stream_check(s);
	return 1;
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
		caller_leaves(caller_of(s), BY_CALLER, "closed inside its body");
		break;
	case SOURCE_BROKEN:
		caller_leaves(caller_of(s), BY_CALLER, "connection broke");
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
	int cut = s->to_link.half.state == WS_HALF_RESET &&
	    s->from_link.framing == HTTP_RAW;

	tunnel_wait_leave(s);
	if (s->http == NULL)
		return;
	w = caller_of(s);
	stream_journal(s, w, s->tunnel->id, BY_CLIENT,
	    cut ? "it takes no more of what the caller sends" : NULL);
	stream_detach(s);
	if (cut) {
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

const char answer_malformed[] =
    "the answer's head is not valid HTTP, or too large";

int
answer_parse(struct http_head *h, const struct stream *s, struct view text)
{
	int r = http_link_answer_parse(h, text.p, text.n,
	    view_of(caller_of(s)->head_only ? "HEAD" : "GET"));

	if (r != -1)
		pin_guard(h);
	return r;
}

/* How the answer goes to the caller. */
static enum http_framing
answer_framing(const struct stream *s, const struct http_head *h,
    int has_body)
{
	if (h->framing != HTTP_UNTIL_CLOSE)
		return h->framing;
	if (!has_body)
		return HTTP_LENGTH;
	return caller_of(s)->minor > 0 ? HTTP_CHUNKED : HTTP_UNTIL_CLOSE;
}

/* Writes the head of an answer, with framing. */
static void
answer_put(struct stream *s, const struct http_head *h,
    enum http_framing framing)
{
	static unsigned char space[2 * HTTP_LINK_HEAD_MAX];
	static unsigned char lines[COOKIES_MAX];
	struct http_out o = { space, sizeof(space), 0 }, more =
	    { lines, sizeof(lines), 0 };
	const struct caller *w = caller_of(s);
	struct http_answer_shape shape;
	char hex[32];

	memset(&shape, 0, sizeof(shape));
	ws_hex_put(hex, s->id);
	shape.framing = framing;
	shape.minor = w->minor;
	shape.keep_alive = w->keep_alive;
	shape.date = clock_wall();
	shape.correlation_id.p = (const unsigned char *)hex;
	shape.correlation_id.n = sizeof(hex);
	if (h->status >= 200 && !s->tunnel->as_is)
		pin_put(&more, w, h, s->tunnel->id);
	shape.lines = http_out_view(&more);
	http_answer_put(&o, &shape, h);
	must(o.len <= o.cap);		/* what is added is little */
	conn_put(s->http, space, o.len);
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
answer_begin(struct stream *s, const struct http_head *h, int has_body)
{
	enum http_framing framing = answer_framing(s, h, has_body);

	if (framing == HTTP_LENGTH)
		s->from_link.half.left = h->length < 0 ? 0 : h->length;
	answer_set_framing(s, framing);
	if (half_is_open(&s->to_link.half) && !s->upgrade)
		caller_of(s)->keep_alive = 0;	/* what is left is not read */
	s->status = h->status;
	s->answer_ms = now_ms;
	s->from_link.head_passed = 1;
	if (s->upgrade)
		answer_upgraded(s, framing);
	caller_answer_begins(caller_of(s));
	answer_put(s, h, framing);
	if (framing == HTTP_RAW)
		stream_news(s);
}

static void
answer_informational(struct stream *s, const struct http_head *h)
{
	if (++s->informational > INFORMATIONAL_MAX) {
		link_fail(s->link, -1002, "too many interim answers");
		return;
	}
	if (caller_of(s)->minor == 0)
		return;
	answer_put(s, h, HTTP_NO_BODY);
	if (sink_overflows(s))
		caller_break(s, 503, reply_no_memory);
}

/* The head of the final answer came over v2, perhaps with some of its body. */
static void
answer_final(struct stream *s, const struct ws_msg *m,
    const struct http_head *h)
{
	answer_begin(s, h, (m->flags & WS_HAS_BODY) != 0);
	if (sink_overflows(s))
		caller_break(s, 503, reply_no_memory);
	else if (half_is_open(&s->from_link.half) && h->status != 101)
		v2_take_octets(s, m);
}

/* An answer's head came over v2. */
static void
server_message(struct stream *s, const struct ws_msg *m)
{
	struct http_head h;

	stream_forget(s);
	standing_reached(s->link);
	if (s->from_link.half.state == WS_HALF_RESET || s->http == NULL)
		return;			/* late */
	if (s->from_link.head_passed || !half_is_open(&s->from_link.half))
		link_fail(s->link, -1002, "a message out of its order");
	else if (answer_parse(&h, s, m->head) == -1 || !v2_head_ok(m, &h))
		answer_refuse(s, answer_malformed);
	else if (h.status == 101 && !s->upgrade)
		answer_refuse(s, "the service switched protocols unasked");
	else if ((m->flags & WS_INTERIM) != 0)
		answer_informational(s, &h);
	else
		answer_final(s, m, &h);
}

const struct role server_role = {
	.answer_comes = 1, .head = server_head, .fault = server_fault,
	.message = server_message, .again = server_again, .lost = server_lost,
	.over = server_over, .detached = server_detached,
};
