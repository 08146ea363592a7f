#include <sys/socket.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/conn.h"
#include "gate/stream.h"
#include "gate/reply.h"
#include "gate/answer.h"
#include "gate/yield.h"

#define ROW_LOOK 64		/* callers of a row looked at to choose one */

const char yield_crowded[] = "too many connections: try again";

/* The memory goes at once: many may be dropped in one turn for the sake of
 * others. */
void
caller_drop(struct caller *w)
{
	caller_unlist(w);
	conn_kill(w->c);
	buf_free(&w->c->rx);
	chain_free(&w->c->tx);
}

/* One with whole requests, if its memory counts for nobody: who had an answer
 * through a tunnel a moment ago is no part of this. */
static struct caller *
next_expendable(void)
{
	struct caller *w = caller_first(ROW_NEXT);
	int i;

	for (i = 0; i < ROW_LOOK && w != NULL; i++) {
		if (w->c->rx.cap > 0 &&
		    w->c->rx.sum == account_octets(&account_nobody))
			return w;
		w = list_after(&w->place);
	}
	return NULL;
}

static struct caller *
request_expendable(void)
{
	struct caller *w = caller_first(ROW_STUCK);

	if (w == NULL)
		w = caller_first(ROW_HEADS);
	return w != NULL ? w : next_expendable();
}

void
requests_evict(size_t came)
{
	size_t dropped = 0;

	while (dropped < came &&
	    !account_may_grow(&account_nobody, SHARE_OCTETS)) {
		struct caller *w = request_expendable();

		if (w == NULL)
			return;
		log_event(LEVEL_INFO, "event=caller-dropped peer=%s "
		    "why=\"requests that wait hold too much memory\"",
		    w->peer);
		dropped += conn_memory(w->c);
		caller_drop(w);
	}
}

/* Turns w away for the sake of others, without the courtesy of lingering. */
static void
caller_yield(struct caller *w)
{
	if (conn_arrived(w->c) > 0) {
		caller_note_nothing(w);
		caller_error(w, &asked_nothing, 503, yield_crowded);
		conn_part(w->c);
	}
	caller_drop(w);
}

/* Of those that are idle longest, one of the id that has most of them. */
static struct caller *
idle_expendable(void)
{
	struct caller *w = caller_first(ROW_IDLE), *best = w;
	int i;

	for (i = 0; i < ROW_LOOK && w != NULL; i++) {
		if (w->account->held[SHARE_IDLE] >
		    best->account->held[SHARE_IDLE])
			best = w;
		w = list_after(&w->place);
	}
	return best;
}

/* Whose turn it is to make room.  Neither a flood of newcomers ends those that are
 * kept for another request, nor do these keep newcomers out. */
static struct caller *
caller_expendable(void)
{
	const struct list *fresh = caller_row(ROW_FRESH),
	    *idle = caller_row(ROW_IDLE), *longest = caller_row(ROW_HEADS);

	if (caller_row(ROW_STUCK)->n > 0)
		return caller_first(ROW_STUCK);
	if (fresh->n >= longest->n)
		longest = fresh;
	return idle->n >= longest->n ? idle_expendable() :
	    list_first(longest);
}

int
caller_evict(void)
{
	struct caller *w = caller_first(ROW_PARTING);

	if (w != NULL) {
		caller_drop(w);
		return 0;
	}
	w = caller_expendable();
	if (w == NULL)
		return -1;
	caller_yield(w);
	return 0;
}

int
caller_evict_any(void)
{
	struct stream *s;
	struct conn *c;

	if (caller_evict() == 0)
		return 0;
	s = stream_first_tied();
	if (s == NULL)
		return -1;
	c = s->http;
	caller_break(s, 503, yield_crowded);
	conn_part(c);
	return 0;
}

void
caller_turn_away(int fd)
{
	struct http_error e = { .status = 503, .detail = yield_crowded, .minor = 1,
	    .retry_after_s = 5 };
	unsigned char space[1024];
	char sink[4096];
	struct http_out o = { space, sizeof(space), 0 };

	if (recv(fd, sink, sizeof(sink), 0) > 0) {
		e.date = clock_wall();
		http_error_put(&o, &e);
		if (send(fd, space, min_size(o.len, o.cap), 0) > 0)
			while (recv(fd, sink, sizeof(sink), 0) > 0)
				continue;
	}
	close(fd);
}
