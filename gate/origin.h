/*
 * The client's side towards the local service: connections to it, requests
 * that come over the link, and the service's answers.
 */
#ifndef GATE_ORIGIN_H
#define GATE_ORIGIN_H

#include <stddef.h>

struct link;
struct target;
struct stream;
struct ws_msg;

/* A message of v2 that came on l, the link of a tunnel to a target. */
void origin_message_v2(struct link *l, int opcode, unsigned char *p, size_t n);

/* No more than most conns can be had: ends connections that are kept, then the
 * ones at work. */
void origins_crowded(struct target *t, size_t most);

/* A stream for a request that came on l; its halves are to be opened.  NULL:
 * no memory. */
struct stream *client_stream(struct link *l, const unsigned char id[16]);

/* Gives s, whose request is m, a connection to the service and sends it the
 * head; or fails it. */
void client_start(struct stream *s, struct ws_msg *m);

/* The request of s cannot be answered by the service.  why: static.  s may be
 * over then. */
void client_fail(struct stream *s, int status, const char *why);

#endif
