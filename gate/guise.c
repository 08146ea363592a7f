#include <stdio.h>
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

static int
host_is_public(struct view authority, const struct http_head *h)
{
	if (authority.n == 0)
		return 0;
	return http_same_nocase(authority, h->host) ||
	    http_same_nocase(authority, http_field_value(h, "x-forwarded-host"));
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
	url_take_path(&rest, http_field_value(h, "x-forwarded-prefix"));
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

int
guise_is_foreign(const struct http_head *h)
{
	struct view name;

	return opt->host_header == NULL && h->host.n > 0 &&
	    http_host_name(&name, h->host) &&
	    !http_equal_nocase(name, "localhost");
}
