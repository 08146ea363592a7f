/*
 * PipeGate: an HTTP tunnel in one poll() loop.  This file is the front door:
 * usage, options, the token, main().  The engine stands in gate/, a room a
 * file; the codecs that it drives are declared in pipegate.h.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/url.h"
#include "gate/settings.h"
#include "gate/domain.h"
#include "gate/guise.h"
#include "gate/lock.h"
#include "gate/server.h"
#include "gate/dial.h"
#include "gate/client.h"
#include "gate/welcome.h"
#include "pipegate.h"

/* Apps ask for paths that begin so: a tunnel of that name would get them. */
static void
token_warn_common(struct view sub)
{
	static const char *const common[] = {
		"api", "assets", "static", "login", "_next"
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(common); i++)
		if (http_equal(sub, common[i]))
			warn("note: many apps have paths that begin with /%s/.  By "
			    "path, a tunnel of that name takes them from other "
			    "tunnels: better choose another id", common[i]);
}

static void
token_domains(struct jwt_claims *c)
{
	char *name;
	int i;

	for (i = 0; i < opt->nown; i++) {
		name = c->domain[c->ndomains++];
		snprintf(name, sizeof(c->domain[0]), "%s", opt->own[i]);
		view_lower((unsigned char *)name, view_of(name));
		if (strlen(opt->own[i]) > JWT_DOMAIN_MAX ||
		    !domain_may_be_own(name))
			die("--domain is \"%.300s\": it must be a DNS name of two "
			    "labels or more, such as app.example.org (no address, "
			    "port or *; letters beyond a-z as xn--)", opt->own[i]);
	}
}

/* Seconds of text, a whole number with s, m, h or d behind it: without one, days.  -1
 * where it is none, or none from 1 s to TTL_DAYS_MAX. */
