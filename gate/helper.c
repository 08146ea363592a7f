#include <sys/socket.h>
#include <sys/wait.h>
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

static int
says_any(const char *text, const char *const *words, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strstr(text, words[i]) != NULL)
			return 1;
	return 0;
}

/* Whether a line of openssl's tells that the connection was not ended by TLS.  One
 * that it merely does not trust may be meant to be used. */
static int
line_is_fault(const char *text)
{
	static const char *const words[] = {
		":error:", "errno=", "CONNECTION CLOSED BY SERVER"
	};
	static const char described[] = "Peer certificate: ";	/* anything may follow */

	return strncmp(text, described, sizeof(described) - 1) != 0 &&
	    says_any(text, words, ARRAY_LEN(words));
}

static int
line_is_telling(const char *text)
{
	static const char *const words[] = {
		"verify error", "rror", "refused", "not found", "No such"
	};

	return says_any(text, words, ARRAY_LEN(words));
}

/* What was said before is of no more interest. */
static void
helper_stands(struct helper *h)
{
	h->stands = 1;
	h->said[0] = '\0';
	if (h->ops != NULL)
		h->ops->stands(h);
}

/* Keeps the line that says most: the first that tells of an error, else the
 * last, which is one of openssl's description once TLS stands. */
static void
helper_line(struct helper *h, struct view line)
{
	char text[sizeof(h->said)];

	if (line.n == 0)
		return;
	text_safe(text, sizeof(text), line);
	log_event(LEVEL_DEBUG, "event=helper says=\"%s\"", text);
	if (!h->stands && strcmp(text, "CONNECTION ESTABLISHED") == 0) {
		helper_stands(h);
		return;
	}
	if (line_is_fault(text))
		h->failed = 1;
	if (!line_is_telling(h->said) &&
	    (!h->stands || line_is_telling(text)))
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

/* What openssl's words mean, and how a person who reads them is told of a server. */
static const struct {
	const char *word;
	enum helper_fault fault;
	const char *meaning;
} known[] = {
	{ "cannot run openssl", HELPER_MISSING, "openssl cannot be run (install "
	    "it, or name another program with --connect)" },
	{ "ame mismatch", HELPER_OTHER_NAME,
	    "its certificate is for another name" },
	{ "address mismatch", HELPER_OTHER_NAME,
	    "its certificate is for another address" },
	{ "has expired", HELPER_EXPIRED, "its certificate has expired" },
	{ "not yet valid", HELPER_NOT_YET, "its certificate is not valid yet" },
	{ "verify error", HELPER_UNTRUSTED, "its certificate is not trusted "
	    "(SSL_CERT_FILE names a CA of your own)" },
	{ "wrong version number", HELPER_NO_TLS,
	    "no TLS is spoken there (is it ws://?)" },
	{ "onnection refused", HELPER_REFUSED, "connection refused" },
	{ "BIO_lookup_ex", HELPER_NO_ADDRESS, "its name cannot be looked up" },
};

/* The index of the first of them that is in said, or their number. */
static size_t
known_find(const char *said)
{
	size_t i = 0;

	while (i < ARRAY_LEN(known) && strstr(said, known[i].word) == NULL)
		i++;
	return i;
}

/* Takes what h has said since it was last looked at. */
static void
helper_listen(struct helper *h)
{
	char buf[4096];
	size_t n;

	while (h->err != NULL &&
	    conn_read(h->err, buf, sizeof(buf), &n) == IO_DATA)
		helper_note(h, buf, n);
}

const char *
helper_said(struct helper *h)
{
	size_t i;

	helper_listen(h);
	i = known_find(h->said);
	if (i < ARRAY_LEN(known))
		return known[i].meaning;
	return h->said[0] != '\0' ? h->said : NULL;
}

enum helper_fault
helper_fault(const struct helper *h)
{
	size_t i = known_find(h->said);

	return i < ARRAY_LEN(known) ? known[i].fault : HELPER_OTHER;
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
	char buf[4096];
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

/* openssl, with the chain and the name verified, or with any certificate.  -quiet
 * also switches off its command letters, so that all bytes pass, and lets it go on
 * where its stdin ends; -brief has it say when TLS stands. */
static void
helper_openssl(const struct endpoint *e, int any_certificate)
{
	static char host[sizeof(e->host)], to[sizeof(e->host) + 16];
	int numeric = host_is_numeric(e->host);
	char *const verified[] = {
		"-verify_return_error", "-verify", "8",
		numeric ? "-verify_ip" : "-verify_hostname", host, NULL
	};
	char *argv[16 + ARRAY_LEN(verified)] = {
		"openssl", "s_client", "-quiet", "-brief", "-verify_quiet",
		"-connect", to, numeric ? "-noservername" : "-servername",
		numeric ? NULL : host,
	};

	snprintf(host, sizeof(host), "%s", e->host);
	snprintf(to, sizeof(to), strchr(host, ':') != NULL ? "[%s]:%s" :
	    "%s:%s", host, e->port);
	if (!any_certificate)
		memcpy(&argv[numeric ? 8 : 9], verified, sizeof(verified));
	execvp(argv[0], argv);
	warn("cannot run openssl: %s", strerror(errno));
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

/* Not to outlive a client that is killed, or was before this. */
static void
helper_bind(pid_t parent)
{
#ifdef PR_SET_PDEATHSIG
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
#endif
	(void)parent;
}

static void NORETURN
helper_child(int fd, int err, const struct endpoint *e,
    const struct helper_way *way)
{
	/* A Ctrl-C reaches the helper too, which must still carry our close. */
	signal_catch(SIGINT, SIG_IGN);
	signal_catch(SIGTERM, SIG_IGN);
	signal_catch(SIGHUP, SIG_IGN);
	if (dup2(fd, STDIN_FILENO) == -1 || dup2(fd, STDOUT_FILENO) == -1 ||
	    dup2(err, STDERR_FILENO) == -1)
		_exit(126);
	close(fd);
	close(err);
	if (way->command == NULL)
		helper_openssl(e, way->any_certificate);
	else
		helper_shell(e, way->command);
	_exit(127);
}

static void
close_pair(const int fd[2])
{
	close(fd[0]);
	close(fd[1]);
}

int
helper_pair(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1)
		return -1;
	if (fd_prepare(pair[0]) == 0)
		return 0;
	close_pair(pair);
	return -1;
}

/* What it said last tells how it ended. */
static void
helper_ended(void *of, int status)
{
	struct helper *h = of;

	h->pid = 0;
	helper_listen(h);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		h->failed = 1;
	if (h->ops != NULL)
		h->ops->ended(h);
}

/* Forks h, which says on fd err what there is to be said. */
static int
helper_fork(struct helper *h, int fd, int err, const struct endpoint *e,
    const struct helper_way *way)
{
	int keep[2] = { fd, err };
	pid_t parent = getpid(), pid = child_fork(keep, 2);

	if (pid == 0) {
		helper_bind(parent);
		helper_child(fd, err, e, way);
	}
	if (pid == -1)
		return -1;
	h->pid = pid;
	child_watch(pid, helper_ended, h);
	return 0;
}

/* Makes the pipe of which h->err reads.  Returns the end to write to, or -1 with
 * errno. */
static int
helper_listen_to(struct helper *h)
{
	int err[2];

	if (pipe(err) == -1)
		return -1;
	if (fd_prepare(err[0]) == -1) {
		close_pair(err);
		return -1;
	}
	h->err = conn_new(&helper_err_kind, h, err[0], CONN_OPEN);
	if (h->err != NULL)
		return err[1];
	close(err[1]);
	errno = ENOMEM;
	return -1;
}

int
helper_run(struct helper *h, int fd, const struct endpoint *e,
    const struct helper_way *way)
{
	int err = helper_listen_to(h), r, why;

	if (err == -1)
		return -1;
	h->said[0] = '\0';
	h->stands = h->failed = 0;
	r = helper_fork(h, fd, err, e, way);
	why = errno;
	close(err);
	if (r == -1)
		helper_end(h);
	errno = why;
	return r;
}

int
helper_start(struct helper *h, const struct endpoint *e, const char *command,
    const char **why)
{
	struct helper_way way = { command, 0 };
	int pair[2];

	*why = "no sockets for the helper";
	if (helper_pair(pair) == -1)
		return -1;
	*why = "cannot start the helper";
	if (helper_run(h, pair[1], e, &way) == 0) {
		close(pair[1]);
		return pair[0];
	}
	close_pair(pair);
	return -1;
}

void
helper_kill(struct helper *h)
{
	child_kill(h->pid);
}

void
helper_end(struct helper *h)
{
	child_watch(h->pid, NULL, NULL);
	child_kill(h->pid);
	h->pid = 0;
	if (h->err != NULL)
		conn_kill(h->err);
	h->err = NULL;
}
