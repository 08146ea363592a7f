/*
 * Any octets as base64 and as tokens.
 */
#include <stdlib.h>
#include <string.h>

#include "../pipegate.h"

int fuzz_base64(const unsigned char *p, size_t n);
int fuzz_jwt(const unsigned char *p, size_t n);

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* A heap block of exactly n octets, or of one where n is 0. */
static unsigned char *
block(const unsigned char *p, size_t n)
{
	unsigned char *b = malloc(n > 0 ? n : 1);

	must(b != NULL);
	if (p != NULL && n > 0)
		memcpy(b, p, n);
	return b;
}

/* ----------------------------------------------------------------- base64 */

static void
encode_decode(const unsigned char *p, size_t n)
{
	unsigned char *text = block(NULL, BASE64_SIZE(n));
	size_t len = base64_encode(text, p, n);

	must(len == BASE64_SIZE(n));
	must(base64_decode(text, text, len) == (long)n);
	must(n == 0 || memcmp(text, p, n) == 0);
	len = base64url_encode(text, p, n);
	must(len <= BASE64_SIZE(n));
	must(base64url_decode(text, text, len) == (long)n);
	must(n == 0 || memcmp(text, p, n) == 0);
	free(text);
}

static void
decode_encode(const unsigned char *p, size_t n)
{
	unsigned char *out = block(NULL, n / 4 * 3);
	unsigned char *again = block(NULL, n + 4);
	long len = base64_decode(out, p, n);
	size_t i, at = 0;

	if (len >= 0) {
		must(base64_encode(again, out, (size_t)len) <= n);
		for (i = 0; i < n; i++)
			if (p[i] != '\r' && p[i] != '\n')
				must(again[at++] == p[i]);
		must(at == BASE64_SIZE((size_t)len));
	}
	free(out);
	out = block(NULL, n / 4 * 3 + 2);
	len = base64url_decode(out, p, n);
	if (len >= 0) {
		must(base64url_encode(again, out, (size_t)len) == n);
		must(n == 0 || memcmp(again, p, n) == 0);
	}
	free(out);
	free(again);
}

int
fuzz_base64(const unsigned char *p, size_t n)
{
	unsigned char *copy = block(p, n), *out = block(NULL, n);
	long len = base64_decode(out, copy, n);

	encode_decode(copy, n);
	decode_encode(copy, n);
	must(base64_decode(copy, copy, n) == len);
	must(len <= 0 || memcmp(copy, out, (size_t)len) == 0);
	free(copy);
	free(out);
	return 0;
}

/* ----------------------------------------------------------------- tokens */

static const struct jwt_key key = {
	"0123456789abcdef", "fedcba9876543210", "iss", "aud"
};

static struct view
view_of(const void *p, size_t n)
{
	struct view v;

	v.p = p;
	v.n = n;
	return v;
}

/* Whether the token ends in its MAC under secret, found without the code under
 * test but for the hash itself. */
static int
mac_is_right(const unsigned char *p, size_t n, const char *secret)
{
	unsigned char mac[SHA256_SIZE], text[BASE64_SIZE(SHA256_SIZE)];
	size_t dot = n, len;

	while (dot > 0 && p[dot - 1] != '.')
		dot--;
	if (dot == 0)
		return 0;
	hmac_sign(mac, secret, strlen(secret), p, dot - 1);
	len = base64url_encode(text, mac, sizeof(mac));
	return n - dot == len && memcmp(p + dot, text, len) == 0;
}

static void
verify_any(const unsigned char *p, size_t n)
{
	struct jwt_claims c;
	const char *why = jwt_verify(&c, view_of(p, n), &key, 1500);

	must(why == NULL || (strlen(why) < 100 && strlen(why) > 0));
	if (why == NULL) {
		must(mac_is_right(p, n, key.secret) ||
		    mac_is_right(p, n, key.previous));
		must(c.exp > 1500 && c.nbf <= 1505 && c.iat <= 1505);
		must(jwt_sub_ok(view_of(c.sub, strlen(c.sub))));
	}
	if (jwt_peek(&c, view_of(p, n)) == 0)
		must(jwt_sub_ok(view_of(c.sub, strlen(c.sub))));
}

