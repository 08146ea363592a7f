#ifndef GATE_CALLER_H
#define GATE_CALLER_H

#include "pipegate.h"
#include "gate/loop.h"

/* Reads requests out of rx, until one is at work or more must come. */
void caller_parse(struct conn *c);

extern const struct kind caller_kind;

#endif
