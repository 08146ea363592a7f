#ifdef __linux__
#define _GNU_SOURCE		/* each use under its own #ifdef */
#endif

#include <sys/uio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/addr.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/loop.h"

static const char *const conn_state_name[CONN_STATES] = {
	"listen", "connect", "handshake", "head", "stream", "idle", "open",
	"closing", "linger"
};

#define TO(s) (1u << (s))

static const unsigned int conn_may_follow[CONN_STATES] = {
	[CONN_CONNECT] = TO(CONN_HANDSHAKE) | TO(CONN_STREAM),
	[CONN_HANDSHAKE] = TO(CONN_OPEN),
	[CONN_HEAD] = TO(CONN_STREAM) | TO(CONN_OPEN) | TO(CONN_LINGER),
	[CONN_STREAM] = TO(CONN_HEAD) | TO(CONN_IDLE) | TO(CONN_LINGER),
	[CONN_IDLE] = TO(CONN_STREAM),
	[CONN_OPEN] = TO(CONN_CLOSING),
	[CONN_CLOSING] = TO(CONN_LINGER),
};

#define LINGER_MS 2000
#define LINGER_MAX (1 << 20)	/* octets that a lingering conn may still send us */
#define FLUSH_MAX (256 << 10)	/* octets written to one conn in one go */

struct loop loop = { .signal_fd = { -1, -1 } };

void
conn_touch(struct conn *c)
{
	if (c->touched)
		return;
	c->touched = 1;
	c->touched_next = loop.touched;
	loop.touched = c;
}

void
conn_state(struct conn *c, enum conn_state s)
{
	must(conn_may_follow[c->state] & TO(s));
	log_event(LEVEL_DEBUG, "event=state conn=%s/%d from=%s to=%s",
	    c->kind->name, c->fd, conn_state_name[c->state],
	    conn_state_name[s]);
	c->state = s;
	c->since_ms = now_ms;
	conn_touch(c);
}

static void
loop_move(size_t from, size_t to)
{
	loop.pfd[to] = loop.pfd[from];
	loop.who[to] = loop.who[from];
	loop.who[to]->slot = to;
}

static void
loop_swap(size_t a, size_t b)
{
	struct pollfd p = loop.pfd[a];
	struct conn *c = loop.who[a];

	if (a == b)
		return;
	loop_move(b, a);
	loop.pfd[b] = p;
	loop.who[b] = c;
	c->slot = b;
}

static int
loop_grow(void)
{
	size_t cap = loop.cap * 2 + 64;
	struct pollfd *p = array_grow(loop.pfd, loop.cap * sizeof(*p),
	    cap * sizeof(*p));
	struct conn **w;

	if (p == NULL)
		return -1;
	loop.pfd = p;
	w = array_grow(loop.who, loop.cap * sizeof(*w), cap * sizeof(*w));
	if (w == NULL)
		return -1;
	loop.who = w;
	loop.cap = cap;
	return 0;
}

/* Puts c among those that poll() asks each turn. */
static int
loop_add(struct conn *c)
{
	if (loop.n == loop.cap && loop_grow() == -1)
		return -1;
	c->slot = loop.n++;
	loop.pfd[c->slot].fd = c->fd;
	loop.pfd[c->slot].events = 0;
	loop.pfd[c->slot].revents = 0;
	loop.who[c->slot] = c;
	loop_swap(c->slot, loop.active++);
	return 0;
}

static void
loop_quiet(struct conn *c)
{
	loop_swap(c->slot, --loop.active);
}

static void
loop_wake(struct conn *c)
{
	c->busy_ms = now_ms;
	if (c->slot >= loop.active)
		loop_swap(c->slot, loop.active++);
}

void
loop_remove(struct conn *c)
{
	if (c->slot == NO_SLOT)
		return;
	if (c->slot < loop.active)
		loop_quiet(c);
	loop_swap(c->slot, --loop.n);
	c->slot = NO_SLOT;
}

