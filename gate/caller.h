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

/* Makes room for one more caller: ends one whose connection ends already, or that
 * does not take what the server itself answered; or else, of those that sent nothing
 * yet, those inside a head, and those between requests, the oldest of the most
 * numerous kind, of the last one of the id that has most.  It is answered 503 where
 * anything of a request has come.  Returns 0, or -1: there is none. */
int caller_evict(void);

/* The same, but where there is none breaks off a request that is at work.
 * Returns 0, or -1: there is no caller at all. */
int caller_evict_any(void);

/* Turns away somebody who has connected as fd, and closes it: answers 503 where
 * an octet of a request has come. */
void caller_turn_away(int fd);

/* Reads the next request of each caller whose last one has been answered. */
void callers_settle(void);

/* Once a second: of the callers that take nothing of an answer of a tunnel which
 * holds nearly as much memory as it may, breaks off the one that has stalled
 * longest. */
void callers_unclog(void);

#endif
