/*
 * `pipegate client`: the program that keeps a tunnel up, drains and stops.
 */
#ifndef GATE_CLIENT_H
#define GATE_CLIENT_H

struct uplink;

/* Keeps the tunnel of u up until a signal ends it, or the server refuses it
 * for good.  Returns the exit status. */
int client_run(struct uplink *u);

#endif
