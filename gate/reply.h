/*
 * A caller: somebody's HTTP client on the public side.  And the answers that
 * the server makes itself.  What a caller sends is read in caller.h.
 */
#ifndef GATE_REPLY_H
#define GATE_REPLY_H

#include "pipegate.h"
#include "gate/account.h"
#include "gate/addr.h"
#include "gate/journal.h"
#include "gate/list.h"
#include "gate/stream.h"

struct conn;
struct kind;

/* What several rooms say. */
extern const char reply_no_memory[], reply_stopping[], reply_nobody[];

/* Rows in which a caller without a request at work may stand, by what it waits for;
 * who came first stands in front. */
enum row {
	ROW_FRESH,		/* nothing has come yet */
	ROW_IDLE,		/* between requests */
	ROW_HEADS,		/* inside a head */
	ROW_STUCK,		/* do not take our own answers */
	ROW_NEXT,		/* may have whole requests in rx: one is taken in a turn */
	ROW_PARTING,		/* their connections end in good order */
	ROWS
};

/* Which cookie an answer is to bring if it is a page: see pin.h. */
enum pin { PIN_NONE, PIN_PLAIN, PIN_SECURE };

/* A request that has no stream, for the log and for its answer. */
struct asked {
	const struct http_head *h;	/* its method, path and fields, as far as they could be
					   read; NULL: nothing of it could */
	struct view id;		/* of the tunnel that it is for; empty: none */
};

/* One of which nothing is known. */
extern const struct asked asked_nothing;

/* Lives as long as its conn, or until that becomes a link. */
struct caller {
	struct conn *c;
	struct account *account;	/* in which its connection counts: for its last request */
	struct stream *stream;	/* the request at work, or NULL */
	struct item place;	/* among the callers that wait for the same thing */
	long long back_ms;	/* since when the request at hand, which has come back, is given
				   out again; 0: it has not come back */
	unsigned int back_after_ms;	/* so long after it came that began */
	unsigned int unsent;	/* octets of tx before the final answer: interim ones */
	unsigned int head_size;	/* of the head at the front of rx; 0: none is there */
	unsigned int counted: 2;	/* as what its connection counts: SHARE_CONNS, SHARE_IDLE */
	unsigned int trusted: 1;	/* its forwarding fields are believed */
	unsigned int addressed: 1;	/* it has an address */
	unsigned int https: 1;	/* it came by https, as far as we know */
	unsigned int gets: 1;	/* the request at hand is a GET, or a HEAD */
	unsigned int served: 1;	/* has sent a request */
	unsigned int tunnel_only: 1;	/* came in over the cap: may only join */
	unsigned int hung_up: 1;	/* sends no more, seen while its body was not read */
	unsigned int answer_out: 1;	/* a part of the answer behind them has been written */
	/* of the request at hand, for its answer; as in struct http_error */
	unsigned int minor: 1, head_only: 1, html: 1, keep_alive: 1;
	unsigned int pin: 2;	/* enum pin */
	unsigned int copies: 1;	/* bring copies of cookies: see pin.h */
	unsigned int resent: 1;	/* it is given out again though the service may have got it */
	unsigned int in_place: 1;	/* leads to its tunnel without its prefix: see stray.h */
	char peer[];		/* its address as text, or "unknown" */
};

/* Makes a caller, which has no conn yet, and is nobody's in particular.  NULL: no
 * memory. */
struct caller *caller_new(const struct addr *peer);

/* Takes in the caller that connected as fd, for kind to read, which is closed where
 * there is no memory.  tunnel_only: as in caller.h. */
void caller_begin(const struct kind *kind, int fd, const struct addr *peer,
    int tunnel_only);

/* w's connection counts in a from now on, and as that. */
void caller_count_in(struct caller *w, struct account *a, enum share as);

/* Lets w end in good order, as conn_linger() does.  Where nothing that a tunnel
 * sent is left to be written, it yields before all others. */
void caller_part(struct caller *w);

