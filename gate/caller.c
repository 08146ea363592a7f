#ifdef __linux__
#define _GNU_SOURCE		/* POLLRDHUP: under its own #ifdef */
#endif

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/settings.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"
#include "gate/reply.h"
#include "gate/pin.h"
#include "gate/route.h"
#include "gate/tunnel.h"
#include "gate/stray.h"
#include "gate/answer.h"
#include "gate/join.h"
#include "gate/yield.h"
#include "gate/caller.h"

#ifndef POLLRDHUP
#define POLLRDHUP 0		/* then a caller's leaving is seen when it is read */
#endif

#define IDLE_MS 75000
#define BODY_SILENT_MS 60000
#define HELD_FREE_MS 10000	/* before a least rate is asked of a body */
#define STALLED_MS 30000

/* --- a request for a tunnel */

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

static struct stream *
request_stream(struct caller *w, const struct http_head *h, struct tunnel *t)
{
	unsigned char id[16];
	struct stream *s;

	random_bytes(id, sizeof(id));
	ws_uuid_make(id);
	s = stream_new(&server_role, id);
	if (s == NULL)
		return NULL;
	s->tunnel = t;
	if (caller_is_back(w))
		s->start_ms = w->back_ms - w->back_after_ms;
	answer_attach(s, w);
	s->upgrade = request_upgrades(h) != 0;
	s->to_link.limit = opt->max_body > 0 ? opt->max_body : LLONG_MAX;
	http_body_init(&s->to_link.body, h->framing, h->length);
	caller_name(s, w, h);
	caller_unlist(w);
	conn_state(w->c, CONN_STREAM);
	return s;
}

/* Refuses a request that has no stream yet. */
static void
caller_refuse(struct caller *w, const struct asked *q, int status,
    const char *why)
{
	tunnel_count_refused(q->id, why);
	caller_eat(w, q->h);
	caller_error(w, q, status, why);
}

/* Nobody serves the id that it is for. */
static void
caller_nobody(struct caller *w, const struct asked *q)
{
	tunnel_count_refused(q->id, reply_nobody);
	caller_eat(w, q->h);
	caller_offline(w, q);
}

static void
caller_no_room(struct caller *w, const struct asked *q,
    const struct tunnel *t)
{
	if (tunnel_is_served(t)) {
		caller_refuse(w, q, 503, "too many requests for this id at "
		    "once: try again");
		return;
	}
	caller_nobody(w, q);
}

/* Whether the request may wait in t.  One that has come back had its place. */
static int
caller_may_wait(const struct caller *w, const struct tunnel *t)
{
	return caller_is_back(w) ? tunnel_may_serve(t) : tunnel_has_room(t);
}

/* Gives the request to a link that has room, else to the queue. */
static void
caller_pass(struct caller *w, const struct asked *q, struct tunnel *t)
{
	struct link *l = t->waiting.n == 0 ? tunnel_pick(t) : NULL;
	struct conn *c = w->c;
	struct stream *s;

	if (!caller_is_back(w) && !account_may_grow(t->charged, SHARE_CONNS)) {
		w->keep_alive = 0;
		caller_refuse(w, q, 503, yield_crowded);
		conn_part(c);
		return;
	}
	if (l == NULL && !caller_may_wait(w, t)) {
		caller_no_room(w, q, t);
		return;
	}
	s = budget_free() == 0 ? NULL : request_stream(w, q->h, t);
	if (s == NULL)
		caller_refuse(w, q, 503, reply_no_memory);
	else if (l != NULL)
		stream_forward(s, l, q->h);
	else
		tunnel_wait(s);
}

static void
caller_tunnel(struct caller *w, const struct asked *q)
{
	struct tunnel *t;

	if (opt->max_body > 0 && q->h->length > opt->max_body) {
		caller_refuse(w, q, 413, reply_too_big());
		return;
	}
	t = tunnel_for(q->id);
	if (t == NULL) {
		caller_nobody(w, q);
	} else if (!caller_is_back(w) && !tunnel_pays(t)) {
		caller_refuse(w, q, 429, "too many requests for this id in a "
		    "second: try again");
	} else if (request_loops(q->h, t)) {
		caller_refuse(w, q, 508, "this request has come through this "
		    "tunnel already: its target leads back here");
	} else {
		caller_pass(w, q, t);
	}
}

