/*
 * Own domains: names that the tokens of an id's clients claim for it.  Each is
 * that of one id at most, for as long as the tunnel of that holds it.
 */
#ifndef GATE_DOMAIN_H
#define GATE_DOMAIN_H

#include "pipegate.h"

struct domain;

/* What one id holds.  Zeroed, nothing, and not to be used before id is set. */
struct domains {
	struct domain *first;
	const char *id;		/* the owner's, which stays as long as any is held */
	size_t *sum;		/* the memory counts there too */
};

/* Whether name can be somebody's own: a DNS name in lower case of two labels or
 * more, which is not on this machine alone. */
int domain_may_be_own(const char *name);

/* The id that holds name, in any case; NULL: none does. */
const char *domain_id(struct view name);

/* Has d hold what c claims, of which nobody else holds anything, besides what it
 * holds.  Returns 0; or -1: no memory, or all ids hold an eighth of the budget, and d
 * may have a part of it. */
int domains_take(struct domains *d, const struct jwt_claims *c);

/* Gives up what d holds and c does not claim; c NULL: all. */
void domains_keep(struct domains *d, const struct jwt_claims *c);

#endif
