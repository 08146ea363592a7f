#ifndef GATE_HELD_H
#define GATE_HELD_H

#include "pipegate.h"

struct stream;

/* Encodes n octets into the message.  Only whole quanta go out until the last. */
int hold_body(struct stream *s, const unsigned char *p, size_t n);

/* Closes the message: what is left of the body, and the tail. */
int hold_end(struct stream *s);

/* Moves a piece of the message into the link. */
void hold_send(struct stream *s);

/* v1: a message is gathered whether the link has room or not. */
void stream_collect(struct stream *s);

/* The largest body that fits the message that a v1 client takes. */
long long v1_body_max(const struct stream *s);

/* Puts the message's beginning into s->hold.  Returns 0, or minus a status:
 * -431 too large, -503 no room. */
int v1_begin(struct stream *s, void (*put)(struct json_out *, const struct
    ws_msg *));

#endif
