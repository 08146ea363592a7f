/*
 * Tests of gate/mem.c: the budget, the pools, buffers and chains.  Contents
 * are compared with plain arrays, at every split point and at random.
 */
#include <sys/uio.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#endif
#if defined(__GLIBC__) && !defined(SANITIZED)
#include <malloc.h>
#if __GLIBC_PREREQ(2, 33)
#define HEAP_IS_KNOWN
#endif
#endif

#include "gate/say.h"
#include "gate/mem.h"
#include "check.h"

#define BUDGET (64u << 20)
#define OCTETS (256 << 10)

/* All that goes in: octets that no block's size fits. */
static unsigned char octets[OCTETS];

static void
octets_fill(void)
{
	size_t i;

	for (i = 0; i < OCTETS; i++)
		octets[i] = (unsigned char)(i * 7 + i / 251);
}

static size_t
budget_used(void)
{
	return budget_max() - budget_free();
}

/* ----------------------------------------------------------------- budget */

static void
test_budget(void)
{
	CHECK(budget_max() == BUDGET && budget_free() == BUDGET,
	    "%zu of %zu free", budget_free(), budget_max());
	budget_starved();
	CHECK(budget_charge(BUDGET + 1, NULL) == -1 && budget_free() == BUDGET,
	    "more than all was charged");
	CHECK(budget_starved() == 1 && budget_starved() == 0,
	    "starved is told once");
	CHECK(budget_charge(BUDGET, NULL) == 0 && budget_free() == 0, "not all");
	CHECK(budget_charge(0, NULL) == 0 && budget_starved() == 0, "none, of none");
	CHECK(budget_charge(1, NULL) == -1 && budget_starved() == 1, "one too many");
	budget_return(1000, NULL);
	CHECK(budget_free() == 1000 && budget_charge(1001, NULL) == -1 &&
	    budget_charge(1000, NULL) == 0, "after 1000 came back");
	budget_return(BUDGET, NULL);
	CHECK(budget_free() == BUDGET, "%zu free", budget_free());
	budget_starved();
}

/* What is charged counts in its owner's sum as well, and moves with it. */
static void
test_sums(void)
{
	size_t one = 0, other = 0;
	struct buf b = { .sum = &one };
	struct chain q = { .sum = &one };

	CHECK(budget_charge(100, &one) == 0 && one == 100, "%zu", one);
	CHECK(budget_charge(BUDGET, &one) == -1 && one == 100, "%zu", one);
	CHECK(buf_space(&b, 3000, BUDGET) != NULL && one == 100 + b.cap, "%zu",
	    one);
	CHECK(buf_space(&b, 9000, BUDGET) != NULL && one == 100 + b.cap, "%zu",
	    one);
	CHECK(chain_put(&q, octets, 40000) == 0 &&
	    one == budget_used(), "%zu of %zu", one, budget_used());
	buf_count_in(&b, &other);
	chain_count_in(&q, &other);
	CHECK(one == 100 && other == budget_used() - 100, "%zu and %zu", one,
	    other);
	chain_consume(&q, 30000);
	CHECK(other == budget_used() - 100, "%zu", other);
	buf_free(&b);
	chain_free(&q);
	CHECK(other == 0, "%zu are left", other);
	CHECK(buf_space(&b, 10, BUDGET) != NULL && other == b.cap,
	    "an emptied buffer counts elsewhere");
	buf_count_in(&b, NULL);
	CHECK(other == 0 && budget_used() == 100 + b.cap, "%zu", other);
	buf_free(&b);
	budget_return(100, &one);
	CHECK(one == 0 && budget_used() == 0, "%zu", one);
	budget_starved();
}

static void
return_too_much(void *of)
{
	(void)of;
	budget_charge(10, NULL);
	budget_return(11, NULL);
}

static void
consume_buf(void *of)
{
	struct buf b = { 0 };

	(void)of;
	buf_consume(&b, 1);
}

static void
consume_chain(void *of)
{
	struct chain q = { 0 };

	chain_put(&q, of, 5);
	chain_consume(&q, 6);
}

static void
test_musts(void)
{
	CHECK(check_must("gate/mem.c", return_too_much, NULL),
	    "more came back than was charged");
	CHECK(check_must("gate/mem.h", consume_buf, NULL),
	    "more was taken than a buf held");
	CHECK(check_must("gate/mem.c", consume_chain, octets),
	    "more was taken than a chain held");
}

