/*
 * Child processes: whatever blocks or is executed runs in one.  A name is
 * looked up in a short-lived child, since getaddrinfo() may take as long as it
 * likes.
 */
#ifndef GATE_CHILD_H
#define GATE_CHILD_H

#include <sys/types.h>

#include "gate/net.h"

/* Forks.  In the child signals are as a fresh program expects them, and all
 * descriptors but 0, 1, 2 and keep[0..n) are closed.  Returns as fork();
 * with EAGAIN also where there are too many children. */
pid_t child_fork(const int *keep, int n);

/* After SIGCHLD: forgets the children that have ended. */
void children_reap(void);

/* Ends a child that may still run; it is reaped by its SIGCHLD.  Nothing
 * happens where pid is none of ours. */
void child_kill(pid_t pid);

/* On the way out: ends and reaps all of them. */
void children_end(void);

/* A look-up of one name.  Zeroed, none is under way. */
struct lookup {
	struct endpoint *e;
	void (*done)(void *of, const char *error);
	void *of;
	pid_t pid;
	struct conn *conn;	/* NULL: none is under way */
};

/* Looks up e, which must stay where it is until done(of, error) is called:
 * error NULL, and e has its addresses; or words fit for a person, and e is as
 * it was.  For an address that is called before this returns.  Returns 0, or
 * -1 with errno: no child could be started, done() is not called.  Nothing
 * happens (0) where l is under way already. */
int lookup_start(struct lookup *l, struct endpoint *e,
    void (*done)(void *of, const char *error), void *of);

#endif
