/*
 * Tests of gate/conn.c with real sockets: which states follow, how a conn
 * ends and who is told, what is read and written, and lingering.  The peer of
 * each conn is the other end of its socket.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/pollset.h"
#include "gate/net.h"
#include "gate/conn.h"
#include "check.h"

#define LONG_MS 10000		/* only a failure waits so long */
#define OCTETS (2 << 20)

static unsigned char octets[OCTETS], got[OCTETS];

/* Whoever has a conn: what it wants, and what it was told. */
struct owner {
	struct conn *c;		/* NULL once it is gone */
	int peer;		/* the other end; -1: closed */
	short want;
	long long due_ms;
	int ready, blocked, broken, gone, expired;
	short revents;
	size_t sent;
	struct owner *other;	/* killed in gone(), or NULL */
	int other_was_gone;	/* when that began and ended, added up */
};

static struct owner own, own_2;

static void
own_ready(struct conn *c, short revents)
{
	struct owner *o = c->of;

	o->ready++;
	o->revents = revents;
}

static void
own_sent(struct conn *c, size_t n)
{
	((struct owner *)c->of)->sent += n;
}

static void
own_blocked(struct conn *c)
{
	((struct owner *)c->of)->blocked++;
}

static void
own_broken(struct conn *c)
{
	((struct owner *)c->of)->broken++;
	conn_kill(c);
}

static void
own_gone(struct conn *c)
{
	struct owner *o = c->of;

	o->gone++;
	o->c = NULL;
	if (o->other == NULL)
		return;
	o->other_was_gone += o->other->gone;
	if (o->other->c != NULL)
		conn_kill(o->other->c);
	o->other_was_gone += o->other->gone;
}

static short
own_events(const struct conn *c)
{
	return ((struct owner *)c->of)->want;
}

static long long
own_deadline(const struct conn *c)
{
	return ((struct owner *)c->of)->due_ms;
}

static void
own_expire(struct conn *c)
{
	((struct owner *)c->of)->expired++;
}

static const struct kind own_kind = {
	.name = "probe", .ready = own_ready, .sent = own_sent,
	.blocked = own_blocked, .broken = own_broken, .gone = own_gone,
	.events = own_events, .deadline = own_deadline, .expire = own_expire,
};

/* --- sockets */

static void
pair_open(int fd[2])
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0, "no pair: %s",
	    strerror(errno));
	fd_prepare(fd[0]);
	fd_prepare(fd[1]);
}

/* A listener on loopback.  Returns its fd; *to is where it listens. */
static int
tcp_listen(struct sockaddr_in *to)
{
	socklen_t n = sizeof(*to);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(to, 0, sizeof(*to));
	to->sin_family = AF_INET;
	to->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(fd, (struct sockaddr *)to, n) == 0 && listen(fd, 1) == 0 &&
	    getsockname(fd, (struct sockaddr *)to, &n) == 0,
	    "no listener: %s", strerror(errno));
	return fd;
}

static int
tcp_connect(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0,
	    "no connection: %s", strerror(errno));
	return fd;
}

static void
tcp_pair_open(int fd[2])
{
	struct sockaddr_in to;
	int listener = tcp_listen(&to);

	fd[1] = tcp_connect(&to);
	fd[0] = accept(listener, NULL, NULL);
	CHECK(fd[0] != -1, "accept: %s", strerror(errno));
	fd_prepare(fd[0]);
	fd_prepare(fd[1]);
	close(listener);
}

/* Waits for events at fd; once that was in vain, no more. */
static void
wait_for(int fd, short events)
{
	static int in_vain;
	struct pollfd p = { .fd = fd, .events = events };

	if (poll(&p, 1, in_vain ? 0 : LONG_MS) != 1)
		in_vain = 1;
	CHECK(p.revents != 0, "nothing happens at fd %d", fd);
}

/* Reads from the peer's end, behind got[0..n), what comes up to an end or up
 * to most octets.  Returns how many there are then. */
static size_t
peer_read(int fd, size_t n, size_t most)
{
	ssize_t r = 1;

	while (n < most && r > 0) {
		wait_for(fd, POLLIN);
		r = read(fd, got + n, most - n);
		CHECK(r != -1 || errno == EAGAIN, "peer: %s", strerror(errno));
		if (r > 0)
			n += (size_t)r;
	}
	return n;
}

/* What the peer reads next: 1 octets, 0 an end, or minus an errno. */
static int
peer_sees(int fd)
{
	char b[1];
	ssize_t r;

	wait_for(fd, POLLIN);
	r = read(fd, b, 1);
	return r == -1 ? -errno : (int)r;
}

static void
peer_write(int fd, size_t from, size_t n)
{
	CHECK(write(fd, octets + from, n) == (ssize_t)n, "peer: %s",
	    strerror(errno));
}

/* --- a conn's whole life */

static void
own_begin(struct owner *o, const int fd[2], enum conn_state s)
{
	memset(o, 0, sizeof(*o));
	o->peer = fd[1];
	o->want = POLLIN;
	o->due_ms = NEVER;
	o->c = conn_new(&own_kind, o, fd[0], s);
	CHECK(o->c != NULL && o->c->state == s, "no conn");
}

