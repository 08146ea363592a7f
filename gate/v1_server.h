#ifndef GATE_V1_SERVER_H
#define GATE_V1_SERVER_H

#include "pipegate.h"

struct link;
struct stream;

#define V1_STREAMS 100

/* Starts s on a v1 link: the message goes when the body is whole. */
int forward_v1(struct stream *s, const struct http_head *h);

void take_v1(struct link *l, unsigned char *p, size_t n);
void link_ops_oversize(struct link *l, const unsigned char *p, size_t n);

#endif
