#ifndef GATE_NET_H
#define GATE_NET_H

#include <sys/socket.h>

#include "pipegate.h"

void fd_prepare(int fd);

#define ADDRS_MAX 8

struct endpoint {
	char host[256];
	char port[6];
	struct sockaddr_storage addr[ADDRS_MAX];
	socklen_t len[ADDRS_MAX];
	int n;			/* addresses known; 0: to be looked up */
	int good;		/* the one that answered last, tried first */
};

/* Looks up e with the given flags.  Returns 0, or an error for
 * gai_strerror(). */
int endpoint_lookup(struct endpoint *e, int flags);

/* Starts connecting to address i.  Returns the fd, or -1 with errno. */
int endpoint_connect(const struct endpoint *e, int i);

/* How a connect() that was under way ended: 0, or its errno. */
int socket_error(int fd);

int socket_accept(int fd, struct sockaddr_storage *ss);

#endif
