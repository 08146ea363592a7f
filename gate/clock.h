/*
 * The monotonic clock, which the loop reads once a turn into now_ms; the wall
 * clock, for tokens and Date; and random octets.
 */
#ifndef GATE_CLOCK_H
#define GATE_CLOCK_H

#include <stddef.h>

/* The time of this turn, in ms, monotonic.  Only clock_turn() writes it. */
extern long long now_ms;

/* Reads the monotonic clock into now_ms. */
void clock_turn(void);

/* Seconds since the epoch. */
long long clock_wall(void);

/* Fills out[0..n), n at most 4096, with unpredictable octets.  They come from
 * a pool, so that a mask costs no system call.  Where the system gives none,
 * the program ends. */
void random_bytes(void *out, size_t n);

#endif
