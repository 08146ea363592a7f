/*
 * Tests of gate/lock.c: which passwords can be, who is let in with which head, and what
 * goes on of it.
 */
#include <stdio.h>
#include <string.h>

#include "gate/say.h"
#include "gate/settings.h"
#include "gate/lock.h"
#include "check.h"

static void
test_auth_fault(void)
{
	static const char *const good[] = {
		"a:b", ":b", "a::", "a b: c ", "a:b:c", "\xc3\xa4:\xe2\x82\xac",
	};
	static const char *const bad[] = {
		"", "a", ":", "a:", "a\n:b", "a:b\x7f", "a:\x1f", "a:b\xe4",
		"a:\xc3",
	};
	char text[257];
	size_t i;

	for (i = 0; i < ARRAY_LEN(good); i++)
		CHECK(lock_auth_fault(good[i]) == NULL, "%s", good[i]);
	for (i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(lock_auth_fault(bad[i]) != NULL, "\"%s\"", bad[i]);
	memset(text, 'x', sizeof(text));
	text[1] = ':';
	text[255] = '\0';
	CHECK(lock_auth_fault(text) == NULL, "255 octets");
	text[255] = 'x';
	text[256] = '\0';
	CHECK(lock_auth_fault(text) != NULL, "256 octets");
}

static struct http_head head;

/* Reads fields, which are lines, as the head of a request. */
static void
head_of(const char *fields)
{
	static char text[4096];
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s"
	    "\r\n", fields);

	CHECK(http_link_request_parse(&head, (unsigned char *)text,
	    (size_t)n) == 0, "%s", fields);
}

/* The status of the refusal, or 0. */
static int
refused(const char *fields)
{
	struct http_error e = { .status = 0 };
	int refuses;

	head_of(fields);
	refuses = lock_refuses(&e, &head);
	CHECK(refuses == (e.status != 0) && refuses == (e.detail != NULL) &&
	    (e.realm != NULL) == (e.status == 401), "%s: what is said", fields);
	return e.status;
}

static void
test_open(void)
{
	lock_make("id");
	CHECK(lock_digest()[0] == '\0', "a digest of none");
	CHECK(refused("") == 0 && lock_passes(&head) == &head, "no lock");
}

static void
test_addresses(void)
{
	static const struct {
		const char *fields;
		int status;
	} t[] = {
		{ "", 403 },
		{ "X-Real-IP: 10.1.2.3\r\n", 0 },
		{ "x-real-ip: ::ffff:10.1.2.3\r\n", 0 },
		{ "X-Real-IP: 11.1.2.3\r\n", 403 },
		{ "X-Real-IP:\r\n", 403 },
		{ "X-Real-IP: 10.1.2.3/8\r\n", 403 },
		{ "X-Real-IP: 10.1.2.3, 10.1.2.3\r\n", 403 },
		{ "X-Real-IP: 10.1.2.3\r\nX-Real-IP: 10.1.2.3\r\n", 403 },
		{ "X-Forwarded-For: 10.1.2.3\r\n", 403 },
	};
	size_t i;

	settings_said.allow_text = "10.0.0.0/8";
	CHECK(allow_read() == 0, "a network");
	lock_make("id");
	CHECK(lock_digest()[0] != '\0', "no digest");
	for (i = 0; i < ARRAY_LEN(t); i++)
		CHECK(refused(t[i].fields) == t[i].status, "%s", t[i].fields);
	settings_said.nallow = 0;
}

/* RFC 7617 2 and 2.1 have these. */
static void
test_password(void)
{
	settings_said.auth = "Aladdin:open sesame";
	lock_make("id");
	CHECK(refused("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")
	    == 0, "Aladdin");
	CHECK(refused("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==\r\n")
	    == 401, "spare bits");
	CHECK(refused("Authorization: Basic\r\n") == 401, "nothing");
	settings_said.auth = "test:123\xc2\xa3";
	lock_make("id");
	CHECK(refused("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")
	    == 401, "of another lock");
	CHECK(refused("A: 1\r\naUTHORIZATION:bASIC  dGVzdDoxMjPCow==\r\nB:2\r\n")
	    == 0, "test");
}

/* Of what opened the lock nothing goes on, and all else does. */
static void
test_passes(void)
{
	static const char want[] = "Host: h\r\nA: 1\r\nb: 2\r\nb: 3\r\n";
	const struct http_head *h;

	head_of("A: 1\r\nAuthorization: Basic dGVzdDoxMjPCow==\r\nb: 2\r\n"
	    "authorization: x\r\nb:3\r\n");
	h = lock_passes(&head);
	CHECK(http_equal(h->lines, want), "%.*s", (int)h->lines.n,
	    (const char *)h->lines.p);
	CHECK(h->nfields == 4 && http_equal(h->field[3].value, "3"),
	    "%zu fields", h->nfields);
	CHECK(http_equal(h->host, "h") && http_equal(h->path, "/"), "the rest");
}

/* A lock alone, and the id that it is of, make its digest. */
static void
test_digest(void)
{
	char first[WS_LOCKED_MAX + 1];

	lock_make("id");
	snprintf(first, sizeof(first), "%s", lock_digest());
	lock_make("other");
	CHECK(strcmp(first, lock_digest()) != 0, "of another id");
	lock_make("id");
	CHECK(strcmp(first, lock_digest()) == 0, "of the same");
}

void
test_lock(void)
{
	test_auth_fault();
	test_open();
	test_addresses();
	test_password();
	test_passes();
	test_digest();
	settings_said.auth = NULL;
}
