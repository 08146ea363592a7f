/*
 * Tests of gate/list.c: two lists through the same things, beside plain
 * arrays.
 */
#include <string.h>

#include "gate/list.h"
#include "check.h"

#define THINGS 60

struct thing {
	struct item item[2];	/* one for each list */
};

static struct thing thing[THINGS];
static struct list list[2];

/* What each list should hold, in order. */
static struct {
	struct thing *t[THINGS];
	size_t n;
} model[2];

static size_t
model_find(int k, const struct thing *t)
{
	size_t at = 0;

	while (at < model[k].n && model[k].t[at] != t)
		at++;
	return at;
}

static void
model_insert(int k, struct thing *t, size_t at)
{
	memmove(model[k].t + at + 1, model[k].t + at,
	    (model[k].n - at) * sizeof(t));
	model[k].t[at] = t;
	model[k].n++;
}

static void
model_leave(int k, const struct thing *t)
{
	size_t at = model_find(k, t);

	if (at == model[k].n)
		return;
	model[k].n--;
	memmove(model[k].t + at, model[k].t + at + 1,
	    (model[k].n - at) * sizeof(t));
}

/* Walks list k in both directions. */
static int
list_is_as_model(int k)
{
	const struct thing *t = list_first(&list[k]);
	const struct item *i = list[k].tail;
	size_t at;

	for (at = 0; at < model[k].n; at++) {
		if (t != model[k].t[at])
			return 0;
		t = list_after(&t->item[k]);
	}
	if (t != NULL || list[k].n != (long long)model[k].n)
		return 0;
	for (at = model[k].n; at > 0; at--) {
		if (i == NULL || i->of != model[k].t[at - 1])
			return 0;
		i = i->prev;
	}
	return i == NULL;
}

static void
enter_at_random(int k, struct thing *t)
{
	size_t at = check_random((unsigned int)model[k].n + 1);

	if (at < model[k].n) {
		list_insert(&list[k], &t->item[k], t,
		    &model[k].t[at]->item[k]);
	} else if (check_random(2) == 0) {
		list_add(&list[k], &t->item[k], t);
	} else {
		list_insert(&list[k], &t->item[k], t, NULL);
	}
	model_insert(k, t, at);
}

static void
test_random(void)
{
	int step;

	for (step = 0; step < 20000; step++) {
		int k = (int)check_random(2);
		struct thing *t = &thing[check_random(THINGS)];

		if (model_find(k, t) == model[k].n && check_random(2) == 0) {
			enter_at_random(k, t);
		} else {
			list_leave(&t->item[k]);
			model_leave(k, t);
		}
		CHECK(list_is_as_model(k), "list %d of %zu after %d steps", k,
		    model[k].n, step);
		CHECK((t->item[k].in != NULL) ==
		    (model_find(k, t) < model[k].n), "step %d: in", step);
	}
}

/* What stands in none may leave; the lists end empty as they began. */
static void
test_empty(void)
{
	struct item i = { 0 };
	size_t at;
	int k;

	list_leave(&i);
	for (k = 0; k < 2; k++) {
		for (at = 0; at < THINGS; at++)
			list_leave(&thing[at].item[k]);
		model[k].n = 0;
		CHECK(list_is_as_model(k) && list[k].head == NULL,
		    "list %d is not empty", k);
	}
}

static void
add_twice(void *of)
{
	struct list other = { 0 };

	list_add(&other, &thing[0].item[0], of);
	list_add(&list[0], &thing[0].item[0], of);
}

static void
test_twice(void)
{
	CHECK(check_must("gate/list.c", add_twice, NULL),
	    "an item entered two lists");
}

void
test_list(void)
{
	test_random();
	test_empty();
	test_twice();
}
