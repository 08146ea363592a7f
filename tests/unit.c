/*
 * Unit tests of the codecs and of the engine's rooms.  Prints a line for each
 * failure and, for each module, "ok name" or "not ok name".
 */
#include <sys/types.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

long check_passed;
long check_failed;

void
check_at(const char *file, int line, int ok, const char *fmt, ...)
{
	va_list ap;

	if (ok) {
		check_passed++;
		return;
	}
	check_failed++;
	printf("%s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

unsigned char *
check_exact(const void *b, size_t n)
{
	unsigned char *p = malloc(n > 0 ? n : 1);

	if (p == NULL)
		abort();
	if (n > 0)
		memcpy(p, b, n);
	return p;
}

char *
check_file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *p = NULL;
	size_t cap = 0, got;

	if (f == NULL)
		return NULL;
	*n = 0;
	do {
		if (cap - *n < 65536) {
			cap = cap * 2 + 65537;
			p = realloc(p, cap);
			if (p == NULL)
				abort();
		}
		got = fread(p + *n, 1, cap - *n - 1, f);
		*n += got;
	} while (got > 0);
	p[*n] = '\0';
	fclose(f);
	return p;
}

const char *
check_vectors(void)
{
	return getenv("VECTORS");
}

unsigned int
check_random(unsigned int n)
{
	static unsigned long long x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (unsigned int)((x >> 32) % n);
}

static void
child_run(void (*fn)(void *of), void *of, int err)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	if (dup2(err, STDERR_FILENO) == -1)
		_exit(126);
	close(err);
	fn(of);
	_exit(0);
}

int
check_child(void (*fn)(void *of), void *of, char *said, size_t cap)
{
	int err[2], status = 0;
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	fflush(stdout);
	if (pipe(err) == -1 || (pid = fork()) == -1)
		abort();
	if (pid == 0) {
		close(err[0]);
		child_run(fn, of, err[1]);
	}
	close(err[1]);
	while ((r = read(err[0], said + n, cap - n - 1)) > 0)
		n += (size_t)r;
	said[n] = '\0';
	close(err[0]);
	if (waitpid(pid, &status, 0) != pid)
		abort();
	return status;
}

int
check_must(const char *file, void (*fn)(void *of), void *of)
{
	char said[1024], place[128];
	int status = check_child(fn, of, said, sizeof(said));

	snprintf(place, sizeof(place), "%s:", file);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
	    strstr(said, "this is a bug") != NULL &&
	    strstr(said, place) != NULL;
}

static void
run(const char *name, void (*fn)(void))
{
	long failed = check_failed, passed = check_passed;

	fn();
	printf("%s %s (%ld checks)\n", check_failed == failed ? "ok" : "not ok",
	    name, check_passed - passed);
	fflush(stdout);
}

/* -DONLY=test_NAME makes a program of that suite alone. */
int
main(void)
{
#ifdef ONLY
	run("it", ONLY);
#else
	run("json", test_json);
	run("hmac", test_hmac);
	run("http", test_http);
	run("ws", test_ws);
	run("list", test_list);
	run("mem", test_mem);
	run("timer", test_timer);
	run("pollset", test_pollset);
	run("addr", test_addr);
	run("url", test_url);
	run("domain", test_domain);
	run("proxied", test_proxied);
	run("lock", test_lock);
	run("say", test_say);
	run("credit", test_credit);
	run("account", test_account);
	run("conn", test_conn);
	run("stream", test_stream);
#endif
	return check_failed > 0;
}
