#include <sys/types.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/random.h>
#endif

#include "gate/say.h"
#include "gate/clock.h"

long long now_ms;

void
clock_turn(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now_ms = (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

long long
clock_wall(void)
{
	return (long long)time(NULL);
}

static void
random_refill(unsigned char *p, size_t n)
{
	int fd;
	size_t got = 0;

#ifdef GRND_NONBLOCK
	while (got < n) {
		ssize_t r = getrandom(p + got, n - got, 0);

		if (r == -1 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		got += (size_t)r;
	}
	if (got == n)
		return;
#endif
	fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	for (got = 0; fd != -1 && got < n; ) {
		ssize_t r = read(fd, p + got, n - got);

		if (r == -1 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		got += (size_t)r;
	}
	if (got < n)
		die("no random bytes: neither getrandom() nor /dev/urandom "
		    "gives any:");
	close(fd);
}

void
random_bytes(void *out, size_t n)
{
	static unsigned char pool[4096];
	static size_t left;

	must(n <= sizeof(pool));
	if (left < n) {
		random_refill(pool, sizeof(pool));
		left = sizeof(pool);
	}
	left -= n;
	memcpy(out, pool + left, n);
	memset(pool + left, 0, n);
}
