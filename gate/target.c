#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/addr.h"
#include "gate/child.h"
#include "gate/net.h"
#include "gate/url.h"
#include "gate/settings.h"
#include "gate/person.h"
#include "gate/listens.h"
#include "gate/target.h"

#define CONNECT_MS 5000		/* for all addresses together */
#define WAIT_MS 30000		/* for one of few connections */

static const char target_form[] = "it must be like http://localhost:3000, "
    "https://localhost:8443 or unix:/run/app.sock, without a query";

static char *
target_copy(const char *p, size_t n)
{
	char *copy = strndup(p, n);

	if (copy == NULL)
		die("no memory to start");
	return copy;
}

/* Takes how t is reached from its scheme.  Returns the usual port, or NULL: there is
 * no such way. */
static const char *
target_take_scheme(struct target *t, struct view scheme)
{
	if (http_equal_nocase(scheme, "http"))
		return "80";
	if (!http_equal_nocase(scheme, "https"))
		return NULL;
	t->way = TARGET_TLS;
	t->carriers.to = &t->at;
	t->carriers.any_certificate = opt->insecure_target;
	return "443";
}

/* Takes t->url apart.  Returns as target_set(). */
static const char *
target_take(struct target *t)
{
	const char *usual;
	struct url u;

	if (url_split(&u, t->url) == -1 ||
	    (usual = target_take_scheme(t, u.scheme)) == NULL ||
	    memchr(u.path.p, '?', u.path.n) != NULL ||
	    (u.path.n > 0 && !http_path_ok(u.path)))
		return target_form;
	snprintf(t->at.host, sizeof(t->at.host), "%.*s", (int)u.host.n,
	    (const char *)u.host.p);
	snprintf(t->at.port, sizeof(t->at.port), "%.*s",
	    u.port.n > 0 ? (int)u.port.n : (int)strlen(usual),
	    u.port.n > 0 ? (const char *)u.port.p : usual);
	while (u.path.n > 0 && u.path.p[u.path.n - 1] == '/')
		u.path.n--;
	if (u.path.n > HTTP_TARGET_MAX / 2)
		return "its path is too long";
	t->origin = target_copy(t->url,
	    (size_t)((const char *)u.path.p - t->url));
	t->base = target_copy((const char *)u.path.p, u.path.n);
	return NULL;
}

/* The same for a socket, behind which a service is at home on localhost. */
static const char *
target_take_path(struct target *t)
{
	const char *path = unix_path(t->url);

	if (path == NULL)
		return "the path of its socket must begin with a slash, as in "
		    "unix:/run/app.sock";
	if (!unix_path_fits(path))
		return "the path of its socket is too long (107 bytes at most)";
	snprintf(t->at.host, sizeof(t->at.host), "%s", t->url);
	t->way = TARGET_UNIX;
	t->origin = target_copy("http://localhost", 16);
	t->base = target_copy("", 0);
	return NULL;
}

const char *
target_set(struct target *t, const char *text)
{
	size_t cap = strlen(text) + sizeof("http://localhost:");

	if (strncmp(text, "unix:", 5) == 0) {
		t->url = target_copy(text, strlen(text));
		return target_take_path(t);
	}
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
	struct view rest = view_of(t->origin);

	must(url_take_authority(&rest, authority));
	return view_of(t->origin);
}

int
target_take_own(const struct target *t, struct view *url)
{
	const char *usual = t->way == TARGET_TLS ? ":443" : ":80";
	struct view scheme = *url, ours = view_of(t->origin), authority, own;

	if (!url_take_authority(url, &authority) ||
	    !http_same_nocase(view_until(&scheme, ":"), view_until(&ours, ":")))
		return 0;
	target_origin(t, &own);
	return http_same_nocase(view_less(authority, usual),
	    view_less(own, usual));
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
	if (t->way == TARGET_TCP)
		return lookup_start(&t->lookup, &t->at, done, of);
	endpoint_lookup(&t->at, 0);
	done(of, NULL);
	return 0;
}

/* Whether t is on this machine, as its name has it. */
static int
target_is_here(const struct target *t)
{
	struct addr a;

	return host_is_loopback_name(t->at.host) ||
	    (addr_read(&a, t->at.host, strlen(t->at.host)) == 0 &&
	    addr_is_loopback(&a));
}

