/*
 * The server's half of a request and its answer: what comes over the link is
 * checked and written to the caller.
 */
#ifndef GATE_ANSWER_H
#define GATE_ANSWER_H

struct caller;
struct stream;
struct ws_msg;

extern const struct role server_role;

/* Ties s to caller w, whose request it is. */
void answer_attach(struct stream *s, struct caller *w);

/* w leaves in the midst of its request: its conn ends, and the client is told.
 * why is for the log. */
void caller_leaves(struct caller *w, const char *why);

/* Breaks off a request that is under way, with an answer if none has begun. */
void caller_break(struct stream *s, int status, const char *why);

/* Whether a head that came over the link is as a caller may get it. */
int answer_head_ok(const struct ws_msg *m);

/* Whether no body follows an answer of that status, whatever its fields say. */
int answer_is_bare(const struct stream *s, int status);

/* Passes the head of the final answer on; fields may be added to m.  s may be
 * over then. */
void answer_begin(struct stream *s, struct ws_msg *m);

/* An answer that is not fit to be passed on: 502, or broken off.  s is over
 * then. */
void answer_refuse(struct stream *s, const char *why);

#endif
