/*
 * A caller: somebody's HTTP client on the public side.  And the answers that
 * the server makes itself.
 */
#ifndef GATE_REPLY_H
#define GATE_REPLY_H

#include "pipegate.h"
#include "gate/addr.h"
#include "gate/list.h"

struct conn;
struct stream;

#define UNREAD_MAX 4096		/* octets of our answers, before more requests are read */

/* Lives as long as its conn, or until that becomes a link. */
struct caller {
	struct conn *c;
	struct stream *stream;	/* the request at work, or NULL */
	char peer[INET6_ADDRSTRLEN];	/* its address, made once */
	unsigned char trusted;	/* whose forwarding fields are believed */
	struct item place;	/* among the callers that wait for the same thing */
	size_t *share;		/* a sum that its memory counts in, or NULL */
	size_t shared;		/* with so many octets */
	size_t head_size;	/* of the head at the front of rx; 0: taken */
	unsigned char served;	/* has sent a request */
	unsigned char tunnel_only;	/* came in over the cap */
	unsigned char hung_up;	/* sends no more, seen while its body was not read */
	/* of the request at hand, for its answer */
	unsigned char minor, head_only, html, keep_alive;
};

/* Makes a caller, which has no conn yet.  NULL: no memory. */
struct caller *caller_new(const struct addr *peer);

/* Frees w, whose conn is dead or somebody else's. */
void caller_free(struct caller *w);

/* Takes w out of what it waits in, and its memory out of the sum. */
void caller_leave(struct caller *w);

/* Counts octets of w in *share from now on, in place of where they were
 * counted; NULL: nowhere. */
void caller_share(struct caller *w, size_t *share, size_t octets);

/* Takes what h says of the answer's form. */
void caller_note(struct caller *w, const struct http_head *h);

/* The same where no head could be read: HTTP/1.1, closed after the answer. */
void caller_note_nothing(struct caller *w);

/* Takes the head h out of rx.  A body that is not going to be read ends the
 * connection after the answer. */
void caller_eat(struct caller *w, const struct http_head *h);

/* After an answer: the next request, or the end. */
void caller_answered(struct caller *w);

/* Has w's next request looked for at the end of the turn; the next of those,
 * or NULL. */
void caller_next(struct caller *w);
struct caller *caller_take_next(void);

/* Answers with an error; the request has no stream.  label names it in the
 * log, and may be "". */
void caller_error(struct caller *w, int status, const char *detail);
void caller_error_put(struct caller *w, struct http_error *e,
    const char *label);

/* The same for the request of s, which is not tied to w any more: s->status
 * says the status. */
void stream_error(const struct stream *s, struct caller *w,
    const char *detail);

/* GET /healthz */
void caller_health(struct caller *w, const struct http_head *h);

/* From /id to /id/, with the query. */
void caller_redirect(struct caller *w, struct view id, struct view query);

/* OPTIONS, for the server itself. */
void caller_options(struct caller *w);

#endif
