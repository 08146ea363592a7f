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
};

/* Takes it from what the server said in request h.  It is not known either where that
 * does not fit into a URL, or has over 1024 octets, or there is no memory. */
void home_note(struct home *home, const struct http_head *h);

/* Frees what home has: it is not known any more. */
void home_forget(struct home *home);

/* Gives the fields of answer out the values that are right under home.  They are good
 * until the next call.  Returns 0, or -1: they do not fit. */
int rewrite_answer(struct http_head *out, const struct target *t,
    const struct home *home);

#endif
