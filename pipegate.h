/*
 * PipeGate: a self-hosted HTTP tunnel.  What the four codecs (json.c, http.c,
 * hmac.c, ws.c) offer to the engine in gate/ and to each other.
 *
 * Common to all of them: bytes in, bytes out.  No function here does I/O,
 * reads a clock or a global, allocates, or prints.  Time and random bytes are
 * arguments.  A struct view never owns its bytes: it is good for as long as
 * the buffer that was parsed stands unmoved and unchanged.  Lengths are in
 * octets.  No pointer is kept after a call, other than the views in results.
 *
 * Knowledge runs one way: json.c and http.c know nothing else; hmac.c uses
 * json.c; ws.c uses all three; gate/ uses all four.
 */
#ifndef PIPEGATE_H
#define PIPEGATE_H

#include <stddef.h>

#define PIPEGATE_VERSION "0.1.0"

#ifdef __GNUC__
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#else
#define PRINTF_LIKE(f, a)
#endif

/* Bytes that somebody else owns. */
struct view {
	const unsigned char *p;
	size_t n;
};

/* ------------------------------------------------------------------ json.c
 * A strict RFC 8259 reader over a byte view, and a writer.
 */

#define JSON_DEPTH_MAX 32	/* arrays and objects within each other */
#define JSON_VALUES_MAX 16384	/* values in one text, of all depths */

enum json_type {
	JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING,
	JSON_ARRAY, JSON_OBJECT
};

/* One value inside a checked text: its type and its octets, quotes, brackets
 * and escapes included. */
struct json {
	enum json_type type;
	int plain;		/* a string known to be ASCII without escapes */
	struct view raw;
};

/* Where a walk over the members of an array or object stands. */
struct json_iter {
	const unsigned char *p;
	const unsigned char *end;
	int is_object;
};

/* Checks that b[0..n) is exactly one JSON text (RFC 8259 section 2; white
 * space around it allowed): valid UTF-8 throughout, no lone surrogate in an
 * escape, no byte order mark, within the two caps above.  Linear time, no
 * recursion.  On success fills v and returns 0, else -1.  The functions below
 * may be given only values that come from a text that passed here, but for
 * what json_loose_next says. */
int json_parse(struct json *v, const unsigned char *b, size_t n);

/* Starts a walk over v, an array or object.  Any other type walks as empty. */
void json_iter_init(struct json_iter *it, const struct json *v);

/* Steps to the next member.  Returns 1 and fills val (and key, a JSON_STRING,
 * when an object is walked; key may be NULL); 0 at the end. */
int json_iter_next(struct json_iter *it, struct json *key, struct json *val);

/* Steps to the next name and its value: a member of an object, or the two
 * members of an array in an array.  Returns 1; 0 at the end; -1 where an
 * array holds something else, and then the walk is over. */
int json_iter_pair(struct json_iter *it, struct json *first,
    struct json *second);

/* A walk over the members of the object that b[0..n) begins with, where the
 * text need be neither sound nor whole: strings and brackets are told apart,
 * at any depth, and no more is looked at.  For a last word on a text that
 * json_parse refused.  json_loose_next steps to the next name and value.
 * Returns 1; 0 where no further member is whole, or none can be told.  key
 * and val may be given to json_equal, json_string and json_latin1 alone. */
void json_loose_init(struct json_iter *it, const unsigned char *b, size_t n);
int json_loose_next(struct json_iter *it, struct json *key, struct json *val);

/* Looks up the member called name (plain ASCII) of object v, comparing after
 * unescaping.  Returns 1 and fills val; 0 if there is none or v is no object;
 * -1 if there are two or more of that name. */
int json_find(const struct json *v, const char *name, struct json *val);

/* Unescapes string v as UTF-8 into out[0..cap).  Returns the length (no NUL
 * is added), or -1 if v is no string or does not fit.  out may be the start
 * of v's own octets (v->raw.p): unescaping never grows.  v's octets are then
 * spoilt, so find what else is wanted of the text around it first. */
long json_string(const struct json *v, unsigned char *out, size_t cap);

/* The same, one octet for each code point U+0000 to U+00FF; -1 also where a
 * code point is above that. */
long json_latin1(const struct json *v, unsigned char *out, size_t cap);

/* Whether string v, unescaped, is exactly s.  0 for any other type. */
int json_equal(const struct json *v, const char *s);

/* Reads an integer (also one written as 5.0 or 5e0) into *out.  Returns 0, or
 * -1 if v is no number, has a fraction, or does not fit a long long. */
int json_integer(const struct json *v, long long *out);

/* Output in the manner of snprintf: len counts what the whole text needs, and
 * what does not fit below cap is not stored.  Ready is what went in when
 * len <= cap.  nest 0 writes plain JSON; nest 1 writes text that stands inside
 * a JSON string already, so each quote and backslash is escaped once more
 * (the v1 wire has JSON in strings).  The caller sets p, cap, len and nest. */
struct json_out {
	unsigned char *p;
	size_t cap;
	size_t len;
	int nest;
};

