#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/conn.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"
#include "gate/held.h"

#define V1_FRAME_MAX (1u << 20)		/* a larger message goes in fragments */
#define V1_KEPT (16u << 10)		/* octets kept of a message that is too large */
#define PYTHON_MESSAGE_MAX (1 << 20)	/* the reference's client takes no more */
#define HELD_REFUSAL_MAX 512
#define COLLECT_STEPS 8			/* pieces of a body read in a row */

/* --- the message that goes: held until it is whole, then sent */

struct held {
	struct chain message;
	unsigned char carry[3];		/* octets that do not fill a quantum of base64 yet */
	size_t ncarry;
	int begun;			/* a part of it is in the link */
};

static int
held_begin(struct stream *s)
{
	if (s->held == NULL)
		s->held = calloc(1, sizeof(*s->held));
	if (s->held == NULL)
		return -1;
	s->held->message.sum = account_octets(s->link->account);
	return 0;
}

static int
held_is_busy(const struct stream *s)
{
	return s->held != NULL && s->held->message.len > 0;
}

static int
held_put(struct stream *s, const void *p, size_t n)
{
	if (!account_has_room(s->link->account, n) ||
	    chain_put(&s->held->message, p, n) == -1)
		return -1;
	return 0;
}

/* Encodes n octets into the message, in whole quanta: what is left over waits in
 * carry.  Returns 0, or -1: no room. */
static int
held_put_body(struct stream *s, const unsigned char *p, size_t n)
{
	struct held *h = s->held;
	unsigned char text[BASE64_SIZE(3072)];

	while (h->ncarry > 0 && n > 0) {
		h->carry[h->ncarry++] = *p++;
		n--;
		if (h->ncarry < 3)
			continue;
		if (held_put(s, text, base64_encode(text, h->carry, 3)) == -1)
			return -1;
		h->ncarry = 0;
	}
	while (n >= 3) {
		size_t k = min_size(n / 3 * 3, 3072);

		if (held_put(s, text, base64_encode(text, p, k)) == -1)
			return -1;
		p += k;
		n -= k;
	}
	if (n > 0)
		memcpy(h->carry, p, n);
	h->ncarry += n;
	return 0;
}

/* Puts the message's beginning, up to where its body stands.  Returns 0, or
 * minus a status: -431 too large, -503 no room. */
static int
held_put_head(struct stream *s, const struct http_head *h,
    void (*put)(struct json_out *, const unsigned char id[16],
    const struct http_head *))
{
	static unsigned char space[4 * HTTP_HEAD_MAX + 4 * HTTP_TARGET_MAX];
	struct json_out o = { space, sizeof(space), 0, 0 };

	if (held_begin(s) == -1)
		return -503;
	put(&o, s->id, h);
	if (o.len > o.cap)
		return -431;
	if (held_put(s, space, o.len) == -1)
		return -503;
	s->to_link.head_passed = 1;
	return 0;
}

/* Puts what is left of the body, and the message's tail: the message is whole,
 * and the half ends.  Returns 0, or -1: no room. */
static int
held_put_tail(struct stream *s)
{
	struct held *h = s->held;
	unsigned char text[128];
	struct json_out o = { text, sizeof(text), 0, 0 };

	if (h->ncarry > 0 && held_put(s, text,
	    base64_encode(text, h->carry, h->ncarry)) == -1)
		return -1;
	h->ncarry = 0;
	ws_v1_tail_put(&o, s->role->answer_comes ? 0 : s->status);
	if (held_put(s, text, o.len) == -1)
		return -1;
	half_end(&s->to_link.half);
	return 0;
}

/* Octets of the largest body with which the peer still takes the message. */
static long long
held_body_max(const struct stream *s)
{
	size_t max = s->link->python ? PYTHON_MESSAGE_MAX : V1_MESSAGE_MAX;
	size_t rest = s->held->message.len + 8;

	return max < rest ? 0 : (long long)((max - rest) / 4 * 3);
}

