/*
 * What a person at the client's terminal sees: all of it is put into words
 * here, and printed by say.h.
 */
#ifndef GATE_PERSON_H
#define GATE_PERSON_H

#include "pipegate.h"

struct stream;

/* Once: whether the terminal shows colours. */
void person_start(void);

/* Says a line with the time before it; not with --quiet. */
void person_note(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Says that the request of s is over, and how: cut at the width of the terminal. */
void person_request(const struct stream *s);

/* The same where the service could not be reached for it: the server gives such ones out
 * again, many times a second, and one of these is said. */
void person_unreached(const struct stream *s);

/* Says that it is still at work. */
void person_running(const struct stream *s);

/* Says that the tunnel stands, from where to where; version: of the wire. */
void person_connected(const char *url, const char *target_url, int version);

/* Says another URL of the same tunnel; not with --quiet. */
void person_url(const char *url);

/* Says how many clients serve the id, of which this is one: more than one.  The same
 * number is said once a minute at most. */
void person_shared(long long clients);

/* Says that the server refused so many requests for the id.  why: the last of them;
 * a stranger's words. */
void person_refused(long long n, struct view why);

/* Whether a token that expires at exp, in seconds since the epoch, does so
 * soon. */
int token_ends_soon(long long exp);

/* Says until when such a token is good. */
void person_expiry(long long exp);

#endif
