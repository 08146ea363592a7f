/*
 * Fuzzing the lock.  Properties: it opens for a head just where what stands behind
 * Basic, in the only Authorization, decodes to the password; and of a head that passes
 * all fields but that one go on, in their order, as a head that can be read again.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/settings.h"
#include "gate/lock.h"

#define SECRET "me:secret"

int fuzz_lock(const unsigned char *p, size_t n);

static int
is_key(const struct http_field *f)
{
	return http_equal_nocase(f->name, "authorization");
}

/* Whether f has the password, as RFC 7617 2 is read from the other end. */
static int
fits(const struct http_field *f)
{
	unsigned char plain[HTTP_LINK_HEAD_MAX];
	struct view rest = f->value, scheme = view_until(&rest, " ");
	long n;

	if (!http_equal_nocase(scheme, "basic"))
		return 0;
	while (rest.n > 0 && rest.p[0] == ' ')
		view_skip(&rest, 1);
	n = base64_decode(plain, rest.p, rest.n);
	return n == (long)strlen(SECRET) && memcmp(plain, SECRET, (size_t)n) == 0;
}

static int
opens(const struct http_head *h)
{
	size_t i, keys = 0, fit = 0;

	for (i = 0; i < h->nfields; i++) {
		keys += is_key(&h->field[i]) != 0;
		fit += is_key(&h->field[i]) && fits(&h->field[i]);
	}
	return keys == 1 && fit == 1;
}

/* What passes of h reads again as h without its keys. */
static void
passes_again(const struct http_head *h)
{
	static unsigned char text[3 * HTTP_LINK_HEAD_MAX];
	static struct http_head again;
	struct http_out o = { text, sizeof(text), 0 };
	const struct http_head *seen = lock_passes(h);
	size_t i, n = 0;

	http_put(&o, "GET / HTTP/1.1\r\n");
	http_put_view(&o, seen->lines);
	http_put(&o, "\r\n");
	must(http_link_request_parse(&again, text, o.len) == 0);
	for (i = 0; i < h->nfields; i++) {
		if (is_key(&h->field[i]))
			continue;
		must(n < again.nfields);
		must(http_same_nocase(again.field[n].name, h->field[i].name));
		must(http_same_nocase(again.field[n].value, h->field[i].value));
		n++;
	}
	must(n == again.nfields && n == seen->nfields);
}

int
fuzz_lock(const unsigned char *p, size_t n)
{
	static struct http_head h;
	struct http_error e = { .status = 0 };

	settings_said.auth = SECRET;
	lock_make("id");
	if (http_link_request_parse(&h, p, n) == -1)
		return 0;
	must(lock_refuses(&e, &h) == !opens(&h));
	if (e.status == 0 && http_equal(h.method, "GET") && !h.upgrade)
		passes_again(&h);
	return 0;
}
