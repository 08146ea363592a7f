/*
 * Tests of http.c: tables of good and bad messages, every truncation and
 * split, smuggling probes, what is written, pipelines of all of these, and as
 * an extra three published collections of requests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../pipegate.h"
#include "check.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ALNUM "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static struct view
v(const char *s)
{
	struct view view;

	view.p = (const unsigned char *)s;
	view.n = strlen(s);
	return view;
}

static struct view
view_n(const char *p, size_t n)
{
	struct view view;

	view.p = (const unsigned char *)p;
	view.n = n;
	return view;
}

static const char *
shown(struct view view)
{
	static char text[4][256];
	static size_t turn;
	char *out = text[turn++ % 4];

	snprintf(out, sizeof(text[0]), "%.*s",
	    (int)(view.n < 255 ? view.n : 255), (const char *)view.p);
	return out;
}

/*
 * Feeding: a whole, octet by octet, and in two pieces, each piece in a block
 * of just its size.  All must come to the same result.
 */
typedef int feed_fn(struct http_head *, const unsigned char *, size_t,
    size_t *);

static int
feed_request(struct http_head *h, const unsigned char *p, size_t n,
    size_t *scanned)
{
	return http_request_parse(h, p, n, scanned);
}

static int
feed_answer(struct http_head *h, const unsigned char *p, size_t n,
    size_t *scanned)
{
	return http_answer_parse(h, p, n, scanned, v("GET"));
}

static int
feed_trailers(struct http_head *h, const unsigned char *p, size_t n,
    size_t *scanned)
{
	return http_trailers_parse(h->field, &h->nfields, p, n, scanned);
}

static int
feed_piece(feed_fn *fn, const void *b, size_t n, size_t *scanned)
{
	static struct http_head h;
	unsigned char *p = check_exact(b, n);
	int rc = fn(&h, p, n, scanned);

	CHECK(rc <= (int)n, "result %d of %d octets", rc, (int)n);
	free(p);
	return rc;
}

static int
feed_whole(feed_fn *fn, const void *b, size_t n)
{
	size_t scanned = 0;

	return feed_piece(fn, b, n, &scanned);
}

static int
feed_octets(feed_fn *fn, const void *b, size_t n)
{
	size_t scanned = 0, i;
	int rc = 0;

	for (i = 0; i <= n && rc == 0; i++)
		rc = feed_piece(fn, b, i, &scanned);
	return rc;
}

static int
feed_split(feed_fn *fn, const void *b, size_t n, size_t at)
{
	size_t scanned = 0;
	int rc = feed_piece(fn, b, at, &scanned);

	return rc != 0 ? rc : feed_piece(fn, b, n, &scanned);
}

/* Feeds b in all three ways; what comes of it must be want. */
static void
feed_all(feed_fn *fn, const void *b, size_t n, int want)
{
	const char *text = b;
	size_t i;
	int rc = feed_whole(fn, b, n);

	CHECK(rc == want, "%d, not %d: %.70s", rc, want, text);
	rc = feed_octets(fn, b, n);
	CHECK(rc == want, "by octets %d, not %d: %.70s", rc, want, text);
	for (i = 0; i < n; i++) {
		rc = feed_split(fn, b, n, i);
		CHECK(rc == want, "split at %d: %d, not %d: %.70s", (int)i, rc,
		    want, text);
	}
}

/* A head that is good up to size is incomplete at every shorter length. */
static void
feed_truncated(feed_fn *fn, const void *b, int size)
{
	int i;

	for (i = 0; i < size; i++)
		CHECK(feed_whole(fn, b, (size_t)i) == 0, "cut at %d: %.70s", i,
		    (const char *)b);
}

/*
 * Requests.
 */
#define H "Host: h\r\n"
#define KEEP 1
#define EXPECT 2
#define UPGRADE 4
#define TRAILERS 8
#define DATED 16
#define NAMED 32		/* has x-pipegate-correlation-id */

static int
head_flags(const struct http_head *h)
{
	return h->keep_alive * KEEP + h->expect_continue * EXPECT +
	    h->upgrade * UPGRADE + h->te_trailers * TRAILERS +
	    h->dated * DATED + h->correlated * NAMED;
}

/* The lines of a head are the text between its first line and its last. */
static void
check_lines(const struct http_head *h, const char *text, size_t size)
{
	size_t from = (size_t)(strstr(text + 2, "\r\n") + 2 - text);
	struct view want = view_n(text + from, size - from - 2);

	CHECK(h->lines.n == want.n && memcmp(h->lines.p, want.p, want.n) == 0,
	    "lines \"%s\": %s", shown(h->lines), text);
}

static const struct {
	const char *text;
	const char *method, *path, *host;
	enum http_framing framing;
	long long length;
	int flags;
} good_requests[] = {
	{ "GET / HTTP/1.1\r\n" H "\r\n", "GET", "/", "h", HTTP_NO_BODY, -1,
	    KEEP },
	{ "\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET", "/", "h", HTTP_NO_BODY,
	    -1, KEEP },
	{ "GET / HTTP/1.0\r\n\r\n", "GET", "/", "", HTTP_NO_BODY, -1, 0 },
	{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET", "/", "",
	    HTTP_NO_BODY, -1, KEEP },
	{ "GET / HTTP/1.7\r\n" H "\r\n", "GET", "/", "h", HTTP_NO_BODY, -1,
	    KEEP },
	{ "GET / HTTP/1.1\r\n" H "Connection: foo , CLOSE\r\n\r\n", "GET",
	    "/", "h", HTTP_NO_BODY, -1, 0 },
	{ "GET / HTTP/1.1\r\n" H "Connection: keep-alive, close\r\n\r\n",
	    "GET", "/", "h", HTTP_NO_BODY, -1, 0 },
	{ "POST /a//b%2F?x=1&x=+2&? HTTP/1.1\r\nhOST:\th:80 \t\r\n"
	    "content-LENGTH:  5\t\r\n\r\nhello", "POST", "/a//b%2F?x=1&x=+2&?",
	    "h:80", HTTP_LENGTH, 5, KEEP },
	{ "GET / HTTP/1.1\r\n" H "Content-Length: 000\r\n\r\n", "GET", "/",
	    "h", HTTP_LENGTH, 0, KEEP },
	{ "PUT / HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n\r\n",
	    "PUT", "/", "h", HTTP_LENGTH, 9223372036854775807LL, KEEP },
	{ "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked \r\n\r\n0\r\n\r\n",
	    "PUT", "/", "h", HTTP_CHUNKED, -1, KEEP },
	{ "PUT / HTTP/1.1\r\n" H "Transfer_Encoding: x\r\n"
	    "Content_Length: -1\r\n\r\n", "PUT", "/", "h", HTTP_NO_BODY, -1,
	    KEEP },
	{ "GET HTTP://Example.com:8080/p?q HTTP/1.1\r\n"
	    "Host: eXample.com:8080\r\n\r\n", "GET", "/p?q",
	    "Example.com:8080", HTTP_NO_BODY, -1, KEEP },
	{ "GET https://h HTTP/1.1\r\n" H "\r\n", "GET", "/", "h",
	    HTTP_NO_BODY, -1, KEEP },
	{ "GET http://h/x HTTP/1.0\r\n\r\n", "GET", "/x", "h", HTTP_NO_BODY,
	    -1, 0 },
	{ "OPTIONS http://h HTTP/1.1\r\n" H "\r\n", "OPTIONS", "*", "h",
	    HTTP_NO_BODY, -1, KEEP },
	{ "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS", "*", "h",
	    HTTP_NO_BODY, -1, KEEP },
	{ "get!#$%&'*+-.^_`|~ /\"<>[\\]^`{|} HTTP/1.1\r\n" H "\r\n",
	    "get!#$%&'*+-.^_`|~", "/\"<>[\\]^`{|}", "h", HTTP_NO_BODY, -1,
	    KEEP },
	{ "GET / HTTP/1.1\r\nHost: [2001:DB8::1.2.3.4]:99\r\n\r\n", "GET",
	    "/", "[2001:DB8::1.2.3.4]:99", HTTP_NO_BODY, -1, KEEP },
	{ "GET / HTTP/1.1\r\nHost: a_b-c.def~!$&'()*+;=:\r\n\r\n", "GET",
	    "/", "a_b-c.def~!$&'()*+;=:", HTTP_NO_BODY, -1, KEEP },
	{ "GET / HTTP/1.1\r\nHost: h:65535\r\n\r\n", "GET", "/", "h:65535",
	    HTTP_NO_BODY, -1, KEEP },
	{ "GET http://[::1]:0/ HTTP/1.1\r\nHost: [::1]:0\r\n\r\n", "GET",
	    "/", "[::1]:0", HTTP_NO_BODY, -1, KEEP },
	{ "GET / HTTP/1.0\r\nHost: 127.0.0.1:00000000000080\r\n\r\n", "GET",
	    "/", "127.0.0.1:00000000000080", HTTP_NO_BODY, -1, 0 },
	{ "PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\n"
	    "Expect: 100-Continue\r\n\r\n", "PUT", "/", "h", HTTP_LENGTH, 1,
	    KEEP | EXPECT },
	{ "PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
	    "PUT", "/", "", HTTP_LENGTH, 1, 0 },
	{ "GET / HTTP/1.1\r\n" H "Connection: keep-alive, Upgrade\r\n"
	    "Upgrade: websocket\r\n\r\n", "GET", "/", "h", HTTP_NO_BODY, -1,
	    KEEP | UPGRADE },
	{ "GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n", "GET", "/",
	    "h", HTTP_NO_BODY, -1, KEEP },
	{ "GET / HTTP/1.1\r\n" H "Connection: upgrade\r\n\r\n", "GET", "/",
	    "h", HTTP_NO_BODY, -1, KEEP },
	{ "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "GET",
	    "/", "", HTTP_NO_BODY, -1, 0 },
	{ "GET / HTTP/1.1\r\n" H "TE: gzip , trailers\r\nConnection: te\r\n"
	    "\r\n", "GET", "/", "h", HTTP_NO_BODY, -1, KEEP | TRAILERS },
	{ "GET / HTTP/1.1\r\n" H "TE: trailers\r\n\r\n", "GET", "/", "h",
	    HTTP_NO_BODY, -1, KEEP },
	{ "GET / HTTP/1.1\r\n" H "dAtE:\r\n\r\n", "GET", "/", "h",
	    HTTP_NO_BODY, -1, KEEP | DATED },
	{ "GET / HTTP/1.1\r\n" H "Datum: x\r\n"
	    "X-PIPEGATE-correlation-id: y\r\n\r\n", "GET", "/", "h",
	    HTTP_NO_BODY, -1, KEEP | NAMED }
};

static void
test_good_request(size_t i)
{
	static struct http_head h;
	const char *text = good_requests[i].text;
	size_t n = strlen(text), scanned = 0;
	int size = (int)(strstr(text + 2, "\r\n\r\n") + 4 - text);
	int flags;

	feed_all(feed_request, text, n, size);
	feed_truncated(feed_request, text, size);
	http_request_parse(&h, (const unsigned char *)text, n, &scanned);
	flags = head_flags(&h);
	CHECK(http_equal(h.method, good_requests[i].method), "method %s: %s",
	    shown(h.method), text);
	CHECK(http_equal(h.path, good_requests[i].path), "path %s: %s",
	    shown(h.path), text);
	CHECK(http_equal(h.host, good_requests[i].host), "host %s: %s",
	    shown(h.host), text);
	CHECK(h.framing == good_requests[i].framing, "framing %d: %s",
	    (int)h.framing, text);
	CHECK(h.length == good_requests[i].length, "length %lld: %s",
	    h.length, text);
	CHECK(flags == good_requests[i].flags, "flags %d: %s", flags, text);
	CHECK(h.minor == (strstr(text, "HTTP/1.0") == NULL), "minor: %s",
	    text);
	check_lines(&h, text, (size_t)size);
}

static void
test_fields_kept(void)
{
	static const char text[] = "GET / HTTP/1.1\r\n" H "A: 1\r\na:2\r\n"
	    "Empty:\r\nblank: \t \r\nWide: \t\xff\x80 \t long enough x\t \r\n"
	    "\r\n";
	static const char *const want[][2] = {
		{ "Host", "h" }, { "A", "1" }, { "a", "2" }, { "Empty", "" },
		{ "blank", "" }, { "Wide", "\xff\x80 \t long enough x" }
	};
	static struct http_head h;
	size_t scanned = 0, i;

	feed_all(feed_request, text, sizeof(text) - 1, sizeof(text) - 1);
	http_request_parse(&h, (const unsigned char *)text, sizeof(text) - 1,
	    &scanned);
	CHECK(h.nfields == COUNT(want), "%d fields", (int)h.nfields);
	for (i = 0; i < COUNT(want) && i < h.nfields; i++) {
		CHECK(http_equal(h.field[i].name, want[i][0]), "name %s",
		    shown(h.field[i].name));
		CHECK(http_equal(h.field[i].value, want[i][1]), "value %s",
		    shown(h.field[i].value));
	}
	CHECK(http_field_find(h.field, h.nfields, "a") == &h.field[1],
	    "the first of two is found");
	CHECK(http_field_find(h.field, h.nfields, "b") == NULL, "none is");
}

/* Shorthands: a request line with a Host, and fields behind those. */
#define GET11 "GET / HTTP/1.1\r\n" H
#define WITH(fields) "POST / HTTP/1.1\r\n" H fields "\r\n\r\n"

/* 65 octets, one over the cap. */
#define LONG_METHOD "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ" \
    "-_.~!#$%&'*+|"

static const struct {
	int status;
	const char *text;
} bad_requests[] = {
	/* request lines */
	{ 400, "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n" },
	{ 400, "\nGET / HTTP/1.1\r\n" H "\r\n" },
	{ 400, "\rGET / HTTP/1.1\r\n" H "\r\n" },
	{ 400, " GET / HTTP/1.1\r\n" H "\r\n" },
	{ 400, "\x16\x03\x01\x02" },
	{ 400, "G@T / HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET\t/ HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET  / HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET /  HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET / HTTP/1.1 \r\n" H "\r\n" },
	{ 400, "GET /\r\n\r\n" },
	{ 400, "GET\r\n\r\n" },
	{ 400, "GET / \r\n\r\n" },
	{ 400, "GET /a b HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET / http/1.1\r\n" H "\r\n" },
	{ 400, "GET / HTTP/1\r\n" H "\r\n" },
	{ 400, "GET / HTTP/1.\r\n" H "\r\n" },
	{ 400, "GET / HTTP/1.10\r\n" H "\r\n" },
	{ 400, "GET / HTTP/01.1\r\n" H "\r\n" },
	{ 400, "GET / HTTP/0.9\r\n" H "\r\n" },
	{ 400, "GET / HTP/1.1\r\n" H "\r\n" },
	{ 505, "GET / HTTP/2.0\r\n" H "\r\n" },
	{ 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
	{ 505, "GET / HTTP/9.9\r\n" H "\r\n" },
	{ 400, "GET / HTTP/1.1\n" H "\n" },
	{ 400, "GET / HTTP/1.1\n\n" },
	{ 400, "GET / HTTP/1.1\r\n" H "\n" },
	{ 400, "GET / HTTP/1.1\rX: y\r\n" H "\r\n" },
	{ 400, "GET /\x7f HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET /#f HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET /\x01 HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET h HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET h:80 HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET * HTTP/1.1\r\n" H "\r\n" },
	{ 400, "OPTIONS *x HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET ?q HTTP/1.1\r\n" H "\r\n" },
	{ 405, "CONNECT h:443 HTTP/1.1\r\n" H "\r\n" },
	{ 405, "TRACE / HTTP/1.1\r\n" H "\r\n" },
	{ 501, LONG_METHOD " / HTTP/1.1\r\n" H "\r\n" },
	{ 501, "\r\n" LONG_METHOD " / HTTP/1.1\r\n" H "\r\n" },
	{ 501, LONG_METHOD "A / HTTP/1.1\r\n" H "\r\n" },
	{ 501, LONG_METHOD },
	{ 501, LONG_METHOD "\r\n" },
	{ 501, LONG_METHOD "\n\x01(" },
	{ 501, LONG_METHOD " /#\xff HTTP/2.0\r\n" },
	{ 400, "(" LONG_METHOD " / HTTP/1.1\r\n" H "\r\n" },
	/* absolute form */
	{ 400, "GET ftp://h/ HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET http:///x HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET http://u@h/ HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET http://u:p@h/ HTTP/1.1\r\nHost: u:p@h\r\n\r\n" },
	{ 400, "GET http://other/ HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n" },
	{ 400, "GET http://h/ HTTP/1.1\r\n\r\n" },
	{ 400, "GET http://h?q HTTP/1.1\r\n" H "\r\n" },
	{ 400, "GET http:/h/ HTTP/1.1\r\n" H "\r\n" },
	/* Host */
	{ 400, "GET / HTTP/1.1\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" },
	{ 400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: \t\r\n\r\n" },
	{ 400, "GET / HTTP/1.0\r\nHost:\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n" },
	{ 400, "GET http://:80/ HTTP/1.1\r\nHost: :80\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [::1]:65536\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a:18446744073709551696\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n" },
	{ 400, "GET http://a:65536/ HTTP/1.1\r\nHost: a:65536\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a%41\r\n\r\n" },
	{ 400, "GET http://a%41/ HTTP/1.1\r\nHost: a%41\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [::1]:x\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: []\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [1]\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [:::]\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [1::2::3]\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [v1.a]\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [1:2:3:4:5:6:7:8:9]\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [::1]]\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: [0000:0000:0000:0000:0000:0000:"
	    "0000:0000:0000:0000]\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost : h\r\n\r\n" },
	{ 400, "GET / HTTP/1.0\r\nHost: a b\r\n\r\n" },
	/* field lines */
	{ 400, GET11 "A : 1\r\n\r\n" },
	{ 400, GET11 "A\t: 1\r\n\r\n" },
	{ 400, GET11 ": 1\r\n\r\n" },
	{ 400, GET11 "A\r\n\r\n" },
	{ 400, GET11 "A B: 1\r\n\r\n" },
	{ 400, GET11 "A(: 1\r\n\r\n" },
	{ 400, GET11 "\xc3\xa9: 1\r\n\r\n" },
	{ 400, GET11 "A: 1\r\n 2\r\n\r\n" },
	{ 400, GET11 "A: 1\r\n\t2\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\n " H "\r\n" },
	{ 400, "GET / HTTP/1.1\r\n\t\r\n" H "\r\n" },
	{ 400, GET11 "A: 1\n\r\n" },
	{ 400, GET11 "A: 1\nB: 2\r\n\r\n" },
	{ 400, GET11 "A: 1\rB: 2\r\n\r\n" },
	{ 400, GET11 "A: 1\r\rB: 2\r\n\r\n" },
	{ 400, GET11 "A: 1\r\r\n\r\n" },
	{ 400, GET11 "\r\r\nB: 2\r\n\r\n" },
	{ 400, GET11 "A: \x01\r\n\r\n" },
	{ 400, GET11 "A: 12345678\x1f\r\n\r\n" },
	{ 400, GET11 "A: 1234567\x7f" "9\r\n\r\n" },
	{ 400, GET11 "A: \x0b\r\n\r\n" },
	/* Content-Length */
	{ 400, WITH("Content-Length:") },
	{ 400, WITH("Content-Length: +1") },
	{ 400, WITH("Content-Length: -1") },
	{ 400, WITH("Content-Length: -0") },
	{ 400, WITH("Content-Length: 1 2") },
	{ 400, WITH("Content-Length: 0x10") },
	{ 400, WITH("Content-Length: 1_0") },
	{ 400, WITH("Content-Length: 1.0") },
	{ 400, WITH("Content-Length: 1e1") },
	{ 400, WITH("Content-Length: 1,1") },
	{ 400, WITH("Content-Length: 1, 1") },
	{ 400, WITH("Content-Length: 1,") },
	{ 400, WITH("Content-Length: \"1\"") },
	{ 400, WITH("Content-Length: 1;") },
	{ 400, WITH("Content-Length: 9223372036854775808") },
	{ 400, WITH("Content-Length: 18446744073709551617") },
	{ 400, WITH("Content-Length: 99999999999999999999999999") },
	{ 400, WITH("Content-Length: 1\r\nContent-Length: 1") },
	{ 400, WITH("Content-Length: 1\r\nContent-Length: 2") },
	{ 400, WITH("Content-Length: 0\r\ncontent-length:") },
	{ 400, WITH("Content-Length : 1") },
	/* Transfer-Encoding */
	{ 400, WITH("Transfer-Encoding:") },
	{ 400, WITH("Transfer-Encoding: ,") },
	{ 400, WITH("Transfer-Encoding: chunked, chunked") },
	{ 400, WITH("Transfer-Encoding: chunked,") },
	{ 400, WITH("Transfer-Encoding: ,chunked") },
	{ 400, WITH("Transfer-Encoding: gzip, chunked") },
	{ 400, WITH("Transfer-Encoding: chunked, identity") },
	{ 400, WITH("Transfer-Encoding: chunked;q=1") },
	{ 400, WITH("Transfer-Encoding: \"chunked\"") },
	{ 400, WITH("Transfer-Encoding: chunked chunked") },
	{ 400, WITH("Transfer-Encoding:\x0b" "chunked") },
	{ 400, WITH("Transfer-Encoding: chunked\x0c") },
	{ 400, WITH("Transfer-Encoding\x0b: chunked") },
	{ 400, WITH("Transfer-Encoding: \xa0" "chunked") },
	{ 400, WITH("Transfer-Encoding : chunked") },
	{ 400, WITH("Transfer-Encoding\t: chunked") },
	{ 400, WITH(" Transfer-Encoding: chunked") },
	{ 400, WITH("X: y\r\n Transfer-Encoding: chunked") },
	{ 400, WITH("X: y\nTransfer-Encoding: chunked") },
	{ 400, WITH("X: y\rTransfer-Encoding: chunked") },
	{ 400, WITH("Transfer-Encoding:\r\n chunked") },
	{ 400, WITH("Transfer-Encoding\r\n : chunked") },
	{ 400, WITH("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")
	    },
	{ 400, WITH("Transfer-Encoding: chunked\r\nTransfer-Encoding: x") },
	{ 400, WITH("Transfer-Encoding: x\r\nTransfer-Encoding: chunked") },
	{ 400, WITH("Transfer-Encoding: chunked\r\nContent-Length: 3") },
	{ 400, WITH("Content-Length: 3\r\nTransfer-Encoding: chunked") },
	{ 400, WITH("Content-Length: 3\r\nTransfer-Encoding: identity") },
	{ 400, WITH("Content-Length: 3\r\nTransfer-Encoding:") },
	{ 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" },
	{ 501, WITH("Transfer-Encoding: identity") },
	{ 501, WITH("Transfer-Encoding: xchunked") },
	{ 501, WITH("Transfer-Encoding: gzip") },
	/* Expect */
	{ 417, WITH("Expect: something") },
	{ 417, WITH("Expect:") },
	{ 417, WITH("Expect: 100-continue, x") },
	{ 417, WITH("Expect: 100-continue\r\nExpect: x") }
};

static void
test_bad_requests(void)
{
	static const char nul[] = GET11 "A: \0\r\n\r\n";
	static const char nul_name[] = GET11 "A\0B: 1\r\n\r\n";
	static const char nul_target[] = "GET /\0 HTTP/1.1\r\n" H "\r\n";
	size_t i;

	for (i = 0; i < COUNT(bad_requests); i++)
		feed_all(feed_request, bad_requests[i].text,
		    strlen(bad_requests[i].text), -bad_requests[i].status);
	feed_all(feed_request, nul, sizeof(nul) - 1, -400);
	feed_all(feed_request, nul_name, sizeof(nul_name) - 1, -400);
	feed_all(feed_request, nul_target, sizeof(nul_target) - 1, -400);
}

/* What is refused before the head is whole. */
static void
test_early(void)
{
	static const struct {
		int status;
		const char *text;
	} cases[] = {
		{ 400, "\x80" }, { 400, "{" }, { 400, "\rG" },
		{ 400, "\r\n\r" }, { 400, "hello\r\n" }, { 400, "GET /\n" },
		{ 505, "GET / HTTP/2.0\r\n" }, { 405, "TRACE / HTTP/1.1\r\n" },
		{ 400, "GET / HTTP/1.1\r\nA: 1\n" }
	};
	static struct http_head h;
	size_t i, scanned = 0;

	for (i = 0; i < COUNT(cases); i++)
		feed_all(feed_request, cases[i].text, strlen(cases[i].text),
		    -cases[i].status);
	http_request_parse(&h, v("TRACE /x HTTP/1.1\r\n").p, 19, &scanned);
	CHECK(http_equal(h.method, "TRACE"), "method with 405");
	CHECK(http_equal(h.target, "/x"), "target with 405");
	CHECK(h.minor == 1, "version with 405");
}

/*
 * Caps.  Heads are made by repeating something.
 */
static char big[2 * HTTP_HEAD_MAX];

static size_t
big_put(size_t at, const char *s, size_t times)
{
	size_t n = strlen(s);

	while (times-- > 0) {
		memcpy(big + at, s, n);
		at += n;
	}
	return at;
}

/* Checks big[0..n) whole and octet by octet, without the copies. */
static void
big_check(const char *what, size_t n, int want)
{
	static struct http_head h;
	const unsigned char *p = (const unsigned char *)big;
	size_t scanned = 0, i;
	int rc = http_request_parse(&h, p, n, &scanned);

	CHECK(rc == want, "%s: %d, not %d", what, rc, want);
	scanned = 0;
	rc = 0;
	for (i = 1; i <= n && rc == 0; i++)
		rc = http_request_parse(&h, p, i, &scanned);
	CHECK(rc == want, "%s, by octets: %d, not %d", what, rc, want);
}

static size_t
big_fields(size_t at, size_t count)
{
	at = big_put(at, "Host: h\r\n", 1);
	at = big_put(at, "N: 1\r\n", count - 1);
	return big_put(at, "\r\n", 1);
}

/* A head of just so many octets, which begins with start. */
static size_t
big_filled(const char *start, size_t size)
{
	size_t at = big_put(0, start, 1);

	at = big_put(at, "x", size - at - 4);
	return big_put(at, "\r\n\r\n", 1);
}

static size_t
big_head(size_t size)
{
	return big_filled(GET11 "A: ", size);
}

static size_t
big_target(size_t size)
{
	size_t at = big_put(0, "GET /", 1);

	at = big_put(at, "x", size - 1);
	return big_put(at, " HTTP/1.1\r\n" H "\r\n", 1);
}

static void
test_caps(void)
{
	size_t at;

	at = big_head(HTTP_HEAD_MAX);
	big_check("a head of the cap", at, HTTP_HEAD_MAX);
	big_check("a head of the cap, cut", at - 1, 0);
	big_check("a head over the cap", big_head(HTTP_HEAD_MAX + 1), -431);
	big_check("a cap of octets without an end",
	    big_head(HTTP_HEAD_MAX + 9) - 9, -431);

	at = big_put(0, "GET / HTTP/1.1\r\n", 1);
	big_check("128 fields", big_fields(at, HTTP_FIELDS_MAX),
	    (int)big_fields(at, HTTP_FIELDS_MAX));
	big_check("129 fields", big_fields(at, HTTP_FIELDS_MAX + 1), -431);

	at = big_target(HTTP_TARGET_MAX);
	big_check("a target of the cap", at, (int)at);
	big_check("a target over the cap", big_target(HTTP_TARGET_MAX + 1),
	    -414);
	big_check("a method without an end", big_put(0, "G", 17000), -501);
	at = big_put(0, "M", 64);
	at = big_put(at, " / HTTP/1.1\r\n" H "\r\n", 1);
	big_check("a method of the cap", at, (int)at);
	big_check("a method of the cap, cut", 64, 0);
	big_check("a target without an end", big_put(big_put(0, "GET /", 1),
	    "x", 20000), -414);

	at = big_put(0, GET11 "Connection: ", 1);
	at = big_put(at, "a,", 64);
	big_check("64 connection options", big_put(at, "\r\n\r\n", 1),
	    (int)at + 4);
	at = big_put(at, "a\r\n\r\n", 1);
	big_check("65 connection options", at, -431);
}

/*
 * Answers.
 */
static const struct {
	const char *text;
	const char *method;
	int status;
	const char *reason;
	enum http_framing framing;
	long long length;
	int keep_alive;
} good_answers[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "GET", 200, "OK",
	    HTTP_LENGTH, 3, 1 },
	{ "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", 200, "",
	    HTTP_LENGTH, 0, 1 },
	{ "HTTP/1.1 200 \r\n\r\n", "GET", 200, "", HTTP_UNTIL_CLOSE, -1, 0 },
	{ "HTTP/1.1 599 \xc3\x9c" "ber\twas? \r\n\r\n", "GET", 599,
	    "\xc3\x9c" "ber\twas? ", HTTP_UNTIL_CLOSE, -1, 0 },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", 200, "OK",
	    HTTP_LENGTH, 3, 0 },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive"
	    "\r\n\r\n", "GET", 200, "OK", HTTP_LENGTH, 3, 1 },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
	    "GET", 200, "OK", HTTP_CHUNKED, -1, 1 },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD",
	    200, "OK", HTTP_NO_BODY, -1, 1 },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "HEAD", 200, "OK",
	    HTTP_NO_BODY, 99, 1 },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", "GET",
	    304, "Not Modified", HTTP_NO_BODY, 99, 1 },
	{ "HTTP/1.1 204 No Content\r\n\r\n", "GET", 204, "No Content",
	    HTTP_NO_BODY, -1, 1 },
	{ "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "GET", 204,
	    "No Content", HTTP_NO_BODY, 5, 0 },
	{ "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "GET", 204, "No Content", HTTP_NO_BODY, -1, 0 },
	{ "HTTP/1.1 100 Continue\r\n\r\n", "GET", 100, "Continue",
	    HTTP_NO_BODY, -1, 1 },
	{ "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "GET", 103,
	    "Early Hints", HTTP_NO_BODY, -1, 1 },
	{ "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
	    "Upgrade: websocket\r\n\r\n\x81", "GET", 101,
	    "Switching Protocols", HTTP_RAW, -1, 0 },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
	    "GET", 200, "OK", HTTP_LENGTH, 3, 0 }
};