static void
own_open(struct owner *o, enum conn_state s)
{
	int fd[2];

	clock_turn();
	pair_open(fd);
	own_begin(o, fd, s);
}

static void
own_open_tcp(struct owner *o, enum conn_state s)
{
	int fd[2];

	clock_turn();
	tcp_pair_open(fd);
	own_begin(o, fd, s);
}

static void
peer_close(struct owner *o)
{
	close(o->peer);
	o->peer = -1;
}

/* Ends whatever is left, after which all is as if nothing had been. */
static void
own_close(struct owner *o)
{
	if (o->c != NULL)
		conn_kill(o->c);
	conns_flush();
	conns_bury();
	if (o->peer != -1)
		close(o->peer);
	CHECK(o->gone == 1 && o->c == NULL, "gone %d times", o->gone);
	CHECK(budget_free() == budget_max(), "%zu octets are charged",
	    budget_max() - budget_free());
	CHECK(pollset_size() == 0 && timer_next() == NEVER,
	    "it is watched, or timed");
}

/* One turn of the loop, as far as conns go; but time stands still. */
static void
turn(int wait_ms)
{
	struct watch *w;
	short revents;

	pollset_wait(wait_ms);
	while ((w = pollset_news(&revents)) != NULL)
		conn_news(CONTAINER(w, struct conn, watch), revents);
	conns_flush();
	conns_bury();
}

/* ----------------------------------------------------------------- states */

static void
live(const enum conn_state *life)
{
	own_open(&own, *life);
	while (*++life != 0) {
		if (*life == CONN_DEAD)
			conn_kill(own.c);
		else
			conn_state(own.c, *life);
		CHECK(own.c->state == *life, "state %d", (int)*life);
	}
	own_close(&own);
}

static void
test_lives(void)
{
	static const enum conn_state lives[][8] = {
		/* a listener */
		{ CONN_LISTEN, CONN_DEAD },
		/* a caller with three requests, and with none */
		{ CONN_HEAD, CONN_STREAM, CONN_HEAD, CONN_STREAM, CONN_HEAD,
		    CONN_STREAM, CONN_LINGER },
		{ CONN_HEAD, CONN_LINGER, CONN_DEAD },
		/* a link, from both sides */
		{ CONN_HEAD, CONN_OPEN, CONN_CLOSING, CONN_LINGER, CONN_DEAD },
		{ CONN_CONNECT, CONN_HANDSHAKE, CONN_OPEN, CONN_CLOSING,
		    CONN_DEAD },
		/* to a service, used twice */
		{ CONN_CONNECT, CONN_STREAM, CONN_IDLE, CONN_STREAM,
		    CONN_IDLE, CONN_DEAD },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(lives); i++)
		live(lives[i]);
}

struct move {
	enum conn_state from, to;
};

static void
move_it(void *of)
{
	const struct move *m = of;

	own_open(&own, m->from);
	conn_state(own.c, m->to);
}

static int
may_not(int from, int to)
{
	struct move m = { (enum conn_state)from, (enum conn_state)to };

	return check_must("gate/conn.c", move_it, &m);
}

static void
test_no_way_back(void)
{
	int s;

	for (s = CONN_LISTEN; s < CONN_STATES; s++) {
		CHECK(may_not(CONN_DEAD, s), "the dead come to %d", s);
		CHECK(s == CONN_DEAD || may_not(CONN_LINGER, s),
		    "lingering becomes %d", s);
		CHECK(s == CONN_DEAD || may_not(CONN_LISTEN, s),
		    "listening becomes %d", s);
		CHECK(may_not(s, CONN_LISTEN), "%d listens", s);
		CHECK(may_not(s, CONN_CONNECT), "%d connects anew", s);
		CHECK(may_not(s, s), "%d becomes %d", s, s);
	}
	CHECK(may_not(CONN_IDLE, CONN_HEAD) && may_not(CONN_OPEN, CONN_HEAD) &&
	    may_not(CONN_CLOSING, CONN_OPEN) && may_not(CONN_OPEN, CONN_STREAM)
	    && may_not(CONN_HEAD, CONN_IDLE) &&
	    may_not(CONN_CONNECT, CONN_OPEN) &&
	    may_not(CONN_HANDSHAKE, CONN_STREAM), "of another kind's life");
}

/* ----------------------------------------------------------------- asking */

/* Events and deadline are asked for at the end of a turn that touched it. */
static void
test_asked(void)
{
	own_open(&own, CONN_OPEN);
	own.due_ms = now_ms + 5000;
	conns_bury();
	CHECK(timer_next() == own.due_ms, "the deadline is not known");
	peer_write(own.peer, 0, 1);
	turn(LONG_MS);
	CHECK(own.ready == 1 && own.revents == POLLIN, "ready %d times",
	    own.ready);
	own.want = 0;
	own.due_ms = NEVER;
	turn(LONG_MS);
	CHECK(own.ready == 2, "asked without being touched");
	turn(0);
	CHECK(own.ready == 2, "told although not wanted");
	own.want = POLLOUT;
	turn(0);
	CHECK(own.ready == 2, "asked without being touched");
	conn_touch(own.c);
	conn_touch(own.c);
	turn(0);
	turn(LONG_MS);
	CHECK(own.ready == 3 && own.revents == POLLOUT, "it is writable");
	own_close(&own);
}

