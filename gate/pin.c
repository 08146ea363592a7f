#include <string.h>

#include "gate/say.h"
#include "gate/cookie.h"
#include "gate/reply.h"
#include "gate/pin.h"

static const char pin_name[] = "pipegate-pin", whole_host[] = "__Host-";

/* Takes text off the front of v.  Returns whether v began with it. */
static int
view_take(struct view *v, const char *text)
{
	size_t n = strlen(text);

	if (v->n < n || memcmp(v->p, text, n) != 0)
		return 0;
	view_skip(v, n);
	return 1;
}

static int
name_is_ours(struct view name)
{
	view_take(&name, whole_host);
	return view_take(&name, pin_name) && (name.n == 0 || name.p[0] == '~');
}

static int
pair_is_ours(struct view pair)
{
	struct view value;

	return name_is_ours(cookie_split(pair, &value));
}

/* --- requests */

/* The first field of h called name, of f and those behind it; or NULL. */
static const struct http_field *
field_next(const struct http_head *h, const struct http_field *f,
    const char *name)
{
	return http_field_find(f, (size_t)(h->field + h->nfields - f), name);
}

/* Whether w came by https: as a service is told. */
static int
caller_is_secure(const struct caller *w, const struct http_head *h)
{
	const struct http_field *f = w->trusted ? h->field : NULL, *last = NULL;

	while (f != NULL && (f = field_next(h, f, "x-forwarded-proto")) != NULL)
		last = f++;		/* the peer's own */
	if (last != NULL && http_equal_nocase(last->value, "https"))
		return 1;
	return w->https && !(last != NULL &&
	    http_equal_nocase(last->value, "http"));
}

/* The value of the first cookie of h called so.  Returns 1, or 0. */
static int
cookie_find(struct view *value, const struct http_head *h, const char *name)
{
	const struct http_field *f = h->field;
	struct view rest;

	while ((f = field_next(h, f, "cookie")) != NULL) {
		rest = f++->value;
		while (rest.n > 0)
			if (http_equal(cookie_split(cookie_next(&rest), value),
			    name))
				return 1;
	}
	return 0;
}

static int
pin_find_as(struct view *id, const struct http_head *h, int secure)
{
	return cookie_find(id, h, secure ? "__Host-pipegate-pin" : pin_name);
}

int
pin_find(struct view *id, const struct caller *w, const struct http_head *h)
{
	return pin_find_as(id, h, caller_is_secure(w, h));
}

/* Whether the answer to h may become what a person looks at: not an image that turns
 * out to be a page (Fetch Metadata, Sec-Fetch-Dest). */
static int
request_is_for_page(const struct http_head *h)
{
	struct view to = http_field_value(h, "sec-fetch-dest");

	return to.n == 0 || http_equal(to, "document") ||
	    http_equal(to, "iframe") || http_equal(to, "frame");
}

void
pin_note_none(struct caller *w)
{
	w->pin = PIN_NONE;
	w->copies = 0;
}

void
pin_note(struct caller *w, const struct http_head *h, struct view id)
{
	struct view agent = http_field_value(h, "user-agent"), pin;
	int secure = caller_is_secure(w, h);

	pin_note_none(w);
	w->copies = view_take(&agent, "Mozilla/") != 0;	/* as all browsers say */
	if (request_is_for_page(h) &&
	    !(pin_find_as(&pin, h, secure) && view_same(pin, id)))
		w->pin = secure ? PIN_SECURE : PIN_PLAIN;
}

/* Takes apart the copy of a cookie of the service of id.  Returns whether it is
 * one. */
static int
copy_take(struct view pair, const char *id, struct view *name,
    struct view *value)
{
	*name = cookie_split(pair, value);
	return view_take(name, pin_name) && view_take(name, "~") &&
	    name->n > 0 && !name_is_ours(*name) && view_take(value, id) &&
	    view_take(value, ":");
}

static void
put_copied(struct http_out *o, struct view cookies, const char *id)
{
	struct view name, value;

	while (cookies.n > 0) {
		if (!copy_take(cookie_next(&cookies), id, &name, &value))
			continue;
		if (o->len > 0)
			http_put(o, "; ");
		http_put_view(o, name);
		http_put(o, "=");
		http_put_view(o, value);
	}
}

static void
put_others(struct http_out *o, struct view cookies)
{
	struct view pair;

	while (cookies.n > 0) {
		pair = cookie_next(&cookies);
		if (pair_is_ours(pair))
			continue;
		if (o->len > 0)
			http_put(o, ";");
		http_put_view(o, o->len > 0 ? pair : http_trim(pair));
	}
}

