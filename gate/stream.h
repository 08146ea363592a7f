#ifndef GATE_STREAM_H
#define GATE_STREAM_H

#include "pipegate.h"
#include "gate/list.h"
#include "gate/mem.h"

struct conn;
struct link;
struct stream;
struct tunnel;

#define LABEL_MAX 96
#define V2_STREAMS 1024
#define V2_WINDOW 65536			/* credit that a request's body starts with */
#define WINDOW_MAX (8 << 20)
#define SMALL_PIECE 2048		/* body pieces below are copied, not written at once */
#define STALLED_MS 30000
#define RUN_MAX 4			/* body messages read in one call */

enum source_fault {
	SOURCE_EOF,			/* ended inside its body */
	SOURCE_BROKEN,			/* an error of the socket */
	SOURCE_BAD,			/* breaks HTTP's framing */
	SOURCE_TOO_BIG,			/* passed up_limit */
	SOURCE_NO_ROOM			/* the budget cannot hold it (v1) */
};

struct role {
	int answer_down;		/* the answer comes down, the request goes up */
	/* Passes on the head of the half that goes up.  Returns 1 when that
	 * is done, 0 to be called again when more has come. */
	int (*head)(struct stream *);
	/* The conn's bytes cannot be read to their end. */
	void (*fault)(struct stream *, enum source_fault);
	/* The conn takes no more bytes. */
	void (*sink_gone)(struct stream *);
	/* A message with a head or trailers came for the half that comes down. */
	void (*message)(struct stream *, struct ws_msg *);
	/* What comes down was broken off before its end.  Never frees s. */
	void (*lost)(struct stream *, int status, const char *why);
	/* Neither half is open: let go of the conn. */
	void (*over)(struct stream *);
};

struct stream {
	const struct role *role;
	unsigned char id[16];
	struct conn *http;
	struct link *link;
	struct tunnel *tunnel;		/* server */
	struct stream *hash_next;	/* also of the dead and the spare ones */
	struct item on_link;		/* in the link's streams */
	struct item turn;		/* in its light or heavy ones */
	struct item wait;		/* server: in the tunnel's queue */
	struct ws_half up, down;
	struct http_body source;	/* framing of what is read from http */
	enum http_framing sink;		/* framing of what is written to it */
	long long up_limit;		/* body octets allowed up */
	long long up_bytes, down_bytes;
	struct chain again;		/* client: the request's head, to be sent once more */
	struct chain hold;		/* v1: the message, until it is whole and sent */
	unsigned char carry[3];		/* v1: octets that do not fill a base64 quantum */
	size_t ncarry;
	size_t held;			/* body octets in http's tx */
	long long promised;		/* charged credit that has not come yet */
	long long window, freed;	/* credit in all; octets gone since the last grant */
	long long grant_ms;
	long long start_ms, begun_ms, up_end_ms;
	int reset_status;
	const char *reset_why;
	const char *fault;		/* client: why it failed here; static text */
	int status;			/* of the answer, for the log */
	int informational;		/* 1xx seen */
	unsigned char head_up;		/* the head of the half that goes up has passed */
	unsigned char head_down;	/* the head of the other one */
	unsigned char reset_due, grant_due, send_due;
	unsigned char hold_begun;	/* v1: part of the message is in the link */
	long long burst, turn_ms;	/* octets it put there lately, up to then */
	unsigned char is_over, freed_flag;
	unsigned char sink_dead;	/* http takes no more: what comes down is dropped */
	unsigned char shut_due;		/* raw: FIN follows what is queued */
	unsigned char head_only, upgrade, minor, retry;
	char label[LABEL_MAX];		/* method and path, for people */
};

extern const char answered[];

struct stream *stream_find(const unsigned char id[16]);

/* Makes a stream for conn c.  NULL: no memory. */
struct stream *stream_new(const struct role *role, struct conn *c, const
    unsigned char id[16]);

/* Ties s to link l. */
void stream_join(struct stream *s, struct link *l);

void stream_leave_link(struct stream *s);
void turn_wait(struct stream *s);

int turn_none(const struct link *l);

struct stream *turn_take(struct link *l);

/* v1: the stream whose message is half in the link stays in front. */
void turn_put_back(struct link *l, struct stream *s);

void streams_sweep(void);

/* Releases what is over.  A reset or a v1 message that waits for room in the
 * link keeps the stream for so long. */
void stream_check(struct stream *s);

/* What an answer's window is at first (design: a 1024th of what is free). */
long long window_first(void);

/* Promises the first credit.  Returns 0, or -1 where the budget is full. */
int window_open(struct stream *s, long long bytes);

void window_close(struct stream *s);

/* Octets have left for good: when half a window has, more may come. */
void window_freed(struct stream *s, size_t n);

/* How much more credit the peer gets: back to a full window. */
long long window_grant(struct stream *s);

void stream_drop_halves(struct stream *s);

/* Parts s from its conn. */
void stream_detach(struct stream *s);

/* Breaks off whatever has not ended, and tells the peer.  why: a static
 * string. */
void stream_reset(struct stream *s, int status, const char *why);

/* The half that goes up has ended in good order.  An answer that ends before
 * its request breaks off what is left of that. */
void stream_up_ended(struct stream *s);

struct http_field field_of(const char *name, const char *value);

const struct http_field *msg_length_field(const struct ws_msg *m);

long long length_of(const struct http_field *f);

/* Names the request for people, without its query, which may hold secrets. */
void stream_label(struct stream *s, const char *form, struct view method,
    struct view path);

#endif
