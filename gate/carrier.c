#include <sys/ioctl.h>
#include <sys/socket.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/net.h"
#include "gate/person.h"
#include "gate/carrier.h"

#define HELPERS_MAX 16		/* each is a process */

static const struct helper_ops carrier_ops;

static void
carrier_move(struct carrier *c, enum carrier_state state)
{
	c->state = state;
	if (c->news != NULL)
		c->news(c->of);
}

size_t
carrier_untaken(const struct carrier *c)
{
	int n = 0;

	if (c->theirs == -1 || ioctl(c->theirs, FIONREAD, &n) == -1 || n < 0)
		return 0;
	return (size_t)n;
}

size_t
carrier_take_back(struct carrier *c, void *p, size_t n)
{
	ssize_t r = c->theirs != -1 ? recv(c->theirs, p, n, MSG_DONTWAIT) : 0;

	return r > 0 ? (size_t)r : 0;
}

/* From now on what the helper has written is followed by its end.  Octets that were
 * left in there would be the end of that too. */
static void
carrier_close_theirs(struct carrier *c)
{
	char sink[4096];

	while (carrier_take_back(c, sink, sizeof(sink)) > 0)
		continue;
	if (c->theirs != -1)
		close(c->theirs);
	c->theirs = -1;
}

/* Gives c a helper.  Returns 0, or -1. */
static int
carrier_run(struct carrier *c)
{
	struct helper_way way = { NULL, c->all->any_certificate };

	c->helper.ops = &carrier_ops;
	if (helper_run(&c->helper, c->theirs, c->all->to, &way) == -1) {
		c->err = errno;
		return -1;
	}
	c->all->helpers++;
	return 0;
}

static void
carriers_go_on(struct carriers *all)
{
	struct carrier *c;

	while (all->helpers < HELPERS_MAX &&
	    (c = list_first(&all->waiting)) != NULL) {
		int r = carrier_run(c);

		if (r == -1 && all->helpers > 0)
			return;		/* there is room once one of these has ended */
		list_leave(&c->place);
		carrier_move(c, r == 0 ? CARRIER_CONNECTS : CARRIER_ENDED);
	}
}

static void
carrier_free(struct carrier *c)
{
	helper_end(&c->helper);
	free(c);
}

/* --- what a person should know, once for each new fault */

static const char *
fault_advice(enum helper_fault f)
{
	switch (f) {
	case HELPER_MISSING:
		return "openssl cannot be run, which https:// needs: install it";
	case HELPER_NO_TLS:
		return "no TLS is spoken there: is it http://?";
	case HELPER_OTHER_NAME:
		return "its certificate is for another name: use that in "
		    "TARGET_URL, or --insecure-target takes any certificate";
	case HELPER_EXPIRED:
	case HELPER_NOT_YET:
		return "its certificate has expired or is not valid yet: "
		    "--insecure-target takes any";
	case HELPER_UNTRUSTED:
		return "its certificate is not trusted: SSL_CERT_FILE names a CA "
		    "of your own, --insecure-target takes any certificate";
	default:
		return NULL;
	}
}

static void
carrier_advise(const struct carrier *c)
{
	struct carriers *all = c->all;
	enum helper_fault f = carrier_fault(c);
	const char *advice = fault_advice(f);

	if (advice != NULL && f != all->noted)
		person_note("the service at %s:%s: %s", all->to->host,
		    all->to->port, advice);
	all->noted = f;
}

/* --- what the helper tells */

static void
carrier_stands(struct helper *h)
{
	struct carrier *c = CONTAINER(h, struct carrier, helper);

	c->all->noted = HELPER_OTHER;
	carrier_move(c, CARRIER_STANDS);
}

static void
carrier_ended(struct helper *h)
{
	struct carrier *c = CONTAINER(h, struct carrier, helper);
	struct carriers *all = c->all;

	all->helpers--;
	if (c->news == NULL) {
		carrier_free(c);
	} else {
		if (!h->stands)
			carrier_advise(c);
		carrier_move(c, CARRIER_ENDED);
		carrier_close_theirs(c);
	}
	carriers_go_on(all);
}

static const struct helper_ops carrier_ops = {
	.stands = carrier_stands, .ended = carrier_ended,
};

/* --- beginning and end */

int
carrier_start(struct carrier **made, struct carriers *all,
    void (*news)(void *of), void *of)
{
	struct carrier *c = calloc(1, sizeof(*c));
	int pair[2], err;

	*made = NULL;
	if (c == NULL)
		return -1;
	if (helper_pair(pair) == -1) {
		free(c);
		return -1;
	}
	c->all = all;
	c->theirs = pair[1];
	c->news = news;
	c->of = of;
	if (all->helpers >= HELPERS_MAX || all->waiting.n > 0) {
		list_add(&all->waiting, &c->place, c);
	} else if (carrier_run(c) == 0) {
		c->state = CARRIER_CONNECTS;
	} else {
		err = c->err;
		close(pair[0]);
		close(pair[1]);
		free(c);
		errno = err;
		return -1;
	}
	*made = c;
	return pair[0];
}

/* A helper counts until it has ended, so that there are never more. */
void
carrier_end(struct carrier *c)
{
	c->news = NULL;
	list_leave(&c->place);
	carrier_close_theirs(c);
	if (c->helper.pid > 0)
		helper_kill(&c->helper);
	else
		carrier_free(c);
}

void *
carriers_waiting(const struct carriers *all)
{
	const struct carrier *c = list_first(&all->waiting);

	return c != NULL ? c->of : NULL;
}

void
carrier_swap(struct carrier **a, struct carrier **b)
{
	struct carrier *c = *a;
	void *of = c->of;

	c->of = (*b)->of;
	(*b)->of = of;
	*a = *b;
	*b = c;
}

enum helper_fault
carrier_fault(const struct carrier *c)
{
	return helper_fault(&c->helper);
}
