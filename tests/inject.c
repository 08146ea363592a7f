/*
 * inject.so, loaded with LD_PRELOAD, makes one call of a program fail:
 *
 *	INJECT=KIND:N:ERROR	the N-th call of KIND, from 1, fails with ERROR,
 *				a name of errno.  SHORT instead lets a read or a
 *				write move one octet; SIGINT comes to the child
 *				of a fork() before anything else does
 *	INJECT=KIND:N+M:ERROR	and so do the M calls behind it
 *	INJECT_PAGE=FILE	struct page lies in FILE, for a watcher to map
 *	INJECT_HOLD=1		nothing counts before page.go is set
 *	INJECT_TRACE=1		the call stack goes to stderr
 *
 * Calls count in the process that was started, not in its children.  What
 * libc allocates for itself counts; the system calls inside of libc do not.
 */
#define _GNU_SOURCE		/* RTLD_NEXT, accept4, dl_iterate_phdr */

#include <sys/types.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

enum kind {
	ALLOC, READ, READV, RECV, WRITE, WRITEV, SEND, POLL, EPOLL, ACCEPT,
	SOCKET, CONNECT, PIPE, SOCKETPAIR, FCNTL, FORK, SETSOCKOPT, GETSOCKOPT,
	OPEN, CLOSE, SHUTDOWN, SIGACTION, WAITPID, GETRANDOM, KINDS
};

static const char *const kind_name[KINDS] = {
	"alloc", "read", "readv", "recv", "write", "writev", "send", "poll",
	"epoll", "accept", "socket", "connect", "pipe", "socketpair", "fcntl",
	"fork", "setsockopt", "getsockopt", "open", "close", "shutdown",
	"sigaction", "waitpid", "getrandom"
};

enum { AS_SHORT = -1, AS_SIGINT = -2 };	/* in place of an error */

static const struct {
	const char *name;
	int error;
} errors[] = {
	{ "SHORT", AS_SHORT }, { "SIGINT", AS_SIGINT },
	{ "EADDRNOTAVAIL", EADDRNOTAVAIL }, { "EAGAIN", EAGAIN },
	{ "ECHILD", ECHILD },
	{ "ECONNABORTED", ECONNABORTED }, { "ECONNREFUSED", ECONNREFUSED },
	{ "ECONNRESET", ECONNRESET }, { "EINTR", EINTR }, { "EINVAL", EINVAL },
	{ "EIO", EIO }, { "EMFILE", EMFILE }, { "ENETUNREACH", ENETUNREACH },
	{ "ENFILE", ENFILE }, { "ENOBUFS", ENOBUFS }, { "ENOMEM", ENOMEM },
	{ "ENOSYS", ENOSYS }, { "ENOTCONN", ENOTCONN }, { "EPIPE", EPIPE },
	{ "ETIMEDOUT", ETIMEDOUT },
};

enum { NAME_SIZE = 16, STACK_MAX = 24 };

enum go { HOLD, COUNT_AND_FAIL, COUNT };

struct page {
	uint32_t go;			/* the watcher's: enum go */
	uint32_t fired;			/* calls that were made to fail */
	uint32_t kinds, stack_max;	/* the lengths below */
	uint64_t slept;			/* polls that might wait */
	uint64_t slept_at_close;	/* as it was at the last close() */
	char name[KINDS][NAME_SIZE];
	uint64_t seen[KINDS];		/* calls counted */
	uint64_t stack[STACK_MAX];	/* of the last that failed: offsets in the program */
};

static struct page own_page;
static struct page *page = &own_page;

static struct {
	int on;				/* 0: in children, and before all is set */
	int kind;			/* -1: none */
	uint64_t first, last;
	int error;
	int trace;
	uintptr_t base, end;		/* where the program lies */
} plan = { 0, -1, 0, 0, 0, 0, 0, 0 };

struct trail {
	void *at[STACK_MAX];
	int n;
};

