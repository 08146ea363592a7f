#include <stddef.h>

#include "gate/say.h"
#include "gate/path.h"

#define FLOW_MIN (16 << 10)	/* octets that call for a ping */
#define FLOW_MAX (1 << 20)

int
path_is_due(const struct path *p)
{
	return !p->ping_is_out && p->came - p->pinged_at >=
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
	long long before = path_octets(p);

	must(p->ping_is_out);
	p->ping_is_out = 0;
	p->sample[p->samples++ % PATH_SAMPLES] =
	    min_time(p->came - p->pinged_at, PATH_OCTETS_MAX);
	p->grew = path_octets(p) > before;
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
