/*
 * HTTP/1.1 as pure code: heads read and written, bodies framed, the rules for
 * passing fields on, error answers, and where a path leads.
 *
 * In reading order: octets, views and lists, names, fields and heads,
 * requests, answers, bodies, trailers, output, passing on, error answers,
 * paths.
 */
#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "pipegate.h"

#define METHOD_MAX 64		/* octets; RFC 9110 names none over 17 */
#define LINE_MAX_SIZE (HTTP_TARGET_MAX + 128)	/* of a first line */
#define LISTED_MAX 64		/* elements of all Connection fields */
#define CHUNK_DIGITS_MAX 16
#define CHUNK_SIZE_MAX (1LL << 62)
#define CHUNK_OVERHEAD_MAX 16384	/* extensions less data */

/*
 * Octets.  One table says in which parts of a message each may stand.
 */
enum {
	O_TOKEN = 1,		/* RFC 9110 5.6.2 */
	O_VALUE = 2,		/* HTAB, SP, VCHAR, obs-text */
	O_TARGET = 4,		/* VCHAR without '#' */
	O_HOST = 8,		/* RFC 3986 reg-name without ',' and '%' */
	O_ID = 16		/* connection ids */
};

static const unsigned char octets[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	2, 15, 6, 3, 15, 7, 15, 15, 14, 14, 15, 15, 6, 31, 31, 6,
	31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 6, 14, 6, 14, 6, 6,
	6, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31,
	31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 6, 6, 6, 7, 31,
	7, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31,
	31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 6, 7, 6, 31, 0,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
};

static const unsigned char *
octet_skip(const unsigned char *p, const unsigned char *end, int set)
{
	while (p < end && (octets[*p] & set) != 0)
		p++;
	return p;
}

static int
octet_all(struct view v, int set)
{
	return octet_skip(v.p, v.p + v.n, set) == v.p + v.n;
}

static int
octet_is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

