/*
 * The client's side of a tunnel: it dials the server, and again whenever the
 * link is gone, with a back-off.
 */
#ifndef GATE_DIAL_H
#define GATE_DIAL_H

#include "pipegate.h"
#include "gate/child.h"
#include "gate/helper.h"
#include "gate/net.h"
#include "gate/target.h"
#include "gate/timer.h"

/* One tunnel of this process. */
struct uplink {
	struct target target;		/* the of of its links */
	struct endpoint server;
	int tls;
	char host[300];			/* of the server, for Host and for people */
	char path[2048];		/* with its query, less the token */
	char token[JWT_SIZE_MAX + 1];
	int token_in_query;
	struct ws_dial dial;
	struct lookup lookup;
	struct helper helper;
	int address;			/* of the server, tried next */
	struct conn *dialling;		/* until its outcome is known, or NULL */
	struct link *reserved;		/* memory for the next link, or NULL */
	struct link *link;		/* NULL: none stands */
	struct timer redial;
	int failures;			/* dials since a link was steady */
	long long up_ms;		/* when the link came up */
	int close_code;			/* to end with; 0: not ending */
	long long drain_ms;		/* when draining ends; 0: not draining */
	unsigned char is_told;		/* that this link stands */
	unsigned char url_is_told;	/* that a link stood */
	unsigned char refused;		/* as Bearer: the query is the last try */
	unsigned char warned_expiry;
};

/* Takes SERVER_URL, with its token if there is one.  Returns NULL, or what is
 * wrong with it: a static string for a person. */
const char *uplink_set_server(struct uplink *u, const char *text);

/* Takes a token in place of that.  Returns as above. */
const char *uplink_set_token(struct uplink *u, const char *token);

/* Dials for the first time.  Ends the program where that cannot be. */
void uplink_start(struct uplink *u);

/* At the end of a turn: tells that the link stands; ends what has drained. */
void uplink_settle(struct uplink *u);

/* Once a second: warns of a token that ends soon. */
void uplink_second(struct uplink *u);

/* No more requests: what is under way is finished, for a while.  Then the
 * program's loop stops. */
void uplink_drain(struct uplink *u);

/* Ends at once, and stops the loop. */
void uplink_end(struct uplink *u, int close_code);

/* After the loop: no helper is left behind.  Returns the exit status: 1 where
 * the server refused for good. */
int uplink_finish(struct uplink *u);

#endif
