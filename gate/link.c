#include <sys/socket.h>
#include <sys/types.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/loop.h"
#include "gate/tunnel.h"
#include "gate/link.h"

#define LINK_READ (64 << 10)		/* read from one link in a turn, at least */
#define LINK_PING_MS 10000		/* nothing sent for so long: ping */
#define LINK_ALONE_MS 20000		/* nothing received for so long: gone */
#define LINK_ALONE_V1_MS 45000
#define LINK_CONTROLS_MAX 500		/* control or empty frames in a second */
#define V1_KEPT (16u << 10)		/* of a message that is too large */

struct list all_links;
struct link *later_links, *dead_links;

void
link_later(struct link *l)
{
	conn_touch(l->c);
	if (l->later || l->freed)
		return;
	l->later = 1;
	l->later_next = later_links;
	later_links = l;
}

size_t
link_unwritten(const struct link *l)
{
	return l->tx.len;
}

int
link_writable(const struct link *l)
{
	return !l->close_out && !l->freed;
}

unsigned char *
link_begin(struct link *l, size_t n)
{
	unsigned char *p;

	if (!link_writable(l) || l->tx_left > 0)
		return NULL;
	p = buf_space(&l->tx, WS_FRAME_HEAD_MAX + n, LINK_TX_MAX);
	return p == NULL ? NULL : p + ws_frame_head_size(1024, l->masks);
}

void
link_commit(struct link *l, int opcode, int fin, size_t n)
{
	unsigned char *p = l->tx.p + l->tx.off + l->tx.len;
	size_t guess = ws_frame_head_size(1024, l->masks);
	size_t head = ws_frame_head_size(n, l->masks);
	unsigned char mask[4];

	if (head != guess)
		memmove(p + head, p + guess, n);
	if (l->masks) {
		random_bytes(mask, sizeof(mask));
		ws_mask(p + head, n, mask, 0);
	}
	ws_frame_put(p, opcode, fin, n, l->masks ? mask : NULL);
	l->tx.len += head + n;
	link_later(l);
}

int
link_control(struct link *l, int opcode, const void *p, size_t n)
{
	unsigned char *to;

	if (link_unwritten(l) > LINK_HEAD_ROOM + WS_V2_TEXT_MAX)
		return 0;
	to = link_begin(l, n);
	if (to == NULL)
		return 0;
	if (n > 0)
		memcpy(to, p, n);
	link_commit(l, opcode, 1, n);
	return 1;
}

static void
link_free_later(struct link *l)
{
	if (l->freed)
		return;
	l->freed = 1;
	l->dead_next = dead_links;
	dead_links = l;
}

static void
link_gone(struct link *l, int code, const char *why)
{
	if (l->is_gone)
		return;
	l->is_gone = 1;
	l->leaving = 1;
	l->ops->gone(l, code, why);
}

void
link_lost(struct link *l, const char *why)
{
	link_gone(l, l->close_code != 0 ? l->close_code : 1006, why);
	conn_kill(l->c);
	link_free_later(l);
}

void
link_closed(struct link *l)
{
	if (l->masks)
		return;
	conn_linger(l->c);
	link_free_later(l);
}

void
link_close(struct link *l, int code, const char *reason)
{
	unsigned char body[WS_CONTROL_MAX];

	if (l->close_out || l->freed)
		return;
	link_gone(l, code, reason);
	if (!link_control(l, WS_CLOSE, body, ws_close_put(body, code, reason))) {
		link_lost(l, reason);
		return;
	}
	l->close_out = 1;
	conn_state(l->c, CONN_CLOSING);
}

void
link_fail(struct link *l, int minus_code, const char *reason)
{
	if (l->close_out || l->freed)
		return;
	log_event(LEVEL_INFO, "event=link-fault code=%d reason=\"%s\"",
	    -minus_code, reason);
	link_close(l, -minus_code, reason);
}

static void
link_ping(struct link *l)
{
	long long us = clock_us();

	link_control(l, WS_PING, &us, sizeof(us));
}