static int
cookies_have_ours(struct view cookies)
{
	while (cookies.n > 0)
		if (pair_is_ours(cookie_next(&cookies)))
			return 1;
	return 0;
}

/* Writes cookies without ours, which is no longer. */
static struct view
cookies_stripped(struct view cookies, const char *in_place, unsigned char *space)
{
	struct http_out o = { space, HTTP_HEAD_MAX, 0 };

	if (in_place != NULL)
		put_copied(&o, cookies, in_place);
	put_others(&o, cookies);
	return http_out_view(&o);
}

void
pin_strip(struct http_head *h, const char *in_place)
{
	static unsigned char space[HTTP_HEAD_MAX];
	size_t i, n = 0, used = 0;

	if (field_next(h, h->field, "cookie") == NULL)
		return;
	for (i = 0; i < h->nfields; i++) {
		struct http_field *f = &h->field[i];

		if (http_equal_nocase(f->name, "cookie") &&
		    cookies_have_ours(f->value)) {
			f->value = cookies_stripped(f->value, in_place,
			    space + used);
			used += f->value.n;
			if (f->value.n == 0)
				continue;
		}
		h->field[n++] = *f;
	}
	h->nfields = n;
}

/* --- answers */

void
pin_guard(struct http_head *h)
{
	size_t i, n = 0;

	if (field_next(h, h->field, "set-cookie") == NULL)
		return;
	for (i = 0; i < h->nfields; i++) {
		struct view rest = h->field[i].value;

		if (!http_equal_nocase(h->field[i].name, "set-cookie") ||
		    !pair_is_ours(cookie_next(&rest)))
			h->field[n++] = h->field[i];
	}
	if (n < h->nfields)
		h->lines.n = 0;		/* they are not as they came any more */
	h->nfields = n;
}

static int
answer_is_page(const struct http_head *h)
{
	static const char html[] = "text/html";
	struct view type = http_field_value(h, "content-type"), begin = type;

	begin.n = min_size(type.n, sizeof(html) - 1);
	return http_equal_nocase(begin, html) && (type.n == begin.n ||
	    strchr("; \t", type.p[begin.n]) != NULL);
}

/* Whether a Set-Cookie is for all paths of the tunnel id, and for no more. */
static int
cookie_is_whole(struct view rest, const char *id)
{
	struct view pair = cookie_next(&rest), value, path = { NULL, 0 };

	while (rest.n > 0)
		if (http_equal_nocase(cookie_split(cookie_next(&rest), &value),
		    "path"))
			path = value;
	return memchr(pair.p, '=', pair.n) != NULL && view_take(&path, "/") &&
	    view_take(&path, id) && http_equal(path, "/");
}

static void
put_copy(struct http_out *o, struct view rest, const char *id)
{
	struct view value, name = cookie_split(cookie_next(&rest), &value);

	http_put(o, "Set-Cookie: pipegate-pin~");
	http_put_view(o, name);
	http_put(o, "=");
	http_put(o, id);
	http_put(o, ":");
	http_put_view(o, value);
	while (rest.n > 0) {
		struct view attribute = cookie_next(&rest);

		name = cookie_split(attribute, &value);
		if (http_equal_nocase(name, "path") ||
		    http_equal_nocase(name, "domain") ||
		    http_equal_nocase(name, "httponly"))
			continue;
		http_put(o, ";");
		http_put_view(o, attribute);
	}
	http_put(o, "; Path=/; HttpOnly\r\n");
}

static void
put_copies(struct http_out *o, const struct http_head *h, const char *id)
{
	const struct http_field *f = h->field;
	size_t from;

	for (; (f = field_next(h, f, "set-cookie")) != NULL; f++) {
		from = o->len;
		if (cookie_is_whole(f->value, id))
			put_copy(o, f->value, id);
		if (o->len > o->cap)
			o->len = from;
	}
}

static void
put_pin(struct http_out *o, int secure, const char *id)
{
	http_put(o, "Set-Cookie: ");
	http_put(o, secure ? whole_host : "");
	http_put(o, pin_name);
	http_put(o, "=");
	http_put(o, id);
	http_put(o, "; Path=/; HttpOnly; SameSite=Lax");
	http_put(o, secure ? "; Secure\r\n" : "\r\n");
}

void
pin_put(struct http_out *o, const struct caller *w, const struct http_head *h,
    const char *id)
{
	if (w->pin != PIN_NONE && answer_is_page(h))
		put_pin(o, w->pin == PIN_SECURE, id);
	if (w->copies)
		put_copies(o, h, id);
}
