#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/settings.h"
#include "gate/revoked.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/v2.h"
#include "gate/held.h"
#include "gate/reply.h"
#include "gate/route.h"
#include "gate/domain.h"
#include "gate/tunnel.h"
#include "gate/notice.h"
#include "gate/v1_answer.h"
#include "gate/join.h"

#define EXPIRED_GRACE_MS 300000
#define FAR_S (1LL << 32)	/* not looked at further ahead: far beyond any uptime */

static const char no_memory[] = "the server is short of memory";
static const char token_revoked[] = "token has been revoked";

/* A token's jti, for the log: good until the next call. */
static const char *
jti_text(const char *jti)
{
	static char text[4 * JWT_ID_MAX + 5];

	return jti[0] == '\0' ? "-" :
	    text_word(text, sizeof(text), view_of(jti));
}

/* --- the link's ops */

static void
join_message_v2(struct link *l, int opcode, unsigned char *p, size_t n)
{
	struct ws_msg m;

	if (v2_take(l, opcode, p, n, &m))
		link_fail(l, -1002, "a client sends no requests");
}

static void
join_left(struct link *l)
{
	tunnel_unserved(l->of, opt->offline_wait_s * 1000);
}

static void
join_gone(struct link *l, int code, const char *why)
{
	struct tunnel *t = l->of;

	tunnel_drop_link(t, l);
	t->closing++;
	log_event(LEVEL_INFO, "event=client-gone id=%s code=%d why=\"%s\" "
	    "requests=%lld clients=%d jti=%s", t->id, code, why,
	    l->streams.n, t->nlinks, l->jti != NULL ? jti_text(l->jti) : "-");
	streams_orphan(l, loop_is_stopping() ? reply_stopping :
	    "the tunnel client went away");
	if (!loop_is_stopping())
		tunnel_unserved(t, code == 1000 ? 0 : opt->offline_wait_s * 1000);
}

static void
join_freed(struct link *l)
{
	struct tunnel *t = l->of;

	held_link_freed(l);
	free(l->jti);
	t->closing--;
	account_return(l->account, SHARE_CONNS);
}

/* --- when the token expires */

/* When l's token expires, or expired.  The wall clock may be set: this is asked
 * anew whenever something happens on l, a ping at least. */
static long long
expiry_ms(const struct link *l)
{
	return now_ms + 1000 * min_time(l->expires - clock_wall(), FAR_S);
}

/* A v1 link stays open, since the reference's client does not survive a
 * close. */
static long long
expiry_deadline(const struct link *l)
{
	long long at = expiry_ms(l);

	if (at > now_ms || l->life == LINK_OPEN)
		return at;
	if (l->wire->leave == NULL)
		return NEVER;
	return l->streams.n == 0 ? now_ms : at + EXPIRED_GRACE_MS;
}

static void
expiry_due(struct link *l)
{
	if (l->life == LINK_OPEN)
		link_leave(l);
	else
		link_close(l, 1008, "token has expired");
}

/* --- its deadlines */

/* When it is to be pinged for its silence: where it is the only one, all wait for it in
 * any case. */
static long long
hail_at(const struct link *l)
{
	const struct tunnel *t = l->of;

	return t->nlinks > 1 ? standing_hail_at(l) : NEVER;
}

/* When a link may be asked again, the turn itself sees to it that it is. */
static long long
join_deadline(const struct link *l)
{
	return min_time(expiry_deadline(l),
	    min_time(standing_retry_at(l), hail_at(l)));
}

static void
join_expire(struct link *l)
{
	if (now_ms >= expiry_deadline(l))
		expiry_due(l);
	else if (now_ms >= hail_at(l))
		standing_hail(l);
}

static const struct link_ops join_ops_v2 = {
	.message = join_message_v2, .handled = gather_write,
	.left = join_left, .gone = join_gone, .freed = join_freed,
	.deadline = join_deadline, .expire = join_expire,
	.alone_ms = LINK_ALONE_MS,
};

static const struct link_ops join_ops_v1 = {
	.message = answer_v1, .piece = held_piece,
	.unheld = answer_v1_unheld, .handled = gather_write,
	.left = join_left, .gone = join_gone, .freed = join_freed,
	.deadline = join_deadline, .expire = join_expire,
	.alone_ms = LINK_ALONE_V1_MS,
};

/* --- the handshake */

/* Whoever dials in. */
struct newcomer {
	struct ws_offer offer;
	char from[FROM_MAX];		/* its address, for the log */
	struct jwt_claims claims;	/* of its token; sub empty: that is not good */
};

