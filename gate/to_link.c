#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/conn.h"
#include "gate/net.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"

/* Copies body octets from rx to out[*n..cap), as far as they are there. */
static enum step
source_copy(struct stream *s, unsigned char *out, size_t *n, size_t cap)
{
	struct http_body *body = &s->to_link.body;
	struct buf *rx = &s->http->rx;

	for (;;) {
		struct view in = buf_view(rx), data;
		enum http_body_event ev;
		size_t used;

		if (*n == cap && body->framing == HTTP_CHUNKED)
			return STEP_DATA;
		in.n = min_size(in.n, cap - *n);
		ev = http_body_next(body, in.p, in.n, &used, &data);
		if (ev == HTTP_BODY_DATA) {
			memcpy(out + *n, data.p, data.n);
			*n += data.n;
		}
		buf_consume(rx, used);
		if (ev == HTTP_BODY_END)
			return STEP_END;
		if (ev == HTTP_BODY_TRAILERS)
			return STEP_TRAILERS;
		if (ev == HTTP_BODY_BAD)
			return STEP_FAULT;
		if (ev == HTTP_BODY_MORE && (rx->len == 0 || used == 0))
			return *n > 0 ? STEP_DATA : STEP_WAIT;
	}
}

/* Reads straight from the socket to out, where what is read is all body. */
static enum io
source_read(struct stream *s, unsigned char *out, size_t *n, size_t cap)
{
	struct http_body *body = &s->to_link.body;
	struct view data;
	size_t want = cap - *n, got, used;
	enum io io;

	if (body->framing == HTTP_LENGTH && body->left < (long long)want)
		want = (size_t)body->left;
	io = conn_read(s->http, out + *n, want, &got);
	if (io == IO_DATA) {
		http_body_next(body, out + *n, got, &used, &data);
		*n += got;
	}
	return io;
}

int
source_is_raw(const struct stream *s)
{
	return s->to_link.body.framing != HTTP_CHUNKED &&
	    s->to_link.body.framing != HTTP_NO_BODY;
}

int
source_done(const struct stream *s)
{
	const struct http_body *body = &s->to_link.body;

	return body->framing == HTTP_NO_BODY ||
	    (body->framing == HTTP_LENGTH && body->left == 0);
}

/* Whether EOF is how this body ends. */
static int
source_ends_by_eof(const struct stream *s)
{
	return s->to_link.body.framing == HTTP_UNTIL_CLOSE ||
	    s->to_link.body.framing == HTTP_RAW;
}

static int
step_is_final(enum step step)
{
	return step == STEP_END || step == STEP_FAULT || step == STEP_TRAILERS;
}

/* Gathers the next octets of the body: from rx, then from the socket.  *io is
 * what came of reading that, IO_DATA where it was not read. */
static enum step
source_gather(struct stream *s, unsigned char *out, size_t *n, size_t cap,
    enum io *io)
{
	enum step step;

	*n = 0;
	*io = IO_DATA;
	if (source_done(s))
		return STEP_END;
	step = source_copy(s, out, n, cap);
	if (step_is_final(step) || *n == cap)
		return step;
	if (s->http->rd_eof) {
		*io = IO_EOF;
	} else if (source_is_raw(s)) {
		*io = source_read(s, out, n, cap);
	} else {
		*io = conn_fill(s->http, MEM_LARGE);
		if (*io == IO_DATA)
			step = source_copy(s, out, n, cap);
	}
	if (step_is_final(step))
		return step;
	if (source_done(s) || (*io == IO_EOF && source_ends_by_eof(s)))
		return STEP_END;
	return *n > 0 ? STEP_DATA : STEP_WAIT;
}

static enum step
source_fault(struct stream *s, enum source_fault fault)
{
	s->role->fault(s, fault);
	return STEP_FAULT;
}

