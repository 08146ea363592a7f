/*
 * Tests of gate/pollset.c with real pipes: what is told, how often, and to
 * whom, while the set changes.  Which part a watch stands in is seen by
 * whether a wait asks about it.
 */
#include <sys/resource.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/pollset.h"
#include "check.h"

#define FEW 5			/* so few are one part */
#ifdef PARK_POLL
#define MANY 60			/* so many are two */
#else
#define MANY 300		/* of so many the kernel keeps some */
#endif
#define LONG_MS 10000		/* only a failure waits so long */

/* A pipe whose reading end is watched. */
struct probe {
	struct watch w;
	int to;			/* the other end; -1: closed */
	int told;		/* since the last wait */
	short revents;		/* as told last */
};

static struct probe probe[MANY];

static void
probe_open(struct probe *p)
{
	int fd[2];

	CHECK(pipe(fd) == 0, "no pipe: %s", strerror(errno));
	p->to = fd[1];
	p->told = 0;
	CHECK(pollset_add(&p->w, fd[0]) == 0, "no memory");
	pollset_want(&p->w, POLLIN, REST_NEVER);
}

static void
probe_close(struct probe *p)
{
	pollset_remove(&p->w);
	close(p->w.fd);
	if (p->to != -1)
		close(p->to);
}

static void
probe_write(struct probe *p)
{
	CHECK(write(p->to, "x", 1) == 1, "write: %s", strerror(errno));
}

static void
probe_drain(struct probe *p)
{
	char b[8];

	CHECK(read(p->w.fd, b, sizeof(b)) == 1, "not one octet");
}

static void
probes_open(int n)
{
	int i;

	clock_turn();
	for (i = 0; i < n; i++)
		probe_open(&probe[i]);
	CHECK(pollset_size() == (size_t)n, "%zu watches", pollset_size());
}

static void
probes_close(int n)
{
	int i;

	for (i = 0; i < n; i++)
		probe_close(&probe[i]);
	CHECK(pollset_size() == 0, "%zu watches are left", pollset_size());
}

static struct probe *
probe_with_news(void)
{
	short revents;
	struct watch *w = pollset_news(&revents);
	struct probe *p;

	if (w == NULL)
		return NULL;
	p = CONTAINER(w, struct probe, w);
	p->told++;
	p->revents = revents;
	return p;
}

/* Waits, and takes all the news.  Returns how much there was. */
static int
all_news(int wait_ms)
{
	int i, n = 0;

	for (i = 0; i < MANY; i++)
		probe[i].told = 0;
	pollset_wait(wait_ms);
	while (probe_with_news() != NULL)
		n++;
	return n;
}

/* --- what is told */

static void
test_events(void)
{
	probes_open(FEW);
	CHECK(all_news(0) == 0, "news of nothing");
	probe_write(&probe[1]);
	CHECK(all_news(LONG_MS) == 1 && probe[1].told == 1 &&
	    probe[1].revents == POLLIN, "an octet came");
	CHECK(all_news(LONG_MS) == 1 && probe[1].told == 1, "it is there");
	pollset_want(&probe[1].w, 0, REST_NEVER);
	CHECK(all_news(0) == 0, "told although not wanted");
	pollset_want(&probe[1].w, POLLIN, REST_NEVER);
	probe_drain(&probe[1]);
	CHECK(all_news(0) == 0, "told although it was read");
	pollset_want(&probe[2].w, 0, REST_NEVER);
	close(probe[2].to);
	probe[2].to = -1;
	CHECK(all_news(LONG_MS) == 1 && (probe[2].revents & POLLHUP),
	    "a hang-up is always told");
	probes_close(FEW);
}