/* --- routing */

/* OPTIONS with Max-Forwards: 0 is answered by whoever gets it (RFC 9110
 * 7.6.2). */
static int
request_stops_here(const struct http_head *h)
{
	const struct http_field *f;

	if (!http_equal(h->method, "OPTIONS"))
		return 0;
	f = http_field_find(h->field, h->nfields, "max-forwards");
	return f != NULL && http_equal(f->value, "0");
}

/* An older client of the reference dials /ID?token=, where no app can have a
 * WebSocket. */
static int
route_joins(const struct route *r)
{
	return r->leads == HTTP_ROUTE_ROOT ||
	    (r->leads == HTTP_ROUTE_REDIRECT &&
	    http_begins_nocase(r->rest, "?token="));
}

/* Whether it is a client that h comes from. */
static int
request_joins(const struct http_head *h, const struct route *r)
{
	return route_joins(r) &&
	    http_field_find(h->field, h->nfields, "upgrade") != NULL;
}

/* Answers a request that is for the server itself. */
static void
caller_own(struct caller *w, const struct asked *q, const struct route *r)
{
	caller_eat(w, q->h);
	switch (r->leads) {
	case HTTP_ROUTE_HEALTH:
		caller_health(w, q);
		break;
	case HTTP_ROUTE_REDIRECT:
		if (tunnel_is_open(r->id))
			caller_redirect(w, r->id, r->rest);
		else
			caller_offline(w, q);
		break;
	case HTTP_ROUTE_STAR:
	case HTTP_ROUTE_TUNNEL:
		caller_options(w);
		break;
	case HTTP_ROUTE_ROOT:
		if (http_equal(q->h->method, "GET") || w->head_only) {
			caller_no_handshake(w, q, 426);
			break;
		}
		/* FALLTHROUGH */
	default:
		caller_error(w, q, 404, r->by_host ?
		    "no tunnel has this host name" :
		    "nothing is here: a tunnel has the form /{id}/");
	}
}

/* Gives the request to the room that it leads to. */
static void
caller_lead(struct caller *w, const struct asked *q, const struct route *r,
    enum stray stray, struct view home)
{
	if (request_stops_here(q->h)) {
		caller_own(w, q, r);
	} else if (stray == STRAY_BACK) {
		caller_eat(w, q->h);
		caller_send_back(w, home, q->h->path);
	} else if (stray == STRAY_LOST) {
		caller_eat(w, q->h);
		caller_left_tunnel(w, q, home);
	} else if (stray == STRAY_IN_PLACE || r->leads == HTTP_ROUTE_TUNNEL) {
		caller_tunnel(w, q);
	} else if (request_joins(q->h, r)) {
		caller_upgrade(w, q, r);
	} else {
		caller_own(w, q, r);
	}
}

/* Keeps what the way of request h means for it, and for its answer. */
static void
caller_note_way(struct caller *w, const struct http_head *h,
    const struct route *r, enum stray stray)
{
	w->in_place = stray == STRAY_IN_PLACE;
	if (r->leads == HTTP_ROUTE_TUNNEL && !r->by_host && !w->in_place)
		pin_note(w, h, r->id);
	else
		pin_note_none(w);
}

/* The request h as the log names it. */
static struct asked
asked_of(const struct http_head *h, const struct route *r, enum stray stray,
    struct view home)
{
	struct asked q = { h, { NULL, 0 } };

	if (stray == STRAY_IN_PLACE)
		q.id = home;
	else if (r->leads == HTTP_ROUTE_TUNNEL ||
	    r->leads == HTTP_ROUTE_REDIRECT)
		q.id = r->id;
	return q;
}

static void
caller_request(struct caller *w, const struct http_head *h)
{
	struct route r;
	struct view home;
	struct asked q;
	enum stray stray;

	route_find(&r, h);
	stray = stray_find(&home, w, h, &r);
	caller_note_way(w, h, &r, stray);
	q = asked_of(h, &r, stray, home);
	if (loop_is_stopping()) {
		w->keep_alive = 0;
		caller_refuse(w, &q, 503, reply_stopping);
	} else if (w->tunnel_only && accounts_conns() >
	    (size_t)opt->max_connections &&
	    !(stray == STRAY_NONE && request_joins(h, &r))) {
		w->keep_alive = 0;
		caller_refuse(w, &q, 503, yield_crowded);
	} else {
		caller_lead(w, &q, &r, stray, home);
	}
}

