/*
 * Tests of gate/domain.c: which names can be somebody's own, and who holds which
 * while ids take them and give them up.
 */
#include <stdio.h>
#include <string.h>

#include "gate/say.h"
#include "gate/mem.h"
#include "gate/domain.h"
#include "check.h"

static void
test_may_be_own(void)
{
	static const char *const good[] = {
		"a.b", "app.example.org", "xn--bcher-kva.example", "1.2.3.a",
		"localhost.example", "a.xlocalhost",
	};
	static const char *const bad[] = {
		"", ".", "a", "a.", ".a", "a..b", "A.b", "a.B", "*.a.b", "a_b.c",
		"1.2.3.4", "1.2.3", "a.1", "a.0x7f", "a.-b", "localhost",
		"a.localhost", "a.b:80", "[::1]", "b\xc3\xbc.example",
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(good); i++)
		CHECK(domain_may_be_own(good[i]), "%s", good[i]);
	for (i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!domain_may_be_own(bad[i]), "\"%s\"", bad[i]);
}

#define IDS 6
#define CLIENTS 18			/* of these ids in turn */
#define NAMES 40

static size_t sums[IDS];
static struct domain *of[CLIENTS];
static int holder[NAMES];		/* by our own reckoning; -1: nobody */

static const char *
name_of(int i)
{
	static char name[JWT_DOMAIN_MAX + 1];

	snprintf(name, sizeof(name), "n%d.example", i);
	return name;
}

/* Random claims of an id, of names that nobody else holds. */
static void
claim(struct jwt_claims *c, int id)
{
	int i, n;

	c->ndomains = (int)check_random(JWT_DOMAINS_MAX + 1);
	for (i = n = 0; i < c->ndomains; i++) {
		int name = (int)check_random(NAMES);

		if (holder[name] == -1 || holder[name] == id)
			strcpy(c->domain[n++], name_of(name));
	}
	c->ndomains = n;
}

static int
claims(const struct jwt_claims *c, int name)
{
	int i;

	for (i = 0; i < c->ndomains; i++)
		if (strcmp(c->domain[i], name_of(name)) == 0)
			return 1;
	return 0;
}

static void
hold(const struct jwt_claims *c)
{
	int i, k;

	for (i = 0; i < NAMES; i++) {
		holder[i] = -1;
		for (k = 0; k < CLIENTS; k++)
			if (claims(&c[k], i))
				holder[i] = k % IDS;
	}
}

static void
check_holders(const char *const ids[IDS], int step)
{
	const char *id;
	int i;

	for (i = 0; i < NAMES; i++) {
		id = domain_id(view_of(name_of(i)));
		CHECK(holder[i] == -1 ? id == NULL : id != NULL &&
		    strcmp(id, ids[holder[i]]) == 0, "step %d: who holds %s",
		    step, name_of(i));
	}
}

static void
test_holders(void)
{
	static const char *const ids[IDS] = { "a", "b", "c", "d", "e", "f" };
	static struct jwt_claims c[CLIENTS];
	size_t free_before = budget_free();
	int step, i, k, id;

	for (step = 0; step < 500; step++) {
		k = (int)check_random(CLIENTS);
		id = k % IDS;
		domains_give_up(&of[k]);
		c[k].ndomains = 0;
		hold(c);
		check_holders(ids, step);
		claim(&c[k], id);
		CHECK(domains_take(&of[k], ids[id], &sums[id], &c[k]) == 0,
		    "step %d", step);
		hold(c);
		check_holders(ids, step);
	}
	for (k = 0; k < CLIENTS; k++)
		domains_give_up(&of[k]);
	for (i = 0; i < IDS; i++)
		CHECK(sums[i] == 0, "%s has none", ids[i]);
	CHECK(budget_free() == free_before, "all memory is back");
}

/* Of what does not fit nothing is held. */
static void
test_no_memory(void)
{
	static struct jwt_claims c;
	struct domain *list = NULL;
	size_t sum = 0, most = budget_max();
	int i;

	for (i = 0; i < 16; i++)
		snprintf(c.domain[i], sizeof(c.domain[i]), "n%d.example", i);
	c.ndomains = 16;
	budget_set_max(4096);
	CHECK(domains_take(&list, "me", &sum, &c) == -1, "more than an eighth");
	CHECK(list == NULL && sum == 0, "nothing is held");
	CHECK(domain_id(view_of("n0.example")) == NULL, "not the first either");
	budget_set_max(most);
}

/* As a caller writes it. */
static void
test_case(void)
{
	static struct jwt_claims c;
	struct domain *list = NULL;
	char longer[300];

	c.ndomains = 1;
	memset(c.domain[0], 'a', JWT_DOMAIN_MAX);
	CHECK(domains_take(&list, "me", NULL, &c) == 0, "taken");
	memset(longer, 'A', sizeof(longer));
	CHECK(domain_id((struct view){ (unsigned char *)longer,
	    JWT_DOMAIN_MAX }) != NULL, "capitals");
	CHECK(domain_id((struct view){ (unsigned char *)longer,
	    JWT_DOMAIN_MAX + 1 }) == NULL, "one octet more");
	CHECK(domain_id((struct view){ (unsigned char *)longer, 300 }) == NULL,
	    "far more");
	CHECK(domain_id(view_of("")) == NULL, "nothing");
	domains_give_up(&list);
}

void
test_domain(void)
{
	test_may_be_own();
	test_holders();
	test_no_memory();
	test_case();
}
