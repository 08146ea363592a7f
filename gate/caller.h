/*
 * Callers: their requests are read, routed and timed.  struct caller stands in
 * reply.h, since the rooms in between answer callers too.
 */
#ifndef GATE_CALLER_H
#define GATE_CALLER_H

#include "gate/pollset.h"

struct addr;
struct caller;
struct conn;

#define HEAD_MS 10000		/* from accept, or the first octet, until a head is whole */

/* Takes in the caller that connected as fd, which is closed where there is no
 * memory.  tunnel_only: it came over the cap, and while that is exceeded it
 * may only be a tunnel client. */
void caller_accept(int fd, const struct addr *peer, int tunnel_only);

/* From now on w, of another kind until here, is read as any caller: what is in rx is
 * the first of its requests. */
void caller_admit(struct caller *w);

/* Whether w, which has sent no whole head, may be read in this turn.  0: it leaves
 * that to others, or it was what had to yield to what comes. */
int caller_may_read(struct caller *w);

/* When c, whose caller has sent no whole head, may be put aside.  Who may have been
 * passed over in this turn stays asked: parked, it would stand behind all that come
 * after it. */
enum rest caller_head_rests(const struct conn *c);

/* Once a turn: takes one request of each caller that has more of them, and whose last
 * one has been answered. */
void callers_settle(void);

/* Once a second: of the callers that take nothing of an answer of a tunnel which
 * holds nearly as much memory as it may, breaks off the one that has stalled
 * longest. */
void callers_unclog(void);

#endif
