/*
 * Fuzzing the whole link, frames in and events out, with the program's own
 * code from the socket's bytes on.  Property: however the same bytes are cut
 * into reads, the same messages come out, and the same close.
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
note_message(struct link *l, int opcode, unsigned char *p, size_t n)
{
	static struct ws_msg m;
	unsigned char kind = (unsigned char)opcode;

	note(&kind, 1);
	note(p, n);
	if (l->ops->piece == NULL && v2_take(l, opcode, p, n, &m) ==
	    WS_MSG_REQUEST)
		note(m.id, sizeof(m.id));
}

static void
note_oversize(struct link *l, const unsigned char *p, size_t n)
{
	(void)l;
	note(p, n);
}

static void
note_gone(struct link *l, int code, const char *why)
{
	(void)l;
	(void)why;
	note(&code, sizeof(code));
}

static const struct link_ops note_ops_v2 = {
	.message = note_message, .handled = gather_write, .gone = note_gone,
	.alone_ms = LINK_ALONE_MS,
};

static const struct link_ops note_ops_v1 = {
	.message = note_message, .piece = held_piece,
	.oversize = note_oversize, .handled = gather_write, .gone = note_gone,
	.freed = held_link_freed, .alone_ms = LINK_ALONE_V1_MS,
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
	    v2 ? &wire_v2 : &wire_v1, NULL, masks);
	if (!v2 && held_link_begin(l) == -1)
		abort();
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
