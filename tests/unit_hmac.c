/*
 * Tests of hmac.c: published vectors, splits, encodings, and tokens good and
 * bad.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../pipegate.h"
#include "check.h"

#define TEXT(s) s, sizeof(s) - 1

static const char *
hex(const unsigned char *b, size_t n)
{
	static char out[2 * 64 + 1];
	size_t i;

	for (i = 0; i < n && i < 64; i++)
		sprintf(out + 2 * i, "%02x", b[i]);
	out[2 * i] = '\0';
	return out;
}

/* Hex text of n digits into a heap block of exactly that size. */
static unsigned char *
unhex(const char *s, size_t n)
{
	unsigned char *b = malloc(n / 2 + 1);
	unsigned int octet;
	size_t i;

	if (b == NULL)
		abort();
	for (i = 0; i < n / 2; i++) {
		sscanf(s + 2 * i, "%2x", &octet);
		b[i] = (unsigned char)octet;
	}
	return b;
}

static void
sha256(unsigned char out[SHA256_SIZE], const void *b, size_t n)
{
	struct hmac_sha256_ctx c;

	hmac_sha256_init(&c);
	hmac_sha256_update(&c, b, n);
	hmac_sha256_final(&c, out);
}

/* Octets that no period of a hash's blocks fits. */
static void
pattern(unsigned char *b, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		b[i] = (unsigned char)(i * 7 + 3);
}

/* ----------------------------------------------------------------- hashes */

/* The examples of FIPS 180-4 and of RFC 6234 section 8.5 that are made of whole
 * octets, and RFC 6455 section 1.3. */
static void
test_hashes(void)
{
	static const struct {
		const char *text;
		size_t n;
		const char *sha1;
		const char *sha256;
	} t[] = {
		{ TEXT(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709",
		    "e3b0c44298fc1c149afbf4c8996fb924"
		    "27ae41e4649b934ca495991b7852b855" },
		{ TEXT("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d",
		    "ba7816bf8f01cfea414140de5dae2223"
		    "b00361a396177a9cb410ff61f20015ad" },
		{ TEXT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnop"
		    "nopq"), "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
		    "248d6a61d20638b8e5c026930c3e6039"
		    "a33ce45964ff2167f6ecedd419db06c1" },
		{ TEXT("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijkl"
		    "mnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrst"
		    "u"), "a49b2446a02c645bf419f995b67091253a04a259",
		    "cf5b16a778af8380036ce59e7b049237"
		    "0b249b11e8f07a51afac45037afee9d1" },
		{ TEXT("\x5e"), "5e6f80a34a9798cafc6a5db96cc57ba4c4db59c2",
		    NULL },
		{ TEXT("\x19"), NULL, "68aa2e2ee5dff96e3355e6c7ee373e3d"
		    "6a4e17f75f9518d843709c0c9bc3e3d4" },
		{ TEXT("\x9a\x7d\xfd\xf1\xec\xea\xd0\x6e\xd6\x46\xaa\x55"
		    "\xfe\x75\x71\x46"),
		    "82abff6605dbe1c17def12a394fa22a82b544a35", NULL },
		{ TEXT("\xe3\xd7\x25\x70\xdc\xdd\x78\x7c\xe3\x88\x7a\xb2"
		    "\xcd\x68\x46\x52"), NULL,
		    "175ee69b02ba9b58e2b0a5fd13819cea"
		    "573f3940a94f825128cf4209beabb4e8" },
		{ TEXT("dGhlIHNhbXBsZSBub25jZQ=="
		    "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"),
		    "b37a4f2cc0624f1690f64606cf385945b2bec4ea", NULL },
	};
	unsigned char out[SHA256_SIZE], *copy;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		copy = check_exact(t[i].text, t[i].n);
		hmac_sha1(out, copy, t[i].n);
		CHECK(t[i].sha1 == NULL ||
		    strcmp(hex(out, SHA1_SIZE), t[i].sha1) == 0,
		    "SHA-1 of row %zu: %s", i, hex(out, SHA1_SIZE));
		sha256(out, copy, t[i].n);
		CHECK(t[i].sha256 == NULL ||
		    strcmp(hex(out, SHA256_SIZE), t[i].sha256) == 0,
		    "SHA-256 of row %zu: %s", i, hex(out, SHA256_SIZE));
		free(copy);
	}
}

/* The two long ones of the same documents. */
static void
test_hash_million(void)
{
	unsigned char out[SHA256_SIZE], *b = malloc(1000000);
	size_t i;

	if (b == NULL)
		abort();
	for (i = 0; i < 640; i++)
		b[i] = (unsigned char)('0' + i % 8);
	hmac_sha1(out, b, 640);
	CHECK(strcmp(hex(out, SHA1_SIZE),
	    "dea356a2cddd90c7a7ecedc5ebb563934f460452") == 0,
	    "SHA-1 of 640 digits");
	sha256(out, b, 640);
	CHECK(strcmp(hex(out, SHA256_SIZE), "594847328451bdfa85056225462cc1d8"
	    "67d877fb388df0ce35f25ab5562bfbb5") == 0, "SHA-256 of 640 digits");
	memset(b, 'a', 1000000);
	hmac_sha1(out, b, 1000000);
	CHECK(strcmp(hex(out, SHA1_SIZE),
	    "34aa973cd4c4daa4f61eeb2bdbad27316534016f") == 0, "SHA-1");
	sha256(out, b, 1000000);
	CHECK(strcmp(hex(out, SHA256_SIZE), "cdc76e5c9914fb9281a1c7e284d73e67"
	    "f1809a48a497200e046d39ccc7112cd0") == 0, "SHA-256");
	free(b);
}

/* Digests of every length from 0 to 200, hashed together.  The three results
 * come from another implementation. */
static void
test_hash_lengths(void)
{
	struct hmac_sha256_ctx macs, sha256s;
	unsigned char b[200], out[SHA256_SIZE], all[201 * SHA1_SIZE], *copy;
	size_t n;

	pattern(b, sizeof(b));
	hmac_sha256_init(&sha256s);
	hmac_sha256_init(&macs);
	for (n = 0; n <= sizeof(b); n++) {
		copy = check_exact(b, n);
		hmac_sha1(all + n * SHA1_SIZE, copy, n);
		sha256(out, copy, n);
		hmac_sha256_update(&sha256s, out, sizeof(out));
		hmac_sign(out, copy, n, copy, n);
		hmac_sha256_update(&macs, out, sizeof(out));
		free(copy);
	}
	hmac_sha1(out, all, sizeof(all));
	CHECK(strcmp(hex(out, SHA1_SIZE),
	    "02d79069dc73ad0af03448abfaffbb710334f1e9") == 0, "SHA-1");
	hmac_sha256_final(&sha256s, out);
	CHECK(strcmp(hex(out, SHA256_SIZE), "3275febb4612d86d586eb9f11cd21e64"
	    "8a9fc7d95e0f6b8d362786e28c9c5b79") == 0, "SHA-256");
	hmac_sha256_final(&macs, out);
	CHECK(strcmp(hex(out, SHA256_SIZE), "9833cf498bb797554580623a3870a14c"
	    "34b68eb9aab9d4e056655b5e20c88445") == 0, "HMAC");
}

