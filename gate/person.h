#ifndef GATE_PERSON_H
#define GATE_PERSON_H

#include "pipegate.h"

struct stream;

#define TOKEN_WARN_S 259200LL		/* three days */

void person_note(const char *fmt, ...) PRINTF_LIKE(1, 2);
void person_request(const struct stream *s);
void person_expiry(long long exp);
void person_connected(int v2);

#endif