static void
test_good_answer(size_t i)
{
	static struct http_head h;
	const char *text = good_answers[i].text;
	size_t scanned = 0;
	int size = (int)(strstr(text, "\r\n\r\n") + 4 - text);

	feed_all(feed_answer, text, strlen(text), size);
	feed_truncated(feed_answer, text, size);
	http_answer_parse(&h, (const unsigned char *)text, strlen(text),
	    &scanned, v(good_answers[i].method));
	CHECK(h.status == good_answers[i].status, "status %d: %s", h.status,
	    text);
	CHECK(http_equal(h.reason, good_answers[i].reason), "reason %s: %s",
	    shown(h.reason), text);
	CHECK(h.framing == good_answers[i].framing, "framing %d: %s",
	    (int)h.framing, text);
	CHECK(h.length == good_answers[i].length, "length %lld: %s", h.length,
	    text);
	CHECK(h.keep_alive == good_answers[i].keep_alive, "keep: %s", text);
}

#define OK11 "HTTP/1.1 200 OK\r\n"

static const char *const bad_answers[] = {
	"hello", "\r\n" OK11 "\r\n", "HTTP/2 200 OK\r\n\r\n",
	"HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.x 200 OK\r\n\r\n",
	"http/1.1 200 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
	"HTTP/1.1\t200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
	"HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 200OK\r\n\r\n",
	"HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n",
	"HTTP/1.1 600 OK\r\n\r\n", "HTTP/1.1 -20 OK\r\n\r\n",
	"HTTP/1.1\r\n\r\n", "HTTP/1.1 \r\n\r\n",
	"HTTP/1.1 200 O\x01K\r\n\r\n", "HTTP/1.1 200 O\x7fK\r\n\r\n",
	"HTTP/1.1 200 O\rK\r\n\r\n", "HTTP/1.1 200 OK\n\n",
	OK11 "A: 1\n\r\n", OK11 "A: 1\n\n", OK11 "A: 1\r\n B\r\n\r\n",
	OK11 "A : 1\r\n\r\n", OK11 "A: \x01\r\n\r\n", OK11 "A\r\n\r\n",
	OK11 "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
	OK11 "Content-Length: 1, 1\r\n\r\n", OK11 "Content-Length:\r\n\r\n",
	OK11 "Content-Length: -1\r\n\r\n", OK11 "Content-Length: +1\r\n\r\n",
	OK11 "Content-Length: 9223372036854775808\r\n\r\n",
	OK11 "Transfer-Encoding: gzip\r\n\r\n",
	OK11 "Transfer-Encoding: gzip, chunked\r\n\r\n",
	OK11 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	OK11 "Transfer-Encoding: chunked, chunked\r\n\r\n",
	OK11 "Transfer-Encoding:\r\n\r\n",
	OK11 "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
	"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
};

static void
test_answers(void)
{
	size_t i;

	for (i = 0; i < COUNT(good_answers); i++)
		test_good_answer(i);
	for (i = 0; i < COUNT(bad_answers); i++)
		feed_all(feed_answer, bad_answers[i], strlen(bad_answers[i]),
		    -502);
}

/*
 * Heads over a link: each in a block of just its size, since it comes whole.
 */
typedef int link_fn(struct http_head *, const unsigned char *, size_t);

static int
link_request(struct http_head *h, const unsigned char *p, size_t n)
{
	return http_link_request_parse(h, p, n);
}

static int
link_answer(struct http_head *h, const unsigned char *p, size_t n)
{
	return http_link_answer_parse(h, p, n, v("GET"));
}

static int
link_read(link_fn *fn, const void *b, size_t n)
{
	static struct http_head h;
	unsigned char *p = check_exact(b, n);
	int rc = fn(&h, p, n);

	free(p);
	return rc;
}

/* A good head is refused cut anywhere, and with anything before or behind. */
static void
link_whole(link_fn *fn, const char *text)
{
	char more[1024];
	size_t n = strlen(text), i;
	int c;

	CHECK(link_read(fn, text, n) == 0, "refused: %s", text);
	for (i = 0; i < n; i++)
		CHECK(link_read(fn, text, i) == -1, "cut at %d: %s", (int)i,
		    text);
	memcpy(more, text, n);
	for (c = 0; c < 256; c++) {
		more[n] = (char)c;
		CHECK(link_read(fn, more, n + 1) == -1, "%02x behind: %s", c,
		    text);
	}
	memcpy(more + n, text, n);
	CHECK(link_read(fn, more, 2 * n) == -1, "twice: %s", text);
	memcpy(more, "\r\n", 2);
	memcpy(more + 2, text, n);
	CHECK(link_read(fn, more, n + 2) == -1, "an empty line before: %s",
	    text);
}

static const struct {
	const char *text;
	const char *method, *path, *host;
	enum http_framing framing;
	long long length;
	int flags;
} linked_requests[] = {
	{ GET11 "\r\n", "GET", "/", "h", HTTP_NO_BODY, -1, 0 },
	{ "GET / HTTP/1.1\r\n\r\n", "GET", "/", "", HTTP_NO_BODY, -1, 0 },
	{ "GET /x HTTP/1.1\r\nHos: h\r\nHostt: h\r\n\r\n", "GET", "/x", "",
	    HTTP_NO_BODY, -1, 0 },
	{ "BREW //a?b HTTP/1.1\r\nA: 1\r\nHOST:[::1]:65535\t\r\nB:\r\n\r\n",
	    "BREW", "//a?b", "[::1]:65535", HTTP_NO_BODY, -1, 0 },
	{ "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS", "*", "h",
	    HTTP_NO_BODY, -1, 0 },
	{ "OPTIONS / HTTP/1.1\r\n" H "\r\n", "OPTIONS", "/", "h",
	    HTTP_NO_BODY, -1, 0 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\n", "POST", "/",
	    "h", HTTP_LENGTH, 3, 0 },
	{ "POST / HTTP/1.1\r\nContent-Length: 0\r\n" H "\r\n", "POST", "/",
	    "h", HTTP_LENGTH, 0, 0 },
	{ GET11 "Expect: 100-Continue\r\n\r\n", "GET", "/", "h",
	    HTTP_NO_BODY, -1, EXPECT },
	{ GET11 "Upgrade: websocket\r\n\r\n", "GET", "/", "h", HTTP_NO_BODY,
	    -1, UPGRADE },
	{ "GET / HTTP/1.1\r\nuPGRADE:\r\n" H "Upgrade: b\r\n\r\n", "GET",
	    "/", "h", HTTP_NO_BODY, -1, UPGRADE },
	{ GET11 "te:\t trailers \r\nUpgrade: a\r\n\r\n", "GET", "/", "h",
	    HTTP_NO_BODY, -1, UPGRADE | TRAILERS },
	{ GET11 "TE: trailers\r\n\r\n", "GET", "/", "h", HTTP_NO_BODY, -1,
	    TRAILERS },
	{ GET11 "DATE: x\r\nx-pipegate-CORRELATION-id: 0123\r\n\r\n", "GET",
	    "/", "h", HTTP_NO_BODY, -1, DATED | NAMED },
	/* names that only resemble those of a connection */
	{ GET11 "Connections: a\r\nKeep_Alive: b\r\nProxy-Connectio: c\r\n"
	    "Transfer_Encoding: chunked\r\nTransfer-Encodin: chunked\r\n"
	    "TEE: x\r\nUpgrades: y\r\nTrailer: z\r\n"
	    "Proxy-Authorization: a\r\n\r\n", "GET", "/", "h", HTTP_NO_BODY,
	    -1, 0 }
};

static void
test_linked_request(size_t i)
{
	static struct http_head h;
	const char *text = linked_requests[i].text;
	size_t n = strlen(text);

	link_whole(link_request, text);
	http_link_request_parse(&h, (const unsigned char *)text, n);
	CHECK(http_equal(h.method, linked_requests[i].method) &&
	    http_equal(h.path, linked_requests[i].path) &&
	    http_equal(h.host, linked_requests[i].host), "%s %s %s: %s",
	    shown(h.method), shown(h.path), shown(h.host), text);
	CHECK(h.framing == linked_requests[i].framing &&
	    h.length == linked_requests[i].length, "framing %d, %lld: %s",
	    (int)h.framing, h.length, text);
	CHECK(head_flags(&h) == linked_requests[i].flags, "flags %d: %s",
	    head_flags(&h), text);
	CHECK(h.minor == 1, "minor %d: %s", h.minor, text);
	check_lines(&h, text, n);
}

/* What a hostile server might send. */
static const char *const bad_linked_requests[] = {
	/* request lines */
	" / HTTP/1.1\r\n" H "\r\n", "G T / HTTP/1.1\r\n" H "\r\n",
	LONG_METHOD " / HTTP/1.1\r\n" H "\r\n", "GET  HTTP/1.1\r\n" H "\r\n",
	"GET x HTTP/1.1\r\n" H "\r\n", "GET /  HTTP/1.1\r\n" H "\r\n",
	"GET ?x HTTP/1.1\r\n" H "\r\n", "GET h:80 HTTP/1.1\r\n" H "\r\n",
	"OPTIONS ** HTTP/1.1\r\n" H "\r\n", "GET * HTTP/1.1\r\n" H "\r\n",
	"options * HTTP/1.1\r\n" H "\r\n", "CONNECT / HTTP/1.1\r\n" H "\r\n",
	"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
	"TRACE / HTTP/1.1\r\n" H "\r\n", "TRACE * HTTP/1.1\r\n" H "\r\n",
	/* the absolute form, also where a caller may use it */
	"GET http://h/ HTTP/1.1\r\n" H "\r\n",
	"GET http://h HTTP/1.1\r\n" H "\r\n",
	"GET https://h/x?y HTTP/1.1\r\n" H "\r\n",
	"GET http://h/ HTTP/1.0\r\n\r\n",
	"OPTIONS http://h HTTP/1.1\r\n" H "\r\n",
	"OPTIONS http://h/ HTTP/1.1\r\n" H "\r\n",
	/* Host */
	"GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost: \t\r\n\r\n",
	"GET / HTTP/1.1\r\n" H H "\r\n",
	"GET / HTTP/1.1\r\n" H "A: b\r\nhost: i\r\n\r\n",
	"GET / HTTP/1.1\r\nHost:\r\nHost:\r\n\r\n",
	"GET / HTTP/1.1\r\nHost:\r\nA: b\r\n" H "\r\n",
	"GET / HTTP/1.1\r\n" H "Host:\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a%41\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\rEvil: 1\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\nEvil: 1\r\n\r\n",
	/* framing */
	WITH("Content-Length: -1"), WITH("Content-Length:"),
	WITH("Content-Length: 1\r\nContent-Length: 1"),
	WITH("Content-Length: 1, 1"),
	WITH("Content-Length: 9223372036854775808"),
	WITH("Transfer-Encoding: gzip\r\nConnection: a"),
	WITH("Expect: 100-continue\r\nExpect: x"), WITH("Expect:")
};

static const struct {
	const char *text, *method;
	int status;
	const char *reason;
	enum http_framing framing;
	long long length;
	int flags;
} linked_answers[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", 200, "OK",
	    HTTP_LENGTH, 3, 0 },
	{ "HTTP/1.1 200 OK\r\n\r\n", "GET", 200, "OK", HTTP_UNTIL_CLOSE, -1,
	    0 },
	{ "HTTP/1.1 200\r\n\r\n", "GET", 200, "", HTTP_UNTIL_CLOSE, -1, 0 },
	{ "HTTP/1.1 599 \xc3\x9c" "ber\twas? \r\nA: b\r\n\r\n", "GET", 599,
	    "\xc3\x9c" "ber\twas? ", HTTP_UNTIL_CLOSE, -1, 0 },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "HEAD", 200, "OK",
	    HTTP_NO_BODY, 99, 0 },
	{ "HTTP/1.1 200 OK\r\n\r\n", "HEAD", 200, "OK", HTTP_NO_BODY, -1, 0 },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", "GET",
	    304, "Not Modified", HTTP_NO_BODY, 99, 0 },
	{ "HTTP/1.1 204 No Content\r\n\r\n", "GET", 204, "No Content",
	    HTTP_NO_BODY, -1, 0 },
	{ "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "GET", 204,
	    "No Content", HTTP_NO_BODY, 5, 0 },
	{ "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "GET", 103,
	    "Early Hints", HTTP_NO_BODY, -1, 0 },
	{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "GET",
	    101, "Switching Protocols", HTTP_RAW, -1, UPGRADE },
	{ "HTTP/1.1 200 OK\r\nDate: x\r\n"
	    "X-PipeGate-Correlation-Id: y\r\n\r\n", "GET", 200, "OK",
	    HTTP_UNTIL_CLOSE, -1, DATED | NAMED }
};

static void
test_linked_answer(size_t i)
{
	static struct http_head h;
	const char *text = linked_answers[i].text;
	size_t n = strlen(text);

	link_whole(link_answer, text);
	CHECK(http_link_answer_parse(&h, (const unsigned char *)text, n,
	    v(linked_answers[i].method)) == 0, "refused: %s", text);
	CHECK(h.status == linked_answers[i].status &&
	    http_equal(h.reason, linked_answers[i].reason), "%d %s: %s",
	    h.status, shown(h.reason), text);
	CHECK(h.framing == linked_answers[i].framing &&
	    h.length == linked_answers[i].length, "framing %d, %lld: %s",
	    (int)h.framing, h.length, text);
	CHECK(head_flags(&h) == linked_answers[i].flags, "flags %d: %s",
	    head_flags(&h), text);
	check_lines(&h, text, n);
}

/* A field of one connection, alone or among others, in requests and answers,
 * for any value; want is 0 where it may stand there nevertheless. */
static void
link_field(const char *name, const char *value, int want)
{
	static const char *const among[][2] = {
		{ "", "" }, { "A: b\r\n", "" }, { "", "A: b\r\n" },
		{ "A: b\r\nTE: trailers\r\n", "Upgrade: x\r\n" }
	};
	char text[256];
	size_t i, n;

	for (i = 0; i < COUNT(among); i++) {
		n = (size_t)snprintf(text, sizeof(text), GET11 "%s%s: %s\r\n"
		    "%s\r\n", among[i][0], name, value, among[i][1]);
		CHECK(link_read(link_request, text, n) == want, "%s", text);
		n = (size_t)snprintf(text, sizeof(text), OK11 "%s%s: %s\r\n"
		    "%s\r\n", among[i][0], name, value, among[i][1]);
		CHECK(link_read(link_answer, text, n) == want, "%s", text);
	}
}

