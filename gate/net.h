/*
 * Sockets: what to connect to or listen on, by address.
 */
#ifndef GATE_NET_H
#define GATE_NET_H

#include <sys/socket.h>

/* Makes fd non-blocking, and closed for a program that a child executes.
 * Returns 0, or -1 with errno. */
int fd_prepare(int fd);

#define ADDRS_MAX 8

/* A host and a port, with the addresses that they stand for; or a socket in the
 * file system, unix:/path in place of the host, whose port is not looked at. */
struct endpoint {
	char host[256];
	char port[6];
	struct sockaddr_storage addr[ADDRS_MAX];
	socklen_t len[ADDRS_MAX];
	int n;			/* addresses known; 0: to be looked up */
};

/* The path where host is unix:/path, within host; NULL: it is not. */
const char *unix_path(const char *host);

/* Whether path fits into the address of a socket. */
int unix_path_fits(const char *path);

/* Fills in e's addresses.  Asks resolvers, so it may take long, unless flags
 * (for getaddrinfo()) hold AI_NUMERICHOST.  localhost is loopback also where
 * the system does not know it.  Returns 0; or an error for gai_strerror(), and
 * e has the addresses that it had. */
int endpoint_lookup(struct endpoint *e, int flags);

/* Starts connecting to address i, without blocking.  Returns the fd, which is
 * the caller's, or -1 with errno. */
int endpoint_connect(const struct endpoint *e, int i);

/* How the connect() of fd that was under way has ended: 0, or its errno. */
int socket_error(int fd);

/* Has what came on fd acknowledged now, where the system lets one. */
void socket_acknowledge(int fd);

/* Accepts one connection of listener fd; *ss is its peer.  Returns its fd, which
 * is non-blocking and the caller's, or -1 with errno. */
int socket_accept(int fd, struct sockaddr_storage *ss);

#endif
