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
	SHARE_CONNS,		/* links, and callers from a request until its answer is out */
	SHARE_IDLE,		/* all other callers: these yield, so that nothing bounds them */
	SHARE_WAITING,		/* requests that wait in a queue */
	SHARES
};

/* Zeroed, it holds nothing. */
struct account {
	size_t held[SHARES];
	unsigned int round;	/* of links_settle(): in which a link of it had its turn */
	unsigned short turn;	/* of the loop: in which requests of it were last read, */
	unsigned short reads;	/* and how often */
};

/* That of callers of which no request for an id has come yet, and of what callers
 * between two requests hold. */
extern struct account account_nobody;

/* Once, where connections and requests that wait are counted: how many there may
 * be. */
void accounts_start(size_t conns, size_t waiting);

/* Whether a may take more of that, which is not SHARE_IDLE: while it holds at most
 * four times what is free, of the waiting room as much as is free. */
int account_may_grow(const struct account *a, enum share what);

/* Whether a may have another request read in that turn of the loop, see
 * pollset_turn(): what is left over has news again in the next, so that of those that
 * are asked nobody waits for more of another id than a turn's.  The id is that of the
 * caller's last request; those that have had none share one account. */
int account_has_turn(const struct account *a, unsigned short turn);

/* Takes one such read.  Returns 0 where a may not have it. */
int account_read(struct account *a, unsigned short turn);

/* How many connections there are in all. */
size_t accounts_conns(void);

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

#endif
