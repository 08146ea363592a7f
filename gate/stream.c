#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/loop.h"
#include "gate/link.h"
#include "gate/tunnel.h"
#include "gate/stream.h"

#define WINDOW_MIN (16 << 10)
#define WINDOW_FIRST_MAX (256 << 10)
#define STREAM_BUCKETS 2048

static struct stream *stream_table[STREAM_BUCKETS];
static struct stream *spare_streams, *dead_streams;
static unsigned long long stream_seed;

const char answered[] = "answered before the request was whole";

/* A hostile server chooses the ids that its client sees, but not the seed,
 * and never more than the agreed number at once. */
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
stream_new(const struct role *role, struct conn *c, const unsigned char id[16])
{
	struct stream *s = spare_streams, **at;

	if (s != NULL)
		spare_streams = s->hash_next;
	else
		s = malloc(sizeof(*s));
	if (s == NULL)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->role = role;
	s->http = c;
	memcpy(s->id, id, 16);
	s->start_ms = s->grant_ms = now_ms;
	s->up_limit = LLONG_MAX;
	if (stream_seed == 0)
		random_bytes(&stream_seed, sizeof(stream_seed));
	at = stream_bucket(id);
	s->hash_next = *at;
	*at = s;
	if (c != NULL)
		c->stream = s;
	return s;
}

void
stream_join(struct stream *s, struct link *l)
{
	s->link = l;
	list_add(&l->streams, &s->on_link, s);
}

void
stream_leave_link(struct stream *s)
{
	struct link *l = s->link;

	if (l == NULL)
		return;
	list_leave(&s->on_link);
	s->link = NULL;
	if (!l->freed)
		link_later(l);
}

/* A stream is heavy while it puts more into the link than leaks from this
 * small bucket; the others go first, so that a small answer waits for no round
 * of all the large ones. */
#define BURST_MAX (16 << 10)

#define BURST_LEAK 32		/* octets in a ms */

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
	if (s->turn.in != NULL || s->link == NULL)
		return;
	list_add(turn_list(s), &s->turn, s);
	link_later(s->link);
}

int
turn_none(const struct link *l)
{
	return l->light.n == 0 && l->heavy.n == 0;
}

struct stream *
turn_take(struct link *l)
{
	struct stream *s = list_first(l->light.n > 0 ? &l->light : &l->heavy);

	if (s != NULL)
		list_leave(&s->turn);
	return s;
}

void
turn_put_back(struct link *l, struct stream *s)
{
	list_insert(&l->light, &s->turn, s, l->light.head);
}

/* Forgets s.  Its memory lasts until the end of the turn. */
static void
stream_free(struct stream *s)
{
	struct stream **at = stream_bucket(s->id);

	if (s->freed_flag)
		return;
	s->freed_flag = 1;
	while (*at != s)
		at = &(*at)->hash_next;
	*at = s->hash_next;
	list_leave(&s->turn);
	stream_leave_link(s);
	chain_free(&s->hold);
	budget_return((size_t)s->promised);
	s->promised = 0;
	if (s->http != NULL && s->http->stream == s)
		s->http->stream = NULL;
	s->hash_next = dead_streams;
	dead_streams = s;
}

void
streams_sweep(void)
{
	struct stream *s;

	while ((s = dead_streams) != NULL) {
		dead_streams = s->hash_next;
		s->hash_next = spare_streams;
		spare_streams = s;
	}
}

void
stream_check(struct stream *s)
{
	if (s->is_over || s->freed_flag)
		return;
	if (s->up.state == WS_HALF_OPEN || s->down.state == WS_HALF_OPEN ||
	    s->reset_due || s->hold.len > 0)
		return;
	s->is_over = 1;
	s->role->over(s);
	stream_free(s);
}

long long
window_first(void)
{
	size_t w = budget_free() / 1024;

	if (w < WINDOW_MIN)
		w = WINDOW_MIN;
	return (long long)min_size(w, WINDOW_FIRST_MAX);
}

int
window_open(struct stream *s, long long bytes)
{
	if (budget_charge((size_t)bytes) == -1)
		return -1;
	s->promised = s->window = bytes;
	return 0;
}