/* Completes the handshake, and closes at once: a close frame carries the reason
 * to where a person reads it. */
static void
join_refuse(struct caller *w, const struct newcomer *n, int code,
    const char *why)
{
	static const struct ws_public none;
	unsigned char space[1024], body[WS_CONTROL_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	unsigned char head[WS_FRAME_HEAD_MAX];
	size_t size = ws_close_put(body, code, why);

	ws_accept_put(&o, &n->offer, &none);
	conn_put(w->c, space, min_size(o.len, o.cap));
	conn_put(w->c, head, ws_frame_put(head, WS_CLOSE, 1, size, NULL));
	conn_put(w->c, body, size);
	log_event(LEVEL_INFO, "event=client-refused code=%d peer=%s id=%s "
	    "why=\"%s\" jti=%s", code, n->from,
	    n->claims.sub[0] != '\0' ? n->claims.sub : "\"\"", why,
	    jti_text(n->claims.jti));
	caller_part(w);
}

/* A client that comes back takes the place of its own older link at once, but
 * for one that leaves: that finishes what it has. */
static void
join_replace(struct tunnel *t, const struct ws_hello *hello)
{
	int i;

	if (!hello->has_instance)
		return;
	for (i = 0; i < t->nlinks; i++)
		if (t->link[i]->has_instance &&
		    t->link[i]->life == LINK_OPEN &&
		    memcmp(t->link[i]->instance, hello->instance, 16) == 0) {
			link_lost(t->link[i], "the client has connected anew");
			return;
		}
}

/* Keeps what the handshake settled.  Returns 0, or -1: no memory. */
static int
join_settle(struct link *l, const struct newcomer *n)
{
	const struct ws_hello *h = &n->offer.hello;

	l->expires = n->claims.exp;
	l->jti = strdup(n->claims.jti);
	if (l->jti == NULL)
		return -1;
	l->python = n->offer.python != 0;
	if (!n->offer.v2) {
		l->max_streams = V1_STREAMS;
		return held_link_begin(l);
	}
	l->max_streams = h->streams < 0 ? V2_STREAMS :
	    clamp(h->streams, 1, V2_STREAMS);
	l->window = h->window < 0 ? V2_WINDOW : clamp(h->window, 0, WINDOW_MAX);
	l->has_instance = h->has_instance != 0;
	memcpy(l->instance, h->instance, 16);
	return 0;
}

/* Puts the 101 on l.  Returns 0, or -1: no memory. */
static int
join_accept(struct link *l, const struct newcomer *n)
{
	const struct tunnel *t = l->of;
	struct http_out o = { NULL, 1024 + sizeof(struct ws_public), 0 };
	struct ws_public public;

	o.p = buf_space(&l->tx, o.cap, LINK_TX_MAX);
	if (o.p == NULL)
		return -1;
	route_public(&public, t->id,
	    n->claims.ndomains > 0 ? n->claims.domain[0] : NULL);
	public.clients = tunnel_clients(t);
	ws_accept_put(&o, &n->offer, &public);
	l->tx.len = min_size(o.len, o.cap);
	link_later(l);
	return 0;
}

/* Makes l the link of w's conn, and frees w.  Returns 0, or -1: no memory, l
 * has ended. */
static int
join_link(struct link *l, struct caller *w, struct tunnel *t,
    const struct newcomer *n)
{
	struct conn *c = w->c;
	int v2 = n->offer.v2;

	caller_free(w);
	link_begin_on(l, c, v2 ? &join_ops_v2 : &join_ops_v1,
	    v2 ? &wire_v2 : &wire_v1, t, &t->account, 0);
	conn_state(c, CONN_OPEN);
	account_take(l->account, SHARE_CONNS);
	tunnel_add_link(t, l);
	if (join_settle(l, n) == 0 && join_accept(l, n) == 0)
		return 0;
	link_lost(l, "out of memory");
	return -1;
}

static void
join(struct caller *w, struct tunnel *t, const struct newcomer *n)
{
	struct link *l = link_alloc();

	if (l == NULL || domains_take(&l->own, t->id,
	    account_octets(&t->account), &n->claims) == -1) {
		free(l);
		join_refuse(w, n, 1013, no_memory);
		return;
	}
	if (join_link(l, w, t, n) == -1)
		return;
	t->as_is = n->offer.hello.as_is;
	memcpy(t->locked, n->offer.hello.locked, sizeof(t->locked));
	tunnel_served(t);
	log_event(LEVEL_INFO, "event=client-connected id=%s peer=%s wire=v%d "
	    "clients=%d jti=%s", t->id, n->from, l->wire->version, t->nlinks,
	    jti_text(l->jti));
	notice_joined(t, l);
	tunnel_dispatch(t);
	link_input(l);
}

/* Why id cannot have that domain, or NULL. */
static const char *
domain_fault(const char *id, const char *domain)
{
	const char *holder = domain_id(view_of(domain));

	if (opt->ndomains == 0)
		return "this server takes no domains from tokens (it has no "
		    "PIPEGATE_DOMAIN)";
	if (!domain_may_be_own(domain))
		return "the token has a domain that is no DNS name, of two labels "
		    "or more in lower case";
	if (route_is_ours(view_of(domain)))
		return "the token has a domain of the server's own";
	if (holder != NULL && strcmp(holder, id) != 0)
		return "another id has this domain: end its client first, or "
		    "mint a token without it";
	return NULL;
}

/* The same of all that c claims: words that are good until the next call.  The domain
 * comes last, since a close frame has no room for a long one. */
static const char *
join_domains_fault(const struct jwt_claims *c)
{
	static char why[WS_CONTROL_MAX];
	char name[WS_CONTROL_MAX];
	const char *fault;
	int i;

	for (i = 0; i < c->ndomains; i++) {
		fault = domain_fault(c->sub, c->domain[i]);
		if (fault == NULL)
			continue;
		text_put(why, sizeof(why), "%s: %s", fault,
		    text_safe(name, sizeof(name), view_of(c->domain[i])));
		return why;
	}
	return NULL;
}

/* Whether a client with another lock serves t: requests would come to either, so that
 * the one without a lock, or with an old one, opened the door of both. */
static int
join_is_locked_out(const struct tunnel *t, const struct ws_hello *hello)
{
	return tunnel_is_served(t) && strcmp(t->locked, hello->locked) != 0;
}

static void
join_verified(struct caller *w, const struct newcomer *n)
{
	const char *fault = join_domains_fault(&n->claims);
	struct tunnel *t = fault != NULL ? NULL :
	    tunnel_make(view_of(n->claims.sub));

	if (fault != NULL) {
		join_refuse(w, n, 1008, fault);
		return;
	}
	if (t == NULL) {
		join_refuse(w, n, 1013, no_memory);
		return;
	}
	if (join_is_locked_out(t, &n->offer.hello)) {
		join_refuse(w, n, 1008, "another client of this id has another "
		    "lock (--auth, --allow): give both the same, or end it "
		    "first");
		return;
	}
	join_replace(t, &n->offer.hello);
	if (!tunnel_takes_link(t)) {
		join_refuse(w, n, 1013, "too many clients for this id");
		return;
	}
	join(w, t, n);
}

/* Why nobody may come there with that token, or NULL.  c has what it says, if it is
 * good. */
static const char *
join_token_fault(struct jwt_claims *c, struct view token,
    const struct route *to)
{
	const char *why = token.n == 0 ? "token is missing" :
	    jwt_verify(c, token, &opt->key, clock_wall());

	if (why != NULL) {
		c->sub[0] = c->jti[0] = '\0';
		return why;
	}
	if (revoked_has(c->sub, c->jti))
		return token_revoked;
	if (to->leads == HTTP_ROUTE_REDIRECT && !http_equal(to->id, c->sub))
		return "token is for another id than the URL";
	return NULL;
}

void
caller_upgrade(struct caller *w, const struct asked *q,
    const struct route *to)
{
	struct newcomer n;
	int r = ws_offer_read(&n.offer, q->h);
	const char *why = r < 0 ? NULL :
	    join_token_fault(&n.claims, n.offer.token, to);

	text_put(n.from, sizeof(n.from), "%s", caller_from(w, q->h));
	caller_eat(w, q->h);
	if (r < 0)
		caller_no_handshake(w, q, -r);
	else if (why != NULL)
		join_refuse(w, &n, 1008, why);
	else
		join_verified(w, &n);
}

void
links_revoke(void)
{
	const struct tunnel *t;
	struct link *l, *next;

	for (l = link_first(); l != NULL; l = next) {
		next = link_next(l);
		t = l->of;
		if (revoked_has(t->id, l->jti))
			link_close(l, 1008, token_revoked);
	}
}

void
links_stop(void)
{
	struct link *l, *next;

	for (l = link_first(); l != NULL; l = next) {
		next = link_next(l);
		link_close(l, 1001, reply_stopping);
	}
}
