/*
 * A stream: one request with its answer, tied to an HTTP conn on one side and
 * to a link on the other.  Its two halves are named by where they go: on the
 * server the request goes to the link and the answer comes from it; on the
 * client it is the other way round.  What differs by role is in struct role,
 * what differs by wire in struct wire.
 *
 * Events only mark a stream.  It then waits for its turn at the link (not to be
 * confused with a turn of the loop), and only in its turn do its octets, ends,
 * resets and grants go to the link; but a head goes at once, with what there is of
 * its body.
 *
 * A stream that is over is freed at once, but its memory lasts until the end of
 * settling: whoever called something that may end s looks at s->life.
 */
#ifndef GATE_STREAM_H
#define GATE_STREAM_H

#include "pipegate.h"
#include "gate/credit.h"
#include "gate/list.h"
#include "gate/mem.h"

struct conn;
struct link;
struct stream;

#define LABEL_MAX 256
#define FROM_MAX 46				/* an IPv6 address as text, with its NUL */
#define INFORMATIONAL_MAX 16		/* interim answers before the final one */
#define V2_STREAMS 1024
#define V2_WINDOW 65536			/* credit that a request's body starts with */
#define NO_CREDIT_LIMIT (LLONG_MAX / 4)	/* where the wire has no credit (v1) */

/* Why the conn's octets cannot be read to their end. */
enum source_fault {
	SOURCE_EOF,			/* ended inside its body */
	SOURCE_BROKEN,			/* an error of the socket */
	SOURCE_BAD,			/* breaks HTTP's framing */
	SOURCE_TOO_BIG,			/* passed the limit */
	SOURCE_NO_ROOM			/* the budget cannot hold it (v1) */
};

/* What server and client do each in their own way. */
struct role {
	int answer_comes;		/* the answer comes from the link: the server's */
	/* Passes on the head of the half that goes to the link, once the conn
	 * has all of it.  Returns 1 when the head was passed on (v1 reads its
	 * body then); 0 when not: more must come, or s has failed. */
	int (*head)(struct stream *);
	/* The half that goes to the link cannot be read to its end.  s may be
	 * over then. */
	void (*fault)(struct stream *, enum source_fault);
	/* An answer's head came (v2); m's views are good for the call. */
	void (*message)(struct stream *, const struct ws_msg *m);
	/* The peer has reset s, whose answer has not ended, with these flags: gives
	 * the request out once more, if they allow it and it can.  Returns 1: s is
	 * over; or 0.  NULL: it never can. */
	int (*again)(struct stream *, int flags);
	/* The half that comes from the link was broken off before its end.
	 * Never frees s.  why is good for the call. */
	void (*lost)(struct stream *, int status, const char *why);
	/* Neither half is open: lets go of the conn. */
	void (*over)(struct stream *);
	/* s->http is about to be parted from s: forgets s. */
	void (*detached)(struct stream *);
};

/* What a stream wants after its turn. */
enum turn {
	TURN_DONE,		/* nothing: it has no more to say now */
	TURN_AGAIN,		/* another turn */
	TURN_FIRST		/* the next turn, since it is inside a message */
};

/* How streams use a link of one wire: chosen when the link is made. */
struct wire {
	int version;
	int flows;		/* bodies flow, against credit, and protocol switches pass */
	long long least_rate;	/* octets a second that a caller must send of a body that
				   is held whole; 0: any */
	/* Server: puts the request on the wire, with what there is of its body,
	 * and opens both halves.  h is the head that came, out what goes on of
	 * it (method, path, fields).  Returns 0; 1: s has failed, of which its
	 * role was told; or minus a status: -413 the body or -431 the head is
	 * too large, -405 the wire does not know the method, -503 no memory. */
	int (*request)(struct stream *, const struct http_head *out,
	    const struct http_head *h);
	/* Client: the same for the final answer (out: status, reason, fields),
	 * whose half is open; it may end the half. */
	int (*answer)(struct stream *, const struct http_head *out,
	    const struct http_head *h);
	/* The same for an answer that is our own and not the service's, with all of
	 * its body, which ends the half.  -503 also where there is no credit for it. */
	int (*whole)(struct stream *, const struct http_head *out,
	    struct view body);
	/* And for an interim answer (1xx). */
	int (*interim)(struct stream *, const struct http_head *out);
	/* Takes one turn at the link. */
	enum turn (*serve)(struct stream *);
	/* The conn has something to read, or may have. */
	void (*news)(struct stream *);
	/* Client: the service cannot answer s, and the peer is to hear that.
	 * why: static. */
	void (*fail)(struct stream *, int status, const char *why);
	/* Marks s: the peer is to hear that s is broken off.  why: static.
	 * NULL: the wire has no message for that. */
	void (*reset)(struct stream *, int status, const char *why);
	/* The halves are broken off: throws away what waits for the link and
	 * has not begun to go.  May be NULL. */
	void (*drop)(struct stream *);
	/* Whether s must stay until something of it has gone to the link.
	 * NULL: never. */
	int (*is_busy)(const struct stream *);
	/* The stream goes: frees what it has of the wire's own.  May be NULL. */
	void (*over)(struct stream *);
	/* Asks the peer for no new requests.  NULL: the wire has no message
	 * for that. */
	void (*leave)(struct link *);
	/* Tells the peer what note, a JSON object, says.  Returns 0, or -1: no
	 * memory.  NULL: the wire has no message for that. */
	int (*note)(struct link *, struct view note);
};

