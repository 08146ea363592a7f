/*
 * Unit tests of ws.c.  Figures are from RFC 6455 (1.3, 5.7) and RFC 3629; the
 * v1 messages are what the reference's two programs were seen to send.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../pipegate.h"
#include "check.h"

#define COUNT(a) (sizeof (a) / sizeof (a)[0])
#define UUID_A "00112233-4455-6677-8899-aabbccddeeff"
#define UUID_HEX "00112233445566778899aabbccddeeff"

static const unsigned char id_a[16] = {
	0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
	0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff
};

static struct ws_msg msg;
static struct ws_v1 v1_msg;	/* large: kept off the stack */

static struct view
text_view(const char *s)
{
	struct view v;

	v.p = (const unsigned char *)s;
	v.n = strlen(s);
	return v;
}

static int
view_is(struct view v, const char *s)
{
	return v.n == strlen(s) && (v.n == 0 || memcmp(v.p, s, v.n) == 0);
}

static int
view_same(struct view a, struct view b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ----------------------------------------------------------------- frames */

struct frame_case {
	const char *note;
	unsigned char b[14];
	size_t n;
	int must_mask;
	int fin, opcode;
	unsigned long long size;
};

static const struct frame_case frames_good[] = {
	{ "5.7 text", { 0x81, 0x05 }, 2, 0, 1, WS_TEXT, 5 },
	{ "5.7 masked text", { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d }, 6, 1, 1,
	    WS_TEXT, 5 },
	{ "5.7 first fragment", { 0x01, 0x03 }, 2, 0, 0, WS_TEXT, 3 },
	{ "5.7 last fragment", { 0x80, 0x02 }, 2, 0, 1, WS_CONTINUATION, 2 },
	{ "5.7 ping", { 0x89, 0x05 }, 2, 0, 1, WS_PING, 5 },
	{ "5.7 masked pong", { 0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d }, 6, 1, 1,
	    WS_PONG, 5 },
	{ "5.7 256 octets", { 0x82, 0x7e, 0x01, 0x00 }, 4, 0, 1, WS_BINARY,
	    256 },
	{ "5.7 64 KiB", { 0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0 }, 10, 0, 1,
	    WS_BINARY, 65536 },
	{ "close of 125", { 0x88, 0x7d }, 2, 0, 1, WS_CLOSE, 125 },
	{ "63 bits", { 0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 1, 2, 3, 4 }, 14, 1, 1, WS_BINARY, 0x7fffffffffffffffULL },
	{ "126 in 16 bits", { 0x82, 0x7e, 0, 126 }, 4, 0, 1, WS_BINARY, 126 },
	{ "65535 in 16 bits", { 0x82, 0x7e, 0xff, 0xff }, 4, 0, 1, WS_BINARY,
	    65535 },
};

static const struct frame_case frames_bad[] = {
	{ "rsv1", { 0xc1, 0x00 }, 2, 0, 0, 0, 0 },
	{ "rsv2", { 0xa1, 0x00 }, 2, 0, 0, 0, 0 },
	{ "rsv3", { 0x91, 0x00 }, 2, 0, 0, 0, 0 },
	{ "masked by a server", { 0x81, 0x80, 1, 2, 3, 4 }, 6, 0, 0, 0, 0 },
	{ "unmasked by a client", { 0x81, 0x00 }, 2, 1, 0, 0, 0 },
	{ "fragmented ping", { 0x09, 0x00 }, 2, 0, 0, 0, 0 },
	{ "fragmented pong", { 0x0a, 0x00 }, 2, 0, 0, 0, 0 },
	{ "fragmented close", { 0x08, 0x00 }, 2, 0, 0, 0, 0 },
	{ "ping of 126", { 0x89, 0x7e, 0, 126 }, 4, 0, 0, 0, 0 },
	{ "close with 64 bits", { 0x88, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0 }, 10, 0,
	    0, 0, 0 },
	{ "125 in 16 bits", { 0x82, 0x7e, 0, 125 }, 4, 0, 0, 0, 0 },
	{ "0 in 16 bits", { 0x82, 0x7e, 0, 0 }, 4, 0, 0, 0, 0 },
	{ "65535 in 64 bits", { 0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 10,
	    0, 0, 0, 0 },
	{ "125 in 64 bits", { 0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0, 125 }, 10, 0,
	    0, 0, 0 },
	{ "64 bits", { 0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0 }, 10, 0, 0, 0,
	    0 },
};

static int
frame_parse_exact(struct ws_frame *f, const unsigned char *b, size_t n,
    int must_mask)
{
	unsigned char *exact = check_exact(b, n);
	int r = ws_frame_parse(f, exact, n, must_mask);

	free(exact);
	return r;
}

static void
test_frames_good(void)
{
	const struct frame_case *c;
	struct ws_frame f;
	size_t i, n;
	int r;

	for (i = 0; i < COUNT(frames_good); i++) {
		c = &frames_good[i];
		for (n = 0; n < c->n; n++)
			CHECK(frame_parse_exact(&f, c->b, n, c->must_mask) ==
			    0, "%s cut at %zu", c->note, n);
		r = frame_parse_exact(&f, c->b, c->n, c->must_mask);
		CHECK(r == (int)c->n && f.fin == c->fin &&
		    f.opcode == c->opcode && f.size == c->size &&
		    f.masked == c->must_mask, "%s: %d", c->note, r);
		CHECK(!f.masked || memcmp(f.mask, c->b + c->n - 4, 4) == 0,
		    "%s: mask", c->note);
	}
}

static void
test_frames_bad(void)
{
	const struct frame_case *c;
	struct ws_frame f;
	size_t i, n;
	int r;

	for (i = 0; i < COUNT(frames_bad); i++) {
		c = &frames_bad[i];
		r = frame_parse_exact(&f, c->b, c->n, c->must_mask);
		CHECK(r == -1002, "%s: %d", c->note, r);
		for (n = 0; n < c->n; n++) {
			r = frame_parse_exact(&f, c->b, n, c->must_mask);
			CHECK(r == 0 || r == -1002, "%s cut at %zu: %d",
			    c->note, n, r);
		}
	}
}

static void
test_frames_opcodes(void)
{
	static const int known[16] = { 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1 };
	unsigned char b[2] = { 0, 0 };
	struct ws_frame f;
	int i;

	for (i = 0; i < 16; i++) {
		b[0] = (unsigned char)(0x80 | i);
		CHECK(frame_parse_exact(&f, b, 2, 0) ==
		    (known[i] ? 2 : -1002), "opcode %d", i);
	}
}

static void
test_frames_put(void)
{
	static const unsigned long long sizes[] = {
		0, 1, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536,
		65537, 0xffffffffULL, 0x100000000ULL
	};
	static const unsigned char mask[4] = { 0xde, 0xad, 0xbe, 0xef };
	unsigned char b[WS_FRAME_HEAD_MAX];
	struct ws_frame f;
	size_t i, n;
	int masked, r;

	for (i = 0; i < COUNT(sizes) * 2; i++) {
		masked = (int)(i & 1);
		if (sizes[i / 2] > SIZE_MAX)
			continue;
		n = ws_frame_put(b, WS_BINARY, masked, (size_t)sizes[i / 2],
		    masked ? mask : NULL);
		r = frame_parse_exact(&f, b, n, masked);
		CHECK(r == (int)n && f.size == sizes[i / 2] &&
		    f.fin == masked && f.opcode == WS_BINARY &&
		    f.masked == masked, "put %llu: %d", sizes[i / 2], r);
		CHECK(n == ws_frame_head_size((size_t)sizes[i / 2], masked),
		    "size of the head of %llu", sizes[i / 2]);
		CHECK(!masked || memcmp(f.mask, mask, 4) == 0, "mask");
	}
}

static void
test_mask_example(void)
{
	static const unsigned char mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	unsigned char b[5] = { 0x7f, 0x9f, 0x4d, 0x51, 0x58 };

	ws_mask(b, sizeof b, mask, 0);
	CHECK(memcmp(b, "Hello", 5) == 0, "5.7 masked text");
}

/* Every short length, offset into the payload and alignment. */
static void
test_mask(void)
{
	static const unsigned char mask[4] = { 0x01, 0x42, 0x83, 0xf4 };
	unsigned char b[64], want[64], *exact;
	size_t at, n, from, i;
	int bad = 0;

	for (at = 0; at < 9; at++)
		for (from = 0; from < 8; from++)
			for (n = 0; n <= 40; n++) {
				for (i = 0; i < from + n; i++)
					b[i] = want[i] = (unsigned char)(i * 7);
				for (i = 0; i < n; i++)
					want[from + i] ^= mask[(at + i) % 4];
				exact = check_exact(b, from + n);
				ws_mask(exact + from, n, mask, at);
				bad += memcmp(exact, want, from + n) != 0;
				free(exact);
			}
	CHECK(bad == 0, "%d masks wrong", bad);
	memset(b, 0x55, sizeof b);
	memset(want, 0x55, sizeof want);
	ws_mask(want, sizeof want, mask, 3);
	for (i = 0; i < sizeof b; i += 9)
		ws_mask(b + i, sizeof b - i < 9 ? sizeof b - i : 9, mask,
		    3 + i);
	CHECK(memcmp(b, want, sizeof b) == 0, "mask in pieces");
}

/* ------------------------------------------------------------------ UTF-8 */

/* Whether b[0..n) is UTF-8, told by decoding: the slow and plain way. */
static int
utf8_plain(const unsigned char *b, size_t n)
{
	static const unsigned long least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned long cp;
	size_t i, k, len;

	for (i = 0; i < n; i += len) {
		len = b[i] < 0x80 ? 1 : b[i] >> 5 == 6 ? 2 :
		    b[i] >> 4 == 14 ? 3 : b[i] >> 3 == 30 ? 4 : 0;
		if (len == 0 || len > n - i)
			return 0;
		cp = len == 1 ? b[i] : b[i] & (0x7fU >> len);
		for (k = 1; k < len; k++) {
			if (b[i + k] >> 6 != 2)
				return 0;
			cp = cp << 6 | (b[i + k] & 0x3f);
		}
		if (cp < least[len] || cp > 0x10ffff ||
		    (cp >= 0xd800 && cp <= 0xdfff))
			return 0;
	}
	return 1;
}

static int
utf8_octets(const unsigned char *b, size_t n)
{
	int state = 0;
	size_t i;

	for (i = 0; i < n && state != -1; i++)
		state = ws_utf8(state, b + i, 1);
	return state;
}

/* All sequences of 1 to 3 octets, with a first one that is not ASCII. */
static void
test_utf8_exhaustive(void)
{
	unsigned char b[3];
	unsigned long i;
	long bad = 0;

	for (i = 0x800000; i < 0x1000000; i++) {
		b[0] = (unsigned char)(i >> 16);
		b[1] = (unsigned char)(i >> 8);
		b[2] = (unsigned char)i;
		bad += (ws_utf8(0, b, 3) == 0) != utf8_plain(b, 3);
		if (b[2] == 0)
			bad += (ws_utf8(0, b, 2) == 0) != utf8_plain(b, 2);
	}
	CHECK(bad == 0, "%ld of three octets wrong", bad);
}

/* Four octets of all values at which a rule changes. */
static void
test_utf8_four(void)
{
	static const unsigned char edge[] = {
		0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
		0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0,
		0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xff
	};
	const size_t k = sizeof edge;
	unsigned char b[4];
	size_t i;
	long bad = 0;

	for (i = 0; i < k * k * k * k; i++) {
		b[0] = edge[i / (k * k * k)];
		b[1] = edge[i / (k * k) % k];
		b[2] = edge[i / k % k];
		b[3] = edge[i % k];
		bad += (ws_utf8(0, b, 4) == 0) != utf8_plain(b, 4);
		bad += ws_utf8(0, b, 4) != utf8_octets(b, 4);
	}
	CHECK(bad == 0, "%ld of four octets wrong", bad);
}

static const struct {
	const char *note, *text;
	int whole;	/* 1: valid; 0: a beginning; -1: broken */
} utf8_cases[] = {
	{ "nothing", "", 1 },
	{ "ASCII", "hello, world and more than eight", 1 },
	{ "last of one", "\x7f", 1 },
	{ "first of two", "\xc2\x80", 1 },
	{ "last of two", "\xdf\xbf", 1 },
	{ "first of three", "\xe0\xa0\x80", 1 },
	{ "before the surrogates", "\xed\x9f\xbf", 1 },
	{ "after the surrogates", "\xee\x80\x80", 1 },
	{ "last of three", "\xef\xbf\xbf", 1 },
	{ "first of four", "\xf0\x90\x80\x80", 1 },
	{ "last of four", "\xf4\x8f\xbf\xbf", 1 },
	{ "mixed", "abcdefg\xc3\xa9hijklmnop\xe2\x82\xacqrstuvwx", 1 },
	{ "Autobahn 6.2", "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc"
	    "\xc3\xa0\xc3\xa1-UTF-8!!", 1 },
	{ "half of two", "abc\xc3", 0 },
	{ "a third of three", "\xe2", 0 },
	{ "two thirds of three", "\xe2\x82", 0 },
	{ "three of four", "\xf0\x9f\x98", 0 },
	{ "overlong of two", "\xc0\x80", -1 },
	{ "overlong of two, last", "\xc1\xbf", -1 },
	{ "overlong of three", "\xe0\x9f\xbf", -1 },
	{ "overlong of four", "\xf0\x8f\xbf\xbf", -1 },
	{ "first surrogate", "\xed\xa0\x80", -1 },
	{ "last surrogate", "\xed\xbf\xbf", -1 },
	{ "above U+10FFFF", "\xf4\x90\x80\x80", -1 },
	{ "F5", "\xf5\x80\x80\x80", -1 },
	{ "FE", "\xfe", -1 },
	{ "FF", "\xff", -1 },
	{ "bare tail", "\x80", -1 },
	{ "tail after a whole one", "\xc3\xa9\xa9", -1 },
	{ "two heads", "\xc3\xc3", -1 },
	{ "ASCII within", "\xe2\x82" "a", -1 },
};

static int
utf8_verdict(int state)
{
	return state == 0 ? 1 : state == -1 ? -1 : 0;
}

/* Behind 0 to 17 octets of ASCII, cut in two at every place. */
static void
test_utf8_cases(void)
{
	unsigned char b[80], *head, *tail;
	size_t i, pad, n, cut;
	int state, want;

	for (i = 0; i < COUNT(utf8_cases); i++)
		for (pad = 0; pad < 18; pad++) {
			want = utf8_cases[i].whole;
			n = pad + strlen(utf8_cases[i].text);
			memset(b, 'x', pad);
			memcpy(b + pad, utf8_cases[i].text, n - pad);
			CHECK(utf8_verdict(utf8_octets(b, n)) == want,
			    "%s by octets", utf8_cases[i].note);
			for (cut = 0; cut <= n; cut++) {
				head = check_exact(b, cut);
				tail = check_exact(b + cut, n - cut);
				state = ws_utf8(0, head, cut);
				if (state != -1)
					state = ws_utf8(state, tail, n - cut);
				CHECK(utf8_verdict(state) == want,
				    "%s cut at %zu", utf8_cases[i].note, cut);
				free(head);
				free(tail);
			}
		}
}

/* ---------------------------------------------------- order and the close */

static const struct {
	const char *note;
	int opcode, fin;
	const char *data;
	int frame, answer;	/* what _frame and _data return */
} order_steps[] = {
	{ "a continuation of nothing", WS_CONTINUATION, 1, "", -1002, 0 },
	{ "a whole text", WS_TEXT, 1, "abc", 0, 0 },
	{ "a continuation of a whole one", WS_CONTINUATION, 0, "", -1002, 0 },
	{ "a first fragment", WS_TEXT, 0, "ab\xc3", 0, 0 },
	{ "a ping between", WS_PING, 1, NULL, 0, 0 },
	{ "a text between", WS_TEXT, 1, "", -1002, 0 },
	{ "a binary between", WS_BINARY, 1, "", -1002, 0 },
	{ "nothing, continued", WS_CONTINUATION, 0, "", 0, 0 },
	{ "the rest", WS_CONTINUATION, 1, "\xa9", 0, 0 },
	{ "a binary of no text", WS_BINARY, 0, "\xff\xfe", 0, 0 },
	{ "more of it", WS_CONTINUATION, 1, "\x80", 0, 0 },
	{ "a text that stops short", WS_TEXT, 1, "ab\xc3", 0, -1007 },
};

static void
test_order(void)
{
	struct ws_order o = { 0, 0 };
	struct ws_frame f;
	size_t i;
	int r;

	memset(&f, 0, sizeof f);
	for (i = 0; i < COUNT(order_steps); i++) {
		f.opcode = order_steps[i].opcode;
		f.fin = order_steps[i].fin;
		r = ws_order_frame(&o, &f);
		CHECK(r == order_steps[i].frame, "%s: %d",
		    order_steps[i].note, r);
		if (r != 0 || order_steps[i].data == NULL)
			continue;
		r = ws_order_data(&o,
		    (const unsigned char *)order_steps[i].data,
		    strlen(order_steps[i].data), f.fin);
		CHECK(r == order_steps[i].answer, "%s: data %d",
		    order_steps[i].note, r);
	}
	memset(&o, 0, sizeof o);
	f.opcode = WS_TEXT;
	ws_order_frame(&o, &f);
	CHECK(ws_order_data(&o, (const unsigned char *)"\xff", 1, 0) == -1007,
	    "bad UTF-8 is told at once");
}

/* Runs frames of (opcode, fin) through an order.  Returns the number of the
 * first that is refused, n if none is. */
static size_t
order_run(const struct ws_frame *f, size_t n)
{
	struct ws_order o = { 0, 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		if (ws_order_frame(&o, &f[i]) != 0)
			break;
		if (f[i].opcode < WS_CLOSE &&
		    ws_order_data(&o, (const unsigned char *)"x", 1,
		    f[i].fin) != 0)
			break;
	}
	return i;
}

/* All sequences of five frames, by RFC 6455 section 5.4: a message begins
 * where none is under way, and goes on where one is. */
static void
test_order_sequences(void)
{
	static const int opcodes[] = {
		WS_CONTINUATION, WS_TEXT, WS_BINARY, WS_PING
	};
	struct ws_frame f[5];
	size_t i, k, x, want, wrong = 0, whole = 0;
	int open;

	memset(f, 0, sizeof f);
	for (i = 0; i < 8 * 8 * 8 * 8 * 8; i++) {
		open = 0;
		want = COUNT(f);
		for (k = 0, x = i; k < COUNT(f); k++, x /= 8) {
			f[k].opcode = opcodes[x % 8 / 2];
			f[k].fin = x % 2 || f[k].opcode == WS_PING;
			if (f[k].opcode == WS_PING || want < COUNT(f))
				continue;
			if ((f[k].opcode == WS_CONTINUATION) != open)
				want = k;
			open = !f[k].fin;
		}
		wrong += order_run(f, COUNT(f)) != want;
		whole += want == COUNT(f);
	}
	CHECK(wrong == 0 && whole > 100, "%zu sequences judged otherwise",
	    wrong);
}

/* Each text in two fragments, cut everywhere: wrong UTF-8 is told at once,
 * one that stops short at the end. */
static void
test_order_utf8(void)
{
	const unsigned char *b;
	struct ws_order o;
	struct ws_frame f;
	size_t i, n, cut;
	int r, first;

	memset(&f, 0, sizeof f);
	for (i = 0; i < COUNT(utf8_cases); i++) {
		b = (const unsigned char *)utf8_cases[i].text;
		n = strlen(utf8_cases[i].text);
		for (cut = 0; cut <= n; cut++) {
			memset(&o, 0, sizeof o);
			f.opcode = WS_TEXT;
			ws_order_frame(&o, &f);
			first = ws_order_data(&o, b, cut, 0);
			CHECK((first != 0) == (utf8_octets(b, cut) == -1),
			    "%s, the first %zu: %d", utf8_cases[i].note, cut,
			    first);
			f.opcode = WS_CONTINUATION;
			r = first != 0 ? first : ws_order_frame(&o, &f);
			if (r == 0)
				r = ws_order_data(&o, b + cut, n - cut, 1);
			CHECK(r == (utf8_cases[i].whole == 1 ? 0 : -1007),
			    "%s cut at %zu: %d", utf8_cases[i].note, cut, r);
		}
	}
}

static void
test_close_codes(void)
{
	unsigned char b[2];
	struct view reason;
	int code, got, want, bad = 0;

	for (code = 0; code < 65536; code++) {
		b[0] = (unsigned char)(code >> 8);
		b[1] = (unsigned char)(code & 255);
		want = (code >= 1000 && code <= 1014 && code != 1004 &&
		    code != 1005 && code != 1006) ||
		    (code >= 3000 && code < 5000);
		bad += ws_close_parse(&got, &reason, b, 2) !=
		    (want ? 0 : -1002) || (want && got != code);
	}
	CHECK(bad == 0, "%d close codes wrong", bad);
}

static void
test_close_parse(void)
{
	struct view reason;
	unsigned char *b;
	int code;

	CHECK(ws_close_parse(&code, &reason, NULL, 0) == 0 && code == 1005 &&
	    reason.n == 0, "an empty close");
	b = check_exact("\x03", 1);
	CHECK(ws_close_parse(&code, &reason, b, 1) == -1002, "one octet");
	free(b);
	b = check_exact("\x03\xe8" "bye \xc3\xa9", 8);
	CHECK(ws_close_parse(&code, &reason, b, 8) == 0 && code == 1000 &&
	    view_is(reason, "bye \xc3\xa9"), "a reason");
	CHECK(ws_close_parse(&code, &reason, b, 7) == -1007, "a cut reason");
	b[4] = 0xff;
	CHECK(ws_close_parse(&code, &reason, b, 8) == -1007, "a bad reason");
	free(b);
}

static void
test_close_put(void)
{
	unsigned char out[WS_CONTROL_MAX];
	struct view reason;
	char text[200];
	size_t n, k;
	int code;

	CHECK(ws_close_put(out, 1005, "x") == 0, "no code, no body");
	n = ws_close_put(out, 1008, "token has expired");
	CHECK(n == 19 && memcmp(out, "\x03\xf0token has expired", n) == 0,
	    "1008");
	for (k = 0; k < 5; k++) {
		memset(text, 'x', 119 + k);
		memcpy(text + 119 + k, "\xf0\x9f\x98\x80zzzz", 9);
		n = ws_close_put(out, 1000, text);
		CHECK(ws_close_parse(&code, &reason, out, n) == 0 &&
		    n == (k == 0 ? 125 : 121 + k), "reason cut: %zu, %zu", k,
		    n);
	}
}

/* ------------------------------------------------------------------ uuids */

static void
test_uuid(void)
{
	static const char *const good[] = {
		UUID_A, UUID_HEX, "00112233-4455-6677-8899-AABBCCDDEEFF",
		"00112233445566778899AabbccddEEFF"
	};
	static const char *const bad[] = {
		"", "0", "00112233445566778899aabbccddeef",
		"00112233445566778899aabbccddeeff0",
		"00112233-4455-6677-8899-aabbccddeef",
		"00112233-4455-6677-8899-aabbccddeefff",
		"0011223-34455-6677-8899-aabbccddeeff",
		"00112233-4455-6677-8899aaabbccddeeff",
		"00112233-4455-6677-8899-aabbccddeefg",
		"00112233-4455-6677-88-9aabbccddeeff",
		"00112233x4455x6677x8899xaabbccddeeff",
		"{0112233445566778899aabbccddeef}",
	};
	unsigned char id[16], *exact;
	char text[WS_UUID_TEXT];
	struct view v;
	size_t i;

	for (i = 0; i < COUNT(good); i++) {
		memset(id, 0, sizeof id);
		CHECK(ws_uuid_parse(id, text_view(good[i])) == 0 &&
		    memcmp(id, id_a, 16) == 0, "%s", good[i]);
	}
	for (i = 0; i < COUNT(bad); i++) {
		v = text_view(bad[i]);
		exact = check_exact(v.p, v.n);
		v.p = exact;
		CHECK(ws_uuid_parse(id, v) == -1, "%s", bad[i]);
		free(exact);
	}
	ws_uuid_put(text, id_a);
	CHECK(memcmp(text, UUID_A, WS_UUID_TEXT) == 0, "uuid put");
	ws_hex_put(text, id_a);
	CHECK(memcmp(text, UUID_HEX, 32) == 0, "hex put");
	memset(id, 0xff, sizeof id);
	ws_uuid_make(id);
	ws_uuid_put(text, id);
	CHECK(memcmp(text, "ffffffff-ffff-4fff-bfff-ffffffffffff", 36) == 0,
	    "version 4");
	memset(id, 0, sizeof id);
	ws_uuid_make(id);
	CHECK(id[6] == 0x40 && id[8] == 0x80, "version 4 of zeros");
}

/* -------------------------------------------------------------- handshake */

#define HS_KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define HS_UP "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define HS_13 "Sec-WebSocket-Version: 13\r\n"
#define HS_GET "GET / HTTP/1.1\r\nHost: h\r\n"
#define HS_HEAD HS_GET HS_UP HS_13 HS_KEY

static struct http_head head;

static const struct {
	const char *note, *text;
	int want;
	const char *token;
	int v2, python;
	long long streams, window;
	int present, has_instance;
} offers[] = {
	{ "RFC 6455 1.3", "GET / HTTP/1.1\r\nHost: server.example.com\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\n" HS_KEY
	    "Origin: http://example.com\r\n"
	    "Sec-WebSocket-Protocol: chat, superchat\r\n" HS_13,
	    0, "", 0, 0, -1, -1, 0, 0 },
	{ "the Python client", "GET /?token=a.b-c_d HTTP/1.1\r\n"
	    "Host: 127.0.0.1:18000\r\n" HS_UP HS_KEY HS_13
	    "Sec-WebSocket-Extensions: permessage-deflate; "
	    "client_max_window_bits\r\n"
	    "User-Agent: Python/3.13 websockets/15.0.1\r\n",
	    0, "a.b-c_d", 0, 1, -1, -1, 0, 0 },
	{ "v2", HS_HEAD "Sec-WebSocket-Protocol: x, pipegate.2\r\n"
	    "X-PipeGate: {\"instance\":\"" UUID_A "\",\"received\":0,"
	    "\"streams\":1024,\"window\":65536,\"new\":[]}\r\n"
	    "Authorization: Bearer t.o.k\r\n", 0, "t.o.k", 1, 0, 1024, 65536,
	    1, 1 },
	{ "v2 in a second line", HS_HEAD "Sec-WebSocket-Protocol: x\r\n"
	    "Sec-WebSocket-Protocol: pipegate.2\r\n", 0, "", 1, 0, -1, -1, 0,
	    0 },
	{ "protocols named nearly so", HS_HEAD "Sec-WebSocket-Protocol: "
	    "pipegate.v2, pipegate.22, xpipegate.2, pipegate\r\n", 0, "", 0, 0,
	    -1, -1, 0, 0 },
	{ "lists in any case", HS_GET HS_13 HS_KEY
	    "Upgrade: h2c, WebSocket\r\nConnection: keep-alive, UPGRADE\r\n",
	    0, "", 0, 0, -1, -1, 0, 0 },
	{ "the query's token wins", "GET /?x=1&token=q&y HTTP/1.1\r\n"
	    "Host: h\r\n" HS_UP HS_13 HS_KEY "Authorization: Bearer b\r\n",
	    0, "q", 0, 0, -1, -1, 0, 0 },
	{ "another name that ends in token", "GET /?xtoken=q HTTP/1.1\r\n"
	    "Host: h\r\n" HS_UP HS_13 HS_KEY, 0, "", 0, 0, -1, -1, 0, 0 },
	{ "scheme in any case", HS_HEAD "Authorization: bEARER   b\r\n",
	    0, "b", 0, 0, -1, -1, 0, 0 },
	{ "another scheme", HS_HEAD "Authorization: Basic b\r\n",
	    0, "", 0, 0, -1, -1, 0, 0 },
	{ "hello that is no JSON", HS_HEAD "X-PipeGate: {\"streams\":1\r\n",
	    0, "", 0, 0, -1, -1, 0, 0 },
	{ "hello that is an array", HS_HEAD "X-PipeGate: [1]\r\n",
	    0, "", 0, 0, -1, -1, 0, 0 },
	{ "two hellos", HS_HEAD "X-PipeGate: {}\r\nX-PipeGate: {}\r\n",
	    0, "", 0, 0, -1, -1, 0, 0 },
	{ "hello out of range", HS_HEAD "X-PipeGate: {\"streams\":-2,"
	    "\"window\":1e30,\"instance\":\"x\"}\r\n",
	    0, "", 0, 0, -1, -1, 1, 0 },
	{ "hello past the edge", HS_HEAD "X-PipeGate: {\"streams\":7.5,"
	    "\"window\":1099511627777}\r\n", 0, "", 0, 0, -1, -1, 1, 0 },
	{ "hello that says a count twice", HS_HEAD
	    "X-PipeGate: {\"streams\":1,\"streams\":1,\"window\":2}\r\n",
	    0, "", 0, 0, -1, 2, 1, 0 },
	{ "agent of the bare name", HS_HEAD "User-Agent: websockets/\r\n",
	    0, "", 0, 1, -1, -1, 0, 0 },
	{ "agent nearly so", HS_HEAD "User-Agent: websocket/ websockets\r\n",
	    0, "", 0, 0, -1, -1, 0, 0 },
	{ "an empty token in the query", "GET /?token= HTTP/1.1\r\n"
	    "Host: h\r\n" HS_UP HS_13 HS_KEY "Authorization: Bearer b\r\n",
	    0, "b", 0, 0, -1, -1, 0, 0 },
	{ "hello at the edge", HS_HEAD "X-PipeGate: {\"streams\":0,"
	    "\"window\":1099511627776,\"instance\":7}\r\n",
	    0, "", 0, 0, 0, 1099511627776LL, 1, 0 },
	{ "two tokens", "GET /?token=a&token=a HTTP/1.1\r\nHost: h\r\n" HS_UP
	    HS_13 HS_KEY, -400, NULL, 0, 0, 0, 0, 0, 0 },
	{ "no upgrade", HS_GET HS_13 HS_KEY, -426, NULL, 0, 0, 0, 0, 0, 0 },
	{ "upgrade to another", HS_GET HS_13 HS_KEY
	    "Upgrade: websockets\r\nConnection: Upgrade\r\n", -426, NULL, 0,
	    0, 0, 0, 0, 0 },
	{ "Connection without upgrade", HS_GET HS_13 HS_KEY
	    "Upgrade: websocket\r\nConnection: close\r\n", -426, NULL, 0, 0,
	    0, 0, 0, 0 },
	{ "version 12", HS_GET HS_UP HS_KEY "Sec-WebSocket-Version: 12\r\n",
	    -426, NULL, 0, 0, 0, 0, 0, 0 },
	{ "no version", HS_GET HS_UP HS_KEY, -426, NULL, 0, 0, 0, 0, 0, 0 },
	{ "two versions", HS_HEAD HS_13, -426, NULL, 0, 0, 0, 0, 0, 0 },
	{ "no key", HS_GET HS_UP HS_13, -400, NULL, 0, 0, 0, 0, 0, 0 },
	{ "two keys", HS_HEAD HS_KEY, -400, NULL, 0, 0, 0, 0, 0, 0 },
	{ "key of 15 octets", HS_GET HS_UP HS_13
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n", -400, NULL, 0, 0,
	    0, 0, 0, 0 },
	{ "key of 17 octets", HS_GET HS_UP HS_13
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWU=\r\n", -400, NULL, 0,
	    0, 0, 0, 0, 0 },
	{ "a long key", HS_GET HS_UP HS_13 "Sec-WebSocket-Key: "
	    "dGhlIHNhbXBsZSBub25jdGhlIHNhbXBsZSBub25jdGhlIHNhbXBsZSBub25j"
	    "dGhlIHNhbXBsZSBub25jdGhlIHNhbXBsZSBub25jdGhlIHNhbXBsZSBub25j"
	    "ZQ==\r\n", -400, NULL, 0, 0, 0, 0, 0, 0 },
	{ "key with spare bits", HS_GET HS_UP HS_13
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n", -400, NULL, 0,
	    0, 0, 0, 0, 0 },
	{ "key of another alphabet", HS_GET HS_UP HS_13
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j_Q==\r\n", -400, NULL, 0,
	    0, 0, 0, 0, 0 },
	{ "HTTP/1.0", "GET / HTTP/1.0\r\nHost: h\r\n" HS_UP HS_13 HS_KEY,
	    -400, NULL, 0, 0, 0, 0, 0, 0 },
	{ "POST", "POST / HTTP/1.1\r\nHost: h\r\n" HS_UP HS_13 HS_KEY, -400,
	    NULL, 0, 0, 0, 0, 0, 0 },
	{ "a body", HS_HEAD "Content-Length: 1\r\n", -400, NULL, 0, 0, 0, 0,
	    0, 0 },
	{ "a chunked body", HS_HEAD "Transfer-Encoding: chunked\r\n", -400,
	    NULL, 0, 0, 0, 0, 0, 0 },
	{ "an empty body", HS_HEAD "Content-Length: 0\r\n", 0, "", 0, 0, -1,
	    -1, 0, 0 },
};

/* Parses text with its empty line into head; the caller frees it. */
static char *
head_request(const char *text)
{
	size_t n = strlen(text), scanned = 0;
	char *b = malloc(n + 3);

	if (b == NULL)
		abort();
	snprintf(b, n + 3, "%s\r\n", text);
	CHECK(http_request_parse(&head, (unsigned char *)b, n + 2,
	    &scanned) == (int)n + 2, "head: %s", text);
	return b;
}

static void
test_offers(void)
{
	struct ws_offer o;
	char *b;
	size_t i;
	int r;

	for (i = 0; i < COUNT(offers); i++) {
		b = head_request(offers[i].text);
		r = ws_offer_read(&o, &head);
		CHECK(r == offers[i].want, "%s: %d", offers[i].note, r);
		if (r == 0 && offers[i].want == 0)
			CHECK(view_is(o.token, offers[i].token) &&
			    o.v2 == offers[i].v2 &&
			    o.python == offers[i].python &&
			    o.hello.present == offers[i].present &&
			    o.hello.streams == offers[i].streams &&
			    o.hello.window == offers[i].window &&
			    o.hello.has_instance == offers[i].has_instance &&
			    (!o.hello.has_instance || memcmp(
			    o.hello.instance, id_a, 16) == 0) &&
			    memcmp(o.key, "dGhlIHNhbXBsZSBub25jZQ==", 24) == 0,
			    "%s: what was read", offers[i].note);
		free(b);
	}
}

static void
test_accept(void)
{
	static const char v1[] = "HTTP/1.1 101 Switching Protocols\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	static const char v2[] = "HTTP/1.1 101 Switching Protocols\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	    "Sec-WebSocket-Protocol: pipegate.2\r\n"
	    "X-PipeGate: {\"received\":0}\r\n\r\n";
	unsigned char out[512];
	struct http_out o = { out, sizeof out, 0 };
	static const char told[] = "X-PipeGate: {\"received\":0,"
	    "\"url\":\"https://a.example:1/b/\",\"host\":\"c.a.example\","
	    "\"domain\":\"d.example\",\"clients\":2}\r\n";
	struct ws_public public = { "", "", "", 1 };
	struct ws_offer offer;
	struct view got;

	memset(&offer, 0, sizeof offer);
	memcpy(offer.key, "dGhlIHNhbXBsZSBub25jZQ==", WS_KEY_SIZE);
	ws_accept_put(&o, &offer, &public);
	got.p = out;
	got.n = o.len;
	CHECK(view_is(got, v1), "101 of v1");
	offer.v2 = 1;
	o.len = 0;
	ws_accept_put(&o, &offer, &public);
	got.n = o.len;
	CHECK(view_is(got, v2), "101 of v2");
	strcpy(public.url, "https://a.example:1/b/");
	strcpy(public.host, "c.a.example");
	strcpy(public.domain, "d.example");
	public.clients = 2;
	o.len = 0;
	ws_accept_put(&o, &offer, &public);
	out[o.len] = '\0';
	CHECK(strstr((char *)out, told) != NULL, "%s", (char *)out);
}

static void
dial_example(struct ws_dial *d)
{
	memset(d, 0, sizeof *d);
	d->host = text_view("h:8000");
	d->path = text_view("/");
	d->token = text_view("a.b.c");
	d->in_query = 1;
	memcpy(d->nonce, "the sample nonce", 16);
	memcpy(d->instance, id_a, 16);
	d->streams = 1024;
	d->window = 65536;
}

#define DIAL_REST " HTTP/1.1\r\nHost: h:8000\r\n" \
    "Upgrade: websocket\r\nConnection: Upgrade\r\n" HS_KEY HS_13 \
    "Sec-WebSocket-Protocol: pipegate.2\r\n" \
    "X-PipeGate: {\"instance\":\"" UUID_A "\",\"received\":0," \
    "\"streams\":1024,\"window\":65536}\r\n"
#define DIAL_AGENT "User-Agent: pipegate/" PIPEGATE_VERSION "\r\n\r\n"

static void
test_dial(void)
{
	static const struct {
		const char *path;
		int in_query;
		const char *want;
	} cases[] = {
		{ "/", 1, "GET /?token=a.b.c" DIAL_REST DIAL_AGENT },
		{ "", 1, "GET /?token=a.b.c" DIAL_REST DIAL_AGENT },
		{ "/?x=1", 1, "GET /?x=1&token=a.b.c" DIAL_REST DIAL_AGENT },
		{ "?x=1", 1, "GET /?x=1&token=a.b.c" DIAL_REST DIAL_AGENT },
		{ "/p", 0, "GET /p" DIAL_REST
		    "Authorization: Bearer a.b.c\r\n" DIAL_AGENT },
	};
	unsigned char out[1024];
	struct http_out o = { out, sizeof out, 0 };
	struct ws_dial d;
	struct ws_offer offer;
	struct view got;
	size_t i, scanned;

	for (i = 0; i < COUNT(cases); i++) {
		dial_example(&d);
		d.path = text_view(cases[i].path);
		d.in_query = cases[i].in_query;
		o.len = 0;
		ws_dial_put(&o, &d);
		got.p = out;
		got.n = o.len;
		CHECK(view_is(got, cases[i].want), "dial %s: %.*s",
		    cases[i].path, (int)got.n, (const char *)out);
		scanned = 0;
		CHECK(http_request_parse(&head, out, o.len, &scanned) ==
		    (int)o.len && ws_offer_read(&offer, &head) == 0 &&
		    offer.v2 && view_is(offer.token, "a.b.c") &&
		    offer.hello.window == 65536 && offer.hello.has_instance,
		    "dial %s: as the server reads it", cases[i].path);
	}
}

/* What a client says of its lock, as the server reads it. */
static void
test_locked(void)
{
	static const char longest[] = "0123456789abcdef0123456789abcdef"
	    "0123456789abcdef0123456789abcdef";
	static const struct {
		const char *member, *want;
	} t[] = {
		{ "", "" }, { "\"locked\":\"1f\"", "1f" },
		{ "\"locked\":\"\"", "" }, { "\"locked\":true", "" },
		{ "\"locked\":\"a b\"", "" }, { "\"locked\":\"a\\u0000\"", "" },
		{ "\"locked\":\"a\",\"locked\":\"a\"", "" },
	};
	unsigned char out[1024];
	struct http_out o = { out, sizeof out, 0 };
	struct ws_dial d;
	struct ws_offer offer;
	char b[1024];
	size_t i, scanned = 0;
	int n;

	for (i = 0; i < COUNT(t); i++) {
		n = snprintf(b, sizeof b, HS_HEAD "X-PipeGate: {%s}\r\n\r\n",
		    t[i].member);
		scanned = 0;
		CHECK(http_request_parse(&head, (unsigned char *)b, (size_t)n,
		    &scanned) == n && ws_offer_read(&offer, &head) == 0 &&
		    strcmp(offer.hello.locked, t[i].want) == 0, "{%s}: %s",
		    t[i].member, offer.hello.locked);
	}
	dial_example(&d);
	d.as_is = 1;
	memcpy(d.locked, longest, sizeof longest);
	ws_dial_put(&o, &d);
	scanned = 0;
	CHECK(http_request_parse(&head, out, o.len, &scanned) == (int)o.len &&
	    ws_offer_read(&offer, &head) == 0 && offer.hello.as_is &&
	    strcmp(offer.hello.locked, longest) == 0, "the longest: %.*s",
	    (int)o.len, (const char *)out);
}

#define ANS_101 "HTTP/1.1 101 Switching Protocols\r\n"
#define ANS_ACC "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static const struct {
	const char *note, *text;
	int want, v2, present;
} answers[] = {
	{ "v1", ANS_101 HS_UP ANS_ACC, 0, 0, 0 },
	{ "uvicorn", ANS_101 HS_UP ANS_ACC
	    "date: Sun, 22 Nov 2026 18:17:09 GMT\r\n"
	    "server: uvicorn\r\n", 0, 0, 0 },
	{ "v2", ANS_101 HS_UP ANS_ACC
	    "Sec-WebSocket-Protocol: pipegate.2\r\n"
	    "X-PipeGate: {\"received\":0}\r\n", 0, 1, 1 },
	{ "a protocol not offered", ANS_101 HS_UP ANS_ACC
	    "Sec-WebSocket-Protocol: chat\r\n", -502, 0, 0 },
	{ "a protocol named nearly so", ANS_101 HS_UP ANS_ACC
	    "Sec-WebSocket-Protocol: pipegate.v2\r\n", -502, 0, 0 },
	{ "two protocols", ANS_101 HS_UP ANS_ACC
	    "Sec-WebSocket-Protocol: pipegate.2\r\n"
	    "Sec-WebSocket-Protocol: pipegate.2\r\n", -502, 0, 0 },
	{ "a list of protocols", ANS_101 HS_UP ANS_ACC
	    "Sec-WebSocket-Protocol: pipegate.2, x\r\n", -502, 0, 0 },
	{ "an extension", ANS_101 HS_UP ANS_ACC
	    "Sec-WebSocket-Extensions: permessage-deflate\r\n", -502,
	    0, 0 },
	{ "no accept", ANS_101 HS_UP, -502, 0, 0 },
	{ "two accepts", ANS_101 HS_UP ANS_ACC ANS_ACC, -502, 0, 0 },
	{ "a wrong accept", ANS_101 HS_UP "Sec-WebSocket-Accept: "
	    "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n", -502, 0, 0 },
	{ "no upgrade", ANS_101 "Connection: Upgrade\r\n" ANS_ACC,
	    -502, 0, 0 },
	{ "no connection", ANS_101 "Upgrade: websocket\r\n" ANS_ACC,
	    -502, 0, 0 },
	{ "200", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", -200, 0,
	    0 },
	{ "403", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n",
	    -403, 0, 0 },
	{ "404", "HTTP/1.1 404 Not Found\r\n", -404, 0, 0 },
};

static void
test_answers(void)
{
	struct ws_dial d;
	struct ws_hello hello;
	const char *why;
	char b[1024];
	size_t i, scanned;
	int n, r, v2;

	dial_example(&d);
	for (i = 0; i < COUNT(answers); i++) {
		n = snprintf(b, sizeof b, "%s\r\n", answers[i].text);
		scanned = 0;
		CHECK(http_answer_parse(&head, (unsigned char *)b, (size_t)n,
		    &scanned, text_view("GET")) == n, "%s: head",
		    answers[i].note);
		r = ws_answer_check(&head, &d, &v2, &hello, &why);
		CHECK(r == answers[i].want, "%s: %d", answers[i].note, r);
		CHECK((why != NULL) == (r == -502), "%s: why",
		    answers[i].note);
		CHECK(r != 0 || (v2 == answers[i].v2 &&
		    hello.present == answers[i].present), "%s: v2",
		    answers[i].note);
	}
}

/* What a server says of its addresses, and what of that a person is to see. */
static void
test_public(void)
{
	static const struct {
		const char *member, *want;
	} t[] = {
		{ "\"c.a.example\"", "c.a.example" }, { "\"\"", "" }, { "1", "" },
		{ "\"a b\"", "" }, { "\"\\u001b[2Jx\"", "" }, { "\"a\\nb\"", "" },
		{ "\"\xc3\xbc\"", "" }, { "\"\\u0061\"", "a" },
		{ "[]", "" },
	};
	struct ws_dial d;
	struct ws_hello hello;
	const char *why;
	char b[1024];
	size_t i, scanned;
	int n, v2;

	dial_example(&d);
	for (i = 0; i < COUNT(t); i++) {
		n = snprintf(b, sizeof b, "%sX-PipeGate: {\"host\":%s}\r\n\r\n",
		    answers[0].text, t[i].member);
		scanned = 0;
		CHECK(http_answer_parse(&head, (unsigned char *)b, (size_t)n,
		    &scanned, text_view("GET")) == n, "row %zu: head", i);
		CHECK(ws_answer_check(&head, &d, &v2, &hello, &why) == 0 &&
		    strcmp(hello.public.host, t[i].want) == 0, "row %zu: %s",
		    i, hello.public.host);
	}
}

/* --------------------------------------------------------------------- v2
 * Messages as octets, typed by hand, and what is read of them.
 */

#define OCTETS(s) s, sizeof s - 1
#define VIEW(s) { (const unsigned char *)s, sizeof s - 1 }
#define HEAD_POST "POST /a%2Fb HTTP/1.1\r\nContent-Length: 4\r\n\r\n"
#define HEAD_BARE "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define HEAD_200 "HTTP/1.1 200 OK\r\n\r\n"
#define HEAD_100 "HTTP/1.1 100 Continue\r\n\r\n"
#define SUM "x-sum: 1\r\n\r\n"

struct v2_case {
	const char *note, *b;
	size_t n;
	size_t least;		/* so many octets of it are a message, fewer are none */
	struct ws_msg want;
};

static const struct v2_case v2_good[] = {
	{ "a request as doc/wire has it",
	    OCTETS("\x01\x01\x00\x00\x00\x01"
	    "\x00\x01\x00\x00\x00\x00\x40\x00\x00\x25"
	    "\x47\x45\x54\x20\x2f\x78\x3f\x61\x3d\x31\x20\x48"
	    "\x54\x54\x50\x2f\x31\x2e\x31\x0d\x0a\x48\x6f\x73"
	    "\x74\x3a\x20\x61\x2e\x74\x65\x73\x74\x0d\x0a\x0d"
	    "\x0a"), 53,
	    { .type = WS_REQUEST, .flags = WS_END, .stream = 1,
	    .took = 65536, .window = 16384,
	    .head = VIEW("GET /x?a=1 HTTP/1.1\r\nHost: a.test\r\n\r\n") } },
	{ "an answer as doc/wire has it",
	    OCTETS("\x02\x03\x00\x00\x00\x01\x00\x26"
	    "\x48\x54\x54\x50\x2f\x31\x2e\x31\x20\x32\x30\x30"
	    "\x20\x4f\x4b\x0d\x0a\x43\x6f\x6e\x74\x65\x6e\x74"
	    "\x2d\x4c\x65\x6e\x67\x74\x68\x3a\x20\x32\x0d\x0a"
	    "\x0d\x0a\x68\x69"), 46,
	    { .type = WS_ANSWER, .flags = WS_END | WS_HAS_BODY, .stream = 1,
	    .head = VIEW("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
	    .body = VIEW("hi") } },
	{ "a request with a body behind it",
	    OCTETS("\x01\x02" "\x00\x00\x00\x01" "\x00\x01\x00\x00"
	    "\x00\x00\x80\x00" "\x00\x2b" HEAD_POST), 59,
	    { .type = WS_REQUEST, .flags = WS_HAS_BODY, .stream = 1,
	    .took = 65536, .window = 32768, .head = VIEW(HEAD_POST) } },
	{ "a request with its body",
	    OCTETS("\x01\x03" "\x01\x02\x03\x04" "\x00\x00\x00\x04"
	    "\xff\xff\xff\xff" "\x00\x2b" HEAD_POST "\x00hi\xff"), 59,
	    { .type = WS_REQUEST, .flags = WS_END | WS_HAS_BODY,
	    .stream = 0x01020304, .took = 4, .window = 4294967295LL,
	    .head = VIEW(HEAD_POST), .body = VIEW("\x00hi\xff") } },
	{ "a request without a body",
	    OCTETS("\x01\x01" "\x7f\xff\xff\xff" "\xff\xff\xff\xff"
	    "\x00\x00\x00\x00" "\x00\x1b" HEAD_BARE), 43,
	    { .type = WS_REQUEST, .flags = WS_END, .stream = 0x7fffffff,
	    .took = 4294967295LL, .head = VIEW(HEAD_BARE) } },
	{ "a request to upgrade, with a head that is no HTTP",
	    OCTETS("\x01\x04" "\x00\x00\x01\x00" "\x01\x02\x03\x04"
	    "\x05\x06\x07\x08" "\x00\x02" "\x00\xfe"), 18,
	    { .type = WS_REQUEST, .flags = WS_UPGRADE, .stream = 256,
	    .took = 0x01020304, .window = 0x05060708,
	    .head = VIEW("\x00\xfe") } },
	{ "a request without a head",
	    OCTETS("\x01\x00" "\x00\x00\x00\x00" "\x00\x00\x00\x00"
	    "\x00\x00\x00\x00" "\x00\x00"), 16, { .type = WS_REQUEST } },
	{ "an answer with its body",
	    OCTETS("\x02\x03" "\x00\x00\x00\x02" "\x00\x13" HEAD_200
	    "hello"), 27,
	    { .type = WS_ANSWER, .flags = WS_END | WS_HAS_BODY, .stream = 2,
	    .head = VIEW(HEAD_200), .body = VIEW("hello") } },
	{ "an interim answer",
	    OCTETS("\x02\x08" "\x80\x00\x00\x00" "\x00\x19" HEAD_100), 33,
	    { .type = WS_ANSWER, .flags = WS_INTERIM, .stream = 0x80000000u,
	    .head = VIEW(HEAD_100) } },
	{ "an answer without a head, all flags set",
	    OCTETS("\x02\xff" "\x00\x00\x00\x01" "\x00\x00" "x"), 8,
	    { .type = WS_ANSWER, .flags = 255, .stream = 1,
	    .body = VIEW("x") } },
	{ "a piece of body",
	    OCTETS("\x03\x00" "\x00\x01\x00\x00" "\x02\x01\x00"), 6,
	    { .type = WS_BODY, .stream = 65536, .body = VIEW("\x02\x01\x00") } },
	{ "an empty end of a body", OCTETS("\x03\x01" "\xff\xff\xff\xff"), 6,
	    { .type = WS_BODY, .flags = WS_END, .stream = 0xffffffffu } },
	{ "trailers", OCTETS("\x04\x00" "\x00\x00\x00\x07" SUM), 6,
	    { .type = WS_TRAILERS, .stream = 7, .head = VIEW(SUM) } },
	{ "a window of a stream",
	    OCTETS("\x05\x00" "\x00\x00\x00\x07" "\x00\x02\x00\x01"), 10,
	    { .type = WS_WINDOW, .stream = 7, .window = 131073 } },
	{ "a window of the link, the most",
	    OCTETS("\x05\x00" "\x00\x00\x00\x00" "\xff\xff\xff\xff"), 10,
	    { .type = WS_WINDOW, .window = 4294967295LL } },
	{ "a reset",
	    OCTETS("\x06\x01" "\x00\x00\x00\x09" "\x01\xf8" "refused\xff"), 8,
	    { .type = WS_RESET, .flags = WS_UNREACHED, .stream = 9,
	    .status = 504, .head = VIEW("refused\xff") } },
	{ "a reset of what was not looked at",
	    OCTETS("\x06\x02" "\x00\x00\x00\x09" "\x01\xf7"), 8,
	    { .type = WS_RESET, .flags = WS_REFUSED, .stream = 9,
	    .status = 503 } },
	{ "leave", OCTETS("\x07\x00" "\x00\x00\x00\x00"), 6,
	    { .type = WS_LEAVE } },
	{ "a note",
	    OCTETS("\x08\x00" "\x00\x00\x00\x00" "{\"a\":[{\"b\":\"\xc3\xa9\"}]}"),
	    24, { .type = WS_NOTE,
	    .head = VIEW("{\"a\":[{\"b\":\"\xc3\xa9\"}]}") } },
};

/* Reads b[0..n) from an exact block, that the caller frees. */
static int
v2_read_exact(unsigned char **exact, const void *b, size_t n)
{
	*exact = check_exact(b, n);
	memset(&msg, 0xa5, sizeof msg);
	return ws_msg_read(&msg, *exact, n);
}

/* What a type does not have is zero. */
static int
v2_is(const struct ws_msg *want)
{
	return msg.type == want->type && msg.flags == want->flags &&
	    msg.stream == want->stream && msg.took == want->took &&
	    msg.window == want->window && msg.status == want->status &&
	    view_same(msg.head, want->head) && view_same(msg.body, want->body);
}

/* Whether msg, as read from b[0..n), lies there and is written as it stands
 * there, without an octet more. */
static int
v2_puts_back(const unsigned char *b, size_t n)
{
	size_t i, size, prefix = n - msg.head.n - msg.body.n;
	unsigned char *out;
	int same;

	if (msg.head.n > n || msg.body.n > n - msg.head.n)
		return 0;
	if ((msg.head.n > 0 && msg.head.p != b + prefix) ||
	    (msg.body.n > 0 && msg.body.p != b + prefix + msg.head.n))
		return 0;
	out = check_exact(b, prefix);
	for (i = 0; i < prefix; i++)
		out[i] ^= 0xff;
	size = ws_msg_put(out, &msg);
	same = size == prefix && memcmp(out, b, prefix) == 0;
	free(out);
	return same;
}

/* Whole, and cut everywhere. */
static void
test_v2_good(void)
{
	const struct v2_case *c;
	unsigned char *b;
	size_t i, cut;
	int r;

	for (i = 0; i < COUNT(v2_good); i++) {
		c = &v2_good[i];
		for (cut = 0; cut <= c->n; cut++) {
			r = v2_read_exact(&b, c->b, cut);
			CHECK(r == (cut < c->least ? -1002 : 0),
			    "%s cut at %zu: %d", c->note, cut, r);
			CHECK(r != 0 || v2_puts_back(b, cut),
			    "%s cut at %zu: put back", c->note, cut);
			CHECK(cut < c->n || v2_is(&c->want),
			    "%s: what was read", c->note);
			free(b);
		}
	}
}

/* How many octets may stand behind a prefix; and how many must, where it tells
 * the length of a head. */
static const struct {
	const char *note, *prefix;
	size_t n, least, most;
} v2_limits[] = {
	{ "a request", OCTETS("\x01\x03" "\x00\x00\x00\x01" "\x00\x00\x00\x00"
	    "\x00\x00\x00\x00" "\x00\x00"), 0, 16384 },
	{ "a request of the largest head", OCTETS("\x01\x03"
	    "\x00\x00\x00\x01" "\x00\x00\x00\x00" "\x00\x00\x00\x00"
	    "\xff\xff"), 65535, 65535 + 16384 },
	{ "a request of a head of 256", OCTETS("\x01\x03" "\x00\x00\x00\x01"
	    "\x00\x00\x00\x00" "\x00\x00\x00\x00" "\x01\x00"), 256,
	    256 + 16384 },
	{ "an answer", OCTETS("\x02\x03" "\x00\x00\x00\x01" "\x00\x00"), 0,
	    16384 },
	{ "an answer of the largest head", OCTETS("\x02\x03"
	    "\x00\x00\x00\x01" "\xff\xff"), 65535, 65535 + 16384 },
	{ "an answer of a head of 1", OCTETS("\x02\x03" "\x00\x00\x00\x01"
	    "\x00\x01"), 1, 1 + 16384 },
	{ "a body", OCTETS("\x03\x00" "\x00\x00\x00\x01"), 0, 16384 },
	{ "trailers", OCTETS("\x04\x00" "\x00\x00\x00\x01"), 0, 32768 },
	{ "a window", OCTETS("\x05\x00" "\x00\x00\x00\x01"
	    "\x00\x00\x00\x01"), 0, 0 },
	{ "a reset", OCTETS("\x06\x00" "\x00\x00\x00\x01" "\x01\xf4"), 0,
	    1024 },
	{ "leave", OCTETS("\x07\x00" "\x00\x00\x00\x00"), 0, 0 },
	{ "a note", OCTETS("\x08\x00" "\x00\x00\x00\x00"), 2, 16384 },
};

/* Reads the i-th prefix with n octets behind it, which are a JSON object where
 * they can be one. */
static int
v2_limit_read(size_t i, size_t n)
{
	static char b[16 + 65535 + 16384 + 1];
	size_t prefix = v2_limits[i].n;
	unsigned char *exact;
	int r;

	memcpy(b, v2_limits[i].prefix, prefix);
	memset(b + prefix, ' ', n);
	if (n > 0) {
		b[prefix] = '{';
		b[prefix + n - 1] = '}';
	}
	r = v2_read_exact(&exact, b, prefix + n);
	CHECK(r != 0 || v2_puts_back(exact, prefix + n), "%s with %zu",
	    v2_limits[i].note, n);
	free(exact);
	return r;
}

static void
test_v2_limits(void)
{
	size_t i, least, most;
	int r;

	for (i = 0; i < COUNT(v2_limits); i++) {
		least = v2_limits[i].least;
		most = v2_limits[i].most;
		r = least == 0 ? -1002 : v2_limit_read(i, least - 1);
		CHECK(r == -1002, "%s of one too few: %d", v2_limits[i].note,
		    r);
		r = v2_limit_read(i, least);
		CHECK(r == 0, "%s of the least: %d", v2_limits[i].note, r);
		r = v2_limit_read(i, most);
		CHECK(r == 0, "%s of the most: %d", v2_limits[i].note, r);
		r = v2_limit_read(i, most + 1);
		CHECK(r == -1009, "%s of one too many: %d", v2_limits[i].note,
		    r);
	}
}

/* A reset breaks its stream whatever number it brings. */
static void
test_v2_reset_status(void)
{
	unsigned char b[8] = { 6, 0, 0, 0, 0, 1 }, out[8];
	int status, want, bad = 0;

	for (status = 0; status < 65536; status++) {
		b[6] = (unsigned char)(status >> 8);
		b[7] = (unsigned char)(status & 255);
		want = status >= 400 && status < 600 ? status : 502;
		bad += ws_msg_read(&msg, b, sizeof b) != 0 ||
		    msg.status != want || ws_msg_put(out, &msg) != 8 ||
		    out[6] * 256 + out[7] != want;
	}
	CHECK(bad == 0, "%d statuses wrong", bad);
}

static void
test_v2_notes(void)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{ "{}", 0 }, { " \t\r\n{ } ", 0 }, { "{\"a\":1,\"a\":null}", 0 },
		{ "", -1002 }, { " ", -1002 }, { "[]", -1002 },
		{ "null", -1002 }, { "7", -1002 }, { "\"{}\"", -1002 },
		{ "[{}]", -1002 }, { "{", -1002 }, { "{}}", -1002 },
		{ "{}{}", -1002 }, { "{},", -1002 }, { "{a:1}", -1002 },
		{ "{\"a\":}", -1002 }, { "{\"a\":1,}", -1002 },
		{ "{\"a\":\"\xff\"}", -1002 }, { "\xef\xbb\xbf{}", -1002 },
	};
	unsigned char *b;
	char text[64];
	size_t i, n;
	int r;

	memcpy(text, "\x08\x00\x00\x00\x00\x00", 6);
	for (i = 0; i < COUNT(cases); i++) {
		n = strlen(cases[i].text);
		memcpy(text + 6, cases[i].text, n);
		r = v2_read_exact(&b, text, 6 + n);
		CHECK(r == cases[i].want, "note %s: %d", cases[i].text, r);
		CHECK(r != 0 || view_is(msg.head, cases[i].text), "note %s",
		    cases[i].text);
		free(b);
	}
}

