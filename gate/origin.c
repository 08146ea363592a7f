#ifdef __linux__
#define _GNU_SOURCE		/* each use under its own #ifdef */
#endif

#include <sys/socket.h>
#include <sys/types.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/loop.h"
#include "gate/addr.h"
#include "gate/net.h"
#include "gate/child.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"
#include "gate/v2.h"
#include "gate/held.h"
#include "gate/person.h"
#include "gate/v1_client.h"
#include "gate/origin.h"

#define ORIGIN_CONNECT_MS 5000		/* for all addresses together */
#define ORIGIN_IDLE_MS 4000
#define ORIGIN_FRESH_MS 1000		/* what is not idempotent takes none idle for longer */

struct cli cli;

static const struct kind origin_kind;

void
origin_drop(struct stream *s)
{
	struct conn *c = s->http;

	if (c == NULL)
		return;
	stream_detach(s);
	conn_kill(c);
}

void
client_fail(struct stream *s, int status, const char *why)
{
	s->status = status;
	s->fault = why;
	if (!s->link->v2 && !s->hold_begun) {
		v1_fail(s, status, why);
		return;
	}
	origin_drop(s);
	stream_reset(s, status, why);
}

static void
client_fault(struct stream *s, enum source_fault f)
{
	switch (f) {
	case SOURCE_EOF:
	case SOURCE_BROKEN:
		client_fail(s, 502, s->head_up ?
		    "the service broke off its answer" :
		    "the service closed the connection without an answer");
		break;
	case SOURCE_BAD:
		client_fail(s, 502, "the service's answer is not valid HTTP");
		break;
	case SOURCE_TOO_BIG:
		client_fail(s, 502, "the answer is too large for this server "
		    "(v1 holds 16 MiB at most)");
		break;
	case SOURCE_NO_ROOM:
		client_fail(s, 503, "the client is short of memory");
		break;
	}
}

static const char *
connect_why(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return "cannot connect to the service: connection refused";
	case ETIMEDOUT:
		return "cannot connect to the service: no answer in 5 s";
	case EMFILE:
	case ENFILE:
		return "cannot connect to the service: too many open files";
	default:
		return "cannot connect to the service";
	}
}

void
target_looked_up(struct endpoint *e, const char *error)
{
	if (error != NULL)
		person_note("cannot look up %s: %s", e->host, error);
}

/* Every address was tried: the name may have moved. */
static void
origin_unreachable(struct stream *s, int err)
{
	if (!host_is_numeric(cli.target.host))
		lookup_start(&cli.target, target_looked_up);
	client_fail(s, 504, cli.target.n == 0 ?
	    "cannot look up the name of the service" : connect_why(err));
}

/* The address to try as number n: the good one first, then the others. */
static int
target_nth(int n)
{
	if (n == 0)
		return cli.target.good;
	return n <= cli.target.good ? n - 1 : n;
}

/* Starts on the next address that does not fail at once.  Returns its fd, or
 * -1 with errno. */
static int
origin_dial(int *attempt)
{
	int fd = -1;

	errno = EHOSTUNREACH;
	while (fd == -1 && *attempt < cli.target.n)
		fd = endpoint_connect(&cli.target, target_nth((*attempt)++));
	return fd;
}

static struct conn *
origin_new(struct stream *s)
{
	int attempt = 0, fd = origin_dial(&attempt);
	struct conn *c;

	if (fd == -1) {
		origin_unreachable(s, errno);
		return NULL;
	}
	c = conn_new(&origin_kind, fd, CONN_CONNECT);
	if (c == NULL) {
		client_fail(s, 503, "the client is short of memory");
		return NULL;
	}
	c->attempt = attempt;
	c->stream = s;
	s->http = c;
	return c;
}

/* An address did not answer: the next one, on the same conn. */
static void
origin_next(struct conn *c, int err)
{
	int fd = origin_dial(&c->attempt);

	if (fd == -1) {
		origin_unreachable(c->stream, err);
		return;
	}
	close(c->fd);
	c->fd = fd;
	loop.pfd[c->slot].fd = fd;
	conn_touch(c);
}

static void
origin_connected(struct conn *c)
{
	int err = socket_error(c->fd);

	if (err != 0) {
		origin_next(c, err);
		return;
	}
	cli.target.good = target_nth(c->attempt - 1);
	conn_state(c, CONN_STREAM);
	conn_flush_later(c);
}

