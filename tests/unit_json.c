/*
 * Tests of json.c: what is accepted and refused, what values say, walks, and
 * what the writer makes of octets.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../pipegate.h"
#include "check.h"

/* A string literal with its length, NULs inside it included. */
#define TEXT(s) s, sizeof(s) - 1

/* Parses an exact-size copy, which the caller frees by way of *copy. */
static int
parse_copy(struct json *v, const void *b, size_t n, unsigned char **copy)
{
	*copy = check_exact(b, n);
	return json_parse(v, *copy, n);
}

static int
parses(const void *b, size_t n)
{
	unsigned char *copy;
	struct json v;
	int ok = parse_copy(&v, b, n, &copy) == 0;

	free(copy);
	return ok;
}

/* ---------------------------------------------------------------- grammar */

static void
test_accepted(void)
{
	static const struct {
		const char *text;
		size_t n;
		enum json_type type;
		const char *raw;
	} t[] = {
		{ TEXT("null"), JSON_NULL, "null" },
		{ TEXT(" true\n"), JSON_TRUE, "true" },
		{ TEXT("\t\r\n false \t"), JSON_FALSE, "false" },
		{ TEXT("0"), JSON_NUMBER, "0" },
		{ TEXT("-0"), JSON_NUMBER, "-0" },
		{ TEXT("10"), JSON_NUMBER, "10" },
		{ TEXT("-1.5e+10 "), JSON_NUMBER, "-1.5e+10" },
		{ TEXT("0.0E-00"), JSON_NUMBER, "0.0E-00" },
		{ TEXT("1e9999"), JSON_NUMBER, "1e9999" },
		{ TEXT("\"\""), JSON_STRING, "\"\"" },
		{ TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00aF\""), JSON_STRING,
		    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00aF\"" },
		{ TEXT("\"\\ud834\\uDD1E\""), JSON_STRING,
		    "\"\\ud834\\uDD1E\"" },
		{ TEXT("\"\x7f\""), JSON_STRING, "\"\x7f\"" },
		{ TEXT("\"\xf0\x9f\x98\x80\""), JSON_STRING,
		    "\"\xf0\x9f\x98\x80\"" },
		{ TEXT("[]"), JSON_ARRAY, "[]" },
		{ TEXT(" [ ] "), JSON_ARRAY, "[ ]" },
		{ TEXT("[1,[2,{}],\"]\"]"), JSON_ARRAY, "[1,[2,{}],\"]\"]" },
		{ TEXT("{}"), JSON_OBJECT, "{}" },
		{ TEXT("{ }"), JSON_OBJECT, "{ }" },
		{ TEXT("{\"a\" : 1 , \"a\":{\"\":[]}}"), JSON_OBJECT,
		    "{\"a\" : 1 , \"a\":{\"\":[]}}" },
	};
	unsigned char *copy;
	struct json v;
	size_t i;
	int got;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		got = parse_copy(&v, t[i].text, t[i].n, &copy);
		CHECK(got == 0, "refused: %s", t[i].text);
		CHECK(got == 0 && v.type == t[i].type, "type of %s",
		    t[i].text);
		CHECK(got == 0 && v.raw.n == strlen(t[i].raw) &&
		    memcmp(v.raw.p, t[i].raw, v.raw.n) == 0,
		    "extent of %s", t[i].text);
		free(copy);
	}
}

