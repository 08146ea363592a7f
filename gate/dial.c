#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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
#include "gate/from_link.h"
#include "gate/v2.h"
#include "gate/held.h"
#include "gate/person.h"
#include "gate/lasting.h"
#include "gate/lock.h"
#include "gate/origin.h"
#include "gate/v1_request.h"
#include "gate/v2_request.h"
#include "gate/dial.h"

#define DIAL_MS 15000
#define DIAL_AGAIN_MS 3000		/* the same, once the token was refused as Bearer */
#define BACKOFF_MAX_MS 60000
#define STEADY_MS 60000			/* a link that stood so long resets the back-off */
#define REFUSAL_MS 10000		/* a 1008 within this time refuses the client */
#define TOLD_MS 500			/* the server has refused the token by then, or takes it */
#define DRAIN_MS 10000
#define LEAVE_MS 2000			/* for the server to answer leave */
#define LEAVE_TOKEN_S 60		/* a token that ends sooner is not dialled with again */

static int exit_status;

static const char token_refused[] = "it does not accept the token (missing, "
    "expired, or made with another secret?).  An older Python server wants one "
    "of `pipegate token --bare`, and perhaps ws://HOST/ID as SERVER_URL";

static struct uplink *
uplink_of(const struct link *l)
{
	return CONTAINER(l->of, struct uplink, target);
}

/* --- dialling again */

/* Ends the client: the server refuses it, and will again. */
static void
uplink_give_up(const char *why)
{
	warn("the server refused this client: %s", why);
	exit_status = 1;
	loop_stop();
}

/* 1, 2, 4 ... 60 s, each multiplied by 0.5 to 1 at random. */
static long long
backoff_ms(int failures)
{
	long long span = min_time(1000LL << (failures < 6 ? failures : 6),
	    BACKOFF_MAX_MS);
	unsigned int r;

	random_bytes(&r, sizeof(r));
	return span / 2 + (long long)(r % (unsigned int)(span / 2 + 1));
}

/* How long to wait before the next dial, which counts as one that failed until a
 * link has stood for a while. */
static long long
redial_wait_ms(struct uplink *u)
{
	return backoff_ms(u->failures < 16 ? u->failures++ : u->failures);
}

static void
uplink_redial(struct uplink *u, const char *why)
{
	long long ms;

	if (loop_is_stopping() || u->close_code != 0)
		return;
	if (u->refused) {
		uplink_give_up(token_refused);
		return;
	}
	helper_end(u->helper);
	ms = redial_wait_ms(u);
	person_note("%s; trying again in %lld.%lld s", why, ms / 1000,
	    ms % 1000 / 100);
	timer_set(&u->redial, now_ms + ms);
}

/* The outcome of dialling is known, and is no link. */
static void
dial_over(struct uplink *u, struct conn *c)
{
	u->dialling = NULL;
	conn_kill(c);
}

static void
dial_failed(struct uplink *u, struct conn *c, const char *why)
{
	dial_over(u, c);
	uplink_redial(u, why);
}

/* --- the link */

static struct helper *
helper_other(struct uplink *u)
{
	return &u->helpers[u->helper == &u->helpers[0]];
}

/* Whether the token is good for another link, on a server whose clock may be
 * ahead. */
static int
token_lasts(const struct uplink *u)
{
	struct jwt_claims claims;

	return jwt_peek(&claims, view_of(u->token)) == -1 ||
	    claims.exp - clock_wall() > LEAVE_TOKEN_S;
}

/* Whether the link has stood so long that it counts as no failure. */
static void
dial_steady(struct uplink *u)
{
	if (now_ms - u->up_ms >= STEADY_MS)
		u->failures = 0;
}

/* The older link is no more, and its helper with it. */
static void
dial_forget_leaving(struct uplink *u)
{
	u->leaving = NULL;
	helper_end(helper_other(u));
}

/* The link finishes what it has, and another is dialled meanwhile: at once, but
 * for a server that asks for it over and over. */
static void
dial_left(struct link *l)
{
	struct uplink *u = uplink_of(l);
	long long wait_ms = 0;

	if (u->link != l || u->close_code != 0 || !token_lasts(u))
		return;
	if (u->leaving != NULL) {
		link_lost(u->leaving, "another link is leaving");
		dial_forget_leaving(u);
	}
	dial_steady(u);
	if (u->failures > 0)
		wait_ms = redial_wait_ms(u);
	else
		u->failures = 1;
	u->leaving = l;
	u->link = NULL;
	u->helper = helper_other(u);
	person_note("the server asks for a new connection");
	timer_set(&u->redial, now_ms + wait_ms);
}

