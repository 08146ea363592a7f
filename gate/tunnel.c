#include <netinet/in.h>
#include <stdlib.h>
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
#include "gate/to_link.h"
#include "gate/v2.h"
#include "gate/reply.h"
#include "gate/v1_server.h"
#include "gate/tunnel.h"

struct srv srv;

const char nobody_there[] = "no client is connected for this id";

static struct tunnel **
tunnel_bucket(struct view id)
{
	unsigned long long h = srv.seed;
	size_t i;

	for (i = 0; i < id.n; i++)
		h = (h ^ id.p[i]) * 0x9e3779b97f4a7c15u;
	return &srv.table[(h >> 32) % TUNNEL_BUCKETS];
}

struct tunnel *
tunnel_find(struct view id)
{
	struct tunnel *t = *tunnel_bucket(id);

	while (t != NULL && !http_equal(id, t->id))
		t = t->hash_next;
	return t;
}

void
wait_leave(struct stream *s)
{
	struct tunnel *t = s->tunnel;

	if (s->wait.in == NULL)
		return;
	list_leave(&s->wait);
	if (t->waiting.n == 0 && !t->was_served)
		timer_set(&t->timer, now_ms);	/* an id that nobody asks for */
	srv.nwait--;
	conn_share(s->http, NULL, 0);
}

void
wait_add(struct stream *s)
{
	list_add(&s->tunnel->waiting, &s->wait, s);
	srv.nwait++;
	buf_fit(&s->http->rx);
	conn_share(s->http, &srv.wait_octets, s->http->rx.cap);
	conn_touch(s->http);
}

int
tunnel_is_served(const struct tunnel *t)
{
	int i;

	for (i = 0; i < t->nlinks; i++)
		if (!t->link[i]->leaving)
			return 1;
	return 0;
}

int
wait_has_room(const struct tunnel *t)
{
	if (t != NULL && !tunnel_is_served(t) && now_ms >= t->until_ms)
		return 0;
	return (t == NULL || t->waiting.n < opt.queue_depth) &&
	    opt.queue_depth > 0 &&
	    srv.wait_octets < budget.max / 4 &&
	    srv.nwait < opt.max_connections / 4;
}

void
stream_refuse(struct stream *s, int status, const char *why)
{
	struct conn *c = s->http;

	must(c != NULL);
	s->status = status;
	wait_leave(s);
	if (s->up.state == WS_HALF_OPEN)
		c->keep_alive = 0;
	stream_detach(s);
	buf_consume(&c->rx, c->head_size);
	c->head_size = 0;
	stream_error(s, c, why);
	stream_reset(s, status, why);
}

static void
tunnel_free(struct tunnel *t)
{
	struct tunnel **at = tunnel_bucket(view_of(t->id));

	while (*at != t)
		at = &(*at)->hash_next;
	*at = t->hash_next;
	timer_end(&t->timer);
	free(t);
}

void
tunnel_unserved(struct tunnel *t, long long wait_ms)
{
	if (tunnel_is_served(t))
		return;
	t->until_ms = now_ms + wait_ms;
	timer_set(&t->timer, t->until_ms);
}

long long
srv_young_until(void)
{
	return srv.start_ms + opt.offline_wait_s * 1000;
}

/* Nobody came back in time.  A goodbye is remembered while the server is
 * young, since an unknown id would be waited for. */
static void
tunnel_timer(struct timer *timer)
{
	struct tunnel *t = CONTAINER(timer, struct tunnel, timer);

	while (t->waiting.n > 0)
		stream_refuse(list_first(&t->waiting), 503, nobody_there);
	if (t->nlinks > 0)
		return;
	if (t->was_served && now_ms < srv_young_until())
		timer_set(&t->timer, srv_young_until());
	else
		tunnel_free(t);
}

struct tunnel *
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
	t->until_ms = until_ms;
	timer_set(&t->timer, until_ms);
	return t;
}

static int
link_is_free(const struct link *l)
{
	return !l->leaving && l->streams.n < l->max_streams &&
	    link_unwritten(l) < LINK_HEAD_ROOM;
}

