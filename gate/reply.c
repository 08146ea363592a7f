#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/settings.h"
#include "gate/stream.h"
#include "gate/reply.h"

static const char allow_all[] =
    "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

#define OFFLINE_REFRESH_S 5

const char reply_no_memory[] =
    "the server is short of memory: try again";
const char reply_nobody[] = "no client is connected for this id";
const char reply_stopping[] = "the server is stopping";

const struct asked asked_nothing = { NULL, { NULL, 0 } };

static struct list rows[ROWS];

struct caller *
caller_new(const struct addr *peer)
{
	char ip[INET6_ADDRSTRLEN];
	const char *text = addr_text(peer, ip);
	size_t n = strlen(text) + 1;
	struct caller *w = calloc(1, sizeof(*w) + n);

	if (w == NULL)
		return NULL;
	memcpy(w->peer, text, n);
	w->trusted = peer_is_trusted(peer) && !opt->proxy_protocol;
	w->addressed = peer->family != 0;
	w->https = opt->https != 0;
	w->account = &account_nobody;
	w->counted = SHARE_IDLE;
	account_take(w->account, w->counted);
	return w;
}

void
caller_begin(const struct kind *kind, int fd, const struct addr *peer,
    int tunnel_only)
{
	struct caller *w = caller_new(peer);

	if (w == NULL) {
		close(fd);
		return;
	}
	w->c = conn_new(kind, w, fd, CONN_HEAD);
	if (w->c == NULL) {
		caller_free(w);
		return;
	}
	conn_count_in(w->c, account_octets(&account_nobody));
	w->tunnel_only = tunnel_only != 0;
	caller_stand(w, ROW_FRESH);
}

void
caller_count_in(struct caller *w, struct account *a, enum share as)
{
	account_return(w->account, w->counted);
	w->account = a;
	w->counted = (unsigned int)as & 3;
	account_take(a, as);
}

int
caller_stands(const struct caller *w, enum row row)
{
	return w->place.in == &rows[row];
}

void
caller_stand(struct caller *w, enum row row)
{
	if (caller_stands(w, row))
		return;
	list_leave(&w->place);
	list_add(&rows[row], &w->place, w);
}

struct caller *
caller_first(enum row row)
{
	return list_first(&rows[row]);
}

const struct list *
caller_row(enum row row)
{
	return &rows[row];
}

void
caller_part(struct caller *w)
{
	caller_unlist(w);
	if (w->c->tx.len == 0 ||
	    w->c->tx.sum == account_octets(&account_nobody)) {
		caller_count_in(w, w->account, SHARE_IDLE);
		caller_stand(w, ROW_PARTING);
	}
	conn_linger(w->c);
}

void
caller_free(struct caller *w)
{
	must(w->stream == NULL);
	caller_unlist(w);
	account_return(w->account, w->counted);
	free(w);
}

void
caller_unlist(struct caller *w)
{
	list_leave(&w->place);
}

const char *
caller_from(const struct caller *w, const struct http_head *h)
{
	static char from[FROM_MAX];
	struct text t = { from, sizeof(from), 0 };
	struct view seen;

	if (!w->trusted || h == NULL || (seen = http_seen(h)).n == 0)
		return w->peer;
	text_add_view(&t, seen);
	from[t.len] = '\0';
	return from;
}

void
caller_name(struct stream *s, const struct caller *w,
    const struct http_head *h)
{
	const char *from;

	if (!log_has_level(LEVEL_INFO))
		return;
	stream_label(s->label, "%s %s", h->method, h->path);
	from = caller_from(w, h);
	if (from != w->peer)
		text_put(s->from, sizeof(s->from), "%s", from);
}

void
caller_note(struct caller *w, const struct http_head *h)
{
	w->minor = h->minor > 0;
	w->head_only = http_equal(h->method, "HEAD") != 0;
	w->gets = w->head_only || http_equal(h->method, "GET");
	w->html = http_prefers_html(h->field, h->nfields) != 0;
	w->keep_alive = h->keep_alive && !loop_is_stopping();
	w->served = 1;
}

void
caller_note_nothing(struct caller *w)
{
	w->minor = 1;
	w->keep_alive = w->head_only = w->html = w->gets = 0;
}

void
caller_drop_head(struct caller *w)
{
	buf_consume(&w->c->rx, w->head_size);
	w->head_size = 0;
}

void
caller_eat(struct caller *w, const struct http_head *h)
{
	if (h->framing != HTTP_NO_BODY)
		w->keep_alive = 0;
	caller_drop_head(w);
}

void
caller_answer_begins(struct caller *w)
{
	w->unsent = (unsigned int)w->c->tx.len;
	w->answer_out = 0;
}

