/*
 * Properties of http.c on any octets: feeding octet by octet comes to the
 * same as feeding the whole; what was accepted and is written again reads as
 * the same message; what passes http_fields_ok cannot break a head.
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
static struct http_head first, again;
static struct http_field fields[HTTP_OUT_FIELDS];

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
	return http_equal_nocase(f->name, "te") ||
	    http_equal_nocase(f->name, "connection") ||
	    http_equal_nocase(f->name, "transfer-encoding");
}

/* The fields that were sent stand in h in their order, then only those that
 * belong to the connection. */
static void
must_carry(const struct http_head *h, const struct http_field *f, size_t n)
{
	size_t i, at = 0;

	for (i = 0; i < n; i++) {
		if (is_anew(&f[i]))
			continue;
		must(at < h->nfields);
		must(same(f[i].name, h->field[at].name));
		must(same(f[i].value, h->field[at].value));
		at++;
	}
	for (; at < h->nfields; at++)
		must(is_anew(&h->field[at]));
}

/* Writes request h and reads it again. */
static void
request_again(const struct http_head *h, const struct http_forwarding *how)
{
	struct http_out o = space_start();
	size_t scanned = 0;
	int count, rc;

	count = http_request_fields(fields, h, how, 1, scratch,
	    sizeof(scratch));
	must(count > 0 && count <= HTTP_OUT_FIELDS);
	must(http_link_request_fault(h->method, h->path, fields,
	    (size_t)count, 0) == NULL);
	http_request_put(&o, h->method, view_of(""), h->path, fields,
	    (size_t)count, h->framing, h->upgrade);
	must(o.len <= o.cap);
	rc = http_request_parse(&again, space, o.len, &scanned);
	if (rc == -431)
		return;		/* what we add may pass a cap */
	if (h->host.n == 0) {
		must(rc == -400);	/* an empty Host, which HTTP/1.1 knows */
		return;
	}
	must(rc == (int)o.len);
	must(same(again.method, h->method) && same(again.path, h->path));
	must(same(again.host, h->host));
	must(again.framing == h->framing && again.length == h->length);
	must(again.upgrade == h->upgrade);
	must(again.te_trailers == h->te_trailers);
	must_carry(&again, fields, (size_t)count);
}

int
fuzz_request(const unsigned char *p, size_t n)
{
	struct http_forwarding how;
	struct view id, rest;
	size_t scanned = 0, i;
	int rc, whole;

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
	how.peer = view_of("2001:db8::1");
	how.trusted = (int)(n % 2);
	how.trusted_fields = view_of(n % 4 < 2 ? "" : "x-real-ip, a, a_b, "
	    "content_length, x-forwarded-port");
	how.prefix = view_of("/id");
	how.correlation_id = view_of("00112233445566778899aabbccddeeff");
	request_again(&first, &how);
	return 0;
}

/* Writes answer h and reads it again. */
static void
answer_again(const struct http_head *h, struct view method)
{
	struct http_out o = space_start();
	struct http_answer_shape shape;
	size_t scanned = 0, count;
	int rc;

	memset(&shape, 0, sizeof(shape));
	shape.status = h->status;
	shape.reason = h->reason;
	shape.framing = h->framing;
	shape.minor = 1;
	shape.keep_alive = h->keep_alive;
	shape.date = -1;
	count = http_answer_fields(fields, h);
	must(count <= h->nfields && http_fields_ok(fields, count));
	http_answer_put(&o, &shape, fields, count);
	must(o.len <= o.cap);
	if (o.len > HTTP_HEAD_MAX)
		return;
	rc = http_answer_parse(&again, space, o.len, &scanned, method);
	must(rc == (int)o.len || h->nfields + 2 > HTTP_FIELDS_MAX);
	if (rc < 0)
		return;
	must(again.status == h->status && again.framing == h->framing);
	must(h->reason.n == 0 || same(again.reason, h->reason));
	must(h->framing != HTTP_LENGTH || again.length == h->length);
	must(h->status < 200 || again.keep_alive == h->keep_alive);
	must_carry(&again, fields, count);
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

/* Whether GET / with fields[0..count) has nothing wrong, and a Host that says
 * something. */
static int
is_clean_request(size_t count)
{
	return http_link_request_fault(view_of("GET"), view_of("/"), fields,
	    count, 0) == NULL &&
	    http_field_find(fields, count, "host")->value.n > 0;
}

/* Fields of a hostile peer on the link: what passes the check gives a head
 * that ends where it was meant to, with no field that was not there. */
int
fuzz_fields(const unsigned char *p, size_t n)
{
	struct http_out o = space_start();
	struct http_answer_shape shape;
	size_t count, scanned = 0;
	int rc;

	if (n < 4 || n > HTTP_HEAD_MAX / 2)
		return 0;
	memset(&shape, 0, sizeof(shape));
	shape.status = 200 + p[0];
	shape.reason.p = p + 4;
	shape.reason.n = p[1] < n - 4 ? p[1] : n - 4;
	shape.framing = p[2] % 2 ? HTTP_CHUNKED : HTTP_UNTIL_CLOSE;
	shape.minor = p[3] % 2;
	shape.keep_alive = p[3] / 2 % 2;
	shape.date = -1;
	count = cut(p + 4, n - 4);
	if (!http_fields_ok(fields, count))
		return 0;
	http_answer_put(&o, &shape, fields, count);
	rc = http_answer_parse(&again, space, o.len, &scanned,
	    view_of("GET"));
	must(rc == (int)o.len && again.nfields <= count + 2);
	must(again.status == shape.status);
	must(again.framing == HTTP_NO_BODY || again.framing ==
	    (shape.minor ? shape.framing : HTTP_UNTIL_CLOSE));
	o = space_start();
	scanned = 0;
	http_request_put(&o, view_of("GET"), view_of("/base"), view_of("/"),
	    fields, count, p[2] % 2 ? HTTP_CHUNKED : HTTP_NO_BODY, p[3] % 2);
	rc = http_request_parse(&again, space, o.len, &scanned);
	must(rc == (int)o.len || rc == -400 || rc == -417);
	must(rc != -400 || !is_clean_request(count));
	must(rc < 0 || (again.nfields <= count + 3 && again.framing ==
	    (p[2] % 2 ? HTTP_CHUNKED : HTTP_NO_BODY)));
	return 0;
}
