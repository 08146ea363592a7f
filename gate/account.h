/*
 * Accounts: what each tunnel holds of three things that all share, and the one
 * rule of who may take more.  Nobody is cut for a newcomer: whoever is alone
 * comes to four fifths of the memory and of the connections, two come to four
 * ninths each, and there is always something left.
 */
#ifndef GATE_ACCOUNT_H
#define GATE_ACCOUNT_H

#include <stddef.h>

enum share {
	SHARE_OCTETS,		/* memory, of the budget; counted in gate/mem.h */
	SHARE_CONNS,		/* connections: links, and callers; a caller counts for the id of
				   its last request until it sends another or leaves */
	SHARE_WAITING,		/* requests that wait in a queue */
	SHARES
};

/* Zeroed, it holds nothing. */
struct account {
	size_t held[SHARES];
	unsigned int round;	/* of settling, in which a link of it had its turn */
};

/* That of the callers of which no request has come yet that has an id. */
extern struct account account_nobody;

/* Once, where connections and requests that wait are counted: how many there may
 * be. */
void accounts_start(size_t conns, size_t waiting);

/* Whether a may take more of that: while it holds at most so many times what is
 * free.  Connections that count for nobody in particular are free to those that
 * do: they yield. */
int account_may_grow(const struct account *a, enum share what);

/* How many there are of that, but for octets, in all accounts together. */
size_t accounts_held(enum share what);

/* The sum in which memory of a counts, for gate/mem.h. */
static inline size_t *
account_octets(struct account *a)
{
	return &a->held[SHARE_OCTETS];
}

/* Octets that a may take at once and still be within its share. */
size_t account_room(const struct account *a);

/* Whether that is n or more; where not, budget_starved() will say so. */
int account_has_room(const struct account *a, size_t n);

/* Counts one connection or waiting request more in a, or one less. */
void account_take(struct account *a, enum share what);
void account_return(struct account *a, enum share what);

/* One that counted in from counts in to. */
void account_move(struct account *from, struct account *to, enum share what);

#endif
