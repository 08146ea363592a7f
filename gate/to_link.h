/*
 * From the HTTP conn to the link.  The conn is the source: its body is read in
 * its framing, whenever a wire asks for more.  Streams take turns at their link,
 * in which their wire puts what it has read on the link.
 */
#ifndef GATE_TO_LINK_H
#define GATE_TO_LINK_H

#include <stddef.h>

#include "pipegate.h"

struct stream;
struct link;

/* What reading a body came to. */
enum step {
	STEP_WAIT,		/* nothing is there now */
	STEP_DATA,		/* octets of the body */
	STEP_END,		/* the body is whole; its last octets may be there too */
	STEP_TRAILERS,		/* the last chunk is past: source_trailers() goes on */
	STEP_FAULT		/* it cannot be read: the role was told, s may be over */
};

/* Reads the next octets of the body to out[0..cap), and counts them in
 * s->to_link; *n is how many. */
enum step source_step(struct stream *s, unsigned char *out, size_t *n,
    size_t cap);

/* Reads the trailer section.  STEP_END: it is whole, f[0..*nf) are its fields,
 * views into the conn's rx, of which the caller then consumes *size octets.
 * STEP_DATA: more of it has come, so this is to be called again. */
enum step source_trailers(struct stream *s,
    struct http_field f[HTTP_FIELDS_MAX], size_t *nf, size_t *size);

/* Whether every octet that is read is of the body, without framing between
 * them. */
int source_is_raw(const struct stream *s);

/* Whether all of a body of known length has been read, or there is none. */
int source_done(const struct stream *s);

/* Whether the conn should be read now: s does not wait for a turn, and lacks its
 * head or has credit for its body. */
int stream_reads(const struct stream *s);

/* The conn has something to read. */
void stream_news(struct stream *s);

/* Lets the streams of l take turns while it has room.  Returns 1; or 0 where it
 * stopped because there was no memory. */
int link_serve(struct link *l);

/* s has nothing to say now.  Where its account may not grow, and much was read for it
 * that cannot go on yet, it fails, and may be over. */
void stream_rests(struct stream *s);

#endif
