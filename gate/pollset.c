#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/pollset.h"
#include "gate/park.h"

#define ASKED_MIN 64		/* so many may be asked, whether they have news or not */
#define ASKED_EACH 8		/* and so many more for each that has news in a turn */
#define PARTS_FROM 32		/* watches from which there are two parts */
#define QUIET_MS 1000
#define SLICE_MS 10		/* longest wait for the first part alone */
#define CALM_MAX 3		/* so many more periods a second part without news waits */
#define COARSE_MS 50		/* how late a timer, or news of the second part, may be */
#define NO_MEMORY_MS 10
#define SLEEPY_MS 100		/* without news for so long: ask all, and sleep */

static struct {
	struct pollfd *pfd;	/* [0..active) asked each turn, [active..n) put aside */
	struct watch **who;
	size_t n, active, cap;
	size_t look;		/* where pollset_age() goes on */
	size_t asked;		/* how many the last wait asked about */
	size_t first;		/* where pollset_news() begins, each turn further on */
	size_t seen;		/* how many it has looked at */
	int left;		/* how many more have news */
	int fetched;		/* the same of those that were parked */
	unsigned int numbers;	/* of watches so far */
	unsigned short turn;	/* see pollset_turn() */
	int ready;		/* the kernel's ready set, or -1: there is none */
	int began;
	size_t usual;		/* how many have news in a turn, as a rule; times 8 */
	long long news_ms;	/* when there last was any */
	long long full_ms;	/* when all were last asked */
	int calm;		/* how often in a row the second part had no news */
} set;

static void
set_begin(void)
{
	if (!set.began)
		set.ready = park_open();
	set.began = 1;
}

static int
set_parks(void)
{
	return set.ready != -1;
}

static void
set_move(size_t from, size_t to)
{
	set.pfd[to] = set.pfd[from];
	set.who[to] = set.who[from];
	set.who[to]->slot = (unsigned int)to;
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
	w->slot = (unsigned int)b;
	/* What the last wait did not ask about has old news. */
	if (a >= set.asked || b >= set.asked)
		set.pfd[a < b ? a : b].revents = 0;
}