/* A type that is not known is told with its flags and number, and nothing of
 * what is behind these is looked at. */
static void
test_v2_unknown(void)
{
	static const size_t sizes[] = { 6, 7, 16, 100, 70000 };
	static unsigned char text[70000];
	struct ws_msg want = { .flags = 0x5a, .stream = 0xdeadbeef };
	unsigned char *b;
	size_t i, n;
	int r, bad = 0;

	memset(text, 0xff, sizeof text);
	memcpy(text, "\x00\x5a\xde\xad\xbe\xef", 6);
	for (want.type = 0; want.type < 256; want.type++) {
		if (want.type >= WS_REQUEST && want.type <= WS_NOTE)
			continue;
		text[0] = (unsigned char)want.type;
		for (i = 0; i < COUNT(sizes); i++) {
			r = v2_read_exact(&b, text, sizes[i]);
			bad += r != 0 || !v2_is(&want) || msg.head.p != NULL ||
			    msg.body.p != NULL;
			free(b);
		}
		for (n = 0; n < 6; n++) {
			bad += v2_read_exact(&b, text, n) != -1002;
			free(b);
		}
	}
	CHECK(bad == 0, "%d of unknown types wrong", bad);
	CHECK(WS_ACK == 128, "the type kept for ack");
}

/* --------------------------------------------------------------------- v1
 * The head that is read is told as HTTP.
 */

