/*
 * Origins, on the client: connections to the local service.  A request that came
 * over the link gets one, its answer is read from there, and the connection is
 * kept for the next request where it can be.
 */
#ifndef GATE_ORIGIN_H
#define GATE_ORIGIN_H

#include <stddef.h>

struct link;
struct target;
struct stream;
struct ws_msg;

/* Takes a message of v2 that came on l; for its ops.  p[0..n) is written to. */
void origin_message_v2(struct link *l, int opcode, unsigned char *p, size_t n);

/* No more than most conns can be had: ends connections to t that are kept, then
 * requests at work. */
void origins_crowded(struct target *t, size_t most);

/* Makes a stream for a request that came on l; the caller opens its halves.
 * NULL: no memory. */
struct stream *client_stream(struct link *l, const unsigned char id[16]);

/* Gives s, whose request is m, a connection to the service and sends the head of
 * the request there; or fails s. */
void client_start(struct stream *s, struct ws_msg *m);

/* The service cannot answer s: lets go of its connection, and has the server
 * told.  why: static.  s may be over then. */
void client_fail(struct stream *s, int status, const char *why);

#endif
