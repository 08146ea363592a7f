/*
 * The set of descriptors that poll() is asked about.  poll() over thousands of
 * idle ones costs milliseconds, so the set has two parts.  Those that were quiet
 * for a second, or wait for no more than a hang-up, stand in the second one,
 * which is asked less often, and less still while it has no news.
 */
#ifndef GATE_POLLSET_H
#define GATE_POLLSET_H

#include <stddef.h>

/* One descriptor in the set.  Lives inside the thing that it is of. */
struct watch {
	int fd;
	size_t slot;		/* its place in the set; NO_SLOT: it is not in the set */
	long long busy_ms;	/* when it last had news, or reading or writing was wanted */
};

#define NO_SLOT ((size_t)-1)

/* Puts w, with its fd, into the set; nothing is asked about it yet.  Returns
 * 0, or -1: no memory. */
int pollset_add(struct watch *w, int fd);

/* Takes w out of the set, if it stands there: before its fd is closed, or where
 * a hang-up is known already, which poll() would tell again each time. */
void pollset_remove(struct watch *w);

/* Gives w another fd. */
void pollset_replace(struct watch *w, int fd);

/* Sets what poll() is asked about w: events as in struct pollfd, or 0.  Errors
 * and hang-ups are always told. */
void pollset_want(struct watch *w, short events);

/* How many watches stand in the set. */
size_t pollset_size(void);

/* The i-th of them, in an order that any other call here may change. */
struct watch *pollset_at(size_t i);

/* Waits for news for at most wait_ms (-1: as long as it takes), or less where
 * the second part is due to be asked; then reads the clock for the turn.  Where
 * the kernel has no memory there is no news, and a little time passes.  Returns
 * 0; or -1: the limit of open files has been lowered, and the set has more
 * descriptors than it allows to ask about. */
int pollset_wait(int wait_ms);

/* The next watch with news, which is put into *revents as poll() has it; NULL:
 * all of them have been told.  The set may change between two calls: a watch that
 * is passed over for that has its news again at the next wait. */
struct watch *pollset_news(short *revents);

/* Once a turn: moves some of those that have become quiet to the second part. */
void pollset_age(void);

#endif