static void
test_refused(void)
{
	static const struct {
		const char *text;
		size_t n;
	} t[] = {
		{ TEXT("") }, { TEXT(" ") }, { TEXT("nul") }, { TEXT("nulL") },
		{ TEXT("True") }, { TEXT("nullx") }, { TEXT("null null") },
		{ TEXT("1 2") }, { TEXT("\xef\xbb\xbf{}") },
		{ TEXT("[]\0") }, { TEXT("\0[]") }, { TEXT("[\0]") },
		{ TEXT("\f[]") }, { TEXT("\xc2\xa0[]") }, { TEXT("[]\v") },
		{ TEXT("-") }, { TEXT("+1") }, { TEXT("01") }, { TEXT("-01") },
		{ TEXT("1.") }, { TEXT(".5") }, { TEXT("1.e1") },
		{ TEXT("1e") }, { TEXT("1e+") }, { TEXT("1E-") },
		{ TEXT("1e1.5") }, { TEXT("0x10") }, { TEXT("1_0") },
		{ TEXT("NaN") }, { TEXT("-Infinity") }, { TEXT("--1") },
		{ TEXT("[1,]") }, { TEXT("[,1]") }, { TEXT("[1 2]") },
		{ TEXT("[") }, { TEXT("]") }, { TEXT("[}") }, { TEXT("{]") },
		{ TEXT("[1}") }, { TEXT("{\"a\":1]") }, { TEXT("[[]") },
		{ TEXT("[]]") }, { TEXT("[1:2]") }, { TEXT("{\"a\"}") },
		{ TEXT("{\"a\":}") }, { TEXT("{\"a\":1,}") },
		{ TEXT("{,}") }, { TEXT("{\"a\",1}") }, { TEXT("{a:1}") },
		{ TEXT("{1:1}") }, { TEXT("{\"a\":1 \"b\":2}") },
		{ TEXT("{\"a\":1:2}") }, { TEXT("{null:1}") },
		{ TEXT("[1]/**/") }, { TEXT("'a'") },
		{ TEXT("\"") }, { TEXT("\"a") }, { TEXT("\"\\\"") },
		{ TEXT("\"\\") }, { TEXT("\"\\a\"") }, { TEXT("\"\\0\"") },
		{ TEXT("\"\\'\"") }, { TEXT("\"\\U0041\"") },
		{ TEXT("\"\\\0\"") }, { TEXT("\"\\u\"") },
		{ TEXT("\"\\u004\"") }, { TEXT("\"\\u004g\"") },
		{ TEXT("\"\\u00 1\"") }, { TEXT("\"\\u-041\"") },
		{ TEXT("\"\t\"") }, { TEXT("\"\n\"") }, { TEXT("\"\0\"") },
		{ TEXT("\"\x1f\"") },
		{ TEXT("\"\\ud800\"") }, { TEXT("\"\\udc00\"") },
		{ TEXT("\"\\udbff\"") }, { TEXT("\"\\udfff\"") },
		{ TEXT("\"\\ud800\\ud800\"") }, { TEXT("\"\\udc00\\ud800\"") },
		{ TEXT("\"\\ud800\\u0041\"") }, { TEXT("\"\\ud800x\\udc00\"") },
		{ TEXT("\"\\udc00\\udc00\"") }, { TEXT("\"\\udfff\\udfff\"") },
		{ TEXT("\"\\ud800\\udbff\"") }, { TEXT("\"\\ud800\\ue000\"") },
		{ TEXT("\"\\ud800\\n\"") }, { TEXT("\"\\ud800\\") },
		{ TEXT("\"\\ud800\\u") }, { TEXT("\"\\ud800\\udc0\"") },
		{ TEXT("\"\x80\"") }, { TEXT("\"\xbf\"") },
		{ TEXT("\"\xc3\"") }, { TEXT("\"\xc3x\"") },
		{ TEXT("\"\xc0\xaf\"") }, { TEXT("\"\xc1\xbf\"") },
		{ TEXT("\"\xe0\x80\xaf\"") }, { TEXT("\"\xe0\x9f\xbf\"") },
		{ TEXT("\"\xed\xa0\x80\"") }, { TEXT("\"\xed\xbf\xbf\"") },
		{ TEXT("\"\xe2\x82\"") }, { TEXT("\"\xe2\x82") },
		{ TEXT("\"\xf0\x80\x80\x80\"") },
		{ TEXT("\"\xf0\x8f\xbf\xbf\"") },
		{ TEXT("\"\xf4\x90\x80\x80\"") },
		{ TEXT("\"\xf5\x80\x80\x80\"") },
		{ TEXT("\"\xf8\x88\x80\x80\x80\"") },
		{ TEXT("\"\xff\"") }, { TEXT("{\"\x80\":1}") },
		{ TEXT("\xe9") }, { TEXT("[\xc3\xa9]") },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		CHECK(!parses(t[i].text, t[i].n), "accepted: row %zu, %s", i,
		    t[i].text);
}

static const char message[] =
    "{\"type\":\"request\",\"correlation_id\":"
    "\"76f97b72-631b-4f3d-a8b3-5aca88f22f54\",\"target\":\"\\/a%2Fb?x=\\"
    "\"1\\\\\",\"headers\":[[\"h\\u00f6st\",\"p\xc3\xbc\x62\"],[\"\\ud83d"
    "\\ude00\",\"\"]],\"window\":-65.536e3,\"end\":false,\"n\":null, \"t\":"
    "true}";

static void
test_truncated(void)
{
	size_t n;

	CHECK(parses(message, sizeof(message) - 1), "the whole is accepted");
	for (n = 0; n < sizeof(message) - 1; n++)
		CHECK(!parses(message, n), "cut to %zu octets", n);
}

/* Depth open brackets, and as many closed. */
static int
nested(size_t depth, const char *open, const char *inner, char closer)
{
	char *b = malloc(depth * 6 + 8);
	size_t i, n = 0;
	int ok;

	if (b == NULL)
		abort();
	for (i = 0; i < depth; i++)
		n += (size_t)sprintf(b + n, "%s", open);
	n += (size_t)sprintf(b + n, "%s", inner);
	memset(b + n, closer, depth);
	ok = parses(b, n + depth);
	free(b);
	return ok;
}

/* An array of this many values, itself among them. */
static int
many_values(size_t values)
{
	char *b = malloc(2 * values + 1);
	size_t i, n = 0;
	int ok;

	if (b == NULL)
		abort();
	b[n++] = '[';
	for (i = 1; i < values; i++) {
		b[n++] = '0';
		b[n++] = i + 1 < values ? ',' : ']';
	}
	ok = parses(b, n);
	free(b);
	return ok;
}

static void
test_caps(void)
{
	CHECK(nested(JSON_DEPTH_MAX, "[", "", ']'), "depth at the cap");
	CHECK(!nested(JSON_DEPTH_MAX + 1, "[", "", ']'), "depth past it");
	CHECK(nested(JSON_DEPTH_MAX, "{\"a\":", "1", '}'), "objects at it");
	CHECK(!nested(JSON_DEPTH_MAX + 1, "{\"a\":", "1", '}'),
	    "objects past it");
	CHECK(!nested(1000000, "[", "", ']'), "a million brackets");
	CHECK(many_values(JSON_VALUES_MAX), "values at the cap");
	CHECK(!many_values(JSON_VALUES_MAX + 1), "values past it");
}

/* Each kind of octet at each place of strings about as long as some words:
 * nothing that ends or breaks a string may be overlooked. */
static void
test_string_places(void)
{
	static const struct {
		const char *text;
		size_t n;
		int ok;
	} t[] = {
		{ TEXT("\x1f"), 0 }, { TEXT("\0"), 0 }, { TEXT("\x80"), 0 },
		{ TEXT("\xff"), 0 }, { TEXT("\""), 0 }, { TEXT("\\"), 0 },
		{ TEXT("\\x"), 0 }, { TEXT("\xc3\xa9"), 1 },
		{ TEXT("\\\""), 1 }, { TEXT("\\\\"), 1 }, { TEXT("\x7f"), 1 },
		{ TEXT(" !#[]~"), 1 }, { TEXT("\\u0000"), 1 },
		{ TEXT("\xed\x9f\xbf"), 1 }, { TEXT("\xed\xa0\x80"), 0 },
	};
	char b[64];
	size_t i, at, n;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (n = 0; n <= 40; n++)
			for (at = 0; at <= n; at++) {
				memset(b, 'a', sizeof(b));
				b[0] = '"';
				memcpy(b + 1 + at, t[i].text, t[i].n);
				b[1 + n + t[i].n] = '"';
				CHECK(parses(b, n + t[i].n + 2) == t[i].ok,
				    "row %zu at %zu of %zu", i, at, n);
			}
}

/* UTF-8 as RFC 3629 defines it, by the table of its section 4. */
static int
is_character(const unsigned char *s, size_t n)
{
	static const struct {
		size_t n;
		unsigned char first, last, low, high;
	} t[] = {
		{ 1, 0x20, 0x7f, 0, 0 }, { 2, 0xc2, 0xdf, 0x80, 0xbf },
		{ 3, 0xe0, 0xe0, 0xa0, 0xbf }, { 3, 0xe1, 0xec, 0x80, 0xbf },
		{ 3, 0xed, 0xed, 0x80, 0x9f }, { 3, 0xee, 0xef, 0x80, 0xbf },
		{ 4, 0xf0, 0xf0, 0x90, 0xbf }, { 4, 0xf1, 0xf3, 0x80, 0xbf },
		{ 4, 0xf4, 0xf4, 0x80, 0x8f },
	};
	size_t i, k;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (n != t[i].n || s[0] < t[i].first || s[0] > t[i].last ||
		    (n > 1 && (s[1] < t[i].low || s[1] > t[i].high)))
			continue;
		for (k = 2; k < n && s[k] >= 0x80 && s[k] <= 0xbf; k++)
			continue;
		return n < 3 || k == n;
	}
	return 0;
}