#define ID "\"correlation_id\":\"" UUID_A "\""
#define ID_OF(id) "\"correlation_id\":\"" id "\""
#define V1_REQ(path, query, method, headers, body) "{" ID ",\"url_path\":" \
    path ",\"url_query\":" query ",\"method\":" method ",\"headers\":" \
    headers ",\"body\":" body "}"
#define V1_GET(path, query) V1_REQ("\"" path "\"", "\"" query "\"", \
    "\"GET\"", "\"{}\"", "\"\"")
#define GET_HEAD(target) "GET " target " HTTP/1.1\r\n\r\n"
#define GET_UUID "1421d1a5-2bb8-4adb-ac93-f838f49ce33b"
#define UP_UUID "90cc7561-d9eb-42d0-a2cd-bc7af86e6a3c"
#define ETAG_UUID "9ada87a3-a86a-4390-89f8-b5f0a41fb6f4"

struct v1_case {
	const char *note, *text;
	const char *head;	/* of method, path and fields, or status and fields, as HTTP has
				   it; NULL: not usable */
	const char *body;
	const char *id;		/* NULL: none can be told */
};

static const struct v1_case v1_requests[] = {
	{ "captured: query",
	    "{" ID_OF(GET_UUID) ",\"url_path\":\"p/q\",\"url_query\":"
	    "\"[[\\\"a\\\",\\\"1\\\"],[\\\"a\\\",\\\"2\\\"],[\\\"b\\\","
	    "\\\" x y\\\"],[\\\"e\\\",\\\"\\\"],[\\\"f\\\",\\\"\\\"]]\","
	    "\"method\":\"GET\",\"headers\":\"{\\\"host\\\":"
	    "\\\"pub.example:8000\\\",\\\"user-agent\\\":\\\"t/1\\\","
	    "\\\"accept\\\":\\\"*/*\\\",\\\"connection\\\":\\\"close\\\","
	    "\\\"x-pipegate-correlation-id\\\":"
	    "\\\"1421d1a52bb84adbac93f838f49ce33b\\\"}\",\"body\":\"\"}",
	    "GET /p/q?a=1&a=2&b=+x+y&e=&f= HTTP/1.1\r\n"
	    "host: pub.example:8000\r\nuser-agent: t/1\r\naccept: */*\r\n"
	    "connection: close\r\nx-pipegate-correlation-id: "
	    "1421d1a52bb84adbac93f838f49ce33b\r\n\r\n", "", GET_UUID },
	{ "captured: binary body",
	    "{" ID_OF(UP_UUID) ",\"url_path\":\"up\",\"url_query\":\"[]\","
	    "\"method\":\"POST\",\"headers\":\"{\\\"content-length\\\":"
	    "\\\"6\\\"}\",\"body\":\"AP+ACiJc\"}",
	    "POST /up HTTP/1.1\r\ncontent-length: 6\r\n\r\n",
	    "\\x00\xff\x80\n\"\\", UP_UUID },
	{ "captured: quotes in a header",
	    "{" ID_OF(ETAG_UUID) ",\"url_path\":\"304\",\"url_query\":\"[]\","
	    "\"method\":\"GET\",\"headers\":\"{\\\"if-none-match\\\":"
	    "\\\"\\\\\\\"abc\\\\\\\"\\\"}\",\"body\":\"\"}",
	    "GET /304 HTTP/1.1\r\nif-none-match: \"abc\"\r\n\r\n", "",
	    ETAG_UUID },
	{ "captured: decoded path",
	    V1_GET("a/b/\xc3\xa9/q?z=1/s t/p%/#h//x/../y",
	    "[[\\\"k\\\",\\\"v\\\"]]"),
	    GET_HEAD("/a/b/%C3%A9/q%3Fz=1/s%20t/p%25/%23h//x/../y?k=v"), "",
	    UUID_A },
	{ "no path", V1_GET("", "[]"), GET_HEAD("/"), "", UUID_A },
	{ "leading slash", V1_GET("/x", "[]"), GET_HEAD("//x"), "", UUID_A },
	{ "a path like a URL", V1_GET("http://other/", "[]"),
	    GET_HEAD("/http://other/"), "", UUID_A },
	{ "escapes stay", V1_GET("a%2Fb%2f%zz%4", "[]"),
	    GET_HEAD("/a%2Fb%2f%25zz%254"), "", UUID_A },
	{ "what no path holds",
	    V1_GET("\\u0000\\u001f\\u007f\\\"<>\\\\^`{|}", ""),
	    GET_HEAD("/%00%1F%7F%22%3C%3E%5C%5E%60%7B%7C%7D"), "", UUID_A },
	{ "what a path may hold", V1_GET("!$&'()*+,-./:;=@[]_~", ""),
	    GET_HEAD("/!$&'()*+,-./:;=@[]_~"), "", UUID_A },
	{ "empty query", V1_GET("t", ""), GET_HEAD("/t"), "", UUID_A },
	{ "query null", V1_GET("t", "null"), GET_HEAD("/t"), "", UUID_A },
	{ "query of an object", V1_GET("t", "{\\\"a\\\":\\\"1\\\","
	    "\\\"b\\\":2}"), GET_HEAD("/t?a=1&b=2"), "", UUID_A },
	{ "query of scalars", V1_GET("t", "[[\\\"a\\\",-1.5e2],[1,true],"
	    "[\\\"b\\\",null]]"), GET_HEAD("/t?a=-1.5e2&1=true&b=null"), "",
	    UUID_A },
	{ "query encoded", V1_GET("t", "[[\\\"a&=?#%+/\\\","
	    "\\\"\xe2\x82\xac \\\\u00e9-._~\\\"]]"),
	    GET_HEAD("/t?a%26%3D%3F%23%25%2B%2F=%E2%82%AC+%C3%A9-._~"), "",
	    UUID_A },
	{ "headers as pairs", V1_REQ("\"t\"", "\"\"", "\"GET\"",
	    "\"[[\\\"a\\\",\\\"1\\\"],[\\\"A\\\",\\\"2\\\"]]\"", "\"\""),
	    "GET /t HTTP/1.1\r\na: 1\r\nA: 2\r\n\r\n", "", UUID_A },
	{ "headers with escapes", V1_REQ("\"t\"", "\"\"", "\"GET\"",
	    "\"[[\\\"\\\\u0061\\\",\\\"\\\\/\\\\u00ff\\\"],"
	    "[\\\"b\\\",\\\"\\\\\\\\\\\"]]\"", "\"\""),
	    "GET /t HTTP/1.1\r\na: /\xff\r\nb: \\\r\n\r\n", "", UUID_A },
	{ "members with escapes", "{" ID ",\"url_p\\u0061th\":\"\\u0074\","
	    "\"url_query\":\"\\u005b]\",\"m\\u0065thod\":\"G\\u00c9T\","
	    "\"headers\":\"\\u007b}\",\"body\":\"\\u0061Gk=\"}",
	    "G\xc9T /t HTTP/1.1\r\n\r\n", "hi", UUID_A },
	{ "method above U+00FF", V1_REQ("\"t\"", "\"\"", "\"G\\u0100\"",
	    "\"{}\"", "\"\""), NULL, "", UUID_A },
	{ "no body", "{" ID ",\"url_path\":\"t\",\"url_query\":\"[]\","
	    "\"method\":\"GET\",\"headers\":\"{}\"}", NULL, "", UUID_A },
	{ "no method", "{" ID ",\"url_path\":\"t\",\"url_query\":\"[]\","
	    "\"headers\":\"{}\",\"body\":\"\"}", NULL, "", UUID_A },
	{ "no id", "{\"url_path\":\"t\",\"url_query\":\"[]\",\"method\":"
	    "\"GET\",\"headers\":\"{}\",\"body\":\"\"}", NULL, "", NULL },
	{ "a bad id", "{\"correlation_id\":\"x\",\"url_path\":\"t\","
	    "\"url_query\":\"[]\",\"method\":\"GET\",\"headers\":\"{}\","
	    "\"body\":\"\"}", NULL, "", NULL },
	{ "query of a number", V1_GET("t", "7"), NULL, "", UUID_A },
	{ "query that is no JSON", V1_GET("t", "[["), NULL, "", UUID_A },
	{ "query of strings", V1_GET("t", "[\\\"ab\\\"]"), NULL, "", UUID_A },
	{ "query of a list", V1_GET("t", "[[\\\"a\\\",[]]]"), NULL, "", UUID_A },
	{ "query not in a string", V1_REQ("\"t\"", "[]", "\"GET\"",
	    "\"{}\"", "\"\""), NULL, "", UUID_A },
	{ "path not a string", V1_REQ("7", "\"\"", "\"GET\"", "\"{}\"",
	    "\"\""), NULL, "", UUID_A },
	{ "method not a string", V1_REQ("\"t\"", "\"\"", "null", "\"{}\"",
	    "\"\""), NULL, "", UUID_A },
	{ "headers not in a string", V1_REQ("\"t\"", "\"\"", "\"GET\"",
	    "{}", "\"\""), NULL, "", UUID_A },
	{ "headers empty", V1_REQ("\"t\"", "\"\"", "\"GET\"", "\"\"",
	    "\"\""), GET_HEAD("/t"), "", UUID_A },
	{ "body not base64", V1_REQ("\"t\"", "\"\"", "\"GET\"", "\"{}\"",
	    "\"a\""), NULL, "", UUID_A },
	{ "body not a string", V1_REQ("\"t\"", "\"\"", "\"GET\"", "\"{}\"",
	    "null"), NULL, "", UUID_A },
};

