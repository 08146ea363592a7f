#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/mem.h"
#include "gate/loop.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/v2.h"
#include "gate/held.h"

#define V1_FRAME_MAX (1u << 20)		/* a larger message goes in fragments */
#define PYTHON_MESSAGE_MAX (1 << 20)	/* the reference's client takes no more */
#define COLLECT_STEPS 8			/* pieces of a v1 body read in a row */

static int
hold_put(struct stream *s, const void *p, size_t n)
{
	if (n > budget_whole_room() || chain_put(&s->hold, p, n) == -1)
		return -1;
	return 0;
}

int
hold_body(struct stream *s, const unsigned char *p, size_t n)
{
	unsigned char text[BASE64_SIZE(3072)];

	while (s->ncarry > 0 && n > 0) {
		s->carry[s->ncarry++] = *p++;
		n--;
		if (s->ncarry < 3)
			continue;
		if (hold_put(s, text, base64_encode(text, s->carry, 3)) == -1)
			return -1;
		s->ncarry = 0;
	}
	while (n >= 3) {
		size_t k = min_size(n / 3 * 3, 3072);

		if (hold_put(s, text, base64_encode(text, p, k)) == -1)
			return -1;
		p += k;
		n -= k;
	}
	if (n > 0)
		memcpy(s->carry, p, n);
	s->ncarry += n;
	return 0;
}

int
hold_end(struct stream *s)
{
	unsigned char text[128];
	struct json_out o = { text, sizeof(text), 0, 0 };

	if (s->ncarry > 0 && hold_put(s, text,
	    base64_encode(text, s->carry, s->ncarry)) == -1)
		return -1;
	s->ncarry = 0;
	msg_start(s, s->link->masks ? WS_MSG_RESPONSE : WS_MSG_REQUEST);
	msg_out.status = s->status;
	ws_v1_tail_put(&o, &msg_out);
	return hold_put(s, text, o.len);
}

/* Starts a frame of the message: a fragment where it is very large, so that
 * pings and pongs come through between them. */
static int
hold_begin_frame(struct stream *s)
{
	struct link *l = s->link;
	size_t n = min_size(s->hold.len, V1_FRAME_MAX);
	unsigned char *p = link_begin(l, 0);

	if (p == NULL)
		return -1;
	if (l->masks)
		random_bytes(l->tx_mask, sizeof(l->tx_mask));
	p = l->tx.p + l->tx.off + l->tx.len;
	l->tx.len += ws_frame_put(p, s->hold_begun ? WS_CONTINUATION : WS_TEXT,
	    n == s->hold.len, n, l->masks ? l->tx_mask : NULL);
	l->tx_left = n;
	l->tx_at = 0;
	s->hold_begun = 1;
	return 0;
}

void
hold_send(struct stream *s)
{
	struct link *l = s->link;
	size_t n, at, k;
	unsigned char *p;

	if (l->tx_left == 0 && hold_begin_frame(s) == -1)
		return;
	n = min_size(l->tx_left, LINK_BODY_ROOM);
	p = buf_space(&l->tx, n, LINK_TX_MAX);
	if (p == NULL)
		return;
	for (at = 0; at < n; at += k) {
		struct block *b = s->hold.head;

		k = min_size(b->len, n - at);
		memcpy(p + at, b->data + b->off, k);
		chain_consume(&s->hold, k);
	}
	if (l->masks)
		ws_mask(p, n, l->tx_mask, l->tx_at);
	l->tx_at += n;
	l->tx_left -= n;
	l->tx.len += n;
	link_later(l);
	if (s->hold.len > 0)
		return;
	l->sent++;
	s->hold_begun = 0;
	s->send_due = 0;
	if (s->up.state == WS_HALF_OPEN)
		s->up.state = WS_HALF_ENDED;
	stream_up_ended(s);
}

/* v1: reads the body into the message.  Returns 1 if there is more to do. */
static int
up_collect(struct stream *s)
{
	unsigned char piece[12288];
	size_t n;
	enum step step = source_step(s, piece, &n, sizeof(piece));

	if (step == STEP_FAULT || step == STEP_WAIT)
		return 0;
	if (hold_body(s, piece, n) == -1) {
		s->role->fault(s, SOURCE_NO_ROOM);
		return 0;
	}
	if (step == STEP_TRAILERS) {
		step = source_trailers(s, &n);
		if (step == STEP_END)
			buf_consume(&s->http->rx, n);
	}
	if (step == STEP_END && hold_end(s) == -1) {
		s->role->fault(s, SOURCE_NO_ROOM);
		return 0;
	}
	s->send_due = step == STEP_END;
	return step != STEP_FAULT && step != STEP_WAIT;
}

void
stream_collect(struct stream *s)
{
	int i;

	for (i = 0; i < COLLECT_STEPS && !s->send_due; i++)
		if (s->up.state != WS_HALF_OPEN || s->http == NULL ||
		    (!s->head_up && !s->role->head(s)) ||
		    s->up.state != WS_HALF_OPEN || s->http == NULL ||
		    !up_collect(s))
			break;
	if (s->send_due)
		turn_wait(s);
	else if (s->http != NULL)
		conn_touch(s->http);
}

long long
v1_body_max(const struct stream *s)
{
	size_t max = s->link->python ? PYTHON_MESSAGE_MAX : V1_MESSAGE_MAX;
	size_t rest = s->hold.len + 8;

	return max < rest ? 0 : (long long)((max - rest) / 4 * 3);
}

int
v1_begin(struct stream *s,
    void (*put)(struct json_out *, const struct ws_msg *))
{
	static unsigned char space[4 * HTTP_HEAD_MAX + 4 * HTTP_TARGET_MAX];
	struct json_out o = { space, sizeof(space), 0, 0 };

	put(&o, &msg_out);
	if (o.len > o.cap)
		return -431;
	if (hold_put(s, space, o.len) == -1)
		return -503;
	s->head_up = 1;
	return 0;
}