/* Lengths about each power of two up to 64 KiB, hashed together as above. */
static void
test_hash_long(void)
{
	struct hmac_sha256_ctx sha256s;
	unsigned char *b = malloc(65537), out[SHA256_SIZE];
	unsigned char all[27 * SHA1_SIZE];
	size_t i, n;

	if (b == NULL)
		abort();
	pattern(b, 65537);
	hmac_sha256_init(&sha256s);
	for (i = 0; i < 27; i++) {
		n = ((size_t)256 << i / 3) + i % 3 - 1;
		sha256(out, b, n);
		hmac_sha256_update(&sha256s, out, sizeof(out));
		hmac_sha1(all + i * SHA1_SIZE, b, n);
	}
	hmac_sha1(out, all, sizeof(all));
	CHECK(strcmp(hex(out, SHA1_SIZE),
	    "1a1402b050292a51366652790b9430be8426fd1a") == 0, "SHA-1");
	hmac_sha256_final(&sha256s, out);
	CHECK(strcmp(hex(out, SHA256_SIZE), "f1cb2eb1bcd75c47596ed08695016"
	    "5abbb69a2857e3cabdd8eda380543e96124") == 0, "SHA-256");
	free(b);
}

/* Every length in two pieces, cut everywhere, and octet by octet. */
static void
test_hash_pieces(void)
{
	struct hmac_sha256_ctx c;
	unsigned char b[200], want[SHA256_SIZE], got[SHA256_SIZE];
	size_t n, cut;

	pattern(b, sizeof(b));
	for (n = 0; n <= sizeof(b); n++) {
		sha256(want, b, n);
		for (cut = 0; cut <= n; cut++) {
			hmac_sha256_init(&c);
			hmac_sha256_update(&c, b, cut);
			hmac_sha256_update(&c, b + cut, n - cut);
			hmac_sha256_final(&c, got);
			CHECK(memcmp(got, want, sizeof(want)) == 0,
			    "%zu octets cut at %zu", n, cut);
		}
		hmac_sha256_init(&c);
		for (cut = 0; cut < n; cut++)
			hmac_sha256_update(&c, b + cut, 1);
		hmac_sha256_final(&c, got);
		CHECK(memcmp(got, want, sizeof(want)) == 0,
		    "%zu octets one by one", n);
	}
}

/* RFC 4231, as key and data of a repeated text each. */
static void
test_hmac_rfc(void)
{
	static const struct {
		const char *key;
		int key_times;
		const char *data;
		int data_times;
		const char *mac;
	} t[] = {
		{ "\x0b", 20, "Hi There", 1,
		    "b0344c61d8db38535ca8afceaf0bf12b"
		    "881dc200c9833da726e9376c2e32cff7" },
		{ "Jefe", 1, "what do ya want for nothing?", 1,
		    "5bdcc146bf60754e6a042426089575c7"
		    "5a003f089d2739839dec58b964ec3843" },
		{ "\xaa", 20, "\xdd", 50,
		    "773ea91e36800e46854db8ebd09181a7"
		    "2959098b3ef8c122d9635514ced565fe" },
		{ "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e"
		    "\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19", 1,
		    "\xcd", 50,
		    "82558a389a443c0ea4cc819899f2083a"
		    "85f0faa3e578f8077a2e3ff46729665b" },
		{ "\x0c", 20, "Test With Truncation", 1,
		    "a3b6167473100ee06e0c796c2955552b" },
		{ "\xaa", 131, "Test Using Larger Than Block-Size Key - "
		    "Hash Key First", 1,
		    "60e431591ee0b67f0d8a26aacbf5b77f"
		    "8e0bc6213728c5140546040f0ee37f54" },
		{ "\xaa", 131, "This is a test using a larger than block-size"
		    " key and a larger than block-size data. The key needs to"
		    " be hashed before being used by the HMAC algorithm.", 1,
		    "9b09ffa71b942fcb27635fbcd5b0e944"
		    "bfdc63644f0713938a7f51535c3a35e2" },
	};
	char key[256], data[256];
	unsigned char out[SHA256_SIZE];
	size_t i;
	int k;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		key[0] = data[0] = '\0';
		for (k = 0; k < t[i].key_times; k++)
			strcat(key, t[i].key);
		for (k = 0; k < t[i].data_times; k++)
			strcat(data, t[i].data);
		hmac_sign(out, key, strlen(key), data, strlen(data));
		CHECK(strncmp(hex(out, sizeof(out)), t[i].mac,
		    strlen(t[i].mac)) == 0, "case %zu: %s", i + 1,
		    hex(out, sizeof(out)));
	}
}

/* Keys shorter than a block, as long, and longer, each with messages of 0 to
 * 140 octets; the MACs hashed together come from another implementation. */
static void
test_hmac_keys(void)
{
	static const size_t sizes[] = {
		0, 1, 16, 31, 32, 33, 55, 56, 63, 64, 65, 66, 127, 128, 129, 200
	};
	struct hmac_sha256_ctx all;
	unsigned char b[200], out[SHA256_SIZE], *key_copy, *copy;
	size_t i, n;

	pattern(b, sizeof(b));
	hmac_sha256_init(&all);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (n = 0; n <= 140; n++) {
			key_copy = check_exact(b, sizes[i]);
			copy = check_exact(b, n);
			hmac_sign(out, key_copy, sizes[i], copy, n);
			hmac_sha256_update(&all, out, sizeof(out));
			free(copy);
			free(key_copy);
		}
	hmac_sha256_final(&all, out);
	CHECK(strcmp(hex(out, SHA256_SIZE), "9b85d317fca73899c144cc13987369c6"
	    "ef710824e2af42b90e64ddaa4656157a") == 0, "all MACs");
}

/* One bit changed in the key or in the message gives another MAC. */
static void
test_hmac_bits(void)
{
	unsigned char text[96], key_text[40], want[SHA256_SIZE];
	unsigned char got[SHA256_SIZE], *b;
	size_t bit;

	pattern(text, sizeof(text));
	pattern(key_text, sizeof(key_text));
	hmac_sign(want, key_text, sizeof(key_text), text, sizeof(text));
	for (bit = 0; bit < 8 * (sizeof(key_text) + sizeof(text)); bit++) {
		b = bit / 8 < sizeof(key_text) ? key_text + bit / 8 :
		    text + (bit / 8 - sizeof(key_text));
		*b = (unsigned char)(*b ^ 1 << bit % 8);
		hmac_sign(got, key_text, sizeof(key_text), text, sizeof(text));
		CHECK(!hmac_equal(want, got, sizeof(want)), "bit %zu", bit);
		*b = (unsigned char)(*b ^ 1 << bit % 8);
	}
}

static void
test_equal(void)
{
	unsigned char a[SHA256_SIZE], b[SHA256_SIZE];
	size_t i;
	int bit;

	pattern(a, sizeof(a));
	memcpy(b, a, sizeof(a));
	CHECK(hmac_equal(a, b, sizeof(a)), "equal");
	CHECK(hmac_equal(a, b, 0), "nothing is equal");
	for (i = 0; i < sizeof(a); i++)
		for (bit = 0; bit < 8; bit++) {
			b[i] = (unsigned char)(a[i] ^ 1 << bit);
			CHECK(!hmac_equal(a, b, sizeof(a)),
			    "octet %zu, bit %d", i, bit);
			CHECK(hmac_equal(a, b, i), "before octet %zu", i);
			b[i] = a[i];
		}
}

static void
test_wipe(void)
{
	unsigned char b[16];
	size_t i;

	memset(b, 0xa5, sizeof(b));
	hmac_wipe(b + 1, sizeof(b) - 2);
	for (i = 1; i < sizeof(b) - 1; i++)
		CHECK(b[i] == 0, "octet %zu is left", i);
	CHECK(b[0] == 0xa5 && b[sizeof(b) - 1] == 0xa5, "no more than asked");
}

