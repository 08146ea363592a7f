/*
 * Where a request leads on the server: to a tunnel, by its path or by its host,
 * or to the server itself.
 *
 * Under each of PIPEGATE_DOMAIN an id that is a DNS label has a host of its own,
 * ID.tunnel.example.com, and so does whatever is further left, which the app may
 * use.  So do own domains (gate/domain.h).  All there belongs to the app.  The paths
 * of the server and /{id}/... are on the domains themselves, on address literals, on
 * localhost, and where there is no Host; without PIPEGATE_DOMAIN they are on every
 * host.
 */
#ifndef GATE_ROUTE_H
#define GATE_ROUTE_H

#include "pipegate.h"

struct route {
	enum http_route leads;
	struct view id, rest;	/* as http_route() has them; by a host, rest is the whole path */
	int by_host;		/* it is the host that says so */
	int deep;		/* with further labels, the app's own, before that of the id */
	unsigned char label[63];	/* where id is then, but for an own domain */
};

/* Finds where request h leads.  r points into h, into itself, and into what holds an
 * own domain. */
void route_find(struct route *r, const struct http_head *h);

/* Where a host name leads: HTTP_ROUTE_ROOT, to the server itself; _TUNNEL, and id is
 * there; _NONE.  Of r, rest is left. */
void route_name(struct route *r, struct view name);

/* Whether name is one of PIPEGATE_DOMAIN, or under one, or the host of
 * PIPEGATE_PUBLIC_URL. */
int route_is_ours(struct view name);

/* Whether request h asks for a protocol switch that may pass: HTTP/2 over cleartext,
 * and one with a body, go on without. */
int request_upgrades(const struct http_head *h);

/* Says where callers find the tunnel id; domain: its own, or NULL. */
void route_public(struct ws_public *public, const char *id, const char *domain);

#endif
