/*
 * Fuzz targets of ws.c: frames and UTF-8, v1 both ways, v2.  Each checks what
 * must hold for any input, and aborts where it does not.
 */
#include <stdlib.h>
#include <string.h>

#include "../pipegate.h"

#define FUZZ_IN_MAX 65536	/* longer inputs are left alone */
#define FUZZ_OUT_MAX (16 * FUZZ_IN_MAX)	/* for whatever is written of one */
#define FUZZ_TARGET_MAX 4096	/* space for a target */

int fuzz_frame(const unsigned char *p, size_t n);
int fuzz_v1_request(const unsigned char *p, size_t n);
int fuzz_v1_response(const unsigned char *p, size_t n);
int fuzz_v2(const unsigned char *p, size_t n);

static struct ws_v1 first, second, third;	/* large: off the stack */

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* A block of exactly n octets, so that a sanitizer sees reads past it. */
static unsigned char *
copy_of(const unsigned char *p, size_t n)
{
	unsigned char *b = calloc(n > 0 ? n : 1, 1);

	if (b == NULL)
		abort();
	if (n > 0)
		memcpy(b, p, n);
	return b;
}

static int
same_view(struct view a, struct view b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ----------------------------------------------------------------- frames */

/* A frame that was read is written the same, and cut short is not whole. */
static void
frame_head(const unsigned char *p, size_t n, int must_mask)
{
	unsigned char out[WS_FRAME_HEAD_MAX], *b;
	struct ws_frame f, again;
	int r = ws_frame_parse(&f, p, n, must_mask), cut;
	size_t k, size;

	must(r == 0 || r == -1002 || (r >= 2 && (size_t)r <= n));
	for (k = 0; k < n && k < WS_FRAME_HEAD_MAX; k++) {
		b = copy_of(p, k);
		cut = ws_frame_parse(&again, b, k, must_mask);
		free(b);
		must(cut == 0 || cut == r);
		must(cut <= 0 || k >= (size_t)cut);
	}
	if (r <= 0 || f.size > (size_t)-1)
		return;
	size = ws_frame_put(out, f.opcode, f.fin, (size_t)f.size,
	    f.masked ? f.mask : NULL);
	must(size == (size_t)r && memcmp(out, p, size) == 0);
	must(size == ws_frame_head_size((size_t)f.size, f.masked));
}

/* Whole, octet by octet, and cut in the middle. */
static void
frame_utf8(const unsigned char *p, size_t n)
{
	int whole = ws_utf8(0, p, n), state = 0;
	size_t i;

	for (i = 0; i < n && state != -1; i++)
		state = ws_utf8(state, p + i, 1);
	must(state == whole);
	state = ws_utf8(0, p, n / 2);
	if (state != -1)
		state = ws_utf8(state, p + n / 2, n - n / 2);
	must(state == whole);
}

static void
frame_mask(const unsigned char *p, size_t n)
{
	unsigned char mask[4] = { 1, 2, 3, 4 }, *b = copy_of(p, n);
	size_t cut = n / 3;

	if (n >= 4)
		memcpy(mask, p, 4);
	ws_mask(b, n, mask, 1);
	ws_mask(b, cut, mask, 1);
	ws_mask(b + cut, n - cut, mask, 1 + cut);
	must(n == 0 || memcmp(b, p, n) == 0);
	free(b);
}

static void
frame_close(const unsigned char *p, size_t n)
{
	unsigned char out[WS_CONTROL_MAX];
	char text[WS_CONTROL_MAX];
	struct view reason;
	int code, r;

	if (n > WS_CONTROL_MAX)
		return;
	r = ws_close_parse(&code, &reason, p, n);
	must(r == 0 || r == -1002 || r == -1007);
	if (r != 0 || n < 2 || memchr(reason.p, 0, reason.n) != NULL)
		return;
	memcpy(text, reason.p, reason.n);
	text[reason.n] = '\0';
	must(ws_close_put(out, code, text) == n && memcmp(out, p, n) == 0);
}

int
fuzz_frame(const unsigned char *p, size_t n)
{
	unsigned char *b;

	if (n > FUZZ_IN_MAX)
		return 0;
	b = copy_of(p, n);
	frame_head(b, n, 0);
	frame_head(b, n, 1);
	frame_utf8(b, n);
	frame_mask(b, n);
	frame_close(b, n);
	free(b);
	return 0;
}

/* --------------------------------------------------------------------- v2 */

static int
v2_is_known(const struct ws_msg *m)
{
	return m->type >= WS_REQUEST && m->type <= WS_NOTE;
}

/* Of a type that is not known nothing is told but the prefix. */
static void
v2_must_be_bare(const struct ws_msg *m)
{
	must(m->head.p == NULL && m->head.n == 0);
	must(m->body.p == NULL && m->body.n == 0);
	must(m->took == 0 && m->window == 0 && m->status == 0);
}

/* A status that may not be sent has become another. */
static void
v2_correct(unsigned char *p)
{
	int status = p[6] << 8 | p[7];

	if (status >= 400 && status <= 599)
		return;
	p[6] = 502 >> 8;
	p[7] = 502 & 255;
}

/* What was read from p[0..n) lies there whole, and is written as it came. */
static void
v2_must_be_written(const struct ws_msg *m, const unsigned char *p, size_t n)
{
	size_t prefix = n - m->head.n - m->body.n;
	unsigned char *want = copy_of(p, prefix), *out;

	must(m->head.n == 0 || m->head.p == p + prefix);
	must(m->body.n == 0 || m->body.p == p + prefix + m->head.n);
	if (m->type == WS_RESET)
		v2_correct(want);
	out = calloc(prefix, 1);
	if (out == NULL)
		abort();
	must(ws_msg_put(out, m) == prefix);
	must(memcmp(out, want, prefix) == 0);
	free(want);
	free(out);
}

static int
v2_read(const unsigned char *p, size_t n)
{
	unsigned char *b = copy_of(p, n);
	struct ws_msg m;
	int r = ws_msg_read(&m, b, n);

	must(r == 0 || r == -1002 || r == -1009);
	must(n >= WS_PREFIX || r == -1002);
	if (r == 0 && v2_is_known(&m))
		v2_must_be_written(&m, b, n);
	else if (r == 0)
		v2_must_be_bare(&m);
	must(r == 0 || v2_is_known(&m) || n < WS_PREFIX);
	free(b);
	return r;
}

/* Cut, a message passes no limit that it did not pass whole, and lacks whatever
 * it lacked. */
int
fuzz_v2(const unsigned char *p, size_t n)
{
	int whole, cut;

	if (n > FUZZ_IN_MAX)
		return 0;
	whole = v2_read(p, n);
	cut = v2_read(p, n / 2);
	must(whole == -1009 || cut != -1009);
	must(whole != -1002 || cut == -1002 || p[0] == WS_NOTE);
	return 0;
}

/* --------------------------------------------------------------------- v1
 * Writing puts names in lower case, joins fields and adds some.  So what was
 * written once is what must then come back the same.
 */

static void
must_be_same(const struct ws_v1 *a, const struct ws_v1 *b)
{
	const struct http_head *h = &a->head, *k = &b->head;
	size_t i;

	must(memcmp(a->id, b->id, 16) == 0);
	must(same_view(h->method, k->method));
	must(same_view(h->path, k->path));
	must(h->status == k->status);
	must(same_view(a->body, b->body));
	must(h->nfields == k->nfields);
	for (i = 0; i < h->nfields; i++) {
		must(same_view(h->field[i].name, k->field[i].name));
		must(same_view(h->field[i].value, k->field[i].value));
	}
}

static int
v1_is_request(const struct ws_v1 *m)
{
	return m->head.status == 0;
}

static size_t
v1_put(struct json_out *o, const struct ws_v1 *m)
{
	unsigned char *b64 = malloc(BASE64_SIZE(m->body.n) + 1);
	size_t n;

	if (b64 == NULL)
		abort();
	n = base64_encode(b64, m->body.p, m->body.n);
	if (v1_is_request(m))
		ws_v1_request_put(o, m->id, &m->head);
	else
		ws_v1_response_put(o, m->id, &m->head);
	json_put_raw(o, b64, n);
	ws_v1_tail_put(o, m->head.status);
	free(b64);
	return o->len;
}

static unsigned char *
v1_written(const struct ws_v1 *m, size_t *n)
{
	struct json_out o = { NULL, 0, 0, 0 };

	*n = v1_put(&o, m);
	must(*n <= FUZZ_OUT_MAX);
	o.p = malloc(*n);
	if (o.p == NULL)
		abort();
	o.cap = *n;
	o.len = 0;
	must(v1_put(&o, m) == *n);
	return o.p;
}

/* Reads p[0..n), written as v1, back into m. */
static void
v1_reread(struct ws_v1 *m, int is_request, unsigned char *p, size_t n,
    unsigned char *space)
{
	unsigned char id[16];
	int has_id, r;

	must(ws_v1_id_find(id, p, n) == 1);
	r = is_request ?
	    ws_v1_request_read(m, p, n, &has_id, space, FUZZ_TARGET_MAX) :
	    ws_v1_response_read(m, p, n, &has_id);
	must(r == 0 && has_id == 1 && memcmp(m->id, id, 16) == 0);
	must(v1_is_request(m) == is_request);
}

static void
v1_must_stand(int is_request)
{
	static unsigned char space[2][FUZZ_TARGET_MAX];
	unsigned char *once, *twice;
	size_t n;

	if (first.head.nfields + 2 > HTTP_LINK_FIELDS)
		return;		/* those added would pass the limit */
	once = v1_written(&first, &n);
	v1_reread(&second, is_request, once, n, space[0]);
	twice = v1_written(&second, &n);
	v1_reread(&third, is_request, twice, n, space[1]);
	must_be_same(&second, &third);
	must(same_view(first.body, second.body));
	must(same_view(first.head.path, second.head.path));
	must(same_view(first.head.method, second.head.method));
	must(first.head.status == second.head.status);
	free(once);
	free(twice);
}

int
fuzz_v1_request(const unsigned char *p, size_t n)
{
	unsigned char id[16], *b, *space;
	int r, has_id, found;

	if (n > FUZZ_IN_MAX)
		return 0;
	b = copy_of(p, n);
	space = malloc(FUZZ_TARGET_MAX);
	if (space == NULL)
		abort();
	found = ws_v1_id_find(id, b, n);
	r = ws_v1_request_read(&first, b, n, &has_id, space, FUZZ_TARGET_MAX);
	must(r == 0 || r == -1);
	must(has_id == found && (!found || memcmp(first.id, id, 16) == 0));
	must(r == -1 || (has_id && first.head.path.p == space));
	if (r == 0)
		v1_must_stand(1);
	free(space);
	free(b);
	return 0;
}

int
fuzz_v1_response(const unsigned char *p, size_t n)
{
	unsigned char id[16], *b;
	int r, has_id, found;

	if (n > FUZZ_IN_MAX)
		return 0;
	b = copy_of(p, n);
	found = ws_v1_id_find(id, b, n);
	r = ws_v1_response_read(&first, b, n, &has_id);
	must(r == 0 || r == -1);
	must(has_id == found && (!found || memcmp(first.id, id, 16) == 0));
	must(r == -1 || (has_id && first.head.status >= 200 &&
	    first.head.status < 600));
	if (r == 0)
		v1_must_stand(0);
	free(b);
	return 0;
}
