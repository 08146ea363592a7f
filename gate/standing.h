/*
 * How the links of a tunnel stand, on the server: which of them a request goes to.
 */
#ifndef GATE_STANDING_H
#define GATE_STANDING_H

struct link;

/* Of link[0..n) that have room for a request, the one with the fewest streams, the
 * last among equals; NULL: none has room. */
struct link *standing_best(struct link *const link[], int n);

#endif