static void
test_link_connection(void)
{
	static const char *const names_kept_off[] = {
		"Connection", "connection", "CONNECTION", "Keep-Alive",
		"keep-alive", "KEEP-Alive", "Proxy-Connection",
		"proxy-connection", "PROXY-CONNECTION", "Transfer-Encoding",
		"transfer-encoding", "TRANSFER-encoding"
	};
	static const char *const values[] = {
		"", "close", "keep-alive", "Upgrade", "TE", "chunked",
		"identity", "x"
	};
	static const char *const no_te[] = {
		"", "Trailers", "trailer", "trailers,", ", trailers", "gzip",
		"trailers, gzip", "gzip, trailers", "trailers;q=1",
		"trailers, trailers", "trailers trailers", "\"trailers\""
	};
	size_t i, k;

	for (i = 0; i < COUNT(names_kept_off); i++)
		for (k = 0; k < COUNT(values); k++)
			link_field(names_kept_off[i], values[k], -1);
	for (i = 0; i < COUNT(no_te); i++)
		link_field("tE", no_te[i], -1);
	link_field("tE", "trailers", 0);
	link_field("tE", "\t trailers\t", 0);
	link_field("UPGRADE", "websocket, x", 0);
	link_field("Trailer", "x", 0);
}

/* Each octet in each part of a head. */
static void
test_link_octets(void)
{
	static const struct {
		link_fn *fn;
		const char *before, *behind;
		const char *good;	/* NULL: HTAB, SP to FF but DEL */
	} parts[] = {
		{ link_request, "G", "T / HTTP/1.1\r\n" H "\r\n",
		    "!#$%&'*+-.^_`|~" ALNUM },
		{ link_request, "GET /", "b HTTP/1.1\r\n" H "\r\n",
		    "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~" ALNUM },
		{ link_request, "GET / HTTP/1.1\r\nHost: a", "b\r\n\r\n",
		    "-._~!$&'()*+;=" ALNUM },
		{ link_request, GET11 "A", "b: c\r\n\r\n",
		    ":!#$%&'*+-.^_`|~" ALNUM },
		{ link_request, GET11 "A: 1234567", "9\r\n\r\n", NULL },
		{ link_request, GET11 "A: b\r", "\r\n", "\n" },
		{ link_answer, "HTTP/1.1 200 a", "b\r\n\r\n", NULL },
		{ link_answer, "HTTP/1.1 2", "0 OK\r\n\r\n", "0123456789" },
		{ link_answer, "HTTP/1.1 ", "00 OK\r\n\r\n", "12345" },
		{ link_answer, OK11 "A", "b: c\r\n\r\n",
		    ":!#$%&'*+-.^_`|~" ALNUM },
		{ link_answer, OK11 "A: 1234567", "9\r\n\r\n", NULL }
	};
	char text[64];
	size_t i, n;
	int c, want;

	for (i = 0; i < COUNT(parts); i++)
		for (c = 0; c < 256; c++) {
			n = (size_t)snprintf(text, sizeof(text), "%s%c%s",
			    parts[i].before, c, parts[i].behind);
			want = parts[i].good == NULL ? c == '\t' ||
			    (c >= ' ' && c != 0x7f) :
			    c != 0 && strchr(parts[i].good, c) != NULL;
			CHECK((link_read(parts[i].fn, text, n) == 0) == want,
			    "%02x behind %s", c, parts[i].before);
		}
}

static void
test_link_heads(void)
{
	const char *text;
	size_t i;

	for (i = 0; i < COUNT(linked_requests); i++)
		test_linked_request(i);
	for (i = 0; i < COUNT(bad_linked_requests); i++) {
		text = bad_linked_requests[i];
		CHECK(link_read(link_request, text, strlen(text)) == -1,
		    "accepted: %s", text);
	}
	/* Whatever is wrong in a caller's is wrong here, but for no Host. */
	for (i = 0; i < COUNT(bad_requests); i++) {
		text = bad_requests[i].text;
		CHECK(link_read(link_request, text, strlen(text)) ==
		    (strcmp(text, "GET / HTTP/1.1\r\n\r\n") == 0 ? 0 : -1),
		    "accepted or refused: %s", text);
	}
	for (i = 0; i < COUNT(linked_answers); i++)
		test_linked_answer(i);
	for (i = 0; i < COUNT(bad_answers); i++)
		CHECK(link_read(link_answer, bad_answers[i],
		    strlen(bad_answers[i])) == -1, "accepted: %s",
		    bad_answers[i]);
	CHECK(link_read(link_answer, GET11 "\r\n", strlen(GET11 "\r\n")) == -1,
	    "a request for an answer");
	CHECK(link_read(link_request, OK11 "\r\n", strlen(OK11 "\r\n")) == -1,
	    "an answer for a request");
	test_link_connection();
	test_link_octets();
}

/* Puts first, unit so many times, and the empty line. */
static size_t
big_lines(const char *first, const char *unit, size_t times)
{
	return big_put(big_put(big_put(0, first, 1), unit, times), "\r\n", 1);
}

static size_t
big_answer(size_t size)
{
	return big_filled(OK11 "A: ", size);
}

static size_t
big_method(size_t size)
{
	size_t at = big_put(0, "M", size);

	return big_put(at, " / HTTP/1.1\r\n" H "\r\n", 1);
}

/* Checks big[0..n), a head of count fields. */
static void
big_link(const char *what, link_fn *fn, size_t n, int want, size_t count)
{
	static struct http_head h;
	int rc = fn(&h, (const unsigned char *)big, n);

	CHECK(rc == want, "%s: %d, not %d", what, rc, want);
	if (rc == 0)
		CHECK(h.nfields == count, "%s: %zu fields", what, h.nfields);
	rc = link_read(fn, big, n);
	CHECK(rc == want, "%s, alone: %d, not %d", what, rc, want);
	rc = link_read(fn, big, n - 1);
	CHECK(rc == -1, "%s, cut: %d", what, rc);
}

static void
test_link_caps(void)
{
	link_fn *q = link_request, *a = link_answer;

	CHECK(HTTP_LINK_HEAD_MAX == 36864 && HTTP_LINK_FIELDS == 136,
	    "the wire's limits");
	big_link("36,864 octets", q, big_head(36864), 0, 2);
	big_link("36,865 octets", q, big_head(36865), -1, 0);
	big_link("50,000 octets", q, big_head(50000), -1, 0);
	big_link("an answer of 36,864", a, big_answer(36864), 0, 1);
	big_link("an answer of 36,865", a, big_answer(36865), -1, 0);
	big_link("an answer of 50,000", a, big_answer(50000), -1, 0);
	big_link("36,864 without an end", q, big_head(36868) - 4, -1, 0);
	big_link("136 fields", q, big_lines(GET11, "N: 1\r\n", 135), 0, 136);
	big_link("137 fields", q, big_lines(GET11, "N: 1\r\n", 136), -1, 0);
	big_link("an answer's 136", a, big_lines(OK11, "N:\r\n", 136), 0, 136);
	big_link("an answer's 137", a, big_lines(OK11, "N:\r\n", 137), -1, 0);
	big_link("no field", a, big_lines(OK11, "", 0), 0, 0);
	big_link("a target of the cap", q, big_target(HTTP_TARGET_MAX), 0, 1);
	big_link("a target over the cap", q, big_target(HTTP_TARGET_MAX + 1),
	    -1, 0);
	big_link("a method of 64", q, big_method(64), 0, 1);
	big_link("a method of 65", q, big_method(65), -1, 0);
}

/*
 * Bodies.
 */

/* Decodes b in pieces of the given size, each in a block of its own, up to
 * the last event; the body is appended to out.  *rest is what was not used. */
static enum http_body_event
body_decode(struct http_body *d, const void *b, size_t n, size_t piece,
    char *out, size_t *len, size_t *rest)
{
	enum http_body_event event = HTTP_BODY_MORE;
	const unsigned char *p = b;
	struct view data;
	size_t take, used, at;

	*len = 0;
	for (*rest = n; *rest > 0; p += take, *rest -= take) {
		unsigned char *block;

		take = piece < *rest ? piece : *rest;
		block = check_exact(p, take);
		at = 0;
		do {
			event = http_body_next(d, block + at, take - at,
			    &used, &data);
			CHECK(used <= take - at, "more used than given");
			at += used;
			if (event == HTTP_BODY_DATA) {
				memcpy(out + *len, data.p, data.n);
				*len += data.n;
			}
		} while (event == HTTP_BODY_DATA);
		free(block);
		if (event != HTTP_BODY_MORE) {
			*rest -= at;
			return event;
		}
		CHECK(at == take, "MORE with octets left over");
	}
	return event;
}

static const struct {
	const char *text;
	const char *body;	/* NULL: bad */
	const char *rest;
} chunked[] = {
	{ "0\r\n\r\n", "", "\r\n" },
	{ "5\r\nhello\r\n0\r\n\r\nGET", "hello", "\r\nGET" },
	{ "1\r\na\r\n1\r\nb\r\n00\r\nA: b\r\n\r\n", "ab", "A: b\r\n\r\n" },
	{ "A\r\n0123456789\r\n000000000000000a\r\n\r\n\n\r\n\r0123\r\n0\r\n",
	    "0123456789\r\n\n\r\n\r0123", "" },
	{ "3;a=b;c=\"d e\";\tf\r\nabc\r\n0;x\r\n", "abc", "" },
	{ "2;a\r\nab\r\n0;b=c\r\n", "ab", "" },
	{ "2 ;a\r\nab\r\n0\t \t;\tb \t=\t c \t;d\r\n", "ab", "" },
	{ "2;a=\"\"\r\nab\r\n0\r\n", "ab", "" },
	{ "2;a=\"\\\"\\\\\\x\";b=\" \t;=,\xff\" ;c\r\nab\r\n0\r\n", "ab",
	    "" },
	{ "2;!#$%&'*+-.^_`|~09azAZ=!#$%&'*+-.^_`|~09azAZ\r\nab\r\n0\r\n",
	    "ab", "" },
	{ "0000000000000000\r\n", "", "" },
	{ "\r\n", NULL, NULL }, { ";\r\n", NULL, NULL },
	{ " 1\r\na\r\n", NULL, NULL }, { "1 \r\na\r\n", NULL, NULL },
	{ "1 \t\r\na\r\n", NULL, NULL }, { "\t1\r\n", NULL, NULL },
	{ "1 a\r\na\r\n", NULL, NULL }, { "1 1\r\na\r\n", NULL, NULL },
	{ "1;\r\na\r\n", NULL, NULL }, { "1; \r\na\r\n", NULL, NULL },
	{ "1;;a\r\na\r\n", NULL, NULL }, { "1;a;\r\na\r\n", NULL, NULL },
	{ "1;a \r\na\r\n", NULL, NULL }, { "1;a b\r\na\r\n", NULL, NULL },
	{ "1;=b\r\na\r\n", NULL, NULL }, { "1;a=\r\na\r\n", NULL, NULL },
	{ "1;a= \r\na\r\n", NULL, NULL }, { "1;a=;b\r\na\r\n", NULL, NULL },
	{ "1;a==b\r\na\r\n", NULL, NULL }, { "1;a=b=c\r\na\r\n", NULL, NULL },
	{ "1;a=b \r\na\r\n", NULL, NULL }, { "1;a=b c\r\na\r\n", NULL, NULL },
	{ "1;a=\"b\r\na\r\n", NULL, NULL }, { "1;a=b\"\r\na\r\n", NULL, NULL },
	{ "1;a=\"b\\\"\r\na\r\n", NULL, NULL },
	{ "1;a=\"b\"c\r\na\r\n", NULL, NULL },
	{ "1;a=\"b\" \r\na\r\n", NULL, NULL },
	{ "1;a=\"b\"\"c\"\r\na\r\n", NULL, NULL },
	{ "1;\"a\"\r\na\r\n", NULL, NULL }, { "1;\"\r\na\r\n", NULL, NULL },
	{ "1;a\\\r\na\r\n", NULL, NULL }, { "1;a=\\b\r\na\r\n", NULL, NULL },
	{ "1;a,b\r\na\r\n", NULL, NULL }, { "1;a(\r\na\r\n", NULL, NULL },
	{ "1;a=b/c\r\na\r\n", NULL, NULL },
	{ "1;\xc3\xa9\r\na\r\n", NULL, NULL },
	{ "1;a=\"\x01\"\r\na\r\n", NULL, NULL },
	{ "1;a=\"\\\x7f\"\r\na\r\n", NULL, NULL },
	{ "1;a=\"\r\n\"\r\na\r\n", NULL, NULL },
	{ "1;a=\"\\\r\n\"\r\na\r\n", NULL, NULL },
	{ "1;a=\"\n\"\r\na\r\n", NULL, NULL }, { ";a\r\n", NULL, NULL },
	{ " ;a\r\n", NULL, NULL },
	{ "+1\r\n", NULL, NULL }, { "-1\r\n", NULL, NULL },
	{ "0x1\r\n", NULL, NULL }, { "1_0\r\n", NULL, NULL },
	{ "g\r\n", NULL, NULL }, { "1,\r\n", NULL, NULL },
	{ "1\na\r\n", NULL, NULL }, { "1\ra\r\n", NULL, NULL },
	{ "1\r\r\na\r\n", NULL, NULL }, { "1\r\nab\r\n", NULL, NULL },
	{ "1\r\na\n0\r\n", NULL, NULL }, { "1\r\na\r0\r\n", NULL, NULL },
	{ "1\r\na\r\n\r\n", NULL, NULL }, { "1\r\na0\r\n", NULL, NULL },
	{ "1;\x01\r\n", NULL, NULL }, { "1;a\nb\r\n", NULL, NULL },
	{ "1;a\rb\r\n", NULL, NULL }, { "1;\x7f\r\n", NULL, NULL },
	{ "00000000000000001\r\n", NULL, NULL },
	{ "10000000000000000\r\n", NULL, NULL },
	{ "4000000000000001\r\n", NULL, NULL },
	{ "7fffffffffffffff\r\n", NULL, NULL },
	{ "8000000000000000\r\n", NULL, NULL },
	{ "ffffffffffffffff\r\n", NULL, NULL },
	{ "fffffffffffffffff\r\n", NULL, NULL }
};

static void
test_chunked_case(size_t i, size_t piece)
{
	char out[256];
	const char *text = chunked[i].text;
	enum http_body_event event;
	struct http_body d;
	struct view data;
	size_t len, rest, used;

	http_body_init(&d, HTTP_CHUNKED, -1);
	event = body_decode(&d, text, strlen(text), piece, out, &len, &rest);
	if (chunked[i].body == NULL) {
		CHECK(event == HTTP_BODY_BAD, "not bad by %d: %s", (int)piece,
		    text);
		event = http_body_next(&d, v("0\r\n").p, 3, &used, &data);
		CHECK(event == HTTP_BODY_BAD, "bad stays bad: %s", text);
		return;
	}
	event = http_body_next(&d, NULL, 0, &used, &data);
	CHECK(event == HTTP_BODY_TRAILERS && used == 0, "no end by %d: %s",
	    (int)piece, text);
	CHECK(len == strlen(chunked[i].body) &&
	    memcmp(out, chunked[i].body, len) == 0, "body by %d: %s",
	    (int)piece, text);
	CHECK(strcmp(text + strlen(text) - rest, chunked[i].rest) == 0,
	    "rest by %d: %s", (int)piece, text);
}

/* Every truncation waits for more, and every two pieces give the whole. */
static void
test_chunked_splits(const char *text, const char *body)
{
	char out[256];
	struct http_body d;
	size_t n = strlen(text), i, len, more, rest;

	for (i = 1; i < n; i++) {
		http_body_init(&d, HTTP_CHUNKED, -1);
		CHECK(body_decode(&d, text, i, i, out, &len, &rest) ==
		    HTTP_BODY_MORE, "cut at %d: %s", (int)i, text);
		CHECK(body_decode(&d, text + i, n - i, n - i, out + len, &more,
		    &rest) == HTTP_BODY_TRAILERS, "split at %d: %s", (int)i,
		    text);
		CHECK(len + more == strlen(body) &&
		    memcmp(out, body, len + more) == 0, "body split at %d: %s",
		    (int)i, text);
	}
}

/* Feeds the same text again and again; how often before it is refused. */
static long
chunks_until_bad(const char *text, long most)
{
	char out[65536];
	struct http_body d;
	size_t len, rest, n = strlen(text);
	long i;

	http_body_init(&d, HTTP_CHUNKED, -1);
	for (i = 0; i < most; i++)
		if (body_decode(&d, text, n, n, out, &len, &rest) !=
		    HTTP_BODY_MORE)
			break;
	return i;
}

static void
test_chunk_overhead(void)
{
	char text[20000];
	size_t i;

	CHECK(chunks_until_bad("1\r\nx\r\n", 100000) == 100000,
	    "one-octet chunks pass for ever");
	CHECK(chunks_until_bad("0000000000000001\r\nx\r\n", 50000) == 50000,
	    "also with leading zeros");
	CHECK(chunks_until_bad("c;a=b;c=defg\r\n0123456789ab\r\n", 50000) ==
	    50000, "extensions that data pays for pass");
	CHECK(chunks_until_bad("1;0123456789abcdef\r\nx\r\n", 50000) <= 1100,
	    "extensions without data do not");
	CHECK(chunks_until_bad("1 \t  ;  a  =  \"  \"  ;b\r\nx\r\n", 50000) <=
	    1100, "nor does white space");
	memset(text, 'x', sizeof(text));
	memcpy(text, "1;", 2);
	for (i = 16384; i <= 16385; i++) {
		strcpy(text + 2 + i, "\r\nx\r\n");
		CHECK(chunks_until_bad(text, 1) == (i == 16384),
		    "one extension of %d octets", (int)i);
		text[2 + i] = 'x';
		memset(text + 2 + i, 'x', 6);
	}
}

/* Each octet in each place of an extension. */
static void
test_extension_octets(void)
{
	static const struct {
		const char *before, *behind, *good;	/* besides ALNUM */
	} places[] = {
		{ "1;", "\r\n", "!#$%&'*+-.^_`|~" },
		{ "1;a", "=b\r\n", "!#$%&'*+-.^_`|~ \t" },
		{ "1;a=", "\r\n", "!#$%&'*+-.^_`|~" },
		{ "1;a=b", "c\r\n", "!#$%&'*+-.^_`|~;" },
		{ "1;a=\"b\"", "b\r\n", ";" }
	};
	char out[64], text[64];
	struct http_body d;
	size_t i, n, len, rest;
	int c, want;

	for (i = 0; i < COUNT(places); i++) {
		for (c = 1; c < 256; c++) {
			n = (size_t)snprintf(text, sizeof(text), "%s%c%s",
			    places[i].before, c, places[i].behind);
			want = strchr(places[i].good, c) != NULL ||
			    (i < 4 && strchr(ALNUM, c) != NULL);
			http_body_init(&d, HTTP_CHUNKED, -1);
			CHECK((body_decode(&d, text, n, n, out, &len, &rest) ==
			    HTTP_BODY_MORE) == want, "%02x in %s", c,
			    places[i].before);
		}
	}
	for (c = 1; c < 256; c++) {
		n = (size_t)snprintf(text, sizeof(text), "1;a=\"\\%c%c\"\r\n",
		    c, c == '"' || c == '\\' ? 'x' : c);
		http_body_init(&d, HTTP_CHUNKED, -1);
		CHECK((body_decode(&d, text, n, n, out, &len, &rest) ==
		    HTTP_BODY_MORE) == (c == '\t' || (c >= ' ' && c != 0x7f)),
		    "%02x quoted", c);
	}
}

static void
test_other_bodies(void)
{
	char out[64];
	struct http_body d;
	struct view data;
	size_t len, rest, used, piece;

	for (piece = 1; piece <= 9; piece++) {
		http_body_init(&d, HTTP_LENGTH, 5);
		CHECK(body_decode(&d, "hello, you", 10, piece, out, &len,
		    &rest) == HTTP_BODY_END && len == 5 && rest == 5 &&
		    memcmp(out, "hello", 5) == 0, "length by %d", (int)piece);
		CHECK(http_body_next(&d, v("x").p, 1, &used, &data) ==
		    HTTP_BODY_END && used == 0, "an end stays an end");
		http_body_init(&d, HTTP_UNTIL_CLOSE, -1);
		CHECK(body_decode(&d, "hello", 5, piece, out, &len, &rest) ==
		    HTTP_BODY_MORE && len == 5, "until close");
		http_body_init(&d, HTTP_RAW, -1);
		CHECK(body_decode(&d, "hello", 5, piece, out, &len, &rest) ==
		    HTTP_BODY_MORE && len == 5, "raw");
	}
	http_body_init(&d, HTTP_LENGTH, 5);
	CHECK(body_decode(&d, "hell", 4, 4, out, &len, &rest) ==
	    HTTP_BODY_MORE && len == 4, "a short body waits");
	http_body_init(&d, HTTP_LENGTH, 0);
	CHECK(http_body_next(&d, NULL, 0, &used, &data) == HTTP_BODY_END,
	    "length 0 ends at once");
	http_body_init(&d, HTTP_NO_BODY, 7);
	CHECK(http_body_next(&d, v("x").p, 1, &used, &data) == HTTP_BODY_END &&
	    used == 0, "no body ends at once");
	http_body_init(&d, HTTP_UNTIL_CLOSE, -1);
	CHECK(http_body_next(&d, NULL, 0, &used, &data) == HTTP_BODY_MORE,
	    "until close waits");
}

static void
test_bodies(void)
{
	size_t i, piece;

	for (i = 0; i < COUNT(chunked); i++)
		for (piece = 1; piece <= strlen(chunked[i].text); piece++)
			test_chunked_case(i, piece);
	test_chunked_splits("5;a=\"b\"\r\nhello\r\n1\r\n \r\n0a\r\n"
	    "0123456789\r\n000;x\r\n", "hello 0123456789");
	test_chunk_overhead();
	test_extension_octets();
	test_other_bodies();
}

