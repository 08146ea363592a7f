#include <stddef.h>

#include "gate/clock.h"
#include "gate/link.h"
#include "gate/timer.h"
#include "gate/standing.h"

#define RETRY_MS 100		/* between requests that find out whether a service is back */
#define SHUN_FIRST_MS 1000	/* twice that the next time, and so on */
#define SHUN_MAX_MS 60000
#define SILENT_MS 1000

static int
has_room(const struct link *l)
{
	return l->life == LINK_OPEN && l->streams.n < l->max_streams &&
	    link_unwritten(l) < LINK_HEAD_ROOM && (l->refused_ms == 0 ||
	    now_ms - l->refused_ms >= LINK_REFUSED_MS);
}

/* --- whether the service is there */

static int
is_shunned(const struct link *l)
{
	return now_ms < l->standing.shun_until_ms;
}

int
standing_any(struct link *const link[], int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (link[i]->life == LINK_OPEN && !is_shunned(link[i]))
			return 1;
	return 0;
}

int
standing_pauses(struct link *const link[], int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (has_room(link[i]))
			return !standing_any(link, n);
	return 0;
}

/* Those that were asked while it was shunned already say nothing new. */
void
standing_unreached(struct link *l, long long asked_ms)
{
	struct standing *st = &l->standing;

	if (st->shun_ms == 0)
		st->shun_ms = SHUN_FIRST_MS;
	else if (asked_ms >= st->shun_until_ms)
		st->shun_ms = min_time(2 * st->shun_ms, SHUN_MAX_MS);
	st->unreached_ms = now_ms;
	st->shun_until_ms = now_ms + st->shun_ms;
}

void
standing_reached(struct link *l)
{
	l->standing.unreached_ms = l->standing.shun_ms =
	    l->standing.shun_until_ms = 0;
}

long long
standing_retry_at(const struct link *l)
{
	long long at = l->standing.unreached_ms + RETRY_MS;

	return at > now_ms ? at : NEVER;
}

/* --- whether it is heard from */

static long long
heard_ms(const struct link *l)
{
	return l->c->rx_ms > l->standing.asked_ms ? l->c->rx_ms :
	    l->standing.asked_ms;
}

static int
is_silent(const struct link *l)
{
	return l->streams.n > 0 && now_ms - heard_ms(l) >= SILENT_MS;
}

void
standing_asked(struct link *l)
{
	if (l->standing.asked_ms <= l->c->rx_ms)
		l->standing.asked_ms = now_ms;
}

long long
standing_hail_at(const struct link *l)
{
	long long heard = heard_ms(l), hailed = l->standing.hailed_ms;

	return l->streams.n == 0 ? NEVER :
	    SILENT_MS + (heard > hailed ? heard : hailed);
}

void
standing_hail(struct link *l)
{
	l->standing.hailed_ms = now_ms;
	link_ping_again(l);
}

/* --- which one is asked */

static int
is_better(const struct link *l, const struct link *than)
{
	int a = is_silent(l), b = is_silent(than);

	return a != b ? a < b : l->streams.n < than->streams.n;
}

struct link *
standing_best(struct link *const link[], int n)
{
	int i, any = standing_any(link, n);
	struct link *best = NULL;

	for (i = n - 1; i >= 0; i--) {
		if (!has_room(link[i]) || (any ? is_shunned(link[i]) :
		    standing_retry_at(link[i]) != NEVER))
			continue;
		if (best == NULL || is_better(link[i], best))
			best = link[i];
	}
	return best;
}
