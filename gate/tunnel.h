/*
 * Tunnels, on the server: one for each id that is served, or may be again
 * soon; its links, and the requests that wait for one.
 */
#ifndef GATE_TUNNEL_H
#define GATE_TUNNEL_H

#include "pipegate.h"
#include "gate/list.h"
#include "gate/timer.h"

struct caller;
struct link;
struct stream;

#define TUNNEL_LINKS_MAX 8

struct tunnel {
	char id[JWT_SUB_MAX + 1];
	struct tunnel *hash_next;
	struct link *link[TUNNEL_LINKS_MAX];	/* oldest first */
	int nlinks;
	struct list waiting;		/* streams for which no link has room */
	long long until_ms;		/* without a link: how long one may still come */
	int was_served;
	struct timer timer;
};

/* Why a request for an id that nobody serves is refused. */
extern const char tunnel_nobody[];

/* Once, before anything else here: the server starts now. */
void tunnels_start(void);

/* The tunnel of id for a request; where there is none, a new one if a client
 * for it may still come back after the server's start.  NULL: none. */
struct tunnel *tunnel_for(struct view id);

/* The tunnel of id for a client that joins: one is made where there is none,
 * which goes again unless it is served in this turn.  NULL: no memory. */
struct tunnel *tunnel_make(struct view id);

/* Adds link l to t, which has fewer than TUNNEL_LINKS_MAX; takes it out. */
void tunnel_add_link(struct tunnel *t, struct link *l);
void tunnel_drop_link(struct tunnel *t, const struct link *l);

/* A link of t takes requests from now on. */
void tunnel_served(struct tunnel *t);

/* A link of t is gone or leaves.  If nobody serves t now, requests wait for up
 * to wait_ms for a client to come back.  t is freed by its timer alone. */
void tunnel_unserved(struct tunnel *t, long long wait_ms);

/* Whether a client takes new requests for t now. */
int tunnel_is_served(const struct tunnel *t);

/* Whether one more request may wait in t, or, t NULL, in a tunnel yet to be
 * made. */
int tunnel_has_room(const struct tunnel *t);

/* The live link with room that has the fewest streams, the newest among
 * equals; NULL: none. */
struct link *tunnel_pick(const struct tunnel *t);

/* Puts s, whose head stands whole at the front of its caller's rx, into the
 * queue of its tunnel; takes it out, if it stands there. */
void tunnel_wait(struct stream *s);
void tunnel_wait_leave(struct stream *s);

/* Sends s, whose head h stands at the front of rx, to link l; or refuses it. */
void stream_forward(struct stream *s, struct link *l, const struct http_head *h);

/* Why the wire of s refused it with that status. */
const char *forward_refusal(const struct stream *s, int status);

/* Gives waiting requests to the links that have room. */
void tunnel_dispatch(struct tunnel *t);
void tunnels_dispatch(void);

/* Refuses all that wait, of all tunnels. */
void tunnels_refuse_all(int status, const char *why);

#endif