/* ---------------------------------------------------------------- buffers */

static int
buf_put(struct buf *b, const unsigned char *p, size_t n, size_t max)
{
	unsigned char *to = buf_space(b, n, max);

	if (to == NULL)
		return -1;
	if (n > 0)
		memcpy(to, p, n);
	b->len += n;
	return 0;
}

static int
buf_is(const struct buf *b, const unsigned char *p, size_t n)
{
	struct view v = buf_view(b);

	return v.n == n && (n == 0 || memcmp(v.p, p, n) == 0);
}

static void
test_buf_empty(void)
{
	struct buf b = { 0 };

	CHECK(buf_is(&b, octets, 0) && buf_view(&b).p != NULL, "not empty");
	buf_fit(&b);
	buf_consume(&b, 0);
	buf_free(&b);
	CHECK(budget_used() == 0, "%zu are charged", budget_used());
}

/* Two pieces in, then two pieces out, split at every octet. */
static void
test_buf_splits(void)
{
	enum { N = 3000 };
	size_t k;

	for (k = 0; k <= N; k++) {
		struct buf b = { 0 };

		CHECK(buf_put(&b, octets, k, OCTETS) == 0 &&
		    buf_put(&b, octets + k, N - k, OCTETS) == 0 &&
		    buf_is(&b, octets, N), "put in two at %zu", k);
		CHECK(budget_used() == b.cap && b.cap >= N,
		    "%zu charged, room for %zu", budget_used(), b.cap);
		buf_consume(&b, k);
		CHECK(buf_is(&b, octets + k, N - k), "%zu consumed", k);
		buf_fit(&b);
		CHECK(buf_is(&b, octets + k, N - k) && budget_used() == b.cap,
		    "fitted behind %zu", k);
		buf_consume(&b, N - k);
		CHECK(buf_is(&b, octets, 0), "all consumed, in two at %zu", k);
		buf_free(&b);
		CHECK(budget_used() == 0 && b.p == NULL, "at %zu", k);
	}
}

/* The room of what was consumed is used before more is taken. */
static void
test_buf_compacts(void)
{
	struct buf b = { 0 };
	size_t cap;

	buf_put(&b, octets, 2000, OCTETS);
	cap = b.cap;
	buf_consume(&b, 1500);
	CHECK(buf_put(&b, octets + 2000, cap - 500, OCTETS) == 0 &&
	    buf_is(&b, octets + 1500, cap), "not what was put in");
	CHECK(b.cap == cap, "grew from %zu to %zu", cap, b.cap);
	CHECK(buf_put(&b, octets + 1500 + cap, 1, OCTETS) == 0 &&
	    buf_is(&b, octets + 1500, cap + 1) && b.cap > cap, "did not grow");
	buf_free(&b);
}

/* Octet by octet up to max, for every size of a first piece. */
static void
buf_fill_up(size_t max, size_t first)
{
	struct buf b = { 0 }, was;
	size_t n = first;

	CHECK(buf_put(&b, octets, first, max) == 0, "%zu of %zu", first, max);
	while (n < max && buf_put(&b, octets + n, 1, max) == 0)
		n++;
	was = b;
	CHECK(n == max && buf_is(&b, octets, max), "%zu of %zu went in", n,
	    max);
	CHECK(buf_space(&b, 1, max) == NULL &&
	    memcmp(&b, &was, sizeof(b)) == 0, "past max of %zu", max);
	buf_consume(&b, 1);
	CHECK(buf_put(&b, octets + n, 1, max) == 0 &&
	    buf_is(&b, octets + 1, max), "one gone, one in, of %zu", max);
	buf_free(&b);
}

static void
test_buf_max(void)
{
	static const size_t max[] = {
		1, 100, MEM_SMALL - 1, MEM_SMALL, MEM_SMALL + 1, 3000,
		MEM_BLOCK, MEM_BLOCK + 1, MEM_LARGE, MEM_LARGE + 1, 65536,
		100000
	};
	size_t i, first;

	for (i = 0; i < ARRAY_LEN(max); i++) {
		struct buf b = { 0 };

		for (first = 0; first <= max[i]; first += max[i] / 7 + 1)
			buf_fill_up(max[i], first);
		CHECK(buf_space(&b, max[i] + 1, max[i]) == NULL && b.p == NULL,
		    "max %zu in one go", max[i]);
	}
	CHECK(budget_used() == 0, "%zu are charged", budget_used());
}

