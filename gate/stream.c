#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/conn.h"
#include "gate/credit.h"
#include "gate/link.h"
#include "gate/stream.h"

#define STREAM_BUCKETS 2048
#define GRANT_LEAST 4096	/* octets */

static struct stream *stream_table[STREAM_BUCKETS];
static struct stream *spare_streams, *freed_streams;
static unsigned long long stream_seed;

const char stream_answered[] = "answered before the request was whole";

/* A hostile v1 server chooses the ids of its client's streams, but does not know
 * the seed, and no more than the agreed number stand here at once. */
static struct stream **
stream_bucket(const unsigned char id[16])
{
	unsigned long long a, b;

	memcpy(&a, id, 8);
	memcpy(&b, id + 8, 8);
	a = (a ^ stream_seed) * 0x9e3779b97f4a7c15u;
	a = (a ^ (a >> 32) ^ b) * 0xd6e8feb86659fd93u;
	return &stream_table[(a >> 40) % STREAM_BUCKETS];
}

struct stream *
stream_find(const unsigned char id[16])
{
	struct stream *s = *stream_bucket(id);

	while (s != NULL && memcmp(s->id, id, 16) != 0)
		s = s->hash_next;
	return s;
}

struct stream *
stream_first_tied(void)
{
	const struct link *l;
	struct stream *s;

	for (l = link_first(); l != NULL; l = link_next(l))
		for (s = list_first(&l->streams); s != NULL;
		    s = list_after(&s->on_link))
			if (s->http != NULL)
				return s;
	return NULL;
}

static void
stream_name(struct stream *s, const unsigned char id[16])
{
	struct stream **at = stream_bucket(id);

	memcpy(s->id, id, sizeof(s->id));
	s->named = 1;
	s->hash_next = *at;
	*at = s;
}

static void
stream_unname(struct stream *s)
{
	struct stream **at = stream_bucket(s->id);

	if (!s->named)
		return;
	while (*at != s)
		at = &(*at)->hash_next;
	*at = s->hash_next;
}

struct stream *
stream_new(const struct role *role, const unsigned char id[16])
{
	struct stream *s = spare_streams;

	if (s != NULL)
		spare_streams = s->hash_next;
	else
		s = malloc(sizeof(*s));
	if (s == NULL)
		return NULL;
	memset(s, 0, offsetof(struct stream, label) + 1);
	s->role = role;
	s->life = STREAM_NEW;
	s->start_ms = now_ms;
	s->to_link.limit = LLONG_MAX;
	if (stream_seed == 0)
		random_bytes(&stream_seed, sizeof(stream_seed));
	if (id != NULL)
		stream_name(s, id);
	return s;
}

#define TO(s) (1u << (s))

static const unsigned int stream_may_follow[] = {
	[STREAM_NEW] = TO(STREAM_WAITING) | TO(STREAM_JOINED) | TO(STREAM_OVER),
	[STREAM_WAITING] = TO(STREAM_JOINED) | TO(STREAM_OVER),
	[STREAM_JOINED] = TO(STREAM_OVER),
	[STREAM_OVER] = TO(STREAM_FREED),
	[STREAM_FREED] = 0,
};

void
stream_move(struct stream *s, enum stream_life life)
{
	must(stream_may_follow[s->life] & TO(life));
	s->life = life;
}

void
stream_join(struct stream *s, struct link *l)
{
	stream_move(s, STREAM_JOINED);
	s->link = l;
	s->wire = l->wire;
	list_add(&l->streams, &s->on_link, s);
}

/* --- halves */

void
half_open(struct ws_half *h, long long credit, long long length)
{
	must(ws_half_init(h, credit, length) == 0);
}

void
half_end(struct ws_half *h)
{
	must(ws_half_move(h, WS_HALF_ENDED) == 0);
}

static void
half_drop(struct ws_half *h)
{
	if (half_is_open(h))
		must(ws_half_move(h, WS_HALF_RESET) == 0);
}

/* --- turns */

/* A stream is heavy while it puts more into the link than leaks from this
 * small bucket.  Light ones take their turns first, so that a small answer does
 * not wait until each large one has had a turn. */
#define BURST_MAX (16 << 10)
#define BURST_LEAK 32		/* octets a ms */

static struct list *
turn_list(struct stream *s)
{
	long long leak = (now_ms - s->turn_ms) * BURST_LEAK;

	s->turn_ms = now_ms;
	s->burst = s->burst > leak ? s->burst - leak : 0;
	return s->burst < BURST_MAX ? &s->link->light : &s->link->heavy;
}

void
turn_wait(struct stream *s)
{
	if (s->turn.in != NULL || s->life != STREAM_JOINED)
		return;
	list_add(turn_list(s), &s->turn, s);
	link_later(s->link);
}

