#include <stdio.h>
#include <string.h>

#include "gate/say.h"
#include "gate/url.h"

/* Cuts host[:port] off the front of rest.  Returns 0, or -1: it is malformed. */
static int
url_authority(struct url *u, struct view *rest)
{
	if (rest->n > 0 && rest->p[0] == '[') {
		view_skip(rest, 1);
		u->host = view_until(rest, "]");
		if (rest->n == 0)
			return -1;
		view_skip(rest, 1);
	} else {
		u->host = view_until(rest, ":/?#");
	}
	if (rest->n == 0 || strchr("/?#", rest->p[0]) != NULL)
		return 0;
	if (rest->p[0] != ':')
		return -1;
	view_skip(rest, 1);
	u->port = view_until(rest, "/?#");
	return port_ok(u->port) && !http_equal(u->port, "0") ? 0 : -1;
}

/* A name or an address, of octets that mean nothing to a shell, and no option:
 * the command of --connect may hold it. */
static int
host_ok(struct view host)
{
	static const char octets[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";
	size_t i;

	for (i = 0; i < host.n; i++)
		if (host.p[i] == '\0' || strchr(octets, host.p[i]) == NULL)
			return 0;
	return host.n > 0 && host.n <= 255 && host.p[0] != '-';
}

int
url_split(struct url *u, const char *text)
{
	struct view rest = view_of(text);
	const char *sep = strstr(text, "://");

	memset(u, 0, sizeof(*u));
	if (sep == NULL)
		return -1;
	u->scheme = rest;
	u->scheme.n = (size_t)(sep - text);
	view_skip(&rest, u->scheme.n + 3);
	if (url_authority(u, &rest) == -1)
		return -1;
	u->path = view_until(&rest, "#");
	return host_ok(u->host) ? 0 : -1;
}

int
url_take_path(struct view *path, struct view prefix)
{
	if (path->n < prefix.n || memcmp(path->p, prefix.p, prefix.n) != 0 ||
	    (path->n > prefix.n && strchr("/?#", path->p[prefix.n]) == NULL))
		return 0;
	path->p += prefix.n;
	path->n -= prefix.n;
	return 1;
}

int
port_ok(struct view port)
{
	long v = 0;
	size_t i;

	if (port.n == 0 || port.n > 5)
		return 0;
	for (i = 0; i < port.n; i++) {
		if (port.p[i] < '0' || port.p[i] > '9')
			return 0;
		v = v * 10 + (port.p[i] - '0');
	}
	return v <= 65535;
}

int
url_target(char *out, size_t cap, const char *text)
{
	const char *before = "";

	if (port_ok(view_of(text)))
		before = "http://localhost:";
	else if (strstr(text, "://") == NULL)
		before = "http://";
	return (size_t)snprintf(out, cap, "%s%s", before, text) < cap ? 0 : -1;
}

int
url_take_token(char *out, size_t cap, struct view path, struct view *token)
{
	struct view piece = view_until(&path, "?");
	size_t n = (size_t)snprintf(out, cap, "%.*s", (int)piece.n,
	    (const char *)piece.p);
	char sep = '?';

	token->n = 0;
	if (n == 0)
		n = (size_t)snprintf(out, cap, "/");
	while (path.n > 0 && n < cap) {
		view_skip(&path, 1);
		piece = view_until(&path, "&");
		if (piece.n > 6 && memcmp(piece.p, "token=", 6) == 0) {
			*token = piece;
			view_skip(token, 6);
			continue;
		}
		n += (size_t)snprintf(out + n, cap - n, "%c%.*s", sep,
		    (int)piece.n, (const char *)piece.p);
		sep = '&';
	}
	return n < cap ? 0 : -1;
}

static int
hex_digit(unsigned char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c == '\0' ? NULL : strchr(digits,
	    c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

	return at == NULL ? -1 : (int)(at - digits);
}

/* Returns the octets in out, or -1. */
static long
url_decode(unsigned char *out, size_t cap, struct view v)
{
	size_t i, n;

	for (i = n = 0; i < v.n; i++) {
		int c = v.p[i], low;

		if (c == '%') {
			c = v.n - i > 2 ? hex_digit(v.p[i + 1]) : -1;
			low = c != -1 ? hex_digit(v.p[i + 2]) : -1;
			if (low == -1)
				return -1;
			c = c * 16 + low;
			i += 2;
		}
		if (n == cap)
			return -1;
		out[n++] = (unsigned char)c;
	}
	return (long)n;
}

int
url_query(struct view *value, unsigned char *out, size_t cap,
    struct view path, const char *name)
{
	struct view piece, found = { NULL, 0 };
	long n;

	view_until(&path, "?");
	while (path.n > 0) {
		view_skip(&path, 1);
		piece = view_until(&path, "&");
		if (!http_equal(view_until(&piece, "="), name) || piece.n == 0)
			continue;
		if (found.p != NULL)
			return 0;
		found = piece;
		view_skip(&found, 1);
	}
	n = found.p != NULL ? url_decode(out, cap, found) : -1;
	value->p = out;
	value->n = n < 0 ? 0 : (size_t)n;
	return n >= 0;
}

int
url_command(char *out, size_t cap, const char *command, const char *host,
    const char *port)
{
	size_t n = (size_t)snprintf(out, cap, "exec ");
	const char *p;

	for (p = command; *p != '\0' && n < cap; p++) {
		char one[2] = { *p, '\0' };
		const char *put = one;

		if (p[0] == '%' && p[1] == 'h')
			put = host;
		else if (p[0] == '%' && p[1] == 'p')
			put = port;
		if (put != one || (p[0] == '%' && p[1] == '%'))
			p++;
		n += (size_t)snprintf(out + n, cap - n, "%s", put);
	}
	return n < cap ? 0 : -1;
}

int
url_take_authority(struct view *url, struct view *authority)
{
	static const char slashes[] = "://";
	struct view rest = *url, scheme = view_until(&rest, ":");

	if (!http_equal_nocase(scheme, "http") &&
	    !http_equal_nocase(scheme, "https"))
		return 0;
	if (rest.n < 3 || memcmp(rest.p, slashes, 3) != 0)
		return 0;
	rest.p += 3;
	rest.n -= 3;
	*authority = view_until(&rest, "/?#");
	*url = rest;
	return 1;
}
