#ifndef GATE_V1_CLIENT_H
#define GATE_V1_CLIENT_H

#include "pipegate.h"

struct link;
struct stream;

/* v1: the answer to a request that failed here. */
void v1_fail(struct stream *s, int status, const char *why);

void client_request_v1(struct link *l, unsigned char *p, size_t n);

/* A v1 request too large to be held: only its id is known. */
void client_oversize(struct link *l, const unsigned char *p, size_t n);

#endif
