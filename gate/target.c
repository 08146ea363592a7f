#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/addr.h"
#include "gate/child.h"
#include "gate/net.h"
#include "gate/url.h"
#include "gate/person.h"
#include "gate/target.h"

static const char target_form[] = "it must be like http://localhost:3000 "
    "(http:// only, without a query)";

/* Takes t->url apart.  Returns as target_set(). */
static const char *
target_take(struct target *t)
{
	struct url u;

	if (url_split(&u, t->url) == -1 ||
	    !http_equal_nocase(u.scheme, "http") ||
	    memchr(u.path.p, '?', u.path.n) != NULL ||
	    (u.path.n > 0 && !http_path_ok(u.path)))
		return target_form;
	snprintf(t->at.host, sizeof(t->at.host), "%.*s", (int)u.host.n,
	    (const char *)u.host.p);
	snprintf(t->at.port, sizeof(t->at.port), "%.*s",
	    u.port.n > 0 ? (int)u.port.n : 2,
	    u.port.n > 0 ? (const char *)u.port.p : "80");
	while (u.path.n > 0 && u.path.p[u.path.n - 1] == '/')
		u.path.n--;
	if (u.path.n > HTTP_TARGET_MAX / 2)
		return "its path is too long";
	t->base = strndup((const char *)u.path.p, u.path.n);
	if (t->base == NULL)
		die("no memory to start");
	return NULL;
}

const char *
target_set(struct target *t, const char *text)
{
	size_t cap = strlen(text) + sizeof("http://localhost:");

	if (strncmp(text, "https://", 8) == 0)
		return "the service is spoken to in plain HTTP, such as "
		    "http://localhost:3000";
	t->url = malloc(cap);
	if (t->url == NULL)
		die("no memory to start");
	must(url_target(t->url, cap, text) == 0);
	return target_take(t);
}

/* v without end, where it ends so. */
static struct view
view_less(struct view v, const char *end)
{
	size_t n = strlen(end);

	if (v.n >= n && memcmp(v.p + v.n - n, end, n) == 0)
		v.n -= n;
	return v;
}

struct view
target_origin(const struct target *t, struct view *authority)
{
	struct view origin = view_of(t->url), rest = origin;

	must(url_take_authority(&rest, authority));
	origin.n -= rest.n;
	return origin;
}

int
target_take_own(const struct target *t, struct view *url)
{
	struct view scheme = *url, authority, own;

	scheme.n = min_size(scheme.n, sizeof("http:") - 1);
	if (!http_equal_nocase(scheme, "http:") ||
	    !url_take_authority(url, &authority))
		return 0;
	target_origin(t, &own);
	if (strcmp(t->at.port, "80") != 0)
		return http_same_nocase(authority, own);
	return http_same_nocase(view_less(authority, ":80"),
	    view_less(own, ":80"));
}

/* The addresses may be others now. */
static void
target_looked_up(struct target *t)
{
	t->good = 0;
	t->looked_up++;
}

static void
target_looked_up_again(void *of, const char *error)
{
	struct target *t = of;

	if (error != NULL)
		person_note("cannot look up %s: %s", t->at.host, error);
	else
		target_looked_up(t);
}

int
target_look_up(struct target *t, void (*done)(void *of, const char *error),
    void *of)
{
	target_looked_up(t);
	return lookup_start(&t->lookup, &t->at, done, of);
}

/* The index of the address to try as number n: the good one first, then the
 * others. */
static int
target_nth(const struct target *t, int n)
{
	if (n == 0)
		return t->good;
	return n <= t->good ? n - 1 : n;
}

void
target_look_up_again(struct target *t)
{
	if (t->at.n == 0 || !host_is_numeric(t->at.host))
		lookup_start(&t->lookup, &t->at, target_looked_up_again, t);
}

int
target_connect(const struct target *t, struct attempt *a)
{
	int fd = -1;

	if (a->looked_up != t->looked_up)
		a->tried = 0;
	a->looked_up = t->looked_up;
	errno = EHOSTUNREACH;
	while (fd == -1 && a->tried < t->at.n)
		fd = endpoint_connect(&t->at, target_nth(t, a->tried++));
	return fd;
}

void
target_answered(struct target *t, const struct attempt *a)
{
	if (a->looked_up == t->looked_up)
		t->good = target_nth(t, a->tried - 1);
}