static void
test_chunk_head(void)
{
	static const size_t sizes[] = {
		0, 1, 9, 10, 15, 16, 255, 256, 4095, 16384, 65536, (size_t)-1
	};
	unsigned char out[20];
	char want[32];
	size_t i, n;

	for (i = 0; i < COUNT(sizes); i++) {
		n = http_chunk_head(out, sizes[i]);
		snprintf(want, sizeof(want), "%llx\r\n",
		    (unsigned long long)sizes[i]);
		CHECK(n == strlen(want) && memcmp(out, want, n) == 0,
		    "chunk of %s", want);
	}
}

/*
 * Trailers.
 */
static void
test_trailers(void)
{
	static const char good[] = "A: 1\r\nContent-MD5: x\r\n\r\nGET";
	static const char *const bad[] = {
		"\n", "A: 1\n\r\n", " A: 1\r\n\r\n", "A: 1\r\n B\r\n\r\n",
		"A\r\n\r\n", ": 1\r\n\r\n", "A : 1\r\n\r\n", "\rA: 1\r\n\r\n",
		"A: \x01\r\n\r\n"
	};
	static struct http_field f[HTTP_FIELDS_MAX];
	size_t i, n, scanned = 0;

	feed_all(feed_trailers, "\r\n", 2, 2);
	feed_all(feed_trailers, "\r\nGET", 5, 2);
	feed_all(feed_trailers, good, sizeof(good) - 1, sizeof(good) - 4);
	feed_truncated(feed_trailers, good, sizeof(good) - 4);
	for (i = 0; i < COUNT(bad); i++)
		feed_all(feed_trailers, bad[i], strlen(bad[i]), -400);
	http_trailers_parse(f, &n, (const unsigned char *)good,
	    sizeof(good) - 1, &scanned);
	CHECK(n == 2 && http_equal(f[0].name, "A") &&
	    http_equal(f[1].value, "x"), "trailers read");
	n = big_put(0, "N: 1\r\n", HTTP_FIELDS_MAX + 1);
	n = big_put(n, "\r\n", 1);
	CHECK(feed_whole(feed_trailers, big, n) == -431, "129 trailers");
	n = big_put(0, "N: 123456789\r\n", HTTP_HEAD_MAX / 14 + 1);
	CHECK(feed_whole(feed_trailers, big, n) == -431, "long trailers");
}

static void
test_trailers_filter(void)
{
	static const char *const dropped[] = {
		"Transfer-Encoding", "content-length", "HOST", "Cache-Control",
		"Expect", "Max-Forwards", "Pragma", "Range", "TE", "If-Match",
		"If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
		"If-Range", "Authorization", "Proxy-Authorization",
		"Proxy-Authenticate", "Proxy-Authentication-Info",
		"WWW-Authenticate", "Cookie", "Set-Cookie", "Content-Encoding",
		"Content-Type", "Content-Range", "Trailer", "Connection",
		"Keep-Alive", "Proxy-Connection", "Upgrade", "X-Forwarded-For",
		"x-forwarded-anything", "Forwarded",
		"X-PipeGate-Correlation-ID", "x-pipegate-other", "Age", "Date",
		"X-Real-IP", "True-Client-IP", "CF_Connecting-IP",
		"X_Forwarded_For", "Content_Length", "transfer_encoding",
		"X-Forwarded",
		"Expires", "Location", "Retry-After", "Vary", "Warning"
	};
	static const char *const kept[] = {
		"ETag", "Content-MD5", "Digest", "grpc-status", "Server-Timing",
		"X-Checksum", "X", "X-Forward", "IfMatch", "Content_Type"
	};
	struct http_field f[COUNT(dropped) + COUNT(kept)];
	size_t i, n = 0;

	for (i = 0; i < COUNT(dropped); i++) {
		f[n].name = v(dropped[i]);
		f[n++].value = v("1");
		if (i < COUNT(kept)) {
			f[n].name = v(kept[i]);
			f[n++].value = v("2");
		}
	}
	n = http_trailers_filter(f, n);
	CHECK(n == COUNT(kept), "%d trailers kept", (int)n);
	for (i = 0; i < n && i < COUNT(kept); i++)
		CHECK(http_equal(f[i].name, kept[i]) &&
		    http_equal(f[i].value, "2"), "kept %s", shown(f[i].name));
}

/*
 * Output.  What is written is compared as a text; with every smaller space
 * the length is the same and nothing is written past its end.
 */
static struct http_head head;

static void
parse_request(const char *text)
{
	size_t scanned = 0;
	int rc = http_request_parse(&head, v(text).p, strlen(text), &scanned);

	CHECK(rc > 0, "%d: %s", rc, text);
}

static void
parse_answer(const char *text, const char *method)
{
	size_t scanned = 0;
	int rc = http_answer_parse(&head, v(text).p, strlen(text), &scanned,
	    v(method));

	CHECK(rc > 0, "%d: %s", rc, text);
}

static char space[4096];

static struct http_out
out_start(void)
{
	struct http_out o;

	o.p = (unsigned char *)space;
	o.cap = sizeof(space) - 1;
	o.len = 0;
	memset(space, 0, sizeof(space));
	return o;
}

static void
out_is(const char *what, const char *want)
{
	CHECK(strcmp(space, want) == 0, "%s:\n%s--- not\n%s---", what, space,
	    want);
}

static void
out_fields(const char *what, const struct http_field *f, size_t n,
    const char *want)
{
	struct http_out o = out_start();
	size_t i;

	for (i = 0; i < n; i++)
		http_put_field(&o, f[i].name, f[i].value);
	out_is(what, want);
}

#define TAIL "X-Forwarded-Prefix: /id\r\nx-pipegate-correlation-id: 0123\r\n"
#define SAW(list, real) "X-Forwarded-For: " list "\r\nX-Real-IP: " real "\r\n"
#define FORWARDED SAW("192.0.2.7", "192.0.2.7") "X-Forwarded-Proto: http\r\n"

static const struct {
	const char *what;
	int trusted, upgrade;
	const char *text;
	const char *want;
} passed[] = {
	{ "plain", 0, 0,
	    "GET /id/x HTTP/1.1\r\nA: 1\r\nHOST: h:80\r\na: 2\r\n\r\n",
	    "A: 1\r\nHOST: h:80\r\na: 2\r\n" FORWARDED
	    "X-Forwarded-Host: h:80\r\n" TAIL },
	{ "no host", 0, 0,
	    "GET /id/x HTTP/1.0\r\nA: 1\r\n\r\n",
	    "A: 1\r\n" FORWARDED TAIL },
	{ "absolute form", 0, 0,
	    "GET http://B/id/x HTTP/1.1\r\nHost: b\r\n\r\n",
	    "Host: B\r\n" FORWARDED "X-Forwarded-Host: B\r\n" TAIL },
	{ "absolute form without Host", 0, 0,
	    "GET http://B/id/x HTTP/1.0\r\n\r\n",
	    "Host: B\r\n" FORWARDED "X-Forwarded-Host: B\r\n" TAIL },
	{ "hop by hop", 0, 0,
	    "POST / HTTP/1.1\r\n" H "Connection: x-a , keep-alive,x-b\r\n"
	    "Connection: x-c\r\nX-A: 1\r\nx-b: 2\r\nX-C: 3\r\nX-D: 4\r\n"
	    "Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\n"
	    "Upgrade: x\r\nTrailer: T\r\nProxy-Authorization: y\r\n"
	    "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
	    H "X-D: 4\r\nTrailer: T\r\nProxy-Authorization: y\r\n"
	    "Expect: 100-continue\r\n"
	    FORWARDED "X-Forwarded-Host: h\r\n" TAIL },
	{ "what Connection may not strip", 1, 0,
	    "POST / HTTP/1.1\r\n" H "Connection: host, content-length, cookie,"
	    "authorization, forwarded, x-forwarded-for, X-Forwarded-Proto,"
	    "x-forwarded-host, x-forwarded-port, x-pipegate-correlation-id,"
	    "set-cookie\r\nContent-Length: 0\r\nCookie: a\r\n"
	    "Authorization: b\r\nForwarded: for=c\r\nX-Forwarded-For: 1.1.1.1\r\n"
	    "X-Forwarded-Proto: https\r\nX-Forwarded-Host: e\r\n"
	    "X-Forwarded-Port: 1\r\nSet-Cookie: f\r\n\r\n",
	    H "Content-Length: 0\r\nCookie: a\r\n"
	    "Authorization: b\r\nForwarded: for=c\r\nSet-Cookie: f\r\n"
	    SAW("1.1.1.1, 192.0.2.7", "1.1.1.1")
	    "X-Forwarded-Proto: https\r\nX-Forwarded-Host: e\r\n" TAIL },
	{ "forged", 0, 0,
	    "GET / HTTP/1.1\r\n" H "X-Forwarded-For: 1.1.1.1\r\n"
	    "x-forwarded-proto: https\r\nX-Forwarded-Host: evil\r\n"
	    "X-Forwarded-Prefix: /evil\r\nForwarded: for=1.1.1.1\r\n"
	    "X-PipeGate-Correlation-Id: evil\r\n\r\n",
	    H FORWARDED "X-Forwarded-Host: h\r\n" TAIL },
	{ "trusted", 1, 0,
	    "GET / HTTP/1.1\r\n" H "X-Forwarded-For: 1.1.1.1\r\n"
	    "x-forwarded-for: 2.2.2.2, 3.3.3.3\r\nX-Forwarded-For:\r\n"
	    "X-PipeGate-Correlation-Id: evil\r\n\r\n",
	    H SAW("1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.7", "3.3.3.3")
	    "X-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\n" TAIL },
	{ "trusted, the last lines count", 1, 0,
	    "GET / HTTP/1.1\r\n" H "X-Forwarded-Proto: http\r\n"
	    "X-Forwarded-Host: a\r\nX-Forwarded-Prefix: /a\r\n"
	    "X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: b\r\n"
	    "X-Forwarded-Prefix: /b\r\n\r\n",
	    H SAW("192.0.2.7", "192.0.2.7") "X-Forwarded-Proto: HTTPS\r\n"
	    "X-Forwarded-Host: b\r\nX-Forwarded-Prefix: /b/id\r\n"
	    "x-pipegate-correlation-id: 0123\r\n" },
	{ "trusted, the last line says nothing", 1, 0,
	    "GET / HTTP/1.1\r\n" H "X-Forwarded-Proto: https\r\n"
	    "X-Forwarded-Host: a\r\nX-Forwarded-Prefix: /a\r\n"
	    "X-Forwarded-Proto:\r\nX-Forwarded-Host:\r\n"
	    "X-Forwarded-Prefix:\r\n\r\n",
	    H FORWARDED "X-Forwarded-Host: h\r\n" TAIL },
	{ "trusted, Forwarded", 1, 0,
	    "GET / HTTP/1.1\r\nForwarded: for=1.1.1.1;proto=x\r\n" H
	    "fORWARDED: for=_a\r\n\r\n",
	    "Forwarded: for=1.1.1.1;proto=x\r\n" H "fORWARDED: for=_a\r\n"
	    FORWARDED "X-Forwarded-Host: h\r\n" TAIL },
	{ "trusted, a real address that it says", 1, 0,
	    "GET / HTTP/1.1\r\n" H "X-Real-IP: 1.1.1.1\r\n\r\n",
	    H FORWARDED "X-Forwarded-Host: h\r\n" TAIL },
	{ "max-forwards between lines", 1, 0,
	    "OPTIONS / HTTP/1.1\r\n" H "X-Forwarded-For: 1.1.1.1\r\n"
	    "Max-Forwards: 3\r\nX-Forwarded-For: ::2\r\n\r\n",
	    H "Max-Forwards: 2\r\n" SAW("1.1.1.1, ::2, 192.0.2.7", "::2")
	    "X-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\n" TAIL },
	{ "trailers wanted", 0, 0,
	    "GET / HTTP/1.1\r\n" H "TE: gzip, trailers\r\nConnection: TE\r\n"
	    "\r\n",
	    H "TE: trailers\r\n" FORWARDED "X-Forwarded-Host: h\r\n" TAIL },
	{ "upgrade kept", 0, 1,
	    "GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n"
	    "Connection: Upgrade, x\r\nX: 1\r\n\r\n",
	    H "Upgrade: websocket\r\n" FORWARDED
	    "X-Forwarded-Host: h\r\n" TAIL },
	{ "upgrade and trailers", 0, 1,
	    "GET / HTTP/1.1\r\nTE: trailers\r\nUpgrade: a\r\nUpgrade: b\r\n"
	    H "Connection: Upgrade, te\r\n\r\n",
	    "Upgrade: a\r\nUpgrade: b\r\n" H "TE: trailers\r\n" FORWARDED
	    "X-Forwarded-Host: h\r\n" TAIL },
	{ "upgrade left out", 0, 0,
	    "GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n"
	    "Connection: Upgrade\r\n\r\n",
	    H FORWARDED "X-Forwarded-Host: h\r\n" TAIL },
	{ "an Upgrade that Connection does not list", 0, 1,
	    "GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n",
	    H FORWARDED "X-Forwarded-Host: h\r\n" TAIL },
	{ "max-forwards", 0, 0,
	    "OPTIONS /id/ HTTP/1.1\r\n" H "Max-Forwards: 10\r\n\r\n",
	    H "Max-Forwards: 9\r\n" FORWARDED "X-Forwarded-Host: h\r\n" TAIL },
	{ "max-forwards at its end", 0, 0,
	    "OPTIONS /id/ HTTP/1.1\r\n" H "Max-Forwards: 0\r\n\r\n",
	    H "Max-Forwards: 0\r\n" FORWARDED "X-Forwarded-Host: h\r\n" TAIL },
	{ "max-forwards of another method", 0, 0,
	    "GET /id/ HTTP/1.1\r\n" H "Max-Forwards: 10\r\n\r\n",
	    H "Max-Forwards: 10\r\n" FORWARDED "X-Forwarded-Host: h\r\n" TAIL }
};

static void
test_request_fields(void)
{
	static struct http_field f[HTTP_LINK_FIELDS];
	struct http_forwarding how;
	unsigned char scratch[256];
	size_t i, n;
	int rc;

	memset(&how, 0, sizeof(how));
	how.peer = v("192.0.2.7");
	how.prefix = v("/id");
	how.correlation_id = v("0123");
	for (i = 0; i < COUNT(passed); i++) {
		parse_request(passed[i].text);
		how.trusted = passed[i].trusted;
		rc = http_request_fields(f, &head, &how, passed[i].upgrade,
		    scratch, sizeof(scratch));
		CHECK(rc > 0, "%s: %d", passed[i].what, rc);
		if (rc > 0)
			out_fields(passed[i].what, f, (size_t)rc,
			    passed[i].want);
	}
	parse_request(GET11 "\r\n");
	CHECK(http_request_fields(f, &head, &how, 0, scratch, 8) == -431,
	    "no room for the peer");
	CHECK(http_request_fields(f, &head, &how, 0, scratch, 9) > 0,
	    "just room for the peer");
	n = big_put(0, "GET / HTTP/1.0\r\nConnection: TE, Upgrade\r\n"
	    "TE: trailers\r\n", 1);
	n = big_put(n, "N: 1\r\n", HTTP_FIELDS_MAX - 2);
	big[big_put(n, "\r\n", 1)] = '\0';
	parse_request(big);
	rc = http_request_fields(f, &head, &how, 1, scratch, sizeof(scratch));
	CHECK(rc > 0 && rc <= HTTP_LINK_FIELDS, "all room used: %d", rc);
}

/* The fields of request text as they go on from a peer, in pass_out. */
static struct http_field pass_out[HTTP_LINK_FIELDS];

static size_t
pass_on(const char *text, int trusted, const char *trusted_fields)
{
	static unsigned char scratch[512];
	struct http_forwarding how;
	int rc;

	parse_request(text);
	memset(&how, 0, sizeof(how));
	how.peer = v("192.0.2.7");
	how.trusted = trusted;
	how.trusted_fields = v(trusted_fields);
	how.prefix = v("/id");
	how.correlation_id = v("0123");
	rc = http_request_fields(pass_out, &head, &how, 0, scratch,
	    sizeof(scratch));
	CHECK(rc > 0, "%d: %s", rc, text);
	return rc > 0 ? (size_t)rc : 0;
}

/* How often a field called name goes on. */
static size_t
pass_count(const char *name, size_t n)
{
	size_t i, count = 0;

	for (i = 0; i < n; i++)
		count += http_equal_nocase(pass_out[i].name, name) != 0;
	return count;
}

/* What a trusted peer says in one field, and what of it goes on. */
static void
test_said(void)
{
	static const struct {
		const char *name, *value, *result, *want;
	} cases[] = {
		{ "X-Forwarded-For", "1.1.1.1", "X-Real-IP", "1.1.1.1" },
		{ "X-Forwarded-For", "evil, 1.1.1.1", "X-Real-IP", "1.1.1.1" },
		{ "X-Forwarded-For", "2.2.2.2,1.1.1.1 ,, \t,", "X-Real-IP",
		    "1.1.1.1" },
		{ "X-Forwarded-For", "1.1.1.1:99", "X-Real-IP", "1.1.1.1" },
		{ "X-Forwarded-For", "2001:db8::1", "X-Real-IP",
		    "2001:db8::1" },
		{ "X-Forwarded-For", "1.1.1.1, [2001:db8::1]", "X-Real-IP",
		    "2001:db8::1" },
		{ "X-Forwarded-For", "[2001:db8::1]:65535", "X-Real-IP",
		    "2001:db8::1" },
		{ "X-Forwarded-For", "::ffff:1.1.1.1", "X-Real-IP",
		    "::ffff:1.1.1.1" },
		{ "X-Forwarded-For", "1.1.1.1, unknown", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "1.1.1.1, _x", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "1.1.1.256", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "1.1.1", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "1.1.1.1.1", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "1.1.1.1 2.2.2.2", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "1.1.1.1:evil", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "1.1.1.1:65536", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "[1.1.1.1]", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "[::1", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "[::1]x", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "::1%lo", "X-Real-IP", NULL },
		{ "X-Forwarded-For", "\"1.1.1.1\"", "X-Real-IP", NULL },
		{ "X-Forwarded-For", ",", "X-Real-IP", "192.0.2.7" },
		{ "X-Forwarded-For", "0000:0000:0000:0000:0000:0000:0000:0000:"
		    "0000:0000", "X-Real-IP", NULL },
		{ "X-Forwarded-Proto", "http", "X-Forwarded-Proto", "http" },
		{ "X-Forwarded-Proto", "https", "X-Forwarded-Proto", "https" },
		{ "X-Forwarded-Proto", "wss", "X-Forwarded-Proto", "http" },
		{ "X-Forwarded-Proto", "https,http", "X-Forwarded-Proto",
		    "http" },
		{ "X-Forwarded-Proto", "https://evil/", "X-Forwarded-Proto",
		    "http" },
		{ "X-Forwarded-Host", "a:1, b", "X-Forwarded-Host", "a:1, b" },
		{ "X-Forwarded-Prefix", "/a", "X-Forwarded-Prefix", "/a/id" },
		{ "X-Forwarded-Prefix", "/a-b/%C3%A9:@//", "X-Forwarded-Prefix",
		    "/a-b/%C3%A9:@/id" },
		{ "X-Forwarded-Prefix", "/", "X-Forwarded-Prefix", "/id" },
		{ "X-Forwarded-Prefix", "a", "X-Forwarded-Prefix", "/id" },
		{ "X-Forwarded-Prefix", "//evil", "X-Forwarded-Prefix", "/id" },
		{ "X-Forwarded-Prefix", "/\\evil", "X-Forwarded-Prefix",
		    "/id" },
		{ "X-Forwarded-Prefix", "http://evil/", "X-Forwarded-Prefix",
		    "/id" },
		{ "X-Forwarded-Prefix", "/a?b", "X-Forwarded-Prefix", "/id" },
		{ "X-Forwarded-Prefix", "/a, /b", "X-Forwarded-Prefix", "/id" },
		{ "X-Forwarded-Prefix", "/a\"b", "X-Forwarded-Prefix", "/id" }
	};
	const struct http_field *f;
	char text[256];
	size_t i, n;

	for (i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof(text), GET11 "%s: %s\r\n\r\n",
		    cases[i].name, cases[i].value);
		n = pass_on(text, 1, "");
		f = http_field_find(pass_out, n, cases[i].result);
		CHECK(cases[i].want == NULL ? f == NULL : f != NULL &&
		    http_equal(f->value, cases[i].want) &&
		    pass_count(cases[i].result, n) == 1, "%s: %s gives %s",
		    cases[i].name, cases[i].value,
		    f == NULL ? "nothing" : shown(f->value));
		n = pass_on(text, 0, "x-forwarded-for, x-forwarded-prefix,"
		    "x-forwarded-proto, x-forwarded-host");
		out_fields("of a stranger", pass_out, n, H FORWARDED
		    "X-Forwarded-Host: h\r\n" TAIL);
	}
}

/* A peer without an address adds none, and callers that come by https are said
 * to. */
static void
test_nameless(void)
{
	static const struct {
		const char *text, *want;
		int trusted, https;
	} cases[] = {
		{ GET11 "\r\n", H "X-Forwarded-Proto: http\r\n", 1, 0 },
		{ GET11 "\r\n", H "X-Forwarded-Proto: https\r\n", 1, 1 },
		{ GET11 "X-Forwarded-Proto: http\r\n\r\n",
		    H "X-Forwarded-Proto: http\r\n", 1, 1 },
		{ GET11 "X-Forwarded-Proto: http\r\n\r\n",
		    H "X-Forwarded-Proto: https\r\n", 0, 1 },
		{ GET11 "X-Forwarded-Proto: https\r\n\r\n",
		    H "X-Forwarded-Proto: http\r\n", 0, 0 },
		{ GET11 "X-Forwarded-For: 9.9.9.9\r\n\r\n",
		    H "X-Forwarded-Proto: http\r\n", 0, 0 },
		{ GET11 "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: \r\n"
		    "X-Forwarded-For: 8.8.8.8\r\n\r\n",
		    H SAW("9.9.9.9, 8.8.8.8", "8.8.8.8")
		    "X-Forwarded-Proto: http\r\n", 1, 0 },
		{ GET11 "X-Forwarded-For: 9.9.9.9, unknown\r\n\r\n",
		    H "X-Forwarded-For: 9.9.9.9, unknown\r\n"
		    "X-Forwarded-Proto: http\r\n", 1, 0 },
		{ GET11 "X-Forwarded-For: \r\nX-Real-IP: 9.9.9.9\r\n\r\n",
		    H "X-Forwarded-Proto: http\r\n", 1, 0 },
	};
	static unsigned char scratch[512];
	struct http_forwarding how;
	char want[512];
	size_t i;
	int rc;

	for (i = 0; i < COUNT(cases); i++) {
		parse_request(cases[i].text);
		memset(&how, 0, sizeof(how));
		how.trusted = cases[i].trusted;
		how.https = cases[i].https;
		how.prefix = v("/id");
		how.correlation_id = v("0123");
		rc = http_request_fields(pass_out, &head, &how, 0, scratch,
		    sizeof(scratch));
		snprintf(want, sizeof(want), "%sX-Forwarded-Host: h\r\n%s",
		    cases[i].want, TAIL);
		CHECK(rc > 0, "%d: %s", rc, cases[i].text);
		if (rc > 0)
			out_fields(cases[i].text, pass_out, (size_t)rc, want);
	}
}

