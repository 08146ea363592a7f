#include "gate/say.h"
#include "gate/url.h"
#include "gate/route.h"
#include "gate/pin.h"
#include "gate/tunnel.h"
#include "gate/stray.h"

/* Whether url begins with the origin of the host that h asks; then it loses that. */
static int
url_take_here(struct view *url, const struct http_head *h)
{
	struct view host;

	return url_take_authority(url, &host) && host.n > 0 &&
	    http_same_nocase(host, h->host);
}

/* The id of the page from which request h comes (Referer, RFC 9110 10.1.3). */
static int
referer_find(struct view *id, const struct http_head *h)
{
	struct view url = http_field_value(h, "referer"), rest;

	return url_take_here(&url, h) &&
	    http_route(url, id, &rest) == HTTP_ROUTE_TUNNEL;
}

/* Whether the browser says that a page of the same host asks. */
static int
origin_is_here(const struct http_head *h)
{
	struct view origin = http_field_value(h, "origin");

	return url_take_here(&origin, h) && origin.n == 0;
}

/* An Upgrade on / is a client's where its Origin does not say otherwise. */
static int
pin_counts(const struct http_head *h, const struct route *r, int upgrades)
{
	if (origin_is_here(h))
		return 1;
	return !(upgrades && r->leads == HTTP_ROUTE_ROOT) &&
	    http_equal(http_field_value(h, "sec-fetch-site"), "same-origin");
}

static int
names_id(const struct route *r)
{
	return r->leads == HTTP_ROUTE_TUNNEL || r->leads == HTTP_ROUTE_REDIRECT;
}

static int
may_stray(const struct http_head *h, const struct route *r)
{
	return !r->by_host && r->leads != HTTP_ROUTE_HEALTH &&
	    h->path.n > 0 && h->path.p[0] == '/' &&
	    !(names_id(r) && tunnel_is_known(r->id));
}

/* A page of the tunnel id has led there. */
static enum stray
stray_of_page(struct view id, const struct route *r)
{
	if (names_id(r) && view_same(r->id, id))
		return STRAY_NONE;	/* one that is not served, of itself */
	if (tunnel_takes_back(id))
		return STRAY_BACK;
	return names_id(r) ? STRAY_LOST : STRAY_NONE;
}

enum stray
stray_find(struct view *id, const struct caller *w, const struct http_head *h,
    const struct route *r)
{
	int upgrades;

	if (!may_stray(h, r))
		return STRAY_NONE;
	upgrades = request_upgrades(h);
	if (!upgrades && referer_find(id, h))
		return stray_of_page(*id, r);
	if (pin_counts(h, r, upgrades) && pin_find(id, w, h) &&
	    tunnel_takes_back(*id))
		return upgrades ? STRAY_IN_PLACE : STRAY_BACK;
	return STRAY_NONE;
}
