#include <limits.h>
#include <stdint.h>
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

#define WHOLE_HEAD_MAX 1024	/* octets of the head of an answer of our own */
#define RUN_MAX 4		/* body messages read in one system call */

/* --- numbers */

#define NUMBER_BUCKETS 2048

static struct stream *numbered[NUMBER_BUCKETS];

/* The numbers of a link rise one by one, and nobody chooses them. */
static struct stream **
number_bucket(const struct link *l, unsigned int number)
{
	return &numbered[(number + ((uintptr_t)l >> 4) * 31) % NUMBER_BUCKETS];
}

/* The stream of that number on l that is not freed, or NULL. */
static struct stream *
number_find(const struct link *l, unsigned int number)
{
	struct stream *s = *number_bucket(l, number);

	while (s != NULL && (s->number != number || s->link != l))
		s = s->number_next;
	return s;
}

void
v2_number(struct stream *s)
{
	struct stream **at = number_bucket(s->link, s->link->last_number);

	s->number = s->link->last_number;
	s->number_next = *at;
	*at = s;
}

static void
v2_over(struct stream *s)
{
	struct stream **at = number_bucket(s->link, s->number);

	if (s->number == 0)
		return;			/* it failed before it had one */
	while (*at != s)
		at = &(*at)->number_next;
	*at = s->number_next;
}

/* --- writing messages */

/* Makes the message m of the octets at p, where all but its prefix stands: n
 * octets behind that. */
static void
msg_commit(struct link *l, const struct ws_msg *m, unsigned char *p, size_t n)
{
	link_commit(l, WS_BINARY, 1, ws_msg_put(p, m) + n);
}

/* Appends v to the n octets at p.  Returns how many there are then. */
static size_t
octets_add(unsigned char *p, size_t n, struct view v)
{
	if (v.n > 0)
		memcpy(p + n, v.p, v.n);
	return n + v.n;
}

/* Puts m, whose head and body are short, on l.  Returns 0, or -1: no memory. */
static int
msg_put(struct link *l, const struct ws_msg *m)
{
	unsigned char *p = link_begin(l, WS_REQUEST_PREFIX + m->head.n +
	    m->body.n);
	size_t n;

	if (p == NULL)
		return -1;
	n = octets_add(p, ws_msg_put(p, m), m->head);
	n = octets_add(p, n, m->body);
	link_commit(l, WS_BINARY, 1, n);
	return 0;
}

int
v2_put_reset(struct link *l, unsigned int number, int status, int flags,
    const char *why)
{
	struct ws_msg m = { .type = WS_RESET, .flags = flags,
	    .stream = number, .status = status, .head = view_of(why) };

	return msg_put(l, &m);
}

/* Without memory the reset stays due, for streams_retry(). */
static void
put_reset(struct stream *s)
{
	if (v2_put_reset(s->link, s->number, s->reset_status,
	    s->reset_flags, s->reset_why) == 0)
		s->reset_why = NULL;
}

int
v2_put_window(struct link *l, unsigned int number, long long octets)
{
	struct ws_msg m = { .type = WS_WINDOW, .stream = number,
	    .window = octets };

	return msg_put(l, &m);
}

static void
put_grant(struct stream *s)
{
	long long n;

	s->grant_due = 0;
	if (!half_is_open(&s->from_link.half))
		return;
	n = stream_window_grant(s);
	if (n == 0)
		return;
	if (v2_put_window(s->link, s->number, n) == 0) {
		ws_half_grant(&s->from_link.half, n);
		return;
	}
	stream_window_use(s, (size_t)n);
	s->grant_due = 1;
}

/* Makes the n body octets at p + WS_PREFIX a message, and the half's last where
 * end is set. */
static void
put_body(struct stream *s, unsigned char *p, size_t n, int end)
{
	struct ws_msg m = { .type = WS_BODY, .flags = end ? WS_END : 0,
	    .stream = s->number };

	must(ws_half_pass(&s->to_link.half, n, end) == 0);
	msg_commit(s->link, &m, p, n);
	s->burst += (long long)n;
}

static void
v2_leave(struct link *l)
{
	struct ws_msg m = { .type = WS_LEAVE };

	if (msg_put(l, &m) == 0)
		l->leave = LEAVE_SAID;
}

