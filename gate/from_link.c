#include <sys/uio.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"

#define SMALL_PIECE 2048	/* smaller pieces of a body are copied, not gathered */
#define GATHER_MAX 16
#define SETTLE_ROUNDS 8		/* then the loop looks at events first */

static struct {
	struct stream *s;		/* NULL: nothing waits */
	struct iovec iov[3 * GATHER_MAX];
	unsigned char head[GATHER_MAX][20];
	int k;				/* entries of iov */
	int n;				/* pieces */
	size_t octets;			/* of all entries */
	size_t body;			/* of these, octets of the body */
} gather;

static int
sink_is_open(const struct stream *s)
{
	return !s->from_link.dropped && s->http != NULL &&
	    !conn_is_dead(s->http);
}

/* What is queued goes first; writing it may find out that the conn is broken. */
void
gather_write(void)
{
	struct stream *s = gather.s;

	gather.s = NULL;
	if (s == NULL || !sink_is_open(s))
		return;
	if (s->http->tx.len > 0)
		conn_flush(s->http);
	if (!sink_is_open(s))
		return;
	s->from_link.held += gather.body;
	conn_write(s->http, gather.iov, gather.k, gather.octets);
}

static void
gather_add(const void *p, size_t n)
{
	gather.iov[gather.k].iov_base = (void *)p;
	gather.iov[gather.k++].iov_len = n;
	gather.octets += n;
}

static void
gather_piece(struct stream *s, const unsigned char *p, size_t n, int chunked)
{
	unsigned char *head;

	if (gather.s != s || gather.n == GATHER_MAX) {
		gather_write();
		gather.s = s;
		gather.k = gather.n = 0;
		gather.octets = gather.body = 0;
	}
	head = gather.head[gather.n++];
	if (chunked)
		gather_add(head, http_chunk_head(head, n));
	gather_add(p, n);
	gather.body += n;
	if (chunked)
		gather_add("\r\n", 2);
}

/* Queues a copy of a small piece. */
static void
sink_put(struct stream *s, const unsigned char *p, size_t n, int chunked)
{
	unsigned char head[20];

	gather_write();
	if (!sink_is_open(s))
		return;			/* it broke just now */
	s->from_link.held += n;
	if (chunked)
		conn_put(s->http, head, http_chunk_head(head, n));
	conn_put(s->http, p, n);
	if (chunked)
		conn_put(s->http, "\r\n", 2);
}

static void
sink_write(struct stream *s, const unsigned char *p, size_t n)
{
	int chunked = s->from_link.framing == HTTP_CHUNKED;

	if (n >= SMALL_PIECE)
		gather_piece(s, p, n, chunked);
	else
		sink_put(s, p, n, chunked);
}

int
sink_overflows(const struct stream *s)
{
	return s->http != NULL &&
	    s->http->tx.len > 2 * s->from_link.held + MEM_SMALL &&
	    !account_may_grow(s->link->account, SHARE_OCTETS);
}

/* n octets pass the half, which ends with them or goes on.  Returns as
 * stream_take(). */
static int
take_octets(struct stream *s, const unsigned char *p, size_t n, int end)
{
	static const char wrong_length[] =
	    "the body is not as long as its Content-Length says";
	static const char no_room[] =
	    "small pieces fill the memory that is left";
	int r = ws_half_pass(&s->from_link.half, n, end);

	if (r == -1002)
		return r;
	stream_window_use(s, n);
	if (s->wire->flows) {
		window_came(&s->from_link.window, &s->link->path, n);
		link_carried(s->link, n);
	}
	if (r == -1) {
		gather_write();
		stream_break(s, 502, wrong_length);
		return 0;
	}
	s->from_link.octets += (long long)n;
	if (n > 0 && sink_is_open(s))
		sink_write(s, p, n);
	else
		stream_window_gone(s, n);
	if (sink_overflows(s))
		stream_break(s, 503, no_room);
	return 0;
}

int
stream_take(struct stream *s, const unsigned char *p, size_t n)
{
	return take_octets(s, p, n, 0);
}

static void
sink_put_last_chunk(struct stream *s, const struct http_field *f, size_t n)
{
	unsigned char space[HTTP_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };

	http_last_chunk_put(&o, f, n);
	if (o.len > o.cap) {
		o.len = 0;
		http_last_chunk_put(&o, NULL, 0);
	}
	conn_put(s->http, space, o.len);
}

/* The half has ended: so does what is written to the conn. */
static void
take_end(struct stream *s, const struct http_field *f, size_t n)
{
	gather_write();
	if (s->life == STREAM_FREED)
		return;			/* its conn broke just now */
	stream_window_close(s);
	if (s->from_link.framing == HTTP_CHUNKED && sink_is_open(s))
		sink_put_last_chunk(s, f, n);
	if (s->from_link.framing == HTTP_RAW && s->http != NULL)
		conn_end(s->http);
	if (s->role->answer_comes && half_is_open(&s->to_link.half) &&
	    s->from_link.framing != HTTP_RAW)
		stream_reset(s, 502, stream_answered);
	else
		stream_check(s);
}

int
stream_take_last(struct stream *s, const unsigned char *p, size_t n,
    const struct http_field *f, size_t nf)
{
	int r = take_octets(s, p, n, 1);

	if (r == 0 && s->from_link.half.state == WS_HALF_ENDED)
		take_end(s, f, nf);
	return r;
}

void
stream_sent(struct stream *s)
{
	size_t before = s->from_link.held;

	s->from_link.held = min_size(before, s->http->tx.len);
	if (before > s->from_link.held)
		stream_window_gone(s, before - s->from_link.held);
}

long long
stream_stall_deadline(const struct conn *c)
{
	return c->tx.len > 0 ? c->tx_ms + WRITE_STALL_MS : NEVER;
}

void
streams_orphan(struct link *l, const char *why)
{
	struct stream *s;

	gather_write();
	while ((s = list_first(&l->streams)) != NULL) {
		int lost = half_is_open(&s->from_link.half);

		list_leave(&s->turn);
		s->reset_why = NULL;
		stream_drop_halves(s);
		if (lost)
			s->role->lost(s, 502, why);
		stream_check(s);
	}
}

/* --- settling */

static void
link_settle(struct link *l)
{
	int served;

	if (l->path.grew)
		streams_widen(l);
	served = link_serve(l);
	if (link_is_dead(l))
		return;
	if (link_flush(l) && served && !turn_none(l))
		link_later(l);
	link_close_due(l);
}

/* Takes the turn of l's account in that round.  Returns 0 where another link has
 * had it: one of each has, so that nobody gains by having many. */
static int
link_take_turn(const struct link *l, unsigned int round)
{
	if (!link_is_live(l))
		return 1;
	if (l->account->round == round)
		return 0;
	l->account->round = round;
	return 1;
}

static void
links_settle(void)
{
	static unsigned int round;
	struct link *l;
	int n;

	/* Links that are marked anew meanwhile wait for the next round, behind
	 * those whose turn is still to come. */
	round++;
	for (n = links_wait(); n > 0 && (l = link_take_later()) != NULL; n--) {
		if (link_take_turn(l, round))
			link_settle(l);
		else
			link_passed_over(l);
	}
	links_put_back();
}

void
settle(void (*more)(void))
{
	int i;

	for (i = 0; i < SETTLE_ROUNDS; i++) {
		if (more != NULL)
			more();
		if (!conns_wait_flush() && links_wait() == 0)
			break;
		conns_flush();
		links_settle();
	}
	if (i == SETTLE_ROUNDS)
		loop_again();
	streams_sweep();
#ifdef AUDIT
	streams_audit();
#endif
}
