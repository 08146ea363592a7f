/*
 * Ground floor: views of bytes, the two outputs (the log on stderr, what a
 * person reads on stdout), and the end of the program where it has a bug.
 *
 * Lines are gathered in memory and written once a turn by say_flush(), never
 * so that the loop could block: a reader that does not keep up costs lines,
 * which are counted and told.  O_NONBLOCK is not used, since it would change
 * the terminal or pipe for everyone else who has it open.
 */
#ifndef GATE_SAY_H
#define GATE_SAY_H

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "pipegate.h"

#ifdef __GNUC__
#define NORETURN __attribute__((noreturn))
#else
#define NORETURN
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of the given type whose member p points at. */
#define CONTAINER(p, type, member) \
	((type *)(void *)((char *)(p) - offsetof(type, member)))

/* An assertion that stays in releases: a bug of ours ends the program at
 * once, with its place on stderr. */
#define must(fact) ((fact) ? (void)0 : must_fail(__FILE__, __LINE__))
void must_fail(const char *file, int line) NORETURN;

static inline size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline long long
min_time(long long a, long long b)
{
	return a < b ? a : b;
}

/* The size of an array that is to hold more than n.  What is not touched costs nothing,
 * and the smaller arrays that it had before stay in the heap: so it grows in few
 * steps. */
static inline size_t
array_grown(size_t n)
{
	return n * 4 + 64;
}

static inline long long
clamp(long long v, long long low, long long high)
{
	return v < low ? low : v > high ? high : v;
}

/* A view of string s without its NUL. */
static inline struct view
view_of(const char *s)
{
	struct view v = { (const unsigned char *)s, strlen(s) };

	return v;
}

/* A hash of v, which nobody who does not know seed can aim at. */
static inline unsigned long long
view_hash(struct view v, unsigned long long seed)
{
	size_t i;

	for (i = 0; i < v.n; i++)
		seed = (seed ^ v.p[i]) * 0x9e3779b97f4a7c15u;
	return seed >> 32;
}

static inline int
view_same(struct view a, struct view b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Writes v with A to Z in lower case to out, which has room for it and may be where v
 * is. */
static inline void
view_lower(unsigned char *out, struct view v)
{
	size_t i;

	for (i = 0; i < v.n; i++)
		out[i] = (unsigned char)(v.p[i] >= 'A' && v.p[i] <= 'Z' ?
		    v.p[i] - 'A' + 'a' : v.p[i]);
}

/* Drops the first n octets of v, which has as many. */
static inline void
view_skip(struct view *v, size_t n)
{
	v->p += n;
	v->n -= n;
}

/* Cuts the front of *rest off, up to the first octet that is one of stops, or
 * all of it.  Returns what was cut; *rest then begins with that octet. */
struct view view_until(struct view *rest, const char *stops);

/* Text that grows inside a given space: what does not fit is cut.  The lines
 * that are written for each request are made with it: 1,400 instructions a
 * line, where glibc's snprintf() takes 2,600 and musl's 4,000. */
struct text {
	char *p;
	size_t cap;		/* of p, with room for a NUL; at least 1 */
	size_t len;		/* octets stored, below cap */
};

/* Appends s, v or a number.  A line that each request has is made with these, since
 * a format takes some ten times as long. */
void text_add(struct text *t, const char *s);
void text_add_view(struct text *t, struct view v);
void text_add_number(struct text *t, long long n);

/* Appends as printf() would, for %s %c %d %u and %%, with the flags - and 0,
 * width, l, ll and z; and with precision for %s. */
void text_vadd(struct text *t, const char *fmt, va_list *ap);

/* Writes text as text_vadd() does to out[0..cap), with a NUL.  Returns the
 * length stored, without the NUL. */
size_t text_put(char *out, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Copies a stranger's bytes to out[0..cap), fit for a terminal and a log:
 * quotes, backslashes and whatever is not printable ASCII become \xHH.  What
 * does not fit is cut; a NUL ends it.  Returns out. */
const char *text_safe(char *out, size_t cap, struct view v);

/* The same, spaces as well: one word, which needs no quotes in the log. */
const char *text_word(char *out, size_t cap, struct view v);

enum log_level { LEVEL_ERROR, LEVEL_INFO, LEVEL_DEBUG };

/* Sets the highest level that is logged, LEVEL_INFO at first; and tells whether
 * level is logged. */
void log_set_level(enum log_level level);
int log_has_level(enum log_level level);

/* Logs one event: "2026-01-01T00:00:00Z level=info event=... key=value".  The
 * format begins with event=. */
void log_event(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same in pieces.  Begins a line in t, which is empty, and to which the caller
 * adds the event.  Returns 1; or 0, that level is not logged, and there is no line.
 * log_end() queues it. */
#define LOG_LINE_MAX 2048
int log_begin(struct text *t, enum log_level level);
void log_end(struct text *t);

/* Prints one line on stdout, for the person who started the program. */
void person_say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Writes the gathered lines, as far as that blocks nobody. */
void say_flush(void);

/* Writes all of p[0..n), and waits as long as that takes: for use before the
 * loop runs.  Returns 0, or -1 with errno. */
int write_all(int fd, const char *p, size_t n);

/* Says "pipegate: ..." on stderr at once.  The reason that errno tells is added
 * to a format that ends in ':'. */
void warn(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The same, and ends the program with status 1. */
void die(const char *fmt, ...) NORETURN PRINTF_LIKE(1, 2);

#endif