/* Reads a piece of the body into the message.  Returns 1 if there is more to
 * do. */
static int
held_read(struct stream *s)
{
	struct http_field trailers[HTTP_FIELDS_MAX];
	unsigned char piece[12288];
	size_t n, nf;
	enum step step = source_step(s, piece, &n, sizeof(piece));

	if (step == STEP_FAULT || step == STEP_WAIT)
		return 0;
	if (held_put_body(s, piece, n) == -1) {
		s->role->fault(s, SOURCE_NO_ROOM);
		return 0;
	}
	if (step == STEP_TRAILERS) {
		step = source_trailers(s, trailers, &nf, &n);
		if (step == STEP_END)
			buf_consume(&s->http->rx, n);
	}
	if (step == STEP_END && held_put_tail(s) == -1) {
		s->role->fault(s, SOURCE_NO_ROOM);
		return 0;
	}
	return step == STEP_DATA;
}

/* Whether the next octets at the conn are of the body. */
static int
held_may_read(struct stream *s)
{
	if (!half_is_open(&s->to_link.half) || s->http == NULL)
		return 0;
	if (!s->to_link.head_passed && !s->role->head(s))
		return 0;
	return half_is_open(&s->to_link.half) && s->http != NULL;
}

/* Whether it is time for other conns, after so many pieces: only when all that was
 * read is used, since poll() will not tell of that. */
static int
held_has_had_turn(const struct stream *s, int pieces)
{
	return pieces >= COLLECT_STEPS &&
	    (s->http == NULL || s->http->rx.len == 0);
}

/* A message is gathered whether the link has room or not. */
static void
held_news(struct stream *s)
{
	int i;

	for (i = 0; !held_has_had_turn(s, i); i++)
		if (!held_may_read(s) || !held_read(s))
			break;
	if (s->life == STREAM_FREED)
		return;
	if (!half_is_open(&s->to_link.half))
		turn_wait(s);
	else if (s->http != NULL)
		conn_touch(s->http);
}

static void
held_drop(struct stream *s)
{
	struct held *h = s->held;

	if (h == NULL || (h->begun && link_is_live(s->link)))
		return;
	chain_free(&h->message);
	h->ncarry = 0;
}

/* Makes the message that answer, in the place of the service's.  Returns 0, or minus a
 * status. */
static int
held_put_whole(struct stream *s, const struct http_head *h, struct view body)
{
	int r;

	held_drop(s);
	r = held_put_head(s, h, ws_v1_response_put);
	if (r < 0)
		return r;
	if (held_put_body(s, body.p, body.n) == -1 || held_put_tail(s) == -1)
		return -503;
	return 0;
}

/* The same with an error answer.  Returns 0, or -1: no room. */
static int
held_put_error(struct stream *s, int status, const char *why)
{
	struct http_error e = { .status = status, .detail = why, .date = -1 };
	unsigned char space[1024];
	struct http_out o = { space, sizeof(space), 0 };
	struct http_head h;
	struct view body;
	size_t scanned = 0;
	int r;

	http_error_put(&o, &e);
	r = http_answer_parse(&h, space, min_size(o.len, o.cap), &scanned,
	    view_of("GET"));
	must(r > 0);
	h.nfields = http_fields_filter(h.field, h.nfields);
	body = http_out_view(&o);
	view_skip(&body, (size_t)r);
	return held_put_whole(s, &h, body) < 0 ? -1 : 0;
}

/* Every request is answered: nothing else tells the peer of its end.  Without
 * room the answer stays due, for streams_retry(). */
static void
held_fail_due(struct stream *s)
{
	if (held_put_error(s, s->reset_status, s->reset_why) == 0)
		s->reset_why = NULL;
	else
		held_drop(s);
}

/* Opens a frame for the message.  A very large one goes in fragments, so that
 * pings and pongs come through between them.  Returns 0, or -1: the link is
 * closing, or there is no memory. */
