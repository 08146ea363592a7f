#include "gate/say.h"
#include "gate/mem.h"
#include "gate/pollset.h"
#include "gate/account.h"

/* Reads of requests for one account in a turn.  Fewer, and many ready callers cost a
 * poll() and a look at each for every few; more, and others wait longer. */
#define TURN_READS 64

#if TURN_READS < POLLSET_STEP
#error "some callers would never have a turn"
#endif

/* How many times what is free an account may hold. */
static const size_t times_free[SHARES] = {
	[SHARE_OCTETS] = 4, [SHARE_CONNS] = 4, [SHARE_IDLE] = 1,
	[SHARE_WAITING] = 1,
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
share_left(enum share what)
{
	size_t most = shares[what].most, used = shares[what].used;

	if (what == SHARE_OCTETS)
		return budget_free();
	return used < most ? most - used : 0;
}

int
account_may_grow(const struct account *a, enum share what)
{
	size_t times = times_free[what];

	return (a->held[what] + times - 1) / times <= share_left(what);
}

int
account_has_turn(const struct account *a, unsigned short turn)
{
	return a->turn != turn || a->reads < TURN_READS;
}

int
account_read(struct account *a, unsigned short turn)
{
	if (!account_has_turn(a, turn))
		return 0;
	if (a->turn != turn)
		a->reads = 0;
	a->turn = turn;
	a->reads++;
	return 1;
}

size_t
accounts_conns(void)
{
	return shares[SHARE_CONNS].used + shares[SHARE_IDLE].used;
}

size_t
account_room(const struct account *a)
{
	size_t left = share_left(SHARE_OCTETS), held = a->held[SHARE_OCTETS];

	if (!account_may_grow(a, SHARE_OCTETS))
		return 0;
	return left - (left + held) / (times_free[SHARE_OCTETS] + 1);
}

size_t
account_spare(const struct account *a)
{
	size_t room = account_room(a), held = a->held[SHARE_OCTETS];

	return room > held ? room - held : 0;
}

int
account_is_nearly_full(const struct account *a)
{
	return account_room(a) < budget_max() / 16;
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
