/*
 * Callers: their requests are read, routed and timed.  struct caller stands in
 * reply.h, since the rooms in between answer callers too.
 */
#ifndef GATE_CALLER_H
#define GATE_CALLER_H

struct addr;
struct caller;

/* Takes in the caller that connected as fd, which is closed where there is no
 * memory.  tunnel_only: it came over the cap, and while that is exceeded it
 * may only be a tunnel client. */
void caller_accept(int fd, const struct addr *peer, int tunnel_only);

/* Once a turn: takes one request of each caller that has more of them, and whose last
 * one has been answered. */
void callers_settle(void);

/* Once a second: of the callers that take nothing of an answer of a tunnel which
 * holds nearly as much memory as it may, breaks off the one that has stalled
 * longest. */
void callers_unclog(void);

#endif
