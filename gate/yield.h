/*
 * Who yields when connections or memory are short: from the rows of callers (see
 * gate/reply.h), who stands in front.
 */
#ifndef GATE_YIELD_H
#define GATE_YIELD_H

#include <stddef.h>

struct caller;

/* Why somebody is turned away. */
extern const char yield_crowded[];

/* Ends w, which has no request at work. */
void caller_drop(struct caller *w);

/* Where answers of ours that nobody takes, unfinished heads, and requests behind
 * others hold more than their share of memory, drops the oldest, of the first of
 * these kinds, to make room for the octets that came.  They get no answer: that
 * would take memory too. */
void requests_evict(size_t came);

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

#endif
