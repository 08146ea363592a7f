/*
 * Origins, on the client: connections to the local service.  A request that came
 * over the link gets one, its answer is read from there, and the connection is
 * kept for the next request where it can be.
 */
#ifndef GATE_ORIGIN_H
#define GATE_ORIGIN_H

#include <stddef.h>

struct http_head;
struct link;
struct target;
struct stream;

/* Why a request that came over the link goes nowhere. */
extern const char client_malformed[], client_no_memory[];

/* No more than most conns can be had: ends connections to t that are kept, then
 * requests at work. */
void origins_crowded(struct target *t, size_t most);

/* Makes a stream for a request that came on l; the caller opens its halves.  id:
 * as for stream_new().  NULL: no memory. */
struct stream *client_stream(struct link *l, const unsigned char id[16]);

/* Gives s, whose request has head h, a connection to the service and sends the
 * head there; or fails s. */
void client_start(struct stream *s, const struct http_head *h, int has_body);

/* The service cannot answer s: lets go of its connection, and has the server
 * told.  why: static.  s may be over then. */
void client_fail(struct stream *s, int status, const char *why);

#endif
