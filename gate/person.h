/*
 * What a person at the client's terminal sees.
 */
#ifndef GATE_PERSON_H
#define GATE_PERSON_H

#include "pipegate.h"

struct stream;

/* Once: looks at the terminal. */
void person_start(void);

/* A line with the time before it; not with --quiet. */
void person_note(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* A request that is over. */
void person_request(const struct stream *s);

/* The tunnel stands: where it leads from and to, in bold. */
void person_connected(const char *public_url, const char *target_url,
    int version);

/* Whether a token that ends at exp ends soon; says until when it is good. */
int token_ends_soon(long long exp);
void person_expiry(long long exp);

#endif
