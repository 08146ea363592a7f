/*
 * Accounts: what each tunnel holds of three things that all share, and the one
 * rule of who may take more.  No request at work is cut for a newcomer: whoever is
 * alone comes to four fifths of the memory and of the connections, two come to
 * four ninths each, and there is always something left.
 */
#ifndef GATE_ACCOUNT_H
#define GATE_ACCOUNT_H

#include <stddef.h>

enum share {
	SHARE_OCTETS,		/* memory, of the budget; counted in gate/mem.h */
	SHARE_CONNS,		/* links, and callers with a request at work */
	SHARE_WAITING,		/* requests that wait in a queue */
	SHARES
};

/* Zeroed, it holds nothing. */
struct account {
	size_t held[SHARES];
	unsigned int round;	/* of links_settle(): in which a link of it had its turn */
};

/* That of all callers without a request at work, and of what they hold but for
 * answers of a tunnel that they have not taken yet. */
extern struct account account_nobody;

/* Once, where connections and requests that wait are counted: how many there may
 * be. */
void accounts_start(size_t conns, size_t waiting);

/* Whether a may take more of that: while it holds at most four times what is free,
 * of the waiting room as much as is free.  Connections of account_nobody are free
 * to all others: they yield. */
int account_may_grow(const struct account *a, enum share what);

/* How many there are of that in all accounts together; 0 for SHARE_OCTETS. */
size_t accounts_held(enum share what);

/* The sum in which memory of a counts, for gate/mem.h. */
static inline size_t *
account_octets(struct account *a)
{
	return &a->held[SHARE_OCTETS];
}

/* The account of which that is the sum. */
static inline const struct account *
account_of(const size_t *octets)
{
	return (const struct account *)(const void *)((const char *)octets -
	    offsetof(struct account, held[SHARE_OCTETS]));
}

/* Octets that a may take at once and still be within its share. */
size_t account_room(const struct account *a);

/* Octets that a may take for what could be done with less: it leaves half of the
 * share to what could not. */
size_t account_spare(const struct account *a);

/* Whether a has come so near to its share of memory that those go who stand still
 * with some of it. */
int account_is_nearly_full(const struct account *a);

/* Whether account_room() is n or more; where not, budget_starved() will say so. */
int account_has_room(const struct account *a, size_t n);

/* Counts one connection or waiting request more in a, or one less. */
void account_take(struct account *a, enum share what);
void account_return(struct account *a, enum share what);

/* One that counted in from counts in to. */
void account_move(struct account *from, struct account *to, enum share what);

#endif