/* Whatever is in a buf: what more octets cost is what is charged meanwhile. */
static void
test_buf_cost(void)
{
	size_t len, gone, n, cost, cap;

	for (len = 0; len < 40000; len += 1 + len / 3) {
		for (gone = 0; gone <= len; gone += 1 + len / 2) {
			for (n = 1; n < 50000; n += n) {
				struct buf b = { 0 };

				buf_put(&b, octets, len, OCTETS);
				buf_consume(&b, gone);
				cap = b.cap;
				cost = buf_cost(&b, n, OCTETS);
				buf_space(&b, n, OCTETS);
				CHECK(cost == (b.cap == cap ? 0 : b.cap),
				    "%zu in %zu: %zu more cost %zu, and take "
				    "%zu", b.len, cap, n, cost, b.cap);
				buf_free(&b);
			}
		}
	}
}

/* A long wait costs a small block where that is enough, and nothing where
 * nothing waits. */
static void
test_buf_fit(void)
{
	size_t n;

	for (n = MEM_SMALL - 2; n < MEM_SMALL + 3; n++) {
		struct buf b = { 0 };

		buf_put(&b, octets, 30000, OCTETS);
		buf_consume(&b, 30000 - n);
		buf_fit(&b);
		CHECK(buf_is(&b, octets + 30000 - n, n), "%zu octets", n);
		CHECK((b.cap == MEM_SMALL) == (n <= MEM_SMALL),
		    "%zu octets in %zu", n, b.cap);
		buf_consume(&b, n);
		buf_fit(&b);
		CHECK(b.p == NULL && budget_used() == 0, "%zu are charged",
		    budget_used());
	}
}

static void
test_buf_random(void)
{
	struct buf b = { 0 };
	size_t from = 0, to = 0, n;
	int step;

	for (step = 0; step < 100000; step++) {
		switch (check_random(4)) {
		case 0:
		case 1:
			n = check_random(check_random(2) ? 30 : 9000);
			n = min_size(n, OCTETS - to);
			if (to - from + n > 60000)
				break;
			buf_put(&b, octets + to, n, 65536);
			to += n;
			break;
		case 2:
			n = check_random((unsigned int)(to - from) + 1);
			buf_consume(&b, n);
			from += n;
			break;
		default:
			buf_fit(&b);
		}
		CHECK(buf_is(&b, octets + from, to - from) &&
		    budget_used() == b.cap, "step %d: %zu to %zu", step, from,
		    to);
		if (to == OCTETS) {
			buf_free(&b);
			from = to = 0;
		}
	}
	buf_free(&b);
}

/* ----------------------------------------------------------------- chains */

static int
chain_is(const struct chain *q, const unsigned char *p, size_t n)
{
	struct iovec iov[64];
	int k = chain_iov(q, iov, (int)ARRAY_LEN(iov)), i;
	size_t at = 0;

	for (i = 0; i < k; i++) {
		if (iov[i].iov_len == 0 || at + iov[i].iov_len > n ||
		    memcmp(iov[i].iov_base, p + at, iov[i].iov_len) != 0)
			return 0;
		at += iov[i].iov_len;
	}
	return at == n && q->len == n;
}

static void
test_chain_empty(void)
{
	struct chain q = { 0 };
	struct iovec iov;

	CHECK(chain_is(&q, octets, 0), "not empty");
	CHECK(chain_put(&q, octets, 0) == 0 && chain_iov(&q, &iov, 1) == 0 &&
	    q.head == NULL, "nothing was put in");
	chain_consume(&q, 0);
	chain_take(&q, octets, 0);
	chain_free(&q);
	CHECK(budget_used() == 0, "%zu are charged", budget_used());
}

