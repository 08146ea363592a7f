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

static struct ws_msg first, second, third;	/* large: off the stack */

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

static void
must_be_same(const struct ws_msg *a, const struct ws_msg *b)
{
	size_t i;

	must(a->type == b->type && memcmp(a->id, b->id, 16) == 0);
	must(same_view(a->method, b->method));
	must(same_view(a->target, b->target));
	must(same_view(a->reason, b->reason));
	must(same_view(a->body, b->body));
	must(a->status == b->status && a->end == b->end);
	must(a->bytes == b->bytes && a->nfields == b->nfields);
	for (i = 0; i < a->nfields; i++) {
		must(same_view(a->field[i].name, b->field[i].name));
		must(same_view(a->field[i].value, b->field[i].value));
	}
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

/* Writes m; returns a block of *n octets, which it needed exactly. */
static unsigned char *
v2_written(const struct ws_msg *m, size_t *n)
{
	struct json_out o = { NULL, 0, 0, 0 };

	ws_v2_put(&o, m);
	*n = o.len;
	must(*n <= FUZZ_OUT_MAX);
	o.p = malloc(*n);
	if (o.p == NULL)
		abort();
	o.cap = *n;
	o.len = 0;
	ws_v2_put(&o, m);
	must(o.len == *n);
	return o.p;
}

int
fuzz_v2(const unsigned char *p, size_t n)
{
	unsigned char *b, *out;
	size_t size;
	int r;

	if (n > FUZZ_IN_MAX)
		return 0;
	b = copy_of(p, n);
	r = ws_v2_read(&first, b, n);
	must(r == 0 || r == -1002);
	if (r == 0 && first.type != WS_MSG_UNKNOWN) {
		out = v2_written(&first, &size);
		must(ws_v2_read(&second, out, size) == 0);
		must_be_same(&first, &second);
		free(out);
	}
	free(b);
	return 0;
}

/* --------------------------------------------------------------------- v1
 * Writing puts names in lower case, joins fields and adds some.  So what was
 * written once is what must then come back the same.
 */

static size_t
v1_put(struct json_out *o, const struct ws_msg *m)
{
	unsigned char *b64 = malloc(BASE64_SIZE(m->body.n) + 1);
	size_t n;

	if (b64 == NULL)
		abort();
	n = base64_encode(b64, m->body.p, m->body.n);
	if (m->type == WS_MSG_REQUEST)
		ws_v1_request_put(o, m);
	else
		ws_v1_response_put(o, m);
	json_put_raw(o, b64, n);
	ws_v1_tail_put(o, m);
	free(b64);
	return o->len;
}

static unsigned char *
v1_written(const struct ws_msg *m, size_t *n)
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
v1_reread(struct ws_msg *m, enum ws_type type, unsigned char *p, size_t n,
    unsigned char *space)
{
	unsigned char id[16];
	int has_id, r;

	must(ws_v1_id_find(id, p, n) == 1);
	r = type == WS_MSG_REQUEST ?
	    ws_v1_request_read(m, p, n, &has_id, space, FUZZ_TARGET_MAX) :
	    ws_v1_response_read(m, p, n, &has_id);
	must(r == 0 && has_id == 1 && memcmp(m->id, id, 16) == 0);
}

static void
v1_must_stand(void)
{
	static unsigned char space[2][FUZZ_TARGET_MAX];
	unsigned char *once, *twice;
	size_t n;

	if (first.nfields + 2 > HTTP_OUT_FIELDS)
		return;		/* those added would pass the limit */
	once = v1_written(&first, &n);
	v1_reread(&second, first.type, once, n, space[0]);
	twice = v1_written(&second, &n);
	v1_reread(&third, first.type, twice, n, space[1]);
	must_be_same(&second, &third);
	must(same_view(first.body, second.body));
	must(same_view(first.target, second.target));
	must(same_view(first.method, second.method));
	must(first.status == second.status);
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
	must(r == -1 || (has_id && first.target.p == space));
	if (r == 0)
		v1_must_stand();
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
	must(r == -1 || (has_id && first.status >= 200 && first.status < 600));
	if (r == 0)
		v1_must_stand();
	free(b);
	return 0;
}
