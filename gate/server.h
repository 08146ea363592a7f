/*
 * `pipegate server`.
 */
#ifndef GATE_SERVER_H
#define GATE_SERVER_H

/* Serves until a signal ends it.  Returns the exit status. */
int server_run(void);

#endif
