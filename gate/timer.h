#ifndef GATE_TIMER_H
#define GATE_TIMER_H

#include <limits.h>

#include "pipegate.h"

#define NEVER LLONG_MAX

struct timer {
	long long due_ms;	/* NEVER: not set */
	long long key_ms;	/* as it stands in the heap; not after due_ms */
	size_t at;		/* place in the heap, from 1; 0: not in it */
	void (*fire)(struct timer *);
};

/* Makes t known, so that setting it can never fail.  Returns 0, or -1. */
int timer_init(struct timer *t, void (*fire)(struct timer *));

void timer_set(struct timer *t, long long due_ms);
void timer_end(struct timer *t);

/* When the next timer may be due, or NEVER. */
long long timer_next(void);

void timer_run(void);

#endif