static _Unwind_Reason_Code
note_frame(struct _Unwind_Context *frame, void *trail)
{
	struct trail *t = trail;

	if (t->n == STACK_MAX || _Unwind_GetIP(frame) == 0)
		return _URC_END_OF_STACK;
	t->at[t->n++] = (void *)_Unwind_GetIP(frame);
	return _URC_NO_REASON;
}

/* Notes where the failing call was made.  (backtrace() would load a library,
 * which the leak sanitizer then finds lost.) */
static void
note_stack(void)
{
	struct trail t = { .n = 0 };
	int i, k = 0;

	_Unwind_Backtrace(note_frame, &t);
	memset(page->stack, 0, sizeof(page->stack));
	for (i = 0; i < t.n; i++)
		if ((uintptr_t)t.at[i] >= plan.base &&
		    (uintptr_t)t.at[i] < plan.end)
			page->stack[k++] = (uintptr_t)t.at[i] - plan.base;
	if (plan.trace)
		backtrace_symbols_fd(t.at, t.n, STDERR_FILENO);
}

enum verdict { PASS, FAIL, SHORTEN, SIGNAL };

/* Counts a call, and says what becomes of it.  FAIL sets errno. */
static enum verdict
judge(enum kind k)
{
	int e = errno;

	if (!plan.on || page->go == HOLD)
		return PASS;
	page->seen[k]++;
	if (page->go != COUNT_AND_FAIL || (int)k != plan.kind ||
	    page->seen[k] < plan.first || page->seen[k] > plan.last)
		return PASS;
	page->fired++;
	plan.on = 0;
	note_stack();
	plan.on = 1;
	errno = plan.error < 0 ? e : plan.error;
	return plan.error == AS_SHORT ? SHORTEN :
	    plan.error == AS_SIGINT ? SIGNAL : FAIL;
}

/* dlsym() may allocate before malloc() is found: it gets this.  What it gives
 * back before free() is found is not reused. */
static union {
	char octets[8192];
	long double align;
} early;
static size_t early_used;
static volatile int looking;	/* the compiler thinks that dlsym() calls nobody */

static void *
early_alloc(size_t n)
{
	void *p = early.octets + early_used;

	n = (n + 15) / 16 * 16;
	if (n > sizeof(early.octets) - early_used)
		return NULL;
	early_used += n;
	return p;
}

static int
is_early(const void *p)
{
	return (uintptr_t)p >= (uintptr_t)early.octets &&
	    (uintptr_t)p < (uintptr_t)early.octets + sizeof(early.octets);
}

/* Finds the function that name stands for without us. */
static void
find(void *function, const char *name)
{
	void *p;

	memcpy(&p, function, sizeof(p));
	if (p != NULL)
		return;
	looking++;
	p = dlsym(RTLD_NEXT, name);
	looking--;
	if (p == NULL)
		abort();
	memcpy(function, &p, sizeof(p));
}

/* ------------------------------------------------------------- the heap */

void *
malloc(size_t n)
{
	static void *(*real)(size_t);

	if (looking)
		return early_alloc(n);
	if (judge(ALLOC) == FAIL)
		return NULL;
	find(&real, "malloc");
	return real(n);
}

void *
calloc(size_t n, size_t size)
{
	static void *(*real)(size_t, size_t);

	if (looking)
		return early_alloc(n * size);
	if (judge(ALLOC) == FAIL)
		return NULL;
	find(&real, "calloc");
	return real(n, size);
}

void *
realloc(void *old, size_t n)
{
	static void *(*real)(void *, size_t);

	if (looking)
		return NULL;
	if (judge(ALLOC) == FAIL)
		return NULL;
	find(&real, "realloc");
	return real(is_early(old) ? NULL : old, n);
}

void
free(void *p)
{
	static void (*real)(void *);

	if (p == NULL || looking || is_early(p))
		return;
	find(&real, "free");
	real(p);
}

/* --------------------------------------------------------- system calls */

