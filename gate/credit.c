#include "gate/say.h"
#include "gate/credit.h"

#define WINDOW_MIN (16 << 10)
#define WINDOW_GROWN_MIN (64 << 10)
#define GRANT_MIN (16 << 10)	/* less is worth no message, but for half of a window */
#define FLOW_MIN (16 << 10)	/* octets that call for a ping */
#define FLOW_MAX (1 << 20)
#define WINDOW_UNKNOWN (1 << 20)	/* to start with while the path is not known */

int
path_is_due(const struct path *p)
{
	return !p->ping_is_out && p->came - p->ponged_at >=
	    clamp(path_octets(p) / 2, FLOW_MIN, FLOW_MAX);
}

void
path_pinged(struct path *p)
{
	must(!p->ping_is_out);
	p->ping_is_out = 1;
	p->pinged_at = p->came;
}

/* A pong that is held back would make the path as wide as its sender likes. */
void
path_ponged(struct path *p)
{
	must(p->ping_is_out);
	p->ping_is_out = 0;
	p->ponged_at = p->came;
	p->sample[p->samples++ % PATH_SAMPLES] =
	    min_time(p->came - p->pinged_at, WINDOW_MAX);
}

long long
path_octets(const struct path *p)
{
	long long most = 0;
	size_t i;

	for (i = 0; i < PATH_SAMPLES; i++)
		if (p->sample[i] > most)
			most = p->sample[i];
	return most;
}

long long
window_first(long long path, size_t free_octets, long long streams)
{
	long long most = (long long)(free_octets / 16) / (4 + streams);

	return clamp(min_time(path > 0 ? path : WINDOW_UNKNOWN, most),
	    WINDOW_MIN, WINDOW_MAX);
}

long long
window_taken(long long offered, long long others)
{
	return offered <= WINDOW_MIN ? offered :
	    clamp(offered * 4 / (4 + others), WINDOW_MIN, offered);
}

/* By halves, what came of one and not of the other would wait for the next round
 * trip. */
int
window_is_used(const struct window *w)
{
	long long quarter = w->size / 4;

	return w->gone >= (quarter > GRANT_MIN ? quarter :
	    min_time(w->size / 2, GRANT_MIN));
}

long long
window_next(const struct window *w, long long path, size_t held, int crowded)
{
	long long wide = clamp(2 * path, WINDOW_GROWN_MIN, WINDOW_MAX);

	if (crowded || (long long)held > w->size / 2)
		return clamp(w->size / 2, WINDOW_MIN, w->size);
	return path > 0 && wide > w->size ? wide : w->size;
}

long long
window_missing(const struct window *w, long long size, size_t held)
{
	long long n = size - w->promised - (long long)held;

	return n > 0 ? n : 0;
}

void
window_grant(struct window *w, long long n, long long size)
{
	w->promised += n;
	w->size = size;
	w->gone = 0;
}
