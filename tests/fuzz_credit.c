/*
 * Fuzzing credit: a peer that sends what it may as it likes, and answers pings
 * when it likes, over streams of one link whose sinks take what they like.
 * Properties: what is granted makes no window larger than it may be, is never
 * more than the budget has, and all of it can be used; and what a hostile peer
 * makes of the path leaves an account some room, however many its streams.
 */
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/credit.h"

int fuzz_credit(const unsigned char *p, size_t n);

#define STREAMS 4
#define BUDGET (4 << 20)

/* One stream: what came of its body and is not gone waits for its sink. */
struct flow {
	struct window w;
	size_t held;
};

static struct flow flow[STREAMS];
static struct path path;
static struct account account;

static void
begin(struct flow *f)
{
	long long n = window_first(path_octets(&path), budget_free(), STREAMS);

	memset(f, 0, sizeof(*f));
	if (budget_charge((size_t)n, account_octets(&account)) == -1)
		return;
	f->w.promised = f->w.size = n;
}

/* The stream has ended. */
static void
end(struct flow *f)
{
	budget_return((size_t)f->w.promised + f->held,
	    account_octets(&account));
	memset(f, 0, sizeof(*f));
}

/* Octets come against credit, and are held until they are gone. */
static void
come(struct flow *f, long long n)
{
	n = min_time(n, f->w.promised);
	f->w.promised -= n;
	f->held += (size_t)n;
	path.came += n;
	window_came(&f->w, &path, (size_t)n);
}

static void
go(struct flow *f, size_t n)
{
	n = min_size(n, f->held);
	f->held -= n;
	f->w.gone += (long long)n;
	budget_return(n, account_octets(&account));
}

static void
grant(struct flow *f)
{
	size_t room = account_spare(&account);
	long long before = f->w.promised + (long long)f->held;
	long long size = window_next(&f->w, &path, f->held, room);
	long long n = window_missing(&f->w, size, f->held);

	if (!window_is_due(&f->w, &path, room))
		return;
	if (size > WINDOW_MAX || (size > f->w.size && (size_t)size > room))
		abort();
	if (n > 0 && budget_charge((size_t)n, account_octets(&account)) == -1)
		return;
	window_grant(&f->w, n, size);
	if (f->w.promised + (long long)f->held >
	    (before > size ? before : size))
		abort();
}

static void
pong(void)
{
	if (path.ping_is_out)
		path_ponged(&path);
	if (path_octets(&path) > WINDOW_MAX)
		abort();
}

/* An octet says what happens to whom, the next one how much of it. */
static void
step(unsigned int what, unsigned int much)
{
	struct flow *f = &flow[what % STREAMS];
	size_t n = (size_t)much << (what >> 5) * 2;

	switch (what / STREAMS % 8) {
	case 0:
		end(f);
		begin(f);
		break;
	case 1:
		pong();
		break;
	case 2:
	case 3:
		go(f, n);
		grant(f);
		break;
	default:
		come(f, (long long)n);
		if (path_is_due(&path))
			path_pinged(&path);
	}
}

static size_t
all_held(void)
{
	size_t i, sum = 0;

	for (i = 0; i < STREAMS; i++)
		sum += (size_t)flow[i].w.promised + flow[i].held;
	return sum;
}

int
fuzz_credit(const unsigned char *p, size_t n)
{
	size_t i;

	budget_set_max(BUDGET);
	memset(&path, 0, sizeof(path));
	for (i = 0; i < STREAMS; i++)
		begin(&flow[i]);
	for (i = 0; i + 1 < n; i += 2) {
		step(p[i], p[i + 1]);
		if (account.held[SHARE_OCTETS] != all_held() ||
		    budget_free() < BUDGET / 16)
			abort();
	}
	for (i = 0; i < STREAMS; i++)
		end(&flow[i]);
	if (budget_free() != BUDGET)
		abort();
	return 0;
}
