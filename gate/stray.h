/*
 * Strays: requests that a page of a tunnel makes outside of it, since the app knows
 * nothing of its prefix and asks for /style.css.  Where a stray comes from is told by
 * its Referer; where that tells of no tunnel, by the pin (pin.h), which counts if the
 * browser says that a page of this host asks.
 *
 * Strays are sent back under their prefix and never served where they stand: one URL
 * would have the contents of two tunnels in the caches of browsers.  An Upgrade, which
 * no cache keeps and no browser sends elsewhere, is led in place.
 */
#ifndef GATE_STRAY_H
#define GATE_STRAY_H

#include "pipegate.h"

struct caller;
struct route;

enum stray {
	STRAY_NONE,		/* it is where it belongs */
	STRAY_BACK,		/* it is to be sent back */
	STRAY_IN_PLACE,		/* an Upgrade, which goes to the tunnel as it stands */
	STRAY_LOST		/* it names an id that nobody serves, and its tunnel wants
				   nothing back, or is not served either */
};

/* Whether request h of w, which leads where r says, is a stray: *id is then that of
 * its tunnel, and points into h. */
enum stray stray_find(struct view *id, const struct caller *w,
    const struct http_head *h, const struct route *r);

#endif