/* Appends s, ASCII JSON text such as "{\"a\":", escaped once for each nest. */
void json_put(struct json_out *o, const char *s);

/* Appends v as a JSON string with its quotes.  v is UTF-8; what is not
 * becomes U+FFFD, one for each offending octet. */
void json_put_string(struct json_out *o, struct view v);

/* The same for octets: 80 to FF are written as U+0080 to U+00FF (in UTF-8). */
void json_put_latin1(struct json_out *o, struct view v);

/* Appends a decimal integer. */
void json_put_integer(struct json_out *o, long long i);

/* Appends n octets as they are, whatever nest is (base64, for example). */
void json_put_raw(struct json_out *o, const void *p, size_t n);

/* ------------------------------------------------------------------ http.c
 * HTTP/1.1 heads, bodies and the rules for passing them on (RFC 9110, 9112).
 */

#define HTTP_HEAD_MAX 32768	/* octets of a head or of a trailer section */
#define HTTP_FIELDS_MAX 128	/* field lines in it */
#define HTTP_TARGET_MAX 16384	/* octets of a request target */

/* The same of a head that crosses a link, to which a server has added fields. */
#define HTTP_LINK_HEAD_MAX 36864
#define HTTP_LINK_FIELDS (HTTP_FIELDS_MAX + 8)

struct http_field {
	struct view name;
	struct view value;	/* without the white space around it */
};

/* How a body is framed (RFC 9112 section 6.3). */
enum http_framing {
	HTTP_NO_BODY,		/* none: a head alone */
	HTTP_LENGTH,		/* Content-Length octets */
	HTTP_CHUNKED,
	HTTP_UNTIL_CLOSE,	/* answers only */
	HTTP_RAW		/* after a 101: no HTTP any more; ends by EOF */
};

/* A parsed head.  For a request: method, target, host.  For an answer:
 * status, reason.  The views point into the parsed buffer. */
struct http_head {
	struct view method;
	struct view target;	/* as it stands in the request line */
	struct view host;	/* of the absolute-form target, else of Host;
				   empty: HTTP/1.0 with neither */
	struct view path;	/* origin form: path with its query; "*" for OPTIONS * */
	int status;
	struct view reason;
	int minor;		/* the x of HTTP/1.x: 0 or 1 (a higher x counts as 1) */
	enum http_framing framing;
	long long length;	/* Content-Length, or -1 where there is none */
	unsigned char keep_alive;	/* the connection may be used again */
	unsigned char expect_continue;	/* Expect: 100-continue (1.1 only) */
	unsigned char upgrade;		/* Connection lists upgrade and Upgrade is there */
	unsigned char te_trailers;	/* Connection lists TE, and TE: trailers */
	unsigned char dated;		/* Date is there */
	unsigned char correlated;	/* x-pipegate-correlation-id is there */
	struct view lines;	/* the field lines as they stand, each with its CRLF */
	size_t nfields;
	struct http_field field[HTTP_LINK_FIELDS];
};

/* Compares a view with an ASCII string; _nocase folds A-Z. */
int http_equal(struct view v, const char *s);
int http_equal_nocase(struct view v, const char *s);
int http_same_nocase(struct view a, struct view b);

/* Whether v begins with s, in any case. */
int http_begins_nocase(struct view v, const char *s);

/* v without SP and HTAB at its ends (OWS, RFC 9110 5.6.3). */
struct view http_trim(struct view v);

/* Whether the comma-separated list in v holds token, case-insensitively. */
int http_list_has(struct view v, const char *token);

/* The first field called name (any case), or NULL. */
const struct http_field *http_field_find(const struct http_field *f, size_t n,
    const char *name);

/* The value of the first field of h called name, or an empty view. */
struct view http_field_value(const struct http_head *h, const char *name);

/* Parses a request head from b[0..n), strictly: CRLF only, one empty line
 * before it allowed, framing checked (RFC 9112 6.3, without its leniencies),
 * one Host, which is a name without '%' or an address, and a port up to 65535.
 * *scanned must be 0 at first and is for the parser: it lets a
 * head that comes octet by octet cost linear time; keep it with the buffer.
 * Returns the size of the head (the body starts there), 0 if it is not
 * complete yet, or minus the status to answer: -400, -405 (CONNECT and
 * TRACE), -414, -417, -431 (also for more than 64 elements in Connection),
 * -501 (a coding, or a method over 64 octets), -505.  A method is too long as
 * soon as its 65th octet is there, whatever follows; else a bad first line is
 * refused as soon as it is whole.  With -405 and -417 the head is filled in
 * as far as the request line goes.  An absolute-form target without a path
 * has "/" (or "*" for OPTIONS), a static view; one with a query but no path
 * is -400.  h may be large: keep it off deep stacks. */
int http_request_parse(struct http_head *h, const unsigned char *b, size_t n,
    size_t *scanned);

/* Parses the head of an answer to a request of the given method (framing
 * depends on it: HEAD has no body).  Returns as http_request_parse; -502 for
 * whatever is wrong.  A 101 has framing HTTP_RAW; other 1xx, 204, 304 and
 * HEAD have HTTP_NO_BODY with length as Content-Length says. */