/* Whether s[0..n) is made of such characters. */
static int
is_text(const unsigned char *s, size_t n)
{
	size_t at = 0, size;

	while (at < n) {
		for (size = 1; size <= 4; size++)
			if (size <= n - at && is_character(s + at, size))
				break;
		if (size > 4)
			return 0;
		at += size;
	}
	return 1;
}

/* All pairs of octets from 7f on, alone and with edges of what may follow. */
static void
test_utf8(void)
{
	static const unsigned char edge[] = { 0x7f, 0x80, 0xbf, 0xc0 };
	unsigned char b[6] = { '"' };
	unsigned int x, i;
	size_t n;
	struct json v;
	long wrong = 0, right = 0;

	for (n = 2; n <= 4; n++)
		for (x = 0; x < 129 * 129; x++)
			for (i = 0; i < 16; i++) {
				b[1] = (unsigned char)(0x7f + x / 129);
				b[2] = (unsigned char)(0x7f + x % 129);
				b[3] = edge[i / 4];
				b[4] = edge[i % 4];
				b[n + 1] = '"';
				if ((json_parse(&v, b, n + 2) == 0) ==
				    is_text(b + 1, n))
					right++;
				else
					wrong++;
			}
	CHECK(wrong == 0 && right > 0, "%ld sequences judged otherwise",
	    wrong);
}

/* ---------------------------------------------------- grammar, generated */

/* The text that a letter of a shape stands for; NULL: itself. */
static const char *
letter_text(char letter)
{
	return letter == 's' ? "\"a\"" : letter == 'n' ? "null" : NULL;
}

/* RFC 8259 over such letters: the end of the value at p, or NULL. */
static const char *
value_end(const char *p)
{
	char closer = *p == '[' ? ']' : '}';
	int object = *p == '{';

	if (letter_text(*p) != NULL)
		return p + 1;
	if (*p != '[' && *p != '{')
		return NULL;
	if (*++p == closer)
		return p + 1;
	for (;;) {
		if (object && (p[0] != 's' || p[1] != ':'))
			return NULL;
		p = value_end(object ? p + 2 : p);
		if (p == NULL || (*p != ',' && *p != closer))
			return NULL;
		if (*p++ == closer)
			return p;
	}
}

static int
shape_parses(const char *shape)
{
	char text[64];
	struct json v;
	size_t n = 0;

	for (; *shape != '\0'; shape++)
		if (letter_text(*shape) != NULL)
			n += (size_t)sprintf(text + n, "%s",
			    letter_text(*shape));
		else
			text[n++] = *shape;
	return json_parse(&v, (unsigned char *)text, n) == 0;
}

/* Puts number i, in digits of letters[0..k), into out[0..n). */
static void
spell(char *out, size_t n, size_t i, const char *letters, size_t k)
{
	size_t at;

	for (at = 0; at < n; at++, i /= k)
		out[at] = letters[i % k];
	out[n] = '\0';
}

/* All sequences of up to seven tokens. */
static void
test_shapes(void)
{
	static const char letters[] = "[]{},:sn";
	const size_t k = sizeof(letters) - 1;
	char shape[8];
	const char *end;
	size_t n, i, count = 1;
	long wrong = 0, good = 0;

	for (n = 1; n <= 7; n++) {
		count *= k;
		for (i = 0; i < count; i++) {
			spell(shape, n, i, letters, k);
			end = value_end(shape);
			if (end != NULL && *end != '\0')
				end = NULL;
			good += end != NULL;
			wrong += shape_parses(shape) != (end != NULL);
		}
	}
	CHECK(wrong == 0 && good == 58, "%ld shapes judged otherwise, %ld good",
	    wrong, good);
}

static const char *
digits_end(const char *p)
{
	return p + strspn(p, "0123456789");
}

/* RFC 8259 section 6. */
static int
is_number(const char *p)
{
	const char *start;

	p += *p == '-';
	start = p;
	p = *p == '0' ? p + 1 : digits_end(p);
	if (p == start)
		return 0;
	if (*p == '.') {
		start = p + 1;
		p = digits_end(start);
		if (p == start)
			return 0;
	}
	if (*p == 'e' || *p == 'E') {
		start = p + 1 + (p[1] == '+' || p[1] == '-');
		p = digits_end(start);
		if (p == start)
			return 0;
	}
	return *p == '\0';
}

/* All texts of up to six characters of numbers, alone and in an array. */
static void
test_numbers(void)
{
	static const char letters[] = "07-+.eE";
	const size_t k = sizeof(letters) - 1;
	char text[10] = "[", *number = text + 1;
	size_t n, i, count = 1;
	struct json v;
	long wrong = 0, good = 0;
	int want;

	for (n = 1; n <= 6; n++) {
		count *= k;
		for (i = 0; i < count; i++) {
			spell(number, n, i, letters, k);
			want = is_number(number);
			good += want;
			wrong += (json_parse(&v, (unsigned char *)number, n) ==
			    0) != want;
			number[n] = ']';
			wrong += (json_parse(&v, (unsigned char *)text, n + 2)
			    == 0) != want;
		}
	}
	CHECK(wrong == 0 && good > 100, "%ld numbers judged otherwise", wrong);
}

/* Each octet by itself, and before, after and between the tokens of a text:
 * only white space may stand there. */
