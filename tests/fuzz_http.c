/*
 * Properties of http.c on any octets: feeding octet by octet comes to the
 * same as feeding the whole; a head over a link is read as strictly as one
 * from a connection; what was accepted and is written, for a link or a
 * connection, reads as the same message; what passes http_fields_ok cannot
 * break a head.
 */
#include <stdlib.h>
#include <string.h>

#include "../pipegate.h"

int fuzz_request(const unsigned char *p, size_t n);
int fuzz_answer(const unsigned char *p, size_t n);
int fuzz_body(const unsigned char *p, size_t n);
int fuzz_fields(const unsigned char *p, size_t n);

#define SPACE (4 * HTTP_HEAD_MAX)

static unsigned char space[SPACE];
static unsigned char scratch[SPACE];
static unsigned char link_space[SPACE];
static struct http_head first, again;
static struct http_head gone;		/* as it is to cross a link */
static struct http_head linked;		/* as it was read there */
static struct http_field fields[HTTP_LINK_FIELDS];

static void
must(int ok)
{
	if (!ok)
		abort();
}

static struct view
view_of(const char *s)
{
	struct view v;

	v.p = (const unsigned char *)s;
	v.n = strlen(s);
	return v;
}

static int
same(struct view a, struct view b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static struct http_out
space_start(void)
{
	struct http_out o;

	o.p = space;
	o.cap = sizeof(space);
	o.len = 0;
	return o;
}

/* Whether a field belongs to one connection, so that it is written anew. */
static int
is_anew(const struct http_field *f)
{
	return http_equal_nocase(f->name, "connection") ||
	    http_equal_nocase(f->name, "transfer-encoding");
}

/* The fields that were sent stand in h in their order, then only those that
 * belong to the connection. */
static void
must_carry(const struct http_head *h, const struct http_field *f, size_t n)
{
	size_t i;

	must(n <= h->nfields);
	for (i = 0; i < n; i++) {
		must(same(f[i].name, h->field[i].name));
		must(same(f[i].value, h->field[i].value));
	}
	for (; i < h->nfields; i++)
		must(is_anew(&h->field[i]));
}

/* Whether a field may not cross a link. */
static int
is_kept_off(const struct http_field *f)
{
	return is_anew(f) || http_equal_nocase(f->name, "keep-alive") ||
	    http_equal_nocase(f->name, "proxy-connection") ||
	    (http_equal_nocase(f->name, "te") &&
	    !http_equal(f->value, "trailers"));
}

static int
has_kept_off(const struct http_field *f, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (is_kept_off(&f[i]))
			return 1;
	return 0;
}

/* What linked says of p[0..n) is so, and no other octets are that head. */
static void
must_be_linked(const unsigned char *p, size_t n)
{
	must(n <= HTTP_LINK_HEAD_MAX && linked.nfields <= HTTP_LINK_FIELDS);
	must(linked.lines.p + linked.lines.n + 2 == p + n);
	must(memcmp(p + n - 2, "\r\n", 2) == 0);
	must(!has_kept_off(linked.field, linked.nfields));
	must(http_fields_ok(linked.field, linked.nfields));
	must(!linked.upgrade == (http_field_find(linked.field, linked.nfields,
	    "upgrade") == NULL));
	must(!linked.te_trailers == (http_field_find(linked.field,
	    linked.nfields, "te") == NULL));
	must(!linked.dated == (http_field_find(linked.field, linked.nfields,
	    "date") == NULL));
}

/* p[0..n) with one octet more. */
static const unsigned char *
one_more(const unsigned char *p, size_t n)
{
	static unsigned char more[HTTP_LINK_HEAD_MAX + 1];

	memcpy(more, p, n);
	more[n] = p[n / 2];
	return more;
}

/* Reads p[0..n) as a request over a link, into linked.  It is taken where it
 * would be from a caller, but for the fields that may not cross, the absolute
 * form, a missing Host, and the larger caps. */
static int
link_request(const unsigned char *p, size_t n)
{
	size_t scanned = 0;
	int rc = http_link_request_parse(&linked, p, n);
	int whole = http_request_parse(&again, p, n, &scanned);

	if (rc == 0) {
		must_be_linked(p, n);
		must(http_method_ok(linked.method));
		must(http_path_ok(linked.path));
		must(whole == (int)n || whole == -431 || linked.host.n == 0);
		must(http_link_request_parse(&again, p, n - 1) == -1);
		must(http_link_request_parse(&again, one_more(p, n), n + 1) ==
		    -1);
		must(linked.framing != HTTP_CHUNKED);
		return 0;
	}
	must(rc == -1);
	must(n == 0 || whole != (int)n || p[0] == '\r' ||
	    again.target.p[0] == 'h' || again.target.p[0] == 'H' ||
	    has_kept_off(again.field, again.nfields));
	return -1;
}

/* The same for an answer. */
static int
link_answer(const unsigned char *p, size_t n, struct view method)
{
	size_t scanned = 0;
	int rc = http_link_answer_parse(&linked, p, n, method);
	int whole = http_answer_parse(&again, p, n, &scanned, method);

	if (rc == 0) {
		must_be_linked(p, n);
		must(whole == (int)n || n >= HTTP_HEAD_MAX ||
		    linked.nfields > HTTP_FIELDS_MAX);
		must(http_link_answer_parse(&again, p, n - 1, method) == -1);
		must(http_link_answer_parse(&again, one_more(p, n), n + 1,
		    method) == -1);
		must(linked.framing != HTTP_CHUNKED && !linked.keep_alive);
		return 0;
	}
	must(rc == -1);
	must(n == 0 || whole != (int)n ||
	    has_kept_off(again.field, again.nfields));
	return -1;
}

/* Writes request linked for the service, and reads it there. */
static void
request_out(const char *base, int chunked)
{
	struct http_out o = space_start();
	struct view path = linked.path, above = view_of(base);
	size_t scanned = 0;
	int rc;

	http_request_put(&o, &linked, above, chunked);
	must(o.len <= o.cap);
	rc = http_request_parse(&again, space, o.len, &scanned);
	if (linked.host.n == 0) {
		/* an empty Host, which HTTP/1.1 knows */
		must(rc == -400 || rc == -431 || rc == -414);
		return;
	}
	if (rc < 0) {			/* what is added may pass a cap */
		must(o.len > HTTP_HEAD_MAX || linked.nfields + 2 >
		    HTTP_FIELDS_MAX || path.n + above.n > HTTP_TARGET_MAX);
		return;
	}
	must(rc == (int)o.len);
	must(same(again.method, linked.method));
	if (path.p[0] == '/') {
		must(again.path.n == above.n + path.n);
		must(memcmp(again.path.p, above.p, above.n) == 0);
		again.path.p += above.n;
		again.path.n -= above.n;
	}
	must(same(again.path, path) && same(again.host, linked.host));
	must(again.framing == (chunked ? HTTP_CHUNKED : linked.framing));
	must(again.length == linked.length);
	must(again.upgrade == linked.upgrade);
	must(again.te_trailers == linked.te_trailers);
	must_carry(&again, linked.field, linked.nfields);
}

/* The address for the log is that of the service. */
static void
must_be_seen(const struct http_head *h, const struct http_forwarding *how)
{
	const struct http_field *real = http_field_find(gone.field,
	    gone.nfields, "x-real-ip");
	struct view seen = http_seen(h);

	if (!how->trusted || seen.n == 0)
		return;
	must(seen.n < 46);
	must(http_equal(seen, "unknown") ? real == NULL :
	    real != NULL && same(real->value, seen));
}

/* Puts request h on a link, and from there out again. */
static void
request_again(const struct http_head *h, const struct http_forwarding *how)
{
	struct http_out o = { link_space, sizeof(link_space), 0 };
	int count, rc;

	count = http_request_fields(gone.field, h, how, 1, scratch,
	    sizeof(scratch));
	must(count > 0 && count <= HTTP_LINK_FIELDS);
	gone.method = h->method;
	gone.path = h->path;
	gone.nfields = (size_t)count;
	must_be_seen(h, how);
	http_link_request_put(&o, &gone);
	must(o.len <= o.cap);
	rc = link_request(link_space, o.len);
	if (o.len > HTTP_LINK_HEAD_MAX) {
		must(rc == -1);
		return;
	}
	must(rc == 0);
	must(same(linked.method, h->method) && same(linked.path, h->path));
	must(same(linked.host, h->host));
	must(linked.framing == (h->framing == HTTP_LENGTH ? HTTP_LENGTH :
	    HTTP_NO_BODY) && linked.length == h->length);
	must(linked.upgrade == h->upgrade);
	must(linked.te_trailers == h->te_trailers);
	must(linked.nfields == gone.nfields);
	must_carry(&linked, gone.field, gone.nfields);
	request_out("", h->framing == HTTP_CHUNKED);
}

int
fuzz_request(const unsigned char *p, size_t n)
{
	struct http_forwarding how;
	struct view id, rest;
	size_t scanned = 0, i;
	int rc, whole;

	if (link_request(p, n) == 0)
		request_out("/base", 0);
	whole = http_request_parse(&first, p, n, &scanned);
	must(whole <= (int)n);
	scanned = 0;
	for (i = 0, rc = 0; i <= n && rc == 0; i++)
		rc = http_request_parse(&again, p, i, &scanned);
	must(rc == whole);
	if (whole <= 0)
		return 0;
	must(rc == (int)i - 1);
	must(http_method_ok(first.method) && http_path_ok(first.path));
	must(http_fields_ok(first.field, first.nfields));
	http_prefers_html(first.field, first.nfields);
	http_path_climbs(first.path);
	if (http_route(first.path, &id, &rest) == HTTP_ROUTE_TUNNEL)
		must(1 + id.n + rest.n == first.path.n && rest.p[0] == '/');
	how.peer = view_of(n % 8 < 4 ? "2001:db8::1" : "");
	how.trusted = (int)(n % 2);
	how.https = n % 16 < 8;
	how.trusted_fields = view_of(n % 4 < 2 ? "" : "x-real-ip, a, a_b, "
	    "content_length, x-forwarded-port");
	how.prefix = view_of("/id");
	how.correlation_id = view_of("00112233445566778899aabbccddeeff");
	request_again(&first, &how);
	return 0;
}

/* Writes answer linked for a caller, and reads it there. */
static void
answer_out(enum http_framing framing, int minor, int keep_alive,
    struct view method)
{
	struct http_out o = space_start();
	struct http_answer_shape shape;
	size_t scanned = 0;
	int rc;

	memset(&shape, 0, sizeof(shape));
	shape.framing = framing;
	shape.minor = minor;
	shape.keep_alive = keep_alive;
	shape.date = -1;
	http_answer_put(&o, &shape, &linked);
	must(o.len <= o.cap);
	rc = http_answer_parse(&again, space, o.len, &scanned, method);
	if (rc < 0) {			/* what is added may pass a cap */
		must(o.len > HTTP_HEAD_MAX ||
		    linked.nfields + 2 > HTTP_FIELDS_MAX);
		return;
	}
	must(rc == (int)o.len && again.nfields <= linked.nfields + 2);
	must(again.status == linked.status && again.framing == framing);
	must(linked.reason.n == 0 || same(again.reason, linked.reason));
	must(framing != HTTP_LENGTH || again.length == linked.length);
	must(again.status < 200 || again.keep_alive == (keep_alive &&
	    framing != HTTP_UNTIL_CLOSE));
	if (again.length == linked.length)
		must_carry(&again, linked.field, linked.nfields);
}

/* Puts answer h on a link, and from there out again. */
static void
answer_again(const struct http_head *h, struct view method)
{
	struct http_out o = { link_space, sizeof(link_space), 0 };
	int rc;

	gone.status = h->status;
	gone.reason = h->reason;
	gone.nfields = http_answer_fields(gone.field, h);
	must(gone.nfields <= h->nfields);
	must(http_fields_ok(gone.field, gone.nfields));
	http_link_answer_put(&o, &gone);
	must(o.len <= o.cap);
	rc = link_answer(link_space, o.len, method);
	if (o.len > HTTP_LINK_HEAD_MAX) {
		must(rc == -1);
		return;
	}
	must(rc == 0);
	must(linked.status == h->status);
	must(same(linked.reason, h->reason.n > 0 ? h->reason :
	    view_of(http_reason(h->status))));
	must(linked.framing == (h->framing == HTTP_CHUNKED ?
	    HTTP_UNTIL_CLOSE : h->framing));
	must(h->framing != HTTP_LENGTH || linked.length == h->length);
	must(linked.nfields == gone.nfields);
	must_carry(&linked, gone.field, gone.nfields);
	answer_out(h->framing, 1, h->keep_alive, method);
}

int
fuzz_answer(const unsigned char *p, size_t n)
{
	struct view method = view_of("GET");
	size_t scanned = 0, i;
	int rc, whole;

	if (n > 0 && p[0] == '!') {
		method = view_of("HEAD");
		p++;
		n--;
	}
	if (link_answer(p, n, method) == 0 &&
	    linked.framing != HTTP_UNTIL_CLOSE)
		answer_out(linked.framing, 1, 1, method);
	whole = http_answer_parse(&first, p, n, &scanned, method);
	must(whole <= (int)n);
	must(whole >= 0 || whole == -502);
	scanned = 0;
	for (i = 0, rc = 0; i <= n && rc == 0; i++)
		rc = http_answer_parse(&again, p, i, &scanned, method);
	must(rc == whole);
	if (whole > 0)
		answer_again(&first, method);
	return 0;
}

/* Decodes p[0..n) whole where step is 0, else in pieces whose sizes step is
 * made of; the body goes to out.  Returns the last event, *used is how far it came. */
static enum http_body_event
decode(struct http_body *d, const unsigned char *p, size_t n, unsigned step,
    unsigned char *out, size_t *len, size_t *used)
{
	enum http_body_event event;
	struct view data;
	size_t took, end = 0;

	*used = *len = 0;
	do {
		if (*used == end && end < n) {
			end += step == 0 ? n : 1 + step / 65536U % 9;
			end = end > n ? n : end;
			step *= 1103515245U;
		}
		event = http_body_next(d, p + *used, end - *used, &took,
		    &data);
		must(took <= end - *used);
		*used += took;
		if (event == HTTP_BODY_DATA) {
			must(data.n > 0 && data.p + data.n == p + *used);
			memcpy(out + *len, data.p, data.n);
			*len += data.n;
		}
	} while (event == HTTP_BODY_DATA ||
	    (event == HTTP_BODY_MORE && *used < n));
	return event;
}

static unsigned char body[SPACE], other[SPACE];

/* Encodes b[0..n) in chunks of the given size and decodes it again. */
static void
chunks_again(const unsigned char *b, size_t n, size_t size)
{
	struct http_out o = space_start();
	struct http_body d;
	unsigned char chunk_head[20];
	struct view v;
	size_t at, used, len;

	if (n > 4096)
		return;
	for (at = 0; at < n; at += v.n) {
		v.p = chunk_head;
		v.n = http_chunk_head(chunk_head, n - at < size ? n - at :
		    size);
		http_put_view(&o, v);
		v.p = b + at;
		v.n = n - at < size ? n - at : size;
		http_put_view(&o, v);
		http_put(&o, "\r\n");
	}
	http_last_chunk_put(&o, NULL, 0);
	http_body_init(&d, HTTP_CHUNKED, -1);
	must(decode(&d, space, o.len, (unsigned)size, other, &len, &used) ==
	    HTTP_BODY_TRAILERS);
	must(used == o.len - 2 && len == n);
	must(n == 0 || memcmp(b, other, n) == 0);
}

/* Trailers, whole and octet by octet, and written again. */
static void
trailers_again(const unsigned char *p, size_t n)
{
	struct http_out o = space_start();
	size_t scanned = 0, count, i;
	int whole, rc;

	whole = http_trailers_parse(first.field, &count, p, n, &scanned);
	must(whole <= (int)n);
	scanned = 0;
	for (i = 0, rc = 0; i <= n && rc == 0; i++)
		rc = http_trailers_parse(first.field, &count, p, i, &scanned);
	must(rc == whole);
	if (whole <= 0)
		return;
	http_last_chunk_put(&o, first.field, count);
	count = http_trailers_filter(first.field, count);
	must(http_fields_ok(first.field, count));
	scanned = 0;
	rc = http_trailers_parse(again.field, &again.nfields, space + 3,
	    o.len - 3, &scanned);
	must(rc == (int)o.len - 3 || o.len - 3 > HTTP_HEAD_MAX);
	if (rc > 0) {
		must(again.nfields == count);
		must_carry(&again, first.field, count);
	}
}

int
fuzz_body(const unsigned char *p, size_t n)
{
	static const enum http_framing framings[] = {
		HTTP_CHUNKED, HTTP_CHUNKED, HTTP_CHUNKED, HTTP_LENGTH,
		HTTP_NO_BODY, HTTP_UNTIL_CLOSE, HTTP_RAW, HTTP_CHUNKED
	};
	enum http_framing framing;
	enum http_body_event whole, pieces;
	struct http_body d;
	size_t len, used, len2, used2;

	if (n < 2 || n > HTTP_HEAD_MAX)
		return 0;
	framing = framings[p[0] % 8];
	http_body_init(&d, framing, p[1]);
	whole = decode(&d, p + 2, n - 2, 0, body, &len, &used);
	http_body_init(&d, framing, p[1]);
	pieces = decode(&d, p + 2, n - 2, p[1] * 2U + 1U, other, &len2,
	    &used2);
	must(whole == pieces && len == len2 && used == used2);
	must(len == 0 || memcmp(body, other, len) == 0);
	must(framing != HTTP_LENGTH || len <= p[1]);
	if (whole == HTTP_BODY_TRAILERS)
		trailers_again(p + 2 + used, n - 2 - used);
	chunks_again(body, len, p[1] + 1U);
	return 0;
}

/* Cuts p[0..n) into fields: names end at the first ':', values at '|'. */
static size_t
cut(const unsigned char *p, size_t n)
{
	size_t count = 0;

	while (n > 0 && count < HTTP_FIELDS_MAX - 4) {
		const unsigned char *bar = memchr(p, '|', n);
		size_t size = bar == NULL ? n : (size_t)(bar - p);
		const unsigned char *colon = memchr(p, ':', size);
		size_t name = colon == NULL ? size : (size_t)(colon - p);

		fields[count].name.p = p;
		fields[count].name.n = name;
		fields[count].value.p = colon == NULL ? p : colon + 1;
		fields[count].value.n = colon == NULL ? 0 : size - name - 1;
		count++;
		p += bar == NULL ? size : size + 1;
		n -= bar == NULL ? size : size + 1;
	}
	return count;
}

/* As a request, put on a link and taken from there. */
static void
fields_ask(size_t count, int chunked)
{
	struct http_out o = { link_space, sizeof(link_space), 0 };

	gone.method = view_of("GET");
	gone.path = view_of("/");
	memcpy(gone.field, fields, count * sizeof(*fields));
	gone.nfields = count;
	http_link_request_put(&o, &gone);
	must(o.len <= HTTP_LINK_HEAD_MAX);
	if (link_request(link_space, o.len) == -1)
		must(http_field_find(fields, count, "host") != NULL ||
		    http_field_find(fields, count, "expect") != NULL ||
		    has_kept_off(fields, count));
	else if (linked.nfields != count)
		must(0);
	else
		request_out("/base", chunked && linked.length < 0);
}

/* As an answer.  Returns what reading it came to. */
static int
fields_answer(size_t count, int status, struct view reason)
{
	struct http_out o = { link_space, sizeof(link_space), 0 };
	int rc;

	gone.status = status;
	gone.reason = reason;
	memcpy(gone.field, fields, count * sizeof(*fields));
	gone.nfields = count;
	http_link_answer_put(&o, &gone);
	must(o.len <= HTTP_LINK_HEAD_MAX);
	rc = link_answer(link_space, o.len, view_of("GET"));
	must(rc == -1 || (linked.nfields == count &&
	    linked.status == status));
	return rc;
}

/* Fields of a hostile peer that did not come as text: what passes the check
 * gives a head that ends where it was meant to, with no field that was not
 * there; and what is left of them by the filter can cross a link. */
int
fuzz_fields(const unsigned char *p, size_t n)
{
	enum http_framing framing;
	struct view reason;
	size_t count;
	int minor;

	if (n < 4 || n > HTTP_HEAD_MAX / 2)
		return 0;
	reason.p = p + 1;		/* also what may not stand there */
	reason.n = p[1] < n - 1 ? p[1] : n - 1;
	count = cut(p + 4, n - 4);
	if (!http_fields_ok(fields, count))
		return 0;
	fields_ask(count, p[2] % 2);
	fields_answer(count, 200 + p[0], reason);
	count = http_fields_filter(fields, count);
	must(!has_kept_off(fields, count));
	fields_ask(count, p[2] % 2);
	must(fields_answer(count, 200 + p[0], reason) == 0);
	minor = p[3] % 2;
	framing = p[2] % 2 && minor ? HTTP_CHUNKED : HTTP_UNTIL_CLOSE;
	if (linked.framing == HTTP_NO_BODY)
		framing = HTTP_NO_BODY;
	answer_out(framing, minor, p[3] / 2 % 2, view_of("GET"));
	return 0;
}
