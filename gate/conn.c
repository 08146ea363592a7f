#include <sys/ioctl.h>
#include <sys/socket.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/conn.h"

static const char *const conn_state_name[CONN_STATES] = {
	NULL, "listen", "connect", "handshake", "head", "stream", "idle",
	"open", "closing", "linger", "dead"
};

#define TO(s) (1u << (s))

/* Whatever lives may die. */
static const unsigned int conn_may_follow[CONN_STATES] = {
	[CONN_LISTEN] = TO(CONN_DEAD),
	[CONN_CONNECT] = TO(CONN_HANDSHAKE) | TO(CONN_STREAM) | TO(CONN_DEAD),
	[CONN_HANDSHAKE] = TO(CONN_OPEN) | TO(CONN_DEAD),
	[CONN_HEAD] = TO(CONN_STREAM) | TO(CONN_OPEN) | TO(CONN_LINGER) |
	    TO(CONN_DEAD),
	[CONN_STREAM] = TO(CONN_HEAD) | TO(CONN_IDLE) | TO(CONN_LINGER) |
	    TO(CONN_DEAD),
	[CONN_IDLE] = TO(CONN_STREAM) | TO(CONN_DEAD),
	[CONN_OPEN] = TO(CONN_CLOSING) | TO(CONN_DEAD),
	[CONN_CLOSING] = TO(CONN_LINGER) | TO(CONN_DEAD),
	[CONN_LINGER] = TO(CONN_DEAD),
};

#define LINGER_MS 2000
#define LINGER_MAX (1 << 20)	/* octets that a lingering conn may still send us */
#define FLUSH_MAX (256 << 10)	/* octets written to one conn in one go */

static struct conn *touched_conns, *flush_conns, *dead_conns;
static struct conn *spare_conns;	/* freed, kept for new ones */

void
conn_touch(struct conn *c)
{
	if (c->touched)
		return;
	c->touched = 1;
	c->touched_next = touched_conns;
	touched_conns = c;
}

void
conn_state(struct conn *c, enum conn_state s)
{
	must(conn_may_follow[c->state] & TO(s));
	log_event(LEVEL_DEBUG, "event=state conn=%s/%d from=%s to=%s",
	    c->kind->name, c->watch.fd, conn_state_name[c->state],
	    conn_state_name[s]);
	c->state = s;
	c->since_ms = now_ms;
	conn_touch(c);
}

size_t
conn_memory(const struct conn *c)
{
	return c->rx.cap + chain_memory(&c->tx);
}

void
conn_count_in(struct conn *c, size_t *sum)
{
	buf_count_in(&c->rx, sum);
	chain_count_in(&c->tx, sum);
}

void
conn_kill(struct conn *c)
{
	if (conn_is_dead(c))
		return;
	conn_state(c, CONN_DEAD);
	c->dead_next = dead_conns;
	dead_conns = c;
}

