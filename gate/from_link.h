/*
 * From the link to the HTTP conn, the sink: body octets are written with the
 * framing that it was promised.  Large pieces that come for one stream in a row
 * are gathered, and written together from where they lie in the link's buffer:
 * so whoever does anything else with that conn, or moves the buffer, calls
 * gather_write() first.  And settling, which ends each turn of the loop.
 */
#ifndef GATE_FROM_LINK_H
#define GATE_FROM_LINK_H

#include <stddef.h>

struct conn;
struct http_field;
struct link;
struct stream;

/* Body octets came for s, and must stay where they are until gather_write().
 * Returns -1002: they pass the credit or come after the end, and nothing was
 * done.  Else 0; where the length is wrong, the half was broken off, and s may
 * be over. */
int stream_take(struct stream *s, const unsigned char *p, size_t n);

/* The same for the last of them, maybe none: the half ends.  f[0..nf) are its
 * trailers.  s may be over then. */
int stream_take_last(struct stream *s, const unsigned char *p, size_t n,
    const struct http_field *f, size_t nf);

/* Writes the pieces that were gathered. */
void gather_write(void);

/* The socket of s took octets: a grant may be due for those. */
void stream_sent(struct stream *s);

/* When a conn that takes nothing of what waits for it is broken off, in ms, or
 * NEVER. */
long long stream_stall_deadline(const struct conn *c);

/* l is no more: breaks off whatever is open on it, and l has no streams then.
 * why is good for the call. */
void streams_orphan(struct link *l, const char *why);

/* After the events of a turn: calls more(), the role's own part, which may be
 * NULL; flushes conns, lets streams take their turns, flushes links.  Goes on
 * until nothing is left, or for a number of rounds: then the loop comes back
 * without waiting.  Frees the streams that are over. */
void settle(void (*more)(void));

/* Whether what waits for the conn of s is more than twice what credit paid for,
 * which heads and the framing of small pieces can make it, while its account may
 * not grow. */
int sink_overflows(const struct stream *s);

#endif
