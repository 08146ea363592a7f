#ifndef GATE_V2_H
#define GATE_V2_H

#include "pipegate.h"

struct link;
struct stream;

extern struct ws_msg msg_in, msg_out;

/* Puts msg_out on link l.  Returns 0, or -1 where it does not fit a message
 * or there is no memory. */
int link_put_msg(struct link *l);

/* Readies msg_out for a message about s. */
void msg_start(const struct stream *s, enum ws_type type);

void put_reset(struct stream *s);
void put_grant(struct stream *s);

/* Makes the n body octets at p + WS_V2_BODY_HEAD a message. */
void put_body(struct stream *s, unsigned char *p, size_t n, int end);

void take_body(struct link *l, const unsigned char *p, size_t n);

/* A text message about a stream that is there. */
void take_for_stream(struct stream *s, struct ws_msg *m);

/* A text message: read into msg_in.  Returns 0, or -1 after closing l. */
int take_text(struct link *l, unsigned char *p, size_t n);

struct stream *take_find(struct link *l, const unsigned char id[16]);

#endif