/* Names that say how a request came or how long it is, with all doubles. */
static const char *const claimed[] = {
	"Client-IP", "X-Client-IP", "True-Client-IP", "X-Cluster-Client-IP",
	"Fastly-Client-IP", "Fly-Client-IP", "Proxy-Client-IP",
	"WL-Proxy-Client-IP", "Incap-Client-IP", "CF-Connecting-IP",
	"CF-Connecting-IPv6", "DO-Connecting-IP", "CF-Pseudo-IPv4",
	"CF-Visitor", "Fastly-SSL", "Front-End-Https", "X-Scheme",
	"X-Url-Scheme", "X-Remote-IP", "X-Remote-Addr", "Remote-Addr",
	"X-ProxyUser-IP", "X-Originating-IP", "X-Original-For",
	"X-Original-Host", "X-Original-Proto", "X-Original-URL",
	"X-Original-URI", "X-Rewrite-URL", "Script-Name", "X-Script-Name",
	"Path-Info", "X-AppEngine-User-IP", "X-Azure-ClientIP",
	"X-Azure-SocketIP", "X-Envoy-External-Address",
	"X-Vercel-Forwarded-For", "X-NF-Client-Connection-IP",
	"CloudFront-Viewer-Address", "CloudFront-Forwarded-Proto",
	"X-Forwarded", "Forwarded-For", "X-Forwarded-Port",
	"X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-Scheme",
	"X-Forwarded-By", "X-Forwarded-User", "X-Forwarded-",
	"X-Forwarded-A-Name-That-Is-Long-And-Has-Many-Parts-Too",
	"X-PipeGate-Instance"
};

/* Names that go through the same as doubles alone. */
static const char *const doubled[] = {
	"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
	"X-Forwarded-Prefix", "X-Real-IP", "X-PipeGate-Correlation-Id",
	"Content-Length", "Transfer-Encoding"
};

/* A claim goes on only from a trusted peer, and only where its name, as it
 * stands but for case, is listed. */
static void
check_claim(const char *name)
{
	char text[256], list[256];
	size_t i;

	snprintf(text, sizeof(text), GET11 "Connection: %s\r\n%s: 1\r\n%s: 2"
	    "\r\n\r\n", name, name, name);
	snprintf(list, sizeof(list), "x, %s,y", name);
	for (i = 0; list[i] != '\0'; i++)
		if (list[i] >= 'a' && list[i] <= 'z')
			list[i] = (char)(list[i] - 'a' + 'A');
	CHECK(pass_count(name, pass_on(text, 0, "")) == 0, "%s", name);
	CHECK(pass_count(name, pass_on(text, 1, "")) == 0, "%s of a trusted "
	    "peer", name);
	CHECK(pass_count(name, pass_on(text, 0, list)) == 0, "%s listed, of "
	    "a stranger", name);
	CHECK(pass_count(name, pass_on(text, 1, list)) == 2, "%s listed",
	    name);
	list[strlen(name)]++;	/* another name, but for the last letters */
	CHECK(pass_count(name, pass_on(text, 1, list)) == 0, "%s listed "
	    "otherwise", name);
}

/* Puts '_' for the '-' of name that the bits of which say. */
static void
double_of(char *out, const char *name, unsigned which)
{
	for (; *name != '\0'; name++) {
		*out++ = *name == '-' && (which & 1) != 0 ? '_' : *name;
		which >>= *name == '-';
	}
	*out = '\0';
}

static unsigned
doubles(const char *name)
{
	unsigned all = 1;

	for (; *name != '\0'; name++)
		all <<= *name == '-' && all < 64;
	return all;
}

static void
test_claims(void)
{
	char name[64];
	unsigned which;
	size_t i, n;

	for (i = 0; i < COUNT(claimed); i++)
		for (which = 0; which < doubles(claimed[i]); which++) {
			double_of(name, claimed[i], which);
			check_claim(name);
		}
	for (i = 0; i < COUNT(doubled); i++)
		for (which = 1; which < doubles(doubled[i]); which++) {
			double_of(name, doubled[i], which);
			check_claim(name);
		}
	n = pass_on(GET11 "X-Real-IP: evil\r\nX-Forwarded-For: 1.1.1.1\r\n"
	    "\r\n", 1, "x-REAL-ip");
	out_fields("X-Real-IP listed", pass_out, n, H
	    SAW("1.1.1.1, 192.0.2.7", "1.1.1.1") "X-Forwarded-Proto: http\r\n"
	    "X-Forwarded-Host: h\r\n" TAIL);
	n = pass_on(GET11 "X-Forwarded-For:\r\nX-Forwarded-For: 1.1.1.1\r\n"
	    "X-Forwarded-For: \r\n\r\n", 1, "x-forwarded-for");
	out_fields("For listed", pass_out, n, H
	    SAW("1.1.1.1, 192.0.2.7", "1.1.1.1") "X-Forwarded-Proto: http\r\n"
	    "X-Forwarded-Host: h\r\n" TAIL);
	n = pass_on(GET11 "x-pipegate-correlation-id: evil\r\n\r\n", 1,
	    "x-pipegate-correlation-id");
	out_fields("the id listed", pass_out, n, H FORWARDED
	    "X-Forwarded-Host: h\r\n" TAIL);
}

/* What looks like a claim and is none. */
static void
test_no_claims(void)
{
	static const char *const names_kept[] = {
		"X-Forward", "XForwarded-For", "X-Real-IPs", "X-Real", "Via",
		"X-PipeGate", "Content_Type", "Content-Lengt_h", "A_b", "_",
		"__", "X_", "X-Http-Method-Override", "X-Request-Id",
		"X-Original-Filename", "Accept_Encoding", "Host_",
		"Proxy-Authorization", "x.forwarded.for", "Remote-User",
		"A_name_that_is_long_and_has_many_parts_too"
	};
	char text[256];
	size_t i;

	for (i = 0; i < COUNT(names_kept); i++) {
		snprintf(text, sizeof(text), GET11 "%s: 1\r\n\r\n",
		    names_kept[i]);
		CHECK(pass_count(names_kept[i], pass_on(text, 0, "")) == 1,
		    "%s", names_kept[i]);
	}
}

static const struct {
	const char *text, *method, *want;
} answered[] = {
	{ OK11 "Content-Length: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
	    "GET", "Content-Length: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n" },
	{ OK11 "Connection: x, set-cookie\r\nX: 1\r\nSet-Cookie: b\r\n"
	    "Keep-Alive: t\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n"
	    "Trailer: T\r\n\r\n", "GET", "Set-Cookie: b\r\nTrailer: T\r\n" },
	{ "HTTP/1.1 204 N\r\nContent-Length: 0\r\nA: b\r\n\r\n", "GET",
	    "A: b\r\n" },
	{ "HTTP/1.1 103 E\r\nContent-Length: 0\r\nLink: b\r\n\r\n", "GET",
	    "Link: b\r\n" },
	{ "HTTP/1.1 304 N\r\nContent-Length: 9\r\nA: b\r\n\r\n", "GET",
	    "Content-Length: 9\r\nA: b\r\n" },
	{ OK11 "Content-Length: 9\r\n\r\n", "HEAD", "Content-Length: 9\r\n" },
	{ "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: x\r\nContent-Length: 4\r\n\r\n", "GET",
	    "Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n" }
};

static void
test_answer_fields(void)
{
	static struct http_field f[HTTP_LINK_FIELDS];
	size_t i;

	for (i = 0; i < COUNT(answered); i++) {
		parse_answer(answered[i].text, answered[i].method);
		out_fields(answered[i].text, f, http_answer_fields(f, &head),
		    answered[i].want);
	}
}

static const struct {
	int ok;
	const char *name, *value, *name2, *value2;
} field_cases[] = {
	{ 1, "A", "b", "a", "c" }, { 1, "A", "", "b", "\t \xff" },
	{ 1, "Content-Length", "0", "A", "" },
	{ 0, "", "b", "A", "" }, { 0, "A b", "c", "A", "" },
	{ 0, "A:", "c", "A", "" }, { 0, "A\r", "c", "A", "" },
	{ 0, "A", "c\r", "A", "" }, { 0, "A", "\nc", "A", "" },
	{ 0, "A", "0123456789\r\nEvil: yes", "A", "" },
	{ 0, "A", "a\x7f", "A", "" }, { 0, "A", "\x01", "A", "" },
	{ 0, "Content-Length", "", "A", "" },
	{ 0, "Content-Length", "-1", "A", "" },
	{ 0, "content-length", "1, 1", "A", "" },
	{ 0, "Content-Length", "1", "content-length", "1" }
};

static void
test_fields_ok(void)
{
	struct http_field f[2];
	size_t i;

	for (i = 0; i < COUNT(field_cases); i++) {
		f[0].name = v(field_cases[i].name);
		f[0].value = v(field_cases[i].value);
		f[1].name = v(field_cases[i].name2);
		f[1].value = v(field_cases[i].value2);
		CHECK(http_fields_ok(f, 2) == field_cases[i].ok, "%s: %s",
		    field_cases[i].name, field_cases[i].value);
	}
	memset(big, 'x', HTTP_HEAD_MAX);
	big[HTTP_HEAD_MAX] = '\0';
	f[0].name = v("A");
	f[0].value = v(big);
	CHECK(http_fields_ok(f, 1) == 0, "a value too long");
	f[0].value = v(big + 1);
	CHECK(http_fields_ok(f, 1) == 1, "a value just short enough");
	f[0].name = v("A\0B");
	f[0].name.n = 3;
	CHECK(http_fields_ok(f, 1) == 0, "NUL in a name");
	f[0].name = v("A");
	f[0].value.p = NULL;
	f[0].value.n = 0;
	CHECK(http_fields_ok(f, 1) == 1, "no value at all");
}

static void
test_method_and_path_ok(void)
{
	static const char *const methods[] = { "GET", "x", "M-SEARCH" };
	static const char *const no_methods[] = { "", "G T", "G\r", "G:" };
	static const char *const paths[] = { "/", "*", "//a?b?%zz", "/|{}" };
	static const char *const no_paths[] = {
		"", "a", "**", "/ ", "/\r\n", "/#", "/\xff", "http://h/", "?x"
	};
	size_t i;

	for (i = 0; i < COUNT(methods); i++)
		CHECK(http_method_ok(v(methods[i])), "%s", methods[i]);
	for (i = 0; i < COUNT(no_methods); i++)
		CHECK(!http_method_ok(v(no_methods[i])), "%s", no_methods[i]);
	for (i = 0; i < COUNT(paths); i++)
		CHECK(http_path_ok(v(paths[i])), "%s", paths[i]);
	for (i = 0; i < COUNT(no_paths); i++)
		CHECK(!http_path_ok(v(no_paths[i])), "%s", no_paths[i]);
}

/* Fields of a text that looks like a head's. */
static size_t
fields_of(struct http_field *f, const char *text)
{
	size_t n, scanned = 0;

	CHECK(http_trailers_parse(f, &n, v(text).p, strlen(text), &scanned) >
	    0, "%s", text);
	return n;
}

/* Each octet, in each place where a kind of octets may stand. */
static void
test_octets(void)
{
	char text[] = "GET / HTTP/1.0\r\nHost: axb\r\n\r\n";
	char value[24], path[3] = "/", id[4] = "/x/";
	struct http_field f;
	struct view route_id, rest;
	size_t at, scanned;
	int c;

	f.name = v("A");
	f.value = view_n(value, sizeof(value));
	for (c = 1; c < 256; c++) {
		for (at = 0; at < sizeof(value); at++) {
			memset(value, 'x', sizeof(value));
			value[at] = (char)c;
			CHECK(http_fields_ok(&f, 1) == (c == '\t' ||
			    (c >= ' ' && c != 0x7f)), "%02x at %d", c,
			    (int)at);
		}
		path[1] = id[1] = text[23] = (char)c;
		CHECK(http_method_ok(v(path + 1)) ==
		    (strchr("!#$%&'*+-.^_`|~" ALNUM, c) != NULL),
		    "%02x in a token", c);
		CHECK(http_path_ok(v(path)) ==
		    (c > ' ' && c < 0x7f && c != '#'), "%02x in a path", c);
		CHECK((http_route(v(id), &route_id, &rest) ==
		    HTTP_ROUTE_TUNNEL) == (strchr("-_~" ALNUM, c) != NULL),
		    "%02x as an id", c);
		scanned = 0;
		CHECK((http_request_parse(&head, v(text).p, strlen(text),
		    &scanned) > 0) == (c != ':' &&
		    strchr("-._~!$&'()*+;=" ALNUM, c) != NULL),
		    "%02x in a host", c);
	}
}

/* Reads a whole head that came over a link into head. */
static void
parse_link(const char *text)
{
	int is_answer = strncmp(text, "HTTP/", 5) == 0;
	int rc = is_answer ? link_answer(&head, v(text).p, strlen(text)) :
	    link_request(&head, v(text).p, strlen(text));

	CHECK(rc == 0, "%d: %s", rc, text);
}

static void
test_fields_filter(void)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "", "" }, { "A: 1\r\nb:\r\na: 2\r\n", "A: 1\r\nb: \r\na: 2\r\n" },
		{ H "Content-Length: 3\r\nTrailer: T\r\nExpect: x\r\n",
		    H "Content-Length: 3\r\nTrailer: T\r\nExpect: x\r\n" },
		{ "Connection: x\r\nX: 1\r\nTransfer-Encoding: gzip\r\n"
		    "Keep-Alive: 1\r\nUpgrade: y\r\nTE: trailers\r\n"
		    "PROXY-connection: z\r\nTrailer: T\r\n", "Trailer: T\r\n" },
		{ "X-a: 1\r\nA: 2\r\nCONNECTION: b, x-A ,\tc,,\r\nB: 3\r\n"
		    "X-A: 4\r\nD: 5\r\nConnection: d\r\nBB: 6\r\nC: 7\r\n",
		    "A: 2\r\nBB: 6\r\n" },
		{ "Connection:\r\nA: 1\r\n", "A: 1\r\n" },
		{ "Connection: close\r\nA: 1\r\nClose: 2\r\n", "A: 1\r\n" },
		/* what Connection may not strip */
		{ "Connection: host, content-length, cookie, set-cookie,"
		    "authorization\r\n" H "Content-Length: 0\r\nCookie: a\r\n"
		    "Set-Cookie: b\r\nAuthorization: c\r\n",
		    H "Content-Length: 0\r\nCookie: a\r\nSet-Cookie: b\r\n"
		    "Authorization: c\r\n" },
		{ "Connections: a\r\nKeep_Alive: b\r\nTEE: c\r\nA: d\r\n",
		    "Connections: a\r\nKeep_Alive: b\r\nTEE: c\r\nA: d\r\n" }
	};
	struct http_field f[16];
	char text[512];
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof(text), "%s\r\n", cases[i].text);
		out_fields(cases[i].text, f,
		    http_fields_filter(f, fields_of(f, text)), cases[i].want);
	}
}

/* What is written of n fields, A: 1 to so many, in a space of cap octets: as
 * much as fits of whole fields. */
static void
check_put_fields(size_t n, size_t cap)
{
	static const char all[] = "A: 1\r\nBB: 22\r\n: \r\nC: \r\n";
	static const size_t ends[] = { 0, 6, 14, 18, 23 };
	static const char *const parts[][2] = {
		{ "A", "1" }, { "BB", "22" }, { "", "" }, { "C", "" }
	};
	struct http_out o = { NULL, cap, 0 };
	size_t i, whole = 0;

	o.p = malloc(cap + 1);
	memset(o.p, 0xee, cap + 1);
	for (i = 0; i < n; i++) {
		http_put_field(&o, v(parts[i][0]), v(parts[i][1]));
		CHECK(o.len == ends[i + 1], "%zu octets of %zu fields", o.len,
		    i + 1);
		if (ends[i + 1] <= cap)
			whole = ends[i + 1];
	}
	CHECK(memcmp(o.p, all, whole) == 0, "%zu fields in %zu", n, cap);
	for (i = whole; i <= cap; i++)
		CHECK(o.p[i] == 0xee, "octet %zu of %zu fields in %zu", i, n,
		    cap);
	free(o.p);
}

static void
test_put_field(void)
{
	struct http_field f[4];
	struct http_out o;
	struct view empty = { NULL, 0 };
	size_t n, cap;

	for (n = 0; n <= 4; n++)
		for (cap = 0; cap <= 24; cap++)
			check_put_fields(n, cap);
	o = out_start();
	http_put_field(&o, v("A"), empty);
	http_put_field(&o, v("B"), view_n("x\0y", 3));
	CHECK(o.len == 13 && memcmp(space, "A: \r\nB: x\0y\r\n", 13) == 0,
	    "octets as they are");
	CHECK(http_out_view(&o).p == o.p && http_out_view(&o).n == 13,
	    "what was written");
	o = out_start();
	http_fields_put(&o, f, fields_of(f, "A:1\r\nb: \t2 \r\nA:\r\n\r\n"));
	out_is("fields", "A: 1\r\nb: 2\r\nA: \r\n\r\n");
	o = out_start();
	http_fields_put(&o, NULL, 0);
	out_is("no fields", "\r\n");
}

