/*
 * The wire of the reference, v1: a request or an answer is one JSON message
 * with its body in base64, so both sides hold bodies whole.
 */
#ifndef GATE_HELD_H
#define GATE_HELD_H

#include <stddef.h>

struct link;
struct wire;

#define V1_MESSAGE_MAX (16u << 20)	/* octets of a message that we hold */
#define V1_STREAMS 100			/* at once on a link */

extern const struct wire wire_v1;

/* Answers the request of that id, which has no stream here.  why: a short
 * text.  Returns 0, or -1: no memory, or l is in the midst of a message. */
int held_refuse(struct link *l, const unsigned char id[16], int status,
    const char *why);

/* Readies l for held_piece().  Returns 0, or -1: no memory. */
int held_link_begin(struct link *l);

/* For the ops of a link of this wire: gathers messages, hands them to
 * ops->message, or their beginning to ops->oversize; and the end of that. */
void held_piece(struct link *l, int opcode, unsigned char *p, size_t n,
    int last);
void held_link_freed(struct link *l);

#endif
