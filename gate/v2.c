#include <limits.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/conn.h"
#include "gate/credit.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"
#include "gate/v2.h"

#define RUN_MAX 4		/* body messages read in one system call */

/* --- writing messages */

/* Readies m for a message about s. */
static void
msg_start(struct ws_msg *m, const struct stream *s, enum ws_type type)
{
	memset(m, 0, offsetof(struct ws_msg, field));
	m->type = type;
	memcpy(m->id, s->id, 16);
}

/* Puts m on link l.  Returns 0; -431 where it does not fit a message, -503
 * where there is no memory. */
static int
link_put_msg(struct link *l, const struct ws_msg *m)
{
	struct json_out o = { NULL, WS_V2_TEXT_MAX, 0, 0 };

	o.p = link_begin(l, WS_V2_TEXT_MAX);
	if (o.p == NULL)
		return -503;
	ws_v2_put(&o, m);
	if (o.len > o.cap)
		return -431;
	link_commit(l, WS_TEXT, 1, o.len);
	return 0;
}

/* Without memory the reset stays due, for streams_retry(). */
static void
put_reset(struct stream *s)
{
	struct ws_msg m;

	msg_start(&m, s, WS_MSG_RESET);
	m.status = s->reset_status;
	m.reason = view_of(s->reset_why);
	if (link_put_msg(s->link, &m) == 0)
		s->reset_why = NULL;
}

static void
put_grant(struct stream *s)
{
	struct ws_msg m;

	s->grant_due = 0;
	if (!half_is_open(&s->from_link.half))
		return;
	msg_start(&m, s, WS_MSG_WINDOW);
	m.bytes = stream_window_grant(s);
	if (m.bytes == 0)
		return;
	if (link_put_msg(s->link, &m) == 0) {
		ws_half_grant(&s->from_link.half, m.bytes);
		return;
	}
	stream_window_use(s, (size_t)m.bytes);
	s->grant_due = 1;
}

/* Makes the n body octets at p + WS_V2_BODY_HEAD a message, and the half's
 * last where end is set. */
static void
put_body(struct stream *s, unsigned char *p, size_t n, int end)
{
	must(ws_half_pass(&s->to_link.half, n, end) == 0);
	p[0] = end != 0;
	memcpy(p + 1, s->id, 16);
	link_commit(s->link, WS_BINARY, 1, WS_V2_BODY_HEAD + n);
	s->burst += (long long)n;
}

static void
v2_leave(struct link *l)
{
	struct ws_msg m;

	memset(&m, 0, offsetof(struct ws_msg, field));
	m.type = WS_MSG_LEAVE;
	if (link_put_msg(l, &m) == 0)
		l->leave = LEAVE_SAID;
}

/* --- a body's pieces */

/* There is no memory for what s has to say: that is its end.  Always 0. */
static int
no_room(struct stream *s)
{
	if (link_is_live(s->link))
		s->role->fault(s, SOURCE_NO_ROOM);
	return 0;
}

/* Passes the trailers on, if any, and ends the half.  Returns 1 if there may
 * be more at once. */
static int
put_trailers(struct stream *s)
{
	struct ws_msg m;
	unsigned char *p;
	size_t size;
	enum step step;

	msg_start(&m, s, WS_MSG_TRAILERS);
	step = source_trailers(s, m.field, &m.nfields, &size);
	if (step != STEP_END)
		return step == STEP_DATA;
	m.nfields = http_trailers_filter(m.field, m.nfields);
	if (m.nfields > 0 && link_put_msg(s->link, &m) == 0)
		must(ws_half_pass(&s->to_link.half, 0, 1) == 0);
	else if ((p = link_begin(s->link, WS_V2_BODY_HEAD)) != NULL)
		put_body(s, p, 0, 1);
	else
		return no_room(s);
	buf_consume(&s->http->rx, size);
	stream_passed_on(s);
	return 0;
}

/* How many full messages may be read in one system call; 0 unless all that comes
 * is body, no light stream waits for the link, and there is credit for them. */
static int
run_length(const struct stream *s)
{
	const struct to_link *t = &s->to_link;
	long long n = min_time(t->half.credit, t->limit - t->octets);

	if (s->link->light.n > 0 || !source_is_raw(s) || s->http->rx.len > 0 ||
	    s->http->rd_eof || s->http->rd_failed)
		return 0;
	if (t->body.framing == HTTP_LENGTH)
		n = min_time(n, t->body.left);
	return (int)min_time(n / WS_V2_BODY_MAX, RUN_MAX);
}