int http_answer_parse(struct http_head *h, const unsigned char *b, size_t n,
    size_t *scanned, struct view method);

/* The same for a head b[0..n) that came over a link, whole, in the form of
 * HTTP/1.1.  Its other end may be hostile: it is read just as strictly, but may
 * have HTTP_LINK_FIELDS in HTTP_LINK_HEAD_MAX octets, and Host may be missing,
 * as a caller of HTTP/1.0 may name none.  What concerns one connection (RFC
 * 9110 7.6.1) does not stand there, but for Upgrade, and TE: trailers.  A
 * target is in origin form, or "*" for OPTIONS.  Returns 0, or -1. */
int http_link_request_parse(struct http_head *h, const unsigned char *b,
    size_t n);
int http_link_answer_parse(struct http_head *h, const unsigned char *b,
    size_t n, struct view method);

/* Where a body stands.  Resumable at any octet. */
struct http_body {
	enum http_framing framing;
	int state;		/* of the chunk decoder */
	long long left;		/* of the Content-Length or of the chunk */
	size_t overhead;	/* chunk extensions so far, less what data pays for */
	size_t digits;		/* of the chunk size being read */
};

enum http_body_event {
	HTTP_BODY_MORE,		/* all given octets are used up: wait for more */
	HTTP_BODY_DATA,		/* a piece of the body is in *data */
	HTTP_BODY_END,		/* the body is whole; what follows is not of it */
	HTTP_BODY_TRAILERS,	/* the last chunk is past: call http_trailers_parse on what follows */
	HTTP_BODY_BAD		/* chunked framing is broken: 400 or 502 */
};

void http_body_init(struct http_body *d, enum http_framing framing,
    long long length);

/* Takes one step over in[0..n).  *used is how many octets were consumed; for
 * HTTP_BODY_DATA *data is a view into in, and is counted in *used.  Call again
 * until HTTP_BODY_MORE.  HTTP_UNTIL_CLOSE and HTTP_RAW never end here.  After
 * HTTP_BODY_END or _TRAILERS every further call says the same with *used 0. */
enum http_body_event http_body_next(struct http_body *d,
    const unsigned char *in, size_t n, size_t *used, struct view *data);

/* Parses the trailer section, from behind the last chunk's line to the empty
 * line's CRLF.  Returns its size (2 for an empty one), 0 if it is not complete
 * yet, -400 or -431.  Fills fields[0..*nfields), which has room for
 * HTTP_FIELDS_MAX.  scanned: as for a head. */
int http_trailers_parse(struct http_field *fields, size_t *nfields,
    const unsigned char *b, size_t n, size_t *scanned);

/* Drops from fields[0..n) those that may not stand in trailers (RFC 9110
 * 6.5.1: framing, routing, authentication, cookies, content-* and the like;
 * also whatever http_request_fields takes for forwarding).  Keeps the order
 * of the others; returns how many stay. */
size_t http_trailers_filter(struct http_field *fields, size_t n);

/* What the server adds to a request that it passes on. */
struct http_forwarding {
	struct view peer;	/* the caller's address, text (IPv6 without brackets); empty:
				   it has none */
	int trusted;		/* what the peer says in such fields is believed */
	int https;		/* callers come by https, as far as we know */
	struct view trusted_fields;	/* PIPEGATE_TRUSTED_FIELDS, or empty */
	struct view prefix;	/* "/{id}" */
	struct view correlation_id;	/* 32 hex digits */
};

/* The address that the peer of request h saw ask, as X-Real-IP has it below; "unknown"
 * where it names none; or an empty view: it saw nobody before it. */
struct view http_seen(const struct http_head *h);

/* Writes into out (room for HTTP_LINK_FIELDS) the fields of request h as they
 * go over a link: without the hop-by-hop ones and those that Connection
 * names (RFC 9110 7.6.1, save those that it may not strip), with Host of
 * h->host in the place of the Host that was there (or first; none where a caller
 * of HTTP/1.0 names none).  Content-Length
 * stays only if the framing is HTTP_LENGTH.  TE: trailers is made anew when
 * h->te_trailers; Upgrade stays when h->upgrade and keep_upgrade.  The Max-Forwards of an OPTIONS is one less (0 is the caller's
 * to answer).
 *
 * Six fields that say how the request came are written anew, from what the
 * peer said in them where it is trusted.  Of several lines of one name the
 * last counts, which is the peer's own.
 *	X-Forwarded-For		what the peer brought, all lines of it, and
 *				the peer itself, if it has an address; not
 *				where that is nothing
 *	X-Real-IP		the last of what the peer brought in
 *				X-Forwarded-For: whom it saw.  Where that is
 *				nothing, or the peer is not trusted: the peer.
 *				Not where that is no address
 *	X-Forwarded-Proto	the peer's, if it is http or https; else ours
 *	X-Forwarded-Host	the peer's, else h->host
 *	X-Forwarded-Prefix	the peer's, if it is a path, with f->prefix
 *				behind it
 *	x-pipegate-correlation-id	nobody else's
 * Forwarded of a trusted peer stays as it is.  Whatever else a service may
 * take for forwarding or framing goes no further: other X-Forwarded-* and
 * X-PipeGate-*; names that other proxies use (Client-IP, X-Client-IP,
 * True-Client-IP, CF-Connecting-IP, X-Original-URL and so on: claims[] in
 * http.c); and the doubles of all of these, and of Content-Length and
 * Transfer-Encoding, that have '_' for '-'.  The exception are names that
 * f->trusted_fields lists with commas between them, in any case but spelt so,
 * from a trusted peer.
 *
 * Composed values are written to scratch[0..cap).  Returns how many fields, or
 * -431 where they do not fit there. */