static void
chain_split(size_t k, size_t n)
{
	static unsigned char out[3 * MEM_BLOCK];
	struct chain q = { 0 };

	CHECK(chain_put(&q, octets, k) == 0 &&
	    chain_put(&q, octets + k, n - k) == 0 && chain_is(&q, octets, n),
	    "%zu put in two at %zu", n, k);
	CHECK(budget_used() >= n && budget_used() <= (n <= 100 ? MEM_SMALL :
	    n + 2 * MEM_BLOCK), "%zu charged for %zu", budget_used(), n);
	chain_consume(&q, k);
	CHECK(chain_is(&q, octets + k, n - k), "%zu of %zu consumed", k, n);
	chain_put(&q, octets + n, k);
	chain_put(&q, octets, k);
	chain_cut(&q, n);
	CHECK(chain_is(&q, octets + k, n), "%zu cut off behind %zu", k, n);
	chain_take(&q, out, n);
	CHECK(memcmp(out, octets + k, n) == 0 && chain_is(&q, octets, 0),
	    "%zu taken behind %zu", n, k);
	CHECK(budget_used() == 0, "an empty one holds %zu", budget_used());
	chain_free(&q);
}

/* At every octet about the ends of blocks, wherever these are, and at some in
 * between. */
static void
test_chain_splits(void)
{
	static const size_t size[] = { 1, 100, MEM_BLOCK, 2 * MEM_BLOCK + 10 };
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(size); i++)
		for (k = 0; k <= size[i]; k++)
			if (k % MEM_BLOCK < 3 || k % MEM_BLOCK > MEM_BLOCK - 99
			    || size[i] - k < 99 || k % 97 == 0)
				chain_split(k, size[i]);
}

/* Only as many entries as there is room for. */
/* What is taken and put by turns stays in one block, while it fits. */
static void
test_chain_compact(void)
{
	unsigned char out[3000];
	struct chain q = { 0 };
	size_t at = 0, i;

	CHECK(chain_put(&q, octets, MEM_BLOCK - 1000) == 0, "no memory");
	CHECK(chain_memory(&q) == budget_used(), "%zu of %zu",
	    chain_memory(&q), budget_used());
	for (i = 0; i < 20; i++) {
		size_t put = at + MEM_BLOCK - 1000;

		chain_take(&q, out, sizeof(out));
		CHECK(memcmp(out, octets + at, sizeof(out)) == 0, "wrong octets");
		at += sizeof(out);
		chain_put(&q, octets + put, sizeof(out));
		CHECK(chain_memory(&q) == MEM_BLOCK, "%zu after %zu turns",
		    chain_memory(&q), i);
	}
	CHECK(chain_is(&q, octets + at, MEM_BLOCK - 1000), "wrong octets");
	chain_free(&q);
}

static void
test_chain_iov(void)
{
	struct chain q = { 0 };
	struct iovec iov[6];
	int k;

	memset(iov, 0, sizeof(iov));
	chain_put(&q, octets, 5 * MEM_BLOCK);
	for (k = 0; k <= 5; k++)
		CHECK(chain_iov(&q, iov, k) == k && iov[k].iov_len == 0,
		    "%d entries", k);
	CHECK(chain_iov(&q, iov, 6) == 6, "5 blocks and their heads are 6");
	chain_free(&q);
	CHECK(budget_used() == 0 && chain_is(&q, octets, 0), "freed");
}

static void
test_chain_random(void)
{
	static unsigned char out[OCTETS];
	struct chain q = { 0 };
	size_t from = 0, to = 0, n;
	int step;

	for (step = 0; step < 20000; step++) {
		if (check_random(2) == 0) {
			n = check_random(check_random(4) ? 400 : 40000);
			n = min_size(n, OCTETS - to);
			chain_put(&q, octets + to, n);
			to += n;
		} else {
			n = check_random((unsigned int)(to - from) + 1);
			if (check_random(2) == 0) {
				chain_consume(&q, n);
			} else {
				chain_take(&q, out, n);
				CHECK(memcmp(out, octets + from, n) == 0,
				    "%zu taken at %zu", n, from);
			}
			from += n;
		}
		CHECK(chain_is(&q, octets + from, to - from),
		    "step %d: %zu to %zu", step, from, to);
		if (to == OCTETS) {
			chain_free(&q);
			from = to = 0;
		}
	}
	chain_free(&q);
	CHECK(budget_used() == 0, "%zu are charged", budget_used());
}

/* ------------------------------------------------------------------ pools */

/* Octets that the heap has given out; always -1 where the system does not
 * say. */
static long long
heap_used(void)
{
#ifdef HEAP_IS_KNOWN
	struct mallinfo2 m = mallinfo2();

	return (long long)(m.uordblks + m.hblkhd);
#else
	return -1;
#endif
}

