#ifndef GATE_URL_H
#define GATE_URL_H

#include "pipegate.h"

struct url {
	struct view scheme, host, port, path;	/* path with its query */
};

void view_skip(struct view *v, size_t n);

/* Splits scheme://host[:port][/path].  Returns 0 or -1. */
int url_split(struct url *u, const char *text);

int port_ok(struct view port);

#endif
