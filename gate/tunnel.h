/*
 * Tunnels, on the server: one for each id that is served, or may be again
 * soon.  A tunnel has the links of that id, the requests that wait because no
 * link has room, and an account of what all of these hold.  Its timer alone
 * frees it.
 */
#ifndef GATE_TUNNEL_H
#define GATE_TUNNEL_H

#include "pipegate.h"
#include "gate/account.h"
#include "gate/domain.h"
#include "gate/list.h"
#include "gate/timer.h"

struct caller;
struct link;
struct stream;

#define TUNNEL_LINKS_MAX 8

/* What was refused for an id, of which its clients have not heard. */
struct refusals {
	long long n;		/* requests */
	const char *why;	/* the last of them; static, but for numbers in it */
	struct item place;	/* among the tunnels that have some */
};

struct tunnel {
	char id[JWT_SUB_MAX + 1];
	struct tunnel *hash_next;
	struct link *link[TUNNEL_LINKS_MAX];	/* oldest first */
	int nlinks;
	int as_is;			/* what leaves it is not sent back: its newest client says so */
	char locked[WS_LOCKED_MAX + 1];	/* the lock of its clients, as each said */
	int closing;			/* that are no more among these, but not freed yet */
	struct list waiting;		/* streams for which no link has room */
	struct item place;		/* among the tunnels that have some, and links */
	struct domain *own;		/* what its last client claimed, while that is waited for */
	struct refusals refused;
	struct account account;		/* used once a client has joined */
	struct account *charged;	/* that one, or before it that of all ids which no client
					   has served */
	long long paid;			/* for requests: see tunnel_pays() */
	long long until_ms;		/* while nobody serves it, requests wait until then */
	struct timer timer;
};

/* Once, before anything else here: the server starts now.  For a while an id that
 * nobody serves may be one whose client is about to come back. */
void tunnels_start(void);

/* The tunnel of id for a request; a new one where there is none but its client
 * may still come back after the server's start, which is freed again unless that
 * waits in it.  NULL: there is none, and none
 * is to be waited for. */
struct tunnel *tunnel_for(struct view id);

/* Whether id is served, or was and requests wait for its client. */
int tunnel_is_known(struct view id);

/* Whether id is known so, and what a page of it asks for outside is to be sent back. */
int tunnel_takes_back(struct view id);

/* Whether a request for id would be passed on or wait: it is known, or the server
 * is so young that its client may still come back. */
int tunnel_is_open(struct view id);

/* The tunnel of id for a client that joins; a new one where there is none, which
 * is freed again unless it is served in this turn.  NULL: no memory. */
struct tunnel *tunnel_make(struct view id);

/* Whether one more client may join t. */
int tunnel_takes_link(const struct tunnel *t);

/* Adds link l to t, which may take it.  Domains are those that its links claim. */
void tunnel_add_link(struct tunnel *t, struct link *l);

/* Takes l out of t, where it stands, and what it claims, unless it is the last. */
void tunnel_drop_link(struct tunnel *t, struct link *l);

/* A link of t takes requests from now on. */
void tunnel_served(struct tunnel *t);

/* A link of t is gone or leaves.  If nobody serves t now, requests wait for up
 * to wait_ms for a client to come back. */
void tunnel_unserved(struct tunnel *t, long long wait_ms);

/* Whether a client takes new requests for t now; and how many do. */
int tunnel_is_served(const struct tunnel *t);
int tunnel_clients(const struct tunnel *t);

/* Counts a request for id that was refused before a client got it, where one has
 * served id.  why is as in struct refusals. */
void tunnel_count_refused(struct view id, const char *why);

/* The tunnels for which some are counted. */
const struct list *tunnels_refused(void);

/* Whether requests for t pass, or wait for its client. */
int tunnel_may_serve(const struct tunnel *t);

/* Whether a service of t is there, as far as we know. */
int tunnel_stands(const struct tunnel *t);

/* Counts one more request for t.  Returns 1; or 0, and it does not count: it is more
 * than PIPEGATE_MAX_RATE allows, or twice that at once. */
int tunnel_pays(struct tunnel *t);

/* Whether one more request may wait in t; t NULL: in a tunnel yet to be made. */
int tunnel_has_room(const struct tunnel *t);

/* The link of t that a request goes to: see standing_best(); NULL: none has room, or
 * t holds as much memory as it may. */
struct link *tunnel_pick(const struct tunnel *t);

/* Puts s, whose head stands whole at the front of its caller's rx, into the
 * queue of its tunnel. */
void tunnel_wait(struct stream *s);

/* Takes s out of that queue, if it stands there. */
void tunnel_wait_leave(struct stream *s);

/* Passes s, whose head h stands at the front of rx, to link l; or answers it
 * with an error, and s is over. */
void stream_forward(struct stream *s, struct link *l, const struct http_head *h);

/* Why the wire of s refused it with that status: a static string. */
const char *forward_refusal(int status);

/* Passes requests that wait in t to its links, while these have room. */
void tunnel_dispatch(struct tunnel *t);

/* The same for all tunnels. */
void tunnels_dispatch(void);

/* Answers all requests that wait, in all tunnels, with an error. */
void tunnels_refuse_all(int status, const char *why);

#endif
