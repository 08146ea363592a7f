/*
 * Which host a service sees itself asked under.  As a rule the caller's, which passes
 * as it came; by --host-header another, for services that answer to names alone
 * that they know.  With `rewrite` the service sees one consistent local world: Host,
 * Origin and Referer are its own.
 */
#ifndef GATE_GUISE_H
#define GATE_GUISE_H

#include "pipegate.h"

struct target;

/* Whether text can be --host-header: rewrite, or a host with or without a port. */
int guise_ok(const char *text);

/* How h, a request for t, is to be written: h itself, or it with other lines and
 * without fields, good until the next call; or NULL: it does not fit. */
const struct http_head *guise_request(const struct http_head *h,
    const struct target *t);

/* Whether the caller of h asked for a name, other than localhost, and the service
 * sees it: many know of demo.localhost no more than of public names. */
int guise_is_foreign(const struct http_head *h);

#endif
