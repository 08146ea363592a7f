#include <sys/uio.h>
#include <string.h>
#include <stddef.h>

#include "gate/say.h"
#include "gate/mem.h"
#include "gate/loop.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/v2.h"
#include "gate/held.h"
#include "gate/to_link.h"

/* Copies body octets from rx to out[*n..cap), as far as they are there. */
static enum step
source_copy(struct stream *s, unsigned char *out, size_t *n, size_t cap)
{
	struct buf *rx = &s->http->rx;

	for (;;) {
		struct view in = buf_view(rx), data;
		enum http_body_event ev;
		size_t used;

		if (*n == cap && s->source.framing == HTTP_CHUNKED)
			return STEP_DATA;
		in.n = min_size(in.n, cap - *n);
		ev = http_body_next(&s->source, in.p, in.n, &used, &data);
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
	struct view data;
	size_t want = cap - *n, got, used;
	enum io io;

	if (s->source.framing == HTTP_LENGTH &&
	    s->source.left < (long long)want)
		want = (size_t)s->source.left;
	io = conn_read(s->http, out + *n, want, &got);
	if (io == IO_DATA) {
		http_body_next(&s->source, out + *n, got, &used, &data);
		*n += got;
	}
	return io;
}

static int
source_is_raw(const struct stream *s)
{
	return s->source.framing != HTTP_CHUNKED &&
	    s->source.framing != HTTP_NO_BODY;
}

static int
source_done(const struct stream *s)
{
	return s->source.framing == HTTP_NO_BODY ||
	    (s->source.framing == HTTP_LENGTH && s->source.left == 0);
}

/* Whether EOF is how this body ends. */
static int
source_ends_by_eof(const struct stream *s)
{
	return s->source.framing == HTTP_UNTIL_CLOSE ||
	    s->source.framing == HTTP_RAW;
}

/* Gathers the next octets of the body: from rx, then from the socket.  *io
 * tells what the socket said. */
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
	if (step == STEP_END || step == STEP_FAULT || step == STEP_TRAILERS ||
	    *n == cap)
		return step;
	if (s->http->rd_eof) {
		*io = IO_EOF;
	} else if (source_is_raw(s)) {
		*io = source_read(s, out, n, cap);
	} else {
		*io = conn_fill(s->http, pool_size[POOL_LARGE]);
		if (*io == IO_DATA)
			step = source_copy(s, out, n, cap);
	}
	if (step == STEP_END || step == STEP_FAULT || step == STEP_TRAILERS)
		return step;
	if (source_done(s) || (*io == IO_EOF && source_ends_by_eof(s)))
		return STEP_END;
	return *n > 0 ? STEP_DATA : STEP_WAIT;
}

enum step
source_step(struct stream *s, unsigned char *out, size_t *n, size_t cap)
{
	enum io io;
	enum step step = source_gather(s, out, n, cap, &io);

	s->up_bytes += (long long)*n;
	if (s->up_bytes > s->up_limit) {
		s->role->fault(s, SOURCE_TOO_BIG);
		return STEP_FAULT;
	}
	if (step == STEP_FAULT) {
		s->role->fault(s, SOURCE_BAD);
	} else if (step == STEP_WAIT && (io == IO_EOF || io == IO_ERROR)) {
		s->role->fault(s, io == IO_EOF ? SOURCE_EOF : SOURCE_BROKEN);
		return STEP_FAULT;
	}
	return step;
}

enum step
source_trailers(struct stream *s, size_t *size)
{
	struct conn *c = s->http;
	struct view in = buf_view(&c->rx);
	enum io io;
	int r;

	msg_start(s, WS_MSG_TRAILERS);
	r = http_trailers_parse(msg_out.field, &msg_out.nfields, in.p, in.n,
	    &c->scanned);
	if (r > 0) {
		c->scanned = 0;
		*size = (size_t)r;
		return STEP_END;
	}
	if (r < 0) {
		s->role->fault(s, SOURCE_BAD);
		return STEP_FAULT;
	}
	io = conn_fill(c, pool_size[POOL_LARGE]);
	if (io == IO_DATA || io == IO_WAIT)
		return io == IO_DATA ? STEP_DATA : STEP_WAIT;
	s->role->fault(s, SOURCE_EOF);
	return STEP_FAULT;
}

/* Passes the trailers on, if any, and ends the half.  Returns 1 if there may
 * be more at once. */
static int
up_trailers(struct stream *s)
{
	unsigned char *p;
	size_t size;
	enum step step = source_trailers(s, &size);

	if (step != STEP_END)
		return step == STEP_DATA;
	msg_out.nfields = http_trailers_filter(msg_out.field, msg_out.nfields);
	ws_half_pass(&s->up, 0, 1);
	if (msg_out.nfields == 0 || link_put_msg(s->link) == -1) {
		p = link_begin(s->link, WS_V2_BODY_HEAD);
		if (p != NULL)
			put_body(s, p, 0, 1);
	}
	buf_consume(&s->http->rx, size);
	stream_up_ended(s);
	return 0;
}

/* How many full messages may be read in one call: where all that comes is
 * body, no light stream waits for the link, and the credit is there. */