static void
dial_freed(struct link *l)
{
	struct uplink *u = uplink_of(l);

	if (u->leaving == l)
		dial_forget_leaving(u);
}

static void
dial_gone(struct link *l, int code, const char *why)
{
	struct uplink *u = uplink_of(l);
	char text[512];

	streams_orphan(l, "the link to the server broke");
	if (u->link != l)
		return;
	u->link = NULL;
	if (l->close_code == 1008 && now_ms - u->up_ms < REFUSAL_MS) {
		helper_end(u->helper);
		uplink_give_up(why);
		return;
	}
	dial_steady(u);
	snprintf(text, sizeof(text), "disconnected: %s", why[0] != '\0' ? why :
	    code == 1001 ? "the server is going away" : "the link was closed");
	uplink_redial(u, text);
}

/* The count called name in note, or 0. */
static long long
note_count(const struct json *note, const char *name)
{
	struct json value;
	long long n;

	return json_find(note, name, &value) == 1 &&
	    json_integer(&value, &n) == 0 && n > 0 ? n : 0;
}

static void
dial_note(struct link *l, struct view text)
{
	unsigned char space[256];
	struct view why = { space, 0 };
	struct json note, value;
	long long refused, clients;
	long n;

	(void)l;
	must(json_parse(&note, text.p, text.n) == 0);	/* v2_take() has seen to it */
	refused = note_count(&note, "refused");
	clients = note_count(&note, "clients");
	if (clients > 1)
		person_shared(clients);
	if (refused == 0)
		return;
	if (json_find(&note, "why", &value) == 1 &&
	    (n = json_string(&value, space, sizeof(space))) > 0)
		why.n = (size_t)n;
	person_refused(refused, why);
}

static const struct link_ops dial_ops_v2 = {
	.message = request_v2, .handled = gather_write, .note = dial_note,
	.left = dial_left, .gone = dial_gone, .freed = dial_freed,
	.alone_ms = LINK_ALONE_MS,
};

static const struct link_ops dial_ops_v1 = {
	.message = request_v1, .piece = held_piece,
	.unheld = request_v1_unheld, .handled = gather_write,
	.left = dial_left, .gone = dial_gone, .freed = held_link_freed,
	.alone_ms = LINK_ALONE_V1_MS,
};

static void
dial_accepted(struct uplink *u, struct conn *c, int v2,
    const struct ws_public *public)
{
	struct link *l = u->reserved;

	u->reserved = NULL;
	link_begin_on(l, c, v2 ? &dial_ops_v2 : &dial_ops_v1,
	    v2 ? &wire_v2 : &wire_v1, &u->target, &u->target.account, 1);
	conn_state(c, CONN_OPEN);
	u->dialling = NULL;
	u->link = l;
	u->up_ms = now_ms;
	u->is_told = 0;
	u->refused = 0;
	u->public = *public;
	u->target.host = u->public.host;
	l->max_streams = u->dial.streams;
	l->offer = l->offer_max = u->dial.window;
	if (!v2 && held_link_begin(l) == -1) {
		link_lost(l, "out of memory");
		return;
	}
	if (l->wire->flows)
		link_ping(l);	/* a pong says that the server has taken us */
	link_later(l);
	link_input(l);
}

/* --- the handshake */

/* Ends the client, which asks for what that server cannot do. */
static void
dial_unfit(struct uplink *u, struct conn *c, const char *why)
{
	dial_over(u, c);
	warn("%s", why);
	exit_status = 1;
	loop_stop();
}

/* Dials once more, with the token in the query: the reference looks for it only
 * there. */
static void
dial_by_query(struct uplink *u, struct conn *c)
{
	u->dial.in_query = 1;
	u->refused = 1;
	dial_over(u, c);
	helper_end(u->helper);
	timer_set(&u->redial, now_ms);
}

/* The server answered with a status other than 101, or with what is no answer:
 * why, or NULL. */
