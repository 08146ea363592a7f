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
#include "gate/conn.h"
#include "gate/link.h"

#define LINK_MESSAGES 128	/* about so many of the last ones' size are read in a turn */
#define LINK_REST_MS 10
#define LINK_PING_MS 10000		/* nothing sent for so long: ping */
#define LINK_CONTROLS_MAX 500		/* control or empty frames in a second */
#define LINK_MEASURE_MS 10		/* between pings that measure: far fewer than that */

#define TO(s) (1u << (s))

static const unsigned int link_may_follow[] = {
	[LINK_OPEN] = TO(LINK_LEAVING) | TO(LINK_CLOSING) | TO(LINK_DEAD),
	[LINK_LEAVING] = TO(LINK_CLOSING) | TO(LINK_DEAD),
	[LINK_CLOSING] = TO(LINK_DEAD),
	[LINK_DEAD] = 0,
};

static struct list all_links, later_links, passed_links;

static void
link_move(struct link *l, enum link_life life)
{
	must(link_may_follow[l->life] & TO(life));
	l->life = life;
}

struct link *
link_first(void)
{
	return list_first(&all_links);
}

struct link *
link_next(const struct link *l)
{
	return list_after(&l->place);
}

struct link *
link_take_later(void)
{
	struct link *l = list_first(&later_links);

	if (l != NULL)
		list_leave(&l->later);
	return l;
}

void
link_passed_over(struct link *l)
{
	list_add(&passed_links, &l->later, l);
}

void
links_put_back(void)
{
	struct item *first = later_links.head;
	struct link *l;

	while ((l = list_first(&passed_links)) != NULL) {
		list_leave(&l->later);
		list_insert(&later_links, &l->later, l, first);
	}
}

int
links_wait(void)
{
	return (int)later_links.n;
}

void
link_later(struct link *l)
{
	conn_touch(l->c);
	if (l->later.in == NULL && !link_is_dead(l))
		list_add(&later_links, &l->later, l);
}

void
link_leave(struct link *l)
{
	if (l->life != LINK_OPEN)
		return;
	link_move(l, LINK_LEAVING);
	l->leave = LEAVE_DUE;
	link_later(l);
	l->ops->left(l);
}

/* --- frames that go out */

static unsigned char *
link_tx_end(const struct link *l)
{
	return l->tx.p + l->tx.off + l->tx.len;
}

/* Most payloads have from 126 to 65,535 octets.  link_begin() leaves room for a
 * head as theirs has; where it turns out otherwise, link_commit() moves the
 * payload. */
static size_t
link_usual_head(const struct link *l)
{
	return ws_frame_head_size(1024, l->masks);
}

unsigned char *
link_begin(struct link *l, size_t n)
{
	unsigned char *p;

	if (!link_is_live(l) || l->part_left > 0)
		return NULL;
	p = buf_space(&l->tx, WS_FRAME_HEAD_MAX + n, LINK_TX_MAX);
	return p == NULL ? NULL : p + link_usual_head(l);
}

void
link_commit(struct link *l, int opcode, int fin, size_t n)
{
	unsigned char *p = link_tx_end(l);
	size_t usual = link_usual_head(l);
	size_t head = ws_frame_head_size(n, l->masks);
	unsigned char mask[4];

	if (head != usual)
		memmove(p + head, p + usual, n);
	if (l->masks) {
		random_bytes(mask, sizeof(mask));
		ws_mask(p + head, n, mask, 0);
	}
	ws_frame_put(p, opcode, fin, n, l->masks ? mask : NULL);
	l->tx.len += head + n;
	link_later(l);
}

int
link_part_open(struct link *l, int opcode, int fin, size_t n)
{
	if (link_begin(l, 0) == NULL)
		return -1;
	if (l->masks)
		random_bytes(l->part_mask, sizeof(l->part_mask));
	l->tx.len += ws_frame_put(link_tx_end(l), opcode, fin, n,
	    l->masks ? l->part_mask : NULL);
	l->part_left = n;
	l->part_at = 0;
	return 0;
}

unsigned char *
link_part_begin(struct link *l, size_t n)
{
	must(n <= l->part_left);
	return buf_space(&l->tx, n, LINK_TX_MAX);
}

void
link_part_commit(struct link *l, size_t n)
{
	if (l->masks)
		ws_mask(link_tx_end(l), n, l->part_mask, l->part_at);
	l->part_at += n;
	l->part_left -= n;
	l->tx.len += n;
	link_later(l);
}