/* ----------------------------------------------------- published vectors */

/* The value behind "name" at the start of a line from *at on, in *n octets;
 * *at moves behind it.  NULL at the end. */
static const char *
rsp_next(const char **at, const char *name, size_t *n)
{
	const char *p = strstr(*at, name);

	if (p == NULL)
		return NULL;
	p += strlen(name);
	*n = strcspn(p, "\r\n");
	*at = p + *n;
	return p;
}

static size_t
rsp_run(const char *file)
{
	const char *at = file, *s, *msg;
	unsigned char out[SHA256_SIZE], *b;
	size_t n, msg_n, bits, count = 0;

	while ((s = rsp_next(&at, "\nLen = ", &n)) != NULL) {
		bits = strtoul(s, NULL, 10);
		msg = rsp_next(&at, "\nMsg = ", &msg_n);
		s = rsp_next(&at, "\nMD = ", &n);
		if (msg == NULL || s == NULL)
			break;
		b = unhex(msg, bits / 4);
		sha256(out, b, bits / 8);
		CHECK(n == 64 && memcmp(hex(out, sizeof(out)), s, n) == 0,
		    "Len = %zu", bits);
		free(b);
		count++;
	}
	return count;
}

static void
test_cavp(void)
{
	static const char *const names[] = {
		"SHA256ShortMsg", "SHA256LongMsg"
	};
	char path[1024], *file;
	size_t i, n;

	if (check_vectors() == NULL)
		return;
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/sha256/%s.rsp",
		    check_vectors(), names[i]);
		file = check_file(path, &n);
		CHECK(file != NULL && rsp_run(file) > 60, "%s", path);
		free(file);
	}
}

/* The hex text of a member, as octets in a heap block. */
static unsigned char *
member_octets(const struct json *v, const char *name, size_t *n)
{
	struct json val;

	if (json_find(v, name, &val) != 1 || val.type != JSON_STRING)
		abort();
	*n = (val.raw.n - 2) / 2;
	return unhex((const char *)val.raw.p + 1, val.raw.n - 2);
}

static void
wycheproof_case(const struct json *test, size_t tag_size)
{
	unsigned char out[SHA256_SIZE], *key, *msg, *tag;
	size_t key_n, msg_n, tag_n;
	struct json id, result;
	int valid;

	key = member_octets(test, "key", &key_n);
	msg = member_octets(test, "msg", &msg_n);
	tag = member_octets(test, "tag", &tag_n);
	hmac_sign(out, key, key_n, msg, msg_n);
	valid = tag_n == tag_size && hmac_equal(out, tag, tag_n);
	CHECK(json_find(test, "result", &result) == 1 &&
	    json_find(test, "tcId", &id) == 1 &&
	    json_equal(&result, "valid") == valid, "tcId %.*s",
	    (int)id.raw.n, (const char *)id.raw.p);
	free(key);
	free(msg);
	free(tag);
}

static size_t
wycheproof_group(const struct json *group)
{
	struct json tests, test, size;
	struct json_iter it;
	long long bits;
	size_t count = 0;

	if (json_find(group, "tests", &tests) != 1 ||
	    json_find(group, "tagSize", &size) != 1 ||
	    json_integer(&size, &bits) == -1)
		return 0;
	json_iter_init(&it, &tests);
	for (; json_iter_next(&it, NULL, &test); count++)
		wycheproof_case(&test, (size_t)bits / 8);
	return count;
}

static void
test_wycheproof(void)
{
	char path[1024], *file;
	struct json v, groups, group;
	struct json_iter it;
	size_t n, count = 0;

	if (check_vectors() == NULL)
		return;
	snprintf(path, sizeof(path), "%s/hmac/hmac_sha256_test.json",
	    check_vectors());
	file = check_file(path, &n);
	if (file != NULL && json_parse(&v, (unsigned char *)file, n) == 0 &&
	    json_find(&v, "testGroups", &groups) == 1) {
		json_iter_init(&it, &groups);
		while (json_iter_next(&it, NULL, &group))
			count += wycheproof_group(&group);
	}
	CHECK(count == 174, "%zu cases in %s", count, path);
	free(file);
}

/* ----------------------------------------------------------------- base64 */

/* RFC 4648 section 10, and the characters in which the alphabets differ. */
static void
test_base64_table(void)
{
	static const struct {
		const char *plain;
		size_t n;
		const char *base64;
		const char *base64url;
	} t[] = {
		{ TEXT(""), "", "" }, { TEXT("f"), "Zg==", "Zg" },
		{ TEXT("fo"), "Zm8=", "Zm8" }, { TEXT("foo"), "Zm9v", "Zm9v" },
		{ TEXT("foob"), "Zm9vYg==", "Zm9vYg" },
		{ TEXT("fooba"), "Zm9vYmE=", "Zm9vYmE" },
		{ TEXT("foobar"), "Zm9vYmFy", "Zm9vYmFy" },
		{ TEXT("\0\0\0"), "AAAA", "AAAA" },
		{ TEXT("\xfb\xff\xbf"), "+/+/", "-_-_" },
		{ TEXT("\xff\xff"), "//8=", "__8" },
	};
	unsigned char out[16], *copy;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		CHECK(base64_encode(out, t[i].plain, t[i].n) ==
		    strlen(t[i].base64) &&
		    memcmp(out, t[i].base64, strlen(t[i].base64)) == 0 &&
		    BASE64_SIZE(t[i].n) == strlen(t[i].base64),
		    "base64 of row %zu", i);
		CHECK(base64url_encode(out, t[i].plain, t[i].n) ==
		    strlen(t[i].base64url) &&
		    memcmp(out, t[i].base64url, strlen(t[i].base64url)) == 0,
		    "base64url of row %zu", i);
		copy = check_exact(t[i].base64, strlen(t[i].base64));
		CHECK(base64_decode(copy, copy, strlen(t[i].base64)) ==
		    (long)t[i].n && memcmp(copy, t[i].plain, t[i].n) == 0,
		    "%s in place", t[i].base64);
		free(copy);
		copy = check_exact(t[i].base64url, strlen(t[i].base64url));
		CHECK(base64url_decode(copy, copy, strlen(t[i].base64url)) ==
		    (long)t[i].n && memcmp(copy, t[i].plain, t[i].n) == 0,
		    "%s in place", t[i].base64url);
		free(copy);
	}
}

