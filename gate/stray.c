#include <string.h>

#include "gate/say.h"
#include "gate/url.h"
#include "gate/stream.h"
#include "gate/reply.h"
#include "gate/route.h"
#include "gate/tunnel.h"
#include "gate/stray.h"

static struct view
field_value(const struct http_head *h, const char *name)
{
	static const struct view none = { (const unsigned char *)"", 0 };
	const struct http_field *f = http_field_find(h->field, h->nfields,
	    name);

	return f != NULL ? f->value : none;
}

/* Whether url begins with the origin of the host that h asks; then it loses that. */
static int
url_take_here(struct view *url, const struct http_head *h)
{
	struct view host;

	return url_take_authority(url, &host) && host.n > 0 &&
	    http_same_nocase(host, h->host);
}

/* --- the pin */

static int
view_same(struct view a, struct view b)
{
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

/* Whether w came by https: as a service is told. */
static int
caller_is_secure(const struct caller *w, const struct http_head *h)
{
	struct view said = field_value(h, "x-forwarded-proto");

	if (w->trusted && http_equal_nocase(said, "http"))
		return 0;
	return w->https ||
	    (w->trusted && http_equal_nocase(said, "https"));
}

/* Behind TLS no other host can set it: browsers see to that by its name. */
static const char *
pin_name(int secure)
{
	return secure ? "__Host-" HTTP_PIN : HTTP_PIN;
}

/* Whether the browser says that a page of the same host asks. */
static int
origin_is_here(const struct http_head *h)
{
	struct view origin = field_value(h, "origin");

	return url_take_here(&origin, h) && origin.n == 0;
}

/* An Upgrade on / is a client's where its Origin does not say otherwise. */
static int
pin_counts(const struct http_head *h, const struct route *r, int upgrades)
{
	if (origin_is_here(h))
		return 1;
	return !(upgrades && r->leads == HTTP_ROUTE_ROOT) &&
	    http_equal(field_value(h, "sec-fetch-site"), "same-origin");
}

void
pin_note(struct caller *w, const struct http_head *h, const struct route *r)
{
	struct view id;

	int secure;

	w->pin = PIN_NONE;
	if (r->leads != HTTP_ROUTE_TUNNEL || r->by_host)
		return;
	secure = caller_is_secure(w, h);
	if (!http_cookie_find(&id, h, pin_name(secure)) ||
	    !view_same(id, r->id))
		w->pin = secure ? PIN_SECURE : PIN_PLAIN;
}

static int
answer_is_html(const struct http_head *h)
{
	static const char html[] = "text/html";
	struct view type = field_value(h, "content-type"), begin = type;

	begin.n = min_size(type.n, sizeof(html) - 1);
	return h->status >= 200 && http_equal_nocase(begin, html) &&
	    (type.n == begin.n || strchr("; \t", type.p[begin.n]) != NULL);
}

void
pin_put(char out[PIN_COOKIE_MAX], const struct caller *w,
    const struct http_head *h)
{
	const struct tunnel *t = w->stream->tunnel;
	int secure = w->pin == PIN_SECURE;

	out[0] = '\0';
	if (w->pin != PIN_NONE && !t->as_is && answer_is_html(h))
		text_put(out, PIN_COOKIE_MAX,
		    "%s=%s; Path=/; HttpOnly; SameSite=Lax%s", pin_name(secure),
		    t->id, secure ? "; Secure" : "");
}

/* --- strays */

/* The id of the page from which request h comes (Referer, RFC 9110 10.1.3). */
static int
referer_find(struct view *id, const struct http_head *h)
{
	struct view url = field_value(h, "referer"), rest;

	return url_take_here(&url, h) &&
	    http_route(url, id, &rest) == HTTP_ROUTE_TUNNEL;
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

enum stray
stray_find(struct view *id, const struct caller *w, const struct http_head *h,
    const struct route *r)
{
	int upgrades;

	if (!may_stray(h, r))
		return STRAY_NONE;
	upgrades = http_field_find(h->field, h->nfields, "upgrade") != NULL;
	if (!upgrades && referer_find(id, h) && tunnel_takes_back(*id))
		return STRAY_BACK;
	if (pin_counts(h, r, upgrades) &&
	    http_cookie_find(id, h, pin_name(caller_is_secure(w, h))) &&
	    tunnel_takes_back(*id))
		return upgrades ? STRAY_IN_PLACE : STRAY_BACK;
	return names_id(r) && referer_find(id, h) && !view_same(*id, r->id) ?
	    STRAY_LOST : STRAY_NONE;
}
