#include <stddef.h>

#include "gate/clock.h"
#include "gate/link.h"
#include "gate/standing.h"

static int
has_room(const struct link *l)
{
	return l->life == LINK_OPEN && l->streams.n < l->max_streams &&
	    link_unwritten(l) < LINK_HEAD_ROOM && (l->refused_ms == 0 ||
	    now_ms - l->refused_ms >= LINK_REFUSED_MS);
}

struct link *
standing_best(struct link *const link[], int n)
{
	struct link *best = NULL;
	int i;

	for (i = n - 1; i >= 0; i--)
		if (has_room(link[i]) && (best == NULL ||
		    link[i]->streams.n < best->streams.n))
			best = link[i];
	return best;
}