/* Queues a control frame, if there is room.  Returns whether it did. */
static int
link_control(struct link *l, int opcode, const void *p, size_t n)
{
	unsigned char *to;

	if (opcode != WS_CLOSE && link_unwritten(l) > LINK_BODY_ROOM)
		return 0;
	to = link_begin(l, n);
	if (to == NULL)
		return 0;
	if (n > 0)
		memcpy(to, p, n);
	link_commit(l, opcode, 1, n);
	return 1;
}

/* The octets of a ping say which it is; nobody else knows them before. */
void
link_ping(struct link *l)
{
	l->ping_ms = now_ms;
	random_bytes(l->ping, sizeof(l->ping));
	if (link_control(l, WS_PING, l->ping, sizeof(l->ping)))
		path_pinged(&l->path);
}

/* Where one is out its pong may never come, if another were sent: the peer may
 * answer the newest alone (RFC 6455 5.5.3). */
void
link_ping_again(struct link *l)
{
	link_control(l, WS_PING, l->ping,
	    l->path.ping_is_out ? sizeof(l->ping) : 0);
}

void
link_carried(struct link *l, size_t n)
{
	l->path.came += (long long)n;
	if (now_ms - l->ping_ms >= LINK_MEASURE_MS && path_is_due(&l->path))
		link_ping(l);
}

void
link_pong_due(struct link *l)
{
	if (l->pong_due && link_control(l, WS_PONG, l->pong, l->npong))
		l->pong_due = 0;
}

/* --- the end */

/* Moves l to CLOSING or DEAD.  Its owner hears of whichever comes first. */
static void
link_retire(struct link *l, enum link_life life, int code, const char *why)
{
	int was_live = link_is_live(l);

	link_move(l, life);
	if (was_live)
		l->ops->gone(l, code, why);
	if (life != LINK_DEAD)
		return;
	list_leave(&l->place);
	list_leave(&l->later);
}

void
link_lost(struct link *l, const char *why)
{
	if (link_is_dead(l))
		return;
	link_retire(l, LINK_DEAD, l->close_code != 0 ? l->close_code : 1006,
	    why);
	conn_kill(l->c);
}

/* Sends a close frame with code and reason; why is for our own people. */
static void
link_say_close(struct link *l, int code, const char *reason, const char *why)
{
	unsigned char body[WS_CONTROL_MAX];

	if (!link_is_live(l))
		return;
	if (!link_control(l, WS_CLOSE, body, ws_close_put(body, code, reason))) {
		link_retire(l, LINK_DEAD, code, why);
		conn_kill(l->c);
		return;
	}
	link_retire(l, LINK_CLOSING, code, why);
	conn_state(l->c, CONN_CLOSING);
}

void
link_close(struct link *l, int code, const char *reason)
{
	link_say_close(l, code, reason, reason);
}

void
link_fail(struct link *l, int minus_code, const char *reason)
{
	l->deaf = 1;
	if (!link_is_live(l))
		return;
	log_event(LEVEL_INFO, "event=link-fault code=%d reason=\"%s\"",
	    -minus_code, reason);
	link_close(l, -minus_code, reason);
	link_later(l);
}

void
link_close_due(struct link *l)
{
	if (l->life != LINK_CLOSING || !l->deaf || l->tx.len > 0 ||
	    l->masks)
		return;
	link_retire(l, LINK_DEAD, 0, "");
	conn_linger(l->c);
}

/* --- frames that have come */