void
link_measure(struct link *l)
{
	if (l->v2)
		link_ping(l);
}

static void
link_pong(struct link *l, const unsigned char *p, size_t n)
{
	long long us, rtt;

	if (n != sizeof(us))
		return;
	memcpy(&us, p, n);
	rtt = clock_us() - us;
	if (rtt >= 0 && rtt < 60000000 && (l->rtt_us == 0 || rtt < l->rtt_us))
		l->rtt_us = rtt > 0 ? rtt : 1;
}

/* Counts frames that carry nothing.  Returns 0, or -1 where there are too
 * many in a second. */
static int
link_count_control(struct link *l)
{
	if (now_ms - l->control_ms >= 1000) {
		l->control_ms = now_ms;
		l->controls = 0;
	}
	if (++l->controls <= LINK_CONTROLS_MAX)
		return 0;
	link_fail(l, -1008, "too many control frames");
	return -1;
}

static void
link_peer_close(struct link *l, const unsigned char *p, size_t n)
{
	struct view reason;
	char why[WS_CONTROL_MAX * 4];
	int code, r = ws_close_parse(&code, &reason, p, n);

	if (l->close_in)
		return;
	l->close_in = 1;
	if (r < 0) {
		link_fail(l, r, "malformed close frame");
		return;
	}
	l->close_code = code;
	link_gone(l, code, text_safe(why, sizeof(why), reason));
	link_close(l, code, "");
	link_later(l);
}

static void
link_take_control(struct link *l, unsigned char *p, size_t n)
{
	if (link_count_control(l) == -1)
		return;
	switch (l->frame.opcode) {
	case WS_PING:
		/* Without room the newest waits (RFC 6455 5.5.3). */
		l->pong_due = !link_control(l, WS_PONG, p, n);
		memcpy(l->pong, p, n);
		l->npong = n;
		break;
	case WS_PONG:
		link_pong(l, p, n);
		break;
	case WS_CLOSE:
		link_peer_close(l, p, n);
		break;
	}
}

/* Hands a whole message up, unless the link is ending. */
static void
link_deliver(struct link *l, int opcode, unsigned char *p, size_t n)
{
	if (!l->is_gone)
		l->ops->message(l, opcode, p, n);
}

/* A v2 message is one frame, and takes effect only when whole. */
static void
link_take_v2(struct link *l, unsigned char *p, size_t n)
{
	if (l->frame.opcode == WS_TEXT && ws_utf8(0, p, n) != 0) {
		link_fail(l, -1007, "text is not UTF-8");
		return;
	}
	link_deliver(l, l->frame.opcode, p, n);
}

/* Keeps n more octets of a v1 message, or only its beginning. */
static void
link_keep_v1(struct link *l, const unsigned char *p, size_t n)
{
	unsigned char *to = NULL;

	if (!l->skipping && l->msg.len + n <= V1_MESSAGE_MAX &&
	    n <= budget_whole_room())
		to = buf_space(&l->msg, n, V1_MESSAGE_MAX + V1_KEPT);
	if (to == NULL) {
		l->skipping = 1;
		if (l->msg.len >= V1_KEPT)
			return;
		n = min_size(n, V1_KEPT - l->msg.len);
		to = buf_space(&l->msg, n, V1_MESSAGE_MAX + V1_KEPT);
		if (to == NULL)
			return;
	}
	memcpy(to, p, n);
	l->msg.len += n;
}

static void
link_end_v1(struct link *l, int opcode)
{
	static unsigned char nothing[1];
	struct buf msg = l->msg;
	int skipped = l->skipping;

	memset(&l->msg, 0, sizeof(l->msg));
	l->skipping = 0;
	if (!skipped)
		link_deliver(l, opcode, msg.len > 0 ? msg.p + msg.off : nothing,
		    msg.len);
	else if (!l->is_gone)
		l->ops->oversize(l, buf_view(&msg).p, msg.len);
	buf_free(&msg);
}

