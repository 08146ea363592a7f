#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/loop.h"
#include "gate/addr.h"
#include "gate/net.h"
#include "gate/child.h"
#include "gate/settings.h"
#include "gate/link.h"
#include "gate/from_link.h"
#include "gate/person.h"
#include "gate/origin.h"
#include "gate/v1_client.h"
#include "gate/dial.h"

#define DIAL_MS 15000
#define DIAL_AGAIN_MS 3000		/* where the token was refused already */
#define BACKOFF_MAX_MS 60000
#define STEADY_MS 60000			/* a link that stood so long resets the back-off */

static const struct kind dial_kind;

/* Keeps the line that says most: the first of an error, else the last. */
static void
helper_line(struct view line)
{
	static const char *const telling[] = {
		"verify error", "rror", "refused", "not found", "No such"
	};
	char text[sizeof(cli.helper_said)];
	size_t i;

	if (line.n == 0)
		return;
	text_safe(text, sizeof(text), line);
	log_event(LEVEL_DEBUG, "event=helper says=\"%s\"", text);
	for (i = 0; i < ARRAY_LEN(telling); i++)
		if (text_find(cli.helper_said, telling[i]) != NULL)
			return;
	memcpy(cli.helper_said, text, sizeof(text));
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
		if (text_find(said, known[i].word) != NULL)
			return known[i].meaning;
	return said;
}

static void
helper_note(const char *p, size_t n)
{
	struct view line = { (const unsigned char *)p, 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] == '\n') {
			helper_line(line);
			line.p = (const unsigned char *)p + i + 1;
			line.n = 0;
		} else {
			line.n++;
		}
	}
	helper_line(line);
}

void
helper_end(void)
{
	child_kill(cli.helper);
	cli.helper = 0;
	if (cli.helper_err != NULL)
		conn_kill(cli.helper_err);
	cli.helper_err = NULL;
}

/* For good: nothing that waiting would mend. */
static void
client_give_up(const char *why)
{
	warn("the server refused this client: %s", why);
	cli.exit_code = 1;
	loop.stop = 1;
}

static const char token_refused[] = "it does not accept the token (missing, "
    "expired, or made with another secret?)";

/* Waits and dials again: 1, 2, 4 ... 60 s, each times 0.5 to 1 at random. */
static void
client_redial(const char *why)
{
	long long span = 1000LL << (cli.failures < 6 ? cli.failures : 6);
	unsigned int r;

	cli.dialling = NULL;
	if (loop.stop || cli.close_code != 0)
		return;
	if (cli.refused) {
		client_give_up(token_refused);
		return;
	}
	helper_end();
	random_bytes(&r, sizeof(r));
	span = min_time(span, BACKOFF_MAX_MS);
	span = span / 2 + (long long)(r % (unsigned int)(span / 2 + 1));
	if (cli.failures < 16)
		cli.failures++;
	person_note("%s; trying again in %lld.%lld s", why, span / 1000,
	    span % 1000 / 100);
	timer_set(&cli.redial, now_ms + span);
}

static void
dial_failed(struct conn *c, const char *why)
{
	conn_kill(c);
	client_redial(why);
}

static void
client_gone(struct link *l, int code, const char *why)
{
	char text[512];

	streams_orphan(l, "the link to the server broke");
	if (cli.link != l)
		return;
	cli.link = NULL;
	if (code == 1008 && l->close_in && now_ms - cli.up_ms < 10000) {
		helper_end();
		client_give_up(why);
		return;
	}
	if (now_ms - cli.up_ms >= STEADY_MS)
		cli.failures = 0;
	text_put(text, sizeof(text), "disconnected: %s", why[0] != '\0' ? why :
	    code == 1001 ? "the server is going away" : "the link was closed");
	client_redial(text);
}

static const struct link_ops client_link_ops = {
	.message = client_message, .oversize = client_oversize,
	.handled = gather_write, .gone = client_gone,
};

static void
dial_accepted(struct conn *c, int v2)
{
	struct link *l = link_new(c, &client_link_ops, 1);

	if (l == NULL) {
		dial_failed(c, "out of memory");
		return;
	}
	conn_state(c, CONN_OPEN);
	cli.dialling = NULL;
	cli.link = l;
	cli.up_ms = now_ms;
	l->v2 = v2 != 0;
	l->max_streams = cli.dial.streams;
	cli.told = 0;
	cli.refused = 0;
	link_measure(l);
	link_later(l);
	link_input(l);
}

