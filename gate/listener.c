#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/addr.h"
#include "gate/conn.h"
#include "gate/net.h"
#include "gate/listener.h"

#define PAUSE_MS 100
#define ACCEPT_MAX 64		/* connections accepted in one turn */

/* Given up so that one more can be accepted, and dropped. */
static int spare_fd = -1;

static void
spare_open(void)
{
	if (spare_fd == -1)
		spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
spare_close(void)
{
	if (spare_fd != -1)
		close(spare_fd);
	spare_fd = -1;
}

/* No descriptor or memory is left: err says which.  The spare descriptor's place
 * is used to accept one caller and turn it away, so that it does not wait in
 * vain; then nothing is accepted for a while. */
static void
accept_pause(struct listener *l, int err)
{
	struct sockaddr_storage ss;
	int fd;

	l->retry_ms = now_ms + PAUSE_MS;
	if (l->ops->crowded != NULL)
		l->ops->crowded();
	spare_close();
	fd = socket_accept(l->c->watch.fd, &ss);
	if (fd != -1 && l->ops->turned_away != NULL)
		l->ops->turned_away(fd);
	else if (fd != -1)
		close(fd);
	spare_open();
	log_event(LEVEL_ERROR, "event=accept-paused why=\"%s\" connections=%zu",
	    strerror(err), pollset_size());
}

static int
accept_is_crowded(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS ||
	    err == ENOMEM;
}

static void
listener_ready(struct conn *c, short revents)
{
	struct listener *l = c->of;
	struct sockaddr_storage ss;
	int i, fd, err;

	(void)revents;
	for (i = 0; i < ACCEPT_MAX; i++) {
		memset(&ss, 0, sizeof(ss));
		fd = socket_accept(c->watch.fd, &ss);
		err = errno;
		if (fd != -1)
			l->ops->accepted(fd, &ss);
		else if (accept_is_crowded(err))
			accept_pause(l, err);
		if (fd == -1 && err != ECONNABORTED && err != EINTR)
			return;
	}
}

static short
listener_events(const struct conn *c)
{
	const struct listener *l = c->of;

	return l->retry_ms > now_ms ? 0 : POLLIN;
}

static long long
listener_deadline(const struct conn *c)
{
	const struct listener *l = c->of;

	return l->retry_ms > now_ms ? l->retry_ms : NEVER;
}

static const struct kind listener_kind = {
	.name = "listener", .ready = listener_ready, .broken = conn_kill,
	.events = listener_events, .deadline = listener_deadline,
	.expire = conn_touch,
};

static void
tcp_options(int fd, int family)
{
	int one = 1, zero = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)		/* :: is IPv4 too */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Whether a socket stands there on which nobody listens: one that was left over
 * by a process that was killed. */
static int
socket_is_stale(const struct endpoint *e, const char *path)
{
	struct stat st;
	int fd, err;

	if (lstat(path, &st) == -1 || !S_ISSOCK(st.st_mode))
		return 0;
	fd = endpoint_connect(e, 0);
	err = errno;
	if (fd != -1)
		close(fd);
	return fd == -1 && err == ECONNREFUSED;
}

/* Binds fd to e's first address.  Returns 0, or -1 with errno. */
static int
listen_bind(int fd, const struct endpoint *e)
{
	const struct sockaddr *sa = (const void *)&e->addr[0];
	const char *path = unix_path(e->host);

	if (bind(fd, sa, e->len[0]) == 0)
		return 0;
	if (path == NULL || errno != EADDRINUSE)
		return -1;
	if (socket_is_stale(e, path))
		return unlink(path) == 0 ? bind(fd, sa, e->len[0]) : -1;
	errno = EADDRINUSE;
	return -1;
}

/* Returns the descriptor of a socket that listens at e, or ends the program. */
static int
listen_at(const struct endpoint *e)
{
	int family = e->addr[0].ss_family;
	int fd = socket(family, SOCK_STREAM, 0);

	if (fd == -1)
		die("socket:");
	if (fd_prepare(fd) == -1)
		die("fcntl:");
	if (family != AF_UNIX)
		tcp_options(fd, family);
	if (listen_bind(fd, e) == -1 || listen(fd, 1024) == -1) {
		if (family == AF_UNIX)
			die("cannot listen on %s:", e->host);
		die("cannot listen on %s port %s:", e->host, e->port);
	}
	return fd;
}

/* An abstract name begins with a NUL, and one in the file system may end with
 * one. */
static void
listener_say_unix(const struct sockaddr_un *un, socklen_t size,
    const char *note)
{
	size_t from = offsetof(struct sockaddr_un, sun_path), n;
	const char *name = un->sun_path;

	n = size > from ? size - from : 0;
	if (n > 0 && name[0] == '\0')
		person_say("listening on unix:@%.*s%s", (int)n - 1, name + 1,
		    note);
	else
		person_say("listening on unix:%.*s%s", (int)n, name, note);
}

static void
listener_say(int fd, const char *note)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	struct addr a;
	char ip[INET6_ADDRSTRLEN];
	unsigned int port;

	memset(&ss, 0, sizeof(ss));
	if (getsockname(fd, (struct sockaddr *)&ss, &n) == -1)
		die("getsockname:");
	if (ss.ss_family == AF_UNIX) {
		listener_say_unix((const void *)&ss, n, note);
		return;
	}
	addr_from(&a, &ss);
	port = ntohs(ss.ss_family == AF_INET6 ?
	    ((struct sockaddr_in6 *)(void *)&ss)->sin6_port :
	    ((struct sockaddr_in *)(void *)&ss)->sin_port);
	person_say(a.family == 6 ? "listening on http://[%s]:%u%s" :
	    "listening on http://%s:%u%s", addr_text(&a, ip), port, note);
}