/* Heads as they go on a link. */
static const struct {
	const char *method, *path;	/* of a request */
	int status;			/* of an answer */
	const char *reason, *fields, *want;
} put_on_link[] = {
	{ "GET", "/", 0, "", H "A: 1\r\n\r\n", GET11 "A: 1\r\n\r\n" },
	{ "GET", "/", 0, "", "\r\n", "GET / HTTP/1.1\r\n\r\n" },
	{ "OPTIONS", "*", 0, "", H "\r\n", "OPTIONS * HTTP/1.1\r\n" H "\r\n" },
	{ "M-X", "/a?b", 0, "", "Upgrade: a\r\nTE: trailers\r\nDate:\r\n\r\n",
	    "M-X /a?b HTTP/1.1\r\nUpgrade: a\r\nTE: trailers\r\nDate: \r\n"
	    "\r\n" },
	{ NULL, NULL, 200, "", "\r\n", OK11 "\r\n" },
	{ NULL, NULL, 200, "Fine\twas \xff ", "A: 1\r\n\r\n",
	    "HTTP/1.1 200 Fine\twas \xff \r\nA: 1\r\n\r\n" },
	{ NULL, NULL, 404, "", "A: 1\r\na: 2\r\n\r\n",
	    "HTTP/1.1 404 Not Found\r\nA: 1\r\na: 2\r\n\r\n" },
	{ NULL, NULL, 299, "", "\r\n", "HTTP/1.1 299 Unknown\r\n\r\n" },
	{ NULL, NULL, 200, "evil\r\nX: y", "\r\n", OK11 "\r\n" },
	{ NULL, NULL, 200, "evil\nX: y", "\r\n", OK11 "\r\n" },
	{ NULL, NULL, 200, "\x7f", "\r\n", OK11 "\r\n" },
	{ NULL, NULL, 204, "None", "Content-Length: 0\r\n\r\n",
	    "HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n" },
	{ NULL, NULL, 101, "", "Upgrade: x\r\n\r\n",
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" }
};

/* Writes case i, whose fields are f[0..n), to o. */
static void
put_link_case(struct http_out *o, size_t i, const struct http_field *f,
    size_t n)
{
	static struct http_head h;

	memset(&h, 0, sizeof(h));
	memcpy(h.field, f, n * sizeof(*f));
	h.nfields = n;
	h.status = put_on_link[i].status;
	h.reason = v(put_on_link[i].reason);
	if (put_on_link[i].method != NULL) {
		h.method = v(put_on_link[i].method);
		h.path = v(put_on_link[i].path);
		http_link_request_put(o, &h);
	} else {
		http_link_answer_put(o, &h);
	}
}

static void
test_link_put(void)
{
	struct http_field f[8];
	struct http_out o;
	size_t i, n;

	for (i = 0; i < COUNT(put_on_link); i++) {
		n = fields_of(f, put_on_link[i].fields);
		o = out_start();
		put_link_case(&o, i, f, n);
		out_is(put_on_link[i].want, put_on_link[i].want);
		parse_link(put_on_link[i].want);
		memset(&o, 0, sizeof(o));
		put_link_case(&o, i, f, n);
		CHECK(o.len == strlen(put_on_link[i].want),
		    "measured without a space: %zu", o.len);
	}
}

static const struct {
	const char *base, *text;
	int chunked;
	const char *want;
} sent[] = {
	{ "", "PUT /x?y HTTP/1.1\r\n" H "A: 1\r\n\r\n", 0,
	    "PUT /x?y HTTP/1.1\r\n" H "A: 1\r\n\r\n" },
	{ "/base", "PUT /x HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", 0,
	    "PUT /base/x HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n" },
	{ "/base", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 0,
	    "OPTIONS * HTTP/1.1\r\n" H "\r\n" },
	{ "", "PUT / HTTP/1.1\r\n" H "\r\n", 1,
	    "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n" },
	{ "", "PUT / HTTP/1.1\r\n" H "\r\n", 0,
	    "PUT / HTTP/1.1\r\n" H "\r\n" },
	{ "", "PUT / HTTP/1.1\r\nTE: trailers\r\n" H "\r\n", 0,
	    "PUT / HTTP/1.1\r\nTE: trailers\r\n" H "Connection: TE\r\n\r\n" },
	{ "", "PUT / HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n", 0,
	    "PUT / HTTP/1.1\r\n" H "Upgrade: websocket\r\n"
	    "Connection: Upgrade\r\n\r\n" },
	{ "", "PUT / HTTP/1.1\r\nA: 1\r\n\r\n", 1,
	    "PUT / HTTP/1.1\r\nA: 1\r\nHost:\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n" },
	{ "/b", "PUT / HTTP/1.1\r\n\r\n", 0,
	    "PUT /b/ HTTP/1.1\r\nHost:\r\n\r\n" },
	{ "", "PUT / HTTP/1.1\r\n" H "Upgrade: websocket\r\n"
	    "TE: trailers\r\n\r\n", 0,
	    "PUT / HTTP/1.1\r\n" H "Upgrade: websocket\r\n"
	    "TE: trailers\r\nConnection: Upgrade, TE\r\n\r\n" },
	{ "", "PUT / HTTP/1.1\r\nTE: trailers\r\nUpgrade: a\r\n\r\n", 1,
	    "PUT / HTTP/1.1\r\nTE: trailers\r\nUpgrade: a\r\nHost:\r\n"
	    "Connection: Upgrade, TE\r\nTransfer-Encoding: chunked\r\n\r\n" },
	{ "/b", "PUT /c HTTP/1.1\r\nA:1\r\nhOST:\th \r\nb: \t2\t\r\nA:\r\n"
	    "Expect: 100-continue\r\n\r\n", 0,
	    "PUT /b/c HTTP/1.1\r\nA:1\r\nhOST:\th \r\nb: \t2\t\r\nA:\r\n"
	    "Expect: 100-continue\r\n\r\n" }
};

static void
test_request_put(void)
{
	struct http_out o;
	size_t i;

	for (i = 0; i < COUNT(sent); i++) {
		parse_link(sent[i].text);
		o = out_start();
		http_request_put(&o, &head, v(sent[i].base), sent[i].chunked);
		out_is(sent[i].text, sent[i].want);
	}
}

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define DATE_S 784111777
#define CID "x-pipegate-correlation-id: 0123\r\n"
#define NO_LENGTH "Content-Length: 0\r\n"

static const struct {
	enum http_framing framing;
	int minor, keep_alive;
	const char *text, *want;
} written[] = {
	{ HTTP_LENGTH, 1, 1,
	    "HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nA: 1\r\n\r\n",
	    "HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nA: 1\r\n" DATE CID
	    "\r\n" },
	{ HTTP_CHUNKED, 1, 1, "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n",
	    OK11 DATE CID "Transfer-Encoding: chunked\r\n\r\n" },
	{ HTTP_CHUNKED, 1, 0, OK11 "A:\t1\r\nB:2 \r\n\r\n",
	    OK11 "A:\t1\r\nB:2 \r\n" DATE CID "Transfer-Encoding: chunked\r\n"
	    "Connection: close\r\n\r\n" },
	{ HTTP_UNTIL_CLOSE, 0, 1, OK11 "A: 1\r\n\r\n",
	    OK11 "A: 1\r\n" DATE CID "Connection: close\r\n\r\n" },
	{ HTTP_UNTIL_CLOSE, 1, 1, OK11 "Content-Length: 3\r\n\r\n",
	    OK11 DATE CID "Connection: close\r\n\r\n" },
	{ HTTP_UNTIL_CLOSE, 1, 0, OK11 "A: 1\r\nCONTENT-length: 3\r\nB: 2\r\n"
	    "\r\n", OK11 "A: 1\r\nB: 2\r\n" DATE CID
	    "Connection: close\r\n\r\n" },
	{ HTTP_LENGTH, 0, 1, OK11 "Content-Length: 3\r\n\r\n",
	    OK11 "Content-Length: 3\r\n" DATE CID
	    "Connection: keep-alive\r\n\r\n" },
	{ HTTP_LENGTH, 1, 0, "HTTP/1.1 200 \r\ndAtE: x\r\n\r\n",
	    OK11 "dAtE: x\r\n" CID NO_LENGTH "Connection: close\r\n\r\n" },
	{ HTTP_LENGTH, 0, 1, OK11 "\r\n", OK11 DATE CID NO_LENGTH
	    "Connection: keep-alive\r\n\r\n" },
	{ HTTP_LENGTH, 1, 1, OK11 "Content-Length:0\r\n\r\n",
	    OK11 "Content-Length:0\r\n" DATE CID "\r\n" },
	{ HTTP_NO_BODY, 1, 1, OK11 "Content-Length: 3\r\n\r\n",
	    OK11 "Content-Length: 3\r\n" DATE CID "\r\n" },
	{ HTTP_NO_BODY, 1, 1, OK11 "\r\n", OK11 DATE CID "\r\n" },
	{ HTTP_NO_BODY, 1, 1,
	    "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
	    "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n" DATE CID
	    "\r\n" },
	{ HTTP_NO_BODY, 1, 1,
	    "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nA: 1\r\n\r\n",
	    "HTTP/1.1 204 No Content\r\nA: 1\r\n" DATE CID "\r\n" },
	{ HTTP_NO_BODY, 1, 1,
	    "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
	    "HTTP/1.1 204 No Content\r\n" DATE CID "\r\n" },
	{ HTTP_NO_BODY, 0, 1, "HTTP/1.1 204 \r\n\r\n",
	    "HTTP/1.1 204 No Content\r\n" DATE CID
	    "Connection: keep-alive\r\n\r\n" },
	{ HTTP_NO_BODY, 1, 0,
	    "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" },
	{ HTTP_RAW, 1, 0, "HTTP/1.1 101 Switching Protocols\r\n"
	    "Upgrade: websocket\r\nContent-Length: 1\r\n\r\n",
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\n\r\n" },
	{ HTTP_RAW, 1, 0, "HTTP/1.1 101 Yes\r\nUpgrade:a\r\n\r\n",
	    "HTTP/1.1 101 Yes\r\nUpgrade:a\r\nConnection: Upgrade\r\n\r\n" },
	{ HTTP_LENGTH, 1, 1, "HTTP/1.1 299 \r\nA: 1\r\n"
	    "X-PIPEGATE-correlation-id: evil\r\nTrailer: T\r\n"
	    "x-pipegate-correlation-id:\r\n\r\n",
	    "HTTP/1.1 299 Unknown\r\nA: 1\r\nTrailer: T\r\n" DATE CID NO_LENGTH
	    "\r\n" },
	{ HTTP_CHUNKED, 1, 1, "HTTP/1.1 299 X\r\nContent-Length: 3\r\n"
	    "X-PIPEGATE-correlation-id: evil\r\nDate: x\r\nA: 1\r\n\r\n",
	    "HTTP/1.1 299 X\r\nDate: x\r\nA: 1\r\n" CID
	    "Transfer-Encoding: chunked\r\n\r\n" }
};

/* Heads of our own, with their framing in their fields. */
static const struct {
	int status;
	const char *reason;
	enum http_framing framing;
	int minor, keep_alive;
	const char *fields, *want;
} own[] = {
	{ 200, "", HTTP_LENGTH, 1, 1, "Content-Length: 3\r\nA:1\r\n\r\n",
	    OK11 "Content-Length: 3\r\nA: 1\r\n" DATE CID "\r\n" },
	{ 200, "evil\r\nX: y", HTTP_LENGTH, 1, 1, NO_LENGTH "\r\n",
	    OK11 NO_LENGTH DATE CID "\r\n" },
	{ 307, "", HTTP_LENGTH, 0, 1, "Location: /\r\n" NO_LENGTH "\r\n",
	    "HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\n" NO_LENGTH
	    DATE CID "Connection: keep-alive\r\n\r\n" },
	{ 204, "", HTTP_NO_BODY, 1, 0, "Allow: GET\r\n\r\n",
	    "HTTP/1.1 204 No Content\r\nAllow: GET\r\n" DATE CID
	    "Connection: close\r\n\r\n" },
	{ 204, "", HTTP_NO_BODY, 1, 1, NO_LENGTH "\r\n",
	    "HTTP/1.1 204 No Content\r\n" DATE CID "\r\n" },
	{ 200, "Fine", HTTP_NO_BODY, 1, 1, "Content-Length: 15\r\n\r\n",
	    "HTTP/1.1 200 Fine\r\nContent-Length: 15\r\n" DATE CID "\r\n" },
	{ 200, "", HTTP_UNTIL_CLOSE, 1, 1, "Content-Length: 3\r\nA: 1\r\n\r\n",
	    OK11 "A: 1\r\n" DATE CID "Connection: close\r\n\r\n" },
	{ 101, "", HTTP_RAW, 1, 0, "Upgrade: x\r\n\r\n",
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
	    "Connection: Upgrade\r\n\r\n" },
	{ 299, "", HTTP_NO_BODY, 1, 1, "\r\n",
	    "HTTP/1.1 299 Unknown\r\n" DATE CID "\r\n" }
};

static struct http_answer_shape
shape_of(enum http_framing framing, int minor, int keep_alive)
{
	struct http_answer_shape shape;

	memset(&shape, 0, sizeof(shape));
	shape.framing = framing;
	shape.minor = minor;
	shape.keep_alive = keep_alive;
	shape.date = DATE_S;
	shape.correlation_id = v("0123");
	return shape;
}

static void
test_answer_put(void)
{
	struct http_answer_shape shape;
	struct http_out o;
	size_t i;

	for (i = 0; i < COUNT(written); i++) {
		shape = shape_of(written[i].framing, written[i].minor,
		    written[i].keep_alive);
		parse_link(written[i].text);
		o = out_start();
		http_answer_put(&o, &shape, &head);
		out_is(written[i].text, written[i].want);
	}
	for (i = 0; i < COUNT(own); i++) {
		shape = shape_of(own[i].framing, own[i].minor,
		    own[i].keep_alive);
		memset(&head, 0, sizeof(head));
		head.status = own[i].status;
		head.reason = v(own[i].reason);
		head.nfields = fields_of(head.field, own[i].fields);
		o = out_start();
		http_answer_put(&o, &shape, &head);
		out_is(own[i].fields, own[i].want);
	}
	shape = shape_of(HTTP_NO_BODY, 1, 1);
	shape.date = -1;
	shape.correlation_id.n = 0;
	parse_link("HTTP/1.1 299 \r\nx-pipegate-correlation-id:origin's\r\n"
	    "\r\n");
	o = out_start();
	http_answer_put(&o, &shape, &head);
	out_is("neither date nor id", "HTTP/1.1 299 Unknown\r\n"
	    "x-pipegate-correlation-id:origin's\r\n\r\n");
}

/* Writes case i of a table to o. */
typedef void put_fn(struct http_out *o, size_t i);

static void
put_sent(struct http_out *o, size_t i)
{
	parse_link(sent[i].text);
	http_request_put(o, &head, v(sent[i].base), sent[i].chunked);
}

static void
put_written(struct http_out *o, size_t i)
{
	struct http_answer_shape shape = shape_of(written[i].framing,
	    written[i].minor, written[i].keep_alive);

	parse_link(written[i].text);
	http_answer_put(o, &shape, &head);
}

static void
put_linked(struct http_out *o, size_t i)
{
	struct http_field f[8];

	put_link_case(o, i, f, fields_of(f, put_on_link[i].fields));
}

/* In every space that is too small the length is the same, and what is stored
 * is a beginning of the text, with nothing behind the space's end. */
static void
check_spaces(put_fn *put, size_t i, const char *want)
{
	struct http_out o;
	size_t len = strlen(want), cap, stored;

	for (cap = 0; cap < len; cap++) {
		o.p = malloc(cap + 1);
		o.cap = cap;
		o.len = 0;
		memset(o.p, 0xee, cap + 1);
		put(&o, i);
		CHECK(o.len == len && o.p[cap] == 0xee, "a space of %d: %s",
		    (int)cap, want);
		for (stored = cap; stored > 0 && o.p[stored - 1] == 0xee;)
			stored--;
		CHECK(memcmp(o.p, want, stored) == 0, "stored in %d: %s",
		    (int)cap, want);
		free(o.p);
	}
}

static void
test_spaces(void)
{
	size_t i;

	for (i = 0; i < COUNT(sent); i++)
		check_spaces(put_sent, i, sent[i].want);
	for (i = 0; i < COUNT(written); i++)
		check_spaces(put_written, i, written[i].want);
	for (i = 0; i < COUNT(put_on_link); i++)
		check_spaces(put_linked, i, put_on_link[i].want);
}

/*
 * The whole way of a message: from its sender's connection to a link, and from
 * there to the other connection.  After each step it is the same message.
 */
static struct http_head trip_link, trip_out;
static char trip_text[2 * HTTP_LINK_HEAD_MAX];

static struct http_out
trip_start(void)
{
	struct http_out o = { (unsigned char *)trip_text,
	    sizeof(trip_text), 0 };

	return o;
}

/* What was written to o, in a block of just its size. */
static unsigned char *
trip_copy(const struct http_out *o)
{
	struct view text = http_out_view(o);

	CHECK(text.n <= o->cap, "%zu octets", text.n);
	return check_exact(text.p, text.n);
}

static int
same(struct view a, struct view b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* The fields f[0..n) stand in h in their order, with some behind them that
 * concern the connection alone. */
static void
trip_fields(const char *text, const struct http_head *h,
    const struct http_field *f, size_t n, size_t more)
{
	size_t i;

	CHECK(h->nfields >= n && h->nfields <= n + more,
	    "%zu fields of %zu: %s", h->nfields, n, text);
	for (i = 0; i < n && i < h->nfields; i++)
		CHECK(same(h->field[i].name, f[i].name) &&
		    same(h->field[i].value, f[i].value), "%s: %s became "
		    "%s: %s: %s", shown(f[i].name), shown(f[i].value),
		    shown(h->field[i].name), shown(h->field[i].value), text);
	for (; i < h->nfields; i++)
		CHECK(http_equal(h->field[i].name, "Connection") ||
		    http_equal(h->field[i].name, "Transfer-Encoding"),
		    "%s came along: %s", shown(h->field[i].name), text);
}

/* The second half of a request's way: what head became on the link goes to the
 * service, and is read as if it came from a caller. */
static void
trip_to_service(const char *about)
{
	struct http_out o = trip_start();
	unsigned char *p;
	size_t scanned = 0;
	int rc;

	http_request_put(&o, &trip_link, v(""), head.framing == HTTP_CHUNKED);
	p = trip_copy(&o);
	rc = http_request_parse(&trip_out, p, o.len, &scanned);
	if (trip_link.host.n == 0) {
		CHECK(rc == -400 && strstr(trip_text, "\r\nHost:\r\n") != NULL,
		    "%d without a Host: %s", rc, about);
		free(p);
		return;
	}
	CHECK(rc == (int)o.len, "%d of %zu: %s", rc, o.len, about);
	CHECK(same(trip_out.method, head.method) &&
	    same(trip_out.path, head.path) && same(trip_out.host, head.host),
	    "%s %s: %s", shown(trip_out.method), shown(trip_out.path), about);
	CHECK(trip_out.framing == head.framing &&
	    trip_out.length == head.length && trip_out.keep_alive,
	    "framing %d: %s", (int)trip_out.framing, about);
	CHECK(trip_out.upgrade == trip_link.upgrade &&
	    trip_out.te_trailers == head.te_trailers &&
	    trip_out.expect_continue == trip_link.expect_continue,
	    "what is asked for: %s", about);
	trip_fields(about, &trip_out, trip_link.field, trip_link.nfields, 2);
	free(p);
}

/* What head became on the link. */
static void
trip_check_request(const char *about, int keep_upgrade)
{
	CHECK(same(trip_link.method, head.method) &&
	    same(trip_link.path, head.path) && same(trip_link.host, head.host),
	    "%s %s: %s", shown(trip_link.method), shown(trip_link.path),
	    about);
	CHECK(trip_link.framing == (head.framing == HTTP_CHUNKED ?
	    HTTP_NO_BODY : head.framing) && trip_link.length == head.length,
	    "framing %d over the link: %s", (int)trip_link.framing, about);
	CHECK(trip_link.upgrade == (head.upgrade && keep_upgrade) &&
	    trip_link.te_trailers == head.te_trailers,
	    "what is asked for over the link: %s", about);
}

/* The way of request head.  A caller may not say as much as can cross a
 * link. */
static void
trip_request(const char *about, const struct http_forwarding *how,
    int keep_upgrade)
{
	static unsigned char scratch[HTTP_HEAD_MAX];
	static struct http_head go;
	struct http_out o = trip_start();
	unsigned char *p;
	int rc;

	rc = http_request_fields(go.field, &head, how, keep_upgrade, scratch,
	    sizeof(scratch));
	CHECK(rc > 0 && rc <= HTTP_LINK_FIELDS, "%d: %s", rc, about);
	go.nfields = (size_t)(rc < 0 ? 0 : rc);
	go.method = head.method;
	go.path = head.path;
	http_link_request_put(&o, &go);
	p = trip_copy(&o);
	rc = http_link_request_parse(&trip_link, p, o.len);
	CHECK(rc == 0, "%d over the link: %s", rc, about);
	if (rc == 0) {
		trip_check_request(about, keep_upgrade);
		trip_fields(about, &trip_link, go.field, go.nfields, 0);
		if (go.nfields + 3 <= HTTP_FIELDS_MAX &&
		    o.len + 100 <= HTTP_HEAD_MAX)
			trip_to_service(about);
	}
	free(p);
}

static void
test_request_trips(void)
{
	struct http_forwarding how;
	size_t i, n;
	int k;

	memset(&how, 0, sizeof(how));
	how.peer = v("2001:db8::1");
	how.prefix = v("/id");
	how.correlation_id = v("0123");
	for (k = 0; k < 4; k++) {
		how.trusted = k / 2;
		for (i = 0; i < COUNT(good_requests); i++) {
			parse_request(good_requests[i].text);
			trip_request(good_requests[i].text, &how, k % 2);
		}
		for (i = 0; i < COUNT(passed); i++) {
			parse_request(passed[i].text);
			trip_request(passed[i].text, &how, k % 2);
		}
	}
	n = big_put(0, "GET http://h/ HTTP/1.0\r\n", 1);
	n = big_put(n, "N: 1\r\n", HTTP_FIELDS_MAX);
	big[big_put(n, "\r\n", 1)] = '\0';
	parse_request(big);
	trip_request("128 fields", &how, 1);
	CHECK(trip_link.nfields == HTTP_FIELDS_MAX + 7, "%zu fields",
	    trip_link.nfields);
	big[big_head(HTTP_HEAD_MAX)] = '\0';
	parse_request(big);
	trip_request("a head of the cap", &how, 1);
}

/* How an answer goes to the caller, as its framing over the link says: what
 * has no length is sent in chunks. */
static enum http_framing
trip_framing(const struct http_head *h)
{
	return h->framing == HTTP_UNTIL_CLOSE ? HTTP_CHUNKED : h->framing;
}

/* The second half of an answer's way, to the caller. */
static void
trip_to_caller(const char *about, struct view method)
{
	struct http_answer_shape shape = shape_of(trip_framing(&trip_link), 1,
	    1);
	struct http_out o = trip_start();
	unsigned char *p;
	size_t scanned = 0;
	int rc;

	shape.date = -1;
	shape.correlation_id.n = 0;
	http_answer_put(&o, &shape, &trip_link);
	p = trip_copy(&o);
	rc = http_answer_parse(&trip_out, p, o.len, &scanned, method);
	CHECK(rc == (int)o.len, "%d of %zu: %s", rc, o.len, about);
	CHECK(trip_out.status == head.status &&
	    same(trip_out.reason, trip_link.reason), "%d %s: %s",
	    trip_out.status, shown(trip_out.reason), about);
	CHECK(trip_out.framing == shape.framing &&
	    trip_out.length == trip_link.length, "framing %d: %s",
	    (int)trip_out.framing, about);
	CHECK(trip_out.keep_alive == (head.status != 101),
	    "a connection that is kept: %s", about);
	CHECK(trip_out.upgrade == (head.status == 101), "upgrade: %s", about);
	trip_fields(about, &trip_out, trip_link.field, trip_link.nfields, 2);
	free(p);
}

/* What answer head became on the link. */
static void
trip_check_answer(const char *about)
{
	struct view reason = head.reason.n > 0 ? head.reason :
	    v(http_reason(head.status));

	CHECK(trip_link.status == head.status &&
	    same(trip_link.reason, reason), "%d %s: %s", trip_link.status,
	    shown(trip_link.reason), about);
	CHECK(trip_link.framing == (head.framing == HTTP_CHUNKED ?
	    HTTP_UNTIL_CLOSE : head.framing), "framing %d over the link: %s",
	    (int)trip_link.framing, about);
}

/* The way of answer head. */
static void
trip_answer(const char *about, struct view method)
{
	static struct http_head go;
	struct http_out o = trip_start();
	unsigned char *p;
	int rc;

	go.status = head.status;
	go.reason = head.reason;
	go.nfields = http_answer_fields(go.field, &head);
	http_link_answer_put(&o, &go);
	p = trip_copy(&o);
	rc = http_link_answer_parse(&trip_link, p, o.len, method);
	CHECK(rc == 0, "%d over the link: %s", rc, about);
	if (rc == 0) {
		trip_check_answer(about);
		trip_fields(about, &trip_link, go.field, go.nfields, 0);
		trip_to_caller(about, method);
	}
	free(p);
}

static void
test_trips(void)
{
	size_t i;

	test_request_trips();
	for (i = 0; i < COUNT(good_answers); i++) {
		parse_answer(good_answers[i].text, good_answers[i].method);
		trip_answer(good_answers[i].text, v(good_answers[i].method));
	}
	for (i = 0; i < COUNT(answered); i++) {
		parse_answer(answered[i].text, answered[i].method);
		trip_answer(answered[i].text, v(answered[i].method));
	}
	i = big_put(big_put(0, OK11, 1), "N: 1\r\n", HTTP_FIELDS_MAX);
	big[big_put(i, "\r\n", 1)] = '\0';
	parse_answer(big, "HEAD");
	trip_answer("128 fields", v("HEAD"));
}

static void
test_last_chunk(void)
{
	struct http_field f[8];
	struct http_out o = out_start();

	http_last_chunk_put(&o, NULL, 0);
	out_is("no trailers", "0\r\n\r\n");
	o = out_start();
	http_last_chunk_put(&o, f, fields_of(f, "ETag: x\r\n"
	    "Content-Length: 3\r\nConnection: y\r\nDigest: z\r\n\r\n"));
	out_is("trailers", "0\r\nETag: x\r\nDigest: z\r\n\r\n");
}

static void
test_reasons_and_dates(void)
{
	static const struct {
		long long t;
		const char *text;
	} dates[] = {
		{ 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" },
		{ 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ -1, "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ 951782399, "Mon, 28 Feb 2000 23:59:59 GMT" },
		{ 951782400, "Tue, 29 Feb 2000 00:00:00 GMT" },
		{ 951868800, "Wed, 01 Mar 2000 00:00:00 GMT" },
		{ 978307199, "Sun, 31 Dec 2000 23:59:59 GMT" },
		{ 2147483648LL, "Tue, 19 Jan 2038 03:14:08 GMT" },
		{ 4107542400LL, "Mon, 01 Mar 2100 00:00:00 GMT" },
		{ 253402300799LL, "Fri, 31 Dec 9999 23:59:59 GMT" },
		{ 253402300800LL, "Fri, 31 Dec 9999 23:59:59 GMT" }
	};
	char out[30], want[30];
	struct tm tm;
	time_t t;
	size_t i;

	for (i = 0; i < COUNT(dates); i++) {
		http_date(out, dates[i].t);
		CHECK(strcmp(out, dates[i].text) == 0, "%s, not %s", out,
		    dates[i].text);
	}
	for (t = 12345; t < 2147483647 - 3000000; t += 2764801) {
		gmtime_r(&t, &tm);
		strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		http_date(out, t);
		CHECK(strcmp(out, want) == 0, "%s, not %s", out, want);
	}
	CHECK(strcmp(http_reason(404), "Not Found") == 0, "404");
	CHECK(strcmp(http_reason(431), "Request Header Fields Too Large") == 0,
	    "431");
	CHECK(strcmp(http_reason(299), "Unknown") == 0, "299");
}

#define NO_STORE "Cache-Control: no-store\r\n"

static void
test_errors(void)
{
	struct http_error e;
	struct http_out o;

	memset(&e, 0, sizeof(e));
	e.status = 503;
	e.detail = "a \"b\" \\ <c> & d\n";
	e.retry_after_s = 5;
	e.minor = 1;
	e.date = DATE_S;
	e.correlation_id = v("0123");
	o = out_start();
	http_error_put(&o, &e);
	out_is("JSON", "HTTP/1.1 503 Service Unavailable\r\n"
	    "Content-Type: application/json\r\nContent-Length: 37\r\n" NO_STORE
	    "Retry-After: 5\r\n" DATE CID "Connection: close\r\n\r\n"
	    "{\"detail\":\"a \\\"b\\\" \\\\ <c> & d\\u000a\"}");
	e.head_only = 1;
	e.keep_alive = 1;
	o = out_start();
	http_error_put(&o, &e);
	out_is("to HEAD", "HTTP/1.1 503 Service Unavailable\r\n"
	    "Content-Type: application/json\r\nContent-Length: 37\r\n" NO_STORE
	    "Retry-After: 5\r\n" DATE CID "\r\n");
	memset(&e, 0, sizeof(e));
	e.status = 405;
	e.detail = "<b>&";
	e.html = 1;
	e.keep_alive = 1;
	e.allow = "GET, HEAD";
	e.date = -1;
	o = out_start();
	http_error_put(&o, &e);
	CHECK(strstr(space, "\r\nAllow: GET, HEAD\r\n") != NULL, "Allow");
	CHECK(strstr(space, "\r\nConnection: keep-alive\r\n") != NULL,
	    "kept for 1.0");
	CHECK(strstr(space, "Date: ") == NULL, "no date");
	CHECK(strstr(space, "text/html; charset=utf-8") != NULL, "HTML");
	CHECK(strstr(space, "<p>&lt;b&gt;&amp;</p>") != NULL, "escaped: %s",
	    space);
	parse_answer(space, "GET");
	CHECK(head.length == (long long)strlen(strstr(space, "\r\n\r\n") + 4),
	    "length of the page");
	e.status = 401;
	e.realm = "my-app";
	o = out_start();
	http_error_put(&o, &e);
	CHECK(strstr(space, "\r\nWWW-Authenticate: Basic realm=\"my-app\", "
	    "charset=\"UTF-8\"\r\n") != NULL, "401: %s", space);
	e.status = 426;
	o = out_start();
	http_error_put(&o, &e);
	CHECK(strstr(space, "\r\nUpgrade: websocket\r\n") != NULL, "426");
}

static void
test_prefers_html(void)
{
	static const struct {
		int want;
		const char *accept;
	} cases[] = {
		{ 0, "Accept: */*\r\n" }, { 0, "" }, { 0, "Accept:\r\n" },
		{ 1, "Accept: text/html\r\n" }, { 1, "accept: TEXT/HTML\r\n" },
		{ 1, "Accept: text/html,application/xhtml+xml,"
		    "application/xml;q=0.9,*/*;q=0.8\r\n" },
		{ 0, "Accept: application/json\r\n" },
		{ 0, "Accept: text/html, application/json\r\n" },
		{ 1, "Accept: text/html, application/json;q=0.9\r\n" },
		{ 0, "Accept: text/html;q=0.5, application/json\r\n" },
		{ 0, "Accept: text/html;q=0\r\n" },
		{ 0, "Accept: text/html;q=2\r\n" },
		{ 0, "Accept: text/html;q=1.001\r\n" },
		{ 1, "Accept: text/html;q=0.001\r\n" },
		{ 0, "Accept: text/html;q=0.0001\r\n" },
		{ 1, "Accept: text/*, */*;q=0.1\r\n" },
		{ 0, "Accept: text/*;q=0.1, */*\r\n" },
		{ 0, "Accept: text/html;q=0.1, text/*, */*;q=0.5\r\n" },
		{ 1, "Accept: text/html ; level=1 ; Q=0.7\r\n"
		    "Accept: application/*;q=0.6\r\n" },
		{ 0, "Accept: text/plain\r\n" }, { 0, "Accept: ;q=1,,\r\n" }
	};
	struct http_field f[8];
	char text[256];
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof(text), "A: text/html\r\n%s\r\n",
		    cases[i].accept);
		CHECK(http_prefers_html(f, fields_of(f, text)) ==
		    cases[i].want, "%s", cases[i].accept);
	}
}

static void
test_lists(void)
{
	static const struct {
		int want;
		const char *list;
	} cases[] = {
		{ 1, "upgrade" }, { 1, "a,\t UPGRADE ,b" }, { 1, ",,Upgrade" },
		{ 0, "" }, { 0, "upgrades" }, { 0, "up grade" }, { 0, "a" },
		{ 0, "upgrade;x" }, { 0, "upgradeupgrade" }
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		CHECK(http_list_has(v(cases[i].list), "upgrade") ==
		    cases[i].want, "%s", cases[i].list);
	CHECK(http_equal(v("aB"), "aB") && !http_equal(v("aB"), "ab") &&
	    !http_equal(v("a"), "ab"), "http_equal");
	CHECK(http_equal_nocase(v("aZ-"), "Az-") &&
	    !http_equal_nocase(v("@["), "`{") &&
	    !http_equal_nocase(v("\r"), "-"), "http_equal_nocase");
}

/*
 * Hosts and paths.
 */
static void
test_seen(void)
{
	static const struct {
		const char *fields, *seen;
	} cases[] = {
		{ "", "" }, { "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1" },
		{ "x-forwarded-for: 192.0.2.1, 192.0.2.2\r\n", "192.0.2.2" },
		{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: ::1\r\n"
		    "X-Forwarded-Fox: 192.0.2.3\r\n", "::1" },
		{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For:\r\n",
		    "192.0.2.1" },
		{ "X-Forwarded-For: [2001:db8::1]:80\r\n", "2001:db8::1" },
		{ "X-Forwarded-For: 192.0.2.1:80\r\n", "192.0.2.1" },
		{ "X-Forwarded-For: 192.0.2.1, nobody\r\n", "unknown" },
		{ "X-Forwarded-For: ,\r\n", "" },
		{ "X_Forwarded_For: 192.0.2.1\r\n", "" },
		{ "X-Real-IP: 192.0.2.1\r\n", "" },
	};
	char text[256];
	struct http_head h;
	size_t i, scanned;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		scanned = 0;
		snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\n%s"
		    "\r\n", cases[i].fields);
		CHECK(http_request_parse(&h, v(text).p, strlen(text),
		    &scanned) > 0, "%s", cases[i].fields);
		CHECK(http_equal(http_seen(&h), cases[i].seen), "%s",
		    cases[i].fields);
	}
}

static void
test_host_names(void)
{
	static const struct {
		const char *host, *name;	/* name NULL: an address */
	} cases[] = {
		{ "a.example", "a.example" }, { "A.example:80", "A.example" },
		{ "a.example.", "a.example" }, { "a.example.:", "a.example" },
		{ "a.example..", "a.example." }, { ".", "." }, { "h", "h" },
		{ "1.2.3", "1.2.3" }, { "192.0.2.1", NULL },
		{ "192.0.2.1:80", NULL }, { "[::1]", NULL }, { "[::1]:80", NULL },
	};
	struct view name;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		int is = http_host_name(&name, v(cases[i].host));

		CHECK(is == (cases[i].name != NULL) &&
		    (!is || http_equal(name, cases[i].name)), "%s",
		    cases[i].host);
	}
}

static void
test_labels(void)
{
	static const struct {
		const char *label;
		int ok;
	} cases[] = {
		{ "a", 1 }, { "0", 1 }, { "a-0--z", 1 }, { "xn--bcher-kva", 1 },
		{ "", 0 }, { "-a", 0 }, { "a-", 0 }, { "-", 0 }, { "A", 0 },
		{ "a.b", 0 }, { "a_b", 0 }, { "a~", 0 }, { "\xc3\xbc", 0 },
	};
	char label[64];
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		CHECK(http_label_ok(v(cases[i].label)) == cases[i].ok, "%s",
		    cases[i].label);
	memset(label, 'a', 64);
	CHECK(!http_label_ok((struct view){ (unsigned char *)label, 64 }) &&
	    http_label_ok((struct view){ (unsigned char *)label, 63 }),
	    "the length of a label");
}

static void
test_names(void)
{
	static const struct {
		const char *name;
		int ok;
	} cases[] = {
		{ "a", 1 }, { "a.b", 1 }, { "tunnel.example.com", 1 },
		{ "xn--bcher-kva.example", 1 }, { "1.2.3.4.5", 1 },
		{ "", 0 }, { ".", 0 }, { "a.", 0 }, { ".a", 0 }, { "a..b", 0 },
		{ "A.b", 0 }, { "a_b.c", 0 }, { "-a.b", 0 }, { "a.b-", 0 },
		{ "*.a.b", 0 }, { "a.b:80", 0 }, { "1.2.3.4", 0 }, { "[::1]", 0 },
		{ "::1", 0 }, { "a b", 0 }, { "b\xc3\xbc.example", 0 },
	};
	char name[256];
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		CHECK(http_name_ok(v(cases[i].name)) == cases[i].ok, "%s",
		    cases[i].name);
	for (i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '.' : 'a';
	CHECK(http_name_ok((struct view){ (unsigned char *)name, 253 }) &&
	    !http_name_ok((struct view){ (unsigned char *)name, 254 }) &&
	    !http_name_ok((struct view){ (unsigned char *)name, 255 }),
	    "the length of a name");
}

static void
test_routes(void)
{
	static const struct {
		const char *path;
		enum http_route want;
		const char *id, *rest;
	} cases[] = {
		{ "/", HTTP_ROUTE_ROOT, NULL, NULL },
		{ "/?token=x/y", HTTP_ROUTE_ROOT, NULL, NULL },
		{ "/healthz", HTTP_ROUTE_HEALTH, NULL, NULL },
		{ "/healthz?x", HTTP_ROUTE_HEALTH, NULL, NULL },
		{ "/healthz/", HTTP_ROUTE_NONE, NULL, NULL },
		{ "/id/", HTTP_ROUTE_TUNNEL, "id", "/" },
		{ "/id/a/../b//?x=/&y", HTTP_ROUTE_TUNNEL, "id",
		    "/a/../b//?x=/&y" },
		{ "/A-z0.9_~//x", HTTP_ROUTE_TUNNEL, "A-z0.9_~", "//x" },
		{ "/...x/", HTTP_ROUTE_TUNNEL, "...x", "/" },
		{ "/Healthz/", HTTP_ROUTE_TUNNEL, "Healthz", "/" },
		{ "/id", HTTP_ROUTE_REDIRECT, "id", "" },
		{ "/id?a/b", HTTP_ROUTE_REDIRECT, "id", "?a/b" },
		{ "*", HTTP_ROUTE_STAR, NULL, NULL },
		{ "//", HTTP_ROUTE_NONE, NULL, NULL },
		{ "//id/", HTTP_ROUTE_NONE, NULL, NULL },
		{ "/./", HTTP_ROUTE_NONE, NULL, NULL },
		{ "/..", HTTP_ROUTE_NONE, NULL, NULL },
		{ "/%69d/", HTTP_ROUTE_NONE, NULL, NULL },
		{ "/i+d/", HTTP_ROUTE_NONE, NULL, NULL },
		{ "/i\\d/", HTTP_ROUTE_NONE, NULL, NULL },
		{ "", HTTP_ROUTE_NONE, NULL, NULL }
	};
	struct view id, rest;
	char path[140];
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		CHECK(http_route(v(cases[i].path), &id, &rest) ==
		    cases[i].want, "%s", cases[i].path);
		if (cases[i].id != NULL)
			CHECK(http_equal(id, cases[i].id) &&
			    http_equal(rest, cases[i].rest), "%s %s: %s",
			    shown(id), shown(rest), cases[i].path);
	}
	memset(path, 'i', sizeof(path));
	path[0] = '/';
	strcpy(path + 129, "/");
	CHECK(http_route(v(path), &id, &rest) == HTTP_ROUTE_TUNNEL,
	    "an id of 128");
	strcpy(path + 129, "i/");
	CHECK(http_route(v(path), &id, &rest) == HTTP_ROUTE_NONE,
	    "an id of 129");
}

static void
test_climbs(void)
{
	static const struct {
		int want;
		const char *path;
	} cases[] = {
		{ 0, "/" }, { 0, "" }, { 0, "/a/.." }, { 0, "/a/../b/./c" },
		{ 0, "/a/b/../.." }, { 0, "/.../..a/a.." }, { 0, "/?/../.." },
		{ 0, "/a?../../.." }, { 0, "/.%2ea/" }, { 0, "/%" },
		{ 0, "/a%2Fb/.." }, { 0, "/.%2" },
		{ 1, "/.." }, { 1, "/../a" }, { 1, "/a/../.." },
		{ 1, "/%2e%2E/" }, { 1, "/.%2e" }, { 1, "/%2e./x" },
		{ 1, "/./.." }, { 1, "//.." }, { 1, "/a//../.." },
		{ 1, "/..%2fa" }, { 1, "/a/..%5c..%5Cb" }, { 1, "/..\\a" },
		{ 1, "/a%2fb/../../" }, { 1, "/a/../..?x" },
		{ 0, "/a;x/.." }, { 0, "/a/..;x" }, { 0, "/a;/..;/b" },
		{ 0, "/;x/a/.." }, { 0, "/a;..;../b" }, { 0, "/.a;/.." },
		{ 0, "/...;x" }, { 0, "/a?/..;/.." }, { 0, "/a;x=1;y=2/.." },
		{ 1, "/..;" }, { 1, "/..;/x" }, { 1, "/..;a=b/x" },
		{ 1, "/..;;a;b" }, { 1, "/%2e%2e;/" }, { 1, "/.%2E%3b/" },
		{ 1, "/..%3Bx/" }, { 1, "/.;/..;" }, { 1, "/;/.." },
		{ 1, "/;x/..;y" }, { 1, "/a/..;/..;/" }, { 1, "/a;/../..;b" },
		{ 1, "/..;%2fx" }, { 1, "/..;\\x" }, { 1, "/a;x%2f..;%5c.." },
		{ 1, "/a/..;/..?x" }
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		CHECK(http_path_climbs(v(cases[i].path)) == cases[i].want,
		    "%s", cases[i].path);
}

/* Fed octet by octet, a head is looked at once: between its first line's end
 * and its own end, all but the last octets may be anything. */
static void
test_linear(void)
{
	static char spoilt[sizeof(big)];
	size_t at = big_put(0, "GET /", 1), line, i, scanned = 0;
	const char *b;
	int rc = 0;

	at = big_put(at, "x", 16000);
	line = at = big_put(at, " HTTP/1.1\r\n", 1);
	at = big_put(at, H "A: ", 1);
	at = big_put(at, "y", 16000);
	at = big_put(at, "\r\n\r\n", 1);
	memset(spoilt, '\n', sizeof(spoilt));
	spoilt[0] = big[0];
	for (i = 1; i <= at && rc == 0; i++) {
		spoilt[i - 1] = big[i - 1];
		if (i > 4)
			spoilt[i - 4] = '\n';
		b = i == line || i == at ? big : spoilt;
		rc = http_request_parse(&head, (const unsigned char *)b, i,
		    &scanned);
	}
	CHECK(rc == (int)at, "%d after %zu octets of %zu", rc, i - 1, at);
}

/*
 * Whole connections, by a small reader: cases of ours, then published
 * collections where VECTORS has them.  Where this program answers one of those
 * otherwise on purpose, the case stands in a table with the reason, and must
 * differ indeed.
 */
struct seen {
	int status;		/* 0: waits for more; 200: all was taken */
	size_t messages;	/* read whole */
	struct http_head h;	/* the last of them */
	char body[65536];
	size_t body_len;
};

/* Whether a head, from its first line's CRLF to its end, has a Host. */
static int
vec_has_host(const char *line, const char *end)
{
	for (; line < end; line++)
		if (http_equal_nocase(view_n(line, 6), "\nhost:"))
			return 1;
	return 0;
}

/* Finds the end of an HTTP/1.1 request line whose head has no Host. */
static char *
vec_hostless(char *text)
{
	char *line = strstr(text + 2, "\r\n");
	char *end = strstr(text + 2, "\r\n\r\n");

	if (line == NULL || end == NULL || line - text < 9 ||
	    memcmp(line - 8, "HTTP/1.1", 8) != 0 || vec_has_host(line, end))
		return NULL;
	return line;
}

/* A copy of p[0..n) with a Host, that of the target if it has one, put behind
 * a first line that needs one: most cases are about something else. */
static unsigned char *
vec_with_host(const unsigned char *p, size_t n, size_t *size)
{
	unsigned char *copy = malloc(2 * n + 16);
	char host[1024] = "added", added[1100];
	char *line, *scheme;
	size_t len;

	memcpy(copy, p, n);
	memset(copy + n, 0, 16);
	*size = n;
	line = n > 9 ? vec_hostless((char *)copy) : NULL;
	if (line == NULL)
		return copy;
	scheme = strstr((char *)copy, "://");
	if (scheme != NULL && scheme < line)
		sscanf(scheme + 3, "%1023[^/? ]", host);
	len = (size_t)snprintf(added, sizeof(added), "Host: %s\r\n", host);
	memmove(line + 2 + len, line + 2,
	    (size_t)((char *)copy + n - line) - 2);
	memcpy(line + 2, added, len);
	*size = n + len;
	return copy;
}

/* Reads the body and trailers behind a head.  Returns octets used, 0 where
 * they are not all there, or -400. */
static long
vec_body(struct seen *s, const unsigned char *p, size_t n)
{
	static struct http_field f[HTTP_FIELDS_MAX];
	enum http_body_event event;
	struct http_body d;
	size_t rest, count, scanned = 0;
	int rc;

	http_body_init(&d, s->h.framing, s->h.length);
	event = body_decode(&d, p, n, 7, s->body, &s->body_len, &rest);
	if (event == HTTP_BODY_MORE) {
		struct view data;
		size_t used;

		event = http_body_next(&d, NULL, 0, &used, &data);
	}
	if (event == HTTP_BODY_END)
		return (long)(n - rest) + 1;
	if (event != HTTP_BODY_TRAILERS)
		return event == HTTP_BODY_BAD ? -400 : 0;
	rc = http_trailers_parse(f, &count, p + n - rest, rest, &scanned);
	return rc <= 0 ? rc : (long)(n - rest) + rc + 1;
}

typedef void vec_message_fn(const struct seen *, const struct json *);

/* Reads a connection's messages; each is given to fn.  add_host: to those that
 * want one. */
static void
vec_read(struct seen *s, const unsigned char *p, size_t n, int add_host,
    vec_message_fn *fn, const struct json *about)
{
	unsigned char *copy;
	size_t size, scanned;
	long rc;
	int head_size;

	s->messages = 0;
	do {
		size = n;
		copy = add_host ? vec_with_host(p, n, &size) :
		    check_exact(p, n);
		scanned = 0;
		head_size = http_request_parse(&s->h, copy, size, &scanned);
		rc = head_size;
		if (rc > 0)
			rc = vec_body(s, copy + head_size,
			    size - (size_t)head_size);
		s->status = rc > 0 ? 200 : (int)-rc;
		if (rc > 0) {
			rc += head_size - 1 - (long)(size - n);
			p += rc;
			n -= (size_t)rc;
			if (fn != NULL)
				fn(s, about);
			s->messages++;
		}
		free(copy);
	} while (rc > 0 && s->h.keep_alive && !s->h.upgrade && n > 0 &&
	    !(n == 2 && memcmp(p, "\r\n", 2) == 0));
}

struct vec_exception {
	const char *id;
	const char *why;
};

static int
vec_excepted(const struct vec_exception *e, size_t n, const char *id)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(e[i].id, id) == 0)
			return 1;
	return 0;
}