static void
dial_refused(struct uplink *u, struct conn *c, int status, const char *why)
{
	char text[512];
	int refused = status == 401 || status == 403;

	if (refused && !u->dial.in_query) {
		dial_by_query(u, c);
		return;
	}
	if (refused) {
		dial_over(u, c);
		uplink_give_up(token_refused);
		return;
	}
	if (status == 502 && why != NULL)
		snprintf(text, sizeof(text), "%s does not answer as a pipegate "
		    "server: %s", u->host, why);
	else
		snprintf(text, sizeof(text), "%s answered %d %s instead of "
		    "opening a tunnel%s", u->host, status,
		    http_reason(status), status < 400 || status == 404 ?
		    " (SERVER_URL usually ends in a slash)" : "");
	dial_failed(u, c, text);
}

static void
dial_answer(struct uplink *u, struct conn *c)
{
	struct ws_hello hello;
	struct http_head h;
	const char *why = NULL;
	struct view in = buf_view(&c->rx);
	int v2 = 0, r = http_answer_parse(&h, in.p, in.n, &c->scanned,
	    view_of("GET"));

	if (r == 0)
		return;
	if (r < 0) {
		dial_refused(u, c, 502, "not HTTP");
		return;
	}
	c->scanned = 0;
	buf_consume(&c->rx, (size_t)r);
	r = ws_answer_check(&h, &u->dial, &v2, &hello, &why);
	if (r < 0)
		dial_refused(u, c, -r, why);
	else if (!v2 && opt->nallow > 0)
		dial_unfit(u, c, "--allow cannot be had of this server: it speaks "
		    "the wire v1, over which callers can claim to have any "
		    "address");
	else
		dial_accepted(u, c, v2, &hello.public);
}

/* The connection ended before the server's answer.  What the helper said is a
 * better reason than why. */
static void
dial_ended(struct conn *c, const char *why)
{
	struct uplink *u = c->of;
	const char *said = helper_said(u->helper);
	char text[1024];

	snprintf(text, sizeof(text), "cannot connect to %s: %s%s", u->host,
	    said != NULL ? said : why,
	    u->tls || opt->connect_command != NULL ? "" : " (is it wss://?)");
	dial_failed(u, c, text);
}

static void
dial_send(struct uplink *u, struct conn *c)
{
	unsigned char space[JWT_SIZE_MAX + 4096];
	struct http_out o = { space, sizeof(space), 0 };

	conn_state(c, CONN_HANDSHAKE);
	random_bytes(u->dial.nonce, sizeof(u->dial.nonce));
	ws_dial_put(&o, &u->dial);
	conn_put(c, space, min_size(o.len, o.cap));
	hmac_wipe(space, sizeof(space));
}

static const struct kind dial_kind;

/* Dials on fd, which is closed if that cannot be.  The link's memory is had
 * first, and that for what is read: what the server sends once it has said yes
 * is not to be lost.  Returns 0, or -1: no memory. */
static int
dial_on(struct uplink *u, int fd)
{
	if (u->reserved == NULL)
		u->reserved = link_alloc();
	if (u->reserved == NULL) {
		close(fd);
		return -1;
	}
	u->dialling = conn_new(&dial_kind, u, fd, CONN_CONNECT);
	if (u->dialling == NULL)
		return -1;
	if (buf_space(&u->dialling->rx, MEM_BLOCK, MEM_LARGE) == NULL) {
		dial_over(u, u->dialling);
		return -1;
	}
	return 0;
}

/* Tries the next address of the server; why: how the last one failed. */
static void
dial_next(struct uplink *u, const char *why)
{
	char text[1024];

	while (u->address < u->server.n && u->close_code == 0) {
		int fd = endpoint_connect(&u->server, u->address++);

		if (fd == -1)
			why = strerror(errno);
		else if (dial_on(u, fd) == 0)
			return;
		else
			why = "out of memory";
	}
	snprintf(text, sizeof(text), "cannot connect to %s: %s", u->host, why);
	uplink_redial(u, text);
}

static void
dial_connected(struct uplink *u, struct conn *c)
{
	int err = socket_error(c->watch.fd);

	if (err == 0) {
		dial_send(u, c);
		return;
	}
	dial_over(u, c);
	dial_next(u, strerror(err));
}