/* A pipe's other end, for writing, stands in the set as well. */
static void
test_writable(void)
{
	struct probe *p = &probe[FEW];
	int fd[2];

	probes_open(FEW);
	CHECK(pipe(fd) == 0, "no pipe");
	p->to = fd[0];
	CHECK(pollset_add(&p->w, fd[1]) == 0, "no memory");
	CHECK(all_news(0) == 0, "asked before it was wanted");
	pollset_want(&p->w, POLLOUT, REST_NEVER);
	CHECK(all_news(LONG_MS) == 1 && p->told == 1 && p->revents == POLLOUT,
	    "it is writable");
	probe_close(p);
	CHECK(all_news(0) == 0, "told of one that left");
	probes_close(FEW);
}

static void
test_replace(void)
{
	int other[2], old = -1;

	probes_open(FEW);
	CHECK(pipe(other) == 0, "no pipe");
	old = probe[3].w.fd;
	pollset_replace(&probe[3].w, other[0]);
	CHECK(probe[3].w.fd == other[0], "fd %d", probe[3].w.fd);
	probe_write(&probe[3]);
	CHECK(all_news(0) == 0, "the old one is asked still");
	close(old);
	close(probe[3].to);
	probe[3].to = other[1];
	probe_write(&probe[3]);
	CHECK(all_news(LONG_MS) == 1 && probe[3].told == 1, "the new one");
	probes_close(FEW);
}

/* Silent is who was asked in this wait, wants the same still, and has no news. */
static void
test_silent(void)
{
	struct watch *w = &probe[1].w;

	probes_open(FEW);
	CHECK(!pollset_is_silent(w), "silent, though never asked");
	pollset_wait(0);
	CHECK(pollset_is_silent(w), "not silent");
	probe_write(&probe[1]);
	pollset_wait(LONG_MS);
	CHECK(!pollset_is_silent(w) && pollset_is_silent(&probe[2].w),
	    "silent, with news not told yet");
	probe_drain(&probe[1]);
	pollset_want(w, 0, REST_NEVER);
	pollset_wait(0);
	pollset_want(w, POLLIN, REST_NEVER);
	CHECK(!pollset_is_silent(w), "silent, though it wanted nothing");
	pollset_wait(0);
	CHECK(pollset_is_silent(w), "not silent, though asked since");
	pollset_replace(w, w->fd);
	CHECK(!pollset_is_silent(w), "silent, though another");
	pollset_remove(w);
	CHECK(!pollset_is_silent(w), "silent, though it left");
	CHECK(pollset_add(w, w->fd) == 0, "no memory");
	probes_close(FEW);
}

/* What is not in the set may be taken out, wanted and replaced. */
static void
test_outside(void)
{
	struct watch w;

	probes_open(FEW);
	probe_write(&probe[0]);
	w = probe[0].w;
	pollset_remove(&probe[0].w);
	CHECK(probe[0].w.where == WATCH_NOWHERE && pollset_size() == FEW - 1,
	    "%zu left", pollset_size());
	pollset_remove(&probe[0].w);
	pollset_want(&probe[0].w, POLLIN, REST_NEVER);
	pollset_replace(&probe[0].w, w.fd);
	CHECK(all_news(0) == 0 && pollset_size() == FEW - 1, "%zu left",
	    pollset_size());
	CHECK(pollset_add(&probe[0].w, w.fd) == 0, "no memory");
	pollset_want(&probe[0].w, POLLIN, REST_NEVER);
	CHECK(all_news(LONG_MS) == 1 && probe[0].told == 1, "not back again");
	probes_close(FEW);
}

static void
test_at(void)
{
	size_t i, k;

	probes_open(MANY);
	for (i = 0; i < MANY; i += 3)
		pollset_want(&probe[i].w, 0, REST_NEVER);
	for (i = 0; i < MANY; i++) {
		size_t seen = 0;

		for (k = 0; k < pollset_size(); k++)
			seen += pollset_at(k) == &probe[i].w;
		CHECK(seen == 1 && pollset_at(probe[i].w.slot) == &probe[i].w,
		    "watch %zu was seen %zu times", i, seen);
	}
	probes_close(MANY);
}

/* --- the set changes between two news */

