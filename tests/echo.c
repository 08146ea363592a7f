/*
 * A WebSocket echo peer made of the program's own frames, links and loop, so
 * that any RFC 6455 suite can be run against them:
 *
 *	build/echo server [PORT]		prints "listening on PORT"
 *	build/echo client HOST PORT PATH	dials, echoes until the other
 *						side closes, then ends
 *
 * What is echoed goes out as it came, whole, in fragments where it is large.
 */
#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/net.h"
#include "gate/child.h"
#include "gate/link.h"
#include "gate/from_link.h"
#include "gate/held.h"
#include "pipegate.h"

#define PIECE 32768

/* Messages that wait for room, one after the other. */
struct pending {
	struct pending *next;
	struct link *l;
	size_t at, n;
	int opcode;
	unsigned char data[];
};

static struct pending *first, **last = &first;
static int is_client;

/* Sends a piece of m.  Returns 1 when that was the last, 0 else. */
static int
echo_piece(struct pending *m)
{
	size_t n = min_size(m->n - m->at, PIECE);
	unsigned char *p = link_begin(m->l, n);

	if (p == NULL)
		return 0;
	memcpy(p, m->data + m->at, n);
	link_commit(m->l, m->at == 0 ? m->opcode : WS_CONTINUATION,
	    m->at + n == m->n, n);
	m->at += n;
	return m->at == m->n;
}

static void
echo_settle(void)
{
	struct pending **at = &first, *m;

	while ((m = *at) != NULL) {
		int done = 0;

		while (!done && link_is_live(m->l) &&
		    link_unwritten(m->l) < LINK_BODY_ROOM)
			done = echo_piece(m);
		if (!done) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		free(m);
	}
	last = at;
}

/* Goes out at once as far as there is room: a close may stand behind it. */
static void
echo_message(struct link *l, int opcode, unsigned char *p, size_t n)
{
	struct pending *m = malloc(sizeof(*m) + n);

	if (m == NULL)
		die("out of memory");
	m->next = NULL;
	m->l = l;
	m->at = 0;
	m->n = n;
	m->opcode = opcode;
	if (n > 0)
		memcpy(m->data, p, n);
	*last = m;
	last = &m->next;
	echo_settle();
}

static void
echo_unheld(struct link *l, int status, const unsigned char *p, size_t n)
{
	(void)status;
	(void)p;
	(void)n;
	link_fail(l, -1009, "message too big");
}

/* Drops what waits for l, which is no more. */
static void
echo_gone(struct link *l, int code, const char *why)
{
	struct pending **at = &first, *m;

	(void)code;
	(void)why;
	while ((m = *at) != NULL) {
		if (m->l != l) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		free(m);
	}
	last = at;
	if (is_client)
		loop_stop();
}

static const struct link_ops echo_ops = {
	.message = echo_message, .piece = held_piece,
	.unheld = echo_unheld, .gone = echo_gone,
	.freed = held_link_freed, .alone_ms = LINK_ALONE_V1_MS,
};

static struct link *
echo_link(struct conn *c, int masks)
{
	struct link *l = link_alloc();

	if (l == NULL)
		die("out of memory");
	link_begin_on(l, c, &echo_ops, NULL, NULL, &account_nobody, masks);
	if (held_link_begin(l) == -1)
		die("out of memory");
	conn_state(c, CONN_OPEN);
	return l;
}

/* --- the server's side */

static void
server_take(struct conn *c)
{
	static struct http_head h;
	static const struct ws_public nowhere;
	static struct ws_offer offer;
	struct http_out o = { NULL, 1024, 0 };
	struct view in = buf_view(&c->rx);
	struct link *l;
	int r = http_request_parse(&h, in.p, in.n, &c->scanned);

	if (r == 0)
		return;
	if (r < 0 || ws_offer_read(&offer, &h) < 0) {
		conn_kill(c);
		return;
	}
	l = echo_link(c, 0);
	offer.v2 = 0;
	buf_consume(&c->rx, (size_t)r);
	o.p = buf_space(&l->tx, o.cap, LINK_TX_MAX);
	ws_accept_put(&o, &offer, &nowhere);
	l->tx.len = o.len;
	link_later(l);
	link_input(l);
}

static void
head_ready(struct conn *c, short revents)
{
	enum io io = conn_fill(c, MEM_LARGE);

	(void)revents;
	if (io == IO_DATA)
		server_take(c);
	else if (io != IO_WAIT)
		conn_kill(c);
}