static long long
token_seconds(const char *text)
{
	static const struct {
		const char *name;
		long long s;
	} unit[] = {
		{ "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 }, { "", 86400 },
	};
	char *end;
	long long n = strtoll(text, &end, 10);
	size_t i;

	if (end == text || n < 1)
		return -1;
	for (i = 0; i < ARRAY_LEN(unit); i++)
		if (strcmp(end, unit[i].name) == 0 &&
		    n <= TTL_DAYS_MAX * 86400LL / unit[i].s)
			return n * unit[i].s;
	return -1;
}

/* Makes out a random id as 32 hex digits, with a NUL. */
static void
token_random_id(char out[33])
{
	unsigned char id[16];

	random_bytes(id, sizeof(id));
	ws_uuid_make(id);
	ws_hex_put(out, id);
	out[32] = '\0';
}

static void
token_sub(struct jwt_claims *c)
{
	char hex[33];
	struct view sub;

	token_random_id(hex);
	sub = view_of(opt->connection_id != NULL ? opt->connection_id : hex);
	if (!jwt_sub_ok(sub))
		die("\"%.200s\" (from --connection-id or "
		    "PIPEGATE_CONNECTION_ID) cannot be a connection id: use 1 to %d of "
		    "A-Z a-z 0-9 . _ ~ - (not \".\", \"..\" or \"healthz\")",
		    (const char *)sub.p, JWT_SUB_MAX);
	if (!http_label_ok(sub))
		warn("note: \"%.200s\" can be reached by its path only.  For a "
		    "host name of its own (PIPEGATE_DOMAIN) an id has 1 to 63 of "
		    "a-z 0-9 -, and no hyphen at its ends", (const char *)sub.p);
	token_warn_common(sub);
	memcpy(c->sub, sub.p, sub.n);
}

/* Says on stderr, since programs read the two lines on stdout, by what the token can
 * be revoked. */
static void
token_tell_jti(const struct jwt_claims *c)
{
	if (opt->bare)
		warn("note: a token of sub and exp alone has no jti.  Only its id can "
		    "be revoked, with all tokens for it: \"%s\" as a line of the "
		    "file that PIPEGATE_REVOKED names", c->sub);
	else
		fprintf(stderr, "jti:           %s\n", c->jti);
}

static int
token_run(long long ttl_s)
{
	struct jwt_claims c;
	char token[JWT_SIZE_MAX + 1];

	memset(&c, 0, sizeof(c));
	token_sub(&c);
	token_domains(&c);
	token_random_id(c.jti);
	c.iat = c.nbf = clock_wall();
	c.exp = c.iat + ttl_s;
	if ((opt->bare ? jwt_make_bare : jwt_make)(token, sizeof(token), &c,
	    &opt->key) == -1)
		die("the token would be too long: shorten "
		    "PIPEGATE_JWT_ISSUER or PIPEGATE_JWT_AUDIENCE, or give "
		    "fewer --domain");
	if (printf("Connection-id: %s\nJWT Bearer:    %s\n", c.sub, token) < 0 ||
	    fflush(stdout) == EOF)
		die("cannot write the token:");
	token_tell_jti(&c);
	return 0;
}

static const char usage_main[] =
"PipeGate " PIPEGATE_VERSION ": reach a local web service through a server of your own.\n"
"\n"
"usage:\n"
"  pipegate server [--host H] [-p N | --port N]   on the machine that people reach\n"
"  pipegate token  [-c ID | --connection-id ID] [--domain NAME ...]\n"
"                  [--ttl TIME] [--bare]\n"
"                                                 mints the token for a client\n"
"  pipegate client TARGET_URL SERVER_URL          beside the service\n"
"  pipegate welcome [--host H] [-p N | --port N]  a page for a first tunnel\n"
"  pipegate --help | --version\n"
"\n"
"A first tunnel, all on one machine (the client stays in front: ask from\n"
"another terminal, and put what `pipegate token` printed in TOKEN's place):\n"
"  export PIPEGATE_JWT_SECRET=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n')\n"
"  pipegate server &\n"
"  pipegate token -c my-app\n"
"  pipegate welcome &\n"
"  pipegate client http://localhost:3000 'ws://localhost:8000/?token=TOKEN'\n"
"  curl http://localhost:8000/my-app/\n"
"\n"
"`pipegate SUBCOMMAND --help` says more of each.\n";

static const char usage_server[] =
"usage: pipegate server [--host H] [-p N | --port N] [--quiet | --verbose]\n"
"\n"
"Takes requests for /{id}/... and passes them to the client that is connected\n"
"with a token for that id.  It speaks plain HTTP: put Caddy, stunnel or another\n"
"TLS terminator in front of it.\n"
"\n"
"  --host H       address to listen on (default 0.0.0.0; :: for IPv6 too), or a\n"
"                 socket, unix:/path\n"
"  -p, --port N   port (default 8000; 0 takes any that is free)\n"
"  -q, --quiet    log errors only\n"
"  -v, --verbose  log more\n"
"\n"
"The first line on stdout says where it listens.  The log goes to stderr.  SIGHUP\n"
"has it read the file of PIPEGATE_REVOKED anew.\n"
"\n"
"environment (default):\n"
"  PIPEGATE_JWT_SECRET         signs and checks the tokens; required\n"
"  PIPEGATE_JWT_SECRET_PREVIOUS none: checks them too, while the other is new\n"
"  PIPEGATE_REVOKED            none: file of revoked tokens, a jti or id a line\n"
"  PIPEGATE_JWT_ALGORITHMS     [\"HS256\"], the only one\n"
"  PIPEGATE_JWT_ISSUER         pipegate\n"
"  PIPEGATE_JWT_AUDIENCE       pipegate\n"
"  PIPEGATE_MAX_BODY_BYTES     10485760: largest request body; 0 = no limit\n"
"  PIPEGATE_MAX_QUEUE_DEPTH    100: requests that wait for one id\n"
"  PIPEGATE_MAX_RATE           0: requests a second for each id; 0 = no limit\n"
"  PIPEGATE_OFFLINE_WAIT       60: seconds that they wait for a client to return\n"
"  PIPEGATE_SERVICE_WAIT       3: seconds that they wait for a service to be back\n"
"  PIPEGATE_RESPONSE_TIMEOUT   300: seconds until an answer must begin\n"
"  PIPEGATE_MAX_MEMORY         67108864: bytes for all buffers\n"
"  PIPEGATE_MAX_CONNECTIONS    16384, or what the limit of open files allows\n"
"  PIPEGATE_DOMAIN             none: ids have hosts of their own under this name\n"
"  PIPEGATE_PUBLIC_URL         where clients dial: the URL that they print\n"
"  PIPEGATE_ADMIN              none: host:port or unix:/path, where /ask is\n"
"  PIPEGATE_OFFLINE_PAGE       our own: file with a page for ids nobody serves\n"
"  PIPEGATE_TRUSTED_PROXIES    127.0.0.0/8,::1: whose X-Forwarded-* are believed\n"
"  PIPEGATE_TRUSTED_FIELDS     none: further fields that these may set\n"
"  PIPEGATE_PROXY_PROTOCOL     0; 1: these send a PROXY header in place of fields\n"
"  PIPEGATE_SCHEME             http, or https: how callers come, if nobody says it\n"
"  LISTEN_FDS                  1: a socket to listen on is handed over (systemd)\n"
"  LISTEN_PID                  to which process\n"
"  NOTIFY_SOCKET               where to say that the server is ready (systemd)\n";

static const char usage_client[] =
"usage: pipegate client TARGET_URL SERVER_URL [--auth USER:PASS]\n"
"                       [--allow NET,...] [--connect COMMAND]\n"
"                       [--host-header HOST] [--no-rewrite]\n"
"                       [--insecure-target] [--quiet | --verbose]\n"
"\n"
"Connects to the server and passes the requests that it sends to the service at\n"
"TARGET_URL.  Dials again whenever the connection drops.\n"
"\n"
"  TARGET_URL   http://localhost:3000, also with a base path; or just a port;\n"
"               https://localhost:8443 through TLS; unix:/run/app.sock, a socket\n"
"  SERVER_URL   ws://yourserver:8000/?token=TOKEN, or wss:// through TLS\n"
"               (http:// and https:// are taken for ws:// and wss://)\n"
"\n"
"  --auth USER:PASS    callers must send these (HTTP Basic); others get 401\n"
"  --allow NET,...     callers must come from one of these, such as\n"
"                      192.0.2.7,10.0.0.0/8; others get 403\n"
"  --connect COMMAND   a program that carries the bytes to the server on its\n"
"                      stdin and stdout, with %h and %p for host and port;\n"
"                      default for wss://: openssl s_client, verifying the\n"
"                      certificate\n"
"  --host-header HOST  what the service sees as Host; `rewrite`: its own, also in\n"
"                      Origin and Referer (default: as it came)\n"
"  --no-rewrite        pass Location, Refresh and Set-Cookie as the service says\n"
"                      them, without /{id}\n"
"  --insecure-target   take any certificate of an https:// service\n"
"  -q, --quiet         print nothing but errors\n"
"  -v, --verbose       log more, to stderr\n"
"\n"
"environment:\n"
"  PIPEGATE_TOKEN      the token, so that SERVER_URL needs no ?token=\n"
"  PIPEGATE_AUTH       as --auth, but other users of the machine do not see it\n"
"  PIPEGATE_CONNECT    as --connect\n"
"  PIPEGATE_MAX_MEMORY 67108864: bytes for all buffers\n"
"  SSL_CERT_FILE       a CA certificate that openssl is to trust, for wss:// and\n"
"                      https://\n"
"  NO_COLOR            no colour\n";

static const char usage_token[] =
"usage: pipegate token [-c ID | --connection-id ID] [--domain NAME ...]\n"
"                      [--ttl TIME] [--bare]\n"
"\n"
"Prints a connection id and a token that lets a client serve it; and on\n"
"stderr the token's jti, by which it can be revoked.\n"
"\n"
"  -c, --connection-id ID   1 to 128 of A-Z a-z 0-9 . _ ~ - (default: the\n"
"                           environment's, else a random one)\n"
"  --domain NAME            a host of your own that leads to it, such as\n"
"                           app.example.org; up to 16 times\n"
"  --ttl TIME               how long it is good: 90s, 30m, 2h, or 7d, which is 7\n"
"                           too (default: PIPEGATE_JWT_TTL_DAYS)\n"
"  --bare                   sub and exp alone, for an older Python server; only its\n"
"                           id can be revoked\n"
"\n"
"environment (default):\n"
"  PIPEGATE_JWT_SECRET      signs the token; required, the server's own\n"
"  PIPEGATE_JWT_TTL_DAYS    21: days until it expires\n"
"  PIPEGATE_JWT_ISSUER      pipegate\n"
"  PIPEGATE_JWT_AUDIENCE    pipegate\n"
"  PIPEGATE_CONNECTION_ID   the id\n";

static const char usage_welcome[] =
"usage: pipegate welcome [--host H] [-p N | --port N] [--quiet | --verbose]\n"
"\n"
"A local service with one page, for a first tunnel to lead to: it shows the\n"
"request as it arrived.\n"
"\n"
"  --host H       address to listen on (default 127.0.0.1)\n"
"  -p, --port N   port (default 3000; 0 takes any that is free)\n"
"  -q, --quiet    log errors only\n"
"  -v, --verbose  log more\n"
"\n"
"The first line on stdout says where it listens.\n";

struct option {
	const char *brief, *name;	/* "-p", "--port" */
	const char **value;		/* NULL: a flag */
	int *on;			/* what the flag sets; NULL: the level */
	int *n;				/* values, where it may be given again; else NULL */
	enum log_level level;
	int most;			/* values then */
};

struct command {
	const char *name, *usage;
	const struct option *option;
	size_t noption;
	int narg;
	const char *host, *port;	/* defaults for listening */
	int (*run)(const struct command *, char **arg);
};

/* Ends with status 2: "pipegate: server: ...". */
static void NORETURN PRINTF_LIKE(2, 3)
usage_error(const struct command *cmd, const char *fmt, ...)
{
	const char *name = cmd != NULL ? cmd->name : "";
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	warn("%s%s%s\nTry `pipegate %s%s--help`.", name,
	    cmd != NULL ? ": " : "", text, name, cmd != NULL ? " " : "");
	exit(2);
}

static void NORETURN
usage_show(const char *text)
{
	exit(write_all(STDOUT_FILENO, text, strlen(text)) == -1);
}

/* Whether arg is option o; *attached is what follows its '=' or "-p". */
static int
option_is(const struct option *o, const char *arg, const char **attached)
{
	size_t n = strlen(o->name);

	*attached = NULL;
	if (strncmp(arg, o->name, n) == 0 && (arg[n] == '\0' || arg[n] == '=')) {
		if (arg[n] == '=')
			*attached = arg + n + 1;
		return 1;
	}
	if (o->brief == NULL || strncmp(arg, o->brief, 2) != 0)
		return 0;
	if (arg[2] != '\0')
		*attached = arg + 2;
	return 1;
}

/* How many octets of arg are told where it is unknown: the rest may be a password. */
static int
arg_told(const char *arg)
{
	return (int)min_size(strcspn(arg, "="), 100);
}

/* Takes option argv[i].  Returns the index of the last argument it used. */
static int
option_take(const struct command *cmd, int argc, char **argv, int i)
{
	const char *attached;
	size_t k;

	for (k = 0; k < cmd->noption; k++) {
		const struct option *o = &cmd->option[k];

		if (!option_is(o, argv[i], &attached))
			continue;
		if (o->value == NULL) {
			if (attached != NULL)
				usage_error(cmd, "%s takes no value", o->name);
			if (o->on != NULL)
				*o->on = 1;
			else
				log_set_level(o->level);
			return i;
		}
		if (attached == NULL && ++i == argc)
			usage_error(cmd, "%s needs a value", o->name);
		if (o->n != NULL && *o->n == o->most)
			usage_error(cmd, "%s is given too often: %d at most",
			    o->name, o->most);
		o->value[o->n != NULL ? (*o->n)++ : 0] =
		    attached != NULL ? attached : argv[i];
		return i;
	}
	usage_error(cmd, "there is no option \"%.*s\"", arg_told(argv[i]), argv[i]);
}

/* Sorts argv into options and arguments, of which arg has room for narg. */
static void
command_parse(const struct command *cmd, int argc, char **argv, char **arg)
{
	int i, n = 0, only_args = 0;

	for (i = 2; i < argc; i++) {
		if (!only_args && (strcmp(argv[i], "--help") == 0 ||
		    strcmp(argv[i], "-h") == 0)) {
			usage_show(cmd->usage);
		}
		if (!only_args && strcmp(argv[i], "--") == 0) {
			only_args = 1;
		} else if (!only_args && argv[i][0] == '-' && argv[i][1] != '\0') {
			i = option_take(cmd, argc, argv, i);
		} else if (n < cmd->narg) {
			arg[n++] = argv[i];
		} else {
			usage_error(cmd, "there is one argument too many");
		}
	}
	if (n < cmd->narg)
		usage_error(cmd, "%s is missing", n == 0 ?
		    "TARGET_URL, such as http://localhost:3000," :
		    "SERVER_URL, such as ws://yourserver:8000/?token=...,");
}

/* --- the subcommands */

static void
port_check(const struct command *cmd)
{
	if (!port_ok(view_of(opt->port)))
		usage_error(cmd, "--port is \"%.50s\": it must be a "
		    "number from 0 to 65535", opt->port);
}

static int
command_server(const struct command *cmd, char **arg)
{
	(void)arg;
	port_check(cmd);
	secret_read();
	secrets_guard();
	files_limit();
	return server_run();
}

/* Takes the token from SERVER_URL or the environment. */
static void
client_token(const struct command *cmd, struct uplink *u)
{
	const char *bad = NULL;

	if (u->token[0] == '\0' && opt->token != NULL)
		bad = uplink_set_token(u, opt->token);
	if (bad != NULL)
		usage_error(cmd, "PIPEGATE_TOKEN cannot be used: %s", bad);
	if (u->token[0] == '\0')
		usage_error(cmd, "there is no token: put ?token=... "
		    "at the end of SERVER_URL, or set PIPEGATE_TOKEN (mint "
		    "one with `pipegate token` where the server's secret is)");
}

/* Checks --auth, of which nothing is said again, and --allow. */
static void
client_lock(const struct command *cmd)
{
	const char *bad = opt->auth == NULL ? NULL :
	    lock_auth_fault(opt->auth);

	if (bad != NULL)
		usage_error(cmd, "--auth (or PIPEGATE_AUTH): %s", bad);
	if (allow_read() == -1)
		usage_error(cmd, "--allow is \"%.200s\": it must be addresses or "
		    "networks with commas between them, such as "
		    "192.0.2.7,10.0.0.0/8 (%d at most)", opt->allow_text,
		    ALLOW_MAX);
}

static int
command_client(const struct command *cmd, char **arg)
{
	static struct uplink uplink;
	const char *bad = target_set(&uplink.target, arg[0]);

	if (bad != NULL)
		usage_error(cmd, "TARGET_URL is \"%.200s\": %s", arg[0], bad);
	if (opt->host_header != NULL && !guise_ok(opt->host_header))
		usage_error(cmd, "--host-header is \"%.200s\": it must be rewrite, "
		    "or a host such as localhost:3000", opt->host_header);
	client_lock(cmd);
	bad = uplink_set_server(&uplink, arg[1]);
	if (bad != NULL)
		usage_error(cmd, "SERVER_URL cannot be read: %s", bad);
	hmac_wipe(arg[1], strlen(arg[1]));
	client_token(cmd, &uplink);
	secret_drop();
	secrets_guard();
	files_limit();
	return client_run(&uplink);
}

static int
command_welcome(const struct command *cmd, char **arg)
{
	(void)arg;
	port_check(cmd);
	secret_drop();
	return welcome_run();
}

static int
command_token(const struct command *cmd, char **arg)
{
	long long ttl_s = opt->ttl != NULL ? token_seconds(opt->ttl) :
	    opt->ttl_days * 86400;

	(void)arg;
	if (ttl_s == -1)
		usage_error(cmd, "--ttl is \"%.100s\": it must be a whole number "
		    "of s, m, h or d (days where none of these is said), such as "
		    "2h, from 1s to %dd", opt->ttl, TTL_DAYS_MAX);
	if (opt->bare && opt->nown > 0)
		usage_error(cmd, "--bare and --domain cannot be given together: a "
		    "token of sub and exp alone has no domains");
	secret_read();
	return token_run(ttl_s);
}

static const struct option listen_options[] = {
	{ NULL, "--host", &settings_said.host, NULL, NULL, LEVEL_INFO, 0 },
	{ "-p", "--port", &settings_said.port, NULL, NULL, LEVEL_INFO, 0 },
	{ "-q", "--quiet", NULL, NULL, NULL, LEVEL_ERROR, 0 },
	{ "-v", "--verbose", NULL, NULL, NULL, LEVEL_DEBUG, 0 },
};

static const struct option client_options[] = {
	{ NULL, "--connect", &settings_said.connect_command, NULL, NULL, LEVEL_INFO, 0 },
	{ NULL, "--auth", &settings_said.auth, NULL, &settings_said.nauth, LEVEL_INFO, 1 },
	{ NULL, "--allow", &settings_said.allow_text, NULL, NULL, LEVEL_INFO, 0 },
	{ NULL, "--host-header", &settings_said.host_header, NULL, NULL, LEVEL_INFO, 0 },
	{ NULL, "--no-rewrite", NULL, &settings_said.as_is, NULL, LEVEL_INFO, 0 },
	{ NULL, "--insecure-target", NULL, &settings_said.insecure_target, NULL,
	    LEVEL_INFO, 0 },
	{ "-q", "--quiet", NULL, NULL, NULL, LEVEL_ERROR, 0 },
	{ "-v", "--verbose", NULL, NULL, NULL, LEVEL_DEBUG, 0 },
};

static const struct option token_options[] = {
	{ "-c", "--connection-id", &settings_said.connection_id, NULL, NULL,
	    LEVEL_INFO, 0 },
	{ NULL, "--domain", settings_said.own, NULL, &settings_said.nown,
	    LEVEL_INFO, JWT_DOMAINS_MAX },
	{ NULL, "--ttl", &settings_said.ttl, NULL, NULL, LEVEL_INFO, 0 },
	{ NULL, "--bare", NULL, &settings_said.bare, NULL, LEVEL_INFO, 0 },
};

static const struct command commands[] = {
	{ "server", usage_server, listen_options, ARRAY_LEN(listen_options), 0,
	    "0.0.0.0", "8000", command_server },
	{ "client", usage_client, client_options, ARRAY_LEN(client_options), 2,
	    NULL, NULL, command_client },
	{ "token", usage_token, token_options, ARRAY_LEN(token_options), 0,
	    NULL, NULL, command_token },
	{ "welcome", usage_welcome, listen_options, ARRAY_LEN(listen_options),
	    0, "127.0.0.1", "3000", command_welcome },
};

/* A closed stdin, stdout or stderr must not be taken by a socket. */
static void
standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int
main(int argc, char **argv)
{
	const struct command *cmd = NULL;
	char *arg[2];
	size_t i;

	standard_fds();
	if (argc < 2)
		usage_error(NULL, "which subcommand: server, client, token or welcome?");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		usage_show(usage_main);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		usage_show("pipegate " PIPEGATE_VERSION "\n");
	for (i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			cmd = &commands[i];
	if (cmd == NULL)
		usage_error(NULL, "there is no subcommand \"%.*s\"",
		    arg_told(argv[1]), argv[1]);
	settings_said.host = cmd->host;
	settings_said.port = cmd->port;
	command_parse(cmd, argc, argv, arg);
	environment_read();
	return cmd->run(cmd, arg);
}