/* Makes messages of the got octets that run_read() read: they lie where frames
 * at p, p + stride and so on have their bodies. */
static void
run_put(struct stream *s, unsigned char *p, size_t got, size_t stride)
{
	struct view data;
	size_t n, used;

	for (; got > 0; got -= n, p += stride) {
		n = min_size(got, WS_V2_BODY_MAX);
		http_body_next(&s->to_link.body, p + WS_V2_BODY_HEAD, n, &used,
		    &data);
		s->to_link.octets += (long long)n;
		put_body(s, p, n, n == got && source_done(s));
	}
	if (!half_is_open(&s->to_link.half))
		stream_passed_on(s);
}

/* Reads a run of so many full messages straight into the link.  Returns 1 if
 * there may be more at once. */
static int
run_read(struct stream *s, int run)
{
	struct iovec iov[RUN_MAX];
	size_t got, stride = WS_V2_BODY_HEAD + WS_V2_BODY_MAX +
	    ws_frame_head_size(WS_V2_BODY_MAX, s->link->masks);
	unsigned char *p = link_begin(s->link, stride * RUN_MAX);
	int i;

	if (p == NULL)
		return no_room(s);
	for (i = 0; i < run; i++) {
		iov[i].iov_base = p + (size_t)i * stride + WS_V2_BODY_HEAD;
		iov[i].iov_len = WS_V2_BODY_MAX;
	}
	if (conn_readv(s->http, iov, run, &got) != IO_DATA)
		return s->http->rd_eof || s->http->rd_failed;
	run_put(s, p, got, stride);
	return half_is_open(&s->to_link.half) &&
	    (got == (size_t)run * WS_V2_BODY_MAX || conn_end_is_known(s->http));
}

/* One message of body.  Returns 1 if there may be more at once. */
static int
piece_read(struct stream *s)
{
	size_t n, cap = (size_t)min_time(WS_V2_BODY_MAX, s->to_link.half.credit);
	unsigned char *p = link_begin(s->link, WS_V2_BODY_HEAD + cap);
	enum step step;

	if (p == NULL)
		return no_room(s);
	step = source_step(s, p + WS_V2_BODY_HEAD, &n, cap);
	if (step == STEP_WAIT || step == STEP_FAULT)
		return 0;
	if (n > 0 || step == STEP_END)
		put_body(s, p, n, step == STEP_END);
	if (step == STEP_END) {
		stream_passed_on(s);
		return 0;
	}
	if (step == STEP_TRAILERS)
		return put_trailers(s);
	return n == cap || s->http->rx.len > 0 || conn_end_is_known(s->http);
}

/* Whether s has body to pass on now. */
static int
v2_may_read(struct stream *s)
{
	const struct to_link *t = &s->to_link;

	if (!half_is_open(&t->half) || s->http == NULL)
		return 0;
	if (!t->head_passed && !s->role->head(s))
		return 0;
	return s->life == STREAM_JOINED && half_is_open(&t->half) &&
	    t->half.credit > 0;
}

static enum turn
v2_serve(struct stream *s)
{
	int run, more;

	if (s->reset_why != NULL) {
		put_reset(s);
		stream_check(s);
		return TURN_DONE;
	}
	if (s->grant_due)
		put_grant(s);
	if (!v2_may_read(s))
		return TURN_DONE;
	run = run_length(s);
	more = run > 1 ? run_read(s, run) : piece_read(s);
	return more ? TURN_AGAIN : TURN_DONE;
}

/* --- heads, and ends */

/* The halves begin here, with the credit that each side starts with. */
static int
v2_request(struct stream *s, struct ws_msg *m, const struct http_head *h)
{
	long long window = window_first(budget_free());
	int bodyless = h->framing == HTTP_NO_BODY, r;

	if (stream_window_open(s, window) == -1)
		return -503;
	m->bytes = window;
	m->end = bodyless && !s->upgrade;
	r = link_put_msg(s->link, m);
	if (r < 0)
		return r;
	half_open(&s->from_link.half, window, -1);
	half_open(&s->to_link.half, s->link->window,
	    h->framing == HTTP_LENGTH ? h->length : -1);
	if (m->end)
		half_end(&s->to_link.half);
	s->to_link.head_passed = !s->upgrade;
	s->to_link.ended_ms = bodyless ? now_ms : 0;
	return 0;
}

static int
v2_answer(struct stream *s, struct ws_msg *m)
{
	int r;

	memcpy(m->id, s->id, 16);
	r = link_put_msg(s->link, m);
	if (r < 0)
		return r;
	if (m->end)
		half_end(&s->to_link.half);
	return 0;
}

