/*
 * Tests of gate/say.c: formatting beside snprintf() over a generated table,
 * escaping, cutting views, and what becomes of lines that nobody reads.
 */
#include <sys/types.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "check.h"

/* ------------------------------------------------------------- formatting */

static const size_t caps[] = { 1, 2, 3, 7, 100 };

/* Compares what text_put(), in memory of just that size, makes of a format and
 * one value with what snprintf() makes of it. */
#define COMPARE(format, value) do { \
	size_t at_; \
	for (at_ = 0; at_ < ARRAY_LEN(caps); at_++) { \
		size_t cap_ = caps[at_]; \
		char want_[100], *got_ = cut(cap_); \
		int whole_ = snprintf(want_, cap_, format, value); \
		size_t n_ = text_put(got_, cap_, format, value); \
		compared(format, got_, n_, want_, (size_t)whole_, cap_); \
	} \
} while (0)

static char *
cut(size_t cap)
{
	char *p = malloc(cap);

	if (p == NULL)
		abort();
	return p;
}

static void
compared(const char *format, char *got, size_t n, const char *want,
    size_t whole, size_t cap)
{
	CHECK(n == min_size(whole, cap - 1) && strcmp(got, want) == 0,
	    "\"%s\" is \"%s\", of %zu, in %zu: \"%s\" is right", format, got,
	    n, cap, want);
	free(got);
}

static const char *const flags[] = { "", "-", "0", "-0", "0-" };
static const char *const widths[] = { "", "1", "2", "5", "24", "40" };

static void
numbers(const char *flag, const char *width)
{
	static const long long v[] = {
		0, 1, 7, 9, 10, 42, 99, 100, 65535, INT_MAX,
		(long long)INT_MAX + 1, UINT_MAX, LLONG_MAX,
	};
	char d[16], ld[16], lld[16], u[16], lu[16], llu[16], zd[16], zu[16];
	size_t i;

	snprintf(d, sizeof(d), "%%%s%sd", flag, width);
	snprintf(ld, sizeof(ld), "%%%s%sld", flag, width);
	snprintf(lld, sizeof(lld), "%%%s%slld", flag, width);
	snprintf(u, sizeof(u), "%%%s%su", flag, width);
	snprintf(lu, sizeof(lu), "%%%s%slu", flag, width);
	snprintf(llu, sizeof(llu), "%%%s%sllu", flag, width);
	snprintf(zd, sizeof(zd), "%%%s%szd", flag, width);
	snprintf(zu, sizeof(zu), "%%%s%szu", flag, width);
	for (i = 0; i < ARRAY_LEN(v); i++) {
		COMPARE(d, (int)min_time(v[i], INT_MAX));
		COMPARE(ld, (long)v[i]);
		COMPARE(lld, v[i]);
		COMPARE(u, (unsigned int)v[i]);
		COMPARE(lu, (unsigned long)v[i]);
		COMPARE(llu, (unsigned long long)v[i]);
		COMPARE(zd, (ssize_t)v[i]);
		COMPARE(zu, (size_t)v[i]);
	}
	COMPARE(zu, (size_t)-1);
	COMPARE(lu, ULONG_MAX);
	COMPARE(llu, ULLONG_MAX);
}

static void
negatives(const char *flag, const char *width)
{
	static const long long v[] = {
		-1, -9, -10, -65536, INT_MIN, LLONG_MIN, -LLONG_MAX
	};
	char d[16], lld[16], zd[16];
	size_t i;

	snprintf(d, sizeof(d), "%%%s%sd", flag, width);
	snprintf(lld, sizeof(lld), "%%%s%slld", flag, width);
	snprintf(zd, sizeof(zd), "%%%s%szd", flag, width);
	for (i = 0; i < ARRAY_LEN(v); i++) {
		COMPARE(d, (int)clamp(v[i], INT_MIN, 0));
		COMPARE(lld, v[i]);
		COMPARE(zd, (ssize_t)v[i]);
	}
}

