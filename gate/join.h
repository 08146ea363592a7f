/*
 * Tunnel clients as the server sees them: how a caller becomes a link (the
 * handshake, its token, and the place of an older link of the same client), and
 * how that link leaves: one whose token has expired takes no new requests, and is
 * closed where its client survives that (v2); one whose token is revoked is closed.
 */
#ifndef GATE_JOIN_H
#define GATE_JOIN_H

#include "pipegate.h"

struct asked;
struct caller;
struct route;

/* Takes a WebSocket handshake, request q, whose head still stands at the front of
 * rx: makes a link of w's conn, and frees w; or says why not.  Where it leads to an
 * id, HTTP_ROUTE_REDIRECT, the token must be for that. */
void caller_upgrade(struct caller *w, const struct asked *q,
    const struct route *to);

/* Closes the links whose tokens are revoked. */
void links_revoke(void);

/* Closes all links: the server is stopping. */
void links_stop(void);

#endif