#define DEEP(open, close) open open open open open open open open open open \
    open open open open open open open open open open open open open open open \
    open open open open open open open open close close close close close \
    close close close close close close close close close close close close \
    close close close close close close close close close close close close \
    close close close close
#define ESCAPED_ID "\\\"correlation_id\\\":\\\"" GET_UUID "\\\""
#define V1_RESP(status, headers, body) "{" ID ",\"headers\":" headers \
    ",\"body\":" body ",\"status_code\":" status "}"
#define ANS_HEAD(status, fields) "HTTP/1.1 " status "\r\n" fields "\r\n"

static const struct v1_case v1_responses[] = {
	{ "captured: plain",
	    "{\"correlation_id\":\"00000000-0000-4000-8000-00000000000a\","
	    "\"headers\":\"{\\\"content-type\\\":\\\"text/plain\\\","
	    "\\\"server\\\":\\\"origin/1\\\",\\\"date\\\":"
	    "\\\"Mon, 01 Jan 2024 00:00:00 GMT\\\",\\\"content-length\\\":"
	    "\\\"11\\\"}\",\"body\":\"R0VUIC90L3UgMAo=\","
	    "\"status_code\":200}",
	    ANS_HEAD("200 OK", "content-type: text/plain\r\n"
	    "server: origin/1\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
	    "content-length: 11\r\n"), "GET /t/u 0\n",
	    "00000000-0000-4000-8000-00000000000a" },
	{ "captured: origin gone", V1_RESP("504", "\"{}\"", "\"\""),
	    ANS_HEAD("504 Gateway Timeout", ""), "", UUID_A },
	{ "captured: Latin-1",
	    V1_RESP("200", "\"{\\\"x-name\\\":\\\"caf\xc3\xa9\\\"}\"",
	    "\"b2s=\""), ANS_HEAD("200 OK", "x-name: caf\xe9\r\n"),
	    "ok", UUID_A },
	{ "order, space, an extra key", "{ \"status_code\" : 201 , \"x\":{},"
	    "\"body\":\"\" , \"headers\":\"{}\"," ID "}",
	    ANS_HEAD("201 Created", ""), "", UUID_A },
	{ "id in capitals without dashes", "{\"correlation_id\":"
	    "\"00112233445566778899AABBCCDDEEFF\",\"headers\":\"{}\","
	    "\"body\":\"aGk=\",\"status_code\":200}", ANS_HEAD("200 OK", ""),
	    "hi", UUID_A },
	{ "status in a string", V1_RESP("\"202\"", "\"{}\"", "\"\""),
	    ANS_HEAD("202 Accepted", ""), "", UUID_A },
	{ "body escaped", V1_RESP("200", "\"{}\"", "\"\\u0061G\\u006b=\""),
	    ANS_HEAD("200 OK", ""), "hi", UUID_A },
	{ "names differ in case", V1_RESP("200", "\"{\\\"set-cookie\\\":"
	    "\\\"a=1\\\",\\\"Set-cookie\\\":\\\"b=2\\\"}\"", "\"\""),
	    ANS_HEAD("200 OK", "set-cookie: a=1\r\nSet-cookie: b=2\r\n"),
	    "", UUID_A },
	{ "headers as pairs", V1_RESP("200", "\"[[\\\"a\\\",\\\"1\\\"]]\"",
	    "\"\""), ANS_HEAD("200 OK", "a: 1\r\n"), "", UUID_A },
	{ "status with an exponent", V1_RESP("2e2", "\"{}\"", "\"\""),
	    ANS_HEAD("200 OK", ""), "", UUID_A },
	{ "status with a fraction", V1_RESP("200.5", "\"{}\"", "\"\""), NULL,
	    "", UUID_A },
	{ "status below zero", V1_RESP("-200", "\"{}\"", "\"\""), NULL, "",
	    UUID_A },
	{ "status of no size", V1_RESP("1e99", "\"{}\"", "\"\""), NULL, "",
	    UUID_A },
	{ "status 199", V1_RESP("199", "\"{}\"", "\"\""), NULL, "", UUID_A },
	{ "status 600", V1_RESP("600", "\"{}\"", "\"\""), NULL, "", UUID_A },
	{ "status 999", V1_RESP("999", "\"{}\"", "\"\""), NULL, "", UUID_A },
	{ "status 101", V1_RESP("101", "\"{}\"", "\"\""), NULL, "", UUID_A },
	{ "status 2e2 in a string", V1_RESP("\"2e2\"", "\"{}\"", "\"\""),
	    NULL, "", UUID_A },
	{ "status of no digits", V1_RESP("\"\"", "\"{}\"", "\"\""), NULL, "",
	    UUID_A },
	{ "status of many digits", V1_RESP("\"2000\"", "\"{}\"", "\"\""),
	    NULL, "", UUID_A },
	{ "status null", V1_RESP("null", "\"{}\"", "\"\""), NULL, "", UUID_A },
	{ "headers with a list", V1_RESP("200", "\"{\\\"a\\\":[]}\"",
	    "\"\""), NULL, "", UUID_A },
	{ "headers with a number", V1_RESP("200", "\"{\\\"a\\\":1}\"",
	    "\"\""), NULL, "", UUID_A },
	{ "headers above U+00FF", V1_RESP("200",
	    "\"{\\\"a\\\":\\\"\xe2\x82\xac\\\"}\"", "\"\""), NULL, "", UUID_A },
	{ "headers empty", V1_RESP("504", "\"\"", "\"\""),
	    ANS_HEAD("504 Gateway Timeout", ""), "", UUID_A },
	{ "headers of strings", V1_RESP("200", "\"[\\\"ab\\\"]\"", "\"\""),
	    NULL, "", UUID_A },
	{ "headers of nothing", V1_RESP("200", "\"[[]]\"", "\"\""), NULL, "",
	    UUID_A },
	{ "headers of names alone", V1_RESP("200", "\"[[\\\"a\\\"]]\"",
	    "\"\""), NULL, "", UUID_A },
	{ "headers of three", V1_RESP("200",
	    "\"[[\\\"a\\\",\\\"b\\\",\\\"c\\\"]]\"", "\"\""), NULL, "",
	    UUID_A },
	{ "headers of objects", V1_RESP("200",
	    "\"[{\\\"a\\\":\\\"b\\\"}]\"", "\"\""), NULL, "", UUID_A },
	{ "a name that is null", V1_RESP("200", "\"[[null,\\\"b\\\"]]\"",
	    "\"\""), NULL, "", UUID_A },
	{ "a pair with a number", V1_RESP("200", "\"[[\\\"a\\\",1]]\"",
	    "\"\""), NULL, "", UUID_A },
	{ "a name above U+00FF", V1_RESP("200",
	    "\"{\\\"\\\\u0100\\\":\\\"\\\"}\"", "\"\""), NULL, "", UUID_A },
	{ "headers null", V1_RESP("200", "\"null\"", "\"\""), NULL, "", UUID_A },
	{ "two bodies", "{" ID ",\"headers\":\"{}\",\"body\":\"\","
	    "\"body\":\"\",\"status_code\":200}", NULL, "", UUID_A },
	{ "a body twice, one name escaped", "{" ID ",\"headers\":\"{}\","
	    "\"body\":\"\",\"b\\u006fdy\":\"\",\"status_code\":200}", NULL,
	    "", UUID_A },
	{ "the id twice, the same", "{" ID ",\"headers\":\"{}\","
	    "\"body\":\"\",\"status_code\":200," ID "}", NULL, "", UUID_A },
	{ "the id twice, different", "{" ID ",\"headers\":\"{}\","
	    "\"body\":\"\",\"status_code\":200," ID_OF(GET_UUID) "}", NULL,
	    "", NULL },
	{ "the id twice, one broken", "{" ID ",\"headers\":\"{}\","
	    "\"body\":\"\",\"status_code\":200,\"correlation_id\":1}", NULL,
	    "", NULL },
	{ "a lone surrogate in a value", "{\"x\":\"\\ud800\"," ID
	    ",\"headers\":\"{}\",\"body\":\"\",\"status_code\":200}", NULL,
	    "", UUID_A },
	{ "a lone surrogate in a name", "{\"\\udc00\":1," ID
	    ",\"headers\":\"{}\",\"body\":\"\",\"status_code\":200}", NULL,
	    "", UUID_A },
	{ "deeper than the cap", "{\"x\":" DEEP("[", "]") "," ID
	    ",\"headers\":\"{}\",\"body\":\"\",\"status_code\":200}", NULL,
	    "", UUID_A },
	{ "a comma too many", "{" ID ",\"headers\":\"{}\",\"body\":\"\","
	    "\"status_code\":200,}", NULL, "", UUID_A },
	{ "a number that is none", V1_RESP("0200", "\"{}\"", "\"\""), NULL,
	    "", UUID_A },
	{ "octets that are no text", "{\"x\":\"\xff\"," ID
	    ",\"headers\":\"{}\",\"body\":\"\",\"status_code\":200}", NULL,
	    "", UUID_A },
	{ "broken JSON", "{" ID ",", NULL, "", UUID_A },
	{ "only other ids", "{\"x\":{" ID "},\"y\":[\"correlation_id\",\""
	    UUID_HEX "\"],\"z\":\"{\\\"correlation_id\\\":\\\"" UUID_HEX
	    "\\\"}\",\"x\":1,}", NULL, "", NULL },
	{ "another id within", "{\"x\":{" ID_OF(GET_UUID) "},\"x\":[{"
	    ID_OF(GET_UUID) "}],\"z\":\"" ESCAPED_ID "\"," ID ",}", NULL, "",
	    UUID_A },
	{ "nothing", "", NULL, "", NULL },
	{ "null", "null", NULL, "", NULL },
	{ "a string", "\"correlation_id\"", NULL, "", NULL },
	{ "an empty object", "{}", NULL, "", NULL },
	{ "an array", "[]", NULL, "", NULL },
	{ "an array with it", "[{" ID "}", NULL, "", NULL },
	{ "no id", "{\"headers\":\"{}\",\"body\":\"\",\"status_code\":200}",
	    NULL, "", NULL },
};

