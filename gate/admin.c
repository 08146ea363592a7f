#include <string.h>

#include "gate/say.h"
#include "gate/mem.h"
#include "gate/conn.h"
#include "gate/listener.h"
#include "gate/guest.h"
#include "gate/url.h"
#include "gate/settings.h"
#include "gate/route.h"
#include "gate/tunnel.h"
#include "gate/admin.h"

#define ADMIN_HEAD_MAX 4096

/* Whether a page elsewhere cannot have made a browser ask under that name: it leads
 * here by no DNS record that a stranger could write. */
static int
host_is_near(struct view host)
{
	struct view name;

	return host.n == 0 || !http_host_name(&name, host) ||
	    memchr(name.p, '.', name.n) == NULL;
}

/* Whether name is that of the server itself, or of a tunnel that is served or was a
 * moment ago: whoever fetches a certificate for it does so for no invented one. */
static int
name_is_served(struct view name)
{
	struct route r;

	route_name(&r, name);
	return r.leads == HTTP_ROUTE_ROOT ||
	    (r.leads == HTTP_ROUTE_TUNNEL && !r.deep && tunnel_is_known(r.id));
}

static void
admin_ask(struct conn *c, const struct http_head *h)
{
	unsigned char text[512];
	struct view asked = { text, 0 }, name;

	if (!url_query(&asked, text, sizeof(text), h->path, "domain"))
		guest_error(c, h, 400, "ask as /ask?domain=NAME");
	else if (memchr(text, ':', asked.n) == NULL &&
	    http_host_name(&name, asked) && name_is_served(name))
		guest_answer(c, h, "text/plain", view_of("served\n"));
	else
		guest_error(c, h, 404, "no tunnel is served under this name");
}

/* Whether a browser asks for a page of another site (Fetch Metadata). */
static int
is_cross_site(const struct http_head *h)
{
	struct view site = http_field_value(h, "sec-fetch-site");

	return site.n > 0 && !http_equal(site, "none") &&
	    !http_equal(site, "same-origin");
}

static void
admin_asked(struct conn *c, const struct http_head *h)
{
	struct view rest = h->path, path = view_until(&rest, "?");

	if (is_cross_site(h))
		guest_error(c, h, 403, "pages of other sites may not ask this");
	else if (!host_is_near(h->host))
		guest_error(c, h, 421, "this is asked under an address, localhost "
		    "or a name without a dot alone");
	else if (!http_equal(path, "/ask"))
		guest_error(c, h, 404, "nothing is here: there is "
		    "/ask?domain=NAME");
	else if (!http_equal(h->method, "GET") && !http_equal(h->method, "HEAD"))
		guest_error(c, h, 405, "/ask answers GET and HEAD only");
	else
		admin_ask(c, h);
}

static struct guests admins = {
	.asked = admin_asked, .head_max = ADMIN_HEAD_MAX, .most = ADMIN_CONNS,
};

static void
admin_accepted(int fd, const struct sockaddr_storage *peer)
{
	(void)peer;
	guest_accept(&admins, fd);
}

static struct listener admins_at;

static const struct listener_ops admin_ops = {
	.accepted = admin_accepted,
	.note = " (admin)",
};

void
admin_open(void)
{
	if (opt->admin_host != NULL)
		listener_open(&admins_at, opt->admin_host, opt->admin_port,
		    &admin_ops);
}

void
admin_close(void)
{
	listener_close(&admins_at);
}
