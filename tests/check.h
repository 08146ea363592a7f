/*
 * A check macro and its counters, shared by the unit tests.  A failure prints
 * file, line and what was being looked at; the run goes on.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>

extern long check_passed;
extern long check_failed;

/* Counts and, where ok is 0, prints the printf-style note. */
void check_at(const char *file, int line, int ok, const char *fmt, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 4, 5)))
#endif
    ;

#define CHECK(ok, ...) check_at(__FILE__, __LINE__, (ok) != 0, __VA_ARGS__)

/* A copy of b[0..n) in a heap block of exactly n octets, so that a sanitizer
 * or valgrind sees the first octet read past it.  The caller frees it. */
unsigned char *check_exact(const void *b, size_t n);

/* Reads a whole file into a heap block (*n octets and one NUL).  NULL where
 * it cannot be read.  The caller frees it. */
char *check_file(const char *path, size_t *n);

/* The folder of published vectors (VECTORS in the environment), an extra to
 * the cases that stand in these files; NULL where there is none. */
const char *check_vectors(void);

/* A number below n: the same ones in each run. */
unsigned int check_random(unsigned int n);

/* Runs fn(of) in a child process, whose stderr goes to said[0..cap), with a
 * NUL.  Returns its status as waitpid() tells it; 0 where fn returned. */
int check_child(void (*fn)(void *of), void *of, char *said, size_t cap);

/* Whether fn(of) ends the program by an assertion of that file. */
int check_must(const char *file, void (*fn)(void *of), void *of);

/* One for each codec, and for rooms of gate/, in tests/unit_*.c.  A room's
 * suite calls that room and those below it. */
void test_json(void);
void test_hmac(void);
void test_http(void);
void test_ws(void);
void test_list(void);
void test_mem(void);
void test_timer(void);
void test_pollset(void);
void test_addr(void);
void test_url(void);
void test_domain(void);
void test_proxied(void);
void test_lock(void);
void test_say(void);
void test_credit(void);
void test_account(void);
void test_conn(void);
void test_stream(void);

#endif
