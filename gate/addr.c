#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <stddef.h>

#include "gate/say.h"
#include "gate/addr.h"

void
addr_from(struct addr *a, const struct sockaddr_storage *ss)
{
	memset(a, 0, sizeof(*a));
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)ss;

		a->family = 4;
		memcpy(a->ip, &in->sin_addr, 4);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)ss;

		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			a->family = 4;
			memcpy(a->ip, in6->sin6_addr.s6_addr + 12, 4);
		} else {
			a->family = 6;
			memcpy(a->ip, &in6->sin6_addr, 16);
		}
	}
}

static unsigned int
addr_group(const unsigned char *ip, int i)
{
	const unsigned char *g = ip + (ptrdiff_t)2 * i;

	return (unsigned int)g[0] << 8 | g[1];
}

/* Finds the longest run of zero groups, of two at least (RFC 5952 4.2). */
static int
addr_zeros(const unsigned char *ip, int *length)
{
	int i, run = 0, best = -1;

	*length = 1;
	for (i = 0; i < 8; i++) {
		run = addr_group(ip, i) == 0 ? run + 1 : 0;
		if (run > *length) {
			*length = run;
			best = i - run + 1;
		}
	}
	return best;
}

/* A group of an IPv6 address, without leading zeros. */
static void
addr_group_put(struct text *t, unsigned int v)
{
	static const char hex[] = "0123456789abcdef";
	int shift = 12;

	while (shift > 0 && v >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		text_char(t, hex[v >> shift & 15]);
}

const char *
addr_text(const struct addr *a, char out[INET6_ADDRSTRLEN])
{
	struct text t = { out, INET6_ADDRSTRLEN, 0 };
	const unsigned char *ip = a->ip;
	int i, length, zeros;

	if (a->family == 0)
		return "unknown";
	if (a->family == 4) {
		text_put(out, INET6_ADDRSTRLEN, "%d.%d.%d.%d", ip[0], ip[1],
		    ip[2], ip[3]);
		return out;
	}
	zeros = addr_zeros(ip, &length);
	for (i = 0; i < 8; i++) {
		if (i == zeros) {
			text_char(&t, ':');
			i += length - 1;
			if (i == 7)
				text_char(&t, ':');
			continue;
		}
		if (i > 0)
			text_char(&t, ':');
		addr_group_put(&t, addr_group(ip, i));
	}
	out[t.len] = '\0';
	return out;
}

int
host_is_numeric(const char *host)
{
	struct in6_addr any;

	return inet_pton(AF_INET, host, &any) == 1 ||
	    inet_pton(AF_INET6, host, &any) == 1;
}

int
cidr_has(const struct cidr *n, const struct addr *a)
{
	int whole = n->bits / 8, rest = n->bits % 8;

	if (n->net.family != a->family ||
	    memcmp(n->net.ip, a->ip, (size_t)whole) != 0)
		return 0;
	return rest == 0 ||
	    ((n->net.ip[whole] ^ a->ip[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

int
cidr_read(struct cidr *n, const char *text, size_t len)
{
	char ip[INET6_ADDRSTRLEN + 8];
	char *slash, *end;
	int max;

	if (len >= sizeof(ip))
		return -1;
	memset(n, 0, sizeof(*n));
	memcpy(ip, text, len);
	ip[len] = '\0';
	slash = strchr(ip, '/');
	if (slash != NULL)
		*slash++ = '\0';
	if (inet_pton(AF_INET, ip, n->net.ip) == 1)
		n->net.family = 4;
	else if (inet_pton(AF_INET6, ip, n->net.ip) == 1)
		n->net.family = 6;
	else
		return -1;
	max = n->net.family == 4 ? 32 : 128;
	n->bits = max;
	if (slash == NULL)
		return 0;
	n->bits = (int)strtol(slash, &end, 10);
	return end == slash || *end != '\0' || n->bits < 0 || n->bits > max ?
	    -1 : 0;
}
