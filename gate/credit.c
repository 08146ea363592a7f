#include "gate/say.h"
#include "gate/credit.h"

#define WINDOW_MIN (16 << 10)
#define WINDOW_GROWN_MIN (64 << 10)
#define GRANT_MIN (16 << 10)	/* less is worth no message, but for half of a window */
#define GRANT_MAX (128 << 10)	/* more need not be waited for */
#define WINDOW_UNKNOWN (1 << 20)	/* to start with while the path is not known */

long long
window_first(long long path, size_t free_octets, long long streams)
{
	long long part = (long long)(free_octets / (path > 0 ? 8 : 16));
	long long most = part / (4 + streams);

	return clamp(min_time(path > 0 ? path : WINDOW_UNKNOWN, most),
	    WINDOW_MIN, WINDOW_MAX);
}

long long
window_taken(long long offered, long long others)
{
	return offered <= WINDOW_MIN ? offered :
	    clamp(offered * 4 / (4 + others), WINDOW_MIN, offered);
}

void
window_came(struct window *w, const struct path *p, size_t n)
{
	if (w->sample != p->samples) {
		w->used_before = p->samples - w->sample == 1 ? w->used : 0;
		w->used = 0;
		w->sample = p->samples;
	}
	w->used += (long long)n;
}

/* A stream that trickles beside one that fills the path is not to hold as
 * much. */
static int
window_was_used_up(const struct window *w, const struct path *p)
{
	unsigned int ago = p->samples - w->sample;

	return (ago <= 1 && 2 * w->used >= w->size) ||
	    (ago == 0 && 2 * w->used_before >= w->size);
}

/* The size that the path calls for. */
static long long
window_wide(const struct window *w, const struct path *p, size_t spare)
{
	long long path = path_octets(p), size = w->size;
	long long wide = clamp(2 * path, WINDOW_GROWN_MIN, WINDOW_MAX);

	if (path > 0 && wide > size && window_was_used_up(w, p))
		size = wide;
	return min_time(size, (long long)(spare / 8));
}

/* By halves, what came of one and not of the other would wait for the next round
 * trip. */
int
window_is_due(const struct window *w, const struct path *p, size_t spare)
{
	long long quarter = w->size / 4;
	long long enough = clamp(quarter, GRANT_MIN, GRANT_MAX);

	if (w->gone >= min_time(enough, w->size / 2))
		return 1;
	return w->gone > 0 && window_wide(w, p, spare) >= w->size + quarter;
}

long long
window_next(const struct window *w, const struct path *p, size_t held,
    size_t spare)
{
	long long size = window_wide(w, p, spare);
	long long least = min_time(w->size, WINDOW_MIN);

	if ((long long)held > w->size / 2)
		size = min_time(size, w->size / 2);
	return clamp(size, least, WINDOW_MAX);
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
