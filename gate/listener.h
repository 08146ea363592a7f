/*
 * Listening sockets.  Where descriptors or memory run out, one pauses instead of
 * spinning.
 */
#ifndef GATE_LISTENER_H
#define GATE_LISTENER_H

#include <sys/socket.h>
#include <sys/types.h>

struct conn;

/* What its owner does. */
struct listener_ops {
	/* Somebody has connected as fd, which is the callee's now. */
	void (*accepted)(int fd, const struct sockaddr_storage *peer);
	/* Makes room: descriptors or memory are lacking to accept anybody.  May
	 * be NULL. */
	void (*crowded)(void);
	/* Turns away somebody who has connected as fd, and closes it.  NULL: it is
	 * merely closed. */
	void (*turned_away)(int fd);
	const char *note;	/* is said behind the address; NULL: nothing */
};

/* Zeroed, it does not listen.  It is its owner's, and in use until the program
 * ends. */
struct listener {
	const struct listener_ops *ops;
	struct conn *c;		/* NULL: not listening */
	long long retry_ms;	/* nothing is accepted until then */
	const char *path;	/* of a socket that we made in the file system, or NULL */
	dev_t device;		/* where that is, as stat() has it */
	ino_t inode;
};

/* Listens on host and port ("0": any that is free), or on host unix:/path, where a
 * socket on which nobody listens is replaced; and prints where.  host is kept.
 * Ends the program where that fails. */
void listener_open(struct listener *l, const char *host, const char *port,
    const struct listener_ops *ops);

/* Listens with fd, a stream socket that listens already, and prints where.  What
 * stands for it in the file system is not ours. */
void listener_adopt(struct listener *l, int fd, const struct listener_ops *ops);

/* Listens no more, and removes what it made in the file system; nothing happens
 * where it does not listen. */
void listener_close(struct listener *l);

#endif