/* A deadline that moves later need not be told. */
static void
test_expire(void)
{
	own_open(&own, CONN_OPEN);
	own.due_ms = now_ms + 1000;
	conns_bury();
	own.due_ms = now_ms + 3000;
	now_ms += 2000;
	timer_run();
	conns_bury();
	CHECK(own.expired == 0, "expired too soon");
	now_ms += 999;
	timer_run();
	CHECK(own.expired == 0, "expired too soon");
	now_ms += 1;
	timer_run();
	CHECK(own.expired == 1, "expired %d times", own.expired);
	own.due_ms = now_ms + 10;
	conns_bury();
	conn_kill(own.c);
	now_ms += 10;
	timer_run();
	CHECK(own.expired == 1, "the dead expire");
	own_close(&own);
}

/* Another owner of another kind has all of it. */
static void
test_give(void)
{
	static struct kind bare;
	size_t sent;

	own_open(&own, CONN_HEAD);
	bare = own_kind;
	bare.sent = NULL;
	bare.blocked = NULL;
	own_2 = own;
	conn_give(own.c, &bare, &own_2);
	sent = own_2.sent;
	conn_write(own.c, &(struct iovec){ octets, 10 }, 1, 10);
	conn_write(own.c, &(struct iovec){ octets, OCTETS }, 1, OCTETS);
	conns_flush();
	CHECK(own_2.sent == sent && own.sent == 0 && own.blocked == 0,
	    "the old owner was told");
	conns_bury();
	turn(0);
	CHECK(own.ready == 0 && own_2.ready == 0, "nothing was to be told");
	peer_write(own.peer, 0, 1);
	turn(LONG_MS);
	CHECK(own.ready == 0 && own_2.ready == 1, "ready %d", own_2.ready);
	conn_kill(own_2.c);
	conns_bury();
	CHECK(own.gone == 0 && own_2.gone == 1, "gone %d", own_2.gone);
	own_close(&own_2);
}

static void
test_replace_fd(void)
{
	int fd[2], old;

	own_open(&own, CONN_CONNECT);
	conns_bury();
	old = own.peer;
	pair_open(fd);
	conn_replace_fd(own.c, fd[0]);
	own.peer = fd[1];
	conns_bury();
	CHECK(peer_sees(old) == 0, "the old one is open");
	close(old);
	peer_write(own.peer, 0, 3);
	turn(LONG_MS);
	CHECK(own.ready == 1 && own.revents == POLLIN, "ready %d", own.ready);
	own_close(&own);
}

/* ---------------------------------------------------------------- the end */

/* A dead one has its descriptor and its memory until the end of the turn. */
static void
test_kill(void)
{
	char b[1];

	own_open(&own, CONN_STREAM);
	conn_put(own.c, octets, 1000);
	conn_fill(own.c, MEM_BLOCK);
	conn_kill(own.c);
	conn_kill(own.c);
	CHECK(conn_is_dead(own.c) && own.gone == 0, "gone at once");
	CHECK(read(own.peer, b, 1) == -1 && errno == EAGAIN,
	    "closed at once");
	conn_news(own.c, POLLIN);
	conn_linger(own.c);
	CHECK(own.ready == 0 && conn_is_dead(own.c), "the dead are told");
	conns_flush();
	CHECK(conns_bury() == 1 && own.gone == 1, "gone %d times",
	    own.gone);
	CHECK(peer_sees(own.peer) == 0, "more than an end came");
	CHECK(conns_bury() == 0, "buried twice");
	own_close(&own);
}

/* What gone() kills is buried too, but not on top of it. */
static void
test_gone(void)
{
	own_open(&own, CONN_STREAM);
	own_open(&own_2, CONN_OPEN);
	own.other = &own_2;
	conn_kill(own.c);
	CHECK(conns_bury() == 1, "nobody was buried");
	CHECK(own.gone == 1 && own_2.gone == 1, "gone %d and %d", own.gone,
	    own_2.gone);
	CHECK(own.other_was_gone == 0, "in the midst of another's end");
	CHECK(peer_sees(own_2.peer) == 0, "it is open still");
	close(own_2.peer);
	own_close(&own);
}

/* Both know each other, and both are killed. */
static void
test_gone_both(void)
{
	own_open(&own, CONN_STREAM);
	own_open(&own_2, CONN_OPEN);
	own.other = &own_2;
	own_2.other = &own;
	conn_kill(own_2.c);
	conn_kill(own.c);
	conn_flush_later(own.c);
	conn_touch(own_2.c);
	CHECK(conns_bury() == 1 && own.gone == 1 && own_2.gone == 1,
	    "gone %d and %d", own.gone, own_2.gone);
	CHECK(!conns_wait_flush(), "the dead wait");
	close(own_2.peer);
	own_close(&own);
}

