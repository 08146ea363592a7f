#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/addr.h"
#include "gate/settings.h"
#include "gate/lock.h"

#define AUTH_MAX 255		/* octets of USER:PASSWORD */

static struct {
	const char *realm;
	unsigned char key[BASE64_SIZE(AUTH_MAX)];	/* what callers send behind Basic */
	size_t nkey;				/* 0: no password is asked for */
	char digest[WS_LOCKED_MAX + 1];
} lock;

static int
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return 1;
	return 0;
}

const char *
lock_auth_fault(const char *text)
{
	const char *colon = strchr(text, ':');
	size_t n = strlen(text);

	if (colon == NULL)
		return "it must be USER:PASSWORD, with a colon between them";
	if (colon[1] == '\0')
		return "the password is empty";
	if (n > AUTH_MAX)
		return "it is longer than 255 bytes";
	if (has_control(text))
		return "it has a control character, which no caller can send";
	if (ws_utf8(0, (const unsigned char *)text, n) != 0)
		return "it is not UTF-8, which is what callers send";
	return NULL;
}

static int
text_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Appends the networks of --allow to out, which is whatever their order was. */
static void
allow_put(struct http_out *o)
{
	char text[ALLOW_MAX][CIDR_TEXT];
	size_t i, n = (size_t)opt->nallow;

	for (i = 0; i < n; i++)
		cidr_text(&opt->allow[i], text[i]);
	qsort(text, n, sizeof(text[0]), text_compare);
	for (i = 0; i < n; i++) {
		http_put(o, " ");
		http_put(o, text[i]);
	}
}

/* 16 bits tell apart two locks that differ by mistake.  Of a password they say so
 * little that a guess can be proved at the door alone. */
static void
digest_make(void)
{
	unsigned char text[sizeof(lock.key) +
	    sizeof(char[ALLOW_MAX][CIDR_TEXT]) + 32];
	unsigned char mac[SHA256_SIZE];
	struct http_out o = { text, sizeof(text), 0 };
	struct view key = { lock.key, lock.nkey };

	http_put(&o, "auth ");
	http_put_view(&o, key);
	http_put(&o, "\nallow");
	allow_put(&o);
	must(o.len <= o.cap);
	hmac_sign(mac, lock.realm, strlen(lock.realm), text, o.len);
	snprintf(lock.digest, sizeof(lock.digest), "%02x%02x", mac[0], mac[1]);
	hmac_wipe(text, sizeof(text));
}

void
lock_make(const char *id)
{
	lock.realm = id;
	if (opt->auth != NULL)
		lock.nkey = base64_encode(lock.key, opt->auth,
		    strlen(opt->auth));
	if (opt->auth != NULL || opt->nallow > 0)
		digest_make();
}

const char *
lock_digest(void)
{
	return lock.digest;
}

/* The value of the only field of h with that name; an empty view: it is missing, or
 * there are several. */
static struct view
value_only(const struct http_head *h, const char *name)
{
	struct view value = view_of("");
	size_t i, n = 0;

	for (i = 0; i < h->nfields; i++)
		if (http_equal_nocase(h->field[i].name, name)) {
			value = h->field[i].value;
			n++;
		}
	return n == 1 ? value : view_of("");
}

/* Base64 has one form alone for what it stands for: nothing that a stranger sends need
 * be decoded. */
static int
lock_has_key(const struct http_head *h)
{
	struct view rest = value_only(h, "authorization");

	if (!http_equal_nocase(view_until(&rest, " "), "Basic"))
		return 0;
	while (rest.n > 0 && rest.p[0] == ' ')
		view_skip(&rest, 1);
	return rest.n == lock.nkey && hmac_equal(rest.p, lock.key, rest.n);
}

/* Who has no address is none of those. */
static int
lock_knows_address(const struct http_head *h)
{
	struct view from = value_only(h, "x-real-ip");
	struct addr a;
	int i;

	if (from.n == 0 || addr_read(&a, (const char *)from.p, from.n) == -1)
		return 0;
	for (i = 0; i < opt->nallow; i++)
		if (cidr_has(&opt->allow[i], &a))
			return 1;
	return 0;
}

int
lock_refuses(struct http_error *e, const struct http_head *h)
{
	if (opt->nallow > 0 && !lock_knows_address(h)) {
		e->status = 403;
		e->detail = "this tunnel is open to certain addresses alone, "
		    "and yours is none of them";
		return 1;
	}
	if (lock.nkey > 0 && !lock_has_key(h)) {
		e->status = 401;
		e->detail = "this tunnel wants a user name and a password";
		e->realm = lock.realm;
		return 1;
	}
	return 0;
}

const struct http_head *
lock_passes(const struct http_head *h)
{
	static unsigned char space[HTTP_LINK_HEAD_MAX + 2 * HTTP_LINK_FIELDS];
	static struct http_head open;
	struct http_out o = { space, sizeof(space), 0 };
	size_t i;

	if (lock.nkey == 0)
		return h;
	memcpy(&open, h, offsetof(struct http_head, field));
	open.nfields = 0;
	for (i = 0; i < h->nfields; i++) {
		if (http_equal_nocase(h->field[i].name, "authorization"))
			continue;
		http_put_field(&o, h->field[i].name, h->field[i].value);
		open.field[open.nfields++] = h->field[i];
	}
	must(o.len <= o.cap);		/* a space more behind each ':' */
	open.lines = http_out_view(&o);
	return &open;
}
