#ifndef GATE_REPLY_H
#define GATE_REPLY_H

#include "pipegate.h"

struct conn;
struct stream;

#define UNREAD_MAX 4096			/* of our answers, before more requests are read */
#define ALLOW_ALL "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

/* Takes the head that is being answered out of rx.  A body that is not going
 * to be read ends the connection. */
void caller_eat(struct conn *c);

/* Has c's next request looked for at the end of the turn. */
void caller_next(struct conn *c);

/* After an answer: the next request, once this one has gone; or the end. */
void caller_answered(struct conn *c);

/* Answers with an error of our own: for request label, or "" where none is
 * known. */
void caller_error_put(struct conn *c, struct http_error *e, const char *label);

void caller_error(struct conn *c, int status, const char *detail);

/* The same for a request that has a stream: its conn is c, no longer tied. */
void stream_error(const struct stream *s, struct conn *c, const char *detail);

void caller_health(struct conn *c);
void caller_redirect(struct conn *c, struct view id, struct view query);
void caller_options(struct conn *c);

#endif
