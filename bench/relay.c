/*
 * The floor for two hops: a relay that knows no HTTP.  What callers send goes
 * over one connection, each piece behind its caller's number and its length.
 *	relay			prints the ports for callers and for the other half
 *	relay LINK ORIGIN	is that half
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FULL (1 << 20)		/* octets for the link above which no caller is read */
#define PIECE (64 << 10)

struct piece { int who, n; };	/* n 0: the end */

static unsigned char out[FULL + 2 * PIECE], in[2 * FULL];
static size_t nout, nin;
static int set, hub, origin, fd_of[1 << 16], number_of[1 << 16];

static int
tcp(int port, int (*use)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (use(fd, (void *)&a, sizeof(a)) == -1 || (port == 0 && listen(fd, 1024) == -1))
		exit(1);
	if (port == 0 && getsockname(fd, (void *)&a, &(socklen_t){ sizeof(a) }) == 0)
		printf("%d\n", ntohs(a.sin_port));
	return fd;
}

static int
next_of(int listener)		/* TCP_NODELAY is the listener's */
{
	fflush(stdout);
	return accept(listener, NULL, NULL);
}

static void
begin(int who, int fd)
{
	number_of[fd_of[who] = fd] = who;
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &(struct epoll_event){ EPOLLIN, { .fd = fd } });
}

static void
end(int who)
{
	close(fd_of[who]);
	fd_of[who] = 0;
}

static void
take(int fd)			/* something has come that goes over the link */
{
	ssize_t n = recv(fd, out + nout + sizeof(struct piece), PIECE, MSG_DONTWAIT);
	struct piece p = { number_of[fd], n > 0 ? (int)n : 0 };

	memcpy(out + nout, &p, sizeof(p));
	nout += sizeof(p) + (size_t)p.n;
	if (n <= 0)
		end(p.who);
}

static void
spread(void)			/* what has come over the link */
{
	ssize_t got = recv(hub, in + nin, sizeof(in) - nin, MSG_DONTWAIT);
	struct piece p;
	size_t at = 0;

	if (got <= 0)
		exit(0);
	for (nin += (size_t)got; nin - at >= sizeof(p); at += sizeof(p) + (size_t)p.n) {
		memcpy(&p, in + at, sizeof(p));
		if (nin - at < sizeof(p) + (size_t)p.n)
			break;
		if (fd_of[p.who] == 0 && origin && p.n > 0)
			begin(p.who, tcp(origin, connect));
		if (fd_of[p.who] != 0 && p.n > 0)
			send(fd_of[p.who], in + at + sizeof(p), (size_t)p.n, MSG_NOSIGNAL);
		else if (fd_of[p.who] != 0)
			end(p.who);
	}
	memmove(in, in + at, nin -= at);
}

int
main(int argc, char **argv)
{
	int callers = argc == 3 ? -1 : tcp(0, bind), who = 0, n = 0, i;
	struct epoll_event e[256];

	set = epoll_create1(0);
	origin = argc == 3 ? atoi(argv[2]) : 0;
	hub = argc == 3 ? tcp(atoi(argv[1]), connect) : next_of(tcp(0, bind));
	begin(0, hub);
	if (callers != -1)
		begin(0, callers);
	for (;; n = epoll_wait(set, e, 256, nout > 0 ? 1 : -1)) {
		for (i = 0; i < n; i++)
			if (e[i].data.fd == callers)
				begin(who = who % 65535 + 1, next_of(callers));
			else if (e[i].data.fd == hub)
				spread();
			else if (nout < FULL)
				take(e[i].data.fd);
		if (nout > 0 && (i = (int)send(hub, out, nout, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
			memmove(out, out + i, nout -= (size_t)i);
	}
}
