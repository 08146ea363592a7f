/*
 * The wire of this program's own, v2: streams, as messages of one frame each.
 */
#ifndef GATE_V2_H
#define GATE_V2_H

#include <stddef.h>

#include "pipegate.h"

struct link;
struct stream;
struct wire;

extern const struct wire wire_v2;

/* Tells the peer that the request of that id, which has no stream here, is
 * not taken.  Returns 0, or -1: no memory. */
int v2_refuse(struct link *l, const unsigned char id[16], int status,
    const char *why);

/* A message that came on l, a link of this wire.  Whatever is not about a
 * stream that is there, or of its role, is left to the caller.  Returns the
 * message's type, m filled in; WS_MSG_UNKNOWN where it was dealt with.
 * p[0..n) is written to, and m's views point there. */
enum ws_type v2_take(struct link *l, int opcode, unsigned char *p, size_t n,
    struct ws_msg *m);

#endif
