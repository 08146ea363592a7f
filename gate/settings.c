#include <sys/resource.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "gate/say.h"
#include "gate/mem.h"
#include "gate/addr.h"
#include "gate/net.h"
#include "gate/url.h"
#include "gate/settings.h"

struct settings settings_said;
const struct settings *const opt = &settings_said;

int
peer_is_trusted(const struct addr *a)
{
	int i;

	if (a->family == 0)
		return 1;
	for (i = 0; i < opt->ntrusted; i++)
		if (cidr_has(&opt->trusted[i], a))
			return 1;
	return 0;
}

#define OWN_FDS 32	/* besides max_connections: of tunnel clients, and the program's own */

struct setting {
	const char *name;
	long long *value;
	long long fallback, low, high;
};

static const struct setting settings[] = {
	{ "PIPEGATE_JWT_TTL_DAYS", &settings_said.ttl_days, 21, 1, TTL_DAYS_MAX },
	{ "PIPEGATE_MAX_BODY_BYTES", &settings_said.max_body, 10485760, 0, 1LL << 50 },
	{ "PIPEGATE_MAX_QUEUE_DEPTH", &settings_said.queue_depth, 100, 0, 1000000 },
	{ "PIPEGATE_OFFLINE_WAIT", &settings_said.offline_wait_s, 60, 0, 86400 },
	{ "PIPEGATE_SERVICE_WAIT", &settings_said.service_wait_s, 3, 0, 86400 },
	{ "PIPEGATE_RESPONSE_TIMEOUT", &settings_said.response_timeout_s, 300, 1, 86400 },
	{ "PIPEGATE_MAX_RATE", &settings_said.max_rate, 0, 0, 1000000 },
	{ "PIPEGATE_MAX_MEMORY", &settings_said.max_memory, 64 << 20, 1 << 20, 1LL << 40 },
	{ "PIPEGATE_MAX_CONNECTIONS", &settings_said.max_connections, 16384, 1, 1000000 },
	{ "PIPEGATE_PROXY_PROTOCOL", &settings_said.proxy_protocol, 0, 0, 1 },
};

static void
setting_read(const struct setting *s)
{
	const char *text = getenv(s->name);
	char *end;
	long long v;

	*s->value = s->fallback;
	if (text == NULL)
		return;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || v < s->low ||
	    v > s->high)
		die("%s is \"%.100s\": it must be a whole number from %lld to "
		    "%lld", s->name, text, s->low, s->high);
	*s->value = v;
}

/* The value of a variable that is set and not empty, or NULL. */
static const char *
env_some(const char *name)
{
	const char *v = getenv(name);

	return v != NULL && v[0] != '\0' ? v : NULL;
}

static const char *
env_or(const char *name, const char *fallback)
{
	const char *v = getenv(name);

	return v != NULL ? v : fallback;
}

/* Reads addresses and networks with commas between them.  Returns how many, or -1:
 * they are none, or more than max. */
static int
cidrs_read(struct cidr *list, int max, const char *p)
{
	int count = 0;

	while (*p != '\0') {
		size_t n = strcspn(p, ",");

		if (count == max || cidr_read(&list[count++], p, n) == -1)
			return -1;
		p += n;
		if (*p == ',')
			p += 1 + strspn(p + 1, " ");
	}
	return count;
}

static void
trusted_read(void)
{
	const char *text = env_or("PIPEGATE_TRUSTED_PROXIES",
	    "127.0.0.0/8,::1");

	settings_said.ntrusted = cidrs_read(settings_said.trusted, TRUSTED_MAX,
	    text);
	if (opt->ntrusted == -1)
		die("PIPEGATE_TRUSTED_PROXIES is \"%.200s\": it must be "
		    "addresses or networks with commas between them, such as "
		    "127.0.0.0/8,::1 (%d at most)", text, TRUSTED_MAX);
}

int
allow_read(void)
{
	if (opt->allow_text == NULL)
		return 0;
	settings_said.nallow = cidrs_read(settings_said.allow, ALLOW_MAX,
	    opt->allow_text);
	return opt->nallow > 0 ? 0 : -1;
}

/* Names of header fields, with commas between them. */
static void
trusted_fields_read(void)
{
	const char *text = getenv("PIPEGATE_TRUSTED_FIELDS");
	struct view rest, name;

	settings_said.trusted_fields = text != NULL ? text : "";
	rest = view_of(opt->trusted_fields);
	while (rest.n > 0) {
		name = view_until(&rest, ",");
		while (name.n > 0 && name.p[0] == ' ') {
			name.p++;
			name.n--;
		}
		if (!http_method_ok(name))
			die("PIPEGATE_TRUSTED_FIELDS is \"%.200s\": it must be "
			    "names of header fields with commas between them, "
			    "such as True-Client-IP,X-Forwarded-Port", text);
		if (http_equal_nocase(name, "x-real-ip"))
			die("PIPEGATE_TRUSTED_FIELDS has X-Real-IP, which is "
			    "always made here, of X-Forwarded-For: take it "
			    "out");
		if (rest.n > 0) {
			rest.p++;
			rest.n--;
		}
	}
}