static void
test_base64_lines(void)
{
	static const struct {
		const char *text;
		long n;
	} t[] = {
		{ "\r\n", 0 }, { "Zm9v\r\nYmFy\r\n", 6 }, { "Zm9vYm\nFy", 6 },
		{ "\nZ\r\nm\n9\nv", 3 }, { "Zm8\n=\n", 2 }, { "Zg=\r\n=", 1 },
		{ "Zg\n==\n", 1 }, { "Z\n", -1 }, { "Zm9\nv\nY", -1 },
		{ "Zg==\nZg==", -1 }, { "Zm9v Zm9v", -1 }, { "Zm9v\tZm9v", -1 },
		{ "Zm9v=", -1 }, { "Zm9v====", -1 }, { "====", -1 },
		{ "=", -1 }, { "Z===", -1 }, { "Zg=", -1 }, { "Zg", -1 },
		{ "Zm8", -1 }, { "Z=g=", -1 }, { "=Zg=", -1 }, { "Zg=g", -1 },
		{ "Zh==", -1 }, { "Zm9=", -1 }, { "Zm9v\\u", -1 },
		{ "-_-_", -1 }, { "Zm9\xff", -1 }, { "Zm8==", -1 },
		{ "Zg==Zm9v", -1 }, { "Zm8=Zm9v", -1 }, { "Zg===", -1 },
		{ "Zg==\n\n\n\n\n\n\n\n", 1 }, { "Zg==\r\nA", -1 },
	};
	unsigned char *copy, *out;
	size_t i, n;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		n = strlen(t[i].text);
		copy = check_exact(t[i].text, n);
		out = check_exact(copy, n / 4 * 3);
		CHECK(base64_decode(out, copy, n) == t[i].n, "row %zu: %s",
		    i, t[i].text);
		CHECK(t[i].n < 0 || memcmp(out, "foobar", (size_t)t[i].n) == 0,
		    "row %zu decoded", i);
		free(out);
		free(copy);
	}
}

static void
test_base64url_refused(void)
{
	static const char *const t[] = {
		"Z", "Zm9vY", "Zg==", "Zm8=", "Zm9v\n", "Zm9v Zg", "Zh", "Zm9",
		"+/+/", "Zm9v\r\nZg", "Zm9v.", "\xff\xff\xff\xff", "Zg=",
		"    ", "Z-_"
	};
	unsigned char out[8], *copy;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		copy = check_exact(t[i], strlen(t[i]));
		CHECK(base64url_decode(out, copy, strlen(t[i])) == -1,
		    "accepted %s", t[i]);
		free(copy);
	}
}

/* Every octet value at every place of a quad is of the alphabet or refused,
 * and what is accepted is written again as it was. */
static void
test_base64_octets(void)
{
	unsigned char quad[4], out[3], again[4];
	size_t at;
	int c;
	long accepted = 0;

	for (at = 0; at < 4; at++)
		for (c = 0; c < 256; c++) {
			memset(quad, 'A', 4);
			quad[at] = (unsigned char)c;
			if (base64url_decode(out, quad, 4) != 3)
				continue;
			accepted++;
			base64url_encode(again, out, 3);
			CHECK(memcmp(again, quad, 4) == 0, "%d at %zu", c, at);
		}
	CHECK(accepted == 4 * 64, "%ld of the alphabet", accepted);
}

/* There and back for every length, whole, in place, and in pieces of 3. */
static void
test_base64_lengths(void)
{
	unsigned char b[200], text[BASE64_SIZE(200)], piece[BASE64_SIZE(200)];
	unsigned char *copy;
	size_t n, at, len, step;

	pattern(b, sizeof(b));
	for (n = 0; n <= sizeof(b); n++) {
		len = base64_encode(text, b, n);
		CHECK(len == BASE64_SIZE(n), "size for %zu", n);
		copy = check_exact(text, len);
		CHECK(base64_decode(copy, copy, len) == (long)n &&
		    memcmp(copy, b, n) == 0, "%zu there and back", n);
		free(copy);
		for (at = len = 0; at < n; at += step) {
			step = n - at < 9 ? n - at : 9;
			len += base64_encode(piece + len, b + at, step);
		}
		CHECK(memcmp(piece, text, len) == 0, "%zu in pieces", n);
		len = base64url_encode(text, b, n);
		CHECK(base64url_decode(text, text, len) == (long)n &&
		    memcmp(text, b, n) == 0, "%zu in base64url", n);
	}
}

/* ----------------------------------------------------------------- tokens */

static const struct jwt_key key = {
	"change-me-to-something-secret-32bytes", NULL, "pipegate", "pipegate"
};

/* A token of the reference implementation with that secret. */
static const char sample[] =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJzdWIiOiJteS1hcHAiLCJleHAiOjE3OTcxODU3MTIsIm5iZiI6MTc5NTM3MTMxMiwiaWF0"
    "IjoxNzk1MzcxMzEyLCJpc3MiOiJwaXBlZ2F0ZSIsImF1ZCI6InBpcGVnYXRlIiwianRpIjoi"
    "MmFiMjI4MTgxY2M4NGM2ZWEyODQ3NjJmZTcwYmQwY2IifQ."
    "ppWM_jhc7LzUQMkDh5340jCQs4ZDAR1lCy7bpJuO8VI";

#define SAMPLE_IAT 1795371312LL
#define SAMPLE_EXP 1797185712LL

static struct view
view_of(const void *p, size_t n)
{
	struct view v;

	v.p = p;
	v.n = n;
	return v;
}

/* What jwt_verify says to an exact-size copy; "" when it accepts. */
static const char *
verify(struct jwt_claims *c, const void *p, size_t n, long long now)
{
	unsigned char *copy = check_exact(p, n);
	const char *why = jwt_verify(c, view_of(copy, n), &key, now);

	free(copy);
	return why != NULL ? why : "";
}

static void
test_jwt_sample(void)
{
	struct jwt_claims c, made;
	char out[512];
	size_t n = sizeof(sample) - 1, cap;

	memset(&c, 0xa5, sizeof(c));
	CHECK(strcmp(verify(&c, sample, n, SAMPLE_IAT), "") == 0, "accepted");
	CHECK(strcmp(c.sub, "my-app") == 0 && c.exp == SAMPLE_EXP &&
	    c.nbf == SAMPLE_IAT && c.iat == SAMPLE_IAT &&
	    strcmp(c.jti, "2ab228181cc84c6ea284762fe70bd0cb") == 0, "claims");
	memset(&made, 0, sizeof(made));
	strcpy(made.sub, "my-app");
	strcpy(made.jti, "2ab228181cc84c6ea284762fe70bd0cb");
	made.exp = SAMPLE_EXP;
	made.nbf = made.iat = SAMPLE_IAT;
	CHECK(jwt_make(out, sizeof(out), &made, &key) == (long)n &&
	    strcmp(out, sample) == 0, "made just so: %s", out);
	CHECK(jwt_make(out, n + 1, &made, &key) == (long)n, "room enough");
	for (cap = 0; cap <= n; cap++)
		CHECK(jwt_make(out, cap, &made, &key) == -1, "room for %zu",
		    cap);
}

/* RFC 7515 appendix A.1. */
static void
test_jws_rfc(void)
{
	static const char input[] =
	    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJ"
	    "leHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp"
	    "0cnVlfQ";
	static const char secret[] =
	    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0i"
	    "PS4hcgUuTwjAzZr1Z9CAow";
	static const char want[] =
	    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
	unsigned char k[64], mac[SHA256_SIZE], text[64];

	CHECK(base64url_decode(k, (const unsigned char *)secret,
	    sizeof(secret) - 1) == 64, "the key");
	hmac_sign(mac, k, sizeof(k), input, sizeof(input) - 1);
	CHECK(base64url_encode(text, mac, sizeof(mac)) == sizeof(want) - 1 &&
	    memcmp(text, want, sizeof(want) - 1) == 0, "the signature");
}