void
caller_took(struct caller *w, size_t n)
{
	if (n > w->unsent)
		w->answer_out = 1;
	w->unsent -= (unsigned int)min_size(n, w->unsent);
}

int
caller_answer_undo(struct caller *w)
{
	if (w->answer_out || conn_is_dead(w->c))
		return 0;
	chain_cut(&w->c->tx, w->unsent);
	conn_guard(w->c, 0);
	return 1;
}

void
caller_rest(struct caller *w)
{
	struct conn *c = w->c;
	enum row row = c->rx.len > 0 ? ROW_HEADS :
	    w->served ? ROW_IDLE : ROW_FRESH;

	buf_fit(&c->rx);
	conn_count_in(c, account_octets(&account_nobody));
	caller_count_in(w, w->account, SHARE_IDLE);
	caller_stand(w, row);
}

void
caller_next(struct caller *w)
{
	if (conn_is_dead(w->c))
		return;
	if (w->c->rx.len > 0)
		caller_stand(w, ROW_NEXT);
	else
		caller_rest(w);
}

void
caller_answered(struct caller *w)
{
	struct conn *c = w->c;

	w->back_ms = 0;
	w->resent = 0;
	if (conn_is_dead(c))
		return;
	if (!w->keep_alive) {
		caller_part(w);
		return;
	}
	if (c->state == CONN_STREAM)
		conn_state(c, CONN_HEAD);
	if (c->tx.len == 0)
		caller_next(w);
}

/* --- errors */

/* Answers with e, which has status and detail, and allow where that is not the usual;
 * the rest is filled in here. */
static void
caller_refuse_with(struct caller *w, struct http_error *e)
{
	static unsigned char space[4096 + OFFLINE_PAGE_MAX];
	struct http_out o = { space, sizeof(space), 0 };

	if (e->status == 503)
		e->retry_after_s = 5;
	if (e->status == 429)
		e->retry_after_s = 1;
	if (e->status == 405 && e->allow == NULL)
		e->allow = allow_all;
	e->html = w->html;
	e->head_only = w->head_only;
	e->keep_alive = w->keep_alive;
	e->minor = w->minor;
	e->date = clock_wall();
	http_error_put(&o, e);
	conn_put(w->c, space, min_size(o.len, o.cap));
	caller_answered(w);
}

static void
asked_journal(const struct asked *q, const struct caller *w,
    const struct http_error *e)
{
	char label[LABEL_MAX];
	struct entry line = { .refused = 1, .status = e->status, .id = q->id,
	    .label = label, .why = e->detail };

	if (!log_has_level(LEVEL_INFO))
		return;
	line.peer = caller_from(w, q->h);
	label[0] = '\0';
	if (q->h != NULL && q->h->method.n > 0)
		stream_label(label, "%s %s", q->h->method, q->h->path);
	journal_put(&line);
}

static void
asked_error_put(struct caller *w, const struct asked *q, struct http_error *e)
{
	asked_journal(q, w, e);
	caller_refuse_with(w, e);
}

void
caller_error(struct caller *w, const struct asked *q, int status,
    const char *detail)
{
	struct http_error e = { .status = status, .detail = detail };

	asked_error_put(w, q, &e);
}

void
caller_no_handshake(struct caller *w, const struct asked *q, int status)
{
	w->keep_alive = 0;
	caller_error(w, q, status, status == 426 ?
	    "tunnels are under /{id}/ here, and their clients connect with "
	    "a WebSocket (version 13)" :
	    "malformed WebSocket handshake");
}

static void
stream_line(const struct stream *s, const struct caller *w, const char *id,
    enum ender by, const char *why, int refused)
{
	struct entry line = { .refused = refused, .status = s->status,
	    .peer = s->from[0] != '\0' ? s->from : w->peer,
	    .id = view_of(id), .label = s->label, .s = s, .by = by, .why = why };

	journal_put(&line);
}

void
stream_journal(const struct stream *s, const struct caller *w, const char *id,
    enum ender by, const char *why)
{
	stream_line(s, w, id, by, why, 0);
}

static void
stream_error_put(const struct stream *s, struct caller *w, const char *id,
    enum ender by, const struct http_error *e)
{
	struct http_error said = *e;
	char hex[32];

	stream_line(s, w, id, by, e->detail, 1);
	ws_hex_put(hex, s->id);
	said.correlation_id.p = (const unsigned char *)hex;
	said.correlation_id.n = sizeof(hex);
	caller_refuse_with(w, &said);
}

void
stream_error(const struct stream *s, struct caller *w, const char *id,
    enum ender by, const char *detail)
{
	struct http_error e = { .status = s->status, .detail = detail };

	stream_error_put(s, w, id, by, &e);
}