/* n octets of a v1 data frame have come.  A message that came whole in one
 * read is handed up where it lies. */
static void
link_take_v1(struct link *l, unsigned char *p, size_t n)
{
	int opcode = l->order.opcode, last, whole;

	if (l->frame.masked)
		ws_mask(p, n, l->frame.mask, l->frame_at);
	l->frame_at += n;
	l->in_frame = l->frame_at < l->frame.size;
	last = !l->in_frame && l->frame.fin;
	if (ws_order_data(&l->order, p, n, last) < 0) {
		link_fail(l, -1007, "text is not UTF-8");
		return;
	}
	if (!link_writable(l))
		return;		/* after our close nothing more is kept */
	whole = last && n == l->frame.size && l->msg.len == 0 && !l->skipping;
	if (whole) {
		link_deliver(l, opcode, p, n);
		return;
	}
	link_keep_v1(l, p, n);
	if (last)
		link_end_v1(l, opcode);
}

/* Whether this data frame can be a v2 message.  0 or minus a close code. */
static int
link_check_v2(const struct link *l)
{
	size_t max = l->frame.opcode == WS_TEXT ? WS_V2_TEXT_MAX :
	    WS_V2_BODY_MAX + WS_V2_BODY_HEAD;

	if (!l->frame.fin || l->frame.opcode == WS_CONTINUATION)
		return -1002;
	return l->frame.size > max ? -1009 : 0;
}

/* Reads the head of the next frame.  Returns the octets used, 0 to wait, or
 * minus a close code. */
static int
link_next_frame(struct link *l, struct view in)
{
	int r, bad;

	r = ws_frame_parse(&l->frame, in.p, in.n, !l->masks);
	if (r <= 0)
		return r;
	if (l->v2 && l->frame.opcode < WS_CLOSE)
		bad = link_check_v2(l);
	else
		bad = ws_order_frame(&l->order, &l->frame);
	if (bad != 0)
		return bad;
	l->frame_at = 0;
	return r;
}

/* Takes one step over what has come.  Returns the octets used, 0 to wait. */
static size_t
link_step(struct link *l, struct view in)
{
	unsigned char *p = l->c->rx.p + l->c->rx.off;
	size_t n;
	int head = 0;

	if (!l->in_frame) {
		head = link_next_frame(l, in);
		if (head < 0)
			link_fail(l, head, head == -1009 ?
			    "message too big" : "bad frame");
		if (head <= 0)
			return 0;
	}
	if (l->v2 || l->frame.opcode >= WS_CLOSE) {
		if (in.n - (size_t)head < l->frame.size)
			return 0;
		n = (size_t)l->frame.size;
		if (l->frame.masked)
			ws_mask(p + head, n, l->frame.mask, 0);
		if (l->frame.opcode >= WS_CLOSE)
			link_take_control(l, p + head, n);
		else
			link_take_v2(l, p + head, n);
		return (size_t)head + n;
	}
	l->in_frame = 1;
	n = (size_t)head;
	if (l->frame.size > 0 && in.n == n)
		return n;
	n = l->frame.size - l->frame_at < in.n - n ?
	    (size_t)(l->frame.size - l->frame_at) : in.n - n;
	if (l->frame.size == 0 && !l->frame.fin && link_count_control(l) == -1)
		return 0;
	link_take_v1(l, p + head, n);
	return (size_t)head + n;
}

void
link_input(struct link *l)
{
	struct conn *c = l->c;
	size_t used = 1;

	while (used > 0 && c->rx.len > 0 && !c->dead && !l->freed &&
	    !l->close_in) {
		used = link_step(l, buf_view(&c->rx));
		if (l->close_out && used == 0) {
			buf_consume(&c->rx, c->rx.len);
			break;
		}
		buf_consume(&c->rx, used);
	}
	if (l->ops->handled != NULL)
		l->ops->handled();
}

