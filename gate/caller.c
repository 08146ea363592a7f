#ifdef __linux__
#define _GNU_SOURCE		/* each use under its own #ifdef */
#endif

#include <limits.h>
#include <poll.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/loop.h"
#include "gate/settings.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"
#include "gate/reply.h"
#include "gate/tunnel.h"
#include "gate/join.h"
#include "gate/answer.h"
#include "gate/caller.h"

#define HEAD_MS 10000
#define IDLE_MS 75000
#define BODY_SILENT_MS 60000

/* Whether a request comes back to the tunnel that it has just passed. */
static int
request_loops(const struct http_head *h, const struct tunnel *t)
{
	const struct http_field *f = http_field_find(h->field, h->nfields,
	    "x-pipegate-correlation-id");
	unsigned char id[16];
	struct stream *s;

	if (f == NULL || t == NULL || ws_uuid_parse(id, f->value) == -1)
		return 0;
	s = stream_find(id);
	return s != NULL && s->tunnel == t;
}

/* The tunnel of id; where none is, a new one if a client for it may still
 * come back after the server's start. */
static struct tunnel *
tunnel_for(struct view id)
{
	struct tunnel *t = tunnel_find(id);

	if (t != NULL || now_ms >= srv_young_until() || !wait_has_room(NULL))
		return t;
	return tunnel_new(id, srv_young_until());
}

/* HTTP/2 over cleartext is not tunnelled: such a request goes on without its
 * Upgrade. */
static int
upgrade_is_h2c(const struct http_head *h)
{
	const struct http_field *f = http_field_find(h->field, h->nfields,
	    "upgrade");

	return f != NULL && http_list_has(f->value, "h2c");
}

static struct stream *
request_stream(struct conn *c, const struct http_head *h, struct tunnel *t)
{
	unsigned char id[16];
	struct stream *s;

	random_bytes(id, sizeof(id));
	ws_uuid_make(id);
	s = stream_new(&server_role, c, id);
	if (s == NULL)
		return NULL;
	s->tunnel = t;
	s->head_only = c->head_only;
	s->minor = c->minor;
	s->upgrade = h->upgrade && h->framing == HTTP_NO_BODY &&
	    !upgrade_is_h2c(h);
	s->up_limit = opt.max_body > 0 ? opt.max_body : LLONG_MAX;
	http_body_init(&s->source, h->framing, h->length);
	if (h->framing == HTTP_NO_BODY && !s->upgrade)
		s->up.state = WS_HALF_ENDED;
	stream_label(s, "%s %s", h->method, h->path);
	list_leave(&c->place);
	conn_state(c, CONN_STREAM);
	return s;
}

/* Refuses a request that has no stream yet. */
static void
caller_refuse(struct conn *c, int status, const char *why)
{
	caller_eat(c);
	caller_error(c, status, why);
}

static void
caller_too_big(struct conn *c)
{
	char why[128];

	text_put(why, sizeof(why), "the body exceeds %lld bytes, the limit "
	    "of PIPEGATE_MAX_BODY_BYTES", opt.max_body);
	caller_refuse(c, 413, why);
}

static void
caller_tunnel(struct conn *c, struct view id)
{
	const struct http_head *h = &srv.head;
	struct tunnel *t = tunnel_for(id);
	struct stream *s;
	struct link *l;

	if (opt.max_body > 0 && h->length > opt.max_body) {
		caller_too_big(c);
	} else if (request_loops(h, t)) {
		caller_refuse(c, 508, "this request has come through this "
		    "tunnel already: its target leads back here");
	} else if (t == NULL) {
		caller_refuse(c, 503, nobody_there);
	} else if ((l = t->waiting.n == 0 ? tunnel_pick(t) : NULL) == NULL &&
	    !wait_has_room(t)) {
		caller_refuse(c, 503, tunnel_is_served(t) ?
		    "too many requests wait for this client: try again" :
		    nobody_there);
	} else if (budget_free() == 0 || (s = request_stream(c, h, t)) == NULL) {
		caller_refuse(c, 503, "the server is short of memory: try again");
	} else if (l != NULL) {
		stream_forward(s, l, h);
	} else {
		wait_add(s);
	}
}

/* OPTIONS with Max-Forwards: 0 is for whoever holds it (RFC 9110 7.6.2). */
static int
request_stops_here(void)
{
	const struct http_field *f;

	if (!http_equal(srv.head.method, "OPTIONS"))
		return 0;
	f = http_field_find(srv.head.field, srv.head.nfields, "max-forwards");
	return f != NULL && http_equal(f->value, "0");
}

