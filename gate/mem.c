#include <sys/uio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "gate/say.h"
#include "gate/mem.h"

#define TRIM_FROM (256 << 10)	/* octets given back that make glibc's heap worth a trim */
#define SPARE_PART 256		/* of what is free, one such part is little */
#define POOL_SHARE 32		/* a free list keeps at most one such part of the budget */

enum pool_class {
	POOL_SMALL, POOL_BLOCK, POOL_LARGE, POOL_FRAME, POOL_LINK, POOL_CLASSES
};

static const size_t pool_size[POOL_CLASSES] = {
	MEM_SMALL, MEM_BLOCK, MEM_LARGE, MEM_FRAME, MEM_LINK
};

struct pool_item {
	struct pool_item *next;
};

static struct pool {
	struct pool_item *free;
	size_t nfree;
	size_t idle;		/* the fewest that were free since the last trim */
} pool[POOL_CLASSES];

static size_t given_back;	/* octets freed since malloc was last asked to trim */

static struct {
	size_t used, max;
	int starved;		/* a charge or malloc() has failed */
} budget = { .max = 64 << 20 };

struct block {
	struct block *next;
	size_t size, off, len;
	unsigned char data[];
};

void
budget_set_max(size_t max)
{
	budget.max = max;
}

size_t
budget_max(void)
{
	return budget.max;
}

int
budget_starved(void)
{
	int starved = budget.starved;

	budget.starved = 0;
	return starved;
}

size_t
budget_free(void)
{
	return budget.used < budget.max ? budget.max - budget.used : 0;
}

int
budget_has_spare(void)
{
	return budget_free() >= budget.max / 2;
}

int
budget_spares(size_t n)
{
	return budget_has_spare() || n <= budget_free() / SPARE_PART;
}

void
budget_starve(void)
{
	budget.starved = 1;
}

/* Even past the end of the budget. */
static void
budget_take(size_t n, size_t *sum)
{
	budget.used += n;
	if (sum != NULL)
		*sum += n;
}

int
budget_charge(size_t n, size_t *sum)
{
	if (n > budget_free()) {
		budget_starve();
		return -1;
	}
	budget_take(n, sum);
	return 0;
}

void
budget_return(size_t n, size_t *sum)
{
	must(n <= budget.used && (sum == NULL || n <= *sum));
	budget.used -= n;
	if (sum != NULL)
		*sum -= n;
}

/* n octets that count in *from count in *to from now on. */
static void
budget_move(size_t n, size_t *from, size_t *to)
{
	budget_return(n, from);
	budget_take(n, to);
}

static void
mem_give_back(void *p, size_t n)
{
	free(p);
	given_back += n;
}

static enum pool_class
pool_class_of(size_t n)
{
	enum pool_class k = POOL_SMALL;

	while (k < POOL_CLASSES && pool_size[k] < n)
		k++;
	return k;
}

/* Memory of at least *n octets; *n becomes its size.  NULL: malloc() failed. */
static void *
mem_take(size_t *n, size_t *sum)
{
	enum pool_class k = pool_class_of(*n);
	struct pool_item *it;

	if (k == POOL_CLASSES) {
		it = malloc(*n);
	} else {
		*n = pool_size[k];
		it = pool[k].free;
		if (it != NULL) {
			pool[k].free = it->next;
			if (--pool[k].nfree < pool[k].idle)
				pool[k].idle = pool[k].nfree;
		} else {
			it = malloc(*n);
		}
	}
	if (it != NULL)
		budget_take(*n, sum);
	else
		budget_starve();
	return it;
}

/* Gives back what mem_take gave, with the size that it said. */
static void
mem_put(void *p, size_t n, size_t *sum)
{
	enum pool_class k = pool_class_of(n);
	struct pool_item *it = p;

	if (p == NULL)
		return;
	budget_return(n, sum);
	if (k == POOL_CLASSES ||
	    pool[k].nfree * n > budget.max / POOL_SHARE) {
		mem_give_back(p, n);
		return;
	}
	it->next = pool[k].free;
	pool[k].free = it;
	pool[k].nfree++;
}

void
pool_trim(void)
{
	struct pool *k;

	for (k = pool; k < pool + POOL_CLASSES; k++) {
		while (k->idle > 0) {
			struct pool_item *it = k->free;

			k->free = it->next;
			mem_give_back(it, pool_size[k - pool]);
			k->nfree--;
			k->idle--;
		}
		k->idle = k->nfree;
	}
#ifdef __GLIBC__
	/* glibc keeps freed blocks resident unless it is asked. */
	if (given_back > TRIM_FROM) {
		malloc_trim(0);
		given_back = 0;
	}
#endif
}

void
buf_free(struct buf *b)
{
	mem_put(b->p, b->cap, b->sum);
	b->p = NULL;
	b->off = b->len = b->cap = 0;
}

void
buf_count_in(struct buf *b, size_t *sum)
{
	budget_move(b->cap, b->sum, sum);
	b->sum = sum;
}

/* Moves the octets into memory of another size.  Returns 0, or -1: malloc()
 * failed, and b stands as it was. */
static int
buf_resize(struct buf *b, size_t cap)
{
	unsigned char *p = mem_take(&cap, b->sum);

	if (p == NULL)
		return -1;
	if (b->p != NULL)
		memcpy(p, b->p + b->off, b->len);
	mem_put(b->p, b->cap, b->sum);
	b->p = p;
	b->off = 0;
	b->cap = cap;
	return 0;
}

