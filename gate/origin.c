#ifdef __linux__
#define _GNU_SOURCE		/* POLLRDHUP: under its own #ifdef */
#endif

#include <sys/socket.h>
#include <sys/types.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/conn.h"
#include "gate/net.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"
#include "gate/target.h"
#include "gate/origin.h"

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

#define IDLE_MS 4000
#define FRESH_MS 1000		/* a request that could not be sent again takes no conn that was
				   idle for longer */
#define HALF_MS 2000		/* for a service that does not hear of its caller's end */

static const struct kind origin_kind;
static int origin_take_back(struct origin *o);

struct origin *
origin_of(const struct stream *s)
{
	return s->http->of;
}

static struct target *
target_of(const struct stream *s)
{
	return s->link->of;
}

static void
origin_attach(struct origin *o, struct stream *s)
{
	o->stream = s;
	o->sent = 0;
	s->http = o->c;
}

void
origin_detached(struct stream *s)
{
	origin_of(s)->stream = NULL;
}

/* Lets go of a conn that is of no more use. */
static void
origin_drop(struct stream *s)
{
	struct conn *c = s->http;

	if (c == NULL)
		return;
	stream_detach(s);
	conn_kill(c);
}

/* --- what goes wrong */

const char client_no_memory[] = "the client is short of memory";

void
client_fail(struct stream *s, int status, const char *why)
{
	s->status = status;
	s->fault = why;
	origin_drop(s);
	s->wire->fail(s, status, why);
}

