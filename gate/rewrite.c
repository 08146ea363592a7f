#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/cookie.h"
#include "gate/target.h"
#include "gate/url.h"
#include "gate/rewrite.h"

#define HOME_MAX 1024

static struct view
view_from(struct view v, size_t i)
{
	v.p += i;
	v.n -= i;
	return v;
}

/* --- how a request came */

struct way {
	struct view proto, host, prefix;
};

/* Whether v has none of these octets. */
static int
view_lacks(struct view v, const char *octets)
{
	view_until(&v, octets);
	return v.n == 0;
}

/* What stands in the URL of callers, and a prefix in the Path of cookies too.  A list of
 * hosts is none. */
static int
way_is_known(const struct way *way)
{
	return way->proto.n > 0 && way->host.n > 0 &&
	    view_lacks(way->host, ",/?#@\\ \t\"<>") &&
	    (way->prefix.n == 0 || http_path_ok(way->prefix)) &&
	    view_lacks(way->prefix, "?#;\\\"") &&
	    way->proto.n + way->host.n + way->prefix.n < HOME_MAX;
}

static struct view
way_value(const struct http_head *h, const char *name)
{
	struct view value = { (const unsigned char *)"", 0 };
	size_t i = h->nfields, n = strlen(name);

	while (i-- > 0)			/* our server writes its own last */
		if (h->field[i].name.n == n &&
		    http_equal_nocase(h->field[i].name, name))
			return h->field[i].value;
	return value;
}

static void
way_read(struct way *way, const struct http_head *h)
{
	way->proto = way_value(h, "x-forwarded-proto");
	way->host = way_value(h, "x-forwarded-host");
	way->prefix = way_value(h, "x-forwarded-prefix");
}

static struct view
home_part(const struct home *home, size_t from, size_t to)
{
	struct view v = { (const unsigned char *)home->url + from, to - from };

	return v;
}

static struct view
home_prefix(const struct home *home)
{
	return view_of(home->url + home->prefix);
}

static int
home_is(const struct home *home, const struct way *way)
{
	size_t proto = home->host - strlen("://");

	return home->url != NULL && way->proto.n == proto &&
	    memcmp(home->url, way->proto.p, proto) == 0 &&
	    http_same_nocase(home_part(home, home->host, home->prefix),
		way->host) &&
	    http_equal(way->prefix, home->url + home->prefix);
}

void
home_note(struct home *home, const struct http_head *h)
{
	struct way way;
	size_t cap;

	way_read(&way, h);
	if (home_is(home, &way))
		return;
	home_forget(home);
	cap = way.proto.n + way.host.n + way.prefix.n + sizeof("://");
	if (!way_is_known(&way) || (home->url = malloc(cap)) == NULL)
		return;
	home->host = way.proto.n + strlen("://");
	home->prefix = home->host + way.host.n;
	snprintf(home->url, cap, "%.*s://%.*s%.*s", (int)way.proto.n,
	    (const char *)way.proto.p, (int)way.host.n,
	    (const char *)way.host.p, (int)way.prefix.n,
	    (const char *)way.prefix.p);
}

void
home_forget(struct home *home)
{
	free(home->url);
	home->url = NULL;
}

/* --- URLs */

struct rewrite {
	struct http_out out;
	const struct target *target;
	const struct home *home;
};

/* Whether browsers take path for a URL of another host: //host, /\host, and a tab
 * is passed over. */
static int
names_host(struct view path)
{
	return path.n > 1 && path.p[0] == '/' &&
	    strchr("/\\\t", path.p[1]) != NULL;
}

static int
is_path(struct view url)
{
	return url.n > 0 && url.p[0] == '/' && !names_host(url);
}

/* Writes path, which is the service's, as callers know it.  The service may know of
 * its prefix. */
static void
put_path(struct rewrite *r, struct view path)
{
	struct view prefix = home_prefix(r->home), rest = path;

	if (!url_take_path(&rest, prefix))
		http_put_view(&r->out, prefix);
	if (path.n == 0 || path.p[0] != '/')
		http_put(&r->out, "/");
	http_put_view(&r->out, path);
}

/* Writes url as callers know it.  Returns whether it leads into the tunnel: else
 * nothing is written. */
static int
put_url(struct rewrite *r, struct view url)
{
	struct view rest = url;
	int own = target_take_own(r->target, &rest);

	if (!own && !is_path(url))
		return 0;
	if (!url_take_path(&rest, view_of(r->target->base)))
		return 0;
	if (!own && home_prefix(r->home).n == 0 && names_host(rest))
		return 0;
	if (own)
		http_put_view(&r->out, home_part(r->home, 0, r->home->prefix));
	put_path(r, rest);
	return 1;
}

/* v from the first octet on that is none of these. */
static struct view
view_behind(struct view v, const char *octets)
{
	while (v.n > 0 && strchr(octets, v.p[0]) != NULL) {
		v.p++;
		v.n--;
	}
	return v;
}

/* v behind url= where it begins so, else v. */
static struct view
url_behind_name(struct view v)
{
	struct view rest = view_behind(view_from(v, 3), " \t");

	if (rest.n == 0 || rest.p[0] != '=')
		return v;
	return view_behind(view_from(rest, 1), " \t");
}

/* The URL in the value of Refresh, as browsers read it: behind the seconds, a ; or ,
 * and perhaps url= and a quote. */