static void
link_ready(struct conn *c, short revents)
{
	struct link *l = c->link;
	enum io io;

	if (revents & POLLOUT)
		link_later(l);
	if (!(revents & ~POLLOUT))
		return;
	if (buf_space(&c->rx, LINK_READ, LINK_RX_MAX) == NULL) {
		link_lost(l, "out of memory");
		return;
	}
	io = conn_fill(c, LINK_RX_MAX);
	link_input(l);
	if (io == IO_EOF)
		link_lost(l, "the other side closed the connection");
	else if (io == IO_ERROR)
		link_lost(l, strerror(errno));
}

static short
link_events(const struct conn *c)
{
	return (short)(POLLIN | (c->link->tx.len > 0 ? POLLOUT : 0));
}

static long long
link_alone_at(const struct link *l)
{
	return l->c->rx_ms + (l->v2 ? LINK_ALONE_MS : LINK_ALONE_V1_MS);
}

static long long
link_deadline(const struct conn *c)
{
	const struct link *l = c->link;

	if (c->state == CONN_CLOSING)
		return c->since_ms + LINK_CLOSE_MS;
	return min_time(link_alone_at(l), l->tx_ms + LINK_PING_MS);
}

static void
link_expire(struct conn *c)
{
	struct link *l = c->link;

	if (c->state == CONN_CLOSING) {
		link_lost(l, "no answer to the close");
	} else if (now_ms >= link_alone_at(l)) {
		link_lost(l, "nothing heard from the other side");
	} else {
		l->tx_ms = now_ms;
		link_ping(l);
	}
}

static void
link_broken(struct conn *c)
{
	link_lost(c->link, "the connection broke");
}

static const struct kind link_kind = {
	.name = "link", .ready = link_ready, .broken = link_broken,
	.events = link_events, .deadline = link_deadline,
	.expire = link_expire,
};

int
link_flush(struct link *l)
{
	ssize_t n;

	if (l->tx.len == 0)
		return 1;
	n = write(l->c->fd, l->tx.p + l->tx.off, l->tx.len);
	if (n <= 0) {
		if (io_result(n) == IO_ERROR)
			link_lost(l, strerror(errno));
		return 0;
	}
	l->tx_ms = now_ms;
	buf_consume(&l->tx, (size_t)n);
	return l->tx.len == 0;
}

struct link *
link_new(struct conn *c, const struct link_ops *ops, int masks)
{
	struct link *l = calloc(1, sizeof(*l));
#ifdef TCP_NOTSENT_LOWAT
	int low = 128 << 10;
#endif

	if (l == NULL)
		return NULL;
	l->c = c;
	l->ops = ops;
	l->masks = masks != 0;
	l->tx_ms = now_ms;
	c->rx_ms = now_ms;
	l->max_streams = 1;
	list_add(&all_links, &l->place, l);
	c->link = l;
	c->kind = &link_kind;
	c->stream = NULL;
#ifdef TCP_NOTSENT_LOWAT
	setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof(low));
#endif
#ifdef TCP_USER_TIMEOUT
	{
		unsigned int ms = LINK_ALONE_V1_MS;

		setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms,
		    sizeof(ms));
	}
#endif
	return l;
}

static void
link_free(struct link *l)
{
	list_leave(&l->place);
	buf_free(&l->tx);
	buf_free(&l->msg);
	free(l);
}

void
links_sweep(void)
{
	struct link *l, **at;

	for (at = &later_links; (l = *at) != NULL; ) {
		if (l->freed)
			*at = l->later_next;
		else
			at = &l->later_next;
	}
	while ((l = dead_links) != NULL) {
		dead_links = l->dead_next;
		link_free(l);
	}
}

void
links_trim(void)
{
	struct link *l;

	for (l = list_first(&all_links); l != NULL; l = list_after(&l->place)) {
		if (l->freed)
			continue;
		if (l->tx.len == 0 && now_ms - l->tx_ms >= 1000)
			buf_free(&l->tx);
		if (l->c->rx.len == 0 && now_ms - l->c->rx_ms >= 1000)
			buf_free(&l->c->rx);
	}
}