static size_t
vec_string(const struct json *object, const char *name, unsigned char *out,
    size_t cap)
{
	struct json value;
	long n = -1;

	if (json_find(object, name, &value) == 1) {
		n = json_string(&value, out, cap - 1);
		if (n < 0)
			n = json_latin1(&value, out, cap - 1);
	}
	CHECK(n >= 0, "no string %s", name);
	out[n < 0 ? 0 : n] = '\0';
	return n < 0 ? 0 : (size_t)n;
}

/* A string of base64, decoded. */
static size_t
vec_octets(const struct json *object, const char *name, unsigned char *out,
    size_t cap)
{
	size_t n = vec_string(object, name, out, cap);
	long size = base64_decode(out, out, n);

	CHECK(size >= 0, "base64 of %s", name);
	return size < 0 ? 0 : (size_t)size;
}

/* Calls fn for each object within the outermost one's array. */
static size_t
vec_each(const char *file, void (*fn)(const struct json *))
{
	const char *folder = check_vectors();
	char path[1024], *text, *p, *start = NULL;
	size_t n, count = 0;
	int depth = 0, quoted = 0;
	struct json object;

	if (folder == NULL)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	text = check_file(path, &n);
	CHECK(text != NULL, "%s", path);
	if (text == NULL)
		return 0;
	for (p = text; *p != '\0'; p++) {
		if (quoted) {
			if (*p == '\\')
				p++;
			else if (*p == '"')
				quoted = 0;
			continue;
		}
		quoted = *p == '"';
		if ((*p == '{' || *p == '[') && ++depth == 3)
			start = p;
		if ((*p == '}' || *p == ']') && depth-- == 3) {
			CHECK(json_parse(&object, (unsigned char *)start,
			    (size_t)(p - start) + 1) == 0, "%s", file);
			fn(&object);
			count++;
		}
	}
	free(text);
	return count;
}

