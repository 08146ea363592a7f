/*
 * JSON (RFC 8259): a strict reader over a byte view, and a writer.
 *
 * json_parse() checks a whole text once.  Whatever walks it afterwards may
 * then skip over values without looking at their grammar again.
 */
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "pipegate.h"

/* ------------------------------------------------------------- characters
 * UTF-8 (RFC 3629) and the escapes of JSON strings.  Reading is the same for
 * text that is being checked and for text that was: a size, or 0 where no
 * character stands.
 */

/* A word with c in each of its octets. */
#define EACH(c) (UINT64_C(0x0101010101010101) * (c))

static const char escape_letters[] = "\"\\/bfnrt";
static const char escape_meanings[] = "\"\\/\b\f\n\r\t";

#define ESCAPES (sizeof(escape_letters) - 1)

/* The eight octets at p, the first of them lowest. */
static uint64_t
text_word(const unsigned char *p)
{
	return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
	    (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
	    (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
	    (uint64_t)p[7] << 56;
}

/*
 * How many octets of a word stand before the first that is a quote, a
 * backslash, a control or a part of a longer character.  A borrow goes upwards
 * from such an octet alone, so the lowest mark is exact.
 */
static size_t
text_word_plain(uint64_t w)
{
	uint64_t quote = (w ^ EACH('"')) - EACH(1);
	uint64_t slash = (w ^ EACH('\\')) - EACH(1);
	uint64_t control = w - EACH(0x20);
	uint64_t mark = (w | quote | slash | control) >> 7 & EACH(1);

	if (mark == 0)
		return sizeof(w);
	return (size_t)((((mark - 1) & ~mark) & EACH(1)) * EACH(1) >> 56);
}

static int
text_special(unsigned char c)
{
	return (unsigned char)(c - 0x20) >= 0x60 || c == '"' || c == '\\';
}

/* The end of the run of plain ASCII that starts at p.  The last word of many
 * lies partly over the one before it. */
static const unsigned char *
text_plain(const unsigned char *p, const unsigned char *end)
{
	size_t n;

	if (end - p < 8) {
		while (p < end && !text_special(*p))
			p++;
		return p;
	}
	while ((n = text_word_plain(text_word(p))) == 8 && p + 8 < end)
		p = end - p < 16 ? end - 8 : p + 8;
	return p + n;
}

static size_t
utf8_size(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

static size_t
utf8_get(const unsigned char *p, const unsigned char *end, unsigned long *cp)
{
	static const unsigned char bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	static const unsigned long least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t i, n = utf8_size(*p);

	if (n == 0 || (size_t)(end - p) < n)
		return 0;
	*cp = *p & bits[n];
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (p[i] & 0x3fUL);
	}
	if (*cp < least[n] || *cp > 0x10ffff ||
	    (*cp >= 0xd800 && *cp <= 0xdfff))
		return 0;
	return n;
}

static size_t
utf8_put(unsigned char out[4], unsigned long cp)
{
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t i, n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

	for (i = n - 1; i > 0; i--) {
		out[i] = (unsigned char)(0x80 | (cp & 0x3f));
		cp >>= 6;
	}
	out[0] = (unsigned char)(lead[n] | cp);
	return n;
}

/* One UTF-16 unit, written \uXXXX. */
static size_t
escape_unit(const unsigned char *p, const unsigned char *end,
    unsigned long *unit)
{
	int i;
	unsigned long digit;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return 0;
	*unit = 0;
	for (i = 2; i < 6; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			digit = p[i] - (unsigned long)'0';
		else if ((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f')
			digit = (p[i] | 0x20UL) - 'a' + 10;
		else
			return 0;
		*unit = *unit << 4 | digit;
	}
	return 6;
}

/* The escape at p, a backslash; a pair of surrogates is one (section 7). */
static size_t
escape_get(const unsigned char *p, const unsigned char *end,
    unsigned long *cp)
{
	const char *letter;
	unsigned long low;

	if (end - p < 2)
		return 0;
	letter = memchr(escape_letters, p[1], ESCAPES);
	if (letter != NULL) {
		*cp = (unsigned char)escape_meanings[letter - escape_letters];
		return 2;
	}
	if (escape_unit(p, end, cp) == 0)
		return 0;
	if (*cp < 0xd800 || *cp > 0xdfff)
		return 6;
	if (*cp > 0xdbff || escape_unit(p + 6, end, &low) == 0 ||
	    low < 0xdc00 || low > 0xdfff)
		return 0;
	*cp = 0x10000 + ((*cp - 0xd800) << 10) + (low - 0xdc00);
	return 12;
}

static size_t
text_next(const unsigned char *p, const unsigned char *end, unsigned long *cp)
{
	return *p == '\\' ? escape_get(p, end, cp) : utf8_get(p, end, cp);
}

/* ------------------------------------------------------------------ check
 * One pass over the text.  What may come next is a set of wants, what is open
 * is the stack of brackets that will close it.  Scanners of single values
 * return where the value ends, or NULL.
 */

enum scan_want {
	WANT_NOTHING = 0,
	WANT_VALUE = 1,
	WANT_KEY = 2,
	WANT_COMMA = 4,
	WANT_CLOSE = 8		/* goes with one of the others */
};

struct scan {
	const unsigned char *p;
	const unsigned char *end;
	unsigned int want;
	int values;
	int depth;
	unsigned char closer[JSON_DEPTH_MAX];
};

static int
is_space(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const unsigned char *
skip_space(const unsigned char *p, const unsigned char *end)
{
	while (p < end && is_space(*p))
		p++;
	return p;
}

static const unsigned char *
scan_string(const unsigned char *p, const unsigned char *end)
{
	unsigned long cp;
	size_t n;

	if (*p++ != '"')
		return NULL;
	for (;;) {
		p = text_plain(p, end);
		if (p == end || *p < 0x20)
			return NULL;
		if (*p == '"')
			return p + 1;
		n = text_next(p, end, &cp);
		if (n == 0)
			return NULL;
		p += n;
	}
}

static const unsigned char *
scan_literal(const unsigned char *p, const unsigned char *end)
{
	static const struct {
		const char *text;
		size_t n;
	} literals[] = { { "null", 4 }, { "true", 4 }, { "false", 5 } };
	size_t i;

	for (i = 0; i < sizeof(literals) / sizeof(literals[0]); i++)
		if ((size_t)(end - p) >= literals[i].n &&
		    memcmp(p, literals[i].text, literals[i].n) == 0)
			return p + literals[i].n;
	return NULL;
}

static const unsigned char *
scan_digits(const unsigned char *p, const unsigned char *end)
{
	const unsigned char *start = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p > start ? p : NULL;
}

static const unsigned char *
scan_number(const unsigned char *p, const unsigned char *end)
{
	if (*p == '-')
		p++;
	p = p < end && *p == '0' ? p + 1 : scan_digits(p, end);
	if (p != NULL && p < end && *p == '.')
		p = scan_digits(p + 1, end);
	if (p == NULL || p == end || (*p != 'e' && *p != 'E'))
		return p;
	p++;
	if (p < end && (*p == '+' || *p == '-'))
		p++;
	return scan_digits(p, end);
}

static enum json_type
value_type(unsigned char first)
{
	switch (first) {
	case 'n':
		return JSON_NULL;
	case 'f':
		return JSON_FALSE;
	case 't':
		return JSON_TRUE;
	case '"':
		return JSON_STRING;
	case '[':
		return JSON_ARRAY;
	case '{':
		return JSON_OBJECT;
	default:
		return JSON_NUMBER;
	}
}

/* A value is past: what holds it goes on, or all is over. */
static void
scan_past(struct scan *s, const unsigned char *p)
{
	s->p = p;
	s->want = s->depth > 0 ? WANT_COMMA | WANT_CLOSE : WANT_NOTHING;
}

static int
scan_open(struct scan *s, unsigned char closer, enum scan_want want)
{
	if (s->depth == JSON_DEPTH_MAX)
		return -1;
	s->closer[s->depth++] = closer;
	s->p++;
	s->want = want | WANT_CLOSE;
	return 0;
}

static int
scan_value(struct scan *s)
{
	const unsigned char *p;

	if (++s->values > JSON_VALUES_MAX)
		return -1;
	switch (value_type(*s->p)) {
	case JSON_OBJECT:
		return scan_open(s, '}', WANT_KEY);
	case JSON_ARRAY:
		return scan_open(s, ']', WANT_VALUE);
	case JSON_STRING:
		p = scan_string(s->p, s->end);
		break;
	case JSON_NUMBER:
		p = scan_number(s->p, s->end);
		break;
	default:
		p = scan_literal(s->p, s->end);
		break;
	}
	if (p == NULL)
		return -1;
	scan_past(s, p);
	return 0;
}

static int
scan_key(struct scan *s)
{
	const unsigned char *p = scan_string(s->p, s->end);

	if (p == NULL)
		return -1;
	p = skip_space(p, s->end);
	if (p == s->end || *p != ':')
		return -1;
	s->p = p + 1;
	s->want = WANT_VALUE;
	return 0;
}

static int
scan_comma(struct scan *s)
{
	if (*s->p != ',')
		return -1;
	s->p++;
	s->want = s->closer[s->depth - 1] == '}' ? WANT_KEY : WANT_VALUE;
	return 0;
}

static int
scan_step(struct scan *s)
{
	s->p = skip_space(s->p, s->end);
	if (s->p == s->end)
		return -1;
	if ((s->want & WANT_CLOSE) && *s->p == s->closer[s->depth - 1]) {
		s->depth--;
		scan_past(s, s->p + 1);
		return 0;
	}
	if (s->want & WANT_VALUE)
		return scan_value(s);
	return s->want & WANT_KEY ? scan_key(s) : scan_comma(s);
}

int
json_parse(struct json *v, const unsigned char *b, size_t n)
{
	struct scan s;
	const unsigned char *start;

	if (n == 0)
		return -1;
	s.end = b + n;
	s.p = start = skip_space(b, s.end);
	s.want = WANT_VALUE;
	s.values = s.depth = 0;
	while (s.want != WANT_NOTHING)
		if (scan_step(&s) == -1)
			return -1;
	if (skip_space(s.p, s.end) != s.end)
		return -1;
	v->type = value_type(*start);
	v->plain = 0;
	v->raw.p = start;
	v->raw.n = (size_t)(s.p - start);
	return 0;
}

/* ------------------------------------------------------------------- walk
 * Steps over values of a text that was checked.
 */

/* From the opening quote to the closing one, or to the end. */
static const unsigned char *
skip_to_quote(const unsigned char *p, const unsigned char *end, int *plain)
{
	p = text_plain(p + 1, end);
	*plain = p < end && *p == '"';
	while (p < end && *p != '"') {
		p += *p == '\\' && p + 1 < end ? 2 : 1;
		p = text_plain(p, end);
	}
	return p;
}

/* From the opening quote to behind the closing one. */
static const unsigned char *
skip_string(const unsigned char *p, const unsigned char *end, int *plain)
{
	p = skip_to_quote(p, end, plain);
	return p < end ? p + 1 : end;
}

static const unsigned char *
skip_nested(const unsigned char *p, const unsigned char *end)
{
	int depth = 0, plain;

	do {
		if (*p == '"') {
			p = skip_string(p, end, &plain);
			continue;
		}
		if (*p == '[' || *p == '{')
			depth++;
		else if (*p == ']' || *p == '}')
			depth--;
		p++;
	} while (depth > 0 && p < end);
	return p;
}

static const unsigned char *
skip_word(const unsigned char *p, const unsigned char *end)
{
	while (p < end && *p != ',' && *p != ']' && !is_space(*p))
		p++;
	return p;
}

static const unsigned char *
walk_value(struct json *v, const unsigned char *p, const unsigned char *end)
{
	v->type = value_type(*p);
	v->raw.p = p;
	v->plain = 0;
	if (v->type == JSON_STRING)
		p = skip_string(p, end, &v->plain);
	else if (v->type == JSON_ARRAY || v->type == JSON_OBJECT)
		p = skip_nested(p, end);
	else
		p = skip_word(p, end);
	v->raw.n = (size_t)(p - v->raw.p);
	return p;
}

/* Over white space, at most one octet of punctuation, and white space. */
static const unsigned char *
walk_past(const unsigned char *p, const unsigned char *end)
{
	p = skip_space(p, end);
	return p < end ? skip_space(p + 1, end) : p;
}

void
json_iter_init(struct json_iter *it, const struct json *v)
{
	it->is_object = v->type == JSON_OBJECT;
	it->p = it->end = v->raw.p;
	if (v->type != JSON_ARRAY && v->type != JSON_OBJECT)
		return;
	it->end += v->raw.n - 1;
	it->p = skip_space(it->p + 1, it->end);
}

int
json_iter_next(struct json_iter *it, struct json *key, struct json *val)
{
	struct json unused;

	if (it->p >= it->end)
		return 0;
	if (it->is_object) {
		it->p = walk_value(key != NULL ? key : &unused, it->p,
		    it->end);
		it->p = walk_past(it->p, it->end);
	}
	it->p = walk_value(val, it->p, it->end);
	it->p = walk_past(it->p, it->end);
	return 1;
}

/* The two members of the array at p.  Returns where it closes, or NULL. */
static const unsigned char *
walk_two(struct json *first, struct json *second, const unsigned char *p,
    const unsigned char *end)
{
	p = skip_space(p + 1, end);
	if (*p == ']')
		return NULL;
	p = skip_space(walk_value(first, p, end), end);
	if (*p == ']')
		return NULL;
	p = skip_space(p + 1, end);
	p = skip_space(walk_value(second, p, end), end);
	return *p == ']' ? p : NULL;
}

int
json_iter_pair(struct json_iter *it, struct json *first, struct json *second)
{
	const unsigned char *closes;

	if (it->is_object || it->p >= it->end)
		return json_iter_next(it, first, second);
	if (*it->p != '[')
		return -1;
	closes = walk_two(first, second, it->p, it->end);
	if (closes == NULL)
		return -1;
	it->p = walk_past(closes + 1, it->end);
	return 1;
}

int
json_find(const struct json *v, const char *name, struct json *val)
{
	struct json_iter it;
	struct json key, member;
	int found = 0;

	if (v->type != JSON_OBJECT)
		return 0;
	json_iter_init(&it, v);
	while (json_iter_next(&it, &key, &member)) {
		if (!json_equal(&key, name))
			continue;
		if (found)
			return -1;
		found = 1;
		*val = member;
	}
	return found;
}

/* ------------------------------------------------------------------ loose
 * Members of a text that was not checked: strings and brackets are told
 * apart, and that is all.  Functions return where something ends, or NULL
 * where it does not.
 */

static const unsigned char *
loose_string(struct json *v, const unsigned char *p, const unsigned char *end)
{
	v->type = JSON_STRING;
	v->raw.p = p;
	if (p == end || *p != '"')
		return NULL;
	p = skip_to_quote(p, end, &v->plain);
	if (p == end)
		return NULL;
	v->raw.n = (size_t)(p + 1 - v->raw.p);
	return p + 1;
}

/* Brackets of both kinds are counted, so that one kind never closes what the
 * other has opened; to what depth makes no difference. */
static const unsigned char *
loose_nested(const unsigned char *p, const unsigned char *end)
{
	size_t objects = 0, arrays = 0, *kind;
	int plain;

	while (p < end) {
		if (*p == '"') {
			p = skip_string(p, end, &plain);
			continue;
		}
		kind = *p == '{' || *p == '}' ? &objects : &arrays;
		if (*p == '{' || *p == '[')
			++*kind;
		else if ((*p == '}' || *p == ']') && (*kind)-- == 0)
			return NULL;
		p++;
		if (objects == 0 && arrays == 0)
			return p;
	}
	return NULL;
}

/* A number or a literal, or whatever else stands up to the next member. */
static const unsigned char *
loose_word(const unsigned char *p, const unsigned char *end)
{
	const unsigned char *start = p;

	while (p < end && strchr(",]}\" \t\r\n", *p) == NULL)
		p++;
	return p > start ? p : NULL;
}

static const unsigned char *
loose_value(struct json *v, const unsigned char *p, const unsigned char *end)
{
	if (p < end && *p == '"')
		return loose_string(v, p, end);
	v->type = p < end ? value_type(*p) : JSON_NULL;
	v->plain = 0;
	v->raw.p = p;
	p = v->type == JSON_ARRAY || v->type == JSON_OBJECT ?
	    loose_nested(p, end) : loose_word(p, end);
	if (p != NULL)
		v->raw.n = (size_t)(p - v->raw.p);
	return p;
}

void
json_loose_init(struct json_iter *it, const unsigned char *b, size_t n)
{
	it->is_object = 1;
	it->p = it->end = b;
	if (n == 0)
		return;
	it->end = b + n;
	it->p = skip_space(b, it->end);
	it->p = it->p < it->end && *it->p == '{' ? it->p + 1 : it->end;
}

int
json_loose_next(struct json_iter *it, struct json *key, struct json *val)
{
	const unsigned char *p, *end = it->end;

	p = loose_string(key, skip_space(it->p, end), end);
	it->p = end;
	if (p == NULL)
		return 0;
	p = skip_space(p, end);
	if (p == end || *p != ':')
		return 0;
	p = loose_value(val, skip_space(p + 1, end), end);
	if (p == NULL)
		return 0;
	p = skip_space(p, end);
	it->p = p < end && *p == ',' ? p + 1 : end;
	return 1;
}

/* ----------------------------------------------------------------- values
 * What a value that was found says.
 */

long
json_string(const struct json *v, unsigned char *out, size_t cap)
{
	const unsigned char *p, *end, *stop;
	unsigned char utf8[4];
	unsigned long cp;
	size_t n, len = 0;

	if (v->type != JSON_STRING)
		return -1;
	end = v->raw.p + v->raw.n - 1;
	for (p = v->raw.p + 1;; p = stop + n) {
		stop = memchr(p, '\\', (size_t)(end - p));
		n = (size_t)((stop != NULL ? stop : end) - p);
		if (n > cap - len)
			return -1;
		memmove(out + len, p, n);
		len += n;
		if (stop == NULL)
			return (long)len;
		n = escape_get(stop, end, &cp);
		if (n == 0 || utf8_put(utf8, cp) > cap - len)
			return -1;
		len += utf8_put(out + len, cp);
	}
}

long
json_latin1(const struct json *v, unsigned char *out, size_t cap)
{
	const unsigned char *p, *end, *plain;
	unsigned long cp;
	size_t n, len = 0;

	if (v->type != JSON_STRING)
		return -1;
	end = v->raw.p + v->raw.n - 1;
	for (p = v->raw.p + 1;; p += n) {
		plain = p;
		p = text_plain(p, end);
		n = (size_t)(p - plain);
		if (n > cap - len)
			return -1;
		memmove(out + len, plain, n);
		len += n;
		if (p == end)
			return (long)len;
		n = text_next(p, end, &cp);
		if (n == 0 || cp > 0xff || len == cap)
			return -1;
		out[len++] = (unsigned char)cp;
	}
}

int
json_equal(const struct json *v, const char *s)
{
	const unsigned char *p, *end;
	unsigned char utf8[4];
	unsigned long cp;
	size_t n, size;

	if (v->type != JSON_STRING)
		return 0;
	p = v->raw.p + 1;
	n = v->raw.n - 2;
	if (v->plain)
		return strncmp((const char *)p, s, n) == 0 && s[n] == '\0';
	for (end = p + n; p < end; p += n) {
		n = text_next(p, end, &cp);
		if (n == 0 || cp == 0)	/* s cannot hold a NUL */
			return 0;
		size = utf8_put(utf8, cp);
		if (strncmp(s, (const char *)utf8, size) != 0)
			return 0;
		s += size;
	}
	return *s == '\0';
}

/* Appends a digit to a number at or below zero: that side reaches further. */
static int
number_append(long long *i, int digit)
{
	if (*i < (LLONG_MIN + digit) / 10)
		return -1;
	*i = *i * 10 - digit;
	return 0;
}

/* The exponent from its sign on.  Past 10^15 it makes no difference. */
static long long
number_exponent(const unsigned char *p, const unsigned char *end)
{
	int negative = *p == '-';
	long long e = 0;

	if (*p == '-' || *p == '+')
		p++;
	for (; p < end; p++)
		if (e < 1000000000000000)
			e = e * 10 + (*p - '0');
	return negative ? -e : e;
}

/*
 * The digits of a number without its sign, point and exponent, and the power
 * of ten to multiply by.  Zeros count as digits only once another follows.
 */
static int
number_read(const unsigned char *p, const unsigned char *end, long long *i,
    long long *power)
{
	long long zeros = 0, fraction = 0;
	int in_fraction = 0;

	*i = 0;
	for (; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			in_fraction = 1;
			continue;
		}
		fraction += in_fraction;
		zeros++;
		if (*p == '0')
			continue;
		for (; zeros > 1; zeros--)
			if (number_append(i, 0) == -1)
				return -1;
		if (number_append(i, *p - '0') == -1)
			return -1;
		zeros = 0;
	}
	*power = zeros - fraction;
	if (p < end)
		*power += number_exponent(p + 1, end);
	return 0;
}

int
json_integer(const struct json *v, long long *out)
{
	const unsigned char *p = v->raw.p, *end = v->raw.p + v->raw.n;
	long long i, power;
	int negative;

	if (v->type != JSON_NUMBER)
		return -1;
	negative = *p == '-';
	if (number_read(p + negative, end, &i, &power) == -1)
		return -1;
	if (i != 0 && power < 0)
		return -1;
	for (; i != 0 && power > 0; power--)
		if (number_append(&i, 0) == -1)
			return -1;
	if (!negative && i == LLONG_MIN)
		return -1;
	*out = negative ? i : -i;
	return 0;
}

/* ----------------------------------------------------------------- output
 * Each level of nesting is a JSON string around the text: it doubles the
 * backslashes before a quote or backslash and adds one.  So at level n each
 * of these two gets 2^n - 1 before it.
 */

void
json_put_raw(struct json_out *o, const void *p, size_t n)
{
	size_t room = o->len < o->cap ? o->cap - o->len : 0;
	size_t fits = n < room ? n : room;

	if (fits > 0)
		memcpy(o->p + o->len, p, fits);
	o->len += n;
}

static void
out_octet(struct json_out *o, unsigned char c)
{
	size_t i, slashes = 0;

	if (c == '"' || c == '\\')
		slashes = ((size_t)1 << o->nest) - 1;
	for (i = 0; i < slashes; i++)
		json_put_raw(o, "\\", 1);
	json_put_raw(o, &c, 1);
}

static void
out_escape(struct json_out *o, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	const char *meaning = memchr(escape_meanings, c, ESCAPES);

	out_octet(o, '\\');
	if (meaning != NULL) {
		out_octet(o, (unsigned char)
		    escape_letters[meaning - escape_meanings]);
		return;
	}
	json_put_raw(o, "u00", 3);
	json_put_raw(o, &hex[c >> 4], 1);
	json_put_raw(o, &hex[c & 15], 1);
}

/* Each of the next two writes what starts at p, an octet from 80 on, and
 * returns how much of it that was. */
static size_t
out_utf8(struct json_out *o, const unsigned char *p, const unsigned char *end)
{
	unsigned long cp;
	size_t n = utf8_get(p, end, &cp);

	if (n == 0) {
		json_put_raw(o, "\xef\xbf\xbd", 3);
		return 1;
	}
	json_put_raw(o, p, n);
	return n;
}

static size_t
out_latin1(struct json_out *o, const unsigned char *p,
    const unsigned char *end)
{
	unsigned char utf8[4];

	(void)end;
	json_put_raw(o, utf8, utf8_put(utf8, *p));
	return 1;
}

static void
out_quoted(struct json_out *o, struct view v,
    size_t (*out_high)(struct json_out *, const unsigned char *,
    const unsigned char *))
{
	const unsigned char *p = v.p, *end, *plain;

	out_octet(o, '"');
	for (end = v.n > 0 ? p + v.n : p; p < end;) {
		plain = p;
		p = text_plain(p, end);
		json_put_raw(o, plain, (size_t)(p - plain));
		if (p == end)
			break;
		if (*p >= 0x80)
			p += out_high(o, p, end);
		else
			out_escape(o, *p++);
	}
	out_octet(o, '"');
}

void
json_put(struct json_out *o, const char *s)
{
	if (o->nest == 0) {
		json_put_raw(o, s, strlen(s));
		return;
	}
	for (; *s != '\0'; s++)
		out_octet(o, (unsigned char)*s);
}

void
json_put_string(struct json_out *o, struct view v)
{
	out_quoted(o, v, out_utf8);
}

void
json_put_latin1(struct json_out *o, struct view v)
{
	out_quoted(o, v, out_latin1);
}

void
json_put_integer(struct json_out *o, long long i)
{
	char digits[24];
	size_t at = sizeof(digits);
	unsigned long long left = i < 0 ? 0ULL - (unsigned long long)i :
	    (unsigned long long)i;

	do {
		digits[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (i < 0)
		digits[--at] = '-';
	json_put_raw(o, digits + at, sizeof(digits) - at);
}
