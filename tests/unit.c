/*
 * Unit tests of the codecs.  Prints a line for each failure and, for each
 * module, "ok name" or "not ok name".
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

long check_passed;
long check_failed;

void
check_at(const char *file, int line, int ok, const char *fmt, ...)
{
	va_list ap;

	if (ok) {
		check_passed++;
		return;
	}
	check_failed++;
	printf("%s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

unsigned char *
check_exact(const void *b, size_t n)
{
	unsigned char *p = malloc(n > 0 ? n : 1);

	if (p == NULL)
		abort();
	if (n > 0)
		memcpy(p, b, n);
	return p;
}

char *
check_file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *p = NULL;
	size_t cap = 0, got;

	if (f == NULL)
		return NULL;
	*n = 0;
	do {
		if (cap - *n < 65536) {
			cap = cap * 2 + 65537;
			p = realloc(p, cap);
			if (p == NULL)
				abort();
		}
		got = fread(p + *n, 1, cap - *n - 1, f);
		*n += got;
	} while (got > 0);
	p[*n] = '\0';
	fclose(f);
	return p;
}

const char *
check_vectors(void)
{
	return getenv("VECTORS");
}

static void
run(const char *name, void (*fn)(void))
{
	long failed = check_failed, passed = check_passed;

	fn();
	printf("%s %s (%ld checks)\n", check_failed == failed ? "ok" : "not ok",
	    name, check_passed - passed);
	fflush(stdout);
}

int
main(void)
{
	run("json", test_json);
	run("hmac", test_hmac);
	run("http", test_http);
	run("ws", test_ws);
	return check_failed > 0;
}