void
client_fault(struct stream *s, enum source_fault f)
{
	switch (f) {
	case SOURCE_EOF:
	case SOURCE_BROKEN:
		client_fail(s, 502, s->to_link.head_passed ?
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
		client_fail(s, 503, client_no_memory);
		break;
	}
}

/* --- connections */

static void
origin_unreachable(struct stream *s, const struct attempt *a)
{
	struct unreached u = target_failed(target_of(s), a);

	s->reset_flags = (unsigned char)(s->reached ? WS_UNANSWERED : u.flags);
	client_fail(s, u.status, u.why);
}

/* The connection stands. */
static void
origin_begin(struct origin *o)
{
	conn_state(o->c, CONN_STREAM);
	conn_flush_later(o->c);
}

/* The helper that carries o has come further, or has ended. */
static void
origin_carried(void *of)
{
	struct origin *o = of;
	const struct carrier *by = o->attempt.carrier;

	if (conn_is_dead(o->c))
		return;
	if (by->state == CARRIER_CONNECTS) {
		o->c->since_ms = now_ms;	/* its time begins now */
		conn_touch(o->c);
	} else if (by->state == CARRIER_STANDS) {
		origin_begin(o);
	} else if (o->c->state == CONN_CONNECT) {
		origin_unreachable(o->stream, &o->attempt);
	} else if (!origin_take_back(o) && by->helper.failed) {
		conn_doubt(o->c);
	}
}

/* Makes a new connection for s.  NULL: s has failed. */
static struct origin *
origin_connect(struct stream *s)
{
	struct origin *o = calloc(1, sizeof(*o));
	int fd;

	if (o == NULL) {
		client_fault(s, SOURCE_NO_ROOM);
		return NULL;
	}
	o->target = target_of(s);
	o->attempt.news = origin_carried;
	o->attempt.of = o;
	fd = target_connect(o->target, &o->attempt);
	if (fd == -1) {
		origin_unreachable(s, &o->attempt);
		free(o);
		return NULL;
	}
	o->c = conn_new(&origin_kind, o, fd, CONN_CONNECT);
	if (o->c == NULL) {
		attempt_end(&o->attempt);
		free(o);
		client_fault(s, SOURCE_NO_ROOM);
		return NULL;
	}
	conn_count_in(o->c, account_octets(&o->target->account));
	o->again.sum = o->c->tx.sum;
	origin_attach(o, s);
	return o;
}

/* An address did not answer: tries the next one, on the same conn. */
static void
origin_next(struct origin *o, int err)
{
	int fd;

	target_refused(&o->attempt, err);
	fd = target_connect(o->target, &o->attempt);
	if (fd == -1)
		origin_unreachable(o->stream, &o->attempt);
	else
		conn_replace_fd(o->c, fd);
}

static void
origin_connected(struct origin *o)
{
	int err = socket_error(o->c->watch.fd);

	if (err != 0) {
		origin_next(o, err);
		return;
	}
	target_answered(o->target, &o->attempt);
	origin_begin(o);
}

/* Whether an idle conn is still open and silent. */
static int
origin_is_alive(const struct conn *c)
{
	char b;
	ssize_t n;

	if (pollset_is_silent(&c->watch))
		return 1;
	n = recv(c->watch.fd, &b, 1, MSG_PEEK);
	return n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static struct origin *
idle_newest(const struct target *t)
{
	return t->idle.tail != NULL ? t->idle.tail->of : NULL;
}

/* An idle connection that is fit for s, or NULL.  retry: s could be sent once
 * more, should that turn out to be closed. */
static struct origin *
origin_reuse(struct stream *s, int retry)
{
	struct origin *o;

	while ((o = idle_newest(target_of(s))) != NULL) {
		if (!retry && now_ms - o->c->since_ms >= FRESH_MS)
			return NULL;
		list_leave(&o->place);
		if (conn_is_dead(o->c) || !origin_is_alive(o->c)) {
			conn_kill(o->c);
			continue;
		}
		o->reused = 1;
		o->c->rx_ms = o->c->tx_ms = now_ms;
		conn_state(o->c, CONN_STREAM);
		origin_attach(o, s);
		return o;
	}
	return NULL;
}

/* Sends the request of s once more, on a new connection: all of what went of it, which
 * is freed.  s may fail. */
static void
origin_anew(struct stream *s, struct chain all)
{
	struct origin *old = origin_of(s), *o;
	int head_only = old->head_only, foreign = old->foreign;
	struct home home = old->home;

	memset(&old->home, 0, sizeof(old->home));
	origin_drop(s);
	s->from_link.dropped = 0;
	o = origin_connect(s);
	if (o == NULL) {
		chain_free(&all);
		home_forget(&home);
		return;
	}
	o->head_only = head_only != 0;
	o->foreign = foreign != 0;
	o->home = home;
	o->c->tx = all;
	conn_flush_later(o->c);
}

int
origin_retry(struct stream *s)
{
	struct origin *old = origin_of(s);
	struct chain head = old->again;

	if (!old->reused || head.len == 0 || old->c->rx.len > 0)
		return 0;
	memset(&old->again, 0, sizeof(old->again));
	s->reached = 1;
	origin_anew(s, head);
	return 1;
}

/* Whether all of a whole request is where the helper of o, which has ended, left
 * it. */
static int
origin_was_unheard(const struct origin *o)
{
	const struct stream *s = o->stream;

	return o->reused && s != NULL && !s->to_link.head_passed &&
	    !half_is_open(&s->from_link.half) && !s->upgrade &&
	    o->c->tx.len == 0 && o->c->rx.len == 0 && o->sent > 0 &&
	    carrier_untaken(o->attempt.carrier) == o->sent;
}

/* Where that is so the service has seen none of it, and it goes to another.  Returns
 * whether it was so; the stream may have failed. */
static int
origin_take_back(struct origin *o)
{
	struct stream *s = o->stream;
	struct chain all = o->again;	/* counts where that does */
	char space[4096];
	size_t n;

	if (!origin_was_unheard(o))
		return 0;
	memset(&o->again, 0, sizeof(o->again));
	while ((n = carrier_take_back(o->attempt.carrier, space,
	    sizeof(space))) > 0)
		if (chain_put(&all, space, n) == -1) {
			chain_free(&all);
			client_fault(s, SOURCE_NO_ROOM);
			return 1;
		}
	origin_anew(s, all);
	return 1;
}

int
origin_take(struct stream *s, int retry)
{
	return origin_reuse(s, retry) != NULL || origin_connect(s) != NULL;
}

/* --- when a request is over */

/* Whether o, after s, may serve another request. */
static int
origin_is_clean(const struct stream *s, const struct origin *o)
{
	const struct conn *c = o->c;

	return s->to_link.half.state == WS_HALF_ENDED &&
	    s->from_link.half.state == WS_HALF_ENDED && o->keep_alive &&
	    c->state == CONN_STREAM && c->tx.len == 0 && c->rx.len == 0 &&
	    !c->rd_eof && !s->from_link.dropped &&
	    attempt_stands(&o->attempt);
}

/* Gives the connection of o, which is at rest, to w, which waits for one.  o is of no
 * more use. */
static void
origin_pass(struct origin *o, struct origin *w)
{
	int fd = fcntl(o->c->watch.fd, F_DUPFD_CLOEXEC, 0);

	if (fd != -1) {
		carrier_swap(&o->attempt.carrier, &w->attempt.carrier);
		attempt_end(&o->attempt);
		conn_replace_fd(w->c, fd);
		w->reused = 1;
		origin_begin(w);
	}
	conn_kill(o->c);
}

/* Who waits first for a connection to t, or NULL. */
static struct origin *
waiting_first(const struct target *t)
{
	struct origin *w;

	while ((w = target_waiting(t)) != NULL && conn_is_dead(w->c))
		attempt_end(&w->attempt);
	return w;
}

/* o has done its work, and may do more. */
static void
origin_keep(struct origin *o)
{
	struct origin *w = waiting_first(o->target);

	if (w != NULL) {
		origin_pass(o, w);
		return;
	}
	conn_state(o->c, CONN_IDLE);
	list_add(&o->target->idle, &o->place, o);
}

void
origin_over(struct stream *s)
{
	struct origin *o = origin_of(s);

	chain_free(&o->again);
	stream_detach(s);
	if (s->from_link.framing == HTTP_RAW &&
	    s->to_link.half.state == WS_HALF_ENDED) {
		conn_linger(o->c);
	} else if (origin_is_clean(s, o)) {
		origin_keep(o);
	} else if (s->to_link.half.state == WS_HALF_RESET) {
		conn_abort(o->c);
	} else {
		conn_kill(o->c);
	}
}

/* Ends a connection to t: one that is kept, else one at work.  Returns 0, or
 * -1: there is none. */
static int
origin_evict(struct target *t)
{
	struct origin *o = idle_newest(t);
	struct stream *s;

	if (o != NULL) {
		list_leave(&o->place);
		conn_kill(o->c);
		return 0;
	}
	s = stream_first_tied();
	if (s == NULL)
		return -1;
	client_fail(s, 503, "too many connections at the client");
	return 0;
}

void
origins_crowded(struct target *t, size_t most)
{
	while (pollset_size() > most && origin_evict(t) == 0)
		conns_bury();
}

/* --- the conn */

/* The service takes no more of the request, but its answer may still come.  FIN
 * tells it that nothing more does, should it wait for that. */
static void
origin_sink_gone(struct stream *s)
{
	s->from_link.dropped = 1;
	chain_free(&s->http->tx);
	conn_end(s->http);
	stream_news(s);
}

static void
origin_ready(struct conn *c, short revents)
{
	struct origin *o = c->of;
	struct stream *s = o->stream;

	if (c->state == CONN_IDLE) {
		conn_kill(c);
		return;
	}
	if (c->state == CONN_CONNECT) {
		origin_connected(o);
		return;
	}
	if (revents & POLLOUT)
		conn_flush_later(c);
	if (s == NULL || !(revents & ~POLLOUT))
		return;
	if ((revents & (POLLERR | POLLHUP)) && !stream_reads(s))
		pollset_remove(&c->watch);
	if (revents & POLLERR)
		origin_sink_gone(s);
	else
		stream_news(s);
}

static void
origin_sent(struct conn *c, size_t n)
{
	struct origin *o = c->of;

	o->sent += n;
	if (o->stream != NULL)
		stream_sent(o->stream);
}

static void
origin_broken(struct conn *c)
{
	struct origin *o = c->of;

	if (o->stream != NULL)
		origin_sink_gone(o->stream);
	else
		conn_kill(c);
}

/* A conn that still has its stream was broken off by ourselves. */
static void
origin_gone(struct conn *c)
{
	struct origin *o = c->of;

	if (o->stream != NULL)
		client_fault(o->stream, SOURCE_NO_ROOM);
	must(o->stream == NULL);
	list_leave(&o->place);
	chain_free(&o->again);
	home_forget(&o->home);
	attempt_end(&o->attempt);
	free(o);
}

static short
origin_events(const struct conn *c)
{
	const struct origin *o = c->of;
	short ev = c->tx.len > 0 ? POLLOUT : 0;

	if (c->state == CONN_CONNECT)
		return o->attempt.carrier == NULL ? POLLOUT : 0;
	if (c->state == CONN_IDLE)
		return POLLIN | POLLRDHUP;
	if (o->stream != NULL && stream_reads(o->stream) && !c->rd_eof)
		ev = (short)(ev | POLLIN);
	return ev;
}

static enum rest
origin_rests(const struct conn *c)
{
	return c->state == CONN_IDLE ? REST_NOW :
	    c->state == CONN_STREAM ? REST_QUIET : REST_NEVER;
}

/* Whether o waits for more from a service that cannot hear that nothing more comes:
 * a helper does not pass on the end of what it is given. */
static int
origin_ends_untold(const struct origin *o)
{
	return o->c->wr_shut && o->attempt.carrier != NULL &&
	    o->stream != NULL && stream_reads(o->stream);
}

static long long
origin_deadline(const struct conn *c)
{
	const struct origin *o = c->of;

	if (c->state == CONN_IDLE)
		return c->since_ms +
		    (target_resends(o->target) ? IDLE_MS : FRESH_MS);
	if (c->state == CONN_CONNECT)
		return target_patience(o->target, &o->attempt, c->since_ms);
	if (origin_ends_untold(o))
		return HALF_MS + (c->rx_ms > c->tx_ms ? c->rx_ms : c->tx_ms);
	return NEVER;
}

static void
origin_expire(struct conn *c)
{
	struct origin *o = c->of;

	if (c->state == CONN_CONNECT)
		origin_next(o, ETIMEDOUT);
	else if (o->stream != NULL)
		client_fail(o->stream, 502, "the caller ended, which TLS "
		    "does not tell the service");
	else
		conn_kill(c);
}

static const struct kind origin_kind = {
	.name = "origin", .ready = origin_ready, .sent = origin_sent,
	.broken = origin_broken, .gone = origin_gone,
	.events = origin_events, .rests = origin_rests,
	.deadline = origin_deadline, .expire = origin_expire,
};
