/*
 * Requests over v1, on the client: each comes whole, in one message.
 */
#ifndef GATE_V1_REQUEST_H
#define GATE_V1_REQUEST_H

#include <stddef.h>

struct link;

/* Takes a message that came on l; for its ops.  p[0..n) is written to. */
void request_v1(struct link *l, int opcode, unsigned char *p, size_t n);

/* Takes the beginning of one that could not be held, and what its request is
 * answered with: 413 or 503. */
void request_v1_unheld(struct link *l, int status, const unsigned char *p,
    size_t n);

#endif
