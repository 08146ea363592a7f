/*
 * Tests of gate/credit.c: what holds of every window, and how windows of
 * streams that are quick and slow change.
 */
#include <string.h>

#include "gate/say.h"
#include "gate/credit.h"
#include "check.h"

#define KIB 1024LL
#define MIB (1024 * KIB)
#define FAR (1 << 30)		/* more room than matters */

static void
test_first(void)
{
	static const struct {
		long long path;
		size_t free_octets;
		long long streams, size;
	} t[] = {
		/* not known */
		{ 0, 64 << 20, 0, MIB }, { 0, 65 << 20, 0, MIB },
		{ 0, 32 << 20, 0, 512 * KIB }, { 0, 64 << 20, 4, 512 * KIB },
		{ 0, 64 << 20, 60, 64 * KIB }, { 0, 64 << 20, 1000, 16 * KIB },
		{ 0, MIB, 0, 16 * KIB }, { 0, 0, 0, 16 * KIB },
		/* known */
		{ 1, 64 << 20, 0, 16 * KIB }, { 100 * KIB, 64 << 20, 0, 100 * KIB },
		{ 8 * MIB, 64 << 20, 0, 2 * MIB },
		{ 8 * MIB, (size_t)1 << 30, 0, 8 * MIB },
		{ 16 * MIB, (size_t)2 << 30, 0, 8 * MIB },
		{ 100 * KIB, 64 << 20, 60, 100 * KIB },
		{ 300 * KIB, 64 << 20, 60, 128 * KIB },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++)
		CHECK(window_first(t[i].path, t[i].free_octets, t[i].streams) ==
		    t[i].size, "row %zu: %lld", i, window_first(t[i].path,
		    t[i].free_octets, t[i].streams));
}

/* However many begin at once, each taking its first window of what the others
 * left, the last still finds room. */
static void
test_first_of_many(void)
{
	static const long long path[] = { 0, 1, 100 * KIB, WINDOW_MAX };
	size_t i;

	for (i = 0; i < ARRAY_LEN(path); i++) {
		long long left = 64 * MIB, n;

		for (n = 0; n < 2000; n++)
			left -= window_first(path[i], (size_t)left, n);
		CHECK(left > 8 * MIB, "path %lld: %lld are left", path[i], left);
	}
}

/* Of an offer the first takes all, and many at once not much more than a few. */
static void
test_taken(void)
{
	static const struct {
		long long offered, others, taken;
	} t[] = {
		{ 0, 0, 0 }, { 100, 1000, 100 }, { 16 * KIB, 9, 16 * KIB },
		{ MIB, 0, MIB }, { MIB, 4, MIB / 2 }, { MIB, 12, MIB / 4 },
		{ MIB, 5000, 16 * KIB }, { 20 * KIB, 100, 16 * KIB },
	};
	long long sum = 0, n;
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++)
		CHECK(window_taken(t[i].offered, t[i].others) == t[i].taken,
		    "row %zu: %lld", i, window_taken(t[i].offered,
		    t[i].others));
	for (n = 0; n < 1000; n++)
		sum += window_taken(MIB, n);
	CHECK(sum < 32 * MIB, "a thousand take %lld", sum);
}

/* A path that carries so much. */
static struct path
path_of(long long octets)
{
	struct path p = { .sample = { [PATH_SAMPLES - 1] = octets } };

	return p;
}

static void
test_used(void)
{
	static const struct {
		long long size, due;
	} t[] = {
		{ 1000, 500 }, { 32 * KIB, 16 * KIB }, { 64 * KIB, 16 * KIB },
		{ 80 * KIB, 20 * KIB }, { MIB / 2, 128 * KIB },
		{ 8 * MIB, 128 * KIB },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		struct window w = { .size = t[i].size, .gone = t[i].due - 1 };
		struct path p = path_of(WINDOW_MAX);

		CHECK(!window_is_due(&w, &p, FAR), "row %zu: early", i);
		w.gone++;
		CHECK(window_is_due(&w, &p, 0), "row %zu: late", i);
	}
}

/* What was promised, what waits for the socket and what is missing make the
 * window. */
static void
test_missing(void)
{
	struct window w = { .size = 100 };
	long long size, n;
	size_t held;

	for (size = 50; size <= 200; size += 50) {
		for (w.promised = 0; w.promised <= 100; w.promised += 10) {
			for (held = 0; held <= 100; held += 10) {
				n = window_missing(&w, size, held);
				CHECK(n >= 0, "%lld are missing", n);
				CHECK(n == 0 || w.promised + (long long)held + n
				    == size, "%lld and %zu of %lld: %lld",
				    w.promised, held, size, n);
				CHECK(n > 0 || w.promised + (long long)held >=
				    size, "%lld and %zu of %lld: none",
				    w.promised, held, size);
			}
		}
	}
}

