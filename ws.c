/*
 * The tunnel wire as pure code: WebSocket handshake, frames, UTF-8 and close
 * codes (RFC 6455); the tunnel's messages, v2 and v1; and the arithmetic of a
 * stream's halves.
 */
#include <stdint.h>
#include <string.h>

#include "pipegate.h"

#define WIRE_MAX (1LL << 40)	/* of any count on the wire, and of credit */

/* ------------------------------------------------------------------ views
 * Small tools on octets that several sections below need.
 */

static struct view
view_of(const void *p, size_t n)
{
	struct view v;

	v.p = p;
	v.n = n;
	return v;
}

/* Takes the piece before the first c off *rest, and that c with it. */
static struct view
view_cut(struct view *rest, int c)
{
	const unsigned char *at;
	struct view piece = *rest;

	at = rest->n > 0 ? memchr(rest->p, c, rest->n) : NULL;
	if (at == NULL) {
		rest->n = 0;
		return piece;
	}
	piece.n = (size_t)(at - piece.p);
	rest->p = at + 1;
	rest->n -= piece.n + 1;
	return piece;
}

/* Where s, not empty, first stands in v, or NULL. */
static const unsigned char *
view_find(struct view v, const char *s)
{
	const unsigned char *at;
	size_t n = strlen(s);

	while (v.n >= n) {
		at = memchr(v.p, s[0], v.n - n + 1);
		if (at == NULL || memcmp(at, s, n) == 0)
			return at;
		v.n -= (size_t)(at - v.p) + 1;
		v.p = at + 1;
	}
	return NULL;
}

static unsigned char
view_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

static int
view_same_nocase(struct view a, struct view b)
{
	size_t i;

	if (a.n != b.n)
		return 0;
	for (i = 0; i < a.n; i++)
		if (view_lower(a.p[i]) != view_lower(b.p[i]))
			return 0;
	return 1;
}

/* A table, as the digits of ids are random: a branch between figures and
 * letters goes wrong half of the time. */
static int
hex_value(unsigned char c)
{
	static const signed char plus_one['f' - '0' + 1] = {
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
		['A' - '0'] = 11, 12, 13, 14, 15, 16,
		['a' - '0'] = 11, 12, 13, 14, 15, 16
	};

	return c < '0' || c > 'f' ? -1 : plus_one[c - '0'] - 1;
}

/* The octet that two hex digits at p mean, or -1. */
static int
hex_octet(const unsigned char *p)
{
	int hi = hex_value(p[0]), lo = hex_value(p[1]);

	return hi == -1 || lo == -1 ? -1 : hi * 16 + lo;
}

/* ------------------------------------------------------------------ uuids */

void
ws_hex_put(char out[32], const unsigned char id[16])
{
	static const char digit[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < 16; i++) {
		out[2 * i] = digit[id[i] >> 4];
		out[2 * i + 1] = digit[id[i] & 15];
	}
}

void
ws_uuid_put(char out[WS_UUID_TEXT], const unsigned char id[16])
{
	static const unsigned char group[] = { 8, 4, 4, 4, 12 };
	const char *from;
	char hex[32];
	size_t i;

	ws_hex_put(hex, id);
	for (i = 0, from = hex; i < sizeof group; i++) {
		if (i > 0)
			*out++ = '-';
		memcpy(out, from, group[i]);
		out += group[i];
		from += group[i];
	}
}

static int
uuid_is_dash(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

int
ws_uuid_parse(unsigned char id[16], struct view text)
{
	int octet;
	size_t i, n = 0;

	if (text.n != WS_UUID_TEXT && text.n != 32)
		return -1;
	for (i = 0; i < text.n; i += 2) {
		if (text.n == WS_UUID_TEXT && uuid_is_dash(i) &&
		    text.p[i++] != '-')
			return -1;
		octet = hex_octet(text.p + i);
		if (octet == -1)
			return -1;
		id[n++] = (unsigned char)octet;
	}
	return 0;
}

/* RFC 9562 section 5.4. */
void
ws_uuid_make(unsigned char id[16])
{
	id[6] = (unsigned char)((id[6] & 0x0f) | 0x40);
	id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
}

/* -------------------------------------------------- percent-encoding (v1)
 * The v1 wire carries path and query decoded; a target is made of them again.
 */

enum uri_class { URI_PATH = 1, URI_FORM = 2 };

/* Which of them an octet may stand in as it is.  In a path all that httpx and
 * origins take; in a form unreserved octets (RFC 3986 section 2.3) alone. */
static const unsigned char uri_plain[128] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 3, 3, 1,	/*  !"#$%&'()*+,-./ */
	3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 1, 1, 0, 1, 0, 0,	/* 0 to 9 :;<=>? */
	1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,	/* @ A to O */
	3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 1, 0, 1, 0, 3,	/* P to Z [\]^_ */
	0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,	/* ` a to o */
	3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 3, 0,	/* p to z {|}~ */
};

static int
uri_stands(struct view v, size_t i, enum uri_class class)
{
	unsigned char c = v.p[i];

	if (c == '%' && class == URI_PATH)
		return v.n - i > 2 && hex_octet(v.p + i + 1) != -1;
	return c < 128 && (uri_plain[c] & class) != 0;
}

static void
uri_put_octet(struct http_out *o, unsigned char c, enum uri_class class)
{
	static const char digit[] = "0123456789ABCDEF";
	char esc[4] = "+";

	if (c != ' ' || class != URI_FORM) {
		esc[0] = '%';
		esc[1] = digit[c >> 4];
		esc[2] = digit[c & 15];
		esc[3] = '\0';
	}
	http_put(o, esc);
}

static void
uri_put(struct http_out *o, struct view v, enum uri_class class)
{
	size_t i, from = 0;

	for (i = 0; i < v.n; i++) {
		if (uri_stands(v, i, class))
			continue;
		http_put_view(o, view_of(v.p + from, i - from));
		uri_put_octet(o, v.p[i], class);
		from = i + 1;
	}
	if (from < v.n)
		http_put_view(o, view_of(v.p + from, v.n - from));
}

/* Undoes form encoding of v into out[0..cap); what passes cap is dropped. */
static struct view
uri_form_decode(unsigned char *out, size_t cap, struct view v)
{
	int octet;
	size_t i, n = 0;

	for (i = 0; i < v.n && n < cap; i++) {
		octet = v.p[i] == '+' ? ' ' : v.p[i];
		if (octet == '%' && v.n - i > 2 &&
		    hex_octet(v.p + i + 1) != -1) {
			octet = hex_octet(v.p + i + 1);
			i += 2;
		}
		out[n++] = (unsigned char)octet;
	}
	return view_of(out, n);
}

