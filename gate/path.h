/*
 * The path: how many octets of body a link carries in one round trip.  It is
 * measured by pings, by what comes until the pong and how long that takes: the
 * greatest rate of the last samples, times the least of their round trips.
 *
 * Octets that wait in a queue make a round trip longer and the rate no higher.  So
 * that some sample is without them, once in eight samples the streams are given
 * less than fills the path, until it has drained.
 */
#ifndef GATE_PATH_H
#define GATE_PATH_H

#define PATH_SAMPLES 8
#define PATH_OCTETS_MAX (8 << 20)	/* what carries more counts as this */

/* So much of one stream in one sample makes it one of those that share the path. */
#define PATH_SHARE_MIN (16 << 10)

/* What a link has carried.  Zeroed, nothing is known. */
struct path {
	long long came;		/* octets of body, in all */
	long long pinged_at;	/* of these, when the last ping went */
	long long pinged_ms;	/* the time then */
	struct {		/* from the last pings to their pongs: */
		long long octets;	/* what came */
		long long ms;		/* how long it took */
		unsigned int shares;	/* streams that brought PATH_SHARE_MIN */
	} sample[PATH_SAMPLES];
	unsigned int samples;	/* how many there were so far */
	unsigned int shares;	/* as in a sample, since the last of them */
	long long undrained;	/* its octets before it was last drained */
	unsigned char queued;	/* draining it then showed that they were fewer */
	unsigned char ping_is_out;
	unsigned char grew;	/* path_room() is more than before the last pong */
};

/* Whether it is time for a ping: none is out, and so much has come since the last
 * one that a body flows. */
int path_is_due(const struct path *p);

/* A ping went out at that time; none was out. */
void path_pinged(struct path *p, long long ms);

/* Its pong came at that time. */
void path_ponged(struct path *p, long long ms);

/* The octets that fill the path; 0: not known. */
long long path_octets(const struct path *p);

/* How many octets each stream that shares the path may have on its way at present:
 * more than its part of what fills the path, so that the path is found out when it
 * becomes wider; less, while it drains.  0: not known. */
long long path_room(const struct path *p);

#endif