int http_request_fields(struct http_field *out, const struct http_head *h,
    const struct http_forwarding *f, int keep_upgrade, unsigned char *scratch,
    size_t cap);

/* The same for the answer of an origin: hop-by-hop fields dropped, and
 * Content-Length where framing is chunked, until-close or raw, or in a 1xx or
 * 204.  Upgrade is kept for a 101.  Trailer stays.  Returns how many. */
size_t http_answer_fields(struct http_field *out, const struct http_head *h);

/* Whether fields that did not come as text may be made a head's: names are
 * tokens, values hold no CTL but HTAB, none is too long, Content-Length at most
 * once and 1*DIGIT.  Returns 1 or 0. */
int http_fields_ok(const struct http_field *f, size_t n);

/* Drops from f[0..n) those that concern one connection (RFC 9110 7.6.1).  Keeps
 * the order of the others; returns how many stay. */
size_t http_fields_filter(struct http_field *f, size_t n);

/* Whether method is a token, and path an origin-form target (or "*")
 * without octets that section 3.2 of RFC 9112 forbids.  1 or 0. */
int http_method_ok(struct view method);
int http_path_ok(struct view path);

/* Output of heads, in the manner of struct json_out: len may pass cap, and
 * then nothing more was stored. */
struct http_out {
	unsigned char *p;
	size_t cap;
	size_t len;
};

/* What was written, which fitted. */
static inline struct view
http_out_view(const struct http_out *o)
{
	struct view v = { o->p, o->len };

	return v;
}

void http_put(struct http_out *o, const char *s);
void http_put_view(struct http_out *o, struct view v);
void http_put_field(struct http_out *o, struct view name, struct view value);

/* Writes f[0..n), and the empty line. */
void http_fields_put(struct http_out *o, const struct http_field *f, size_t n);

/* Writes a head as it crosses a link: its first line (of method and path, or of
 * status and reason), its fields as they are, the empty line.  An empty reason,
 * or one that holds a CTL, becomes the usual one.  What is written of sound parts
 * is what http_link_..._parse reads. */
void http_link_request_put(struct http_out *o, const struct http_head *h);
void http_link_answer_put(struct http_out *o, const struct http_head *h);

/* Writes request h, which came over a link, for the origin: the request line
 * with base (without a slash at its end) before the path, the fields as they
 * stand, an empty Host where there is none (RFC 9112 3.2), and what belongs to
 * the connection: Connection for Upgrade and TE, Transfer-Encoding where
 * chunked. */
void http_request_put(struct http_out *o, const struct http_head *h,
    struct view base, int chunked);

/* How an answer's head is to end. */
struct http_answer_shape {
	enum http_framing framing;	/* none, chunked (never for a caller of 1.0), until close,
					   raw, or length: the head's; where its length is -1, 0 is written */
	int minor;		/* of the caller's request */
	int keep_alive;		/* else Connection: close is written (for a 1.0 caller that is kept, Connection: keep-alive) */
	long long date;		/* seconds since the epoch, for Date where there is none (not in 1xx); -1: none */
	struct view correlation_id;	/* x-pipegate-correlation-id replaces the origin's (not in 1xx) */
	struct view lines;	/* more fields, each with its CRLF (not in 1xx); or empty */
};

/* Writes the answer's head h, which came over a link or is our own (with status,
 * reason and fields, and a length of 0 where that is in them): status line,
 * fields less what framing forbids, then what shape adds.  Connection: close is
 * written, and the connection must be closed, also where framing is until close.
 * A 101 gets Connection: Upgrade. */
void http_answer_put(struct http_out *o, const struct http_answer_shape *shape,
    const struct http_head *h);

/* Writes the framing of a chunk of n octets ("1f\r\n") into out, which has
 * room for 20; returns its length.  CRLF follows the data. */
size_t http_chunk_head(unsigned char *out, size_t n);

/* Writes the last chunk with trailers f[0..n), hop-by-hop and forbidden ones
 * left out. */
void http_last_chunk_put(struct http_out *o, const struct http_field *f,
    size_t n);

/* The usual reason phrase ("Not Found"), or "Unknown". */
const char *http_reason(int status);

/* IMF-fixdate (RFC 9110 5.6.7) of t seconds since the epoch into out (30
 * octets with the NUL). */
void http_date(char *out, long long t);

