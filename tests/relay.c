/*
 * relay PORT BITS DELAY QUEUE: a long, narrow wire before 127.0.0.1:PORT.
 *
 * Each way carries BITS a second, shared by all connections; what goes in
 * comes out DELAY ms after it left a queue that holds QUEUE octets in all.
 * DELAY may be a list, as 10,40@15,10@30: 40 ms from second 15 on, counted from
 * the first connection, and so on.
 * While the queue is full nothing is read.  Prints the port that it listens
 * on.  An end or a break on one side is passed on to the other.
 */
#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNS = 512,
	READ_MAX = 16384,
	RCVBUF = 32768,		/* the kernel doubles it */
	SEGMENT = 1448		/* loopback's own would be more than that holds */
};

struct piece {
	struct piece *next;
	long long due_ns;
	size_t n, off;
	unsigned char data[];	/* none: the end of the stream */
};

/* One direction of the wire: when its last octet will have left the queue. */
struct way {
	long long busy_ns;
};

/* One direction of a connection. */
struct flow {
	struct piece *first, **last;
	size_t held;		/* octets in the list */
	long long last_ns;	/* when the last of them is due */
	int from, to;
	int ended;		/* nothing more is read */
	int done;		/* and all, with the end, is passed on */
	int refused;		/* the far side takes nothing for the moment */
	struct way *way;
};

struct conn {
	struct flow flow[2];
	int used;
};

static struct conn conns[CONNS];
static struct way ways[2];
static long long bits, delay_ns, start_ns;
static const char *delays;	/* what the list has still to come */
static size_t queue_max;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static long long
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static long long
span_ns(size_t n)
{
	return (long long)n * 8 * 1000000000LL / bits;
}

static void
fd_prepare(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1)
		die("fcntl");
}

/* Before connect() and listen(), or the window has been offered already. */
static void
fd_narrow(int fd)
{
	int room = RCVBUF, segment = SEGMENT;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
}

static void
fd_break(int fd)
{
	struct linger hard = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

static void
flow_start(struct flow *f, int from, int to, struct way *w)
{
	memset(f, 0, sizeof(*f));
	f->last = &f->first;
	f->from = from;
	f->to = to;
	f->way = w;
}

static void
flow_drop(struct flow *f)
{
	struct piece *p;

	while ((p = f->first) != NULL) {
		f->first = p->next;
		free(p);
	}
}

static void
conn_end(struct conn *c, int broken)
{
	int i;

	for (i = 0; i < 2; i++) {
		flow_drop(&c->flow[i]);
		if (broken)
			fd_break(c->flow[i].from);
		else
			close(c->flow[i].from);
	}
	c->used = 0;
}

/* Octets that may be read now: room in the queue of this direction, and what
 * the far side has not taken is queue too. */
static size_t
flow_room(const struct flow *f, long long now)
{
	size_t wait, flight;

	if (f->ended)
		return 0;
	wait = f->way->busy_ns <= now ? 0 :
	    (size_t)((f->way->busy_ns - now) / 8 * bits / 1000000000LL);
	flight = (size_t)(delay_ns / 8 * bits / 1000000000LL);
	if (wait + READ_MAX > queue_max ||
	    f->held + READ_MAX > queue_max + flight)
		return 0;
	return READ_MAX;
}

/* Takes the next delay of the list where its second has come. */
static void
delay_turn(long long now)
{
	char *end;
	long long ms;
	double at = 0;

	if (*delays == '\0')
		return;
	ms = strtoll(delays, &end, 10);
	if (*end == '@')
		at = strtod(end + 1, &end);
	if (now - start_ns < (long long)(at * 1e9))
		return;
	delay_ns = ms * 1000000LL;
	delays = *end == ',' ? end + 1 : end;
}

static void
flow_append(struct flow *f, struct piece *p, size_t n, long long now)
{
	if (f->way->busy_ns < now)
		f->way->busy_ns = now;
	f->way->busy_ns += span_ns(n);
	p->due_ns = f->way->busy_ns + delay_ns;
	if (p->due_ns < f->last_ns)	/* nothing overtakes */
		p->due_ns = f->last_ns;
	f->last_ns = p->due_ns;
	p->n = n;
	p->off = 0;
	p->next = NULL;
	*f->last = p;
	f->last = &p->next;
	f->held += n;
	f->ended = n == 0;
}

/* -1: the connection is broken. */
static int
flow_read(struct flow *f, long long now)
{
	struct piece *p = malloc(sizeof(*p) + READ_MAX);
	ssize_t n;

	if (p == NULL)
		die("malloc");
	n = recv(f->from, p->data, READ_MAX, 0);
	if (n == -1) {
		free(p);
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	}
	flow_append(f, p, (size_t)n, now);
	return 0;
}

/* 1: this piece has gone, 0: not all of it, -1: broken. */
static int
flow_write(struct flow *f, struct piece *p)
{
	ssize_t n;

	if (p->n == 0) {
		shutdown(f->to, SHUT_WR);
		f->done = 1;
		return 1;
	}
	n = send(f->to, p->data + p->off, p->n - p->off, MSG_NOSIGNAL);
	if (n == -1 && errno != EAGAIN && errno != EINTR)
		return -1;
	if (n > 0) {
		p->off += (size_t)n;
		f->held -= (size_t)n;
	}
	f->refused = p->off < p->n;
	return !f->refused;
}

static int
flow_pass(struct flow *f, long long now)
{
	struct piece *p;
	int r;

	while ((p = f->first) != NULL && p->due_ns <= now) {
		if ((r = flow_write(f, p)) != 1)
			return r;
		f->first = p->next;
		if (f->first == NULL)
			f->last = &f->first;
		free(p);
	}
	return 0;
}

static void
conn_turn(struct conn *c, const short *ready, long long now)
{
	int i, bad = 0;

	for (i = 0; i < 2; i++) {
		struct flow *f = &c->flow[i];

		if ((ready[i] & (POLLIN | POLLHUP | POLLERR)) != 0 &&
		    flow_room(f, now) > 0)
			bad |= flow_read(f, now);
		if ((ready[i] & POLLERR) != 0 && f->ended)
			bad = -1;
		bad |= flow_pass(f, now);
	}
	if (bad != 0)
		conn_end(c, 1);
	else if (c->flow[0].done && c->flow[1].done)
		conn_end(c, 0);
}

static int
fd_listen(int *port)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd == -1)
		die("socket");
	fd_narrow(fd);
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(fd, 128) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		die("listen");
	*port = ntohs(sin.sin_port);
	return fd;
}