/* Puts a token of any header and claims, signed well, into out. */
static size_t
token_of(char *out, const char *header, size_t hn, const char *claims,
    size_t cn)
{
	unsigned char mac[SHA256_SIZE], *o = (unsigned char *)out;
	size_t n;

	n = base64url_encode(o, header, hn);
	o[n++] = '.';
	n += base64url_encode(o + n, claims, cn);
	hmac_sign(mac, key.secret, strlen(key.secret), out, n);
	o[n++] = '.';
	return n + base64url_encode(o + n, mac, sizeof(mac));
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define REST "\"exp\":2000,\"nbf\":1000,\"iat\":1000,\"iss\":\"pipegate\"," \
    "\"aud\":\"pipegate\",\"jti\":\"j\"}"
#define CLAIMS "{\"sub\":\"app\"," REST
#define TIMES(e, n, i) "{\"sub\":\"app\",\"exp\":" e ",\"nbf\":" n \
    ",\"iat\":" i ",\"iss\":\"pipegate\",\"aud\":\"pipegate\",\"jti\":\"j\"}"
#define PARTIES(i, a) "{\"sub\":\"app\",\"exp\":2000,\"nbf\":1000," \
    "\"iat\":1000,\"iss\":" i ",\"aud\":" a ",\"jti\":\"j\"}"
#define JTI(j) "{\"sub\":\"app\",\"exp\":2000,\"nbf\":1000,\"iat\":1000," \
    "\"iss\":\"pipegate\",\"aud\":\"pipegate\",\"jti\":" j "}"
#define LACKS(c) "{\"sub\":\"app\"," c "\"x\":0}"
#define EXP "\"exp\":2000,"
#define NBF "\"nbf\":1000,"
#define IAT "\"iat\":1000,"
#define ISS "\"iss\":\"pipegate\","
#define AUD "\"aud\":\"pipegate\","
#define JT "\"jti\":\"j\","

#define BAD_FORM "token is malformed"
#define BAD_ALG "token algorithm is not HS256"
#define BAD_HEADER "token header is not supported"
#define BAD_SUB "token names no usable connection id"
#define BAD_EXP "token has no usable exp"
#define BAD_NBF "token has no usable nbf"
#define BAD_IAT "token has no usable iat"
#define BAD_JTI "token has no usable jti"
#define BAD_ISS "token has the wrong issuer"
#define BAD_AUD "token has the wrong audience"
#define EXPIRED "token has expired"
#define EARLY "token is not valid yet"

/* All at the time 1500, with a MAC that is right. */
static void
test_jwt_reasons(void)
{
	static const struct {
		const char *header;
		size_t hn;
		const char *claims;
		size_t cn;
		const char *why;
	} t[] = {
		{ TEXT(HEADER), TEXT(CLAIMS), "" },
		{ TEXT("{\"alg\":\"HS256\"}"), TEXT(CLAIMS), "" },
		{ TEXT("{\"typ\":\"jWt\",\"kid\":\"1\",\"jku\":\"http://x\","
		    "\"x5u\":1,\"jwk\":{},\"alg\":\"\\u0048S256\"}"),
		    TEXT(CLAIMS), "" },
		{ TEXT(HEADER), TEXT(" {\"more\":[{\"sub\":1}],\n"
		    "\"sub\":\"A-z.0_9~\"," REST), "" },
		{ TEXT(HEADER), TEXT(TIMES("2e3", "1000.0", "10e2")), "" },
		{ TEXT(HEADER), TEXT(TIMES("1501", "1505", "1505")), "" },
		{ TEXT(HEADER), TEXT(TIMES("9007199254740991", "0", "-1")),
		    "" },
		{ TEXT(HEADER), TEXT(PARTIES("\"pipegate\"",
		    "[\"x\",\"pipegate\"]")), "" },
		{ TEXT(HEADER), TEXT(JTI("\"\"")), "" },

		{ TEXT(""), TEXT(CLAIMS), BAD_FORM },
		{ TEXT("[]"), TEXT(CLAIMS), BAD_FORM },
		{ TEXT("\"HS256\""), TEXT(CLAIMS), BAD_FORM },
		{ TEXT("{\"alg\":\"HS256\"} x"), TEXT(CLAIMS), BAD_FORM },
		{ TEXT("{\"alg\":\"HS256\",\"alg\":\"HS256\"}"),
		    TEXT(CLAIMS), BAD_FORM },
		{ TEXT("{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}"),
		    TEXT(CLAIMS), BAD_FORM },
		{ TEXT("{\"alg\":\"HS256\",\"k\":1,\"k\":1}"),
		    TEXT(CLAIMS), BAD_FORM },
		{ TEXT("{\"alg\":\"HS256\",\"\\u0000\":1}"),
		    TEXT(CLAIMS), BAD_FORM },
		{ TEXT("{}"), TEXT(CLAIMS), BAD_ALG },
		{ TEXT("{\"alg\":\"none\"}"), TEXT(CLAIMS), BAD_ALG },
		{ TEXT("{\"alg\":\"hs256\"}"), TEXT(CLAIMS), BAD_ALG },
		{ TEXT("{\"alg\":\"HS256 \"}"), TEXT(CLAIMS), BAD_ALG },
		{ TEXT("{\"alg\":\"HS512\"}"), TEXT(CLAIMS), BAD_ALG },
		{ TEXT("{\"alg\":[\"HS256\"]}"), TEXT(CLAIMS), BAD_ALG },
		{ TEXT("{\"alg\":null}"), TEXT(CLAIMS), BAD_ALG },
		{ TEXT("{\"alg\":\"HS256\",\"crit\":[]}"),
		    TEXT(CLAIMS), BAD_HEADER },
		{ TEXT("{\"alg\":\"HS256\",\"zip\":\"DEF\"}"),
		    TEXT(CLAIMS), BAD_HEADER },
		{ TEXT("{\"alg\":\"HS256\",\"b64\":true}"),
		    TEXT(CLAIMS), BAD_HEADER },
		{ TEXT("{\"alg\":\"HS256\",\"typ\":\"JWS\"}"),
		    TEXT(CLAIMS), BAD_HEADER },
		{ TEXT("{\"alg\":\"HS256\",\"typ\":\"JWTX\"}"),
		    TEXT(CLAIMS), BAD_HEADER },
		{ TEXT("{\"alg\":\"HS256\",\"typ\":null}"),
		    TEXT(CLAIMS), BAD_HEADER },

		{ TEXT(HEADER), TEXT(""), BAD_FORM },
		{ TEXT(HEADER), TEXT("[" CLAIMS "]"), BAD_FORM },
		{ TEXT(HEADER), TEXT("null"), BAD_FORM },
		{ TEXT(HEADER), TEXT(CLAIMS ","), BAD_FORM },
		{ TEXT(HEADER), TEXT("{\"sub\":\"app\",\"sub\":\"app\"," REST),
		    BAD_FORM },
		{ TEXT(HEADER), TEXT("{\"sub\":\"app\",\"x\":1,\"\\u0078\":1,"
		    REST), BAD_FORM },
		{ TEXT(HEADER), TEXT("{\"sub\":\"\xff\"," REST), BAD_FORM },

		{ TEXT(HEADER), TEXT("{" REST), BAD_SUB },
		{ TEXT(HEADER), TEXT("{\"sub\":7," REST), BAD_SUB },
		{ TEXT(HEADER), TEXT("{\"sub\":\"\"," REST), BAD_SUB },
		{ TEXT(HEADER), TEXT("{\"sub\":\"..\"," REST), BAD_SUB },
		{ TEXT(HEADER), TEXT("{\"sub\":\"healthz\"," REST), BAD_SUB },
		{ TEXT(HEADER), TEXT("{\"sub\":\"a/b\"," REST), BAD_SUB },
		{ TEXT(HEADER), TEXT("{\"sub\":\"app\\u0000\"," REST),
		    BAD_SUB },
		{ TEXT(HEADER), TEXT(LACKS(NBF IAT ISS AUD JT)), BAD_EXP },
		{ TEXT(HEADER), TEXT(LACKS(EXP IAT ISS AUD JT)), "" },
		{ TEXT(HEADER), TEXT(LACKS(EXP NBF ISS AUD JT)), "" },
		{ TEXT(HEADER), TEXT(LACKS(EXP NBF IAT AUD JT)), "" },
		{ TEXT(HEADER), TEXT(LACKS(EXP NBF IAT ISS JT)), "" },
		{ TEXT(HEADER), TEXT(LACKS(EXP NBF IAT ISS AUD)), "" },
		{ TEXT(HEADER), TEXT(LACKS(EXP NBF IAT ISS AUD JT)), "" },
		{ TEXT(HEADER), TEXT("{\"sub\":\"app\",\"exp\":2000}"), "" },
		{ TEXT(HEADER), TEXT("{\"sub\":\"app\"}"), BAD_EXP },
		{ TEXT(HEADER), TEXT("{\"exp\":2000}"), BAD_SUB },
		{ TEXT(HEADER), TEXT("{\"sub\":\"app\",\"exp\":1500}"),
		    EXPIRED },
		{ TEXT(HEADER), TEXT(LACKS(EXP "\"nbf\":1506,")), EARLY },
		{ TEXT(HEADER), TEXT(LACKS(EXP "\"iat\":1506,")), EARLY },
		{ TEXT(HEADER), TEXT(LACKS(EXP "\"nbf\":null,")), BAD_NBF },
		{ TEXT(HEADER), TEXT(LACKS(EXP "\"iat\":null,")), BAD_IAT },
		{ TEXT(HEADER), TEXT(LACKS(EXP "\"jti\":null,")), BAD_JTI },
		{ TEXT(HEADER), TEXT(LACKS(EXP "\"iss\":null,")), BAD_ISS },
		{ TEXT(HEADER), TEXT(LACKS(EXP "\"iss\":\"\",")), BAD_ISS },
		{ TEXT(HEADER), TEXT(LACKS(EXP "\"aud\":null,")), BAD_AUD },
		{ TEXT(HEADER), TEXT(LACKS(EXP "\"aud\":[],")), BAD_AUD },
		{ TEXT(HEADER), TEXT(LACKS(EXP EXP)), BAD_FORM },
		{ TEXT(HEADER), TEXT(TIMES("\"2000\"", "1", "1")), BAD_EXP },
		{ TEXT(HEADER), TEXT(TIMES("2000.5", "1", "1")), BAD_EXP },
		{ TEXT(HEADER), TEXT(TIMES("null", "1", "1")), BAD_EXP },
		{ TEXT(HEADER), TEXT(TIMES("1e99", "1", "1")), BAD_EXP },
		{ TEXT(HEADER), TEXT(TIMES("9007199254740992", "1", "1")),
		    BAD_EXP },
		{ TEXT(HEADER), TEXT(TIMES("2000", "true", "1")), BAD_NBF },
		{ TEXT(HEADER), TEXT(TIMES("2000", "-9007199254740992", "1")),
		    BAD_NBF },
		{ TEXT(HEADER), TEXT(TIMES("2000", "1", "0.1")), BAD_IAT },
		{ TEXT(HEADER), TEXT(JTI("5")), BAD_JTI },
		{ TEXT(HEADER), TEXT(JTI("null")), BAD_JTI },
		{ TEXT(HEADER), TEXT(JTI("\"\\u0000\"")), BAD_JTI },

		{ TEXT(HEADER), TEXT(TIMES("1500", "1000", "1000")), EXPIRED },
		{ TEXT(HEADER), TEXT(TIMES("1499", "1000", "1000")), EXPIRED },
		{ TEXT(HEADER), TEXT(TIMES("-1", "1000", "1000")), EXPIRED },
		{ TEXT(HEADER), TEXT(TIMES("2000", "1506", "1000")), EARLY },
		{ TEXT(HEADER), TEXT(TIMES("2000", "1000", "1506")), EARLY },
		{ TEXT(HEADER), TEXT(PARTIES("\"Pipegate\"", "\"pipegate\"")),
		    BAD_ISS },
		{ TEXT(HEADER), TEXT(PARTIES("[\"pipegate\"]",
		    "\"pipegate\"")), BAD_ISS },
		{ TEXT(HEADER), TEXT(PARTIES("\"pipegate\"", "\"pipegat\"")),
		    BAD_AUD },
		{ TEXT(HEADER), TEXT(PARTIES("\"pipegate\"", "[]")), BAD_AUD },
		{ TEXT(HEADER), TEXT(PARTIES("\"pipegate\"", "[\"x\"]")),
		    BAD_AUD },
		{ TEXT(HEADER), TEXT(PARTIES("\"pipegate\"",
		    "[\"pipegate\",1]")), BAD_AUD },
		{ TEXT(HEADER), TEXT(PARTIES("\"pipegate\"",
		    "[[\"pipegate\"]]")), BAD_AUD },
		{ TEXT(HEADER), TEXT(PARTIES("\"pipegate\"",
		    "{\"pipegate\":\"pipegate\"}")), BAD_AUD },
	};
	struct jwt_claims c;
	const char *why;
	char token[2048];
	size_t i, n;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		n = token_of(token, t[i].header, t[i].hn, t[i].claims,
		    t[i].cn);
		why = verify(&c, token, n, 1500);
		CHECK(strcmp(why, t[i].why) == 0, "row %zu: \"%s\", not \"%s\"",
		    i, why, t[i].why);
	}
}

