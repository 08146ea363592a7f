/*
 * Requests that last, on the client: of one that is at work for a second the person
 * hears then, and not only at its end, which an upload, an event stream or a WebSocket
 * may be far from.
 */
#ifndef GATE_LASTING_H
#define GATE_LASTING_H

struct stream;

/* Once: returns 0, or -1, no memory. */
int lasting_start(void);

/* s, which has its name, is at work from now on; and is not any more. */
void lasting_add(struct stream *s);
void lasting_leave(struct stream *s);

#endif
