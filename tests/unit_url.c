/*
 * Tests of gate/url.c: URLs in their parts, where a tunnel leads, the token in
 * the query, and the command of --connect.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/url.h"
#include "check.h"

static int
view_is(struct view v, const char *s)
{
	return v.n == strlen(s) && (v.n == 0 || memcmp(v.p, s, v.n) == 0);
}

/* A copy of s in memory of just its size. */
static char *
exact(const char *s)
{
	return (char *)check_exact(s, strlen(s) + 1);
}

/* ------------------------------------------------------------------- URLs */

static void
test_split_good(void)
{
	static const struct {
		const char *text, *scheme, *host, *port, *path;
	} t[] = {
		{ "http://localhost", "http", "localhost", "", "" },
		{ "http://localhost:3000", "http", "localhost", "3000", "" },
		{ "http://localhost/", "http", "localhost", "", "/" },
		{ "http://h:1/a/b", "http", "h", "1", "/a/b" },
		{ "ws://h:65535/?token=x", "ws", "h", "65535", "/?token=x" },
		{ "wss://h?token=x", "wss", "h", "", "?token=x" },
		{ "wss://h:8/p?a=1&b=2#frag", "wss", "h", "8",
		    "/p?a=1&b=2" },
		{ "http://h#frag", "http", "h", "", "" },
		{ "http://h:80#frag", "http", "h", "80", "" },
		{ "http://h/#", "http", "h", "", "/" },
		{ "http://[::1]", "http", "::1", "", "" },
		{ "http://[::1]:3000/p", "http", "::1", "3000", "/p" },
		{ "http://[2001:db8::1]/?x=:1", "http", "2001:db8::1", "",
		    "/?x=:1" },
		{ "http://[::1]?q", "http", "::1", "", "?q" },
		{ "http://127.0.0.1:80", "http", "127.0.0.1", "80", "" },
		{ "http://h/a:80@b", "http", "h", "", "/a:80@b" },
		{ "http://h/http://x:0/", "http", "h", "", "/http://x:0/" },
		{ "http://h?a@b/c", "http", "h", "", "?a@b/c" },
		{ "HTTP://H", "HTTP", "H", "", "" },
	};
	struct url u;
	char *text;
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		text = exact(t[i].text);
		CHECK(url_split(&u, text) == 0, "%s: refused", text);
		CHECK(view_is(u.scheme, t[i].scheme), "%s: scheme", text);
		CHECK(view_is(u.host, t[i].host), "%s: host", text);
		CHECK(view_is(u.port, t[i].port), "%s: port", text);
		CHECK(view_is(u.path, t[i].path), "%s: path %.*s", text,
		    (int)u.path.n, (const char *)u.path.p);
		free(text);
	}
}

static void
test_split_bad(void)
{
	static const char *const t[] = {
		"", ":", "http:", "http:/", "http://", "http:///p",
		"http://:80", "http://?q", "http://#f", "localhost",
		"localhost:3000", "//h", "http:/h", "http://h:",
		"http://h:/p", "http://h:0", "http://h:0/", "http://h:65536",
		"http://h:-1", "http://h:+80", "http://h:80x",
		"http://h: 80", "http://h:080000", "http://h:8:0",
		"http://user@h", "http://user:pw@h", "http://user@h:80/",
		"http://[::1", "http://[", "http://[]", "http://[]:80",
		"http://[::1]:", "http://[::1]:x", "http://[::1]x",
		"http://[::1]80", "http://[::1].example/p", "http://[::1][::1]",
		"http://h:99999999999999999999",
	};
	struct url u;
	char *text;
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		text = exact(t[i]);
		CHECK(url_split(&u, text) == -1, "%s: taken", text);
		free(text);
	}
}

/* A name is at most 255 octets long (as in a struct endpoint). */
static void
test_split_long(void)
{
	char text[300];
	struct url u;
	int n;

	for (n = 250; n < 260; n++) {
		snprintf(text, sizeof(text), "http://%0*d:80/", n, 0);
		CHECK((url_split(&u, text) == 0) == (n <= 255), "%d octets",
		    n);
	}
}

