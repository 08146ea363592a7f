/*
 * Arrivals: connections of proxies that must say first for whom they speak, with a
 * PROXY header.  Each is a caller of a kind of its own, until that is known.
 */
#ifndef GATE_ARRIVAL_H
#define GATE_ARRIVAL_H

struct addr;

/* Takes in the proxy that connected as fd, as caller_accept() does. */
void arrival_accept(int fd, const struct addr *peer, int tunnel_only);

#endif