/* -------------------------------------------------------------- handshake
 * RFC 6455 section 4, both sides; and X-PipeGate, in which a client and a
 * server of v2 tell what they must know of each other.
 */

#define HS_PROTOCOL "pipegate.2"

/* How many fields are called name; *last is the last of them. */
static size_t
hs_count(const struct http_head *h, const char *name, struct view *last)
{
	size_t i, n = 0;

	for (i = 0; i < h->nfields; i++)
		if (http_equal_nocase(h->field[i].name, name)) {
			*last = h->field[i].value;
			n++;
		}
	return n;
}

/* Whether the list that all fields called name make together holds token. */
static int
hs_lists(const struct http_head *h, const char *name, const char *token)
{
	size_t i;

	for (i = 0; i < h->nfields; i++)
		if (http_equal_nocase(h->field[i].name, name) &&
		    http_list_has(h->field[i].value, token))
			return 1;
	return 0;
}

static int
hs_is_upgrade(const struct http_head *h)
{
	return hs_lists(h, "Upgrade", "websocket") &&
	    hs_lists(h, "Connection", "upgrade");
}

/* RFC 6455 4.2.2, step 5.4. */
static void
hs_accept(unsigned char out[WS_ACCEPT_SIZE],
    const unsigned char key[WS_KEY_SIZE])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char text[WS_KEY_SIZE + sizeof guid - 1], sum[SHA1_SIZE];

	memcpy(text, key, WS_KEY_SIZE);
	memcpy(text + WS_KEY_SIZE, guid, sizeof guid - 1);
	hmac_sha1(sum, text, sizeof text);
	base64_encode(out, sum, sizeof sum);
}

/* The count called name in object v, or -1 where there is none to go by. */
static long long
hs_hello_count(const struct json *v, const char *name)
{
	struct json val;
	long long n;

	if (json_find(v, name, &val) != 1 || json_integer(&val, &n) == -1 ||
	    n < 0 || n > WIRE_MAX)
		return -1;
	return n;
}

/* Reads the string called name in object v to out[0..max], with a NUL: people are to
 * see it, so it is visible ASCII.  Otherwise, and where it is too long, it is left
 * empty. */