/* There is always one place more, for the ready set. */
static int
set_grow(void)
{
	size_t cap = array_grown(set.cap);
	struct pollfd *p = realloc(set.pfd, (cap + 1) * sizeof(*p));
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

/* Moves w to where it is asked, put aside, or not in the set at all.  One that the
 * kernel will not keep stays where it was. */
static void
watch_move(struct watch *w, enum watch_where where)
{
	if (where == WATCH_PARKED && set_parks() &&
	    park_put(w, set.pfd[w->slot].events) == -1)
		return;
	if (w->where == where)
		return;
	if (w->where == WATCH_ASKED)
		set_swap(w->slot, --set.active);
	w->where = (unsigned char)where;
	if (where == WATCH_ASKED)
		set_swap(w->slot, set.active++);
	else if (where == WATCH_NOWHERE)
		set_swap(w->slot, --set.n);
}

static void
watch_wake(struct watch *w)
{
	w->busy_ms = now_ms;
	watch_move(w, WATCH_ASKED);
}

int
pollset_add(struct watch *w, int fd)
{
	set_begin();
	w->fd = fd;
	w->number = ++set.numbers;
	w->where = WATCH_NOWHERE;
	w->rest = REST_NEVER;
	w->changed = set.turn;
	if (set.n == set.cap && set_grow() == -1)
		return -1;
	w->slot = (unsigned int)set.n++;
	set.pfd[w->slot].fd = fd;
	set.pfd[w->slot].events = 0;
	set.pfd[w->slot].revents = 0;
	set.who[w->slot] = w;
	watch_wake(w);
	return 0;
}

void
pollset_remove(struct watch *w)
{
	if (w->where == WATCH_NOWHERE)
		return;
	park_forget(w);
	watch_move(w, WATCH_NOWHERE);
}

void
pollset_replace(struct watch *w, int fd)
{
	park_forget(w);
	w->fd = fd;
	w->changed = set.turn;
	if (w->where == WATCH_NOWHERE)
		return;
	set.pfd[w->slot].fd = fd;
	set.pfd[w->slot].revents = 0;
	watch_wake(w);
}

/* Whether more are asked than is worth while.  To ask one that has no news costs
 * little, to have it parked and woken two system calls. */
static int
set_is_long(void)
{
	return set.active > ASKED_MIN + set.usual / 8 * ASKED_EACH;
}

/* The kernel tells at once when one that is parked has news, so that any may be
 * parked that rests. */
static void
want_parked(struct watch *w, int changed)
{
	if (w->where == WATCH_PARKED && w->rest == REST_NOW) {
		if (changed)
			watch_move(w, WATCH_PARKED);
	} else if (w->rest == REST_NOW && set_is_long()) {
		watch_move(w, WATCH_PARKED);
	} else if (w->where == WATCH_PARKED) {
		park_forget(w);
		watch_wake(w);
	}
}

/* The second part is asked late, so that only those stand there from which
 * nothing is wanted but a hang-up. */
static void
want_apart(struct watch *w, short events)
{
	if (events & (POLLIN | POLLOUT))
		watch_wake(w);
	else
		watch_move(w, WATCH_PARKED);
}

void
pollset_want(struct watch *w, short events, enum rest rest)
{
	int changed;

	if (w->where == WATCH_NOWHERE)
		return;
	changed = set.pfd[w->slot].events != events;
	if (changed)
		w->changed = set.turn;
	set.pfd[w->slot].events = events;
	w->rest = (unsigned char)rest;
	if (set_parks())
		want_parked(w, changed);
	else
		want_apart(w, events);
}

int
pollset_is_silent(const struct watch *w)
{
	return w->where == WATCH_ASKED && w->slot < set.asked &&
	    w->changed != set.turn && set.pfd[w->slot].revents == 0;
}

size_t
pollset_size(void)
{
	return set.n;
}

unsigned short
pollset_turn(void)
{
	return set.turn;
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

	if (set_parks())
		return set.active;
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
 * together, since each waking costs. */
static int
set_patience(int wait_ms)
{
	if (wait_ms > 0 && wait_ms < COARSE_MS && set.n > PARTS_FROM)
		return COARSE_MS;
	return wait_ms;
}

/* Asks poll() about the first set.asked watches, and the ready set.  Returns as
 * poll() does, but for the ready set; *parked: it has news. */
static int
set_poll(int wait_ms, int *parked)
{
	struct pollfd *last = &set.pfd[set.asked], kept;
	int news;

	*parked = 0;
	if (set.asked == set.n || !set_parks())	/* nobody is parked */
		return poll(set.pfd, (nfds_t)set.asked, wait_ms);
	kept = *last;
	last->fd = set.ready;
	last->events = POLLIN;
	news = poll(set.pfd, (nfds_t)set.asked + 1, wait_ms);
	*parked = news > 0 && last->revents != 0;
	*last = kept;
	return news - *parked;
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
	int news, failure, parked;

	set.turn++;
	wait_ms = set_patience(wait_ms);
	set.asked = set_reach(&wait_ms);
	news = set_poll(wait_ms, &parked);
	failure = news == -1 ? set_failure(errno) : 0;
	clock_turn();
	if (set.asked == set.n) {
		set.full_ms = now_ms;
		set.calm += set.calm < CALM_MAX;
	}
	set.left = news > 0 ? news : 0;
	set.first = set.active > 0 ?
	    (set.first + POLLSET_STEP) % set.active : 0;
	set.seen = 0;
	set.fetched = parked ? park_fetch() : 0;
	news += set.fetched;
	if (news > 0) {
		set.news_ms = now_ms;
		set.usual += (size_t)news - set.usual / 8;
	}
	return failure;
}

/* The next of those that poll() told of. */
static struct watch *
set_news(short *revents)
{
	size_t i, end;

	while (set.left > 0 && set.seen < (end = min_size(set.asked, set.n))) {
		i = set.first + set.seen++;
		if (i >= end)
			i %= end;
		*revents = set.pfd[i].revents;
		if (*revents == 0)
			continue;
		set.left--;
		if (i >= set.active)
			set.calm = 0;
		set.pfd[i].revents = 0;
		return set.who[i];
	}
	return NULL;
}

struct watch *
pollset_news(short *revents)
{
	struct watch *w = set_news(revents);

	if (w != NULL && w->where == WATCH_PARKED)
		park_forget(w);		/* parked since poll() told of it */
	if (w == NULL && set.fetched > 0)
		w = park_news(revents);
	if (w != NULL)
		watch_wake(w);
	return w;
}

static int
watch_is_idle(const struct watch *w)
{
	if (set_parks() && w->rest == REST_NEVER)
		return 0;
	return now_ms - w->busy_ms >= QUIET_MS ||
	    (set_parks() && w->rest == REST_NOW);
}

void
pollset_age(void)
{
	int i;

	if (set_parks() ? !set_is_long() : set.n <= PARTS_FROM)
		return;
	for (i = 0; i < 16 && set.active > 0; i++) {
		struct watch *w = set.who[set.look++ % set.active];

		if (watch_is_idle(w))
			watch_move(w, WATCH_PARKED);
	}
}