/* What an error answer says besides its status. */
struct http_error {
	int status;
	const char *detail;	/* plain words, any UTF-8; escaped as the body needs */
	const char *advice;	/* the same, a second paragraph of the HTML page; NULL: none */
	struct view page;	/* is sent in place of the HTML page; empty: not */
	int refresh_s;		/* a browser is to ask again after so many seconds; 0: not */
	int html;		/* see http_prefers_html */
	int head_only;		/* to HEAD: the head of that answer, no body */
	int keep_alive;
	int minor;		/* the caller's, as in struct http_answer_shape */
	int retry_after_s;	/* 0: no Retry-After */
	const char *allow;	/* NULL: no Allow */
	const char *realm;	/* of which a name and a password are asked for (RFC 7617): no quote
				   and no backslash; NULL: none are */
	long long date;
	struct view correlation_id;	/* empty: none */
};

/* Writes a whole error answer: {"detail":"..."} as application/json, or a
 * plain HTML page.  A 426 names websocket and version 13. */
void http_error_put(struct http_out *o, const struct http_error *e);

/* Whether Accept of the request ranks text/html above application/json
 * (RFC 9110 12.5.1, q-values; a bare wildcard does not). */
int http_prefers_html(const struct http_field *f, size_t n);

/* Takes the name out of a Host (RFC 9110 7.2): without its port and one dot at
 * its end.  Returns 1; or 0 where it has an address literal. */
int http_host_name(struct view *name, struct view host);

/* Whether name is domain or lies under it, in any case. */
int http_name_under(struct view name, struct view domain);

/* Whether v is one label of a DNS name in lower case (RFC 1123 2.1): 1 to 63 of
 * a-z 0-9 -, of which the first and the last are no hyphen.  1 or 0. */
int http_label_ok(struct view v);

/* Whether v is a DNS name of such labels, 253 octets at most, and no address.
 * 1 or 0. */
int http_name_ok(struct view v);

/* Where a path leads on the server. */
enum http_route {
	HTTP_ROUTE_ROOT,	/* "/" with or without a query */
	HTTP_ROUTE_HEALTH,	/* /healthz */
	HTTP_ROUTE_TUNNEL,	/* /{id}/...: id, rest (from the slash on) */
	HTTP_ROUTE_REDIRECT,	/* /{id} without a slash: id, rest = "?query" or "" */
	HTTP_ROUTE_STAR,	/* OPTIONS * */
	HTTP_ROUTE_NONE		/* no id that could exist: 404 */
};
enum http_route http_route(struct view path, struct view *id,
    struct view *rest);

/* Whether a path's segments, also written with %2e or followed by parameters
 * ("/..;x"), climb above its start (for targets that have a base path).  1 or
 * 0. */
int http_path_climbs(struct view path);

/* ------------------------------------------------------------------ hmac.c
 * Hashes, encodings, and the JSON Web Token made of them.
 */

#define SHA1_SIZE 20
#define SHA256_SIZE 32

/* SHA-1 of b[0..n) (FIPS 180-4), for the WebSocket handshake alone. */
void hmac_sha1(unsigned char out[SHA1_SIZE], const void *b, size_t n);

struct hmac_sha256_ctx {
	unsigned int h[8];
	unsigned char block[64];
	unsigned long long total;	/* octets so far */
};

void hmac_sha256_init(struct hmac_sha256_ctx *c);
void hmac_sha256_update(struct hmac_sha256_ctx *c, const void *b, size_t n);
void hmac_sha256_final(struct hmac_sha256_ctx *c, unsigned char out[SHA256_SIZE]);

/* HMAC-SHA256 (RFC 2104) of b[0..n) under key[0..kn). */
void hmac_sign(unsigned char out[SHA256_SIZE], const void *key, size_t kn,
    const void *b, size_t n);

/* Whether a[0..n) and b[0..n) are equal, in a time that depends on n alone. */
int hmac_equal(const void *a, const void *b, size_t n);

/* Overwrites p[0..n) with zeros, in a way that no compiler leaves out. */
void hmac_wipe(void *p, size_t n);

/* Base64 with padding (RFC 4648 section 4).  Encoding in pieces: a piece of
 * n octets gives base64_size(n) and, but for the last piece, n is a multiple
 * of 3.  out may not overlap b.  Returns octets written. */
#define BASE64_SIZE(n) (((n) + 2) / 3 * 4)
size_t base64_encode(unsigned char *out, const void *b, size_t n);

/* Decodes base64 with padding; CR and LF are passed over (some encoders break
 * lines).  out may be b.  Returns the length, or -1 if it is malformed (alphabet, padding, spare bits). */
long base64_decode(unsigned char *out, const unsigned char *b, size_t n);

/* base64url without padding (RFC 7515 section 2).  Decoding is strict: no
 * '=', no white space, spare bits zero.  Returns as above. */
size_t base64url_encode(unsigned char *out, const void *b, size_t n);
long base64url_decode(unsigned char *out, const unsigned char *b, size_t n);

#define JWT_SIZE_MAX 8192
#define JWT_SUB_MAX 128
#define JWT_ID_MAX 128
#define JWT_DOMAINS_MAX 16
#define JWT_DOMAIN_MAX 253