/* --- reading heads */

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
		return "this method or transfer coding is not known";
	case 505:
		return "only HTTP/1.0 and HTTP/1.1 are spoken here";
	default:
		return "malformed request";
	}
}

/* A caller does not take the answer that it has: what it pipelined behind that
 * request waits. */
static void
caller_blocked(struct conn *c)
{
	struct caller *w = c->of;

	if (c->state != CONN_HEAD || caller_stands(w, ROW_STUCK))
		return;
	buf_fit(&c->rx);
	caller_unlist(w);
	if (c->tx.sum != account_octets(&account_nobody))
		return;			/* callers_unclog() looks after it */
	caller_stand(w, ROW_STUCK);
	requests_evict(conn_memory(c));
}

/* What the beginning of a head that is none, in, seems to ask for: only where that
 * looks like a request line, since it may be anything, a field or a form with a secret
 * in it. */
static void
head_guess(struct http_head *h, struct view in)
{
	h->method = view_until(&in, " \r\n");
	view_skip(&in, in.n > 0);
	if (!http_method_ok(h->method) || in.n == 0 || in.p[0] != '/')
		in.n = h->method.n = 0;
	h->path = view_until(&in, "?# \r\n");
}

/* A head is refused with that status. */
static void
caller_bad_head(struct caller *w, struct http_head *h, int status)
{
	struct asked q = { h, { NULL, 0 } };

	if (status == 405 || status == 417) {
		caller_note(w, h);
	} else {
		caller_note_nothing(w);
		h->nfields = 0;
	}
	head_guess(h, buf_view(&w->c->rx));
	w->keep_alive = 0;
	caller_error(w, &q, status, head_fault(status));
}

/* Takes a head that is whole, of r octets; or is refused with status -r. */
static void
caller_take_head(struct caller *w, struct http_head *h, int r)
{
	w->c->scanned = 0;
	if (r < 0) {
		caller_bad_head(w, h, -r);
		return;
	}
	caller_note(w, h);
	w->head_size = (unsigned int)r;
	caller_request(w, h);
}

/* Takes one request out of rx, where it is whole: then w may be freed. */
static void
caller_parse(struct caller *w)
{
	struct conn *c = w->c;
	struct view in = buf_view(&c->rx);
	struct http_head h;
	int r = http_request_parse(&h, in.p, in.n, &c->scanned);

	if (r != 0) {
		caller_take_head(w, &h, r);
		return;
	}
	caller_rest(w);
	requests_evict(c->rx.cap);
}

/* In a turn each has one, so that nobody waits for all that others have sent. */
void
callers_settle(void)
{
	static unsigned short turn;	/* in which they last had theirs */
	long long n = turn == pollset_turn() ? 0 : caller_row(ROW_NEXT)->n;
	struct caller *w;

	turn = pollset_turn();
	for (; n > 0 && (w = caller_first(ROW_NEXT)) != NULL; n--) {
		caller_unlist(w);
		caller_parse(w);
	}
	if (caller_row(ROW_NEXT)->n > 0)
		loop_again();
}

/* --- events */

static int
caller_reads(const struct caller *w)
{
	const struct stream *s = w->stream;

	return stream_reads(s) && (!s->upgrade || s->from_link.head_passed);
}

/* Whether to ask poll() for the caller's FIN while its request is at work: where
 * FIN means that the caller leaves, and no read would find it.  A body that
 * nobody takes now may be whole in the socket before its FIN: caller_has_left()
 * sees to that. */
static int
caller_watched(const struct caller *w)
{
	const struct stream *s = w->stream;

	if (s->from_link.framing == HTTP_RAW || caller_reads(w))
		return 0;
	if (half_is_open(&s->to_link.half) && !s->upgrade)
		return !w->hung_up;
	return w->keep_alive && w->minor > 0;
}

