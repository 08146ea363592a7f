/*
 * Fetching, on the client: a request that came over the link goes to the service, and
 * its answer back.
 */
#ifndef GATE_FETCH_H
#define GATE_FETCH_H

struct http_head;
struct link;
struct stream;

/* Why a request that came over the link goes nowhere. */
extern const char client_malformed[];

/* Makes a stream for a request that came on l; the caller opens its halves.  id:
 * as for stream_new().  NULL: no memory. */
struct stream *client_stream(struct link *l, const unsigned char id[16]);

/* Gives s, whose request has head h, a connection to the service and sends the
 * head there; or fails s. */
void client_start(struct stream *s, const struct http_head *h, int has_body);

#endif
