/*
 * Hashes, encodings, and the JSON Web Token made of them.
 */
#include <stdint.h>
#include <string.h>

#include "pipegate.h"

/* ----------------------------------------------------------------- hashes
 * SHA-1 and SHA-256 (FIPS 180-4).  Both take blocks of 64 octets, words with
 * the high octet first, and end the message in the same way.
 */

#define HASH_BLOCK 64

static uint32_t
rotate_left(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

static uint32_t
rotate_right(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static uint32_t
word_get(const unsigned char *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
	    (uint32_t)b[2] << 8 | b[3];
}

static void
word_put(unsigned char *b, uint32_t w)
{
	b[0] = (unsigned char)(w >> 24);
	b[1] = (unsigned char)(w >> 16);
	b[2] = (unsigned char)(w >> 8);
	b[3] = (unsigned char)w;
}

/*
 * Ends a message of total octets, the last total % 64 of which are in b: a
 * one bit, zeros, and the length in bits (section 5.1.1).  Returns the size
 * of what stands in out, one block or two.
 */
static size_t
hash_tail(unsigned char out[2 * HASH_BLOCK], const unsigned char *b,
    unsigned long long total)
{
	size_t n = total % HASH_BLOCK;
	size_t size = n + 9 <= HASH_BLOCK ? HASH_BLOCK : 2 * HASH_BLOCK;

	memset(out, 0, size);
	if (n > 0)
		memcpy(out, b, n);
	out[n] = 0x80;
	word_put(out + size - 8, (uint32_t)(total >> 29));
	word_put(out + size - 4, (uint32_t)(total << 3));
	return size;
}

static void
sha1_expand(uint32_t w[80], const unsigned char *b)
{
	size_t i;

	for (i = 0; i < 16; i++)
		w[i] = word_get(b + 4 * i);
	for (; i < 80; i++)
		w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^
		    w[i - 16], 1);
}

static uint32_t
sha1_mix(int round, uint32_t x, uint32_t y, uint32_t z)
{
	switch (round / 20) {
	case 0:
		return ((x & y) | (~x & z)) + 0x5a827999;
	case 1:
		return (x ^ y ^ z) + 0x6ed9eba1;
	case 2:
		return ((x & y) | (x & z) | (y & z)) + 0x8f1bbcdc;
	default:
		return (x ^ y ^ z) + 0xca62c1d6;
	}
}

static void
sha1_block(uint32_t h[5], const unsigned char *b)
{
	uint32_t w[80], s[5], t;
	int i;

	sha1_expand(w, b);
	memcpy(s, h, sizeof(s));
	for (i = 0; i < 80; i++) {
		t = rotate_left(s[0], 5) + sha1_mix(i, s[1], s[2], s[3]) +
		    s[4] + w[i];
		s[4] = s[3];
		s[3] = s[2];
		s[2] = rotate_left(s[1], 30);
		s[1] = s[0];
		s[0] = t;
	}
	for (i = 0; i < 5; i++)
		h[i] += s[i];
}

void
hmac_sha1(unsigned char out[SHA1_SIZE], const void *b, size_t n)
{
	uint32_t h[5] = {
		0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0
	};
	const unsigned char *p = b;
	unsigned char tail[2 * HASH_BLOCK];
	size_t i, size, left;

	for (left = n; left >= HASH_BLOCK; left -= HASH_BLOCK) {
		sha1_block(h, p);
		p += HASH_BLOCK;
	}
	size = hash_tail(tail, p, n);
	for (i = 0; i < size; i += HASH_BLOCK)
		sha1_block(h, tail + i);
	for (i = 0; i < 5; i++)
		word_put(out + 4 * i, h[i]);
}

static const uint32_t sha256_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
	0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
	0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static void
sha256_expand(uint32_t w[64], const unsigned char *b)
{
	uint32_t s0, s1;
	size_t i;

	for (i = 0; i < 16; i++)
		w[i] = word_get(b + 4 * i);
	for (; i < 64; i++) {
		s0 = rotate_right(w[i - 15], 7) ^
		    rotate_right(w[i - 15], 18) ^ (w[i - 15] >> 3);
		s1 = rotate_right(w[i - 2], 17) ^
		    rotate_right(w[i - 2], 19) ^ (w[i - 2] >> 10);
		w[i] = s1 + w[i - 7] + s0 + w[i - 16];
	}
}

/* One round on s, the working variables a to h of section 6.2.2. */
static void
sha256_round(uint32_t s[8], uint32_t word)
{
	uint32_t e = rotate_right(s[4], 6) ^ rotate_right(s[4], 11) ^
	    rotate_right(s[4], 25);
	uint32_t a = rotate_right(s[0], 2) ^ rotate_right(s[0], 13) ^
	    rotate_right(s[0], 22);
	uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
	uint32_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
	uint32_t t = s[7] + e + choice + word;

	memmove(s + 1, s, 7 * sizeof(s[0]));
	s[4] += t;
	s[0] = t + a + majority;
}

static void
sha256_block(unsigned int h[8], const unsigned char *b)
{
	uint32_t w[64], s[8];
	int i;

	sha256_expand(w, b);
	memcpy(s, h, sizeof(s));
	for (i = 0; i < 64; i++)
		sha256_round(s, sha256_k[i] + w[i]);
	for (i = 0; i < 8; i++)
		h[i] += s[i];
	hmac_wipe(w, sizeof(w));
	hmac_wipe(s, sizeof(s));
}

void
hmac_sha256_init(struct hmac_sha256_ctx *c)
{
	static const unsigned int start[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
	};

	memcpy(c->h, start, sizeof(c->h));
	c->total = 0;
}

void
hmac_sha256_update(struct hmac_sha256_ctx *c, const void *b, size_t n)
{
	const unsigned char *p = b;
	size_t held = c->total % HASH_BLOCK, part;

	c->total += n;
	if (held > 0) {
		part = n < HASH_BLOCK - held ? n : HASH_BLOCK - held;
		if (part > 0)
			memcpy(c->block + held, p, part);
		if (held + part < HASH_BLOCK)
			return;
		sha256_block(c->h, c->block);
		p += part;
		n -= part;
	}
	for (; n >= HASH_BLOCK; n -= HASH_BLOCK) {
		sha256_block(c->h, p);
		p += HASH_BLOCK;
	}
	if (n > 0)
		memcpy(c->block, p, n);
}

void
hmac_sha256_final(struct hmac_sha256_ctx *c, unsigned char out[SHA256_SIZE])
{
	unsigned char tail[2 * HASH_BLOCK];
	size_t i, size = hash_tail(tail, c->block, c->total);

	for (i = 0; i < size; i += HASH_BLOCK)
		sha256_block(c->h, tail + i);
	for (i = 0; i < 8; i++)
		word_put(out + 4 * i, c->h[i]);
	hmac_wipe(tail, sizeof(tail));
	hmac_wipe(c, sizeof(*c));
}

/* ---------------------------------------------------------------- secrets
 * HMAC (RFC 2104), and what may not depend on, or outlive, a secret.
 */

/* Starts a hash with the key, its octets changed by pad. */
static void
hmac_key(struct hmac_sha256_ctx *c, const unsigned char key[HASH_BLOCK],
    unsigned char pad)
{
	unsigned char block[HASH_BLOCK];
	size_t i;

	for (i = 0; i < HASH_BLOCK; i++)
		block[i] = key[i] ^ pad;
	hmac_sha256_init(c);
	hmac_sha256_update(c, block, sizeof(block));
	hmac_wipe(block, sizeof(block));
}

void
hmac_sign(unsigned char out[SHA256_SIZE], const void *key, size_t kn,
    const void *b, size_t n)
{
	struct hmac_sha256_ctx c;
	unsigned char block[HASH_BLOCK] = { 0 };

	if (kn > HASH_BLOCK) {
		hmac_sha256_init(&c);
		hmac_sha256_update(&c, key, kn);
		hmac_sha256_final(&c, block);
	} else if (kn > 0)
		memcpy(block, key, kn);
	hmac_key(&c, block, 0x36);
	hmac_sha256_update(&c, b, n);
	hmac_sha256_final(&c, out);
	hmac_key(&c, block, 0x5c);
	hmac_sha256_update(&c, out, SHA256_SIZE);
	hmac_sha256_final(&c, out);
	hmac_wipe(block, sizeof(block));
}

int
hmac_equal(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char differ = 0;
	size_t i;

	for (i = 0; i < n; i++)
		differ |= x[i] ^ y[i];
	return differ == 0;
}

void
hmac_wipe(void *p, size_t n)
{
	volatile unsigned char *b = p;

	while (n-- > 0)
		*b++ = 0;
}

/* ----------------------------------------------------------------- base64
 * RFC 4648.  Four characters are a quad, three octets.  The tables mark the
 * characters of an alphabet with the high bit, so that one AND over a quad
 * tells whether all four belong to it.
 */

#define B64_MARK 0x80
#define B64(v) (B64_MARK | (v))
#define B64_LETTERS_AND_DIGITS \
	['A'] = B64(0), ['B'] = B64(1), ['C'] = B64(2), ['D'] = B64(3), \
	['E'] = B64(4), ['F'] = B64(5), ['G'] = B64(6), ['H'] = B64(7), \
	['I'] = B64(8), ['J'] = B64(9), ['K'] = B64(10), ['L'] = B64(11), \
	['M'] = B64(12), ['N'] = B64(13), ['O'] = B64(14), ['P'] = B64(15), \
	['Q'] = B64(16), ['R'] = B64(17), ['S'] = B64(18), ['T'] = B64(19), \
	['U'] = B64(20), ['V'] = B64(21), ['W'] = B64(22), ['X'] = B64(23), \
	['Y'] = B64(24), ['Z'] = B64(25), ['a'] = B64(26), ['b'] = B64(27), \
	['c'] = B64(28), ['d'] = B64(29), ['e'] = B64(30), ['f'] = B64(31), \
	['g'] = B64(32), ['h'] = B64(33), ['i'] = B64(34), ['j'] = B64(35), \
	['k'] = B64(36), ['l'] = B64(37), ['m'] = B64(38), ['n'] = B64(39), \
	['o'] = B64(40), ['p'] = B64(41), ['q'] = B64(42), ['r'] = B64(43), \
	['s'] = B64(44), ['t'] = B64(45), ['u'] = B64(46), ['v'] = B64(47), \
	['w'] = B64(48), ['x'] = B64(49), ['y'] = B64(50), ['z'] = B64(51), \
	['0'] = B64(52), ['1'] = B64(53), ['2'] = B64(54), ['3'] = B64(55), \
	['4'] = B64(56), ['5'] = B64(57), ['6'] = B64(58), ['7'] = B64(59), \
	['8'] = B64(60), ['9'] = B64(61)

static const unsigned char b64_value[256] = {
	B64_LETTERS_AND_DIGITS, ['+'] = B64(62), ['/'] = B64(63)
};
static const unsigned char b64url_value[256] = {
	B64_LETTERS_AND_DIGITS, ['-'] = B64(62), ['_'] = B64(63)
};

#define B64_ALPHABET \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char b64_char[] = B64_ALPHABET "+/";
static const char b64url_char[] = B64_ALPHABET "-_";

/* Encodes without padding; returns what was written. */
static size_t
b64_encode(unsigned char *out, const unsigned char *b, size_t n,
    const char *alphabet)
{
	unsigned char *o = out;
	uint32_t w;

	for (; n >= 3; n -= 3, b += 3, o += 4) {
		w = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
		o[0] = (unsigned char)alphabet[w >> 18];
		o[1] = (unsigned char)alphabet[w >> 12 & 63];
		o[2] = (unsigned char)alphabet[w >> 6 & 63];
		o[3] = (unsigned char)alphabet[w & 63];
	}
	if (n == 0)
		return (size_t)(o - out);
	w = (uint32_t)b[0] << 16 | (n == 2 ? (uint32_t)b[1] << 8 : 0);
	*o++ = (unsigned char)alphabet[w >> 18];
	*o++ = (unsigned char)alphabet[w >> 12 & 63];
	if (n == 2)
		*o++ = (unsigned char)alphabet[w >> 6 & 63];
	return (size_t)(o - out);
}

/* Decodes quads until one is not whole or not of the alphabet; returns how
 * many those were. */
static size_t
b64_quads(unsigned char *out, const unsigned char *b, size_t n,
    const unsigned char value[256])
{
	size_t quads;
	unsigned char v[4];

	for (quads = 0; quads < n / 4; quads++) {
		v[0] = value[b[0]];
		v[1] = value[b[1]];
		v[2] = value[b[2]];
		v[3] = value[b[3]];
		if ((v[0] & v[1] & v[2] & v[3] & B64_MARK) == 0)
			break;
		out[0] = (unsigned char)(v[0] << 2 | (v[1] >> 4 & 3));
		out[1] = (unsigned char)(v[1] << 4 | (v[2] >> 2 & 15));
		out[2] = (unsigned char)(v[2] << 6 | (v[3] & 63));
		b += 4;
		out += 3;
	}
	return quads;
}

/* Decodes the 2 or 3 characters of a last quad that is short; the bits that
 * make no octet must be zero (section 3.5).  Returns 1 or 2 octets, or -1. */
static long
b64_last(unsigned char *out, const unsigned char *b, size_t n,
    const unsigned char value[256])
{
	unsigned char quad[4] = { 'A', 'A', 'A', 'A' }, octets[3];

	if (n < 2)
		return -1;
	memcpy(quad, b, n);
	if (b64_quads(octets, quad, 4, value) == 0 || octets[n - 1] != 0)
		return -1;
	memcpy(out, octets, n - 1);
	return (long)n - 1;
}

/* Gathers up to four characters around line breaks, moving *b behind them. */
static size_t
b64_gather(unsigned char quad[4], const unsigned char **b,
    const unsigned char *end)
{
	size_t n = 0;

	for (; *b < end && n < 4; ++*b)
		if (**b != '\r' && **b != '\n')
			quad[n++] = **b;
	return n;
}

size_t
base64_encode(unsigned char *out, const void *b, size_t n)
{
	size_t len = b64_encode(out, b, n, b64_char);

	while (len % 4 != 0)
		out[len++] = '=';
	return len;
}

long
base64_decode(unsigned char *out, const unsigned char *b, size_t n)
{
	const unsigned char *p, *end;
	unsigned char quad[4], more[4];
	size_t quads, got;
	long len = 0, last;

	if (n == 0)
		return 0;
	for (p = b, end = b + n;;) {
		quads = b64_quads(out + len, p, (size_t)(end - p), b64_value);
		p += 4 * quads;
		len += (long)(3 * quads);
		got = b64_gather(quad, &p, end);
		if (got == 0)
			return len;
		if (got < 4)
			return -1;
		if (b64_quads(out + len, quad, 4, b64_value) == 0)
			break;
		len += 3;
	}
	if (quad[3] != '=' || b64_gather(more, &p, end) > 0)
		return -1;
	last = b64_last(out + len, quad, quad[2] == '=' ? 2 : 3, b64_value);
	return last == -1 ? -1 : len + last;
}

size_t
base64url_encode(unsigned char *out, const void *b, size_t n)
{
	return b64_encode(out, b, n, b64url_char);
}

long
base64url_decode(unsigned char *out, const unsigned char *b, size_t n)
{
	size_t quads = b64_quads(out, b, n, b64url_value);
	long last;

	if (quads != n / 4)
		return -1;
	if (n % 4 == 0)
		return (long)(3 * quads);
	last = b64_last(out + 3 * quads, b + 4 * quads, n % 4, b64url_value);
	return last == -1 ? -1 : (long)(3 * quads) + last;
}

/* -------------------------------------------------------------------- JWT
 * HS256 tokens (RFC 7515, 7519, 8725).  The MAC is checked over the octets as
 * they came before any of them is given a meaning.
 */

/* Octets of a header or of claims, decoded. */
#define JWT_TEXT_MAX (JWT_SIZE_MAX / 4 * 3)
#define JWT_MEMBERS_MAX 64
#define JWT_NAME_MAX 256
/* A late clock's share for nbf and iat, in seconds. */
#define JWT_LEEWAY 5
/* Times reach as far as all JSON readers agree on integers (RFC 8259 section
 * 6); that many seconds still fit a long long as milliseconds. */
#define JWT_TIME_MAX 9007199254740991

#define JWT_HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define JWT_MAC_SIZE 43		/* of base64url */

static const char jwt_malformed[] = "token is malformed";
static const char jwt_wrong_algorithm[] = "token algorithm is not HS256";

struct jwt_parts {
	struct view header;
	struct view claims;
	struct view mac;
	struct view input;	/* header and claims with the dot */
};

/* Takes from rest what stands before its first dot.  0 if there is none. */
static int
jwt_split_part(struct view *part, struct view *rest)
{
	const unsigned char *dot = memchr(rest->p, '.', rest->n);

	if (dot == NULL)
		return 0;
	part->p = rest->p;
	part->n = (size_t)(dot - rest->p);
	rest->p = dot + 1;
	rest->n -= part->n + 1;
	return 1;
}

static int
jwt_split(struct jwt_parts *t, struct view token)
{
	t->mac = token;
	if (token.n == 0 || token.n > JWT_SIZE_MAX ||
	    !jwt_split_part(&t->header, &t->mac) ||
	    !jwt_split_part(&t->claims, &t->mac) ||
	    memchr(t->mac.p, '.', t->mac.n) != NULL)
		return -1;
	t->input.p = token.p;
	t->input.n = token.n - t->mac.n - 1;
	return 0;
}

/* Whether got is the MAC under that secret; under none, which is NULL, no MAC is. */
static int
jwt_mac_of(const unsigned char got[SHA256_SIZE], const struct jwt_parts *t,
    const char *secret)
{
	unsigned char want[SHA256_SIZE];
	int ok;

	if (secret == NULL)
		return 0;
	hmac_sign(want, secret, strlen(secret), t->input.p, t->input.n);
	ok = hmac_equal(got, want, SHA256_SIZE);
	hmac_wipe(want, sizeof(want));
	return ok;
}

static int
jwt_mac_ok(const struct jwt_parts *t, const struct jwt_key *k)
{
	unsigned char got[SHA256_SIZE];

	if (t->mac.n != JWT_MAC_SIZE ||
	    base64url_decode(got, t->mac.p, t->mac.n) != SHA256_SIZE)
		return 0;
	return jwt_mac_of(got, t, k->secret) || jwt_mac_of(got, t, k->previous);
}

/* Decodes a part, a JSON object, into text.  0 or -1. */
static int
jwt_object(struct json *v, unsigned char text[JWT_TEXT_MAX], struct view part)
{
	long n = base64url_decode(text, part.p, part.n);

	if (n == -1 || json_parse(v, text, (size_t)n) == -1)
		return -1;
	return v->type == JSON_OBJECT ? 0 : -1;
}

/* Whether an object has few enough members, and each of them once. */
static int
jwt_members_ok(const struct json *v)
{
	struct json_iter it;
	struct json key, val;
	char name[JWT_NAME_MAX];
	int members = 0;
	long n;

	json_iter_init(&it, v);
	while (json_iter_next(&it, &key, &val)) {
		n = json_string(&key, (unsigned char *)name, sizeof(name) - 1);
		if (n == -1 || memchr(name, '\0', (size_t)n) != NULL)
			return 0;
		name[n] = '\0';
		if (++members > JWT_MEMBERS_MAX ||
		    json_find(v, name, &val) != 1)
			return 0;
	}
	return 1;
}

static int
jwt_alg_ok(const struct json *header)
{
	struct json alg;

	return json_find(header, "alg", &alg) == 1 &&
	    json_equal(&alg, "HS256");
}

static int
jwt_typ_ok(const struct json *header)
{
	struct json typ;
	unsigned char s[3];

	if (json_find(header, "typ", &typ) == 0)
		return 1;
	return json_string(&typ, s, sizeof(s)) == 3 && (s[0] | 0x20) == 'j' &&
	    (s[1] | 0x20) == 'w' && (s[2] | 0x20) == 't';
}

/* Why a header that the MAC covers is refused, or NULL. */
static const char *
jwt_header_fault(const struct json *header)
{
	static const char *const refused[] = { "crit", "zip", "b64" };
	struct json val;
	size_t i;

	if (!jwt_members_ok(header))
		return jwt_malformed;
	if (!jwt_alg_ok(header))
		return jwt_wrong_algorithm;
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (json_find(header, refused[i], &val) != 0)
			return "token header is not supported";
	return jwt_typ_ok(header) ? NULL : "token header is not supported";
}

/* The words for a MAC that is wrong.  The header is read for these alone. */
static const char *
jwt_mac_fault(const struct jwt_parts *t)
{
	unsigned char text[JWT_TEXT_MAX];
	struct json header;

	if (jwt_object(&header, text, t->header) == -1)
		return jwt_malformed;
	if (!jwt_alg_ok(&header))
		return jwt_wrong_algorithm;
	return "token has a bad signature";
}

static int
jwt_time(const struct json *claims, const char *name, long long *t)
{
	struct json v;

	if (json_find(claims, name, &v) != 1 || json_integer(&v, t) == -1)
		return -1;
	return *t >= -JWT_TIME_MAX && *t <= JWT_TIME_MAX ? 0 : -1;
}

static int
jwt_has(const struct json *claims, const char *name)
{
	struct json v;

	return json_find(claims, name, &v) != 0;
}

/* The same of a time that may be absent, and is 0 then: long ago. */
static int
jwt_time_if_any(const struct json *claims, const char *name, long long *t)
{
	*t = 0;
	return jwt_has(claims, name) ? jwt_time(claims, name, t) : 0;
}

/* Text without a NUL, of fewer than cap octets. */
static int
jwt_string(const struct json *v, char *out, size_t cap)
{
	long n = json_string(v, (unsigned char *)out, cap - 1);

	if (n == -1 || memchr(out, '\0', (size_t)n) != NULL)
		return -1;
	out[n] = '\0';
	return 0;
}

static int
jwt_text(const struct json *claims, const char *name, char *out, size_t cap)
{
	struct json v;

	return json_find(claims, name, &v) == 1 ? jwt_string(&v, out, cap) : -1;
}

/* Without that claim it is empty. */
static int
jwt_id(const struct json *claims, char jti[JWT_ID_MAX + 1])
{
	jti[0] = '\0';
	return jwt_has(claims, "jti") ?
	    jwt_text(claims, "jti", jti, JWT_ID_MAX + 1) : 0;
}

static int
jwt_sub(const struct json *claims, char sub[JWT_SUB_MAX + 1])
{
	struct view v;

	if (jwt_text(claims, "sub", sub, JWT_SUB_MAX + 1) == -1)
		return -1;
	v.p = (const unsigned char *)sub;
	v.n = strlen(sub);
	return jwt_sub_ok(v) ? 0 : -1;
}

/* Returns 0, or -1; without that claim there are none. */
static int
jwt_domains(const struct json *claims, struct jwt_claims *c)
{
	struct json list, name;
	struct json_iter it;

	c->ndomains = 0;
	if (json_find(claims, "domains", &list) == 0)
		return 0;
	if (list.type != JSON_ARRAY)
		return -1;
	json_iter_init(&it, &list);
	while (json_iter_next(&it, NULL, &name))
		if (c->ndomains == JWT_DOMAINS_MAX ||
		    jwt_string(&name, c->domain[c->ndomains++],
		    JWT_DOMAIN_MAX + 1) == -1)
			return -1;
	return 0;
}

/* Without that claim it is: nobody said that it is another's. */
static int
jwt_issuer_ok(const struct json *claims, const char *issuer)
{
	struct json v;

	return json_find(claims, "iss", &v) == 0 || json_equal(&v, issuer);
}

/* A string, or an array of strings one of which it is; or absent. */
static int
jwt_audience_ok(const struct json *claims, const char *audience)
{
	struct json aud, val;
	struct json_iter it;
	int found = 0;

	if (json_find(claims, "aud", &aud) == 0)
		return 1;
	if (aud.type != JSON_ARRAY)
		return json_equal(&aud, audience);
	json_iter_init(&it, &aud);
	while (json_iter_next(&it, NULL, &val)) {
		if (val.type != JSON_STRING)
			return 0;
		found |= json_equal(&val, audience);
	}
	return found;
}

/* Reads what goes into c.  Why it cannot, or NULL. */
static const char *
jwt_claims_read(struct jwt_claims *c, const struct json *claims)
{
	if (!jwt_members_ok(claims))
		return jwt_malformed;
	if (jwt_sub(claims, c->sub) == -1)
		return "token names no usable connection id";
	if (jwt_time(claims, "exp", &c->exp) == -1)
		return "token has no usable exp";
	if (jwt_time_if_any(claims, "nbf", &c->nbf) == -1)
		return "token has no usable nbf";
	if (jwt_time_if_any(claims, "iat", &c->iat) == -1)
		return "token has no usable iat";
	if (jwt_id(claims, c->jti) == -1)
		return "token has no usable jti";
	if (jwt_domains(claims, c) == -1)
		return "token has domains that are no list of 16 names or fewer";
	return NULL;
}

/* Why claims do not hold here and now, or NULL. */
static const char *
jwt_claims_fault(const struct jwt_claims *c, const struct json *claims,
    const struct jwt_key *k, long long now)
{
	if (c->exp <= now)
		return "token has expired";
	if (c->nbf - JWT_LEEWAY > now || c->iat - JWT_LEEWAY > now)
		return "token is not valid yet";
	if (!jwt_issuer_ok(claims, k->issuer))
		return "token has the wrong issuer";
	if (!jwt_audience_ok(claims, k->audience))
		return "token has the wrong audience";
	return NULL;
}

int
jwt_sub_ok(struct view s)
{
	static const char *const taken[] = { ".", "..", "healthz" };
	static const char fit[] = B64_ALPHABET "._~-";
	size_t i;

	if (s.n == 0 || s.n > JWT_SUB_MAX)
		return 0;
	for (i = 0; i < s.n; i++)
		if (memchr(fit, s.p[i], sizeof(fit) - 1) == NULL)
			return 0;
	for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (s.n == strlen(taken[i]) &&
		    memcmp(s.p, taken[i], s.n) == 0)
			return 0;
	return 1;
}

static void
jwt_put_string(struct json_out *o, const char *name, const char *s)
{
	struct view v;

	v.p = (const unsigned char *)s;
	v.n = strlen(s);
	json_put(o, name);
	json_put_string(o, v);
}

static void
jwt_put_time(struct json_out *o, const char *name, long long t)
{
	json_put(o, name);
	json_put_integer(o, t);
}

static void
jwt_put_domains(struct json_out *o, const struct jwt_claims *c)
{
	int i;

	for (i = 0; i < c->ndomains; i++)
		jwt_put_string(o, i == 0 ? ",\"domains\":[" : ",", c->domain[i]);
	if (c->ndomains > 0)
		json_put(o, "]");
}

static void
jwt_put_claims(struct json_out *o, const struct jwt_claims *c,
    const struct jwt_key *k)
{
	jwt_put_string(o, "{\"sub\":", c->sub);
	jwt_put_time(o, ",\"exp\":", c->exp);
	jwt_put_time(o, ",\"nbf\":", c->nbf);
	jwt_put_time(o, ",\"iat\":", c->iat);
	jwt_put_string(o, ",\"iss\":", k->issuer);
	jwt_put_string(o, ",\"aud\":", k->audience);
	jwt_put_string(o, ",\"jti\":", c->jti);
	jwt_put_domains(o, c);
	json_put(o, "}");
}

/* Puts the token that claims make under secret into out[0..cap), as jwt_make()
 * does. */
static long
jwt_sign(char *out, size_t cap, const struct json_out *claims, const char *secret)
{
	unsigned char token[JWT_SIZE_MAX + 128]; /* 128: header, MAC, dots */
	unsigned char mac[SHA256_SIZE];
	size_t n;

	if (claims->len > claims->cap)
		return -1;
	n = base64url_encode(token, JWT_HEADER, sizeof(JWT_HEADER) - 1);
	token[n++] = '.';
	n += base64url_encode(token + n, claims->p, claims->len);
	hmac_sign(mac, secret, strlen(secret), token, n);
	token[n++] = '.';
	n += base64url_encode(token + n, mac, sizeof(mac));
	if (n > JWT_SIZE_MAX || n >= cap)
		return -1;
	memcpy(out, token, n);
	out[n] = '\0';
	return (long)n;
}

long
jwt_make(char *out, size_t cap, const struct jwt_claims *c,
    const struct jwt_key *k)
{
	unsigned char text[JWT_TEXT_MAX];
	struct json_out o = { text, sizeof(text), 0, 0 };

	jwt_put_claims(&o, c, k);
	return jwt_sign(out, cap, &o, k->secret);
}

long
jwt_make_bare(char *out, size_t cap, const struct jwt_claims *c,
    const struct jwt_key *k)
{
	unsigned char text[JWT_TEXT_MAX];
	struct json_out o = { text, sizeof(text), 0, 0 };

	jwt_put_string(&o, "{\"sub\":", c->sub);
	jwt_put_time(&o, ",\"exp\":", c->exp);
	json_put(&o, "}");
	return jwt_sign(out, cap, &o, k->secret);
}

const char *
jwt_verify(struct jwt_claims *c, struct view token, const struct jwt_key *k,
    long long now)
{
	unsigned char text[JWT_TEXT_MAX];
	struct jwt_parts t;
	struct json v;
	const char *fault;

	if (jwt_split(&t, token) == -1)
		return jwt_malformed;
	if (!jwt_mac_ok(&t, k))
		return jwt_mac_fault(&t);
	if (jwt_object(&v, text, t.header) == -1)
		return jwt_malformed;
	fault = jwt_header_fault(&v);
	if (fault != NULL)
		return fault;
	if (jwt_object(&v, text, t.claims) == -1)
		return jwt_malformed;
	fault = jwt_claims_read(c, &v);
	if (fault != NULL)
		return fault;
	return jwt_claims_fault(c, &v, k, now);
}

int
jwt_peek(struct jwt_claims *c, struct view token)
{
	unsigned char text[JWT_TEXT_MAX];
	struct jwt_parts t;
	struct json v;

	memset(c, 0, sizeof(*c));
	if (jwt_split(&t, token) == -1 ||
	    jwt_object(&v, text, t.claims) == -1)
		return -1;
	if (jwt_sub(&v, c->sub) == -1)
		return -1;
	return jwt_time(&v, "exp", &c->exp);
}
