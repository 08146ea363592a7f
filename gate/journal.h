/*
 * The journal: the line that the server's log has of a request when it is over.  All
 * of these lines are made here, so that they have the same keys in the same order.
 */
#ifndef GATE_JOURNAL_H
#define GATE_JOURNAL_H

#include "pipegate.h"

struct stream;

/* Who broke a request off. */
enum ender { BY_NOBODY, BY_CALLER, BY_CLIENT, BY_SERVER };

struct entry {
	int refused;		/* the server made the answer itself: event=refused */
	int status;
	const char *peer;	/* the address of who asked, as text */
	struct view id;		/* of the tunnel that it was for; empty: for none */
	const char *label;	/* its method and path, as stream_label() writes them; "": not
				   known */
	const struct stream *s;	/* NULL: it had none */
	enum ender by;
	const char *why;	/* it did not end well; NULL: it did */
};

/* Writes the line of e.  Its strings are fit for a log. */
void journal_put(const struct entry *e);

#endif
