/*
 * Deadlines: a binary heap.  A deadline that moves later, as most do, costs
 * nothing: the heap keeps the old key and looks again when that comes due.
 */
#ifndef GATE_TIMER_H
#define GATE_TIMER_H

#include <limits.h>
#include <stddef.h>

#define NEVER LLONG_MAX

/* Lives inside the thing that it is the timer of. */
struct timer {
	long long due_ms;	/* NEVER: not set */
	long long key_ms;	/* as it stands in the heap; not after due_ms */
	size_t at;		/* place in the heap, from 1; 0: not in it */
	void (*fire)(struct timer *);
};

/* Makes room for t, so that setting it can never fail.  fire(t) is called once
 * for each time that t comes due.  Returns 0, or -1: no memory, and t may not
 * be used. */
int timer_init(struct timer *t, void (*fire)(struct timer *));

/* Sets when t comes due, in place of what was set before; NEVER: not at all. */
void timer_set(struct timer *t, long long due_ms);

/* Forgets t, before its memory goes. */
void timer_end(struct timer *t);

/* When the next timer may be due, or NEVER. */
long long timer_next(void);

/* Fires all that are due at now_ms.  fire() may set and end any timer. */
void timer_run(void);

#endif