static struct view
refresh_url(struct view v)
{
	char quote[2] = "";

	v = view_behind(v, "0123456789. \t");
	v = view_behind(v, ";, \t");
	if (http_begins_nocase(v, "url"))
		v = url_behind_name(v);
	if (v.n == 0 || (v.p[0] != '"' && v.p[0] != '\''))
		return v;
	quote[0] = (char)v.p[0];
	v = view_from(v, 1);
	return view_until(&v, quote);
}

static int
put_refresh(struct rewrite *r, struct view v)
{
	struct view url = refresh_url(v), before = v;

	before.n = (size_t)(url.p - v.p);
	http_put_view(&r->out, before);
	if (!put_url(r, url))
		return 0;
	http_put_view(&r->out, view_from(v, before.n + url.n));
	return 1;
}

/* --- cookies (RFC 6265 4.1) */

/* The host of the tunnel itself, below which its cookies may reach: it may be above
 * the one that was asked.  Empty in the path form, where all tunnels share one. */
static struct view
own_host(const struct rewrite *r)
{
	struct view own = view_of(r->target->host), host =
	    home_part(r->home, r->home->host, r->home->prefix);

	http_host_name(&host, host);
	if (own.n > 0 && http_name_under(host, own))
		return own;
	if (home_prefix(r->home).n > 0)
		host.n = 0;
	return host;
}

/* The host as which the service knows itself. */
static struct view
service_host(const struct rewrite *r)
{
	struct view host;

	target_origin(r->target, &host);
	http_host_name(&host, host);
	return host;
}

/* Whether domain has hosts of tunnels under it, as far as we know. */
static int
reaches_hosts(const struct rewrite *r, struct view domain)
{
	return r->target->host[0] != '\0' && domain.n > 0 &&
	    http_name_under(view_of(r->target->host), domain);
}

static int
domain_leaves(const struct rewrite *r, struct view domain)
{
	struct view own = own_host(r);

	if (domain.n > 0 && domain.p[0] == '.')
		domain = view_from(domain, 1);
	if (own.n == 0)
		return http_same_nocase(domain, service_host(r)) ||
		    reaches_hosts(r, domain);
	return domain.n > 0 && !http_name_under(domain, own);
}

/* Whether path is that of the whole service, or above it. */
static int
is_whole(const struct rewrite *r, struct view path)
{
	struct view base = view_of(r->target->base);

	return http_equal(path, "/") || url_take_path(&base, path);
}

/* Writes path, where it is the service's or one above it. */
static void
put_cookie_path(struct rewrite *r, struct view path)
{
	struct view rest = path;

	if (url_take_path(&rest, view_of(r->target->base)))
		put_path(r, rest);
	else if (is_whole(r, path))
		put_path(r, view_of("/"));
	else
		http_put_view(&r->out, path);
}

/* Writes one attribute of a cookie, with the ; before it. */
static void
put_attribute(struct rewrite *r, struct view attribute, int whole_host)
{
	struct view value, name = cookie_split(attribute, &value), before;

	if (http_equal_nocase(name, "domain") && domain_leaves(r, value))
		return;
	http_put(&r->out, ";");
	if (!http_equal_nocase(name, "path") || whole_host || !is_path(value)) {
		http_put_view(&r->out, attribute);
		return;
	}
	before = attribute;
	before.n = (size_t)(value.p - attribute.p);
	http_put_view(&r->out, before);
	put_cookie_path(r, value);
	http_put_view(&r->out, view_from(attribute, before.n + value.n));
}

/* The next attribute of a cookie; rest begins with the ; before it. */
static struct view
attribute_next(struct view *rest)
{
	*rest = view_from(*rest, 1);
	return view_until(rest, ";");
}

static int
is_whole_host(struct view pair)
{
	return http_begins_nocase(pair, "__Host-");	/* only with Path=/ */
}

static int
put_cookie(struct rewrite *r, struct view rest)
{
	struct view pair = view_until(&rest, ";");

	http_put_view(&r->out, pair);
	while (rest.n > 0)
		put_attribute(r, attribute_next(&rest), is_whole_host(pair));
	return 1;
}

/* --- an answer */

static int
rewrite_value(struct rewrite *r, const struct http_field *f)
{
	switch (f->name.n) {
	case sizeof("location") - 1:
		return http_equal_nocase(f->name, "location") &&
		    put_url(r, f->value);
	case sizeof("content-location") - 1:
		return http_equal_nocase(f->name, "content-location") &&
		    put_url(r, f->value);
	case sizeof("refresh") - 1:
		return http_equal_nocase(f->name, "refresh") &&
		    put_refresh(r, f->value);
	case sizeof("set-cookie") - 1:
		return http_equal_nocase(f->name, "set-cookie") &&
		    put_cookie(r, f->value);
	default:
		return 0;
	}
}

/* What was written since the output had from octets. */
static struct view
written(const struct rewrite *r, size_t from)
{
	struct view v = { r->out.p + from, r->out.len - from };

	return v;
}

int
rewrite_answer(struct http_head *out, const struct target *t,
    const struct home *home)
{
	static unsigned char space[2 * HTTP_LINK_HEAD_MAX];
	struct rewrite r = { { space, sizeof(space), 0 }, t, home };
	size_t i, from;

	if (home->url == NULL)
		return 0;
	for (i = 0; i < out->nfields; i++) {
		struct http_field *f = &out->field[i];

		from = r.out.len;
		if (rewrite_value(&r, f))
			f->value = written(&r, from);
		else
			r.out.len = from;
	}
	return r.out.len <= r.out.cap ? 0 : -1;
}
