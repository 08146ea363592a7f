#ifdef __linux__
#define _GNU_SOURCE		/* each use under its own #ifdef */
#endif

#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/loop.h"
#include "gate/addr.h"
#include "gate/net.h"
#include "gate/child.h"
#include "gate/settings.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/tunnel.h"
#include "gate/join.h"
#include "gate/answer.h"
#include "gate/caller.h"
#include "gate/server.h"

#define SPARE_CONNS 16			/* over the cap, for tunnel clients alone */

/* Makes room for one more caller: the one idle longest goes, else the oldest
 * that is still sending its head. */
static int
srv_evict(void)
{
	struct conn *c = list_first(srv.idle.n > 0 ? &srv.idle : &srv.heads);

	if (c == NULL)
		return -1;
	conn_kill(c);
	return 0;
}

/* No fd or memory is left for a new caller.  The spare fd takes one and drops
 * it, so that it does not wait in vain; then nothing is accepted for a while. */
static void
accept_pause(struct conn *listener)
{
	struct sockaddr_storage ss;
	int a;

	srv.retry_accept_ms = now_ms + 100;
	srv_evict();
	close(srv.spare_fd);
	a = socket_accept(listener->fd, &ss);
	if (a != -1)
		close(a);
	srv.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log_event(LEVEL_ERROR, "event=accept-paused why=\"%s\" connections=%zu",
	    strerror(errno), srv.nconns);
}

static void
caller_accepted(int fd, const struct sockaddr_storage *ss)
{
	int full = srv.nconns >= (size_t)opt.max_connections;
	struct conn *c;

	if (full && srv_evict() == -1 &&
	    srv.nconns >= (size_t)opt.max_connections + SPARE_CONNS) {
		close(fd);
		return;
	}
	c = conn_new(&caller_kind, fd, CONN_HEAD);
	if (c == NULL)
		return;
	srv.nconns++;
	c->counted = &srv.nconns;
	c->tunnel_only = srv.nconns > (size_t)opt.max_connections + 1;
	addr_from(&c->peer, ss);
	list_add(&srv.idle, &c->place, c);
}