/* Conns that are made again have nothing of those before. */
static void
test_fresh(void)
{
	static const struct conn empty;
	struct conn *c;
	int i;

	for (i = 0; i < 3; i++) {
		own_open_tcp(&own, CONN_STREAM);
		c = own.c;
		CHECK(!c->rd_eof && !c->rd_failed && !c->wr_end && !c->wr_shut
		    && !c->reset && !c->guarded && !c->flushing,
		    "marks of another");
		CHECK(c->rx.p == NULL && c->tx.len == 0 && c->scanned == 0 &&
		    c->drained == empty.drained, "octets of another");
		conn_put(c, octets, 100);
		c->scanned = 5;
		conn_guard(c, 1);
		conn_end(c);
		conn_abort(c);
		own_close(&own);
	}
}

/* By TCP a peer can tell an end from a break. */
static void
test_fin_and_rst(void)
{
	own_open_tcp(&own, CONN_STREAM);
	conn_kill(own.c);
	conns_bury();
	CHECK(peer_sees(own.peer) == 0, "kill: no end");
	own_close(&own);

	own_open_tcp(&own, CONN_STREAM);
	conn_abort(own.c);
	conns_bury();
	CHECK(peer_sees(own.peer) == -ECONNRESET, "abort: no reset");
	own_close(&own);

	own_open_tcp(&own, CONN_STREAM);
	conn_guard(own.c, 1);
	conn_kill(own.c);
	conns_bury();
	CHECK(peer_sees(own.peer) == -ECONNRESET, "guarded: no reset");
	own_close(&own);

	own_open_tcp(&own, CONN_STREAM);
	conn_kill(own.c);
	conn_abort(own.c);
	conns_bury();
	CHECK(peer_sees(own.peer) == 0, "the dead are aborted: no end");
	own_close(&own);

	own_open_tcp(&own, CONN_STREAM);
	conn_guard(own.c, 1);
	conn_guard(own.c, 0);
	conn_kill(own.c);
	conns_bury();
	CHECK(peer_sees(own.peer) == 0, "guarded no more: no end");
	own_close(&own);
}

/* An answer whose end is out is not taken back by a reset. */
static void
test_guard_lingers(void)
{
	own_open_tcp(&own, CONN_STREAM);
	conn_guard(own.c, 1);
	conn_put(own.c, octets, 10);
	conn_linger(own.c);
	conns_flush();
	conns_bury();
	now_ms += 2000;
	timer_run();
	conns_bury();
	CHECK(own.gone == 1, "it stays");
	CHECK(socket_error(own.peer) == 0 && peer_read(own.peer, 0, 11) == 10
	    && peer_sees(own.peer) == 0, "the peer was reset");
	own_close(&own);
}

/* What is queued arrives, although octets that came are not wanted. */
static void
test_part(void)
{
	own_open_tcp(&own, CONN_HEAD);
	peer_write(own.peer, 0, 50000);
	wait_for(own.c->watch.fd, POLLIN);
	conn_put(own.c, octets, 100);
	conn_part(own.c);
	CHECK(conn_is_dead(own.c) && own.gone == 0, "it stays");
	conns_bury();
	CHECK(peer_read(own.peer, 0, 101) == 100 &&
	    memcmp(got, octets, 100) == 0 && peer_sees(own.peer) == 0,
	    "not what was queued, and an end");
	own_close(&own);
}

struct guarded {
	struct sockaddr_in to;
	int on;
};

/* In a process that ends without closing anything. */
static void
connect_and_end(void *of)
{
	const struct guarded *g = of;
	int fd[2] = { -1, -1 };

	fd[0] = tcp_connect(&g->to);
	own_begin(&own, fd, CONN_STREAM);
	conn_guard(own.c, g->on);
	kill(getpid(), SIGKILL);
}

/* A guard holds also where the process is killed. */
static void
test_guard_killed(void)
{
	struct guarded g;
	char said[256];
	int listener = tcp_listen(&g.to), fd, status, seen;

	for (g.on = 0; g.on < 2; g.on++) {
		status = check_child(connect_and_end, &g, said, sizeof(said));
		CHECK(WIFSIGNALED(status), "status %d", status);
		fd = accept(listener, NULL, NULL);
		seen = peer_sees(fd);
		CHECK(seen == (g.on ? -ECONNRESET : 0),
		    "guarded %d: the peer sees %d", g.on, seen);
		close(fd);
	}
	close(listener);
}

/* ---------------------------------------------------------------- reading */

static void
test_io_result(void)
{
	errno = EAGAIN;
	CHECK(io_result(-1) == IO_WAIT, "EAGAIN");
	errno = EINTR;
	CHECK(io_result(-1) == IO_WAIT, "EINTR");
	errno = ECONNRESET;
	CHECK(io_result(-1) == IO_ERROR, "ECONNRESET");
	CHECK(io_result(0) == IO_EOF && io_result(1) == IO_DATA, "0 and 1");
}