static void
dial_ready(struct conn *c, short revents)
{
	struct uplink *u = c->of;
	enum io io;
	int err;

	if (c->state == CONN_CONNECT) {
		dial_connected(u, c);
		return;
	}
	if (revents & POLLOUT)
		conn_flush_later(c);
	if (!(revents & ~POLLOUT))
		return;
	io = conn_fill(c, MEM_LARGE);
	err = errno;
	if (io == IO_DATA)
		dial_answer(u, c);
	else if (io == IO_EOF)
		dial_ended(c, "the connection was closed");
	else if (io == IO_NO_ROOM)
		dial_ended(c, "out of memory");
	else if (io == IO_ERROR)
		dial_ended(c, strerror(err));
}

static short
dial_events(const struct conn *c)
{
	return (short)(c->state == CONN_CONNECT ? POLLOUT :
	    POLLIN | (c->tx.len > 0 ? POLLOUT : 0));
}

static long long
dial_deadline(const struct conn *c)
{
	const struct uplink *u = c->of;

	return c->since_ms + (u->refused ? DIAL_AGAIN_MS : DIAL_MS);
}

static void
dial_expire(struct conn *c)
{
	if (c->state != CONN_CONNECT) {
		dial_ended(c, "no answer to the handshake");
		return;
	}
	dial_over(c->of, c);
	dial_next(c->of, "no answer");
}

static void
dial_broken(struct conn *c)
{
	dial_ended(c, "the connection broke");
}

/* What died without an outcome could not even be asked. */
static void
dial_buried(struct conn *c)
{
	struct uplink *u = c->of;

	if (u->dialling != c)
		return;
	u->dialling = NULL;
	uplink_redial(u, "out of memory");
}

static const struct kind dial_kind = {
	.name = "dial", .ready = dial_ready, .broken = dial_broken,
	.gone = dial_buried, .events = dial_events, .deadline = dial_deadline,
	.expire = dial_expire,
};

/* --- dialling */

static void
server_looked_up(void *of, const char *error)
{
	struct uplink *u = of;
	char text[512];

	if (error == NULL) {
		u->address = 0;
		dial_next(u, "no address");
		return;
	}
	snprintf(text, sizeof(text), "cannot look up %s: %s", u->server.host,
	    error);
	uplink_redial(u, text);
}

static void
dial_by_helper(struct uplink *u)
{
	const char *why;
	int fd = helper_start(u->helper, &u->server, opt->connect_command,
	    &why);

	if (fd == -1)
		uplink_redial(u, why);
	else if (dial_on(u, fd) == -1)
		uplink_redial(u, "out of memory");
	else
		dial_send(u, u->dialling);
}

static void
uplink_dial(struct uplink *u)
{
	log_event(LEVEL_DEBUG, "event=dial host=%s port=%s", u->server.host,
	    u->server.port);
	if (u->tls || opt->connect_command != NULL)
		dial_by_helper(u);
	else if (lookup_start(&u->lookup, &u->server, server_looked_up, u) == -1)
		uplink_redial(u, "cannot start the look-up");
}

static void
redial_due(struct timer *t)
{
	uplink_dial(CONTAINER(t, struct uplink, redial));
}

static void
target_first_looked_up(void *of, const char *error)
{
	struct uplink *u = of;

	if (error != NULL)
		person_note("cannot look up %s: %s", u->target.at.host, error);
	else if (target_is_deserted(&u->target))
		person_note("nothing listens at %s yet: callers get 504 until "
		    "something does", u->target.url);
	uplink_dial(u);
}

/* The id that the token is for, as far as can be seen. */
static const char *
uplink_id(const struct uplink *u)
{
	static struct jwt_claims claims;

	return jwt_peek(&claims, view_of(u->token)) == 0 ? claims.sub :
	    "pipegate";
}

static void
uplink_prepare(struct uplink *u)
{
	struct rlimit rl = { 1024, 1024 };

	u->helper = &u->helpers[0];
	getrlimit(RLIMIT_NOFILE, &rl);
	random_bytes(u->dial.instance, sizeof(u->dial.instance));
	ws_uuid_make(u->dial.instance);
	u->dial.host = view_of(u->host);
	u->dial.path = view_of(u->path);
	u->dial.token = view_of(u->token);
	u->dial.in_query = u->token_in_query;
	u->dial.streams = clamp((long long)min_size((size_t)rl.rlim_cur, 4096) / 2,
	    1, V2_STREAMS);
	u->dial.window = window_first(0, budget_free(), 0);
	u->dial.as_is = opt->as_is;
	lock_make(uplink_id(u));
	snprintf(u->dial.locked, sizeof(u->dial.locked), "%s", lock_digest());
}