#define WRAP(kind, type, name, params, args) \
type \
name params \
{ \
	static type (*real) params; \
\
	if (judge(kind) == FAIL) \
		return -1; \
	find(&real, #name); \
	return real args; \
}

WRAP(RECV, ssize_t, recv, (int fd, void *p, size_t n, int flags),
    (fd, p, n, flags))
/* glibc declares these with unions of pointers in place of sockaddr's. */
WRAP(ACCEPT, int, accept, (int fd, __SOCKADDR_ARG a, socklen_t *n),
    (fd, a, n))
WRAP(ACCEPT, int, accept4, (int fd, __SOCKADDR_ARG a, socklen_t *n,
    int flags), (fd, a, n, flags))
WRAP(CONNECT, int, connect, (int fd, __CONST_SOCKADDR_ARG a, socklen_t n),
    (fd, a, n))
WRAP(SOCKET, int, socket, (int family, int type, int protocol),
    (family, type, protocol))
WRAP(EPOLL, int, epoll_create1, (int flags), (flags))
WRAP(EPOLL, int, epoll_ctl, (int fd, int how, int of, struct epoll_event *e),
    (fd, how, of, e))
WRAP(EPOLL, int, epoll_wait, (int fd, struct epoll_event *e, int n, int ms),
    (fd, e, n, ms))
WRAP(PIPE, int, pipe, (int fd[2]), (fd))
WRAP(PIPE, int, pipe2, (int fd[2], int flags), (fd, flags))
WRAP(SOCKETPAIR, int, socketpair, (int family, int type, int protocol,
    int fd[2]), (family, type, protocol, fd))
WRAP(SETSOCKOPT, int, setsockopt, (int fd, int level, int name, const void *p,
    socklen_t n), (fd, level, name, p, n))
WRAP(GETSOCKOPT, int, getsockopt, (int fd, int level, int name, void *p,
    socklen_t *n), (fd, level, name, p, n))
WRAP(SHUTDOWN, int, shutdown, (int fd, int how), (fd, how))
WRAP(SIGACTION, int, sigaction, (int sig, const struct sigaction *to,
    struct sigaction *was), (sig, to, was))
WRAP(WAITPID, pid_t, waitpid, (pid_t pid, int *status, int options),
    (pid, status, options))
WRAP(GETRANDOM, ssize_t, getrandom, (void *p, size_t n, unsigned int flags),
    (p, n, flags))

#define WRAP_IO(kind, name, params, args, short_args) \
ssize_t \
name params \
{ \
	static ssize_t (*real) params; \
	enum verdict v = judge(kind); \
\
	if (v == FAIL) \
		return -1; \
	find(&real, #name); \
	if (v == SHORTEN) \
		return real short_args; \
	return real args; \
}

WRAP_IO(READ, read, (int fd, void *p, size_t n), (fd, p, n), (fd, p, n > 0))
WRAP_IO(WRITE, write, (int fd, const void *p, size_t n), (fd, p, n),
    (fd, p, n > 0))

WRAP_IO(SEND, send, (int fd, const void *p, size_t n, int flags),
    (fd, p, n, flags), (fd, p, n > 0, flags))

/* The first octet that v holds room for. */
static struct iovec
one_octet(const struct iovec *v, int n)
{
	struct iovec one = { NULL, 0 };

	for (; n > 0 && one.iov_len == 0; v++, n--) {
		one.iov_base = v->iov_base;
		one.iov_len = v->iov_len > 0;
	}
	return one;
}

ssize_t
readv(int fd, const struct iovec *v, int n)
{
	static ssize_t (*real)(int, const struct iovec *, int);
	enum verdict verdict = judge(READV);
	struct iovec one;

	if (verdict == FAIL)
		return -1;
	find(&real, "readv");
	if (verdict == PASS)
		return real(fd, v, n);
	one = one_octet(v, n);
	return real(fd, &one, 1);
}

ssize_t
writev(int fd, const struct iovec *v, int n)
{
	static ssize_t (*real)(int, const struct iovec *, int);
	enum verdict verdict = judge(WRITEV);
	struct iovec one;

	if (verdict == FAIL)
		return -1;
	find(&real, "writev");
	if (verdict == PASS)
		return real(fd, v, n);
	one = one_octet(v, n);
	return real(fd, &one, 1);
}

int
poll(struct pollfd *p, nfds_t n, int ms)
{
	static int (*real)(struct pollfd *, nfds_t, int);

	page->slept += ms != 0;
	if (judge(POLL) == FAIL)
		return -1;
	find(&real, "poll");
	return real(p, n, ms);
}

/* A close() that fails has closed all the same. */
int
close(int fd)
{
	static int (*real)(int);
	enum verdict v = judge(CLOSE);
	int e = errno, r;

	page->slept_at_close = page->slept;
	find(&real, "close");
	r = real(fd);
	if (v != FAIL)
		return r;
	errno = e;
	return -1;
}

int
fcntl(int fd, int command, ...)
{
	static int (*real)(int, int, ...);
	va_list ap;
	long v;

	va_start(ap, command);
	v = va_arg(ap, long);
	va_end(ap);
	if (judge(FCNTL) == FAIL)
		return -1;
	find(&real, "fcntl");
	return real(fd, command, v);
}

int
open(const char *path, int flags, ...)
{
	static int (*real)(const char *, int, ...);
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	if (judge(OPEN) == FAIL)
		return -1;
	find(&real, "open");
	return real(path, flags, mode);
}

/* The child does as it likes, and what it executes is not ours to count. */
pid_t
fork(void)
{
	static pid_t (*real)(void);
	enum verdict v = judge(FORK);
	pid_t pid;

	if (v == FAIL)
		return -1;
	find(&real, "fork");
	pid = real();
	if (pid == 0) {
		plan.on = 0;
		page = &own_page;
		unsetenv("LD_PRELOAD");
		if (v == SIGNAL)
			raise(SIGINT);
	}
	return pid;
}

/* ------------------------------------------------------------ the start */

static int
find_program(struct dl_phdr_info *info, size_t size, void *unused)
{
	int i;

	(void)size;
	(void)unused;
	plan.base = info->dlpi_addr;
	for (i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr +
		    info->dlpi_phdr[i].p_memsz;

		if (info->dlpi_phdr[i].p_type == PT_LOAD && end > plan.end)
			plan.end = end;
	}
	return 1;		/* the program is the first */
}

static void
complain(const char *what, const char *value)
{
	fprintf(stderr, "inject: %s: %s\n", what, value);
	_exit(126);
}

static void
page_map(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *p = fd == -1 ? MAP_FAILED : mmap(NULL, sizeof(*page),
	    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		complain("INJECT_PAGE cannot be mapped", path);
	close(fd);
	page = p;
}

static void
plan_read(const char *text)
{
	char kind[NAME_SIZE], error[NAME_SIZE];
	unsigned long n, more = 0;
	size_t i;

	if (sscanf(text, "%15[a-z]:%lu+%lu:%15[A-Z]", kind, &n, &more, error)
	    != 4 && sscanf(text, "%15[a-z]:%lu:%15[A-Z]", kind, &n, error) != 3)
		complain("INJECT is not KIND:N:ERROR", text);
	plan.first = n;
	plan.last = n + more;
	for (i = 0; i < KINDS; i++)
		if (strcmp(kind, kind_name[i]) == 0)
			plan.kind = (int)i;
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(error, errors[i].name) == 0)
			plan.error = errors[i].error;
	if (plan.kind == -1 || plan.error == 0)
		complain("INJECT names no kind or no error", text);
}

static void __attribute__((constructor))
begin(void)
{
	const char *path = getenv("INJECT_PAGE"), *text = getenv("INJECT");
	size_t i;

	if (path != NULL)
		page_map(path);
	page->kinds = KINDS;
	page->stack_max = STACK_MAX;
	for (i = 0; i < KINDS; i++)
		strncpy(page->name[i], kind_name[i], NAME_SIZE - 1);
	if (text != NULL)
		plan_read(text);
	plan.trace = getenv("INJECT_TRACE") != NULL;
	dl_iterate_phdr(find_program, NULL);
	page->go = getenv("INJECT_HOLD") == NULL ? COUNT_AND_FAIL : HOLD;
	plan.on = 1;
}
