#ifndef GATE_ANSWER_H
#define GATE_ANSWER_H

#include "pipegate.h"
#include "gate/stream.h"

struct conn;

/* Whether no body follows this answer, whatever its fields say. */
int answer_is_bare(const struct stream *s, int status);

/* Whether a head that came over the link is as a caller may get it. */
int answer_head_ok(const struct ws_msg *m);

/* An answer that is not fit to be passed on. */
void answer_refuse(struct stream *s, const char *why);

/* The final answer's head. */
void answer_begin(struct stream *s, struct ws_msg *m);

void caller_leaves(struct conn *c, const char *why);

/* Breaks off a request that is under way, with an answer if none has begun. */
void caller_break(struct stream *s, int status, const char *why);

extern const struct role server_role;

#endif
