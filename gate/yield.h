/*
 * Who yields when connections or memory are short: callers that have no request
 * at work stand in rows, by what they wait for, and leave from the front.
 */
#ifndef GATE_YIELD_H
#define GATE_YIELD_H

#include <stddef.h>

struct caller;

enum row {
	ROW_FRESH,		/* nothing has come yet */
	ROW_IDLE,		/* between requests */
	ROW_HEADS,		/* inside a head */
	ROW_STUCK,		/* do not take our own answers */
	ROW_NEXT,		/* may have whole requests in rx, which have their turn */
	ROW_PARTING,		/* their connections end in good order */
	ROWS
};

/* Why somebody is turned away. */
extern const char yield_crowded[];

/* Puts w at the end of that row, out of any other; it stays where it stands in that
 * one.  caller_unlist() takes it out. */
void caller_stand(struct caller *w, enum row row);
int caller_stands(const struct caller *w, enum row row);

/* The one that stands in that row for longest; NULL: none. */
struct caller *caller_first(enum row row);

/* Ends w, which has no request at work. */
void caller_drop(struct caller *w);

/* Where answers of ours that nobody takes, unfinished heads, and requests behind
 * others hold more than their share of memory, drops the oldest, of the first of
 * these kinds, to make room for the octets that came. */
void heads_evict(size_t came);

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