static int
buf_fits(const struct buf *b, size_t n)
{
	return b->p != NULL && b->len + n <= b->cap;
}

/* The size that b is to have for n more octets. */
static size_t
buf_next_cap(const struct buf *b, size_t n, size_t max)
{
	size_t cap = b->cap > 0 ? b->cap : MEM_SMALL;

	while (cap < b->len + n)
		cap *= 2;
	return min_size(cap, max);
}

size_t
buf_cost(const struct buf *b, size_t n, size_t max)
{
	size_t cap = buf_next_cap(b, n, max);
	enum pool_class k = pool_class_of(cap);

	if (buf_fits(b, n))
		return 0;
	return k == POOL_CLASSES ? cap : pool_size[k];
}

unsigned char *
buf_space(struct buf *b, size_t n, size_t max)
{
	size_t cap;

	if (b->len + n > max)		/* blocks are larger than it may be */
		return NULL;
	if (buf_fits(b, n)) {
		if (b->off + b->len + n > b->cap) {
			memmove(b->p, b->p + b->off, b->len);
			b->off = 0;
		}
		return b->p + b->off + b->len;
	}
	cap = buf_next_cap(b, n, max);
	if (buf_resize(b, cap) == -1)
		return NULL;
	return b->p + b->len;
}

void
buf_fit(struct buf *b)
{
	enum pool_class k = pool_class_of(b->len);

	if (b->len == 0)
		buf_free(b);
	else if (k < POOL_CLASSES && pool_size[k] < b->cap)
		buf_resize(b, pool_size[k]);
}

static void
chain_drop_head(struct chain *q)
{
	struct block *b = q->head;

	q->head = b->next;
	if (q->head == NULL)
		q->tail = NULL;
	mem_put(b, b->size, q->sum);
}

void
chain_free(struct chain *q)
{
	while (q->head != NULL)
		chain_drop_head(q);
	q->len = 0;
}

size_t
chain_memory(const struct chain *q)
{
	const struct block *b;
	size_t n = 0;

	for (b = q->head; b != NULL; b = b->next)
		n += b->size;
	return n;
}

void
chain_count_in(struct chain *q, size_t *sum)
{
	const struct block *b;

	for (b = q->head; b != NULL; b = b->next)
		budget_move(b->size, q->sum, sum);
	q->sum = sum;
}

void
chain_consume(struct chain *q, size_t n)
{
	must(n <= q->len);
	q->len -= n;
	while (n > 0) {
		size_t k = min_size(n, q->head->len);

		q->head->off += k;
		q->head->len -= k;
		n -= k;
		if (q->head->len == 0)
			chain_drop_head(q);
	}
}

void
chain_cut(struct chain *q, size_t n)
{
	struct block **at = &q->head, *b;

	must(n <= q->len);
	q->len = n;
	q->tail = NULL;
	for (; n > 0; at = &(*at)->next) {
		q->tail = *at;
		q->tail->len = min_size(q->tail->len, n);
		n -= q->tail->len;
	}
	while ((b = *at) != NULL) {
		*at = b->next;
		mem_put(b, b->size, q->sum);
	}
}

/* Adds a block to hold n octets, or some of them. */
static struct block *
chain_add_block(struct chain *q, size_t n)
{
	size_t size = n + sizeof(struct block) <= MEM_SMALL ? MEM_SMALL :
	    MEM_BLOCK;
	struct block *b = mem_take(&size, q->sum);

	if (b == NULL)
		return NULL;
	memset(b, 0, sizeof(*b));
	b->size = size;
	if (q->tail != NULL)
		q->tail->next = b;
	else
		q->head = b;
	q->tail = b;
	return b;
}

/* Octets that fit behind those in b. */
static size_t
block_room(const struct block *b)
{
	return b->size - sizeof(*b) - b->off - b->len;
}

/* Where n more octets fit into the one block of q, but not at its end, moves what
 * is there to its front: else a little that is left of one block would hold two. */
static void
chain_compact(struct chain *q, size_t n)
{
	struct block *b = q->head;

	if (b == NULL || b->next != NULL || n <= block_room(b) ||
	    n > block_room(b) + b->off)
		return;
	memmove(b->data, b->data + b->off, b->len);
	b->off = 0;
}

int
chain_put(struct chain *q, const void *p, size_t n)
{
	const unsigned char *from = p;

	chain_compact(q, n);
	while (n > 0) {
		struct block *b = q->tail;
		size_t room = b == NULL ? 0 : block_room(b);
		size_t k;

		if (room == 0) {
			if ((b = chain_add_block(q, n)) == NULL)
				return -1;
			room = block_room(b);
		}
		k = min_size(n, room);
		memcpy(b->data + b->off + b->len, from, k);
		b->len += k;
		q->len += k;
		from += k;
		n -= k;
	}
	return 0;
}

void
chain_take(struct chain *q, unsigned char *out, size_t n)
{
	while (n > 0) {
		struct block *b = q->head;
		size_t k = min_size(b->len, n);

		memcpy(out, b->data + b->off, k);
		chain_consume(q, k);
		out += k;
		n -= k;
	}
}

int
chain_iov(const struct chain *q, struct iovec *iov, int max)
{
	struct block *b;
	int n = 0;

	for (b = q->head; b != NULL && n < max; b = b->next) {
		iov[n].iov_base = b->data + b->off;
		iov[n].iov_len = b->len;
		n++;
	}
	return n;
}
