#ifndef GATE_SAY_H
#define GATE_SAY_H

#include <stdarg.h>
#include <stddef.h>

#include "pipegate.h"

#ifdef __GNUC__
#define NORETURN __attribute__((noreturn))
#else
#define NORETURN
#endif

#ifndef POLLRDHUP
#define POLLRDHUP 0		/* then a caller's leaving is seen when it is read */
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define CONTAINER(p, type, member) \
	((type *)(void *)((char *)(p) - offsetof(type, member)))

size_t min_size(size_t a, size_t b);

long long min_time(long long a, long long b);

struct view view_of(const char *s);

/* Cuts off the front of *rest up to the first octet that is one of stops. */
struct view view_until(struct view *rest, const char *stops);

struct text {
	char *p;
	size_t cap;		/* with room for the NUL */
	size_t len;		/* what is stored, below cap */
};

void text_char(struct text *t, char ch);

/* Appends as printf() would, for %s %c %d %u and %%, with '-', '0', width,
 * precision, l, ll and z. */
void text_vadd(struct text *t, const char *f, va_list *ap);

/* Writes to out[0..cap) with a NUL, cutting what does not fit.  Returns the
 * length that is there. */
size_t text_put(char *out, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Where what first stands in s, or NULL. */
const char *text_find(const char *s, const char *what);

/* Makes a peer's bytes fit for a terminal and a log: what is not printable
 * ASCII, and quotes, become \xHH.  Cuts where out is full. */
const char *text_safe(char *out, size_t cap, struct view v);

/* An assertion that stays in releases: our own bugs end the program, loudly. */
#define must(fact) ((fact) ? (void)0 : must_fail(__FILE__, __LINE__))

/* Writes all of it, for what is said before the loop runs or after.  Returns
 * 0 or -1. */
int write_all(int fd, const char *p, size_t n);

void must_fail(const char *file, int line) NORETURN;

enum log_level { LEVEL_ERROR, LEVEL_INFO, LEVEL_DEBUG };

struct out {
	int fd;
	char *buf;		/* OUT_SIZE bytes */
	size_t len;
	unsigned long dropped;
};

extern struct out out_log;
extern struct out out_person;
extern enum log_level log_level;

/* Writes what fits without blocking.  POLLOUT on a pipe promises PIPE_BUF. */
void out_flush(struct out *o);

void person_say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* One event: "2026-01-01T00:00:00Z level=info event=... key=value". */
void log_event(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

void warn(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Ends the program with status 1. */
void die(const char *fmt, ...) NORETURN PRINTF_LIKE(1, 2);

long long clamp(long long v, long long low, long long high);

#endif
