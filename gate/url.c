#include <string.h>

#include "gate/say.h"
#include "gate/url.h"

void
view_skip(struct view *v, size_t n)
{
	v->p += n;
	v->n -= n;
}

int
url_split(struct url *u, const char *text)
{
	struct view rest = view_of(text);
	const char *sep = text_find(text, "://");

	memset(u, 0, sizeof(*u));
	if (sep == NULL)
		return -1;
	u->scheme = rest;
	u->scheme.n = (size_t)(sep - text);
	view_skip(&rest, u->scheme.n + 3);
	if (rest.n > 0 && rest.p[0] == '[') {
		view_skip(&rest, 1);
		u->host = view_until(&rest, "]");
		if (rest.n == 0)
			return -1;
		view_skip(&rest, 1);
	} else {
		u->host = view_until(&rest, ":/?#");
	}
	if (rest.n > 0 && rest.p[0] == ':') {
		view_skip(&rest, 1);
		u->port = view_until(&rest, "/?#");
		if (u->port.n == 0)
			return -1;
	}
	u->path = view_until(&rest, "#");
	return u->host.n == 0 || u->host.n > 255 || http_equal(u->port, "0") ||
	    memchr(u->host.p, '@', u->host.n) != NULL ? -1 : 0;
}

int
port_ok(struct view port)
{
	long v = 0;
	size_t i;

	for (i = 0; i < port.n; i++) {
		if (port.p[i] < '0' || port.p[i] > '9')
			return 0;
		v = v * 10 + (port.p[i] - '0');
	}
	return port.n > 0 && port.n <= 5 && v <= 65535;
}
