/*
 * Where a tunnel leads: the local service's URL and its addresses.
 */
#ifndef GATE_TARGET_H
#define GATE_TARGET_H

#include "gate/child.h"
#include "gate/list.h"
#include "gate/net.h"

/* The of of a client's links. */
struct target {
	struct endpoint at;
	struct lookup lookup;
	int good;		/* the address that answered last, tried first */
	unsigned int looked_up;	/* how often its name was */
	char *url;		/* as a person knows it */
	char *base;		/* its path, without a slash at the end */
	struct list idle;	/* connections kept for the next request */
};

/* Which addresses were tried.  Zeroed, none was. */
struct attempt {
	int tried;
	unsigned int looked_up;	/* of the addresses that the target had then */
};

/* Takes TARGET_URL, of which t keeps a copy.  Returns NULL, or what is wrong
 * with it: a static string for a person. */
const char *target_set(struct target *t, const char *text);

/* Looks up t's name; done(of, error) as for lookup_start(), and returns so. */
int target_look_up(struct target *t, void (*done)(void *of, const char *error),
    void *of);

/* The same because no address answers: the name may have moved. */
void target_look_up_again(struct target *t);

/* Starts on the next address that does not fail at once.  Returns its fd, which
 * is the caller's; or -1 with errno: all have been tried. */
int target_connect(const struct target *t, struct attempt *a);

/* The address tried last has answered: it is tried first from now on. */
void target_answered(struct target *t, const struct attempt *a);

#endif