struct link *
tunnel_pick(const struct tunnel *t)
{
	struct link *best = NULL;
	int i;

	for (i = t->nlinks - 1; i >= 0; i--)
		if (link_is_free(t->link[i]) &&
		    (best == NULL || t->link[i]->streams.n < best->streams.n))
			best = t->link[i];
	return best;
}

int
request_message(struct stream *s, const struct http_head *h)
{
	static char ip[INET6_ADDRSTRLEN], hex[32], prefix[JWT_SUB_MAX + 2];
	struct http_forwarding f;
	struct view id;
	size_t len;
	int n;

	msg_start(s, WS_MSG_REQUEST);
	http_route(h->path, &id, &msg_out.target);
	len = text_put(prefix, sizeof(prefix), "/%s", s->tunnel->id);
	ws_hex_put(hex, s->id);
	f.peer = view_of(addr_text(&s->http->peer, ip));
	f.trusted = peer_is_trusted(&s->http->peer);
	f.prefix.p = (const unsigned char *)prefix;
	f.prefix.n = len;
	f.correlation_id.p = (const unsigned char *)hex;
	f.correlation_id.n = sizeof(hex);
	msg_out.method = h->method;
	n = http_request_fields(msg_out.field, h, &f, s->upgrade, srv.scratch,
	    sizeof(srv.scratch));
	if (n < 0)
		return n;
	msg_out.nfields = (size_t)n;
	return 0;
}

/* Starts s on a v2 link: its head goes at once.  Returns 0, or minus the
 * status to refuse it with. */
static int
forward_v2(struct stream *s, const struct http_head *h)
{
	long long window = window_first();
	int r = request_message(s, h);

	if (r < 0)
		return r;
	if (window_open(s, window) == -1)
		return -503;
	msg_out.bytes = window;
	msg_out.end = h->framing == HTTP_NO_BODY && !s->upgrade;
	if (link_put_msg(s->link) == -1)
		return -431;
	ws_half_init(&s->down, window, -1);
	ws_half_init(&s->up, s->link->window,
	    h->framing == HTTP_LENGTH ? h->length : -1);
	if (msg_out.end)
		s->up.state = WS_HALF_ENDED;
	s->head_up = !s->upgrade;
	s->up_end_ms = h->framing == HTTP_NO_BODY ? now_ms : 0;
	return 0;
}

const char *
forward_refusal(const struct stream *s, int status)
{
	switch (status) {
	case 405:
		return "the connected client passes on only " ALLOW_ALL;
	case 413:
		return "the connected client (v1) takes no body of this size";
	case 431:
		return "the head of the request is too large to be passed on";
	default:
		return s->tunnel->nlinks > 0 ?
		    "the server is short of memory: try again" :
		    nobody_there;
	}
}

void
stream_forward(struct stream *s, struct link *l, const struct http_head *h)
{
	struct conn *c = s->http;
	int r;

	stream_join(s, l);
	c->rx_ms = now_ms;
	s->begun_ms = now_ms;
	r = l->v2 ? forward_v2(s, h) : forward_v1(s, h);
	if (r < 0) {
		window_close(s);
		chain_free(&s->hold);
		s->up.state = h->framing == HTTP_NO_BODY ? WS_HALF_ENDED :
		    WS_HALF_OPEN;
		stream_leave_link(s);
		stream_refuse(s, -r, forward_refusal(s, -r));
		return;
	}
	buf_consume(&c->rx, c->head_size);
	c->head_size = 0;
	conn_touch(c);
	stream_news(s);
}

void
tunnel_dispatch(struct tunnel *t)
{
	struct stream *s;
	struct link *l;

	while ((s = list_first(&t->waiting)) != NULL &&
	    (l = tunnel_pick(t)) != NULL) {
		struct view in = buf_view(&s->http->rx);
		size_t scanned = 0;
		int r;

		wait_leave(s);
		r = http_request_parse(&srv.head, in.p, in.n, &scanned);
		must(r > 0 && (size_t)r == s->http->head_size);
		stream_forward(s, l, &srv.head);
	}
}

void
link_stop_serving(struct link *l)
{
	if (l->leaving)
		return;
	l->leaving = 1;
	tunnel_unserved(l->tunnel, opt.offline_wait_s * 1000);
}
