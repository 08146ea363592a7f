/*
 * The server's half of v1: an answer comes whole, in one message.
 */
#ifndef GATE_V1_ANSWER_H
#define GATE_V1_ANSWER_H

#include <stddef.h>

struct link;

/* A message that came on l. */
void answer_v1(struct link *l, int opcode, unsigned char *p, size_t n);

/* The beginning of one that is too large to be held. */
void answer_v1_oversize(struct link *l, const unsigned char *p, size_t n);

#endif
