#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/timer.h"
#include "gate/conn.h"
#include "gate/addr.h"
#include "gate/settings.h"
#include "gate/link.h"
#include "gate/standing.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/reply.h"
#include "gate/pin.h"
#include "gate/route.h"
#include "gate/tunnel.h"

#define TUNNEL_BUCKETS 1024
#define COUNTED_MS 5000		/* until it is seen whether anything still counts */

static struct {
	struct tunnel *bucket[TUNNEL_BUCKETS];
	unsigned long long seed;
	long long start_ms;
	struct list refused;	/* tunnels with refusals of which nobody has heard */
	struct list waiting;	/* tunnels that have links, and in which requests wait */
	struct account invented;	/* of the ids that were never served: anybody may make
				   some up */
} tunnels;

void
tunnels_start(void)
{
	random_bytes(&tunnels.seed, sizeof(tunnels.seed));
	tunnels.start_ms = now_ms;
}

static struct tunnel **
tunnel_bucket(struct view id)
{
	return &tunnels.bucket[view_hash(id, tunnels.seed) % TUNNEL_BUCKETS];
}

/* The tunnel of id, or NULL. */
static struct tunnel *
tunnel_find(struct view id)
{
	struct tunnel *t = *tunnel_bucket(id);

	while (t != NULL && !http_equal(id, t->id))
		t = t->hash_next;
	return t;
}

/* Has t looked at whenever there may be room: where requests wait, and a link is
 * there that could take them. */
static void
tunnel_list(struct tunnel *t)
{
	if (t->waiting.n > 0 && t->nlinks > 0 && t->place.in == NULL)
		list_add(&tunnels.waiting, &t->place, t);
}

static int
tunnel_was_served(const struct tunnel *t)
{
	return t->charged == &t->account;
}

/* --- what was refused */

static void
tunnel_refused(struct tunnel *t, const char *why)
{
	if (!tunnel_was_served(t))
		return;
	t->refused.n++;
	t->refused.why = why;
	if (t->refused.place.in == NULL)
		list_add(&tunnels.refused, &t->refused.place, t);
}

void
tunnel_count_refused(struct view id, const char *why)
{
	struct tunnel *t = tunnel_find(id);

	if (t != NULL)
		tunnel_refused(t, why);
}

const struct list *
tunnels_refused(void)
{
	return &tunnels.refused;
}

/* --- waiting, and the end */

static int
tunnel_is_counted_on(const struct tunnel *t)
{
	return t->account.held[SHARE_CONNS] > 0 ||
	    t->account.held[SHARE_IDLE] > 0 ||
	    t->account.held[SHARE_OCTETS] > 0;
}

/* A tunnel that was never served, and for which nobody waits any more, goes. */
void
tunnel_wait_leave(struct stream *s)
{
	struct tunnel *t = s->tunnel;

	if (s->wait.in == NULL)
		return;
	list_leave(&s->wait);
	account_return(t->charged, SHARE_WAITING);
	if (t->waiting.n > 0)
		return;
	list_leave(&t->place);
	if (!tunnel_was_served(t))
		timer_set(&t->timer, now_ms);
}

/* Answers s, whose head still stands at the front of rx, with an error. */
static void
stream_refuse(struct stream *s, int status, const char *why)
{
	struct conn *c = s->http;
	struct caller *w;

	must(c != NULL);
	w = c->of;
	s->status = status;
	tunnel_refused(s->tunnel, why);
	tunnel_wait_leave(s);
	if (s->to_link.body.framing != HTTP_NO_BODY || s->upgrade)
		w->keep_alive = 0;
	stream_detach(s);
	caller_drop_head(w);
	if (why == reply_nobody)
		stream_offline(s, w, s->tunnel->id);
	else
		stream_error(s, w, s->tunnel->id, BY_SERVER, why);
	stream_reset(s, status, why);
}

static void
tunnel_free(struct tunnel *t)
{
	struct tunnel **at = tunnel_bucket(view_of(t->id));

	while (*at != t)
		at = &(*at)->hash_next;
	*at = t->hash_next;
	list_leave(&t->refused.place);
	timer_end(&t->timer);
	free(t);
}

/* Until when the client of an id that nobody serves may come back from before
 * the server's start. */
static long long
young_until(void)
{
	return tunnels.start_ms + opt->offline_wait_s * 1000;
}

/* Nobody came back in time.  While the server is young a tunnel that was served
 * stays: without it, requests would wait for a client that has said goodbye.  And
 * while anything counts in its account: links that close, callers that are kept, and
 * what these have not taken of their answers. */
static void
tunnel_timer(struct timer *timer)
{
	struct tunnel *t = CONTAINER(timer, struct tunnel, timer);

	while (t->waiting.n > 0)
		stream_refuse(list_first(&t->waiting), 503, reply_nobody);
	if (t->nlinks > 0)
		return;
	domains_give_up(&t->own);
	if (tunnel_was_served(t) && now_ms < young_until())
		timer_set(&t->timer, young_until());
	else if (tunnel_is_counted_on(t))
		timer_set(&t->timer, now_ms + COUNTED_MS);
	else
		tunnel_free(t);
}

