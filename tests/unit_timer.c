/*
 * Tests of gate/timer.c: when and how often timers fire, what they may do
 * meanwhile, and thousands of them at random beside a plain array.
 */
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/timer.h"
#include "check.h"

#define PROBES 3000

/* A timer, and when it should come due. */
struct probe {
	struct timer t;
	long long due_ms;
	int fired;
};

static struct probe probe[PROBES];
static void (*while_firing)(struct probe *);	/* NULL: nothing is done */
static long long last_due_ms;
static int out_of_order, too_early;

static void
probe_fire(struct timer *t)
{
	struct probe *p = CONTAINER(t, struct probe, t);

	too_early += p->due_ms > now_ms;
	out_of_order += p->due_ms < last_due_ms;
	last_due_ms = p->due_ms;
	p->due_ms = NEVER;
	p->fired++;
	if (while_firing != NULL)
		while_firing(p);
}

static void
probes_begin(size_t n)
{
	size_t i;

	memset(probe, 0, n * sizeof(probe[0]));
	now_ms = 1000;
	last_due_ms = 0;
	out_of_order = too_early = 0;
	while_firing = NULL;
	for (i = 0; i < n; i++) {
		probe[i].due_ms = NEVER;
		CHECK(timer_init(&probe[i].t, probe_fire) == 0, "no memory");
	}
}

static void
probes_end(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		timer_end(&probe[i].t);
	CHECK(timer_next() == NEVER, "a timer is left");
}

static void
probe_set(size_t i, long long due_ms)
{
	probe[i].due_ms = due_ms;
	timer_set(&probe[i].t, due_ms);
}

static void
run_at(long long ms)
{
	now_ms = ms;
	last_due_ms = 0;
	timer_run();
}

/* --- one timer */

static void
test_due(void)
{
	probes_begin(1);
	CHECK(timer_next() == NEVER, "due without being set");
	probe_set(0, 2000);
	CHECK(timer_next() == 2000, "next %lld", timer_next());
	run_at(1999);
	CHECK(probe[0].fired == 0, "fired before its time");
	run_at(2000);
	CHECK(probe[0].fired == 1 && probe[0].t.due_ms == NEVER,
	    "fired %d times", probe[0].fired);
	run_at(9000);
	CHECK(probe[0].fired == 1, "fired again: %d", probe[0].fired);
	probe_set(0, 8000);
	run_at(9000);
	CHECK(probe[0].fired == 2, "set in the past: %d", probe[0].fired);
	probes_end(1);
}

static void
test_moved_later(void)
{
	probes_begin(1);
	probe_set(0, 2000);
	probe_set(0, 3000);
	probe_set(0, 4000);
	CHECK(timer_next() <= 4000, "next %lld", timer_next());
	run_at(2500);
	run_at(3999);
	CHECK(probe[0].fired == 0, "fired at an old deadline");
	CHECK(timer_next() == 4000, "next %lld", timer_next());
	run_at(4000);
	CHECK(probe[0].fired == 1, "fired %d times", probe[0].fired);
	probes_end(1);
}

static void
test_moved_sooner(void)
{
	probes_begin(2);
	probe_set(0, 5000);
	probe_set(1, 4000);
	probe_set(0, 3000);
	CHECK(timer_next() == 3000, "next %lld", timer_next());
	run_at(3000);
	CHECK(probe[0].fired == 1 && probe[1].fired == 0, "%d %d",
	    probe[0].fired, probe[1].fired);
	run_at(9000);
	CHECK(probe[0].fired == 1 && probe[1].fired == 1, "%d %d",
	    probe[0].fired, probe[1].fired);
	probes_end(2);
}

static void
test_unset(void)
{
	probes_begin(1);
	probe_set(0, 2000);
	probe_set(0, NEVER);
	run_at(3000);
	CHECK(probe[0].fired == 0, "fired although unset");
	CHECK(timer_next() == NEVER, "next %lld", timer_next());
	probe_set(0, 5000);
	probe_set(0, NEVER);
	probe_set(0, 4000);
	run_at(4000);
	CHECK(probe[0].fired == 1, "fired %d times", probe[0].fired);
	probes_end(1);
}

static void
test_ended(void)
{
	probes_begin(3);
	probe_set(0, 2000);
	probe_set(1, 2001);
	probe_set(2, 2002);
	timer_end(&probe[1].t);
	run_at(3000);
	CHECK(probe[0].fired == 1 && probe[1].fired == 0 &&
	    probe[2].fired == 1, "%d %d %d", probe[0].fired, probe[1].fired,
	    probe[2].fired);
	CHECK(timer_init(&probe[1].t, probe_fire) == 0, "no memory");
	probes_end(3);
}

/* --- what fire() may do */

static void
set_itself(struct probe *p)
{
	if (p->fired < 5)
		probe_set((size_t)(p - probe), now_ms + (p->fired < 3 ? 0 : 1));
}

