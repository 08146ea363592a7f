/*
 * Doubly linked lists through the things that they hold.  A thing has a zeroed
 * struct item for each list that it may stand in; whoever owns the thing takes
 * it out of its lists before it frees it.
 */
#ifndef GATE_LIST_H
#define GATE_LIST_H

#include <stddef.h>

struct item {
	struct item *prev, *next;
	struct list *in;	/* NULL: in none */
	void *of;		/* the thing itself */
};

/* A zeroed list is empty. */
struct list {
	struct item *head, *tail;
	long long n;		/* items */
};

/* Puts i, which stands in no list yet and is an item of the thing of, before
 * next; at the end where next is NULL. */
void list_insert(struct list *l, struct item *i, void *of, struct item *next);

/* Puts i at the end. */
void list_add(struct list *l, struct item *i, void *of);

/* Takes i out of its list.  Does nothing where it stands in none. */
void list_leave(struct item *i);

/* The first thing of l, or NULL. */
static inline void *
list_first(const struct list *l)
{
	return l->head != NULL ? l->head->of : NULL;
}

/* The thing after that of i, which stands in a list; or NULL. */
static inline void *
list_after(const struct item *i)
{
	return i->next != NULL ? i->next->of : NULL;
}

#endif
