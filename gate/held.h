/*
 * The wire v1, that of the reference implementation: a request or an answer is
 * one JSON message with its body in base64.  So both sides hold bodies whole:
 * what goes in struct held, on its stream; what comes in struct held_link, on
 * its link.
 */
#ifndef GATE_HELD_H
#define GATE_HELD_H

#include <stddef.h>

struct link;
struct wire;

#define V1_MESSAGE_MAX (16u << 20)	/* octets of a message that we hold */
#define V1_STREAMS 100			/* at once on a link */

extern const struct wire wire_v1;

/* Answers the request of that id, which has no stream here, with status and why:
 * a text under 100 octets.  Returns 0, or -1: there is no memory, or l is inside
 * a message. */
int held_refuse(struct link *l, const unsigned char id[16], int status,
    const char *why);

/* Readies l for held_piece().  Returns 0, or -1: no memory. */
int held_link_begin(struct link *l);

/* For the ops of a link of this wire, as piece: gathers messages and hands them
 * to ops->message, or the beginning of one that cannot be held to
 * ops->unheld. */
void held_piece(struct link *l, int opcode, unsigned char *p, size_t n,
    int last);

/* The same, as freed. */
void held_link_freed(struct link *l);

#endif