/* Frees w, whose conn is dead or somebody else's. */
void caller_free(struct caller *w);

/* Puts w at the end of that row, out of any other; it stays where it stands in that
 * one. */
void caller_stand(struct caller *w, enum row row);
int caller_stands(const struct caller *w, enum row row);

/* The one that stands in that row for longest; NULL: none. */
struct caller *caller_first(enum row row);

/* All that stand in it. */
const struct list *caller_row(enum row row);

/* Takes w out of the row in which it stands.  (caller_leaves() is another thing:
 * see answer.h.) */
void caller_unlist(struct caller *w);

/* Whether w's request has been at a client, who gave it back. */
static inline int
caller_is_back(const struct caller *w)
{
	return w->back_ms != 0;
}

/* The address of who asks by w, as X-Real-IP has it: that of w's peer, or what this
 * says in head h, where it is trusted and there is one (not NULL).  Good until the
 * next call, and while w lasts. */
const char *caller_from(const struct caller *w, const struct http_head *h);

/* Keeps in s, whose head is h and which w asks, what the log is to say of it. */
void caller_name(struct stream *s, const struct caller *w,
    const struct http_head *h);

/* Keeps what request h says of the form that its answer must have. */
void caller_note(struct caller *w, const struct http_head *h);

/* The same where no head could be read: the answer is for HTTP/1.1, and closes
 * the connection. */
void caller_note_nothing(struct caller *w);

/* Drops the head at the front of rx. */
void caller_drop_head(struct caller *w);

/* Drops the head h from the front of rx.  Where a body follows, which nobody is
 * going to read, the connection ends after the answer. */
void caller_eat(struct caller *w, const struct http_head *h);

/* The head of w's final answer is about to be queued. */
void caller_answer_begins(struct caller *w);

/* w's socket took n octets. */
void caller_took(struct caller *w, size_t n);

/* Takes back the answer for which that was called last, if none of it has been
 * written.  Returns 1, or 0. */
int caller_answer_undo(struct caller *w);

/* The answer to w is queued: its connection ends, or waits for the next
 * request. */
void caller_answered(struct caller *w);

/* Puts w, whose next request is not whole, where it waits for the rest of it. */
void caller_rest(struct caller *w);

/* Has w's next request taken in its turn, if octets of it have come. */
void caller_next(struct caller *w);

/* Answers request q, which has no stream, with an error. */
void caller_error(struct caller *w, const struct asked *q, int status,
    const char *detail);

/* The request of s, which was w's, for the tunnel id is over: writes its line in the
 * log.  by and why are as in struct entry. */
void stream_journal(const struct stream *s, const struct caller *w,
    const char *id, enum ender by, const char *why);

/* Answers the request of s for the tunnel id, which is not tied to w any more, with
 * the error s->status. */
void stream_error(const struct stream *s, struct caller *w, const char *id,
    enum ender by, const char *detail);

/* That a body has passed the limit.  Good until the next call. */
const char *reply_too_big(void);

/* Answers request q for /healthz. */
void caller_health(struct caller *w, const struct asked *q);

/* Answers that nobody serves the id of q.  stream_offline() does it for a stream, as
 * stream_error(). */
void caller_offline(struct caller *w, const struct asked *q);
void stream_offline(const struct stream *s, struct caller *w, const char *id);

/* The same where page, of another tunnel, has led there. */
void caller_left_tunnel(struct caller *w, const struct asked *q,
    struct view page);

/* Answers request q, which is no sound handshake of a client, with an error: status
 * 426 or 400. */
void caller_no_handshake(struct caller *w, const struct asked *q, int status);

/* Answers with a redirect from /id to /id/, with the query. */
void caller_redirect(struct caller *w, struct view id, struct view query);

/* Sends the request for target back to under /id. */
void caller_send_back(struct caller *w, struct view id, struct view target);

/* Answers an OPTIONS that is for the server itself. */
void caller_options(struct caller *w);

#endif
