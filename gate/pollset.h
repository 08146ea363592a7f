/*
 * The set of descriptors that poll() is asked about.  poll() over thousands of
 * idle ones costs milliseconds, so that the set has two parts: those that were
 * quiet for a second, or wait for no more than a hang-up, stand in the second
 * one, which is asked less often, and less still while it has no news.
 */
#ifndef GATE_POLLSET_H
#define GATE_POLLSET_H

#include <stddef.h>

/* One descriptor in the set.  Lives inside the thing that it is of. */
struct watch {
	int fd;
	size_t slot;		/* place in the set, or NO_SLOT */
	long long busy_ms;	/* when it last had news, or was wanted for I/O */
};

#define NO_SLOT ((size_t)-1)

/* Puts w, with its fd, into the set; nothing is asked about it yet.  Returns
 * 0, or -1: no memory. */
int pollset_add(struct watch *w, int fd);

/* Takes w out of the set, if it stands there: before its fd is closed, and
 * where a hang-up is known already and would be told for ever. */
void pollset_remove(struct watch *w);

/* Asks about another fd in w's place. */
void pollset_replace(struct watch *w, int fd);

/* What poll() is to look for: events as in struct pollfd, or 0.  Errors and
 * hang-ups are always told. */
void pollset_want(struct watch *w, short events);

/* How many stand in the set, and the i-th of them, in no order that lasts. */
size_t pollset_size(void);
struct watch *pollset_at(size_t i);

/* Waits for news for at most wait_ms (-1: as long as it takes), or less where
 * the second part is due, and reads the clock for the turn.  Without memory in
 * the kernel there is no news, and a little time passes.  Returns 0; or -1:
 * there are more descriptors in the set than the limit of open files, which
 * has been lowered, allows to ask about. */
int pollset_wait(int wait_ms);

/* The next watch with news, whose revents are put into *revents; NULL when
 * all have been told.  In between the set may change: who is passed over for
 * that has its news again at the next wait. */
struct watch *pollset_news(short *revents);

/* Moves some of those that have become quiet; once a turn. */
void pollset_age(void);

#endif