/* The value of a hexadecimal digit, or -1. */
static int
octet_hex(unsigned char c)
{
	if (octet_is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static unsigned char
octet_fold(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Whether eight octets hold neither a control nor DEL.  A subtraction borrows
 * into the top bit of an octet only if that octet, or one below it, is hit. */
static int
octet_eight_plain(const unsigned char *p)
{
	const uint64_t ones = UINT64_MAX / 255;
	uint64_t x, del;

	memcpy(&x, p, sizeof(x));
	del = x ^ ones * 0x7f;
	return ((((x - ones * 0x20) & ~x) | ((del - ones) & ~del)) &
	    ones * 0x80) == 0;
}

/* Skips what may stand in a field value, eight octets at a time up to the
 * first HTAB. */
static const unsigned char *
octet_skip_value(const unsigned char *p, const unsigned char *end)
{
	while (end - p >= 8 && octet_eight_plain(p))
		p += 8;
	return octet_skip(p, end, O_VALUE);
}

/*
 * Views and comma-separated lists (RFC 9110 5.6.1).
 */
static struct view
view_of(const char *s)
{
	struct view v;

	v.p = (const unsigned char *)s;
	v.n = strlen(s);
	return v;
}

static struct view
view_between(const unsigned char *p, const unsigned char *end)
{
	struct view v;

	v.p = p;
	v.n = (size_t)(end - p);
	return v;
}

/* Eight octets as they lie in memory. */
static uint64_t
octet_eight(const unsigned char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/* The same with A to Z in lower case.  The top bit of each octet of upper is
 * set where the seven others, plus what reaches 80, are A to Z. */
static uint64_t
octet_eight_fold(const unsigned char *p)
{
	const uint64_t each = UINT64_C(0x0101010101010101);
	uint64_t w = octet_eight(p), low = w & each * 0x7f;
	uint64_t upper = (low + each * (0x80 - 'A')) & ~w &
	    ~(low + each * (0x7f - 'Z')) & each * 0x80;

	return w | upper >> 2;
}

int
http_same_nocase(struct view a, struct view b)
{
	size_t i = 0;

	if (a.n != b.n)
		return 0;
	for (; a.n - i >= 8; i += 8)
		if (octet_eight_fold(a.p + i) != octet_eight_fold(b.p + i))
			return 0;
	for (; i < a.n; i++)
		if (octet_fold(a.p[i]) != octet_fold(b.p[i]))
			return 0;
	return 1;
}

int
http_begins_nocase(struct view v, const char *s)
{
	struct view prefix = view_of(s);

	if (v.n < prefix.n)
		return 0;
	v.n = prefix.n;
	return http_same_nocase(v, prefix);
}

struct view
http_trim(struct view v)
{
	while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t')) {
		v.p++;
		v.n--;
	}
	while (v.n > 0 && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t'))
		v.n--;
	return v;
}

/* Takes what stands before the first c off the front of v, and c with it. */
static struct view
view_split(struct view *v, int c)
{
	const unsigned char *at = v->n > 0 ? memchr(v->p, c, v->n) : NULL;
	struct view first = *v;

	if (at == NULL) {
		v->n = 0;
		return first;
	}
	first = view_between(v->p, at);
	v->p += first.n + 1;
	v->n -= first.n + 1;
	return first;
}

/* Takes the next element that is not empty.  0 where there is none. */
static int
list_next(struct view *list, struct view *element)
{
	while (list->n > 0) {
		*element = http_trim(view_split(list, ','));
		if (element->n > 0)
			return 1;
	}
	return 0;
}

static int
list_has(struct view list, struct view what)
{
	struct view element;

	while (list_next(&list, &element))
		if (http_same_nocase(element, what))
			return 1;
	return 0;
}

/* The last element, or an empty view. */
static struct view
list_last(struct view list)
{
	struct view element, last = { NULL, 0 };

	while (list_next(&list, &element))
		last = element;
	return last;
}

int
http_equal(struct view v, const char *s)
{
	size_t n = strlen(s);

	return v.n == n && (n == 0 || memcmp(v.p, s, n) == 0);
}

int
http_equal_nocase(struct view v, const char *s)
{
	return http_same_nocase(v, view_of(s));
}

int
http_list_has(struct view v, const char *token)
{
	return list_has(v, view_of(token));
}

/* Reads 1*DIGIT (RFC 9110 8.6).  0, or -1 for anything else or an overflow. */
static int
view_number(struct view v, long long *out)
{
	long long value = 0;
	size_t i;

	if (v.n == 0)
		return -1;
	for (i = 0; i < v.n; i++) {
		int digit = v.p[i] - '0';

		if (!octet_is_digit(v.p[i]) ||
		    value > (LLONG_MAX - digit) / 10)
			return -1;
		value = value * 10 + digit;
	}
	*out = value;
	return 0;
}

/*
 * Names that mean something here, by their length, with the rules for each.
 */
enum name_id {
	N_OTHER, N_ACCEPT, N_CONNECTION, N_CORRELATION, N_DATE, N_EXPECT,
	N_FORWARDED, N_HOST, N_LENGTH, N_MAX_FORWARDS, N_TE, N_TRANSFER,
	N_UPGRADE, N_X_FOR, N_X_HOST, N_X_PREFIX, N_X_PROTO, N_X_REAL
};

enum {
	R_HOP = 1,		/* of one connection: never passed on */
	R_KEPT = 2,		/* Connection may not strip it */
	R_HEAD = 4,		/* not in trailers (RFC 9110 6.5.1) */
	R_FRAMING = 8,		/* says how long a message is */
	R_FORWARDING = 16,	/* says where a request came from, or how */
	R_CROSSES = 32		/* of one connection, but crosses a link: the
				   other side makes it anew */
};

struct name {
	const char *text;
	enum name_id id;
	int rules;
};

static const struct name names[][5] = {
	[2] = { { "te", N_TE, R_HOP | R_HEAD | R_CROSSES } },
	[3] = { { "age", N_OTHER, R_HEAD } },
	[4] = {
		{ "host", N_HOST, R_KEPT | R_HEAD },
		{ "date", N_DATE, R_HEAD },
		{ "vary", N_OTHER, R_HEAD }
	},
	[5] = { { "range", N_OTHER, R_HEAD } },
	[6] = {
		{ "accept", N_ACCEPT, 0 },
		{ "cookie", N_OTHER, R_KEPT | R_HEAD },
		{ "expect", N_EXPECT, R_HEAD },
		{ "pragma", N_OTHER, R_HEAD }
	},
	[7] = {
		{ "upgrade", N_UPGRADE, R_HOP | R_HEAD | R_CROSSES },
		{ "trailer", N_OTHER, R_HEAD },
		{ "expires", N_OTHER, R_HEAD },
		{ "warning", N_OTHER, R_HEAD }
	},
	[8] = {
		{ "location", N_OTHER, R_HEAD },
		{ "if-match", N_OTHER, R_HEAD },
		{ "if-range", N_OTHER, R_HEAD }
	},
	[9] = {
		{ "forwarded", N_FORWARDED, R_KEPT | R_HEAD | R_FORWARDING },
		{ "x-real-ip", N_X_REAL, R_KEPT | R_HEAD | R_FORWARDING }
	},
	[10] = {
		{ "connection", N_CONNECTION, R_HOP | R_HEAD },
		{ "keep-alive", N_OTHER, R_HOP | R_HEAD },
		{ "set-cookie", N_OTHER, R_KEPT | R_HEAD }
	},
	[11] = { { "retry-after", N_OTHER, R_HEAD } },
	[12] = {
		{ "content-type", N_OTHER, R_HEAD },
		{ "max-forwards", N_MAX_FORWARDS, R_HEAD }
	},
	[13] = {
		{ "authorization", N_OTHER, R_KEPT | R_HEAD },
		{ "cache-control", N_OTHER, R_HEAD },
		{ "content-range", N_OTHER, R_HEAD },
		{ "if-none-match", N_OTHER, R_HEAD }
	},
	[14] = {
		{ "content-length", N_LENGTH, R_KEPT | R_HEAD | R_FRAMING }
	},
	[15] = {
		{ "x-forwarded-for", N_X_FOR, R_KEPT | R_HEAD | R_FORWARDING }
	},
	[16] = {
		{ "content-encoding", N_OTHER, R_HEAD },
		{ "x-forwarded-host", N_X_HOST,
		    R_KEPT | R_HEAD | R_FORWARDING },
		{ "proxy-connection", N_OTHER, R_HOP | R_HEAD },
		{ "www-authenticate", N_OTHER, R_HEAD }
	},
	[17] = {
		{ "transfer-encoding", N_TRANSFER,
		    R_HOP | R_HEAD | R_FRAMING },
		{ "x-forwarded-proto", N_X_PROTO,
		    R_KEPT | R_HEAD | R_FORWARDING },
		{ "if-modified-since", N_OTHER, R_HEAD }
	},
	[18] = {
		{ "x-forwarded-prefix", N_X_PREFIX,
		    R_KEPT | R_HEAD | R_FORWARDING },
		{ "proxy-authenticate", N_OTHER, R_HEAD }
	},
	[19] = {
		{ "if-unmodified-since", N_OTHER, R_HEAD },
		{ "proxy-authorization", N_OTHER, R_HEAD }
	},
	[25] = {
		{ "x-pipegate-correlation-id", N_CORRELATION,
		    R_KEPT | R_HEAD | R_FORWARDING },
		{ "proxy-authentication-info", N_OTHER, R_HEAD }
	}
};

static const struct name name_forwarding = {
	"", N_OTHER, R_KEPT | R_HEAD | R_FORWARDING
};
static const struct name name_other = { "", N_OTHER, 0 };

/* More names that services take for the word of a gateway in front of them,
 * by their length: who asked, by which scheme, for which host or path. */
#define CLAIM_MAX 26

static const char *const claims[CLAIM_MAX + 1][10] = {
	[8] = { "x-scheme" },
	[9] = { "client-ip", "path-info" },
	[10] = { "cf-visitor", "fastly-ssl" },
	[11] = {
		"x-client-ip", "x-forwarded", "x-remote-ip", "remote-addr",
		"script-name"
	},
	[12] = { "x-url-scheme" },
	[13] = {
		"fly-client-ip", "forwarded-for", "x-remote-addr",
		"x-rewrite-url", "x-script-name"
	},
	[14] = {
		"cf-pseudo-ipv4", "true-client-ip", "x-original-for",
		"x-original-uri", "x-original-url", "x-proxyuser-ip"
	},
	[15] = {
		"front-end-https", "incap-client-ip", "proxy-client-ip",
		"x-original-host"
	},
	[16] = {
		"cf-connecting-ip", "do-connecting-ip", "fastly-client-ip",
		"x-azure-clientip", "x-azure-socketip", "x-original-proto",
		"x-originating-ip"
	},
	[18] = { "cf-connecting-ipv6", "wl-proxy-client-ip" },
	[19] = { "x-appengine-user-ip", "x-cluster-client-ip" },
	[22] = { "x-vercel-forwarded-for" },
	[24] = { "x-envoy-external-address" },
	[25] = { "cloudfront-viewer-address", "x-nf-client-connection-ip" },
	[26] = { "cloudfront-forwarded-proto" }
};

/* Whether v is text, which has its length and is in lower case. */
static int
name_is(struct view v, const char *text)
{
	size_t i = 0;

	for (; v.n - i >= 8; i += 8)
		if (octet_eight_fold(v.p + i) !=
		    octet_eight((const unsigned char *)text + i))
			return 0;
	for (; i < v.n; i++)
		if (octet_fold(v.p[i]) != (unsigned char)text[i])
			return 0;
	return 1;
}

static const struct name *
name_find(struct view v)
{
	const struct name *row;
	unsigned char last;

	if (v.n == 0)
		return &name_other;
	last = octet_fold(v.p[v.n - 1]);
	if (v.n < sizeof(names) / sizeof(names[0]))
		for (row = names[v.n]; row->text != NULL; row++)
			if ((unsigned char)row->text[v.n - 1] == last &&
			    name_is(v, row->text))
				return row;
	if (octet_fold(v.p[0]) == 'x' &&
	    (http_begins_nocase(v, "x-forwarded-") || http_begins_nocase(v, "x-pipegate-")))
		return &name_forwarding;
	return &name_other;
}

/* The same, and claims are known too. */
static const struct name *
name_find_claim(struct view v)
{
	const struct name *name = name_find(v);
	const char *const *row;
	unsigned char last;

	if (name != &name_other || v.n == 0 || v.n > CLAIM_MAX)
		return name;
	last = octet_fold(v.p[v.n - 1]);
	for (row = claims[v.n]; *row != NULL; row++)
		if ((unsigned char)(*row)[v.n - 1] == last &&
		    name_is(v, *row))
			return &name_forwarding;
	return name;
}

/* The same for a name of a request, as a service may take it: CGI and what
 * follows it cannot tell '_' from '-'.  So a name that is another's double is
 * a claim, where that other one is forwarding or framing. */
static const struct name *
name_take(struct view v)
{
	unsigned char text[CLAIM_MAX + 1];
	const struct name *name = name_find_claim(v);
	size_t i;

	if (name != &name_other || v.n == 0 || memchr(v.p, '_', v.n) == NULL)
		return name;
	/* Of a longer one no more matters than how it begins. */
	if (v.n > sizeof(text))
		v.n = sizeof(text);
	for (i = 0; i < v.n; i++)
		text[i] = v.p[i] == '_' ? '-' : v.p[i];
	v.p = text;
	name = name_find_claim(v);
	return (name->rules & (R_FORWARDING | R_FRAMING)) != 0 ?
	    &name_forwarding : &name_other;
}

const struct http_field *
http_field_find(const struct http_field *f, size_t n, const char *name)
{
	struct view want = view_of(name);
	size_t i;

	for (i = 0; i < n; i++)
		if (f[i].name.n == want.n && http_same_nocase(f[i].name, want))
			return &f[i];
	return NULL;
}

struct view
http_field_value(const struct http_head *h, const char *name)
{
	const struct view none = { (const unsigned char *)"", 0 };
	const struct http_field *f = http_field_find(h->field, h->nfields,
	    name);

	return f != NULL ? f->value : none;
}

/*
 * Fields and heads.  A head is read in two steps: its first line as soon as
 * that is there, all the rest once the empty line has come.  *scanned holds
 * twice the offset before which no end was found, plus one when the first
 * line was seen to be good.
 *
 * Whose head it is makes little difference: one that crosses a link is whole
 * and may be a little larger, since the server has added to it, and says
 * nothing of a connection, since it has none of its own.
 */
struct speaker {
	size_t head_max, fields_max;
	int has_connection;
};

static const struct speaker speaker_peer = {
	HTTP_HEAD_MAX, HTTP_FIELDS_MAX, 1
};
static const struct speaker speaker_link = {
	HTTP_LINK_HEAD_MAX, HTTP_LINK_FIELDS, 0
};

/* Parses the field line at p.  A CRLF stands before end.  NULL: malformed. */
static const unsigned char *
head_field(struct http_field *f, const unsigned char *p,
    const unsigned char *end)
{
	const unsigned char *q = octet_skip(p, end, O_TOKEN);

	if (q == p || *q != ':')
		return NULL;
	f->name = view_between(p, q);
	p = q + 1;
	q = octet_skip_value(p, end);
	if (q[0] != '\r' || q[1] != '\n')
		return NULL;
	f->value = http_trim(view_between(p, q));
	return q + 2;
}

/* Parses the field lines of p up to end, where the last one's CRLF is past;
 * max of them at most. */
static int
head_fields(struct http_field *f, size_t *n, size_t max,
    const unsigned char *p, const unsigned char *end)
{
	*n = 0;
	while (p < end) {
		if (*n == max)
			return -431;
		p = head_field(&f[*n], p, end);
		if (p == NULL)
			return -400;
		++*n;
	}
	return 0;
}

/* Looks for the empty line from b[*at] on.  Returns the size of what it ends,
 * 0 where it has not come, -400 for a bare LF. */
static int
head_scan(const unsigned char *b, size_t n, size_t *at)
{
	const unsigned char *lf;

	while (*at < n && (lf = memchr(b + *at, '\n', n - *at)) != NULL) {
		*at = (size_t)(lf - b);
		if (*at == 0 || lf[-1] != '\r')
			return -400;
		if (*at == 1 || lf[-2] == '\n')
			return (int)*at + 1;
		++*at;
	}
	*at = n;
	return 0;
}

/* Parses the first line as soon as it is whole.  Returns its size with the
 * CRLF, 0, or minus a status. */
static int
head_line(struct http_head *h, const unsigned char *b, size_t n, size_t from,
    int (*parse)(struct http_head *, struct view))
{
	size_t max = n < LINE_MAX_SIZE ? n : LINE_MAX_SIZE;
	const unsigned char *lf = NULL;
	int rc;

	if (from < max)
		lf = memchr(b + from, '\n', max - from);
	if (lf == NULL)
		return max == LINE_MAX_SIZE ? -414 : 0;
	if (lf == b || lf[-1] != '\r')
		return -400;
	rc = parse(h, view_between(b, lf - 1));
	return rc < 0 ? rc : (int)(lf - b) + 1;
}

/* Reads a head.  Returns its size, 0, or minus a status for a request. */
static int
head_read(struct http_head *h, const struct speaker *who,
    const unsigned char *b, size_t n, size_t *scanned,
    int (*parse)(struct http_head *, struct view))
{
	size_t most = n < who->head_max ? n : who->head_max;
	size_t at = *scanned / 2;
	int line = 0, size, rc;

	memset(h, 0, offsetof(struct http_head, field));
	if (*scanned % 2 == 0) {
		line = head_line(h, b, most, at, parse);
		if (line <= 0) {
			*scanned = 2 * most;
			return line;
		}
		at = (size_t)line;
	}
	size = head_scan(b, most, &at);
	*scanned = 2 * at + 1;
	if (size == 0 && most == who->head_max)
		return -431;
	if (size <= 0)
		return size;
	if (line == 0)			/* it was taken in an earlier call */
		line = head_line(h, b, most, 0, parse);
	h->lines = view_between(b + line, b + size - 2);
	rc = head_fields(h->field, &h->nfields, who->fields_max, h->lines.p,
	    b + size - 2);
	return rc < 0 ? rc : size;
}

/* What the fields of a head say about the message and its connection. */
struct head_facts {
	size_t hosts, lengths, codings;	/* how many of each */
	struct view host, length, coding;	/* the last of them */
	size_t hops;			/* fields that may not cross a link */
	size_t listed;			/* elements of Connection */
	int close, keep_alive, upgrade, te;	/* in Connection */
	int has_upgrade, te_trailers, te_other;
	int expects, expects_other;
	int dated, correlated;
};

static void
head_connection(struct head_facts *t, struct view value)
{
	struct view token;

	while (list_next(&value, &token)) {
		t->listed++;
		t->close |= http_equal_nocase(token, "close");
		t->keep_alive |= http_equal_nocase(token, "keep-alive");
		t->upgrade |= http_equal_nocase(token, "upgrade");
		t->te |= http_equal_nocase(token, "te");
	}
}

static void
head_expect(struct head_facts *t, struct view value)
{
	if (http_equal_nocase(value, "100-continue"))
		t->expects = 1;
	else
		t->expects_other = 1;
}

static void
head_te(struct head_facts *t, struct view value)
{
	t->te_trailers |= http_list_has(value, "trailers");
	t->te_other |= !http_equal(value, "trailers");
}

static void
head_fact(struct head_facts *t, const struct http_field *f)
{
	const struct name *name = name_find(f->name);

	t->hops += (name->rules & (R_HOP | R_CROSSES)) == R_HOP;
	switch (name->id) {
	case N_HOST:
		t->hosts++;
		t->host = f->value;
		break;
	case N_LENGTH:
		t->lengths++;
		t->length = f->value;
		break;
	case N_TRANSFER:
		t->codings++;
		t->coding = f->value;
		break;
	case N_CONNECTION:
		head_connection(t, f->value);
		break;
	case N_UPGRADE:
		t->has_upgrade = 1;
		break;
	case N_TE:
		head_te(t, f->value);
		break;
	case N_EXPECT:
		head_expect(t, f->value);
		break;
	case N_DATE:
		t->dated = 1;
		break;
	case N_CORRELATION:
		t->correlated = 1;
		break;
	default:
		break;
	}
}

/* Sets what the fields say of the connection, as far as the head has one. */
static int
head_judge_connection(struct http_head *h, const struct speaker *who,
    const struct head_facts *t)
{
	if (!who->has_connection) {
		h->upgrade = t->has_upgrade != 0;
		h->te_trailers = t->te_trailers != 0;
		return t->hops > 0 || t->te_other ? -400 : 0;
	}
	if (t->listed > LISTED_MAX)
		return -431;
	h->keep_alive = !t->close && (h->minor > 0 || t->keep_alive);
	h->upgrade = h->minor > 0 && t->upgrade && t->has_upgrade;
	h->te_trailers = t->te && t->te_trailers;
	return 0;
}

/* Gathers the facts of h, and sets what both kinds of head have in common.
 * Returns 0, or minus a status. */
static int
head_judge(struct http_head *h, const struct speaker *who,
    struct head_facts *t)
{
	size_t i;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < h->nfields; i++)
		head_fact(t, &h->field[i]);
	h->length = -1;
	h->dated = t->dated != 0;
	h->correlated = t->correlated != 0;
	if (t->lengths > 1 || t->codings > 1 ||
	    (t->lengths == 1 && view_number(t->length, &h->length) == -1))
		return -400;
	if (t->codings > 0 && (t->lengths > 0 || h->minor == 0))
		return -400;
	return head_judge_connection(h, who, t);
}

/*
 * Requests (RFC 9112 section 3).
 */
int
http_method_ok(struct view method)
{
	return method.n > 0 && method.n <= METHOD_MAX &&
	    octet_all(method, O_TOKEN);
}

int
http_path_ok(struct view path)
{
	if (path.n == 0 || !octet_all(path, O_TARGET))
		return 0;
	return path.p[0] == '/' || http_equal(path, "*");
}

/* Methods that no tunnel can serve faithfully. */
static int
req_method_refused(struct view method)
{
	return http_equal(method, "CONNECT") || http_equal(method, "TRACE");
}

/* Parses HTTP-version into the minor one.  Returns 0 or minus a status. */
static int
req_version(struct view v, int *minor)
{
	if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 ||
	    !octet_is_digit(v.p[5]) || v.p[6] != '.' ||
	    !octet_is_digit(v.p[7]) || v.p[5] == '0')
		return -400;
	if (v.p[5] != '1')
		return -505;
	*minor = v.p[7] > '0';
	return 0;
}

/* Whether v is an address of a family, as inet_pton reads it: IPv6 without
 * brackets and zone. */
static int
address_is(int family, struct view v)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (v.n == 0 || v.n >= sizeof(text))
		return 0;
	memcpy(text, v.p, v.n);
	text[v.n] = '\0';
	return strlen(text) == v.n && inet_pton(family, text, &address) == 1;
}

/* Whether v is a port, which may be left empty (RFC 3986 3.2.3). */
static int
host_port_ok(struct view v)
{
	long port = 0;
	size_t i;

	for (i = 0; i < v.n; i++) {
		if (!octet_is_digit(v.p[i]))
			return 0;
		port = port * 10 + (v.p[i] - '0');
		if (port > 65535)
			return 0;
	}
	return 1;
}

/* Takes uri-host [ ":" port ] (RFC 9110 7.2) apart; brackets are left out of
 * host.  Returns 0, or -1 where these or the port are not sound. */
static int
host_split(struct view v, struct view *host, int *bracketed)
{
	*bracketed = v.n > 0 && v.p[0] == '[';
	if (!*bracketed) {
		*host = view_split(&v, ':');
		return host_port_ok(v) ? 0 : -1;
	}
	v.p++;
	v.n--;
	*host = view_split(&v, ']');
	if (v.p[-1] != ']' || view_split(&v, ':').n > 0)
		return -1;
	return host_port_ok(v) ? 0 : -1;
}

/* Whether v names a host.  An empty one is none (RFC 9110 4.2.1). */
static int
req_host_ok(struct view v)
{
	struct view host;
	int bracketed;

	if (host_split(v, &host, &bracketed) == -1)
		return 0;
	return bracketed ? address_is(AF_INET6, host) :
	    host.n > 0 && octet_all(host, O_HOST);
}

/* Parses an absolute-form target whose scheme's size is given.  Its path can
 * be a view only where it has one, or where it is to be "/" alone. */
static int
req_absolute(struct http_head *h, size_t scheme)
{
	const unsigned char *p = h->target.p + scheme;
	const unsigned char *end = h->target.p + h->target.n;
	const unsigned char *q = p;

	while (q < end && *q != '/' && *q != '?')
		q++;
	h->host = view_between(p, q);
	h->path = view_between(q, end);
	if (!req_host_ok(h->host))
		return -400;
	if (q == end)
		h->path = view_of(http_equal(h->method, "OPTIONS") ?
		    "*" : "/");
	return h->path.p[0] == '?' ? -400 : 0;
}

static int
req_target(struct http_head *h)
{
	if (h->target.n > HTTP_TARGET_MAX)
		return -414;
	if (h->target.n == 0 || !octet_all(h->target, O_TARGET))
		return -400;
	if (req_method_refused(h->method))
		return -405;
	h->path = h->target;
	if (h->target.p[0] == '/')
		return 0;
	if (http_begins_nocase(h->target, "http://"))
		return req_absolute(h, 7);
	if (http_begins_nocase(h->target, "https://"))
		return req_absolute(h, 8);
	return http_equal(h->target, "*") &&
	    http_equal(h->method, "OPTIONS") ? 0 : -400;
}

static int
req_line(struct http_head *h, struct view line)
{
	int rc;

	h->method = view_split(&line, ' ');
	h->target = view_split(&line, ' ');
	if (!http_method_ok(h->method))
		return -400;
	if (h->target.n > HTTP_TARGET_MAX)
		return -414;
	rc = req_version(line, &h->minor);
	return rc < 0 ? rc : req_target(h);
}

/* RFC 9112 section 6.3, without its leniencies. */
static int
req_framing(struct http_head *h, const struct head_facts *t)
{
	if (t->codings == 0) {
		h->framing = t->lengths > 0 ? HTTP_LENGTH : HTTP_NO_BODY;
		return 0;
	}
	h->framing = HTTP_CHUNKED;
	if (http_equal_nocase(t->coding, "chunked"))
		return 0;
	return t->coding.n > 0 && octet_all(t->coding, O_TOKEN) ? -501 : -400;
}

/* RFC 9112 section 3.2.  Over a link come requests of HTTP/1.0 as well, in the
 * form of HTTP/1.1. */
static int
req_host(struct http_head *h, const struct speaker *who,
    const struct head_facts *t)
{
	if (t->hosts == 0)
		return h->minor > 0 && who->has_connection ? -400 : 0;
	if (t->hosts > 1 || !req_host_ok(t->host))
		return -400;
	if (h->host.n == 0)
		h->host = t->host;
	return http_same_nocase(h->host, t->host) ? 0 : -400;
}

/* Size of the empty line that may stand before a request line, or -400. */
static int
req_skip(const unsigned char *b, size_t n)
{
	size_t skip = 0;

	if (n > 0 && b[0] == '\r') {
		if (n > 1 && b[1] != '\n')
			return -400;
		skip = n < 2 ? n : 2;
	}
	if (skip < n && (octets[b[skip]] & O_TOKEN) == 0)
		return -400;
	return (int)skip;
}

/* Whether the method is over its cap.  That is so as soon as so many octets
 * of it are there, whatever follows (RFC 9112 section 3). */
static int
req_method_long(const unsigned char *p, size_t n)
{
	return n > METHOD_MAX &&
	    octet_skip(p, p + METHOD_MAX + 1, O_TOKEN) == p + METHOD_MAX + 1;
}

/* Judges a head that was read.  Returns 0, or minus a status. */
static int
req_judge(struct http_head *h, const struct speaker *who)
{
	struct head_facts t;
	int rc;

	if ((rc = head_judge(h, who, &t)) < 0 ||
	    (rc = req_framing(h, &t)) < 0 || (rc = req_host(h, who, &t)) < 0)
		return rc;
	h->expect_continue = h->minor > 0 && t.expects;
	return t.expects_other ? -417 : 0;
}

int
http_request_parse(struct http_head *h, const unsigned char *b, size_t n,
    size_t *scanned)
{
	int skip, size, rc;

	skip = req_skip(b, n);
	if (skip < 0)
		return skip;
	if (req_method_long(b + skip, n - (size_t)skip))
		return -501;
	size = head_read(h, &speaker_peer, b + skip, n - (size_t)skip, scanned,
	    req_line);
	if (size <= 0)
		return size;
	rc = req_judge(h, &speaker_peer);
	return rc < 0 ? rc : skip + size;
}

int
http_link_request_parse(struct http_head *h, const unsigned char *b, size_t n)
{
	size_t scanned = 0;
	int size = head_read(h, &speaker_link, b, n, &scanned, req_line);

	if (size <= 0 || (size_t)size != n || h->path.p != h->target.p)
		return -1;
	return req_judge(h, &speaker_link) < 0 ? -1 : 0;
}

/*
 * Answers (RFC 9112 section 4).
 */
static int
ans_line(struct http_head *h, struct view line)
{
	struct view status;

	if (req_version(view_split(&line, ' '), &h->minor) < 0)
		return -502;
	status = view_split(&line, ' ');
	if (status.n != 3 || !octet_is_digit(status.p[0]) ||
	    !octet_is_digit(status.p[1]) || !octet_is_digit(status.p[2]))
		return -502;
	h->status = (status.p[0] - '0') * 100 + (status.p[1] - '0') * 10 +
	    (status.p[2] - '0');
	h->reason = line;
	return h->status >= 100 && h->status <= 599 &&
	    octet_all(line, O_VALUE) ? 0 : -502;
}

/* Whether an answer of this status has neither body nor Content-Length. */
static int
ans_is_bare(int status)
{
	return status < 200 || status == 204;
}

/* Whether one has no body, whatever was asked for. */
static int
ans_is_bodiless(int status)
{
	return ans_is_bare(status) || status == 304;
}

/* RFC 9112 section 6.3. */
static enum http_framing
ans_framing(const struct http_head *h, const struct head_facts *t,
    struct view method)
{
	if (h->status == 101)
		return HTTP_RAW;
	if (ans_is_bodiless(h->status) || http_equal(method, "HEAD"))
		return HTTP_NO_BODY;
	if (t->codings > 0)
		return HTTP_CHUNKED;
	return t->lengths > 0 ? HTTP_LENGTH : HTTP_UNTIL_CLOSE;
}

/* Judges a head that was read.  Returns 0 or -502. */
static int
ans_judge(struct http_head *h, const struct speaker *who, struct view method)
{
	struct head_facts t;

	if (head_judge(h, who, &t) < 0 ||
	    (t.codings > 0 && !http_equal_nocase(t.coding, "chunked")))
		return -502;
	h->framing = ans_framing(h, &t, method);
	/* A body where there may be none: what follows cannot be trusted. */
	if (h->framing == HTTP_UNTIL_CLOSE || h->framing == HTTP_RAW ||
	    (ans_is_bare(h->status) && (t.codings > 0 || h->length > 0)))
		h->keep_alive = 0;
	return 0;
}

int
http_answer_parse(struct http_head *h, const unsigned char *b, size_t n,
    size_t *scanned, struct view method)
{
	static const unsigned char start[] = "HTTP/1.";
	int size;

	if (n > 0 && memcmp(b, start, n < 7 ? n : 7) != 0)
		return -502;
	size = head_read(h, &speaker_peer, b, n, scanned, ans_line);
	if (size == 0)
		return 0;
	return size < 0 || ans_judge(h, &speaker_peer, method) < 0 ? -502 :
	    size;
}

int
http_link_answer_parse(struct http_head *h, const unsigned char *b, size_t n,
    struct view method)
{
	size_t scanned = 0;
	int size = head_read(h, &speaker_link, b, n, &scanned, ans_line);

	if (size <= 0 || (size_t)size != n)
		return -1;
	return ans_judge(h, &speaker_link, method) < 0 ? -1 : 0;
}

/*
 * Bodies (RFC 9112 section 7).
 */
enum chunk_state {
	CHUNK_BAD, CHUNK_SIZE, CHUNK_LF, CHUNK_DATA, CHUNK_DATA_CR,
	CHUNK_DATA_LF, CHUNK_LAST,
	/* Within extensions. */
	EXT_OVER,		/* white space that only a ';' can follow */
	EXT_BEGIN,		/* behind a ';' */
	EXT_NAME,
	EXT_NAMED,		/* white space behind the name */
	EXT_EQUALS,		/* behind '=' */
	EXT_TOKEN,
	EXT_QUOTED,
	EXT_ESCAPE,		/* behind a backslash */
	EXT_CLOSED		/* behind the closing quote */
};

void
http_body_init(struct http_body *d, enum http_framing framing,
    long long length)
{
	memset(d, 0, sizeof(*d));
	d->framing = framing;
	d->state = CHUNK_SIZE;
	d->left = framing == HTTP_LENGTH ? length : 0;
}

/* Takes a piece of at most d->left octets. */
static enum http_body_event
body_take(struct http_body *d, const unsigned char *in, size_t n,
    struct view *data)
{
	data->p = in;
	data->n = (unsigned long long)d->left < n ? (size_t)d->left : n;
	d->left -= (long long)data->n;
	return HTTP_BODY_DATA;
}

static enum http_body_event
body_until_close(const unsigned char *in, size_t n, size_t *used,
    struct view *data)
{
	if (n == 0)
		return HTTP_BODY_MORE;
	data->p = in;
	data->n = n;
	*used = n;
	return HTTP_BODY_DATA;
}

static enum http_body_event
body_length(struct http_body *d, const unsigned char *in, size_t n,
    size_t *used, struct view *data)
{
	if (d->left == 0)
		return HTTP_BODY_END;
	if (n == 0)
		return HTTP_BODY_MORE;
	body_take(d, in, n, data);
	*used = data->n;
	return HTTP_BODY_DATA;
}

/* One octet of a chunk's size, or the one behind it. */
static enum chunk_state
chunk_size(struct http_body *d, unsigned char c)
{
	int digit = octet_hex(c);

	if (digit >= 0) {
		if (d->digits == CHUNK_DIGITS_MAX ||
		    d->left > (CHUNK_SIZE_MAX - digit) / 16)
			return CHUNK_BAD;
		d->left = d->left * 16 + digit;
		d->digits++;
		return CHUNK_SIZE;
	}
	if (d->digits == 0)
		return CHUNK_BAD;
	if (c == ';')
		return EXT_BEGIN;
	if (c == ' ' || c == '\t')
		return EXT_OVER;
	return c == '\r' ? CHUNK_LF : CHUNK_BAD;
}

/* What octets are to the grammar of extensions. */
enum ext_octet {
	EXT_CONTROL, EXT_OTHER, EXT_TCHAR, EXT_SPACE, EXT_SEMICOLON,
	EXT_EQUAL_SIGN, EXT_QUOTE, EXT_BACKSLASH, EXT_CR, EXT_OCTETS
};

static enum ext_octet
ext_octet(unsigned char c)
{
	switch (c) {
	case ' ':
	case '\t':
		return EXT_SPACE;
	case ';':
		return EXT_SEMICOLON;
	case '=':
		return EXT_EQUAL_SIGN;
	case '"':
		return EXT_QUOTE;
	case '\\':
		return EXT_BACKSLASH;
	case '\r':
		return EXT_CR;
	default:
		return (octets[c] & O_TOKEN) != 0 ? EXT_TCHAR :
		    (octets[c] & O_VALUE) != 0 ? EXT_OTHER : EXT_CONTROL;
	}
}

/* Where each kind of octet leads (RFC 9112 7.1.1, RFC 9110 5.6.4), in the
 * order of enum ext_octet.  White space may stand around ';' and '=', but not
 * before the line's end. */
static const unsigned char ext_next[][EXT_OCTETS] = {
	[EXT_OVER] = { 0, 0, 0, EXT_OVER, EXT_BEGIN, 0, 0, 0, 0 },
	[EXT_BEGIN] = { 0, 0, EXT_NAME, EXT_BEGIN, 0, 0, 0, 0, 0 },
	[EXT_NAME] = { 0, 0, EXT_NAME, EXT_NAMED, EXT_BEGIN, EXT_EQUALS, 0, 0,
	    CHUNK_LF },
	[EXT_NAMED] = { 0, 0, 0, EXT_NAMED, EXT_BEGIN, EXT_EQUALS, 0, 0, 0 },
	[EXT_EQUALS] = { 0, 0, EXT_TOKEN, EXT_EQUALS, 0, 0, EXT_QUOTED, 0, 0 },
	[EXT_TOKEN] = { 0, 0, EXT_TOKEN, EXT_OVER, EXT_BEGIN, 0, 0, 0,
	    CHUNK_LF },
	[EXT_QUOTED] = { 0, EXT_QUOTED, EXT_QUOTED, EXT_QUOTED, EXT_QUOTED,
	    EXT_QUOTED, EXT_CLOSED, EXT_ESCAPE, 0 },
	[EXT_ESCAPE] = { 0, EXT_QUOTED, EXT_QUOTED, EXT_QUOTED, EXT_QUOTED,
	    EXT_QUOTED, EXT_QUOTED, EXT_QUOTED, 0 },
	[EXT_CLOSED] = { 0, 0, 0, EXT_OVER, EXT_BEGIN, 0, 0, 0, CHUNK_LF }
};

/* One octet of an extension: dropped, but counted until data pays for it.
 * Sizes need no count of their own, their digits being few. */
static enum chunk_state
chunk_extension(struct http_body *d, unsigned char c)
{
	enum chunk_state next =
	    (enum chunk_state)ext_next[d->state][ext_octet(c)];

	if (next != CHUNK_LF && ++d->overhead > CHUNK_OVERHEAD_MAX)
		return CHUNK_BAD;
	return next;
}

/* One octet of framing: what state it leads to. */
static enum chunk_state
chunk_octet(struct http_body *d, unsigned char c)
{
	switch ((enum chunk_state)d->state) {
	case CHUNK_SIZE:
		return chunk_size(d, c);
	case CHUNK_LF:
		d->digits = 0;
		if (c != '\n')
			return CHUNK_BAD;
		return d->left > 0 ? CHUNK_DATA : CHUNK_LAST;
	case CHUNK_DATA_CR:
		return c == '\r' ? CHUNK_DATA_LF : CHUNK_BAD;
	case CHUNK_DATA_LF:
		return c == '\n' ? CHUNK_SIZE : CHUNK_BAD;
	default:
		return chunk_extension(d, c);
	}
}

static enum http_body_event
chunk_data(struct http_body *d, const unsigned char *in, size_t n,
    size_t *used, struct view *data)
{
	body_take(d, in, n, data);
	*used += data->n;
	d->overhead -= data->n < d->overhead ? data->n : d->overhead;
	if (d->left == 0)
		d->state = CHUNK_DATA_CR;
	return HTTP_BODY_DATA;
}

static enum http_body_event
body_chunked(struct http_body *d, const unsigned char *in, size_t n,
    size_t *used, struct view *data)
{
	for (;;) {
		if (d->state == CHUNK_LAST)
			return HTTP_BODY_TRAILERS;
		if (d->state == CHUNK_BAD)
			return HTTP_BODY_BAD;
		if (*used == n)
			return HTTP_BODY_MORE;
		if (d->state == CHUNK_DATA)
			return chunk_data(d, in + *used, n - *used, used,
			    data);
		d->state = (int)chunk_octet(d, in[(*used)++]);
	}
}

enum http_body_event
http_body_next(struct http_body *d, const unsigned char *in, size_t n,
    size_t *used, struct view *data)
{
	*used = 0;
	switch (d->framing) {
	case HTTP_LENGTH:
		return body_length(d, in, n, used, data);
	case HTTP_CHUNKED:
		return body_chunked(d, in, n, used, data);
	case HTTP_UNTIL_CLOSE:
	case HTTP_RAW:
		return body_until_close(in, n, used, data);
	default:
		return HTTP_BODY_END;
	}
}

size_t
http_chunk_head(unsigned char *out, size_t n)
{
	size_t size = 1, i, rest;

	for (rest = n; rest >= 16; rest /= 16)
		size++;
	for (i = size; i > 0; i--) {
		out[i - 1] = (unsigned char)"0123456789abcdef"[n % 16];
		n /= 16;
	}
	out[size] = '\r';
	out[size + 1] = '\n';
	return size + 2;
}

/*
 * Trailers (RFC 9110 6.5, RFC 9112 7.1.2).
 */
int
http_trailers_parse(struct http_field *fields, size_t *nfields,
    const unsigned char *b, size_t n, size_t *scanned)
{
	size_t most = n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX;
	int size, rc;

	size = head_scan(b, most, scanned);
	if (size == 0 && most == HTTP_HEAD_MAX)
		return -431;
	if (size <= 0)
		return size;
	rc = head_fields(fields, nfields, HTTP_FIELDS_MAX, b, b + size - 2);
	return rc < 0 ? rc : size;
}

static int
trailer_ok(const struct http_field *f)
{
	return (name_take(f->name)->rules & R_HEAD) == 0;
}

size_t
http_trailers_filter(struct http_field *fields, size_t n)
{
	size_t i, kept = 0;

	for (i = 0; i < n; i++)
		if (trailer_ok(&fields[i]))
			fields[kept++] = fields[i];
	return kept;
}

/*
 * Output.
 */
void
http_put_view(struct http_out *o, struct view v)
{
	if (o->len <= o->cap && v.n <= o->cap - o->len && v.n > 0)
		memcpy(o->p + o->len, v.p, v.n);
	o->len += v.n;
}

void
http_put(struct http_out *o, const char *s)
{
	http_put_view(o, view_of(s));
}

/* Copies v to p; returns what is behind it. */
static unsigned char *
put_at(unsigned char *p, struct view v)
{
	if (v.n > 0)
		memcpy(p, v.p, v.n);
	return p + v.n;
}

void
http_put_field(struct http_out *o, struct view name, struct view value)
{
	size_t n = name.n + value.n + 4;
	unsigned char *p;

	if (o->len <= o->cap && n <= o->cap - o->len) {
		p = put_at(o->p + o->len, name);
		p[0] = ':';
		p[1] = ' ';
		p = put_at(p + 2, value);
		p[0] = '\r';
		p[1] = '\n';
	}
	o->len += n;
}

void
http_fields_put(struct http_out *o, const struct http_field *f, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		http_put_field(o, f[i].name, f[i].value);
	http_put(o, "\r\n");
}

static void
put_named(struct http_out *o, const char *name, struct view value)
{
	http_put_field(o, view_of(name), value);
}

static void
put_number(struct http_out *o, unsigned long long i)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + i % 10);
		i /= 10;
	} while (i > 0);
	http_put(o, digits + at);
}

