/*
 * Requests that come over v2, on the client: checked, and given a stream.
 */
#ifndef GATE_V2_REQUEST_H
#define GATE_V2_REQUEST_H

#include <stddef.h>

struct link;

/* For the ops of a link, as message. */
void request_v2(struct link *l, int opcode, unsigned char *p, size_t n);

#endif
