#ifndef GATE_CHILD_H
#define GATE_CHILD_H

#include <sys/types.h>

#include "pipegate.h"

struct conn;
struct endpoint;

short always_readable(const struct conn *c);

long long no_deadline(const struct conn *c);

void signal_catch(int sig, void (*fn)(int));
void loop_init(void (*on_signal)(int));

/* Forks with the signals as a fresh program expects them.  Returns as
 * fork(). */
pid_t child_fork(void);

void children_reap(void);

/* Ends a child that may still run; it is reaped by its SIGCHLD. */
void child_kill(pid_t pid);

/* On the way out: no child is left behind. */
void children_end(void);

/* Looks up e in a child; done is called later.  Returns 0, or -1 where that
 * could not be started or one is under way. */
int lookup_start(struct endpoint *e, void (*done)(struct endpoint *, const char
    *));

#endif
