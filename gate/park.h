/*
 * Parked watches: those from which nothing is expected soon are handed to the
 * kernel, in a ready set that is itself one descriptor for poll().  Each is told
 * of once, and then has to be parked anew.  Where the system has no such set,
 * or with -DPARK_POLL, nothing can be parked, and the poll set makes do without.
 */
#ifndef GATE_PARK_H
#define GATE_PARK_H

struct watch;

#define PARK_NEWS 256		/* parked watches that are told of in one turn */

/* Once: the descriptor that has POLLIN when a parked watch has news; or -1:
 * nothing can be parked here. */
int park_open(void);

/* Parks w, or changes what is asked about it: events as in struct pollfd, of which
 * POLLIN and POLLRDHUP may be set; errors and hang-ups are always told.  Returns 0,
 * or -1: it cannot be. */
int park_put(struct watch *w, short events);

/* Makes the kernel forget w, if it was ever parked: before its fd is closed, or
 * asked about by poll(). */
void park_forget(struct watch *w);

/* Fetches what the parked watches have of news.  Returns how many have some. */
int park_fetch(void);

/* The next of these, no longer parked, with its news in *revents as poll() has
 * them; NULL: all have been told.  Whoever was forgotten or put elsewhere
 * meanwhile is left out. */
struct watch *park_news(short *revents);

#endif
