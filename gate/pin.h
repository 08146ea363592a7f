/*
 * The server's own cookies, which a browser has of tunnels in the path form.  No
 * service gets them, and none sets them.
 *
 * The pin, pipegate-pin, has the id of the tunnel whose page came last.  A copy,
 * pipegate-pin~NAME, has the value of a cookie that a service set for all of its paths,
 * behind its id and a colon.  That cookie is sent under the prefix alone: so what is led
 * to the tunnel from outside of it (stray.h) would lack it.  Behind TLS the pin is called
 * __Host-pipegate-pin, which no other host can set.
 */
#ifndef GATE_PIN_H
#define GATE_PIN_H

#include "pipegate.h"

struct caller;

/* The id in the pin of w's request h: 1, and *id points into h; or 0, it has none. */
int pin_find(struct view *id, const struct caller *w,
    const struct http_head *h);

/* Notes in w which of them the answer to its request h is to bring: h goes under its
 * prefix to the tunnel id. */
void pin_note(struct caller *w, const struct http_head *h, struct view id);

/* The same where the answer is to bring none. */
void pin_note_none(struct caller *w);

/* Takes them out of request h on its way to a service.  in_place: the id of that where h
 * was led there in place, and gets cookies of its copies; else NULL.  What h points at
 * then is good until the next call. */
void pin_strip(struct http_head *h, const char *in_place);

/* Takes out of answer h, of a service, what it sets of them. */
void pin_guard(struct http_head *h);

/* Writes the lines of Set-Cookie that the final answer h of the tunnel id to w's
 * request is to bring.  What does not fit is left out. */
void pin_put(struct http_out *o, const struct caller *w,
    const struct http_head *h, const char *id);

#endif
