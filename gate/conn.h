/*
 * One socket (or pipe) with its buffers.  A conn belongs to something above it,
 * its owner, which it reaches through its kind, a row of handlers.  What it waits
 * for and when its patience ends are functions of its state, asked at the end of
 * each turn that touched it; nothing toggles them by hand.
 *
 * A conn that is killed lasts, with its descriptor and its memory, until
 * conns_bury() at the end of the turn: so whoever holds a pointer to it may
 * still ask conn_is_dead(), and nobody's memory goes in the midst of a call.
 *
 * Every watch in the pollset is that of a conn.
 */
#ifndef GATE_CONN_H
#define GATE_CONN_H

#include <sys/types.h>
#include <sys/uio.h>

#include "gate/mem.h"
#include "gate/pollset.h"
#include "gate/timer.h"

enum conn_state {
	CONN_LISTEN = 1,
	CONN_CONNECT,		/* connect() is under way */
	CONN_HANDSHAKE,		/* the 101 has not come yet */
	CONN_HEAD,		/* between requests, or inside a head */
	CONN_STREAM,		/* at work for a stream */
	CONN_IDLE,		/* kept for the next request */
	CONN_OPEN,		/* carries what it is there for */
	CONN_CLOSING,		/* a close frame is out */
	CONN_LINGER,		/* the last octets go out, what comes is thrown away */
	CONN_DEAD,		/* until conns_bury() */
	CONN_STATES
};

struct conn;

/* What an owner does with its conns.  While a conn lingers, only gone is called. */
struct kind {
	const char *name;		/* for the log */
	/* poll() has news. */
	void (*ready)(struct conn *, short revents);
	/* The socket took n octets; may be NULL. */
	void (*sent)(struct conn *, size_t n);
	/* Not all that waits could be written; may be NULL. */
	void (*blocked)(struct conn *);
	/* A write failed: nothing more will go out. */
	void (*broken)(struct conn *);
	/* The conn is dead and its memory goes now: the owner lets go of it.
	 * Called from conns_bury() alone, on top of nobody else; may be NULL. */
	void (*gone)(struct conn *);
	/* What to ask poll() for, as the state has it. */
	short (*events)(const struct conn *);
	/* When it may be put aside, as the state has it; NULL: never. */
	enum rest (*rests)(const struct conn *);
	/* Until when, in ms, or NEVER. */
	long long (*deadline)(const struct conn *);
	/* The deadline has passed. */
	void (*expire)(struct conn *);
};

struct conn {
	struct watch watch;	/* first, so that what the poll set points at is the conn */
	const struct kind *kind;
	void *of;		/* the owner: of the kind's own type */
	enum conn_state state;
	unsigned char end_is_cut;	/* see conn_doubt() */
	struct timer timer;
	struct conn *touched_next, *flush_next, *dead_next;
	struct buf rx;		/* what came and was not taken yet */
	struct chain tx;	/* what the socket has not taken yet */
	size_t scanned;		/* octets of rx that the head parser has seen */
	long long since_ms;	/* when its state began, or what a deadline counts from */
	long long rx_ms, tx_ms;	/* when octets last came, went */
	size_t drained;		/* octets thrown away while lingering */
	struct chain *copy;	/* where what comes is copied to; NULL: nowhere */
	unsigned char touched, flushing;	/* stands in that list */
	unsigned char rd_eof;		/* the peer has ended: nothing more will come */
	unsigned char rd_failed;	/* a read failed: nothing more will come */
	unsigned char wr_end;		/* FIN follows what is queued */
	unsigned char wr_shut;		/* FIN was sent */
	unsigned char reset;		/* is closed with an RST */
	unsigned char guarded;		/* see conn_guard() */
};

#define WRITE_STALL_MS 300000	/* a peer that takes nothing for so long is broken off */

/* Makes a conn of fd, which is non-blocking already.  NULL: no memory, and fd
 * is closed. */
struct conn *conn_new(const struct kind *kind, void *of, int fd,
    enum conn_state s);

/* Hands c over to another owner. */
void conn_give(struct conn *c, const struct kind *kind, void *of);

/* Moves c to state s, which must be one that may follow. */
void conn_state(struct conn *c, enum conn_state s);

/* Has the state's events and deadline asked anew at the end of the turn, when an
 * empty rx gives its memory back too. */
void conn_touch(struct conn *c);

/* An empty rx gives its memory back now: so what many conns read in one turn
 * costs the memory of one. */
