#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gate/addr.h"

void
addr_set(struct addr *a, int family, const void *ip)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	const unsigned char *p = ip;
	int is_mapped = family == AF_INET6 &&
	    memcmp(p, mapped, sizeof(mapped)) == 0;

	memset(a, 0, sizeof(*a));
	a->family = family == AF_INET || is_mapped ? 4 : 6;
	if (is_mapped)
		p += sizeof(mapped);
	memcpy(a->ip, p, a->family == 4 ? 4 : 16);
}

void
addr_from(struct addr *a, const struct sockaddr_storage *ss)
{
	memset(a, 0, sizeof(*a));
	if (ss->ss_family == AF_INET)
		addr_set(a, AF_INET,
		    &((const struct sockaddr_in *)(const void *)ss)->sin_addr);
	else if (ss->ss_family == AF_INET6)
		addr_set(a, AF_INET6,
		    &((const struct sockaddr_in6 *)(const void *)ss)->sin6_addr);
}

const char *
addr_text(const struct addr *a, char out[INET6_ADDRSTRLEN])
{
	const char *text = NULL;

	if (a->family != 0)
		text = inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip,
		    out, INET6_ADDRSTRLEN);
	return text != NULL ? text : "unknown";
}

int
addr_read(struct addr *a, const char *text, size_t len)
{
	unsigned char ip[16];
	char copy[INET6_ADDRSTRLEN];

	if (len >= sizeof(copy))
		return -1;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET, copy, ip) == 1)
		addr_set(a, AF_INET, ip);
	else if (inet_pton(AF_INET6, copy, ip) == 1)
		addr_set(a, AF_INET6, ip);
	else
		return -1;
	return 0;
}

int
addr_is_loopback(const struct addr *a)
{
	static const unsigned char one[16] = { [15] = 1 };

	return a->family == 4 ? a->ip[0] == 127 :
	    a->family == 6 && memcmp(a->ip, one, sizeof(one)) == 0;
}

int
host_is_numeric(const char *host)
{
	struct in6_addr any;

	return inet_pton(AF_INET, host, &any) == 1 ||
	    inet_pton(AF_INET6, host, &any) == 1;
}

int
host_is_loopback_name(const char *host)
{
	static const char name[] = "localhost";
	size_t n = strlen(host);

	if (n > 0 && host[n - 1] == '.')
		n--;
	if (n < sizeof(name) - 1)
		return 0;
	host += n - (sizeof(name) - 1);
	return strncasecmp(host, name, sizeof(name) - 1) == 0 &&
	    (n == sizeof(name) - 1 || host[-1] == '.');
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

/* Reads digits alone.  Returns the number, or -1: it is none, or over max. */
static int
bits_read(const char *text, int max)
{
	int n = 0;

	if (*text == '\0')
		return -1;
	for (; *text >= '0' && *text <= '9' && n <= max; text++)
		n = n * 10 + (*text - '0');
	return *text != '\0' || n > max ? -1 : n;
}

int
cidr_read(struct cidr *n, const char *text, size_t len)
{
	char ip[INET6_ADDRSTRLEN + 8];
	char *slash;
	int max, before;		/* before: bits, of IPv4 within IPv6 */

	if (len >= sizeof(ip))
		return -1;
	memcpy(ip, text, len);
	ip[len] = '\0';
	slash = strchr(ip, '/');
	if (slash != NULL)
		*slash++ = '\0';
	if (addr_read(&n->net, ip, strlen(ip)) == -1)
		return -1;
	max = strchr(ip, ':') == NULL ? 32 : 128;
	before = n->net.family == 4 ? max - 32 : 0;
	n->bits = (slash == NULL ? max : bits_read(slash, max)) - before;
	return n->bits < 0 ? -1 : 0;
}

const char *
cidr_text(const struct cidr *n, char out[CIDR_TEXT])
{
	struct addr first = n->net;
	char ip[INET6_ADDRSTRLEN];
	int i;

	for (i = n->bits; i < 8 * (int)sizeof(first.ip); i++)
		first.ip[i / 8] &= (unsigned char)~(0x80 >> i % 8);
	snprintf(out, CIDR_TEXT, "%s/%d", addr_text(&first, ip), n->bits);
	return out;
}
