/*
 * A link: one WebSocket between server and client.  It is always read: nothing
 * that happens to a stream stops it, and the credit that is given bounds what
 * may come.  Frames that have come are handled one by one; frames that go are
 * put into tx, and leave in one write a turn.
 */
#ifndef GATE_LINK_H
#define GATE_LINK_H

#include "pipegate.h"
#include "gate/account.h"
#include "gate/conn.h"
#include "gate/credit.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/standing.h"

#define LINK_RX_MAX MEM_LINK		/* the largest v2 message and a read behind it */
#define LINK_TX_MAX (512 << 10)
#define LINK_BODY_ROOM (64 << 10)	/* as link_body_room() says */
#define LINK_HEAD_ROOM (256 << 10)	/* heads of requests go in while less is */
#define LINK_CLOSE_MS 2000		/* for the peer to answer our close */
#define LINK_ALONE_MS 20000		/* a v2 peer not heard for so long is gone */
#define LINK_ALONE_V1_MS 45000		/* a v1 peer */
#define LINK_REFUSED_MS 1000		/* a link that refused a request gets no other for so
					   long, or until a stream of it ends */

struct link;

/* What a link's owner does with it: a row for each wire and role. */
struct link_ops {
	/* A whole message has come.  p[0..n) may be written to, and is good for
	 * the call. */
	void (*message)(struct link *, int opcode, unsigned char *p, size_t n);
	/* n octets of a data frame have come; last: they end the message.  For
	 * a wire (v1) whose messages are of any size and in fragments.  NULL:
	 * each data frame is a message of limited size, and message is called
	 * for it. */
	void (*piece)(struct link *, int opcode, unsigned char *p, size_t n,
	    int last);
	/* A message that came in pieces could not be held: p[0..n) is its
	 * beginning; status 413: it is too large, 503: there is no room for it
	 * now.  Called by piece; NULL where piece is NULL. */
	void (*unheld)(struct link *, int status, const unsigned char *p,
	    size_t n);
	/* All that has come was handled, and the buffer that it lies in may
	 * move now.  May be NULL. */
	void (*handled)(void);
	/* It carries no new requests any more: one of the sides said so.  Called
	 * once. */
	void (*left)(struct link *);
	/* The peer tells something: a JSON object, good for the call.  NULL:
	 * nobody cares. */
	void (*note)(struct link *, struct view note);
	/* No message comes or goes any more.  Called once, with the close
	 * code (1006 where there was none) and a reason for people. */
	void (*gone)(struct link *, int code, const char *why);
	/* The link's memory goes now: frees l->held, and what else the owner keeps
	 * for it.  May be NULL. */
	void (*freed)(struct link *);
	/* A deadline of the owner's own, in ms, and what is due then.  May be
	 * NULL. */
	long long (*deadline)(const struct link *);
	void (*expire)(struct link *);
	long long alone_ms;		/* a peer not heard for so long is gone */
};

enum link_life {
	LINK_OPEN = 1,
	LINK_LEAVING,		/* takes no new requests */
	LINK_CLOSING,		/* our close frame is out */
	LINK_DEAD		/* until its conn is buried */
};

/* Whether "leave" was said, where the wire has it (v2). */
enum link_leave { LEAVE_UNSAID = 1, LEAVE_DUE, LEAVE_SAID };

struct link {
	struct conn *c;
	const struct link_ops *ops;
	const struct wire *wire;	/* how streams use it */
	void *of;			/* server: its struct tunnel; client: its struct target */
	struct account *account;	/* in which it counts, with its streams: that of its owner */
	struct held_link *held;		/* what v1 alone needs, or NULL */
	enum link_life life;
	enum link_leave leave;
	struct item place;		/* among all links that are not dead */
	struct item later;		/* among those with work at the end of this turn */
	struct buf tx;			/* frames, unwritten; the last one may be in parts */
	size_t part_left;		/* octets that a frame in parts still lacks; 0: none is open */
	size_t part_at;			/* octets of it that are in tx, or were */
	unsigned char part_mask[4];
	struct ws_order order;
	struct ws_frame frame;		/* the one that is coming */
	unsigned long long frame_at;	/* octets of its payload handed on */
	size_t read_most;		/* octets to be read in the next turn */
	struct list streams;		/* all that are joined to it */
	struct list light, heavy;	/* of these, those that wait for their turn */
	unsigned int last_number;	/* v2: of the last request on it */
	long long max_streams;
	long long refused_ms;		/* when the peer refused one without looking at it, and no
					   stream has ended since; 0: it has not */
	struct standing standing;	/* server */
	long long window;		/* server: offered for a request body to start with */
	long long offer, offer_max;	/* client: what it offered for that last, and at most */
	long long tx_ms;		/* when octets were last written */
	long long rest_ms;		/* it is not read until then, for lack of memory */
	struct path path;		/* what it carries in a round trip (v2) */
	long long control_ms;		/* since when controls are counted */
	long long expires;		/* server: exp of the token, s since the epoch */
	struct domain *own;		/* server: the domains that it claims */
	char *jti;			/* server: of the token, empty where it has none; the owner's
					   to free() */
	int controls;			/* frames that carried nothing, since then */
	int close_code;			/* of the peer's close frame; 0: none came */
	long long ping_ms;		/* when the last ping that measures went */
	unsigned char ping[8];		/* the payload of the one that measures */
	unsigned char pong[WS_CONTROL_MAX];	/* the payload of the one that is due */
	size_t npong;
	unsigned char instance[16];
	unsigned char has_instance;
	unsigned char masks;		/* we are the WebSocket client */
	unsigned char python;		/* the peer is the reference implementation */
	unsigned char in_frame;		/* v1: a data frame has begun, and is not whole */
	unsigned char pong_due;
	unsigned char peer_left;	/* the peer said "leave" */
	unsigned char deaf;		/* nothing that comes is looked at any more: a close
					   frame came, or the peer broke the protocol */
};

