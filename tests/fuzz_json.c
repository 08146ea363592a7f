/*
 * Any octets as JSON: what is accepted can be walked and read within its
 * bounds, and comes back the same when it is written and read again.
 */
#include <stdlib.h>
#include <string.h>

#include "../pipegate.h"

int fuzz_json(const unsigned char *p, size_t n);

static void
must(int ok)
{
	if (!ok)
		abort();
}

static int
within(const struct json *v, const struct json *outer)
{
	return v->raw.n > 0 && v->raw.p >= outer->raw.p &&
	    v->raw.p + v->raw.n <= outer->raw.p + outer->raw.n;
}

/* All that can be asked of one value. */
static void
probe(const struct json *v, unsigned char *space)
{
	char text[64];
	struct json val;
	long long i;
	long len, octets;

	len = json_string(v, space, v->raw.n);
	must((len >= 0) == (v->type == JSON_STRING));
	must(!v->plain || (len == (long)v->raw.n - 2 &&
	    memcmp(space, v->raw.p + 1, (size_t)len) == 0));
	if (len > 0)
		must(json_string(v, space, (size_t)len - 1) == -1);
	if (len >= 0 && (size_t)len < sizeof(text)) {
		memcpy(text, space, (size_t)len);
		text[len] = '\0';
		must(json_equal(v, text) ==
		    (memchr(text, '\0', (size_t)len) == NULL));
	}
	octets = json_latin1(v, space, v->raw.n);
	must(octets <= len);
	if (json_integer(v, &i) == 0)
		must(v->type == JSON_NUMBER);
	if (json_find(v, "a", &val) == 1)
		must(within(&val, v));
}

/* The pairs of v are those that walks over it and over each member find. */
static void
pairs(const struct json *v)
{
	struct json_iter one, other, two;
	struct json a, b, member, want_a, want_b;
	int r;

	json_iter_init(&one, v);
	json_iter_init(&other, v);
	while ((r = json_iter_pair(&one, &a, &b)) == 1) {
		if (v->type == JSON_OBJECT) {
			must(json_iter_next(&other, &want_a, &want_b) == 1);
		} else {
			must(json_iter_next(&other, NULL, &member) == 1);
			json_iter_init(&two, &member);
			must(json_iter_next(&two, NULL, &want_a) == 1 &&
			    json_iter_next(&two, NULL, &want_b) == 1 &&
			    json_iter_next(&two, NULL, &member) == 0);
		}
		must(a.raw.p == want_a.raw.p && a.raw.n == want_a.raw.n);
		must(b.raw.p == want_b.raw.p && b.raw.n == want_b.raw.n);
	}
	must(json_iter_next(&other, NULL, &member) == (r == -1));
}

/* A loose walk ends, and what it finds can be asked for what it may be. */
static void
loose(const unsigned char *p, size_t n, unsigned char *space)
{
	struct json_iter it;
	struct json key, val;
	const unsigned char *at = p;

	json_loose_init(&it, p, n);
	while (json_loose_next(&it, &key, &val)) {
		must(key.type == JSON_STRING && key.raw.p > at);
		must(val.raw.p > key.raw.p + key.raw.n && val.raw.n > 0);
		at = val.raw.p + val.raw.n - 1;
		must(at < p + n);
		json_equal(&key, "a");
		json_string(&key, space, n);
		json_string(&val, space, n);
		json_latin1(&val, space, n);
	}
}

/* In a sound object it finds what the strict walk does. */
static void
loose_as_strict(const struct json *v, const unsigned char *p, size_t n)
{
	struct json_iter strict, loosely;
	struct json key, val, want_key, want;

	if (v->type != JSON_OBJECT)
		return;
	json_iter_init(&strict, v);
	json_loose_init(&loosely, p, n);
	while (json_iter_next(&strict, &want_key, &want)) {
		must(json_loose_next(&loosely, &key, &val));
		must(key.raw.p == want_key.raw.p && key.raw.n ==
		    want_key.raw.n && key.plain == want_key.plain);
		must(val.raw.p == want.raw.p && val.raw.n == want.raw.n &&
		    val.type == want.type);
	}
	must(!json_loose_next(&loosely, &key, &val));
}