static int
held_open_frame(struct stream *s)
{
	struct held *h = s->held;
	size_t n = min_size(h->message.len, V1_FRAME_MAX);

	if (link_part_open(s->link, h->begun ? WS_CONTINUATION : WS_TEXT,
	    n == h->message.len, n) == -1)
		return -1;
	h->begun = 1;
	return 0;
}

/* Moves a piece of the message, once that is whole, into the link. */
static enum turn
held_serve(struct stream *s)
{
	struct link *l = s->link;
	unsigned char *p;
	size_t n;

	if (s->reset_why != NULL)
		held_fail_due(s);
	if (half_is_open(&s->to_link.half) || !held_is_busy(s))
		return TURN_DONE;
	if (l->part_left == 0 && held_open_frame(s) == -1)
		return TURN_FIRST;
	n = min_size(l->part_left, LINK_BODY_ROOM);
	p = link_part_begin(l, n);
	if (p == NULL)
		return TURN_FIRST;
	chain_take(&s->held->message, p, n);
	link_part_commit(l, n);
	if (s->held->message.len > 0)
		return TURN_FIRST;
	stream_passed_on(s);
	return TURN_DONE;
}

/* --- the row */

static int
method_is_known(struct view m)
{
	static const char *const known[] = {
		"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(known); i++)
		if (http_equal(m, known[i]))
			return 1;
	return 0;
}

/* Copies head h to out without the fields that v1 does not carry: what they ask
 * for is done here. */
static void
held_strip(struct http_head *out, const struct http_head *h)
{
	size_t i;

	memset(out, 0, offsetof(struct http_head, field));
	out->method = h->method;
	out->path = h->path;
	for (i = 0; i < h->nfields; i++)
		if (!http_equal_nocase(h->field[i].name, "expect") &&
		    !http_equal_nocase(h->field[i].name, "te") &&
		    !http_equal_nocase(h->field[i].name, "trailer"))
			out->field[out->nfields++] = h->field[i];
}

/* The message goes when its body is whole.  Neither half has credit. */
static int
held_request(struct stream *s, const struct http_head *out,
    const struct http_head *h)
{
	struct http_head stripped;
	long long most;
	int r;

	if (!method_is_known(h->method))
		return -405;
	held_strip(&stripped, out);
	r = held_put_head(s, &stripped, ws_v1_request_put);
	if (r < 0)
		return r;
	most = held_body_max(s);
	if (h->length > most)
		return -413;
	if (h->length > 0 &&
	    BASE64_SIZE((size_t)h->length) > account_room(s->link->account))
		return -503;
	s->to_link.limit = min_time(s->to_link.limit, most);
	half_open(&s->to_link.half, NO_CREDIT_LIMIT, h->length);
	half_open(&s->from_link.half, NO_CREDIT_LIMIT, -1);
	s->from_link.window.size = NO_CREDIT_LIMIT;
	if (h->expect_continue && h->framing != HTTP_NO_BODY)
		conn_put(s->http, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	stream_news(s);
	return 0;
}

static int
held_answer(struct stream *s, const struct http_head *out,
    const struct http_head *h)
{
	int r = held_put_head(s, out, ws_v1_response_put);

	(void)h;
	if (r == 0)
		s->to_link.limit = held_body_max(s);
	return r;
}

/* The request came whole: nothing of it is broken off. */
static int
held_whole(struct stream *s, const struct http_head *out, struct view body)
{
	int r = held_put_whole(s, out, body);

	if (r < 0)
		return r;
	if (half_is_open(&s->from_link.half))
		half_end(&s->from_link.half);
	turn_wait(s);
	return 0;
}

/* A message of v1 has no place for interim answers. */
static int
held_interim(struct stream *s, const struct http_head *out)
{
	(void)s;
	(void)out;
	return 0;
}

static void
held_fail(struct stream *s, int status, const char *why)
{
	if (!half_is_open(&s->to_link.half)) {
		stream_reset(s, status, why);
		return;
	}
	if (half_is_open(&s->from_link.half))
		half_end(&s->from_link.half);
	s->reset_status = status;
	s->reset_why = why;
	held_fail_due(s);
	turn_wait(s);
}

static void
held_over(struct stream *s)
{
	if (s->held == NULL)
		return;
	chain_free(&s->held->message);
	free(s->held);
	s->held = NULL;
}

const struct wire wire_v1 = {
	.version = 1, .least_rate = 500, .request = held_request,
	.answer = held_answer, .whole = held_whole, .interim = held_interim,
	.serve = held_serve, .news = held_news, .fail = held_fail,
	.drop = held_drop,
	.is_busy = held_is_busy, .over = held_over,
};

int
held_refuse(struct link *l, const unsigned char id[16], int status,
    const char *why)
{
	unsigned char *p = link_begin(l, HELD_REFUSAL_MAX);
	struct json_out o = { p, HELD_REFUSAL_MAX, 0, 0 };
	struct http_head none = { .nfields = 0 };

	if (p == NULL)
		return -1;
	ws_v1_response_put(&o, id, &none);
	o.len += base64_encode(p + o.len, why, strlen(why));
	ws_v1_tail_put(&o, status);
	must(o.len <= o.cap);
	link_commit(l, WS_TEXT, 1, o.len);
	return 0;
}

/* --- the message that comes */

struct held_link {
	struct buf message;
	int unheld;		/* 413 or 503: it cannot be held, only its beginning is kept */
};

int
held_link_begin(struct link *l)
{
	l->held = calloc(1, sizeof(*l->held));
	if (l->held == NULL)
		return -1;
	l->held->message.sum = account_octets(l->account);
	return 0;
}

void
held_link_freed(struct link *l)
{
	if (l->held == NULL)
		return;
	buf_free(&l->held->message);
	free(l->held);
	l->held = NULL;
}

/* Keeps n more octets; of a message that cannot be held only its beginning. */
static void
held_keep(struct link *l, const unsigned char *p, size_t n)
{
	const size_t max = V1_MESSAGE_MAX + V1_KEPT;
	struct held_link *h = l->held;
	unsigned char *to = NULL;

	if (h->unheld == 0 && h->message.len + n > V1_MESSAGE_MAX)
		h->unheld = 413;
	if (h->unheld == 0 &&
	    buf_cost(&h->message, n, max) <= account_room(l->account))
		to = buf_space(&h->message, n, max);
	if (to == NULL) {
		if (h->unheld == 0)
			h->unheld = 503;
		if (h->message.len >= V1_KEPT)
			return;
		n = min_size(n, V1_KEPT - h->message.len);
		to = buf_space(&h->message, n, max);
		if (to == NULL)
			return;
	}
	memcpy(to, p, n);
	h->message.len += n;
}

/* The message is whole: hands it on, or what was kept of it. */
static void
held_deliver(struct link *l, int opcode)
{
	static unsigned char nothing[1];
	struct held_link *h = l->held;
	struct buf m = h->message;
	int status = h->unheld;

	memset(h, 0, sizeof(*h));
	h->message.sum = m.sum;
	if (status != 0)
		l->ops->unheld(l, status, buf_view(&m).p, m.len);
	else
		l->ops->message(l, opcode, m.len > 0 ? m.p + m.off : nothing,
		    m.len);
	gather_write();
	buf_free(&m);
}

/* A message that came whole in one read is handed on where it lies. */
void
held_piece(struct link *l, int opcode, unsigned char *p, size_t n, int last)
{
	struct held_link *h = l->held;

	if (last && h->message.len == 0 && h->unheld == 0) {
		l->ops->message(l, opcode, p, n);
		return;
	}
	held_keep(l, p, n);
	if (last)
		held_deliver(l, opcode);
}