/* It would answer everybody with 400. */
static void
proxy_protocol_check(void)
{
	if (opt->proxy_protocol && opt->ntrusted == 0)
		warn("warning: PIPEGATE_PROXY_PROTOCOL=1 is for the peers that "
		    "PIPEGATE_TRUSTED_PROXIES names, which is empty");
}

static void
scheme_read(void)
{
	const char *text = env_or("PIPEGATE_SCHEME", "http");

	settings_said.https = strcmp(text, "https") == 0;
	if (!opt->https && strcmp(text, "http") != 0)
		die("PIPEGATE_SCHEME is \"%.100s\": it must be http or https, "
		    "as callers use it", text);
}

#define DOMAIN_MAX 189		/* octets, so that a label before it makes no more than 253 */

static void
domain_take(const char *name)
{
	if (settings_said.ndomains == DOMAINS_MAX ||
	    strlen(name) > DOMAIN_MAX || !http_name_ok(view_of(name)))
		die("PIPEGATE_DOMAIN has \"%.200s\": it must be names with commas "
		    "between them, such as tunnel.example.com (%d at most)", name,
		    DOMAINS_MAX);
	settings_said.domain[settings_said.ndomains++] = name;
}

/* Cuts text, which is in lower case from then on, at its commas. */
static void
domains_take(char *text)
{
	char *p, *end;

	view_lower((unsigned char *)text, view_of(text));
	for (p = text; *p != '\0'; p = end) {
		end = p + strcspn(p, ", ");
		if (*end != '\0')
			*end++ = '\0';
		if (*p != '\0')
			domain_take(p);
	}
}

static void
domains_read(void)
{
	static char *names;		/* opt->domain points into it */
	const char *text = env_some("PIPEGATE_DOMAIN");

	if (text == NULL)
		return;
	names = strdup(text);
	if (names == NULL)
		die("no memory to start");
	domains_take(names);
	if (opt->ndomains == 0)
		die("PIPEGATE_DOMAIN is \"%.200s\": it has no name", text);
}

static int
public_url_ok(const char *text)
{
	struct url u;

	return url_split(&u, text) == 0 && strlen(text) < WS_PUBLIC_MAX &&
	    (http_equal(u.scheme, "https") || http_equal(u.scheme, "http")) &&
	    strpbrk(text, "?#\"\\") == NULL &&
	    (u.path.n == 0 || http_path_ok(u.path));
}

static void
public_url_read(void)
{
	const char *text = env_some("PIPEGATE_PUBLIC_URL");
	size_t n;
	char *copy;

	if (text == NULL)
		return;
	if (!public_url_ok(text))
		die("PIPEGATE_PUBLIC_URL is \"%.200s\": it must be the URL under "
		    "which callers find the tunnels, such as "
		    "https://tunnel.example.com:8443/", text);
	n = strlen(text);
	copy = malloc(n + 2);
	if (copy == NULL)
		die("no memory to start");
	snprintf(copy, n + 2, "%s%s", text, text[n - 1] == '/' ? "" : "/");
	settings_said.public_url = copy;
}

/* Cuts text, host:port or [::1]:port, into these.  Returns 0, or -1: it is neither. */
static int
admin_split(char *text)
{
	char *colon = strrchr(text, ':');
	int bracketed = text[0] == '[';

	if (colon == NULL || !port_ok(view_of(colon + 1)) ||
	    (bracketed && colon[-1] != ']'))
		return -1;
	colon[-bracketed] = *colon = '\0';
	settings_said.admin_host = text + bracketed;
	settings_said.admin_port = colon + 1;
	if ((strchr(opt->admin_host, ':') != NULL) != bracketed)
		return -1;
	return host_is_numeric(opt->admin_host) ||
	    http_name_ok(view_of(opt->admin_host)) ? 0 : -1;
}

static void
admin_read(void)
{
	const char *at = env_some("PIPEGATE_ADMIN");
	char *text;

	settings_said.admin_host = at;
	settings_said.admin_port = "";
	if (at == NULL || unix_path(at) != NULL)
		return;
	text = strdup(at);
	if (text == NULL)
		die("no memory to start");
	if (admin_split(text) == -1)
		die("PIPEGATE_ADMIN is \"%.200s\": it must be an address and a "
		    "port, such as 127.0.0.1:9100, or unix:/path", at);
}

/* PIPEGATE_OFFLINE_PAGE names a file, which is read now and kept. */
static void
offline_page_read(void)
{
	static unsigned char page[OFFLINE_PAGE_MAX + 1];
	const char *name = env_some("PIPEGATE_OFFLINE_PAGE");
	FILE *f;

	if (name == NULL)
		return;
	f = fopen(name, "rb");
	if (f == NULL)
		die("PIPEGATE_OFFLINE_PAGE: cannot open %.200s:", name);
	settings_said.offline_page.p = page;
	settings_said.offline_page.n = fread(page, 1, sizeof(page), f);
	if (ferror(f))
		die("PIPEGATE_OFFLINE_PAGE: cannot read %.200s:", name);
	if (opt->offline_page.n > OFFLINE_PAGE_MAX)
		die("PIPEGATE_OFFLINE_PAGE: %.200s has more than %d bytes", name,
		    OFFLINE_PAGE_MAX);
	fclose(f);
}

