#ifdef __linux__
#define _GNU_SOURCE		/* syscall(): under its own #ifdef */
#include <sys/syscall.h>
#endif

#include <sys/types.h>
#include <sys/wait.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/addr.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/net.h"
#include "gate/child.h"

#define CHILDREN_MAX 32
#define LOOKUP_MS 15000

static struct child {
	pid_t pid;		/* 0: none */
	void (*ended)(void *of, int status);	/* NULL: nobody waits for it */
	void *of;
} children[CHILDREN_MAX];

static void
fd_close_range(int from, int to)
{
#ifdef SYS_close_range		/* musl has no function for it */
	if (syscall(SYS_close_range, (unsigned int)from, (unsigned int)to, 0) == 0)
		return;
#endif
	for (; from <= to; from++)
		close(from);
}

/* Closes the parent's descriptors: else a conn that the parent closes would stay
 * open for its peer. */
static void
child_close_fds(const int *keep, int n)
{
	int last = (int)sysconf(_SC_OPEN_MAX) - 1, from = STDERR_FILENO + 1;

	while (from <= last) {
		int i, next = last + 1;

		for (i = 0; i < n; i++)
			if (keep[i] >= from && keep[i] < next)
				next = keep[i];
		if (next > from)
			fd_close_range(from, next - 1);
		from = next + 1;
	}
}

static void
child_start(const int *keep, int n)
{
	static const int caught[] = { SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	size_t i;

	for (i = 0; i < ARRAY_LEN(caught); i++)
		signal_catch(caught[i], SIG_DFL);
	child_close_fds(keep, n);
}

static size_t
child_slot(void)
{
	size_t slot = 0;

	while (slot < CHILDREN_MAX && children[slot].pid > 0)
		slot++;
	return slot;
}

/* Signals are held back meanwhile: one that came to the child before its
 * handlers were reset would be noted in the parent's pipe. */
pid_t
child_fork(const int *keep, int n)
{
	size_t slot = child_slot();
	sigset_t all, was;
	pid_t pid;
	int err;

	if (slot == CHILDREN_MAX) {
		errno = EAGAIN;
		return -1;
	}
	say_flush();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &was);
	pid = fork();
	err = errno;
	if (pid == 0)
		child_start(keep, n);
	else if (pid > 0)
		children[slot].pid = pid;
	sigprocmask(SIG_SETMASK, &was, NULL);
	errno = err;
	return pid;
}

/* The child pid in its place, or NULL. */
static struct child *
child_find(pid_t pid)
{
	size_t i;

	for (i = 0; i < CHILDREN_MAX; i++)
		if (pid > 0 && children[i].pid == pid)
			return &children[i];
	return NULL;
}

void
child_watch(pid_t pid, void (*ended)(void *of, int status), void *of)
{
	struct child *c = child_find(pid);

	if (c == NULL)
		return;
	c->ended = ended;
	c->of = of;
}

/* Forgets c if it has ended.  Its place may be taken by another before ended()
 * returns. */
static void
child_reap(struct child *c)
{
	struct child was = *c;
	int status;

	if (waitpid(c->pid, &status, WNOHANG) != c->pid)
		return;
	memset(c, 0, sizeof(*c));
	if (was.ended != NULL)
		was.ended(was.of, status);
}

void
children_reap(void)
{
	size_t i;

	for (i = 0; i < CHILDREN_MAX; i++)
		if (children[i].pid > 0)
			child_reap(&children[i]);
}

void
child_kill(pid_t pid)
{
	if (child_find(pid) != NULL)
		kill(pid, SIGKILL);
}

void
children_end(void)
{
	size_t i;

	for (i = 0; i < CHILDREN_MAX; i++) {
		if (children[i].pid <= 0)
			continue;
		kill(children[i].pid, SIGKILL);
		waitpid(children[i].pid, NULL, 0);
		children[i].pid = 0;
	}
}

/* --- looking up a name: the child writes a struct endpoint, or an int for
 * gai_strerror() */

static void
lookup_end(struct lookup *l, const char *error)
{
	struct conn *c = l->conn;

	l->conn = NULL;
	child_kill(l->pid);
	if (c != NULL)
		conn_kill(c);
	l->done(l->of, error);
}

static void
lookup_ready(struct conn *c, short revents)
{
	struct lookup *l = c->of;
	enum io io = conn_fill(c, MEM_BLOCK);
	struct view got = buf_view(&c->rx);
	int err;

	(void)revents;
	if (io == IO_DATA || io == IO_WAIT)
		return;
	if (got.n == sizeof(*l->e)) {
		memcpy(l->e, got.p, got.n);
		lookup_end(l, NULL);
	} else if (got.n == sizeof(err)) {
		memcpy(&err, got.p, got.n);
		lookup_end(l, gai_strerror(err));
	} else {
		lookup_end(l, "the look-up failed");
	}
}

static void
lookup_expire(struct conn *c)
{
	lookup_end(c->of, "no answer to the look-up");
}

static void
lookup_broken(struct conn *c)
{
	lookup_end(c->of, "the look-up failed");
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

/* Returns the fd to read the outcome from, or -1 with errno. */
static int
lookup_fork(struct lookup *l)
{
	int fd[2], err;

	if (pipe(fd) == -1)
		return -1;
	l->pid = fd_prepare(fd[0]) == -1 ? -1 : child_fork(&fd[1], 1);
	if (l->pid == 0)
		lookup_child(fd[1], l->e);
	err = errno;
	close(fd[1]);
	if (l->pid == -1)
		close(fd[0]);
	errno = err;
	return l->pid == -1 ? -1 : fd[0];
}

int
lookup_start(struct lookup *l, struct endpoint *e,
    void (*done)(void *of, const char *error), void *of)
{
	int fd, r;

	if (l->conn != NULL)
		return 0;
	l->e = e;
	l->done = done;
	l->of = of;
	if (host_is_numeric(e->host)) {
		r = endpoint_lookup(e, AI_NUMERICHOST);
		done(of, r != 0 ? gai_strerror(r) : NULL);
		return 0;
	}
	fd = lookup_fork(l);
	if (fd == -1)
		return -1;
	l->conn = conn_new(&lookup_kind, l, fd, CONN_OPEN);
	if (l->conn != NULL)
		return 0;
	child_kill(l->pid);
	errno = ENOMEM;
	return -1;
}