void
turn_wait_first(struct stream *s)
{
	struct list *light = &s->link->light;

	list_insert(light, &s->turn, s, light->head);
}

struct stream *
turn_take(struct link *l)
{
	struct stream *s = list_first(l->light.n > 0 ? &l->light : &l->heavy);

	if (s != NULL)
		list_leave(&s->turn);
	return s;
}

int
turn_none(const struct link *l)
{
	return l->light.n == 0 && l->heavy.n == 0;
}

/* --- the credit of the half that comes from the link */

long long
stream_window_first(const struct link *l)
{
	return window_first(path_octets(&l->path), budget_free(),
	    l->streams.n - 1);
}

static size_t *
stream_sum(const struct stream *s)
{
	return account_octets(s->link->account);
}

int
stream_window_open(struct stream *s, long long octets)
{
	struct window *w = &s->from_link.window;

	if (budget_charge((size_t)octets, stream_sum(s)) == -1)
		return -1;
	w->promised = w->size = octets;
	return 0;
}

void
stream_window_use(struct stream *s, size_t octets)
{
	struct window *w = &s->from_link.window;
	size_t charged = min_size(octets, (size_t)w->promised);

	if (charged == 0)
		return;
	w->promised -= (long long)charged;
	budget_return(charged, stream_sum(s));
}

void
stream_window_close(struct stream *s)
{
	stream_window_use(s, (size_t)s->from_link.window.promised);
	s->grant_due = 0;
}

void
stream_window_gone(struct stream *s, size_t n)
{
	struct window *w = &s->from_link.window;

	w->gone += (long long)n;
	if (s->life != STREAM_JOINED || !s->wire->flows ||
	    !half_is_open(&s->from_link.half) ||
	    !window_is_due(w, &s->link->path, account_spare(s->link->account)))
		return;
	s->grant_due = 1;
	turn_wait(s);
}

void
streams_widen(struct link *l)
{
	struct stream *s;

	l->path.grew = 0;
	for (s = list_first(&l->streams); s != NULL; s = list_after(&s->on_link))
		stream_window_gone(s, 0);
}

/* Where so little is left to its account that it is worth no message, a stream
 * waits until others have used what was promised to them. */
long long
stream_window_grant(struct stream *s)
{
	struct window *w = &s->from_link.window;
	const struct account *a = s->link->account;
	long long size = window_next(w, &s->link->path, s->from_link.held,
	    account_spare(a));
	long long missing = window_missing(w, size, s->from_link.held);
	long long n = min_time(missing, (long long)account_room(a));

	if (missing == 0)
		return 0;
	if (n < min_time(missing, GRANT_LEAST) ||
	    budget_charge((size_t)n, stream_sum(s)) == -1) {
		budget_starve();
		return 0;
	}
	window_grant(w, n, size);
	return n;
}

static int
stream_is_busy(const struct stream *s)
{
	return s->wire != NULL && s->wire->is_busy != NULL &&
	    s->wire->is_busy(s);
}

static void
stream_retry(struct stream *s)
{
	stream_window_gone(s, 0);
	if (s->reset_why != NULL || s->grant_due || stream_is_busy(s))
		turn_wait(s);
}

void
streams_retry(void)
{
	struct link *l;
	struct stream *s;

	if (!budget_starved())
		return;
	for (l = link_first(); l != NULL; l = link_next(l)) {
		for (s = list_first(&l->streams); s != NULL;
		    s = list_after(&s->on_link))
			stream_retry(s);
		if (!turn_none(l))
			link_later(l);
	}
}

/* --- what may be given out again */

void
stream_keep(struct stream *s)
{
	struct view in = buf_view(&s->http->rx);

	if (in.n > CONN_COPY_MAX || !budget_spares(in.n))
		return;
	s->kept.sum = s->http->rx.sum;
	if (chain_put(&s->kept, in.p, in.n) == 0)
		conn_copy_to(s->http, &s->kept);
	else
		chain_free(&s->kept);
}

void
stream_forget(struct stream *s)
{
	if (s->kept.len == 0)
		return;
	conn_copy_to(s->http, NULL);
	chain_free(&s->kept);
}

int
stream_unread(struct stream *s)
{
	struct buf rx = { .sum = s->http->rx.sum };
	size_t n = s->kept.len;
	unsigned char *to = n == 0 ? NULL : buf_space(&rx, n, CONN_COPY_MAX);

	if (to == NULL)
		return 0;
	chain_take(&s->kept, to, n);
	rx.len = n;
	conn_copy_to(s->http, NULL);
	buf_free(&s->http->rx);
	s->http->rx = rx;
	s->http->scanned = 0;
	return 1;
}

/* --- ending */