static void
strings(const char *flag, const char *width)
{
	static const char *const precisions[] = {
		"", ".", ".0", ".1", ".3", ".30"
	};
	static const char *const v[] = { "", "a", "abc", "%s %d", "abcdefgh" };
	char s[24];
	size_t i, k;

	snprintf(s, sizeof(s), "<%%%s%sc>", flag, width);
	COMPARE(s, 'x');
	for (k = 0; k < ARRAY_LEN(precisions); k++) {
		snprintf(s, sizeof(s), "%%%s%s%ss", flag, width, precisions[k]);
		for (i = 0; i < ARRAY_LEN(v); i++)
			COMPARE(s, v[i]);
		snprintf(s, sizeof(s), "<%%%s%s%ss>%%%%", flag, width,
		    precisions[k]);
		COMPARE(s, "ab");
	}
}

static void
test_generated(void)
{
	size_t f, w;

	for (f = 0; f < ARRAY_LEN(flags); f++) {
		for (w = 0; w < ARRAY_LEN(widths); w++) {
			numbers(flags[f], widths[w]);
			negatives(flags[f], widths[w]);
			if (strchr(flags[f], '0') == NULL)
				strings(flags[f], widths[w]);
		}
	}
}

/* Formats that hold more than one conversion, or none. */
static void
test_mixed(void)
{
	char got[100], want[100];
	size_t n;

#define BOTH(...) do { \
	snprintf(want, sizeof(want), __VA_ARGS__); \
	n = text_put(got, sizeof(got), __VA_ARGS__); \
	CHECK(strcmp(got, want) == 0 && n == strlen(want), \
	    "\"%s\" for \"%s\"", got, want); \
} while (0)

	BOTH("%s", "");
	BOTH("plain");
	BOTH("100%%");
	BOTH("%c%c%c", 'a', '%', 'c');
	BOTH("%s %d %u %zu %lld %c%%", "a", -1, 2u, (size_t)3, 4LL, '5');
	BOTH("%-*s|%*d|%*s|", 6, "ab", 6, -42, -6, "cd");
	BOTH("%-*s|%-*s|%0*d|%0*d", 4, "a", -4, "b", 4, -1, 0, -1);
	BOTH("%.*s|%.*s|%.*s", 2, "abc", 0, "abc", -1, "abc");
	BOTH("%5.2s|%-5.2s|%5.9s", "abc", "abc", "abc");
	BOTH("%02d:%02d:%02d", 1, 23, 4);
#undef BOTH
	n = text_put(got, 4, "%s-%s", "ab", "cd");
	CHECK(n == 3 && strcmp(got, "ab-") == 0, "cut to \"%s\"", got);
}

/* --------------------------------------------------------------- escaping */