static void
test_octets_between(void)
{
	static const char text[] = "{\"a\":[null,{}]}";
	static const size_t places[] = { 0, 1, 4, 5, 6, 10, 11, 12, 13, 14, 15 };
	const size_t n = sizeof(text) - 1;
	char b[sizeof(text)];
	size_t i, at;
	int x, space;

	for (x = 0; x < 256; x++) {
		b[0] = (char)x;
		CHECK(parses(b, 1) == (x >= '0' && x <= '9'), "octet %d", x);
		space = x == ' ' || x == '\t' || x == '\r' || x == '\n';
		for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			at = places[i];
			memcpy(b, text, at);
			b[at] = (char)x;
			memcpy(b + at + 1, text + at, n - at);
			CHECK(parses(b, n + 1) == space, "octet %d at %zu", x,
			    at);
		}
	}
}

/* RFC 3629: a code point as UTF-8. */
static size_t
put_utf8(unsigned char *out, unsigned long c)
{
	static const unsigned char heads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, i;

	for (i = n - 1; i > 0; i--, c >>= 6)
		out[i] = (unsigned char)(0x80 | (c & 0x3f));
	out[0] = (unsigned char)(heads[n] | c);
	return n;
}

/* Whether the string of these escapes is refused, or read as the character
 * want; those that are no character (want -1) must be refused. */
static int
escape_right(const char *text, long want)
{
	unsigned char utf8[4], got[16];
	struct json v;
	size_t n;

	if (json_parse(&v, (const unsigned char *)text, strlen(text)) != 0)
		return want == -1;
	if (want == -1)
		return 0;
	n = put_utf8(utf8, (unsigned long)want);
	return json_string(&v, got, sizeof(got)) == (long)n &&
	    memcmp(got, utf8, n) == 0;
}

/* Every \u escape alone, and every pair of surrogates' edges. */
static void
test_escapes(void)
{
	static const long edges[] = {
		0, 0x41, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdc01, 0xdfff, 0xe000
	};
	char text[20];
	long a, b, want, wrong = 0;
	size_t i;

	for (a = 0; a < 0x10000; a++) {
		sprintf(text, a & 1 ? "\"\\u%04lx\"" : "\"\\u%04lX\"",
		    (unsigned long)a);
		want = a >= 0xd800 && a < 0xe000 ? -1 : a;
		wrong += !escape_right(text, want);
	}
	for (a = 0xd800; a < 0xe000; a++)
		for (i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
			b = edges[i];
			sprintf(text, "\"\\u%04lx\\u%04lx\"", (unsigned long)a,
			    (unsigned long)b);
			want = a < 0xdc00 && b >= 0xdc00 && b < 0xe000 ?
			    0x10000 + (a - 0xd800) * 0x400 + b - 0xdc00 : -1;
			wrong += !escape_right(text, want);
		}
	CHECK(wrong == 0, "%ld escapes wrong", wrong);
}

/* ----------------------------------------------------------------- values */

static void
test_integers(void)
{
	static const struct {
		const char *text;
		int got;
		long long value;
	} t[] = {
		{ "0", 0, 0 }, { "-0", 0, 0 }, { "7", 0, 7 }, { "-7", 0, -7 },
		{ "5.0", 0, 5 }, { "5e0", 0, 5 }, { "5E+0", 0, 5 },
		{ "5.000e0", 0, 5 }, { "50e-1", 0, 5 }, { "-50.0e-1", 0, -5 },
		{ "1.5e1", 0, 15 }, { "1.50e1", 0, 15 }, { "0.05e2", 0, 5 },
		{ "1e2", 0, 100 }, { "100", 0, 100 }, { "1000e-3", 0, 1 },
		{ "10203", 0, 10203 }, { "1.02e2", 0, 102 },
		{ "0e999999999999999999999", 0, 0 }, { "0.000", 0, 0 },
		{ "-0.0e-5", 0, 0 },
		{ "1000000000000000000000000e-24", 0, 1 },
		{ "0.000000000000000000000001e24", 0, 1 },
		{ "9223372036854775807", 0, LLONG_MAX },
		{ "922337203685477580.7e1", 0, LLONG_MAX },
		{ "-9223372036854775808", 0, LLONG_MIN },
		{ "9223372036854775808", -1, 0 },
		{ "-9223372036854775809", -1, 0 },
		{ "1e18", 0, 1000000000000000000 }, { "1e19", -1, 0 },
		{ "1e99999999999999999999999", -1, 0 },
		{ "1e-99999999999999999999999", -1, 0 },
		{ "0.5", -1, 0 }, { "5.01", -1, 0 }, { "5e-1", -1, 0 },
		{ "1.55e1", -1, 0 }, { "-0.1", -1, 0 },
		{ "18446744073709551617", -1, 0 },
		{ "99999999999999999999", -1, 0 },
		{ "\"5\"", -1, 0 }, { "null", -1, 0 }, { "true", -1, 0 },
		{ "[5]", -1, 0 },
	};
	unsigned char *copy;
	struct json v;
	long long got;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		got = 0;
		CHECK(parse_copy(&v, t[i].text, strlen(t[i].text),
		    &copy) == 0, "%s parses", t[i].text);
		CHECK(json_integer(&v, &got) == t[i].got,
		    "%s is an integer or not", t[i].text);
		CHECK(got == t[i].value, "%s read as %lld", t[i].text, got);
		free(copy);
	}
}