/* The octets as a header or as claims, under a MAC that is right. */
static void
verify_signed(const unsigned char *p, size_t n, int as_claims,
    const char *secret)
{
	static const char header[] = "{\"alg\":\"HS256\"}";
	static const char claims[] =
	    "{\"sub\":\"s\",\"exp\":2000,\"nbf\":0,\"iat\":0,\"iss\":\"iss\","
	    "\"aud\":\"aud\",\"jti\":\"\"}";
	unsigned char mac[SHA256_SIZE];
	unsigned char *b = block(NULL, BASE64_SIZE(n) + 256);
	size_t len = 0;

	if (as_claims)
		len = base64url_encode(b, header, sizeof(header) - 1);
	else
		len = base64url_encode(b, p, n);
	b[len++] = '.';
	if (as_claims)
		len += base64url_encode(b + len, p, n);
	else
		len += base64url_encode(b + len, claims, sizeof(claims) - 1);
	hmac_sign(mac, secret, strlen(secret), b, len);
	b[len++] = '.';
	len += base64url_encode(b + len, mac, sizeof(mac));
	verify_any(b, len);
	free(b);
}

/* A token with an id and a jti taken from the octets verifies. */
static void
make_verify(const unsigned char *p, size_t n)
{
	static const char fit[] = "abcXYZ019._~-";
	struct jwt_claims c, got;
	char out[JWT_SIZE_MAX + 1];
	size_t i;
	long len;

	memset(&c, 0, sizeof(c));
	for (i = 0; i < n && i < JWT_SUB_MAX; i++) {
		c.sub[i] = fit[p[i] % (sizeof(fit) - 1)];
		c.jti[i] = (char)(p[i] % 127 + 1);
	}
	if (!jwt_sub_ok(view_of(c.sub, strlen(c.sub))))
		return;
	c.ndomains = (int)(n % (JWT_DOMAINS_MAX + 1));
	for (i = 0; i < (size_t)c.ndomains; i++)
		memcpy(c.domain[i], c.jti, 20);	/* escaped, all still fit */
	c.exp = 1501 + (long long)n;
	c.nbf = c.iat = 1500 - (long long)n;
	len = jwt_make(out, sizeof(out), &c, &key);
	must(len > 0 && out[len] == '\0');
	must(jwt_verify(&got, view_of(out, (size_t)len), &key, 1500) == NULL);
	must(strcmp(got.sub, c.sub) == 0 && strcmp(got.jti, c.jti) == 0);
	must(got.ndomains == c.ndomains);
	for (i = 0; i < (size_t)c.ndomains; i++)
		must(strcmp(got.domain[i], c.domain[i]) == 0);
	must(got.exp == c.exp && got.nbf == c.nbf && got.iat == c.iat);
	out[n % (size_t)len] ^= 1;
	must(jwt_verify(&got, view_of(out, (size_t)len), &key, 1500) != NULL);
	len = jwt_make_bare(out, sizeof(out), &c, &key);
	must(len > 0 && out[len] == '\0');
	must(jwt_verify(&got, view_of(out, (size_t)len), &key, 1500) == NULL);
	must(strcmp(got.sub, c.sub) == 0 && got.exp == c.exp);
	must(got.jti[0] == '\0' && got.ndomains == 0);
}

int
fuzz_jwt(const unsigned char *p, size_t n)
{
	unsigned char *copy = block(p, n);

	verify_any(copy, n);
	verify_signed(copy, n, 0, key.secret);
	verify_signed(copy, n, 1, key.previous);
	make_verify(copy, n);
	free(copy);
	return 0;
}
