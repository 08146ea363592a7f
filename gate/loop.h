/*
 * The loop, which runs any of the three programs.  A turn: wait for news, hand
 * it to the conns, fire the timers, settle, bury the dead conns, write the log.
 * Handlers read, parse and mark; settling moves octets; burying frees.
 */
#ifndef GATE_LOOP_H
#define GATE_LOOP_H

#include <stddef.h>

/* Server, client or welcome, as the loop runs it. */
struct program {
	/* A signal came: SIGTERM, SIGINT, SIGCHLD, or SIGHUP unless that was
	 * ignored at the start and loop_hear_hangup() was not called. */
	void (*signal)(int sig);
	/* Moves what events have marked: at the end of each turn, and now and
	 * then within a long one. */
	void (*settle)(void);
	/* Once a second. */
	void (*second)(void);
	/* The limit of open files has been lowered: ends conns until no more
	 * than most are left. */
	void (*crowded)(size_t most);
	/* Whether there is still something to be said, asked after
	 * loop_stop(). */
	int (*busy)(void);
	long long stop_ms;	/* how long it may be busy then */
};

/* Readies signals and the clock for p: before anything else of the engine.
 * Ends the program where that fails. */
void loop_init(const struct program *p);

/* Hands the program SIGHUP also where that was ignored at the start: for one that
 * does not end of it. */
void loop_hear_hangup(void);

/* Runs what loop_init() was given until loop_stop(), and then while it is
 * busy. */
void loop_run(void);

/* Has loop_run() end as soon as the program is not busy. */
void loop_stop(void);
int loop_is_stopping(void);

/* Work is left: the next turn does not wait for news. */
void loop_again(void);

/* Signal sig is handled by fn from now on: for a child, whose signals are its
 * own.  Returns 0, or -1 with errno. */
int signal_catch(int sig, void (*fn)(int));

#endif
