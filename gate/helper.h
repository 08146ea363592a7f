/*
 * The helper: somebody else's program carries the bytes to the server, for TLS
 * or through a proxy, as ssh's ProxyCommand does.
 */
#ifndef GATE_HELPER_H
#define GATE_HELPER_H

#include <sys/types.h>

struct conn;
struct endpoint;

/* Zeroed, none runs. */
struct helper {
	pid_t pid;
	struct conn *err;	/* its stderr, or NULL */
	char said[256];		/* the line of it that says most */
};

/* Starts command, or openssl where it is NULL, to reach e.  Returns our end of
 * its stdin and stdout, non-blocking, which is the caller's; or -1, and *why
 * says what failed, a static string. */
int helper_start(struct helper *h, const struct endpoint *e,
    const char *command, const char **why);

/* What it said on stderr, as a person understands it; NULL: nothing. */
const char *helper_said(struct helper *h);

/* Ends it, if it runs. */
void helper_end(struct helper *h);

#endif
