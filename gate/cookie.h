/*
 * Cookies, as fields have them (RFC 6265 4).  Pure.
 */
#ifndef GATE_COOKIE_H
#define GATE_COOKIE_H

#include "pipegate.h"

/* Takes what stands before the next ; off the front of *rest, and that ; too: a pair
 * of a Cookie, or the pair or an attribute of a Set-Cookie. */
struct view cookie_next(struct view *rest);

/* Splits a pair or an attribute: returns its name, and *value is its value, both
 * without the space around them.  What is not there is empty. */
struct view cookie_split(struct view pair, struct view *value);

#endif