/* What a shell or a program would take for something else is no host. */
static void
test_split_octets(void)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	char text[] = "http://aXb/", first[] = "http://Xb/";
	struct url u;
	int c;

	for (c = 1; c < 256; c++) {
		text[8] = first[7] = (char)c;
		if (strchr(":/?#", c) != NULL)
			continue;
		CHECK((url_split(&u, text) == 0) == (strchr(good, c) != NULL),
		    "octet %d", c);
		CHECK((url_split(&u, first) == 0) ==
		    (strchr(good, c) != NULL && c != '-'), "octet %d at first",
		    c);
	}
}

static void
test_port(void)
{
	static const char *const bad[] = {
		"", "65536", "99999", "000080", "100000", "-1", "+1", " 1",
		"1 ", "0x1", "8o", "1.0", "9223372036854775808",
		"99999999999999999999999999999999999999999",
	};
	char text[16];
	size_t i;
	int n;

	for (n = 0; n < 65536; n++) {
		snprintf(text, sizeof(text), "%d", n);
		CHECK(port_ok(view_of(text)), "%d", n);
	}
	CHECK(port_ok(view_of("00080")), "with zeros");
	for (i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!port_ok(view_of(bad[i])), "\"%s\"", bad[i]);
}

/* ---------------------------------------------------------------- targets */

static void
test_target(void)
{
	static const struct {
		const char *text, *url;
	} t[] = {
		{ "3000", "http://localhost:3000" },
		{ "0", "http://localhost:0" },
		{ "65535", "http://localhost:65535" },
		{ "65536", "http://65536" },
		{ "localhost", "http://localhost" },
		{ "localhost:3000", "http://localhost:3000" },
		{ "host:3000/base", "http://host:3000/base" },
		{ "[::1]:3000", "http://[::1]:3000" },
		{ "http://h/", "http://h/" },
		{ "https://h", "https://h" },
		{ "", "http://" },
	};
	char out[64];
	size_t i, cap;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		size_t n = strlen(t[i].url);

		for (cap = 1; cap <= n; cap++)
			CHECK(url_target(out, cap, t[i].text) == -1,
			    "\"%s\" fits into %zu", t[i].text, cap);
		CHECK(url_target(out, n + 1, t[i].text) == 0 &&
		    strcmp(out, t[i].url) == 0, "\"%s\" became %s", t[i].text,
		    out);
	}
}

/* ------------------------------------------------------------------ token */

struct token_case {
	const char *path, *rest, *token;
};

static const struct token_case tokens[] = {
	{ "", "/", "" },
	{ "/", "/", "" },
	{ "/p", "/p", "" },
	{ "/?token=abc", "/", "abc" },
	{ "?token=abc", "/", "abc" },
	{ "/p?token=abc", "/p", "abc" },
	{ "/p?a=1&token=abc", "/p?a=1", "abc" },
	{ "/p?token=abc&a=1", "/p?a=1", "abc" },
	{ "/p?a=1&token=abc&b=2", "/p?a=1&b=2", "abc" },
	{ "?a=1", "/?a=1", "" },
	{ "/p?", "/p?", "" },
	{ "/p?&&", "/p?&&", "" },
	{ "/p?&token=x&", "/p?&", "x" },
	{ "/p?xtoken=1", "/p?xtoken=1", "" },
	{ "/p?Token=1", "/p?Token=1", "" },
	{ "/p?token", "/p?token", "" },
	{ "/p?a=token=1", "/p?a=token=1", "" },
	{ "/token=1", "/token=1", "" },
	{ "/p?token=a=b==", "/p", "a=b==" },
	{ "/p?token=a?b", "/p", "a?b" },
	{ "/p?a=b?token=1", "/p?a=b?token=1", "" },
	{ "/p?token=%41%20", "/p", "%41%20" },
	{ "/p?a=%s%n%d&b", "/p?a=%s%n%d&b", "" },
};

static void
token_take(const struct token_case *t, size_t cap, int want)
{
	unsigned char *path = check_exact(t->path, strlen(t->path));
	char *out = malloc(cap);
	struct view v = { path, strlen(t->path) }, token;
	int r;

	if (out == NULL)
		abort();
	r = url_take_token(out, cap, v, &token);
	CHECK(r == want, "\"%s\" into %zu", t->path, cap);
	CHECK(r == -1 || (strcmp(out, t->rest) == 0 &&
	    view_is(token, t->token)), "\"%s\" leaves \"%s\", token \"%.*s\"",
	    t->path, out, (int)token.n, (const char *)token.p);
	free(out);
	free(path);
}