static const struct {
	const char *text;
	size_t n;
	const char *utf8;
	size_t utf8_n;
	const char *latin1;	/* NULL: above U+00FF */
	size_t latin1_n;
} strings[] = {
	{ TEXT("\"\""), TEXT(""), TEXT("") },
	{ TEXT("\"abc\""), TEXT("abc"), TEXT("abc") },
	{ TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), TEXT("\"\\/\b\f\n\r\t"),
	    TEXT("\"\\/\b\f\n\r\t") },
	{ TEXT("\"a\\u0000b\""), TEXT("a\0b"), TEXT("a\0b") },
	{ TEXT("\"\\u0041\\u007f\""), TEXT("A\x7f"), TEXT("A\x7f") },
	{ TEXT("\"\\u0080\\u00ff\""), TEXT("\xc2\x80\xc3\xbf"),
	    TEXT("\x80\xff") },
	{ TEXT("\"\xc2\x80x\xc3\xbf\""), TEXT("\xc2\x80x\xc3\xbf"),
	    TEXT("\x80x\xff") },
	{ TEXT("\"\\u0100\""), TEXT("\xc4\x80"), NULL, 0 },
	{ TEXT("\"\xc4\x80\""), TEXT("\xc4\x80"), NULL, 0 },
	{ TEXT("\"\\u20aC\\uFFFD\""), TEXT("\xe2\x82\xac\xef\xbf\xbd"),
	    NULL, 0 },
	{ TEXT("\"\\ud834\\udd1e\""), TEXT("\xf0\x9d\x84\x9e"), NULL, 0 },
	{ TEXT("\"\\udbff\\udfff!\""), TEXT("\xf4\x8f\xbf\xbf!"), NULL, 0 },
	{ TEXT("\"\\ud800\\udc00\""), TEXT("\xf0\x90\x80\x80"), NULL, 0 },
	{ TEXT("\"\\\\u0041\""), TEXT("\\u0041"), TEXT("\\u0041") },
	{ TEXT("\"ab\\ncd\\\\ef\""), TEXT("ab\ncd\\ef"), TEXT("ab\ncd\\ef") },
};

/* Unescapes with reader into just enough room, too little, and in place. */
static void
check_unescaped(long (*reader)(const struct json *, unsigned char *, size_t),
    size_t row, const char *want, size_t n)
{
	unsigned char *copy, *out = check_exact("", 0);
	struct json v;

	CHECK(parse_copy(&v, strings[row].text, strings[row].n, &copy) == 0,
	    "row %zu parses", row);
	if (want == NULL) {
		CHECK(reader(&v, copy, strings[row].n) == -1,
		    "row %zu fits no octets", row);
	} else {
		free(out);
		out = malloc(n + 1);
		if (out == NULL)
			abort();
		out[n] = 0xa5;
		CHECK(n == 0 || reader(&v, out, n - 1) == -1,
		    "row %zu in too little room", row);
		CHECK(reader(&v, out, n) == (long)n &&
		    memcmp(out, want, n) == 0, "row %zu in just enough", row);
		CHECK(out[n] == 0xa5, "row %zu writes no further", row);
		CHECK(reader(&v, copy, strings[row].n) == (long)n &&
		    memcmp(copy, want, n) == 0, "row %zu in place", row);
	}
	free(out);
	free(copy);
}

static void
test_strings(void)
{
	struct json v;
	unsigned char out[8];
	size_t i;

	for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		check_unescaped(json_string, i, strings[i].utf8,
		    strings[i].utf8_n);
		check_unescaped(json_latin1, i, strings[i].latin1,
		    strings[i].latin1_n);
	}
	CHECK(json_parse(&v, (const unsigned char *)"12", 2) == 0, "12");
	CHECK(json_string(&v, out, sizeof(out)) == -1, "no string: UTF-8");
	CHECK(json_latin1(&v, out, sizeof(out)) == -1, "no string: Latin-1");
	CHECK(!json_equal(&v, "12"), "no string: equal");
}

static void
test_equal(void)
{
	static const struct {
		const char *text;
		const char *s;
		int equal;
	} t[] = {
		{ "\"\"", "", 1 }, { "\"a\"", "a", 1 }, { "\"a\"", "A", 0 },
		{ "\"a\"", "", 0 }, { "\"\"", "a", 0 }, { "\"ab\"", "a", 0 },
		{ "\"a\"", "ab", 0 }, { "\"\\u0061b\"", "ab", 1 },
		{ "\"a\\u0000\"", "a\0", 0 }, { "\"\\u0000\"", "\0", 0 },
		{ "\"\\/\"", "/", 1 }, { "\"\\\\\"", "\\", 1 },
		{ "\"\xc3\xa9\"", "\xc3\xa9", 1 },
		{ "\"\\u00e9\"", "\xc3\xa9", 1 },
		{ "\"\\u00e9\"", "\xc3", 0 }, { "\"\xc3\xa9\"", "\xe9", 0 },
		{ "\"\\ud834\\udd1e\"", "\xf0\x9d\x84\x9e", 1 },
	};
	unsigned char *copy;
	struct json v;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		CHECK(parse_copy(&v, t[i].text, strlen(t[i].text),
		    &copy) == 0, "%s parses", t[i].text);
		CHECK(json_equal(&v, t[i].s) == t[i].equal, "%s and %s",
		    t[i].text, t[i].s);
		free(copy);
	}
}

/* ------------------------------------------------------------------ walks */

static int
raw_is(const struct json *v, const char *s)
{
	return v->raw.n == strlen(s) && memcmp(v->raw.p, s, v->raw.n) == 0;
}

/* The members of text as "key=value;", or "value;" for an array. */
static const char *
members(const char *text)
{
	static char out[256];
	struct json v, key, val;
	struct json_iter it;
	unsigned char *copy;
	size_t n = 0;

	out[0] = '\0';
	if (parse_copy(&v, text, strlen(text), &copy) == 0) {
		json_iter_init(&it, &v);
		while (json_iter_next(&it, &key, &val)) {
			if (v.type == JSON_OBJECT)
				n += (size_t)sprintf(out + n, "%.*s=",
				    (int)key.raw.n, (const char *)key.raw.p);
			n += (size_t)sprintf(out + n, "%.*s;",
			    (int)val.raw.n, (const char *)val.raw.p);
		}
		CHECK(json_iter_next(&it, &key, &val) == 0,
		    "the end of %s stays the end", text);
	}
	free(copy);
	return out;
}

