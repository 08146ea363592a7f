/*
 * Preloaded into a program under test: its monotonic clock is ahead by as many
 * milliseconds as the first octets of the file CLOCK_AHEAD say.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef int clock_fn(clockid_t, struct timespec *);

static const long long nothing;
static const volatile long long *ahead_ms = &nothing;

__attribute__((constructor)) static void
start(void)
{
	const char *path = getenv("CLOCK_AHEAD");
	int fd = path == NULL ? -1 : open(path, O_RDONLY);
	void *p = MAP_FAILED;

	if (fd != -1)
		p = mmap(NULL, sizeof(*ahead_ms), PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		ahead_ms = p;
	if (fd != -1)
		close(fd);
}

int
clock_gettime(clockid_t which, struct timespec *t)
{
	static clock_fn *next;
	long long ms = *ahead_ms;
	int r;

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
	r = next(which, t);
	if (r != 0 || which != CLOCK_MONOTONIC)
		return r;
	t->tv_sec += (time_t)(ms / 1000);
	t->tv_nsec += (long)(ms % 1000) * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
	return 0;
}