static void
put_date(struct http_out *o, long long t)
{
	char date[30];

	http_date(date, t);
	put_named(o, "Date", view_of(date));
}

static const struct {
	int status;
	const char *phrase;
} reasons[] = {
	{ 100, "Continue" }, { 101, "Switching Protocols" },
	{ 102, "Processing" }, { 103, "Early Hints" },
	{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" },
	{ 203, "Non-Authoritative Information" }, { 204, "No Content" },
	{ 205, "Reset Content" }, { 206, "Partial Content" },
	{ 207, "Multi-Status" }, { 208, "Already Reported" },
	{ 226, "IM Used" },
	{ 300, "Multiple Choices" }, { 301, "Moved Permanently" },
	{ 302, "Found" }, { 303, "See Other" }, { 304, "Not Modified" },
	{ 305, "Use Proxy" }, { 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" }, { 401, "Unauthorized" },
	{ 402, "Payment Required" }, { 403, "Forbidden" },
	{ 404, "Not Found" }, { 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" }, { 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" },
	{ 411, "Length Required" }, { 412, "Precondition Failed" },
	{ 413, "Content Too Large" }, { 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" }, { 418, "I'm a teapot" },
	{ 421, "Misdirected Request" }, { 422, "Unprocessable Content" },
	{ 423, "Locked" }, { 424, "Failed Dependency" }, { 425, "Too Early" },
	{ 426, "Upgrade Required" }, { 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 451, "Unavailable For Legal Reasons" },
	{ 500, "Internal Server Error" }, { 501, "Not Implemented" },
	{ 502, "Bad Gateway" }, { 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
	{ 506, "Variant Also Negotiates" }, { 507, "Insufficient Storage" },
	{ 508, "Loop Detected" }, { 511, "Network Authentication Required" }
};

const char *
http_reason(int status)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].phrase;
	return "Unknown";
}

#define DAY_S 86400
#define DATE_MAX 253402300799LL	/* the last second of the year 9999 */

/* Days from 1970 to the first of January of a year. */
static long long
date_year_day(long long year)
{
	long long y = year - 1;

	return 365 * (year - 1970) + (y / 4 - y / 100 + y / 400) -
	    (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static void
date_digits(char *out, long long value, size_t n)
{
	while (n > 0) {
		out[--n] = (char)('0' + value % 10);
		value /= 10;
	}
}

/* Turns a day of the year into a month (from 0) and a day of it (from 0). */
static long long
date_month(long long *day, int leap)
{
	static const int length[] = {
		31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30
	};
	long long month;

	for (month = 0; month < 11; month++) {
		int days = length[month] + (month == 1 && leap);

		if (*day < days)
			break;
		*day -= days;
	}
	return month;
}

void
http_date(char *out, long long t)
{
	static const char days[] = "ThuFriSatSunMonTueWed";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	long long day, year, month, of_week;

	t = t < 0 ? 0 : t > DATE_MAX ? DATE_MAX : t;
	day = t / DAY_S;
	of_week = day % 7;
	year = 1970 + day / 365;	/* never too early, 6 late at most */
	while (date_year_day(year) > day)
		year--;
	day -= date_year_day(year);
	month = date_month(&day,
	    date_year_day(year + 1) - date_year_day(year) == 366);
	memcpy(out, "Day, 00 Mon 0000 00:00:00 GMT", 30);
	memcpy(out, days + 3 * of_week, 3);
	date_digits(out + 5, day + 1, 2);
	memcpy(out + 8, months + 3 * month, 3);
	date_digits(out + 12, year, 4);
	date_digits(out + 17, t % DAY_S / 3600, 2);
	date_digits(out + 20, t % 3600 / 60, 2);
	date_digits(out + 23, t % 60, 2);
}

/*
 * Passing on (RFC 9110 7.6).  What Connection lists is gathered once, so that
 * many fields and long lists do not multiply.
 */
struct hops {
	struct view token[LISTED_MAX];
	size_t n;
};

static void
hops_gather(struct hops *hops, const struct http_field *f, size_t n)
{
	const struct view connection = view_of("connection");
	struct view list;
	size_t i;

	hops->n = 0;
	for (i = 0; i < n; i++) {
		if (!http_same_nocase(f[i].name, connection))
			continue;
		list = f[i].value;
		while (hops->n < LISTED_MAX &&
		    list_next(&list, &hops->token[hops->n]))
			hops->n++;
	}
}

/* Whether a field belongs to the connection that it came by. */
static int
hops_drop(const struct hops *hops, const struct http_field *f,
    const struct name *name)
{
	size_t i;

	if ((name->rules & R_HOP) != 0)
		return 1;
	if ((name->rules & R_KEPT) != 0)
		return 0;
	for (i = 0; i < hops->n; i++)
		if (http_same_nocase(hops->token[i], f->name))
			return 1;
	return 0;
}

/* A request on its way, as http_request_fields builds it. */
struct pass {
	const struct http_head *head;
	const struct http_forwarding *how;
	struct hops hops;
	struct http_field *out;
	size_t n;
	struct http_out scratch;
	/* What a trusted peer says: of several lines the last, which is its
	 * own. */
	struct view said_for, said_proto, said_host, said_prefix;
	size_t fors;		/* lines of X-Forwarded-For with a value */
};

static void
pass_add(struct pass *p, const char *name, struct view value)
{
	p->out[p->n].name = view_of(name);
	p->out[p->n++].value = value;
}

/* What was written to the scratch space since it stood at from. */
static struct view
pass_composed(const struct pass *p, size_t from)
{
	struct view v;

	v.p = p->scratch.p + from;
	v.n = p->scratch.len - from;
	return v;
}

/* One hop less (RFC 9110 7.6.2), where there is a number at all. */
static struct view
pass_max_forwards(struct pass *p, struct view value)
{
	size_t from = p->scratch.len;
	long long hops;

	if (!http_equal(p->head->method, "OPTIONS") ||
	    view_number(value, &hops) == -1 || hops == 0)
		return value;
	put_number(&p->scratch, (unsigned long long)hops - 1);
	return pass_composed(p, from);
}

/* Takes note of field f, which says how the request came, or passes it on:
 * only of a trusted peer. */
static void
pass_forwarding(struct pass *p, const struct http_field *f, enum name_id id)
{
	if (!p->how->trusted)
		return;
	switch (id) {
	case N_CORRELATION:
	case N_X_REAL:
		return;
	case N_X_FOR:
		if (f->value.n > 0) {
			p->said_for = f->value;
			p->fors++;
		}
		return;
	case N_X_PROTO:
		p->said_proto = f->value;
		return;
	case N_X_HOST:
		p->said_host = f->value;
		return;
	case N_X_PREFIX:
		p->said_prefix = f->value;
		return;
	case N_FORWARDED:
		break;
	default:
		if (!list_has(p->how->trusted_fields, f->name))
			return;
	}
	p->out[p->n++] = *f;
}

/* Whether a field that does not say how the request came goes on. */
static int
pass_keeps(const struct pass *p, const struct http_field *f,
    const struct name *name, int keep_upgrade)
{
	if (name->id == N_LENGTH)
		return p->head->framing == HTTP_LENGTH;
	if (name->id == N_UPGRADE)
		return p->head->upgrade && keep_upgrade;
	return !hops_drop(&p->hops, f, name);
}

static void
pass_field(struct pass *p, const struct http_field *f, int keep_upgrade)
{
	const struct name *name = name_take(f->name);

	if ((name->rules & R_FORWARDING) != 0) {
		pass_forwarding(p, f, name->id);
		return;
	}
	if (!pass_keeps(p, f, name, keep_upgrade))
		return;
	p->out[p->n] = *f;
	if (name->id == N_HOST)
		p->out[p->n].value = p->head->host;
	else if (name->id == N_MAX_FORWARDS)
		p->out[p->n].value = pass_max_forwards(p, f->value);
	p->n++;
}

/* Writes all lines of X-Forwarded-For but the last as one list. */
static void
pass_put_earlier(struct pass *p)
{
	const struct http_field *f = p->head->field;
	size_t left = p->fors;

	for (; left > 1; f++) {
		if (name_find(f->name)->id != N_X_FOR || f->value.n == 0)
			continue;
		http_put_view(&p->scratch, f->value);
		http_put(&p->scratch, ", ");
		left--;
	}
}

/* X-Forwarded-For: what a trusted peer brought, in one line, then the peer. */
static void
pass_for(struct pass *p)
{
	struct view peer = p->how->peer, all;
	size_t from = p->scratch.len;

	pass_put_earlier(p);
	http_put_view(&p->scratch, p->said_for);
	if (p->fors > 0 && peer.n > 0)
		http_put(&p->scratch, ", ");
	http_put_view(&p->scratch, peer);
	all = pass_composed(p, from);
	if (all.n > 0)
		pass_add(p, "X-Forwarded-For", all);
}

/* The address in an element of X-Forwarded-For, which may have brackets and a
 * port; or an empty view. */
static struct view
pass_address(struct view element)
{
	struct view host, none = { NULL, 0 };
	int bracketed;

	if (host_split(element, &host, &bracketed) == 0 &&
	    address_is(bracketed ? AF_INET6 : AF_INET, host))
		return host;
	return address_is(AF_INET6, element) ? element : none;
}

struct view
http_seen(const struct http_head *h)
{
	struct view seen = { NULL, 0 };
	size_t i = h->nfields;

	while (i-- > 0)
		if (h->field[i].name.n == 15 && h->field[i].value.n > 0 &&
		    http_equal_nocase(h->field[i].name, "x-forwarded-for")) {
			seen = list_last(h->field[i].value);
			break;
		}
	if (seen.n == 0)
		return seen;
	seen = pass_address(seen);
	return seen.n > 0 ? seen : view_of("unknown");
}

/* X-Real-IP: whom a trusted peer saw, or else the peer; which it is not where the peer
 * saw somebody whom it does not name. */
static void
pass_real(struct pass *p)
{
	struct view seen = list_last(p->said_for);

	seen = seen.n == 0 ? p->how->peer : pass_address(seen);
	if (seen.n > 0)
		pass_add(p, "X-Real-IP", seen);
}

/* Whether v can stand before a path: no query, no list, not "//host". */
static int
pass_prefix_ok(struct view v)
{
	size_t i;

	if (v.n < 2 || v.p[0] != '/' || v.p[1] == '/')
		return 0;
	for (i = 0; i < v.n; i++)
		if ((octets[v.p[i]] & O_HOST) == 0 && v.p[i] != '/' &&
		    v.p[i] != '%' && v.p[i] != ':' && v.p[i] != '@')
			return 0;
	return 1;
}

/* X-Forwarded-Prefix: what a trusted peer took off the path, then we. */
static void
pass_prefix(struct pass *p)
{
	struct view said = p->said_prefix, prefix = p->how->prefix;
	size_t from = p->scratch.len;

	if (pass_prefix_ok(said)) {
		while (said.p[said.n - 1] == '/')
			said.n--;
		http_put_view(&p->scratch, said);
		http_put_view(&p->scratch, prefix);
		prefix = pass_composed(p, from);
	}
	if (prefix.n > 0)
		pass_add(p, "X-Forwarded-Prefix", prefix);
}

/* Adds what says how the request came. */
static void
pass_add_forwarding(struct pass *p)
{
	int scheme = http_equal_nocase(p->said_proto, "https") ||
	    http_equal_nocase(p->said_proto, "http");
	struct view host = p->said_host.n > 0 ? p->said_host : p->head->host;

	pass_for(p);
	pass_real(p);
	pass_add(p, "X-Forwarded-Proto", scheme ? p->said_proto :
	    view_of(p->how->https ? "https" : "http"));
	if (host.n > 0)
		pass_add(p, "X-Forwarded-Host", host);
	pass_prefix(p);
	pass_add(p, "x-pipegate-correlation-id", p->how->correlation_id);
}

int
http_request_fields(struct http_field *out, const struct http_head *h,
    const struct http_forwarding *f, int keep_upgrade, unsigned char *scratch,
    size_t cap)
{
	struct pass p;
	size_t i;

	memset(&p, 0, sizeof(p));
	p.head = h;
	p.how = f;
	p.out = out;
	p.scratch.p = scratch;
	p.scratch.cap = cap;
	hops_gather(&p.hops, h->field, h->nfields);
	if (h->host.n > 0 &&
	    http_field_find(h->field, h->nfields, "host") == NULL)
		pass_add(&p, "Host", h->host);
	for (i = 0; i < h->nfields; i++)
		pass_field(&p, &h->field[i], keep_upgrade);
	if (h->te_trailers)
		pass_add(&p, "TE", view_of("trailers"));
	pass_add_forwarding(&p);
	return p.scratch.len <= cap ? (int)p.n : -431;
}

/* Whether Content-Length may stand in an answer (RFC 9110 8.6). */
static int
pass_length_ok(int status, enum http_framing framing)
{
	return !ans_is_bare(status) &&
	    (framing == HTTP_LENGTH || framing == HTTP_NO_BODY);
}

/* Whether field f of an answer goes on. */
static int
pass_answer(const struct hops *hops, const struct http_field *f,
    const struct name *name, int status, enum http_framing framing)
{
	if (name->id == N_LENGTH)
		return pass_length_ok(status, framing);
	if (name->id == N_UPGRADE)
		return status == 101;
	return !hops_drop(hops, f, name);
}

size_t
http_answer_fields(struct http_field *out, const struct http_head *h)
{
	struct hops hops;
	size_t i, n = 0;

	hops_gather(&hops, h->field, h->nfields);
	for (i = 0; i < h->nfields; i++)
		if (pass_answer(&hops, &h->field[i],
		    name_find(h->field[i].name), h->status, h->framing))
			out[n++] = h->field[i];
	return n;
}

static int
pass_field_ok(const struct http_field *f)
{
	return f->name.n > 0 && f->name.n <= HTTP_HEAD_MAX &&
	    f->value.n <= HTTP_HEAD_MAX - f->name.n &&
	    octet_all(f->name, O_TOKEN) && (f->value.n == 0 ||
	    octet_skip_value(f->value.p, f->value.p + f->value.n) ==
	    f->value.p + f->value.n);
}

int
http_fields_ok(const struct http_field *f, size_t n)
{
	const struct view content_length = view_of("content-length");
	long long length;
	size_t i, lengths = 0;

	for (i = 0; i < n; i++) {
		if (!pass_field_ok(&f[i]))
			return 0;
		if (!http_same_nocase(f[i].name, content_length))
			continue;
		if (++lengths > 1 || view_number(f[i].value, &length) == -1)
			return 0;
	}
	return 1;
}

size_t
http_fields_filter(struct http_field *f, size_t n)
{
	struct hops hops;
	size_t i, kept = 0;

	hops_gather(&hops, f, n);
	for (i = 0; i < n; i++)
		if (!hops_drop(&hops, &f[i], name_find(f[i].name)))
			f[kept++] = f[i];
	return kept;
}

void
http_link_request_put(struct http_out *o, const struct http_head *h)
{
	http_put_view(o, h->method);
	http_put(o, " ");
	http_put_view(o, h->path);
	http_put(o, " HTTP/1.1\r\n");
	http_fields_put(o, h->field, h->nfields);
}

/* Writes what belongs to the connection that a request goes out by. */
static void
pass_put_connection(struct http_out *o, int upgrade, int trailers)
{
	static const char *const lines[] = {
		"", "Connection: TE\r\n", "Connection: Upgrade\r\n",
		"Connection: Upgrade, TE\r\n"
	};

	http_put(o, lines[2 * (upgrade != 0) + (trailers != 0)]);
}

void
http_request_put(struct http_out *o, const struct http_head *h,
    struct view base, int chunked)
{
	http_put_view(o, h->method);
	http_put(o, " ");
	if (h->path.p[0] == '/')
		http_put_view(o, base);
	http_put_view(o, h->path);
	http_put(o, " HTTP/1.1\r\n");
	http_put_view(o, h->lines);
	if (h->host.n == 0)
		http_put(o, "Host:\r\n");	/* RFC 9112 3.2 */
	pass_put_connection(o, h->upgrade, h->te_trailers);
	if (chunked)
		http_put(o, "Transfer-Encoding: chunked\r\n");
	http_put(o, "\r\n");
}

/* Writes a status line.  A reason that could break the line is not used. */
static void
ans_put_line(struct http_out *o, int status, struct view reason)
{
	http_put(o, "HTTP/1.1 ");
	put_number(o, (unsigned long long)status);
	http_put(o, " ");
	if (reason.n == 0 || !octet_all(reason, O_VALUE))
		reason = view_of(http_reason(status));
	http_put_view(o, reason);
	http_put(o, "\r\n");
}

/* Writes Connection where a final answer needs one. */
static void
ans_put_connection(struct http_out *o, int keep_alive, int minor)
{
	if (!keep_alive)
		http_put(o, "Connection: close\r\n");
	else if (minor == 0)
		http_put(o, "Connection: keep-alive\r\n");
}

void
http_link_answer_put(struct http_out *o, const struct http_head *h)
{
	ans_put_line(o, h->status, h->reason);
	http_fields_put(o, h->field, h->nfields);
}

/* Writes the fields of answer h but for those that would contradict what we
 * know better. */
static void
ans_put_fields(struct http_out *o, const struct http_answer_shape *shape,
    const struct http_head *h)
{
	int length_ok = pass_length_ok(h->status, shape->framing);
	int names_itself = h->correlated && h->status >= 200 &&
	    shape->correlation_id.n > 0;
	size_t i;

	if (h->lines.n > 0 && !names_itself && (length_ok || h->length < 0)) {
		http_put_view(o, h->lines);
		return;
	}
	for (i = 0; i < h->nfields; i++) {
		enum name_id id = name_find(h->field[i].name)->id;

		if ((id == N_LENGTH && !length_ok) ||
		    (id == N_CORRELATION && names_itself))
			continue;
		http_put_field(o, h->field[i].name, h->field[i].value);
	}
}

/* Writes what shape adds to a final answer. */
static void
ans_put_final(struct http_out *o, const struct http_answer_shape *shape,
    const struct http_head *h)
{
	enum http_framing framing = shape->framing;

	if (shape->date >= 0 && !h->dated)
		put_date(o, shape->date);
	http_put_view(o, shape->lines);
	if (shape->correlation_id.n > 0)
		put_named(o, "x-pipegate-correlation-id",
		    shape->correlation_id);
	if (framing == HTTP_CHUNKED)
		http_put(o, "Transfer-Encoding: chunked\r\n");
	if (framing == HTTP_LENGTH && h->length < 0)
		http_put(o, "Content-Length: 0\r\n");
	ans_put_connection(o, shape->keep_alive &&
	    framing != HTTP_UNTIL_CLOSE, shape->minor);
}

void
http_answer_put(struct http_out *o, const struct http_answer_shape *shape,
    const struct http_head *h)
{
	ans_put_line(o, h->status, h->reason);
	ans_put_fields(o, shape, h);
	if (h->status >= 200)
		ans_put_final(o, shape, h);
	else if (h->status == 101)
		http_put(o, "Connection: Upgrade\r\n");
	http_put(o, "\r\n");
}

void
http_last_chunk_put(struct http_out *o, const struct http_field *f, size_t n)
{
	size_t i;

	http_put(o, "0\r\n");
	for (i = 0; i < n; i++)
		if (trailer_ok(&f[i]))
			http_put_field(o, f[i].name, f[i].value);
	http_put(o, "\r\n");
}

/*
 * Error answers, and in which of two forms a caller likes them.
 */

/* Reads a weight (RFC 9110 12.4.2) as thousandths; what is malformed is 0. */
static int
err_weight(struct view v)
{
	static const int place[] = { 1000, 0, 100, 10, 1 };
	int weight = 0;
	size_t i;

	if (v.n == 0 || v.n > 5 || (v.n > 1 && v.p[1] != '.'))
		return 0;
	for (i = 0; i < v.n; i++) {
		if (i == 1)
			continue;
		if (!octet_is_digit(v.p[i]))
			return 0;
		weight += place[i] * (v.p[i] - '0');
	}
	return weight <= 1000 ? weight : 0;
}

/* How precisely a media range names a type: 3 itself, 2 its family, 1 the
 * wildcard, 0 not at all. */
static int
err_match(struct view range, const char *type, const char *family)
{
	if (http_equal_nocase(range, type))
		return 3;
	if (http_equal_nocase(range, family))
		return 2;
	return http_equal(range, "*/*");
}

struct err_liking {
	const char *type;
	const char *family;
	int match;		/* of the most precise range so far */
	int weight;		/* that it gives */
};

static void
err_like(struct err_liking *l, struct view range, int weight)
{
	int match = err_match(range, l->type, l->family);

	if (match > l->match) {
		l->match = match;
		l->weight = weight;
	}
}

/* Takes the media range off the front of an element; returns its weight. */
static int
err_range(struct view element, struct view *range)
{
	struct view parameter;
	int weight = 1000;

	*range = http_trim(view_split(&element, ';'));
	while (element.n > 0) {
		parameter = http_trim(view_split(&element, ';'));
		if (http_begins_nocase(parameter, "q=")) {
			parameter.p += 2;
			parameter.n -= 2;
			weight = err_weight(parameter);
		}
	}
	return weight;
}

int
http_prefers_html(const struct http_field *f, size_t n)
{
	struct err_liking html = { "text/html", "text/*", 0, 0 };
	struct err_liking json = { "application/json", "application/*", 0, 0 };
	struct view list, element, range;
	size_t i;
	int weight;

	for (i = 0; i < n; i++) {
		if (name_find(f[i].name)->id != N_ACCEPT)
			continue;
		list = f[i].value;
		while (list_next(&list, &element)) {
			weight = err_range(element, &range);
			err_like(&html, range, weight);
			err_like(&json, range, weight);
		}
	}
	return html.weight > json.weight;
}

/* Writes one octet of a JSON string. */
static void
err_put_json(struct http_out *o, unsigned char c)
{
	char escape[] = "\\u00xx";
	struct view v;

	v.p = &c;
	v.n = 1;
	if (c >= 0x20) {
		if (c == '"' || c == '\\')
			http_put(o, "\\");
		http_put_view(o, v);
		return;
	}
	escape[4] = "0123456789abcdef"[c / 16];
	escape[5] = "0123456789abcdef"[c % 16];
	http_put(o, escape);
}

/* Writes one octet of HTML text. */
static void
err_put_html(struct http_out *o, unsigned char c)
{
	struct view v;

	v.p = &c;
	v.n = 1;
	switch (c) {
	case '&':
		http_put(o, "&amp;");
		break;
	case '<':
		http_put(o, "&lt;");
		break;
	case '>':
		http_put(o, "&gt;");
		break;
	default:
		http_put_view(o, v);
	}
}

static void
err_put_title(struct http_out *o, int status)
{
	put_number(o, (unsigned long long)status);
	http_put(o, " ");
	http_put(o, http_reason(status));
}

static void
err_put_paragraph(struct http_out *o, const char *text)
{
	http_put(o, "<p>");
	for (; *text != '\0'; text++)
		err_put_html(o, (unsigned char)*text);
	http_put(o, "</p>\n");
}

static void
err_put_page(struct http_out *o, const struct http_error *e)
{
	if (e->page.n > 0) {
		http_put_view(o, e->page);
		return;
	}
	http_put(o, "<!DOCTYPE html>\n<html lang=\"en\">\n"
	    "<meta charset=\"utf-8\">\n<title>");
	err_put_title(o, e->status);
	http_put(o, "</title>\n<h1>");
	err_put_title(o, e->status);
	http_put(o, "</h1>\n");
	err_put_paragraph(o, e->detail);
	if (e->advice != NULL)
		err_put_paragraph(o, e->advice);
	http_put(o, "</html>\n");
}

static void
err_put_body(struct http_out *o, const struct http_error *e)
{
	const char *p;

	if (e->html) {
		err_put_page(o, e);
		return;
	}
	http_put(o, "{\"detail\":\"");
	for (p = e->detail; *p != '\0'; p++)
		err_put_json(o, (unsigned char)*p);
	http_put(o, "\"}");
}

/* Writes what a status asks for besides the words (RFC 9110 section 15). */
static void
err_put_remedy(struct http_out *o, const struct http_error *e)
{
	if (e->retry_after_s > 0) {
		http_put(o, "Retry-After: ");
		put_number(o, (unsigned long long)e->retry_after_s);
		http_put(o, "\r\n");
	}
	if (e->html && e->refresh_s > 0) {
		http_put(o, "Refresh: ");
		put_number(o, (unsigned long long)e->refresh_s);
		http_put(o, "\r\n");
	}
	if (e->allow != NULL)
		put_named(o, "Allow", view_of(e->allow));
	if (e->realm != NULL) {
		http_put(o, "WWW-Authenticate: Basic realm=\"");
		http_put(o, e->realm);
		http_put(o, "\", charset=\"UTF-8\"\r\n");
	}
	if (e->status == 426)
		http_put(o, "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		    "Sec-WebSocket-Version: 13\r\n");
}

void
http_error_put(struct http_out *o, const struct http_error *e)
{
	struct http_out size = { NULL, 0, 0 };
	struct view none = { NULL, 0 };

	err_put_body(&size, e);
	ans_put_line(o, e->status, none);
	put_named(o, "Content-Type", view_of(e->html ?
	    "text/html; charset=utf-8" : "application/json"));
	http_put(o, "Content-Length: ");
	put_number(o, size.len);
	http_put(o, "\r\nCache-Control: no-store\r\n");
	err_put_remedy(o, e);
	if (e->date >= 0)
		put_date(o, e->date);
	if (e->correlation_id.n > 0)
		put_named(o, "x-pipegate-correlation-id", e->correlation_id);
	ans_put_connection(o, e->keep_alive, e->minor);
	http_put(o, "\r\n");
	if (!e->head_only)
		err_put_body(o, e);
}

/*
 * Paths.
 */

/* Whether a first segment could be an id: the same octets and length as a
 * token's sub, compared as they stand. */
static int
path_id_ok(struct view v)
{
	return v.n > 0 && v.n <= 128 && octet_all(v, O_ID) &&
	    !http_equal(v, ".") && !http_equal(v, "..") &&
	    !http_equal(v, "healthz");
}

int
http_host_name(struct view *name, struct view host)
{
	int bracketed;

	if (host_split(host, name, &bracketed) == -1 || bracketed)
		return 0;
	if (name->n > 0 && octet_is_digit(name->p[name->n - 1]) &&
	    address_is(AF_INET, *name))
		return 0;
	if (name->n > 1 && name->p[name->n - 1] == '.')
		name->n--;
	return 1;
}

int
http_name_under(struct view name, struct view domain)
{
	struct view end = domain;

	if (name.n < domain.n)
		return 0;
	end.p = name.p + name.n - domain.n;
	return http_same_nocase(end, domain) &&
	    (name.n == domain.n || end.p[-1] == '.');
}

int
http_label_ok(struct view v)
{
	size_t i;

	if (v.n == 0 || v.n > 63 || v.p[0] == '-' || v.p[v.n - 1] == '-')
		return 0;
	for (i = 0; i < v.n; i++)
		if (!octet_is_digit(v.p[i]) && v.p[i] != '-' &&
		    (v.p[i] < 'a' || v.p[i] > 'z'))
			return 0;
	return 1;
}

int
http_name_ok(struct view v)
{
	const unsigned char *p = v.p, *end = v.p + v.n, *dot;
	struct view whole = v;

	if (v.n > 253 || !http_host_name(&whole, v))
		return 0;
	while ((dot = memchr(p, '.', (size_t)(end - p))) != NULL &&
	    http_label_ok(view_between(p, dot)))
		p = dot + 1;
	return dot == NULL && http_label_ok(view_between(p, end));
}

enum http_route
http_route(struct view path, struct view *id, struct view *rest)
{
	const unsigned char *p, *end;

	if (http_equal(path, "*"))
		return HTTP_ROUTE_STAR;
	if (path.n == 0 || path.p[0] != '/')
		return HTTP_ROUTE_NONE;
	end = path.p + path.n;
	for (p = path.p + 1; p < end && *p != '/' && *p != '?'; p++)
		;
	*id = view_between(path.p + 1, p);
	*rest = view_between(p, end);
	if (id->n == 0 && (p == end || *p == '?'))
		return HTTP_ROUTE_ROOT;
	if (http_equal(*id, "healthz") && (p == end || *p == '?'))
		return HTTP_ROUTE_HEALTH;
	if (!path_id_ok(*id))
		return HTTP_ROUTE_NONE;
	return p < end && *p == '/' ? HTTP_ROUTE_TUNNEL : HTTP_ROUTE_REDIRECT;
}

/* Takes one octet of a path, decoded where it is an escape. */
static int
path_octet(const unsigned char **p, const unsigned char *end)
{
	const unsigned char *q = *p;

	if (*q == '%' && end - q >= 3 && octet_hex(q[1]) >= 0 &&
	    octet_hex(q[2]) >= 0) {
		*p += 3;
		return octet_hex(q[1]) * 16 + octet_hex(q[2]);
	}
	++*p;
	return *q;
}

/* What one piece of a path does to the depth: names go down, but only once
 * between two true slashes. */
static int
path_step(size_t size, size_t dots, int *went_down)
{
	if (size == dots && dots <= 2)
		return dots == 2 ? -1 : 0;
	if (*went_down)
		return 0;
	*went_down = 1;
	return 1;
}

/* Origins differ in whether %2f, %5c and '\' part segments, and in whether
 * what stands behind a ';' is of the name (RFC 3986 3.3).  Each is taken to be
 * so when that leads up, never when it leads down. */
int
http_path_climbs(struct view path)
{
	const unsigned char *p, *from, *end;
	size_t size = 0, dots = 0;
	int depth = 0, went_down = 0, parameters = 0, c;

	path = view_split(&path, '?');
	if (path.n == 0)
		return 0;
	end = path.p + path.n;
	for (p = path.p; p < end;) {
		from = p;
		c = path_octet(&p, end);
		if (c != '/' && c != '\\') {
			parameters |= c == ';';
			size += !parameters;
			dots += !parameters && c == '.';
			continue;
		}
		depth += path_step(size, dots, &went_down);
		if (depth < 0)
			return 1;
		size = dots = 0;
		parameters = 0;
		if (*from == '/')
			went_down = 0;
	}
	return depth + path_step(size, dots, &went_down) < 0;
}