/* Whoever was told takes others out: they are told no more. */
static void
test_remove_meanwhile(void)
{
	struct probe *p;
	int i, gone = 0, left = MANY, wrong = 0;
	char is_gone[MANY] = { 0 };

	probes_open(MANY);
	for (i = 0; i < MANY; i++)
		probe_write(&probe[i]);
	pollset_wait(LONG_MS);
	while ((p = probe_with_news()) != NULL) {
		wrong += is_gone[p - probe] || p->told != 1;
		i = (int)check_random(MANY);
		if (is_gone[i])
			continue;
		pollset_remove(&probe[i].w);
		is_gone[i] = 1;
		gone++;
		left--;
	}
	CHECK(wrong == 0 && gone > 0, "%d were told wrongly", wrong);
	CHECK(pollset_size() == (size_t)left, "%zu left", pollset_size());
	CHECK(all_news(LONG_MS) == left, "those that are left have news still");
	probes_close(MANY);
}

/* Where all have news and only the first 64 of them are served in a turn, all are
 * served in a round. */
static void
test_turns(void)
{
	int served[MANY] = { 0 };
	int round, i, never = 0;
	struct probe *p;

	probes_open(MANY);
	for (i = 0; i < MANY; i++)
		probe_write(&probe[i]);
	for (round = 0; round < 2 + MANY / POLLSET_STEP; round++) {
		pollset_wait(LONG_MS);
		for (i = 0; (p = probe_with_news()) != NULL; i++)
			served[p - probe] |= i < 64;
		CHECK(i == MANY, "%d have news", i);
	}
	for (i = 0; i < MANY; i++)
		never += !served[i];
	CHECK(never == 0, "%d never had their turn", never);
	probes_close(MANY);
}

/* One step of somebody who was told: some other is put aside or asked again, is put
 * in anew, or has another wish. */
static void
meddle(void)
{
	struct probe *p = &probe[check_random(MANY)];
	enum rest rest = check_random(3) == 0 ? REST_NEVER : REST_NOW;

	switch (check_random(4)) {
	case 0:
		pollset_want(&p->w, 0, rest);
		break;
	case 1:
		pollset_want(&p->w, POLLIN, rest);
		break;
	case 2:
		pollset_remove(&p->w);
		p->told = 0;
		CHECK(pollset_add(&p->w, p->w.fd) == 0, "no memory");
		pollset_want(&p->w, POLLIN, REST_NEVER);
		break;
	default:
		pollset_age();
	}
}

/* In one wait nobody is told twice, and nobody who has no news; all that is
 * there is told in the end. */
static void
test_random(void)
{
	char full[MANY] = { 0 }, seen[MANY] = { 0 };
	int round, i, wrong = 0, unseen = 0;
	struct probe *p;

	probes_open(MANY);
	for (round = 0; round < 2000; round++) {
		i = (int)check_random(MANY);
		if (full[i])
			probe_drain(&probe[i]);
		else
			probe_write(&probe[i]);
		full[i] = !full[i];
		for (i = 0; i < MANY; i++)
			probe[i].told = 0;
		pollset_wait(0);
		while ((p = probe_with_news()) != NULL) {
			wrong += p->told != 1 || !full[p - probe];
			meddle();
		}
	}
	CHECK(wrong == 0, "%d were told wrongly", wrong);
	for (i = 0; i < MANY; i++)
		pollset_want(&probe[i].w, POLLIN, REST_NEVER);
	for (round = 0; round < 200; round++)
		if (all_news(0) > 0)
			for (i = 0; i < MANY; i++)
				seen[i] |= probe[i].told != 0;
	for (i = 0; i < MANY; i++)
		unseen += seen[i] != full[i];
	CHECK(unseen == 0, "%d were never told, or wrongly", unseen);
	probes_close(MANY);
}

