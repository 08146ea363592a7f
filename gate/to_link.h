#ifndef GATE_TO_LINK_H
#define GATE_TO_LINK_H

#include "pipegate.h"

struct link;
struct stream;

enum step { STEP_WAIT, STEP_DATA, STEP_END, STEP_TRAILERS, STEP_FAULT };

/* The same with the rules that hold for every source: the limit, and which
 * fault it is where it breaks.  Returns STEP_FAULT after the role was told. */
enum step source_step(struct stream *s, unsigned char *out, size_t *n, size_t
    cap);

/* The last chunk is past: parses the trailer section, whose *size octets the
 * caller then consumes; the fields are in msg_out until then. */
enum step source_trailers(struct stream *s, size_t *size);

/* Lets the streams take turns at the link while it has room. */
void link_serve(struct link *l);

/* Something to read came from the conn. */
void stream_news(struct stream *s);

/* Whether the conn should be read now. */
int stream_reads(const struct stream *s);

#endif
