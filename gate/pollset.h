/*
 * The set of descriptors that poll() is asked about.  poll() over thousands of
 * idle ones costs milliseconds, so those from which nothing is expected soon are
 * put aside.  Where the kernel keeps them (see park.h) they cost nothing until
 * they have news.  Elsewhere they are a second part of the set, which is asked
 * less often, and less still while it has no news.
 */
#ifndef GATE_POLLSET_H
#define GATE_POLLSET_H

#include <limits.h>
#include <stddef.h>

enum watch_where {
	WATCH_NOWHERE,		/* not in the set */
	WATCH_ASKED,		/* poll() is asked about it each turn */
	WATCH_PARKED		/* put aside, until it has news or is to be asked again */
};

/* When a watch may be put aside. */
enum rest {
	REST_NEVER,
	REST_QUIET,		/* once it had no news for a second */
	REST_NOW
};

/* One descriptor in the set.  Lives inside the thing that it is of. */
struct watch {
	int fd;
	unsigned int slot;	/* its place in the set */
	unsigned int number;	/* no other watch has had it lately */
	unsigned char where;	/* an enum watch_where */
	unsigned char rest;	/* an enum rest */
	unsigned short changed;	/* the turn in which its wishes last did, by number */
	long long busy_ms;	/* when it last had news, or reading or writing was wanted */
};

/* Puts w, with its fd, into the set; nothing is asked about it yet.  Returns
 * 0, or -1: no memory. */
int pollset_add(struct watch *w, int fd);

/* Takes w out of the set, if it stands there: before its fd is closed, or where
 * a hang-up is known already, which poll() would tell again each time. */
void pollset_remove(struct watch *w);

/* Gives w another fd, before the old one is closed. */
void pollset_replace(struct watch *w, int fd);

/* Sets what is asked about w: events as in struct pollfd, or 0, and when it may be
 * put aside.  Errors and hang-ups are always told. */
void pollset_want(struct watch *w, short events, enum rest rest);

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

/* The news of those that are asked begin so many slots further on each turn: where
 * only the first ones of many are served, whose number is no less, all are in a round.
 * News of those that were parked come last. */
#define POLLSET_STEP 61

/* How often was waited, from 0 to 65535 over and over. */
unsigned short pollset_turn(void);

/* The next watch with news, which is put into *revents as poll() has it; NULL:
 * all of them have been told.  The set may change between two calls: a watch that
 * is passed over for that has its news again at the next wait. */
struct watch *pollset_news(short *revents);

/* Whether poll() was asked about w in this turn, with the wishes that it has now,
 * and had no news.  0 also where that is not known. */
int pollset_is_silent(const struct watch *w);

/* Once a turn: puts some of those aside that have become quiet. */
void pollset_age(void);

#endif