/* Memory for a link, to be had before the handshake asks for one.  It is the
 * caller's, to free(), until link_begin_on().  NULL: there is none. */
struct link *link_alloc(void);

/* Makes conn c, whose handshake is done, the conn of link l from link_alloc();
 * of is its owner, and account, which outlives it, that of its owner.  masks: we
 * are the WebSocket client. */
void link_begin_on(struct link *l, struct conn *c, const struct link_ops *ops,
    const struct wire *wire, void *of, struct account *account, int masks);

/* The first of all links that are not dead, and the one behind l; NULL: there
 * is none. */
struct link *link_first(void);
struct link *link_next(const struct link *l);

/* How many links wait to be served and flushed; and takes the next of them, NULL
 * where none waits. */
int links_wait(void);
struct link *link_take_later(void);

/* l, which was taken so, has to wait for the next round; and at the end of a round,
 * puts all of these before those that were marked meanwhile. */
void link_passed_over(struct link *l);
void links_put_back(void);

/* Has l served and flushed at the end of the turn.  Nothing happens to a dead
 * one. */
void link_later(struct link *l);

/* l carries no new requests from now on, and the peer is told. */
void link_leave(struct link *l);

/* Whether messages still come and go: not while l is closing. */
static inline int
link_is_live(const struct link *l)
{
	return l->life < LINK_CLOSING;
}

static inline int
link_is_dead(const struct link *l)
{
	return l->life == LINK_DEAD;
}

/* Octets that the socket has not taken. */
static inline size_t
link_unwritten(const struct link *l)
{
	return l->tx.len;
}

/* Body octets go in while fewer are unwritten: where its account may not grow, one
 * piece at a time. */
static inline size_t
link_body_room(const struct link *l)
{
	return account_may_grow(l->account, SHARE_OCTETS) ? LINK_BODY_ROOM : 1;
}

/* Room for a payload of n octets behind the frames that wait, good until
 * anything else is put on l.  NULL: l is closing, a frame in parts is open, or
 * there is no memory. */
unsigned char *link_begin(struct link *l, size_t n);

/* Makes a frame of the first n octets that the caller wrote there.  Without it
 * nothing was put on l. */
void link_commit(struct link *l, int opcode, int fin, size_t n);

/* Opens a frame of n octets that are added in parts; no other frame goes before
 * it is whole.  Returns 0, or -1 where link_begin() returns NULL. */
int link_part_open(struct link *l, int opcode, int fin, size_t n);

/* Room for the next n octets of it, at most l->part_left; NULL: no memory. */
unsigned char *link_part_begin(struct link *l, size_t n);

/* Adds the n octets that the caller wrote there. */
void link_part_commit(struct link *l, size_t n);

/* Sends a ping whose pong is looked for; none is out. */
void link_ping(struct link *l);

/* Sends a ping for which any sign of life will do. */
void link_ping_again(struct link *l);

/* n octets of body came: measures the path, now and then. */
void link_carried(struct link *l, size_t n);

/* Sends the pong that waits for room, if there is some. */
void link_pong_due(struct link *l);

/* Sends a close frame and ends l: the peer answers with its own, and the server
 * ends TCP (RFC 6455 7.1.1).  Where none can be put, l ends at once.  Nothing
 * happens where l is closing already. */
void link_close(struct link *l, int code, const char *reason);

/* The same because the peer broke the protocol; logged.  minus_code: minus a
 * close code, as the codecs return it. */
void link_fail(struct link *l, int minus_code, const char *reason);

/* Ends l and its conn at once, without a close frame.  why: for people. */
void link_lost(struct link *l, const char *why);

/* Handles the whole frames that are in rx already. */
void link_input(struct link *l);

/* Writes what waits, in one system call.  Returns whether all of it went. */
int link_flush(struct link *l);

/* After a flush: ends TCP where both close frames have passed. */
void link_close_due(struct link *l);

#endif