static int
up_run_length(const struct stream *s)
{
	long long n = min_time(s->up.credit, s->up_limit - s->up_bytes);

	if (s->link->light.n > 0 || !source_is_raw(s) ||
	    s->http->rx.len > 0)
		return 0;
	if (s->source.framing == HTTP_LENGTH)
		n = min_time(n, s->source.left);
	return (int)min_time(n / WS_V2_BODY_MAX, RUN_MAX);
}

/* Makes messages of the got octets that were read to where frames at p would
 * have their bodies. */
static void
up_run_put(struct stream *s, unsigned char *p, size_t got, size_t stride)
{
	struct view data;
	size_t n, used;
	int end;

	for (; got > 0; got -= n, p += stride) {
		n = min_size(got, WS_V2_BODY_MAX);
		http_body_next(&s->source, p + WS_V2_BODY_HEAD, n, &used, &data);
		end = n == got && source_done(s);
		ws_half_pass(&s->up, n, end);
		put_body(s, p, n, end);
		s->up_bytes += (long long)n;
	}
	if (s->up.state != WS_HALF_OPEN)
		stream_up_ended(s);
}

/* Reads run messages' worth of body straight into the link.  Returns 1 if
 * there may be more at once. */
static int
up_run(struct stream *s, int run)
{
	struct iovec iov[RUN_MAX];
	size_t got, stride = WS_V2_BODY_HEAD + WS_V2_BODY_MAX +
	    ws_frame_head_size(WS_V2_BODY_MAX, s->link->masks);
	unsigned char *p = link_begin(s->link, stride * RUN_MAX);
	int i;

	if (p == NULL)
		return 0;
	for (i = 0; i < run; i++) {
		iov[i].iov_base = p + (size_t)i * stride + WS_V2_BODY_HEAD;
		iov[i].iov_len = WS_V2_BODY_MAX;
	}
	if (conn_readv(s->http, iov, run, &got) != IO_DATA)
		return s->http->rd_eof || s->http->rd_failed;
	up_run_put(s, p, got, stride);
	return s->up.state == WS_HALF_OPEN &&
	    (got == (size_t)run * WS_V2_BODY_MAX || s->http->slot == NO_SLOT);
}

/* One message of body, v2, or a run of them.  Returns 1 if there may be more
 * at once. */
static int
up_piece(struct stream *s)
{
	size_t n, cap = WS_V2_BODY_MAX;
	unsigned char *p;
	enum step step;
	int run = up_run_length(s);

	if (s->up.credit <= 0)
		return 0;
	if (run > 1 && !s->http->rd_eof && !s->http->rd_failed)
		return up_run(s, run);
	if (s->up.credit < (long long)cap)
		cap = (size_t)s->up.credit;
	p = link_begin(s->link, WS_V2_BODY_HEAD + cap);
	if (p == NULL)
		return 0;
	step = source_step(s, p + WS_V2_BODY_HEAD, &n, cap);
	if (step == STEP_WAIT || step == STEP_FAULT)
		return 0;
	if (n > 0 || step == STEP_END) {
		ws_half_pass(&s->up, n, step == STEP_END);
		put_body(s, p, n, step == STEP_END);
	}
	if (step == STEP_END) {
		stream_up_ended(s);
		return 0;
	}
	if (step == STEP_TRAILERS)
		return up_trailers(s);
	/* An end that is known already makes no further event. */
	return n == cap || s->http->rx.len > 0 || s->http->rd_eof ||
	    s->http->rd_failed || s->http->slot == NO_SLOT;
}

/* One turn at the link.  Returns 1 if s wants another one. */
static int
stream_turn(struct stream *s)
{
	struct link *l = s->link;

	if (s->reset_due) {
		put_reset(s);
		stream_check(s);
		return 0;
	}
	if (s->grant_due)
		put_grant(s);
	if (s->send_due) {
		hold_send(s);
		return s->send_due;
	}
	if (s->up.state != WS_HALF_OPEN || s->http == NULL)
		return 0;
	if (!s->head_up && !s->role->head(s))
		return 0;
	if (s->up.state != WS_HALF_OPEN || s->freed_flag)
		return 0;
	return l->v2 ? up_piece(s) : 0;
}

void
link_serve(struct link *l)
{
	struct stream *s;

	if (l->pong_due && link_control(l, WS_PONG, l->pong, l->npong))
		l->pong_due = 0;
	while (link_writable(l) && link_unwritten(l) < LINK_BODY_ROOM &&
	    (s = turn_take(l)) != NULL) {
		int more = stream_turn(s);

		if (s->freed_flag)
			continue;
		if (more && s->hold_begun)
			turn_put_back(l, s);
		else if (more)
			turn_wait(s);
		else if (s->http != NULL)
			conn_touch(s->http);
	}
	if (l->leave_due && !l->left && link_writable(l)) {
		memset(&msg_out, 0, offsetof(struct ws_msg, field));
		msg_out.type = WS_MSG_LEAVE;
		l->left = link_put_msg(l) == 0;
	}
}

void
stream_news(struct stream *s)
{
	if (s->up.state != WS_HALF_OPEN || s->link == NULL)
		return;
	if (s->link->v2)
		turn_wait(s);
	else if (!s->send_due)
		stream_collect(s);
}

int
stream_reads(const struct stream *s)
{
	return s->link != NULL && s->up.state == WS_HALF_OPEN && s->turn.in == NULL &&
	    !s->send_due && (!s->link->v2 || !s->head_up || s->up.credit > 0);
}
