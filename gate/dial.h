/*
 * The client's side of a tunnel, the uplink: it dials the server, makes a link
 * of the connection, and dials again with a back-off whenever the link is gone.
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
	struct target target;		/* the owner (of) of its links */
	struct endpoint server;
	int tls;			/* wss://: the helper does it */
	char host[300];			/* of the server, for Host and for people */
	char path[2048];		/* with its query, without the token */
	char token[JWT_SIZE_MAX + 1];
	int token_in_query;
	struct ws_dial dial;
	struct lookup lookup;
	struct helper helpers[2], *helper;	/* helper: that of link, or of dialling */
	int address;			/* of the server's, the one to try next */
	struct conn *dialling;		/* until its outcome is known, or NULL */
	struct link *reserved;		/* memory for the next link, or NULL */
	struct link *link;		/* NULL: none stands */
	struct link *leaving;		/* an older one that only finishes its streams, or NULL; the
					   other helper is its own */
	struct timer redial;
	int failures;			/* dials that failed since a link was steady */
	long long up_ms;		/* when the link came up */
	int close_code;			/* to close the link with; 0: not ending */
	long long drain_ms;		/* when draining ends; 0: not draining */
	unsigned char is_told;		/* the person knows that this link stands */
	unsigned char url_is_told;	/* and knows the URL, since a link stood */
	unsigned char refused;		/* the token was refused as Bearer: the last try is
					   to send it in the query */
	unsigned char warned_expiry;	/* the person knows that the token ends soon */
};

/* Takes SERVER_URL, with its token if there is one.  Returns NULL, or what is
 * wrong with it: a static string for a person. */
const char *uplink_set_server(struct uplink *u, const char *text);

/* Takes token, of which u keeps a copy, instead.  Returns as above. */
const char *uplink_set_token(struct uplink *u, const char *token);

/* Looks up the target and dials for the first time.  Ends the program where
 * there is no memory for that. */
void uplink_start(struct uplink *u);

/* At the end of a turn: tells the person that the link stands; ends the uplink
 * once it has drained. */
void uplink_settle(struct uplink *u);

/* Once a second: warns of a token that expires soon. */
void uplink_second(struct uplink *u);

/* Takes no more requests, gives those at work a while to finish, and then ends
 * as uplink_end() does, with 1001. */
void uplink_drain(struct uplink *u);

/* Closes the link with close_code, and stops the loop. */
void uplink_end(struct uplink *u, int close_code);

/* After the loop: ends the helpers.  Returns the exit status: 1 where the server
 * refused the client for good, else 0. */
int uplink_finish(struct uplink *u);

#endif