enum stream_life {
	STREAM_NEW = 1,
	STREAM_WAITING,			/* server: in its tunnel's queue */
	STREAM_JOINED,			/* uses a link */
	STREAM_OVER,			/* neither half is open, or ever will be */
	STREAM_FREED			/* its memory lasts until streams_sweep() */
};

/* What goes from the conn to the link. */
struct to_link {
	struct ws_half half;
	struct http_body body;		/* the framing of what is read, and where it stands */
	long long octets;		/* of the body, read so far */
	long long limit;		/* of these; LLONG_MAX: none */
	long long ended_ms;		/* when the end was passed on; 0: not yet */
	unsigned char head_passed;
};

/* What comes from the link to the conn. */
struct from_link {
	struct ws_half half;
	struct window window;		/* the credit that we give (v2) */
	enum http_framing framing;	/* of what is written */
	long long octets;		/* of the body, come so far */
	size_t held;			/* of these, those that the socket has not taken */
	unsigned char head_passed;
	unsigned char dropped;		/* the conn takes no more: what comes is thrown away */
};

struct stream {
	const struct role *role;
	const struct wire *wire;	/* of its link; NULL before it joins one */
	enum stream_life life;
	unsigned char id[16];		/* correlation id, where named is set */
	unsigned int number;		/* on its link (v2); 0: none yet */
	struct conn *http;		/* NULL: none yet, or no more */
	struct link *link;		/* from STREAM_JOINED on */
	struct tunnel *tunnel;		/* server */
	struct stream *hash_next;	/* in its bucket, or among the freed or spare ones */
	struct stream *number_next;	/* in its bucket of numbers */
	struct item on_link;		/* among the link's streams */
	struct item turn;		/* among its light or heavy ones, while it waits */
	struct item wait;		/* server: in the tunnel's queue; client: see lasting.h */
	struct to_link to_link;
	struct from_link from_link;
	struct held *held;		/* what v1 alone needs, or NULL */
	struct chain kept;		/* server: see stream_keep() */
	long long start_ms;		/* when it was made; server: when its request came */
	long long begun_ms;		/* server: when it was given to a link */
	long long answer_ms;		/* server: when its answer began; 0: not yet */
	long long burst;		/* octets put into the link lately, as of turn_ms */
	long long turn_ms;
	const char *reset_why;		/* NULL: no reset is due; static */
	int reset_status;		/* of that one, or of one that came; 0: none */
	const char *fault;		/* client: why it failed here; static, or NULL */
	int status;			/* of the answer, for the log; 0: none */
	int informational;		/* answers 1xx so far */
	unsigned char named;		/* has a correlation id, and is found by it */
	unsigned char reached;		/* client: the service may have got the request */
	unsigned char reset_flags;	/* client: what a reset says besides, as in struct ws_msg */
	unsigned char grant_due;	/* the peer is to hear of more credit */
	unsigned char upgrade;		/* asks for a protocol switch */
	char from[FROM_MAX];		/* server: who asks, where that is another than its conn's
					   peer; or "" */
	char label[LABEL_MAX];		/* method and path, for people; zeroed but for its rest */
};

/* The stream with that id that is not freed, or NULL. */
struct stream *stream_find(const unsigned char id[16]);