static int
fd_connect(int port)
{
	struct sockaddr_in sin;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons((unsigned short)port);
	if (fd == -1)
		die("socket");
	fd_narrow(fd);
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

static void
conn_open(int listener, int port)
{
	int i, a = accept(listener, NULL, NULL), b;

	if (a == -1)
		return;
	for (i = 0; i < CONNS && conns[i].used; i++)
		continue;
	if (i == CONNS || (b = fd_connect(port)) == -1) {
		fd_break(a);
		return;
	}
	fd_prepare(a);
	fd_prepare(b);
	flow_start(&conns[i].flow[0], a, b, &ways[0]);
	flow_start(&conns[i].flow[1], b, a, &ways[1]);
	conns[i].used = 1;
}

/* Bits to wait for on the fd that flow i reads and the other one writes. */
static short
conn_events(const struct conn *c, int i, long long now)
{
	short ev = 0;

	if (flow_room(&c->flow[i], now) > 0)
		ev |= POLLIN;
	if (c->flow[!i].refused)
		ev |= POLLOUT;
	return ev;
}

/* Something is to be done at a time, not at an event. */
static int
conn_pending(const struct conn *c)
{
	return c->flow[0].first != NULL || c->flow[1].first != NULL;
}

static void
turn(int listener, int port, unsigned round)
{
	static struct pollfd pfd[1 + 2 * CONNS];
	static struct conn *who[CONNS];
	nfds_t n = 0, k;
	int i, pending = 0;
	long long now = now_ns();

	for (i = 0; i < CONNS; i++) {
		struct conn *c = &conns[((unsigned)i + round) % CONNS];

		if (!c->used)
			continue;
		who[n / 2] = c;
		pfd[n].fd = c->flow[0].from;
		pfd[n++].events = conn_events(c, 0, now);
		pfd[n].fd = c->flow[1].from;
		pfd[n++].events = conn_events(c, 1, now);
		pending |= conn_pending(c);
	}
	pfd[n].fd = listener;
	pfd[n].events = POLLIN;
	if (poll(pfd, n + 1, pending ? 1 : -1) == -1) {
		if (errno != EINTR)
			die("poll");
		return;
	}
	now = now_ns();
	if (start_ns != 0)
		delay_turn(now);
	for (k = 0; k < n; k += 2) {
		short ready[2] = { pfd[k].revents, pfd[k + 1].revents };

		conn_turn(who[k / 2], ready, now);
	}
	if (pfd[n].revents != 0)
		conn_open(listener, port);
	if (start_ns == 0 && pfd[n].revents != 0)
		start_ns = now;
}

int
main(int argc, char *argv[])
{
	int listener, port, mine;
	unsigned round;

	if (argc != 5) {
		fprintf(stderr, "usage: relay PORT BITS DELAY_MS QUEUE\n");
		return 2;
	}
	port = (int)strtol(argv[1], NULL, 10);
	bits = strtoll(argv[2], NULL, 10);
	delays = argv[3];
	delay_turn(start_ns);
	queue_max = (size_t)strtoull(argv[4], NULL, 10);
	/* What waits in the kernel to be read is queue too. */
	queue_max = queue_max > 3 * RCVBUF ? queue_max - 2 * RCVBUF : RCVBUF;
	signal(SIGPIPE, SIG_IGN);
	listener = fd_listen(&mine);
	printf("port %d\n", mine);
	fflush(stdout);
	for (round = 0;; round++)
		turn(listener, port, round);
}
