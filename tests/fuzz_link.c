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
#include "gate/loop.h"
#include "gate/child.h"
#include "gate/link.h"
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
	unsigned char kind = (unsigned char)opcode;

	note(&kind, 1);
	note(p, n);
	if (l->v2 && opcode == WS_TEXT && take_text(l, p, n) == 0)
		note(&msg_in.type, sizeof(msg_in.type));
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

static const struct link_ops note_ops = {
	.message = note_message, .oversize = note_oversize, .gone = note_gone,
};

/* Feeds p[0..n) to a new link in pieces of step octets; returns what came. */
static unsigned long long
feed(const unsigned char *p, size_t n, size_t step, int v2, int masks)
{
	static const struct kind none = { .name = "none" };
	struct conn *c = conn_new(&none, open("/dev/null", O_RDWR), CONN_OPEN);
	struct link *l = c == NULL ? NULL : link_new(c, &note_ops, masks);
	unsigned long long result;
	size_t at, k;

	if (l == NULL)
		abort();
	l->v2 = v2 != 0;
	seen = 0xcbf29ce484222325u;
	for (at = 0; at < n && !c->dead; at += k) {
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
	if (!l->freed)
		link_lost(l, "the input has ended");
	links_sweep();
	loop_sweep();
	return result;
}

int
fuzz_link(const unsigned char *p, size_t n)
{
	int v2, masks;
	size_t step;

	if (n == 0)
		return 0;
	log_level = LEVEL_ERROR;
	v2 = p[0] & 1;
	masks = p[0] & 2;
	step = 1 + (size_t)(p[0] >> 2);
	if (feed(p + 1, n - 1, n, v2, masks) !=
	    feed(p + 1, n - 1, step, v2, masks))
		abort();
	return 0;
}