static unsigned char v1_space[1024];

static int
v1_read(int is_request, unsigned char *b, size_t n, int *has_id)
{
	memset(&v1_msg, 0xa5, sizeof v1_msg);
	return is_request ?
	    ws_v1_request_read(&v1_msg, b, n, has_id, v1_space,
	    sizeof v1_space) : ws_v1_response_read(&v1_msg, b, n, has_id);
}

/* A body in a table; "\x00" in words is the octet 0. */
static int
v1_body_is(const char *want)
{
	unsigned char b[64];
	size_t n = strlen(want);

	if (strncmp(want, "\\x00", 4) != 0)
		return view_is(v1_msg.body, want);
	b[0] = 0;
	memcpy(b + 1, want + 4, n - 4);
	return v1_msg.body.n == n - 3 &&
	    memcmp(v1_msg.body.p, b, n - 3) == 0;
}

static int
v1_head_is(int is_request, const char *want)
{
	unsigned char out[1024];
	struct http_out o = { out, sizeof out, 0 };

	if (is_request)
		http_link_request_put(&o, &v1_msg.head);
	else
		http_link_answer_put(&o, &v1_msg.head);
	if (o.len > o.cap || !view_is(http_out_view(&o), want)) {
		printf("got %.*s\n", (int)(o.len > o.cap ? o.cap : o.len),
		    (const char *)out);
		return 0;
	}
	return 1;
}

