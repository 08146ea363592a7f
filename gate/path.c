#include <stddef.h>

#include "gate/say.h"
#include "gate/path.h"

#define FLOW_MIN (16 << 10)	/* octets that call for a ping */
#define FLOW_MAX (1 << 20)
#define TRIP_MIN_MS 4		/* a shorter one is less than peers take to see to it */
#define DRAIN_SAMPLES 2		/* the first of them still has what was queued before */

int
path_is_due(const struct path *p)
{
	return !p->ping_is_out && p->came - p->pinged_at >=
	    clamp(path_octets(p) / 2, FLOW_MIN, FLOW_MAX);
}

void
path_pinged(struct path *p, long long ms)
{
	must(!p->ping_is_out);
	p->ping_is_out = 1;
	p->pinged_at = p->came;
	p->pinged_ms = ms;
}

/* Of the last PATH_SAMPLES, the place of the next one. */
static unsigned int
path_phase(const struct path *p)
{
	return p->samples % PATH_SAMPLES;
}

static size_t
path_known(const struct path *p)
{
	return min_size(p->samples, PATH_SAMPLES);
}

/* A pong that is held back is a long round trip, and makes the path no wider. */
long long
path_octets(const struct path *p)
{
	long long rate = 0, ms = PATH_OCTETS_MAX;
	size_t i;

	for (i = 0; i < path_known(p); i++) {
		long long r = p->sample[i].octets / p->sample[i].ms;

		if (r > rate)
			rate = r;
		ms = min_time(ms, p->sample[i].ms);
	}
	return min_time(rate * clamp(ms, TRIP_MIN_MS, ms), PATH_OCTETS_MAX);
}

/* The second most of the last samples: in one of them a stream may have taken the
 * place of another. */
static unsigned int
path_shares(const struct path *p)
{
	unsigned int most = 1, second = 1;
	size_t i;

	for (i = 0; i < path_known(p); i++) {
		unsigned int n = p->sample[i].shares;

		if (n > most) {
			second = most;
			most = n;
		} else if (n > second) {
			second = n;
		}
	}
	return second;
}

/* At first it is looked for in steps that are large. */
static int
path_is_new(const struct path *p)
{
	return p->samples < PATH_SAMPLES;
}

static int
path_drains(const struct path *p)
{
	return path_phase(p) >= PATH_SAMPLES - DRAIN_SAMPLES;
}

/* A queue that has been found is drained by large steps; where there is none, the
 * path is to carry almost as much meanwhile. */
long long
path_room(const struct path *p)
{
	long long eighths = path_is_new(p) ? 16 : !path_drains(p) ? 12 :
	    p->queued ? 5 : 7;

	return path_octets(p) * eighths / 8 / path_shares(p);
}

static void
path_note_queue(struct path *p)
{
	if (path_phase(p) == PATH_SAMPLES - DRAIN_SAMPLES)
		p->undrained = path_octets(p);
	if (path_phase(p) == 0)
		p->queued = path_octets(p) < p->undrained / 16 * 15;
}

void
path_ponged(struct path *p, long long ms)
{
	long long before = path_room(p);
	unsigned int at = path_phase(p);

	must(p->ping_is_out);
	p->ping_is_out = 0;
	p->sample[at].octets = min_time(p->came - p->pinged_at,
	    PATH_OCTETS_MAX);
	p->sample[at].ms = clamp(ms - p->pinged_ms, 1, PATH_OCTETS_MAX);
	p->sample[at].shares = p->shares;
	p->shares = 0;
	p->samples++;
	path_note_queue(p);
	p->grew = path_room(p) > before;
}
