/*
 * `pipegate welcome`: a small local service, for a first tunnel to lead to.  Its
 * one page shows the request as it arrived.
 */
#ifndef GATE_WELCOME_H
#define GATE_WELCOME_H

/* Serves until a signal ends it.  Returns the exit status. */
int welcome_run(void);

#endif