/* What v1 does not say of a head is zero. */
static int
v1_rest_is_zero(int is_request)
{
	static const struct http_head zero;
	static struct http_head rest;

	memcpy(&rest, &v1_msg.head, sizeof rest);
	rest.nfields = 0;
	if (is_request)
		rest.method = rest.path = zero.path;
	else
		rest.status = 0;
	return memcmp(&rest, &zero, offsetof(struct http_head, field)) == 0;
}

/* Whether what was told of an id is text, or none where that is NULL. */
static int
v1_id_is(int has_id, const unsigned char id[16], const char *want)
{
	char text[WS_UUID_TEXT];

	if (!has_id || want == NULL)
		return !has_id && want == NULL;
	ws_uuid_put(text, id);
	return memcmp(text, want, sizeof text) == 0;
}

static void
v1_check_cuts(const struct v1_case *c, int is_request)
{
	unsigned char id[16], *b;
	size_t n = strlen(c->text), cut;
	int has_id, taken = 0;

	for (cut = 0; cut < n; cut++) {
		b = check_exact(c->text, cut);
		taken += v1_read(is_request, b, cut, &has_id) != -1;
		/* An id that is whole is found, and is no other. */
		memset(id, 0, sizeof id);
		taken += ws_v1_id_find(id, (const unsigned char *)c->text,
		    cut) != has_id ||
		    (has_id && memcmp(id, v1_msg.id, sizeof id) != 0);
		free(b);
	}
	CHECK(taken == 0, "%s: %d cut ones taken", c->note, taken);
}