void
window_close(struct stream *s)
{
	budget_return((size_t)s->promised);
	s->promised = 0;
	s->grant_due = 0;
}

void
window_freed(struct stream *s, size_t n)
{
	s->freed += (long long)n;
	if (s->link == NULL || !s->link->v2 ||
	    s->down.state != WS_HALF_OPEN || s->freed < s->window / 2)
		return;
	s->grant_due = 1;
	turn_wait(s);
}

/* How large the window should be from now on.  As credit comes by halves, one
 * that holds its stream back is used up in two round trips, or a little more
 * with queues on the way: within three it doubles while memory is plenty. */
static long long
window_next(const struct stream *s)
{
	long long rtt = s->link->rtt_us > 1000 ? s->link->rtt_us : 1000;
	long long took = (now_ms - s->grant_ms) * 1000;
	long long brisk = 3 * rtt * s->freed;

	if (took * s->window <= brisk && s->window < WINDOW_MAX &&
	    budget.used < budget.max / 4 * 3)
		return s->window * 2;
	if (took * s->window > 2 * brisk && s->window > WINDOW_MIN)
		return s->window / 2;
	return s->window;
}

long long
window_grant(struct stream *s)
{
	long long want, window = window_next(s);

	want = window - s->promised - (long long)s->held;
	if (want <= 0) {
		s->freed = 0;
		s->window = window;
		s->grant_ms = now_ms;
		return 0;
	}
	if (budget_charge((size_t)want) == -1) {
		want = s->freed;
		window = s->window;
		if (want <= 0 || budget_charge((size_t)want) == -1)
			return 0;
	}
	s->promised += want;
	s->window = window;
	s->freed = 0;
	s->grant_ms = now_ms;
	return want;
}

void
stream_drop_halves(struct stream *s)
{
	if (s->up.state == WS_HALF_OPEN)
		s->up.state = WS_HALF_RESET;
	if (s->down.state == WS_HALF_OPEN)
		s->down.state = WS_HALF_RESET;
	window_close(s);
	if (!s->hold_begun) {
		chain_free(&s->hold);
		s->send_due = 0;
	}
}

void
stream_detach(struct stream *s)
{
	if (s->http == NULL)
		return;
	s->http->stream = NULL;
	s->http = NULL;
}

void
stream_reset(struct stream *s, int status, const char *why)
{
	int open = s->up.state == WS_HALF_OPEN ||
	    s->down.state == WS_HALF_OPEN;

	stream_drop_halves(s);
	if (open && s->link != NULL && s->link->v2 && link_writable(s->link)) {
		s->reset_due = 1;
		s->reset_status = status;
		s->reset_why = why;
		turn_wait(s);
	}
	stream_check(s);
}

void
stream_up_ended(struct stream *s)
{
	s->up_end_ms = now_ms;
	if (s->http != NULL)
		conn_touch(s->http);
	if (!s->role->answer_down && s->down.state == WS_HALF_OPEN &&
	    s->source.framing != HTTP_RAW)
		stream_reset(s, 502, answered);
	else
		stream_check(s);
}

struct http_field
field_of(const char *name, const char *value)
{
	struct http_field f = { view_of(name), view_of(value) };

	return f;
}

const struct http_field *
msg_length_field(const struct ws_msg *m)
{
	return http_field_find(m->field, m->nfields, "content-length");
}

long long
length_of(const struct http_field *f)
{
	long long n = 0;
	size_t i;

	if (f == NULL || f->value.n > 18)
		return -1;
	for (i = 0; i < f->value.n; i++)
		n = n * 10 + (f->value.p[i] - '0');
	return n;
}

void
stream_label(struct stream *s, const char *form, struct view method,
    struct view path)
{
	char m[24], p[LABEL_MAX - 32];
	int cut;

	path = view_until(&path, "?");
	cut = path.n > sizeof(p) - 8;
	if (cut)
		path.n = sizeof(p) - 8;
	text_safe(m, sizeof(m), method);
	text_put(s->label, sizeof(s->label), form, m,
	    text_safe(p, sizeof(p), path));
	if (cut)
		memcpy(s->label + strlen(s->label), "...", 4);
}
