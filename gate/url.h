/*
 * URLs, as people type them and as fields have them, and the command of --connect.
 * Pure: nothing is looked up.
 */
#ifndef GATE_URL_H
#define GATE_URL_H

#include "pipegate.h"

/* A URL in its parts: views into its text.  A part that is not there is
 * empty. */
struct url {
	struct view scheme;
	struct view host;	/* an IPv6 address without its brackets */
	struct view port;
	struct view path;	/* with its query, without its fragment */
};

/* Splits scheme://host[:port][/path].  Returns 0; or -1 where it has not that
 * form, a user before its host, a host that is no name or address (255 octets of
 * letters, digits and .-_:, which a shell takes as they are, and no - at first),
 * or a port that is none. */
int url_split(struct url *u, const char *text);

/* Takes http:// or https:// and the authority off the front of url.  Returns 1; or 0,
 * url does not begin so. */
int url_take_authority(struct view *url, struct view *authority);

/* Takes prefix off the front of path, where a segment ends with it.  Returns whether it
 * did. */
int url_take_path(struct view *path, struct view prefix);

/* Whether port is a number from 0 to 65535. */
int port_ok(struct view port);

/* Writes text, which is a URL, a host with or without a port, or a port alone,
 * as a whole URL into out[0..cap), with a NUL.  Returns 0, or -1 where it does
 * not fit. */
int url_target(char *out, size_t cap, const char *text);

/* Takes token=... out of the query of path.  *token is its value, a view into
 * path: the last one of several, empty where there is none.  The rest, at least
 * "/", is written to out[0..cap) with a NUL.  Returns 0, or -1 where it does not
 * fit. */
int url_take_token(char *out, size_t cap, struct view path,
    struct view *token);

/* Finds name=... in the query of path, once, and writes what stands there to
 * out[0..cap), %HH decoded.  Returns 1, and *value is that; or 0: it is not there, or
 * twice, does not fit, or has a % alone. */
int url_query(struct view *value, unsigned char *out, size_t cap,
    struct view path, const char *name);

/* Writes command to out[0..cap), with a NUL, as a shell is to run it: %h and %p
 * become host and port as they are, without quotes, and %% becomes %.  Returns
 * 0, or -1 where it does not fit. */
int url_command(char *out, size_t cap, const char *command, const char *host,
    const char *port);

#endif
