/*
 * The helper: another program that carries the bytes to the server, for TLS or
 * through a proxy, as ssh's ProxyCommand does.
 */
#ifndef GATE_HELPER_H
#define GATE_HELPER_H

#include <sys/types.h>

struct conn;
struct endpoint;

/* Zeroed, none runs. */
struct helper {
	pid_t pid;
	struct conn *err;	/* what reads its stderr, or NULL */
	char said[256];		/* the line from there that says most */
};

/* Starts command, or openssl where it is NULL, to reach e; h must not run.
 * Returns our end of its stdin and stdout, which is non-blocking and the
 * caller's; or -1, and *why says what failed, a static string. */
int helper_start(struct helper *h, const struct endpoint *e,
    const char *command, const char **why);

/* What h said on stderr, in words for a person; NULL: nothing.  Good until h
 * says more. */
const char *helper_said(struct helper *h);

/* Kills h, if it runs. */
void helper_end(struct helper *h);

#endif