/* News of another fd is no news of this one. */
static void
test_replace_meanwhile(void)
{
	struct probe *p, *other;
	int fd[2];

	probes_open(2);
	CHECK(pipe(fd) == 0, "no pipe");
	probe_write(&probe[0]);
	probe_write(&probe[1]);
	pollset_wait(LONG_MS);
	p = probe_with_news();
	CHECK(p != NULL, "no news");
	other = &probe[p == &probe[0]];
	close(other->w.fd);
	close(other->to);
	pollset_replace(&other->w, fd[0]);
	other->to = fd[1];
	CHECK(probe_with_news() == NULL, "old news");
	probe_write(other);
	CHECK(all_news(LONG_MS) == 2 && other->told == 1, "new news");
	probes_close(2);
}

/* A limit of open files that is lowered leaves some that cannot be asked
 * about. */
static void
test_limit(void)
{
	static struct pollfd some[MANY];
	struct rlimit was, low;

	probes_open(MANY);
	probe_write(&probe[0]);
	CHECK(getrlimit(RLIMIT_NOFILE, &was) == 0, "no limit");
	low = was;
	low.rlim_cur = MANY - 1;
	now_ms += 1000;
	CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0, "the limit stays");
	if (poll(some, MANY, 0) == -1)	/* valgrind knows no limit */
		CHECK(pollset_wait(LONG_MS) == -1 &&
		    probe_with_news() == NULL, "past the limit");
	pollset_remove(&probe[1].w);
	now_ms += 1000;
	CHECK(pollset_wait(LONG_MS) == 0 && probe_with_news() == &probe[0],
	    "within the limit");
	setrlimit(RLIMIT_NOFILE, &was);
	probes_close(MANY);
}

#ifdef PARK_POLL

/* --- the two parts: time is what now_ms says when a wait begins */

/* Has all asked now, with probe[0] always readable, so that there is news in
 * every wait.  Returns when that was. */
static long long
ask_all(void)
{
	now_ms += 50;
	all_news(0);
	return now_ms;
}

/* How many ms after full, when all were asked, quiet watch p is asked. */
static long long
asked_after(const struct probe *p, long long full)
{
	long long ms;

	for (ms = 0; ms < 1000; ms++) {
		now_ms = full + ms;
		all_news(0);
		CHECK(probe[0].told == 1, "the first part is always asked");
		if (p->told > 0)
			break;
	}
	return ms;
}

/* Wanted for nothing but a hang-up, a watch is asked less often, and less
 * still where there was no news of such ones; but within 50 ms. */
static void
test_quiet(void)
{
	struct probe *quiet = &probe[7];
	long long full, calm, brisk;
	int i;

	probes_open(MANY);
	probe_write(&probe[0]);
	pollset_want(&quiet->w, 0, REST_NEVER);
	for (i = 0; i < 10; i++)
		full = ask_all();
	close(quiet->to);
	quiet->to = -1;
	calm = asked_after(quiet, full);
	CHECK(calm > 0 && calm <= 50, "asked after %lld ms", calm);
	full = now_ms;
	CHECK(all_news(0) == 2 && quiet->told == 1,
	    "with news, it is in the first part");
	pollset_want(&quiet->w, 0, REST_NEVER);
	brisk = asked_after(quiet, full);
	CHECK(brisk > 0 && brisk < calm, "asked after %lld ms, %lld when calm",
	    brisk, calm);
	probes_close(MANY);
}

/* Whoever had no news for a second becomes quiet, though wanted for reading;
 * not in one turn, so that turns stay short. */
static void
test_age(void)
{
	struct probe *aged = &probe[9];
	long long full;
	int i;

	probes_open(MANY);
	probe_write(&probe[0]);
	for (i = 0; i < MANY; i++)
		pollset_age();
	full = ask_all();
	probe_write(aged);
	now_ms = full;
	all_news(0);
	CHECK(aged->told == 1, "quiet too soon");
	probe_drain(aged);
	for (i = 0; i < MANY; i++) {
		all_news(0);
		now_ms += 2000;
		pollset_want(&probe[0].w, POLLIN, REST_NEVER);
		pollset_age();
		clock_turn();
	}
	full = ask_all();
	probe_write(aged);
	CHECK(asked_after(aged, full) > 0, "it was asked at once");
	CHECK(aged->revents == POLLIN, "for %d", aged->revents);
	probes_close(MANY);
}

