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

static void
test_first(void)
{
	static const struct {
		size_t free_octets;
		long long size;
	} t[] = {
		{ 0, 16 * KIB }, { 1, 16 * KIB }, { 16 << 20, 16 * KIB },
		{ 17 << 20, 17 * KIB }, { 64 << 20, 64 * KIB },
		{ 256u << 20, 256 * KIB }, { 257u << 20, 256 * KIB },
		{ (size_t)-1, 256 * KIB },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++)
		CHECK(window_first(t[i].free_octets) == t[i].size,
		    "%zu free: %lld", t[i].free_octets,
		    window_first(t[i].free_octets));
}

static void
test_half_gone(void)
{
	struct window w = { .size = 1000 };

	for (w.gone = 0; w.gone <= 1000; w.gone++)
		CHECK(window_is_half_gone(&w) == (w.gone >= 500),
		    "%lld of 1000", w.gone);
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

	window_grant(&w, 170, 200, 5000);
	CHECK(w.size == 200 && w.promised == 200 && w.gone == 0 &&
	    w.granted_ms == 5000, "%lld %lld %lld %lld", w.size, w.promised,
	    w.gone, w.granted_ms);
	CHECK(window_missing(&w, w.size, 0) == 0, "not full");
}

/* A window of size, half of which has gone took_ms after it was granted. */
static long long
next_after(long long size, long long took_ms, long long rtt_us, int plenty)
{
	struct window w = {
		.size = size, .gone = size / 2, .granted_ms = 70000
	};

	return window_next(&w, 70000 + took_ms, rtt_us, plenty);
}

/* A window that half goes in a round trip holds its stream back. */
static void
test_quick(void)
{
	static const long long rtt_ms[] = { 1, 10, 200, 3000 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(rtt_ms); i++) {
		long long rtt = rtt_ms[i], us = rtt * 1000;

		CHECK(next_after(64 * KIB, 0, us, 1) == 128 * KIB &&
		    next_after(64 * KIB, rtt, us, 1) == 128 * KIB,
		    "rtt %lld ms: it does not grow", rtt);
		CHECK(next_after(64 * KIB, rtt, us, 0) == 64 * KIB,
		    "rtt %lld ms: it grows without memory", rtt);
		CHECK(next_after(64 * KIB, rtt * 2, us, 1) == 64 * KIB,
		    "rtt %lld ms: it changes when it is used up in four", rtt);
		CHECK(next_after(64 * KIB, rtt * 4, us, 1) == 32 * KIB,
		    "rtt %lld ms: it does not shrink", rtt);
	}
}

/* A round trip that is not known, or very short, counts as a millisecond. */
static void
test_no_rtt(void)
{
	long long ms;

	for (ms = 0; ms < 10; ms++)
		CHECK(next_after(64 * KIB, ms, 0, 1) ==
		    next_after(64 * KIB, ms, 1000, 1) &&
		    next_after(64 * KIB, ms, 1, 1) ==
		    next_after(64 * KIB, ms, 1000, 1), "after %lld ms", ms);
}

/* Of any window, whenever: one step up or down at most, never out of bounds;
 * and the longer it took, the less. */
static void
test_steps(void)
{
	static const int plenty[] = { 0, 1 };
	long long size, took, last, next;
	size_t i;

	for (size = 16 * KIB; size <= WINDOW_MAX; size += size / 3) {
		for (i = 0; i < ARRAY_LEN(plenty); i++) {
			last = 2 * WINDOW_MAX;
			for (took = 0; took < 1000; took += 1 + took / 8) {
				next = next_after(size, took, 20000, plenty[i]);
				CHECK(next <= last, "%lld after %lld ms: more",
				    size, took);
				CHECK(next <= size * 2 && next >= size / 2,
				    "%lld becomes %lld", size, next);
				CHECK(next >= 16 * KIB && next <= WINDOW_MAX,
				    "%lld becomes %lld", size, next);
				CHECK(plenty[i] || next <= size,
				    "%lld becomes %lld", size, next);
				last = next;
			}
		}
	}
}

/* A stream whose octets go as they come, over a path of that many octets a
 * millisecond.  Returns how large its window has become. */
static long long
settled(long long rate, long long rtt_ms)
{
	struct window w = { .size = 64 * KIB };
	long long ms = 0, size;
	int i;

	for (i = 0; i < 200; i++) {
		long long took = w.size / 2 / rate;

		w.gone = w.size / 2;
		ms += took > rtt_ms ? took : rtt_ms;
		size = window_next(&w, ms, rtt_ms * 1000, 1);
		window_grant(&w, 0, size, ms);
	}
	return w.size;
}

/* A window becomes what the path holds, and a little more. */
static void
test_settles(void)
{
	static const struct {
		long long rate, rtt_ms;
	} t[] = {
		{ 100, 1 }, { 1000, 20 }, { 12500, 50 }, { 12500, 10 },
		{ 1250, 200 }, { 125, 300 },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		long long holds = t[i].rate * t[i].rtt_ms;
		long long size = settled(t[i].rate, t[i].rtt_ms);

		CHECK(size >= clamp(2 * holds, 16 * KIB, 8 * MIB) &&
		    size <= clamp(16 * holds, 16 * KIB, 8 * MIB),
		    "a path of %lld octets has a window of %lld", holds, size);
	}
}

void
test_credit(void)
{
	test_first();
	test_half_gone();
	test_missing();
	test_grant();
	test_quick();
	test_no_rtt();
	test_steps();
	test_settles();
}
