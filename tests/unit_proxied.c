/*
 * Tests of gate/proxied.c: PROXY headers of both versions, cut anywhere, and what
 * looks like one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/addr.h"
#include "gate/proxied.h"
#include "check.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* What the parser says of b[0..n), and the same of it cut anywhere: 0 until it is
 * sure. */
static int
parse(struct proxied *p, const void *b, size_t n)
{
	int r = 0, whole;
	size_t i;

	for (i = 0; i <= n && r == 0; i++) {
		unsigned char *exact = check_exact(b, i);

		r = proxied_parse(p, exact, i);
		free(exact);
	}
	whole = proxied_parse(p, b, n);
	CHECK(r == whole && (r <= 0 || (size_t)r == i - 1),
	    "cut after %zu: %d, whole: %d", i, r, whole);
	return whole;
}

static const char *
from(const struct proxied *p)
{
	static char text[INET6_ADDRSTRLEN];

	return addr_text(&p->from, text);
}

static void
test_lines(void)
{
	static const struct {
		const char *text, *from;	/* NULL: malformed */
	} t[] = {
		{ "PROXY TCP4 192.0.2.1 198.51.100.9 56324 443\r\n", "192.0.2.1" },
		{ "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
		    "255.255.255.255" },
		{ "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0" },
		{ "PROXY TCP6 2001:DB8::1 ::1 1 2\r\n", "2001:db8::1" },
		{ "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1" },
		{ "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
		{ "PROXY UNKNOWN\r\n", "unknown" },
		{ "PROXY UNKNOWN 192.0.2.1 a b c d e f\r\n", "unknown" },
		{ "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
		    "unknown" },
		{ "PROXY UNKNOWNS\r\n", NULL },
		{ "PROXY \r\n", NULL },
		{ "PROXY\r\n", NULL },
		{ "PROXY TCP4\r\n", NULL },
		{ "PROXY TCP4 192.0.2.1 198.51.100.9 56324\r\n", NULL },
		{ "PROXY TCP4 192.0.2.1 198.51.100.9 56324 443 1\r\n", NULL },
		{ "PROXY TCP4 192.0.2.1 198.51.100.9 56324 443 \r\n", NULL },
		{ "PROXY TCP4  192.0.2.1 198.51.100.9 56324 443\r\n", NULL },
		{ "PROXY  TCP4 192.0.2.1 198.51.100.9 56324 443\r\n", NULL },
		{ "PROXY TCP4 192.0.2.1 198.51.100.9 56324 443\n", NULL },
		{ "PROXY TCP4 192.0.2.1 198.51.100.9 56324 443\r\r\n", NULL },
		{ "PROXY TCP4 192.0.2.1\t198.51.100.9 56324 443\r\n", NULL },
		{ "PROXY TCP4 192.0.2.256 198.51.100.9 56324 443\r\n", NULL },
		{ "PROXY TCP4 192.0.2.01 198.51.100.9 56324 443\r\n", NULL },
		{ "PROXY TCP4 192.0.2.1 evil 56324 443\r\n", NULL },
		{ "PROXY TCP4 192.0.2.1 198.51.100.9 65536 443\r\n", NULL },
		{ "PROXY TCP4 192.0.2.1 198.51.100.9 -1 443\r\n", NULL },
		{ "PROXY TCP4 192.0.2.1 198.51.100.9 1 x\r\n", NULL },
		{ "PROXY TCP4 ::1 ::1 1 2\r\n", NULL },
		{ "PROXY TCP6 192.0.2.1 192.0.2.1 1 2\r\n", NULL },
		{ "PROXY TCP6 fe80::1%lo ::1 1 2\r\n", NULL },
		{ "PROXY TCP6 [::1] ::1 1 2\r\n", NULL },
		{ "PROXY UDP4 192.0.2.1 198.51.100.9 1 2\r\n", NULL },
		{ "PROXY tcp4 192.0.2.1 198.51.100.9 1 2\r\n", NULL },
		{ "proxy TCP4 192.0.2.1 198.51.100.9 1 2\r\n", NULL },
		{ " PROXY TCP4 192.0.2.1 198.51.100.9 1 2\r\n", NULL },
		{ "GET / HTTP/1.1\r\n", NULL },
		{ "P /", NULL },
		{ "\n", NULL },
		{ "\r\nGET", NULL },
	};
	struct proxied p;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		r = parse(&p, t[i].text, strlen(t[i].text));
		CHECK(t[i].from == NULL ? r == -1 :
		    r == (int)strlen(t[i].text) &&
		    strcmp(from(&p), t[i].from) == 0 &&
		    p.tls == PROXIED_UNSAID,
		    "%s: %d, %s", t[i].text, r, from(&p));
	}
	CHECK(parse(&p, "PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n", 33) == -1,
	    "a NUL in the source");
	CHECK(parse(&p, "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\0\r\n", 33) == -1,
	    "a NUL at the end");
	CHECK(parse(&p, "PROXY UNKNOWN\0x\r\n", 17) == -1,
	    "a NUL behind UNKNOWN");
	CHECK(parse(&p, "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n\r\n", 33) == 15,
	    "a request behind it");
	CHECK(proxied_parse(&p, (const unsigned char *)"", 0) == 0, "nothing");
}

