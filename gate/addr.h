#ifndef GATE_ADDR_H
#define GATE_ADDR_H

#include <sys/socket.h>
#include <netinet/in.h>

#include "pipegate.h"

/* A peer's address: IPv4 is kept as such also where it came mapped. */
struct addr {
	unsigned char family;		/* 4, 6, or 0 */
	unsigned char ip[16];
};

void addr_from(struct addr *a, const struct sockaddr_storage *ss);

/* Writes an address as RFC 5952 has it. */
const char *addr_text(const struct addr *a, char out[INET6_ADDRSTRLEN]);

int host_is_numeric(const char *host);

struct cidr {
	struct addr net;
	int bits;
};

int cidr_has(const struct cidr *n, const struct addr *a);

/* One network of PIPEGATE_TRUSTED_PROXIES: an address, or address/bits. */
int cidr_read(struct cidr *n, const char *text, size_t len);

#endif