static void
v2_reset(struct stream *s, int status, const char *why)
{
	s->reset_status = status;
	s->reset_why = why;
	turn_wait(s);
}

const struct wire wire_v2 = {
	.version = 2, .flows = 1, .request = v2_request, .answer = v2_answer,
	.interim = v2_answer, .serve = v2_serve, .news = turn_wait,
	.fail = stream_reset, .reset = v2_reset, .leave = v2_leave,
};

int
v2_refuse(struct link *l, const unsigned char id[16], int status,
    const char *why)
{
	struct ws_msg m;

	memset(&m, 0, offsetof(struct ws_msg, field));
	m.type = WS_MSG_RESET;
	memcpy(m.id, id, 16);
	m.status = status;
	m.reason = view_of(why);
	return link_put_msg(l, &m) == 0 ? 0 : -1;
}

/* --- messages that came */

static void
take_body(struct link *l, const unsigned char *p, size_t n)
{
	struct stream *s;
	int r;

	if (n < WS_V2_BODY_HEAD || p[0] > 1) {
		link_fail(l, -1002, "malformed body message");
		return;
	}
	s = stream_find(p + 1);
	if (s == NULL || s->link != l ||
	    s->from_link.half.state == WS_HALF_RESET)
		return;			/* late */
	if (!s->from_link.head_passed) {
		link_fail(l, -1002, "a body before its head");
		return;
	}
	if (p[0])
		r = stream_take_last(s, p + WS_V2_BODY_HEAD,
		    n - WS_V2_BODY_HEAD, NULL, 0);
	else
		r = stream_take(s, p + WS_V2_BODY_HEAD, n - WS_V2_BODY_HEAD);
	if (r < 0)
		link_fail(l, r, "a body past its credit or its end");
}

static void
take_window(struct stream *s, const struct ws_msg *m)
{
	if (!half_is_open(&s->to_link.half))
		return;
	if (ws_half_grant(&s->to_link.half, m->bytes) < 0) {
		link_fail(s->link, -1002, "more credit than there can be");
		return;
	}
	turn_wait(s);
	if (s->http == NULL)
		return;
	s->http->rx_ms = now_ms;	/* its silence was ours */
	conn_touch(s->http);
}

static void
take_trailers(struct stream *s, struct ws_msg *m)
{
	if (!half_is_open(&s->from_link.half) || !s->from_link.head_passed) {
		link_fail(s->link, -1002, "trailers after the end");
		return;
	}
	if (!http_fields_ok(m->field, m->nfields))
		m->nfields = 0;
	m->nfields = http_trailers_filter(m->field, m->nfields);
	stream_take_last(s, NULL, 0, m->field, m->nfields);
}

static void
take_reset(struct stream *s, const struct ws_msg *m)
{
	char why[256];
	int lost = half_is_open(&s->from_link.half);
	int status = m->status >= 400 && m->status <= 599 ? m->status : 502;

	text_safe(why, sizeof(why), m->reason);
	stream_drop_halves(s);
	s->reset_why = NULL;
	if (lost)
		s->role->lost(s, status, why);
	stream_check(s);
}

static void
take_for_stream(struct link *l, struct ws_msg *m)
{
	struct stream *s = stream_find(m->id);

	if (s == NULL || s->link != l || s->reset_why != NULL)
		return;			/* late */
	switch (m->type) {
	case WS_MSG_WINDOW:
		take_window(s, m);
		break;
	case WS_MSG_TRAILERS:
		take_trailers(s, m);
		break;
	case WS_MSG_RESET:
		take_reset(s, m);
		break;
	default:
		s->role->message(s, m);
	}
}

enum ws_type
v2_take(struct link *l, int opcode, unsigned char *p, size_t n,
    struct ws_msg *m)
{
	int r;

	if (opcode != WS_TEXT) {
		take_body(l, p, n);
		return WS_MSG_UNKNOWN;
	}
	gather_write();
	r = ws_v2_read(m, p, n);
	if (r < 0) {
		link_fail(l, r, "malformed message");
		return WS_MSG_UNKNOWN;
	}
	if (m->type == WS_MSG_LEAVE) {
		link_stop_requests(l);
		l->peer_left = 1;
		if (l->leave == LEAVE_UNSAID)
			l->leave = LEAVE_DUE;
		link_later(l);
	}
	if (m->type == WS_MSG_REQUEST || m->type == WS_MSG_LEAVE)
		return m->type;
	if (m->type != WS_MSG_ACK && m->type != WS_MSG_UNKNOWN)
		take_for_stream(l, m);
	return WS_MSG_UNKNOWN;
}
