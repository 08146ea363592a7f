#include <sys/resource.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/timer.h"
#include "gate/pollset.h"
#include "gate/conn.h"
#include "gate/net.h"
#include "gate/loop.h"

#define SETTLE_AFTER 128	/* conns with news, however many more there are */
#define CROWDED_MS 10

static const struct program *program;
static int signal_pipe[2] = { -1, -1 };
static int stopping, again;
static volatile sig_atomic_t signal_unsent;	/* the pipe would not take it */

/* --- signals arrive as octets in a pipe, which is read like any conn */

static void
signal_note(int sig)
{
	int err = errno;
	unsigned char b = (unsigned char)sig;

	/* A full pipe: as many signals are known already. */
	if (write(signal_pipe[1], &b, 1) == -1 && errno != EAGAIN)
		signal_unsent = sig;
	errno = err;
}

/* A read that fails for once is no reason to hear nothing any more. */
static void
signal_ready(struct conn *c, short revents)
{
	unsigned char b[32];
	ssize_t i, got = read(c->watch.fd, b, sizeof(b));

	(void)revents;
	for (i = 0; i < got; i++)
		program->signal(b[i]);
}

static void
signal_take_unsent(void)
{
	int sig = signal_unsent;

	signal_unsent = 0;
	if (sig != 0)
		program->signal(sig);
}

static const struct kind signal_kind = {
	.name = "signals", .ready = signal_ready, .broken = conn_kill,
	.events = always_readable, .deadline = no_deadline,
	.expire = conn_kill,
};

int
signal_catch(int sig, void (*fn)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = fn;
	sigemptyset(&sa.sa_mask);
	return sigaction(sig, &sa, NULL);
}

static void
signal_take(int sig, void (*fn)(int))
{
	if (signal_catch(sig, fn) == -1)
		die("sigaction:");
}

void
loop_hear_hangup(void)
{
	signal_take(SIGHUP, signal_note);
}

/* Under nohup a hang-up stays ignored. */
static void
signal_take_hangup(void)
{
	struct sigaction was;

	if (sigaction(SIGHUP, NULL, &was) == -1 || was.sa_handler != SIG_IGN)
		loop_hear_hangup();
}

/* --- once a second */

static struct timer second;

static void
second_due(struct timer *t)
{
	program->second();
	timer_set(t, now_ms + 1000);
}

void
loop_init(const struct program *p)
{
	sigset_t none;

	program = p;
	clock_turn();
	if (pipe(signal_pipe) == -1)
		die("pipe:");
	if (fd_prepare(signal_pipe[0]) == -1 || fd_prepare(signal_pipe[1]) == -1)
		die("fcntl:");
	if (conn_new(&signal_kind, NULL, signal_pipe[0], CONN_OPEN) == NULL ||
	    timer_init(&second, second_due) == -1)
		die("no memory to start");
	timer_set(&second, now_ms + 1000);
	signal_take(SIGPIPE, SIG_IGN);
	signal_take(SIGTERM, signal_note);
	signal_take(SIGINT, signal_note);
	signal_take_hangup();
	signal_take(SIGCHLD, signal_note);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* --- the turn */

static int
loop_wait_ms(void)
{
	long long due = timer_next();

	if (again)
		return 0;
	if (due == NEVER)
		return -1;
	return (int)clamp(due - now_ms, 0, 60000);
}

/* What a flood of news leaves in buffers is sent off now and then, so that it
 * does not fill the budget. */
static void
loop_dispatch(void)
{
	struct watch *w;
	short revents;
	int handled = 0;

	while ((w = pollset_news(&revents)) != NULL) {
		conn_news(CONTAINER(w, struct conn, watch), revents);
		if (++handled % SETTLE_AFTER == 0)
			program->settle();
	}
}

/* The end of a turn.  The owners of the dead may mark more to be done. */
static void
loop_settle(void)
{
	program->settle();
	while (conns_bury())
		program->settle();
	say_flush();
}

/* The limit of open files has been lowered under us.  Where nobody can be
 * ended for it, somebody may end by himself. */
static void
loop_crowded(void)
{
	struct rlimit rl;

	if (program->crowded != NULL && getrlimit(RLIMIT_NOFILE, &rl) == 0 &&
	    rl.rlim_cur < pollset_size())
		program->crowded((size_t)rl.rlim_cur);
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 || rl.rlim_cur < pollset_size())
		poll(NULL, 0, CROWDED_MS);
	again = 1;
}

static void
loop_turn(void)
{
	int wait_ms = loop_wait_ms();

	again = 0;
	if (pollset_wait(wait_ms) == -1)
		loop_crowded();
	signal_take_unsent();
	loop_dispatch();
	timer_run();
	loop_settle();
	pollset_age();
}

void
loop_run(void)
{
	long long stop_ms = NEVER;

	loop_settle();
	while (!stopping || (program->busy() && now_ms < stop_ms)) {
		loop_turn();
		if (stopping && stop_ms == NEVER)
			stop_ms = now_ms + program->stop_ms;
	}
}

void
loop_stop(void)
{
	stopping = 1;
}

int
loop_is_stopping(void)
{
	return stopping;
}

void
loop_again(void)
{
	again = 1;
}
