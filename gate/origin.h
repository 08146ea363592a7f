#ifndef GATE_ORIGIN_H
#define GATE_ORIGIN_H

#include <sys/types.h>

#include "pipegate.h"
#include "gate/list.h"
#include "gate/timer.h"
#include "gate/net.h"
#include "gate/stream.h"

struct conn;
struct link;

struct cli {
	struct endpoint server, target;
	int tls;
	char server_host[300];		/* for Host */
	char server_path[2048];		/* with its query, less the token */
	char base[1024];		/* path of the target URL, no slash at the end */
	char target_url[512], public_url[1024];
	char token[JWT_SIZE_MAX + 1];
	int token_in_query;
	struct ws_dial dial;
	struct conn *dialling;
	int address;			/* the one being tried */
	struct link *link;
	struct timer redial;
	int failures;			/* dials since a link was steady */
	long long up_ms;
	int told;			/* that this link stands */
	int refused;			/* as Bearer: the query is the last try */
	int told_url, warned_expiry;
	struct list idle;		/* origin conns for the next request */
	pid_t helper;
	struct conn *helper_err;
	char helper_said[256];
	long long drain_ms;		/* when draining ends; 0: not draining */
	int close_code;			/* to end with */
	int exit_code;
	int colour;
	struct http_head head;		/* the answer at hand */
};

extern struct cli cli;

void origin_drop(struct stream *s);

/* The request cannot be answered by the origin. */
void client_fail(struct stream *s, int status, const char *why);

void target_looked_up(struct endpoint *e, const char *error);

/* Gives s a conn to the origin and sends it the request's head. */
void client_start(struct stream *s, struct ws_msg *m);

void client_message(struct link *l, int opcode, unsigned char *p, size_t n);

extern const struct role client_role;

#endif
