#include <sys/socket.h>
#include <arpa/inet.h>
#include <string.h>

#include "gate/say.h"
#include "gate/addr.h"
#include "gate/url.h"
#include "gate/proxied.h"

/* --- version 1: a line */

#define LINE_MAX_SIZE 107	/* with its CRLF */
#define WORDS 6

static const char line_start[] = "PROXY ";

/* Cuts line, of which a copy is made in text, at each space.  Returns how many words
 * it has, or -1: too many. */
static int
line_words(char text[LINE_MAX_SIZE], char *word[WORDS])
{
	int n = 0;

	for (;;) {
		if (n == WORDS)
			return -1;
		word[n++] = text;
		text = strchr(text, ' ');
		if (text == NULL)
			return n;
		*text++ = '\0';
	}
}

/* The source counts, and all else must be what it should be. */
static int
line_addresses(struct addr *from, char *const word[WORDS])
{
	int family = strcmp(word[1], "TCP4") == 0 ? AF_INET :
	    strcmp(word[1], "TCP6") == 0 ? AF_INET6 : AF_UNSPEC;
	unsigned char src[16], dst[16];

	if (family == AF_UNSPEC || inet_pton(family, word[2], src) != 1 ||
	    inet_pton(family, word[3], dst) != 1 ||
	    !port_ok(view_of(word[4])) || !port_ok(view_of(word[5])))
		return -1;
	addr_set(from, family, src);
	return 0;
}

/* Reads the line b[0..n), CRLF included.  Of an UNKNOWN one the rest means
 * nothing. */
static int
line_read(struct proxied *p, const unsigned char *b, size_t n)
{
	static const char unknown[] = "PROXY UNKNOWN";
	char text[LINE_MAX_SIZE], *word[WORDS];

	memcpy(text, b, n);
	text[n - 2] = '\0';
	if (strncmp(text, unknown, sizeof(unknown) - 1) == 0)
		return text[sizeof(unknown) - 1] == ' ' ||
		    n - 2 == sizeof(unknown) - 1 ? 0 : -1;
	if (strlen(text) != n - 2 || line_words(text, word) != WORDS)
		return -1;
	return line_addresses(&p->from, word);
}

static int
line_parse(struct proxied *p, const unsigned char *b, size_t n)
{
	size_t most = n < LINE_MAX_SIZE ? n : LINE_MAX_SIZE;
	const unsigned char *end = memchr(b, '\n', most);
	size_t size;

	if (end == NULL)
		return n < LINE_MAX_SIZE ? 0 : -1;
	size = (size_t)(end - b) + 1;
	if (end[-1] != '\r' || line_read(p, b, size) == -1)
		return -1;
	return (int)size;
}

/* --- version 2: octets */

#define BLOCK_HEAD 16

static const char block_start[] = "\r\n\r\n\0\r\nQUIT\n";

enum { BLOCK_LOCAL = 0x20, BLOCK_PROXY = 0x21 };	/* version and command */
enum { BLOCK_INET = 1, BLOCK_INET6 = 2, BLOCK_UNIX = 3 };
enum { TLV_SSL = 0x20, TLV_SSL_MIN = 5, SSL_CLIENT = 1 };

/* Walks over the TLVs of b[0..n). */
static int
block_tlvs(struct proxied *p, const unsigned char *b, size_t n)
{
	size_t size;

	for (; n > 0; b += size, n -= size) {
		size = n < 3 ? 3 : 3 + ((size_t)b[1] << 8 | b[2]);
		if (size > n)
			return -1;
		if (b[0] != TLV_SSL)
			continue;
		if (size < 3 + TLV_SSL_MIN)
			return -1;
		p->tls = b[3] & SSL_CLIENT ? PROXIED_TLS : PROXIED_CLEAR;
	}
	return 0;
}

/* Reads addresses of ip octets each, with their ports, and what follows. */
static int
block_addresses(struct proxied *p, int family, size_t ip,
    const unsigned char *b, size_t n)
{
	size_t size = 2 * (ip + 2);

	if (n < size)
		return -1;
	addr_set(&p->from, family, b);
	return block_tlvs(p, b + size, n - size);
}

/* Reads what stands behind the head. */
static int
block_read(struct proxied *p, const unsigned char *head, size_t n)
{
	const unsigned char *b = head + BLOCK_HEAD;

	if (head[12] == BLOCK_LOCAL)
		return 0;
	if (head[12] != BLOCK_PROXY || (head[13] & 15) > 2 ||
	    head[13] >> 4 > BLOCK_UNIX)
		return -1;
	switch (head[13] >> 4) {
	case BLOCK_INET:
		return block_addresses(p, AF_INET, 4, b, n);
	case BLOCK_INET6:
		return block_addresses(p, AF_INET6, 16, b, n);
	default:
		return 0;
	}
}

static int
block_parse(struct proxied *p, const unsigned char *b, size_t n)
{
	size_t rest;

	if (n < BLOCK_HEAD)
		return 0;
	rest = (size_t)b[14] << 8 | b[15];
	if (rest > PROXIED_MAX - BLOCK_HEAD)
		return -1;
	if (n < BLOCK_HEAD + rest)
		return 0;
	return block_read(p, b, rest) == -1 ? -1 : (int)(BLOCK_HEAD + rest);
}

/* Whether b[0..n) is start, of that size, as far as it goes. */
static int
begins(const unsigned char *b, size_t n, const char *start, size_t size)
{
	return memcmp(b, start, n < size ? n : size) == 0;
}

int
proxied_parse(struct proxied *p, const unsigned char *b, size_t n)
{
	memset(p, 0, sizeof(*p));
	if (n == 0)
		return 0;
	if (begins(b, n, line_start, sizeof(line_start) - 1))
		return line_parse(p, b, n);
	if (begins(b, n, block_start, sizeof(block_start) - 1))
		return block_parse(p, b, n);
	return -1;
}
