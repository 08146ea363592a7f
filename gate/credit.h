/*
 * Windows: how much credit a sender is given for the body of a stream, and
 * when.  They follow the path.  Pure arithmetic: what is free is an argument.
 */
#ifndef GATE_CREDIT_H
#define GATE_CREDIT_H

#include <stddef.h>

#include "gate/path.h"

#define WINDOW_MAX (8 << 20)

/* The credit of one half, from the side that gives it.  All in octets. */
struct window {
	long long size;		/* that the sender may have in all */
	long long promised;	/* given, and not come yet: charged to the budget */
	long long gone;		/* left for good since the last grant */
	unsigned int sample;	/* of its path, in which octets came last: by number */
	long long used;		/* octets that came in that */
	long long used_before;	/* and in the one before it */
};

/* The window that a body starts with: what fills the path, but at most a 32nd of
 * the free octets; 1 MiB while the path is not known, but at most a 64th.  Less the
 * more streams there are already, so that many at once find room.  16 KiB at
 * least. */
long long window_first(long long path, size_t free_octets, long long streams);

/* How much a body takes of what its receiver offers to start with, where there
 * are so many other streams: all of it, or less, so that many at once find room
 * there; but 16 KiB, if so much is offered. */
long long window_taken(long long offered, long long others);

/* Notes that n octets came over p. */
void window_came(struct window *w, const struct path *p, size_t n);

/* Whether more is to be granted over p: a quarter of the window has gone, but from
 * 16 KiB (or half of a small one) to 128 KiB; or some has, and the window is to
 * grow by much.  spare: see window_next(). */
int window_is_due(const struct window *w, const struct path *p, size_t spare);

/* The size that w should have from now on: twice what fills p, from 64 KiB to
 * WINDOW_MAX, if that is more and w was used up lately, half of it at least in one
 * sample; half of what it was where held octets, which wait for the socket, are
 * more than half of it.  But at most an eighth of the spare octets that its account
 * has, so that however many stand still, others find room.  At least 16 KiB, or
 * what it was if that is less. */
long long window_next(const struct window *w, const struct path *p, size_t held,
    size_t spare);

/* How much credit w lacks of that size, where held octets wait for the socket;
 * 0: none. */
long long window_missing(const struct window *w, long long size, size_t held);

/* Notes that n more octets were granted, in a window of that size. */
void window_grant(struct window *w, long long n, long long size);

#endif
