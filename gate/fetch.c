#include <sys/types.h>
#include <stddef.h>
#include <string.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/conn.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/person.h"
#include "gate/lasting.h"
#include "gate/settings.h"
#include "gate/target.h"
#include "gate/guise.h"
#include "gate/lock.h"
#include "gate/rewrite.h"
#include "gate/origin.h"
#include "gate/fetch.h"

static const struct role client_role;

/* --- a request that came */

const char client_malformed[] = "the request is not valid HTTP";

static int
method_is_idempotent(struct view m)
{
	return http_equal(m, "GET") || http_equal(m, "HEAD") ||
	    http_equal(m, "OPTIONS") || http_equal(m, "PUT") ||
	    http_equal(m, "DELETE");
}

/* The Python server does not say what it took off the path. */
static void
fetch_note_home(struct origin *o, const struct stream *s,
    const struct http_head *h)
{
	if (s->wire->flows && !opt->as_is)
		home_note(&o->home, h);
	else
		home_forget(&o->home);
}

/* Writes the request to the service; retry: it may be sent once more. */
static void
fetch_send(struct stream *s, const struct http_head *h, int retry)
{
	static unsigned char space[2 * HTTP_LINK_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	struct origin *to = origin_of(s);
	const struct http_head *seen = guise_request(h, to->target);

	if (seen != NULL)
		http_request_put(&o, seen, view_of(to->target->base),
		    s->from_link.framing == HTTP_CHUNKED);
	if (seen == NULL || o.len > o.cap) {
		client_fail(s, 502, "the head of the request is too large");
		return;
	}
	to->head_only = http_equal(h->method, "HEAD") != 0;
	to->foreign = guise_is_foreign(h) != 0;
	fetch_note_home(to, s, h);
	if (retry && to->reused && chain_put(&to->again, space, o.len) == -1)
		chain_free(&to->again);
	conn_put(to->c, space, o.len);
}

struct stream *
client_stream(struct link *l, const unsigned char id[16])
{
	struct stream *s = stream_new(&client_role, id);

	if (s == NULL)
		return NULL;
	stream_join(s, l);
	s->from_link.head_passed = 1;
	return s;
}

/* --- the service's answer */

/* Fills out with what goes on of head h.  Returns 0, or minus a status. */
static int
answer_head(struct http_head *out, const struct stream *s,
    const struct http_head *h)
{
	const struct origin *o = origin_of(s);

	memset(out, 0, offsetof(struct http_head, field));
	out->status = h->status;
	out->reason = h->reason;
	out->nfields = http_answer_fields(out->field, h);
	return rewrite_answer(out, o->target, &o->home) == 0 ?
	    0 : -502;
}

/* What the wire said of a head: whether s has failed, since it could not be put
 * there, or what follows it is not sound. */
static int
client_unsaid(struct stream *s, int r)
{
	if (r == -503)
		client_fault(s, SOURCE_NO_ROOM);
	else if (r < 0)
		client_fail(s, 502, "the head of the answer is too large");
	return r != 0;
}

static void
client_interim(struct stream *s, const struct http_head *h)
{
	struct http_head out;
	int r;

	if (++s->informational > INFORMATIONAL_MAX) {
		client_fail(s, 502, "the service sends interim answers without end");
		return;
	}
	r = answer_head(&out, s, h);
	client_unsaid(s, r < 0 ? r : s->wire->interim(s, &out));
}

/* After 101 both halves carry raw octets: before it nothing may come. */
static void
client_switched(struct stream *s)
{
	s->from_link.head_passed = 1;
	s->from_link.framing = HTTP_RAW;
	conn_guard(s->http, 1);
	stream_news(s);			/* some may have come behind the head */
}

/* After anything else the request has ended. */
static void
client_unswitched(struct stream *s)
{
	half_end(&s->from_link.half);
	stream_window_close(s);
}

/* Once: many dev servers answer so to a Host that they do not know. */
static void
client_hint_host(int status)
{
	static int said;

	if (!said)
		person_note("the service answered %d: if it does not know the "
		    "public host name, try --host-header rewrite", status);
	said = 1;
}

/* The final answer's head.  s may be over then. */
static void
client_begin(struct stream *s, const struct http_head *h)
{
	struct http_head out;
	int r = answer_head(&out, s, h);

	s->status = h->status;
	origin_of(s)->keep_alive = h->keep_alive &&
	    h->framing != HTTP_UNTIL_CLOSE;
	http_body_init(&s->to_link.body, h->framing, h->length);
	s->to_link.half.left = h->framing == HTTP_LENGTH ? h->length : -1;
	s->to_link.head_passed = 1;
	if (origin_of(s)->foreign && (h->status == 400 || h->status == 403))
		client_hint_host(h->status);
	if (client_unsaid(s, r < 0 ? r : s->wire->answer(s, &out, h)))
		return;
	if (h->framing == HTTP_RAW)
		client_switched(s);
	else if (s->upgrade)
		client_unswitched(s);
	if (h->framing == HTTP_LENGTH && h->length > s->to_link.limit)
		client_fault(s, SOURCE_TOO_BIG);
	else if (!half_is_open(&s->to_link.half))
		stream_passed_on(s);
}

/* Takes one head from rx.  Returns 1 if the next octets may be another, 0 if
 * it is the final one, has failed, or is not whole. */
static int
client_take_head(struct stream *s)
{
	struct origin *o = origin_of(s);
	struct conn *c = o->c;
	struct view in = buf_view(&c->rx);
	struct http_head h;
	int r = in.n == 0 ? 0 : http_answer_parse(&h, in.p, in.n, &c->scanned,
	    view_of(o->head_only ? "HEAD" : "GET"));

	if (r == 0)
		return 0;
	chain_free(&o->again);
	c->scanned = 0;
	if (r < 0) {
		client_fault(s, SOURCE_BAD);
		return 0;
	}
	/* What h points at stays there until rx is filled again. */
	buf_consume(&c->rx, (size_t)r);
	if (h.status == 101 && !s->upgrade) {
		client_fail(s, 502, "the service switched protocols unasked");
	} else if (h.status < 200 && h.status != 101) {
		client_interim(s, &h);
		return s->http == c;
	} else {
		client_begin(s, &h);
	}
	return 0;
}

/* Whether s still waits for its answer's head from c. */
static int
client_awaits_head(const struct stream *s, const struct conn *c)
{
	return s->http == c && half_is_open(&s->to_link.half) &&
	    !s->to_link.head_passed;
}

/* The connection of s has ended before its answer's head was whole. */
static void
client_unanswered(struct stream *s)
{
	if (origin_retry(s))
		return;
	if (s->http->rx.len == 0 && s->informational == 0)
		s->reset_flags = WS_UNANSWERED;
	client_fault(s, SOURCE_EOF);
}

static int
client_head(struct stream *s)
{
	struct conn *c = s->http;
	enum io io;

	if (c->state == CONN_CONNECT)
		return 0;
	for (;;) {
		while (client_take_head(s))
			continue;
		if (!client_awaits_head(s, c))
			return s->http == c && s->to_link.head_passed;
		io = conn_fill(c, MEM_LARGE);
		if (io == IO_WAIT)
			return 0;
		if (io == IO_NO_ROOM) {
			client_fault(s, SOURCE_NO_ROOM);
			return 0;
		}
		if (io != IO_DATA) {
			client_unanswered(s);
			return 0;
		}
	}
}

static void
client_stray(struct stream *s, const struct ws_msg *m)
{
	(void)m;
	link_fail(s->link, -1002, "a message out of its order");
}

static void
client_lost(struct stream *s, int status, const char *why)
{
	struct conn *c = s->http;

	(void)why;
	if (s->status == 0)
		s->status = status;
	if (c == NULL)
		return;
	stream_detach(s);
	conn_abort(c);
}

/* Why the answer was cut, for the person. */
static const char *
client_cut(const struct stream *s)
{
	return s->reset_status == 0 ? "the link to the server broke" :
	    s->reset_status == 499 ? "the caller left" :
	    "the server broke it off";
}

/* Has the person hear of the end of s, which has its name. */
static void
client_tell(const struct stream *s)
{
	if (s->wire->flows && (s->reset_flags & WS_UNREACHED) != 0)
		person_unreached(s);
	else
		person_request(s);
}

static void
client_over(struct stream *s)
{
	lasting_leave(s);
	if (s->to_link.half.state == WS_HALF_RESET && s->fault == NULL)
		s->fault = client_cut(s);
	if (s->label[0] != '\0')
		client_tell(s);
	if (s->http != NULL)
		origin_over(s);
}

static const struct role client_role = {
	.head = client_head, .fault = client_fault, .message = client_stray,
	.lost = client_lost, .over = client_over,
	.detached = origin_detached,
};

/* --- an answer of our own */

#define REFUSAL_MAX 2048		/* octets of an answer that says so */

/* Makes the error e an answer to h: its head is out.  Returns its body, good until the
 * next call, as is what out points at. */
static struct view
refusal(struct http_head *out, struct http_error *e, const struct http_head *h)
{
	static unsigned char space[REFUSAL_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	struct view body;
	size_t scanned = 0;
	int r;

	e->html = http_prefers_html(h->field, h->nfields);
	e->head_only = http_equal(h->method, "HEAD");
	e->keep_alive = e->minor = 1;
	e->date = -1;
	http_error_put(&o, e);
	must(o.len <= o.cap);
	r = http_answer_parse(out, space, o.len, &scanned, h->method);
	must(r > 0);
	body = http_out_view(&o);
	view_skip(&body, (size_t)r);
	return body;
}

/* Answers s, whose request has head h, in the place of the service with the error e.
 * s may be over then. */
static void
client_refuse(struct stream *s, const struct http_head *h,
    struct http_error *e)
{
	struct http_head out;
	struct view body = refusal(&out, e, h);

	s->status = e->status;
	s->fault = e->detail;
	s->to_link.head_passed = 1;
	if (client_unsaid(s, s->wire->whole(s, &out, body)))
		return;
	if (s->upgrade)
		client_unswitched(s);
	stream_passed_on(s);
}

/* --- starting on a request */

static enum http_framing
request_framing(const struct http_head *h, int has_body)
{
	if (!has_body)
		return HTTP_NO_BODY;
	return h->length >= 0 ? HTTP_LENGTH : HTTP_CHUNKED;
}

/* Names s, whose request has head h, for the person, who is to hear of it. */
static void
client_name(struct stream *s, const struct http_head *h)
{
	if (!log_has_level(LEVEL_INFO))
		return;
	stream_label(s->label, "%-6s %s", h->method, h->path);
	lasting_add(s);
}

void
client_start(struct stream *s, const struct http_head *h, int has_body)
{
	const struct target *target = s->link->of;
	int retry = method_is_idempotent(h->method) && !has_body &&
	    !s->upgrade && target_resends(target);
	struct http_error e = { .status = 0 };

	client_name(s, h);
	s->from_link.half.left = has_body ? h->length : -1;
	s->from_link.framing = request_framing(h, has_body);
	if (lock_refuses(&e, h))
		client_refuse(s, h, &e);
	else if (target->base[0] != '\0' && http_path_climbs(h->path))
		client_fail(s, 400, "the path climbs above the target's base "
		    "path");
	else if (origin_take(s, retry))
		fetch_send(s, lock_passes(h), retry);
}
