#ifdef __linux__
#define _GNU_SOURCE		/* each use under its own #ifdef */
#endif

#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include "gate/addr.h"
#include "gate/net.h"

int
fd_prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
		return -1;
	return fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ? -1 : 0;
}

/* Closes fd and keeps errno.  Always -1. */
static int
fd_give_up(int fd)
{
	int err = errno;

	close(fd);
	errno = err;
	return -1;
}

const char *
unix_path(const char *host)
{
	return strncmp(host, "unix:/", 6) == 0 ? host + 5 : NULL;
}

int
unix_path_fits(const char *path)
{
	return strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path);
}

static void
endpoint_set_unix(struct endpoint *e, const char *path)
{
	struct sockaddr_un *un = (void *)&e->addr[0];

	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path));
	e->len[0] = sizeof(*un);
	e->n = 1;
}

static void
endpoint_add(struct endpoint *e, const struct addrinfo *ai)
{
	for (; ai != NULL && e->n < ADDRS_MAX; ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof(e->addr[0]))
			continue;
		memcpy(&e->addr[e->n], ai->ai_addr, ai->ai_addrlen);
		e->len[e->n++] = ai->ai_addrlen;
	}
}

/* Adds the addresses of host to e's; host NULL: any address, for listening.
 * Returns as getaddrinfo(). */
static int
endpoint_ask(struct endpoint *e, const char *host, int flags)
{
	struct addrinfo hints, *ai;
	int r;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = flags;
	r = getaddrinfo(host, e->port, &hints, &ai);
	if (r != 0)
		return r;
	endpoint_add(e, ai);
	freeaddrinfo(ai);
	return 0;
}

int
endpoint_lookup(struct endpoint *e, int flags)
{
	const char *path = unix_path(e->host);
	int r, was = e->n;

	if (path != NULL) {
		if (!unix_path_fits(path))
			return EAI_FAIL;
		endpoint_set_unix(e, path);
		return 0;
	}
	e->n = 0;
	r = endpoint_ask(e, e->host[0] != '\0' ? e->host : NULL, flags);
	if (r != 0 && host_is_loopback_name(e->host)) {
		r = endpoint_ask(e, "127.0.0.1", flags | AI_NUMERICHOST);
		endpoint_ask(e, "::1", flags | AI_NUMERICHOST);
	}
	if (r != 0)
		e->n = was;
	return r;
}

int
endpoint_connect(const struct endpoint *e, int i)
{
	const struct sockaddr *sa = (const void *)&e->addr[i];
	int fd = socket(sa->sa_family, SOCK_STREAM, 0), one = 1;

	if (fd == -1)
		return -1;
	if (fd_prepare(fd) == -1)
		return fd_give_up(fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, sa, e->len[i]) == 0 || errno == EINPROGRESS)
		return fd;
	return fd_give_up(fd);
}

int
socket_error(int fd)
{
	int e = 0;
	socklen_t n = sizeof(e);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) == -1)
		return errno;
	return e;
}

void
socket_acknowledge(int fd)
{
#ifdef TCP_QUICKACK
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
#endif
	(void)fd;
}

int
socket_accept(int fd, struct sockaddr_storage *ss)
{
	socklen_t n = sizeof(*ss);
	int a;

#ifdef SOCK_NONBLOCK
	a = accept4(fd, (struct sockaddr *)ss, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
	a = accept(fd, (struct sockaddr *)ss, &n);
	if (a != -1 && fd_prepare(a) == -1)
		a = fd_give_up(a);
#endif
	return a;
}
