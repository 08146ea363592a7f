/*
 * How the links of a tunnel stand, on the server: whether the service behind each is
 * there, and whether it is heard from.  A request goes to one that stands well.
 */
#ifndef GATE_STANDING_H
#define GATE_STANDING_H

struct link;

/* A part of struct link.  All in ms. */
struct standing {
	long long unreached_ms;	/* when the service was last not to be reached; 0: it was since */
	long long shun_ms;	/* for how long others are asked in its place after that */
	long long shun_until_ms;	/* until when they are */
	long long asked_ms;	/* when a request first went to it after it was last heard */
	long long hailed_ms;	/* when it was last pinged for its silence */
};

/* Of link[0..n) that have room for a request the best: one that is heard from, and of
 * these the one with the fewest streams, the last among equals.  One whose service is
 * not there is asked only where that is so of all, and then now and again.  NULL:
 * none is to be asked now. */
struct link *standing_best(struct link *const link[], int n);

/* Whether one of link[0..n) takes requests, and its service is there as far as we
 * know. */
int standing_any(struct link *const link[], int n);

/* Whether it is for lack of a service alone that none of link[0..n) is asked now. */
int standing_pauses(struct link *const link[], int n);

/* A request goes to l. */
void standing_asked(struct link *l);

/* The service behind l could not be reached for a request that went there at that time;
 * or something of a request has reached it. */
void standing_unreached(struct link *l, long long asked_ms);
void standing_reached(struct link *l);

/* When l may be asked again where the service of no link is there; NEVER: at any
 * time. */
long long standing_retry_at(const struct link *l);

/* When l, which has requests at work and is silent, is to be pinged; NEVER: it has
 * none. */
long long standing_hail_at(const struct link *l);
void standing_hail(struct link *l);

#endif
