/*
 * Answers, on the server: what comes over the link for a request is checked and
 * written to its caller.  And how such a request ends when it does not end well.
 */
#ifndef GATE_ANSWER_H
#define GATE_ANSWER_H

#include "pipegate.h"
#include "gate/journal.h"

struct caller;
struct stream;

extern const struct role server_role;

/* Ties s to caller w, whose request it is: w counts in the account of its tunnel
 * from then on, its memory until it has taken its answer. */
void answer_attach(struct stream *s, struct caller *w);

/* w leaves before its request is over: ends its conn, and has the client told.
 * w has a stream; by whom it is, and why, is for the log. */
void caller_leaves(struct caller *w, enum ender by, const char *why);

/* Breaks off a request that is at work: answers it with an error, or, where its
 * answer has begun, breaks off the conn.  Has the client told. */
void caller_break(struct stream *s, int status, const char *why);

/* Whether no body follows an answer of that status to s, whatever its fields
 * say. */
int answer_is_bare(const struct stream *s, int status);

/* Reads the head of an answer to s.  h's views point into text.  Returns 0, or
 * -1: it is no answer that its caller may get, and answer_malformed says so. */
int answer_parse(struct http_head *h, const struct stream *s,
    struct view text);
extern const char answer_malformed[];

/* Passes head h of the final answer on.  s lasts. */
void answer_begin(struct stream *s, const struct http_head *h, int has_body);

/* The answer is not fit to be passed on: breaks the request off as
 * caller_break() does with 502.  s is over then, or waits for its reset to go.
 * why: static. */
void answer_refuse(struct stream *s, const char *why);

#endif