/* Whether an idle conn is still open and silent. */
static int
origin_is_alive(const struct conn *c)
{
	char b;
	ssize_t n = recv(c->fd, &b, 1, MSG_PEEK);

	return n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static int
method_is_idempotent(struct view m)
{
	return http_equal(m, "GET") || http_equal(m, "HEAD") ||
	    http_equal(m, "OPTIONS") || http_equal(m, "PUT") ||
	    http_equal(m, "DELETE");
}

/* An idle conn that is fit for the request, or NULL. */
static struct conn *
origin_reuse(struct stream *s, int idempotent)
{
	struct conn *c;

	while (cli.idle.tail != NULL) {
		c = cli.idle.tail->of;
		if (!idempotent && now_ms - c->since_ms >= ORIGIN_FRESH_MS)
			return NULL;
		list_leave(&c->place);
		if (!origin_is_alive(c)) {
			conn_kill(c);
			continue;
		}
		c->reused = 1;
		c->stream = s;
		s->http = c;
		c->rx_ms = c->tx_ms = now_ms;
		conn_state(c, CONN_STREAM);
		return c;
	}
	return NULL;
}

/* A reused conn ended before a byte of the answer: once more on a new one. */
static int
origin_retry(struct stream *s)
{
	struct conn *old = s->http, *c;
	struct chain head = s->again;

	if (!old->reused || head.len == 0 || old->rx.len > 0)
		return 0;
	memset(&s->again, 0, sizeof(s->again));
	stream_detach(s);
	conn_kill(old);
	s->sink_dead = 0;
	c = origin_new(s);
	if (c == NULL) {
		chain_free(&head);
		return 1;
	}
	c->tx = head;
	conn_flush_later(c);
	return 1;
}

/* Writes the request to the origin. */
static void
origin_send(struct stream *s, const struct ws_msg *m, struct conn *c)
{
	static unsigned char space[3 * HTTP_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };

	http_request_put(&o, m->method, view_of(cli.base), m->target, m->field,
	    m->nfields, s->sink, s->upgrade);
	if (o.len > o.cap) {
		client_fail(s, 502, "the head of the request is too large");
		return;
	}
	if (s->retry && c->reused && chain_put(&s->again, space, o.len) == -1)
		chain_free(&s->again);
	conn_put(c, space, o.len);
}

static const char *
request_fault(const struct ws_msg *m)
{
	if (!http_method_ok(m->method) || !http_path_ok(m->target) ||
	    !http_fields_ok(m->field, m->nfields))
		return "the request is not valid HTTP";
	if (cli.base[0] != '\0' && http_path_climbs(m->target))
		return "the path climbs above the target's base path";
	return NULL;
}

static enum http_framing
request_framing(const struct stream *s, const struct ws_msg *m)
{
	if (m->end || s->upgrade)
		return HTTP_NO_BODY;
	return msg_length_field(m) != NULL ? HTTP_LENGTH : HTTP_CHUNKED;
}

void
client_start(struct stream *s, struct ws_msg *m)
{
	const char *bad = request_fault(m);
	int idempotent = method_is_idempotent(m->method);
	struct conn *c;

	s->head_only = http_equal(m->method, "HEAD") != 0;
	stream_label(s, "%-6s %s", m->method, m->target);
	s->down.left = length_of(msg_length_field(m));
	if (bad == NULL && m->end && s->down.left > 0)
		bad = "the request's Content-Length is not that of its body";
	if (bad != NULL) {
		client_fail(s, 400, bad);
		return;
	}
	s->sink = request_framing(s, m);
	s->retry = idempotent && m->end;
	c = origin_reuse(s, idempotent);
	if (c == NULL)
		c = origin_new(s);
	if (c != NULL)
		origin_send(s, m, c);
}

static void
client_request_v2(struct link *l, struct ws_msg *m)
{
	struct stream *s;

	if (stream_find(m->id) != NULL || l->streams.n >= l->max_streams) {
		link_fail(l, -1002, "a request with an open id, or too many");
		return;
	}
	s = stream_new(&client_role, NULL, m->id);
	if (s == NULL) {
		link_close(l, 1013, "the client is out of memory");
		return;
	}
	stream_join(s, l);
	s->upgrade = !m->end && http_field_find(m->field, m->nfields,
	    "upgrade") != NULL;
	ws_half_init(&s->up, m->bytes, -1);
	ws_half_init(&s->down, m->end ? 0 : V2_WINDOW, -1);
	if (m->end)
		s->down.state = WS_HALF_ENDED;
	else if (window_open(s, V2_WINDOW) == -1) {
		client_fail(s, 503, "the client is short of memory");
		return;
	}
	s->head_down = 1;
	client_start(s, m);
}

static void
client_take_v2(struct link *l, unsigned char *p, size_t n)
{
	struct stream *s;

	if (take_text(l, p, n) == -1)
		return;
	switch (msg_in.type) {
	case WS_MSG_REQUEST:
		client_request_v2(l, &msg_in);
		break;
	case WS_MSG_LEAVE:
		l->leaving = l->leave_due = 1;
		l->peer_left = 1;
		link_later(l);
		break;
	case WS_MSG_ACK:
	case WS_MSG_UNKNOWN:
		break;
	default:
		if ((s = take_find(l, msg_in.id)) != NULL)
			take_for_stream(s, &msg_in);
	}
}

void
client_message(struct link *l, int opcode, unsigned char *p, size_t n)
{
	l->received++;
	if (!l->v2)
		client_request_v1(l, p, n);
	else if (opcode == WS_TEXT)
		client_take_v2(l, p, n);
	else
		take_body(l, p, n);
}

/* Passes the parsed head on.  Returns whether the link took it. */
static int
client_pass_head(struct stream *s, const struct http_head *h, int end)
{
	msg_start(s, WS_MSG_RESPONSE);
	msg_out.status = h->status;
	msg_out.reason = h->reason;
	msg_out.end = end;
	msg_out.nfields = http_answer_fields(msg_out.field, h);
	if (s->link->v2)
		return link_put_msg(s->link) == 0;
	return v1_begin(s, ws_v1_response_put) == 0;
}

/* An interim answer.  v1 has no place for it. */
static int
client_informational(struct stream *s, const struct http_head *h)
{
	if (++s->informational > 16) {
		client_fail(s, 502, "the service sends interim answers without end");
		return 0;
	}
	return !s->link->v2 || client_pass_head(s, h, 0);
}

static void
client_begin(struct stream *s, const struct http_head *h)
{
	int end = h->framing == HTTP_NO_BODY ||
	    (h->framing == HTTP_LENGTH && h->length == 0);

	s->status = h->status;
	s->http->keep_alive = h->keep_alive && h->framing != HTTP_UNTIL_CLOSE;
	if (!client_pass_head(s, h, end)) {
		client_fail(s, 502, "the head of the answer is too large");
		return;
	}
	s->head_up = 1;
	http_body_init(&s->source, h->framing, h->length);
	s->up.left = h->framing == HTTP_LENGTH ? h->length : -1;
	if (!s->link->v2) {
		s->up_limit = v1_body_max(s);
		if (h->framing == HTTP_LENGTH && h->length > s->up_limit)
			client_fault(s, SOURCE_TOO_BIG);
		return;
	}
	if (h->framing == HTTP_RAW) {
		s->sink = HTTP_RAW;
		conn_guard(s->http, 1);
	} else if (s->upgrade)
		s->down.state = WS_HALF_ENDED;
	if (end) {
		s->up.state = WS_HALF_ENDED;
		stream_up_ended(s);
	}
}

/* One head from rx.  Returns 1 when the final one has passed, 0 to wait or
 * because s has ended, -1 to look again. */
static int
client_take_head(struct stream *s)
{
	struct conn *c = s->http;
	struct http_head *h = &cli.head;
	struct view in = buf_view(&c->rx);
	int r = in.n == 0 ? 0 : http_answer_parse(h, in.p, in.n, &c->scanned,
	    view_of(s->head_only ? "HEAD" : "GET"));

	if (r == 0)
		return 0;
	chain_free(&s->again);
	c->scanned = 0;
	if (r < 0 || (h->status == 101 && !s->upgrade)) {
		client_fail(s, 502, r < 0 ?
		    "the service's answer is not valid HTTP" :
		    "the service switched protocols unasked");
		return 0;
	}
	if (h->status < 200 && h->status != 101) {
		r = client_informational(s, h) ? r : 0;
		if (s->http != NULL)
			buf_consume(&c->rx, (size_t)r);
		return r > 0 ? -1 : 0;
	}
	client_begin(s, h);
	if (s->http != NULL)
		buf_consume(&c->rx, (size_t)r);
	return s->up.state == WS_HALF_OPEN && s->http != NULL && s->head_up;
}

static int
client_head(struct stream *s)
{
	struct conn *c = s->http;
	int done;
	enum io io;

	if (c->state == CONN_CONNECT)
		return 0;
	for (;;) {
		while ((done = client_take_head(s)) == -1)
			;
		if (done || s->http != c || s->up.state != WS_HALF_OPEN ||
		    s->head_up || s->send_due)
			return done;
		io = conn_fill(c, pool_size[POOL_LARGE]);
		if (io == IO_WAIT)
			return 0;
		if (io != IO_DATA) {
			if (!origin_retry(s))
				client_fault(s, SOURCE_EOF);
			return 0;
		}
	}
}

static void
client_sink_gone(struct stream *s)
{
	s->sink_dead = 1;
	chain_free(&s->http->tx);
	stream_news(s);
}

static void
client_stray(struct stream *s, struct ws_msg *m)
{
	(void)m;
	link_fail(s->link, -1002, "a message out of its order");
}

static void
client_lost(struct stream *s, int status, const char *why)
{
	(void)why;
	if (s->status == 0)
		s->status = status;
	if (s->http != NULL)
		conn_abort(s->http);
	stream_detach(s);
}

/* Whether the conn is as good as new for another request. */
static int
origin_is_clean(const struct stream *s, const struct conn *c)
{
	return s->up.state == WS_HALF_ENDED && s->down.state == WS_HALF_ENDED &&
	    c->keep_alive && c->tx.len == 0 && c->rx.len == 0 && !c->rd_eof &&
	    !s->sink_dead;
}

static void
client_over(struct stream *s)
{
	struct conn *c = s->http;

	chain_free(&s->again);
	if (s->label[0] != '\0')
		person_request(s);
	if (c == NULL)
		return;
	stream_detach(s);
	if (s->sink == HTTP_RAW && s->up.state == WS_HALF_ENDED) {
		conn_linger(c);
	} else if (origin_is_clean(s, c)) {
		conn_state(c, CONN_IDLE);
		list_add(&cli.idle, &c->place, c);
	} else if (s->up.state == WS_HALF_RESET) {
		conn_abort(c);
	} else {
		conn_kill(c);
	}
}

const struct role client_role = {
	.head = client_head, .fault = client_fault,
	.sink_gone = client_sink_gone, .message = client_stray,
	.lost = client_lost, .over = client_over,
};

static void
origin_ready(struct conn *c, short revents)
{
	struct stream *s = c->stream;

	if (c->state == CONN_IDLE) {
		conn_kill(c);
		return;
	}
	if (c->state == CONN_CONNECT) {
		origin_connected(c);
		return;
	}
	if (revents & POLLOUT)
		conn_flush_later(c);
	if (s == NULL || !(revents & ~POLLOUT))
		return;
	if ((revents & (POLLERR | POLLHUP)) && !stream_reads(s))
		loop_remove(c);
	if (revents & POLLERR)
		client_sink_gone(s);
	else
		stream_news(s);
}

static void
origin_broken(struct conn *c)
{
	if (c->stream != NULL)
		client_sink_gone(c->stream);
	else
		conn_kill(c);
}

static short
origin_events(const struct conn *c)
{
	short ev = c->tx.len > 0 ? POLLOUT : 0;

	if (c->state == CONN_CONNECT)
		return POLLOUT;
	if (c->state == CONN_IDLE)
		return POLLRDHUP != 0 ? POLLRDHUP : POLLIN;
	if (c->stream != NULL && stream_reads(c->stream) && !c->rd_eof)
		ev = (short)(ev | POLLIN);
	return ev;
}

static long long
origin_deadline(const struct conn *c)
{
	if (c->state == CONN_IDLE)
		return c->since_ms + ORIGIN_IDLE_MS;
	if (c->state == CONN_CONNECT)
		return c->since_ms + ORIGIN_CONNECT_MS * c->attempt /
		    (cli.target.n > 0 ? cli.target.n : 1);
	return NEVER;
}

static void
origin_expire(struct conn *c)
{
	if (c->state == CONN_CONNECT)
		origin_next(c, ETIMEDOUT);
	else
		conn_kill(c);
}

static const struct kind origin_kind = {
	.name = "origin", .ready = origin_ready, .sent = stream_sent,
	.broken = origin_broken, .events = origin_events,
	.deadline = origin_deadline, .expire = origin_expire,
};
