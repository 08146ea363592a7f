/*
 * The PROXY protocol: the header in which a proxy says, before the first octet of a
 * connection, whose connection it is (HAProxy's proxy-protocol.txt, versions 1 and
 * 2).  Pure: octets in, an address out.
 */
#ifndef GATE_PROXIED_H
#define GATE_PROXIED_H

#include <stddef.h>

#include "gate/addr.h"

#define PROXIED_MAX 1040	/* octets of a header: 16, and 1024 of addresses and TLVs */

enum proxied_tls {
	PROXIED_UNSAID,
	PROXIED_CLEAR,		/* the caller came without TLS */
	PROXIED_TLS
};

struct proxied {
	struct addr from;	/* the caller; family 0: the proxy speaks for itself, or
				   of no such address */
	enum proxied_tls tls;
};

/* Reads the header that b[0..n) begins with, strictly.  Returns its size; 0: it is
 * not whole yet; -1: there is none, or it is malformed or too large, which is said
 * as soon as it is sure, and p may be spoilt. */
int proxied_parse(struct proxied *p, const unsigned char *b, size_t n);

#endif
