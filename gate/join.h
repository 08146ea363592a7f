#ifndef GATE_JOIN_H
#define GATE_JOIN_H

#include "pipegate.h"

struct conn;

void client_handshake_error(struct conn *c, int status);
void caller_upgrade(struct conn *c);

/* Links whose token has expired take no new requests (v1 stays open, since
 * the reference's client does not survive a close). */
void links_expire(void);

#endif