/* What is wrong before any claim counts. */
static void
test_jwt_unsigned(void)
{
	static const struct {
		const char *token;
		const char *why;
	} t[] = {
		{ "", BAD_FORM }, { ".", BAD_FORM }, { "..", BAD_FORM },
		{ "a.b.c", BAD_FORM }, { "...", BAD_FORM },
		{ "eyJhbGciOiJIUzI1NiJ9", BAD_FORM },
		{ "eyJhbGciOiJIUzI1NiJ9.e30", BAD_FORM },
		{ "eyJhbGciOiJIUzI1NiJ9.e30.AA.AA", BAD_FORM },
		{ "eyJhbGciOiJIUzI1NiJ9.e30.", "token has a bad signature" },
		{ "eyJhbGciOiJIUzI1NiJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		    "AAAAAAAAAAA", "token has a bad signature" },
		{ "eyJhbGciOiJIUzI1NiJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		    "token has a bad signature" },
		{ "eyJhbGciOiJub25lIn0.e30.", BAD_ALG },
		{ "eyJhbGciOiJIUzUxMiJ9.e30.AAAA", BAD_ALG },
		{ "e30.e30.AAAA", BAD_ALG },
		{ "eyJhbGciOiJIUzI1NiJ9=.e30.AAAA", BAD_FORM },
	};
	struct jwt_claims c;
	const char *why;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		why = verify(&c, t[i].token, strlen(t[i].token), 1500);
		CHECK(strcmp(why, t[i].why) == 0, "%s: \"%s\", not \"%s\"",
		    t[i].token, why, t[i].why);
	}
}

/* Every octet of a good token changed in several ways, every truncation, and
 * an octet more: all refused. */
static void
test_jwt_tampered(void)
{
	static const char other[] = { 'A', 'B', '-', '.', '=', ' ', '\0' };
	struct jwt_claims c;
	char token[sizeof(sample) + 1];
	size_t i, k, n = sizeof(sample) - 1;

	for (i = 0; i < n; i++) {
		for (k = 0; k < sizeof(other); k++) {
			memcpy(token, sample, n);
			if (token[i] == other[k])
				continue;
			token[i] = other[k];
			CHECK(*verify(&c, token, n, SAMPLE_IAT) != '\0',
			    "octet %zu as %d", i, other[k]);
		}
		token[i] = (char)(sample[i] ^ 1);
		CHECK(*verify(&c, token, n, SAMPLE_IAT) != '\0', "octet %zu",
		    i);
		CHECK(*verify(&c, sample, i, SAMPLE_IAT) != '\0', "cut at %zu",
		    i);
	}
	for (k = 0; k < sizeof(other); k++) {
		memcpy(token, sample, n);
		token[n] = other[k];
		CHECK(*verify(&c, token, n + 1, SAMPLE_IAT) != '\0',
		    "%d at the end", other[k]);
	}
}

/* The edges of a token's time, and of its key. */
static void
test_jwt_edges(void)
{
	struct jwt_key wrong = key;
	struct jwt_claims c;
	struct view v = view_of(sample, sizeof(sample) - 1);

	CHECK(jwt_verify(&c, v, &key, SAMPLE_EXP - 1) == NULL, "last second");
	CHECK(strcmp(verify(&c, v.p, v.n, SAMPLE_EXP), EXPIRED) == 0,
	    "at its end");
	CHECK(jwt_verify(&c, v, &key, SAMPLE_IAT - 5) == NULL, "five early");
	CHECK(strcmp(verify(&c, v.p, v.n, SAMPLE_IAT - 6), EARLY) == 0,
	    "six early");
	wrong.secret = "change-me-to-something-secret-32byteS";
	CHECK(strcmp(jwt_verify(&c, v, &wrong, SAMPLE_IAT),
	    "token has a bad signature") == 0, "another secret");
	wrong = key;
	wrong.issuer = "pipegate2";
	CHECK(strcmp(jwt_verify(&c, v, &wrong, SAMPLE_IAT), BAD_ISS) == 0,
	    "another issuer");
	wrong = key;
	wrong.audience = "";
	CHECK(strcmp(jwt_verify(&c, v, &wrong, SAMPLE_IAT), BAD_AUD) == 0,
	    "another audience");
}

/* What verifies a token: the secret, or the one before it, where there is one. */
static void
test_jwt_secrets(void)
{
	static const struct {
		const char *secret, *previous;
		int ok;
	} t[] = {
		{ "new", "old", 1 }, { "old", "new", 1 }, { "old", NULL, 1 },
		{ "new", NULL, 0 }, { "new", "older", 0 }, { "new", "ol", 0 },
		{ "new", "", 0 },
	};
	struct jwt_key k = { "old", "older still", "pipegate", "pipegate" };
	struct jwt_claims c, got;
	char out[512];
	const char *why;
	size_t i;
	long n;

	memset(&c, 0, sizeof(c));
	strcpy(c.sub, "s");
	c.exp = 2000;
	n = jwt_make(out, sizeof(out), &c, &k);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		k.secret = t[i].secret;
		k.previous = t[i].previous;
		why = jwt_verify(&got, view_of(out, (size_t)n), &k, 1500);
		CHECK((why == NULL) == t[i].ok, "row %zu: %s", i,
		    why != NULL ? why : "taken");
		CHECK(t[i].ok || strcmp(why, "token has a bad signature") == 0,
		    "row %zu", i);
	}
}

