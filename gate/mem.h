#ifndef GATE_MEM_H
#define GATE_MEM_H

#include <sys/uio.h>

#include "pipegate.h"

enum pool_class { POOL_SMALL, POOL_BLOCK, POOL_LARGE, POOL_CLASSES };

extern const size_t pool_size[POOL_CLASSES];

struct budget {
	size_t used;
	size_t max;
	int starved;		/* somebody waits for room */
};

extern struct budget budget;

/* Moves the size bytes of an array to where there is room for more.  Returns
 * that, or NULL, and then old stands.  (libc's realloc() would be 1.2 KiB of
 * the static program, for two rare calls.) */
void *array_grow(void *old, size_t size, size_t more);

size_t budget_free(void);

/* Room for bodies that are held whole (v1).  They leave a quarter of the
 * budget alone, so that streams always find some. */
size_t budget_whole_room(void);

/* Takes n bytes of the budget.  Returns 0, or -1 where they are not there. */
int budget_charge(size_t n);

void budget_return(size_t n);

/* Once a second: frees what no one asked for in that second. */
void pool_trim(void);

/* Contiguous bytes: p[off..off+len) within cap.  Views into it die at the
 * next buf_space.  All zero is an empty one. */
struct buf {
	unsigned char *p;
	size_t off, len, cap;
};

void buf_free(struct buf *b);

struct view buf_view(const struct buf *b);

void buf_consume(struct buf *b, size_t n);

/* Makes room for n more bytes behind those that are there, never growing
 * past max.  Returns where they go, or NULL. */
unsigned char *buf_space(struct buf *b, size_t n, size_t max);

/* Moves the few bytes of a long wait into a small block. */
void buf_fit(struct buf *b);

/* Bytes in a row of blocks: what a socket has not taken yet. */
struct block {
	struct block *next;
	size_t size, off, len;
	unsigned char data[];
};

struct chain {
	struct block *head, *tail;
	size_t len;
};

void chain_free(struct chain *q);
void chain_consume(struct chain *q, size_t n);

/* Appends a copy of p[0..n).  Returns 0, or -1 where malloc failed. */
int chain_put(struct chain *q, const void *p, size_t n);

/* Fills iov[0..max) with the first bytes; returns how many entries. */
int chain_iov(const struct chain *q, struct iovec *iov, int max);

#endif