/* Gives all free blocks back. */
static void
pools_drain(void)
{
	pool_trim();
	pool_trim();
}

static void
bufs_open(struct buf *b, int n, size_t size)
{
	for (; n > 0; n--, b++) {
		memset(b, 0, sizeof(*b));
		CHECK(buf_space(b, size, size) != NULL && b->cap == size,
		    "a block of %zu has %zu", size, b->cap);
	}
}

static void
bufs_close(struct buf *b, int n)
{
	for (; n > 0; n--, b++)
		buf_free(b);
}

static const size_t sizes[] = { MEM_SMALL, MEM_BLOCK, MEM_LARGE };

/* What was given back last is the next to be given out; sizes do not mix. */
static void
test_pool_order(void)
{
	struct buf b[3][4];
	unsigned char *was[3][4];
	int i, k;

	for (k = 0; k < 3; k++) {
		bufs_open(b[k], 4, sizes[k]);
		for (i = 0; i < 4; i++)
			was[k][i] = b[k][i].p;
		bufs_close(b[k], 4);
	}
	for (k = 0; k < 3; k++) {
		bufs_open(b[k], 4, sizes[k]);
		for (i = 0; i < 4; i++)
			CHECK(b[k][i].p == was[k][3 - i],
			    "block %d of %zu is another", i, sizes[k]);
	}
	for (k = 0; k < 3; k++)
		bufs_close(b[k], 4);
	pools_drain();
}

/* What no one asked for between two trims goes back to the heap, and nothing
 * else. */
static void
test_pool_trim(void)
{
	struct buf b[20];
	long long empty, full, half;
	int k;

	for (k = 0; k < 3; k++) {
		pools_drain();
		empty = heap_used();
		bufs_open(b, 20, sizes[k]);
		full = heap_used();
		bufs_close(b, 20);
		CHECK(heap_used() == full, "freed at once: %zu", sizes[k]);
		pool_trim();
		CHECK(heap_used() == full, "freed too soon: %zu", sizes[k]);
		bufs_open(b, 8, sizes[k]);
		bufs_close(b, 8);
		pool_trim();
		half = heap_used();
		CHECK(half == -1 || ((half - empty) * 20 >= (full - empty) * 7
		    && (half - empty) * 20 <= (full - empty) * 9),
		    "8 of 20 blocks of %zu were needed: %lld of %lld octets "
		    "stay", sizes[k], half - empty, full - empty);
		pools_drain();
		CHECK(heap_used() == empty, "%lld octets are left",
		    heap_used() - empty);
	}
}

/* Free blocks are not charged, so that a list keeps a small part of the
 * budget at most. */
static void
test_pool_share(void)
{
	struct buf b[40];
	long long empty, kept;

	pools_drain();
	budget_set_max(1 << 20);
	empty = heap_used();
	bufs_open(b, 40, MEM_BLOCK);
	CHECK(budget_used() == 40 * MEM_BLOCK, "%zu charged", budget_used());
	bufs_close(b, 40);
	kept = heap_used() - empty;
	CHECK(kept <= (1 << 20) / 16, "%lld octets are kept", kept);
	CHECK(budget_used() == 0, "%zu are charged", budget_used());
	pools_drain();
	budget_set_max(BUDGET);
}

/* Blocks are given out past the budget, and charged: what was let in must
 * find room. */
static void
test_past_budget(void)
{
	struct chain q = { 0 };

	budget_set_max(10000);
	CHECK(chain_put(&q, octets, 50000) == 0 && chain_is(&q, octets, 50000),
	    "no room");
	CHECK(budget_free() == 0 && budget_charge(1, NULL) == -1, "%zu free",
	    budget_free());
	chain_free(&q);
	CHECK(budget_free() == 10000, "%zu free", budget_free());
	budget_set_max(BUDGET);
	budget_starved();
}

void
test_mem(void)
{
	octets_fill();
	test_budget();
	test_sums();
	test_musts();
	test_buf_empty();
	test_buf_splits();
	test_buf_compacts();
	test_buf_max();
	test_buf_cost();
	test_buf_fit();
	test_buf_random();
	test_chain_empty();
	test_chain_splits();
	test_chain_compact();
	test_chain_iov();
	test_chain_random();
	test_pool_order();
	test_pool_trim();
	test_pool_share();
	test_past_budget();
}