void
stream_detach(struct stream *s)
{
	if (s->http == NULL)
		return;
	stream_forget(s);
	s->role->detached(s);
	s->http = NULL;
}

/* Forgets s.  Its memory lasts until streams_sweep(). */
static void
stream_free(struct stream *s)
{
	stream_move(s, STREAM_FREED);
	stream_unname(s);
	list_leave(&s->turn);
	if (s->on_link.in != NULL) {
		list_leave(&s->on_link);
		s->link->refused_ms = 0;
		link_later(s->link);
	}
	if (s->wire != NULL && s->wire->over != NULL)
		s->wire->over(s);
	stream_window_close(s);
	stream_detach(s);
	s->hash_next = freed_streams;
	freed_streams = s;
}

void
streams_sweep(void)
{
	struct stream *s;

	while ((s = freed_streams) != NULL) {
		freed_streams = s->hash_next;
		s->hash_next = spare_streams;
		spare_streams = s;
	}
}

/* A reset that waits for room in the link, or a message of v1, keeps s. */
void
stream_check(struct stream *s)
{
	if (s->life >= STREAM_OVER || half_is_open(&s->to_link.half) ||
	    half_is_open(&s->from_link.half) || s->reset_why != NULL ||
	    stream_is_busy(s))
		return;
	stream_move(s, STREAM_OVER);
	s->role->over(s);
	stream_free(s);
}

void
stream_drop_halves(struct stream *s)
{
	half_drop(&s->to_link.half);
	half_drop(&s->from_link.half);
	stream_window_close(s);
	if (s->wire != NULL && s->wire->drop != NULL)
		s->wire->drop(s);
}

void
stream_reset(struct stream *s, int status, const char *why)
{
	int open = half_is_open(&s->to_link.half) ||
	    half_is_open(&s->from_link.half);

	stream_drop_halves(s);
	if (open && s->life == STREAM_JOINED && link_is_live(s->link) &&
	    s->wire->reset != NULL)
		s->wire->reset(s, status, why);
	stream_check(s);
}

void
stream_break(struct stream *s, int status, const char *why)
{
	if (half_is_open(&s->from_link.half))
		s->role->lost(s, status, why);
	stream_reset(s, status, why);
}

void
stream_passed_on(struct stream *s)
{
	s->to_link.ended_ms = now_ms;
	if (s->http != NULL)
		conn_touch(s->http);
	if (!s->role->answer_comes && half_is_open(&s->from_link.half) &&
	    s->to_link.body.framing != HTTP_RAW)
		stream_reset(s, 502, stream_answered);
	else
		stream_check(s);
}

/* --- what both roles say of a stream */

struct http_field
field_of(const char *name, const char *value)
{
	struct http_field f = { view_of(name), view_of(value) };

	return f;
}

void
stream_label(char out[LABEL_MAX], const char *form, struct view method,
    struct view path)
{
	char m[24], p[LABEL_MAX - 32];
	int cut;

	path = view_until(&path, "?");
	cut = path.n > sizeof(p) - 8;
	if (cut)
		path.n = sizeof(p) - 8;
	text_safe(m, sizeof(m), method);
	text_put(out, LABEL_MAX, form, m, text_safe(p, sizeof(p), path));
	if (cut)
		memcpy(out + strlen(out), "...", 4);
}

#ifdef AUDIT
/* --- what must hold between turns */

static void
stream_audit(const struct stream *s)
{
	int joined = s->life == STREAM_JOINED;

	must(s->life < STREAM_OVER);
	must(!s->role->answer_comes ||
	    (s->wait.in != NULL) == (s->life == STREAM_WAITING));
	must((s->on_link.in != NULL) == joined);
	must((s->link != NULL) == joined && (s->wire != NULL) == joined);
	must(!joined || !link_is_dead(s->link));
	must(joined || (s->turn.in == NULL && s->reset_why == NULL));
	must(!s->role->answer_comes || !half_is_open(&s->to_link.half) ||
	    s->http != NULL);
	must(s->from_link.window.promised >= 0);
	must(!joined || !s->wire->flows || !half_is_open(&s->from_link.half) ||
	    s->from_link.window.promised == s->from_link.half.credit);
	must(s->from_link.window.promised == 0 ||
	    half_is_open(&s->from_link.half));
}

void
streams_audit(void)
{
	const struct link *l;
	const struct stream *s;
	size_t i;

	for (i = 0; i < STREAM_BUCKETS; i++)
		for (s = stream_table[i]; s != NULL; s = s->hash_next)
			stream_audit(s);
	for (l = link_first(); l != NULL; l = link_next(l))
		for (s = list_first(&l->streams); s != NULL;
		    s = list_after(&s->on_link))
			stream_audit(s);
}
#endif