struct jwt_claims {
	char sub[JWT_SUB_MAX + 1];
	char jti[JWT_ID_MAX + 1];	/* any text without a NUL; empty: there is none */
	long long exp, nbf, iat;	/* seconds since the epoch; nbf, iat 0: there is none */
	int ndomains;
	char domain[JWT_DOMAINS_MAX][JWT_DOMAIN_MAX + 1];	/* any text without a NUL */
};

/* Under what a token is made or verified.  Plain strings, the caller's. */
struct jwt_key {
	const char *secret;
	const char *previous;		/* another secret that verifies, but signs nothing; or NULL */
	const char *issuer;
	const char *audience;
};

/* Whether s[0..n) may be a connection id: 1 to 128 of [A-Za-z0-9._~-], not
 * ".", ".." or "healthz". */
int jwt_sub_ok(struct view s);

/* Makes an HS256 token with members in the reference's order (sub, exp, nbf,
 * iat, iss, aud, jti), and domains where there are any, into out[0..cap), with a NUL.  Returns its length, or
 * -1 if it does not fit. */
long jwt_make(char *out, size_t cap, const struct jwt_claims *c,
    const struct jwt_key *k);

/* The same with sub and exp alone, all that the reference knew at first. */
long jwt_make_bare(char *out, size_t cap, const struct jwt_claims *c,
    const struct jwt_key *k);

/* Verifies a token at the time now (seconds since the epoch): MAC first and
 * in constant time, then the header (alg HS256; no crit, zip or b64) and the
 * claims: sub and exp are there, and these two, nbf, iat, iss, aud and jti hold now and
 * here where they are there; each is there once; domains, an array of strings, may
 * be there.  Returns NULL
 * and fills c, or a short reason fit for a close frame (a static string under
 * 100 octets, such as "token has expired"); c is then not to be used. */
const char *jwt_verify(struct jwt_claims *c, struct view token,
    const struct jwt_key *k, long long now);

/* Reads sub and exp from a token without verifying anything, for showing
 * them.  Returns 0, or -1 if it does not look like a token. */
int jwt_peek(struct jwt_claims *c, struct view token);

/* -------------------------------------------------------------------- ws.c
 * The tunnel wire: WebSocket (RFC 6455) and the two message formats on it.
 */

enum ws_opcode {
	WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2,
	WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10
};

#define WS_KEY_SIZE 24		/* base64 of 16 octets */
#define WS_ACCEPT_SIZE 28	/* base64 of 20 octets */
#define WS_FRAME_HEAD_MAX 14
#define WS_CONTROL_MAX 125

#define WS_PUBLIC_MAX 400	/* octets of each of these */
#define WS_LOCKED_MAX 64

/* What the server says of a client's id: where callers find it.  Empty: not said. */
struct ws_public {
	char url[WS_PUBLIC_MAX + 1];	/* under which /{id}/ are: http:// or https://, with a
					   slash at its end */
	char host[WS_PUBLIC_MAX + 1];	/* the host name of the client's id, without a port */
	char domain[WS_PUBLIC_MAX + 1];	/* the first of its own domains */
	long long clients;	/* that serve its id, with it; below 2: not said */
};

/* What one side says of itself in X-PipeGate (v2 only). */
struct ws_hello {
	int present;		/* the header was there and could be read */
	unsigned char instance[16];
	int has_instance;
	long long streams;	/* requests that the client takes at once; -1: not said */
	long long window;	/* credit with which each request body starts; -1: not said */
	int as_is;		/* the client wants nothing sent back that leaves its tunnel */
	char locked[WS_LOCKED_MAX + 1];	/* tells the client's lock from others; empty: it has none */
	struct ws_public public;	/* said by the server: visible ASCII */
};

/* What a client's handshake asks for. */
struct ws_offer {
	unsigned char key[WS_KEY_SIZE];
	int v2;			/* Sec-WebSocket-Protocol lists pipegate.2 */
	struct ws_hello hello;
	struct view token;	/* of ?token= (as it stands), else of Authorization: Bearer; empty: none */
	int python;		/* User-Agent holds "websockets/" */
};

/* Reads the WebSocket handshake in request h (its path is "/").  Returns 0,
 * or minus the status to answer: -400, or -426 (no Upgrade to websocket, or a version other
 * than 13: the answer names 13).  A second token in the query, or a body:
 * -400.  An empty ?token= counts as none. */
int ws_offer_read(struct ws_offer *o, const struct http_head *h);

/* Writes the server's 101 for the offer, with pipegate.2 and X-PipeGate, which tells
 * what is public, when v2 is in force (o->v2). */
void ws_accept_put(struct http_out *o, const struct ws_offer *offer,
    const struct ws_public *public);

/* What a client dials with. */
struct ws_dial {
	struct view host;	/* for Host: with the port where it is not the scheme's own */
	struct view path;	/* of the server URL with its query, without the token */
	struct view token;	/* goes as ?token= when in_query, else as Authorization: Bearer */
	int in_query;
	unsigned char nonce[16];	/* random */
	unsigned char instance[16];
	long long streams, window;
	int as_is;		/* as in struct ws_hello */
	char locked[WS_LOCKED_MAX + 1];	/* the same: visible ASCII */
};