void
conn_abort(struct conn *c)
{
	if (conn_is_dead(c))
		return;
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
	setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

void
conn_doubt(struct conn *c)
{
	c->end_is_cut = 1;
}

void
conn_replace_fd(struct conn *c, int fd)
{
	int old = c->watch.fd;

	pollset_replace(&c->watch, fd);
	close(old);
	conn_touch(c);
}

/* --- lingering: the same for every kind */

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

/* FIN is out: from now on the peer has a little time to end too. */
static void
linger_shut(struct conn *c)
{
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

void
conn_linger(struct conn *c)
{
	if (conn_is_dead(c) || c->state == CONN_LINGER)
		return;
	conn_state(c, CONN_LINGER);
	conn_guard(c, 0);
	buf_free(&c->rx);
	if (c->wr_shut)
		linger_shut(c);
	else
		conn_end(c);
}

/* --- what the state says */

static short
conn_events(const struct conn *c)
{
	if (c->state == CONN_LINGER)
		return linger_events(c);
	return c->kind->events(c);
}

static enum rest
conn_rests(const struct conn *c)
{
	if (c->tx.len > 0)
		return REST_NEVER;
	if (c->state == CONN_LINGER)
		return REST_NOW;
	return c->kind->rests != NULL ? c->kind->rests(c) : REST_NEVER;
}

static long long
conn_deadline(const struct conn *c)
{
	return c->state == CONN_LINGER ? linger_deadline(c) :
	    c->kind->deadline(c);
}

void
conn_fit(struct conn *c)
{
	if (c->rx.len == 0 && c->rx.cap > 0)
		buf_free(&c->rx);
}

void
conn_news(struct conn *c, short revents)
{
	if (conn_is_dead(c))
		return;
	conn_touch(c);
	if (c->state == CONN_LINGER)
		linger_ready(c, revents);
	else
		c->kind->ready(c, revents);
	conn_fit(c);
}

static void
conn_sent(struct conn *c, size_t n)
{
	c->tx_ms = now_ms;
	if (c->state != CONN_LINGER && c->kind->sent != NULL)
		c->kind->sent(c, n);
}

static void
conn_broken(struct conn *c)
{
	if (c->state == CONN_LINGER)
		conn_kill(c);
	else
		c->kind->broken(c);
}

static void
conn_timer(struct timer *t)
{
	struct conn *c = CONTAINER(t, struct conn, timer);

	if (conn_is_dead(c))
		return;
	conn_touch(c);
	if (conn_deadline(c) > now_ms)
		return;
	if (c->state == CONN_LINGER)
		conn_kill(c);
	else
		c->kind->expire(c);
}

/* --- a conn's beginning and end */

static void
conn_spare(struct conn *c)
{
	c->dead_next = spare_conns;
	spare_conns = c;
}

static struct conn *
conn_take(void)
{
	struct conn *c = spare_conns;

	if (c == NULL)
		return malloc(sizeof(*c));
	spare_conns = c->dead_next;
	return c;
}

struct conn *
conn_new(const struct kind *kind, void *of, int fd, enum conn_state s)
{
	struct conn *c = conn_take();

	if (c == NULL) {
		close(fd);
		return NULL;
	}
	memset(c, 0, sizeof(*c));
	if (timer_init(&c->timer, conn_timer) == -1) {
		close(fd);
		conn_spare(c);
		return NULL;
	}
	if (pollset_add(&c->watch, fd) == -1) {
		timer_end(&c->timer);
		close(fd);
		conn_spare(c);
		return NULL;
	}
	c->state = s;
	c->since_ms = c->rx_ms = c->tx_ms = now_ms;
	conn_give(c, kind, of);
	return c;
}

void
conn_give(struct conn *c, const struct kind *kind, void *of)
{
	c->kind = kind;
	c->of = of;
	conn_touch(c);
}

static void
conn_free(struct conn *c)
{
	c->touched = c->flushing = 1;	/* not to be listed any more */
	if (c->kind->gone != NULL)
		c->kind->gone(c);
	pollset_remove(&c->watch);
	timer_end(&c->timer);
	if (c->reset)
		conn_guard(c, 1);
	close(c->watch.fd);
	buf_free(&c->rx);
	chain_free(&c->tx);
	conn_spare(c);
}

static void
touched_ask(void)
{
	struct conn *c;

	while ((c = touched_conns) != NULL) {
		touched_conns = c->touched_next;
		c->touched = 0;
		if (conn_is_dead(c))
			continue;
		conn_fit(c);
		pollset_want(&c->watch, conn_events(c), conn_rests(c));
		timer_set(&c->timer, conn_deadline(c));
	}
}

static void
flush_forget_dead(void)
{
	struct conn *c, **at;

	for (at = &flush_conns; (c = *at) != NULL; ) {
		if (conn_is_dead(c))
			*at = c->flush_next;
		else
			at = &c->flush_next;
	}
}

int
conns_bury(void)
{
	struct conn *c, *dead;
	int any = 0;

	touched_ask();
	while ((dead = dead_conns) != NULL) {
		any = 1;
		dead_conns = NULL;
		flush_forget_dead();
		while ((c = dead) != NULL) {
			dead = c->dead_next;
			conn_free(c);
		}
		touched_ask();
	}
	return any;
}

/* --- octets in and out */

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

void
conn_copy_to(struct conn *c, struct chain *q)
{
	c->copy = q;
}

static void
conn_copy_no_more(struct conn *c)
{
	chain_free(c->copy);
	conn_copy_to(c, NULL);
}

/* Copies the n octets that came to iov[0..k). */
static void
conn_copy(struct conn *c, const struct iovec *iov, int k, size_t n)
{
	size_t piece, all = c->copy->len + n;

	if (all > CONN_COPY_MAX || !budget_spares(all)) {
		conn_copy_no_more(c);
		return;
	}
	for (; k > 0 && n > 0; k--, iov++, n -= piece) {
		piece = min_size(n, iov->iov_len);
		if (chain_put(c->copy, iov->iov_base, piece) == -1) {
			conn_copy_no_more(c);
			return;
		}
	}
}

enum io
conn_readv(struct conn *c, const struct iovec *iov, int k, size_t *got)
{
	ssize_t r;
	enum io io;

	*got = 0;
	if (c->rd_eof || c->rd_failed)
		return c->rd_failed ? IO_ERROR : IO_EOF;
	r = readv(c->watch.fd, iov, k);
	io = r == 0 && c->end_is_cut ? IO_ERROR : io_result(r);
	if (io == IO_DATA) {
		*got = (size_t)r;
		c->rx_ms = now_ms;
		if (c->copy != NULL)
			conn_copy(c, iov, k, *got);
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
	size_t want = c->rx.cap == 0 ? min_size(MEM_BLOCK, max) : 1;
	unsigned char *p = buf_space(&c->rx, want, max);
	size_t got;
	enum io io;

	if (p == NULL)
		return IO_NO_ROOM;
	io = conn_read(c, p, min_size(c->rx.cap - c->rx.off, max) - c->rx.len,
	    &got);
	c->rx.len += got;
	return io;
}

long long
conn_arrived(const struct conn *c)
{
	int waiting = 0;

	if (ioctl(c->watch.fd, FIONREAD, &waiting) == -1)
		waiting = 0;
	return (long long)c->rx.len + waiting;
}

int
conn_end_is_known(const struct conn *c)
{
	return c->rd_eof || c->rd_failed || c->watch.where == WATCH_NOWHERE;
}

void
conn_flush_later(struct conn *c)
{
	conn_touch(c);
	if (c->flushing)
		return;
	c->flushing = 1;
	c->flush_next = flush_conns;
	flush_conns = c;
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
		r = writev(c->watch.fd, iov, k);
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
	if (done > 0)
		conn_sent(c, done);
}

/* Sends FIN where it is due and nothing waits before it any more. */
static void
conn_shut_due(struct conn *c)
{
	if (!c->wr_end || c->wr_shut || c->tx.len > 0 || conn_is_dead(c))
		return;
	c->wr_shut = 1;
	c->tx_ms = now_ms;
	shutdown(c->watch.fd, SHUT_WR);
	conn_touch(c);
	if (c->state == CONN_LINGER)
		linger_shut(c);
}

void
conn_flush(struct conn *c)
{
	size_t total = 0;

	while (c->tx.len > 0 && total < FLUSH_MAX && !conn_is_dead(c) &&
	    c->state != CONN_CONNECT) {
		struct iovec iov[16];
		ssize_t n = writev(c->watch.fd, iov,
		    chain_iov(&c->tx, iov, (int)ARRAY_LEN(iov)));

		if (n <= 0) {
			if (io_result(n) == IO_ERROR)
				conn_broken(c);
			return;
		}
		total += (size_t)n;
		chain_consume(&c->tx, (size_t)n);
		conn_sent(c, (size_t)n);
	}
}

void
conn_end(struct conn *c)
{
	c->wr_end = 1;
	conn_flush_later(c);
	if (c->state == CONN_LINGER)
		conn_shut_due(c);
}

void
conn_part(struct conn *c)
{
	static char sink[16384];
	size_t got, drained = 0;

	conn_flush(c);
	while (!conn_is_dead(c) && drained < LINGER_MAX &&
	    conn_read(c, sink, sizeof(sink), &got) == IO_DATA)
		drained += got;
	conn_kill(c);
}

int
conns_wait_flush(void)
{
	return flush_conns != NULL;
}

void
conns_flush(void)
{
	struct conn *c;

	while ((c = flush_conns) != NULL) {
		flush_conns = c->flush_next;
		c->flushing = 0;
		if (conn_is_dead(c) || c->state == CONN_CONNECT)
			continue;
		conn_flush(c);
		if (conn_is_dead(c))
			continue;
		if (c->tx.len > 0 && c->state != CONN_LINGER &&
		    c->kind->blocked != NULL)
			c->kind->blocked(c);
		conn_shut_due(c);
	}
}

static int
conn_is_ending(const struct conn *c)
{
	return c->tx.len > 0 || c->state == CONN_CLOSING ||
	    c->state == CONN_LINGER;
}

int
conns_are_ending(void)
{
	size_t i;

	for (i = 0; i < pollset_size(); i++)
		if (conn_is_ending(CONTAINER(pollset_at(i), struct conn, watch)))
			return 1;
	return 0;
}

short
always_readable(const struct conn *c)
{
	(void)c;
	return POLLIN;
}

long long
no_deadline(const struct conn *c)
{
	(void)c;
	return NEVER;
}
