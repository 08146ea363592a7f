/*
 * From the HTTP conn to the link: a body is read in its framing, and streams
 * take turns at their link.
 */
#ifndef GATE_TO_LINK_H
#define GATE_TO_LINK_H

#include <stddef.h>

#include "pipegate.h"

struct stream;
struct link;

enum step {
	STEP_WAIT,		/* nothing there now */
	STEP_DATA,		/* octets of body */
	STEP_END,		/* the body is whole; the last octets may be there too */
	STEP_TRAILERS,		/* the last chunk is past: source_trailers() goes on */
	STEP_FAULT		/* it cannot be read: the role was told, s may be over */
};

/* Reads the next octets of the body to out[0..cap); *n is how many. */
enum step source_step(struct stream *s, unsigned char *out, size_t *n,
    size_t cap);

/* Reads the trailer section.  STEP_END: f[0..*nf) are its fields, views into
 * the conn's rx, of which the caller then consumes *size octets.  STEP_DATA:
 * there may be more at once. */
enum step source_trailers(struct stream *s,
    struct http_field f[HTTP_FIELDS_MAX], size_t *nf, size_t *size);

/* Whether what is read is all body, without framing in between. */
int source_is_raw(const struct stream *s);

/* Whether all of the body has been read. */
int source_done(const struct stream *s);

/* Whether the conn should be read now. */
int stream_reads(const struct stream *s);

/* There is something to read at the conn. */
void stream_news(struct stream *s);

/* Lets the streams of l take turns while it has room.  Returns 1; or 0 where
 * it stopped for want of memory. */
int link_serve(struct link *l);

#endif