/* Writes the client's handshake. */
void ws_dial_put(struct http_out *o, const struct ws_dial *d);

/* Checks the server's answer h to dial d.  Returns 0 and fills *v2 and hello;
 * or minus a status: its own when it is not 101 (-401, -403, -404 ...), -502
 * when a 101 breaks RFC 6455 4.1 (*why then says how, a static string). */
int ws_answer_check(const struct http_head *h, const struct ws_dial *d,
    int *v2, struct ws_hello *hello, const char **why);

/* One frame's head. */
struct ws_frame {
	int fin;
	int opcode;
	int masked;
	unsigned char mask[4];
	unsigned long long size;	/* of the payload */
};

/* Parses a frame head from b[0..n) (RFC 6455 5.2).  must_mask: the peer is a
 * client (1) or a server (0).  Returns its size; 0 if it is not complete yet;
 * -1002 for RSV bits, unknown opcodes, a length not in its shortest form or
 * over 63 bits, a wrong mask bit, a control frame fragmented or over 125. */
int ws_frame_parse(struct ws_frame *f, const unsigned char *b, size_t n,
    int must_mask);

/* Writes the head of a frame into out, which has room for WS_FRAME_HEAD_MAX.
 * mask is NULL (server) or 4 random octets (client).  Returns its size. */
size_t ws_frame_put(unsigned char *out, int opcode, int fin, size_t size,
    const unsigned char *mask);

/* Size of the head that ws_frame_put writes. */
size_t ws_frame_head_size(size_t size, int masked);

/* XORs b[0..n) with the mask, whose first octet used is mask[at % 4]. */
void ws_mask(unsigned char *b, size_t n, const unsigned char mask[4],
    unsigned long long at);

/* Incremental UTF-8 (RFC 3629).  Start with state 0.  Returns the state after
 * b[0..n), or -1 as soon as no valid text can begin so.  The text is whole
 * when the state is 0. */
int ws_utf8(int state, const unsigned char *b, size_t n);

/* Order of frames in messages (RFC 6455 5.4), and UTF-8 of text. */
struct ws_order {
	int opcode;		/* of the message under way; 0: none */
	int utf8;
};

/* Called with each frame head.  Returns 0 or -1002 (a continuation of
 * nothing, or a new message inside another).  Control frames pass. */
int ws_order_frame(struct ws_order *o, const struct ws_frame *f);

/* Called with each unmasked piece of a data frame's payload; last: it ends
 * the message.  Returns 0 or -1007. */
int ws_order_data(struct ws_order *o, const unsigned char *b, size_t n,
    int last);

/* Reads a close frame's body: *code is 1005 when it is empty.  Returns 0;
 * -1002 for one octet or a code that may not be sent; -1007 for the reason. */
int ws_close_parse(int *code, struct view *reason, const unsigned char *b,
    size_t n);

/* Writes a close body (at most 125 octets, the reason cut at a character)
 * into out; returns its length.  code 1005: an empty body. */
size_t ws_close_put(unsigned char out[WS_CONTROL_MAX], int code,
    const char *reason);

/* --- messages of v2.  Each is one binary frame; numbers are in network order. */

enum ws_type {
	WS_REQUEST = 1, WS_ANSWER, WS_BODY, WS_TRAILERS, WS_WINDOW, WS_RESET,
	WS_LEAVE, WS_NOTE,
	WS_ACK = 128		/* reserved for resuming a link; ignored */
};

/* Flags of requests and answers; of a body WS_END alone. */
#define WS_END 1		/* the half ends with this message */
#define WS_HAS_BODY 2		/* the head has a body, here or behind it */
#define WS_UPGRADE 4		/* asks for a protocol switch, or makes it (101) */
#define WS_INTERIM 8		/* a 1xx: the answer is yet to come */

/* Flags of a reset. */
#define WS_UNREACHED 1		/* nothing of the request reached the service */
#define WS_REFUSED 2		/* the request was not even looked at */
#define WS_UNANSWERED 4		/* its connection ended before an octet of the answer */

#define WS_BODY_MAX 16384	/* octets of body in a message */
#define WS_PREFIX 6		/* type, flags, stream: what each begins with */
#define WS_REQUEST_PREFIX 16	/* the same with what stands before the head */
#define WS_ANSWER_PREFIX 8
#define WS_MESSAGE_MAX (WS_REQUEST_PREFIX + HTTP_LINK_HEAD_MAX + WS_BODY_MAX)

/* A message, read or to be written.  What a type does not have is zero. */
struct ws_msg {
	int type;		/* a ws_type, or another: to be ignored */
	int flags;
	unsigned int stream;	/* its number; 0: none */
	long long took;		/* request: credit that its body starts with */
	long long window;	/* request: credit for the answer's body; window: more credit */
	int status;		/* reset: for whoever waits for an answer */
	struct view head;	/* request, answer: the head; trailers: field lines and the empty
				   one; reset: the reason; note: JSON */
	struct view body;	/* request, answer, body */
};