/* Whoever sees this page may be the one who can start the client. */
static struct http_error
error_offline(const struct caller *w, struct view id)
{
	static char advice[JWT_SUB_MAX + 256];
	struct http_error e = { .status = 503, .detail = reply_nobody };

	snprintf(advice, sizeof(advice), "If \"%.*s\" is yours, start its client: "
	    "pipegate client TARGET_URL SERVER_URL.%s", (int)id.n,
	    (const char *)id.p, w->gets ? "  This page then loads by itself." : "");
	e.advice = advice;
	e.page = opt->offline_page;
	e.refresh_s = w->gets ? OFFLINE_REFRESH_S : 0;
	return e;
}

void
caller_offline(struct caller *w, const struct asked *q)
{
	struct http_error e = error_offline(w, q->id);

	asked_error_put(w, q, &e);
}

void
stream_offline(const struct stream *s, struct caller *w, const char *id)
{
	struct http_error e = error_offline(w, view_of(id));

	stream_error_put(s, w, id, BY_SERVER, &e);
}

void
caller_left_tunnel(struct caller *w, const struct asked *q, struct view page)
{
	static char advice[2 * JWT_SUB_MAX + 256];
	struct http_error e = error_offline(w, q->id);

	snprintf(advice, sizeof(advice), "A page of \"%.*s\" led to \"%.*s\" by an "
	    "absolute link, which leaves its tunnel.  If that is yours, see that "
	    "its client runs, without --no-rewrite; or use a host name of its "
	    "own.", (int)page.n, (const char *)page.p, (int)q->id.n,
	    (const char *)q->id.p);
	e.advice = advice;
	asked_error_put(w, q, &e);
}

const char *
reply_too_big(void)
{
	static char why[128];

	snprintf(why, sizeof(why), "the body exceeds %lld bytes, the limit "
	    "of PIPEGATE_MAX_BODY_BYTES", opt->max_body);
	return why;
}

/* Answers with the fields f[0..n) and a short body. */
static void
caller_answer(struct caller *w, int status, const struct http_field *f,
    size_t n, const char *body)
{
	unsigned char space[HTTP_TARGET_MAX + JWT_SUB_MAX + 1024];
	struct http_out o = { space, sizeof(space), 0 };
	struct http_answer_shape shape;
	struct http_head h = { .status = status, .nfields = n };

	memcpy(h.field, f, n * sizeof(*f));
	memset(&shape, 0, sizeof(shape));
	shape.framing = w->head_only || status == 204 ? HTTP_NO_BODY : HTTP_LENGTH;
	shape.minor = w->minor;
	shape.keep_alive = w->keep_alive;
	shape.date = clock_wall();
	http_answer_put(&o, &shape, &h);
	if (!w->head_only)
		http_put(&o, body);
	conn_put(w->c, space, min_size(o.len, o.cap));
	caller_answered(w);
}

void
caller_health(struct caller *w, const struct asked *q)
{
	static const char body[] = "{\"status\":\"ok\"}";
	struct http_field f[2];
	struct http_error e = { .status = 405, .allow = "GET, HEAD",
	    .detail = "/healthz answers GET and HEAD only" };

	if (!http_equal(q->h->method, "GET") && !w->head_only) {
		asked_error_put(w, q, &e);
		return;
	}
	f[0] = field_of("content-type", "application/json");
	f[1] = field_of("content-length", "15");
	caller_answer(w, 200, f, 2, body);
}

/* Redirects to /id and target, with those fields more. */
static void
caller_redirect_to(struct caller *w, struct view id, const char *slash,
    struct view target, const struct http_field *more, size_t n)
{
	char to[HTTP_TARGET_MAX + JWT_SUB_MAX + 8];
	struct http_field f[4];

	snprintf(to, sizeof(to), "/%.*s%s%.*s", (int)id.n, (const char *)id.p,
	    slash, (int)target.n, (const char *)target.p);
	f[0].name = view_of("location");
	f[0].value = view_of(to);
	f[1] = field_of("content-length", "0");
	must(n + 2 <= ARRAY_LEN(f));
	memcpy(f + 2, more, n * sizeof(*f));
	caller_answer(w, 307, f, n + 2, "");
}

void
caller_redirect(struct caller *w, struct view id, struct view query)
{
	static const struct http_field none;

	caller_redirect_to(w, id, "/", query, &none, 0);
}

void
caller_send_back(struct caller *w, struct view id, struct view target)
{
	struct http_field f[2];

	f[0] = field_of("cache-control", "no-store");
	f[1] = field_of("vary", "Referer, Cookie");
	caller_redirect_to(w, id, "", target, f, ARRAY_LEN(f));
}

void
caller_options(struct caller *w)
{
	struct http_field f = field_of("allow", allow_all);

	caller_answer(w, 204, &f, 1, "");
}
