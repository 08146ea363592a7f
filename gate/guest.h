/*
 * Guests: who connect to ask once.  One request of each is read, it has one answer,
 * and its connection ends.  Where there are too many, the oldest makes room.
 */
#ifndef GATE_GUEST_H
#define GATE_GUEST_H

#include "pipegate.h"
#include "gate/list.h"

struct conn;

/* All of one listener. */
struct guests {
	/* Answers request h of c, whose views are good until then. */
	void (*asked)(struct conn *c, const struct http_head *h);
	size_t head_max;	/* octets of a head: MEM_LARGE at most */
	int most;		/* that there are at once */
	struct list here;	/* oldest first */
};

/* Takes in one among these that connected as fd, which is closed where there is no
 * memory. */
void guest_accept(struct guests *among, int fd);

/* Answers h with 200 and body, which is of that media type. */
void guest_answer(struct conn *c, const struct http_head *h, const char *type,
    struct view body);

/* Answers with an error: h is the request, or NULL where it could not be read. */
void guest_error(struct conn *c, const struct http_head *h, int status,
    const char *detail);

#endif