static void
test_read(void)
{
	unsigned char a[4], b[8];
	struct iovec iov[2] = { { a, sizeof(a) }, { b, sizeof(b) } };
	size_t n = 99;

	own_open(&own, CONN_STREAM);
	CHECK(conn_read(own.c, a, sizeof(a), &n) == IO_WAIT && n == 0,
	    "nothing came");
	peer_write(own.peer, 0, 10);
	CHECK(conn_readv(own.c, iov, 2, &n) == IO_DATA && n == 10 &&
	    memcmp(a, octets, 4) == 0 && memcmp(b, octets + 4, 6) == 0,
	    "%zu of 10", n);
	peer_write(own.peer, 0, 3);
	peer_close(&own);
	CHECK(!conn_end_is_known(own.c), "an end before the octets");
	CHECK(conn_read(own.c, b, sizeof(b), &n) == IO_DATA && n == 3,
	    "%zu of 3", n);
	CHECK(conn_read(own.c, b, sizeof(b), &n) == IO_EOF && n == 0 &&
	    conn_read(own.c, b, sizeof(b), &n) == IO_EOF &&
	    conn_end_is_known(own.c), "an end is told each time");
	own_close(&own);
}

/* The kernel tells of a reset once. */
static void
test_read_error(void)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	char b[4];
	size_t n;

	own_open_tcp(&own, CONN_STREAM);
	setsockopt(own.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	peer_close(&own);
	wait_for(own.c->watch.fd, POLLIN);
	CHECK(conn_read(own.c, b, sizeof(b), &n) == IO_ERROR && n == 0 &&
	    errno == ECONNRESET, "no reset");
	CHECK(conn_read(own.c, b, sizeof(b), &n) == IO_ERROR &&
	    conn_fill(own.c, MEM_BLOCK) == IO_ERROR &&
	    conn_end_is_known(own.c), "it is told once");
	own_close(&own);
}

/* A hang-up that poll() would tell for ever is taken out of the set. */
static void
test_end_not_watched(void)
{
	own_open(&own, CONN_STREAM);
	CHECK(!conn_end_is_known(own.c), "an end of nothing");
	pollset_remove(&own.c->watch);
	CHECK(conn_end_is_known(own.c), "poll() will tell of it");
	own_close(&own);
}

/* Whatever pieces octets come in, they stand in rx one behind the other. */
static void
test_fill(void)
{
	size_t piece, in, out;
	struct view v;

	for (piece = 1; piece < 5000; piece = piece * 3 + 1) {
		own_open(&own, CONN_HEAD);
		in = out = 0;
		while (in < 20000) {
			peer_write(own.peer, in, piece);
			in += piece;
			while (conn_fill(own.c, MEM_BLOCK) == IO_DATA)
				continue;
			v = buf_view(&own.c->rx);
			CHECK(v.n == in - out &&
			    memcmp(v.p, octets + out, v.n) == 0,
			    "%zu octets, %zu came", v.n, in - out);
			if (v.n > 9000) {
				buf_consume(&own.c->rx, 8000);
				out += 8000;
			}
		}
		own_close(&own);
	}
}

/* What is read is at most what was asked for; the rest waits in the socket. */
static void
test_fill_max(void)
{
	static const size_t max[] = {
		100, 3000, MEM_BLOCK, 20000, MEM_LARGE, 65536, 70000
	};
	size_t i, out;

	for (i = 0; i < ARRAY_LEN(max); i++) {
		own_open(&own, CONN_HEAD);
		peer_write(own.peer, 0, 80000);
		while (conn_fill(own.c, max[i]) == IO_DATA)
			continue;
		CHECK(own.c->rx.len == max[i], "%zu of %zu", own.c->rx.len,
		    max[i]);
		for (out = 0; out < 80000; out += 100) {
			CHECK(memcmp(buf_view(&own.c->rx).p, octets + out,
			    100) == 0, "not what came at %zu", out);
			buf_consume(&own.c->rx, 100);
			conn_fill(own.c, max[i]);
		}
		CHECK(own.c->rx.len == 0, "%zu are left", own.c->rx.len);
		own_close(&own);
	}
}

/* What comes is copied in the order in which it came, until there is no room for
 * it: then all of the copy goes. */
