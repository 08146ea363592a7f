/*
 * `pipegate server`: the program that accepts callers and tunnel clients, works
 * once a second, drains and stops.
 */
#ifndef GATE_SERVER_H
#define GATE_SERVER_H

/* Serves until a signal ends it.  Returns the exit status. */
int server_run(void);

#endif