/* The two claims of a bare token, and that nothing else comes back of it. */
static void
test_jwt_bare(void)
{
	static const char claims[] = "{\"sub\":\"my-app\",\"exp\":2000}";
	struct jwt_claims c, got;
	char out[512], want[512];
	size_t n;

	memset(&c, 0, sizeof(c));
	strcpy(c.sub, "my-app");
	strcpy(c.jti, "not said");
	c.exp = 2000;
	c.nbf = c.iat = 7;
	n = token_of(want, TEXT(HEADER), TEXT(claims));
	CHECK(jwt_make_bare(out, sizeof(out), &c, &key) == (long)n &&
	    memcmp(out, want, n) == 0, "made just so: %s", out);
	CHECK(jwt_make_bare(out, n, &c, &key) == -1, "no room for a NUL");
	memset(&got, 0xa5, sizeof(got));
	CHECK(*verify(&got, want, n, 1999) == '\0', "taken");
	CHECK(strcmp(got.sub, "my-app") == 0 && got.exp == 2000 &&
	    got.nbf == 0 && got.iat == 0 && got.jti[0] == '\0' &&
	    got.ndomains == 0, "claims");
	CHECK(strcmp(verify(&got, want, n, 2000), EXPIRED) == 0, "expired");
}

/* Claims with a filler of n octets; members more of them when asked. */
static const char *
verify_filled(const char *claims_start, size_t fill, int extra_members)
{
	static char token[2 * JWT_SIZE_MAX], claims[JWT_SIZE_MAX];
	struct jwt_claims c;
	size_t n;
	int i;

	n = (size_t)sprintf(claims, "%s", claims_start);
	memset(claims + n, 'x', fill);
	n += fill;
	n += (size_t)sprintf(claims + n, "\"");
	for (i = 0; i < extra_members; i++)
		n += (size_t)sprintf(claims + n, ",\"m%d\":0", i);
	n += (size_t)sprintf(claims + n, "}");
	n = token_of(token, HEADER, sizeof(HEADER) - 1, claims, n);
	return verify(&c, token, n, 1500);
}

#define ALL_BUT(s) "{" EXP NBF IAT ISS AUD s

static void
test_jwt_sizes(void)
{
	/* 36 octets of header, 2 dots, 43 of MAC leave 8111 for claims: 6083
	 * octets of JSON. */
	size_t frame = strlen(ALL_BUT(JT "\"sub\":\"s\",\"f\":\"")) + 2;

	CHECK(strcmp(verify_filled(ALL_BUT(JT "\"sub\":\"s\",\"f\":\""),
	    6083 - frame, 0), "") == 0, "8 KiB");
	CHECK(strcmp(verify_filled(ALL_BUT(JT "\"sub\":\"s\",\"f\":\""),
	    6084 - frame, 0), BAD_FORM) == 0, "one octet more");
	CHECK(strcmp(verify_filled(ALL_BUT(JT "\"sub\":\""), 128, 0), "") == 0,
	    "sub of 128");
	CHECK(strcmp(verify_filled(ALL_BUT(JT "\"sub\":\""), 129, 0),
	    BAD_SUB) == 0, "sub of 129");
	CHECK(strcmp(verify_filled(ALL_BUT("\"sub\":\"s\",\"jti\":\""), 128,
	    0), "") == 0, "jti of 128");
	CHECK(strcmp(verify_filled(ALL_BUT("\"sub\":\"s\",\"jti\":\""), 129,
	    0), BAD_JTI) == 0, "jti of 129");
	CHECK(strcmp(verify_filled(ALL_BUT("\"sub\":\"s\",\"jti\":\""), 1,
	    57), "") == 0, "64 members");
	CHECK(strcmp(verify_filled(ALL_BUT("\"sub\":\"s\",\"jti\":\""), 1,
	    58), BAD_FORM) == 0, "65 members");
}

