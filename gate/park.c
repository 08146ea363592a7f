#if defined(__linux__) && !defined(PARK_POLL)
#include <sys/epoll.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>

#include "gate/say.h"
#include "gate/pollset.h"
#include "gate/park.h"

/* The kernel's flags have the values of poll()'s, which POSIX does not say. */
typedef char park_flags_agree[EPOLLIN == POLLIN && EPOLLERR == POLLERR &&
    EPOLLHUP == POLLHUP ? 1 : -1];

static struct {
	int fd;
	struct watch **of;	/* by their descriptors; NULL: not known to the kernel */
	size_t n, cap;
	struct epoll_event news[PARK_NEWS];
	int nnews, at;
} park = { .fd = -1 };

int
park_open(void)
{
	park.fd = epoll_create1(EPOLL_CLOEXEC);
	return park.fd;
}

/* Room for descriptor fd.  Returns 0, or -1: no memory. */
static int
park_grow(size_t fd)
{
	if (fd >= park.cap) {
		size_t cap = array_grown(fd);
		struct watch **of = realloc(park.of, cap * sizeof(*of));

		if (of == NULL)
			return -1;
		park.of = of;
		park.cap = cap;
	}
	while (park.n <= fd)
		park.of[park.n++] = NULL;
	return 0;
}

/* A descriptor may be closed and come back for another, whose news these are
 * not: so each watch has a number of its own too. */
int
park_put(struct watch *w, short events)
{
	struct epoll_event e = { .events = (unsigned short)events };
	size_t fd = (size_t)w->fd;
	int op;

	if (park.fd == -1 || park_grow(fd) == -1)
		return -1;
	op = park.of[fd] == w ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	e.events |= EPOLLONESHOT;
	e.data.u64 = (uint64_t)w->number << 32 | fd;
	if (epoll_ctl(park.fd, op, w->fd, &e) == -1)
		return -1;
	park.of[fd] = w;
	return 0;
}

void
park_forget(struct watch *w)
{
	struct epoll_event unused = { .events = 0 };
	size_t fd = (size_t)w->fd;

	if (fd >= park.n || park.of[fd] != w)
		return;
	park.of[fd] = NULL;
	epoll_ctl(park.fd, EPOLL_CTL_DEL, w->fd, &unused);
}

int
park_fetch(void)
{
	park.nnews = epoll_wait(park.fd, park.news, PARK_NEWS, 0);
	if (park.nnews == -1)
		park.nnews = 0;
	park.at = 0;
	return park.nnews;
}

struct watch *
park_news(short *revents)
{
	while (park.at < park.nnews) {
		const struct epoll_event *e = &park.news[park.at++];
		struct watch *w = park.of[e->data.u64 & UINT32_MAX];

		if (w == NULL || w->number != e->data.u64 >> 32 ||
		    w->where != WATCH_PARKED)
			continue;
		*revents = (short)(e->events & 0xffff);
		return w;
	}
	return NULL;
}

#else
#include "gate/park.h"

struct watch;

int
park_open(void)
{
	return -1;
}

int
park_put(struct watch *w, short events)
{
	(void)w;
	(void)events;
	return -1;
}

void
park_forget(struct watch *w)
{
	(void)w;
}

int
park_fetch(void)
{
	return 0;
}

struct watch *
park_news(short *revents)
{
	(void)revents;
	return 0;
}
#endif