/* After a tenth of a second without any news all are asked, each time. */
static void
test_sleepy(void)
{
	struct probe *quiet = &probe[3];
	long long full, began;

	probes_open(MANY);
	pollset_want(&quiet->w, 0, REST_NEVER);
	probe_write(&probe[0]);
	began = ask_all();
	probe_drain(&probe[0]);
	while (now_ms - began < 100)
		CHECK(all_news(10) == 0, "news of nothing");
	full = ask_all();
	close(quiet->to);
	quiet->to = -1;
	now_ms = full;
	CHECK(all_news(LONG_MS) == 1 && quiet->told == 1, "it was not asked");
	probes_close(MANY);
}

/* So few that one part is enough: quiet ones are asked each time. */
static void
test_one_part(void)
{
	struct probe *quiet = &probe[2];
	long long full;

	probes_open(FEW);
	probe_write(&probe[0]);
	pollset_want(&quiet->w, 0, REST_NEVER);
	full = ask_all();
	close(quiet->to);
	quiet->to = -1;
	CHECK(asked_after(quiet, full) == 0, "not at once");
	probes_close(FEW);
}

#else

/* --- parked: what the kernel keeps */

static int
is_parked(const struct probe *p)
{
	return p->w.where == WATCH_PARKED;
}

static int
how_many_parked(void)
{
	int i, n = 0;

	for (i = 0; i < MANY; i++)
		n += is_parked(&probe[i]);
	return n;
}

/* As many as may be, once it is long ago that many had news at once. */
static void
park_all(short events)
{
	int i;

	probe_write(&probe[0]);
	for (i = 0; i < MANY; i++)
		all_news(LONG_MS);
	probe_drain(&probe[0]);
	for (i = 0; i < MANY; i++)
		pollset_want(&probe[i].w, events, REST_NOW);
}

/* Of few none is parked; of many those that rest, at once, but for so many as
 * cost nothing to speak of. */
static void
test_parks(void)
{
	int i;

	probes_open(MANY);
	for (i = 0; i < FEW; i++)
		pollset_want(&probe[i].w, POLLIN, REST_NEVER);
	park_all(POLLIN);
	CHECK(how_many_parked() >= MANY - 100, "%d are parked", how_many_parked());
	for (i = 0; i < MANY; i++)
		pollset_want(&probe[i].w, POLLIN, i % 2 ? REST_NEVER : REST_NOW);
	for (i = 1; i < MANY; i += 2)
		CHECK(!is_parked(&probe[i]), "%d is parked", i);
	probes_close(MANY);
	probes_open(50);
	for (i = 0; i < 50; i++)
		pollset_want(&probe[i].w, POLLIN, REST_NOW);
	CHECK(how_many_parked() == 0, "%d of few are parked",
	    how_many_parked());
	probes_close(50);
}

/* One that is parked is told of in the wait in which it has news, as any other,
 * and is asked from then on. */
static void
test_parked_news(void)
{
	struct probe *p = &probe[1], *q = &probe[2];

	probes_open(MANY);
	park_all(POLLIN);
	CHECK(is_parked(p) && all_news(0) == 0, "news of nothing");
	probe_write(p);
	CHECK(all_news(LONG_MS) == 1 && p->told == 1 && p->revents == POLLIN,
	    "an octet came");
	CHECK(!is_parked(p), "parked, though it has news");
	CHECK(all_news(LONG_MS) == 1 && p->told == 1, "it is there");
	pollset_want(&p->w, POLLIN, REST_NOW);
	CHECK(is_parked(p) && all_news(LONG_MS) == 1 && p->told == 1,
	    "what was there when it was parked");
	probe_drain(p);
	pollset_want(&p->w, 0, REST_NOW);
	probe_write(p);
	CHECK(is_parked(p) && all_news(0) == 0, "told although not wanted");
	pollset_want(&p->w, POLLIN, REST_NEVER);
	CHECK(!is_parked(p) && all_news(LONG_MS) == 1, "asked again");
	pollset_want(&q->w, 0, REST_NOW);
	close(q->to);
	q->to = -1;
	CHECK(all_news(LONG_MS) == 2 && (q->revents & POLLHUP),
	    "a hang-up is always told");
	probes_close(MANY);
}