/* What a status other than 101 means for a person. */
static void
dial_refused(struct conn *c, int status, const char *why)
{
	char text[512];

	if ((status == 401 || status == 403) && !cli.dial.in_query) {
		/* The reference looks for a token in the query alone. */
		cli.dial.in_query = 1;
		cli.refused = 1;
		conn_kill(c);
		helper_end();
		timer_set(&cli.redial, now_ms);
		return;
	}
	if (status == 401 || status == 403) {
		conn_kill(c);
		client_give_up(token_refused);
		return;
	}
	if (status == 502 && why != NULL)
		text_put(text, sizeof(text), "%s does not answer as a pipegate "
		    "server: %s", cli.server_host, why);
	else
		text_put(text, sizeof(text), "%s answered %d %s instead of "
		    "opening a tunnel%s", cli.server_host, status,
		    http_reason(status), status < 400 || status == 404 ?
		    " (SERVER_URL usually ends in a slash)" : "");
	dial_failed(c, text);
}

static void
dial_answer(struct conn *c)
{
	struct ws_hello hello;
	const char *why = NULL;
	int v2 = 0, r;
	struct view in = buf_view(&c->rx);

	r = http_answer_parse(&cli.head, in.p, in.n, &c->scanned,
	    view_of("GET"));
	if (r == 0)
		return;
	if (r < 0) {
		dial_refused(c, 502, "not HTTP");
		return;
	}
	c->scanned = 0;
	buf_consume(&c->rx, (size_t)r);
	r = ws_answer_check(&cli.head, &cli.dial, &v2, &hello, &why);
	if (r < 0)
		dial_refused(c, -r, why);
	else
		dial_accepted(c, v2);
}

/* What the helper said last is the best reason that there is. */
static void
dial_ended(struct conn *c, const char *why)
{
	char text[1024], buf[1024] = "";
	size_t n;

	while (cli.helper_err != NULL &&
	    conn_read(cli.helper_err, buf, sizeof(buf), &n) == IO_DATA)
		helper_note(buf, n);
	if (cli.helper_said[0] != '\0')
		why = helper_meaning(cli.helper_said);
	text_put(text, sizeof(text), "cannot connect to %s: %s%s",
	    cli.server_host, why, cli.tls || opt.connect_command != NULL ? "" :
	    " (is it wss://?)");
	dial_failed(c, text);
}

static void
dial_send(struct conn *c)
{
	unsigned char space[JWT_SIZE_MAX + 4096];
	struct http_out o = { space, sizeof(space), 0 };

	random_bytes(cli.dial.nonce, sizeof(cli.dial.nonce));
	ws_dial_put(&o, &cli.dial);
	conn_put(c, space, min_size(o.len, o.cap));
	hmac_wipe(space, sizeof(space));
}

static void
dial_next(const char *why)
{
	char text[1024];

	while (cli.address < cli.server.n) {
		int fd = endpoint_connect(&cli.server, cli.address++);

		if (fd == -1) {
			why = strerror(errno);
			continue;
		}
		cli.dialling = conn_new(&dial_kind, fd, CONN_CONNECT);
		if (cli.dialling != NULL)
			return;
	}
	text_put(text, sizeof(text), "cannot connect to %s: %s",
	    cli.server_host, why);
	client_redial(text);
}

static void
dial_ready(struct conn *c, short revents)
{
	enum io io;

	if (c->state == CONN_CONNECT) {
		int err = socket_error(c->fd);

		if (err != 0) {
			conn_kill(c);
			dial_next(strerror(err));
			return;
		}
		conn_state(c, CONN_HANDSHAKE);
		dial_send(c);
		return;
	}
	if (revents & POLLOUT)
		conn_flush_later(c);
	if (!(revents & ~POLLOUT))
		return;
	io = conn_fill(c, pool_size[POOL_LARGE]);
	if (io == IO_DATA)
		dial_answer(c);
	else if (io != IO_WAIT)
		dial_ended(c, io == IO_EOF ? "the connection was closed" :
		    strerror(errno));
}

static short
dial_events(const struct conn *c)
{
	return (short)(c->state == CONN_CONNECT ? POLLOUT :
	    POLLIN | (c->tx.len > 0 ? POLLOUT : 0));
}

static long long
dial_deadline(const struct conn *c)
{
	return c->since_ms + (cli.refused ? DIAL_AGAIN_MS : DIAL_MS);
}

static void
dial_expire(struct conn *c)
{
	if (c->state == CONN_CONNECT) {
		conn_kill(c);
		dial_next("no answer");
	} else {
		dial_ended(c, "no answer to the handshake");
	}
}

static void
dial_broken(struct conn *c)
{
	dial_ended(c, "the connection broke");
}

static const struct kind dial_kind = {
	.name = "dial", .ready = dial_ready, .broken = dial_broken,
	.events = dial_events, .deadline = dial_deadline,
	.expire = dial_expire,
};

static void
server_looked_up(struct endpoint *e, const char *error)
{
	char text[512];

	if (error == NULL) {
		cli.address = 0;
		dial_next("no address");
		return;
	}
	text_put(text, sizeof(text), "cannot look up %s: %s", e->host, error);
	client_redial(text);
}

static void
helper_err_ready(struct conn *c, short revents)
{
	char buf[1024];
	size_t n;
	enum io io = conn_read(c, buf, sizeof(buf), &n);

	(void)revents;
	if (io == IO_DATA)
		helper_note(buf, n);
	if (io == IO_EOF || io == IO_ERROR) {
		cli.helper_err = NULL;
		conn_kill(c);
	}
}

