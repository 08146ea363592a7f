/*
 * Tunnel clients as the server sees them: the handshake, a client that takes
 * its own older link's place, leaving.
 */
#ifndef GATE_JOIN_H
#define GATE_JOIN_H

#include "pipegate.h"

struct caller;

/* A WebSocket handshake with head h, which still stands at the front of rx.
 * w is a tunnel client's link afterwards, or is answered; it may be freed. */
void caller_upgrade(struct caller *w, const struct http_head *h);

/* Answers a handshake that is none. */
void handshake_error(struct caller *w, int status);

/* Once a second: links whose token has expired take no new requests. */
void links_expire(void);

/* Says goodbye to all clients: the server is stopping. */
void links_stop(void);

#endif