int
target_is_deserted(const struct target *t)
{
	if (t->way == TARGET_UNIX)
		return access(unix_path(t->url), F_OK) == -1 && errno == ENOENT;
	return target_is_here(t) &&
	    port_is_deserted((unsigned int)strtoul(t->at.port, NULL, 10));
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

/* openssl tries all addresses by itself. */
static int
target_connect_tls(struct target *t, struct attempt *a)
{
	int fd;

	if (a->tried++ > 0)
		return -1;
	fd = carrier_start(&a->carrier, &t->carriers, a->news, a->of);
	if (fd == -1)
		target_refused(a, errno);
	return fd;
}

int
target_connect(struct target *t, struct attempt *a)
{
	int fd = -1;

	if (t->way == TARGET_TLS)
		return target_connect_tls(t, a);

	if (a->looked_up != t->looked_up)
		a->tried = 0;
	a->looked_up = t->looked_up;
	while (fd == -1 && a->tried < t->at.n) {
		fd = endpoint_connect(&t->at, target_nth(t, a->tried++));
		if (fd == -1)
			target_refused(a, errno);
	}
	return fd;
}

int
attempt_stands(const struct attempt *a)
{
	return a->carrier == NULL || a->carrier->state == CARRIER_STANDS;
}

void
attempt_end(struct attempt *a)
{
	if (a->carrier != NULL)
		carrier_end(a->carrier);
	a->carrier = NULL;
}

/* Whether descriptors are wanting, here. */
static int
is_crowded(int err)
{
	return err == EMFILE || err == ENFILE;
}

void
target_refused(struct attempt *a, int err)
{
	if (a->err == 0 || is_crowded(err))
		a->err = err;
}

void
target_answered(struct target *t, const struct attempt *a)
{
	if (a->looked_up == t->looked_up)
		t->good = target_nth(t, a->tried - 1);
}

long long
target_patience(const struct target *t, const struct attempt *a,
    long long begun_ms)
{
	if (a->carrier != NULL)
		return begun_ms + (a->carrier->state == CARRIER_WAITS ?
		    WAIT_MS : CONNECT_MS);
	return begun_ms + CONNECT_MS * a->tried / (t->at.n > 0 ? t->at.n : 1);
}

/* --- what became of it */

static struct unreached
unreached(int status, const char *why)
{
	struct unreached u = { status, WS_UNREACHED, why };

	return u;
}

/* What is wanting here, or has no room there, has some once another request has
 * ended: the server may try again. */
static struct unreached
unreached_now(const char *why)
{
	struct unreached u = { 503, WS_UNREACHED | WS_REFUSED, why };

	return u;
}

/* Somebody listens there, who is not to be asked, however often it is tried. */
static struct unreached
unfit(int status, const char *why)
{
	struct unreached u = { status, 0, why };

	return u;
}

static const char no_address[] = "cannot look up the name of the service";
static const char refused[] =
    "cannot connect to the service: connection refused";
static const char no_answer[] =
    "cannot connect to the service: no answer in 5 s";

static struct unreached
target_failed_tcp(const struct target *t, int err)
{
	if (t->at.n == 0)
		return unreached(504, no_address);
	switch (err) {
	case ECONNREFUSED:
		return unreached(504, refused);
	case ETIMEDOUT:
		return unreached(504, no_answer);
	default:
		return unreached(504, "cannot connect to the service");
	}
}

static struct unreached
target_failed_unix(struct target *t, int err)
{
	const char *path = unix_path(t->url);

	switch (err) {
	case EAGAIN:
		return unreached_now("the service takes no more connections "
		    "for now");
	case ENOENT:
		snprintf(t->why, sizeof(t->why), "cannot connect to the "
		    "service: there is no socket %s", path);
		break;
	case ECONNREFUSED:
		snprintf(t->why, sizeof(t->why), "cannot connect to the "
		    "service: nobody listens at the socket %s", path);
		break;
	default:
		snprintf(t->why, sizeof(t->why), "cannot connect to the "
		    "service at the socket %s: %s", path, strerror(err));
	}
	return unreached(504, t->why);
}

/* How the helper of c ended without a connection. */
static struct unreached
target_failed_helper(struct target *t, const struct carrier *c)
{
	switch (carrier_fault(c)) {
	case HELPER_MISSING:
		return unreached(504, "cannot connect to the service: the client "
		    "has no openssl");
	case HELPER_NO_ADDRESS:
		return unreached(504, no_address);
	case HELPER_REFUSED:
		return unreached(504, refused);
	case HELPER_NO_TLS:
		return unfit(504, "cannot connect to the service: no TLS is "
		    "spoken there");
	case HELPER_OTHER_NAME:
		return unfit(502, "the service's certificate is for another "
		    "name");
	case HELPER_EXPIRED:
		return unfit(502, "the service's certificate has expired");
	case HELPER_NOT_YET:
		return unfit(502, "the service's certificate is not valid yet");
	case HELPER_UNTRUSTED:
		return unfit(502, "the service's certificate is not trusted");
	case HELPER_OTHER:
		break;
	}
	snprintf(t->why, sizeof(t->why), "cannot connect to the service: %s",
	    c->helper.said[0] != '\0' ? c->helper.said : "openssl failed");
	return unreached(504, t->why);
}

static struct unreached
target_failed_tls(struct target *t, const struct carrier *c)
{
	if (c == NULL || c->err != 0)
		return unreached_now("the client cannot start openssl");
	switch (c->state) {
	case CARRIER_WAITS:
		return unreached(503, "all connections that the client may have "
		    "to the service are at work");
	case CARRIER_CONNECTS:
		return unreached(504, no_answer);
	default:
		return target_failed_helper(t, c);
	}
}

struct unreached
target_failed(struct target *t, const struct attempt *a)
{
	if (is_crowded(a->err))
		return unreached_now("the client has too many open files");
	if (t->way == TARGET_TLS)
		return target_failed_tls(t, a->carrier);
	if (t->way == TARGET_UNIX)
		return target_failed_unix(t, a->err);
	if (t->at.n == 0 || !host_is_numeric(t->at.host))
		lookup_start(&t->lookup, &t->at, target_looked_up_again, t);
	return target_failed_tcp(t, a->err);
}
