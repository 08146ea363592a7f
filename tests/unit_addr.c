/*
 * Tests of gate/addr.c: how addresses are kept and written, names of this
 * machine, and ranges, each bit of them.
 */
#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/addr.h"
#include "check.h"

/* The address that text spells, as accept() would give it. */
static struct addr
addr_of(const char *text)
{
	struct sockaddr_storage ss;
	struct sockaddr_in *in = (void *)&ss;
	struct sockaddr_in6 *in6 = (void *)&ss;
	struct addr a;

	memset(&ss, 0xff, sizeof(ss));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
		ss.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
		ss.ss_family = AF_INET6;
	else
		ss.ss_family = AF_UNIX;
	addr_from(&a, &ss);
	return a;
}

/* RFC 5952: the shortest form, in lower case, the longest run of zeros cut. */
static void
test_text(void)
{
	static const struct {
		const char *given, *text;
		int family;
	} t[] = {
		{ "127.0.0.1", "127.0.0.1", 4 },
		{ "0.0.0.0", "0.0.0.0", 4 },
		{ "255.255.255.255", "255.255.255.255", 4 },
		{ "::ffff:192.0.2.1", "192.0.2.1", 4 },
		{ "::ffff:c000:0201", "192.0.2.1", 4 },
		{ "::", "::", 6 },
		{ "::1", "::1", 6 },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1", 6 },
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", 6 },
		{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1", 6 },
		{ "fe80:0:0:0:0:0:0:0", "fe80::", 6 },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6 },
		{ "no address", "unknown", 0 },
	};
	char out[INET6_ADDRSTRLEN];
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		struct addr a = addr_of(t[i].given);

		CHECK(a.family == t[i].family, "%s: family %d", t[i].given,
		    a.family);
		CHECK(strcmp(addr_text(&a, out), t[i].text) == 0, "%s is %s",
		    t[i].given, addr_text(&a, out));
	}
}

static void
test_numeric(void)
{
	static const struct {
		const char *host;
		int numeric;
	} t[] = {
		{ "127.0.0.1", 1 }, { "::1", 1 }, { "2001:db8::1", 1 },
		{ "::ffff:1.2.3.4", 1 }, { "", 0 }, { "localhost", 0 },
		{ "1.2.3", 0 }, { "1.2.3.4.5", 0 }, { "1.2.3.256", 0 },
		{ "[::1]", 0 }, { "::1%lo", 0 }, { " 1.2.3.4", 0 },
		{ "1.2.3.4:80", 0 }, { "0x7f.0.0.1", 0 }, { "127.1", 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++)
		CHECK(host_is_numeric(t[i].host) == t[i].numeric, "\"%s\"",
		    t[i].host);
}

/* RFC 6761 section 6.3. */
static void
test_loopback_name(void)
{
	static const struct {
		const char *host;
		int is;
	} t[] = {
		{ "localhost", 1 }, { "LocalHost", 1 }, { "localhost.", 1 },
		{ "app.localhost", 1 }, { "a.b.LOCALHOST.", 1 },
		{ "", 0 }, { ".", 0 }, { "localhos", 0 }, { "ocalhost", 0 },
		{ "notlocalhost", 0 }, { "localhost.example", 0 },
		{ "localhost..", 0 }, { "localhosts", 0 }, { "127.0.0.1", 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++)
		CHECK(host_is_loopback_name(t[i].host) == t[i].is, "\"%s\"",
		    t[i].host);
}

/* From memory of just that size. */
static int
cidr_of(struct cidr *n, const char *text)
{
	size_t len = strlen(text);
	unsigned char *exact = check_exact(text, len);
	int r = cidr_read(n, (const char *)exact, len);

	free(exact);
	return r;
}

static void
test_cidr_good(void)
{
	static const struct {
		const char *text, *in, *out;
		int bits;
	} t[] = {
		{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0", 8 },
		{ "10.1.2.3/8", "10.200.0.1", "9.1.2.3", 8 },
		{ "192.0.2.7", "192.0.2.7", "192.0.2.6", 32 },
		{ "192.0.2.7/32", "192.0.2.7", "192.0.2.5", 32 },
		{ "192.0.2.128/25", "192.0.2.255", "192.0.2.127", 25 },
		{ "0.0.0.0/0", "203.0.113.9", "::1", 0 },
		{ "172.16.0.0/12", "172.31.255.255", "172.32.0.0", 12 },
		{ "127.0.0.0/8", "::ffff:127.0.0.1", "::1", 8 },
		{ "::1", "::1", "::2", 128 },
		{ "::ffff:192.0.2.7", "192.0.2.7", "192.0.2.6", 32 },
		{ "::ffff:10.0.0.0/104", "::ffff:10.9.8.7", "11.0.0.0", 8 },
		{ "::ffff:0:0/96", "203.0.113.9", "::1", 0 },
		{ "::/0", "2001:db8::1", "1.2.3.4", 0 },
		{ "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::", 32 },
		{ "fe80::/10", "febf::1", "fec0::1", 10 },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 128 },
	};
	struct cidr n;
	struct addr in, out;
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++) {
		in = addr_of(t[i].in);
		out = addr_of(t[i].out);
		CHECK(cidr_of(&n, t[i].text) == 0 && n.bits == t[i].bits,
		    "%s: %d bits", t[i].text, n.bits);
		CHECK(cidr_has(&n, &in), "%s has not %s", t[i].text, t[i].in);
		CHECK(!cidr_has(&n, &out), "%s has %s", t[i].text, t[i].out);
	}
}

static void
test_cidr_bad(void)
{
	static const char *const t[] = {
		"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
		"10.0.0.0/8/8", "10.0.0.0/8x", "10.0.0.0/x", "10.0.0/8",
		"10.0.0.256", "10.0.0.0 /8", " 10.0.0.0/8", "::/129", "::g/8",
		"[::1]", "localhost", "10.0.0.0,11.0.0.0", "10.0.0.0/8,",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
		"10.0.0.0/4294967304", "10.0.0.0/18446744073709551624",
		"10.0.0.0/99999999999999999999", "10.0.0.0/ 8",
		"10.0.0.0/\t8", "10.0.0.0/8 ", "10.0.0.0/+8", "10.0.0.0/-0",
		"10.0.0.0/0x8", "::/4294967424", "::/ 128",
		"::ffff:0:0/95", "::ffff:10.0.0.0/8", "::ffff:10.0.0.0/129",
	};
	struct cidr n;
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++)
		CHECK(cidr_of(&n, t[i]) == -1, "\"%s\" was taken", t[i]);
}