static struct tunnel *
tunnel_new(struct view id, long long until_ms)
{
	struct tunnel *t = calloc(1, sizeof(*t)), **at;

	if (t == NULL || timer_init(&t->timer, tunnel_timer) == -1) {
		free(t);
		return NULL;
	}
	memcpy(t->id, id.p, id.n);
	at = tunnel_bucket(id);
	t->hash_next = *at;
	*at = t;
	t->charged = &tunnels.invented;
	t->until_ms = until_ms;
	timer_set(&t->timer, now_ms);
	return t;
}

int
tunnel_may_serve(const struct tunnel *t)
{
	return tunnel_is_served(t) || now_ms < t->until_ms;
}

int
tunnel_is_known(struct view id)
{
	const struct tunnel *t = tunnel_find(id);

	return t != NULL && tunnel_was_served(t) && tunnel_may_serve(t);
}

int
tunnel_takes_back(struct view id)
{
	return tunnel_is_known(id) && !tunnel_find(id)->as_is;
}

/* Whether the client of id, which nobody has served yet, may come.  Of a name with a
 * dot that is not so: it is a file, which a link to an absolute path asks for. */
static int
tunnel_may_come(struct view id)
{
	return now_ms < young_until() && memchr(id.p, '.', id.n) == NULL;
}

int
tunnel_is_open(struct view id)
{
	const struct tunnel *t = tunnel_find(id);

	if (t != NULL && tunnel_was_served(t))
		return tunnel_is_known(id);
	return tunnel_may_come(id);
}

struct tunnel *
tunnel_for(struct view id)
{
	struct tunnel *t = tunnel_find(id);

	if (t != NULL || !tunnel_may_come(id) || !tunnel_has_room(NULL))
		return t;
	return tunnel_new(id, young_until());
}

struct tunnel *
tunnel_make(struct view id)
{
	struct tunnel *t = tunnel_find(id);

	return t != NULL ? t : tunnel_new(id, now_ms);
}

/* --- its links */

/* The first one may even where callers hold all that the id may have. */
int
tunnel_takes_link(const struct tunnel *t)
{
	return t->nlinks < TUNNEL_LINKS_MAX &&
	    t->nlinks + t->closing < 2 * TUNNEL_LINKS_MAX &&
	    (t->nlinks == 0 || account_may_grow(&t->account, SHARE_CONNS));
}

void
tunnel_add_link(struct tunnel *t, struct link *l)
{
	must(t->nlinks < TUNNEL_LINKS_MAX);
	domains_give_up(&t->own);
	t->link[t->nlinks++] = l;
	tunnel_list(t);
}

void
tunnel_drop_link(struct tunnel *t, struct link *l)
{
	int i, n = 0;

	for (i = 0; i < t->nlinks; i++)
		if (t->link[i] != l)
			t->link[n++] = t->link[i];
	t->nlinks = n;
	if (n == 0)
		t->own = l->own;
	else
		domains_give_up(&l->own);
	l->own = NULL;
}

int
tunnel_clients(const struct tunnel *t)
{
	int i, n = 0;

	for (i = 0; i < t->nlinks; i++)
		n += t->link[i]->life == LINK_OPEN;
	return n;
}

int
tunnel_is_served(const struct tunnel *t)
{
	return tunnel_clients(t) > 0;
}

/* What waits in t counts in its own account from now on. */
static void
tunnel_charge_own(struct tunnel *t)
{
	const struct stream *s;

	for (s = list_first(&t->waiting); s != NULL; s = list_after(&s->wait)) {
		account_return(t->charged, SHARE_WAITING);
		account_take(&t->account, SHARE_WAITING);
		caller_count_in(s->http->of, &t->account, SHARE_CONNS);
		conn_count_in(s->http, account_octets(&t->account));
	}
	t->charged = &t->account;
}

void
tunnel_served(struct tunnel *t)
{
	if (!tunnel_was_served(t))
		tunnel_charge_own(t);
	timer_set(&t->timer, NEVER);
}

void
tunnel_unserved(struct tunnel *t, long long wait_ms)
{
	if (tunnel_is_served(t))
		return;
	t->until_ms = now_ms + wait_ms;
	timer_set(&t->timer, t->until_ms);
}

int
tunnel_stands(const struct tunnel *t)
{
	return standing_any(t->link, t->nlinks);
}

struct link *
tunnel_pick(const struct tunnel *t)
{
	return account_may_grow(t->charged, SHARE_OCTETS) ?
	    standing_best(t->link, t->nlinks) : NULL;
}

/* --- how often it is asked */

#define RATE_COST 1000LL	/* of a request, of which max_rate are earned each ms */
#define RATE_BURST_MS 2000

/* A bucket of tokens, as the time until which they are spent: in ms, times max_rate. */
int
tunnel_pays(struct tunnel *t)
{
	long long now = now_ms * opt->max_rate;
	long long paid = (t->paid > now ? t->paid : now) + RATE_COST;

	if (opt->max_rate == 0)
		return 1;
	if (paid - now > RATE_BURST_MS * opt->max_rate)
		return 0;
	t->paid = paid;
	return 1;
}

