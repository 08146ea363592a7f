#ifndef GATE_TUNNEL_H
#define GATE_TUNNEL_H

#include "pipegate.h"
#include "gate/list.h"
#include "gate/timer.h"

struct link;
struct stream;

#define TUNNEL_BUCKETS 1024
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

struct srv {
	struct list idle, heads;	/* callers between requests; inside a head */
	struct list next;		/* callers that may have another request in rx */
	struct list stuck;		/* callers that do not take what we answered */
	size_t nconns;
	struct tunnel *table[TUNNEL_BUCKETS];
	unsigned long long seed;
	long long start_ms;
	long long nwait;		/* requests that wait, of all tunnels */
	size_t wait_octets;		/* the memory that their heads hold */
	size_t head_octets;		/* that heads hold which are not whole yet */
	int spare_fd;
	int stopping;
	long long retry_accept_ms;
	struct http_head head;		/* the request at hand */
	unsigned char scratch[HTTP_HEAD_MAX + 256];	/* values composed for it */
};

extern struct srv srv;

extern const char nobody_there[];

struct tunnel *tunnel_find(struct view id);

void wait_leave(struct stream *s);
void wait_add(struct stream *s);

/* Whether a client takes new requests for t now. */
int tunnel_is_served(const struct tunnel *t);

/* Whether one more request may wait in t, or in a tunnel yet to be made. */
int wait_has_room(const struct tunnel *t);

/* Answers s, which has no answer yet, and forgets it. */
void stream_refuse(struct stream *s, int status, const char *why);

/* A link of t is gone or leaves.  If nobody serves t now, requests wait for as
 * long as a client may come back.  t is freed by its timer alone: who replaces
 * a link still holds it. */
void tunnel_unserved(struct tunnel *t, long long wait_ms);

/* Until then an id that nobody serves may be one from before the start. */
long long srv_young_until(void);

struct tunnel *tunnel_new(struct view id, long long until_ms);

/* The live link with the fewest streams, the newest among equals. */
struct link *tunnel_pick(const struct tunnel *t);

/* Fills msg_out with request h for s.  Its views point into rx, srv.scratch
 * and what is static here.  Returns 0, or minus a status. */
int request_message(struct stream *s, const struct http_head *h);

const char *forward_refusal(const struct stream *s, int status);

/* Sends s, whose head h stands at the front of rx, to link l. */
void stream_forward(struct stream *s, struct link *l, const struct http_head
    *h);

/* Gives waiting requests to links that have become free. */
void tunnel_dispatch(struct tunnel *t);

void link_stop_serving(struct link *l);

#endif