/* The address of host and port, which is good until the next call; or ends the
 * program. */
static const struct endpoint *
listener_endpoint(const char *host, const char *port)
{
	static struct endpoint e;
	const char *path = unix_path(host);
	int r;

	if (path != NULL && !unix_path_fits(path))
		die("cannot listen on %.200s: the path of a socket cannot be so "
		    "long", host);
	snprintf(e.host, sizeof(e.host), "%s", host);
	snprintf(e.port, sizeof(e.port), "%s", port);
	r = endpoint_lookup(&e, AI_PASSIVE);
	if (r != 0 || e.n == 0)
		die("cannot listen on \"%s\": %s", host, gai_strerror(r));
	return &e;
}

/* From now on fd is accepted from. */
static void
listener_begin(struct listener *l, int fd, const struct listener_ops *ops)
{
	l->ops = ops;
	l->c = conn_new(&listener_kind, l, fd, CONN_LISTEN);
	if (l->c == NULL)
		die("no memory to start");
	spare_open();
	listener_say(fd, ops->note != NULL ? ops->note : "");
	say_flush();
}

void
listener_open(struct listener *l, const char *host, const char *port,
    const struct listener_ops *ops)
{
	int fd = listen_at(listener_endpoint(host, port));
	struct stat st;

	l->path = unix_path(host);
	if (l->path != NULL && lstat(l->path, &st) == 0) {
		l->device = st.st_dev;
		l->inode = st.st_ino;
	}
	listener_begin(l, fd, ops);
}

void
listener_adopt(struct listener *l, int fd, const struct listener_ops *ops)
{
	int one = 1;

	if (fd_prepare(fd) == -1)
		die("fcntl:");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	listener_begin(l, fd, ops);
}

/* Another may listen at that path by now. */
static void
listener_remove(const struct listener *l)
{
	struct stat st;

	if (l->path != NULL && lstat(l->path, &st) == 0 &&
	    st.st_dev == l->device && st.st_ino == l->inode)
		unlink(l->path);
}

void
listener_close(struct listener *l)
{
	if (l->c == NULL)
		return;
	listener_remove(l);
	conn_kill(l->c);
	l->c = NULL;
}