/* Writes v anew: its strings unescaped and escaped, all else as it was. */
static void
rewrite(struct json_out *o, const struct json *v, unsigned char *space)
{
	struct json key, val;
	struct json_iter it;
	struct view s;
	const char *comma = "";

	probe(v, space);
	if (v->type == JSON_STRING) {
		s.p = space;
		s.n = (size_t)json_string(v, space, v->raw.n);
		json_put_string(o, s);
		return;
	}
	if (v->type != JSON_ARRAY && v->type != JSON_OBJECT) {
		json_put_raw(o, v->raw.p, v->raw.n);
		return;
	}
	pairs(v);
	json_put(o, v->type == JSON_OBJECT ? "{" : "[");
	json_iter_init(&it, v);
	for (; json_iter_next(&it, &key, &val); comma = ",") {
		must(within(&val, v));
		json_put(o, comma);
		if (v->type == JSON_OBJECT) {
			must(within(&key, v));
			rewrite(o, &key, space);
			json_put(o, ":");
		}
		rewrite(o, &val, space);
	}
	json_put(o, v->type == JSON_OBJECT ? "}" : "]");
}

/* Nested once, and put into quotes, the text comes back by unescaping. */
static void
nested(const struct json *v, struct view plain, unsigned char *space)
{
	struct json_out o = { NULL, 0, 0, 1 };
	struct json quoted;
	unsigned char *b;

	rewrite(&o, v, space);
	o.cap = o.len + 1;
	o.len = 1;
	b = o.p = malloc(o.cap + 1);
	must(b != NULL);
	b[0] = '"';
	rewrite(&o, v, space);
	must(o.len == o.cap);
	b[o.len] = '"';
	must(json_parse(&quoted, b, o.len + 1) == 0);
	must(json_string(&quoted, b, o.len + 1) == (long)plain.n);
	must(memcmp(b, plain.p, plain.n) == 0);
	free(b);
}

static void
there_and_back(const struct json *v, unsigned char *space)
{
	struct json_out o = { NULL, 0, 0, 0 }, again;
	struct json read;
	struct view plain;
	unsigned char *b;

	rewrite(&o, v, space);
	o.cap = o.len;
	o.len = 0;
	b = o.p = malloc(2 * o.cap);
	must(b != NULL);
	rewrite(&o, v, space);
	must(o.len == o.cap);
	must(json_parse(&read, b, o.len) == 0);
	must(read.type == v->type && read.raw.n == o.len);
	again = o;
	again.p = b + o.cap;
	again.len = 0;
	rewrite(&again, &read, space);
	must(again.len == o.len && memcmp(again.p, b, o.len) == 0);
	plain.p = b;
	plain.n = o.len;
	nested(&read, plain, space);
	free(b);
}

/* Whatever the octets are, as a string they make JSON. */
static void
any_string(const unsigned char *p, size_t n)
{
	unsigned char *b = malloc(6 * n + 2), *back = malloc(6 * n + 2);
	struct json_out o = { NULL, 6 * n + 2, 0, 0 };
	struct view s;
	struct json v;

	must(b != NULL && back != NULL);
	s.p = p;
	s.n = n;
	o.p = b;
	json_put_latin1(&o, s);
	must(o.len <= o.cap && json_parse(&v, b, o.len) == 0);
	must(json_latin1(&v, back, n) == (long)n);
	must(n == 0 || memcmp(back, p, n) == 0);
	o.len = 0;
	json_put_string(&o, s);
	must(o.len <= o.cap && json_parse(&v, b, o.len) == 0);
	free(b);
	free(back);
}

int
fuzz_json(const unsigned char *p, size_t n)
{
	unsigned char *copy = malloc(n + 1), *space = malloc(n + 1);
	struct json v;

	must(copy != NULL && space != NULL);
	if (n > 0)
		memcpy(copy, p, n);
	any_string(copy, n);
	loose(copy, n, space);
	if (json_parse(&v, copy, n) == 0) {
		loose_as_strict(&v, copy, n);
		there_and_back(&v, space);
	}
	free(copy);
	free(space);
	return 0;
}
