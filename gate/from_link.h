#ifndef GATE_FROM_LINK_H
#define GATE_FROM_LINK_H

#include "pipegate.h"

struct conn;
struct link;
struct stream;

void gather_write(void);

/* Body octets came for s.  Returns 0, or -1002 for the link. */
int stream_down(struct stream *s, const unsigned char *p, size_t n, int end);

/* The half that comes down has ended: f are its trailers. */
void stream_down_end(struct stream *s, const struct http_field *f, size_t n);

/* The sink took octets: what left for good may be granted anew. */
void stream_sent(struct conn *c, size_t n);

/* The link is no more: whatever was open is broken. */
void streams_orphan(struct link *l, const char *why);

long long stream_stall_deadline(const struct conn *c);

extern void (*settle_more)(void);

void settle(void);

/* Once a second: streams that found the budget full ask again. */
void streams_retry(void);

#endif
