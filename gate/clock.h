#ifndef GATE_CLOCK_H
#define GATE_CLOCK_H

#include "pipegate.h"

extern long long now_ms;

long long clock_us(void);
long long clock_wall(void);

/* Unpredictable bytes, from a pool so that a mask costs no system call. */
void random_bytes(void *out, size_t n);

#endif
