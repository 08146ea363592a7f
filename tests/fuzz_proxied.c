/*
 * Fuzzing the PROXY header.  Properties: however the octets are cut, the outcome is
 * the same, and known no later than PROXIED_MAX; it depends on no octet behind the
 * header; and version 1 says what its words say.
 */
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/proxied.h"

int fuzz_proxied(const unsigned char *p, size_t n);

/* Parses the first n octets where nothing may be read behind them. */
static int
parse_exact(struct proxied *out, const unsigned char *p, size_t n)
{
	unsigned char *exact = malloc(n > 0 ? n : 1);
	int r;

	must(exact != NULL);
	if (n > 0)
		memcpy(exact, p, n);
	r = proxied_parse(out, exact, n);
	free(exact);
	return r;
}

/* The address of a line is what stands behind its second space; IPv4 may have come
 * mapped into IPv6. */
static void
line_again(const struct proxied *p, const unsigned char *b)
{
	char text[INET6_ADDRSTRLEN] = "";
	struct cidr want;
	size_t i;

	for (i = 0; i < sizeof(text) - 1 && b[11 + i] != ' '; i++)
		text[i] = (char)b[11 + i];
	must(b[11 + i] == ' ' && cidr_read(&want, text, i) == 0);
	must(cidr_has(&want, &p->from) ||
	    (want.net.family == 6 && p->from.family == 4));
}

int
fuzz_proxied(const unsigned char *p, size_t n)
{
	struct proxied whole, cut;
	int r = parse_exact(&whole, p, n), s = 0;
	size_t i;

	must(r <= PROXIED_MAX && r <= (int)n);
	must(r != 0 || n < PROXIED_MAX);
	for (i = 0; i <= n && i <= PROXIED_MAX && s == 0; i++)
		s = parse_exact(&cut, p, i);
	must(s == r);
	if (r <= 0)
		return 0;
	must((int)i - 1 == r);
	must(memcmp(&whole.from, &cut.from, sizeof(cut.from)) == 0 &&
	    whole.tls == cut.tls);
	must(whole.from.family == 0 || whole.from.family == 4 ||
	    whole.from.family == 6);
	if (p[0] == 'P' && whole.from.family != 0)
		line_again(&whole, p);
	return 0;
}
