/*
 * Where a tunnel leads, on the client: the local service's URL, its addresses,
 * which of them to try first, and how a connection to it is made.
 */
#ifndef GATE_TARGET_H
#define GATE_TARGET_H

#include "pipegate.h"
#include "gate/account.h"
#include "gate/carrier.h"
#include "gate/child.h"
#include "gate/list.h"
#include "gate/net.h"

enum target_way {
	TARGET_TCP,		/* http:// */
	TARGET_TLS,		/* https:// */
	TARGET_UNIX		/* unix: */
};

/* A client's links have this as their owner (of). */
struct target {
	enum target_way way;
	struct endpoint at;
	struct lookup lookup;
	int good;		/* the address that answered last, tried first */
	unsigned int looked_up;	/* how often its name was looked up */
	char *url;		/* as a person knows it */
	char *origin;		/* as the service knows itself: scheme://host[:port] */
	char *base;		/* its path, without a slash at the end */
	const char *host;	/* of the tunnel itself for callers, as its server says; or "" */
	struct carriers carriers;	/* of https:// */
	struct list idle;	/* connections kept for the next request */
	struct account account;	/* of all that is done for it */
	char why[320];		/* what target_failed() last said, where it is made up */
};

/* How far connecting to a target has come.  Zeroed but for news and of, no address
 * was tried. */
struct attempt {
	struct carrier *carrier;	/* what the fd belongs to; NULL: poll() has its news */
	void (*news)(void *of);	/* the carrier's state is another */
	void *of;
	int tried;		/* how many of its addresses */
	int err;		/* an errno: how the one failed that tells most; 0: none has */
	unsigned int looked_up;	/* which addresses: target's looked_up at that time */
};

/* Why there is no connection to a target, as its caller is answered. */
struct unreached {
	int status;
	int flags;		/* of the reset that says so: WS_UNREACHED and so on; 0: the
				   service is there */
	const char *why;	/* static, but that it may become another of the same target */
};

/* Takes TARGET_URL, of which t keeps a copy.  Returns NULL, or what is wrong
 * with it: a static string for a person. */
const char *target_set(struct target *t, const char *text);

/* The scheme, host and port as which t knows itself; *authority is its host and port. */
struct view target_origin(const struct target *t, struct view *authority);

/* Takes the origin off the front of url where it is that of t, which may leave out the
 * port that is usual.  Returns whether it is. */
int target_take_own(const struct target *t, struct view *url);

/* Looks up t's name for the first time.  done() and the result are as for
 * lookup_start(). */
int target_look_up(struct target *t, void (*done)(void *of, const char *error),
    void *of);

/* Whether nothing listens where t is, as far as that is known without a connection:
 * of a port of this machine, or a socket in the file system. */
int target_is_deserted(const struct target *t);

/* What became of a, which has come to nothing; has the name looked up anew, since it
 * may have moved. */
struct unreached target_failed(struct target *t, const struct attempt *a);

/* Until when a connection may take that a has begun at that time, in ms. */
long long target_patience(const struct target *t, const struct attempt *a,
    long long begun_ms);

/* Starts connecting to the next address that does not fail at once.  Returns the
 * fd, which is the caller's; or -1: all addresses have been tried, and
 * target_failed() says why none would do. */
int target_connect(struct target *t, struct attempt *a);

/* The address that a tried last did not answer; err: an errno. */
void target_refused(struct attempt *a, int err);

/* Whether the connection that a has made stands as far as we know. */
int attempt_stands(const struct attempt *a);

/* The connection goes, if there is one. */
void attempt_end(struct attempt *a);

/* Who waits first for what another attempt has, its of; NULL: nobody. */
static inline void *
target_waiting(const struct target *t)
{
	return carriers_waiting(&t->carriers);
}

/* Whether a request may be sent once more where a kept connection turns out to be
 * closed: not what was given to a helper, which may have passed it on. */
static inline int
target_resends(const struct target *t)
{
	return t->way != TARGET_TLS;
}

/* The address that a tried last has answered: it is tried first from now on. */
void target_answered(struct target *t, const struct attempt *a);

#endif