/* Whether a caller that sends no more has left.  One that ends inside its body
 * always has; one that ends behind a whole request has where the connection was
 * to be kept. */
static int
caller_has_left(const struct caller *w)
{
	const struct http_body *body = &w->stream->to_link.body;

	if (!half_is_open(&w->stream->to_link.half) ||
	    (w->keep_alive && w->minor > 0))
		return 1;
	return body->framing == HTTP_LENGTH &&
	    conn_arrived(w->c) < body->left;
}

static void
caller_hung_up(struct caller *w)
{
	w->hung_up = 1;
	if (caller_has_left(w))
		caller_leaves(w, BY_CALLER, "connection closed");
}

static void
caller_stream_ready(struct caller *w, short revents)
{
	if (revents & POLLERR)
		caller_leaves(w, BY_CALLER, "connection broke");
	else if ((revents & (POLLIN | POLLHUP)) && caller_reads(w))
		stream_news(w->stream);
	else if ((revents & POLLHUP) &&
	    w->stream->from_link.framing == HTTP_RAW)
		pollset_remove(&w->c->watch);	/* read on when there is credit */
	else if (revents & POLLHUP)
		caller_leaves(w, BY_CALLER, "connection closed");
	else if ((revents & POLLRDHUP) && caller_watched(w))
		caller_hung_up(w);
}

/* There is no memory to read a head into. */
static void
caller_no_memory(struct caller *w)
{
	caller_note_nothing(w);
	caller_error(w, &asked_nothing, 503, reply_no_memory);
}

int
caller_may_read(struct caller *w)
{
	if (!account_read(w->account, pollset_turn()))
		return 0;
	requests_evict(MEM_LARGE);	/* for what comes, and an answer to it */
	return !conn_is_dead(w->c);
}

static void
caller_head_ready(struct caller *w)
{
	struct conn *c = w->c;
	enum io io;

	if (caller_stands(w, ROW_NEXT) || !caller_may_read(w))
		return;
	if (c->rx.len == 0 && w->served)
		c->since_ms = now_ms;
	io = conn_fill(c, MEM_LARGE);
	if (io == IO_DATA)
		caller_parse(w);
	else if (io == IO_NO_ROOM)
		caller_no_memory(w);
	else if (io != IO_WAIT)
		caller_drop(w);
}

static void
caller_ready(struct conn *c, short revents)
{
	struct caller *w = c->of;

	if (revents & POLLOUT)
		conn_flush_later(c);
	if (!(revents & ~POLLOUT))
		return;
	if (c->state == CONN_STREAM)
		caller_stream_ready(w, revents);
	else if (c->tx.len == 0)
		caller_head_ready(w);
	else if (revents & (POLLERR | POLLHUP))
		caller_drop(w);
}

static void
caller_sent(struct conn *c, size_t n)
{
	struct caller *w = c->of;

	caller_took(w, n);
	if (w->stream != NULL)
		stream_sent(w->stream);
	if (c->state != CONN_HEAD || c->tx.len > 0)
		return;
	c->since_ms = now_ms;
	caller_next(w);
}

static void
caller_broken(struct conn *c)
{
	struct caller *w = c->of;

	if (w->stream != NULL)
		caller_leaves(w, BY_CALLER, "connection broke");
	else
		caller_drop(w);
}

/* A conn that still has its stream was broken off by ourselves. */
static void
caller_gone(struct conn *c)
{
	struct caller *w = c->of;

	if (w->stream != NULL)
		caller_leaves(w, BY_SERVER, "broken off");
	caller_free(w);
}

static short
caller_events(const struct conn *c)
{
	const struct caller *w = c->of;
	short ev = c->tx.len > 0 ? POLLOUT : 0;

	if (c->state == CONN_HEAD)
		return (short)(ev != 0 ? ev : POLLIN);
	if (caller_reads(w))
		ev = (short)(ev | POLLIN);
	if (caller_watched(w))
		ev = (short)(ev | POLLRDHUP);
	return ev;
}

enum rest
caller_head_rests(const struct conn *c)
{
	const struct caller *w = c->of;

	return account_has_turn(w->account, pollset_turn()) ?
	    REST_NOW : REST_QUIET;
}

