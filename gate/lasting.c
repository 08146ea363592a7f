#include "gate/clock.h"
#include "gate/list.h"
#include "gate/timer.h"
#include "gate/stream.h"
#include "gate/person.h"
#include "gate/lasting.h"

#define LASTING_MS 1000

static struct list young;	/* of which the person has not heard, the oldest first */
static struct timer oldest;

/* Requests that end sooner leave the timer alone: it comes due once a second at
 * most. */
static void
lasting_wait(void)
{
	const struct stream *s = list_first(&young);

	timer_set(&oldest, s == NULL ? NEVER : s->start_ms + LASTING_MS);
}

static void
lasting_due(struct timer *t)
{
	struct stream *s;

	(void)t;
	while ((s = list_first(&young)) != NULL &&
	    now_ms - s->start_ms >= LASTING_MS) {
		list_leave(&s->wait);
		person_running(s);
	}
	lasting_wait();
}

int
lasting_start(void)
{
	return timer_init(&oldest, lasting_due);
}

void
lasting_add(struct stream *s)
{
	list_add(&young, &s->wait, s);
	if (oldest.due_ms == NEVER)
		lasting_wait();
}

void
lasting_leave(struct stream *s)
{
	list_leave(&s->wait);
}
