/*
 * The lock on the door, on the client: who may ask the service.  By --auth whoever
 * knows a name and a password (RFC 7617), by --allow whoever has one of some addresses.
 * The server knows only whether two clients of an id have the same lock.
 */
#ifndef GATE_LOCK_H
#define GATE_LOCK_H

#include "pipegate.h"

/* What is wrong with text as --auth, USER:PASSWORD: words for a person, or NULL. */
const char *lock_auth_fault(const char *text);

/* Once: makes the lock that --auth and --allow ask for, on the tunnel id, a string
 * that lasts. */
void lock_make(const char *id);

/* What tells the lock from others of the same id; empty: there is none.  Too short for
 * anybody to try passwords on it. */
const char *lock_digest(void);

/* Whether the caller of h is to get a refusal in place of the service's answer: then
 * fills in what e says of it. */
int lock_refuses(struct http_error *e, const struct http_head *h);

/* How h, which was not refused, goes to the service: h itself; or without what opened
 * the lock, good until the next call. */
const struct http_head *lock_passes(const struct http_head *h);

#endif