static void
v1_check(const struct v1_case *c, int is_request)
{
	size_t n = strlen(c->text);
	unsigned char *b = check_exact(c->text, n);
	int has_id, r = v1_read(is_request, b, n, &has_id);

	CHECK(r == (c->head != NULL ? 0 : -1), "%s: %d", c->note, r);
	CHECK(v1_id_is(has_id, v1_msg.id, c->id), "%s: id, has_id %d",
	    c->note, has_id);
	if (r == 0 && c->head != NULL) {
		CHECK(v1_head_is(is_request, c->head), "%s: what was read",
		    c->note);
		CHECK(v1_rest_is_zero(is_request), "%s: the rest", c->note);
		CHECK(v1_body_is(c->body), "%s: body", c->note);
	}
	free(b);
	v1_check_cuts(c, is_request);
}

/* What is known may be said once, in either direction; the rest is nobody's
 * matter. */
static void
test_v1_repeated(void)
{
	static const struct {
		const char *name;
		int want;
	} members[] = {
		{ "correlation_id", -1 }, { "url_path", -1 },
		{ "url_query", -1 }, { "method", -1 }, { "headers", -1 },
		{ "body", -1 }, { "status_code", -1 },
		{ "type", 0 }, { "target", 0 }, { "reason", 0 },
		{ "window", 0 }, { "bytes", 0 }, { "received", 0 },
		{ "end", 0 }, { "x", 0 }, { "", 0 }, { "BODY", 0 },
	};
	static const char *const good[] = {
		"{" ID ",\"headers\":\"{}\",\"body\":\"\",\"status_code\":200",
		"{" ID ",\"url_path\":\"t\",\"url_query\":\"\",\"method\":"
		    "\"GET\",\"headers\":\"{}\",\"body\":\"\""
	};
	char text[512];
	unsigned char *b;
	size_t i, n;
	int has_id, r, is_request;

	for (i = 0; i < 2 * COUNT(members); i++) {
		is_request = (int)(i % 2);
		n = (size_t)snprintf(text, sizeof text,
		    "%s,\"%s\":\"" UUID_A "\",\"%s\":\"" UUID_A "\"}",
		    good[is_request], members[i / 2].name,
		    members[i / 2].name);
		b = check_exact(text, n);
		r = v1_read(is_request, b, n, &has_id);
		CHECK(r == members[i / 2].want, "%s: %d", text, r);
		CHECK(v1_id_is(has_id, v1_msg.id, UUID_A), "%s: id", text);
		free(b);
	}
}

/* As many fields as a head can hold, and one more. */
static void
test_v1_field_limit(void)
{
	static unsigned char b[16384];
	struct json_out o = { b, sizeof b, 0, 0 };
	size_t i, extra;
	int has_id, r;

	for (extra = 0; extra < 2; extra++) {
		o.len = 0;
		json_put(&o, "{" ID ",\"body\":\"\",\"status_code\":200,"
		    "\"headers\":\"[");
		for (i = 0; i < HTTP_LINK_FIELDS + extra; i++)
			json_put(&o, i == 0 ? "[\\\"a\\\",\\\"b\\\"]" :
			    ",[\\\"a\\\",\\\"b\\\"]");
		json_put(&o, "]\"}");
		r = v1_read(0, b, o.len, &has_id);
		CHECK(r == (extra ? -1 : 0) && has_id, "%zu fields: %d", i, r);
		CHECK(r != 0 || (v1_msg.head.nfields == i &&
		    view_is(v1_msg.head.field[i - 1].value, "b")),
		    "%zu fields: the last", i);
	}
}

/* A good message with more behind it is not good, but has its id. */
static void
test_v1_trailing(void)
{
	static const char *const tails[] = {
		"x", ",", "}", "]", "\"", " {}", "{" ID_OF(GET_UUID) "}",
		"," ID_OF(GET_UUID) "}", "\xff"
	};
	char text[512];
	unsigned char *b;
	size_t i, n;
	int has_id, r, is_request;

	for (i = 0; i < 2 * COUNT(tails); i++) {
		is_request = i % 2 == 0;
		n = (size_t)snprintf(text, sizeof text, "%s%s", is_request ?
		    V1_GET("t", "") : V1_RESP("200", "\"{}\"", "\"\""),
		    tails[i / 2]);
		b = check_exact(text, n);
		r = v1_read(is_request, b, n, &has_id);
		CHECK(r == -1 && has_id &&
		    memcmp(v1_msg.id, id_a, 16) == 0,
		    "%s: %d, has_id %d", text, r, has_id);
		free(b);
	}
}

static void
test_v1_read(void)
{
	size_t i;

	for (i = 0; i < COUNT(v1_requests); i++)
		v1_check(&v1_requests[i], 1);
	for (i = 0; i < COUNT(v1_responses); i++)
		v1_check(&v1_responses[i], 0);
}

/* A target that just fits, and does not. */
static void
test_v1_space(void)
{
	static const char text[] = V1_GET("a b", "[[\\\"k\\\",\\\"v\\\"]]");
	static const char want[] = "/a%20b?k=v";
	unsigned char *b, *space;
	size_t cap;
	int has_id, r;

	for (cap = 0; cap <= sizeof want; cap++) {
		b = check_exact(text, sizeof text - 1);
		space = check_exact(want, cap < sizeof want ? cap : 0);
		r = ws_v1_request_read(&v1_msg, b, sizeof text - 1, &has_id,
		    space, cap < sizeof want ? cap : 0);
		CHECK(r == (cap == sizeof want - 1 ? 0 : -1) && has_id,
		    "space %zu: %d", cap, r);
		CHECK(r != 0 || view_is(v1_msg.head.path, want), "target");
		free(b);
		free(space);
	}
}

static void
test_v1_id_find(void)
{
	static const struct {
		const char *text;
		int found;
	} cases[] = {
		{ "{" ID ",\"url_path\":", 1 },
		{ "{" ID, 1 },
		{ "{ \"correlation_id\"\n:\t\"" UUID_HEX "\",", 1 },
		{ "{\"a\":\"correlation_id\"," ID, 1 },
		{ "{\"a\":\"\\\"correlation_id\\\":\\\"\"," ID, 1 },
		{ "{\"a\":{" ID_OF(GET_UUID) "}," ID, 1 },
		{ "{\"a\":[{" ID_OF(GET_UUID) "}]," ID, 1 },
		{ "{\"a\":{\"b\":" DEEP("{\"c\":", "}") "," ID_OF(GET_UUID)
		    "}," ID ",\"body\":\"aaaa", 1 },
		{ "{\"a\":\"{" ESCAPED_ID "}\"," ID, 1 },
		{ "{\"correlation\\u005fid\":\"" UUID_HEX "\"", 1 },
		{ "{\"correlation_id\":\"\\u0030"
		    "0112233445566778899aabbccddeeff\"", 1 },
		{ "{" ID "," ID, 1 },
		{ "{" ID ",\"body\":\"" ESCAPED_ID, 1 },
		{ "{" ID "}," ID_OF(GET_UUID), 1 },
		{ "{" ID "," ID_OF(GET_UUID), 0 },
		{ "{\"a\":{" ID, 0 },
		{ "{\"a\":{" ID "}", 0 },
		{ "{\"a\":{]," ID, 0 },
		{ "{\"a\":[}," ID, 0 },
		{ "{\"a\":[" ID "]}", 0 },
		{ "[" ID, 0 },
		{ "x{" ID, 0 },
		{ "{\"a\":\"" ID, 0 },
		{ "{\"correlation_id\":[\"" UUID_HEX "\"]", 0 },
		{ "{\"correlation_id\":\"" UUID_HEX "x\"", 0 },
		{ "{\"correlation_id\":7}", 0 },
		{ "{\"correlation_id\"", 0 },
		{ "{\"correlation_id\":", 0 },
		{ "{\"correlation_id\":\"", 0 },
		{ "{\"correlation_id\":\"zz\"", 0 },
		{ "", 0 },
	};
	unsigned char id[16], *b;
	size_t i, n;
	int r;

	for (i = 0; i < COUNT(cases); i++) {
		n = strlen(cases[i].text);
		b = check_exact(cases[i].text, n);
		r = ws_v1_id_find(id, b, n);
		CHECK(r == cases[i].found, "%s: %d", cases[i].text, r);
		CHECK(!r || memcmp(id, id_a, 16) == 0, "%s", cases[i].text);
		free(b);
	}
}

/* Heads, and how v1 says them. */
static const struct {
	const char *note;
	int is_request;
	const char *head, *body, *v1;
} v1_written[] = {
	{ "a request", 1, "POST /a%2Fb/c?x=1&x=2&f&&y=%20+%e2%82%ac%ff%4=&= "
	    "HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nCOOKIE: a=1\r\n"
	    "Accept-Encoding: gzip\r\nx-a: \"2\"\r\ncookie: b=2\r\nX-a:\r\n"
	    "accept-encoding: br\r\n\r\n", "hi",
	    "{" ID ",\"url_path\":\"a%2Fb/c\",\"url_query\":"
	    "\"[[\\\"x\\\",\\\"1\\\"],[\\\"x\\\",\\\"2\\\"],[\\\"f\\\","
	    "\\\"\\\"],[\\\"y\\\",\\\"  \xe2\x82\xac\xef\xbf\xbd%4=\\\"],"
	    "[\\\"\\\",\\\"\\\"]]\",\"method\":\"POST\",\"headers\":"
	    "\"{\\\"host\\\":\\\"h\\\",\\\"x-a\\\":\\\"1, \\\\\\\"2\\\\\\\", "
	    "\\\",\\\"cookie\\\":\\\"a=1; b=2\\\",\\\"accept-encoding\\\":"
	    "\\\"identity\\\"}\",\"body\":\"aGk=\"}" },
	{ "a bare request", 1, GET_HEAD("/"), "",
	    "{" ID ",\"url_path\":\"\",\"url_query\":\"[]\",\"method\":"
	    "\"GET\",\"headers\":\"{\\\"accept-encoding\\\":\\\"identity\\\","
	    "\\\"cookie\\\":\\\"\\\"}\",\"body\":\"\"}" },
	{ "two slashes and an empty query", 1, GET_HEAD("//x?"), "",
	    "{" ID ",\"url_path\":\"/x\",\"url_query\":\"[]\",\"method\":"
	    "\"GET\",\"headers\":\"{\\\"accept-encoding\\\":\\\"identity\\\","
	    "\\\"cookie\\\":\\\"\\\"}\",\"body\":\"\"}" },
	{ "an answer", 0, ANS_HEAD("404 Gone Missing",
	    "Content-Type: text/plain\r\nSet-Cookie: a=1\r\nVary: a\r\n"
	    "Set-Cookie: b=2\r\nvary: caf\xe9\r\nset-cookie: c=3\r\n"
	    "SET-COOKIE: d=4\r\n"), "x",
	    "{" ID ",\"headers\":\"{\\\"content-type\\\":"
	    "\\\"text/plain\\\",\\\"set-cookie\\\":\\\"a=1\\\","
	    "\\\"vary\\\":\\\"a, caf\xc3\xa9\\\",\\\"Set-cookie\\\":"
	    "\\\"b=2\\\",\\\"sEt-cookie\\\":\\\"c=3\\\","
	    "\\\"SEt-cookie\\\":\\\"d=4\\\"}\",\"body\":\"eA==\","
	    "\"status_code\":404}" },
	{ "a bare answer", 0, ANS_HEAD("204 No Content", ""), "",
	    "{" ID ",\"headers\":\"{}\",\"body\":\"\",\"status_code\":204}" },
};

/* Writes head with body as v1; *o says what was needed. */
static void
v1_put(struct json_out *o, int is_request, const char *body)
{
	unsigned char b64[64];
	size_t n = base64_encode(b64, body, strlen(body));

	if (is_request)
		ws_v1_request_put(o, id_a, &head);
	else
		ws_v1_response_put(o, id_a, &head);
	json_put_raw(o, b64, n);
	ws_v1_tail_put(o, is_request ? 0 : head.status);
}

/* Parses text into head, whose views point there. */
static int
v1_head_parse(int is_request, const char *text)
{
	struct view v = text_view(text);

	return is_request ? http_link_request_parse(&head, v.p, v.n) :
	    http_link_answer_parse(&head, v.p, v.n, text_view("GET"));
}

static void
test_v1_written(void)
{
	unsigned char out[1024], *small;
	struct json_out o = { out, sizeof out, 0, 0 };
	struct view got;
	size_t i, cap;

	for (i = 0; i < COUNT(v1_written); i++) {
		CHECK(v1_head_parse(v1_written[i].is_request,
		    v1_written[i].head) == 0, "%s", v1_written[i].note);
		o.p = out;
		o.cap = sizeof out;
		o.len = 0;
		v1_put(&o, v1_written[i].is_request, v1_written[i].body);
		got.p = out;
		got.n = o.len;
		CHECK(view_is(got, v1_written[i].v1) && o.nest == 0,
		    "%s:\n%.*s\n%s", v1_written[i].note, (int)got.n,
		    (const char *)out, v1_written[i].v1);
		for (cap = 0; cap < got.n; cap++) {
			small = check_exact(out, cap);
			o.p = small;
			o.cap = cap;
			o.len = 0;
			v1_put(&o, v1_written[i].is_request,
			    v1_written[i].body);
			CHECK(o.len == got.n, "%s: room for %zu",
			    v1_written[i].note, cap);
			free(small);
		}
	}
}

/* As many cookies as a head can hold: no name twice. */
static void
test_v1_cookies(void)
{
	static unsigned char out[65536];
	const struct http_field *seen = v1_msg.head.field;
	struct json_out o = { out, sizeof out, 0, 0 };
	size_t i, k, same = 0;
	int has_id;

	memset(&head, 0, sizeof head);
	head.status = 200;
	for (; head.nfields < HTTP_LINK_FIELDS; head.nfields++) {
		head.field[head.nfields].name = text_view("Set-Cookie");
		head.field[head.nfields].value = text_view("a=1");
	}
	v1_put(&o, 0, "");
	CHECK(v1_read(0, out, o.len, &has_id) == 0 &&
	    v1_msg.head.nfields == HTTP_LINK_FIELDS, "%zu cookies",
	    v1_msg.head.nfields);
	for (i = 0; i < v1_msg.head.nfields; i++) {
		same += !http_equal_nocase(seen[i].name, "set-cookie");
		for (k = 0; k < i; k++)
			same += memcmp(seen[i].name.p, seen[k].name.p, 10) == 0;
	}
	CHECK(same == 0, "%zu names twice", same);
}

