/*
 * Addresses of peers and ranges of them.  Pure: nothing is opened or asked.
 */
#ifndef GATE_ADDR_H
#define GATE_ADDR_H

#include <sys/socket.h>
#include <netinet/in.h>

/* An address.  IPv4 that came mapped into IPv6 is kept as IPv4. */
struct addr {
	unsigned char family;		/* 4, 6, or 0: neither */
	unsigned char ip[16];		/* of which IPv4 uses the first four */
};

/* Makes a the address ip, in network order: 4 octets for AF_INET, 16 for AF_INET6. */
void addr_set(struct addr *a, int family, const void *ip);

/* Fills in a with the address of ss, without its port. */
void addr_from(struct addr *a, const struct sockaddr_storage *ss);

/* Writes a as RFC 5952 has it into out, with a NUL.  Returns out, or "unknown"
 * where a has no family. */
const char *addr_text(const struct addr *a, char out[INET6_ADDRSTRLEN]);

/* Reads text[0..len), an address without brackets, as it came or as addr_text() has
 * it.  Returns 0; or -1 where it is none, and a may be spoilt. */
int addr_read(struct addr *a, const char *text, size_t len);

/* Whether a is this machine's own, 127.0.0.0/8 or ::1. */
int addr_is_loopback(const struct addr *a);

/* Whether host is an IPv4 or IPv6 address (without brackets). */
int host_is_numeric(const char *host);

/* Whether host is localhost or lies under it (RFC 6761 6.3), in any case and
 * with or without the dot at the end. */
int host_is_loopback_name(const char *host);

/* A network: the addresses whose first bits are those of net. */
struct cidr {
	struct addr net;
	int bits;
};

/* Reads text[0..len): an address, or address/bits.  IPv4 within IPv6 (::ffff:0:0/96) is
 * that of IPv4, as of a peer.  Returns 0; or -1 where it is neither, and *n may be
 * spoilt. */
int cidr_read(struct cidr *n, const char *text, size_t len);

#define CIDR_TEXT (INET6_ADDRSTRLEN + 4)

/* Writes n as address/bits, of which the rest is 0, into out, with a NUL: the same for
 * whatever has the same addresses.  Returns out. */
const char *cidr_text(const struct cidr *n, char out[CIDR_TEXT]);

/* Whether a lies in n. */
int cidr_has(const struct cidr *n, const struct addr *a);

#endif