static void
test_copy(void)
{
	struct chain copy = { 0 };
	unsigned char a[3], b[100] = { 0 };
	struct iovec iov[2] = { { a, sizeof(a) }, { b, sizeof(b) } };
	size_t n;

	own_open(&own, CONN_STREAM);
	while (copy.len < CONN_COPY_MAX - 60)
		CHECK(chain_put(&copy, b, min_size(sizeof(b),
		    CONN_COPY_MAX - 60 - copy.len)) == 0, "no memory");
	conn_copy_to(own.c, &copy);
	peer_write(own.peer, 0, 10);
	conn_readv(own.c, iov, 2, &n);
	peer_write(own.peer, 10, 10);
	conn_fill(own.c, MEM_BLOCK);
	peer_write(own.peer, 20, 40);
	conn_read(own.c, b, sizeof(b), &n);
	CHECK(copy.len == CONN_COPY_MAX, "%zu octets", copy.len);
	conn_copy_to(own.c, NULL);
	peer_write(own.peer, 0, 1);
	conn_read(own.c, b, sizeof(b), &n);
	CHECK(copy.len == CONN_COPY_MAX, "copied to nowhere");
	chain_consume(&copy, CONN_COPY_MAX - 60);
	chain_take(&copy, b, 60);
	CHECK(memcmp(b, octets, 60) == 0, "other octets");
	while (copy.len < CONN_COPY_MAX)
		CHECK(chain_put(&copy, b, min_size(sizeof(b),
		    CONN_COPY_MAX - copy.len)) == 0, "no memory");
	conn_copy_to(own.c, &copy);
	peer_write(own.peer, 0, 1);
	CHECK(conn_read(own.c, b, sizeof(b), &n) == IO_DATA && n == 1 &&
	    copy.head == NULL && own.c->copy == NULL, "one more than it may hold");
	own_close(&own);
}

/* Memory of what was read is given back between turns. */
static void
test_rx_given_back(void)
{
	static const enum conn_state state[] = { CONN_HEAD, CONN_OPEN };
	size_t i;

	for (i = 0; i < ARRAY_LEN(state); i++) {
		own_open(&own, state[i]);
		peer_write(own.peer, 0, 10);
		conn_fill(own.c, MEM_BLOCK);
		conn_touch(own.c);
		conns_bury();
		CHECK(own.c->rx.len == 10, "octets went");
		buf_consume(&own.c->rx, 10);
		conn_touch(own.c);
		conns_bury();
		CHECK(own.c->rx.cap == 0,
		    "state %d keeps %zu", (int)state[i], own.c->rx.cap);
		own_close(&own);
	}
}

/* In rx, and in the socket behind that. */
static void
test_arrived(void)
{
	own_open(&own, CONN_HEAD);
	CHECK(conn_arrived(own.c) == 0, "%lld came", conn_arrived(own.c));
	peer_write(own.peer, 0, 1000);
	CHECK(conn_arrived(own.c) == 1000, "%lld came", conn_arrived(own.c));
	conn_fill(own.c, MEM_BLOCK);
	buf_consume(&own.c->rx, 400);
	peer_write(own.peer, 0, 50);
	CHECK(own.c->rx.len == 600 && conn_arrived(own.c) == 650, "%lld came",
	    conn_arrived(own.c));
	own_close(&own);
}

/* ---------------------------------------------------------------- writing */

static void
write_all_of(struct owner *o, size_t from, size_t n)
{
	struct iovec iov = { octets + from, n };

	conn_write(o->c, &iov, 1, n);
}

static void
test_write_at_once(void)
{
	own_open(&own, CONN_STREAM);
	write_all_of(&own, 0, 100);
	CHECK(own.c->tx.len == 0 && own.sent == 100, "%zu wait, %zu sent",
	    own.c->tx.len, own.sent);
	CHECK(peer_read(own.peer, 0, 100) == 100 &&
	    memcmp(got, octets, 100) == 0, "not what was written");
	CHECK(conns_wait_flush(), "it is not flushed at the end of the turn");
	conns_flush();
	CHECK(!conns_wait_flush() && own.sent == 100 && own.blocked == 0,
	    "%zu sent", own.sent);
	own_close(&own);
}

/* What was put waits for the end of the turn, and what is written then waits
 * behind it. */
static void
test_write_behind(void)
{
	own_open(&own, CONN_STREAM);
	conn_put(own.c, octets, 10);
	write_all_of(&own, 10, 90);
	conn_put(own.c, octets + 100, 10);
	CHECK(own.c->tx.len == 110 && own.sent == 0, "%zu wait",
	    own.c->tx.len);
	conns_flush();
	CHECK(own.c->tx.len == 0 && own.sent == 110, "%zu wait, %zu sent",
	    own.c->tx.len, own.sent);
	CHECK(peer_read(own.peer, 0, 110) == 110 &&
	    memcmp(got, octets, 110) == 0, "not what was written");
	own_close(&own);
}

/* While connecting nothing is written, not even where it could be. */
static void
test_write_connecting(void)
{
	own_open(&own, CONN_CONNECT);
	write_all_of(&own, 0, 10);
	conns_flush();
	CHECK(own.c->tx.len == 10 && own.sent == 0, "%zu wait",
	    own.c->tx.len);
	conn_state(own.c, CONN_STREAM);
	conn_flush_later(own.c);
	conns_flush();
	CHECK(own.c->tx.len == 0 && own.sent == 10, "%zu wait",
	    own.c->tx.len);
	own_close(&own);
}

/* A socket that takes little at a time. */
static void
own_open_narrow(struct owner *o, enum conn_state s)
{
	int little = 1;

	own_open(o, s);
	setsockopt(o->c->watch.fd, SOL_SOCKET, SO_SNDBUF, &little,
	    sizeof(little));
}