static void
test_iterate(void)
{
	static const struct {
		const char *text;
		const char *want;
	} t[] = {
		{ "[]", "" }, { "[ \n ]", "" }, { "{}", "" }, { "{ }", "" },
		{ "1", "" }, { "\"[1]\"", "" }, { "null", "" },
		{ "[1]", "1;" }, { "[ 1 , -2.5e3,true ]", "1;-2.5e3;true;" },
		{ "[[],{},[[1,2],[3]],{\"a\":{}}]",
		    "[];{};[[1,2],[3]];{\"a\":{}};" },
		{ "[\"]\",\"\\\"\",\"\\\\\",\"\\\\\\\"]\"]",
		    "\"]\";\"\\\"\";\"\\\\\";\"\\\\\\\"]\";" },
		{ "[[\"[\\\\\"],[\"}\\\"]\"],0]",
		    "[\"[\\\\\"];[\"}\\\"]\"];0;" },
		{ "{\"a\":1,\"b\" : [2] , \"a\":{\"c\":3}}",
		    "\"a\"=1;\"b\"=[2];\"a\"={\"c\":3};" },
		{ "{\"\":\"\",\":\":\",\",\"\\\"\":null}",
		    "\"\"=\"\";\":\"=\",\";\"\\\"\"=null;" },
		{ "\n{\n\t\"k\"\n:\n\tfalse\n}\n", "\"k\"=false;" },
	};
	struct json v, val;
	struct json_iter it;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		CHECK(strcmp(members(t[i].text), t[i].want) == 0, "%s",
		    t[i].text);
	CHECK(json_parse(&v, (const unsigned char *)"{\"a\":1}", 7) == 0,
	    "an object");
	json_iter_init(&it, &v);
	CHECK(json_iter_next(&it, NULL, &val) == 1 && raw_is(&val, "1"),
	    "a key that nobody wants");
}

/* The pairs of text as "name=value;", and "!" where the walk breaks off. */
static const char *
pairs(const char *text)
{
	static char out[256];
	struct json v, name, value;
	struct json_iter it;
	unsigned char *copy;
	size_t n = 0;
	int r = 0;

	if (parse_copy(&v, text, strlen(text), &copy) == 0) {
		json_iter_init(&it, &v);
		while ((r = json_iter_pair(&it, &name, &value)) == 1)
			n += (size_t)sprintf(out + n, "%.*s=%.*s;",
			    (int)name.raw.n, (const char *)name.raw.p,
			    (int)value.raw.n, (const char *)value.raw.p);
	}
	strcpy(out + n, r == -1 ? "!" : "");
	free(copy);
	return out;
}

static void
test_pairs(void)
{
	static const struct {
		const char *text;
		const char *want;
	} t[] = {
		{ "[]", "" }, { "{}", "" }, { "1", "" }, { "\"[[1,2]]\"", "" },
		{ "{\"a\":1,\"b\":[2,3]}", "\"a\"=1;\"b\"=[2,3];" },
		{ "[[\"a\",\"b\"],[\"c\",\"d\"]]",
		    "\"a\"=\"b\";\"c\"=\"d\";" },
		{ " [ [ 1 , true ] , [ [2] , {\"x\":3} ] ] ",
		    "1=true;[2]={\"x\":3};" },
		{ "[[\"a]\",\"]\"],[null,-1e5]]", "\"a]\"=\"]\";null=-1e5;" },
		{ "[[]]", "!" }, { "[[1]]", "!" }, { "[[1,2,3]]", "!" },
		{ "[1]", "!" }, { "[{\"a\":1}]", "!" }, { "[\"ab\"]", "!" },
		{ "[[1,2],[3]]", "1=2;!" }, { "[[[1,2]]]", "!" },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		CHECK(strcmp(pairs(t[i].text), t[i].want) == 0, "%s: %s",
		    t[i].text, pairs(t[i].text));
}

/* What a loose walk finds, written as name=value; after each. */
static void
loose_list(char *out, size_t cap, const unsigned char *b, size_t n)
{
	struct json_iter it;
	struct json key, val;
	unsigned char text[64];
	size_t len = 0;
	long k;

	out[0] = '\0';
	json_loose_init(&it, b, n);
	while (json_loose_next(&it, &key, &val)) {
		k = json_string(&key, text, sizeof(text));
		len += (size_t)snprintf(out + len, cap - len, "%.*s=%.*s;",
		    k < 0 ? 1 : (int)k, k < 0 ? "!" : (char *)text,
		    (int)val.raw.n, (const char *)val.raw.p);
		CHECK(len < cap, "too long");
	}
	CHECK(json_loose_next(&it, &key, &val) == 0, "goes on after the end");
}

#define OPEN_10 "[{\"x\":[{\"x\":[{\"x\":[{\"x\":[{\"x\":"
#define CLOSE_10 "}]}]}]}]}]"

static void
test_loose(void)
{
	static const struct {
		const char *text, *members;
	} t[] = {
		{ "", "" }, { " ", "" }, { "{", "" }, { "{}", "" },
		{ "[]", "" }, { "\"a\":1", "" }, { "x{\"a\":1}", "" },
		{ " {\"a\" : 1 , \"b\":\"c\"} ", "a=1;b=\"c\";" },
		{ "{\"a\":1,\"a\":2}", "a=1;a=2;" },
		{ "{\"a\":nonsense,\"b\":--.e}", "a=nonsense;b=--.e;" },
		{ "{\"a\":1}junk,\"b\":2", "a=1;" },
		{ "{\"a\":1},\"b\":2", "a=1;" },
		{ "{\"a\":1}{\"b\":2}", "a=1;" },
		{ "{\"a\":1,}", "a=1;" }, { "{,\"a\":1}", "" },
		{ "{\"a\":1 \"b\":2}", "a=1;" }, { "{\"a\"}", "" },
		{ "{\"a\" \"b\":2}", "" }, { "{a:1,\"b\":2}", "" },
		{ "{\"a\":,\"b\":2}", "" }, { "{\"a\":\"b\"\"c\":1}",
		    "a=\"b\";" },
		{ "{\"a\":\"\\ud800\",\"b\":\"\\q\x01\n\xff\"}",
		    "a=\"\\ud800\";b=\"\\q\x01\n\xff\";" },
		{ "{\"\\ud800\":1,\"\\u0061\":2}", "!=1;a=2;" },
		{ "{\"a\":\"\\\"b\\\\\",\"c\":1}",
		    "a=\"\\\"b\\\\\";c=1;" },
		{ "{\"a\":{\"b\":1,\"c\":[{}]},\"d\":[\"}\",\"]\"],\"e\":0}",
		    "a={\"b\":1,\"c\":[{}]};d=[\"}\",\"]\"];e=0;" },
		{ "{\"a\":[{}],\"b\":1}", "a=[{}];b=1;" },
		{ "{\"a\":{]},\"b\":1}", "" }, { "{\"a\":[},\"b\":1}", "" },
		{ "{\"a\":{\"\\\"}\",\"b\":1},\"c\":2}",
		    "a={\"\\\"}\",\"b\":1};c=2;" },
		{ "{\"a\":" OPEN_10 OPEN_10 OPEN_10 OPEN_10 "0" CLOSE_10
		    CLOSE_10 CLOSE_10 CLOSE_10 ",\"b\":1}", "a=" OPEN_10
		    OPEN_10 OPEN_10 OPEN_10 "0" CLOSE_10 CLOSE_10 CLOSE_10
		    CLOSE_10 ";b=1;" }
	};
	char got[512], cut[512];
	unsigned char *b;
	size_t i, k, n;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		n = strlen(t[i].text);
		for (k = n; k <= n; k--) {
			b = check_exact(t[i].text, k);
			loose_list(k == n ? got : cut, sizeof(got), b, k);
			/* Cut short, the last value may be so, too. */
			CHECK(k == n || strncmp(got, cut, strlen(cut) > 0 ?
			    strlen(cut) - 1 : 0) == 0, "%s cut at %d: %s",
			    t[i].text, (int)k, cut);
			free(b);
		}
		CHECK(strcmp(got, t[i].members) == 0, "%s: %s", t[i].text,
		    got);
	}
}