static void
caller_request(struct conn *c)
{
	struct view id, rest;
	enum http_route route = http_route(srv.head.path, &id, &rest);

	if (srv.stopping) {
		c->keep_alive = 0;
		caller_refuse(c, 503, "the server is stopping");
		return;
	}
	if (c->tunnel_only && !(route == HTTP_ROUTE_ROOT &&
	    http_field_find(srv.head.field, srv.head.nfields, "upgrade"))) {
		c->keep_alive = 0;
		caller_refuse(c, 503, "too many connections: try again");
		return;
	}
	if (route == HTTP_ROUTE_TUNNEL && !request_stops_here()) {
		caller_tunnel(c, id);
		return;
	}
	if (route == HTTP_ROUTE_ROOT && http_field_find(srv.head.field,
	    srv.head.nfields, "upgrade") != NULL) {
		caller_upgrade(c);
		return;
	}
	caller_eat(c);
	switch (route) {
	case HTTP_ROUTE_HEALTH:
		caller_health(c);
		break;
	case HTTP_ROUTE_REDIRECT:
		caller_redirect(c, id, rest);
		break;
	case HTTP_ROUTE_STAR:
	case HTTP_ROUTE_TUNNEL:
		caller_options(c);
		break;
	case HTTP_ROUTE_ROOT:
		if (http_equal(srv.head.method, "GET") || c->head_only) {
			client_handshake_error(c, 426);
			break;
		}
		/* FALLTHROUGH */
	default:
		caller_error(c, 404, "nothing is here: a tunnel has the form "
		    "/{id}/");
	}
}

static const char *
head_fault(int status)
{
	switch (status) {
	case 405:
		return "CONNECT and TRACE are not passed on";
	case 414:
		return "the request target is too long";
	case 417:
		return "of expectations only 100-continue is known";
	case 431:
		return "the head of the request is too large";
	case 501:
		return "this transfer coding is not known";
	case 505:
		return "only HTTP/1.0 and HTTP/1.1 are spoken here";
	default:
		return "malformed request";
	}
}

/* Unfinished heads, and answers of ours that nobody takes, may hold a quarter
 * of the budget: past that the oldest goes. */
static void
heads_evict(void)
{
	struct conn *c;

	while (srv.head_octets > budget.max / 4) {
		c = list_first(srv.stuck.n > 0 ? &srv.stuck : &srv.heads);
		if (c == NULL)
			return;
		conn_kill(c);
	}
}

/* Keeps a caller whose next head is not whole. */
static void
caller_park(struct conn *c)
{
	struct list *where = c->rx.len > 0 ? &srv.heads : &srv.idle;

	buf_fit(&c->rx);
	conn_share(c, &srv.head_octets, c->rx.cap);
	if (c->place.in != where) {
		list_leave(&c->place);
		list_add(where, &c->place, c);
	}
	heads_evict();
}

/* A caller does not take the answer that it has: what it pipelined behind its
 * request waits. */
static void
caller_blocked(struct conn *c)
{
	if (c->state != CONN_HEAD || c->place.in == &srv.stuck)
		return;
	buf_fit(&c->rx);
	conn_share(c, &srv.head_octets, c->rx.cap + pool_size[POOL_BLOCK]);
	list_leave(&c->place);
	list_add(&srv.stuck, &c->place, c);
	heads_evict();
}

/* Takes what the head says of the answer's form. */
static void
caller_note(struct conn *c)
{
	const struct http_head *h = &srv.head;

	c->minor = h->minor > 0;
	c->head_only = http_equal(h->method, "HEAD") != 0;
	c->html = http_prefers_html(h->field, h->nfields) != 0;
	c->keep_alive = h->keep_alive && !srv.stopping;
	c->reused = 1;
}

void
caller_parse(struct conn *c)
{
	while (c->state == CONN_HEAD && !c->dead && c->tx.len < UNREAD_MAX) {
		struct view in = buf_view(&c->rx);
		int r = in.n == 0 ? 0 :
		    http_request_parse(&srv.head, in.p, in.n, &c->scanned);

		if (r == 0) {
			caller_park(c);
			return;
		}
		c->scanned = 0;
		conn_share(c, NULL, 0);
		if (r > 0 || r == -405 || r == -417) {
			caller_note(c);
		} else {
			c->minor = 1;
			c->head_only = c->html = 0;
		}
		if (r < 0) {
			c->keep_alive = 0;
			caller_error(c, -r, head_fault(-r));
			return;
		}
		c->head_size = (size_t)r;
		caller_request(c);
	}
}

/* Whether to listen for the caller's leaving while its request is at work. */
static int
caller_watched(const struct conn *c)
{
	const struct stream *s = c->stream;

	return c->keep_alive && c->minor > 0 && s->sink != HTTP_RAW &&
	    (s->wait.in != NULL || s->up.state != WS_HALF_OPEN ||
	    (s->upgrade && !s->head_down));
}

