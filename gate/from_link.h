/*
 * From the link to the HTTP conn: body octets are written with the framing that
 * the conn was promised.  And settling, the end of each turn.
 */
#ifndef GATE_FROM_LINK_H
#define GATE_FROM_LINK_H

#include <stddef.h>

struct http_field;
struct link;
struct stream;

/* Body octets came for s; end: the half ends with them, and if it then has
 * (half_is_open() tells) stream_take_end() is to be called.  p[0..n) must stay
 * where it is until gather_write().  Returns 0, or -1002: past the credit or
 * after the end, and nothing was done. */
int stream_take(struct stream *s, const unsigned char *p, size_t n, int end);

/* The half has ended: f[0..n) are its trailers.  s may be over then. */
void stream_take_end(struct stream *s, const struct http_field *f, size_t n);

/* Large pieces that came for one stream in a row are written together, from
 * where they lie in the link's buffer.  Before that moves, or anything else is
 * done with the conn, this writes them. */
void gather_write(void);

/* The socket took octets of s: what left for good may be granted anew. */
void stream_sent(struct stream *s);

/* When a conn that takes nothing of what waits is broken off, in ms. */
struct conn;
long long stream_stall_deadline(const struct conn *c);

/* l is no more: whatever was open on it is broken off. */
void streams_orphan(struct link *l, const char *why);

/* After the events of a turn: more(), the role's own part; conns are flushed,
 * streams take their turns, links are flushed; until nothing is left, or for a
 * number of rounds. */
void settle(void (*more)(void));

#endif