static void
test_find(void)
{
	static const struct {
		const char *name;
		int found;
		const char *raw;
	} t[] = {
		{ "a", 1, "1" }, { "b", 1, "[{\"x\":2}]" }, { "x", 0, "" },
		{ "twice", -1, "" }, { "esc/aped", 1, "\"y\"" },
		{ "also", -1, "" }, { "", 1, "null" }, { "A", 0, "" },
		{ "la", 1, "0" },
	};
	static const char text[] =
	    "{\"a\":1,\"b\":[{\"x\":2}],\"twice\":1,\"esc\\/\\u0061ped\":"
	    "\"y\",\"twice\":2,\"also\":3,\"\\u0061lso\":4,\"\":null,"
	    "\"la\":0}";
	struct json v, val;
	size_t i;
	int got;

	CHECK(json_parse(&v, (const unsigned char *)text,
	    sizeof(text) - 1) == 0, "an object");
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		got = json_find(&v, t[i].name, &val);
		CHECK(got == t[i].found, "%s: %d", t[i].name, got);
		CHECK(got != 1 || raw_is(&val, t[i].raw), "value of %s",
		    t[i].name);
	}
	CHECK(json_parse(&v, (const unsigned char *)"[\"a\",1]", 7) == 0 &&
	    json_find(&v, "a", &val) == 0, "nothing to find in an array");
}

/* JSON in a string in JSON, as the v1 wire has it, unescaped in place. */
static void
test_json_in_json(void)
{
	static const char text[] =
	    "{\"url_query\":\"[[\\\"k\\\",\\\"v\\\\\\\"\\\\n\\\"]]\","
	    "\"headers\":\"{\\\"host\\\":\\\"pub.example\\\","
	    "\\\"x\\\":\\\"\\\\u00e9\\\"}\",\"body\":\"\"}";
	static const char want[] = "[[\"k\",\"v\\\"\\n\"]]";
	unsigned char *copy, got[8];
	struct json v, query, headers, val;
	long n;

	CHECK(parse_copy(&v, text, sizeof(text) - 1, &copy) == 0 &&
	    json_find(&v, "url_query", &query) == 1 &&
	    json_find(&v, "headers", &headers) == 1, "the message");
	n = json_string(&headers, copy + (headers.raw.p - copy),
	    headers.raw.n);
	CHECK(n > 0 && json_parse(&v, headers.raw.p, (size_t)n) == 0 &&
	    json_find(&v, "host", &val) == 1 &&
	    json_equal(&val, "pub.example"), "host in headers");
	CHECK(json_find(&v, "x", &val) == 1 &&
	    json_latin1(&val, got, sizeof(got)) == 1 && got[0] == 0xe9,
	    "x in headers");
	n = json_string(&query, copy + (query.raw.p - copy), query.raw.n);
	CHECK(n == (long)strlen(want) && memcmp(query.raw.p, want,
	    strlen(want)) == 0, "the query's own text");
	free(copy);
}

/* ----------------------------------------------------------------- output */

static struct view
view_of(const void *p, size_t n)
{
	struct view v;

	v.p = p;
	v.n = n;
	return v;
}

static void
test_put_strings(void)
{
	static const struct {
		const char *in;
		size_t n;
		const char *utf8;	/* as from json_put_string */
		const char *latin1;
		const char *nested;	/* as from json_put_string, nest 1 */
	} t[] = {
		{ TEXT(""), "\"\"", "\"\"", "\\\"\\\"" },
		{ TEXT("a/\x7f"), "\"a/\x7f\"", "\"a/\x7f\"",
		    "\\\"a/\x7f\\\"" },
		{ TEXT("\"\\"), "\"\\\"\\\\\"", "\"\\\"\\\\\"",
		    "\\\"\\\\\\\"\\\\\\\\\\\"" },
		{ TEXT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"",
		    "\"\\b\\f\\n\\r\\t\"",
		    "\\\"\\\\b\\\\f\\\\n\\\\r\\\\t\\\"" },
		{ TEXT("\0\x1f\v"), "\"\\u0000\\u001f\\u000b\"",
		    "\"\\u0000\\u001f\\u000b\"",
		    "\\\"\\\\u0000\\\\u001f\\\\u000b\\\"" },
		{ TEXT("\xc3\xa9"), "\"\xc3\xa9\"",
		    "\"\xc3\x83\xc2\xa9\"", "\\\"\xc3\xa9\\\"" },
		{ TEXT("\x80\xff"), "\"\xef\xbf\xbd\xef\xbf\xbd\"",
		    "\"\xc2\x80\xc3\xbf\"",
		    "\\\"\xef\xbf\xbd\xef\xbf\xbd\\\"" },
		{ TEXT("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"",
		    "\"\xc3\xa2\xc2\x82\"",
		    "\\\"\xef\xbf\xbd\xef\xbf\xbd\\\"" },
		{ TEXT("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\"",
		    "\"\xc3\xb0\xc2\x9f\xc2\x98\xc2\x80\"",
		    "\\\"\xf0\x9f\x98\x80\\\"" },
	};
	unsigned char out[128], *copy;
	struct json_out o;
	struct view v;
	size_t i, k;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const char *want[3] = { t[i].utf8, t[i].latin1, t[i].nested };

		copy = check_exact(t[i].in, t[i].n);
		v = view_of(copy, t[i].n);
		for (k = 0; k < 3; k++) {
			o.p = out;
			o.cap = sizeof(out);
			o.len = 0;
			o.nest = k == 2;
			(k == 1 ? json_put_latin1 : json_put_string)(&o, v);
			CHECK(o.len == strlen(want[k]) &&
			    memcmp(out, want[k], o.len) == 0,
			    "row %zu, way %zu: %.*s", i, k, (int)o.len,
			    (const char *)out);
		}
		free(copy);
	}
}

static void
test_put_integers(void)
{
	static const struct {
		long long i;
		const char *want;
	} t[] = {
		{ 0, "0" }, { 7, "7" }, { -1, "-1" }, { 65536, "65536" },
		{ LLONG_MAX, "9223372036854775807" },
		{ LLONG_MIN, "-9223372036854775808" },
	};
	unsigned char out[32];
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct json_out o = { out, sizeof(out), 0, 0 };

		json_put_integer(&o, t[i].i);
		CHECK(o.len == strlen(t[i].want) &&
		    memcmp(out, t[i].want, o.len) == 0, "%s", t[i].want);
	}
}

