/*
 * Tests of gate/account.c: how far accounts grow that take all they may, one
 * piece each in turn, and what that leaves for one who comes later.
 */
#include <string.h>

#include "gate/say.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "check.h"

#define MOST 9000		/* of each share */
#define CROWD 20

static struct account a[CROWD + 1];

static void
take(struct account *of, enum share what)
{
	if (what == SHARE_OCTETS)
		budget_charge(1, account_octets(of));
	else
		account_take(of, what);
}

static void
give(struct account *of, enum share what)
{
	if (what == SHARE_OCTETS)
		budget_return(1, account_octets(of));
	else
		account_return(of, what);
}

/* The first n accounts take what they may, by turns. */
static void
grow(size_t n, enum share what)
{
	size_t i, took;

	do {
		took = 0;
		for (i = 0; i < n; i++)
			if (account_may_grow(&a[i], what)) {
				take(&a[i], what);
				took++;
			}
	} while (took > 0);
}

static void
shrink(enum share what)
{
	size_t i;

	for (i = 0; i <= CROWD; i++)
		while (a[i].held[what] > 0)
			give(&a[i], what);
}

static int
is_near(size_t n, size_t other)
{
	return n <= other + 2 && other <= n + 2;
}

/* n greedy ones hold k / (n * k + 1) each, and the last that comes finds room. */
static void
check_greedy(size_t n, enum share what, size_t k)
{
	size_t i, fair = MOST * k / (n * k + 1);

	grow(n, what);
	for (i = 0; i < n; i++)
		CHECK(is_near(a[i].held[what], fair),
		    "share %d of %zu: %zu has %zu, not %zu", what, n, i,
		    a[i].held[what], fair);
	CHECK(account_may_grow(&a[CROWD], what),
	    "share %d of %zu: nothing is left", what, n);
	take(&a[CROWD], what);
	CHECK(a[CROWD].held[what] == 1, "share %d of %zu: none was left", what, n);
	shrink(what);
}

/* One that held all makes room as it gives back, and is never cut. */
static void
test_newcomer(void)
{
	size_t before;

	grow(1, SHARE_CONNS);
	before = a[0].held[SHARE_CONNS];
	while (account_may_grow(&a[1], SHARE_CONNS))
		take(&a[1], SHARE_CONNS);
	CHECK(a[0].held[SHARE_CONNS] == before, "it was cut");
	CHECK(a[1].held[SHARE_CONNS] >= (MOST - before) * 4 / 5 - 2,
	    "the second has %zu", a[1].held[SHARE_CONNS]);
	CHECK(!account_may_grow(&a[0], SHARE_CONNS), "the first may grow");
	while (a[0].held[SHARE_CONNS] > 0 &&
	    !account_may_grow(&a[1], SHARE_CONNS))
		give(&a[0], SHARE_CONNS);
	CHECK(a[0].held[SHARE_CONNS] == before - 1, "%zu",
	    a[0].held[SHARE_CONNS]);
	shrink(SHARE_CONNS);
}

/* What fits at once is just what leaves the rule in force. */
static void
test_room(void)
{
	size_t room;

	CHECK(account_room(&a[0]) == MOST * 4 / 5, "%zu", account_room(&a[0]));
	budget_charge(1000, account_octets(&a[0]));
	budget_charge(3000, account_octets(&a[1]));
	room = account_room(&a[0]);
	CHECK(room == (4 * 5000 - 1000) / 5, "%zu", room);
	budget_charge(room, account_octets(&a[0]));
	CHECK(account_may_grow(&a[0], SHARE_OCTETS), "its room was no room");
	CHECK(account_room(&a[0]) == 0, "%zu", account_room(&a[0]));
	budget_starved();
	CHECK(account_has_room(&a[0], 0) && !budget_starved(), "none, of none");
	CHECK(!account_has_room(&a[0], 1) && budget_starved(),
	    "a lack is not told");
	budget_return(1000 + room, account_octets(&a[0]));
	budget_return(3000, account_octets(&a[1]));
}

/* What could be done with less comes to half of the share, and no further. */
static void
test_spare(void)
{
	size_t took = 0, n;

	while ((n = account_spare(&a[0]) / 8) > 0) {
		budget_charge(n, account_octets(&a[0]));
		took += n;
	}
	CHECK(took <= MOST * 2 / 5 && took > MOST / 3, "it took %zu", took);
	CHECK(account_may_grow(&a[0], SHARE_OCTETS) &&
	    !account_is_nearly_full(&a[0]), "no room is left for the rest");
	n = account_room(&a[0]) - MOST / 32;
	budget_charge(n, account_octets(&a[0]));
	CHECK(account_is_nearly_full(&a[0]) && account_spare(&a[0]) == 0,
	    "%zu are left", account_room(&a[0]));
	CHECK(account_of(account_octets(&a[0])) == &a[0], "another account");
	budget_return(took + n, account_octets(&a[0]));
}

/* In each turn each may read so often, whatever others do. */
static void
test_turns(void)
{
	unsigned short turn;
	int i, first = 0, second;

	while (account_read(&a[0], 7))
		first++;
	CHECK(first >= 32 && first <= 256, "%d reads in a turn", first);
	CHECK(account_read(&a[1], 7), "another one has none left");
	CHECK(!account_read(&a[0], 7), "more in the same turn");
	for (turn = 8; turn < 11; turn++) {
		for (second = 0; account_read(&a[0], turn); second++)
			continue;
		CHECK(second == first, "%d, then %d", first, second);
	}
	for (i = 1; i < first; i++)
		CHECK(account_read(&a[1], 7), "the other had %d of %d", i,
		    first);
}

static void
return_none(void *of)
{
	account_return(of, SHARE_CONNS);
}

void
test_account(void)
{
	static const size_t crowds[] = { 1, 2, 3, CROWD };
	size_t before = budget_max(), i;

	budget_set_max(MOST);
	accounts_start(MOST, MOST);
	for (i = 0; i < ARRAY_LEN(crowds); i++) {
		check_greedy(crowds[i], SHARE_OCTETS, 4);
		check_greedy(crowds[i], SHARE_CONNS, 4);
		check_greedy(crowds[i], SHARE_WAITING, 1);
	}
	test_newcomer();
	test_room();
	test_spare();
	test_turns();
	CHECK(check_must("gate/account.c", return_none, &a[0]),
	    "what was never taken came back");
	budget_set_max(before);
	budget_starved();
}