/* Whatever the space, it fits or is refused. */
static void
test_token(void)
{
	size_t i, cap;

	for (i = 0; i < ARRAY_LEN(tokens); i++)
		for (cap = 1; cap < 64; cap++)
			token_take(&tokens[i], cap,
			    cap > strlen(tokens[i].rest) ? 0 : -1);
}

/* ------------------------------------------------------ a part of a query */

static void
test_query(void)
{
	static const struct {
		const char *path, *value;	/* NULL: not to be had */
	} t[] = {
		{ "/ask?domain=a.b.c", "a.b.c" }, { "/?domain=", "" },
		{ "/?x&domain=a&y=b", "a" }, { "?domain=a=b?c", "a=b?c" },
		{ "/?domain=%61%2E%2e%41", "a..A" }, { "/?domain=a+b", "a+b" },
		{ "/?domain=%2541", "%41" }, { "/", NULL }, { "", NULL },
		{ "/?", NULL }, { "/?domain", NULL }, { "/domain=a", NULL },
		{ "/?xdomain=a&domainx=a&Domain=a", NULL },
		{ "/?domain=a&domain=a", NULL }, { "/?domain=&domain=", NULL },
		{ "/?domain=%", NULL }, { "/?domain=%4", NULL },
		{ "/?domain=%4g", NULL }, { "/?domain=%g4", NULL },
		{ "/?domain=a%4&x", NULL }, { "/?domain=12345678", "12345678" },
		{ "/?domain=123456789", NULL },
	};
	unsigned char *out = check_exact("12345678", 8);
	struct view path, value;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		path.n = strlen(t[i].path);
		path.p = check_exact(t[i].path, path.n);
		r = url_query(&value, out, 8, path, "domain");
		CHECK(r == (t[i].value != NULL) &&
		    (!r || view_is(value, t[i].value)), "\"%s\": %d", t[i].path, r);
		free((void *)path.p);
	}
	free(out);
}

/* ---------------------------------------------------------------- command */

static void
test_command(void)
{
	static const struct {
		const char *command, *text;
	} t[] = {
		{ "ssh gate", "exec ssh gate" },
		{ "nc %h %p", "exec nc h.example 443" },
		{ "nc %h:%p", "exec nc h.example:443" },
		{ "%h%p%h", "exec h.example443h.example" },
		{ "%%h %%", "exec %h %" },
		{ "%%%h", "exec %h.example" },
		{ "%%%%", "exec %%" },
		{ "a%", "exec a%" },
		{ "100%x %H %s %n", "exec 100%x %H %s %n" },
		{ "sh -c 'a | b' \"$X\" \\;", "exec sh -c 'a | b' \"$X\" \\;" },
		{ "", "exec " },
	};
	char out[64];
	size_t i, cap;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		char *command = exact(t[i].command);
		size_t n = strlen(t[i].text);

		for (cap = 1; cap <= n; cap++)
			CHECK(url_command(out, cap, command, "h.example",
			    "443") == -1, "\"%s\" fits into %zu", command, cap);
		CHECK(url_command(out, n + 1, command, "h.example", "443") == 0
		    && strcmp(out, t[i].text) == 0, "\"%s\" became \"%s\"",
		    command, out);
		free(command);
	}
}

/* A host may hold what stands for host and port: it is not looked at. */
static void
test_command_once(void)
{
	char out[64];

	CHECK(url_command(out, sizeof(out), "nc %h %p", "%p%h%%", "1") == 0 &&
	    strcmp(out, "exec nc %p%h%% 1") == 0, "%s", out);
	CHECK(url_command(out, sizeof(out), "nc [%h]:%p", "::1", "65535") == 0
	    && strcmp(out, "exec nc [::1]:65535") == 0, "%s", out);
}

void
test_url(void)
{
	test_split_good();
	test_split_bad();
	test_split_long();
	test_split_octets();
	test_port();
	test_target();
	test_token();
	test_query();
	test_command();
	test_command_once();
}
