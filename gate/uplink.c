#include <stdio.h>
#include <string.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/url.h"
#include "gate/uplink.h"

static int
scheme_is(const struct url *u, const char *plain, const char *tls)
{
	return http_equal_nocase(u->scheme, plain) ? 0 :
	    http_equal_nocase(u->scheme, tls) ? 1 : -1;
}

static void
uplink_set_host(struct uplink *u, const struct url *url, const char *usual)
{
	const char *colon;

	snprintf(u->server.host, sizeof(u->server.host), "%.*s",
	    (int)url->host.n, (const char *)url->host.p);
	snprintf(u->server.port, sizeof(u->server.port), "%.*s",
	    url->port.n > 0 ? (int)url->port.n : (int)strlen(usual),
	    url->port.n > 0 ? (const char *)url->port.p : usual);
	colon = strcmp(u->server.port, usual) == 0 ? "" : ":";
	snprintf(u->host, sizeof(u->host),
	    strchr(u->server.host, ':') != NULL ? "[%s]%s%s" : "%s%s%s",
	    u->server.host, colon, colon[0] != '\0' ? u->server.port : "");
}

const char *
uplink_set_server(struct uplink *u, const char *text)
{
	struct view token;
	struct url url;

	if (url_split(&url, text) == -1)
		return "it must be like ws://yourserver:8000/?token=... "
		    "(or wss://)";
	u->tls = scheme_is(&url, "ws", "wss");
	if (u->tls == -1)
		u->tls = scheme_is(&url, "http", "https");
	if (u->tls == -1)
		return "it must begin with ws:// or wss://";
	uplink_set_host(u, &url, u->tls ? "443" : "80");
	if (url_take_token(u->path, sizeof(u->path), url.path, &token) == -1 ||
	    token.n >= sizeof(u->token))
		return "it is too long";
	u->token_in_query = token.n > 0;
	memcpy(u->token, token.p, token.n);
	u->token[token.n] = '\0';
	return NULL;
}

const char *
uplink_set_token(struct uplink *u, const char *token)
{
	size_t n = strlen(token), i;

	if (n >= sizeof(u->token))
		return "it is too long";
	for (i = 0; i < n; i++)
		if (token[i] <= ' ' || token[i] > '~')
			return "there is a space or another octet in it that no "
			    "token has: copy what stands behind \"JWT "
			    "Bearer:\" alone";
	memcpy(u->token, token, n + 1);
	u->token_in_query = 0;
	return NULL;
}

#define URL_BASE_MAX 512	/* u->host and WS_PUBLIC_MAX are less */

/* Under which the tunnels are. */
static void
url_base(const struct uplink *u, char out[URL_BASE_MAX])
{
	struct url parts;

	if (url_split(&parts, u->public.url) == 0 &&
	    scheme_is(&parts, "http", "https") != -1)
		snprintf(out, URL_BASE_MAX, "%s%s", u->public.url,
		    u->public.url[strlen(u->public.url) - 1] == '/' ? "" : "/");
	else
		snprintf(out, URL_BASE_MAX, "%s://%s/",
		    u->tls ? "https" : "http", u->host);
}

/* Whether text can be a part of a URL as it is. */
static int
host_is_plain(const char *host)
{
	return host[0] != '\0' && strspn(host,
	    "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(host);
}

/* The URL of host, with the scheme and the port of base.  Returns 1; or 0, there is
 * none. */
static int
url_at(char out[URL_PUBLIC_MAX], const char *host, const char *base)
{
	struct url parts;

	if (!host_is_plain(host) || url_split(&parts, base) == -1)
		return 0;
	snprintf(out, URL_PUBLIC_MAX, "%.*s://%s%s%.*s/", (int)parts.scheme.n,
	    (const char *)parts.scheme.p, host, parts.port.n > 0 ? ":" : "",
	    (int)parts.port.n, (const char *)parts.port.p);
	return 1;
}

int
uplink_urls(const struct uplink *u,
    char out[URLS_PUBLIC_MAX][URL_PUBLIC_MAX], const char *id)
{
	char base[URL_BASE_MAX];
	int n = 0;

	url_base(u, base);
	n += url_at(out[n], u->public.domain, base);
	n += url_at(out[n], u->public.host, base);
	snprintf(out[n++], URL_PUBLIC_MAX, "%s%s/", base, id);
	return n;
}
