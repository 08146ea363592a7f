/*
 * The loop, which serves both roles.  A turn: wait for news, hand it to the
 * conns, fire the timers, settle, bury the dead, write the log.  Handlers read,
 * parse and mark; only settling moves octets; only burying frees.
 */
#ifndef GATE_LOOP_H
#define GATE_LOOP_H

#include <stddef.h>

/* A role, as the loop runs it. */
struct program {
	/* A signal came: SIGTERM, SIGINT, SIGHUP (unless it was ignored at the
	 * start), SIGCHLD. */
	void (*signal)(int sig);
	/* Moves what the turn's events have marked. */
	void (*settle)(void);
	/* Once a second. */
	void (*second)(void);
	/* No more than most conns can be had: the limit of open files has been
	 * lowered.  Ends others. */
	void (*crowded)(size_t most);
	/* After loop_stop(): whether there is still something to be said. */
	int (*busy)(void);
	long long stop_ms;	/* for that, at most */
};

/* Readies signals and the clock: before anything else of the engine.  Ends the
 * program where that fails. */
void loop_init(const struct program *p);

/* Runs until loop_stop() and then while p is busy. */
void loop_run(const struct program *p);

/* Ends loop_run() when there is nothing more to be said. */
void loop_stop(void);
int loop_is_stopping(void);

/* Work is left: the next wait is none. */
void loop_again(void);

/* For a child: signal sig is handled by fn from now on. */
void signal_catch(int sig, void (*fn)(int));

#endif
