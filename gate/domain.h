/*
 * Own domains: names that the tokens of clients claim for their ids.  All clients of an
 * id may claim one, those of two never.
 */
#ifndef GATE_DOMAIN_H
#define GATE_DOMAIN_H

#include "pipegate.h"

struct domain;

/* Whether name can be somebody's own: a DNS name in lower case of two labels or
 * more, which is not on this machine alone. */
int domain_may_be_own(const char *name);

/* The id that holds name, in any case; NULL: none does. */
const char *domain_id(struct view name);

/* Has list, which is empty, hold what c claims, of which no other id holds anything.  id
 * lasts as long as that; the memory counts in *sum too.  Returns 0; or -1, and list holds
 * nothing: no memory, or all ids hold an eighth of the budget. */
int domains_take(struct domain **list, const char *id, size_t *sum,
    const struct jwt_claims *c);

/* Gives up what list holds. */
void domains_give_up(struct domain **list);

#endif
