/*
 * Windows: how much credit a sender is given for the body of a stream, and
 * when.  Pure arithmetic: time, round trip and what is free are arguments.
 */
#ifndef GATE_CREDIT_H
#define GATE_CREDIT_H

#include <stddef.h>

#define WINDOW_MAX (8 << 20)

/* The credit of one half, from the side that gives it.  All in octets. */
struct window {
	long long size;		/* that the sender may have in all */
	long long promised;	/* given, and not come yet: charged to the budget */
	long long gone;		/* left for good since the last grant */
	long long granted_ms;	/* when that was */
};

/* What an answer's window is at first: a 1024th of what is free, within
 * bounds. */
long long window_first(size_t free_octets);

/* Whether half a window has gone, so that more may be granted. */
int window_is_half_gone(const struct window *w);

/* How large w should be from now on.  As credit comes by halves, a window that
 * holds its stream back is used up in two round trips, or a little more with
 * queues on the way: within three it doubles while memory is plenty; one that
 * is used slowly shrinks. */
long long window_next(const struct window *w, long long at_ms, long long rtt_us,
    int plenty);

/* How much more credit fills a window of that size, with held octets waiting
 * for the socket; 0 where none is missing. */
long long window_missing(const struct window *w, long long size, size_t held);

/* Notes that n more octets were granted, in a window of that size. */
void window_grant(struct window *w, long long n, long long size,
    long long at_ms);

#endif