static int
is_plain(int c)
{
	return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

static void
test_safe_octets(void)
{
	char out[16], want[16];
	unsigned char b[1];
	struct view v = { b, 1 };
	int c;

	for (c = 0; c < 256; c++) {
		b[0] = (unsigned char)c;
		snprintf(want, sizeof(want), is_plain(c) ? "%c" : "\\x%02x",
		    (unsigned int)c);
		CHECK(text_safe(out, sizeof(out), v) == out &&
		    strcmp(out, want) == 0, "octet %d is %s", c, out);
	}
}

/* Where out is full an escape is not torn. */
static void
test_safe_cut(void)
{
	static const unsigned char b[] = "ab\n\"c\x1b[0m\xff\\~ \x7f end";
	static const char whole[] =
	    "ab\\x0a\\x22c\\x1b[0m\\xff\\x5c~ \\x7f end";
	struct view v = { check_exact(b, sizeof(b) - 1), sizeof(b) - 1 };
	size_t cap;

	for (cap = 1; cap < sizeof(whole) + 8; cap++) {
		char *out = cut(cap);
		const char *torn;
		size_t n = strlen(text_safe(out, cap, v));

		CHECK(strncmp(out, whole, n) == 0, "in %zu: %s", cap, out);
		torn = strrchr(out, '\\');
		CHECK(torn == NULL || strlen(torn) >= 4, "in %zu: %s", cap,
		    out);
		CHECK(n == sizeof(whole) - 1 || n + 9 > cap,
		    "in %zu no more than %s", cap, out);
		CHECK(cap < sizeof(whole) + 4 || n == sizeof(whole) - 1,
		    "not all, in %zu: %s", cap, out);
		free(out);
	}
	free((void *)(size_t)v.p);
}

/* ------------------------------------------------------------------ views */

static int
view_is(struct view v, const char *s)
{
	return v.n == strlen(s) && (v.n == 0 || memcmp(v.p, s, v.n) == 0);
}

static void
test_until(void)
{
	static const struct {
		const char *text, *stops, *cut, *rest;
	} t[] = {
		{ "a,b", ",", "a", ",b" },
		{ ",b", ",", "", ",b" },
		{ "ab", ",", "ab", "" },
		{ "", ",", "", "" },
		{ "a/b?c", "?/", "a", "/b?c" },
		{ "ab", "", "ab", "" },
	};
	struct view rest, v;
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		rest = view_of(t[i].text);
		v = view_until(&rest, t[i].stops);
		CHECK(view_is(v, t[i].cut) && view_is(rest, t[i].rest),
		    "\"%s\" up to \"%s\"", t[i].text, t[i].stops);
	}
}

static void
test_least(void)
{
	CHECK(min_size(1, 2) == 1 && min_size(2, 1) == 1 &&
	    min_size((size_t)-1, 0) == 0, "min_size");
	CHECK(min_time(-1, 2) == -1 && min_time(LLONG_MAX, 5) == 5,
	    "min_time");
	CHECK(clamp(5, 1, 9) == 5 && clamp(0, 1, 9) == 1 &&
	    clamp(10, 1, 9) == 9 && clamp(LLONG_MIN, -1, 1) == -1, "clamp");
}

/* ---------------------------------------------------------------- outputs */

/* stderr goes into a pipe meanwhile. */
static struct {
	int was;
	int from;
	char text[256 << 10];
	size_t n;
} err;

static void
err_take(void)
{
	int fd[2];

	say_flush();
	err.was = dup(STDERR_FILENO);
	CHECK(pipe(fd) == 0 && dup2(fd[1], STDERR_FILENO) != -1 &&
	    fcntl(fd[0], F_SETFL, O_NONBLOCK) != -1, "no pipe");
	close(fd[1]);
	err.from = fd[0];
	err.n = 0;
	err.text[0] = '\0';
}

/* Reads what is there.  Returns how much. */
static size_t
err_read(void)
{
	size_t was = err.n;
	ssize_t r;

	while ((r = read(err.from, err.text + err.n,
	    sizeof(err.text) - 1 - err.n)) > 0)
		err.n += (size_t)r;
	err.text[err.n] = '\0';
	return err.n - was;
}

static void
err_give_back(void)
{
	dup2(err.was, STDERR_FILENO);
	close(err.was);
	close(err.from);
}

static void
test_levels(void)
{
	err_take();
	log_set_level(LEVEL_ERROR);
	CHECK(log_has_level(LEVEL_ERROR) && !log_has_level(LEVEL_INFO),
	    "errors alone");
	log_event(LEVEL_INFO, "event=no");
	log_event(LEVEL_ERROR, "event=yes n=%d", 1);
	log_set_level(LEVEL_DEBUG);
	log_event(LEVEL_DEBUG, "event=debug");
	log_set_level(LEVEL_INFO);
	log_event(LEVEL_DEBUG, "event=no");
	CHECK(err_read() == 0, "written before the end of the turn");
	say_flush();
	err_read();
	CHECK(strstr(err.text, "event=no") == NULL, "%s", err.text);
	CHECK(strstr(err.text, "Z level=error event=yes n=1\n") != NULL &&
	    strstr(err.text, "Z level=debug event=debug\n") != NULL, "%s",
	    err.text);
	CHECK(strspn(err.text, "0123456789-T:") == 19 && err.text[4] == '-' &&
	    err.text[10] == 'T' && err.text[19] == 'Z', "%s", err.text);
	err_give_back();
}