static void
test_grant(void)
{
	struct window w = { .size = 100, .promised = 30, .gone = 60 };

	window_grant(&w, 170, 200);
	CHECK(w.size == 200 && w.promised == 200 && w.gone == 0,
	    "%lld %lld %lld", w.size, w.promised, w.gone);
	CHECK(window_missing(&w, w.size, 0) == 0, "not full");
}

/* ---------------------------------------------------------------- the path */

static void
path_sample(struct path *p, long long octets)
{
	path_pinged(p);
	p->came += octets;
	path_ponged(p);
}

/* The greatest of the last eight counts, and none is more than a window. */
static void
test_path(void)
{
	struct path p = { 0 };
	int i;

	CHECK(path_octets(&p) == 0, "known from the start");
	path_sample(&p, 1000);
	for (i = 0; i < PATH_SAMPLES - 1; i++) {
		path_sample(&p, 10 + i);
		CHECK(path_octets(&p) == 1000, "forgotten after %d", i);
	}
	path_sample(&p, 17);
	CHECK(path_octets(&p) == 17, "%lld", path_octets(&p));
	path_sample(&p, 1LL << 40);
	CHECK(path_octets(&p) == WINDOW_MAX, "%lld", path_octets(&p));
	p.came += 5000;
	CHECK(!p.ping_is_out && path_octets(&p) == WINDOW_MAX,
	    "what comes with no ping out counts");
}

static void
test_next(void)
{
	static const struct {
		long long size, path;
		size_t held;
		long long spare;
		long long next;
	} t[] = {
		{ MIB, 0, 0, FAR, MIB }, { MIB, MIB / 2, 0, FAR, MIB },
		{ MIB, MIB / 2 + 1, 0, FAR, MIB + 2 },
		{ MIB, MIB, MIB / 2, FAR, 2 * MIB },
		{ MIB, MIB, MIB / 2 + 1, FAR, MIB / 2 },
		{ MIB, MIB, 0, 16 * MIB, 2 * MIB },
		{ MIB, MIB, 0, 12 * MIB, 3 * MIB / 2 },
		{ MIB, MIB, 0, 4 * MIB, MIB / 2 }, { MIB, 0, 0, 4 * MIB, MIB / 2 },
		{ MIB, MIB, 0, 0, 16 * KIB },
		{ 16 * KIB, 1, 0, FAR, 64 * KIB },
		{ 16 * KIB, 0, 0, FAR, 16 * KIB }, { 100, 0, 0, FAR, 100 },
		{ 16 * KIB, MIB, 16 * KIB, FAR, 16 * KIB },
		{ 20 * KIB, MIB, 0, 0, 16 * KIB }, { 16 * KIB, MIB, 0, 0, 16 * KIB },
		{ MIB, 8 * MIB, 0, FAR, 8 * MIB },
		{ 8 * MIB, 8 * MIB, 0, FAR, 8 * MIB },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		struct window w = { .size = t[i].size,
		    .used = (t[i].size + 1) / 2 };
		struct path p = path_of(t[i].path);
		long long next = window_next(&w, &p, t[i].held,
		    (size_t)t[i].spare);

		CHECK(next == t[i].next, "row %zu: %lld", i, next);
		w.used--;
		next = window_next(&w, &p, t[i].held, (size_t)t[i].spare);
		CHECK(next <= t[i].size, "row %zu: it grew unused to %lld", i,
		    next);
	}
}

/* A window grows at once where it was used up in the sample under way, in the
 * last, or in the one before; not where that was long ago. */
static void
test_used_up(void)
{
	struct path p = path_of(MIB), half = path_of(MIB / 2);
	struct window w = { .size = MIB };

	window_came(&w, &p, MIB / 2 - 1);
	CHECK(window_next(&w, &p, 0, FAR) == MIB, "it grew too early");
	window_came(&w, &p, 1);
	CHECK(window_next(&w, &p, 0, FAR) == 2 * MIB, "it did not grow");
	CHECK(!window_is_due(&w, &p, FAR), "due where nothing has gone");
	w.gone = 1;
	CHECK(window_is_due(&w, &p, FAR) && !window_is_due(&w, &half, FAR),
	    "due to grow, and only by much");
	CHECK(!window_is_due(&w, &p, 8 * MIB), "due where it may not grow");
	path_sample(&p, 1);
	CHECK(window_next(&w, &p, 0, FAR) == 2 * MIB, "forgotten at once");
	window_came(&w, &p, 1);
	CHECK(window_next(&w, &p, 0, FAR) == 2 * MIB, "forgotten after one");
	path_sample(&p, 1);
	window_came(&w, &p, 1);
	CHECK(window_next(&w, &p, 0, FAR) == MIB, "not forgotten after two");
	window_came(&w, &p, MIB);
	path_sample(&p, 1);
	path_sample(&p, 1);
	CHECK(window_next(&w, &p, 0, FAR) == MIB && !window_is_due(&w, &p, FAR),
	    "a burst of long ago counts");
	window_came(&w, &p, 1);
	CHECK(window_next(&w, &p, 0, FAR) == MIB, "a sample without any counts");
}