#define OF(domains) TEXT("{\"sub\":\"s\",\"exp\":2000,\"nbf\":0,\"iat\":0," \
	"\"iss\":\"pipegate\",\"aud\":\"pipegate\",\"jti\":\"\",\"domains\":" \
	domains "}")
#define EIGHT "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\""

/* A list of up to 16 texts; what they say is looked at elsewhere. */
static void
test_jwt_domains(void)
{
	static const struct {
		const char *claims;
		size_t n;
		int domains;		/* -1: refused */
	} t[] = {
		{ OF("[]"), 0 }, { OF("[\"a.example\"]"), 1 },
		{ OF("[\"\",\"\\u00e9\"]"), 2 },
		{ OF("[" EIGHT "," EIGHT "]"), 16 },
		{ OF("[" EIGHT "," EIGHT ",\"a\"]"), -1 },
		{ OF("null"), -1 }, { OF("\"a.example\""), -1 },
		{ OF("{\"a\":\"b\"}"), -1 }, { OF("[1]"), -1 },
		{ OF("[\"a\",null]"), -1 }, { OF("[[\"a\"]]"), -1 },
		{ OF("[\"a\\u0000\"]"), -1 },
		{ OF("[\"a\"],\"domains\":[\"a\"]"), -1 },
	};
	struct jwt_claims c;
	char token[2048];
	size_t i, n;
	int ok;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		memset(&c, 0xa5, sizeof(c));
		n = token_of(token, TEXT(HEADER), t[i].claims, t[i].n);
		ok = verify(&c, token, n, 1500)[0] == '\0';
		CHECK(ok == (t[i].domains >= 0), "row %zu: %d", i, ok);
		CHECK(!ok || c.ndomains == t[i].domains, "row %zu: %d domains",
		    i, c.ndomains);
	}
}

/* The most of the longest that there may be, which all come back. */
static void
test_jwt_domains_made(void)
{
	struct jwt_claims c, got;
	char out[JWT_SIZE_MAX + 1];
	long n;
	int i;

	memset(&c, 0, sizeof(c));
	strcpy(c.sub, "s");
	c.exp = 2000;
	c.ndomains = JWT_DOMAINS_MAX;
	for (i = 0; i < JWT_DOMAINS_MAX; i++)
		memset(c.domain[i], 'a' + i, JWT_DOMAIN_MAX);
	n = jwt_make(out, sizeof(out), &c, &key);
	CHECK(n > 0 && *verify(&got, out, (size_t)n, 1500) == '\0', "verified");
	CHECK(got.ndomains == c.ndomains &&
	    memcmp(got.domain, c.domain, sizeof(c.domain)) == 0, "as made");
}

/* An issuer that must be escaped, and one that makes the token too long. */
static void
test_jwt_make_odd(void)
{
	static char issuer[JWT_SIZE_MAX];
	struct jwt_key k = key;
	struct jwt_claims c, got;
	char out[2 * JWT_SIZE_MAX];
	long n;

	memset(&c, 0, sizeof(c));
	strcpy(c.sub, "s");
	c.exp = 2000;
	k.issuer = "a \"b\"\\ \x01 \xc3\xa9";
	n = jwt_make(out, sizeof(out), &c, &k);
	CHECK(n > 0 && jwt_verify(&got, view_of(out, (size_t)n), &k, 1500) ==
	    NULL, "an odd issuer comes back");
	for (n = 5900; n < 6100; n++) {
		memset(issuer, 'i', (size_t)n);
		k.issuer = issuer;
		if (jwt_make(out, sizeof(out), &c, &k) == -1)
			break;
		CHECK(jwt_verify(&got, view_of(out, strlen(out)), &k, 1500) ==
		    NULL, "issuer of %ld", n);
	}
	CHECK(n > 5900 && n < 6100, "too long at %ld", n);
	memset(issuer, 'i', sizeof(issuer) - 1);
	CHECK(jwt_make(out, sizeof(out), &c, &k) == -1, "far too long");
}

static void
test_jwt_peek(void)
{
	static const struct {
		const char *claims;
		int got;
	} t[] = {
		{ "{\"sub\":\"app\",\"exp\":7}", 0 },
		{ "{\"sub\":\"app\"}", -1 }, { "{\"exp\":7}", -1 },
		{ "{\"sub\":\"a b\",\"exp\":7}", -1 },
		{ "{\"sub\":\"app\",\"exp\":\"7\"}", -1 }, { "[]", -1 },
		{ "", -1 }, { "{\"sub\":\"app\",\"exp\":7,\"exp\":7}", -1 },
	};
	struct jwt_claims c;
	char token[512];
	size_t i, n;
	int got;

	CHECK(jwt_peek(&c, view_of(sample, sizeof(sample) - 1)) == 0 &&
	    strcmp(c.sub, "my-app") == 0 && c.exp == SAMPLE_EXP, "sample");
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		n = token_of(token, "?", 1, t[i].claims, strlen(t[i].claims));
		token[n - 1] = '?';
		got = jwt_peek(&c, view_of(token, n));
		CHECK(got == t[i].got, "%s", t[i].claims);
		CHECK(got == -1 || (c.exp == 7 && strcmp(c.sub, "app") == 0),
		    "claims of %s", t[i].claims);
	}
	CHECK(jwt_peek(&c, view_of("", 0)) == -1, "nothing");
	CHECK(jwt_peek(&c, view_of("a.b", 3)) == -1, "two parts");
}

static void
test_jwt_sub(void)
{
	static const struct {
		const char *s;
		int ok;
	} t[] = {
		{ "a", 1 }, { "my-app", 1 }, { "A.b_c~d-9", 1 }, { "...", 1 },
		{ ".a", 1 }, { "Healthz", 1 }, { "healthz2", 1 }, { "-", 1 },
		{ "", 0 }, { ".", 0 }, { "..", 0 }, { "healthz", 0 },
		{ "a/b", 0 }, { "a b", 0 }, { "a%41", 0 }, { "\xc3\xa9", 0 },
		{ "a?", 0 }, { "a+b", 0 }, { "a@b", 0 }, { "a\n", 0 },
	};
	char longest[JWT_SUB_MAX + 1];
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		CHECK(jwt_sub_ok(view_of(t[i].s, strlen(t[i].s))) == t[i].ok,
		    "%s", t[i].s);
	memset(longest, 'a', sizeof(longest));
	CHECK(jwt_sub_ok(view_of(longest, JWT_SUB_MAX)), "128 octets");
	CHECK(!jwt_sub_ok(view_of(longest, JWT_SUB_MAX + 1)), "129 octets");
	CHECK(!jwt_sub_ok(view_of("a\0b", 3)), "a NUL inside");
}

void
test_hmac(void)
{
	test_hashes();
	test_hash_million();
	test_hash_lengths();
	test_hash_long();
	test_hash_pieces();
	test_hmac_rfc();
	test_hmac_keys();
	test_hmac_bits();
	test_equal();
	test_wipe();
	test_cavp();
	test_wycheproof();
	test_base64_table();
	test_base64_lines();
	test_base64url_refused();
	test_base64_octets();
	test_base64_lengths();
	test_jwt_sample();
	test_jws_rfc();
	test_jwt_reasons();
	test_jwt_unsigned();
	test_jwt_tampered();
	test_jwt_edges();
	test_jwt_secrets();
	test_jwt_bare();
	test_jwt_sizes();
	test_jwt_domains();
	test_jwt_domains_made();
	test_jwt_make_odd();
	test_jwt_peek();
	test_jwt_sub();
}
