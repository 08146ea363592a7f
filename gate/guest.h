/*
 * Guests: who connect to ask once.  One request of each is read, it has one answer,
 * and its connection ends.
 */
#ifndef GATE_GUEST_H
#define GATE_GUEST_H

#include "pipegate.h"

struct conn;

struct guests {
	/* Answers request h of c, whose views are good until then. */
	void (*asked)(struct conn *c, const struct http_head *h);
};

/* Takes in the guest of g that connected as fd, which is closed where there is no
 * memory. */
void guest_accept(struct guests *g, int fd);

/* Answers h with 200 and body, which is of that media type. */
void guest_answer(struct conn *c, const struct http_head *h, const char *type,
    struct view body);

#endif