static void
listener_ready(struct conn *c, short revents)
{
	struct sockaddr_storage ss;
	int i, fd;

	memset(&ss, 0, sizeof(ss));
	(void)revents;
	for (i = 0; i < 64; i++) {
		fd = socket_accept(c->fd, &ss);
		if (fd != -1) {
			caller_accepted(fd, &ss);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			accept_pause(c);
		if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static short
listener_events(const struct conn *c)
{
	(void)c;
	return srv.retry_accept_ms > now_ms ? 0 : POLLIN;
}

static long long
listener_deadline(const struct conn *c)
{
	(void)c;
	return srv.retry_accept_ms > now_ms ? srv.retry_accept_ms : NEVER;
}

static void
listener_expire(struct conn *c)
{
	conn_touch(c);
}

static const struct kind listener_kind = {
	.name = "listener", .ready = listener_ready, .broken = conn_kill,
	.events = listener_events, .deadline = listener_deadline,
	.expire = listener_expire,
};

/* Returns the listening fd. */
static int
srv_listen_on(const struct sockaddr *sa, socklen_t n)
{
	int fd = socket(sa->sa_family, SOCK_STREAM, 0), one = 1, zero = 0;

	if (fd == -1)
		die("socket:");
	fd_prepare(fd);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (sa->sa_family == AF_INET6)	/* :: is IPv4 too */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, sa, n) == -1)
		die("cannot listen on %s port %s:", opt.host, opt.port);
	if (listen(fd, 1024) == -1)
		die("listen:");
	if (conn_new(&listener_kind, fd, CONN_LISTEN) == NULL)
		die("no memory to start");
	return fd;
}

static void
srv_say_port(int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	struct addr a;
	char ip[INET6_ADDRSTRLEN];
	unsigned int port;

	memset(&ss, 0, sizeof(ss));
	if (getsockname(fd, (struct sockaddr *)&ss, &n) == -1)
		die("getsockname:");
	addr_from(&a, &ss);
	port = ntohs(ss.ss_family == AF_INET6 ?
	    ((struct sockaddr_in6 *)(void *)&ss)->sin6_port :
	    ((struct sockaddr_in *)(void *)&ss)->sin_port);
	person_say(a.family == 6 ? "listening on http://[%s]:%u" :
	    "listening on http://%s:%u", addr_text(&a, ip), port);
}

static void
srv_listen(void)
{
	static struct endpoint e;
	int r;

	text_put(e.host, sizeof(e.host), "%s", opt.host);
	text_put(e.port, sizeof(e.port), "%s", opt.port);
	r = endpoint_lookup(&e, AI_PASSIVE);
	if (r != 0 || e.n == 0)
		die("cannot listen on \"%s\": %s", opt.host, gai_strerror(r));
	srv_say_port(srv_listen_on((const void *)&e.addr[0], e.len[0]));
}

/* With the budget full, the body that has stalled longest is broken off. */
static void
streams_unclog(void)
{
	struct stream *s, *worst = NULL;
	struct link *l;

	if (budget_free() > budget.max / 16)
		return;
	for (l = list_first(&all_links); l != NULL; l = list_after(&l->place))
		for (s = list_first(&l->streams); s != NULL; s = list_after(&s->on_link))
			if (s->http != NULL && s->http->tx.len > 0 &&
			    now_ms - s->http->tx_ms >= STALLED_MS &&
			    (worst == NULL || s->http->tx_ms < worst->http->tx_ms))
				worst = s;
	if (worst == NULL)
		return;
	worst->http->reset = 1;
	caller_leaves(worst->http, "stalled while memory was short");
}

static void
housekeep(struct timer *t)
{
	pool_trim();
	links_trim();
	links_expire();
	streams_retry();
	streams_unclog();
	timer_set(t, now_ms + 1000);
}

/* Callers that may have a further request in rx already, and links that may
 * have room for those that wait. */
static void
srv_settle(void)
{
	struct conn *c;
	struct link *l;

	while ((c = list_first(&srv.next)) != NULL) {
		list_leave(&c->place);
		caller_parse(c);
	}
	if (srv.nwait == 0)
		return;
	for (l = list_first(&all_links); l != NULL; l = list_after(&l->place))
		if (!l->is_gone && l->tunnel != NULL && l->tunnel->waiting.n > 0)
			tunnel_dispatch(l->tunnel);
}

static void
srv_stop(void)
{
	struct link *l, *next;
	size_t i;

	srv.stopping = 1;
	for (i = 0; i < loop.n; i++)
		if (loop.who[i]->state == CONN_LISTEN)
			conn_kill(loop.who[i]);
	log_event(LEVEL_INFO, "event=stopping");
	for (i = 0; i < TUNNEL_BUCKETS; i++) {
		struct tunnel *t;

		for (t = srv.table[i]; t != NULL; t = t->hash_next)
			while (t->waiting.n > 0)
				stream_refuse(list_first(&t->waiting), 504,
				    "the server is stopping");
	}
	for (l = list_first(&all_links); l != NULL; l = next) {
		next = list_after(&l->place);
		link_close(l, 1001, "the server is stopping");
	}
	loop.stop = 1;
}

static void
srv_signal(int sig)
{
	if (sig == SIGCHLD)
		children_reap();
	if (sig != SIGTERM && sig != SIGINT)
		return;
	if (loop.stop)
		_exit(1);
	srv_stop();
}

/* Whether answers or close frames are still on their way out. */
static int
srv_busy(void)
{
	size_t i;

	for (i = 0; i < loop.n; i++) {
		const struct conn *c = loop.who[i];

		if (c->tx.len > 0 || c->state == CONN_CLOSING ||
		    c->state == CONN_LINGER)
			return 1;
	}
	return 0;
}

#define STOP_MS 3000		/* for the last answers to be taken */

int
srv_run(void)
{
	static struct timer second;
	long long stop_ms = 0;

	random_bytes(&srv.seed, sizeof(srv.seed));
	srv.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	loop_init(srv_signal);
	srv.start_ms = now_ms;
	settle_more = srv_settle;
	if (timer_init(&second, housekeep) == -1)
		die("no memory to start");
	timer_set(&second, now_ms + 1000);
	srv_listen();
	log_event(LEVEL_INFO, "event=start version=" PIPEGATE_VERSION
	    " max_connections=%lld max_memory=%zu", opt.max_connections,
	    budget.max);
	out_flush(&out_person);
	while (!loop.stop || srv_busy()) {
		if (loop.stop && stop_ms == 0)
			stop_ms = now_ms + STOP_MS;
		if (loop.stop && now_ms >= stop_ms)
			break;
		loop_turn(settle);
	}
	loop_sweep();
	out_flush(&out_log);
	return 0;
}
