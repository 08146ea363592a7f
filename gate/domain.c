#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/mem.h"
#include "gate/addr.h"
#include "gate/domain.h"

#define DOMAIN_BUCKETS 4096

struct domain {
	struct domain *hash_next;
	struct domain *next;		/* in its list */
	const char *id;
	size_t *sum;
	char name[];
};

static struct {
	struct domain *bucket[DOMAIN_BUCKETS];
	unsigned long long seed;
	size_t octets;
} held;

/* The last label begins with a letter: else some take the name for an address (the
 * URL standard's "ends in a number"). */
int
domain_may_be_own(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && dot[1] >= 'a' && dot[1] <= 'z' &&
	    http_name_ok(view_of(name)) && !host_is_loopback_name(name);
}

static struct domain **
domain_bucket(struct view name)
{
	return &held.bucket[view_hash(name, held.seed) % DOMAIN_BUCKETS];
}

/* One of a name in lower case, or NULL. */
static struct domain *
domain_find(struct view name)
{
	struct domain *m = *domain_bucket(name);

	while (m != NULL && !http_equal(name, m->name))
		m = m->hash_next;
	return m;
}

const char *
domain_id(struct view name)
{
	unsigned char low[JWT_DOMAIN_MAX];
	struct view v = { low, name.n };
	const struct domain *m;

	if (held.octets == 0 || name.n > sizeof(low))
		return NULL;
	view_lower(low, name);
	m = domain_find(v);
	return m != NULL ? m->id : NULL;
}

static size_t
domain_size(const char *name)
{
	return sizeof(struct domain) + strlen(name) + 1;
}

/* Memory for one of that name, all zeros, or NULL.  All together leave the better part
 * of the budget to requests. */
static struct domain *
domain_alloc(const char *name, size_t *sum)
{
	size_t n = domain_size(name);
	struct domain *m;

	if (held.octets + n > budget_max() / 8 || budget_charge(n, sum) == -1)
		return NULL;
	m = calloc(1, n);
	if (m == NULL)
		budget_return(n, sum);
	else
		held.octets += n;
	return m;
}

static int
domain_take(struct domain **list, const char *id, size_t *sum,
    const char *name)
{
	struct domain *m, **at;

	if (held.octets == 0)
		random_bytes(&held.seed, sizeof(held.seed));
	m = domain_alloc(name, sum);
	if (m == NULL)
		return -1;
	memcpy(m->name, name, strlen(name));
	m->id = id;
	m->sum = sum;
	m->next = *list;
	*list = m;
	at = domain_bucket(view_of(name));
	m->hash_next = *at;
	*at = m;
	return 0;
}

static int
list_has(const struct domain *m, const char *name)
{
	while (m != NULL && strcmp(m->name, name) != 0)
		m = m->next;
	return m != NULL;
}

int
domains_take(struct domain **list, const char *id, size_t *sum,
    const struct jwt_claims *c)
{
	int i;

	must(*list == NULL);
	for (i = 0; i < c->ndomains; i++)
		if (!list_has(*list, c->domain[i]) &&
		    domain_take(list, id, sum, c->domain[i]) == -1) {
			domains_give_up(list);
			return -1;
		}
	return 0;
}

static void
domain_free(struct domain *m)
{
	struct domain **at = domain_bucket(view_of(m->name));

	while (*at != m)
		at = &(*at)->hash_next;
	*at = m->hash_next;
	held.octets -= domain_size(m->name);
	budget_return(domain_size(m->name), m->sum);
	free(m);
}

void
domains_give_up(struct domain **list)
{
	struct domain *m;

	while ((m = *list) != NULL) {
		*list = m->next;
		domain_free(m);
	}
}
