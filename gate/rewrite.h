/*
 * What a service says of its own addresses, on the way to its callers, who know it
 * under others: in the path form under a prefix, and always on another host.  So
 * Location, Content-Location and Refresh lead back into the tunnel, and cookies stay
 * in it.  With --no-rewrite all passes as it came.
 */
#ifndef GATE_REWRITE_H
#define GATE_REWRITE_H

#include "pipegate.h"

struct target;

/* The URL under which the caller of a request knows the service.  Zeroed, it is not
 * known; it may be used for one request after the other. */
struct home {
	char *url;		/* without a slash at its end; NULL: not known */
	size_t host, prefix;	/* where in it these begin; a prefix may be empty */
	int browser;		/* it is one that asks */
};

/* Takes it from what the server said in request h.  It is not known then either where
 * that is no URL, longer than 1024 octets, or there is no memory. */
void home_note(struct home *home, const struct http_head *h);

/* Frees what home has: it is not known any more. */
void home_forget(struct home *home);

/* Gives the fields of answer out the values that are right under home, and adds for a
 * browser a copy of each cookie that is one of the whole tunnel (see HTTP_PIN).  What they point at is
 * good until the next call.  Returns 0, or -1: they do not fit. */
int rewrite_answer(struct http_head *out, const struct target *t,
    const struct home *home);

#endif