void conn_fit(struct conn *c);

/* Octets of memory that c holds. */
size_t conn_memory(const struct conn *c);

/* From now on the memory of c counts in *sum; NULL: nowhere but in the budget. */
void conn_count_in(struct conn *c, size_t *sum);

/* Ends c at once.  conn_abort() does it with an RST, so that the peer does not
 * take the part that it has for the whole.  Nothing happens to a dead one. */
void conn_kill(struct conn *c);
void conn_abort(struct conn *c);

static inline int
conn_is_dead(const struct conn *c)
{
	return c->state == CONN_DEAD;
}

/* Lets c end in good order (RFC 9112 9.6): what waits is sent, then FIN, and
 * what still comes is read and dropped for a while, since unread octets would
 * turn the close into an RST that eats the answer.  The owner hears no more of c
 * but gone(). */
void conn_linger(struct conn *c);

/* While c is guarded its close is an RST, also when this process is killed:
 * for what only the end of the connection ends. */
void conn_guard(struct conn *c, int on);

/* The end of what comes on c, when it is read, is not that of the whole, and counts as
 * an error: of which the owner knows from elsewhere. */
void conn_doubt(struct conn *c);

/* Puts another descriptor in place of the one that c has, which is closed. */
void conn_replace_fd(struct conn *c, int fd);

enum io {
	IO_DATA,
	IO_WAIT,		/* nothing there, or no room, for now */
	IO_EOF,
	IO_ERROR,		/* of the socket */
	IO_NO_ROOM		/* conn_fill() alone: no memory, or max is reached */
};

/* What the n that a read or write returned means; looks at errno for -1. */
enum io io_result(ssize_t n);

/* Reads into iov[0..k), or p[0..n); *got is how many octets came.  An end or
 * an error is kept and told again, since the kernel tells it once. */
enum io conn_readv(struct conn *c, const struct iovec *iov, int k, size_t *got);
enum io conn_read(struct conn *c, void *p, size_t n, size_t *got);

/* Reads behind what is in rx, which holds at most max octets.  IO_NO_ROOM
 * where there is no room or memory for more: that is not kept. */
enum io conn_fill(struct conn *c, size_t max);

#define CONN_COPY_MAX ((8 << 20) + (64 << 10))	/* octets of a request that may go once more: its
						   head, and the largest first window */

/* From now on copies what comes to the end of q, which is the caller's and holds
 * at most CONN_COPY_MAX octets.  Where it finds no room there, or memory is short,
 * q is freed, and nothing is copied any more.  q NULL: copies nothing. */
void conn_copy_to(struct conn *c, struct chain *q);

/* Octets that have come and were not taken: in rx, and in the socket as far as
 * that is known. */
long long conn_arrived(const struct conn *c);

/* Whether the conn's end is known, so that poll() may not tell of it again. */
int conn_end_is_known(const struct conn *c);

/* Queues a copy of p[0..n).  Without memory c is aborted, of which its owner
 * hears by gone() alone. */
void conn_put(struct conn *c, const void *p, size_t n);

/* Writes iov[0..k), n octets in all, at once if nothing waits before them, and
 * queues what the socket refuses, as conn_put() does. */
void conn_write(struct conn *c, const struct iovec *iov, int k, size_t n);

/* Writes what is queued, as far as the socket takes it. */
void conn_flush(struct conn *c);

/* Has c flushed at the end of the turn. */
void conn_flush_later(struct conn *c);

/* Ends what c sends: FIN follows what is queued.  c may still be read. */
void conn_end(struct conn *c);

/* Ends c at once, but so that what is queued arrives: it is written as far as
 * the socket takes it, and what has come is read, since unread octets would
 * turn the close into an RST. */
void conn_part(struct conn *c);

/* Whether any conn waits for conns_flush(). */
int conns_wait_flush(void);

/* Flushes all that wait for it. */
void conns_flush(void);

/* Whether any conn still has octets to send, waits for the answer to a close
 * frame, or lingers. */
int conns_are_ending(void);

/* Asks the touched conns what they wait for, then frees the dead.  Returns
 * whether there were dead ones: their owners may have marked work to be done. */
int conns_bury(void);

/* Hands c the news that poll() has of it. */
void conn_news(struct conn *c, short revents);

/* For rows of handlers: events that are POLLIN; a deadline that is NEVER. */
short always_readable(const struct conn *c);
long long no_deadline(const struct conn *c);

#endif
