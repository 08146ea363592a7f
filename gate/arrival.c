#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/conn.h"
#include "gate/addr.h"
#include "gate/proxied.h"
#include "gate/reply.h"
#include "gate/yield.h"
#include "gate/caller.h"
#include "gate/arrival.h"

/* What is no PROXY header need not be HTTP either: it gets no answer. */
static void
arrival_refuse(struct caller *w, const char *why)
{
	log_event(LEVEL_INFO, "event=proxy-refused peer=%s why=\"%s\"", w->peer,
	    why);
	caller_drop(w);
}

/* The caller at address from, which takes the conn of w; w is freed.  NULL: no
 * memory, and the conn ends. */
static struct caller *
arrival_replace(struct caller *w, const struct addr *from)
{
	struct caller *v = caller_new(from);

	if (v == NULL) {
		caller_drop(w);
		return NULL;
	}
	v->c = w->c;
	v->tunnel_only = w->tunnel_only;
	caller_free(w);
	return v;
}

/* Lets in whom the header of r octets names. */
static void
arrival_admit(struct caller *w, const struct proxied *p, size_t r)
{
	buf_consume(&w->c->rx, r);
	if (p->from.family != 0)
		w = arrival_replace(w, &p->from);
	if (w == NULL)
		return;
	if (p->tls != PROXIED_UNSAID)
		w->https = p->tls == PROXIED_TLS;
	caller_admit(w);
}

static void
arrival_parse(struct caller *w)
{
	struct view in = buf_view(&w->c->rx);
	struct proxied p;
	int r = proxied_parse(&p, in.p, in.n);

	if (r > 0) {
		arrival_admit(w, &p, (size_t)r);
	} else if (r < 0) {
		arrival_refuse(w, "no PROXY header that can be read, which "
		    "PIPEGATE_PROXY_PROTOCOL asks of all trusted peers");
	} else {
		caller_rest(w);
		requests_evict(w->c->rx.cap);
	}
}

static void
arrival_ready(struct conn *c, short revents)
{
	struct caller *w = c->of;
	enum io io;

	(void)revents;
	if (!caller_may_read(w))
		return;
	io = conn_fill(c, MEM_LARGE);
	if (io == IO_DATA)
		arrival_parse(w);
	else if (io == IO_NO_ROOM)
		arrival_refuse(w, reply_no_memory);
	else if (io != IO_WAIT)
		caller_drop(w);
}

static void
arrival_gone(struct conn *c)
{
	caller_free(c->of);
}

static long long
arrival_deadline(const struct conn *c)
{
	return c->since_ms + HEAD_MS;
}

static void
arrival_expire(struct conn *c)
{
	arrival_refuse(c->of, "no PROXY header in time");
}

static const struct kind arrival_kind = {
	.name = "arrival", .ready = arrival_ready, .broken = conn_kill,
	.gone = arrival_gone, .events = always_readable,
	.rests = caller_head_rests, .deadline = arrival_deadline,
	.expire = arrival_expire,
};

void
arrival_accept(int fd, const struct addr *peer, int tunnel_only)
{
	caller_begin(&arrival_kind, fd, peer, tunnel_only);
}
