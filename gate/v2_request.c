#include <string.h>

#include "pipegate.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/credit.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/v2.h"
#include "gate/origin.h"
#include "gate/fetch.h"
#include "gate/v2_request.h"

/* The request gets no stream.  A server that could not even be told that would
 * wait for an answer in vain. */
static void
request_refuse(struct link *l, const struct ws_msg *m, int status, int flags,
    const char *why)
{
	if (v2_put_reset(l, m->stream, status, flags, why) == -1)
		link_close(l, 1013, "the client is out of memory");
}

/* Opens the halves, with the credit that each side starts with.  Returns 0, or
 * -1: there is no memory, and s has failed. */
static int
request_opens(struct stream *s, const struct ws_msg *m)
{
	int bodyless = (m->flags & (WS_HAS_BODY | WS_UPGRADE)) == 0;

	s->upgrade = (m->flags & WS_UPGRADE) != 0;
	s->from_link.head_passed = !s->upgrade;
	half_open(&s->to_link.half, m->window, -1);
	half_open(&s->from_link.half, m->took, -1);
	if (bodyless)
		half_end(&s->from_link.half);
	if (bodyless || stream_window_open(s, m->took) == 0)
		return 0;
	s->reset_flags = WS_UNREACHED | WS_REFUSED;
	client_fail(s, 503, client_no_memory);
	return -1;
}

/* Tells the server with how much credit later bodies may start, where that has
 * become another matter.  Requests that are on their way take what was offered
 * before. */
static void
request_offer(struct link *l)
{
	long long first = window_first(path_octets(&l->path), budget_free(), 0);

	if ((2 * first >= 3 * l->offer || 2 * first <= l->offer) &&
	    link_is_live(l) && v2_put_window(l, 0, first) == 0) {
		l->offer = first;
		l->offer_max = first > l->offer_max ? first : l->offer_max;
	}
}

static void
request_begin(struct link *l, const struct ws_msg *m,
    const struct http_head *h)
{
	struct stream *s = client_stream(l, NULL);

	if (s == NULL) {
		request_refuse(l, m, 503, WS_REFUSED, client_no_memory);
		return;
	}
	v2_number(s);
	if (request_opens(s, m) == -1)
		return;
	client_start(s, h, (m->flags & WS_HAS_BODY) != 0);
	if ((m->flags & WS_HAS_BODY) != 0 && half_is_open(&s->from_link.half))
		v2_take_octets(s, m);
	if ((m->flags & (WS_HAS_BODY | WS_UPGRADE)) != 0)
		request_offer(l);
}

/* Over the cap it is one request that is refused: both ends may count
 * differently while resets cross. */
static void
request_take(struct link *l, const struct ws_msg *m)
{
	struct http_head h;

	if (m->stream != l->last_number + 1 || m->stream > V2_NUMBER_MAX ||
	    m->took > l->offer_max) {
		link_fail(l, -1002, "a request out of its turn, or that took "
		    "more credit than was offered");
		return;
	}
	l->last_number = m->stream;	/* it is used, whatever becomes of it */
	if (l->streams.n >= l->max_streams)
		request_refuse(l, m, 503, WS_REFUSED,
		    "too many requests at once for this client");
	else if (http_link_request_parse(&h, m->head.p, m->head.n) == -1 ||
	    !v2_head_ok(m, &h))
		request_refuse(l, m, 400, 0, client_malformed);
	else
		request_begin(l, m, &h);
}

void
request_v2(struct link *l, int opcode, unsigned char *p, size_t n)
{
	struct ws_msg m;

	if (v2_take(l, opcode, p, n, &m))
		request_take(l, &m);
}