/* Any stream that is joined to a link and has a conn, or NULL. */
struct stream *stream_first_tied(void);

/* Makes a stream, which has no conn and no link yet.  Its halves are opened by
 * others.  id NULL: it has no correlation id.  NULL: no memory. */
struct stream *stream_new(const struct role *role, const unsigned char id[16]);

/* Moves s to another stage of its life, which must be one that may follow. */
void stream_move(struct stream *s, enum stream_life life);

/* Ties s to link l, and to its wire. */
void stream_join(struct stream *s, struct link *l);

/* Opens h, which has not begun, with that credit and length (-1: not said). */
void half_open(struct ws_half *h, long long credit, long long length);

/* Ends h, which has not ended and is not broken off. */
void half_end(struct ws_half *h);

/* Whether h has begun and has neither ended nor been broken off. */
static inline int
half_is_open(const struct ws_half *h)
{
	return h->state == WS_HALF_OPEN;
}

/* Parts s from its conn, if it has one. */
void stream_detach(struct stream *s);

/* While the request may have to be given out again: keeps a copy of what its
 * conn has in rx, a head first, and of all that comes behind it.  Where that is
 * too much, or memory is short, nothing is kept. */
void stream_keep(struct stream *s);

/* It cannot be given out again: the copy goes. */
void stream_forget(struct stream *s);

/* Puts the copy into rx, as if nothing had been read since.  Returns 1; or 0:
 * nothing was kept, or there is no memory. */
int stream_unread(struct stream *s);

/* Frees s where it is over: neither half is open, and nothing of it waits for
 * the link. */
void stream_check(struct stream *s);

/* Breaks off each half that is open, and tells the peer.  why: a static string.
 * s may be over then. */
void stream_reset(struct stream *s, int status, const char *why);

/* The same because of what came from the link: the role hears that its half
 * from there is lost. */
void stream_break(struct stream *s, int status, const char *why);

/* Breaks off each half that is open, and tells nobody. */
void stream_drop_halves(struct stream *s);

/* The half to the link has ended in good order, and its end is on its way.  An
 * answer that ends before its request breaks off what is left of the request.
 * s may be over then. */
void stream_passed_on(struct stream *s);

/* Why the request was broken off in that case. */
extern const char stream_answered[];

/* Has s wait for a turn at its link; nothing happens where it waits already or
 * is not joined. */
void turn_wait(struct stream *s);

/* The same before all others, for a stream that does not wait. */
void turn_wait_first(struct stream *s);

/* Takes the stream whose turn is next at l; NULL: none waits. */
struct stream *turn_take(struct link *l);

/* Whether no stream waits at l. */
int turn_none(const struct link *l);

/* The credit with which the body may start that comes on l for the stream that
 * joined it last. */
long long stream_window_first(const struct link *l);

/* Takes the first credit that the peer is given, of so many octets, from the
 * budget; it counts in the account of its link.  Returns 0, or -1: the budget has not that much left. */
int stream_window_open(struct stream *s, long long octets);

/* So many octets of credit were used: they go back to the budget. */
void stream_window_use(struct stream *s, size_t octets);

/* No more credit will be used: what is left of it goes back, and none is
 * granted any more. */
void stream_window_close(struct stream *s);

/* n octets have left for good, written or thrown away: where much of the window
 * has, a grant is due. */
void stream_window_gone(struct stream *s, size_t n);

/* l's path grew: streams that used up their windows are due a grant. */
void streams_widen(struct link *l);

/* Takes the credit that is to be granted now from the budget.  Returns how
 * many octets; 0: none. */
long long stream_window_grant(struct stream *s);

/* Once a second: where memory was short, streams try again what they could not
 * do. */
void streams_retry(void);

/* Writes the name of a request for people to out, without its query, which may hold
 * secrets.  form: for method and path, two %s, as for text_put(). */
void stream_label(char out[LABEL_MAX], const char *form, struct view method,
    struct view path);

/* At the end of settling: the memory of freed streams may be used for new
 * ones. */
void streams_sweep(void);

#ifdef AUDIT
/* Looks at each stream whole: ends the program where states contradict each
 * other.  For builds that look for bugs. */
void streams_audit(void);
#endif

/* A field whose views are of these two strings. */
struct http_field field_of(const char *name, const char *value);

#endif