enum step
source_step(struct stream *s, unsigned char *out, size_t *n, size_t cap)
{
	enum io io;
	enum step step = source_gather(s, out, n, cap, &io);

	s->to_link.octets += (long long)*n;
	if (s->to_link.octets > s->to_link.limit)
		return source_fault(s, SOURCE_TOO_BIG);
	if (step == STEP_FAULT)
		return source_fault(s, SOURCE_BAD);
	if (step == STEP_WAIT && io == IO_EOF)
		return source_fault(s, SOURCE_EOF);
	if (step == STEP_WAIT && io == IO_ERROR)
		return source_fault(s, SOURCE_BROKEN);
	if (step == STEP_WAIT && io == IO_NO_ROOM)
		return source_fault(s, SOURCE_NO_ROOM);
	return step;
}

enum step
source_trailers(struct stream *s, struct http_field f[HTTP_FIELDS_MAX],
    size_t *nf, size_t *size)
{
	struct conn *c = s->http;
	struct view in = buf_view(&c->rx);
	enum io io;
	int r = http_trailers_parse(f, nf, in.p, in.n, &c->scanned);

	if (r > 0) {
		c->scanned = 0;
		*size = (size_t)r;
		return STEP_END;
	}
	if (r < 0)
		return source_fault(s, SOURCE_BAD);
	io = conn_fill(c, MEM_LARGE);
	if (io == IO_DATA || io == IO_WAIT)
		return io == IO_DATA ? STEP_DATA : STEP_WAIT;
	return source_fault(s, io == IO_NO_ROOM ? SOURCE_NO_ROOM : SOURCE_EOF);
}

int
stream_reads(const struct stream *s)
{
	return s->life == STREAM_JOINED && half_is_open(&s->to_link.half) &&
	    s->turn.in == NULL &&
	    (!s->to_link.head_passed || s->to_link.half.credit > 0);
}

void
stream_news(struct stream *s)
{
	if (s->life == STREAM_JOINED && half_is_open(&s->to_link.half))
		s->wire->news(s);
}

/* Whether a part has come now, and the rest not with it. */
static int
source_is_cut_short(const struct stream *s)
{
	const struct to_link *t = &s->to_link;

	return s->http->rx_ms == now_ms && half_is_open(&t->half) &&
	    (!t->head_passed ||
	    (t->half.credit > 0 && t->body.framing != HTTP_RAW));
}

/* What was read for s and cannot go on yet stays, unless it is much and its account
 * may not grow: then s fails, and may be over. */
static void
source_bound(struct stream *s)
{
	struct conn *c = s->http;

	if (c->rx.cap <= MEM_SMALL ||
	    account_may_grow(s->link->account, SHARE_OCTETS))
		return;
	buf_fit(&c->rx);
	if (c->rx.cap > MEM_SMALL && half_is_open(&s->to_link.half))
		s->role->fault(s, SOURCE_NO_ROOM);
}

/* Who writes a head and its body apart may have to wait with the second until the
 * first is acknowledged (Nagle's algorithm), which takes 40 ms by default. */
void
stream_rests(struct stream *s)
{
	struct conn *c = s->http;

	if (c == NULL)
		return;
	conn_touch(c);
	conn_fit(c);
	if (source_is_cut_short(s))
		socket_acknowledge(c->watch.fd);
	source_bound(s);
}

/* Puts s, whose turn it was, where it waits for another. */
static void
turn_over(struct stream *s, enum turn next)
{
	if (next == TURN_FIRST) {
		turn_wait_first(s);
	} else if (next == TURN_AGAIN) {
		turn_wait(s);
		if (s->http != NULL)
			source_bound(s);
	} else {
		stream_rests(s);
	}
}

int
link_serve(struct link *l)
{
	struct stream *s;

	link_pong_due(l);
	while (link_is_live(l) && link_unwritten(l) < link_body_room(l) &&
	    (s = turn_take(l)) != NULL) {
		size_t before = link_unwritten(l);
		enum turn next = s->wire->serve(s);

		if (s->life == STREAM_FREED)
			continue;
		turn_over(s, next);
		if (next == TURN_FIRST && link_unwritten(l) == before)
			return 0;
	}
	if (l->leave == LEAVE_DUE && l->wire->leave != NULL &&
	    link_is_live(l))
		l->wire->leave(l);
	return 1;
}