/* --- its queue */

/* What waits for the service alone finds its clients with room. */
static int
queue_has_room(const struct tunnel *t)
{
	return t->waiting.n < opt->queue_depth ||
	    standing_pauses(t->link, t->nlinks);
}

int
tunnel_has_room(const struct tunnel *t)
{
	const struct account *a = t != NULL ? t->charged : &tunnels.invented;

	if (t == NULL ? opt->queue_depth == 0 :
	    !tunnel_may_serve(t) || !queue_has_room(t))
		return 0;
	return account_may_grow(a, SHARE_OCTETS) &&
	    account_may_grow(a, SHARE_WAITING);
}

void
tunnel_wait(struct stream *s)
{
	struct tunnel *t = s->tunnel;

	stream_move(s, STREAM_WAITING);
	if (t->waiting.n == 0 && !tunnel_was_served(t))
		timer_set(&t->timer, t->until_ms);
	list_add(&t->waiting, &s->wait, s);
	tunnel_list(t);
	account_take(t->charged, SHARE_WAITING);
	buf_fit(&s->http->rx);
	conn_touch(s->http);
}

/* --- passing a request on */

/* Fills out with what goes on of request h for s.  Its views point into rx and
 * into what is static here: they are good until the next call.  Returns 0, or
 * minus a status. */
static int
request_head(struct http_head *out, const struct stream *s,
    const struct http_head *h)
{
	static unsigned char scratch[HTTP_HEAD_MAX + 256];
	static char hex[32], prefix[JWT_SUB_MAX + 2];
	const struct caller *w = s->http->of;
	struct http_forwarding f;
	struct route r;
	int n;

	memset(out, 0, offsetof(struct http_head, field));
	route_find(&r, h);
	out->path = w->in_place ? h->path : r.rest;
	memset(&f, 0, sizeof(f));
	ws_hex_put(hex, s->id);
	f.peer = view_of(w->addressed ? w->peer : "");
	f.trusted = w->trusted;
	f.https = w->https;
	f.trusted_fields = view_of(opt->trusted_fields);
	f.prefix.p = (const unsigned char *)prefix;
	f.prefix.n = r.by_host ? 0 :
	    text_put(prefix, sizeof(prefix), "/%s", s->tunnel->id);
	f.correlation_id.p = (const unsigned char *)hex;
	f.correlation_id.n = sizeof(hex);
	out->method = h->method;
	n = http_request_fields(out->field, h, &f, s->upgrade, scratch,
	    sizeof(scratch));
	if (n < 0)
		return n;
	out->nfields = (size_t)n;
	pin_strip(out, w->in_place ? s->tunnel->id : NULL);
	return 0;
}

const char *
forward_refusal(int status)
{
	switch (status) {
	case 405:
		return "the connected client passes on only GET, HEAD, POST, "
		    "PUT, PATCH, DELETE, OPTIONS";
	case 413:
		return "the connected client (v1) takes no body of this size";
	case 431:
		return "the head of the request is too large to be passed on";
	default:
		return reply_no_memory;
	}
}

/* Drops the head, whose octets stay where they are until rx is filled again. */
void
stream_forward(struct stream *s, struct link *l, const struct http_head *h)
{
	struct conn *c = s->http;
	struct http_head out;
	int r;

	stream_join(s, l);
	if (!s->wire->flows)
		s->upgrade = 0;
	c->rx_ms = now_ms;
	s->begun_ms = now_ms;
	standing_asked(l);
	r = request_head(&out, s, h);
	if (s->wire->flows)
		stream_keep(s);
	caller_drop_head(c->of);
	if (r == 0)
		r = s->wire->request(s, &out, h);
	if (r < 0)
		stream_refuse(s, -r, forward_refusal(-r));
	else if (r == 0 && s->life == STREAM_JOINED)
		stream_rests(s);
}

void
tunnel_dispatch(struct tunnel *t)
{
	struct http_head h;
	struct stream *s;
	struct link *l;

	while ((s = list_first(&t->waiting)) != NULL &&
	    (l = tunnel_pick(t)) != NULL) {
		const struct caller *w = s->http->of;
		struct view in = buf_view(&s->http->rx);
		size_t scanned = 0;
		int r;

		tunnel_wait_leave(s);
		r = http_request_parse(&h, in.p, in.n, &scanned);
		must(r > 0 && (size_t)r == w->head_size);
		stream_forward(s, l, &h);
	}
}

void
tunnels_dispatch(void)
{
	struct tunnel *t, *next;

	for (t = list_first(&tunnels.waiting); t != NULL; t = next) {
		next = list_after(&t->place);
		tunnel_dispatch(t);
	}
}

void
tunnels_refuse_all(int status, const char *why)
{
	struct tunnel *t;
	size_t i;

	for (i = 0; i < TUNNEL_BUCKETS; i++)
		for (t = tunnels.bucket[i]; t != NULL; t = t->hash_next)
			while (t->waiting.n > 0)
				stream_refuse(list_first(&t->waiting), status,
				    why);
}
