#include "gate/say.h"
#include "gate/credit.h"

#define WINDOW_MIN (16 << 10)
#define WINDOW_FIRST_MAX (256 << 10)

long long
window_first(size_t free_octets)
{
	return clamp((long long)(free_octets / 1024), WINDOW_MIN,
	    WINDOW_FIRST_MAX);
}

int
window_is_half_gone(const struct window *w)
{
	return w->gone >= w->size / 2;
}

long long
window_next(const struct window *w, long long at_ms, long long rtt_us,
    int plenty)
{
	long long rtt = rtt_us > 1000 ? rtt_us : 1000;
	long long took = (at_ms - w->granted_ms) * 1000;
	long long brisk = 3 * rtt * w->gone;

	if (took * w->size <= brisk && plenty)
		return min_time(w->size * 2, WINDOW_MAX);
	if (took * w->size > 2 * brisk)
		return clamp(w->size / 2, WINDOW_MIN, w->size);
	return w->size;
}

long long
window_missing(const struct window *w, long long size, size_t held)
{
	long long n = size - w->promised - (long long)held;

	return n > 0 ? n : 0;
}

void
window_grant(struct window *w, long long n, long long size, long long at_ms)
{
	w->promised += n;
	w->size = size;
	w->gone = 0;
	w->granted_ms = at_ms;
}
