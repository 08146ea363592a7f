#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/settings.h"
#include "gate/target.h"
#include "gate/url.h"
#include "gate/guise.h"

static int
guise_is_local(void)
{
	return opt->host_header != NULL &&
	    strcmp(opt->host_header, "rewrite") == 0;
}

int
guise_ok(const char *text)
{
	char url[300];
	struct view rest, authority;
	struct url u;

	if (strlen(text) + sizeof("http://") > sizeof(url))
		return 0;
	snprintf(url, sizeof(url), "http://%s", text);
	rest = view_of(url);
	return url_split(&u, url) == 0 &&
	    url_take_authority(&rest, &authority) && rest.n == 0;
}

/* Of t's URL the part before its path; *authority is its host and port. */
static struct view
target_origin(const struct target *t, struct view *authority)
{
	struct view origin = view_of(t->url), rest = origin;

	must(url_take_authority(&rest, authority));
	origin.n -= rest.n;
	return origin;
}

static struct view
field_value(const struct http_head *h, const char *name)
{
	static const struct view none = { (const unsigned char *)"", 0 };
	const struct http_field *f = http_field_find(h->field, h->nfields,
	    name);

	return f != NULL ? f->value : none;
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

static int
host_is_public(struct view authority, const struct http_head *h)
{
	if (authority.n == 0)
		return 0;
	return http_same_nocase(authority, h->host) ||
	    http_same_nocase(authority, field_value(h, "x-forwarded-host"));
}

/* Takes prefix off path, where a segment ends with it.  Returns whether it did. */
static int
path_take(struct view *path, struct view prefix)
{
	if (path->n < prefix.n || memcmp(path->p, prefix.p, prefix.n) != 0 ||
	    (path->n > prefix.n && strchr("/?#", path->p[prefix.n]) == NULL))
		return 0;
	path->p += prefix.n;
	path->n -= prefix.n;
	return 1;
}

/* Takes the origin off url where it is that of t, which is of http and may leave out
 * the port 80.  Returns whether it is. */
static int
url_take_own(struct view *url, const struct target *t)
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

/* Writes a field whose value is a URL: one of the public host as one of t. */
static void
guise_put_url(struct http_out *o, const struct http_field *f,
    const struct http_head *h, const struct target *t)
{
	struct view rest = f->value, authority;

	if (!url_take_authority(&rest, &authority) ||
	    !host_is_public(authority, h)) {
		http_put_field(o, f->name, f->value);
		return;
	}
	path_take(&rest, field_value(h, "x-forwarded-prefix"));
	http_put_view(o, f->name);
	http_put(o, ": ");
	http_put_view(o, target_origin(t, &authority));
	if (rest.n > 0)
		http_put(o, t->base);
	http_put_view(o, rest);
	http_put(o, "\r\n");
}

/* Writes one field of h as a local caller would send it. */
static void
guise_put_local(struct http_out *o, const struct http_field *f,
    const struct http_head *h, const struct target *t)
{
	if (http_equal_nocase(f->name, "origin") ||
	    http_equal_nocase(f->name, "referer"))
		guise_put_url(o, f, h, t);
	else if (!http_equal_nocase(f->name, "x-forwarded-host") &&
	    !http_equal_nocase(f->name, "x-forwarded-proto"))
		http_put_field(o, f->name, f->value);
}

const struct http_head *
guise_request(const struct http_head *h, const struct target *t)
{
	static unsigned char space[2 * HTTP_LINK_HEAD_MAX];
	static struct http_head seen;
	struct http_out o = { space, sizeof(space), 0 };
	size_t i;

	if (opt->host_header == NULL)
		return h;
	memcpy(&seen, h, offsetof(struct http_head, field));
	seen.nfields = 0;
	seen.host = view_of(opt->host_header);
	if (guise_is_local())
		target_origin(t, &seen.host);
	http_put_field(&o, view_of("Host"), seen.host);
	for (i = 0; i < h->nfields; i++) {
		const struct http_field *f = &h->field[i];

		if (http_equal_nocase(f->name, "host"))
			continue;
		if (guise_is_local())
			guise_put_local(&o, f, h, t);
		else
			http_put_field(&o, f->name, f->value);
	}
	seen.lines.p = space;
	seen.lines.n = o.len;
	return o.len <= o.cap ? &seen : NULL;
}

char *
guise_home(const struct http_head *h, int link_says_prefix)
{
	struct view proto, host, prefix;
	size_t cap;
	char *home;

	/* The Python server says neither, or its proxy does and not the prefix. */
	if (!guise_is_local() || !link_says_prefix)
		return NULL;
	proto = field_value(h, "x-forwarded-proto");
	host = field_value(h, "x-forwarded-host");
	prefix = field_value(h, "x-forwarded-prefix");
	if (proto.n == 0 || host.n == 0 || memchr(host.p, ',', host.n) != NULL)
		return NULL;		/* a list of hosts is none */
	cap = proto.n + host.n + prefix.n + sizeof("://");
	home = malloc(cap);
	if (home != NULL)
		snprintf(home, cap, "%.*s://%.*s%.*s", (int)proto.n,
		    (const char *)proto.p, (int)host.n, (const char *)host.p,
		    (int)prefix.n, (const char *)prefix.p);
	return home;
}

void
guise_answer(struct http_field *out, size_t n, const struct target *t,
    const char *home)
{
	static unsigned char space[HTTP_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	struct view rest;
	size_t i;

	for (i = 0; i < n; i++) {
		rest = out[i].value;
		if (!http_equal_nocase(out[i].name, "location") ||
		    !url_take_own(&rest, t) ||
		    !path_take(&rest, view_of(t->base)))
			continue;
		http_put(&o, home);
		http_put_view(&o, rest);
		if (o.len > o.cap)
			return;
		out[i].value.p = space;
		out[i].value.n = o.len;
		return;
	}
}

int
guise_is_foreign(const struct http_head *h)
{
	static const char end[] = ".localhost";
	struct view name;

	if (opt->host_header != NULL || h->host.n == 0 ||
	    !http_host_name(&name, h->host) ||
	    http_equal_nocase(name, "localhost"))
		return 0;
	if (name.n < sizeof(end))
		return 1;
	name.p += name.n - (sizeof(end) - 1);
	name.n = sizeof(end) - 1;
	return !http_equal_nocase(name, end);
}
