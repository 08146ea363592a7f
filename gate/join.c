#include <netinet/in.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/loop.h"
#include "gate/addr.h"
#include "gate/settings.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/v2.h"
#include "gate/reply.h"
#include "gate/tunnel.h"
#include "gate/v1_server.h"
#include "gate/join.h"

#define EXPIRED_GRACE_S 300

static void link_ops_message(struct link *, int, unsigned char *, size_t);
static void link_ops_gone(struct link *, int, const char *);

static const struct link_ops server_link_ops = {
	.message = link_ops_message, .oversize = link_ops_oversize,
	.handled = gather_write, .gone = link_ops_gone,
};

/* Completes the handshake only to say why not: a close frame carries the
 * reason to where a person reads it. */
static void
client_refuse(struct conn *c, const struct ws_offer *offer, int code,
    const char *why)
{
	unsigned char space[1024], body[WS_CONTROL_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	unsigned char head[WS_FRAME_HEAD_MAX];
	size_t n = ws_close_put(body, code, why);
	char ip[INET6_ADDRSTRLEN];

	ws_accept_put(&o, offer);
	conn_put(c, space, min_size(o.len, o.cap));
	conn_put(c, head, ws_frame_put(head, WS_CLOSE, 1, n, NULL));
	conn_put(c, body, n);
	log_event(LEVEL_INFO, "event=client-refused code=%d peer=%s why=\"%s\"",
	    code, addr_text(&c->peer, ip), why);
	conn_linger(c);
}

void
client_handshake_error(struct conn *c, int status)
{
	struct http_error e = { .status = status };

	c->keep_alive = 0;
	e.detail = status == 426 ?
	    "tunnel clients connect here with a WebSocket (version 13)" :
	    "malformed WebSocket handshake";
	caller_error_put(c, &e, "/");
}

/* A client that comes back takes the place of its own older link at once. */
static void
tunnel_replace(struct tunnel *t, const struct ws_hello *hello)
{
	int i;

	if (!hello->has_instance)
		return;
	for (i = 0; i < t->nlinks; i++)
		if (t->link[i]->has_instance && memcmp(t->link[i]->instance,
		    hello->instance, 16) == 0) {
			link_lost(t->link[i], "the client has connected anew");
			return;
		}
}

/* Takes over what the handshake settled. */
static void
link_settle(struct link *l, const struct ws_offer *offer)
{
	const struct ws_hello *h = &offer->hello;

	l->v2 = offer->v2 != 0;
	l->python = offer->python != 0;
	l->max_streams = V1_STREAMS;
	if (!l->v2)
		return;
	l->max_streams = h->streams < 0 ? V2_STREAMS :
	    clamp(h->streams, 1, V2_STREAMS);
	l->window = h->window < 0 ? V2_WINDOW : clamp(h->window, 0, WINDOW_MAX);
	l->has_instance = h->has_instance != 0;
	memcpy(l->instance, h->instance, 16);
}

static void
client_join(struct conn *c, struct tunnel *t, const struct ws_offer *offer,
    const struct jwt_claims *claims)
{
	char ip[INET6_ADDRSTRLEN];
	struct http_out o = { NULL, 1024, 0 };
	struct link *l = link_new(c, &server_link_ops, 0);

	if (l == NULL || (o.p = buf_space(&l->tx, o.cap, LINK_TX_MAX)) == NULL) {
		conn_kill(c);
		return;
	}
	list_leave(&c->place);
	conn_state(c, CONN_OPEN);
	ws_accept_put(&o, offer);
	l->tx.len = min_size(o.len, o.cap);
	link_settle(l, offer);
	l->expires = claims->exp;
	l->tunnel = t;
	t->link[t->nlinks++] = l;
	t->was_served = 1;
	timer_set(&t->timer, NEVER);
	log_event(LEVEL_INFO, "event=client-connected id=%s peer=%s wire=v%d "
	    "clients=%d", t->id, addr_text(&c->peer, ip), l->v2 ? 2 : 1,
	    t->nlinks);
	link_measure(l);
	link_later(l);
	tunnel_dispatch(t);
	link_input(l);
}

static void
client_verified(struct conn *c, const struct ws_offer *offer,
    const struct jwt_claims *claims)
{
	struct view id = view_of(claims->sub);
	struct tunnel *t = tunnel_find(id);

	if (t == NULL)
		t = tunnel_new(id, NEVER);
	if (t == NULL) {
		client_refuse(c, offer, 1013, "the server is short of memory");
		return;
	}
	tunnel_replace(t, &offer->hello);
	if (t->nlinks == TUNNEL_LINKS_MAX) {
		client_refuse(c, offer, 1013, "too many clients for this id");
		return;
	}
	client_join(c, t, offer, claims);
}

void
caller_upgrade(struct conn *c)
{
	static struct ws_offer offer;
	static struct jwt_claims claims;
	const char *why;
	int r = ws_offer_read(&offer, &srv.head);

	if (r < 0 || offer.token.n == 0)
		why = "token is missing";
	else
		why = jwt_verify(&claims, offer.token, &opt.key, clock_wall());
	caller_eat(c);
	if (r < 0)
		client_handshake_error(c, -r);
	else if (why != NULL)
		client_refuse(c, &offer, 1008, why);
	else
		client_verified(c, &offer, &claims);
}

static void
tunnel_drop_link(struct tunnel *t, const struct link *l)
{
	int i, n = 0;

	for (i = 0; i < t->nlinks; i++)
		if (t->link[i] != l)
			t->link[n++] = t->link[i];
	t->nlinks = n;
}

static void
link_ops_gone(struct link *l, int code, const char *why)
{
	struct tunnel *t = l->tunnel;

	tunnel_drop_link(t, l);
	log_event(LEVEL_INFO, "event=client-gone id=%s code=%d why=\"%s\" "
	    "requests=%lld clients=%d", t->id, code, why, l->streams.n,
	    t->nlinks);
	streams_orphan(l, srv.stopping ? "the server is stopping" :
	    "the tunnel client went away");
	l->tunnel = NULL;
	if (!srv.stopping)
		tunnel_unserved(t, code == 1000 ? 0 : opt.offline_wait_s * 1000);
}

static void
take_v2(struct link *l, unsigned char *p, size_t n)
{
	struct stream *s;

	if (take_text(l, p, n) == -1)
		return;
	switch (msg_in.type) {
	case WS_MSG_LEAVE:
		link_stop_serving(l);
		l->leave_due = 1;
		link_later(l);
		break;
	case WS_MSG_REQUEST:
		link_fail(l, -1002, "a client sends no requests");
		break;
	case WS_MSG_ACK:
	case WS_MSG_UNKNOWN:
		break;
	default:
		if ((s = take_find(l, msg_in.id)) != NULL)
			take_for_stream(s, &msg_in);
	}
}

static void
link_ops_message(struct link *l, int opcode, unsigned char *p, size_t n)
{
	l->received++;
	if (!l->v2 && opcode == WS_TEXT)
		take_v1(l, p, n);
	else if (!l->v2)
		log_event(LEVEL_INFO, "event=message-ignored id=%s "
		    "why=\"a binary frame on the v1 wire\"", l->tunnel->id);
	else if (opcode == WS_TEXT)
		take_v2(l, p, n);
	else
		take_body(l, p, n);
}

void
links_expire(void)
{
	long long wall = clock_wall();
	struct link *l, *next;

	for (l = list_first(&all_links); l != NULL; l = next) {
		next = list_after(&l->place);
		if (l->is_gone || l->expires > wall)
			continue;
		link_stop_serving(l);
		if (!l->v2)
			continue;
		l->leave_due = 1;
		link_later(l);
		if (l->streams.n == 0 || wall >= l->expires + EXPIRED_GRACE_S)
			link_close(l, 1008, "token has expired");
	}
}