/* ----------------------------------------------------------------- halves */

static void
test_half_credit(void)
{
	struct ws_half h = { WS_HALF_NONE, 0, 0 };

	CHECK(ws_half_pass(&h, 0, 0) == -1002, "not begun");
	CHECK(ws_half_init(&h, 10, -1) == 0, "begun");
	CHECK(ws_half_init(&h, 10, -1) == -1, "begun twice");
	CHECK(ws_half_pass(&h, 11, 0) == -1002 && h.credit == 10 &&
	    h.state == WS_HALF_OPEN, "past the credit");
	CHECK(ws_half_pass(&h, 10, 0) == 0 && h.credit == 0, "all of it");
	CHECK(ws_half_pass(&h, 1, 1) == -1002 && h.state == WS_HALF_OPEN,
	    "one more");
	CHECK(ws_half_pass(&h, SIZE_MAX, 0) == -1002, "very many");
	CHECK(ws_half_grant(&h, 5) == 0 && h.credit == 5, "granted");
	CHECK(ws_half_grant(&h, -1) == -1002 && h.credit == 5, "negative");
	CHECK(ws_half_grant(&h, (1LL << 40) - 5) == 0 &&
	    h.credit == 1LL << 40, "up to 2^40");
	CHECK(ws_half_grant(&h, 1) == -1002 && h.credit == 1LL << 40,
	    "past 2^40");
	CHECK(ws_half_grant(&h, 0x7fffffffffffffffLL) == -1002, "the most");
	CHECK(ws_half_pass(&h, 0, 0) == 0 && ws_half_pass(&h, 0, 1) == 0 &&
	    h.state == WS_HALF_ENDED, "an empty end");
	CHECK(ws_half_pass(&h, 0, 0) == -1002 &&
	    ws_half_pass(&h, 0, 1) == -1002 &&
	    h.state == WS_HALF_ENDED, "after the end");
}

static void
test_half_moves(void)
{
	enum ws_half_state from, to;

	for (from = WS_HALF_NONE; from <= WS_HALF_RESET; from++)
		for (to = WS_HALF_NONE; to <= WS_HALF_RESET; to++) {
			struct ws_half h = { WS_HALF_NONE, 0, 0 };
			int may = to > from && from < WS_HALF_ENDED, r;

			h.state = from;
			r = ws_half_move(&h, to);
			CHECK(r == (may ? 0 : -1) &&
			    h.state == (may ? to : from), "%d to %d", from, to);
		}
}

static void
test_half_length(void)
{
	static const struct {
		long long length;
		size_t first;
		int end_first;
		size_t second;	/* and the end, if the first was none */
		int want;
	} cases[] = {
		{ 5, 5, 1, 0, 0 }, { 5, 5, 0, 0, 0 }, { 5, 2, 0, 3, 0 },
		{ 0, 0, 1, 0, 0 }, { 5, 4, 1, 0, -1 }, { 5, 6, 0, 0, -1 },
		{ 5, 6, 1, 0, -1 }, { 5, 5, 0, 1, -1 }, { 5, 2, 0, 2, -1 },
		{ 0, 1, 0, 0, -1 }, { 5, 0, 1, 0, -1 }, { -1, 7, 0, 9, 0 },
	};
	size_t i;
	int r;

	for (i = 0; i < COUNT(cases); i++) {
		struct ws_half h = { WS_HALF_NONE, 0, 0 };

		ws_half_init(&h, 100, cases[i].length);
		r = ws_half_pass(&h, cases[i].first, cases[i].end_first);
		if (r == 0 && !cases[i].end_first)
			r = ws_half_pass(&h, cases[i].second, 1);
		CHECK(r == cases[i].want && h.state == (r == 0 ?
		    WS_HALF_ENDED : WS_HALF_OPEN), "case %zu: %d", i, r);
	}
}

/* --------------------------------------------------------------- Autobahn
 * An extra, where VECTORS has it; cases of ours that go all the way through
 * frames, links and loop are in scenarios_ws.py.  A small echo peer of the
 * pure pieces is fed as the cases say.  What it would have sent is noted as
 * words, and compared with what the case allows.
 */

struct peer {
	char events[300000];
	size_t nevents;
	unsigned char in[140000];	/* of one frame at least */
	size_t nin;
	unsigned char text[70000];	/* of the message under way */
	size_t ntext;
	struct ws_frame f;
	int in_frame;
	unsigned long long done;	/* of the frame's payload */
	unsigned char control[WS_CONTROL_MAX];
	struct ws_order order;
	int closed;			/* the code; 0: open */
};

static struct peer peer;

static void
peer_note(const char *what, const unsigned char *b, size_t n, int binary)
{
	char *at = peer.events + peer.nevents;
	size_t i, left = sizeof peer.events - peer.nevents;
	int k;

	if (left < 2 * n + 32)
		abort();
	k = snprintf(at, left, "%s %d ", what, binary);
	for (i = 0; i < n; i++) {
		at[k++] = "0123456789abcdef"[b[i] >> 4];
		at[k++] = "0123456789abcdef"[b[i] & 15];
	}
	at[k++] = ';';
	peer.nevents += (size_t)k;
}

static void
peer_control(size_t n)
{
	struct view reason;
	int r;

	if (peer.f.opcode == WS_PING)
		peer_note("pong", peer.control, n, 0);
	if (peer.f.opcode != WS_CLOSE)
		return;
	r = ws_close_parse(&peer.closed, &reason, peer.control, n);
	if (r != 0)
		peer.closed = -r;
}

static void
peer_data(const unsigned char *b, size_t n, int last)
{
	int r, binary = peer.order.opcode == WS_BINARY;

	if (peer.ntext + n > sizeof peer.text)
		abort();
	memcpy(peer.text + peer.ntext, b, n);
	peer.ntext += n;
	r = ws_order_data(&peer.order, b, n, last);
	if (r != 0)
		peer.closed = -r;
	else if (last) {
		peer_note("message", peer.text, peer.ntext, binary);
		peer.ntext = 0;
	}
}

/* Takes what is there of a payload, at most n octets at b; returns how many. */
static size_t
peer_payload(unsigned char *b, size_t n)
{
	unsigned long long left = peer.f.size - peer.done;
	int ends;

	if (n > left)
		n = (size_t)left;
	ws_mask(b, n, peer.f.mask, peer.done);
	ends = n == left;
	if (peer.f.opcode & 8)
		memcpy(peer.control + peer.done, b, n);
	else
		peer_data(b, n, ends && peer.f.fin);
	peer.done += n;
	if (ends && (peer.f.opcode & 8))
		peer_control((size_t)peer.f.size);
	peer.in_frame = !ends;
	return n;
}

/* Takes one step; returns the octets used, 0 when more are needed. */
static size_t
peer_step(unsigned char *b, size_t n)
{
	int r;

	if (peer.in_frame)
		return n == 0 ? 0 : peer_payload(b, n);
	r = ws_frame_parse(&peer.f, b, n, 1);
	if (r > 0 && ws_order_frame(&peer.order, &peer.f) != 0)
		r = -1002;
	if (r < 0)
		peer.closed = -r;
	if (r <= 0)
		return 0;
	peer.in_frame = 1;
	peer.done = 0;
	if (peer.f.size == 0)
		peer_payload(b, 0);
	return (size_t)r;
}

static void
peer_feed(const unsigned char *b, size_t n)
{
	size_t used = 0, k;

	if (peer.nin + n > sizeof peer.in)
		abort();
	memcpy(peer.in + peer.nin, b, n);
	peer.nin += n;
	do {
		k = peer.closed ? 0 :
		    peer_step(peer.in + used, peer.nin - used);
		used += k;
	} while (k > 0);
	memmove(peer.in, peer.in + used, peer.nin - used);
	peer.nin -= used;
}

static unsigned char *
unhex(const struct json *v, size_t *n)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char *b = malloc(v->raw.n);
	const unsigned char *p = v->raw.p + 1;
	const char *hi, *lo;
	size_t i;

	if (b == NULL)
		abort();
	*n = (v->raw.n - 2) / 2;
	for (i = 0; i < *n; i++) {
		hi = strchr(digits, p[2 * i]);
		lo = strchr(digits, p[2 * i + 1]);
		if (hi == NULL || lo == NULL)
			abort();
		b[i] = (unsigned char)((hi - digits) << 4 | (lo - digits));
	}
	return b;
}

/* Sends one step of a case, in pieces of chop (0: of its own size). */
static void
autobahn_send(const struct json *step, long long chop)
{
	struct json hex, v;
	unsigned char *b;
	size_t n, i, piece;

	CHECK(json_find(step, "hex", &hex) == 1 &&
	    json_find(step, "chop", &v) == 1, "a step");
	if (chop < 0)
		json_integer(&v, &chop);
	b = unhex(&hex, &n);
	piece = chop > 0 ? (size_t)chop : n;
	for (i = 0; i < n; i += piece)
		peer_feed(b + i, n - i < piece ? n - i : piece);
	free(b);
}

/* Notes the events that a case expects as the peer notes its own. */
static void
autobahn_expected(const struct json *list)
{
	struct json_iter it, parts;
	struct json event, what, hex, binary;
	unsigned char *b;
	size_t n;
	int is_binary;

	json_iter_init(&it, list);
	while (json_iter_next(&it, NULL, &event)) {
		json_iter_init(&parts, &event);
		json_iter_next(&parts, NULL, &what);
		json_iter_next(&parts, NULL, &hex);
		is_binary = json_iter_next(&parts, NULL, &binary) &&
		    binary.type == JSON_TRUE;
		b = unhex(&hex, &n);
		peer_note(json_equal(&what, "pong") ? "pong" : "message", b,
		    n, is_binary);
		free(b);
	}
}

/* Whether the peer closed with a code that the case names. */
static int
autobahn_close_ok(const struct json *v)
{
	struct json close, codes, code;
	struct json_iter it;
	long long n;

	if (json_find(v, "close", &close) != 1 ||
	    json_find(&close, "closeCode", &codes) != 1)
		return 0;
	json_iter_init(&it, &codes);
	while (json_iter_next(&it, NULL, &code))
		if (json_integer(&code, &n) == 0 && n == peer.closed)
			return 1;
	return 0;
}

/* chop -1: as the case says.  Only the verdict OK will do. */
static void
autobahn_run(const struct json *v, long long chop)
{
	struct json id, steps, step, expected, ok;
	struct json_iter it;
	size_t got;

	CHECK(json_find(v, "id", &id) == 1 &&
	    json_find(v, "steps", &steps) == 1 &&
	    json_find(v, "expected", &expected) == 1 &&
	    json_find(&expected, "OK", &ok) == 1, "a case");
	memset(&peer, 0, sizeof peer);
	json_iter_init(&it, &steps);
	while (json_iter_next(&it, NULL, &step))
		autobahn_send(&step, chop);
	got = peer.nevents;
	autobahn_expected(&ok);
	CHECK(peer.nevents == 2 * got &&
	    memcmp(peer.events, peer.events + got, got) == 0,
	    "case %.*s, chop %lld: events", (int)id.raw.n,
	    (const char *)id.raw.p, chop);
	CHECK(autobahn_close_ok(v), "case %.*s, chop %lld: close %d",
	    (int)id.raw.n, (const char *)id.raw.p, chop, peer.closed);
}

/* The end of the JSON object that starts at p: the whole file has more values
 * than json_parse takes. */
static const char *
object_end(const char *p)
{
	int depth = 0, in_string = 0;

	for (; *p != '\0'; p++) {
		if (in_string && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			in_string = !in_string;
		else if (!in_string && *p == '{')
			depth++;
		else if (!in_string && *p == '}' && --depth == 0)
			return p + 1;
	}
	return NULL;
}

static void
test_autobahn(void)
{
	static const long long chops[] = { -1, 0, 1, 2, 3, 7 };
	const char *vectors = check_vectors(), *p, *end;
	char path[4096], *file;
	struct json v;
	size_t n, i, cases = 0;

	if (vectors == NULL)
		return;
	snprintf(path, sizeof path, "%s/autobahn-1-5.json", vectors);
	file = check_file(path, &n);
	CHECK(file != NULL, "%s", path);
	if (file == NULL)
		return;
	for (p = strchr(file + 1, '{'); p != NULL; p = strchr(end, '{')) {
		end = object_end(p);
		if (end == NULL)
			break;
		cases++;
		CHECK(json_parse(&v, (const unsigned char *)p,
		    (size_t)(end - p)) == 0, "case %zu is JSON", cases);
		for (i = 0; i < COUNT(chops); i++)
			autobahn_run(&v, chops[i]);
	}
	CHECK(cases == 64, "%zu cases", cases);
	free(file);
}

void
test_ws(void)
{
	test_frames_good();
	test_frames_bad();
	test_frames_opcodes();
	test_frames_put();
	test_mask_example();
	test_mask();
	test_utf8_exhaustive();
	test_utf8_four();
	test_utf8_cases();
	test_order();
	test_order_sequences();
	test_order_utf8();
	test_close_codes();
	test_close_parse();
	test_close_put();
	test_uuid();
	test_offers();
	test_accept();
	test_dial();
	test_locked();
	test_answers();
	test_public();
	test_v2_good();
	test_v2_limits();
	test_v2_reset_status();
	test_v2_notes();
	test_v2_unknown();
	test_v1_read();
	test_v1_repeated();
	test_v1_field_limit();
	test_v1_space();
	test_v1_trailing();
	test_v1_id_find();
	test_v1_written();
	test_v1_cookies();
	test_half_credit();
	test_half_moves();
	test_half_length();
	test_autobahn();
}
