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

/* The window that an answer starts with: a 1024th of the free octets of the
 * budget, but from 16 KiB to 256 KiB. */
long long window_first(size_t free_octets);

/* Whether half a window has gone, so that more may be granted. */
int window_is_half_gone(const struct window *w);

/* The size that w should have from now on.  Credit comes by halves, so a window
 * that holds its stream back is used up within two round trips, or a little
 * more with queues on the way.  One that is used up within three doubles, while
 * there is plenty of memory; one that takes more than six is halved. */
long long window_next(const struct window *w, long long at_ms, long long rtt_us,
    int plenty);

/* How much credit w lacks of that size, where held octets wait for the socket;
 * 0: none. */
long long window_missing(const struct window *w, long long size, size_t held);

/* Notes that n more octets were granted, in a window of that size. */
void window_grant(struct window *w, long long n, long long size,
    long long at_ms);

#endif
