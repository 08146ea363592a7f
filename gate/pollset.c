#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/pollset.h"

#define PARTS_FROM 32		/* watches from which there are two parts */
#define QUIET_MS 1000
#define SLICE_MS 10		/* longest wait for the first part alone */
#define CALM_MAX 3		/* so many more periods a second part without news waits */
#define COARSE_MS 50		/* how late a timer, or news of the second part, may be */
#define NO_MEMORY_MS 10
#define SLEEPY_MS 100		/* without news for so long: ask all, and sleep */

static struct {
	struct pollfd *pfd;	/* [0..active) asked each turn, [active..n) now and then */
	struct watch **who;
	size_t n, active, cap;
	size_t look;		/* where pollset_age() goes on */
	size_t asked;		/* how many the last wait asked about */
	size_t at;		/* where pollset_news() goes on */
	int left;		/* how many more have news */
	long long news_ms;	/* when there last was any */
	long long full_ms;	/* when all were last asked */
	int calm;		/* how often in a row the second part had no news */
} set;

static void
set_move(size_t from, size_t to)
{
	set.pfd[to] = set.pfd[from];
	set.who[to] = set.who[from];
	set.who[to]->slot = to;
}

static void
set_swap(size_t a, size_t b)
{
	struct pollfd p = set.pfd[a];
	struct watch *w = set.who[a];

	if (a == b)
		return;
	set_move(b, a);
	set.pfd[b] = p;
	set.who[b] = w;
	w->slot = b;
	/* What the last wait did not ask about has old news. */
	if (a >= set.asked || b >= set.asked)
		set.pfd[a < b ? a : b].revents = 0;
}

static int
set_grow(void)
{
	size_t cap = set.cap * 2 + 64;
	struct pollfd *p = realloc(set.pfd, cap * sizeof(*p));
	struct watch **w;

	if (p == NULL)
		return -1;
	set.pfd = p;
	w = realloc(set.who, cap * sizeof(*w));
	if (w == NULL)
		return -1;
	set.who = w;
	set.cap = cap;
	return 0;
}

static void
watch_quiet(struct watch *w)
{
	set_swap(w->slot, --set.active);
}

static void
watch_wake(struct watch *w)
{
	w->busy_ms = now_ms;
	if (w->slot >= set.active)
		set_swap(w->slot, set.active++);
}

int
pollset_add(struct watch *w, int fd)
{
	w->fd = fd;
	w->slot = NO_SLOT;
	w->busy_ms = now_ms;
	if (set.n == set.cap && set_grow() == -1)
		return -1;
	w->slot = set.n++;
	set.pfd[w->slot].fd = fd;
	set.pfd[w->slot].events = 0;
	set.pfd[w->slot].revents = 0;
	set.who[w->slot] = w;
	set_swap(w->slot, set.active++);
	return 0;
}

void
pollset_remove(struct watch *w)
{
	if (w->slot == NO_SLOT)
		return;
	if (w->slot < set.active)
		watch_quiet(w);
	set_swap(w->slot, --set.n);
	w->slot = NO_SLOT;
}

void
pollset_replace(struct watch *w, int fd)
{
	w->fd = fd;
	if (w->slot == NO_SLOT)
		return;
	set.pfd[w->slot].fd = fd;
	set.pfd[w->slot].revents = 0;
}

void
pollset_want(struct watch *w, short events)
{
	if (w->slot == NO_SLOT)
		return;
	set.pfd[w->slot].events = events;
	if (events & (POLLIN | POLLOUT))
		watch_wake(w);
	else if (w->slot < set.active)
		watch_quiet(w);
}

size_t
pollset_size(void)
{
	return set.n;
}

struct watch *
pollset_at(size_t i)
{
	return set.who[i];
}

/* How many this turn asks about; shortens *wait_ms to what that allows. */
static size_t
set_reach(int *wait_ms)
{
	long long quiet = (long long)(set.n - set.active);
	long long period = min_time((1 + quiet / 500) * (1 + set.calm),
	    COARSE_MS);

	if (set.n <= PARTS_FROM || now_ms - set.news_ms >= SLEEPY_MS)
		return set.n;
	if (now_ms - set.full_ms >= period) {
		*wait_ms = 0;
		return set.n;
	}
	period = min_time(period, SLICE_MS);
	if (*wait_ms < 0 || *wait_ms > period)
		*wait_ms = (int)period;
	return set.active;
}

/* Thousands of idle conns come due one by one: their timers are taken
 * together, since each waking asks about them all. */
static int
set_patience(int wait_ms)
{
	if (wait_ms > 0 && wait_ms < COARSE_MS && set.n > PARTS_FROM)
		return COARSE_MS;
	return wait_ms;
}

/* What poll() said, as pollset_wait() returns it. */
static int
set_failure(int err)
{
	if (err == ENOMEM)
		poll(NULL, 0, NO_MEMORY_MS);
	else if (err == EINVAL)
		return -1;
	else if (err != EINTR && err != EAGAIN)
		die("poll:");
	return 0;
}

int
pollset_wait(int wait_ms)
{
	int news, failure;

	wait_ms = set_patience(wait_ms);
	set.asked = set_reach(&wait_ms);
	news = poll(set.pfd, (nfds_t)set.asked, wait_ms);
	failure = news == -1 ? set_failure(errno) : 0;
	clock_turn();
	if (set.asked == set.n) {
		set.full_ms = now_ms;
		set.calm += set.calm < CALM_MAX;
	}
	if (news > 0)
		set.news_ms = now_ms;
	set.left = news;
	set.at = 0;
	return failure;
}

struct watch *
pollset_news(short *revents)
{
	for (; set.left > 0 && set.at < min_size(set.asked, set.n); set.at++) {
		struct watch *w = set.who[set.at];

		*revents = set.pfd[set.at].revents;
		if (*revents == 0)
			continue;
		set.left--;
		if (set.at >= set.active)
			set.calm = 0;
		set.pfd[set.at++].revents = 0;
		watch_wake(w);
		return w;
	}
	return NULL;
}

void
pollset_age(void)
{
	int i;

	if (set.n <= PARTS_FROM)
		return;
	for (i = 0; i < 16 && set.active > 0; i++) {
		struct watch *w = set.who[set.look++ % set.active];

		if (now_ms - w->busy_ms >= QUIET_MS)
			watch_quiet(w);
	}
}
