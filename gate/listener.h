/*
 * The listening socket.  Where descriptors or memory run out, it takes a break
 * instead of spinning.
 */
#ifndef GATE_LISTENER_H
#define GATE_LISTENER_H

#include <sys/socket.h>

struct listener_ops {
	/* Somebody has connected as fd, which is the callee's now. */
	void (*accepted)(int fd, const struct sockaddr_storage *peer);
	/* Nobody can be accepted for want of descriptors or memory: make room.
	 * May be NULL. */
	void (*crowded)(void);
	/* Turns away somebody who has connected as fd, and closes it. */
	void (*turned_away)(int fd);
};

/* Listens on host and port ("0": any) and prints where.  Ends the program
 * where that fails.  Once in a process. */
void listener_open(const char *host, const char *port,
    const struct listener_ops *ops);

/* Listens no more. */
void listener_close(void);

#endif
