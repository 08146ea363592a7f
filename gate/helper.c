#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "pipegate.h"
#include "gate/say.h"
#include "gate/addr.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/child.h"
#include "gate/net.h"
#include "gate/url.h"
#include "gate/helper.h"

/* --- what it says */

/* Keeps the line that says most: the first that tells of an error, else the
 * last. */
static void
helper_line(struct helper *h, struct view line)
{
	static const char *const telling[] = {
		"verify error", "rror", "refused", "not found", "No such"
	};
	char text[sizeof(h->said)];
	size_t i;

	if (line.n == 0)
		return;
	text_safe(text, sizeof(text), line);
	log_event(LEVEL_DEBUG, "event=helper says=\"%s\"", text);
	for (i = 0; i < ARRAY_LEN(telling); i++)
		if (strstr(h->said, telling[i]) != NULL)
			return;
	memcpy(h->said, text, sizeof(text));
}

static void
helper_note(struct helper *h, const char *p, size_t n)
{
	struct view rest = { (const unsigned char *)p, n };

	while (rest.n > 0) {
		helper_line(h, view_until(&rest, "\n"));
		if (rest.n > 0) {
			rest.p++;
			rest.n--;
		}
	}
}

/* What openssl's words mean for the person who reads them. */
static const char *
helper_meaning(const char *said)
{
	static const struct {
		const char *word, *meaning;
	} known[] = {
		{ "ame mismatch", "its certificate is for another name" },
		{ "address mismatch", "its certificate is for another address" },
		{ "has expired", "its certificate has expired" },
		{ "not yet valid", "its certificate is not valid yet" },
		{ "verify error", "its certificate is not trusted "
		    "(SSL_CERT_FILE names a CA of your own)" },
		{ "wrong version number", "no TLS is spoken there (is it ws://?)" },
		{ "onnection refused", "connection refused" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(known); i++)
		if (strstr(said, known[i].word) != NULL)
			return known[i].meaning;
	return said;
}

const char *
helper_said(struct helper *h)
{
	char buf[1024];
	size_t n;

	while (h->err != NULL &&
	    conn_read(h->err, buf, sizeof(buf), &n) == IO_DATA)
		helper_note(h, buf, n);
	return h->said[0] != '\0' ? helper_meaning(h->said) : NULL;
}

static void
helper_err_end(struct conn *c)
{
	struct helper *h = c->of;

	if (h->err == c)
		h->err = NULL;
	conn_kill(c);
}

static void
helper_err_ready(struct conn *c, short revents)
{
	char buf[1024];
	size_t n;
	enum io io = conn_read(c, buf, sizeof(buf), &n);

	(void)revents;
	if (io == IO_DATA)
		helper_note(c->of, buf, n);
	if (io == IO_EOF || io == IO_ERROR)
		helper_err_end(c);
}

static const struct kind helper_err_kind = {
	.name = "helper", .ready = helper_err_ready, .broken = helper_err_end,
	.events = always_readable, .deadline = no_deadline,
	.expire = helper_err_end,
};

/* --- starting it */

/* The default: openssl, with the chain and the name verified.  -quiet also
 * switches off its command letters, so that all bytes pass. */
static void
helper_openssl(const struct endpoint *e)
{
	static char host[sizeof(e->host)], to[sizeof(e->host) + 16];
	int numeric = host_is_numeric(e->host);
	char *const argv[] = {
		"openssl", "s_client", "-quiet", "-verify_quiet",
		"-verify_return_error", "-verify", "8", "-connect", to,
		numeric ? "-noservername" : "-servername",
		numeric ? "-verify_ip" : host,
		numeric ? host : "-verify_hostname",
		numeric ? NULL : host, NULL
	};

	snprintf(host, sizeof(host), "%s", e->host);
	snprintf(to, sizeof(to), strchr(host, ':') != NULL ? "[%s]:%s" :
	    "%s:%s", host, e->port);
	execvp(argv[0], argv);
	warn("cannot run openssl: %s (install it, or name another program "
	    "with --connect)", strerror(errno));
}

static void
helper_shell(const struct endpoint *e, const char *command)
{
	char text[4096];
	char *const argv[] = { "/bin/sh", "-c", text, NULL };

	if (url_command(text, sizeof(text), command, e->host,
	    e->port) == -1) {
		warn("the command of --connect is too long");
		return;
	}
	execvp(argv[0], argv);
	warn("cannot run /bin/sh:");
}

static void NORETURN
helper_child(int fd, int err, const struct endpoint *e, const char *command)
{
#ifdef PR_SET_PDEATHSIG
	prctl(PR_SET_PDEATHSIG, SIGKILL);	/* not to outlive a client that is killed */
#endif
	/* A Ctrl-C reaches the helper too, which must still carry our close. */
	signal_catch(SIGINT, SIG_IGN);
	signal_catch(SIGTERM, SIG_IGN);
	signal_catch(SIGHUP, SIG_IGN);
	if (dup2(fd, STDIN_FILENO) == -1 || dup2(fd, STDOUT_FILENO) == -1 ||
	    dup2(err, STDERR_FILENO) == -1)
		_exit(126);
	close(fd);
	close(err);
	if (command == NULL)
		helper_openssl(e);
	else
		helper_shell(e, command);
	_exit(127);
}

static void
close_pair(const int fd[2])
{
	close(fd[0]);
	close(fd[1]);
}

/* Makes both pairs.  Returns 0, or -1: nothing is open. */
static int
helper_pairs(int pair[2], int err[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1)
		return -1;
	if (pipe(err) == -1) {
		close_pair(pair);
		return -1;
	}
	if (fd_prepare(pair[0]) == 0 && fd_prepare(err[0]) == 0)
		return 0;
	close_pair(pair);
	close_pair(err);
	return -1;
}

int
helper_start(struct helper *h, const struct endpoint *e, const char *command,
    const char **why)
{
	int pair[2], err[2], keep[2];

	h->said[0] = '\0';
	*why = "no sockets for the helper";
	if (helper_pairs(pair, err) == -1)
		return -1;
	keep[0] = pair[1];
	keep[1] = err[1];
	h->pid = child_fork(keep, 2);
	if (h->pid == 0)
		helper_child(pair[1], err[1], e, command);
	close(pair[1]);
	close(err[1]);
	if (h->pid == -1) {
		*why = "cannot start the helper";
		h->pid = 0;
		close(pair[0]);
		close(err[0]);
		return -1;
	}
	h->err = conn_new(&helper_err_kind, h, err[0], CONN_OPEN);
	return pair[0];
}

void
helper_end(struct helper *h)
{
	child_kill(h->pid);
	h->pid = 0;
	if (h->err != NULL)
		conn_kill(h->err);
	h->err = NULL;
}
