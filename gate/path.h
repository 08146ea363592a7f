/*
 * The path: how many octets of body a link carries in one round trip, measured
 * without a clock, by what comes between a ping and its pong.
 */
#ifndef GATE_PATH_H
#define GATE_PATH_H

#define PATH_SAMPLES 8
#define PATH_OCTETS_MAX (8 << 20)	/* what carries more counts as this */

/* What a link has carried.  Zeroed, nothing is known. */
struct path {
	long long came;			/* octets of body, in all */
	long long pinged_at;		/* of these, when the last ping went */
	long long sample[PATH_SAMPLES];	/* what came between the last pings and their pongs */
	unsigned int samples;		/* how many there were so far */
	unsigned char ping_is_out;
	unsigned char grew;		/* the last pong showed more than was known */
};

/* Whether it is time for a ping: none is out, and so much has come since the last
 * one that a body flows. */
int path_is_due(const struct path *p);

/* A ping went out; none was out. */
void path_pinged(struct path *p);

/* Its pong came. */
void path_ponged(struct path *p);

/* The octets that fill the path: the greatest of the last samples; 0: not
 * known. */
long long path_octets(const struct path *p);

#endif
