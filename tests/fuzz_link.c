/*
 * Fuzzing the whole link, frames in and events out, with the program's own
 * code from the socket's bytes on.  Property: however the same bytes are cut
 * into reads, the same messages come out, and the same close.
 *
 * On a link of v2 there are streams, without conns, so that messages find whom
 * they are for.  A server's link, whose frames are masked, has a few from the
 * beginning; on a client's, requests begin them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/mem.h"
#include "gate/conn.h"
#include "gate/link.h"
#include "gate/held.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/v2.h"
#include "pipegate.h"

int fuzz_link(const unsigned char *p, size_t n);

static unsigned long long seen;		/* a hash of all events */

static void
note(const void *p, size_t n)
{
	const unsigned char *b = p;
	size_t i;

	for (i = 0; i < n; i++)
		seen = (seen ^ b[i]) * 0x100000001b3u;
	seen = (seen ^ n) * 0x100000001b3u;
}

static void
note_number(long long i)
{
	note(&i, sizeof(i));
}

static void
note_stream(const struct stream *s, int what)
{
	note_number(what);
	note_number(s->number);
	note_number(s->from_link.octets);
	note_number(s->from_link.half.credit);
	note_number(s->to_link.half.credit);
}

/* --- streams */

#define STREAMS 4		/* at once on a link */

/* The head h of the half from the link came, in m, and what follows it is let
 * in. */
static void
note_body(struct stream *s, const struct ws_msg *m, const struct http_head *h)
{
	s->from_link.head_passed = 1;
	s->from_link.half.left = h->framing == HTTP_LENGTH ? h->length : -1;
	v2_take_octets(s, m);
}

static void
note_answer(struct stream *s, const struct ws_msg *m)
{
	struct http_head h;

	note_stream(s, 'a');
	if (s->from_link.head_passed || !half_is_open(&s->from_link.half) ||
	    http_link_answer_parse(&h, m->head.p, m->head.n,
	    view_of("GET")) == -1 || !v2_head_ok(m, &h)) {
		stream_break(s, 502, "not now, or not so");
		return;
	}
	note_number(h.status);
	if ((m->flags & WS_INTERIM) == 0)
		note_body(s, m, &h);
}

static int
note_again(struct stream *s)
{
	note_stream(s, 'r');
	return 0;
}

static void
note_lost(struct stream *s, int status, const char *why)
{
	note_stream(s, 'l');
	note_number(status);
	note(why, strlen(why));
}

static void
note_over(struct stream *s)
{
	note_stream(s, 'o');
}

static const struct role server_notes = {
	.answer_comes = 1, .message = note_answer, .again = note_again,
	.lost = note_lost, .over = note_over,
};

static const struct role client_notes = {
	.message = note_answer, .again = note_again, .lost = note_lost,
	.over = note_over,
};

/* A stream for the last request on l. */
static struct stream *
stream_begin(struct link *l, const struct role *role, long long to_link,
    long long from_link)
{
	struct stream *s = stream_new(role, NULL);

	if (s == NULL)
		abort();
	stream_join(s, l);
	v2_number(s);
	half_open(&s->to_link.half, to_link, -1);
	half_open(&s->from_link.half, from_link, -1);
	if (stream_window_open(s, from_link) == -1)
		abort();
	return s;
}

/* As if the requests had gone, which have no bodies. */
static void
server_streams(struct link *l)
{
	while (l->last_number < STREAMS) {
		l->last_number++;
		half_end(&stream_begin(l, &server_notes, 0,
		    V2_WINDOW)->to_link.half);
	}
}

static void
note_request(struct link *l, const struct ws_msg *m)
{
	struct http_head h;
	struct stream *s;

	note_number(m->flags);
	note_number(m->took);
	note_number(m->window);
	if (!l->masks || m->stream != l->last_number + 1 ||
	    m->took > V2_WINDOW) {
		link_fail(l, -1002, "a request out of its turn");
		return;
	}
	l->last_number = m->stream;
	if (l->streams.n >= STREAMS ||
	    http_link_request_parse(&h, m->head.p, m->head.n) == -1 ||
	    !v2_head_ok(m, &h)) {
		note_number(400);
		if (v2_put_reset(l, m->stream, 400, 0, "not so") == -1)
			link_close(l, 1013, "");
		return;
	}
	s = stream_begin(l, &client_notes, m->window, m->took);
	if ((m->flags & WS_UPGRADE) == 0)
		note_body(s, m, &h);
}

/* --- the link's ops */

static void
note_message(struct link *l, int opcode, unsigned char *p, size_t n)
{
	struct ws_msg m;

	note_number(opcode);
	note(p, n);
	if (l->ops->piece == NULL && v2_take(l, opcode, p, n, &m))
		note_request(l, &m);
}

static void
note_unheld(struct link *l, int status, const unsigned char *p, size_t n)
{
	(void)l;
	note_number(status);
	note(p, n);
}

static void
note_left(struct link *l)
{
	note_number(l->life);
}

static void
note_gone(struct link *l, int code, const char *why)
{
	note_number(code);
	streams_orphan(l, why);
}

static const struct link_ops note_ops_v2 = {
	.message = note_message, .handled = gather_write, .left = note_left,
	.gone = note_gone, .alone_ms = LINK_ALONE_MS,
};

static const struct link_ops note_ops_v1 = {
	.message = note_message, .piece = held_piece,
	.unheld = note_unheld, .handled = gather_write, .left = note_left,
	.gone = note_gone, .freed = held_link_freed,
	.alone_ms = LINK_ALONE_V1_MS,
};

static struct link *
note_link(int v2, int masks)
{
	static const struct kind none = {
		.name = "none", .events = always_readable,
		.deadline = no_deadline,
	};
	struct conn *c = conn_new(&none, NULL, open("/dev/null", O_RDWR),
	    CONN_HANDSHAKE);
	struct link *l = link_alloc();

	if (c == NULL || l == NULL)
		abort();
	link_begin_on(l, c, v2 ? &note_ops_v2 : &note_ops_v1,
	    v2 ? &wire_v2 : &wire_v1, NULL, &account_nobody, masks);
	if (!v2 && held_link_begin(l) == -1)
		abort();
	if (v2 && !masks)
		server_streams(l);
	conn_state(c, CONN_OPEN);
	return l;
}

/* Feeds p[0..n) to a new link in pieces of step octets; returns what came. */
static unsigned long long
feed(const unsigned char *p, size_t n, size_t step, int v2, int masks)
{
	struct link *l = note_link(v2, masks);
	struct conn *c = l->c;
	unsigned long long result;
	size_t at, k;

	seen = 0xcbf29ce484222325u;
	for (at = 0; at < n && !conn_is_dead(c); at += k) {
		unsigned char *to;

		k = min_size(step, n - at);
		to = buf_space(&c->rx, k, LINK_RX_MAX);
		if (to == NULL)
			abort();
		memcpy(to, p + at, k);
		c->rx.len += k;
		link_input(l);
	}
	result = seen;
	link_lost(l, "the input has ended");
	settle(NULL);
	conns_bury();
	return result;
}

int
fuzz_link(const unsigned char *p, size_t n)
{
	int v2, masks;
	size_t step;

	if (n == 0)
		return 0;
	log_set_level(LEVEL_ERROR);
	v2 = p[0] & 1;
	masks = p[0] & 2;
	step = 1 + (size_t)(p[0] >> 2);
	if (feed(p + 1, n - 1, n, v2, masks) !=
	    feed(p + 1, n - 1, step, v2, masks))
		abort();
	return 0;
}