/* With bit i of an address turned over it is in a network of so many bits
 * just where these end before i. */
static void
cidr_each_bit(const char *text, int max)
{
	struct cidr n = { .net = addr_of(text) };
	int bit, wrong = 0;

	for (n.bits = 0; n.bits <= max; n.bits++) {
		for (bit = 0; bit < max; bit++) {
			struct addr a = n.net;

			a.ip[bit / 8] ^= (unsigned char)(0x80 >> bit % 8);
			wrong += cidr_has(&n, &a) != (bit >= n.bits);
		}
		wrong += !cidr_has(&n, &n.net);
	}
	CHECK(wrong == 0, "%s: %d were wrong", text, wrong);
}

/* An address of another family is in no network, whatever its octets. */
static void
test_cidr_family(void)
{
	struct cidr n;
	struct addr a = addr_of("::"), none = addr_of("no address");

	CHECK(cidr_of(&n, "0.0.0.0/0") == 0 && !cidr_has(&n, &a) &&
	    !cidr_has(&n, &none), "0.0.0.0/0");
	a = addr_of("0.0.0.0");
	CHECK(cidr_of(&n, "::/0") == 0 && !cidr_has(&n, &a) &&
	    !cidr_has(&n, &none), "::/0");
}

/* An address is read as a peer's is kept. */
static void
test_read(void)
{
	static const char *const good[] = {
		"0.0.0.0", "192.0.2.1", "::", "2001:db8::1", "::ffff:192.0.2.1",
		"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
	};
	static const char *const bad[] = {
		"", " ", "192.0.2", "192.0.2.1 ", "192.0.2.1/32", "192.0.2.1:80",
		"[::1]", "::1%lo", "unknown", "1.2.3.4, 5.6.7.8", "0x7f.1",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	};
	struct addr a, b;
	size_t i;

	for (i = 0; i < ARRAY_LEN(good); i++) {
		b = addr_of(good[i]);
		CHECK(addr_read(&a, good[i], strlen(good[i])) == 0 &&
		    memcmp(&a, &b, sizeof(a)) == 0, "%s", good[i]);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(addr_read(&a, bad[i], strlen(bad[i])) == -1,
		    "\"%s\" was read", bad[i]);
	CHECK(addr_read(&a, "192.0.2.12", 9) == 0 && a.ip[3] == 1, "no further");
}

/* Networks of the same addresses have the same text. */
static void
test_cidr_text(void)
{
	static const char *const t[][2] = {
		{ "10.255.3.4/8", "10.0.0.0/8" },
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "192.0.2.255/25", "192.0.2.128/25" },
		{ "192.0.2.7", "192.0.2.7/32" },
		{ "255.255.255.255/0", "0.0.0.0/0" },
		{ "2001:db8:ffff::1/33", "2001:db8:8000::/33" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128" },
		{ "ffff::1/0", "::/0" },
		{ "::ffff:10.1.2.3/104", "10.0.0.0/8" },
	};
	char out[CIDR_TEXT];
	struct cidr n;
	size_t i;

	for (i = 0; i < ARRAY_LEN(t); i++)
		CHECK(cidr_of(&n, t[i][0]) == 0 &&
		    strcmp(cidr_text(&n, out), t[i][1]) == 0, "%s: %s",
		    t[i][0], out);
}

void
test_addr(void)
{
	test_read();
	test_cidr_text();
	test_text();
	test_numeric();
	test_loopback_name();
	test_cidr_good();
	test_cidr_bad();
	cidr_each_bit("10.170.85.255", 32);
	cidr_each_bit("0.0.0.0", 32);
	cidr_each_bit("2001:db8:aa55::ffff", 128);
	cidr_each_bit("::", 128);
	test_cidr_family();
}
