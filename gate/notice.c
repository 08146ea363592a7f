#include "pipegate.h"
#include "gate/say.h"
#include "gate/list.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/tunnel.h"
#include "gate/notice.h"

#define NOTICE_MAX 512

static int
link_takes_notes(const struct link *l)
{
	return l->life == LINK_OPEN && l->wire->note != NULL;
}

/* Returns as the wire does. */
static int
notice_put(struct link *l, const struct json_out *j)
{
	struct view note = { j->p, j->len };

	must(j->len <= j->cap);
	return l->wire->note(l, note);
}

static int
notice_refused(struct link *l, const struct refusals *r)
{
	unsigned char text[NOTICE_MAX];
	struct json_out j = { text, sizeof(text), 0, 0 };

	json_put(&j, "{\"refused\":");
	json_put_integer(&j, r->n);
	json_put(&j, ",\"why\":");
	json_put_string(&j, view_of(r->why));
	json_put(&j, "}");
	return notice_put(l, &j);
}

/* While no client is there the sum waits for one; where none could read it, it is
 * forgotten. */
static void
notice_of(struct tunnel *t)
{
	int i = 0;

	if (!tunnel_is_served(t))
		return;
	while (i < t->nlinks && !link_takes_notes(t->link[i]))
		i++;
	if (i < t->nlinks && notice_refused(t->link[i], &t->refused) == -1)
		return;
	t->refused.n = 0;
	list_leave(&t->refused.place);
}

void
notices_send(void)
{
	struct tunnel *t, *next;

	for (t = list_first(tunnels_refused()); t != NULL; t = next) {
		next = list_after(&t->refused.place);
		notice_of(t);
	}
}

void
notice_joined(const struct tunnel *t, const struct link *joined)
{
	unsigned char text[NOTICE_MAX];
	struct json_out j = { text, sizeof(text), 0, 0 };
	int i;

	json_put(&j, "{\"clients\":");
	json_put_integer(&j, tunnel_clients(t));
	json_put(&j, "}");
	for (i = 0; i < t->nlinks; i++)
		if (t->link[i] != joined && link_takes_notes(t->link[i]))
			notice_put(t->link[i], &j);
}