static void
test_sets_itself(void)
{
	probes_begin(1);
	while_firing = set_itself;
	probe_set(0, 2000);
	run_at(2000);
	CHECK(probe[0].fired == 3, "fired %d times at once", probe[0].fired);
	CHECK(timer_next() == 2001, "next %lld", timer_next());
	run_at(2001);
	CHECK(probe[0].fired == 4, "fired %d times", probe[0].fired);
	probes_end(1);
}

/* The first of six ends itself and the second, unsets the third, moves the
 * fourth away and the fifth here. */
static void
meddle(struct probe *p)
{
	if (p != &probe[0])
		return;
	timer_end(&probe[0].t);
	timer_end(&probe[1].t);
	probe_set(2, NEVER);
	probe_set(3, now_ms + 1);
	probe_set(4, now_ms);
}

static void
test_meddles(void)
{
	static const int want[] = { 1, 0, 0, 0, 1, 1 };
	size_t i;

	probes_begin(6);
	while_firing = meddle;
	for (i = 0; i < 6; i++)
		probe_set(i, i == 4 ? 9000 : 2000 + (long long)i);
	run_at(3000);
	for (i = 0; i < 6; i++)
		CHECK(probe[i].fired == want[i], "timer %zu fired %d times", i,
		    probe[i].fired);
	CHECK(timer_init(&probe[0].t, probe_fire) == 0 &&
	    timer_init(&probe[1].t, probe_fire) == 0, "no memory");
	probes_end(6);
}

/* --- many */

static void
test_order(void)
{
	size_t i;
	long long ms;

	probes_begin(PROBES);
	for (i = 0; i < PROBES; i++)
		probe_set(i, 2000 + check_random(500));
	/* Sooner alone: these keep the order. */
	for (i = 0; i < PROBES; i++)
		if (check_random(2) == 0)
			probe_set(i, probe[i].due_ms - check_random(500));
	for (ms = timer_next(); ms != NEVER; ms = timer_next())
		run_at(ms + check_random(20));
	CHECK(out_of_order == 0 && too_early == 0, "%d out of order, %d early",
	    out_of_order, too_early);
	for (i = 0; i < PROBES; i++)
		CHECK(probe[i].fired == 1, "timer %zu fired %d times", i,
		    probe[i].fired);
	probes_end(PROBES);
}

/* So few that each place in the heap counts. */
static void
test_order_of_few(void)
{
	size_t n, i;
	int round;

	for (round = 0; round < 2000; round++) {
		n = 1 + check_random(20);
		probes_begin(n);
		for (i = 0; i < n; i++)
			probe_set(i, 2000 + check_random(30));
		for (i = 0; i < n / 3; i++)
			timer_end(&probe[i].t);
		run_at(9000);
		CHECK(out_of_order == 0, "%d of %zu out of order",
		    out_of_order, n);
		for (i = 0; i < n / 3; i++)
			CHECK(timer_init(&probe[i].t, probe_fire) == 0 &&
			    probe[i].fired == 0, "an ended one fired");
		probes_end(n);
	}
}

static void
change_one_at_random(void)
{
	size_t i = check_random(PROBES);
	unsigned int what = check_random(10);

	if (what == 0) {
		probe_set(i, NEVER);
	} else if (what == 1) {
		timer_end(&probe[i].t);
		probe[i].due_ms = NEVER;
		CHECK(timer_init(&probe[i].t, probe_fire) == 0, "no memory");
	} else {
		probe_set(i, now_ms + 1 + check_random(1000));
	}
}

static void
change_while_firing(struct probe *p)
{
	if (check_random(3) == 0)
		change_one_at_random();
	if (check_random(3) == 0)
		probe_set((size_t)(p - probe), now_ms + 1 + check_random(50));
}

static void
test_random(void)
{
	size_t i, late = 0;
	int round, sooner = 0;

	probes_begin(PROBES);
	while_firing = change_while_firing;
	for (round = 0; round < 3000; round++) {
		int changes = (int)check_random(40);

		while (changes-- > 0)
			change_one_at_random();
		for (i = 0; i < PROBES; i++)
			sooner += probe[i].due_ms < timer_next();
		run_at(now_ms + check_random(20));
		for (i = 0; i < PROBES; i++)
			late += probe[i].due_ms <= now_ms;
	}
	CHECK(late == 0 && too_early == 0, "%zu did not fire, %d fired early",
	    late, too_early);
	CHECK(sooner == 0, "%d were due before timer_next()", sooner);
	probes_end(PROBES);
}

void
test_timer(void)
{
	test_due();
	test_moved_later();
	test_moved_sooner();
	test_unset();
	test_ended();
	test_sets_itself();
	test_meddles();
	test_order();
	test_order_of_few();
	test_random();
}
