#include <sys/types.h>
#include <sys/wait.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/loop.h"
#include "gate/net.h"
#include "gate/child.h"

/* Signals arrive as bytes in a pipe, which the loop reads like any conn. */
static void
signal_note(int sig)
{
	int e = errno;
	unsigned char b = (unsigned char)sig;
	ssize_t n = write(loop.signal_fd[1], &b, 1);

	(void)n;		/* full: as many signals are known already */
	errno = e;
}

static void
signal_ready(struct conn *c, short revents)
{
	unsigned char b[32];
	size_t got, i;

	(void)revents;
	if (conn_read(c, b, sizeof(b), &got) != IO_DATA)
		return;
	for (i = 0; i < got; i++)
		loop.on_signal(b[i]);
}

short
always_readable(const struct conn *c)
{
	(void)c;
	return POLLIN;
}

long long
no_deadline(const struct conn *c)
{
	(void)c;
	return NEVER;
}

static const struct kind signal_kind = {
	.name = "signals", .ready = signal_ready, .broken = conn_kill,
	.events = always_readable, .deadline = no_deadline,
	.expire = conn_kill,
};

void
signal_catch(int sig, void (*fn)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = fn;
	sigemptyset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
}

/* Under nohup a hang-up stays ignored. */
static void
signal_catch_hangup(void)
{
	struct sigaction was;

	if (sigaction(SIGHUP, NULL, &was) == -1 || was.sa_handler != SIG_IGN)
		signal_catch(SIGHUP, signal_note);
}

void
loop_init(void (*on_signal)(int))
{
	sigset_t none;

	now_ms = clock_us() / 1000;
	if (pipe(loop.signal_fd) == -1)
		die("pipe:");
	fd_prepare(loop.signal_fd[0]);
	fd_prepare(loop.signal_fd[1]);
	loop.on_signal = on_signal;
	if (conn_new(&signal_kind, loop.signal_fd[0], CONN_OPEN) == NULL)
		die("no memory to start");
	signal_catch(SIGPIPE, SIG_IGN);
	signal_catch(SIGTERM, signal_note);
	signal_catch(SIGINT, signal_note);
	signal_catch_hangup();
	signal_catch(SIGCHLD, signal_note);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

#define CHILDREN_MAX 8

static pid_t children[CHILDREN_MAX];

pid_t
child_fork(void)
{
	static const int caught[] = { SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	size_t i, slot = 0;
	pid_t pid;

	while (slot < CHILDREN_MAX && children[slot] > 0)
		slot++;
	if (slot == CHILDREN_MAX) {
		errno = EAGAIN;
		return -1;
	}
	out_flush(&out_log);
	out_flush(&out_person);
	pid = fork();
	if (pid > 0)
		children[slot] = pid;
	for (i = 0; pid == 0 && i < ARRAY_LEN(caught); i++)
		signal_catch(caught[i], SIG_DFL);
	return pid;
}

void
children_reap(void)
{
	size_t i;

	for (i = 0; i < CHILDREN_MAX; i++)
		if (children[i] > 0 &&
		    waitpid(children[i], NULL, WNOHANG) == children[i])
			children[i] = 0;
}

void
child_kill(pid_t pid)
{
	size_t i;

	for (i = 0; i < CHILDREN_MAX; i++)
		if (pid > 0 && children[i] == pid)
			kill(pid, SIGKILL);
}

void
children_end(void)
{
	size_t i;

	for (i = 0; i < CHILDREN_MAX; i++) {
		if (children[i] <= 0)
			continue;
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
		children[i] = 0;
	}
}

static struct {
	struct endpoint *e;		/* NULL: none is under way */
	void (*done)(struct endpoint *, const char *error);
	pid_t pid;
	struct conn *conn;
} lookup;

#define LOOKUP_MS 15000

static void
lookup_end(const char *error)
{
	struct endpoint *e = lookup.e;

	child_kill(lookup.pid);
	conn_kill(lookup.conn);
	lookup.e = NULL;
	lookup.done(e, error);
}

static void
lookup_ready(struct conn *c, short revents)
{
	enum io io = conn_fill(c, pool_size[POOL_BLOCK]);
	struct view got = buf_view(&c->rx);
	int err;

	(void)revents;
	if (io == IO_DATA || io == IO_WAIT)
		return;
	if (got.n == sizeof(*lookup.e)) {
		memcpy(lookup.e, got.p, got.n);
		lookup_end(NULL);
	} else if (got.n == sizeof(err)) {
		memcpy(&err, got.p, got.n);
		lookup_end(gai_strerror(err));
	} else {
		lookup_end("the look-up failed");
	}
}

static void
lookup_expire(struct conn *c)
{
	(void)c;
	lookup_end("no answer to the look-up");
}

static void
lookup_broken(struct conn *c)
{
	(void)c;
	lookup_end("the look-up failed");
}

static long long
lookup_deadline(const struct conn *c)
{
	return c->since_ms + LOOKUP_MS;
}

static const struct kind lookup_kind = {
	.name = "lookup", .ready = lookup_ready, .broken = lookup_broken,
	.events = always_readable, .deadline = lookup_deadline,
	.expire = lookup_expire,
};

static void
lookup_child(int fd, struct endpoint *e)
{
	int r = endpoint_lookup(e, AI_ADDRCONFIG);
	ssize_t n;

	if (r == 0)
		n = write(fd, e, sizeof(*e));
	else
		n = write(fd, &r, sizeof(r));
	_exit(n > 0 ? 0 : 1);
}

int
lookup_start(struct endpoint *e, void (*done)(struct endpoint *, const char *))
{
	int fd[2];

	if (lookup.e != NULL || pipe(fd) == -1)
		return -1;
	fd_prepare(fd[0]);
	lookup.pid = child_fork();
	if (lookup.pid == 0)
		lookup_child(fd[1], e);
	close(fd[1]);
	if (lookup.pid == -1) {
		close(fd[0]);
		return -1;
	}
	lookup.conn = conn_new(&lookup_kind, fd[0], CONN_OPEN);
	if (lookup.conn == NULL)
		return -1;
	lookup.e = e;
	lookup.done = done;
	return 0;
}