/* Each line is one line, however long. */
static void
test_long_line(void)
{
	char *text = cut(5000);

	err_take();
	memset(text, 'x', 4999);
	text[4999] = '\0';
	log_event(LEVEL_INFO, "event=%s", text);
	log_event(LEVEL_INFO, "event=after");
	say_flush();
	err_read();
	CHECK(strchr(err.text, '\n') != NULL &&
	    strstr(strchr(err.text, '\n'), "event=after\n") != NULL,
	    "no end of line");
	CHECK(strspn(strchr(err.text, 'x'), "x") > 1000, "cut too short");
	free(text);
	err_give_back();
}

/* What the lines in err say.  Returns how many there are, or tell of; -1 where
 * one is torn, or out of order. */
static int
lines_known(void)
{
	const char *p = err.text, *n;
	int known = 0, last = -1, number;

	for (; *p != '\0'; p = strchr(p, '\n') + 1) {
		if (strchr(p, '\n') == NULL)
			return -1;
		if (sscanf(p, "... %d lines dropped\n", &number) == 1) {
			known += number;
			continue;
		}
		n = strstr(p, "event=line n=");
		if (n == NULL || sscanf(n, "event=line n=%d", &number) != 1 ||
		    number <= last)
			return -1;
		last = number;
		known++;
	}
	return known;
}

/* A reader that does not keep up costs lines, which are told, and no time. */
static void
test_slow_reader(void)
{
	enum { LINES = 5000 };
	int i;

	err_take();
	for (i = 0; i < LINES; i++) {
		log_event(LEVEL_INFO, "event=line n=%d of=%060d", i, LINES);
		if (i % 10 == 0)
			say_flush();
	}
	do
		say_flush();
	while (err_read() > 0);
	for (; i < LINES + 5; i++)
		log_event(LEVEL_INFO, "event=line n=%d", i);
	say_flush();
	err_read();
	CHECK(strstr(err.text, " lines dropped\n") != NULL, "none was dropped");
	CHECK(lines_known() == LINES + 5, "%d of %d lines are known of",
	    lines_known(), LINES + 5);
	err_give_back();
}

/* ------------------------------------------------------ the program's end */

static void
fail(void *of)
{
	must(of != NULL);
	must(of == NULL);
}

static void
die_of_errno(void *of)
{
	errno = ENOENT;
	die("cannot open %s:", (const char *)of);
}

static void
warn_twice(void *of)
{
	log_event(LEVEL_INFO, "event=before");
	warn("%s", (const char *)of);
	errno = EACCES;
	warn("%s:", (const char *)of);
}

static void
test_end(void)
{
	char said[512], want[512];
	int status;

	CHECK(check_must("tests/unit_say.c", fail, said), "it went on");
	status = check_child(die_of_errno, "/x", said, sizeof(said));
	snprintf(want, sizeof(want), "pipegate: cannot open /x: %s\n",
	    strerror(ENOENT));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1 &&
	    strcmp(said, want) == 0, "status %d, %s", status, said);
	status = check_child(warn_twice, "careful", said, sizeof(said));
	snprintf(want, sizeof(want), "event=before\npipegate: careful\n"
	    "pipegate: careful: %s\n", strerror(EACCES));
	CHECK(status == 0 && strstr(said, want) != NULL, "status %d, %s",
	    status, said);
}

void
test_say(void)
{
	test_generated();
	test_mixed();
	test_safe_octets();
	test_safe_cut();
	test_until();
	test_least();
	test_levels();
	test_long_line();
	test_slow_reader();
	test_end();
}
