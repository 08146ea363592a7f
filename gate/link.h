#ifndef GATE_LINK_H
#define GATE_LINK_H

#include "pipegate.h"
#include "gate/list.h"
#include "gate/mem.h"

struct conn;
struct link;
struct tunnel;

#define LINK_RX_MAX (256 << 10)		/* the largest v2 message and a read behind it */
#define LINK_TX_MAX (512 << 10)
#define LINK_BODY_ROOM (64 << 10)	/* body bytes go in while less is unwritten */
#define LINK_HEAD_ROOM (256 << 10)	/* heads */
#define LINK_CLOSE_MS 2000
#define V1_MESSAGE_MAX (16u << 20)

struct link_ops {
	/* A whole message.  p may be written to, and is good for the call. */
	void (*message)(struct link *, int opcode, unsigned char *p, size_t n);
	/* A v1 message that could not be held: its first octets. */
	void (*oversize)(struct link *, const unsigned char *p, size_t n);
	/* All that has come was handled: the buffer that it lies in moves. */
	void (*handled)(void);
	/* No message comes or goes any more.  Called once. */
	void (*gone)(struct link *, int code, const char *why);
};

struct link {
	struct conn *c;
	const struct link_ops *ops;
	struct tunnel *tunnel;		/* server */
	struct item place;		/* in all_links */
	struct link *later_next;	/* of those with work in this turn */
	struct link *dead_next;
	struct buf tx;
	struct buf msg;			/* v1: a message that came in pieces */
	struct ws_order order;
	struct ws_frame frame;		/* v1: the one under way */
	unsigned long long frame_at;	/* octets of it seen */
	struct list streams;
	struct list light, heavy;	/* those that wait for their turn */
	long long max_streams;
	long long window;		/* credit that a request body starts with */
	unsigned char tx_mask[4];	/* v1: of the frame that is going out, */
	size_t tx_left, tx_at;		/* its octets to come, and gone */
	unsigned long long sent, received;	/* messages, but for acks */
	unsigned long long late;	/* for streams that are not there */
	long long tx_ms;
	long long rtt_us;		/* least ping time seen; 0: none */
	long long control_ms;
	long long expires;		/* server: exp of the token, seconds */
	int controls;
	int close_code;
	unsigned char pong[WS_CONTROL_MAX];
	size_t npong;
	unsigned char instance[16];
	unsigned char has_instance;
	unsigned char masks;		/* we are the WebSocket client */
	unsigned char v2, python;
	unsigned char in_frame, skipping;
	unsigned char pong_due;
	unsigned char leaving;		/* takes no new requests */
	unsigned char leave_due, left;	/* leave is to be sent; was sent */
	unsigned char peer_left;	/* leave came */
	unsigned char is_gone;		/* ops->gone was called */
	unsigned char close_out, close_in;
	unsigned char later, freed;
};

extern struct list all_links;
extern struct link *later_links, *dead_links;

/* Has l served and flushed at the end of the turn. */
void link_later(struct link *l);

size_t link_unwritten(const struct link *l);

int link_writable(const struct link *l);

/* Room for a payload of n octets behind the frames that wait.  NULL: the
 * link is closing or inside a frame, or there is no memory. */
unsigned char *link_begin(struct link *l, size_t n);

/* Makes the n octets written there a frame.  Its head was guessed to be that
 * of a payload of middling length. */
void link_commit(struct link *l, int opcode, int fin, size_t n);

/* Queues a control frame, if there is room.  Returns whether it did. */
int link_control(struct link *l, int opcode, const void *p, size_t n);

/* The connection is no more. */
void link_lost(struct link *l, const char *why);

/* Both close frames have passed and ours is written: the server ends TCP
 * first (RFC 6455 7.1.1). */
void link_closed(struct link *l);

void link_close(struct link *l, int code, const char *reason);

/* The peer broke the protocol: minus a close code, as the codecs say it. */
void link_fail(struct link *l, int minus_code, const char *reason);

/* The first ping of a v2 link tells its round trip, for the windows. */
void link_measure(struct link *l);

/* Handles all whole frames.  After a close nothing more is looked at but the
 * peer's own close. */
void link_input(struct link *l);

/* Writes what waits, in one call.  Returns whether all of it went. */
int link_flush(struct link *l);

/* Makes conn c, whose handshake is done, a link.  NULL: no memory. */
struct link *link_new(struct conn *c, const struct link_ops *ops, int masks);

void links_sweep(void);

/* Once a second: gives back what quiet links do not use. */
void links_trim(void);

#endif
