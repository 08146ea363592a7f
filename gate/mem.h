/*
 * Memory for octets: the budget, pooled blocks, and the two shapes that octets
 * are kept in.  Every buffer, and every promise of credit, is charged to one
 * budget, and counts besides in a sum of its owner's.  The budget refuses no
 * buffer: whoever lets new octets in asks first (see account.h), and what was
 * let in finds room.
 */
#ifndef GATE_MEM_H
#define GATE_MEM_H

#include <sys/uio.h>

#include "pipegate.h"
#include "gate/say.h"

/* Blocks of these sizes, in octets, come from free lists: last in, first out,
 * so that they are warm. */
#define MEM_SMALL 2048
#define MEM_BLOCK (16384 + 64)	/* the largest piece of a body, in a chain */
#define MEM_LARGE 36864
#define MEM_FRAME 57344		/* the largest message of v2, with its frame */
#define MEM_LINK (160 << 10)	/* what a link puts into its buffer in a turn, or reads */

/* --- the budget */

/* Sets and tells the size of the budget, in octets (64 MiB at first). */
void budget_set_max(size_t max);
size_t budget_max(void);

/* Octets that nobody holds. */
size_t budget_free(void);

/* Whether there is enough for what could be done without. */
int budget_has_spare(void);

/* The same of n octets alone, which may be little beside what is free. */
int budget_spares(size_t n);

/* Takes n octets of the budget, which count in *sum too; sum NULL: nowhere
 * else.  Returns 0, or -1 where it has no n octets left. */
int budget_charge(size_t n, size_t *sum);

/* Gives n octets back that were charged, with the same sum. */
void budget_return(size_t n, size_t *sum);

/* Notes that somebody who asked found no room. */
void budget_starve(void);

/* Whether budget_charge() or malloc() has failed, or that was noted, since this
 * was last asked. */
int budget_starved(void);

/* Once a second: frees the pooled blocks that nobody needed in that second. */
void pool_trim(void);

/* --- buffers */

/* Contiguous octets: p[off..off+len) within cap.  A zeroed buf is empty.
 * Views into it die at the next buf_space(), buf_fit() or buf_free(). */
struct buf {
	unsigned char *p;
	size_t off, len, cap;
	size_t *sum;		/* its memory counts there too; NULL: nowhere */
};

/* Gives the memory back and empties b. */
void buf_free(struct buf *b);

/* From now on its memory counts in *sum. */
void buf_count_in(struct buf *b, size_t *sum);

/* What is in b. */
static inline struct view
buf_view(const struct buf *b)
{
	struct view v = { (const unsigned char *)"", b->len };

	if (b->p != NULL)
		v.p = b->p + b->off;
	return v;
}

/* Drops the first n octets. */
static inline void
buf_consume(struct buf *b, size_t n)
{
	must(n <= b->len);
	b->off += n;
	b->len -= n;
	if (b->len == 0)
		b->off = 0;
}

/* Makes room for n octets behind those that are there; b grows to max octets
 * at most.  Returns where the n go, and the caller then adds them to b->len;
 * or NULL: they pass max, or malloc() failed, and b stands as it was. */
unsigned char *buf_space(struct buf *b, size_t n, size_t max);

/* Octets of the budget that buf_space(b, n, max) needs for a moment, since the
 * old memory goes only when the new one is filled; 0 where n fits already. */
size_t buf_cost(const struct buf *b, size_t n, size_t max);

/* Before a wait: frees the memory of an empty b, and moves octets that fit a
 * smaller block into one.  Without memory for that b stays as it is. */
void buf_fit(struct buf *b);

/* --- chains */

/* Octets in a row of blocks: what a socket has not taken yet.  A zeroed chain
 * is empty. */
struct chain {
	struct block *head, *tail;
	size_t len;		/* octets in all */
	size_t *sum;		/* as in struct buf */
};

/* Gives all of it back and empties q. */
void chain_free(struct chain *q);

/* Octets of memory that q holds. */
size_t chain_memory(const struct chain *q);

/* As buf_count_in(). */
void chain_count_in(struct chain *q, size_t *sum);

/* Drops the first n octets. */
void chain_consume(struct chain *q, size_t n);

/* Keeps the first n octets, which are there, and drops the others. */
void chain_cut(struct chain *q, size_t n);

/* Appends a copy of p[0..n).  Returns 0, or -1 where malloc failed: q then
 * holds a part of it. */
int chain_put(struct chain *q, const void *p, size_t n);

/* Moves the first n octets, which are there, to out. */
void chain_take(struct chain *q, unsigned char *out, size_t n);

/* Fills iov[0..max) with the first octets, where they lie.  Returns how many
 * entries. */
int chain_iov(const struct chain *q, struct iovec *iov, int max);

#endif
