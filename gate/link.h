/*
 * A link: one WebSocket between server and client.  Frames in, messages out.
 * Frames go into tx whole and leave in one write a turn; what has come is
 * handled frame by frame.  A link is always read: nothing that happens to a
 * stream stops it.
 */
#ifndef GATE_LINK_H
#define GATE_LINK_H

#include "pipegate.h"
#include "gate/conn.h"
#include "gate/list.h"
#include "gate/mem.h"

#define LINK_RX_MAX (256 << 10)		/* the largest v2 message and a read behind it */
#define LINK_TX_MAX (512 << 10)
#define LINK_BODY_ROOM (64 << 10)	/* body octets go in while less is unwritten */
#define LINK_HEAD_ROOM (256 << 10)	/* heads */
#define LINK_CLOSE_MS 2000		/* for the peer to answer our close */
#define LINK_ALONE_MS 20000		/* nothing received for so long: gone (v2, v1) */
#define LINK_ALONE_V1_MS 45000

struct link;

/* What a link's owner does with it: a row for each wire and role. */
struct link_ops {
	/* A whole message.  p may be written to, and is good for the call. */
	void (*message)(struct link *, int opcode, unsigned char *p, size_t n);
	/* NULL: each data frame is a message, of a limited size.  Else data
	 * frames may be of any size and in fragments, and this is called
	 * instead, with n octets as they come; last: they end the message. */
	void (*piece)(struct link *, int opcode, unsigned char *p, size_t n,
	    int last);
	/* A message in pieces that could not be held: its first octets.  NULL
	 * where piece is. */
	void (*oversize)(struct link *, const unsigned char *p, size_t n);
	/* All that has come was handled: the buffer that it lies in moves.
	 * May be NULL. */
	void (*handled)(void);
	/* No message comes or goes any more.  Called once, with the close
	 * code (1006 where there was none) and a reason for people. */
	void (*gone)(struct link *, int code, const char *why);
	/* Its memory goes: so must what hangs on l->held.  May be NULL. */
	void (*freed)(struct link *);
	long long alone_ms;
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
	struct held_link *held;		/* what v1 alone needs, or NULL */
	enum link_life life;
	enum link_leave leave;
	struct item place;		/* among all links */
	struct item later;		/* among those with work in this turn */
	struct buf tx;			/* whole frames, and the one under way */
	size_t part_left, part_at;	/* of a frame that goes out in parts: octets to come, and gone */
	unsigned char part_mask[4];
	struct ws_order order;
	struct ws_frame frame;		/* the one that comes */
	unsigned long long frame_at;	/* octets of it handed on */
	struct list streams;		/* that use it */
	struct list light, heavy;	/* of these, who wait for their turn */
	long long max_streams;
	long long window;		/* credit that a request body starts with */
	long long tx_ms;		/* when octets last went */
	long long rest_ms;		/* no memory to read: until then it is not */
	long long rtt_us;		/* least ping time seen; 0: none */
	long long control_ms;		/* the second in which controls are counted */
	long long expires;		/* server: exp of the token, s since the epoch */
	int controls;
	int close_code;			/* that came; 0: none */
	unsigned char pong[WS_CONTROL_MAX];
	size_t npong;
	unsigned char instance[16];
	unsigned char has_instance;
	unsigned char masks;		/* we are the WebSocket client */
	unsigned char python;		/* the peer is the reference */
	unsigned char in_frame;		/* a part of a frame has come */
	unsigned char pong_due;
	unsigned char peer_left;	/* the peer said "leave" */
	unsigned char close_in;		/* a close frame came */
};

/* Memory for a link, to be had before the handshake asks for one.  It is the
 * caller's, to free(), until link_begin_on().  NULL: there is none. */
struct link *link_alloc(void);

/* Makes conn c, whose handshake is done, the conn of link l from link_alloc();
 * of is whose. */
void link_begin_on(struct link *l, struct conn *c, const struct link_ops *ops,
    const struct wire *wire, void *of, int masks);

/* All links that are not dead, in turn; NULL behind the last. */
struct link *link_first(void);
struct link *link_next(const struct link *l);

/* How many links have work in this turn; takes the next of them, NULL when
 * there is none. */
int links_wait(void);
struct link *link_take_later(void);

/* Has l served and flushed at the end of the turn. */
void link_later(struct link *l);

/* Takes no new requests from now on. */
void link_stop_requests(struct link *l);

/* Whether messages still come and go. */
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

/* Room for a payload of n octets behind the frames that wait.  NULL: the link
 * is closing or inside a frame, or there is no memory.  The octets are written
 * there, at most n, and become a frame by link_commit(), or nothing. */
unsigned char *link_begin(struct link *l, size_t n);
void link_commit(struct link *l, int opcode, int fin, size_t n);

/* Begins a frame of n octets that are added in parts; no other frame goes
 * before its end.  Returns 0, or -1 as link_begin(). */
int link_part_open(struct link *l, int opcode, int fin, size_t n);

/* Room for the next n octets of it, at most l->part_left, or NULL: no memory;
 * and adds them. */
unsigned char *link_part_begin(struct link *l, size_t n);
void link_part_commit(struct link *l, size_t n);

/* Sends a ping whose pong tells the round trip. */
void link_ping(struct link *l);

/* Sends the pong that waits for room, if there is some. */
void link_pong_due(struct link *l);

/* Says goodbye and ends l: the peer answers our close, and the server ends
 * TCP (RFC 6455 7.1.1). */
void link_close(struct link *l, int code, const char *reason);

/* The same because the peer broke the protocol: minus a close code, as the
 * codecs say it.  Logged. */
void link_fail(struct link *l, int minus_code, const char *reason);

/* Ends l at once: the connection is no more. */
void link_lost(struct link *l, const char *why);

/* Handles the whole frames that are in rx already. */
void link_input(struct link *l);

/* Writes what waits, in one call.  Returns whether all of it went. */
int link_flush(struct link *l);

/* After a flush: ends TCP where both close frames have passed. */
void link_close_due(struct link *l);

/* Once a second: gives back what quiet links do not use. */
void links_trim(void);

#endif