static int
v2_note(struct link *l, struct view note)
{
	struct ws_msg m = { .type = WS_NOTE, .head = note };

	return msg_put(l, &m);
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

/* Puts the trailers f[0..n) on the link, which end the half.  Returns 0, or -1:
 * no memory. */
static int
put_trailer_fields(struct stream *s, const struct http_field *f, size_t n)
{
	struct ws_msg m = { .type = WS_TRAILERS, .stream = s->number };
	struct http_out o = { NULL, HTTP_HEAD_MAX, 0 };
	unsigned char *p = link_begin(s->link, WS_PREFIX + HTTP_HEAD_MAX);

	if (p == NULL)
		return -1;
	o.p = p + WS_PREFIX;
	http_fields_put(&o, f, n);
	if (o.len > o.cap) {		/* a space more behind each ':' */
		o.len = 0;
		http_fields_put(&o, NULL, 0);
	}
	must(ws_half_pass(&s->to_link.half, 0, 1) == 0);
	msg_commit(s->link, &m, p, o.len);
	return 0;
}

/* Passes the trailers on, if any, and ends the half.  Returns 1 if there may
 * be more at once. */
static int
put_trailers(struct stream *s)
{
	struct http_field f[HTTP_FIELDS_MAX];
	unsigned char *p;
	size_t size, n;
	enum step step = source_trailers(s, f, &n, &size);

	if (step != STEP_END)
		return step == STEP_DATA;
	n = http_trailers_filter(f, n);
	if (n > 0) {
		if (put_trailer_fields(s, f, n) == -1)
			return no_room(s);
	} else {
		p = link_begin(s->link, WS_PREFIX);
		if (p == NULL)
			return no_room(s);
		put_body(s, p, 0, 1);
	}
	buf_consume(&s->http->rx, size);
	stream_passed_on(s);
	return 0;
}

/* How many full messages may be read in one system call; 0 unless all that comes
 * is body, no light stream waits for the link, and there is credit and memory for
 * them. */
static int
run_length(const struct stream *s)
{
	const struct to_link *t = &s->to_link;
	long long n = min_time(t->half.credit, t->limit - t->octets);

	if (link_body_room(s->link) < LINK_BODY_ROOM ||
	    s->link->light.n > 0 || !source_is_raw(s) || s->http->rx.len > 0 ||
	    s->http->rd_eof || s->http->rd_failed)
		return 0;
	if (t->body.framing == HTTP_LENGTH)
		n = min_time(n, t->body.left);
	return (int)min_time(n / WS_BODY_MAX, RUN_MAX);
}

/* Makes messages of the got octets that run_read() read: they lie where frames
 * at p, p + stride and so on have their bodies. */
static void
run_put(struct stream *s, unsigned char *p, size_t got, size_t stride)
{
	struct view data;
	size_t n, used;

	for (; got > 0; got -= n, p += stride) {
		n = min_size(got, WS_BODY_MAX);
		http_body_next(&s->to_link.body, p + WS_PREFIX, n, &used,
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
	size_t got, stride = WS_PREFIX + WS_BODY_MAX +
	    ws_frame_head_size(WS_BODY_MAX, s->link->masks);
	unsigned char *p = link_begin(s->link, stride * (size_t)run);
	int i;

	if (p == NULL)
		return no_room(s);
	for (i = 0; i < run; i++) {
		iov[i].iov_base = p + (size_t)i * stride + WS_PREFIX;
		iov[i].iov_len = WS_BODY_MAX;
	}
	if (conn_readv(s->http, iov, run, &got) != IO_DATA)
		return s->http->rd_eof || s->http->rd_failed;
	run_put(s, p, got, stride);
	return half_is_open(&s->to_link.half) &&
	    (got == (size_t)run * WS_BODY_MAX || conn_end_is_known(s->http));
}

/* Whether there may be more of the body at once, after n octets came where cap
 * had room. */
static int
source_has_more(const struct stream *s, size_t n, size_t cap)
{
	return n == cap || s->http->rx.len > 0 || conn_end_is_known(s->http);
}

/* One message of body.  Returns 1 if there may be more at once. */
static int
piece_read(struct stream *s)
{
	size_t n, cap = (size_t)min_time(WS_BODY_MAX, s->to_link.half.credit);
	unsigned char *p = link_begin(s->link, WS_PREFIX + cap);
	enum step step;

	if (p == NULL)
		return no_room(s);
	step = source_step(s, p + WS_PREFIX, &n, cap);
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
	return source_has_more(s, n, cap);
}

/* Passes on what there is of the half to the link: its head, else a piece of its
 * body.  Returns 1 if there may be more at once. */
static int
v2_pass(struct stream *s)
{
	const struct to_link *t = &s->to_link;
	int run;

	if (!half_is_open(&t->half) || s->http == NULL)
		return 0;
	if (!t->head_passed) {
		s->role->head(s);	/* has s wait for its turn if need be */
		return 0;
	}
	if (t->half.credit == 0)
		return 0;
	run = run_length(s);
	return run > 1 ? run_read(s, run) : piece_read(s);
}

static enum turn
v2_serve(struct stream *s)
{
	if (s->reset_why != NULL) {
		put_reset(s);
		stream_check(s);
		return TURN_DONE;
	}
	if (s->grant_due)
		put_grant(s);
	return v2_pass(s) ? TURN_AGAIN : TURN_DONE;
}

/* --- heads */

/* A message with a head that is being put on the link: its octets, and what
 * reading the first of its body came to. */
struct draft {
	struct ws_msg m;
	unsigned char *p;
	enum step step;		/* STEP_DATA: there may be more */
	size_t cap;		/* octets of body that there was room for */
};

/* Room for body behind a head that goes on the link with m, against credit.  Where
 * the link is full the head goes alone. */
static size_t
draft_room(const struct ws_msg *m, const struct link *l, long long credit)
{
	if ((m->flags & WS_HAS_BODY) == 0 ||
	    link_unwritten(l) >= link_body_room(l))
		return 0;
	return (size_t)min_time(WS_BODY_MAX, credit);
}

/* Room to be had for cap octets of body: where they are the first of many, for
 * those in the next messages too, so that they need not move for these. */
static size_t
draft_reserve(const struct stream *s, size_t cap)
{
	const struct http_body *body = &s->to_link.body;

	return cap == WS_BODY_MAX && body->framing == HTTP_LENGTH &&
	    body->left > LINK_BODY_ROOM &&
	    link_body_room(s->link) == LINK_BODY_ROOM ? LINK_BODY_ROOM : cap;
}

/* Drafts head h, written by put, and what there is of its body where m says that
 * it has one.  Returns 0; minus a status, as struct wire has it; or 1: the body
 * cannot be read, of which the role was told. */
static int
draft_head(struct draft *d, struct stream *s, const struct http_head *h,
    void (*put)(struct http_out *, const struct http_head *),
    long long credit)
{
	size_t prefix = d->m.type == WS_REQUEST ? WS_REQUEST_PREFIX :
	    WS_ANSWER_PREFIX;
	struct http_out o = { NULL, 0, 0 };

	put(&o, h);			/* to see how long it is */
	if (o.len > HTTP_LINK_HEAD_MAX)
		return -431;
	d->cap = draft_room(&d->m, s->link, credit);
	d->p = link_begin(s->link, prefix + o.len + draft_reserve(s, d->cap));
	if (d->p == NULL)
		return -503;
	d->m.head.n = o.cap = o.len;
	o.p = d->p + prefix;
	o.len = 0;
	put(&o, h);
	if (d->cap == 0)
		return 0;
	d->step = source_step(s, o.p + o.len, &d->m.body.n, d->cap);
	if (d->step == STEP_END)
		d->m.flags |= WS_END;
	return d->step == STEP_FAULT;
}

/* Whether no octet of body follows head h. */
static int
has_no_octets(const struct http_head *h)
{
	return h->framing == HTTP_NO_BODY ||
	    (h->framing == HTTP_LENGTH && h->length == 0);
}

/* Puts it on the link.  The half that it begins is open. */
static void
draft_commit(struct draft *d, struct stream *s)
{
	size_t n = d->m.body.n;

	d->m.stream = s->number;
	if ((d->m.flags & (WS_HAS_BODY | WS_END)) != 0)
		must(ws_half_pass(&s->to_link.half, n,
		    d->m.flags & WS_END) == 0);
	msg_commit(s->link, &d->m, d->p, d->m.head.n + n);
	s->burst += (long long)n;
	if ((d->m.flags & WS_HAS_BODY) != 0 && (d->step == STEP_TRAILERS ||
	    (d->step == STEP_DATA && source_has_more(s, n, d->cap))))
		turn_wait(s);
}

/* Gives s the next number.  After the last one the client is to dial anew. */
static void
request_numbered(struct stream *s)
{
	must(s->link->last_number < V2_NUMBER_MAX);
	s->link->last_number++;
	v2_number(s);
	if (s->number == V2_NUMBER_MAX)
		link_leave(s->link);
}

/* Opens the halves, with the credit that each side starts with. */
static void
request_opens(struct stream *s, const struct ws_msg *m,
    const struct http_head *h)
{
	half_open(&s->from_link.half, m->window, -1);
	half_open(&s->to_link.half, m->took,
	    h->framing == HTTP_LENGTH ? h->length : -1);
	s->to_link.head_passed = !s->upgrade;
}

static int
v2_request(struct stream *s, const struct http_head *out,
    const struct http_head *h)
{
	struct draft d = { .m = { .type = WS_REQUEST }, .step = STEP_DATA };
	int r, bare = has_no_octets(h);

	d.m.took = window_taken(s->link->window, s->link->streams.n - 1);
	d.m.window = stream_window_first(s->link);
	d.m.flags = s->upgrade ? WS_UPGRADE : bare ? WS_END : WS_HAS_BODY;
	if (stream_window_open(s, d.m.window) == -1)
		return -503;
	r = draft_head(&d, s, out, http_link_request_put, d.m.took);
	if (r != 0)
		return r;
	request_numbered(s);
	request_opens(s, &d.m, h);
	draft_commit(&d, s);
	if (bare)
		s->to_link.ended_ms = now_ms;
	else if (!half_is_open(&s->to_link.half))
		stream_passed_on(s);
	return 0;
}

static int
put_answer(struct stream *s, const struct http_head *out, int flags)
{
	struct draft d = { .m = { .type = WS_ANSWER, .flags = flags },
	    .step = STEP_DATA };
	int r = draft_head(&d, s, out, http_link_answer_put,
	    s->to_link.half.credit);

	if (r == 0)
		draft_commit(&d, s);
	return r;
}

static int
v2_answer(struct stream *s, const struct http_head *out,
    const struct http_head *h)
{
	return put_answer(s, out, h->framing == HTTP_RAW ? WS_UPGRADE :
	    has_no_octets(h) ? WS_END : WS_HAS_BODY);
}

static int
v2_whole(struct stream *s, const struct http_head *out, struct view body)
{
	unsigned char space[WHOLE_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	struct ws_msg m = { .type = WS_ANSWER, .stream = s->number,
	    .flags = body.n > 0 ? WS_END | WS_HAS_BODY : WS_END, .body = body };

	http_link_answer_put(&o, out);
	must(o.len <= o.cap);
	m.head = http_out_view(&o);
	if ((long long)body.n > s->to_link.half.credit ||
	    msg_put(s->link, &m) == -1)
		return -503;
	must(ws_half_pass(&s->to_link.half, body.n, 1) == 0);
	return 0;
}

static int
v2_interim(struct stream *s, const struct http_head *out)
{
	return put_answer(s, out, WS_INTERIM);
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
	.whole = v2_whole, .interim = v2_interim, .serve = v2_serve,
	.news = turn_wait, .fail = stream_reset, .reset = v2_reset,
	.over = v2_over, .leave = v2_leave, .note = v2_note,
};

/* --- messages that came */

/* Whether flags that say that nothing follows the head now, or what follows it,
 * agree with that head. */
static int
flags_agree(const struct ws_msg *m, const struct http_head *h)
{
	int bare = h->framing != HTTP_LENGTH || h->length == 0;
	size_t n = m->body.n;

	if ((m->flags & (WS_UPGRADE | WS_INTERIM)) != 0)
		return (m->flags & (WS_END | WS_HAS_BODY)) == 0 && n == 0 &&
		    bare;
	if ((m->flags & WS_HAS_BODY) == 0)
		return (m->flags & WS_END) != 0 && n == 0 && bare;
	return (m->flags & WS_END) == 0 || h->framing != HTTP_LENGTH ||
	    h->length == (long long)n;
}

int
v2_head_ok(const struct ws_msg *m, const struct http_head *h)
{
	int is_request = m->type == WS_REQUEST;
	int switches = is_request ? h->upgrade : h->status == 101;
	int interim = !is_request && h->status < 200 && !switches;

	return switches == ((m->flags & WS_UPGRADE) != 0) &&
	    interim == ((m->flags & WS_INTERIM) != 0) &&
	    (switches || !h->upgrade) && flags_agree(m, h);
}

void
v2_take_octets(struct stream *s, const struct ws_msg *m)
{
	struct link *l = s->link;
	int r;

	if ((m->flags & WS_END) != 0)
		r = stream_take_last(s, m->body.p, m->body.n, NULL, 0);
	else
		r = stream_take(s, m->body.p, m->body.n);
	if (r < 0)
		link_fail(l, r, "a body past its credit or its end");
}

static void
take_body(struct stream *s, const struct ws_msg *m)
{
	if (s->from_link.half.state == WS_HALF_RESET)
		return;			/* late */
	if (!s->from_link.head_passed)
		link_fail(s->link, -1002, "a body before its head");
	else
		v2_take_octets(s, m);
}

static void
take_window(struct stream *s, const struct ws_msg *m)
{
	stream_forget(s);
	standing_reached(s->link);
	if (!half_is_open(&s->to_link.half))
		return;
	if (ws_half_grant(&s->to_link.half, m->window) < 0) {
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
take_trailers(struct stream *s, const struct ws_msg *m)
{
	struct http_field f[HTTP_FIELDS_MAX];
	size_t n, scanned = 0;
	int r;

	if (s->from_link.half.state == WS_HALF_RESET)
		return;			/* late */
	if (!half_is_open(&s->from_link.half) || !s->from_link.head_passed) {
		link_fail(s->link, -1002, "trailers after the end");
		return;
	}
	r = http_trailers_parse(f, &n, m->head.p, m->head.n, &scanned);
	if (r <= 0 || (size_t)r != m->head.n) {
		stream_break(s, 502, "the trailers are not valid HTTP");
		return;
	}
	stream_take_last(s, NULL, 0, f, http_trailers_filter(f, n));
}

static void
take_break(struct stream *s, const struct ws_msg *m)
{
	char why[256];
	int lost = half_is_open(&s->from_link.half);

	text_safe(why, sizeof(why), m->head);
	stream_drop_halves(s);
	s->reset_why = NULL;
	s->reset_status = m->status;
	if (lost)
		s->role->lost(s, m->status, why);
	stream_check(s);
}

static void
take_reset(struct stream *s, const struct ws_msg *m)
{
	struct link *l = s->link;

	if (!half_is_open(&s->from_link.half) || s->role->again == NULL ||
	    !s->role->again(s, m->flags))
		take_break(s, m);
	if ((m->flags & WS_REFUSED) != 0)
		l->refused_ms = now_ms;
}

/* A reset that meets ours, which waits for its turn, ends s at once: else the
 * peer would open another stream while s still counts here. */
static void
take_for_stream(struct stream *s, const struct ws_msg *m)
{
	if (m->type == WS_RESET)
		take_reset(s, m);
	else if (s->reset_why != NULL)
		return;			/* late */
	else if (m->type == WS_ANSWER)
		s->role->message(s, m);
	else if (m->type == WS_BODY)
		take_body(s, m);
	else if (m->type == WS_TRAILERS)
		take_trailers(s, m);
	else
		take_window(s, m);
}

static int
is_for_stream(const struct ws_msg *m)
{
	return m->type >= WS_ANSWER && m->type <= WS_RESET;
}

/* A message of a known type other than a request. */
static void
take_message(struct link *l, const struct ws_msg *m)
{
	struct stream *s;

	if (m->type == WS_LEAVE) {
		l->peer_left = 1;
		link_leave(l);
	} else if (m->type == WS_WINDOW && m->stream == 0) {
		l->window = min_time(m->window, WINDOW_MAX);
	} else if (m->type == WS_NOTE && l->ops->note != NULL) {
		l->ops->note(l, m->head);
	} else if (!is_for_stream(m)) {
		return;
	} else if (m->stream == 0 || m->stream > l->last_number) {
		link_fail(l, -1002, "a message for no stream");
	} else if ((s = number_find(l, m->stream)) != NULL) {
		take_for_stream(s, m);
	}
}

int
v2_take(struct link *l, int opcode, const unsigned char *p, size_t n,
    struct ws_msg *m)
{
	int r = opcode == WS_BINARY ? ws_msg_read(m, p, n) : -1003;

	if (r < 0) {
		link_fail(l, r, "malformed message");
		return 0;
	}
	if (m->type != WS_BODY)
		gather_write();
	if (m->type == WS_REQUEST)
		return 1;
	take_message(l, m);
	return 0;
}
