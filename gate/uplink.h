/*
 * An uplink: one tunnel of a client, from its target to its server, and where
 * these are, as a person typed it.  dial.h brings it up and keeps it.
 */
#ifndef GATE_UPLINK_H
#define GATE_UPLINK_H

#include "pipegate.h"
#include "gate/child.h"
#include "gate/helper.h"
#include "gate/net.h"
#include "gate/target.h"
#include "gate/timer.h"

#define URL_PUBLIC_MAX 1024	/* octets of a URL that people are told, with its NUL */
#define URLS_PUBLIC_MAX 3

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
	struct ws_public public;	/* what the server said of its addresses */
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

/* Where callers find the tunnel id, as the server says or else where u dials: at its
 * own domain and at its host, where it has these, and by its path.  Returns how
 * many, each with a NUL. */
int uplink_urls(const struct uplink *u,
    char out[URLS_PUBLIC_MAX][URL_PUBLIC_MAX], const char *id);

#endif