static void
link_pong(struct link *l, const unsigned char *p, size_t n)
{
	if (!l->path.ping_is_out || n != sizeof(l->ping) ||
	    memcmp(p, l->ping, n) != 0)
		return;
	path_ponged(&l->path);
	link_carried(l, 0);
	if (l->path.grew)
		link_later(l);
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

	l->deaf = 1;
	if (r < 0) {
		link_fail(l, r, "malformed close frame");
		return;
	}
	l->close_code = code;
	link_say_close(l, code, "", text_safe(why, sizeof(why), reason));
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

static int
frame_is_control(const struct link *l)
{
	return l->frame.opcode >= WS_CLOSE;
}

/* Whether a data frame is a message of its own, and not too large.  Returns 0,
 * or minus a close code. */
static int
link_check_whole(const struct link *l)
{
	if (!l->frame.fin || l->frame.opcode == WS_CONTINUATION)
		return -1002;
	return l->frame.size > WS_MESSAGE_MAX ? -1009 : 0;
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
	if (l->ops->piece == NULL && !frame_is_control(l))
		bad = link_check_whole(l);
	else
		bad = ws_order_frame(&l->order, &l->frame);
	if (bad != 0)
		return bad;
	l->frame_at = 0;
	return r;
}

/* A control frame, or a message of one frame, has come whole. */
static void
link_take_whole(struct link *l, unsigned char *p, size_t n)
{
	if (l->frame.masked)
		ws_mask(p, n, l->frame.mask, 0);
	if (frame_is_control(l))
		link_take_control(l, p, n);
	else if (link_is_live(l))
		l->ops->message(l, l->frame.opcode, p, n);
}

/* n octets of a data frame have come, which ends with them or goes on. */
static void
link_take_piece(struct link *l, unsigned char *p, size_t n)
{
	int opcode = l->order.opcode, last;

	if (l->frame.masked)
		ws_mask(p, n, l->frame.mask, l->frame_at);
	l->frame_at += n;
	l->in_frame = l->frame_at < l->frame.size;
	last = !l->in_frame && l->frame.fin;
	if (ws_order_data(&l->order, p, n, last) < 0)
		link_fail(l, -1007, "text is not UTF-8");
	else if (link_is_live(l))
		l->ops->piece(l, opcode, p, n, last);
}

/* Takes what there is of a data frame.  head: the size of its head, at the front
 * of in; 0 where an earlier step took that.  Returns the octets used. */
static size_t
link_step_piece(struct link *l, struct view in, size_t head)
{
	unsigned char *p = l->c->rx.p + l->c->rx.off;
	size_t n = in.n - head;

	l->in_frame = 1;
	if (l->frame.size > 0 && n == 0)
		return head;
	if (l->frame.size - l->frame_at < n)
		n = (size_t)(l->frame.size - l->frame_at);
	if (l->frame.size == 0 && !l->frame.fin && link_count_control(l) == -1)
		return 0;
	link_take_piece(l, p + head, n);
	return head + n;
}

/* Takes one step over what has come.  Returns the octets used, 0 to wait. */
static size_t
link_step(struct link *l, struct view in)
{
	unsigned char *p = l->c->rx.p + l->c->rx.off;
	int head = 0;

	if (!l->in_frame) {
		head = link_next_frame(l, in);
		if (head < 0)
			link_fail(l, head, head == -1009 ?
			    "message too big" : "bad frame");
		if (head <= 0)
			return 0;
	}
	if (l->ops->piece != NULL && !frame_is_control(l))
		return link_step_piece(l, in, (size_t)head);
	if (in.n - (size_t)head < l->frame.size)
		return 0;
	link_take_whole(l, p + head, (size_t)l->frame.size);
	return (size_t)head + (size_t)l->frame.size;
}

/* Has as much read in the next turn as holds enough messages like these n: who waits
 * for another link waits for so many small ones, and large ones come in few reads. */
static void
link_pace(struct link *l, size_t octets, size_t n)
{
	if (n > 0)
		l->read_most = (size_t)clamp((long long)(octets / n) * LINK_MESSAGES,
		    MEM_BLOCK, LINK_RX_MAX);
}

/* After a close nothing more is looked at but the peer's own close. */
void
link_input(struct link *l)
{
	struct conn *c = l->c;
	size_t used = 1, octets = 0, steps = 0;

	while (used > 0 && c->rx.len > 0 && !link_is_dead(l) && !l->deaf) {
		used = link_step(l, buf_view(&c->rx));
		buf_consume(&c->rx, used);
		octets += used;
		steps += used > 0;
	}
	link_pace(l, octets, steps);
	if (l->deaf)
		buf_consume(&c->rx, c->rx.len);
	if (l->ops->handled != NULL)
		l->ops->handled();
}

/* --- the conn */

static void
link_ready(struct conn *c, short revents)
{
	struct link *l = c->of;
	size_t most;
	enum io io;
	int err;

	if (revents & POLLOUT)
		link_later(l);
	if (!(revents & ~POLLOUT))
		return;
	/* Where memory is short, a little is read at a time. */
	most = min_size(c->rx.len + l->read_most, LINK_RX_MAX);
	if (buf_space(&c->rx, most - c->rx.len, LINK_RX_MAX) == NULL &&
	    buf_space(&c->rx, 1, LINK_RX_MAX) == NULL) {
		l->rest_ms = now_ms + LINK_REST_MS;
		return;
	}
	io = conn_fill(c, most);
	err = errno;
	link_input(l);
	buf_fit(&c->rx);
	if (io == IO_EOF)
		link_lost(l, "the other side closed the connection");
	else if (io == IO_ERROR)
		link_lost(l, strerror(err));
}

static short
link_events(const struct conn *c)
{
	const struct link *l = c->of;

	return (short)((l->rest_ms > now_ms ? 0 : POLLIN) |
	    (l->tx.len > 0 ? POLLOUT : 0));
}

/* Who waits for an answer waits for every microsecond of it. */
static enum rest
link_rests(const struct conn *c)
{
	const struct link *l = c->of;

	return l->streams.n == 0 && l->tx.len == 0 ? REST_NOW : REST_NEVER;
}

static long long
link_alone_at(const struct link *l)
{
	return l->c->rx_ms + l->ops->alone_ms;
}

static long long
link_deadline(const struct conn *c)
{
	const struct link *l = c->of;
	long long own = l->ops->deadline != NULL ? l->ops->deadline(l) : NEVER;

	if (c->state == CONN_CLOSING)
		return c->since_ms + LINK_CLOSE_MS;
	if (l->rest_ms > now_ms)
		return l->rest_ms;
	return min_time(own, min_time(link_alone_at(l),
	    l->tx_ms + LINK_PING_MS));
}

static void
link_expire(struct conn *c)
{
	struct link *l = c->of;

	if (c->state == CONN_CLOSING) {
		link_lost(l, "no answer to the close");
	} else if (now_ms >= link_alone_at(l)) {
		link_lost(l, "nothing heard from the other side");
	} else if (now_ms >= l->tx_ms + LINK_PING_MS) {
		l->tx_ms = now_ms;
		link_ping_again(l);
	} else if (l->ops->expire != NULL) {
		l->ops->expire(l);
	}
}

static void
link_broken(struct conn *c)
{
	link_lost(c->of, "the connection broke");
}

static void
link_buried(struct conn *c)
{
	struct link *l = c->of;

	link_lost(l, "the connection broke");
	must(l->streams.n == 0);
	if (l->ops->freed != NULL)
		l->ops->freed(l);
	buf_free(&l->tx);
	free(l);
}

static const struct kind link_kind = {
	.name = "link", .ready = link_ready, .broken = link_broken,
	.gone = link_buried, .events = link_events, .rests = link_rests,
	.deadline = link_deadline, .expire = link_expire,
};

int
link_flush(struct link *l)
{
	ssize_t n;

	if (l->tx.len == 0)
		return 1;
	n = write(l->c->watch.fd, l->tx.p + l->tx.off, l->tx.len);
	if (n <= 0) {
		if (io_result(n) == IO_ERROR)
			link_lost(l, strerror(errno));
		return 0;
	}
	l->tx_ms = now_ms;
	buf_consume(&l->tx, (size_t)n);
	if (l->tx.len <= MEM_SMALL)	/* more would be moved to and fro */
		buf_fit(&l->tx);
	return l->tx.len == 0;
}

/* What waits in the kernel can be overtaken by nothing, so only little may; and
 * TCP gives up a peer that acknowledges nothing. */
static void
link_set_socket(int fd)
{
#ifdef TCP_NOTSENT_LOWAT
	int low = 128 << 10;

	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof(low));
#endif
#ifdef TCP_USER_TIMEOUT
	unsigned int ms = LINK_ALONE_V1_MS;

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
#endif
	(void)fd;
}

struct link *
link_alloc(void)
{
	return calloc(1, sizeof(struct link));
}

void
link_begin_on(struct link *l, struct conn *c, const struct link_ops *ops,
    const struct wire *wire, void *of, struct account *account, int masks)
{
	l->c = c;
	l->ops = ops;
	l->wire = wire;
	l->of = of;
	l->account = account;
	l->life = LINK_OPEN;
	l->leave = LEAVE_UNSAID;
	l->masks = masks != 0;
	l->tx_ms = now_ms;
	c->rx_ms = now_ms;
	l->max_streams = 1;
	l->read_most = MEM_BLOCK;
	list_add(&all_links, &l->place, l);
	conn_give(c, &link_kind, l);
	conn_count_in(c, account_octets(account));
	buf_count_in(&l->tx, account_octets(account));
	link_set_socket(c->watch.fd);
}
