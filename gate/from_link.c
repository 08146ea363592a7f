#include <sys/uio.h>

#include "gate/say.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/loop.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/to_link.h"
#include "gate/from_link.h"

/* Large pieces that came for one stream in a row are written together, from
 * where they lie in the link's buffer: before that moves, or anything else is
 * done with the conn, gather_write() must be called. */
#define GATHER_MAX 16

static struct {
	struct conn *c;			/* NULL: nothing waits */
	struct iovec iov[3 * GATHER_MAX];
	unsigned char head[GATHER_MAX][20];
	int k, n;			/* entries of iov; pieces */
	size_t octets;
} gather;

void
gather_write(void)
{
	struct conn *c = gather.c;

	gather.c = NULL;
	if (c == NULL || c->dead)
		return;
	if (c->tx.len > 0)
		conn_flush(c);
	if (!c->dead)
		conn_write(c, gather.iov, gather.k, gather.octets);
}

static void
gather_add(const void *p, size_t n)
{
	gather.iov[gather.k].iov_base = (void *)p;
	gather.iov[gather.k++].iov_len = n;
	gather.octets += n;
}

static void
gather_piece(struct conn *c, const unsigned char *p, size_t n, int chunked)
{
	unsigned char *head;

	if (gather.c != c || gather.n == GATHER_MAX) {
		gather_write();
		gather.c = c;
		gather.k = gather.n = 0;
		gather.octets = 0;
	}
	head = gather.head[gather.n++];
	if (chunked)
		gather_add(head, http_chunk_head(head, n));
	gather_add(p, n);
	if (chunked)
		gather_add("\r\n", 2);
}

/* Octets for the conn, with the framing that it was promised. */
static void
down_write(struct stream *s, const unsigned char *p, size_t n)
{
	int chunked = s->sink == HTTP_CHUNKED;
	unsigned char head[20];

	s->held += n;
	if (n >= SMALL_PIECE && s->link != NULL && s->link->v2) {
		gather_piece(s->http, p, n, chunked);
		return;
	}
	gather_write();
	if (s->http == NULL)
		return;			/* it broke just now */
	if (chunked)
		conn_put(s->http, head, http_chunk_head(head, n));
	conn_put(s->http, p, n);
	if (chunked)
		conn_put(s->http, "\r\n", 2);
}

int
stream_down(struct stream *s, const unsigned char *p, size_t n, int end)
{
	static const char wrong_length[] =
	    "the body is not as long as its Content-Length says";
	int r = ws_half_pass(&s->down, n, end);
	size_t charged = min_size(n, (size_t)s->promised);

	if (r == -1002)
		return r;
	s->promised -= (long long)charged;
	budget_return(charged);
	if (r == -1) {
		gather_write();
		s->down.state = WS_HALF_OPEN;
		s->role->lost(s, 502, wrong_length);
		stream_reset(s, 502, wrong_length);
		return 0;
	}
	s->down_bytes += (long long)n;
	if (n > 0 && !s->sink_dead && s->http != NULL && !s->http->dead)
		down_write(s, p, n);
	else
		window_freed(s, n);
	return 0;
}

void
stream_down_end(struct stream *s, const struct http_field *f, size_t n)
{
	unsigned char space[HTTP_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };

	gather_write();
	window_close(s);
	if (s->sink == HTTP_CHUNKED && !s->sink_dead && s->http != NULL) {
		http_last_chunk_put(&o, f, n);
		if (o.len > o.cap) {
			o.len = 0;
			http_last_chunk_put(&o, NULL, 0);
		}
		conn_put(s->http, space, o.len);
	}
	if (s->sink == HTTP_RAW && s->http != NULL) {
		s->shut_due = 1;
		conn_flush_later(s->http);
	}
	if (s->role->answer_down && s->up.state == WS_HALF_OPEN &&
	    s->sink != HTTP_RAW)
		stream_reset(s, 502, answered);
	else
		stream_check(s);
}

void
stream_sent(struct conn *c, size_t n)
{
	struct stream *s = c->stream;
	size_t before;

	(void)n;
	if (s == NULL)
		return;
	before = s->held;
	s->held = min_size(before, c->tx.len);
	if (before > s->held)
		window_freed(s, before - s->held);
}

void
streams_orphan(struct link *l, const char *why)
{
	struct stream *s;

	gather_write();
	while ((s = list_first(&l->streams)) != NULL) {
		int lost = s->down.state == WS_HALF_OPEN;

		s->reset_due = 0;
		s->hold_begun = 0;
		list_leave(&s->turn);
		stream_drop_halves(s);
		stream_leave_link(s);
		if (lost)
			s->role->lost(s, 502, why);
		stream_check(s);
	}
}

long long
stream_stall_deadline(const struct conn *c)
{
	return c->tx.len > 0 ? c->tx_ms + WRITE_STALL_MS : NEVER;
}

/* After a flush: the FIN that was to follow. */
static void
stream_shut_due(struct conn *c)
{
	struct stream *s = c->stream;

	if (s != NULL && s->shut_due && c->tx.len == 0) {
		s->shut_due = 0;
		conn_shut(c);
	}
}

void (*settle_more)(void);	/* of the server: queues */

static void
settle_flushes(void)
{
	struct conn *c;

	while ((c = loop.flush) != NULL) {
		loop.flush = c->flush_next;
		c->flushing = 0;
		if (c->dead || c->state == CONN_CONNECT)
			continue;
		conn_flush(c);
		if (c->dead)
			continue;
		if (c->tx.len > 0 && c->kind->blocked != NULL)
			c->kind->blocked(c);
		stream_shut_due(c);
	}
}

static void
settle_links(void)
{
	struct link *l, *list = later_links;

	later_links = NULL;
	while ((l = list) != NULL) {
		list = l->later_next;
		l->later = 0;
		if (l->freed)
			continue;
		link_serve(l);
		if (l->freed || l->c->dead)
			continue;
		if (link_flush(l) && !turn_none(l))
			link_later(l);
		if (!l->freed && l->close_out && l->close_in && l->tx.len == 0)
			link_closed(l);
	}
}

#define SETTLE_ROUNDS 8		/* then others have their events looked at first */

void
settle(void)
{
	int i;

	for (i = 0; i < SETTLE_ROUNDS; i++) {
		if (settle_more != NULL)
			settle_more();
		if (loop.flush == NULL && later_links == NULL)
			break;
		settle_flushes();
		settle_links();
	}
	loop.again = i == SETTLE_ROUNDS;
	streams_sweep();
	links_sweep();
}

void
streams_retry(void)
{
	struct link *l;
	struct stream *s;

	if (!budget.starved)
		return;
	budget.starved = 0;
	for (l = list_first(&all_links); l != NULL; l = list_after(&l->place))
		for (s = list_first(&l->streams); s != NULL; s = list_after(&s->on_link))
			window_freed(s, 0);
}