static void
conn_timer(struct timer *t)
{
	struct conn *c = CONTAINER(t, struct conn, timer);

	if (c->dead)
		return;
	conn_touch(c);
	if (c->kind->deadline(c) <= now_ms)
		c->kind->expire(c);
}

struct conn *
conn_new(const struct kind *kind, int fd, enum conn_state s)
{
	struct conn *c = loop.spare;

	if (c != NULL)
		loop.spare = c->dead_next;
	else
		c = malloc(sizeof(*c));
	if (c == NULL) {
		close(fd);
		return NULL;
	}
	memset(c, 0, sizeof(*c));
	c->kind = kind;
	c->fd = fd;
	c->state = s;
	c->since_ms = c->busy_ms = c->rx_ms = c->tx_ms = now_ms;
	if (timer_init(&c->timer, conn_timer) == -1 || loop_add(c) == -1) {
		close(fd);
		c->dead_next = loop.spare;
		loop.spare = c;
		return NULL;
	}
	conn_touch(c);
	return c;
}

void
conn_share(struct conn *c, size_t *share, size_t octets)
{
	if (c->share != NULL)
		*c->share -= c->shared;
	c->share = share;
	c->shared = octets;
	if (share != NULL)
		*share += c->shared;
}

void
conn_kill(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = 1;
	conn_share(c, NULL, 0);
	list_leave(&c->place);
	c->dead_next = loop.dead;
	loop.dead = c;
}

void
conn_abort(struct conn *c)
{
	c->reset = 1;
	conn_kill(c);
}

