/*
 * A stream: one request with its answer, tied to an HTTP conn on one side and
 * to a link on the other.  Its two halves are named by where they go: on the
 * server the request goes to the link and the answer comes from it; on the
 * client it is the other way round.  What differs by role is in struct role,
 * what differs by wire in struct wire.
 *
 * Events only mark a stream.  It then takes its turn in the link's FIFO, which
 * is the only place where its octets, ends, resets and grants go to the link.
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

#define LABEL_MAX 96
#define V2_STREAMS 1024
#define V2_WINDOW 65536			/* credit that a request's body starts with */
#define NO_CREDIT_LIMIT (LLONG_MAX / 4)	/* where the wire knows none (v1) */

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
	int answer_comes;		/* the answer comes from the link */
	/* Passes on the head of the half that goes to the link.  Returns 1
	 * when that is done, 0 to be called again when more has come. */
	int (*head)(struct stream *);
	void (*fault)(struct stream *, enum source_fault);
	/* A message with a head came for the half that comes from the link. */
	void (*message)(struct stream *, struct ws_msg *);
	/* What comes from the link was broken off before its end.  Never
	 * frees s.  why: as long as the call. */
	void (*lost)(struct stream *, int status, const char *why);
	/* Neither half is open: let go of the conn. */
	void (*over)(struct stream *);
	/* s->http is s's no more. */
	void (*detached)(struct stream *);
};

enum turn {
	TURN_DONE,		/* nothing more to say now */
	TURN_AGAIN,		/* wants another turn */
	TURN_FIRST		/* the same, before all others: in the midst of a message */
};

/* How streams use a link of one wire: chosen when the link is made. */
struct wire {
	int version;
	int flows;		/* bodies flow, against credit, and protocol switches pass */
	long long least_rate;	/* octets a second of a body that is held whole; 0: none */
	/* Puts a request on the wire whose message is ready and whose head is
	 * h, and opens both halves (server).  Or an answer's head (client);
	 * that it ends (m->end) may end the half to the link.  Returns 0, or
	 * minus a status: -413 the body, -431 the head is too large, -405 the
	 * method is not known there, -503 no memory. */
	int (*request)(struct stream *, struct ws_msg *, const struct http_head *h);
	int (*answer)(struct stream *, struct ws_msg *);
	/* The same for an interim answer (1xx). */
	int (*interim)(struct stream *, struct ws_msg *);
	/* Takes one turn at the link. */
	enum turn (*serve)(struct stream *);
	/* There is something to read at the conn, or may be. */
	void (*news)(struct stream *);
	/* Client: s cannot be answered by the service. */
	void (*fail)(struct stream *, int status, const char *why);
	/* Marks s: the peer is to hear that it is broken off.  NULL: the wire
	 * has no word for that. */
	void (*reset)(struct stream *, int status, const char *why);
	/* The halves are dropped: so is what waits and has not begun to go. */
	void (*drop)(struct stream *);
	/* Whether s must stay until something of it has gone to the link. */
	int (*is_busy)(const struct stream *);
	/* The stream goes: frees what it has of the wire's own.  May be NULL. */
	void (*over)(struct stream *);
	/* Asks the peer for no new requests.  NULL: as reset. */
	void (*leave)(struct link *);
};

enum stream_life {
	STREAM_NEW = 1,
	STREAM_WAITING,			/* server: in its tunnel's queue */
	STREAM_JOINED,			/* uses a link */
	STREAM_OVER,			/* neither half is open, or ever will be */
	STREAM_FREED			/* until the end of the turn */
};

/* What goes from the conn to the link. */
struct to_link {
	struct ws_half half;
	struct http_body body;		/* framing of what is read */
	long long octets;		/* of body that have passed */
	long long limit;		/* of these; LLONG_MAX: none */
	long long ended_ms;		/* when the end was passed on; 0: not yet */
	unsigned char head_passed;
};

/* What comes from the link to the conn. */
struct from_link {
	struct ws_half half;
	struct window window;		/* the credit that we give (v2) */
	enum http_framing framing;	/* of what is written */
	long long octets;		/* of body that have come */
	size_t held;			/* of these, what the socket has not taken */
	unsigned char head_passed;
	unsigned char dropped;		/* the conn takes no more: what comes is thrown away */
};

