#include "gate/say.h"
#include "gate/mem.h"
#include "gate/account.h"

/* How many times what is free an account may hold. */
static const size_t times_free[SHARES] = {
	[SHARE_OCTETS] = 4, [SHARE_CONNS] = 4, [SHARE_WAITING] = 1,
};

static struct {
	size_t most, used;
} shares[SHARES];

struct account account_nobody;

void
accounts_start(size_t conns, size_t waiting)
{
	shares[SHARE_CONNS].most = conns;
	shares[SHARE_WAITING].most = waiting;
}

static size_t
share_free(enum share what)
{
	size_t most = shares[what].most;
	size_t used = shares[what].used - account_nobody.held[what];

	if (what == SHARE_OCTETS)
		return budget_free();
	return used < most ? most - used : 0;
}

int
account_may_grow(const struct account *a, enum share what)
{
	return a->held[what] <= times_free[what] * share_free(what);
}

size_t
accounts_held(enum share what)
{
	return shares[what].used;
}

size_t
account_room(const struct account *a)
{
	size_t most = times_free[SHARE_OCTETS] * share_free(SHARE_OCTETS);

	if (a->held[SHARE_OCTETS] >= most)
		return 0;
	return (most - a->held[SHARE_OCTETS]) / (times_free[SHARE_OCTETS] + 1);
}

int
account_has_room(const struct account *a, size_t n)
{
	if (n <= account_room(a))
		return 1;
	budget_starve();
	return 0;
}

void
account_take(struct account *a, enum share what)
{
	a->held[what]++;
	shares[what].used++;
}

void
account_return(struct account *a, enum share what)
{
	must(a->held[what] > 0 && shares[what].used > 0);
	a->held[what]--;
	shares[what].used--;
}

void
account_move(struct account *from, struct account *to, enum share what)
{
	account_return(from, what);
	account_take(to, what);
}