static enum rest
caller_rests(const struct conn *c)
{
	const struct caller *w = c->of;

	if (c->state == CONN_HEAD)
		return caller_head_rests(c);
	return caller_reads(w) ? REST_QUIET : REST_NOW;
}

/* Until when a body may stay silent while we would read it. */
static long long
caller_body_deadline(const struct caller *w)
{
	const struct stream *s = w->stream;
	long long silent = w->c->rx_ms + BODY_SILENT_MS, rate;

	if (!caller_reads(w))
		return NEVER;
	rate = s->wire->least_rate;
	if (rate == 0)
		return silent;
	return min_time(silent, s->begun_ms + HELD_FREE_MS +
	    s->to_link.octets * 1000 / rate);
}

/* Until when the rest of a request may be missing, or its answer. */
static long long
caller_stream_deadline(const struct caller *w)
{
	const struct stream *s = w->stream;

	if (s->from_link.head_passed || s->life != STREAM_JOINED)
		return NEVER;
	if (half_is_open(&s->to_link.half) && !s->upgrade)
		return caller_body_deadline(w);
	return s->to_link.ended_ms == 0 ? NEVER :
	    s->to_link.ended_ms + opt->response_timeout_s * 1000;
}

static long long
caller_deadline(const struct conn *c)
{
	const struct caller *w = c->of;
	long long stall = stream_stall_deadline(c);

	if (c->state == CONN_STREAM)
		return min_time(stall, caller_stream_deadline(w));
	if (c->tx.len > 0)
		return stall;
	return c->since_ms + (w->served && c->rx.len == 0 ? IDLE_MS : HEAD_MS);
}

static void
caller_head_expire(struct caller *w)
{
	if (w->c->rx.len == 0 || w->c->tx.len > 0) {
		caller_drop(w);
		return;
	}
	caller_note_nothing(w);
	caller_error(w, &asked_nothing, 408,
	    "the head of the request took too long");
}

static void
caller_expire(struct conn *c)
{
	struct caller *w = c->of;
	struct stream *s = w->stream;

	if (c->state == CONN_HEAD) {
		caller_head_expire(w);
	} else if (stream_stall_deadline(c) <= now_ms) {
		c->reset = 1;
		caller_leaves(w, BY_SERVER, "took nothing of its answer");
	} else if (!half_is_open(&s->to_link.half) || s->upgrade) {
		caller_break(s, 504, "no answer in time");
	} else {
		caller_break(s, 408, "the body of the request came too slowly");
	}
}

static const struct kind caller_kind = {
	.name = "caller", .ready = caller_ready, .sent = caller_sent,
	.blocked = caller_blocked, .broken = caller_broken,
	.gone = caller_gone, .events = caller_events, .rests = caller_rests,
	.deadline = caller_deadline, .expire = caller_expire,
};

void
caller_accept(int fd, const struct addr *peer, int tunnel_only)
{
	caller_begin(&caller_kind, fd, peer, tunnel_only);
}

void
caller_admit(struct caller *w)
{
	conn_give(w->c, &caller_kind, w);
	caller_next(w);
}

/* --- when memory is short */

static int
caller_stalls(const struct conn *c)
{
	return c->kind == &caller_kind && !conn_is_dead(c) && c->tx.len > 0 &&
	    now_ms - c->tx_ms >= STALLED_MS;
}

/* What counts for nobody is looked after by requests_evict(). */
static int
caller_clogs(const struct conn *c)
{
	return caller_stalls(c) &&
	    c->tx.sum != account_octets(&account_nobody) &&
	    account_is_nearly_full(account_of(c->tx.sum));
}

void
callers_unclog(void)
{
	struct conn *c, *worst = NULL;
	struct caller *w;
	size_t i;

	if (budget_has_spare())
		return;
	for (i = 0; i < pollset_size(); i++) {
		c = CONTAINER(pollset_at(i), struct conn, watch);
		if (caller_clogs(c) &&
		    (worst == NULL || c->tx_ms < worst->tx_ms))
			worst = c;
	}
	if (worst == NULL)
		return;
	w = worst->of;
	worst->reset = 1;
	if (w->stream != NULL)
		caller_leaves(w, BY_SERVER, "stalled while memory was short");
	else
		caller_drop(w);
}
