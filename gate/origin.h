/*
 * Origins, on the client: connections to the local service.  A request that came
 * over the link gets one, its answer is read from there, and the connection is
 * kept for the next request where it can be.
 */
#ifndef GATE_ORIGIN_H
#define GATE_ORIGIN_H

#include <stddef.h>

#include "gate/list.h"
#include "gate/mem.h"
#include "gate/rewrite.h"
#include "gate/stream.h"
#include "gate/target.h"

/* A connection to the service.  Lives as long as its conn. */
struct origin {
	struct conn *c;
	struct target *target;
	struct stream *stream;	/* the request at work, or NULL */
	struct item place;	/* among the target's idle ones */
	struct attempt attempt;	/* to connect */
	struct chain again;	/* the request's head, kept to be sent once more */
	size_t sent;		/* octets of the request at work that the socket took */
	struct home home;	/* for the answer at hand */
	unsigned char reused;	/* has served a request before */
	unsigned char keep_alive;	/* may serve another */
	unsigned char head_only;	/* HEAD is at work */
	unsigned char foreign;	/* the request has a Host that is not local */
};

/* Why a request that came over the link goes nowhere. */
extern const char client_no_memory[];

/* The origin of s, which has one. */
struct origin *origin_of(const struct stream *s);

/* Gives s a connection: one that is kept, or a new one.  retry: s could be sent once
 * more, should the kept one turn out to be closed.  Returns 1; or 0: s has failed. */
int origin_take(struct stream *s, int retry);

/* Where a reused conn has ended before an octet of the answer, sends the request
 * once more on a new one.  Returns whether that was so; s may have failed. */
int origin_retry(struct stream *s);

/* s is parted from its origin: the role's detached(). */
void origin_detached(struct stream *s);

/* s, which is over, lets go of its origin: that is kept, or ends. */
void origin_over(struct stream *s);

/* No more than most conns can be had: ends connections to t that are kept, then
 * requests at work. */
void origins_crowded(struct target *t, size_t most);

/* The service cannot answer s: lets go of its connection, and has the server
 * told.  why: static.  s may be over then. */
void client_fail(struct stream *s, int status, const char *why);

/* The same, as the role's fault(). */
void client_fault(struct stream *s, enum source_fault f);

#endif
