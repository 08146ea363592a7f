#include <stdlib.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/timer.h"

static struct {
	struct timer **t;	/* t[1..n] */
	size_t n, cap;
	size_t members;		/* timers that exist; cap has room for them all */
} heap;

static void
heap_place(struct timer *t, size_t i)
{
	heap.t[i] = t;
	t->at = i;
}

static void
heap_up(struct timer *t, size_t i)
{
	while (i > 1 && heap.t[i / 2]->key_ms > t->key_ms) {
		heap_place(heap.t[i / 2], i);
		i /= 2;
	}
	heap_place(t, i);
}

static void
heap_down(struct timer *t, size_t i)
{
	size_t k;

	for (; (k = i * 2) <= heap.n; i = k) {
		if (k < heap.n && heap.t[k + 1]->key_ms < heap.t[k]->key_ms)
			k++;
		if (heap.t[k]->key_ms >= t->key_ms)
			break;
		heap_place(heap.t[k], i);
	}
	heap_place(t, i);
}

static void
heap_remove(struct timer *t)
{
	struct timer *last = heap.t[heap.n];
	size_t i = t->at;

	heap.n--;
	t->at = 0;
	if (t == last)
		return;
	heap_up(last, i);
	heap_down(last, last->at);
}

int
timer_init(struct timer *t, void (*fire)(struct timer *))
{
	if (heap.members + 2 > heap.cap) {
		size_t cap = array_grown(heap.cap);
		struct timer **p = realloc(heap.t, cap * sizeof(*p));

		if (p == NULL)
			return -1;
		heap.t = p;
		heap.cap = cap;
	}
	heap.members++;
	t->due_ms = NEVER;
	t->at = 0;
	t->fire = fire;
	return 0;
}

void
timer_set(struct timer *t, long long due_ms)
{
	t->due_ms = due_ms;
	if (due_ms == NEVER)
		return;
	if (t->at == 0) {
		t->key_ms = due_ms;
		heap_up(t, ++heap.n);
	} else if (due_ms < t->key_ms) {
		t->key_ms = due_ms;
		heap_up(t, t->at);
	}
}

void
timer_end(struct timer *t)
{
	if (t->at != 0)
		heap_remove(t);
	heap.members--;
}

long long
timer_next(void)
{
	return heap.n > 0 ? heap.t[1]->key_ms : NEVER;
}

void
timer_run(void)
{
	while (heap.n > 0 && heap.t[1]->key_ms <= now_ms) {
		struct timer *t = heap.t[1];

		heap_remove(t);
		if (t->due_ms <= now_ms) {
			t->due_ms = NEVER;
			t->fire(t);
		} else {
			timer_set(t, t->due_ms);
		}
	}
}
