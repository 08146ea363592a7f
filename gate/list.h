#ifndef GATE_LIST_H
#define GATE_LIST_H

#include "pipegate.h"

struct list;

struct item {
	struct item *prev, *next;
	struct list *in;	/* NULL: in none */
	void *of;		/* the thing itself */
};

struct list {
	struct item *head, *tail;
	long long n;
};

/* Puts i, an item of thing of, before next: NULL is the end. */
void list_insert(struct list *l, struct item *i, void *of, struct item *next);

void list_add(struct list *l, struct item *i, void *of);
void list_leave(struct item *i);

/* The things of a list in turn; NULL behind the last. */
void *list_first(const struct list *l);

void *list_after(const struct item *i);

#endif
