/*
 * Callers: their requests are read, routed and timed.
 */
#ifndef GATE_CALLER_H
#define GATE_CALLER_H

struct addr;
struct caller;

/* Takes in the caller that connected as fd, which is closed where there is no
 * memory.  *counted is added to, and lessened when its conn goes.  tunnel_only:
 * it came over the cap, and may only be a tunnel client. */
void caller_accept(int fd, const struct addr *peer, size_t *counted,
    int tunnel_only);

/* Makes room for one more caller: the one idle longest goes without a word,
 * else the oldest that is still sending its head, with a 503.  Returns 0, or
 * -1: there is none. */
int caller_evict(void);

/* The same for whoever is left: a request that is at work is broken off.
 * Returns 0, or -1: there is no caller. */
int caller_evict_any(void);

/* Turns somebody away who has connected as fd, and closes it: with a 503 where
 * an octet of a request has come, else without a word. */
void caller_turn_away(int fd);

/* Looks for further requests of those that have answers now. */
void callers_settle(void);

/* With the budget full, the body that has stalled longest is broken off. */
void callers_unclog(void);

#endif
