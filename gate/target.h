/*
 * Where a tunnel leads, on the client: the local service's URL, its addresses,
 * and which of them to try first.
 */
#ifndef GATE_TARGET_H
#define GATE_TARGET_H

#include "pipegate.h"
#include "gate/account.h"
#include "gate/child.h"
#include "gate/list.h"
#include "gate/net.h"

/* A client's links have this as their owner (of). */
struct target {
	struct endpoint at;
	struct lookup lookup;
	int good;		/* the address that answered last, tried first */
	unsigned int looked_up;	/* how often its name was looked up */
	char *url;		/* as a person knows it */
	char *base;		/* its path, without a slash at the end */
	const char *host;	/* of the tunnel itself for callers, as its server says; or "" */
	struct list idle;	/* connections kept for the next request */
	struct account account;	/* of all that is done for it */
};

/* How far connecting to a target has come.  Zeroed, no address was tried. */
struct attempt {
	int tried;		/* how many of its addresses */
	unsigned int looked_up;	/* which addresses: target's looked_up at that time */
};

/* Takes TARGET_URL, of which t keeps a copy.  Returns NULL, or what is wrong
 * with it: a static string for a person. */
const char *target_set(struct target *t, const char *text);

/* Of t's URL the part before its path; *authority is its host and port. */
struct view target_origin(const struct target *t, struct view *authority);

/* Takes the origin off the front of url where it is that of t, which is of http and
 * may leave out the port 80.  Returns whether it is. */
int target_take_own(const struct target *t, struct view *url);

/* Looks up t's name for the first time.  done() and the result are as for
 * lookup_start(). */
int target_look_up(struct target *t, void (*done)(void *of, const char *error),
    void *of);

/* Looks it up anew, since no address answers: the name may have moved. */
void target_look_up_again(struct target *t);

/* Starts connecting to the next address that does not fail at once.  Returns the
 * fd, which is the caller's; or -1 with errno: all addresses have been tried. */
int target_connect(const struct target *t, struct attempt *a);

/* The address that a tried last has answered: it is tried first from now on. */
void target_answered(struct target *t, const struct attempt *a);

#endif