static unsigned char vec_text[131072];
static struct seen vec_seen;

/* Octet by octet comes to the same as a whole, whatever the case. */
static void
vec_same(const unsigned char *p, size_t n)
{
	if (n < 4096)
		CHECK(feed_whole(feed_request, p, n) ==
		    feed_octets(feed_request, p, n), "%.70s", (const char *)p);
}

/* ------------------------------------------------ connections, generated */

/* What a message is read as: "method target body;". */
struct message {
	const char *text;
	const char *seen;
};

static const struct message messages[] = {
	{ GET11 "\r\n", "GET / ;" },
	{ "\r\nHEAD /empty-line-before HTTP/1.1\r\n" H "\r\n",
	    "HEAD /empty-line-before ;" },
	{ "GET http://h/absolute?x HTTP/1.1\r\n" H "\r\n",
	    "GET http://h/absolute?x ;" },
	{ "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS * ;" },
	{ "POST /none HTTP/1.1\r\n" H "\r\n", "POST /none ;" },
	{ "POST /0 HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "POST /0 ;" },
	{ "POST /5 HTTP/1.1\r\n" H "Content-Length: 005\r\n\r\nhello",
	    "POST /5 hello;" },
	{ "POST /like HTTP/1.1\r\n" H "Content-Length: 29\r\n\r\n"
	    "GET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n",
	    "POST /like GET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n;" },
	{ "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n"
	    "Content-Length: 1\r\n\r\nx", "GET /old x;" },
	{ "PUT /c HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
	    "5\r\nhello\r\n0\r\n\r\n", "PUT /c hello;" },
	{ "PUT /nothing HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
	    "0\r\n\r\n", "PUT /nothing ;" },
	{ "PUT /more HTTP/1.1\r\nTRANSFER-encoding:\tChunked \r\n" H "\r\n"
	    "1\r\na\r\n0A;x=y\r\n0\r\n\r\n0\r\n\r\n\r\n00;z=\"1\"\r\n\r\n",
	    "PUT /more a0\r\n\r\n0\r\n\r\n;" },
	{ "PUT /trailers HTTP/1.1\r\n" H "Trailer: A\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n"
	    "2\r\nhi\r\n0\r\nA: 1\r\nb:2\r\n\r\n", "PUT /trailers hi;" },
	{ "PUT /expect HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
	    "Content-Length: 2\r\n\r\nok", "PUT /expect ok;" }
};

/* These are the last of their connection. */
static const struct message last_messages[] = {
	{ GET11 "Connection: close\r\n\r\n", "GET / ;" },
	{ GET11 "Connection: keep-alive, Close\r\n\r\n", "GET / ;" },
	{ "GET /1.0 HTTP/1.0\r\n\r\n", "GET /1.0 ;" },
	{ "POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", "POST /x ab;" },
	{ "POST /x HTTP/1.1\r\n" H "Connection: close\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
	    "POST /x x;" },
	{ GET11 "Connection: upgrade\r\nUpgrade: x\r\n\r\n", "GET / ;" }
};

#define CHUNKED(body) "POST / HTTP/1.1\r\n" H \
    "Transfer-Encoding: chunked\r\n\r\n" body

/* Bodies and trailers that are refused although their head is good. */
static const char *const bad_bodies[] = {
	CHUNKED("g\r\n"), CHUNKED("\r\n"), CHUNKED("1\nx\r\n"),
	CHUNKED("1\r\nxy\r\n"), CHUNKED("1\r\nx\n"), CHUNKED(" 1\r\nx\r\n"),
	CHUNKED("0x1\r\n"), CHUNKED("-1\r\n"), CHUNKED("1 \r\nx\r\n"),
	CHUNKED("ffffffffffffffff\r\n"), CHUNKED("1;\x01\r\nx\r\n"),
	CHUNKED("1;a\nb\r\nx\r\n"), CHUNKED("2\r\nab\r\nz\r\n"),
	CHUNKED("0\r\nA\r\n\r\n"), CHUNKED("0\r\nA : b\r\n\r\n"),
	CHUNKED("0\r\n A: b\r\n\r\n"), CHUNKED("0\r\nA: b\r\n c\r\n\r\n"),
	CHUNKED("0\r\nA: b\n\r\n"), CHUNKED("0\r\n: b\r\n\r\n"),
	CHUNKED("0\r\nA: \x7f\r\n\r\n")
};

static char conn_text[8192], conn_seen[8192];

static void
conn_note(const struct seen *s, const struct json *unused)
{
	size_t n = strlen(conn_seen);

	(void)unused;
	snprintf(conn_seen + n, sizeof(conn_seen) - n, "%.*s %.*s %.*s;",
	    (int)s->h.method.n, (const char *)s->h.method.p,
	    (int)s->h.target.n, (const char *)s->h.target.p,
	    (int)s->body_len, s->body);
}

/* Reads conn_text; it must end with status, seen as the given messages. */
static void
conn_check(int status, const struct message *const *want, size_t n)
{
	char all[8192] = "";
	size_t i;

	for (i = 0; i < n; i++)
		strcat(all, want[i]->seen);
	conn_seen[0] = '\0';
	vec_read(&vec_seen, (unsigned char *)conn_text, strlen(conn_text), 0,
	    conn_note, NULL);
	CHECK(vec_seen.status == status && vec_seen.messages == n &&
	    strcmp(conn_seen, all) == 0, "%d, %zu messages \"%s\" of\n%s",
	    vec_seen.status, vec_seen.messages, conn_seen, conn_text);
}

/* Any three messages one after the other. */
static void
test_pipelines(void)
{
	const size_t k = COUNT(messages);
	const struct message *three[3];
	size_t i;

	for (i = 0; i < k * k * k; i++) {
		three[0] = &messages[i % k];
		three[1] = &messages[i / k % k];
		three[2] = &messages[i / (k * k)];
		sprintf(conn_text, "%s%s%s", three[0]->text, three[1]->text,
		    three[2]->text);
		conn_check(200, three, 3);
	}
}

/* A message, then what ends or breaks the connection, then another message:
 * that one is never read. */
static void
test_pipeline_ends(void)
{
	const struct message *two[2];
	size_t i, k;

	for (i = 0; i < COUNT(messages); i++) {
		two[0] = &messages[i];
		for (k = 0; k < COUNT(last_messages); k++) {
			two[1] = &last_messages[k];
			sprintf(conn_text, "%s%s%s", two[0]->text,
			    two[1]->text, two[0]->text);
			conn_check(200, two, 2);
		}
		for (k = 0; k < COUNT(bad_requests); k++) {
			if (strncmp(bad_requests[k].text, "\r\n", 2) == 0)
				continue;
			sprintf(conn_text, "%s%s%s", two[0]->text,
			    bad_requests[k].text, two[0]->text);
			conn_check(bad_requests[k].status, two, 1);
		}
		for (k = 0; k < COUNT(bad_bodies); k++) {
			sprintf(conn_text, "%s%s%s", two[0]->text,
			    bad_bodies[k], two[0]->text);
			conn_check(400, two, 1);
		}
	}
}

/* A message that is cut anywhere waits for the rest. */
static void
test_pipeline_cuts(void)
{
	const struct message *one[1] = { &messages[0] };
	size_t i, n, cut;

	for (i = 0; i < COUNT(messages); i++) {
		n = strlen(messages[i].text);
		for (cut = 3; cut < n; cut++) {
			sprintf(conn_text, "%s%.*s", one[0]->text, (int)cut,
			    messages[i].text);
			conn_check(0, one, 1);
		}
	}
}

/* Each octet of the version changed to each other octet. */
static void
test_versions(void)
{
	static const char good[] = GET11 "\r\n";
	const int size = (int)sizeof(good) - 1;
	char text[sizeof(good)];
	size_t at, scanned;
	int c, want, rc;

	for (at = 6; at < 14; at++)
		for (c = 0; c < 256; c++) {
			memcpy(text, good, sizeof(good));
			text[at] = (char)c;
			want = -400;
			if (text[at] == good[at] ||
			    (at == 13 && c >= '0' && c <= '9'))
				want = size;
			else if (at == 11 && c > '1' && c <= '9')
				want = -505;
			scanned = 0;
			rc = http_request_parse(&head,
			    (const unsigned char *)text, (size_t)size,
			    &scanned);
			CHECK(rc == want, "%02x at %zu: %d", c, at, rc);
		}
}

/* A field line of every name with every colon, value and end: one colon and
 * one end are right. */
static void
test_field_lines(void)
{
	static const char *const names[] = {
		"Content-Length", "Transfer-Encoding", "Connection", "A"
	};
	static const char *const values[] = { "1", "chunked", "close", "" };
	static const char *const colons[] = {
		":", ": ", ":\t ", " :", "\t:", " ", "\r\n:", "\v:", ":\v",
		":\f"
	};
	static const char *const ends[] = {
		"\r\n", " \t\r\n", "\n", "\r", "\r\r\n", "\n\r\n", "\x01\r\n",
		"\x7f\r\n", "\r\n \r\n"
	};
	char text[128];
	size_t i, k, m;

	for (i = 0; i < COUNT(names); i++)
		for (k = 0; k < COUNT(colons); k++)
			for (m = 0; m < COUNT(ends); m++) {
				sprintf(text, "PUT / HTTP/1.1\r\n" H
				    "%s%s%s%s\r\n", names[i], colons[k],
				    values[i], ends[m]);
				CHECK((feed_whole(feed_request, text,
				    strlen(text)) > 0) == (k < 3 && m < 2),
				    "accepted or refused: %s", text);
			}
}

static void
vec_h1spec(const struct json *object)
{
	char about[256];
	struct json ranges, range, bound;
	struct json_iter outer, inner;
	size_t n, scanned = 0;
	long long from = 0, to = 0;
	int status, fits = 0;

	vec_string(object, "about", (unsigned char *)about, sizeof(about));
	n = vec_octets(object, "b64", vec_text, sizeof(vec_text));
	vec_same(vec_text, n);
	status = http_request_parse(&vec_seen.h, vec_text, n, &scanned);
	if (status > 0)
		status = vec_body(&vec_seen, vec_text + status,
		    n - (size_t)status) > 0 ? -200 : -400;
	CHECK(json_find(object, "expect", &ranges) == 1, "%s", about);
	json_iter_init(&outer, &ranges);
	while (json_iter_next(&outer, NULL, &range)) {
		json_iter_init(&inner, &range);
		CHECK(json_iter_next(&inner, NULL, &bound) &&
		    json_integer(&bound, &from) == 0 &&
		    json_iter_next(&inner, NULL, &bound) &&
		    json_integer(&bound, &to) == 0, "%s", about);
		if (from == -1)
			from = to = 0;
		fits |= -status >= from && -status <= to;
	}
	CHECK(fits, "%s: %d", about, -status);
}

static const struct vec_exception gunicorn_exceptions[] = {
	{ "invalid/006", "a target of 8 KiB is within our cap" },
	{ "invalid/007", "a field of 8 KiB is within our cap" },
	{ "invalid/008", "a field of 8 KiB is within our cap" },
	{ "invalid/009", "101 fields are within our cap" },
	{ "invalid/010", "an option of theirs: a smaller field" },
	{ "invalid/011", "an option of theirs: fewer fields" },
	{ "invalid/012", "an option of theirs: a smaller field" },
	{ "invalid/017", "a field of 8 KiB is within our cap" },
	{ "invalid/019", "an option of theirs: proxies that must agree" },
	{ "invalid/003c", "a method is any token; theirs must begin so" },
	{ "invalid/040", "an option of theirs: names with '_' pass here" },
	{ "invalid/041", "two Content-Type are the origin's to judge" },
	{ "invalid/chunked_07", "an option of theirs: '_' passes here" },
	{ "invalid/limit_header_default_01", "an option of theirs" },
	{ "invalid/rfc9110_trailer_forbidden_cl_01",
	    "forbidden trailers are dropped on the way, not refused" },
	{ "invalid/rfc9110_trailer_forbidden_host_01", "the same" },
	{ "invalid/rfc9110_trailer_forbidden_te_01", "the same" },
	{ "valid/005", "'#' may not stand in a target" },
	{ "valid/009", "the same, and a length with a coding" },
	{ "valid/025", "codings but one chunked are refused" },
	{ "valid/025_line", "the same" },
	{ "valid/027", "octets over 7F may not stand in a target" },
	{ "valid/028", "an option of theirs: space before the colon" },
	{ "valid/029", "codings but one chunked are refused" },
	{ "valid/030", "the same" },
	{ "valid/099", "the body in the file is cut short" },
	{ "valid/compat_obs_fold", "an option of theirs: folded lines" },
	{ "valid/compat_obs_fold_huge", "the same" },
	{ "valid/pp_01", "an option of theirs: PROXY protocol" },
	{ "valid/pp_02", "the same" },
	{ "valid/pp_04", "the same" },
	{ "valid/pp_05", "the same" },
	{ "valid/rfc9112_smuggle_gzip_chunked_01", "as valid/025" },
	{ "valid/rfc9112_smuggle_te_identity_chunked_01", "as valid/025" },
	{ "valid/rfc9112_target_absolute_userinfo_01",
	    "userinfo is refused (RFC 9110 4.2.4)" },
	{ "valid/rfc9112_target_authority_connect_01", "CONNECT is refused" },
	{ "valid/rfc9112_target_authority_ipv6_01", "CONNECT is refused" }
};

/* Their parser changes the method's case, or the names, in these. */
static const struct vec_exception gunicorn_changed[] = {
	{ "valid/031compat", "the method in upper case" },
	{ "valid/040", "fields with '_' dropped" },
	{ "valid/040_compat", "'_' taken for '-'" }
};

/* Finds the fields that the case names, in order, in the head. */
static void
gunicorn_fields(const struct http_head *h, const struct json *want)
{
	static unsigned char name[65536], value[65536];
	struct json headers, pair, item;
	struct json_iter outer, inner;
	size_t at = 0;
	long n;

	CHECK(json_find(want, "headers", &headers) == 1, "headers");
	json_iter_init(&outer, &headers);
	while (json_iter_next(&outer, NULL, &pair)) {
		json_iter_init(&inner, &pair);
		CHECK(json_iter_next(&inner, NULL, &item), "a name");
		n = json_string(&item, name, sizeof(name) - 1);
		name[n < 0 ? 0 : n] = '\0';
		CHECK(json_iter_next(&inner, NULL, &item), "a value");
		n = json_latin1(&item, value, sizeof(value) - 1);
		value[n < 0 ? 0 : n] = '\0';
		if (at < h->nfields && http_equal(h->field[at].value, "added"))
			at++;
		CHECK(at < h->nfields && http_equal_nocase(h->field[at].name,
		    (char *)name) && http_equal(h->field[at].value,
		    (char *)value), "%s: %s", name, value);
		at++;
	}
}

/* Compares message number s->messages with the case's. */
static void
gunicorn_message(const struct seen *s, const struct json *object)
{
	static unsigned char text[65536];
	struct json requests, want;
	struct json_iter it;
	size_t i, n;

	if (json_find(object, "requests", &requests) != 1)
		return;
	json_iter_init(&it, &requests);
	for (i = 0; i <= s->messages; i++)
		if (!json_iter_next(&it, NULL, &want)) {
			CHECK(0, "one message too many");
			return;
		}
	vec_string(&want, "method", text, sizeof(text));
	CHECK(http_equal(s->h.method, (char *)text), "method %s", text);
	vec_string(&want, "uri", text, sizeof(text));
	CHECK(http_equal(s->h.target, (char *)text), "target %s", text);
	n = vec_string(&want, "body", text, sizeof(text));
	CHECK(n == s->body_len && memcmp(text, s->body, n) == 0, "body %s",
	    text);
	gunicorn_fields(&s->h, &want);
}

static void
vec_gunicorn(const struct json *object)
{
	char id[128];
	struct json requests;
	size_t n, want;
	int valid, excepted;

	vec_string(object, "id", (unsigned char *)id, sizeof(id));
	n = vec_octets(object, "b64", vec_text, sizeof(vec_text));
	vec_same(vec_text, n);
	valid = json_find(object, "requests", &requests) == 1;
	excepted = vec_excepted(gunicorn_exceptions,
	    COUNT(gunicorn_exceptions), id);
	vec_read(&vec_seen, vec_text, n, 1, excepted || vec_excepted(
	    gunicorn_changed, COUNT(gunicorn_changed), id) ? NULL :
	    gunicorn_message, object);
	CHECK((vec_seen.status == 200) == (valid != excepted), "%s: %d", id,
	    vec_seen.status);
	if (valid && !excepted) {
		struct json_iter it;
		struct json each;

		json_iter_init(&it, &requests);
		for (want = 0; json_iter_next(&it, NULL, &each); want++)
			;
		CHECK(vec_seen.messages == want, "%s: %d messages", id,
		    (int)vec_seen.messages);
	}
}

static const struct vec_exception llhttp_exceptions[] = {
	{ "request/connection.md:84", "what follows a close is not read" },
	{ "request/connection.md:297", "the same" },
	{ "request/connection.md:347", "the same" },
	{ "request/connection.md:159", "one empty line is passed over, not two"
	    },
	{ "request/invalid.md:69", "a method is any token" },
	{ "request/invalid.md:359", "a method is any token" },
	{ "request/method.md:138", "'*' is for OPTIONS alone" },
	{ "request/method.md:375", "other protocols are refused" },
	{ "request/method.md:405", "the same" },
	{ "request/method.md:433", "the same" },
	{ "request/sample.md:317", "HTTP/0.9 is refused" },
	{ "request/transfer-encoding.md:754",
	    "codings but one chunked are refused" },
	{ "request/transfer-encoding.md:796", "the same" },
	{ "request/uri.md:55", "a query without a path is refused" },
	{ "request/uri.md:78", "the same" },
	{ "request/uri.md:168", "'#' may not stand in a target" },
	{ "request/uri.md:225", "userinfo is refused" }
};

/* Ends what a fixture left open: each has lost its last empty line. */
static size_t
llhttp_close(unsigned char *p, size_t n)
{
	char *end = (char *)p + n;

	*end = '\0';
	if (n > 4 && end[-1] == '\n' && memcmp(end - 4, "\r\n\r\n", 4) != 0)
		strcpy(end, "\r\n");
	else if (strstr((char *)p, "\r\n\r\n") == NULL)
		strcpy(end, "\r\n\r\n");
	return n + strlen(end);
}

static void
vec_llhttp(const struct json *object)
{
	char at[128], reason[128] = "";
	struct json error;
	size_t n;
	int refused, want, excepted;

	vec_string(object, "at", (unsigned char *)at, sizeof(at));
	n = vec_octets(object, "input_b64", vec_text, sizeof(vec_text) - 8);
	n = llhttp_close(vec_text, n);
	vec_same(vec_text, n);
	CHECK(json_find(object, "error", &error) == 1, "%s", at);
	want = error.type == JSON_OBJECT;
	if (want)
		vec_string(&error, "reason", (unsigned char *)reason,
		    sizeof(reason));
	vec_read(&vec_seen, vec_text, n, 1, NULL, NULL);
	refused = vec_seen.status != 0 && vec_seen.status != 200;
	if (strncmp(reason, "Pause on CONNECT", 16) == 0) {
		want = strncmp((char *)vec_text, "CONNECT", 7) == 0;
		CHECK(!want || vec_seen.status == 405, "%s: CONNECT", at);
	}
	excepted = vec_excepted(llhttp_exceptions, COUNT(llhttp_exceptions),
	    at);
	CHECK(refused == (want != excepted), "%s: %d (%s)", at,
	    vec_seen.status, reason);
}

void
test_http(void)
{
	size_t i;

	for (i = 0; i < COUNT(good_requests); i++)
		test_good_request(i);
	test_fields_kept();
	test_bad_requests();
	test_early();
	test_caps();
	test_answers();
	test_link_heads();
	test_link_caps();
	test_bodies();
	test_chunk_head();
	test_trailers();
	test_trailers_filter();
	test_request_fields();
	test_said();
	test_nameless();
	test_claims();
	test_no_claims();
	test_answer_fields();
	test_fields_ok();
	test_method_and_path_ok();
	test_octets();
	test_fields_filter();
	test_put_field();
	test_link_put();
	test_request_put();
	test_answer_put();
	test_spaces();
	test_trips();
	test_last_chunk();
	test_reasons_and_dates();
	test_errors();
	test_prefers_html();
	test_lists();
	test_host_names();
	test_seen();
	test_labels();
	test_names();
	test_routes();
	test_climbs();
	test_linear();
	test_pipelines();
	test_pipeline_ends();
	test_pipeline_cuts();
	test_versions();
	test_field_lines();
	vec_each("h1spec.json", vec_h1spec);
	vec_each("gunicorn.json", vec_gunicorn);
	vec_each("llhttp-request.json", vec_llhttp);
}
