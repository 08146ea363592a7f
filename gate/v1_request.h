/*
 * The client's half of v1: a request comes whole, in one message.
 */
#ifndef GATE_V1_REQUEST_H
#define GATE_V1_REQUEST_H

#include <stddef.h>

struct link;

/* A message that came on l. */
void request_v1(struct link *l, int opcode, unsigned char *p, size_t n);

/* The beginning of one that is too large to be held. */
void request_v1_oversize(struct link *l, const unsigned char *p, size_t n);

#endif