/* However many have news at once, all are told, in several waits if need be. */
static void
test_parked_many(void)
{
	int i, waits = 0, n = 0, all;
	struct probe *p;

	probes_open(MANY);
	park_all(POLLIN);
	all = how_many_parked();
	for (i = 0; i < MANY; i++)
		probe_write(&probe[i]);
	while (n < MANY && waits++ < 10) {
		pollset_wait(LONG_MS);
		while ((p = probe_with_news()) != NULL) {
			n++;
			probe_drain(p);
		}
	}
	CHECK(all > 200 && n == MANY, "%d of %d were told", n, MANY);
	probes_close(MANY);
}

/* Whose descriptor is closed while news of it wait has none, nor has another that
 * gets the same number. */
static void
test_parked_leaves(void)
{
	struct probe *p = &probe[1], *q = &probe[2], *other;
	int fd;

	probes_open(MANY);
	park_all(POLLIN);
	probe_write(p);
	probe_write(q);
	pollset_wait(LONG_MS);
	other = probe_with_news() == p ? q : p;
	fd = other->w.fd;
	probe_close(other);
	probe_open(other);
	CHECK(other->w.fd == fd, "another number");
	pollset_want(&other->w, POLLIN, REST_NOW);
	CHECK(probe_with_news() == NULL, "old news");
	probe_write(other);
	CHECK(all_news(LONG_MS) == 2 && other->told == 1, "new news");
	probes_close(MANY);
}

/* A descriptor that another process has too, as a child may for a moment, is not
 * heard of any more once it left. */
static void
test_parked_shared(void)
{
	struct probe *p = &probe[1];
	int kept;

	probes_open(MANY);
	park_all(POLLIN);
	kept = dup(p->w.fd);
	probe_write(p);
	pollset_remove(&p->w);
	close(p->w.fd);
	CHECK(all_news(0) == 0, "told of one that left");
	clock_turn();
	now_ms = now_ms - now_ms % 1000;
	CHECK(all_news(20) == 0 && all_news(20) == 0, "the set has news for ever");
	CHECK(pollset_add(&p->w, kept) == 0, "no memory");
	probes_close(MANY);
}

/* Who was asked while few were is parked once there are many; who has a reason to
 * be asked, only where it is quiet. */
static void
test_parks_later(void)
{
	struct probe *never = &probe[0], *quiet = &probe[1], *now = &probe[2];
	int i;

	probes_open(50);
	pollset_want(&never->w, POLLIN, REST_NEVER);
	pollset_want(&quiet->w, POLLIN, REST_QUIET);
	pollset_want(&now->w, POLLIN, REST_NOW);
	for (i = 50; i < MANY; i++)
		probe_open(&probe[i]);
	for (i = 0; i < MANY; i++)
		pollset_age();
	CHECK(is_parked(now) && !is_parked(quiet), "it is parked too soon");
	now_ms += 2000;
	for (i = 0; i < MANY; i++)
		pollset_age();
	CHECK(is_parked(quiet) && !is_parked(never), "it is not parked");
	probes_close(MANY);
}

#endif

void
test_pollset(void)
{
	test_events();
	test_writable();
	test_replace();
	test_silent();
	test_outside();
	test_at();
	test_remove_meanwhile();
	test_turns();
	test_random();
	test_replace_meanwhile();
	test_limit();
#ifdef PARK_POLL
	test_quiet();
	test_age();
	test_sleepy();
	test_one_part();
#else
	test_parks();
	test_parked_news();
	test_parked_many();
	test_parked_leaves();
	test_parked_shared();
	test_parks_later();
#endif
}