/* 107 octets at most, CRLF included. */
static void
test_long_lines(void)
{
	char text[160];
	struct proxied p;

	memset(text, 'x', sizeof(text));
	memcpy(text, "PROXY UNKNOWN ", 14);
	CHECK(parse(&p, text, 106) == 0, "106 octets, and no end");
	CHECK(parse(&p, text, 107) == -1, "107 octets, and no end");
	memcpy(text + 105, "\r\n", 2);
	CHECK(parse(&p, text, sizeof(text)) == 107, "107 octets");
	memcpy(text + 105, "x\r\n", 3);
	CHECK(parse(&p, text, sizeof(text)) == -1, "108 octets");
}

/* A header of version 2 with rest behind its head, of which the length says n. */
static int
block(struct proxied *p, int command, int family, const void *rest, size_t n)
{
	static unsigned char b[16 + 4096];

	memcpy(b, SIGNATURE, 12);
	b[12] = (unsigned char)command;
	b[13] = (unsigned char)family;
	b[14] = (unsigned char)(n >> 8);
	b[15] = (unsigned char)n;
	memcpy(b + 16, rest, n);
	return parse(p, b, 16 + n);
}

#define V4 "\xc0\0\2\1" "\xc6\x33\x64\1" "\1\2" "\3\4"
#define V6 "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1" \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1" "\1\2" "\3\4"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1" \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1" "\1\2" "\3\4"
#define SSL(client) "\x20\0\5" client "\0\0\0\0"

static void
test_blocks(void)
{
	static const struct {
		int command, family;
		const char *rest;
		size_t n;
		const char *from;		/* NULL: malformed */
		enum proxied_tls tls;
	} t[] = {
#define REST(s) s, sizeof(s) - 1
		{ 0x21, 0x11, REST(V4), "192.0.2.1", PROXIED_UNSAID },
		{ 0x21, 0x12, REST(V4), "192.0.2.1", PROXIED_UNSAID },
		{ 0x21, 0x21, REST(V6), "2001:db8::1", PROXIED_UNSAID },
		{ 0x21, 0x21, REST(MAPPED), "192.0.2.1", PROXIED_UNSAID },
		{ 0x21, 0x11, REST(V4 SSL("\1")), "192.0.2.1", PROXIED_TLS },
		{ 0x21, 0x11, REST(V4 SSL("\7")), "192.0.2.1", PROXIED_TLS },
		{ 0x21, 0x11, REST(V4 SSL("\0")), "192.0.2.1", PROXIED_CLEAR },
		{ 0x21, 0x11, REST(V4 SSL("\6")), "192.0.2.1", PROXIED_CLEAR },
		{ 0x21, 0x21, REST(V6 "\4\0\2xx\5\0\0" SSL("\1") "\3\0\4abcd"),
		    "2001:db8::1", PROXIED_TLS },
		{ 0x21, 0x11, REST(V4 "\x20\0\4\1\0\0\0"), NULL, 0 },
		{ 0x21, 0x11, REST(V4 "\x20\0\6\1\0\0\0\0"), NULL, 0 },
		{ 0x21, 0x11, REST(V4 "\4\xff\xffx"), NULL, 0 },
		{ 0x21, 0x11, REST(V4 "\4\0"), NULL, 0 },
		{ 0x21, 0x11, REST(V4 "\4"), NULL, 0 },
		{ 0x21, 0x11, V4, sizeof(V4) - 2, NULL, 0 },
		{ 0x21, 0x11, REST(""), NULL, 0 },
		{ 0x21, 0x21, REST(V4), NULL, 0 },
		{ 0x21, 0x21, V6, sizeof(V6) - 2, NULL, 0 },
		{ 0x21, 0x00, REST(""), "unknown", PROXIED_UNSAID },
		{ 0x21, 0x01, REST("anything"), "unknown", PROXIED_UNSAID },
		{ 0x21, 0x31, REST(V6 V6), "unknown", PROXIED_UNSAID },
		{ 0x20, 0x00, REST(""), "unknown", PROXIED_UNSAID },
		{ 0x20, 0x11, REST(V4 SSL("\1")), "unknown", PROXIED_UNSAID },
		{ 0x20, 0xff, REST("x"), "unknown", PROXIED_UNSAID },
		{ 0x22, 0x11, REST(V4), NULL, 0 },
		{ 0x11, 0x11, REST(V4), NULL, 0 },
		{ 0x31, 0x11, REST(V4), NULL, 0 },
		{ 0x21, 0x13, REST(V4), NULL, 0 },
		{ 0x21, 0x41, REST(V4), NULL, 0 },
	};
	struct proxied p;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		r = block(&p, t[i].command, t[i].family, t[i].rest, t[i].n);
		CHECK(t[i].from == NULL ? r == -1 : r == (int)(16 + t[i].n) &&
		    strcmp(from(&p), t[i].from) == 0 && p.tls == t[i].tls,
		    "%zu: %d, %s, %d", i, r, from(&p), p.tls);
	}
}

static void
test_long_blocks(void)
{
	static unsigned char rest[4096];
	struct proxied p;

	CHECK(block(&p, 0x20, 0, rest, PROXIED_MAX - 16) == PROXIED_MAX,
	    "as large as may be");
	CHECK(block(&p, 0x20, 0, rest, PROXIED_MAX - 15) == -1, "larger");
	CHECK(parse(&p, SIGNATURE "\x20\0\xff\xff", 16) == -1,
	    "much larger, seen by its length");
	CHECK(parse(&p, SIGNATURE "\x20\0\0\1", 16) == 0, "one octet is missing");
	CHECK(parse(&p, "\r\n\r\n\0\r\nQUIT\r", 12) == -1, "another signature");
}

void
test_proxied(void)
{
	test_lines();
	test_long_lines();
	test_blocks();
	test_long_blocks();
}
