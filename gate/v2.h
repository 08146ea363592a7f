/*
 * The wire v2, this program's own: streams flow in messages of one frame each,
 * against credit.
 */
#ifndef GATE_V2_H
#define GATE_V2_H

#include <stddef.h>

#include "pipegate.h"

struct link;
struct stream;
struct wire;

extern const struct wire wire_v2;

#ifndef V2_NUMBER_MAX
#define V2_NUMBER_MAX 0x7fffffffu	/* of the last request on a link */
#endif

/* Has s, which is new on its link, found by the number of the link's last
 * request, which it is. */
void v2_number(struct stream *s);

/* Resets the stream of that number on l: a request that gets no stream here is
 * refused so.  Returns 0, or -1: no memory. */
int v2_put_reset(struct link *l, unsigned int number, int status, int flags,
    const char *why);

/* Gives so many octets of credit to the stream of that number, or, where that is
 * 0, to each that begins later.  Returns as v2_put_reset(). */
int v2_put_window(struct link *l, unsigned int number, long long octets);

/* Takes a message that came on l, a link of this wire.  Returns 1 where it is a
 * request: the caller takes it from m, whose views point into p.  Else it was
 * dealt with. */
int v2_take(struct link *l, int opcode, const unsigned char *p, size_t n,
    struct ws_msg *m);

/* Whether m's flags, and what body came with it, agree with its head h.  1 or
 * 0. */
int v2_head_ok(const struct ws_msg *m, const struct http_head *h);

/* Takes the octets of body that came in m, and the end of the half where m says
 * so.  The half from the link is open.  s may be over then. */
void v2_take_octets(struct stream *s, const struct ws_msg *m);

#endif