static const struct kind head_kind = {
	.name = "head", .ready = head_ready, .broken = conn_kill,
	.events = always_readable, .deadline = no_deadline,
	.expire = conn_kill,
};

static void
accept_ready(struct conn *c, short revents)
{
	struct sockaddr_storage ss;
	int fd = socket_accept(c->watch.fd, &ss);

	(void)revents;
	if (fd != -1)
		conn_new(&head_kind, NULL, fd, CONN_HEAD);
}

static const struct kind accept_kind = {
	.name = "accept", .ready = accept_ready, .broken = conn_kill,
	.events = always_readable, .deadline = no_deadline,
	.expire = conn_kill,
};

static void
server_start(const char *port)
{
	struct sockaddr_in in;
	socklen_t n = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	memset(&in, 0, sizeof(in));
	in.sin_family = AF_INET;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons((unsigned short)strtol(port, NULL, 10));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const void *)&in, n) == -1 || listen(fd, 64) == -1 ||
	    getsockname(fd, (void *)&in, &n) == -1)
		die("listen:");
	fd_prepare(fd);
	conn_new(&accept_kind, NULL, fd, CONN_LISTEN);
	person_say("listening on %d", (int)ntohs(in.sin_port));
	say_flush();
}

/* --- the client's side */

static struct ws_dial echo_dial;

static void
client_take(struct conn *c)
{
	static struct http_head h;
	struct view in = buf_view(&c->rx);
	struct ws_hello hello;
	const char *why;
	int v2, r = http_answer_parse(&h, in.p, in.n, &c->scanned,
	    view_of("GET"));

	if (r == 0)
		return;
	if (r < 0 || ws_answer_check(&h, &echo_dial, &v2, &hello, &why) < 0)
		die("the other side did not open a WebSocket");
	buf_consume(&c->rx, (size_t)r);
	link_input(echo_link(c, 1));
}

static void
answer_ready(struct conn *c, short revents)
{
	unsigned char space[4096];
	struct http_out o = { space, sizeof(space), 0 };
	enum io io;

	(void)revents;
	if (c->state == CONN_CONNECT) {
		if (socket_error(c->watch.fd) != 0)
			die("cannot connect");
		conn_state(c, CONN_HANDSHAKE);
		random_bytes(echo_dial.nonce, sizeof(echo_dial.nonce));
		ws_dial_put(&o, &echo_dial);
		conn_put(c, space, o.len);
		return;
	}
	io = conn_fill(c, MEM_LARGE);
	if (io == IO_DATA)
		client_take(c);
	else if (io != IO_WAIT)
		die("closed before the handshake was done");
}

static short
answer_events(const struct conn *c)
{
	return c->state == CONN_CONNECT ? POLLOUT : POLLIN;
}

static const struct kind answer_kind = {
	.name = "answer", .ready = answer_ready, .broken = conn_kill,
	.events = answer_events, .deadline = no_deadline, .expire = conn_kill,
};

static void
client_start_to(char **argv)
{
	static struct endpoint e;
	static char host[300];
	int fd;

	text_put(e.host, sizeof(e.host), "%s", argv[0]);
	text_put(e.port, sizeof(e.port), "%s", argv[1]);
	if (endpoint_lookup(&e, 0) != 0 || (fd = endpoint_connect(&e, 0)) == -1)
		die("cannot connect:");
	snprintf(host, sizeof(host), "%s:%s", argv[0], argv[1]);
	echo_dial.host = view_of(host);
	echo_dial.path = view_of(argv[2]);
	conn_new(&answer_kind, NULL, fd, CONN_CONNECT);
	is_client = 1;
}

static void
echo_signal(int sig)
{
	if (sig == SIGTERM || sig == SIGINT)
		loop_stop();
}

static void
echo_settle_all(void)
{
	settle(echo_settle);
}

static void
echo_second(void)
{
	pool_trim();
}

static int
echo_busy(void)
{
	return is_client && link_first() != NULL;
}

static const struct program echo_program = {
	.signal = echo_signal, .settle = echo_settle_all,
	.second = echo_second, .busy = echo_busy, .stop_ms = 10000,
};

int
main(int argc, char **argv)
{
	log_set_level(LEVEL_ERROR);
	loop_init(&echo_program);
	if (argc >= 2 && strcmp(argv[1], "server") == 0)
		server_start(argc > 2 ? argv[2] : "0");
	else if (argc == 5 && strcmp(argv[1], "client") == 0)
		client_start_to(argv + 2);
	else
		die("usage: echo server [PORT] | echo client HOST PORT PATH");
	loop_run();
	return 0;
}
