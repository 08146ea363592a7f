/*
 * Answers over v1, on the server: each comes whole, in one message.
 */
#ifndef GATE_V1_ANSWER_H
#define GATE_V1_ANSWER_H

#include <stddef.h>

struct link;

/* Takes a message that came on l; for its ops.  p[0..n) is written to. */
void answer_v1(struct link *l, int opcode, unsigned char *p, size_t n);

/* Takes the beginning of one that is too large to be held. */
void answer_v1_unheld(struct link *l, int status, const unsigned char *p,
    size_t n);

#endif
