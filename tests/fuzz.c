/*
 * One fuzzing program for all parsers: FUZZ_TARGET in the environment names
 * the one to feed; "list" prints the names.  tests/fuzz.sh runs them all.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGETS(x) \
	x(json) \
	x(request) x(answer) x(body) x(fields) \
	x(base64) x(jwt) \
	x(frame) x(v2) x(v1_request) x(v1_response) \
	x(proxied) x(lock) \
	x(credit) x(link)

#define DECLARE(name) int fuzz_##name(const unsigned char *p, size_t n);
TARGETS(DECLARE)

#define ROW(name) { #name, fuzz_##name },
static const struct {
	const char *name;
	int (*fn)(const unsigned char *, size_t);
} targets[] = { TARGETS(ROW) };

#define NTARGETS (sizeof(targets) / sizeof(targets[0]))

static int (*chosen)(const unsigned char *, size_t);

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *wanted = getenv("FUZZ_TARGET");
	size_t i;

	(void)argc;
	(void)argv;
	if (wanted == NULL)
		wanted = "list";
	for (i = 0; i < NTARGETS; i++) {
		if (strcmp(wanted, targets[i].name) == 0)
			chosen = targets[i].fn;
		else if (strcmp(wanted, "list") == 0)
			printf("%s\n", targets[i].name);
	}
	if (chosen == NULL)
		exit(strcmp(wanted, "list") != 0);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	chosen(p, n);
	return 0;
}