struct stream {
	const struct role *role;
	const struct wire *wire;	/* of its link; NULL before it joins one */
	enum stream_life life;
	unsigned char id[16];
	struct conn *http;		/* NULL: none yet, or no more */
	struct link *link;		/* from STREAM_JOINED on */
	struct tunnel *tunnel;		/* server */
	struct stream *hash_next;	/* also of the freed and the spare ones */
	struct item on_link;		/* among the link's streams */
	struct item turn;		/* among its light or heavy ones */
	struct item wait;		/* server: in the tunnel's queue */
	struct to_link to_link;
	struct from_link from_link;
	struct held *held;		/* what v1 alone needs, or NULL */
	long long start_ms;		/* when it was made */
	long long begun_ms;		/* server: when it was given to a link */
	long long burst, turn_ms;	/* octets put into the link lately, up to then */
	const char *reset_why;		/* NULL: no reset is due; static */
	int reset_status;
	const char *fault;		/* client: why it failed here; static, or NULL */
	int status;			/* of the answer, for the log; 0: none */
	int informational;		/* 1xx seen */
	unsigned char grant_due;
	unsigned char upgrade;		/* asks for a protocol switch */
	char label[LABEL_MAX];		/* method and path, for people */
};

/* The stream with that id that is not over, or NULL. */
struct stream *stream_find(const unsigned char id[16]);

/* A stream that has a conn, of any link, or NULL. */
struct stream *stream_first_tied(void);

/* Makes a stream for conn c, which may be NULL.  NULL: no memory. */
struct stream *stream_new(const struct role *role, struct conn *c,
    const unsigned char id[16]);

/* Moves s to another stage of its life, which must be one that may follow. */
void stream_move(struct stream *s, enum stream_life life);

/* Ties s to link l, and to its wire. */
void stream_join(struct stream *s, struct link *l);

/* Opens a half with that credit and length (-1: not said); ends one; both
 * must be moves that may follow. */
void half_open(struct ws_half *h, long long credit, long long length);
void half_end(struct ws_half *h);

static inline int
half_is_open(const struct ws_half *h)
{
	return h->state == WS_HALF_OPEN;
}

/* Parts s from its conn. */
void stream_detach(struct stream *s);

/* Releases s where it is over: then s may only be looked at, until the end of
 * the turn. */
void stream_check(struct stream *s);

/* Breaks off whatever has not ended, and tells the peer.  why: a static
 * string.  s may be over then. */
void stream_reset(struct stream *s, int status, const char *why);

/* Breaks off both halves without a word. */
void stream_drop_halves(struct stream *s);

/* The half to the link has ended in good order and its end is on its way.  An
 * answer that ends before its request breaks off what is left of that.  s may
 * be over then. */
void stream_passed_on(struct stream *s);

/* Why a half was broken off that the other one does not need. */
extern const char stream_answered[];

/* s waits for a turn at its link; in front of all others; does not wait. */
void turn_wait(struct stream *s);
void turn_wait_first(struct stream *s);
struct stream *turn_take(struct link *l);
int turn_none(const struct link *l);

/* Promises the first credit of octets.  Returns 0, or -1: the budget is full. */
int stream_window_open(struct stream *s, long long octets);

/* octets of credit were used, or none will be. */
void stream_window_use(struct stream *s, size_t octets);
void stream_window_close(struct stream *s);

/* n octets have left for good: a grant may be due. */
void stream_window_gone(struct stream *s, size_t n);

/* Takes the credit that is to be granted now from the budget.  Returns how
 * much; 0: none. */
long long stream_window_grant(struct stream *s);

/* Once a second: streams that found no memory ask again. */
void streams_retry(void);

/* Names the request for people, without its query, which may hold secrets.
 * form: for method and path, as for printf(). */
void stream_label(struct stream *s, const char *form, struct view method,
    struct view path);

/* Keeps the memory of freed streams for new ones: at the end of the turn. */
void streams_sweep(void);

#ifdef AUDIT
/* Looks at each stream whole: ends the program where states contradict each
 * other.  For builds that look for bugs. */
void streams_audit(void);
#endif

/* The field called content-length, or NULL; its value, or -1. */
const struct http_field *msg_length_field(const struct ws_msg *m);
long long length_of(const struct http_field *f);

/* A field of two static strings. */
struct http_field field_of(const char *name, const char *value);

#endif
