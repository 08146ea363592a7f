#include <stdio.h>
#include <string.h>

#include "gate/say.h"
#include "gate/settings.h"
#include "gate/url.h"
#include "gate/domain.h"
#include "gate/route.h"

/* Whether name lies under domain; then it loses that and the dot before it. */
static int
name_under(struct view *name, const char *domain)
{
	struct view end = view_of(domain);

	if (name->n <= end.n + 1 || !http_name_under(*name, end))
		return 0;
	name->n -= end.n + 1;
	return 1;
}

/* The labels of name before the longest of the domains that it is under: none,
 * and p is NULL, where it is under no one. */
static struct view
labels_of(struct view name)
{
	struct view labels = { NULL, name.n };
	int i;

	for (i = 0; i < opt->ndomains; i++) {
		struct view v = name;

		if (name_under(&v, opt->domain[i]) && v.n < labels.n)
			labels = v;
	}
	return labels;
}

static int
name_is_domain(struct view name)
{
	int i;

	for (i = 0; i < opt->ndomains; i++)
		if (http_equal_nocase(name, opt->domain[i]))
			return 1;
	return 0;
}

static int
name_is_public(struct view name)
{
	struct url u;

	return opt->public_url != NULL &&
	    url_split(&u, opt->public_url) == 0 &&
	    http_same_nocase(name, u.host);
}

int
route_is_ours(struct view name)
{
	return name_is_domain(name) || labels_of(name).p != NULL ||
	    name_is_public(name);
}

/* Whether the paths of the server are on that host. */
static int
host_is_ours(struct view host, struct view *name)
{
	return opt->ndomains == 0 || host.n == 0 ||
	    !http_host_name(name, host) ||
	    http_equal_nocase(*name, "localhost") || name_is_domain(*name);
}

/* The id is the last of the labels. */
static void
route_by_labels(struct route *r, struct view labels)
{
	const unsigned char *p = labels.p + labels.n;
	struct view id;
	size_t n = 0;

	while (p > labels.p && p[-1] != '.' && n < sizeof(r->label)) {
		p--;
		n++;
	}
	id.p = p;
	id.n = n;
	view_lower(r->label, id);
	r->id.p = r->label;
	r->id.n = n;
	r->deep = p != labels.p;
	if (http_label_ok(r->id) && jwt_sub_ok(r->id) &&
	    (p == labels.p || p[-1] == '.'))
		r->leads = HTTP_ROUTE_TUNNEL;
}

static void
route_by_own(struct route *r, const char *id)
{
	if (id == NULL)
		return;
	r->id = view_of(id);
	r->leads = HTTP_ROUTE_TUNNEL;
}

void
route_name(struct route *r, struct view name)
{
	struct view labels = labels_of(name);

	r->by_host = 1;
	r->deep = 0;
	r->leads = HTTP_ROUTE_NONE;
	if (name_is_domain(name))
		r->leads = HTTP_ROUTE_ROOT;
	else if (labels.p != NULL)
		route_by_labels(r, labels);
	else
		route_by_own(r, domain_id(name));
}

void
route_find(struct route *r, const struct http_head *h)
{
	struct view name;

	if (host_is_ours(h->host, &name)) {
		r->by_host = 0;
		r->leads = http_route(h->path, &r->id, &r->rest);
		return;
	}
	route_name(r, name);
	r->rest = h->path;
	if (http_equal(h->path, "*"))
		r->leads = HTTP_ROUTE_STAR;
}

int
request_upgrades(const struct http_head *h)
{
	return h->upgrade && h->framing == HTTP_NO_BODY &&
	    !http_list_has(http_field_value(h, "upgrade"), "h2c");
}

/* The domain that the public URL names, else the first. */
static const char *
domain_public(void)
{
	struct url u;
	int i;

	if (opt->public_url != NULL && url_split(&u, opt->public_url) == 0)
		for (i = 0; i < opt->ndomains; i++)
			if (http_equal_nocase(u.host, opt->domain[i]))
				return opt->domain[i];
	return opt->domain[0];
}

void
route_public(struct ws_public *public, const char *id, const char *domain)
{
	memset(public, 0, sizeof(*public));
	if (domain != NULL)
		snprintf(public->domain, sizeof(public->domain), "%s", domain);
	if (opt->public_url != NULL)
		snprintf(public->url, sizeof(public->url), "%s",
		    opt->public_url);
	if (opt->ndomains > 0 && http_label_ok(view_of(id)))
		snprintf(public->host, sizeof(public->host), "%s.%s", id,
		    domain_public());
}
