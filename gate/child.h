/*
 * Child processes: whatever blocks runs in one, and so does any other program.
 * A name is looked up in a short-lived child, since getaddrinfo() may take as
 * long as it likes.
 */
#ifndef GATE_CHILD_H
#define GATE_CHILD_H

#include <sys/types.h>

#include "gate/net.h"

/* Forks.  In the child signals are as a fresh program expects them, and all
 * descriptors but 0, 1, 2 and keep[0..n) are closed.  Returns as fork() does:
 * -1 with EAGAIN also where we have too many children. */
pid_t child_fork(const int *keep, int n);

/* Has ended(of, status) called, status as of waitpid(), when child pid is found to
 * have ended; ended NULL: has nobody told.  Nothing happens where pid is no child of
 * ours. */
void child_watch(pid_t pid, void (*ended)(void *of, int status), void *of);

/* After SIGCHLD, and now and then: forgets the children that have ended. */
void children_reap(void);

/* Kills a child that may still run; children_reap() forgets it.  Nothing happens
 * where pid is no child of ours. */
void child_kill(pid_t pid);

/* On the way out: kills all children, and waits for them to end. */
void children_end(void);

/* A look-up of one name.  Zeroed, none is under way. */
struct lookup {
	struct endpoint *e;
	void (*done)(void *of, const char *error);
	void *of;
	pid_t pid;
	struct conn *conn;	/* NULL: none is under way */
};

/* Looks up the host of e and calls done(of, error), before this returns where
 * the host is an address.  error is NULL, and e has its addresses; or it is words
 * for a person, and e is as it was.  l and e stay where they are until then.
 * Returns 0; or -1 with errno: no child could be started, and done() is not
 * called.  Nothing happens, done() neither, where l is under way already (0). */
int lookup_start(struct lookup *l, struct endpoint *e,
    void (*done)(void *of, const char *error), void *of);

#endif