void
uplink_start(struct uplink *u)
{
	if (timer_init(&u->redial, redial_due) == -1 || lasting_start() == -1)
		die("no memory to start");
	uplink_prepare(u);
	person_note("connecting to %s", u->host);
	if (target_look_up(&u->target, target_first_looked_up, u) == -1)
		target_first_looked_up(u, strerror(errno));
}

/* --- telling */

static void
uplink_tell_first(struct uplink *u)
{
	char urls[URLS_PUBLIC_MAX][URL_PUBLIC_MAX];
	struct jwt_claims claims;
	int i, n;

	u->url_is_told = 1;
	person_note("connected");
	if (jwt_peek(&claims, view_of(u->token)) == -1)
		return;
	u->warned_expiry = token_ends_soon(claims.exp) != 0;
	n = uplink_urls(u, urls, claims.sub);
	person_connected(urls[0], u->target.url, u->link->wire->version);
	for (i = 1; i < n; i++)
		person_url(urls[i]);
	if (opt->auth != NULL && u->public.host[0] == '\0' &&
	    u->public.domain[0] == '\0')
		person_note("--auth by path: to browsers all tunnels of this server "
		    "are one place, so another one can have them send it the "
		    "password; give each a host of its own (PIPEGATE_DOMAIN)");
	person_expiry(claims.exp);
}

static void
uplink_tell(struct uplink *u)
{
	u->is_told = 1;
	if (u->url_is_told)
		person_note("connected again");
	else
		uplink_tell_first(u);
	if (u->public.clients > 1)
		person_shared(u->public.clients);
}

void
uplink_second(struct uplink *u)
{
	struct jwt_claims claims;

	if (u->warned_expiry || !u->url_is_told ||
	    jwt_peek(&claims, view_of(u->token)) == -1 ||
	    !token_ends_soon(claims.exp))
		return;
	u->warned_expiry = 1;
	person_expiry(claims.exp);
}

/* --- ending */

void
uplink_drain(struct uplink *u)
{
	struct link *l = u->link;

	u->close_code = 1001;
	u->drain_ms = now_ms + DRAIN_MS;
	timer_set(&u->redial, NEVER);
	if (u->dialling != NULL)
		dial_over(u, u->dialling);
	if (l == NULL)
		return;
	if (l->streams.n > 0)
		person_note("finishing %lld request%s; once more to stop at "
		    "once", l->streams.n, l->streams.n == 1 ? "" : "s");
	link_leave(l);
}

void
uplink_end(struct uplink *u, int close_code)
{
	u->close_code = close_code;
	loop_stop();
	if (u->link != NULL)
		link_close(u->link, close_code, "");
	if (u->leaving != NULL)
		link_close(u->leaving, close_code, "");
}

/* Whether the server sends no more requests: it has said so, or has had the
 * time to.  v1 knows no leave. */
static int
server_has_left(const struct uplink *u)
{
	const struct link *l = u->link;

	return l->peer_left || l->wire->leave == NULL ||
	    now_ms >= u->drain_ms - DRAIN_MS + LEAVE_MS;
}

/* Whether nothing is at work on l, which may be NULL. */
static int
link_is_idle(const struct link *l)
{
	return l == NULL || (l->streams.n == 0 && l->tx.len == 0);
}

static int
uplink_has_drained(const struct uplink *u)
{
	return now_ms >= u->drain_ms || (link_is_idle(u->leaving) &&
	    link_is_idle(u->link) &&
	    (u->link == NULL || server_has_left(u)));
}

/* Whether the server takes the client: one that refuses the token says so behind
 * its 101. */
static int
uplink_is_accepted(const struct uplink *u)
{
	return !u->link->wire->flows || u->link->path.samples > 0 ||
	    now_ms - u->up_ms >= TOLD_MS;
}

void
uplink_settle(struct uplink *u)
{
	if (u->link != NULL && !u->is_told && uplink_is_accepted(u))
		uplink_tell(u);
	if (u->leaving != NULL && link_is_live(u->leaving) &&
	    link_is_idle(u->leaving))
		link_close(u->leaving, 1001, "");
	if (u->drain_ms > 0 && !loop_is_stopping() && uplink_has_drained(u))
		uplink_end(u, u->close_code);
}

int
uplink_finish(struct uplink *u)
{
	helper_end(&u->helpers[0]);
	helper_end(&u->helpers[1]);
	free(u->reserved);
	return exit_status;
}
