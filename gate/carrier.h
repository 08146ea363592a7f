/*
 * Carriers: each is a connection to a service through TLS, for which a helper runs.
 * There are few helpers at once; who has none waits for one in order.  Its descriptor
 * is there from the beginning, and takes what is written to it once it stands.
 */
#ifndef GATE_CARRIER_H
#define GATE_CARRIER_H

#include <stddef.h>

#include "gate/helper.h"
#include "gate/list.h"

struct endpoint;

/* Those that lead to one place. */
struct carriers {
	const struct endpoint *to;
	int any_certificate;	/* its certificate is not verified */
	int helpers;		/* that run, or were killed and have not ended yet */
	struct list waiting;	/* for a helper, in order */
	enum helper_fault noted;	/* what a person was last told of; HELPER_OTHER: nothing */
};

enum carrier_state {
	CARRIER_WAITS,		/* for a helper */
	CARRIER_CONNECTS,
	CARRIER_STANDS,
	CARRIER_ENDED
};

struct carrier {
	struct carriers *all;
	enum carrier_state state;
	int theirs;		/* the helper's end, open here as long as that runs: so the end
				   of what comes is not seen before how it ended; or -1 */
	int err;		/* why there could be no helper, an errno; 0: there was one */
	struct item place;	/* among those that wait */
	struct helper helper;
	/* It has come to another state; NULL: the owner has let go of it. */
	void (*news)(void *of);
	void *of;
};

/* Makes a carrier of all, in *made, of whose states from now on news(of) tells.
 * Returns its descriptor, which is non-blocking and the caller's; or -1 with errno. */
int carrier_start(struct carrier **made, struct carriers *all,
    void (*news)(void *of), void *of);

/* Octets that were given to c and that its helper has not taken: nobody else has seen
 * them. */
size_t carrier_untaken(const struct carrier *c);

/* Takes up to n of these back, to p.  Returns how many; 0: there are no more. */
size_t carrier_take_back(struct carrier *c, void *p, size_t n);

/* Lets go of c, which ends. */
void carrier_end(struct carrier *c);

/* The owner of the first that waits; NULL: none does. */
void *carriers_waiting(const struct carriers *all);

/* The owners of a and b get each other's. */
void carrier_swap(struct carrier **a, struct carrier **b);

/* Why c never stood. */
enum helper_fault carrier_fault(const struct carrier *c);

#endif
