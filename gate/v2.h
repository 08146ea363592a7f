/*
 * The wire v2, this program's own: streams flow in messages of one frame each,
 * against credit.
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
 * refused.  Returns 0, or -1: no memory. */
int v2_refuse(struct link *l, const unsigned char id[16], int status,
    const char *why);

/* Takes a message that came on l, a link of this wire.  p[0..n) is written to.
 * Returns WS_MSG_REQUEST: a new request, which the caller takes from m, whose
 * views point into p; WS_MSG_LEAVE: l carries no new requests from now on; or
 * WS_MSG_UNKNOWN: the message was dealt with. */
enum ws_type v2_take(struct link *l, int opcode, unsigned char *p, size_t n,
    struct ws_msg *m);

#endif