/* Reads a message.  m's views point into p.  Returns 0; -1002 where it is too
 * short for its type, a head is longer than what came, or a note is no JSON
 * object; -1009 where a part of it is over its limit.  Heads, and what flags,
 * lengths and numbers mean for a stream, are the caller's to judge.  A reset's
 * status is 400 to 599: anything else counts as 502. */
int ws_msg_read(struct ws_msg *m, const unsigned char *p, size_t n);

/* Writes to out what stands before m's head and body: WS_PREFIX octets or more,
 * by type as above; 4 more for a window, 2 for a reset.  The head (m->head.n
 * octets of it) and the body are the caller's to put behind.  Returns its
 * size. */
size_t ws_msg_put(unsigned char *out, const struct ws_msg *m);

/* --- messages of v1.  A uuid is 16 octets here and 8-4-4-4-12 hex on the wire. */

#define WS_UUID_TEXT 36
void ws_uuid_put(char out[WS_UUID_TEXT], const unsigned char id[16]);
/* With or without dashes, either case.  0 or -1. */
int ws_uuid_parse(unsigned char id[16], struct view text);
/* 32 lower-case hex digits, no NUL. */
void ws_hex_put(char out[32], const unsigned char id[16]);
/* Makes 16 random octets a version 4 uuid. */
void ws_uuid_make(unsigned char id[16]);

/* A message that was read. */
struct ws_v1 {
	unsigned char id[16];
	struct http_head head;	/* request: method, path; answer: status; fields.  The rest is zero */
	struct view body;	/* decoded */
};

/* The server reads answers, the client requests.  p[0..n) is written to: strings
 * are unescaped and the body is decoded in place, and m's views point there.
 * Returns 0, or -1 where the message is not usable.  has_id is set, and m->id
 * filled, wherever ws_v1_id_find finds an id, also in a message that is no sound
 * JSON.  Method, path and fields may not be fit for HTTP.  A request's path is
 * built in space[0..cap) ("/" url_path "?" the pairs, percent-encoded where they
 * must be; escapes that stand are kept).  Names in headers differ in letter case
 * only where several lines are meant. */
int ws_v1_response_read(struct ws_v1 *m, unsigned char *p, size_t n,
    int *has_id);
int ws_v1_request_read(struct ws_v1 *m, unsigned char *p, size_t n,
    int *has_id, unsigned char *space, size_t cap);

/* Finds the id in the first n octets of a v1 message that was not kept whole,
 * or is not sound JSON.  It must be the correlation_id of the outermost
 * object; one within a string or another value is none, and where there are
 * several that differ, or one that is no uuid, none is.  Returns 1 and fills
 * id, or 0. */
int ws_v1_id_find(unsigned char id[16], const unsigned char *p, size_t n);

/* v1 writers.  The message is put in two parts around the body's base64,
 * which the caller places between them: everything up to and with body's
 * opening quote; then ws_v1_tail_put(), from the closing quote on.  Requests:
 * names in lower case, repeated fields joined by ", " ("; " for cookie),
 * path split at '?' into url_path (escapes kept) and decoded url_query
 * pairs, accept-encoding: identity in place of the caller's, cookie: empty
 * where there is none.  Responses: several Set-Cookie under keys that differ
 * in case; others joined, names in lower case; the status stands in the tail
 * (0: the tail of a request).  o->nest is 0; a path is HTTP_TARGET_MAX octets at
 * most. */
void ws_v1_request_put(struct json_out *o, const unsigned char id[16],
    const struct http_head *h);
void ws_v1_response_put(struct json_out *o, const unsigned char id[16],
    const struct http_head *h);
void ws_v1_tail_put(struct json_out *o, int status);

/* --- the arithmetic of a half.  One direction of one stream. */
enum ws_half_state {
	WS_HALF_NONE,		/* zeroed: not begun */
	WS_HALF_OPEN,
	WS_HALF_ENDED,		/* whole */
	WS_HALF_RESET		/* broken off */
};

struct ws_half {
	enum ws_half_state state;
	long long credit;	/* body octets that may still come or go */
	long long left;		/* octets that Content-Length still promises; -1: not said */
};

/* Moves h to another state.  What has not begun may go to any; what is open
 * may end or be reset; nothing follows these two.  Returns 0, or -1 where that
 * may not follow: nothing is changed. */
int ws_half_move(struct ws_half *h, enum ws_half_state to);

/* Opens h, which has not begun.  Returns 0, or -1. */
int ws_half_init(struct ws_half *h, long long credit, long long length);

/* n body octets pass, and end tells whether the half ends with them.  Returns
 * 0; -1002 past the credit or after the end; -1 where the promised length is
 * passed, or not reached at the end.  Nothing is changed but for 0. */
int ws_half_pass(struct ws_half *h, size_t n, int end);

/* Adds credit.  Returns 0, or -1002 if the sum passes 2^40. */
int ws_half_grant(struct ws_half *h, long long bytes);

#endif