static void
helper_err_broken(struct conn *c)
{
	cli.helper_err = NULL;
	conn_kill(c);
}

static const struct kind helper_err_kind = {
	.name = "helper", .ready = helper_err_ready, .broken = helper_err_broken,
	.events = always_readable, .deadline = no_deadline,
	.expire = helper_err_broken,
};

/* Fills %h and %p into the command. */
static void
helper_command(char *out, size_t cap)
{
	const char *p = opt.connect_command;
	size_t n = text_put(out, cap, "exec ");

	for (; *p != '\0' && n + 1 < cap; p++) {
		const char *put = NULL;

		if (p[0] == '%' && p[1] == 'h')
			put = cli.server.host;
		else if (p[0] == '%' && p[1] == 'p')
			put = cli.server.port;
		else if (p[0] == '%' && p[1] == '%')
			put = "%";
		if (put == NULL) {
			out[n++] = *p;
			continue;
		}
		n += text_put(out + n, cap - n, "%s", put);
		p++;
	}
	out[min_size(n, cap - 1)] = '\0';
}

/* The default: openssl, with the chain and the name verified.  -quiet also
 * switches off its command letters, so that all bytes pass. */
static void
helper_openssl(void)
{
	static char to[sizeof(cli.server.host) + 16];
	int v6 = strchr(cli.server.host, ':') != NULL;
	int numeric = host_is_numeric(cli.server.host);
	char *const argv[] = {
		"openssl", "s_client", "-quiet", "-verify_quiet",
		"-verify_return_error", "-verify", "8", "-connect", to,
		numeric ? "-noservername" : "-servername",
		numeric ? "-verify_ip" : cli.server.host,
		numeric ? cli.server.host : "-verify_hostname",
		numeric ? NULL : cli.server.host, NULL
	};

	text_put(to, sizeof(to), v6 ? "[%s]:%s" : "%s:%s", cli.server.host,
	    cli.server.port);
	execvp(argv[0], argv);
	warn("cannot run openssl: %s (install it, or name another program "
	    "with --connect)", strerror(errno));
}

static void
helper_child(int fd, int err)
{
	char command[4096];
	char *const argv[] = { "/bin/sh", "-c", command, NULL };

#ifdef PR_SET_PDEATHSIG
	prctl(PR_SET_PDEATHSIG, SIGKILL);	/* not to outlive a client that is killed */
#endif
	/* A Ctrl-C reaches it too, and it must still carry our goodbye. */
	signal_catch(SIGINT, SIG_IGN);
	signal_catch(SIGTERM, SIG_IGN);
	signal_catch(SIGHUP, SIG_IGN);
	if (dup2(fd, STDIN_FILENO) == -1 || dup2(fd, STDOUT_FILENO) == -1 ||
	    dup2(err, STDERR_FILENO) == -1)
		_exit(126);
	if (opt.connect_command == NULL) {
		helper_openssl();
		_exit(127);
	}
	helper_command(command, sizeof(command));
	execvp(argv[0], argv);
	warn("cannot run /bin/sh:");
	_exit(127);
}

static void
helper_started(int fd, int err)
{
	fd_prepare(fd);
	fd_prepare(err);
	cli.helper_err = conn_new(&helper_err_kind, err, CONN_OPEN);
	cli.dialling = conn_new(&dial_kind, fd, CONN_CONNECT);
	if (cli.dialling == NULL) {
		client_redial("out of memory");
		return;
	}
	conn_state(cli.dialling, CONN_HANDSHAKE);
	dial_send(cli.dialling);
}

static void
helper_dial(void)
{
	int pair[2], err[2];

	cli.helper_said[0] = '\0';
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1) {
		client_redial("no socket for the helper");
		return;
	}
	if (pipe(err) == -1) {
		close(pair[0]);
		close(pair[1]);
		client_redial("no pipe for the helper");
		return;
	}
	fcntl(pair[0], F_SETFD, FD_CLOEXEC);
	fcntl(err[0], F_SETFD, FD_CLOEXEC);
	cli.helper = child_fork();
	if (cli.helper == 0)
		helper_child(pair[1], err[1]);
	close(pair[1]);
	close(err[1]);
	if (cli.helper == -1) {
		cli.helper = 0;
		close(pair[0]);
		close(err[0]);
		client_redial("cannot start the helper");
		return;
	}
	helper_started(pair[0], err[0]);
}

void
client_dial(void)
{
	log_event(LEVEL_DEBUG, "event=dial host=%s port=%s", cli.server.host,
	    cli.server.port);
	if (cli.tls || opt.connect_command != NULL)
		helper_dial();
	else if (lookup_start(&cli.server, server_looked_up) == -1)
		client_redial("cannot start the look-up");
}

void
redial_timer(struct timer *t)
{
	(void)t;
	client_dial();
}
