/*
 * The helper: another program that carries the bytes to where they are to go, for
 * TLS or through a proxy, as ssh's ProxyCommand does.
 */
#ifndef GATE_HELPER_H
#define GATE_HELPER_H

#include <sys/types.h>

struct conn;
struct endpoint;
struct helper;

/* What an owner wants to hear of its helper. */
struct helper_ops {
	/* openssl has a TLS connection. */
	void (*stands)(struct helper *);
	/* It has exited, and has said all. */
	void (*ended)(struct helper *);
};

/* Zeroed, none runs. */
struct helper {
	const struct helper_ops *ops;	/* the owner's; NULL: it asks by itself */
	pid_t pid;
	struct conn *err;	/* what reads its stderr, or NULL */
	unsigned char stands;	/* openssl has said that it has a TLS connection */
	unsigned char failed;	/* has told of a fault, or exited with a status that does */
	char said[256];		/* the line from there that says most */
};

/* How a helper gets there. */
struct helper_way {
	const char *command;	/* sh runs it; NULL: openssl */
	int any_certificate;	/* openssl verifies none */
};

/* Makes a pair of sockets: [0] is for us, non-blocking, [1] for a helper.  Returns 0,
 * or -1 with errno. */
int helper_pair(int pair[2]);

/* Starts h, which must not run, to reach e, with fd, which stays the caller's, as its
 * stdin and stdout.  Returns 0, or -1 with errno. */
int helper_run(struct helper *h, int fd, const struct endpoint *e,
    const struct helper_way *way);

/* Starts command, or openssl where it is NULL, to reach e; h must not run.
 * Returns our end of its stdin and stdout, which is non-blocking and the
 * caller's; or -1, and *why says what failed, a static string. */
int helper_start(struct helper *h, const struct endpoint *e,
    const char *command, const char **why);

/* What h, on its way to a server, said on stderr, in words for a person; NULL:
 * nothing.  Good until h says more. */
const char *helper_said(struct helper *h);

enum helper_fault {
	HELPER_OTHER,		/* what h->said says */
	HELPER_MISSING,		/* there is no openssl */
	HELPER_NO_ADDRESS,	/* the name cannot be looked up */
	HELPER_REFUSED,
	HELPER_NO_TLS,		/* what answers speaks something else */
	HELPER_OTHER_NAME,	/* from here on: its certificate is ... */
	HELPER_EXPIRED,
	HELPER_NOT_YET,		/* valid */
	HELPER_UNTRUSTED
};

/* The same as one of these, as of what h has said so far. */
enum helper_fault helper_fault(const struct helper *h);

/* Kills h, if it runs, of which its owner hears. */
void helper_kill(struct helper *h);

/* Kills h, if it runs, of which its owner hears nothing. */
void helper_end(struct helper *h);

#endif