void
conn_guard(struct conn *c, int on)
{
	struct linger l = { .l_onoff = on, .l_linger = 0 };

	if (c->guarded == on)
		return;
	c->guarded = on != 0;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static void
conn_free(struct conn *c)
{
	if (c->counted != NULL)
		--*c->counted;
	loop_remove(c);
	timer_end(&c->timer);
	if (c->reset)
		conn_guard(c, 1);
	close(c->fd);
	buf_free(&c->rx);
	chain_free(&c->tx);
	c->dead_next = loop.spare;
	loop.spare = c;
}

/* A conn that waits for no more than a hang-up is not asked each turn. */
static void
loop_place(struct conn *c)
{
	short ev = c->kind->events(c);

	if (c->slot == NO_SLOT)
		return;
	loop.pfd[c->slot].events = ev;
	if (ev & (POLLIN | POLLOUT))
		loop_wake(c);
	else if (c->slot < loop.active)
		loop_quiet(c);
}

void
loop_sweep(void)
{
	struct conn *c, **at;

	while ((c = loop.touched) != NULL) {
		loop.touched = c->touched_next;
		c->touched = 0;
		if (c->dead)
			continue;
		if (c->rx.len == 0 && c->rx.cap > 0 && c->link == NULL)
			buf_free(&c->rx);
		loop_place(c);
		timer_set(&c->timer, c->kind->deadline(c));
	}
	for (at = &loop.flush; (c = *at) != NULL; ) {
		if (c->dead)
			*at = c->flush_next;
		else
			at = &c->flush_next;
	}
	while ((c = loop.dead) != NULL) {
		loop.dead = c->dead_next;
		conn_free(c);
	}
}

enum io
io_result(ssize_t n)
{
	if (n > 0)
		return IO_DATA;
	if (n == 0)
		return IO_EOF;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return IO_WAIT;
	return IO_ERROR;
}

enum io
conn_readv(struct conn *c, const struct iovec *iov, int k, size_t *got)
{
	ssize_t r;
	enum io io;

	*got = 0;
	if (c->rd_eof || c->rd_failed)
		return c->rd_failed ? IO_ERROR : IO_EOF;
	r = readv(c->fd, iov, k);
	io = io_result(r);
	if (io == IO_DATA) {
		*got = (size_t)r;
		c->rx_ms = now_ms;
	}
	c->rd_eof = io == IO_EOF;
	c->rd_failed = io == IO_ERROR;
	return io;
}

enum io
conn_read(struct conn *c, void *p, size_t n, size_t *got)
{
	struct iovec iov = { p, n };

	return conn_readv(c, &iov, 1, got);
}

enum io
conn_fill(struct conn *c, size_t max)
{
	size_t want = c->rx.cap == 0 ? pool_size[POOL_BLOCK] : 1;
	unsigned char *p = buf_space(&c->rx, want, max);
	size_t got;
	enum io io;

	if (p == NULL)
		return IO_ERROR;
	io = conn_read(c, p, c->rx.cap - c->rx.off - c->rx.len, &got);
	c->rx.len += got;
	return io;
}

void
conn_flush_later(struct conn *c)
{
	conn_touch(c);
	if (c->flushing)
		return;
	c->flushing = 1;
	c->flush_next = loop.flush;
	loop.flush = c;
}

void
conn_put(struct conn *c, const void *p, size_t n)
{
	if (chain_put(&c->tx, p, n) == -1)
		conn_abort(c);
	conn_flush_later(c);
}

void
conn_write(struct conn *c, const struct iovec *iov, int k, size_t n)
{
	ssize_t r = 0;
	size_t done, skip;

	conn_flush_later(c);
	if (c->tx.len == 0 && c->state != CONN_CONNECT)
		r = writev(c->fd, iov, k);
	done = skip = r > 0 ? (size_t)r : 0;
	for (; k > 0 && done < n; iov++, k--) {
		if (skip >= iov->iov_len) {
			skip -= iov->iov_len;
			continue;
		}
		conn_put(c, (const char *)iov->iov_base + skip,
		    iov->iov_len - skip);
		skip = 0;
	}
	if (done > 0) {
		c->tx_ms = now_ms;
		if (c->kind->sent != NULL)
			c->kind->sent(c, done);
	}
}

void
conn_flush(struct conn *c)
{
	size_t total = 0;

	while (c->tx.len > 0 && total < FLUSH_MAX && !c->dead) {
		struct iovec iov[16];
		ssize_t n = writev(c->fd, iov,
		    chain_iov(&c->tx, iov, (int)ARRAY_LEN(iov)));

		if (n <= 0) {
			if (io_result(n) == IO_ERROR)
				c->kind->broken(c);
			return;
		}
		c->tx_ms = now_ms;
		total += (size_t)n;
		chain_consume(&c->tx, (size_t)n);
		if (c->kind->sent != NULL)
			c->kind->sent(c, (size_t)n);
	}
}

void
conn_shut(struct conn *c)
{
	if (c->wr_shut)
		return;
	c->wr_shut = 1;
	shutdown(c->fd, SHUT_WR);
	conn_touch(c);
}

/* A lingering conn has news: what comes is dropped. */
static void
linger_ready(struct conn *c, short revents)
{
	static char sink[16384];
	size_t got;
	enum io io;

	if (revents & POLLOUT)
		conn_flush_later(c);
	if (c->rd_eof || !(revents & ~POLLOUT))
		return;
	io = conn_read(c, sink, sizeof(sink), &got);
	c->drained += got;
	if (io == IO_ERROR || c->drained > LINGER_MAX ||
	    (io == IO_EOF && c->wr_shut))
		conn_kill(c);
}

static void
linger_sent(struct conn *c, size_t n)
{
	(void)n;
	if (c->tx.len > 0)
		return;
	conn_shut(c);
	c->since_ms = now_ms;
	if (c->rd_eof)
		conn_kill(c);
}

static short
linger_events(const struct conn *c)
{
	return (short)((c->tx.len > 0 ? POLLOUT : 0) |
	    (c->rd_eof ? 0 : POLLIN));
}

static long long
linger_deadline(const struct conn *c)
{
	return c->wr_shut ? c->since_ms + LINGER_MS : c->tx_ms + WRITE_STALL_MS;
}

static const struct kind linger_kind = {
	.name = "linger", .ready = linger_ready, .sent = linger_sent,
	.broken = conn_kill, .events = linger_events,
	.deadline = linger_deadline, .expire = conn_kill,
};

void
conn_linger(struct conn *c)
{
	if (c->dead || c->kind == &linger_kind)
		return;
	conn_state(c, CONN_LINGER);
	conn_guard(c, 0);
	list_leave(&c->place);
	conn_share(c, NULL, 0);
	buf_free(&c->rx);
	c->stream = NULL;
	c->link = NULL;
	c->kind = &linger_kind;
	conn_flush_later(c);
	if (c->tx.len == 0)
		linger_sent(c, 0);
}

#define PARTS_FROM 32		/* conns from which there are two parts */
#define SETTLE_AFTER 128	/* conns with news */
#define QUIET_MS 1000
#define SLICE_MS 10		/* longest poll of the first part alone */
#define CALM_MAX 3		/* periods that a second part without news waits longer */
#define COARSE_MS 50		/* how late a timer, or news of the second part, may be */
#define SLEEPY_MS 100		/* without news for so long: ask all, and sleep */

static int
loop_wait_ms(void)
{
	long long due = timer_next();

	if (loop.again)
		return 0;
	if (due == NEVER)
		return -1;
	if (due <= now_ms)
		return 0;
	/* Thousands of idle conns come due one by one: they are taken
	 * together, since each waking asks them all. */
	if (loop.n > PARTS_FROM && due - now_ms < COARSE_MS)
		return COARSE_MS;
	return (int)min_time(due - now_ms, 60000);
}

/* How many conns this turn asks, and for how long. */
static size_t
loop_reach(int *wait_ms)
{
	long long quiet = (long long)(loop.n - loop.active);
	long long period = min_time((1 + quiet / 500) * (1 + loop.calm),
	    COARSE_MS);

	*wait_ms = loop_wait_ms();
	if (loop.n <= PARTS_FROM || now_ms - loop.news_ms >= SLEEPY_MS)
		return loop.n;
	if (now_ms - loop.full_ms >= period) {
		*wait_ms = 0;
		return loop.n;
	}
	period = min_time(period, SLICE_MS);
	if (*wait_ms < 0 || *wait_ms > period)
		*wait_ms = (int)period;
	return loop.active;
}

/* Looks at a few conns of the first part, and moves the quiet ones. */
static void
loop_demote(void)
{
	int i;

	if (loop.n <= PARTS_FROM)
		return;
	for (i = 0; i < 16 && loop.active > 0; i++) {
		size_t at = loop.look++ % loop.active;

		if (now_ms - loop.who[at]->busy_ms >= QUIET_MS)
			loop_quiet(loop.who[at]);
	}
}

/* Handlers may add and move conns.  One that is passed over for that has its
 * news again at the next poll.  What a flood of news leaves in buffers is sent
 * off now and then, so that it does not fill the budget. */
static void
loop_dispatch(size_t reach, int news, void (*act)(void))
{
	size_t i;
	int handled = 0;

	for (i = 0; i < reach && news > 0; i++) {
		struct conn *c = loop.who[i];
		short revents = loop.pfd[i].revents;

		if (revents == 0)
			continue;
		news--;
		if (i >= loop.active)
			loop.calm = 0;
		loop.pfd[i].revents = 0;
		loop_wake(c);
		if (c->dead)
			continue;
		conn_touch(c);
		c->kind->ready(c, revents);
		if (++handled % SETTLE_AFTER == 0)
			act();
	}
}

void
loop_turn(void (*act)(void))
{
	int wait_ms, news;
	size_t reach;

	loop_sweep();
	reach = loop_reach(&wait_ms);
	loop.again = 0;
	news = poll(loop.pfd, (nfds_t)reach, wait_ms);
	if (news == -1 && errno != EINTR && errno != EAGAIN)
		die("poll:");
	now_ms = clock_us() / 1000;
	if (reach == loop.n) {
		loop.full_ms = now_ms;
		loop.calm += loop.calm < CALM_MAX;
	}
	if (news > 0) {
		loop.news_ms = now_ms;
		loop_dispatch(reach, news, act);
	}
	timer_run();
	act();
	loop_demote();
	out_flush(&out_log);
	out_flush(&out_person);
}