static void
hs_hello_text(char *out, size_t max, const struct json *v, const char *name)
{
	unsigned char text[WS_PUBLIC_MAX];
	struct json val;
	long i, n;

	out[0] = '\0';
	if (json_find(v, name, &val) != 1 ||
	    (n = json_string(&val, text, max)) < 0)
		return;
	for (i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return;
	memcpy(out, text, (size_t)n);
	out[n] = '\0';
}

static void
hs_hello_read(struct ws_hello *hello, const struct http_head *h)
{
	unsigned char text[WS_UUID_TEXT];
	struct json v, val;
	struct view value;
	long n;

	memset(hello, 0, sizeof *hello);
	hello->streams = hello->window = -1;
	if (hs_count(h, "X-PipeGate", &value) != 1 ||
	    json_parse(&v, value.p, value.n) == -1 || v.type != JSON_OBJECT)
		return;
	hello->present = 1;
	hello->streams = hs_hello_count(&v, "streams");
	hello->window = hs_hello_count(&v, "window");
	hello->as_is = json_find(&v, "rewrite", &val) == 1 &&
	    val.type == JSON_FALSE;
	hs_hello_text(hello->locked, WS_LOCKED_MAX, &v, "locked");
	hs_hello_text(hello->public.url, WS_PUBLIC_MAX, &v, "url");
	hs_hello_text(hello->public.host, WS_PUBLIC_MAX, &v, "host");
	hs_hello_text(hello->public.domain, WS_PUBLIC_MAX, &v, "domain");
	hello->public.clients = hs_hello_count(&v, "clients");
	if (json_find(&v, "instance", &val) != 1)
		return;
	n = json_string(&val, text, sizeof text);
	hello->has_instance = n > 0 &&
	    ws_uuid_parse(hello->instance, view_of(text, (size_t)n)) == 0;
}

/* The token in the query of path.  Returns 0, or -400 for a second one. */
static int
hs_token_query(struct view *token, struct view path)
{
	static const char name[] = "token=";
	struct view piece;
	int seen = 0;

	view_cut(&path, '?');
	while (path.n > 0) {
		piece = view_cut(&path, '&');
		if (piece.n < sizeof name - 1 ||
		    memcmp(piece.p, name, sizeof name - 1) != 0)
			continue;
		if (seen++)
			return -400;
		token->p = piece.p + sizeof name - 1;
		token->n = piece.n - (sizeof name - 1);
	}
	return 0;
}

/* RFC 6750 section 2.1; the scheme in any case (RFC 9110 11.1). */
static struct view
hs_token_bearer(const struct http_head *h)
{
	const struct http_field *f;
	struct view rest, none = { NULL, 0 };

	f = http_field_find(h->field, h->nfields, "Authorization");
	if (f == NULL)
		return none;
	rest = f->value;
	if (!http_equal_nocase(view_cut(&rest, ' '), "Bearer"))
		return none;
	while (rest.n > 0 && rest.p[0] == ' ')
		rest = view_of(rest.p + 1, rest.n - 1);
	return rest;
}

static int
hs_token_read(struct ws_offer *o, const struct http_head *h)
{
	if (hs_token_query(&o->token, h->path) != 0)
		return -400;
	if (o->token.n == 0)
		o->token = hs_token_bearer(h);
	return 0;
}

static int
hs_key_read(struct ws_offer *o, const struct http_head *h)
{
	unsigned char nonce[WS_KEY_SIZE];
	struct view key;

	if (hs_count(h, "Sec-WebSocket-Key", &key) != 1 ||
	    key.n != WS_KEY_SIZE || base64_decode(nonce, key.p, key.n) != 16)
		return -400;
	memcpy(o->key, key.p, WS_KEY_SIZE);
	return 0;
}

int
ws_offer_read(struct ws_offer *o, const struct http_head *h)
{
	const struct http_field *agent;
	struct view version;

	memset(o, 0, sizeof *o);
	if (!http_equal(h->method, "GET"))
		return -400;
	if (!hs_is_upgrade(h))
		return -426;
	if (h->minor < 1 || h->framing == HTTP_CHUNKED || h->length > 0)
		return -400;
	if (hs_count(h, "Sec-WebSocket-Version", &version) != 1 ||
	    !http_equal(version, "13"))
		return -426;
	if (hs_key_read(o, h) != 0 || hs_token_read(o, h) != 0)
		return -400;
	o->v2 = hs_lists(h, "Sec-WebSocket-Protocol", HS_PROTOCOL);
	hs_hello_read(&o->hello, h);
	agent = http_field_find(h->field, h->nfields, "User-Agent");
	o->python = agent != NULL &&
	    view_find(agent->value, "websockets/") != NULL;
	return 0;
}

static void
hs_put(struct http_out *o, const char *name, const char *value)
{
	http_put_field(o, view_of(name, strlen(name)),
	    view_of(value, strlen(value)));
}

/* Writes a member behind others, unless value is empty. */
static void
hs_member(struct json_out *j, const char *name, const char *value)
{
	if (value[0] == '\0')
		return;
	json_put(j, ",\"");
	json_put(j, name);
	json_put(j, "\":");
	json_put_string(j, view_of(value, strlen(value)));
}

static void
hs_public_put(struct http_out *o, const struct ws_public *public)
{
	unsigned char text[3 * WS_PUBLIC_MAX + 80];
	struct json_out j = { text, sizeof text, 0, 0 };

	json_put(&j, "{\"received\":0");
	hs_member(&j, "url", public->url);
	hs_member(&j, "host", public->host);
	hs_member(&j, "domain", public->domain);
	if (public->clients > 1) {
		json_put(&j, ",\"clients\":");
		json_put_integer(&j, public->clients);
	}
	json_put(&j, "}");
	http_put_field(o, view_of("X-PipeGate", 10), view_of(text, j.len));
}

void
ws_accept_put(struct http_out *o, const struct ws_offer *offer,
    const struct ws_public *public)
{
	unsigned char accept[WS_ACCEPT_SIZE];

	hs_accept(accept, offer->key);
	http_put(o, "HTTP/1.1 101 Switching Protocols\r\n");
	hs_put(o, "Upgrade", "websocket");
	hs_put(o, "Connection", "Upgrade");
	http_put(o, "Sec-WebSocket-Accept: ");
	http_put_view(o, view_of(accept, sizeof accept));
	http_put(o, "\r\n");
	if (offer->v2) {
		hs_put(o, "Sec-WebSocket-Protocol", HS_PROTOCOL);
		hs_public_put(o, public);
	}
	http_put(o, "\r\n");
}

static void
hs_target_put(struct http_out *o, const struct ws_dial *d)
{
	int query = d->path.n > 0 && memchr(d->path.p, '?', d->path.n) != NULL;

	if (d->path.n == 0 || d->path.p[0] != '/')
		http_put(o, "/");
	http_put_view(o, d->path);
	if (d->in_query && d->token.n > 0) {
		http_put(o, query ? "&token=" : "?token=");
		uri_put(o, d->token, URI_FORM);
	}
}

static void
hs_hello_put(struct http_out *o, const struct ws_dial *d)
{
	unsigned char text[128 + WS_LOCKED_MAX];
	char id[WS_UUID_TEXT];
	struct json_out j = { text, sizeof text, 0, 0 };

	ws_uuid_put(id, d->instance);
	json_put(&j, "{\"instance\":");
	json_put_string(&j, view_of(id, sizeof id));
	json_put(&j, ",\"received\":0,\"streams\":");
	json_put_integer(&j, d->streams);
	json_put(&j, ",\"window\":");
	json_put_integer(&j, d->window);
	hs_member(&j, "locked", d->locked);
	json_put(&j, d->as_is ? ",\"rewrite\":false}" : "}");
	http_put(o, "X-PipeGate: ");
	http_put_view(o, view_of(text, j.len));
	http_put(o, "\r\n");
}

void
ws_dial_put(struct http_out *o, const struct ws_dial *d)
{
	unsigned char key[WS_KEY_SIZE];

	base64_encode(key, d->nonce, sizeof d->nonce);
	http_put(o, "GET ");
	hs_target_put(o, d);
	http_put(o, " HTTP/1.1\r\nHost: ");
	http_put_view(o, d->host);
	http_put(o, "\r\n");
	hs_put(o, "Upgrade", "websocket");
	hs_put(o, "Connection", "Upgrade");
	http_put(o, "Sec-WebSocket-Key: ");
	http_put_view(o, view_of(key, sizeof key));
	http_put(o, "\r\n");
	hs_put(o, "Sec-WebSocket-Version", "13");
	hs_put(o, "Sec-WebSocket-Protocol", HS_PROTOCOL);
	hs_hello_put(o, d);
	if (!d->in_query && d->token.n > 0) {
		http_put(o, "Authorization: Bearer ");
		http_put_view(o, d->token);
		http_put(o, "\r\n");
	}
	hs_put(o, "User-Agent", "pipegate/" PIPEGATE_VERSION);
	http_put(o, "\r\n");
}

static int
hs_is_accepted(const struct http_head *h, const struct ws_dial *d)
{
	unsigned char key[WS_KEY_SIZE], want[WS_ACCEPT_SIZE];
	struct view got;

	base64_encode(key, d->nonce, sizeof d->nonce);
	hs_accept(want, key);
	return hs_count(h, "Sec-WebSocket-Accept", &got) == 1 &&
	    got.n == sizeof want && memcmp(got.p, want, sizeof want) == 0;
}

/* What is wrong with a 101, or NULL. */
static const char *
hs_answer_fault(const struct http_head *h, const struct ws_dial *d, int *v2)
{
	struct view value;
	size_t protocols;

	if (!hs_is_upgrade(h))
		return "the server's 101 is not an upgrade to websocket";
	if (!hs_is_accepted(h, d))
		return "the server's Sec-WebSocket-Accept is wrong";
	if (hs_count(h, "Sec-WebSocket-Extensions", &value) > 0)
		return "the server chose an extension that was not offered";
	protocols = hs_count(h, "Sec-WebSocket-Protocol", &value);
	*v2 = protocols == 1 && http_equal(value, HS_PROTOCOL);
	if (protocols > 0 && !*v2)
		return "the server chose a protocol that was not offered";
	return NULL;
}

int
ws_answer_check(const struct http_head *h, const struct ws_dial *d, int *v2,
    struct ws_hello *hello, const char **why)
{
	*v2 = 0;
	*why = NULL;
	memset(hello, 0, sizeof *hello);
	if (h->status != 101)
		return -h->status;
	*why = hs_answer_fault(h, d, v2);
	if (*why != NULL)
		return -502;
	hs_hello_read(hello, h);
	return 0;
}

/* ----------------------------------------------------------------- frames
 * RFC 6455 section 5.
 */

#define FRAME_FIN 0x80
#define FRAME_RSV 0x70
#define FRAME_MASKED 0x80
#define FRAME_OPCODES 0x0707	/* one bit for each opcode that is defined */

static int
frame_is_control(int opcode)
{
	return (opcode & 8) != 0;
}

/* How many octets of extended length follow a 7-bit length. */
static size_t
frame_extended(int len7)
{
	return len7 < 126 ? 0 : len7 == 126 ? 2 : 8;
}

static unsigned long long
frame_number(const unsigned char *b, size_t n)
{
	unsigned long long v = 0;

	while (n-- > 0)
		v = v << 8 | *b++;
	return v;
}

/* Whether a size had to be written in its form, and is a length at all. */
static int
frame_is_minimal(unsigned long long size, size_t extended)
{
	if (extended == 2)
		return size > 125;
	return extended == 0 || (size > 0xffff && size >> 63 == 0);
}

int
ws_frame_parse(struct ws_frame *f, const unsigned char *b, size_t n,
    int must_mask)
{
	int len7;
	size_t extended, head;

	if (n < 1)
		return 0;
	f->fin = (b[0] & FRAME_FIN) != 0;
	f->opcode = b[0] & 15;
	if ((b[0] & FRAME_RSV) != 0 || (FRAME_OPCODES >> f->opcode & 1) == 0)
		return -1002;
	if (n < 2)
		return 0;
	f->masked = (b[1] & FRAME_MASKED) != 0;
	len7 = b[1] & 127;
	if (f->masked != (must_mask != 0))
		return -1002;
	if (frame_is_control(f->opcode) && (!f->fin || len7 > WS_CONTROL_MAX))
		return -1002;
	extended = frame_extended(len7);
	head = 2 + extended + (f->masked ? 4 : 0);
	if (n < head)
		return 0;
	f->size = extended == 0 ? (unsigned long long)len7 :
	    frame_number(b + 2, extended);
	if (!frame_is_minimal(f->size, extended))
		return -1002;
	if (f->masked)
		memcpy(f->mask, b + head - 4, 4);
	return (int)head;
}

size_t
ws_frame_head_size(size_t size, int masked)
{
	size_t extended = size < 126 ? 0 : size <= 0xffff ? 2 : 8;

	return 2 + extended + (masked ? 4 : 0);
}

size_t
ws_frame_put(unsigned char *out, int opcode, int fin, size_t size,
    const unsigned char *mask)
{
	unsigned long long left = size;
	size_t i, extended = ws_frame_head_size(size, 0) - 2;
	int len7 = extended == 0 ? (int)size : extended == 2 ? 126 : 127;

	out[0] = (unsigned char)(opcode | (fin ? FRAME_FIN : 0));
	out[1] = (unsigned char)(len7 | (mask != NULL ? FRAME_MASKED : 0));
	for (i = extended; i > 0; i--) {
		out[1 + i] = (unsigned char)(left & 0xff);
		left >>= 8;
	}
	if (mask == NULL)
		return 2 + extended;
	memcpy(out + 2 + extended, mask, 4);
	return 2 + extended + 4;
}

void
ws_mask(unsigned char *b, size_t n, const unsigned char mask[4],
    unsigned long long at)
{
	unsigned char turned[8];
	uint64_t one, two, three, four, key;
	size_t i;

	for (i = 0; i < 8; i++)
		turned[i] = mask[(at + i) & 3];
	memcpy(&key, turned, 8);
	/* By fours, which compilers put into wide registers. */
	for (; n >= 32; n -= 32, b += 32) {
		memcpy(&one, b, 8);
		memcpy(&two, b + 8, 8);
		memcpy(&three, b + 16, 8);
		memcpy(&four, b + 24, 8);
		one ^= key;
		two ^= key;
		three ^= key;
		four ^= key;
		memcpy(b, &one, 8);
		memcpy(b + 8, &two, 8);
		memcpy(b + 16, &three, 8);
		memcpy(b + 24, &four, 8);
	}
	for (; n >= 8; n -= 8, b += 8) {
		memcpy(&one, b, 8);
		one ^= key;
		memcpy(b, &one, 8);
	}
	for (i = 0; i < n; i++)
		b[i] ^= turned[i];
}

/* ------------------------------------------------------------------ UTF-8
 * The syntax of RFC 3629 section 4.  State 0 stands between characters; any
 * other is a row below: the range of the next octet and the state after it.
 */

static const struct {
	unsigned char low, high;
	signed char next;
} utf8_tail[] = {
	{ 0, 0, 0 },
	{ 0x80, 0xbf, 0 },	/* 1: the last octet */
	{ 0x80, 0xbf, 1 },	/* 2: the last but one */
	{ 0x80, 0xbf, 2 },	/* 3: the last but two */
	{ 0xa0, 0xbf, 1 },	/* 4: after E0, nothing overlong */
	{ 0x80, 0x9f, 1 },	/* 5: after ED, no surrogate */
	{ 0x90, 0xbf, 2 },	/* 6: after F0, nothing overlong */
	{ 0x80, 0x8f, 2 },	/* 7: after F4, up to U+10FFFF */
};

#define UTF8_LEAD_MIN 0xc2
#define UTF8_LEAD_MAX 0xf4

/* The state after each first octet of several. */
static const signed char utf8_lead[UTF8_LEAD_MAX - UTF8_LEAD_MIN + 1] = {
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,	/* C2 to D0 */
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,	/* D1 to DF */
	4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 5, 2, 2,	/* E0 to EF */
	6, 3, 3, 3, 7,	/* F0 to F4 */
};

/* How many octets at the start of b[0..n) are ASCII. */
static size_t
utf8_ascii(const unsigned char *b, size_t n)
{
	uint64_t word;
	size_t i;

	for (i = 0; n - i >= 8; i += 8) {
		memcpy(&word, b + i, 8);
		if ((word & UINT64_C(0x8080808080808080)) != 0)
			break;
	}
	while (i < n && b[i] < 0x80)
		i++;
	return i;
}

static int
utf8_step(int state, unsigned char c)
{
	if (state != 0)
		return c < utf8_tail[state].low || c > utf8_tail[state].high ?
		    -1 : utf8_tail[state].next;
	if (c < 0x80)
		return 0;
	if (c < UTF8_LEAD_MIN || c > UTF8_LEAD_MAX)
		return -1;
	return utf8_lead[c - UTF8_LEAD_MIN];
}

int
ws_utf8(int state, const unsigned char *b, size_t n)
{
	size_t i = 0;

	for (;;) {
		if (state == 0)
			i += utf8_ascii(b + i, n - i);
		if (i == n)
			return state;
		state = utf8_step(state, b[i++]);
		if (state == -1)
			return -1;
	}
}

/* --------------------------------------------- messages of several frames
 * RFC 6455 sections 5.4 and 8.1.
 */

int
ws_order_frame(struct ws_order *o, const struct ws_frame *f)
{
	if (frame_is_control(f->opcode))
		return 0;
	if ((f->opcode == WS_CONTINUATION) != (o->opcode != 0))
		return -1002;
	if (f->opcode != WS_CONTINUATION) {
		o->opcode = f->opcode;
		o->utf8 = 0;
	}
	return 0;
}

int
ws_order_data(struct ws_order *o, const unsigned char *b, size_t n, int last)
{
	if (o->opcode == WS_TEXT) {
		int utf8 = ws_utf8(o->utf8, b, n);

		if (utf8 == -1 || (last && utf8 != 0))
			return -1007;
		o->utf8 = utf8;
	}
	if (last)
		o->opcode = 0;
	return 0;
}

/* -------------------------------------------------------------- the close
 * RFC 6455 sections 5.5.1 and 7.4; 1012 to 1014 are of the IANA registry.
 */

static int
close_may_be_sent(int code)
{
	return (code >= 1000 && code <= 1003) ||
	    (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

int
ws_close_parse(int *code, struct view *reason, const unsigned char *b,
    size_t n)
{
	*code = 1005;
	*reason = view_of(b, 0);
	if (n == 0)
		return 0;
	if (n == 1)
		return -1002;
	*code = (int)frame_number(b, 2);
	*reason = view_of(b + 2, n - 2);
	if (!close_may_be_sent(*code))
		return -1002;
	return ws_utf8(0, reason->p, reason->n) == 0 ? 0 : -1007;
}

size_t
ws_close_put(unsigned char out[WS_CONTROL_MAX], int code, const char *reason)
{
	struct view text = view_of(reason, strlen(reason));

	if (code == 1005)
		return 0;
	if (text.n > WS_CONTROL_MAX - 2) {
		text.n = WS_CONTROL_MAX - 2;
		while (text.n > 0 && (text.p[text.n] & 0xc0) == 0x80)
			text.n--;
	}
	out[0] = (unsigned char)(code >> 8);
	out[1] = (unsigned char)(code & 0xff);
	memcpy(out + 2, text.p, text.n);
	return text.n + 2;
}

/* --------------------------------------------------------------------- v2
 * A message is a prefix, which has a length of its own for each type, and what
 * stands behind it: a head whose length the prefix says, the rest a body.
 */

/* How messages of a type are laid out, by type. */
static const struct layout {
	unsigned char prefix;	/* octets, all told */
	unsigned char is_head;	/* all that follows the prefix is the head */
	unsigned short head_max, body_max;	/* a head that is too long for its parser is
						   the stream's matter */
} layouts[] = {
	[WS_REQUEST] = { WS_REQUEST_PREFIX, 0, 0xffff, WS_BODY_MAX },
	[WS_ANSWER] = { WS_ANSWER_PREFIX, 0, 0xffff, WS_BODY_MAX },
	[WS_BODY] = { WS_PREFIX, 0, 0, WS_BODY_MAX },
	[WS_TRAILERS] = { WS_PREFIX, 1, HTTP_HEAD_MAX, 0 },
	[WS_WINDOW] = { WS_PREFIX + 4, 1, 0, 0 },
	[WS_RESET] = { WS_PREFIX + 2, 1, 1024, 0 },
	[WS_LEAVE] = { WS_PREFIX, 1, 0, 0 },
	[WS_NOTE] = { WS_PREFIX, 1, WS_BODY_MAX, 0 }
};

/* The layout of a type; NULL: it is not known. */
static const struct layout *
v2_layout(int type)
{
	return type >= WS_REQUEST && type <= WS_NOTE ? &layouts[type] : NULL;
}

static unsigned char *
v2_put_number(unsigned char *out, unsigned long long v, size_t n)
{
	size_t i;

	for (i = n; i > 0; i--) {
		out[i - 1] = (unsigned char)(v & 0xff);
		v >>= 8;
	}
	return out + n;
}

/* Reads what the prefix has behind the stream's number.  Returns the length of
 * the head where the prefix says it, else -1. */
static long
v2_read_prefix(struct ws_msg *m, const unsigned char *p)
{
	switch (m->type) {
	case WS_REQUEST:
		m->took = (long long)frame_number(p, 4);
		m->window = (long long)frame_number(p + 4, 4);
		return (long)frame_number(p + 8, 2);
	case WS_ANSWER:
		return (long)frame_number(p, 2);
	case WS_WINDOW:
		m->window = (long long)frame_number(p, 4);
		return -1;
	case WS_RESET:
		m->status = (int)frame_number(p, 2);
		if (m->status < 400 || m->status > 599)
			m->status = 502;
		return -1;
	default:
		return -1;
	}
}

/* Takes head and body from rest, which follows the prefix; head: how long the
 * prefix says the head is, or -1.  Returns as ws_msg_read(). */
static int
v2_read_parts(struct ws_msg *m, const struct layout *l, struct view rest,
    long head)
{
	size_t n = head >= 0 ? (size_t)head : l->is_head ? rest.n : 0;

	if (n > rest.n)
		return -1002;
	m->head = view_of(rest.p, n);
	m->body = view_of(rest.p + n, rest.n - n);
	return n > l->head_max || m->body.n > l->body_max ? -1009 : 0;
}

static int
v2_note_ok(struct view text)
{
	struct json v;

	return json_parse(&v, text.p, text.n) == 0 && v.type == JSON_OBJECT;
}

int
ws_msg_read(struct ws_msg *m, const unsigned char *p, size_t n)
{
	const struct layout *l;
	long head;
	int r;

	memset(m, 0, sizeof *m);
	if (n < WS_PREFIX)
		return -1002;
	m->type = p[0];
	m->flags = p[1];
	m->stream = (unsigned int)frame_number(p + 2, 4);
	l = v2_layout(m->type);
	if (l == NULL)
		return 0;
	if (n < l->prefix)
		return -1002;
	head = v2_read_prefix(m, p + WS_PREFIX);
	r = v2_read_parts(m, l, view_of(p + l->prefix, n - l->prefix), head);
	if (r == 0 && m->type == WS_NOTE && !v2_note_ok(m->head))
		return -1002;
	return r;
}

size_t
ws_msg_put(unsigned char *out, const struct ws_msg *m)
{
	unsigned char *p = out;

	*p++ = (unsigned char)m->type;
	*p++ = (unsigned char)m->flags;
	p = v2_put_number(p, m->stream, 4);
	switch (m->type) {
	case WS_REQUEST:
		p = v2_put_number(p, (unsigned long long)m->took, 4);
		p = v2_put_number(p, (unsigned long long)m->window, 4);
		/* FALLTHROUGH */
	case WS_ANSWER:
		p = v2_put_number(p, m->head.n, 2);
		break;
	case WS_WINDOW:
		p = v2_put_number(p, (unsigned long long)m->window, 4);
		break;
	case WS_RESET:
		p = v2_put_number(p, (unsigned long long)m->status, 2);
		break;
	default:
		break;
	}
	return (size_t)(p - out);
}

/* ---------------------------------------------------------- v1: members
 * What requests and answers have in common.  A message is walked once, its known
 * members are remembered, and only then are their strings unescaped, in place.
 */

enum msg_member {
	MSG_ID, MSG_METHOD, MSG_STATUS, MSG_HEADERS, MSG_URL_PATH,
	MSG_URL_QUERY, MSG_BODY, MSG_MEMBERS
};

static const char *const msg_name[MSG_MEMBERS] = {
	"correlation_id", "method", "status_code", "headers", "url_path",
	"url_query", "body"
};

#define BIT(member) (1U << (member))

/* A message being read: its octets, and where its known members stand. */
struct msg_text {
	unsigned char *p;
	unsigned int seen;	/* a BIT for each member that is there */
	struct json val[MSG_MEMBERS];
};

/* Looks from member from on, round to it again: most messages have them in
 * the order of the list.  MSG_MEMBERS: not found. */
static size_t
msg_member_find(const struct json *key, size_t from)
{
	size_t i, n;

	for (n = 0; n < MSG_MEMBERS; n++) {
		i = (from + n) % MSG_MEMBERS;
		if (json_equal(key, msg_name[i]))
			return i;
	}
	return MSG_MEMBERS;
}

/* Returns 0, or -1 where p[0..n) is no object or repeats a known member. */
static int
msg_walk(struct msg_text *t, unsigned char *p, size_t n)
{
	struct json_iter it;
	struct json v, key, val;
	size_t i, from = 0;

	t->p = p;
	t->seen = 0;
	if (json_parse(&v, p, n) == -1 || v.type != JSON_OBJECT)
		return -1;
	json_iter_init(&it, &v);
	while (json_iter_next(&it, &key, &val)) {
		i = msg_member_find(&key, from);
		if (i == MSG_MEMBERS)
			continue;
		from = i + 1;
		if ((t->seen & BIT(i)) != 0)
			return -1;
		t->seen |= BIT(i);
		t->val[i] = val;
	}
	return 0;
}

/* What string v says, unescaped in place with unescape, one of json.c's. */
static int
msg_string(struct view *out, const struct msg_text *t, const struct json *v,
    long (*unescape)(const struct json *, unsigned char *, size_t))
{
	unsigned char *at = t->p + (v->raw.p - t->p);
	long n;

	if (v->plain) {
		*out = view_of(at + 1, v->raw.n - 2);
		return 0;
	}
	n = unescape(v, at, v->raw.n);
	if (n < 0)
		return -1;
	*out = view_of(at, (size_t)n);
	return 0;
}

static int
msg_id_read(unsigned char id[16], const struct json *v)
{
	unsigned char text[WS_UUID_TEXT];
	long n = json_string(v, text, sizeof text);

	return n < 0 ? -1 : ws_uuid_parse(id, view_of(text, (size_t)n));
}

static int
msg_fields_read(struct http_head *h, const struct msg_text *t,
    const struct json *v)
{
	struct http_field *f;
	struct json_iter it;
	struct json name, value;
	int r;

	json_iter_init(&it, v);
	while ((r = json_iter_pair(&it, &name, &value)) == 1) {
		if (h->nfields == HTTP_LINK_FIELDS)
			return -1;
		f = &h->field[h->nfields];
		if (msg_string(&f->name, t, &name, json_latin1) == -1 ||
		    msg_string(&f->value, t, &value, json_latin1) == -1)
			return -1;
		h->nfields++;
	}
	return r;
}

/* ------------------------------------------------------- v1, what is read
 * Headers and query are JSON texts inside JSON strings: such a string is
 * unescaped in place, then what it holds is read like any other.
 */

/* Takes the text inside string v for inner.  An empty one is JSON_NULL. */
static int
v1_inner(struct json *inner, const struct msg_text *t, const struct json *v)
{
	struct view text;

	if (msg_string(&text, t, v, json_string) == -1)
		return -1;
	inner->type = JSON_NULL;
	inner->raw = text;
	return text.n == 0 ? 0 : json_parse(inner, text.p, text.n);
}

static int
v1_is_pairs(const struct json *v)
{
	return v->type == JSON_OBJECT || v->type == JSON_ARRAY;
}

/* The reference's client writes "" where it has no answer to tell of. */
static int
v1_headers_read(struct ws_v1 *m, const struct msg_text *t)
{
	struct json inner;

	if (v1_inner(&inner, t, &t->val[MSG_HEADERS]) == -1)
		return -1;
	if (inner.raw.n == 0)
		return 0;
	return v1_is_pairs(&inner) ? msg_fields_read(&m->head, t, &inner) : -1;
}

static int
v1_body_read(struct ws_v1 *m, const struct msg_text *t)
{
	struct view text;
	unsigned char *at;
	long n;

	if (msg_string(&text, t, &t->val[MSG_BODY], json_string) == -1)
		return -1;
	at = t->p + (text.p - t->p);
	n = base64_decode(at, text.p, text.n);
	if (n < 0)
		return -1;
	m->body = view_of(at, (size_t)n);
	return 0;
}

/* The number that up to three digits in string v say, or -1. */
static int
v1_digits(const struct json *v)
{
	unsigned char text[3];
	int status = 0;
	long i, n = json_string(v, text, sizeof text);

	for (i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		status = status * 10 + (text[i] - '0');
	}
	return status;
}

static int
v1_status_read(struct ws_v1 *m, const struct json *v)
{
	long long status;

	if (v->type == JSON_STRING)
		status = v1_digits(v);
	else if (json_integer(v, &status) == -1)
		return -1;
	if (status < 200 || status > 599)
		return -1;
	m->head.status = (int)status;
	return 0;
}

int
ws_v1_id_find(unsigned char id[16], const unsigned char *p, size_t n)
{
	unsigned char again[16];
	struct json_iter it;
	struct json key, val;
	int found = 0;

	json_loose_init(&it, p, n);
	while (json_loose_next(&it, &key, &val)) {
		if (!json_equal(&key, msg_name[MSG_ID]))
			continue;
		if (msg_id_read(again, &val) == -1 ||
		    (found && memcmp(id, again, 16) != 0))
			return 0;
		memcpy(id, again, 16);
		found = 1;
	}
	return found;
}

/* What both directions begin with: the walk, and the id even where the rest
 * turns out unusable, so that whoever waits for it can be told. */
static int
v1_begin(struct ws_v1 *m, struct msg_text *t, unsigned char *p, size_t n,
    int *has_id)
{
	*has_id = 0;
	m->body = view_of(NULL, 0);
	memset(&m->head, 0, offsetof(struct http_head, field));
	if (msg_walk(t, p, n) == -1) {
		*has_id = ws_v1_id_find(m->id, p, n);
		return -1;
	}
	if ((t->seen & BIT(MSG_ID)) != 0)
		*has_id = msg_id_read(m->id, &t->val[MSG_ID]) == 0;
	return *has_id ? 0 : -1;
}

int
ws_v1_response_read(struct ws_v1 *m, unsigned char *p, size_t n, int *has_id)
{
	const unsigned int must =
	    BIT(MSG_HEADERS) | BIT(MSG_BODY) | BIT(MSG_STATUS);
	struct msg_text t;

	if (v1_begin(m, &t, p, n, has_id) == -1)
		return -1;
	if ((must & ~t.seen) != 0 ||
	    v1_status_read(m, &t.val[MSG_STATUS]) == -1 ||
	    v1_headers_read(m, &t) == -1)
		return -1;
	return v1_body_read(m, &t);
}

/* Writes string v, or the text of another scalar, form-encoded. */
static int
v1_scalar_put(struct http_out *o, const struct msg_text *t,
    const struct json *v)
{
	struct view text = v->raw;

	if (v1_is_pairs(v))
		return -1;
	if (v->type == JSON_STRING &&
	    msg_string(&text, t, v, json_string) == -1)
		return -1;
	uri_put(o, text, URI_FORM);
	return 0;
}

static int
v1_query_read(struct http_out *o, const struct msg_text *t)
{
	const char *before = "?";
	struct json_iter it;
	struct json inner, name, value;
	int r;

	if (v1_inner(&inner, t, &t->val[MSG_URL_QUERY]) == -1)
		return -1;
	if (inner.type != JSON_NULL && !v1_is_pairs(&inner))
		return -1;
	json_iter_init(&it, &inner);
	while ((r = json_iter_pair(&it, &name, &value)) == 1) {
		http_put(o, before);
		if (v1_scalar_put(o, t, &name) == -1)
			return -1;
		http_put(o, "=");
		if (v1_scalar_put(o, t, &value) == -1)
			return -1;
		before = "&";
	}
	return r;
}

static int
v1_target_read(struct ws_v1 *m, const struct msg_text *t,
    unsigned char *space, size_t cap)
{
	struct http_out o = { space, cap, 0 };
	struct view path;

	if (msg_string(&path, t, &t->val[MSG_URL_PATH], json_string) == -1)
		return -1;
	http_put(&o, "/");
	uri_put(&o, path, URI_PATH);
	if (v1_query_read(&o, t) == -1 || o.len > cap)
		return -1;
	m->head.path = view_of(space, o.len);
	return 0;
}

int
ws_v1_request_read(struct ws_v1 *m, unsigned char *p, size_t n, int *has_id,
    unsigned char *space, size_t cap)
{
	const unsigned int must = BIT(MSG_METHOD) | BIT(MSG_URL_PATH) |
	    BIT(MSG_URL_QUERY) | BIT(MSG_HEADERS) | BIT(MSG_BODY);
	struct msg_text t;

	if (v1_begin(m, &t, p, n, has_id) == -1)
		return -1;
	if ((must & ~t.seen) != 0 ||
	    msg_string(&m->head.method, &t, &t.val[MSG_METHOD], json_latin1) == -1 ||
	    v1_target_read(m, &t, space, cap) == -1 ||
	    v1_headers_read(m, &t) == -1)
		return -1;
	return v1_body_read(m, &t);
}

/* ---------------------------------------------------- v1, what is written */

#define V1_QUOTE 2	/* octets of a quote mark inside a string */

/* Writes a name in lower case.  Names are tokens, so none is escaped. */
static void
v1_name_put(struct json_out *o, struct view name)
{
	size_t i = o->len;

	json_put_latin1(o, name);
	for (; i < o->len && i < o->cap; i++)
		o->p[i] = view_lower(o->p[i]);
}

/* Joins another value to the one just written: the closing quote goes, and
 * separator, just as long, takes the place of the next one's opening quote. */
static void
v1_value_join(struct json_out *o, const char separator[V1_QUOTE],
    struct view value)
{
	size_t at = o->len - V1_QUOTE;

	o->len = at;
	json_put_latin1(o, value);
	if (at + V1_QUOTE <= o->cap)
		memcpy(o->p + at, separator, V1_QUOTE);
}

/* Whether an earlier field has the name of field i. */
static int
v1_is_repeated(const struct http_head *h, size_t i)
{
	size_t k;

	for (k = 0; k < i; k++)
		if (view_same_nocase(h->field[k].name, h->field[i].name))
			return 1;
	return 0;
}

/* Writes the values of all fields called as field i, the first of them. */
static void
v1_values_put(struct json_out *o, const struct http_head *h, size_t i)
{
	struct view name = h->field[i].name;
	const char *separator = http_equal_nocase(name, "cookie") ?
	    "; " : ", ";
	size_t k;

	json_put_latin1(o, h->field[i].value);
	for (k = i + 1; k < h->nfields; k++)
		if (view_same_nocase(h->field[k].name, name))
			v1_value_join(o, separator, h->field[k].value);
}

/* Opens a member of the inner object: *count are there already. */
static void
v1_comma_put(struct json_out *o, size_t *count)
{
	if ((*count)++ > 0)
		json_put(o, ",");
}

static void
v1_field_put(struct json_out *o, const struct http_head *h, size_t i,
    size_t *count)
{
	if (v1_is_repeated(h, i))
		return;
	v1_comma_put(o, count);
	v1_name_put(o, h->field[i].name);
	json_put(o, ":");
	v1_values_put(o, h, i);
}

/* Writes Set-Cookie under the nth of its spellings: bit k of nth puts the kth
 * letter in upper case.  There are more of them than fields in a head. */
static void
v1_set_cookie_put(struct json_out *o, struct view value, size_t nth)
{
	static const char letters[] = "set-cookie";
	char name[sizeof letters - 1];
	size_t i;

	for (i = 0; i < sizeof name; i++) {
		name[i] = letters[i];
		if (name[i] == '-')
			continue;
		if ((nth & 1) != 0)
			name[i] = (char)(name[i] - 'a' + 'A');
		nth >>= 1;
	}
	json_put_latin1(o, view_of(name, sizeof name));
	json_put(o, ":");
	json_put_latin1(o, value);
}

static void
v1_id_put(struct json_out *o, const unsigned char id[16])
{
	char text[WS_UUID_TEXT];

	ws_uuid_put(text, id);
	json_put(o, "{\"correlation_id\":");
	json_put_string(o, view_of(text, sizeof text));
}

/* The query's pairs, decoded.  A target is HTTP_TARGET_MAX at most. */
static void
v1_query_put(struct json_out *o, struct view query)
{
	unsigned char text[HTTP_TARGET_MAX];
	struct view piece;
	size_t count = 0;

	json_put(o, "[");
	while (query.n > 0) {
		piece = view_cut(&query, '&');
		if (piece.n == 0)
			continue;
		v1_comma_put(o, &count);
		json_put(o, "[");
		json_put_string(o, uri_form_decode(text, sizeof text,
		    view_cut(&piece, '=')));
		json_put(o, ",");
		json_put_string(o, uri_form_decode(text, sizeof text, piece));
		json_put(o, "]");
	}
	json_put(o, "]");
}

static void
v1_target_put(struct json_out *o, struct view target)
{
	struct view path = view_cut(&target, '?');

	if (path.n > 0 && path.p[0] == '/')
		path = view_of(path.p + 1, path.n - 1);
	json_put(o, ",\"url_path\":");
	json_put_string(o, path);
	json_put(o, ",\"url_query\":\"");
	o->nest++;
	v1_query_put(o, target);
	o->nest--;
	json_put(o, "\"");
}

static int
v1_has(const struct http_head *h, const char *name)
{
	return http_field_find(h->field, h->nfields, name) != NULL;
}

static void
v1_member_put(struct json_out *o, const char *text, size_t *count)
{
	v1_comma_put(o, count);
	json_put(o, text);
}

static void
v1_request_headers_put(struct json_out *o, const struct http_head *h)
{
	static const char identity[] = "\"accept-encoding\":\"identity\"";
	size_t i, count = 0;

	json_put(o, "{");
	for (i = 0; i < h->nfields; i++) {
		if (!http_equal_nocase(h->field[i].name, "accept-encoding"))
			v1_field_put(o, h, i, &count);
		else if (!v1_is_repeated(h, i))
			v1_member_put(o, identity, &count);
	}
	if (!v1_has(h, "accept-encoding"))
		v1_member_put(o, identity, &count);
	if (!v1_has(h, "cookie"))
		v1_member_put(o, "\"cookie\":\"\"", &count);
	json_put(o, "}");
}

void
ws_v1_request_put(struct json_out *o, const unsigned char id[16],
    const struct http_head *h)
{
	v1_id_put(o, id);
	v1_target_put(o, h->path);
	json_put(o, ",\"method\":");
	json_put_latin1(o, h->method);
	json_put(o, ",\"headers\":\"");
	o->nest++;
	v1_request_headers_put(o, h);
	o->nest--;
	json_put(o, "\",\"body\":\"");
}

static void
v1_response_headers_put(struct json_out *o, const struct http_head *h)
{
	size_t i, count = 0, cookies = 0;

	json_put(o, "{");
	for (i = 0; i < h->nfields; i++) {
		if (!http_equal_nocase(h->field[i].name, "set-cookie")) {
			v1_field_put(o, h, i, &count);
			continue;
		}
		v1_comma_put(o, &count);
		v1_set_cookie_put(o, h->field[i].value, cookies++);
	}
	json_put(o, "}");
}

void
ws_v1_response_put(struct json_out *o, const unsigned char id[16],
    const struct http_head *h)
{
	v1_id_put(o, id);
	json_put(o, ",\"headers\":\"");
	o->nest++;
	v1_response_headers_put(o, h);
	o->nest--;
	json_put(o, "\",\"body\":\"");
}

void
ws_v1_tail_put(struct json_out *o, int status)
{
	if (status == 0) {
		json_put(o, "\"}");
		return;
	}
	json_put(o, "\",\"status_code\":");
	json_put_integer(o, status);
	json_put(o, "}");
}

/* ----------------------------------------------------------------- halves */

int
ws_half_move(struct ws_half *h, enum ws_half_state to)
{
	if (to <= h->state || h->state > WS_HALF_OPEN)
		return -1;
	h->state = to;
	return 0;
}

int
ws_half_init(struct ws_half *h, long long credit, long long length)
{
	h->credit = credit;
	h->left = length;
	return ws_half_move(h, WS_HALF_OPEN);
}

int
ws_half_pass(struct ws_half *h, size_t n, int end)
{
	if (h->state != WS_HALF_OPEN || n > (unsigned long long)h->credit)
		return -1002;
	if (h->left >= 0 && (n > (unsigned long long)h->left ||
	    (end && n != (unsigned long long)h->left)))
		return -1;
	if (h->left >= 0)
		h->left -= (long long)n;
	h->credit -= (long long)n;
	return end ? ws_half_move(h, WS_HALF_ENDED) : 0;
}

int
ws_half_grant(struct ws_half *h, long long bytes)
{
	if (bytes < 0 || bytes > WIRE_MAX - h->credit)
		return -1002;
	h->credit += bytes;
	return 0;
}