static int
caller_reads(const struct conn *c)
{
	const struct stream *s = c->stream;

	return stream_reads(s) && (!s->upgrade || s->head_down);
}

static void
caller_stream_ready(struct conn *c, short revents)
{
	if (revents & POLLERR)
		caller_leaves(c, "connection broke");
	else if ((revents & (POLLIN | POLLHUP)) && caller_reads(c))
		stream_news(c->stream);
	else if ((revents & POLLHUP) && c->stream->sink == HTTP_RAW)
		loop_remove(c);		/* read on when there is credit */
	else if ((revents & POLLHUP) ||
	    ((revents & POLLRDHUP) && caller_watched(c)))
		caller_leaves(c, "connection closed");
}

static void
caller_head_ready(struct conn *c)
{
	enum io io;

	if (c->rx.len == 0 && c->reused)
		c->since_ms = now_ms;
	io = conn_fill(c, pool_size[POOL_LARGE]);
	if (io == IO_EOF || io == IO_ERROR)
		conn_kill(c);
	else if (io == IO_DATA)
		caller_parse(c);
	if (c->rx.len == 0 && c->link == NULL)
		buf_free(&c->rx);
}

static void
caller_ready(struct conn *c, short revents)
{
	if (revents & POLLOUT)
		conn_flush_later(c);
	if (!(revents & ~POLLOUT))
		return;
	if (c->state == CONN_STREAM)
		caller_stream_ready(c, revents);
	else if (c->tx.len == 0)
		caller_head_ready(c);
	else if (revents & (POLLERR | POLLHUP))
		conn_kill(c);
}

static void
caller_sent(struct conn *c, size_t n)
{
	stream_sent(c, n);
	if (c->state != CONN_HEAD || c->tx.len > 0)
		return;
	c->since_ms = now_ms;
	caller_next(c);
}

static void
caller_broken(struct conn *c)
{
	if (c->state == CONN_STREAM)
		caller_leaves(c, "connection broke");
	else
		conn_kill(c);
}

static short
caller_events(const struct conn *c)
{
	short ev = c->tx.len > 0 ? POLLOUT : 0;

	if (c->state == CONN_HEAD)
		return (short)(ev != 0 ? ev : POLLIN);
	if (caller_reads(c))
		ev = (short)(ev | POLLIN);
	if (caller_watched(c))
		ev = (short)(ev | POLLRDHUP);
	return ev;
}

/* When a request's body or its answer has kept us waiting for too long. */
static long long
caller_stream_deadline(const struct conn *c)
{
	const struct stream *s = c->stream;

	if (s->head_down || s->link == NULL)
		return NEVER;
	if (s->up.state != WS_HALF_OPEN || s->send_due || s->upgrade)
		return s->up_end_ms == 0 ? NEVER :
		    s->up_end_ms + opt.response_timeout_s * 1000;
	if (!s->link->v2)
		return min_time(c->rx_ms + BODY_SILENT_MS,
		    s->begun_ms + 10000 + s->up_bytes * 2);
	return caller_reads(c) ? c->rx_ms + BODY_SILENT_MS : NEVER;
}

static long long
caller_deadline(const struct conn *c)
{
	long long stall = stream_stall_deadline(c);

	if (c->state == CONN_STREAM)
		return min_time(stall, caller_stream_deadline(c));
	if (c->tx.len > 0)
		return stall;
	return c->since_ms + (c->reused && c->rx.len == 0 ? IDLE_MS : HEAD_MS);
}

static void
caller_expire(struct conn *c)
{
	struct stream *s = c->stream;

	if (c->state == CONN_HEAD && c->rx.len > 0 && c->tx.len == 0) {
		c->minor = 1;
		c->keep_alive = c->head_only = c->html = 0;
		caller_error(c, 408, "the head of the request took too long");
	} else if (c->state == CONN_HEAD) {
		conn_kill(c);
	} else if (stream_stall_deadline(c) <= now_ms) {
		c->reset = 1;
		caller_leaves(c, "took nothing of its answer");
	} else if (s->up.state != WS_HALF_OPEN || s->upgrade || s->send_due) {
		caller_break(s, 504, "no answer in time");
	} else {
		caller_break(s, 408, "the body of the request came too slowly");
	}
}

const struct kind caller_kind = {
	.name = "caller", .ready = caller_ready, .sent = caller_sent,
	.blocked = caller_blocked,
	.broken = caller_broken, .events = caller_events,
	.deadline = caller_deadline, .expire = caller_expire,
};