/* Cuts octets[from..from + n) into at most 8 pieces. */
static int
cut_at_random(struct iovec *iov, size_t from, size_t n)
{
	int k = 0;

	while (n > 0 && k < 7) {
		size_t piece = check_random((unsigned int)n + 1);

		iov[k].iov_base = octets + from;
		iov[k++].iov_len = piece;
		from += piece;
		n -= piece;
	}
	iov[k].iov_base = octets + from;
	iov[k].iov_len = n;
	return k + 1;
}

/* Wherever a write is cut short, all octets come in their order, and the
 * owner hears of just so many. */
static void
test_short_writes(void)
{
	struct iovec iov[8];
	size_t in = 0, out = 0, n;
	int k, waited = 0;

	own_open_narrow(&own, CONN_STREAM);
	while (in < OCTETS) {
		n = min_size(check_random(20000), OCTETS - in);
		k = cut_at_random(iov, in, n);
		conn_write(own.c, iov, k, n);
		in += n;
		CHECK(own.sent + own.c->tx.len == in, "%zu sent, %zu wait of "
		    "%zu", own.sent, own.c->tx.len, in);
		conns_flush();
		waited += own.c->tx.len > 0;
		CHECK(own.blocked == waited, "%d of %d times", own.blocked,
		    waited);
		out = peer_read(own.peer, out, min_size(own.sent,
		    out + check_random(30000)));
	}
	CHECK(waited > 0, "no write was short");
	for (n = OCTETS; out < OCTETS && out != n; ) {
		n = out;
		conn_flush_later(own.c);
		conns_flush();
		out = peer_read(own.peer, out, min_size(own.sent, OCTETS));
	}
	CHECK(own.c->tx.len == 0 && own.sent == OCTETS, "%zu wait",
	    own.c->tx.len);
	CHECK(memcmp(got, octets, OCTETS) == 0, "not what was written");
	own_close(&own);
}

/* The peer takes all of n octets, as they are flushed, up to an end. */
static void
read_to_end(struct owner *o, size_t n)
{
	size_t out = 0;
	ssize_t r;

	memset(got, 0, n);
	do {
		conn_flush_later(o->c);
		conns_flush();
		wait_for(o->peer, POLLIN);
		r = read(o->peer, got + out, OCTETS - out);
		out += r > 0 ? (size_t)r : 0;
	} while (r > 0);
	CHECK(r == 0 && out == n && memcmp(got, octets, n) == 0,
	    "%zu of %zu came", out, n);
}

static void
test_end(void)
{
	char b[1];

	own_open(&own, CONN_STREAM);
	conn_end(own.c);
	CHECK(read(own.peer, b, 1) == -1 && errno == EAGAIN, "an end at once");
	conns_flush();
	CHECK(peer_sees(own.peer) == 0 && own.c->wr_shut, "no end");
	peer_write(own.peer, 0, 5);
	CHECK(conn_fill(own.c, MEM_BLOCK) == IO_DATA && own.c->rx.len == 5,
	    "what comes is read still");
	own_close(&own);

	own_open_narrow(&own, CONN_STREAM);
	write_all_of(&own, 0, 300000);
	conn_end(own.c);
	conns_flush();
	CHECK(own.c->tx.len > 0 && !own.c->wr_shut, "an end before %zu octets",
	    own.c->tx.len);
	read_to_end(&own, 300000);
	CHECK(own.c->wr_shut && own.broken == 0, "it broke");
	own_close(&own);
}

/* A write that fails is told once, from a flush. */
static void
test_broken(void)
{
	own_open(&own, CONN_STREAM);
	peer_close(&own);
	write_all_of(&own, 0, 10);
	CHECK(own.broken == 0, "told in the midst of a write");
	conns_flush();
	CHECK(own.broken == 1 && conn_is_dead(own.c) && own.sent == 0,
	    "told %d times", own.broken);
	conns_flush();
	own_close(&own);
	CHECK(own.broken == 1, "told %d times", own.broken);
}

/* -------------------------------------------------------------- lingering */

/* Its owner hears of nothing but its end. */
static void
test_linger(void)
{
	own_open(&own, CONN_STREAM);
	peer_write(own.peer, 0, 1000);
	conn_fill(own.c, MEM_BLOCK);
	conn_put(own.c, octets, 300);
	conn_linger(own.c);
	conn_linger(own.c);
	CHECK(own.c->state == CONN_LINGER && own.c->rx.p == NULL,
	    "state %d", (int)own.c->state);
	turn(0);
	CHECK(peer_read(own.peer, 0, 301) == 300 &&
	    memcmp(got, octets, 300) == 0, "not the last octets, and an end");
	peer_write(own.peer, 0, 5000);
	turn(LONG_MS);
	CHECK(own.gone == 0 && own.c->drained == 5000, "%zu were dropped",
	    own.c->drained);
	peer_close(&own);
	turn(LONG_MS);
	CHECK(own.gone == 1, "it stays");
	CHECK(own.ready == 0 && own.sent == 0 && own.blocked == 0 &&
	    own.broken == 0 && own.expired == 0, "its owner was told");
	own_close(&own);
}

