/*
 * What a service says of its own addresses, on the way to its callers, who know it
 * under others.
 */
#ifndef GATE_REWRITE_H
#define GATE_REWRITE_H

#include "pipegate.h"

struct target;

/* The URL under which the caller of h knows what is behind t: for rewrite_answer(),
 * and to be freed.  link_says_prefix: the server is one that says what it took off the
 * path.  NULL: it is not needed or not known, or there is no memory. */
char *rewrite_home(const struct http_head *h, int link_says_prefix);

/* Makes a Location in out[0..n) that leads to t lead under home.  The new value is
 * good until the next call. */
void rewrite_answer(struct http_field *out, size_t n, const struct target *t,
    const char *home);

#endif
