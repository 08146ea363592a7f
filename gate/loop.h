#ifndef GATE_LOOP_H
#define GATE_LOOP_H

#include <sys/uio.h>
#include <sys/types.h>
#include <poll.h>
#include <stdlib.h>

#include "pipegate.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/addr.h"

struct conn;
struct link;
struct stream;

enum conn_state {
	CONN_LISTEN,
	CONN_CONNECT,		/* origin, link: connect() is under way */
	CONN_HANDSHAKE,		/* link: the 101 has not come yet */
	CONN_HEAD,		/* caller: between requests, or inside a head */
	CONN_STREAM,		/* caller, origin: at work for a stream */
	CONN_IDLE,		/* origin: kept for the next request */
	CONN_OPEN,		/* link, pipe: carries what it is there for */
	CONN_CLOSING,		/* link: our close frame is out */
	CONN_LINGER,		/* the last bytes go out, what comes is thrown away */
	CONN_STATES
};

struct kind {
	const char *name;
	void (*ready)(struct conn *, short revents);
	void (*sent)(struct conn *, size_t n);	/* n bytes left for good; may be NULL */
	void (*blocked)(struct conn *);	/* not all could be written; may be NULL */
	void (*broken)(struct conn *);	/* a write failed */
	short (*events)(const struct conn *);
	long long (*deadline)(const struct conn *);
	void (*expire)(struct conn *);
};

struct conn {
	const struct kind *kind;
	int fd;
	enum conn_state state;
	size_t slot;			/* in loop.pfd, or NO_SLOT */
	struct timer timer;
	struct conn *touched_next, *flush_next, *dead_next;
	struct item place;		/* by what it waits for */
	struct buf rx;
	size_t scanned;			/* for the head parsers */
	size_t head_size;		/* caller: of the head at the front of rx */
	struct chain tx;
	long long busy_ms;		/* when it last had news, or we had some for it */
	long long since_ms;		/* when its state began */
	long long rx_ms, tx_ms;		/* when bytes last came, went */
	struct stream *stream;
	struct link *link;
	struct addr peer;
	size_t *counted;		/* lessened by one when it is freed */
	size_t *share;			/* a sum that its rx counts in, with shared octets */
	size_t shared;
	size_t drained;			/* octets thrown away while lingering */
	unsigned char touched, flushing, dead;
	unsigned char rd_eof;		/* nothing more will come */
	unsigned char rd_failed;	/* nor did it end well */
	unsigned char wr_shut;		/* we have said that nothing more will go */
	unsigned char reset;		/* close with an RST */
	unsigned char guarded;		/* see conn_guard */
	unsigned char reused;		/* served a request before */
	int attempt;			/* origin: addresses tried */
	/* caller: of the request at hand, for its answer */
	unsigned char minor, head_only, html, keep_alive;
	unsigned char tunnel_only;	/* came in over the cap */
};

#define NO_SLOT ((size_t)-1)

struct loop {
	struct pollfd *pfd;	/* [0..active) asked each turn, [active..n) now and then */
	struct conn **who;
	size_t n, active, cap;
	size_t look;		/* where the search for quiet conns goes on */
	struct conn *touched, *flush, *dead;
	struct conn *spare;	/* freed conns */
	long long news_ms;	/* when poll last had any */
	long long full_ms;	/* when all were last asked */
	int calm;		/* how often in a row the second part had no news */
	int again;		/* work is left: do not sleep */
	int stop;
	int signal_fd[2];
	void (*on_signal)(int);
	void (*on_second)(void);
};

extern struct loop loop;

void conn_touch(struct conn *c);
void conn_state(struct conn *c, enum conn_state s);

/* Takes c out of the set, for an fd whose hang-up is known already and would
 * be reported for ever. */
void loop_remove(struct conn *c);

/* Makes a conn of fd, which is non-blocking already.  NULL: no memory; fd is
 * then closed. */
struct conn *conn_new(const struct kind *kind, int fd, enum conn_state s);

/* Counts octets that c holds in *share from now on, in place of where it was
 * counted so far.  NULL: nowhere. */
void conn_share(struct conn *c, size_t *share, size_t octets);

/* Marks c as dead.  Its fd and memory last until the sweep. */
void conn_kill(struct conn *c);

/* The same with an RST, so that the peer does not take what it has for the
 * whole. */
void conn_abort(struct conn *c);

/* While c is guarded its close is an RST, also when this process is killed:
 * for what only the end of the connection ends. */
void conn_guard(struct conn *c, int on);

/* Asks each touched conn what it waits for, then frees the dead. */
void loop_sweep(void);

enum io { IO_DATA, IO_WAIT, IO_EOF, IO_ERROR };
enum io io_result(ssize_t n);

/* Reads into iov[0..k); *got is how many bytes came.  An error is kept, since
 * the kernel tells it once and then says EOF. */
enum io conn_readv(struct conn *c, const struct iovec *iov, int k, size_t
    *got);

enum io conn_read(struct conn *c, void *p, size_t n, size_t *got);

/* Reads behind what is in rx already, which holds at most max. */
enum io conn_fill(struct conn *c, size_t max);

/* Has c flushed at the end of the turn. */
void conn_flush_later(struct conn *c);

/* Queues a copy of p[0..n).  Without memory the conn is broken off. */
void conn_put(struct conn *c, const void *p, size_t n);

/* Writes iov[0..k), of n bytes in all, now if nothing waits before it, and
 * queues what the socket refuses. */
void conn_write(struct conn *c, const struct iovec *iov, int k, size_t n);

/* Writes what is queued, as far as the socket takes it. */
void conn_flush(struct conn *c);

/* Says that nothing more will go out. */
void conn_shut(struct conn *c);

#define WRITE_STALL_MS 300000	/* a peer that takes nothing for so long is broken off */

/* Lets c end in good order (RFC 9112 9.6): what waits is sent, then FIN, and
 * what still comes is read and dropped for a while, since unread bytes would
 * turn the close into an RST that eats the answer. */
void conn_linger(struct conn *c);

void loop_turn(void (*act)(void));

#endif
