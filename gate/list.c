#include "gate/say.h"
#include "gate/list.h"

void
list_insert(struct list *l, struct item *i, void *of, struct item *next)
{
	must(i->in == NULL);
	i->in = l;
	i->of = of;
	i->next = next;
	i->prev = next != NULL ? next->prev : l->tail;
	if (i->prev != NULL)
		i->prev->next = i;
	else
		l->head = i;
	if (next != NULL)
		next->prev = i;
	else
		l->tail = i;
	l->n++;
}

void
list_add(struct list *l, struct item *i, void *of)
{
	list_insert(l, i, of, NULL);
}

void
list_leave(struct item *i)
{
	struct list *l = i->in;

	if (l == NULL)
		return;
	if (i->prev != NULL)
		i->prev->next = i->next;
	else
		l->head = i->next;
	if (i->next != NULL)
		i->next->prev = i->prev;
	else
		l->tail = i->prev;
	l->n--;
	i->in = NULL;
}