/* --------------------------------------------- a stream on a path, by the ms
 * Whatever is under way takes half a round trip.  What comes is gone at once.
 */

#define WIRE_MS 4096

struct sim {
	long long now, rate;		/* octets a ms */
	long long credit, came;
	long long octets[WIRE_MS], grant[WIRE_MS];	/* that arrive then */
	int ping[WIRE_MS], pong[WIRE_MS];
	struct window w;
	struct path p;
};

static struct sim sim;

static size_t
later(long long ms)
{
	return (size_t)((sim.now + ms) % WIRE_MS);
}

static void
sim_grant(long long half_trip)
{
	long long size = window_next(&sim.w, &sim.p, 0, FAR);
	long long n = window_missing(&sim.w, size, 0);

	if (!window_is_due(&sim.w, &sim.p, FAR) || n == 0)
		return;
	window_grant(&sim.w, n, size);
	sim.grant[later(half_trip)] += n;
}

static void
sim_ping(long long half_trip)
{
	if (!path_is_due(&sim.p))
		return;
	path_pinged(&sim.p);
	sim.ping[later(half_trip)] = 1;
}

static void
sim_ms(long long half_trip)
{
	size_t at = later(0);
	long long n;

	sim.credit += sim.grant[at];
	if (sim.ping[at])
		sim.pong[later(half_trip)] = 1;
	n = min_time(sim.credit, sim.rate);
	sim.credit -= n;
	sim.octets[later(half_trip)] += n;
	sim.came += sim.octets[at];
	sim.p.came += sim.octets[at];
	sim.w.promised -= sim.octets[at];
	sim.w.gone += sim.octets[at];
	window_came(&sim.w, &sim.p, (size_t)sim.octets[at]);
	if (sim.pong[at])
		path_ponged(&sim.p);
	sim.octets[at] = sim.grant[at] = sim.ping[at] = sim.pong[at] = 0;
	sim_grant(half_trip);
	sim_ping(half_trip);
	sim.now++;
}

/* Of what the path could carry in so many ms, how much did come: per cent. */
static long long
sim_run(long long ms, long long trip)
{
	long long before = sim.came, end = sim.now + ms;

	while (sim.now < end)
		sim_ms(trip / 2);
	return (sim.came - before) * 100 / (ms * sim.rate);
}

static void
sim_start(long long rate, long long window)
{
	memset(&sim, 0, sizeof(sim));
	sim.rate = rate;
	sim.credit = sim.w.size = sim.w.promised = window;
}

/* Whatever the round trip becomes while the stream lasts, the window follows. */
static void
test_path_changes(void)
{
	static const long long trip[] = { 20, 80, 20, 4, 100, 300, 2, 200 };
	long long rate, n;
	size_t i;

	for (rate = 100; rate <= 25000; rate *= 5) {
		sim_start(rate, MIB);
		for (i = 0; i < ARRAY_LEN(trip); i++) {
			if (2 * rate * trip[i] > WINDOW_MAX)
				continue;
			sim_run(5000, trip[i]);
			n = sim_run(1000, trip[i]);
			CHECK(n >= 95, "%lld octets a ms, %lld ms: %lld %%",
			    rate, trip[i], n);
		}
	}
}

/* 40 MiB at 200 Mbit/s and 100 ms, from the first octet on. */
static void
test_first_transfer(void)
{
	long long ideal = 40 * MIB / 25000 + 50;

	sim_start(25000, MIB);
	while (sim.came < 40 * MIB && sim.now < 60000)
		sim_ms(50);
	CHECK(sim.now * 90 <= ideal * 100, "%lld ms, not %lld", sim.now, ideal);
}

void
test_credit(void)
{
	test_first();
	test_first_of_many();
	test_taken();
	test_used();
	test_missing();
	test_grant();
	test_path();
	test_next();
	test_used_up();
	test_path_changes();
	test_first_transfer();
}