/* HS256, or a JSON list that holds it: this program knows no other algorithm. */
static void
algorithms_read(void)
{
	const char *text = getenv("PIPEGATE_JWT_ALGORITHMS");
	struct json list, item;
	struct json_iter it;

	if (text == NULL || strcmp(text, "HS256") == 0)
		return;
	if (json_parse(&list, (const unsigned char *)text, strlen(text)) == 0) {
		json_iter_init(&it, &list);
		while (list.type == JSON_ARRAY &&
		    json_iter_next(&it, NULL, &item))
			if (json_equal(&item, "HS256"))
				return;
	}
	die("PIPEGATE_JWT_ALGORITHMS is \"%.100s\": it must be a JSON list "
	    "that has HS256, such as [\"HS256\"]", text);
}

/* A copy of v, which is wiped; NULL: of nothing. */
static char *
secret_move(char *v)
{
	char *copy;

	if (v == NULL)
		return NULL;
	copy = strdup(v);
	if (copy == NULL)
		die("no memory to start");
	hmac_wipe(v, strlen(v));
	return copy;
}

/* A copy of a variable's value, which is wiped in the environment; or NULL. */
static char *
secret_take(const char *name)
{
	return secret_move(getenv(name));
}

static void
secret_warn_short(const char *name, const char *secret)
{
	if (strlen(secret) < 32)
		warn("warning: %s is shorter than 32 bytes, which makes it "
		    "easier to guess", name);
}

/* An empty one would verify what anybody signs. */
static void
secret_read_previous(void)
{
	char *secret = secret_take("PIPEGATE_JWT_SECRET_PREVIOUS");

	if (secret == NULL || secret[0] == '\0') {
		free(secret);
		return;
	}
	secret_warn_short("PIPEGATE_JWT_SECRET_PREVIOUS", secret);
	settings_said.key.previous = secret;
}

void
secret_read(void)
{
	settings_said.key.secret = secret_take("PIPEGATE_JWT_SECRET");
	if (opt->key.secret == NULL || opt->key.secret[0] == '\0')
		die("PIPEGATE_JWT_SECRET is %s.  It is what signs tokens, the "
		    "same for the server and `pipegate token`.  Make one "
		    "with:\n    export PIPEGATE_JWT_SECRET=$(head -c 32 "
		    "/dev/urandom | od -An -tx1 | tr -d ' \\n')",
		    opt->key.secret == NULL ? "not set" : "empty");
	secret_warn_short("PIPEGATE_JWT_SECRET", opt->key.secret);
	secret_read_previous();
}

static void
secret_forget(const char *name)
{
	char *v = getenv(name);

	if (v != NULL)
		hmac_wipe(v, strlen(v));
	unsetenv(name);
}

/* The command line is for every user of the machine to see: it is wiped. */
static void
auth_read(void)
{
	if (opt->auth != NULL)
		settings_said.auth = secret_move((char *)opt->auth);
	else
		settings_said.auth = secret_take("PIPEGATE_AUTH");
	secret_forget("PIPEGATE_AUTH");
}

void
secret_drop(void)
{
	secret_forget("PIPEGATE_JWT_SECRET");
	secret_forget("PIPEGATE_JWT_SECRET_PREVIOUS");
}

void
environment_read(void)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(settings); i++)
		setting_read(&settings[i]);
	budget_set_max((size_t)opt->max_memory);
	trusted_read();
	trusted_fields_read();
	scheme_read();
	proxy_protocol_check();
	domains_read();
	public_url_read();
	admin_read();
	offline_page_read();
	algorithms_read();
	settings_said.revoked = env_some("PIPEGATE_REVOKED");
	settings_said.key.issuer = env_or("PIPEGATE_JWT_ISSUER", "pipegate");
	settings_said.key.audience = env_or("PIPEGATE_JWT_AUDIENCE", "pipegate");
	if (settings_said.connection_id == NULL)
		settings_said.connection_id = env_some("PIPEGATE_CONNECTION_ID");
	if (settings_said.connect_command == NULL)
		settings_said.connect_command = env_some("PIPEGATE_CONNECT");
	settings_said.token = secret_take("PIPEGATE_TOKEN");
	auth_read();
}

void
files_limit(void)
{
	long long own = OWN_FDS + (opt->admin_host != NULL ? ADMIN_CONNS : 0);
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 ||
	    rl.rlim_cur == RLIM_INFINITY)
		return;
	settings_said.max_connections = clamp((long long)rl.rlim_cur - own,
	    1, settings_said.max_connections);
}

void
secrets_guard(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
#ifdef PR_SET_DUMPABLE
	prctl(PR_SET_DUMPABLE, 0);
#endif
}