/* Every octet value, and some text, at the given nest. */
static void
put_sample(struct json_out *o)
{
	unsigned char all[256];
	size_t i;

	for (i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)i;
	json_put(o, "{\"k\\n\":[");
	json_put_latin1(o, view_of(all, sizeof(all)));
	json_put(o, ",");
	json_put_string(o, view_of("\"\xc3\xa9\\", 4));
	json_put(o, ",");
	json_put_integer(o, -12);
	json_put(o, ",\"");
	json_put_raw(o, "QUJD", 4);
	json_put(o, "\"]}");
}

/* What is nested comes back when it is unescaped once for each level. */
static void
test_put_nested(void)
{
	unsigned char plain[2048], deep[8192];
	struct json_out p = { plain, sizeof(plain), 0, 0 };
	struct json v;
	int nest, level;
	size_t n;
	long got;

	put_sample(&p);
	CHECK(p.len <= p.cap && json_parse(&v, plain, p.len) == 0,
	    "the sample is JSON");
	for (nest = 1; nest <= 3; nest++) {
		struct json_out o = { deep + 1, sizeof(deep) - 2, 0, 0 };

		o.nest = nest;
		put_sample(&o);
		n = o.len;
		for (level = 0; level < nest; level++) {
			memmove(deep + 1, level == 0 ? deep + 1 : deep, n);
			deep[0] = deep[n + 1] = '"';
			CHECK(json_parse(&v, deep, n + 2) == 0,
			    "nest %d, level %d parses", nest, level);
			got = json_string(&v, deep, sizeof(deep));
			n = got < 0 ? 0 : (size_t)got;
		}
		CHECK(n == p.len && memcmp(deep, plain, n) == 0,
		    "nest %d comes back as it was", nest);
	}
}

/* Too little room at each size: the same length, the same start, nothing
 * behind it. */
static void
test_put_short(void)
{
	unsigned char whole[2048], *out;
	struct json_out w = { whole, sizeof(whole), 0, 1 };
	size_t cap;

	put_sample(&w);
	for (cap = 0; cap <= w.len; cap++) {
		struct json_out o = { NULL, 0, 0, 1 };

		out = check_exact(whole, cap);
		memset(out, 0, cap);
		o.p = cap > 0 ? out : NULL;
		o.cap = cap;
		put_sample(&o);
		CHECK(o.len == w.len && memcmp(out, whole, cap) == 0,
		    "room for %zu", cap);
		free(out);
	}
}

/* A long string among others, as a v1 body is. */
static void
test_long_string(void)
{
	size_t n = 1 << 20;
	unsigned char *b = malloc(n + 32);
	struct json v, val;
	size_t len;
	long got;

	if (b == NULL)
		abort();
	len = (size_t)sprintf((char *)b, "{\"body\":\"");
	memset(b + len, 'Q', n);
	memcpy(b + len + n, "\",\"a\":1}", 8);
	CHECK(json_parse(&v, b, len + n + 8) == 0 &&
	    json_find(&v, "a", &val) == 1 && raw_is(&val, "1"), "behind it");
	CHECK(json_find(&v, "body", &val) == 1, "itself");
	got = json_string(&val, b + (val.raw.p - b), n);
	CHECK(got == (long)n && b[8] == 'Q' && b[8 + n - 1] == 'Q',
	    "unescaped: %ld", got);
	free(b);
}

/* ---------------------------------------------------------------- vectors */

/* JSONTestSuite: names with y_ are accepted, with n_ refused. */
static void
test_suite(void)
{
	char path[1024];
	const char *vectors = check_vectors();
	DIR *dir;
	struct dirent *e;
	char *b;
	size_t n, files = 0;

	if (vectors == NULL)
		return;
	snprintf(path, sizeof(path), "%s/json", vectors);
	dir = opendir(path);
	CHECK(dir != NULL, "cannot open %s", path);
	while (dir != NULL && (e = readdir(dir)) != NULL) {
		if (strncmp(e->d_name, "y_", 2) != 0 &&
		    strncmp(e->d_name, "n_", 2) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/json/%s", vectors, e->d_name);
		b = check_file(path, &n);
		CHECK(b != NULL && parses(b, n) == (e->d_name[0] == 'y'),
		    "%s", e->d_name);
		free(b);
		files++;
	}
	if (dir != NULL)
		closedir(dir);
	CHECK(files > 100, "only %zu files", files);
}

void
test_json(void)
{
	test_accepted();
	test_refused();
	test_truncated();
	test_caps();
	test_string_places();
	test_utf8();
	test_shapes();
	test_numbers();
	test_octets_between();
	test_escapes();
	test_integers();
	test_strings();
	test_equal();
	test_iterate();
	test_pairs();
	test_loose();
	test_find();
	test_json_in_json();
	test_put_strings();
	test_put_integers();
	test_put_nested();
	test_put_short();
	test_long_string();
	test_suite();
}