/* With nothing to send the end goes at once, and a peer that has ended is not
 * waited for. */
static void
test_linger_short(void)
{
	size_t n;
	char b[1];

	own_open(&own, CONN_HEAD);
	conn_linger(own.c);
	CHECK(peer_sees(own.peer) == 0, "no end");
	CHECK(!conn_is_dead(own.c), "the peer is not waited for");
	own_close(&own);

	own_open(&own, CONN_HEAD);
	shutdown(own.peer, SHUT_WR);
	CHECK(conn_read(own.c, b, 1, &n) == IO_EOF, "no end");
	conn_put(own.c, octets, 10);
	conn_linger(own.c);
	CHECK(!conn_is_dead(own.c), "before its octets went");
	turn(0);
	CHECK(own.gone == 1, "it stays");
	CHECK(peer_read(own.peer, 0, 11) == 10, "not the last octets");
	own_close(&own);
}

/* A large answer goes whole, however slowly it is taken. */
static void
test_linger_long(void)
{
	own_open_narrow(&own, CONN_STREAM);
	write_all_of(&own, 0, 500000);
	own.blocked = 0;
	conn_linger(own.c);
	conns_flush();
	CHECK(own.c->tx.len > 0 && own.blocked == 0, "%zu wait",
	    own.c->tx.len);
	conns_bury();
	now_ms += WRITE_STALL_MS - 1;
	timer_run();
	CHECK(!conn_is_dead(own.c), "ended while it waits");
	clock_turn();
	read_to_end(&own, 500000);
	own_close(&own);
}

/* A peer has 2 s to end too, and 5 minutes to take octets. */
static void
test_linger_deadlines(void)
{
	own_open(&own, CONN_STREAM);
	conn_linger(own.c);
	conns_bury();
	now_ms += 1999;
	timer_run();
	CHECK(!conn_is_dead(own.c), "ended too soon");
	now_ms += 1;
	timer_run();
	CHECK(conn_is_dead(own.c) && own.expired == 0, "it stays");
	own_close(&own);

	own_open_narrow(&own, CONN_STREAM);
	write_all_of(&own, 0, 500000);
	conn_linger(own.c);
	conns_flush();
	conns_bury();
	now_ms += WRITE_STALL_MS;
	timer_run();
	CHECK(conn_is_dead(own.c), "it stays");
	own_close(&own);
}

/* What still comes is dropped, but not for ever. */
static void
test_linger_flood(void)
{
	size_t n = 0;
	int rounds = 0;

	own_open(&own, CONN_STREAM);
	conn_linger(own.c);
	conns_bury();
	while (own.gone == 0 && rounds++ < 10000) {
		ssize_t w = write(own.peer, octets, 16384);

		if (w > 0)
			n += (size_t)w;
		turn(0);
	}
	CHECK(own.gone == 1, "%zu octets were taken", n);
	CHECK(n > (1 << 20) && n < (2 << 20), "ended after %zu octets", n);
	own_close(&own);
}

static void
linger_from(void *of)
{
	own_open(&own, *(enum conn_state *)of);
	conn_linger(own.c);
}

/* Only what may still have an answer to send lingers. */
static void
test_linger_who(void)
{
	static enum conn_state not[] = {
		CONN_LISTEN, CONN_CONNECT, CONN_HANDSHAKE, CONN_IDLE, CONN_OPEN
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(not); i++)
		CHECK(check_must("gate/conn.c", linger_from, &not[i]),
		    "state %d lingers", (int)not[i]);
}

static void
test_ending(void)
{
	own_open(&own, CONN_STREAM);
	CHECK(!conns_are_ending(), "at work");
	conn_put(own.c, octets, 10);
	CHECK(conns_are_ending(), "octets wait");
	conns_flush();
	CHECK(!conns_are_ending(), "they went");
	conn_linger(own.c);
	CHECK(conns_are_ending(), "it lingers");
	conn_kill(own.c);
	conns_bury();
	CHECK(!conns_are_ending(), "it is gone");
	own_close(&own);

	own_open(&own, CONN_OPEN);
	conn_state(own.c, CONN_CLOSING);
	CHECK(conns_are_ending(), "a close frame is out");
	own_close(&own);
}

void
test_conn(void)
{
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < OCTETS; i++)
		octets[i] = (unsigned char)(i * 7 + i / 251);
	test_lives();
	test_no_way_back();
	test_asked();
	test_expire();
	test_give();
	test_replace_fd();
	test_kill();
	test_gone();
	test_gone_both();
	test_fresh();
	test_fin_and_rst();
	test_part();
	test_guard_lingers();
	test_guard_killed();
	test_io_result();
	test_read();
	test_read_error();
	test_end_not_watched();
	test_fill();
	test_fill_max();
	test_copy();
	test_rx_given_back();
	test_arrived();
	test_write_at_once();
	test_write_behind();
	test_write_connecting();
	test_short_writes();
	test_end();
	test_broken();
	test_linger();
	test_linger_short();
	test_linger_long();
	test_linger_deadlines();
	test_linger_flood();
	test_linger_who();
	test_ending();
}
