/*
 * PipeGate: an HTTP tunnel in one poll() loop.  This file holds whatever has
 * an fd, a clock, an environment, a child or a pid; the codecs that it drives
 * are declared in pipegate.h.
 *
 * The sections, in reading order.  A section uses those above it; it reaches
 * one below only through a row of handlers (struct kind, struct role).
 *
 *	text	formatting
 *	log	lines to people and to the log, written once a turn
 *	clock	time, random bytes
 *	lists	doubly linked, through the things that they hold
 *	memory	the budget; pooled blocks; struct buf and struct chain
 *	timers	a heap of deadlines
 *	conns	one socket each: reading, writing, lingering, dying
 *	loop	poll(), the turn, signals
 *	sockets	addresses, connecting, children, names looked up in a child
 *	links	a WebSocket: frames in, messages out, pings, close
 *	streams	one request with its answer: the pump between conn and link,
 *		its credit, and the messages of both wires that drive it
 *	settings what the environment and the command line said
 *	server	tunnels and their queues, callers, tunnel clients
 *	client	origins, dialling and its back-off, the helper for wss://
 *	token	pipegate token
 *	options	environment, command line, main
 */
#ifdef __linux__
#define _GNU_SOURCE		/* POLLRDHUP, accept4: each under its own #ifdef */
#endif

#include <sys/types.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/random.h>
#endif
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

static size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static long long
min_time(long long a, long long b)
{
	return a < b ? a : b;
}

static struct view
view_of(const char *s)
{
	struct view v = { (const unsigned char *)s, strlen(s) };

	return v;
}

/* Cuts off the front of *rest up to the first octet that is one of stops. */
static struct view
view_until(struct view *rest, const char *stops)
{
	struct view v = *rest;

	for (v.n = 0; v.n < rest->n && strchr(stops, rest->p[v.n]) == NULL; v.n++)
		;
	rest->p += v.n;
	rest->n -= v.n;
	return v;
}

/* -------------------------------------------------------------------- text
 * Formatting into a given space.  A printf() that knows just what is used
 * here: libc's brings wide characters and floating point along, a tenth of
 * the static program.
 */

struct text {
	char *p;
	size_t cap;		/* with room for the NUL */
	size_t len;		/* what is stored, below cap */
};

static void
text_char(struct text *t, char ch)
{
	if (t->len + 1 < t->cap)
		t->p[t->len++] = ch;
}

static void
text_copy(struct text *t, const char *s, size_t n)
{
	n = min_size(n, t->cap - t->len - 1);
	memcpy(t->p + t->len, s, n);
	t->len += n;
}

/* Appends s[0..n) in a field of width: to its left end where width < 0. */
static void
text_field(struct text *t, const char *s, size_t n, int width, char fill)
{
	size_t w = (size_t)(width < 0 ? -width : width), i;

	for (i = n; width > 0 && i < w; i++)
		text_char(t, fill);
	text_copy(t, s, n);
	for (i = n; width < 0 && i < w; i++)
		text_char(t, ' ');
}

static void
text_number(struct text *t, unsigned long long v, int negative, int width,
    char fill)
{
	char digits[24];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	if (negative)
		digits[--at] = '-';
	text_field(t, digits + at, sizeof(digits) - at, width, fill);
}

/* One conversion as the format spells it. */
struct conversion {
	int width, precision;	/* precision -1: none */
	char fill;
	int size;		/* 'l' (long), 'q' (long long), 'z', or 0 */
};

static const char *
text_digits(const char *f, int *n, va_list *ap)
{
	if (*f == '*') {
		*n = va_arg(*ap, int);
		return f + 1;
	}
	for (*n = 0; *f >= '0' && *f <= '9'; f++)
		*n = *n * 10 + (*f - '0');
	return f;
}

/* Reads flags, width, precision and size.  Returns where the letter is. */
static const char *
text_conversion(struct conversion *c, const char *f, va_list *ap)
{
	int left = *f == '-';

	f += left;
	c->fill = *f == '0' ? '0' : ' ';
	f = text_digits(f, &c->width, ap);
	if (left)
		c->width = -c->width;
	c->precision = -1;
	if (*f == '.')
		f = text_digits(f + 1, &c->precision, ap);
	c->size = 0;
	for (; *f == 'l' || *f == 'z'; f++)
		c->size = c->size == 'l' ? 'q' : *f;
	return f;
}

static void
text_signed(struct text *t, const struct conversion *c, va_list *ap)
{
	long long v;

	if (c->size == 'q')
		v = va_arg(*ap, long long);
	else if (c->size == 'l')
		v = va_arg(*ap, long);
	else
		v = va_arg(*ap, int);
	text_number(t, v < 0 ? 0 - (unsigned long long)v :
	    (unsigned long long)v, v < 0, c->width, c->fill);
}

static void
text_unsigned(struct text *t, const struct conversion *c, va_list *ap)
{
	unsigned long long v;

	if (c->size == 'z')
		v = va_arg(*ap, size_t);
	else if (c->size == 'l')
		v = va_arg(*ap, unsigned long);
	else
		v = va_arg(*ap, unsigned int);
	text_number(t, v, 0, c->width, c->fill);
}

static void
text_string(struct text *t, const struct conversion *c, const char *v)
{
	size_t n = c->precision < 0 ? strlen(v) :
	    strnlen(v, (size_t)c->precision);

	text_field(t, v, n, c->width, ' ');
}

/* Appends as printf() would, for %s %c %d %u and %%, with '-', '0', width,
 * precision, l, ll and z. */
static void
text_vadd(struct text *t, const char *f, va_list *ap)
{
	struct conversion c;
	size_t n;

	for (; *f != '\0'; f++) {
		for (n = 0; f[n] != '\0' && f[n] != '%'; n++)
			continue;
		text_copy(t, f, n);
		f += n;
		if (*f == '\0')
			break;
		f = text_conversion(&c, f + 1, ap);
		if (*f == 's')
			text_string(t, &c, va_arg(*ap, const char *));
		else if (*f == 'd')
			text_signed(t, &c, ap);
		else if (*f == 'u')
			text_unsigned(t, &c, ap);
		else if (*f == 'c')
			text_char(t, (char)va_arg(*ap, int));
		else
			text_char(t, *f);
	}
}

/* Writes to out[0..cap) with a NUL, cutting what does not fit.  Returns the
 * length that is there. */
static size_t PRINTF_LIKE(3, 4)
text_put(char *out, size_t cap, const char *fmt, ...)
{
	struct text t = { out, cap, 0 };
	va_list ap;

	va_start(ap, fmt);
	text_vadd(&t, fmt, &ap);
	va_end(ap);
	out[t.len] = '\0';
	return t.len;
}

/* Where what first stands in s, or NULL. */
static const char *
text_find(const char *s, const char *what)
{
	size_t n = strlen(what);

	for (; *s != '\0'; s++)
		if (strncmp(s, what, n) == 0)
			return s;
	return NULL;
}

/* Makes a peer's bytes fit for a terminal and a log: what is not printable
 * ASCII, and quotes, become \xHH.  Cuts where out is full. */
static const char *
text_safe(char *out, size_t cap, struct view v)
{
	static const char hex[] = "0123456789abcdef";
	size_t i, o = 0;

	for (i = 0; i < v.n && o + 5 < cap; i++) {
		unsigned char ch = v.p[i];

		if (ch >= 0x20 && ch < 0x7f && ch != '"' && ch != '\\') {
			out[o++] = (char)ch;
			continue;
		}
		out[o++] = '\\';
		out[o++] = 'x';
		out[o++] = hex[ch >> 4];
		out[o++] = hex[ch & 15];
	}
	out[o] = '\0';
	return out;
}

/* An assertion that stays in releases: our own bugs end the program, loudly. */
#define must(fact) ((fact) ? (void)0 : must_fail(__LINE__))

/* Writes all of it, for what is said before the loop runs or after.  Returns
 * 0 or -1. */
static int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w == -1 && errno == EINTR)
			continue;
		if (w <= 0)
			return -1;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static void NORETURN
must_fail(int line)
{
	char text[256];
	size_t n = text_put(text, sizeof(text), "pipegate: this is a bug: "
	    "what line %d of pipegate.c relies on is not so\n", line);

	write_all(STDERR_FILENO, text, n);
	abort();
}

/* --------------------------------------------------------------------- log
 * Lines are gathered in memory and written once a turn, and never so that the
 * loop could block: a reader that does not keep up costs lines, which are
 * counted.  O_NONBLOCK is not used, since it would change the terminal or
 * pipe for everyone else who has it open.
 */

enum log_level { LEVEL_ERROR, LEVEL_INFO, LEVEL_DEBUG };

#define OUT_SIZE 16384
#define OUT_SPARE 64		/* of it: for the note of what was dropped */

struct out {
	int fd;
	char *buf;		/* OUT_SIZE bytes */
	size_t len;
	unsigned long dropped;
};

static char out_log_buf[OUT_SIZE], out_person_buf[OUT_SIZE];
static struct out out_log = { .fd = STDERR_FILENO, .buf = out_log_buf };
static struct out out_person = { .fd = STDOUT_FILENO, .buf = out_person_buf };
static enum log_level log_level = LEVEL_INFO;

/* Writes what fits without blocking.  POLLOUT on a pipe promises PIPE_BUF. */
static void
out_flush(struct out *o)
{
	while (o->len > 0) {
		struct pollfd p = { .fd = o->fd, .events = POLLOUT };
		ssize_t n;

		if (poll(&p, 1, 0) != 1)
			return;
		n = write(o->fd, o->buf, min_size(o->len, PIPE_BUF));
		if (n <= 0) {
			if (n == -1 && errno != EAGAIN && errno != EINTR)
				o->len = 0;
			return;
		}
		o->len -= (size_t)n;
		memmove(o->buf, o->buf + n, o->len);
	}
}

static void
out_line(struct out *o, const char *line, size_t n)
{
	if (o->len + n + OUT_SPARE > OUT_SIZE)
		out_flush(o);
	if (o->len + n + OUT_SPARE > OUT_SIZE) {
		o->dropped++;
		return;
	}
	if (o->dropped > 0) {
		o->len += text_put(o->buf + o->len, OUT_SPARE,
		    "... %lu lines dropped\n", o->dropped);
		o->dropped = 0;
	}
	memcpy(o->buf + o->len, line, n);
	o->len += n;
}

/* Ends t with a newline and queues it as one line. */
static void
out_text(struct out *o, struct text *t)
{
	if (t->len + 1 >= t->cap)
		t->len = t->cap - 2;
	text_char(t, '\n');
	out_line(o, t->p, t->len);
}

static void PRINTF_LIKE(1, 2)
person_say(const char *fmt, ...)
{
	char line[2048];
	struct text t = { line, sizeof(line), 0 };
	va_list ap;

	va_start(ap, fmt);
	text_vadd(&t, fmt, &ap);
	va_end(ap);
	out_text(&out_person, &t);
}

/* "2026-01-01T00:00:00Z", made once a second. */
static const char *
log_stamp(void)
{
	static time_t made = -1;
	static char stamp[40];
	time_t now = time(NULL);
	struct tm tm;

	if (now == made || gmtime_r(&now, &tm) == NULL)
		return stamp;
	made = now;
	text_put(stamp, sizeof(stamp), "%04d-%02d-%02dT%02d:%02d:%02dZ",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
	    tm.tm_min, tm.tm_sec);
	return stamp;
}

/* One event: "2026-01-01T00:00:00Z level=info event=... key=value". */
static void PRINTF_LIKE(2, 3)
log_event(enum log_level level, const char *fmt, ...)
{
	static const char *const name[] = { "error", "info", "debug" };
	char line[2048];
	struct text t = { line, sizeof(line), 0 };
	va_list ap;

	if (level > log_level)
		return;
	t.len = text_put(line, sizeof(line), "%s level=%s ", log_stamp(),
	    name[level]);
	va_start(ap, fmt);
	text_vadd(&t, fmt, &ap);
	va_end(ap);
	out_text(&out_log, &t);
}

/* Says "pipegate: ..." on stderr, now.  A format that ends in ':' has the
 * reason of errno added. */
static void
complain(const char *fmt, va_list *ap)
{
	char line[2048];
	struct text t = { line, sizeof(line), 0 };
	int e = errno;

	out_flush(&out_person);
	out_flush(&out_log);
	t.len = text_put(line, sizeof(line), "pipegate: ");
	text_vadd(&t, fmt, ap);
	if (fmt[strlen(fmt) - 1] == ':')
		t.len += text_put(line + t.len, sizeof(line) - t.len, " %s",
		    strerror(e));
	line[t.len++] = '\n';
	write_all(STDERR_FILENO, line, t.len);
}

static void PRINTF_LIKE(1, 2)
warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, &ap);
	va_end(ap);
}

/* Ends the program with status 1. */
static void NORETURN PRINTF_LIKE(1, 2)
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, &ap);
	va_end(ap);
	exit(1);
}

/* ------------------------------------------------------------------- clock
 * The loop reads the clock once a turn, into now_ms.  Only tokens and Date
 * use the wall clock.
 */

static long long now_ms;	/* monotonic */

static long long
clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static long long
clock_wall(void)
{
	return (long long)time(NULL);
}

static void
random_refill(unsigned char *p, size_t n)
{
	int fd;
	size_t got = 0;

#ifdef GRND_NONBLOCK
	while (got < n) {
		ssize_t r = getrandom(p + got, n - got, 0);

		if (r == -1 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		got += (size_t)r;
	}
	if (got == n)
		return;
#endif
	fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	for (got = 0; fd != -1 && got < n; ) {
		ssize_t r = read(fd, p + got, n - got);

		if (r == -1 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		got += (size_t)r;
	}
	if (got < n)
		die("no random bytes: neither getrandom() nor /dev/urandom "
		    "gives any:");
	close(fd);
}

/* Unpredictable bytes, from a pool so that a mask costs no system call. */
static void
random_bytes(void *out, size_t n)
{
	static unsigned char pool[4096];
	static size_t left;

	must(n <= sizeof(pool));
	if (left < n) {
		random_refill(pool, sizeof(pool));
		left = sizeof(pool);
	}
	left -= n;
	memcpy(out, pool + left, n);
	memset(pool + left, 0, n);
}

/* ------------------------------------------------------------------- lists
 * A thing has an item for each kind of list that it may stand in.
 */

struct item {
	struct item *prev, *next;
	struct list *in;	/* NULL: in none */
	void *of;		/* the thing itself */
};

struct list {
	struct item *head, *tail;
	long long n;
};

/* Puts i, an item of thing of, before next: NULL is the end. */
static void
list_insert(struct list *l, struct item *i, void *of, struct item *next)
{
	must(i->in == NULL);
	i->in = l;
	i->of = of;
	i->next = next;
	i->prev = next != NULL ? next->prev : l->tail;
	if (i->prev != NULL)
		i->prev->next = i;
	else
		l->head = i;
	if (next != NULL)
		next->prev = i;
	else
		l->tail = i;
	l->n++;
}

static void
list_add(struct list *l, struct item *i, void *of)
{
	list_insert(l, i, of, NULL);
}

static void
list_leave(struct item *i)
{
	struct list *l = i->in;

	if (l == NULL)
		return;
	if (i->prev != NULL)
		i->prev->next = i->next;
	else
		l->head = i->next;
	if (i->next != NULL)
		i->next->prev = i->prev;
	else
		l->tail = i->prev;
	l->n--;
	i->in = NULL;
}

/* The things of a list in turn; NULL behind the last. */
static void *
list_first(const struct list *l)
{
	return l->head != NULL ? l->head->of : NULL;
}

static void *
list_after(const struct item *i)
{
	return i->next != NULL ? i->next->of : NULL;
}

/* ------------------------------------------------------------------ memory
 * Every buffer and every promise of credit is charged to one budget.  Blocks
 * of three sizes come from free lists, last in first out so that they are
 * warm; what a list did not need for a second goes back to malloc.
 */

enum pool_class { POOL_SMALL, POOL_BLOCK, POOL_LARGE, POOL_CLASSES };

static const size_t pool_size[POOL_CLASSES] = { 2048, 16384, 36864 };

#define TRIM_FROM (256 << 10)	/* bytes given back that are worth a look at the heap */
#define POOL_SHARE 32		/* a list keeps at most this part of the budget */

struct pool_item {
	struct pool_item *next;
};

static struct pool {
	struct pool_item *free;
	size_t nfree;
	size_t idle;		/* the fewest that were free since the last trim */
} pool[POOL_CLASSES];

static struct {
	size_t used;
	size_t max;
	int starved;		/* somebody waits for room */
} budget = { .max = 64 << 20 };

/* Moves the size bytes of an array to where there is room for more.  Returns
 * that, or NULL, and then old stands.  (libc's realloc() would be 1.2 KiB of
 * the static program, for two rare calls.) */
static void *
array_grow(void *old, size_t size, size_t more)
{
	void *p = malloc(more);

	if (p == NULL)
		return NULL;
	if (size > 0)
		memcpy(p, old, size);
	free(old);
	return p;
}

static size_t
budget_free(void)
{
	return budget.used < budget.max ? budget.max - budget.used : 0;
}

/* Room for bodies that are held whole (v1).  They leave a quarter of the
 * budget alone, so that streams always find some. */
static size_t
budget_whole_room(void)
{
	size_t most = budget.max / 4 * 3;

	return budget.used < most ? most - budget.used : 0;
}

/* Takes n bytes of the budget.  Returns 0, or -1 where they are not there. */
static int
budget_charge(size_t n)
{
	if (n > budget_free()) {
		budget.starved = 1;
		return -1;
	}
	budget.used += n;
	return 0;
}

static void
budget_return(size_t n)
{
	must(n <= budget.used);
	budget.used -= n;
}

static enum pool_class
pool_class_of(size_t n)
{
	enum pool_class k = POOL_SMALL;

	while (k < POOL_CLASSES && pool_size[k] < n)
		k++;
	return k;
}

/* Memory of at least *n bytes; *n becomes its size.  It is charged whatever
 * the budget says: who lets new bytes in asks budget_free() first, and what
 * was let in must find room.  NULL: malloc failed. */
static void *
mem_take(size_t *n)
{
	enum pool_class k = pool_class_of(*n);
	struct pool_item *it;

	if (k == POOL_CLASSES) {
		it = malloc(*n);
	} else {
		*n = pool_size[k];
		it = pool[k].free;
		if (it != NULL) {
			pool[k].free = it->next;
			if (--pool[k].nfree < pool[k].idle)
				pool[k].idle = pool[k].nfree;
		} else {
			it = malloc(*n);
		}
	}
	if (it != NULL)
		budget.used += *n;
	return it;
}

/* Gives back what mem_take gave, with the size that it said. */
static void
mem_put(void *p, size_t n)
{
	enum pool_class k = pool_class_of(n);
	struct pool_item *it = p;

	if (p == NULL)
		return;
	budget_return(n);
	if (k == POOL_CLASSES) {
		free(p);
		return;
	}
	if (pool[k].nfree * n > budget.max / POOL_SHARE) {
		free(p);
		return;
	}
	it->next = pool[k].free;
	pool[k].free = it;
	pool[k].nfree++;
}

/* Once a second: frees what no one asked for in that second. */
static void
pool_trim(void)
{
	static size_t peak;
	struct pool *k;

	for (k = pool; k < pool + POOL_CLASSES; k++) {
		while (k->idle > 0) {
			struct pool_item *it = k->free;

			k->free = it->next;
			free(it);
			k->nfree--;
			k->idle--;
		}
		k->idle = k->nfree;
	}
	if (budget.used > peak)
		peak = budget.used;
#ifdef __GLIBC__
	/* glibc keeps freed blocks resident unless it is asked. */
	if (peak - budget.used > TRIM_FROM) {
		malloc_trim(0);
		peak = budget.used;
	}
#endif
}

/* Contiguous bytes: p[off..off+len) within cap.  Views into it die at the
 * next buf_space.  All zero is an empty one. */
struct buf {
	unsigned char *p;
	size_t off, len, cap;
};

static void
buf_free(struct buf *b)
{
	mem_put(b->p, b->cap);
	memset(b, 0, sizeof(*b));
}

static struct view
buf_view(const struct buf *b)
{
	struct view v = { (const unsigned char *)"", b->len };

	if (b->p != NULL)
		v.p = b->p + b->off;
	return v;
}

static void
buf_consume(struct buf *b, size_t n)
{
	must(n <= b->len);
	b->off += n;
	b->len -= n;
	if (b->len == 0)
		b->off = 0;
}

/* Moves the bytes into memory of another size. */
static int
buf_resize(struct buf *b, size_t cap)
{
	unsigned char *p = mem_take(&cap);

	if (p == NULL)
		return -1;
	if (b->p != NULL)
		memcpy(p, b->p + b->off, b->len);
	mem_put(b->p, b->cap);
	b->p = p;
	b->off = 0;
	b->cap = cap;
	return 0;
}

/* Makes room for n more bytes behind those that are there, never growing
 * past max.  Returns where they go, or NULL. */
static unsigned char *
buf_space(struct buf *b, size_t n, size_t max)
{
	size_t cap = b->cap > 0 ? b->cap : pool_size[POOL_SMALL];

	if (b->p != NULL && b->off + b->len + n <= b->cap)
		return b->p + b->off + b->len;
	if (b->p != NULL && b->len + n <= b->cap) {
		memmove(b->p, b->p + b->off, b->len);
		b->off = 0;
		return b->p + b->len;
	}
	while (cap < b->len + n)
		cap *= 2;
	if (cap > max)
		cap = max;
	if (b->len + n > cap || buf_resize(b, cap) == -1)
		return NULL;
	return b->p + b->len;
}

/* Moves the few bytes of a long wait into a small block. */
static void
buf_fit(struct buf *b)
{
	if (b->len == 0)
		buf_free(b);
	else if (b->cap > pool_size[POOL_SMALL] &&
	    b->len <= pool_size[POOL_SMALL])
		buf_resize(b, pool_size[POOL_SMALL]);
}

/* Bytes in a row of blocks: what a socket has not taken yet. */
struct block {
	struct block *next;
	size_t size, off, len;
	unsigned char data[];
};

struct chain {
	struct block *head, *tail;
	size_t len;
};

static void
chain_drop_head(struct chain *q)
{
	struct block *b = q->head;

	q->head = b->next;
	if (q->head == NULL)
		q->tail = NULL;
	mem_put(b, b->size);
}

static void
chain_free(struct chain *q)
{
	while (q->head != NULL)
		chain_drop_head(q);
	q->len = 0;
}

static void
chain_consume(struct chain *q, size_t n)
{
	must(n <= q->len);
	q->len -= n;
	while (n > 0) {
		size_t k = min_size(n, q->head->len);

		q->head->off += k;
		q->head->len -= k;
		n -= k;
		if (q->head->len == 0)
			chain_drop_head(q);
	}
}

static struct block *
chain_add_block(struct chain *q)
{
	size_t size = pool_size[POOL_BLOCK];
	struct block *b = mem_take(&size);

	if (b == NULL)
		return NULL;
	memset(b, 0, sizeof(*b));
	b->size = size;
	if (q->tail != NULL)
		q->tail->next = b;
	else
		q->head = b;
	q->tail = b;
	return b;
}

/* Appends a copy of p[0..n).  Returns 0, or -1 where malloc failed. */
static int
chain_put(struct chain *q, const void *p, size_t n)
{
	const unsigned char *from = p;

	while (n > 0) {
		struct block *b = q->tail;
		size_t room = b == NULL ? 0 :
		    b->size - sizeof(*b) - b->off - b->len;
		size_t k;

		if (room == 0) {
			if ((b = chain_add_block(q)) == NULL)
				return -1;
			room = b->size - sizeof(*b);
		}
		k = min_size(n, room);
		memcpy(b->data + b->off + b->len, from, k);
		b->len += k;
		q->len += k;
		from += k;
		n -= k;
	}
	return 0;
}

/* Fills iov[0..max) with the first bytes; returns how many entries. */
static int
chain_iov(const struct chain *q, struct iovec *iov, int max)
{
	struct block *b;
	int n = 0;

	for (b = q->head; b != NULL && n < max; b = b->next) {
		iov[n].iov_base = b->data + b->off;
		iov[n].iov_len = b->len;
		n++;
	}
	return n;
}

/* ------------------------------------------------------------------ timers
 * A binary heap.  A deadline that moves later, as most do, costs nothing: the
 * heap keeps the old key and looks again when that comes due.
 */

#define NEVER LLONG_MAX

struct timer {
	long long due_ms;	/* NEVER: not set */
	long long key_ms;	/* as it stands in the heap; not after due_ms */
	size_t at;		/* place in the heap, from 1; 0: not in it */
	void (*fire)(struct timer *);
};

static struct {
	struct timer **t;	/* t[1..n] */
	size_t n, cap;
	size_t members;		/* timers that exist: cap has room for all */
} heap;

static void
heap_place(struct timer *t, size_t i)
{
	heap.t[i] = t;
	t->at = i;
}

static void
heap_up(struct timer *t, size_t i)
{
	while (i > 1 && heap.t[i / 2]->key_ms > t->key_ms) {
		heap_place(heap.t[i / 2], i);
		i /= 2;
	}
	heap_place(t, i);
}

static void
heap_down(struct timer *t, size_t i)
{
	size_t k;

	for (; (k = i * 2) <= heap.n; i = k) {
		if (k < heap.n && heap.t[k + 1]->key_ms < heap.t[k]->key_ms)
			k++;
		if (heap.t[k]->key_ms >= t->key_ms)
			break;
		heap_place(heap.t[k], i);
	}
	heap_place(t, i);
}

static void
heap_remove(struct timer *t)
{
	struct timer *last = heap.t[heap.n];
	size_t i = t->at;

	heap.n--;
	t->at = 0;
	if (t == last)
		return;
	heap_up(last, i);
	heap_down(last, last->at);
}

/* Makes t known, so that setting it can never fail.  Returns 0, or -1. */
static int
timer_init(struct timer *t, void (*fire)(struct timer *))
{
	if (heap.members + 2 > heap.cap) {
		size_t cap = heap.cap * 2 + 64;
		struct timer **p = array_grow(heap.t,
		    heap.cap * sizeof(*p), cap * sizeof(*p));

		if (p == NULL)
			return -1;
		heap.t = p;
		heap.cap = cap;
	}
	heap.members++;
	t->due_ms = NEVER;
	t->at = 0;
	t->fire = fire;
	return 0;
}

static void
timer_set(struct timer *t, long long due_ms)
{
	t->due_ms = due_ms;
	if (due_ms == NEVER)
		return;
	if (t->at == 0) {
		t->key_ms = due_ms;
		heap_up(t, ++heap.n);
	} else if (due_ms < t->key_ms) {
		t->key_ms = due_ms;
		heap_up(t, t->at);
	}
}

static void
timer_end(struct timer *t)
{
	if (t->at != 0)
		heap_remove(t);
	heap.members--;
}

/* When the next timer may be due, or NEVER. */
static long long
timer_next(void)
{
	return heap.n > 0 ? heap.t[1]->key_ms : NEVER;
}

static void
timer_run(void)
{
	while (heap.n > 0 && heap.t[1]->key_ms <= now_ms) {
		struct timer *t = heap.t[1];

		heap_remove(t);
		if (t->due_ms <= now_ms) {
			t->due_ms = NEVER;
			t->fire(t);
		} else {
			timer_set(t, t->due_ms);
		}
	}
}

/* ------------------------------------------------------------------- conns
 * One socket (or pipe) each, with its buffers.  What a conn waits for and
 * when its patience ends are functions of its state, asked after each turn
 * that touched it; nothing toggles them by hand.
 */

struct stream;
struct link;
struct conn;

enum conn_state {
	CONN_LISTEN,
	CONN_CONNECT,		/* origin, link: connect() is under way */
	CONN_HANDSHAKE,		/* link: the 101 has not come yet */
	CONN_HEAD,		/* caller: between requests, or inside a head */
	CONN_STREAM,		/* caller, origin: at work for a stream */
	CONN_IDLE,		/* origin: kept for the next request */
	CONN_OPEN,		/* link, pipe: carries what it is there for */
	CONN_CLOSING,		/* link: our close frame is out */
	CONN_LINGER,		/* the last bytes go out, what comes is thrown away */
	CONN_STATES
};

static const char *const conn_state_name[CONN_STATES] = {
	"listen", "connect", "handshake", "head", "stream", "idle", "open",
	"closing", "linger"
};

#define TO(s) (1u << (s))

static const unsigned int conn_may_follow[CONN_STATES] = {
	[CONN_CONNECT] = TO(CONN_HANDSHAKE) | TO(CONN_STREAM),
	[CONN_HANDSHAKE] = TO(CONN_OPEN),
	[CONN_HEAD] = TO(CONN_STREAM) | TO(CONN_OPEN) | TO(CONN_LINGER),
	[CONN_STREAM] = TO(CONN_HEAD) | TO(CONN_IDLE) | TO(CONN_LINGER),
	[CONN_IDLE] = TO(CONN_STREAM),
	[CONN_OPEN] = TO(CONN_CLOSING),
	[CONN_CLOSING] = TO(CONN_LINGER),
};

struct kind {
	const char *name;
	void (*ready)(struct conn *, short revents);
	void (*sent)(struct conn *, size_t n);	/* n bytes left for good; may be NULL */
	void (*blocked)(struct conn *);	/* not all could be written; may be NULL */
	void (*broken)(struct conn *);	/* a write failed */
	short (*events)(const struct conn *);
	long long (*deadline)(const struct conn *);
	void (*expire)(struct conn *);
};

/* A peer's address: IPv4 is kept as such also where it came mapped. */
struct addr {
	unsigned char family;		/* 4, 6, or 0 */
	unsigned char ip[16];
};

struct conn {
	const struct kind *kind;
	int fd;
	enum conn_state state;
	size_t slot;			/* in loop.pfd, or NO_SLOT */
	struct timer timer;
	struct conn *touched_next, *flush_next, *dead_next;
	struct item place;		/* by what it waits for */
	struct buf rx;
	size_t scanned;			/* for the head parsers */
	size_t head_size;		/* caller: of the head at the front of rx */
	struct chain tx;
	long long busy_ms;		/* when it last had news, or we had some for it */
	long long since_ms;		/* when its state began */
	long long rx_ms, tx_ms;		/* when bytes last came, went */
	struct stream *stream;
	struct link *link;
	struct addr peer;
	size_t *counted;		/* lessened by one when it is freed */
	size_t *share;			/* a sum that its rx counts in, with shared octets */
	size_t shared;
	size_t drained;			/* octets thrown away while lingering */
	unsigned char touched, flushing, dead;
	unsigned char rd_eof;		/* nothing more will come */
	unsigned char rd_failed;	/* nor did it end well */
	unsigned char wr_shut;		/* we have said that nothing more will go */
	unsigned char reset;		/* close with an RST */
	unsigned char guarded;		/* see conn_guard */
	unsigned char reused;		/* served a request before */
	int attempt;			/* origin: addresses tried */
	/* caller: of the request at hand, for its answer */
	unsigned char minor, head_only, html, keep_alive;
	unsigned char tunnel_only;	/* came in over the cap */
};

#define NO_SLOT ((size_t)-1)
#define LINGER_MS 2000
#define LINGER_MAX (1 << 20)	/* octets that a lingering conn may still send us */
#define FLUSH_MAX (256 << 10)	/* octets written to one conn in one go */

static struct {
	struct pollfd *pfd;	/* [0..active) asked each turn, [active..n) now and then */
	struct conn **who;
	size_t n, active, cap;
	size_t look;		/* where the search for quiet conns goes on */
	struct conn *touched, *flush, *dead;
	struct conn *spare;	/* freed conns */
	long long news_ms;	/* when poll last had any */
	long long full_ms;	/* when all were last asked */
	int calm;		/* how often in a row the second part had no news */
	int again;		/* work is left: do not sleep */
	int stop;
	int signal_fd[2];
	void (*on_signal)(int);
	void (*on_second)(void);
} loop = { .signal_fd = { -1, -1 } };

static void
conn_touch(struct conn *c)
{
	if (c->touched)
		return;
	c->touched = 1;
	c->touched_next = loop.touched;
	loop.touched = c;
}

static void
conn_state(struct conn *c, enum conn_state s)
{
	must(conn_may_follow[c->state] & TO(s));
	log_event(LEVEL_DEBUG, "event=state conn=%s/%d from=%s to=%s",
	    c->kind->name, c->fd, conn_state_name[c->state],
	    conn_state_name[s]);
	c->state = s;
	c->since_ms = now_ms;
	conn_touch(c);
}

static void
loop_move(size_t from, size_t to)
{
	loop.pfd[to] = loop.pfd[from];
	loop.who[to] = loop.who[from];
	loop.who[to]->slot = to;
}

static void
loop_swap(size_t a, size_t b)
{
	struct pollfd p = loop.pfd[a];
	struct conn *c = loop.who[a];

	if (a == b)
		return;
	loop_move(b, a);
	loop.pfd[b] = p;
	loop.who[b] = c;
	c->slot = b;
}

static int
loop_grow(void)
{
	size_t cap = loop.cap * 2 + 64;
	struct pollfd *p = array_grow(loop.pfd, loop.cap * sizeof(*p),
	    cap * sizeof(*p));
	struct conn **w;

	if (p == NULL)
		return -1;
	loop.pfd = p;
	w = array_grow(loop.who, loop.cap * sizeof(*w), cap * sizeof(*w));
	if (w == NULL)
		return -1;
	loop.who = w;
	loop.cap = cap;
	return 0;
}

/* Puts c among those that poll() asks each turn. */
static int
loop_add(struct conn *c)
{
	if (loop.n == loop.cap && loop_grow() == -1)
		return -1;
	c->slot = loop.n++;
	loop.pfd[c->slot].fd = c->fd;
	loop.pfd[c->slot].events = 0;
	loop.pfd[c->slot].revents = 0;
	loop.who[c->slot] = c;
	loop_swap(c->slot, loop.active++);
	return 0;
}

static void
loop_quiet(struct conn *c)
{
	loop_swap(c->slot, --loop.active);
}

static void
loop_wake(struct conn *c)
{
	c->busy_ms = now_ms;
	if (c->slot >= loop.active)
		loop_swap(c->slot, loop.active++);
}

/* Takes c out of the set, for an fd whose hang-up is known already and would
 * be reported for ever. */
static void
loop_remove(struct conn *c)
{
	if (c->slot == NO_SLOT)
		return;
	if (c->slot < loop.active)
		loop_quiet(c);
	loop_swap(c->slot, --loop.n);
	c->slot = NO_SLOT;
}

static void
conn_timer(struct timer *t)
{
	struct conn *c = CONTAINER(t, struct conn, timer);

	if (c->dead)
		return;
	conn_touch(c);
	if (c->kind->deadline(c) <= now_ms)
		c->kind->expire(c);
}

/* Makes a conn of fd, which is non-blocking already.  NULL: no memory; fd is
 * then closed. */
static struct conn *
conn_new(const struct kind *kind, int fd, enum conn_state s)
{
	struct conn *c = loop.spare;

	if (c != NULL)
		loop.spare = c->dead_next;
	else
		c = malloc(sizeof(*c));
	if (c == NULL) {
		close(fd);
		return NULL;
	}
	memset(c, 0, sizeof(*c));
	c->kind = kind;
	c->fd = fd;
	c->state = s;
	c->since_ms = c->busy_ms = c->rx_ms = c->tx_ms = now_ms;
	if (timer_init(&c->timer, conn_timer) == -1 || loop_add(c) == -1) {
		close(fd);
		c->dead_next = loop.spare;
		loop.spare = c;
		return NULL;
	}
	conn_touch(c);
	return c;
}

/* Counts octets that c holds in *share from now on, in place of where it was
 * counted so far.  NULL: nowhere. */
static void
conn_share(struct conn *c, size_t *share, size_t octets)
{
	if (c->share != NULL)
		*c->share -= c->shared;
	c->share = share;
	c->shared = octets;
	if (share != NULL)
		*share += c->shared;
}

/* Marks c as dead.  Its fd and memory last until the sweep. */
static void
conn_kill(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = 1;
	conn_share(c, NULL, 0);
	list_leave(&c->place);
	c->dead_next = loop.dead;
	loop.dead = c;
}

/* The same with an RST, so that the peer does not take what it has for the
 * whole. */
static void
conn_abort(struct conn *c)
{
	c->reset = 1;
	conn_kill(c);
}

/* While c is guarded its close is an RST, also when this process is killed:
 * for what only the end of the connection ends. */
static void
conn_guard(struct conn *c, int on)
{
	struct linger l = { .l_onoff = on, .l_linger = 0 };

	if (c->guarded == on)
		return;
	c->guarded = on != 0;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static void
conn_free(struct conn *c)
{
	if (c->counted != NULL)
		--*c->counted;
	loop_remove(c);
	timer_end(&c->timer);
	if (c->reset)
		conn_guard(c, 1);
	close(c->fd);
	buf_free(&c->rx);
	chain_free(&c->tx);
	c->dead_next = loop.spare;
	loop.spare = c;
}

/* A conn that waits for no more than a hang-up is not asked each turn. */
static void
loop_place(struct conn *c)
{
	short ev = c->kind->events(c);

	if (c->slot == NO_SLOT)
		return;
	loop.pfd[c->slot].events = ev;
	if (ev & (POLLIN | POLLOUT))
		loop_wake(c);
	else if (c->slot < loop.active)
		loop_quiet(c);
}

/* Asks each touched conn what it waits for, then frees the dead. */
static void
loop_sweep(void)
{
	struct conn *c, **at;

	while ((c = loop.touched) != NULL) {
		loop.touched = c->touched_next;
		c->touched = 0;
		if (c->dead)
			continue;
		if (c->rx.len == 0 && c->rx.cap > 0 && c->link == NULL)
			buf_free(&c->rx);
		loop_place(c);
		timer_set(&c->timer, c->kind->deadline(c));
	}
	for (at = &loop.flush; (c = *at) != NULL; ) {
		if (c->dead)
			*at = c->flush_next;
		else
			at = &c->flush_next;
	}
	while ((c = loop.dead) != NULL) {
		loop.dead = c->dead_next;
		conn_free(c);
	}
}

enum io { IO_DATA, IO_WAIT, IO_EOF, IO_ERROR };

static enum io
io_result(ssize_t n)
{
	if (n > 0)
		return IO_DATA;
	if (n == 0)
		return IO_EOF;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return IO_WAIT;
	return IO_ERROR;
}

/* Reads into iov[0..k); *got is how many bytes came.  An error is kept, since
 * the kernel tells it once and then says EOF. */
static enum io
conn_readv(struct conn *c, const struct iovec *iov, int k, size_t *got)
{
	ssize_t r;
	enum io io;

	*got = 0;
	if (c->rd_eof || c->rd_failed)
		return c->rd_failed ? IO_ERROR : IO_EOF;
	r = readv(c->fd, iov, k);
	io = io_result(r);
	if (io == IO_DATA) {
		*got = (size_t)r;
		c->rx_ms = now_ms;
	}
	c->rd_eof = io == IO_EOF;
	c->rd_failed = io == IO_ERROR;
	return io;
}

static enum io
conn_read(struct conn *c, void *p, size_t n, size_t *got)
{
	struct iovec iov = { p, n };

	return conn_readv(c, &iov, 1, got);
}

/* Reads behind what is in rx already, which holds at most max. */
static enum io
conn_fill(struct conn *c, size_t max)
{
	size_t want = c->rx.cap == 0 ? pool_size[POOL_BLOCK] : 1;
	unsigned char *p = buf_space(&c->rx, want, max);
	size_t got;
	enum io io;

	if (p == NULL)
		return IO_ERROR;
	io = conn_read(c, p, c->rx.cap - c->rx.off - c->rx.len, &got);
	c->rx.len += got;
	return io;
}

/* Has c flushed at the end of the turn. */
static void
conn_flush_later(struct conn *c)
{
	conn_touch(c);
	if (c->flushing)
		return;
	c->flushing = 1;
	c->flush_next = loop.flush;
	loop.flush = c;
}

/* Queues a copy of p[0..n).  Without memory the conn is broken off. */
static void
conn_put(struct conn *c, const void *p, size_t n)
{
	if (chain_put(&c->tx, p, n) == -1)
		conn_abort(c);
	conn_flush_later(c);
}

/* Writes iov[0..k), of n bytes in all, now if nothing waits before it, and
 * queues what the socket refuses. */
static void
conn_write(struct conn *c, const struct iovec *iov, int k, size_t n)
{
	ssize_t r = 0;
	size_t done, skip;

	conn_flush_later(c);
	if (c->tx.len == 0 && c->state != CONN_CONNECT)
		r = writev(c->fd, iov, k);
	done = skip = r > 0 ? (size_t)r : 0;
	for (; k > 0 && done < n; iov++, k--) {
		if (skip >= iov->iov_len) {
			skip -= iov->iov_len;
			continue;
		}
		conn_put(c, (const char *)iov->iov_base + skip,
		    iov->iov_len - skip);
		skip = 0;
	}
	if (done > 0) {
		c->tx_ms = now_ms;
		if (c->kind->sent != NULL)
			c->kind->sent(c, done);
	}
}

/* Writes what is queued, as far as the socket takes it. */
static void
conn_flush(struct conn *c)
{
	size_t total = 0;

	while (c->tx.len > 0 && total < FLUSH_MAX && !c->dead) {
		struct iovec iov[16];
		ssize_t n = writev(c->fd, iov,
		    chain_iov(&c->tx, iov, (int)ARRAY_LEN(iov)));

		if (n <= 0) {
			if (io_result(n) == IO_ERROR)
				c->kind->broken(c);
			return;
		}
		c->tx_ms = now_ms;
		total += (size_t)n;
		chain_consume(&c->tx, (size_t)n);
		if (c->kind->sent != NULL)
			c->kind->sent(c, (size_t)n);
	}
}

/* Says that nothing more will go out. */
static void
conn_shut(struct conn *c)
{
	if (c->wr_shut)
		return;
	c->wr_shut = 1;
	shutdown(c->fd, SHUT_WR);
	conn_touch(c);
}

#define WRITE_STALL_MS 300000	/* a peer that takes nothing for so long is broken off */

/* A lingering conn has news: what comes is dropped. */
static void
linger_ready(struct conn *c, short revents)
{
	static char sink[16384];
	size_t got;
	enum io io;

	if (revents & POLLOUT)
		conn_flush_later(c);
	if (c->rd_eof || !(revents & ~POLLOUT))
		return;
	io = conn_read(c, sink, sizeof(sink), &got);
	c->drained += got;
	if (io == IO_ERROR || c->drained > LINGER_MAX ||
	    (io == IO_EOF && c->wr_shut))
		conn_kill(c);
}

static void
linger_sent(struct conn *c, size_t n)
{
	(void)n;
	if (c->tx.len > 0)
		return;
	conn_shut(c);
	c->since_ms = now_ms;
	if (c->rd_eof)
		conn_kill(c);
}

static short
linger_events(const struct conn *c)
{
	return (short)((c->tx.len > 0 ? POLLOUT : 0) |
	    (c->rd_eof ? 0 : POLLIN));
}

static long long
linger_deadline(const struct conn *c)
{
	return c->wr_shut ? c->since_ms + LINGER_MS : c->tx_ms + WRITE_STALL_MS;
}

static const struct kind linger_kind = {
	.name = "linger", .ready = linger_ready, .sent = linger_sent,
	.broken = conn_kill, .events = linger_events,
	.deadline = linger_deadline, .expire = conn_kill,
};

/* Lets c end in good order (RFC 9112 9.6): what waits is sent, then FIN, and
 * what still comes is read and dropped for a while, since unread bytes would
 * turn the close into an RST that eats the answer. */
static void
conn_linger(struct conn *c)
{
	if (c->dead || c->kind == &linger_kind)
		return;
	conn_state(c, CONN_LINGER);
	conn_guard(c, 0);
	list_leave(&c->place);
	conn_share(c, NULL, 0);
	buf_free(&c->rx);
	c->stream = NULL;
	c->link = NULL;
	c->kind = &linger_kind;
	conn_flush_later(c);
	if (c->tx.len == 0)
		linger_sent(c, 0);
}

/* -------------------------------------------------------------------- loop
 * Events mark, settle acts, the sweep frees.  poll() over thousands of idle
 * fds costs milliseconds, so conns that were quiet for a second move to a
 * second part of the set that is asked less often, and less still while it
 * has no news.
 */

#define PARTS_FROM 32		/* conns from which there are two parts */
#define SETTLE_AFTER 128	/* conns with news */
#define QUIET_MS 1000
#define SLICE_MS 10		/* longest poll of the first part alone */
#define CALM_MAX 3		/* periods that a second part without news waits longer */
#define COARSE_MS 50		/* how late a timer, or news of the second part, may be */
#define SLEEPY_MS 100		/* without news for so long: ask all, and sleep */

static int
loop_wait_ms(void)
{
	long long due = timer_next();

	if (loop.again)
		return 0;
	if (due == NEVER)
		return -1;
	if (due <= now_ms)
		return 0;
	/* Thousands of idle conns come due one by one: they are taken
	 * together, since each waking asks them all. */
	if (loop.n > PARTS_FROM && due - now_ms < COARSE_MS)
		return COARSE_MS;
	return (int)min_time(due - now_ms, 60000);
}

/* How many conns this turn asks, and for how long. */
static size_t
loop_reach(int *wait_ms)
{
	long long quiet = (long long)(loop.n - loop.active);
	long long period = min_time((1 + quiet / 500) * (1 + loop.calm),
	    COARSE_MS);

	*wait_ms = loop_wait_ms();
	if (loop.n <= PARTS_FROM || now_ms - loop.news_ms >= SLEEPY_MS)
		return loop.n;
	if (now_ms - loop.full_ms >= period) {
		*wait_ms = 0;
		return loop.n;
	}
	period = min_time(period, SLICE_MS);
	if (*wait_ms < 0 || *wait_ms > period)
		*wait_ms = (int)period;
	return loop.active;
}

/* Looks at a few conns of the first part, and moves the quiet ones. */
static void
loop_demote(void)
{
	int i;

	if (loop.n <= PARTS_FROM)
		return;
	for (i = 0; i < 16 && loop.active > 0; i++) {
		size_t at = loop.look++ % loop.active;

		if (now_ms - loop.who[at]->busy_ms >= QUIET_MS)
			loop_quiet(loop.who[at]);
	}
}

/* Handlers may add and move conns.  One that is passed over for that has its
 * news again at the next poll.  What a flood of news leaves in buffers is sent
 * off now and then, so that it does not fill the budget. */
static void
loop_dispatch(size_t reach, int news, void (*settle)(void))
{
	size_t i;
	int handled = 0;

	for (i = 0; i < reach && news > 0; i++) {
		struct conn *c = loop.who[i];
		short revents = loop.pfd[i].revents;

		if (revents == 0)
			continue;
		news--;
		if (i >= loop.active)
			loop.calm = 0;
		loop.pfd[i].revents = 0;
		loop_wake(c);
		if (c->dead)
			continue;
		conn_touch(c);
		c->kind->ready(c, revents);
		if (++handled % SETTLE_AFTER == 0)
			settle();
	}
}

static void
loop_turn(void (*settle)(void))
{
	int wait_ms, news;
	size_t reach;

	loop_sweep();
	reach = loop_reach(&wait_ms);
	loop.again = 0;
	news = poll(loop.pfd, (nfds_t)reach, wait_ms);
	if (news == -1 && errno != EINTR && errno != EAGAIN)
		die("poll:");
	now_ms = clock_us() / 1000;
	if (reach == loop.n) {
		loop.full_ms = now_ms;
		loop.calm += loop.calm < CALM_MAX;
	}
	if (news > 0) {
		loop.news_ms = now_ms;
		loop_dispatch(reach, news, settle);
	}
	timer_run();
	settle();
	loop_demote();
	out_flush(&out_log);
	out_flush(&out_person);
}

/* Signals arrive as bytes in a pipe, which the loop reads like any conn. */
static void
signal_note(int sig)
{
	int e = errno;
	unsigned char b = (unsigned char)sig;
	ssize_t n = write(loop.signal_fd[1], &b, 1);

	(void)n;		/* full: as many signals are known already */
	errno = e;
}

static void
signal_ready(struct conn *c, short revents)
{
	unsigned char b[32];
	size_t got, i;

	(void)revents;
	if (conn_read(c, b, sizeof(b), &got) != IO_DATA)
		return;
	for (i = 0; i < got; i++)
		loop.on_signal(b[i]);
}

static short
always_readable(const struct conn *c)
{
	(void)c;
	return POLLIN;
}

static long long
no_deadline(const struct conn *c)
{
	(void)c;
	return NEVER;
}

static const struct kind signal_kind = {
	.name = "signals", .ready = signal_ready, .broken = conn_kill,
	.events = always_readable, .deadline = no_deadline,
	.expire = conn_kill,
};

static void
fd_prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags != -1)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void
signal_catch(int sig, void (*fn)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = fn;
	sigemptyset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
}

/* Under nohup a hang-up stays ignored. */
static void
signal_catch_hangup(void)
{
	struct sigaction was;

	if (sigaction(SIGHUP, NULL, &was) == -1 || was.sa_handler != SIG_IGN)
		signal_catch(SIGHUP, signal_note);
}

static void
loop_init(void (*on_signal)(int))
{
	sigset_t none;

	now_ms = clock_us() / 1000;
	if (pipe(loop.signal_fd) == -1)
		die("pipe:");
	fd_prepare(loop.signal_fd[0]);
	fd_prepare(loop.signal_fd[1]);
	loop.on_signal = on_signal;
	if (conn_new(&signal_kind, loop.signal_fd[0], CONN_OPEN) == NULL)
		die("no memory to start");
	signal_catch(SIGPIPE, SIG_IGN);
	signal_catch(SIGTERM, signal_note);
	signal_catch(SIGINT, signal_note);
	signal_catch_hangup();
	signal_catch(SIGCHLD, signal_note);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ----------------------------------------------------------------- sockets
 * Addresses, listening and connecting.  Names are looked up in a short-lived
 * child, since getaddrinfo() may take as long as it likes.
 */

#define ADDRS_MAX 8

struct endpoint {
	char host[256];
	char port[6];
	struct sockaddr_storage addr[ADDRS_MAX];
	socklen_t len[ADDRS_MAX];
	int n;			/* addresses known; 0: to be looked up */
	int good;		/* the one that answered last, tried first */
};

static void
addr_from(struct addr *a, const struct sockaddr_storage *ss)
{
	memset(a, 0, sizeof(*a));
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)ss;

		a->family = 4;
		memcpy(a->ip, &in->sin_addr, 4);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)ss;

		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			a->family = 4;
			memcpy(a->ip, in6->sin6_addr.s6_addr + 12, 4);
		} else {
			a->family = 6;
			memcpy(a->ip, &in6->sin6_addr, 16);
		}
	}
}

static unsigned int
addr_group(const unsigned char *ip, int i)
{
	const unsigned char *g = ip + (ptrdiff_t)2 * i;

	return (unsigned int)g[0] << 8 | g[1];
}

/* Finds the longest run of zero groups, of two at least (RFC 5952 4.2). */
static int
addr_zeros(const unsigned char *ip, int *length)
{
	int i, run = 0, best = -1;

	*length = 1;
	for (i = 0; i < 8; i++) {
		run = addr_group(ip, i) == 0 ? run + 1 : 0;
		if (run > *length) {
			*length = run;
			best = i - run + 1;
		}
	}
	return best;
}

/* A group of an IPv6 address, without leading zeros. */
static void
addr_group_put(struct text *t, unsigned int v)
{
	static const char hex[] = "0123456789abcdef";
	int shift = 12;

	while (shift > 0 && v >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		text_char(t, hex[v >> shift & 15]);
}

/* Writes an address as RFC 5952 has it. */
static const char *
addr_text(const struct addr *a, char out[INET6_ADDRSTRLEN])
{
	struct text t = { out, INET6_ADDRSTRLEN, 0 };
	const unsigned char *ip = a->ip;
	int i, length, zeros;

	if (a->family == 0)
		return "unknown";
	if (a->family == 4) {
		text_put(out, INET6_ADDRSTRLEN, "%d.%d.%d.%d", ip[0], ip[1],
		    ip[2], ip[3]);
		return out;
	}
	zeros = addr_zeros(ip, &length);
	for (i = 0; i < 8; i++) {
		if (i == zeros) {
			text_char(&t, ':');
			i += length - 1;
			if (i == 7)
				text_char(&t, ':');
			continue;
		}
		if (i > 0)
			text_char(&t, ':');
		addr_group_put(&t, addr_group(ip, i));
	}
	out[t.len] = '\0';
	return out;
}

static void
endpoint_take(struct endpoint *e, const struct addrinfo *ai)
{
	e->n = 0;
	e->good = 0;
	for (; ai != NULL && e->n < ADDRS_MAX; ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof(e->addr[0]))
			continue;
		memcpy(&e->addr[e->n], ai->ai_addr, ai->ai_addrlen);
		e->len[e->n++] = ai->ai_addrlen;
	}
}

static int
host_is_numeric(const char *host)
{
	struct in6_addr any;

	return inet_pton(AF_INET, host, &any) == 1 ||
	    inet_pton(AF_INET6, host, &any) == 1;
}

/* Looks up e with the given flags.  Returns 0, or an error for
 * gai_strerror(). */
static int
endpoint_lookup(struct endpoint *e, int flags)
{
	struct addrinfo hints, *ai;
	int r;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = flags;
	r = getaddrinfo(e->host[0] != '\0' ? e->host : NULL, e->port, &hints,
	    &ai);
	if (r != 0)
		return r;
	endpoint_take(e, ai);
	freeaddrinfo(ai);
	return 0;
}

/* Starts connecting to address i.  Returns the fd, or -1 with errno. */
static int
endpoint_connect(const struct endpoint *e, int i)
{
	const struct sockaddr *sa = (const void *)&e->addr[i];
	int fd = socket(sa->sa_family, SOCK_STREAM, 0), one = 1, err;

	if (fd == -1)
		return -1;
	fd_prepare(fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, sa, e->len[i]) == 0 || errno == EINPROGRESS)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* How a connect() that was under way ended: 0, or its errno. */
static int
socket_error(int fd)
{
	int e = 0;
	socklen_t n = sizeof(e);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) == -1)
		return errno;
	return e;
}

/* --- children: the look-up, and the helper for wss:// in the client */

#define CHILDREN_MAX 8

static pid_t children[CHILDREN_MAX];

/* Forks with the signals as a fresh program expects them.  Returns as
 * fork(). */
static pid_t
child_fork(void)
{
	static const int caught[] = { SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	size_t i, slot = 0;
	pid_t pid;

	while (slot < CHILDREN_MAX && children[slot] > 0)
		slot++;
	if (slot == CHILDREN_MAX) {
		errno = EAGAIN;
		return -1;
	}
	out_flush(&out_log);
	out_flush(&out_person);
	pid = fork();
	if (pid > 0)
		children[slot] = pid;
	for (i = 0; pid == 0 && i < ARRAY_LEN(caught); i++)
		signal_catch(caught[i], SIG_DFL);
	return pid;
}

static void
children_reap(void)
{
	size_t i;

	for (i = 0; i < CHILDREN_MAX; i++)
		if (children[i] > 0 &&
		    waitpid(children[i], NULL, WNOHANG) == children[i])
			children[i] = 0;
}

/* Ends a child that may still run; it is reaped by its SIGCHLD. */
static void
child_kill(pid_t pid)
{
	size_t i;

	for (i = 0; i < CHILDREN_MAX; i++)
		if (pid > 0 && children[i] == pid)
			kill(pid, SIGKILL);
}

/* On the way out: no child is left behind. */
static void
children_end(void)
{
	size_t i;

	for (i = 0; i < CHILDREN_MAX; i++) {
		if (children[i] <= 0)
			continue;
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
		children[i] = 0;
	}
}

/* --- looking up a name in a child, which writes a struct endpoint, or an
 * int for gai_strerror() */

static struct {
	struct endpoint *e;		/* NULL: none is under way */
	void (*done)(struct endpoint *, const char *error);
	pid_t pid;
	struct conn *conn;
} lookup;

#define LOOKUP_MS 15000

static void
lookup_end(const char *error)
{
	struct endpoint *e = lookup.e;

	child_kill(lookup.pid);
	conn_kill(lookup.conn);
	lookup.e = NULL;
	lookup.done(e, error);
}

static void
lookup_ready(struct conn *c, short revents)
{
	enum io io = conn_fill(c, pool_size[POOL_BLOCK]);
	struct view got = buf_view(&c->rx);
	int err;

	(void)revents;
	if (io == IO_DATA || io == IO_WAIT)
		return;
	if (got.n == sizeof(*lookup.e)) {
		memcpy(lookup.e, got.p, got.n);
		lookup_end(NULL);
	} else if (got.n == sizeof(err)) {
		memcpy(&err, got.p, got.n);
		lookup_end(gai_strerror(err));
	} else {
		lookup_end("the look-up failed");
	}
}

static void
lookup_expire(struct conn *c)
{
	(void)c;
	lookup_end("no answer to the look-up");
}

static void
lookup_broken(struct conn *c)
{
	(void)c;
	lookup_end("the look-up failed");
}

static long long
lookup_deadline(const struct conn *c)
{
	return c->since_ms + LOOKUP_MS;
}

static const struct kind lookup_kind = {
	.name = "lookup", .ready = lookup_ready, .broken = lookup_broken,
	.events = always_readable, .deadline = lookup_deadline,
	.expire = lookup_expire,
};

static void
lookup_child(int fd, struct endpoint *e)
{
	int r = endpoint_lookup(e, AI_ADDRCONFIG);
	ssize_t n;

	if (r == 0)
		n = write(fd, e, sizeof(*e));
	else
		n = write(fd, &r, sizeof(r));
	_exit(n > 0 ? 0 : 1);
}

/* Looks up e in a child; done is called later.  Returns 0, or -1 where that
 * could not be started or one is under way. */
static int
lookup_start(struct endpoint *e, void (*done)(struct endpoint *, const char *))
{
	int fd[2];

	if (lookup.e != NULL || pipe(fd) == -1)
		return -1;
	fd_prepare(fd[0]);
	lookup.pid = child_fork();
	if (lookup.pid == 0)
		lookup_child(fd[1], e);
	close(fd[1]);
	if (lookup.pid == -1) {
		close(fd[0]);
		return -1;
	}
	lookup.conn = conn_new(&lookup_kind, fd[0], CONN_OPEN);
	if (lookup.conn == NULL)
		return -1;
	lookup.e = e;
	lookup.done = done;
	return 0;
}

/* ------------------------------------------------------------------- links
 * One WebSocket between server and client.  Frames go into tx whole and leave
 * in one write a turn; what has come is handled frame by frame.  A link is
 * always read: nothing that happens to a stream stops it.
 */

#define LINK_RX_MAX (256 << 10)		/* the largest v2 message and a read behind it */
#define LINK_TX_MAX (512 << 10)
#define LINK_BODY_ROOM (64 << 10)	/* body bytes go in while less is unwritten */
#define LINK_HEAD_ROOM (256 << 10)	/* heads */
#define LINK_READ (64 << 10)		/* read from one link in a turn, at least */
#define LINK_PING_MS 10000		/* nothing sent for so long: ping */
#define LINK_ALONE_MS 20000		/* nothing received for so long: gone */
#define LINK_ALONE_V1_MS 45000
#define LINK_CLOSE_MS 2000
#define LINK_CONTROLS_MAX 500		/* control or empty frames in a second */
#define V1_MESSAGE_MAX (16u << 20)
#define V1_KEPT (16u << 10)		/* of a message that is too large */
#define V1_FRAME_MAX (1u << 20)		/* a larger message goes in fragments */

struct link_ops {
	/* A whole message.  p may be written to, and is good for the call. */
	void (*message)(struct link *, int opcode, unsigned char *p, size_t n);
	/* A v1 message that could not be held: its first octets. */
	void (*oversize)(struct link *, const unsigned char *p, size_t n);
	/* All that has come was handled: the buffer that it lies in moves. */
	void (*handled)(void);
	/* No message comes or goes any more.  Called once. */
	void (*gone)(struct link *, int code, const char *why);
};

struct link {
	struct conn *c;
	const struct link_ops *ops;
	struct tunnel *tunnel;		/* server */
	struct item place;		/* in all_links */
	struct link *later_next;	/* of those with work in this turn */
	struct link *dead_next;
	struct buf tx;
	struct buf msg;			/* v1: a message that came in pieces */
	struct ws_order order;
	struct ws_frame frame;		/* v1: the one under way */
	unsigned long long frame_at;	/* octets of it seen */
	struct list streams;
	struct list light, heavy;	/* those that wait for their turn */
	long long max_streams;
	long long window;		/* credit that a request body starts with */
	unsigned char tx_mask[4];	/* v1: of the frame that is going out, */
	size_t tx_left, tx_at;		/* its octets to come, and gone */
	unsigned long long sent, received;	/* messages, but for acks */
	unsigned long long late;	/* for streams that are not there */
	long long tx_ms;
	long long rtt_us;		/* least ping time seen; 0: none */
	long long control_ms;
	long long expires;		/* server: exp of the token, seconds */
	int controls;
	int close_code;
	unsigned char pong[WS_CONTROL_MAX];
	size_t npong;
	unsigned char instance[16];
	unsigned char has_instance;
	unsigned char masks;		/* we are the WebSocket client */
	unsigned char v2, python;
	unsigned char in_frame, skipping;
	unsigned char pong_due;
	unsigned char leaving;		/* takes no new requests */
	unsigned char leave_due, left;	/* leave is to be sent; was sent */
	unsigned char peer_left;	/* leave came */
	unsigned char is_gone;		/* ops->gone was called */
	unsigned char close_out, close_in;
	unsigned char later, freed;
};

static struct list all_links;
static struct link *later_links, *dead_links;

/* Has l served and flushed at the end of the turn. */
static void
link_later(struct link *l)
{
	conn_touch(l->c);
	if (l->later || l->freed)
		return;
	l->later = 1;
	l->later_next = later_links;
	later_links = l;
}

static size_t
link_unwritten(const struct link *l)
{
	return l->tx.len;
}

static int
link_writable(const struct link *l)
{
	return !l->close_out && !l->freed;
}

/* Room for a payload of n octets behind the frames that wait.  NULL: the
 * link is closing or inside a frame, or there is no memory. */
static unsigned char *
link_begin(struct link *l, size_t n)
{
	unsigned char *p;

	if (!link_writable(l) || l->tx_left > 0)
		return NULL;
	p = buf_space(&l->tx, WS_FRAME_HEAD_MAX + n, LINK_TX_MAX);
	return p == NULL ? NULL : p + ws_frame_head_size(1024, l->masks);
}

/* Makes the n octets written there a frame.  Its head was guessed to be that
 * of a payload of middling length. */
static void
link_commit(struct link *l, int opcode, int fin, size_t n)
{
	unsigned char *p = l->tx.p + l->tx.off + l->tx.len;
	size_t guess = ws_frame_head_size(1024, l->masks);
	size_t head = ws_frame_head_size(n, l->masks);
	unsigned char mask[4];

	if (head != guess)
		memmove(p + head, p + guess, n);
	if (l->masks) {
		random_bytes(mask, sizeof(mask));
		ws_mask(p + head, n, mask, 0);
	}
	ws_frame_put(p, opcode, fin, n, l->masks ? mask : NULL);
	l->tx.len += head + n;
	link_later(l);
}

/* Queues a control frame, if there is room.  Returns whether it did. */
static int
link_control(struct link *l, int opcode, const void *p, size_t n)
{
	unsigned char *to;

	if (link_unwritten(l) > LINK_HEAD_ROOM + WS_V2_TEXT_MAX)
		return 0;
	to = link_begin(l, n);
	if (to == NULL)
		return 0;
	if (n > 0)
		memcpy(to, p, n);
	link_commit(l, opcode, 1, n);
	return 1;
}

static void
link_free_later(struct link *l)
{
	if (l->freed)
		return;
	l->freed = 1;
	l->dead_next = dead_links;
	dead_links = l;
}

static void
link_gone(struct link *l, int code, const char *why)
{
	if (l->is_gone)
		return;
	l->is_gone = 1;
	l->leaving = 1;
	l->ops->gone(l, code, why);
}

/* The connection is no more. */
static void
link_lost(struct link *l, const char *why)
{
	link_gone(l, l->close_code != 0 ? l->close_code : 1006, why);
	conn_kill(l->c);
	link_free_later(l);
}

/* Both close frames have passed and ours is written: the server ends TCP
 * first (RFC 6455 7.1.1). */
static void
link_closed(struct link *l)
{
	if (l->masks)
		return;
	conn_linger(l->c);
	link_free_later(l);
}

static void
link_close(struct link *l, int code, const char *reason)
{
	unsigned char body[WS_CONTROL_MAX];

	if (l->close_out || l->freed)
		return;
	link_gone(l, code, reason);
	if (!link_control(l, WS_CLOSE, body, ws_close_put(body, code, reason))) {
		link_lost(l, reason);
		return;
	}
	l->close_out = 1;
	conn_state(l->c, CONN_CLOSING);
}

/* The peer broke the protocol: minus a close code, as the codecs say it. */
static void
link_fail(struct link *l, int minus_code, const char *reason)
{
	if (l->close_out || l->freed)
		return;
	log_event(LEVEL_INFO, "event=link-fault code=%d reason=\"%s\"",
	    -minus_code, reason);
	link_close(l, -minus_code, reason);
}

static void
link_ping(struct link *l)
{
	long long us = clock_us();

	link_control(l, WS_PING, &us, sizeof(us));
}

/* The first ping of a v2 link tells its round trip, for the windows. */
static void
link_measure(struct link *l)
{
	if (l->v2)
		link_ping(l);
}

static void
link_pong(struct link *l, const unsigned char *p, size_t n)
{
	long long us, rtt;

	if (n != sizeof(us))
		return;
	memcpy(&us, p, n);
	rtt = clock_us() - us;
	if (rtt >= 0 && rtt < 60000000 && (l->rtt_us == 0 || rtt < l->rtt_us))
		l->rtt_us = rtt > 0 ? rtt : 1;
}

/* Counts frames that carry nothing.  Returns 0, or -1 where there are too
 * many in a second. */
static int
link_count_control(struct link *l)
{
	if (now_ms - l->control_ms >= 1000) {
		l->control_ms = now_ms;
		l->controls = 0;
	}
	if (++l->controls <= LINK_CONTROLS_MAX)
		return 0;
	link_fail(l, -1008, "too many control frames");
	return -1;
}

static void
link_peer_close(struct link *l, const unsigned char *p, size_t n)
{
	struct view reason;
	char why[WS_CONTROL_MAX * 4];
	int code, r = ws_close_parse(&code, &reason, p, n);

	if (l->close_in)
		return;
	l->close_in = 1;
	if (r < 0) {
		link_fail(l, r, "malformed close frame");
		return;
	}
	l->close_code = code;
	link_gone(l, code, text_safe(why, sizeof(why), reason));
	link_close(l, code, "");
	link_later(l);
}

static void
link_take_control(struct link *l, unsigned char *p, size_t n)
{
	if (link_count_control(l) == -1)
		return;
	switch (l->frame.opcode) {
	case WS_PING:
		/* Without room the newest waits (RFC 6455 5.5.3). */
		l->pong_due = !link_control(l, WS_PONG, p, n);
		memcpy(l->pong, p, n);
		l->npong = n;
		break;
	case WS_PONG:
		link_pong(l, p, n);
		break;
	case WS_CLOSE:
		link_peer_close(l, p, n);
		break;
	}
}

/* Hands a whole message up, unless the link is ending. */
static void
link_deliver(struct link *l, int opcode, unsigned char *p, size_t n)
{
	if (!l->is_gone)
		l->ops->message(l, opcode, p, n);
}

/* A v2 message is one frame, and takes effect only when whole. */
static void
link_take_v2(struct link *l, unsigned char *p, size_t n)
{
	if (l->frame.opcode == WS_TEXT && ws_utf8(0, p, n) != 0) {
		link_fail(l, -1007, "text is not UTF-8");
		return;
	}
	link_deliver(l, l->frame.opcode, p, n);
}

/* Keeps n more octets of a v1 message, or only its beginning. */
static void
link_keep_v1(struct link *l, const unsigned char *p, size_t n)
{
	unsigned char *to = NULL;

	if (!l->skipping && l->msg.len + n <= V1_MESSAGE_MAX &&
	    n <= budget_whole_room())
		to = buf_space(&l->msg, n, V1_MESSAGE_MAX + V1_KEPT);
	if (to == NULL) {
		l->skipping = 1;
		if (l->msg.len >= V1_KEPT)
			return;
		n = min_size(n, V1_KEPT - l->msg.len);
		to = buf_space(&l->msg, n, V1_MESSAGE_MAX + V1_KEPT);
		if (to == NULL)
			return;
	}
	memcpy(to, p, n);
	l->msg.len += n;
}

static void
link_end_v1(struct link *l, int opcode)
{
	static unsigned char nothing[1];
	struct buf msg = l->msg;
	int skipped = l->skipping;

	memset(&l->msg, 0, sizeof(l->msg));
	l->skipping = 0;
	if (!skipped)
		link_deliver(l, opcode, msg.len > 0 ? msg.p + msg.off : nothing,
		    msg.len);
	else if (!l->is_gone)
		l->ops->oversize(l, buf_view(&msg).p, msg.len);
	buf_free(&msg);
}

/* n octets of a v1 data frame have come.  A message that came whole in one
 * read is handed up where it lies. */
static void
link_take_v1(struct link *l, unsigned char *p, size_t n)
{
	int opcode = l->order.opcode, last, whole;

	if (l->frame.masked)
		ws_mask(p, n, l->frame.mask, l->frame_at);
	l->frame_at += n;
	l->in_frame = l->frame_at < l->frame.size;
	last = !l->in_frame && l->frame.fin;
	if (ws_order_data(&l->order, p, n, last) < 0) {
		link_fail(l, -1007, "text is not UTF-8");
		return;
	}
	if (!link_writable(l))
		return;		/* after our close nothing more is kept */
	whole = last && n == l->frame.size && l->msg.len == 0 && !l->skipping;
	if (whole) {
		link_deliver(l, opcode, p, n);
		return;
	}
	link_keep_v1(l, p, n);
	if (last)
		link_end_v1(l, opcode);
}

/* Whether this data frame can be a v2 message.  0 or minus a close code. */
static int
link_check_v2(const struct link *l)
{
	size_t max = l->frame.opcode == WS_TEXT ? WS_V2_TEXT_MAX :
	    WS_V2_BODY_MAX + WS_V2_BODY_HEAD;

	if (!l->frame.fin || l->frame.opcode == WS_CONTINUATION)
		return -1002;
	return l->frame.size > max ? -1009 : 0;
}

/* Reads the head of the next frame.  Returns the octets used, 0 to wait, or
 * minus a close code. */
static int
link_next_frame(struct link *l, struct view in)
{
	int r, bad;

	r = ws_frame_parse(&l->frame, in.p, in.n, !l->masks);
	if (r <= 0)
		return r;
	if (l->v2 && l->frame.opcode < WS_CLOSE)
		bad = link_check_v2(l);
	else
		bad = ws_order_frame(&l->order, &l->frame);
	if (bad != 0)
		return bad;
	l->frame_at = 0;
	return r;
}

/* Takes one step over what has come.  Returns the octets used, 0 to wait. */
static size_t
link_step(struct link *l, struct view in)
{
	unsigned char *p = l->c->rx.p + l->c->rx.off;
	size_t n;
	int head = 0;

	if (!l->in_frame) {
		head = link_next_frame(l, in);
		if (head < 0)
			link_fail(l, head, head == -1009 ?
			    "message too big" : "bad frame");
		if (head <= 0)
			return 0;
	}
	if (l->v2 || l->frame.opcode >= WS_CLOSE) {
		if (in.n - (size_t)head < l->frame.size)
			return 0;
		n = (size_t)l->frame.size;
		if (l->frame.masked)
			ws_mask(p + head, n, l->frame.mask, 0);
		if (l->frame.opcode >= WS_CLOSE)
			link_take_control(l, p + head, n);
		else
			link_take_v2(l, p + head, n);
		return (size_t)head + n;
	}
	l->in_frame = 1;
	n = (size_t)head;
	if (l->frame.size > 0 && in.n == n)
		return n;
	n = l->frame.size - l->frame_at < in.n - n ?
	    (size_t)(l->frame.size - l->frame_at) : in.n - n;
	if (l->frame.size == 0 && !l->frame.fin && link_count_control(l) == -1)
		return 0;
	link_take_v1(l, p + head, n);
	return (size_t)head + n;
}

/* Handles all whole frames.  After a close nothing more is looked at but the
 * peer's own close. */
static void
link_input(struct link *l)
{
	struct conn *c = l->c;
	size_t used = 1;

	while (used > 0 && c->rx.len > 0 && !c->dead && !l->freed &&
	    !l->close_in) {
		used = link_step(l, buf_view(&c->rx));
		if (l->close_out && used == 0) {
			buf_consume(&c->rx, c->rx.len);
			break;
		}
		buf_consume(&c->rx, used);
	}
	if (l->ops->handled != NULL)
		l->ops->handled();
}

static void
link_ready(struct conn *c, short revents)
{
	struct link *l = c->link;
	enum io io;

	if (revents & POLLOUT)
		link_later(l);
	if (!(revents & ~POLLOUT))
		return;
	if (buf_space(&c->rx, LINK_READ, LINK_RX_MAX) == NULL) {
		link_lost(l, "out of memory");
		return;
	}
	io = conn_fill(c, LINK_RX_MAX);
	link_input(l);
	if (io == IO_EOF)
		link_lost(l, "the other side closed the connection");
	else if (io == IO_ERROR)
		link_lost(l, strerror(errno));
}

static short
link_events(const struct conn *c)
{
	return (short)(POLLIN | (c->link->tx.len > 0 ? POLLOUT : 0));
}

static long long
link_alone_at(const struct link *l)
{
	return l->c->rx_ms + (l->v2 ? LINK_ALONE_MS : LINK_ALONE_V1_MS);
}

static long long
link_deadline(const struct conn *c)
{
	const struct link *l = c->link;

	if (c->state == CONN_CLOSING)
		return c->since_ms + LINK_CLOSE_MS;
	return min_time(link_alone_at(l), l->tx_ms + LINK_PING_MS);
}

static void
link_expire(struct conn *c)
{
	struct link *l = c->link;

	if (c->state == CONN_CLOSING) {
		link_lost(l, "no answer to the close");
	} else if (now_ms >= link_alone_at(l)) {
		link_lost(l, "nothing heard from the other side");
	} else {
		l->tx_ms = now_ms;
		link_ping(l);
	}
}

static void
link_broken(struct conn *c)
{
	link_lost(c->link, "the connection broke");
}

static const struct kind link_kind = {
	.name = "link", .ready = link_ready, .broken = link_broken,
	.events = link_events, .deadline = link_deadline,
	.expire = link_expire,
};

/* Writes what waits, in one call.  Returns whether all of it went. */
static int
link_flush(struct link *l)
{
	ssize_t n;

	if (l->tx.len == 0)
		return 1;
	n = write(l->c->fd, l->tx.p + l->tx.off, l->tx.len);
	if (n <= 0) {
		if (io_result(n) == IO_ERROR)
			link_lost(l, strerror(errno));
		return 0;
	}
	l->tx_ms = now_ms;
	buf_consume(&l->tx, (size_t)n);
	return l->tx.len == 0;
}

/* Makes conn c, whose handshake is done, a link.  NULL: no memory. */
static struct link *
link_new(struct conn *c, const struct link_ops *ops, int masks)
{
	struct link *l = calloc(1, sizeof(*l));
#ifdef TCP_NOTSENT_LOWAT
	int low = 128 << 10;
#endif

	if (l == NULL)
		return NULL;
	l->c = c;
	l->ops = ops;
	l->masks = masks != 0;
	l->tx_ms = now_ms;
	c->rx_ms = now_ms;
	l->max_streams = 1;
	list_add(&all_links, &l->place, l);
	c->link = l;
	c->kind = &link_kind;
	c->stream = NULL;
#ifdef TCP_NOTSENT_LOWAT
	setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof(low));
#endif
#ifdef TCP_USER_TIMEOUT
	{
		unsigned int ms = LINK_ALONE_V1_MS;

		setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms,
		    sizeof(ms));
	}
#endif
	return l;
}

static void
link_free(struct link *l)
{
	list_leave(&l->place);
	buf_free(&l->tx);
	buf_free(&l->msg);
	free(l);
}

static void
links_sweep(void)
{
	struct link *l, **at;

	for (at = &later_links; (l = *at) != NULL; ) {
		if (l->freed)
			*at = l->later_next;
		else
			at = &l->later_next;
	}
	while ((l = dead_links) != NULL) {
		dead_links = l->dead_next;
		link_free(l);
	}
}

/* Once a second: gives back what quiet links do not use. */
static void
links_trim(void)
{
	struct link *l;

	for (l = list_first(&all_links); l != NULL; l = list_after(&l->place)) {
		if (l->freed)
			continue;
		if (l->tx.len == 0 && now_ms - l->tx_ms >= 1000)
			buf_free(&l->tx);
		if (l->c->rx.len == 0 && now_ms - l->c->rx_ms >= 1000)
			buf_free(&l->c->rx);
	}
}

/* ----------------------------------------------------------------- streams
 * One request with its answer, tied to an HTTP conn on one side and to a link
 * on the other.  Seen from here a stream has a half that goes up, from the
 * conn to the link, and one that comes down: on the server the request goes
 * up, on the client the answer.  All that is common to both is in this
 * section; what differs is in struct role.
 *
 * Events only mark a stream.  It then takes its turn in the link's FIFO, which
 * is the only place where its bytes, ends, resets and grants go up.
 */

#define LABEL_MAX 96
#define V2_STREAMS 1024
#define V2_WINDOW 65536			/* credit that a request's body starts with */
#define PYTHON_MESSAGE_MAX (1 << 20)	/* the reference's client takes no more */
#define WINDOW_MIN (16 << 10)
#define WINDOW_FIRST_MAX (256 << 10)
#define WINDOW_MAX (8 << 20)
#define SMALL_PIECE 2048		/* body pieces below are copied, not written at once */
#define STALLED_MS 30000
#define RUN_MAX 4			/* body messages read in one call */
#define COLLECT_STEPS 8			/* pieces of a v1 body read in a row */

enum source_fault {
	SOURCE_EOF,			/* ended inside its body */
	SOURCE_BROKEN,			/* an error of the socket */
	SOURCE_BAD,			/* breaks HTTP's framing */
	SOURCE_TOO_BIG,			/* passed up_limit */
	SOURCE_NO_ROOM			/* the budget cannot hold it (v1) */
};

struct role {
	int answer_down;		/* the answer comes down, the request goes up */
	/* Passes on the head of the half that goes up.  Returns 1 when that
	 * is done, 0 to be called again when more has come. */
	int (*head)(struct stream *);
	/* The conn's bytes cannot be read to their end. */
	void (*fault)(struct stream *, enum source_fault);
	/* The conn takes no more bytes. */
	void (*sink_gone)(struct stream *);
	/* A message with a head or trailers came for the half that comes down. */
	void (*message)(struct stream *, struct ws_msg *);
	/* What comes down was broken off before its end.  Never frees s. */
	void (*lost)(struct stream *, int status, const char *why);
	/* Neither half is open: let go of the conn. */
	void (*over)(struct stream *);
};

struct stream {
	const struct role *role;
	unsigned char id[16];
	struct conn *http;
	struct link *link;
	struct tunnel *tunnel;		/* server */
	struct stream *hash_next;	/* also of the dead and the spare ones */
	struct item on_link;		/* in the link's streams */
	struct item turn;		/* in its light or heavy ones */
	struct item wait;		/* server: in the tunnel's queue */
	struct ws_half up, down;
	struct http_body source;	/* framing of what is read from http */
	enum http_framing sink;		/* framing of what is written to it */
	long long up_limit;		/* body octets allowed up */
	long long up_bytes, down_bytes;
	struct chain again;		/* client: the request's head, to be sent once more */
	struct chain hold;		/* v1: the message, until it is whole and sent */
	unsigned char carry[3];		/* v1: octets that do not fill a base64 quantum */
	size_t ncarry;
	size_t held;			/* body octets in http's tx */
	long long promised;		/* charged credit that has not come yet */
	long long window, freed;	/* credit in all; octets gone since the last grant */
	long long grant_ms;
	long long start_ms, begun_ms, up_end_ms;
	int reset_status;
	const char *reset_why;
	const char *fault;		/* client: why it failed here; static text */
	int status;			/* of the answer, for the log */
	int informational;		/* 1xx seen */
	unsigned char head_up;		/* the head of the half that goes up has passed */
	unsigned char head_down;	/* the head of the other one */
	unsigned char reset_due, grant_due, send_due;
	unsigned char hold_begun;	/* v1: part of the message is in the link */
	long long burst, turn_ms;	/* octets it put there lately, up to then */
	unsigned char is_over, freed_flag;
	unsigned char sink_dead;	/* http takes no more: what comes down is dropped */
	unsigned char shut_due;		/* raw: FIN follows what is queued */
	unsigned char head_only, upgrade, minor, retry;
	char label[LABEL_MAX];		/* method and path, for people */
};

#define STREAM_BUCKETS 2048

static struct stream *stream_table[STREAM_BUCKETS];
static struct stream *spare_streams, *dead_streams;
static unsigned long long stream_seed;
static struct ws_msg msg_in, msg_out;	/* too large for the stack */

static const char answered[] = "answered before the request was whole";

static void stream_check(struct stream *);

/* A hostile server chooses the ids that its client sees, but not the seed,
 * and never more than the agreed number at once. */
static struct stream **
stream_bucket(const unsigned char id[16])
{
	unsigned long long a, b;

	memcpy(&a, id, 8);
	memcpy(&b, id + 8, 8);
	a = (a ^ stream_seed) * 0x9e3779b97f4a7c15u;
	a = (a ^ (a >> 32) ^ b) * 0xd6e8feb86659fd93u;
	return &stream_table[(a >> 40) % STREAM_BUCKETS];
}

static struct stream *
stream_find(const unsigned char id[16])
{
	struct stream *s = *stream_bucket(id);

	while (s != NULL && memcmp(s->id, id, 16) != 0)
		s = s->hash_next;
	return s;
}

/* Makes a stream for conn c.  NULL: no memory. */
static struct stream *
stream_new(const struct role *role, struct conn *c, const unsigned char id[16])
{
	struct stream *s = spare_streams, **at;

	if (s != NULL)
		spare_streams = s->hash_next;
	else
		s = malloc(sizeof(*s));
	if (s == NULL)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->role = role;
	s->http = c;
	memcpy(s->id, id, 16);
	s->start_ms = s->grant_ms = now_ms;
	s->up_limit = LLONG_MAX;
	if (stream_seed == 0)
		random_bytes(&stream_seed, sizeof(stream_seed));
	at = stream_bucket(id);
	s->hash_next = *at;
	*at = s;
	if (c != NULL)
		c->stream = s;
	return s;
}

/* Ties s to link l. */
static void
stream_join(struct stream *s, struct link *l)
{
	s->link = l;
	list_add(&l->streams, &s->on_link, s);
}

static void
stream_leave_link(struct stream *s)
{
	struct link *l = s->link;

	if (l == NULL)
		return;
	list_leave(&s->on_link);
	s->link = NULL;
	if (!l->freed)
		link_later(l);
}

/* A stream is heavy while it puts more into the link than leaks from this
 * small bucket; the others go first, so that a small answer waits for no round
 * of all the large ones. */
#define BURST_MAX (16 << 10)
#define BURST_LEAK 32		/* octets in a ms */

static struct list *
turn_list(struct stream *s)
{
	long long leak = (now_ms - s->turn_ms) * BURST_LEAK;

	s->turn_ms = now_ms;
	s->burst = s->burst > leak ? s->burst - leak : 0;
	return s->burst < BURST_MAX ? &s->link->light : &s->link->heavy;
}

static void
turn_wait(struct stream *s)
{
	if (s->turn.in != NULL || s->link == NULL)
		return;
	list_add(turn_list(s), &s->turn, s);
	link_later(s->link);
}

static int
turn_none(const struct link *l)
{
	return l->light.n == 0 && l->heavy.n == 0;
}

static struct stream *
turn_take(struct link *l)
{
	struct stream *s = list_first(l->light.n > 0 ? &l->light : &l->heavy);

	if (s != NULL)
		list_leave(&s->turn);
	return s;
}

/* v1: the stream whose message is half in the link stays in front. */
static void
turn_put_back(struct link *l, struct stream *s)
{
	list_insert(&l->light, &s->turn, s, l->light.head);
}

/* Forgets s.  Its memory lasts until the end of the turn. */
static void
stream_free(struct stream *s)
{
	struct stream **at = stream_bucket(s->id);

	if (s->freed_flag)
		return;
	s->freed_flag = 1;
	while (*at != s)
		at = &(*at)->hash_next;
	*at = s->hash_next;
	list_leave(&s->turn);
	stream_leave_link(s);
	chain_free(&s->hold);
	budget_return((size_t)s->promised);
	s->promised = 0;
	if (s->http != NULL && s->http->stream == s)
		s->http->stream = NULL;
	s->hash_next = dead_streams;
	dead_streams = s;
}

static void
streams_sweep(void)
{
	struct stream *s;

	while ((s = dead_streams) != NULL) {
		dead_streams = s->hash_next;
		s->hash_next = spare_streams;
		spare_streams = s;
	}
}

/* Releases what is over.  A reset or a v1 message that waits for room in the
 * link keeps the stream for so long. */
static void
stream_check(struct stream *s)
{
	if (s->is_over || s->freed_flag)
		return;
	if (s->up.state == WS_HALF_OPEN || s->down.state == WS_HALF_OPEN ||
	    s->reset_due || s->hold.len > 0)
		return;
	s->is_over = 1;
	s->role->over(s);
	stream_free(s);
}

/* --- credit for the half that comes down */

/* What an answer's window is at first (design: a 1024th of what is free). */
static long long
window_first(void)
{
	size_t w = budget_free() / 1024;

	if (w < WINDOW_MIN)
		w = WINDOW_MIN;
	return (long long)min_size(w, WINDOW_FIRST_MAX);
}

/* Promises the first credit.  Returns 0, or -1 where the budget is full. */
static int
window_open(struct stream *s, long long bytes)
{
	if (budget_charge((size_t)bytes) == -1)
		return -1;
	s->promised = s->window = bytes;
	return 0;
}

static void
window_close(struct stream *s)
{
	budget_return((size_t)s->promised);
	s->promised = 0;
	s->grant_due = 0;
}

/* Octets have left for good: when half a window has, more may come. */
static void
window_freed(struct stream *s, size_t n)
{
	s->freed += (long long)n;
	if (s->link == NULL || !s->link->v2 ||
	    s->down.state != WS_HALF_OPEN || s->freed < s->window / 2)
		return;
	s->grant_due = 1;
	turn_wait(s);
}

/* How large the window should be from now on.  As credit comes by halves, one
 * that holds its stream back is used up in two round trips, or a little more
 * with queues on the way: within three it doubles while memory is plenty. */
static long long
window_next(const struct stream *s)
{
	long long rtt = s->link->rtt_us > 1000 ? s->link->rtt_us : 1000;
	long long took = (now_ms - s->grant_ms) * 1000;
	long long brisk = 3 * rtt * s->freed;

	if (took * s->window <= brisk && s->window < WINDOW_MAX &&
	    budget.used < budget.max / 4 * 3)
		return s->window * 2;
	if (took * s->window > 2 * brisk && s->window > WINDOW_MIN)
		return s->window / 2;
	return s->window;
}

/* How much more credit the peer gets: back to a full window. */
static long long
window_grant(struct stream *s)
{
	long long want, window = window_next(s);

	want = window - s->promised - (long long)s->held;
	if (want <= 0) {
		s->freed = 0;
		s->window = window;
		s->grant_ms = now_ms;
		return 0;
	}
	if (budget_charge((size_t)want) == -1) {
		want = s->freed;
		window = s->window;
		if (want <= 0 || budget_charge((size_t)want) == -1)
			return 0;
	}
	s->promised += want;
	s->window = window;
	s->freed = 0;
	s->grant_ms = now_ms;
	return want;
}

/* --- writing messages to the link */

/* Puts msg_out on link l.  Returns 0, or -1 where it does not fit a message
 * or there is no memory. */
static int
link_put_msg(struct link *l)
{
	struct json_out o = { NULL, WS_V2_TEXT_MAX, 0, 0 };

	o.p = link_begin(l, WS_V2_TEXT_MAX);
	if (o.p == NULL)
		return -1;
	ws_v2_put(&o, &msg_out);
	if (o.len > o.cap)
		return -1;
	link_commit(l, WS_TEXT, 1, o.len);
	l->sent++;
	return 0;
}

/* Readies msg_out for a message about s. */
static void
msg_start(const struct stream *s, enum ws_type type)
{
	size_t fields = offsetof(struct ws_msg, field);

	memset(&msg_out, 0, fields);
	msg_out.type = type;
	memcpy(msg_out.id, s->id, 16);
}

static void
put_reset(struct stream *s)
{
	msg_start(s, WS_MSG_RESET);
	msg_out.status = s->reset_status;
	msg_out.reason = view_of(s->reset_why);
	link_put_msg(s->link);
	s->reset_due = 0;
}

static void
put_grant(struct stream *s)
{
	s->grant_due = 0;
	if (s->down.state != WS_HALF_OPEN)
		return;
	msg_start(s, WS_MSG_WINDOW);
	msg_out.bytes = window_grant(s);
	if (msg_out.bytes == 0)
		return;
	ws_half_grant(&s->down, msg_out.bytes);
	link_put_msg(s->link);
}

/* Makes the n body octets at p + WS_V2_BODY_HEAD a message. */
static void
put_body(struct stream *s, unsigned char *p, size_t n, int end)
{
	p[0] = end != 0;
	memcpy(p + 1, s->id, 16);
	link_commit(s->link, WS_BINARY, 1, WS_V2_BODY_HEAD + n);
	s->burst += (long long)n;
	s->link->sent++;
}

/* --- ending */

static void
stream_drop_halves(struct stream *s)
{
	if (s->up.state == WS_HALF_OPEN)
		s->up.state = WS_HALF_RESET;
	if (s->down.state == WS_HALF_OPEN)
		s->down.state = WS_HALF_RESET;
	window_close(s);
	if (!s->hold_begun) {
		chain_free(&s->hold);
		s->send_due = 0;
	}
}

/* Parts s from its conn. */
static void
stream_detach(struct stream *s)
{
	if (s->http == NULL)
		return;
	s->http->stream = NULL;
	s->http = NULL;
}

/* Breaks off whatever has not ended, and tells the peer.  why: a static
 * string. */
static void
stream_reset(struct stream *s, int status, const char *why)
{
	int open = s->up.state == WS_HALF_OPEN ||
	    s->down.state == WS_HALF_OPEN;

	stream_drop_halves(s);
	if (open && s->link != NULL && s->link->v2 && link_writable(s->link)) {
		s->reset_due = 1;
		s->reset_status = status;
		s->reset_why = why;
		turn_wait(s);
	}
	stream_check(s);
}

/* The half that goes up has ended in good order.  An answer that ends before
 * its request breaks off what is left of that. */
static void
stream_up_ended(struct stream *s)
{
	s->up_end_ms = now_ms;
	if (s->http != NULL)
		conn_touch(s->http);
	if (!s->role->answer_down && s->down.state == WS_HALF_OPEN &&
	    s->source.framing != HTTP_RAW)
		stream_reset(s, 502, answered);
	else
		stream_check(s);
}

/* --- what goes up, v1: a JSON message that holds the body in base64 */

static int
hold_put(struct stream *s, const void *p, size_t n)
{
	if (n > budget_whole_room() || chain_put(&s->hold, p, n) == -1)
		return -1;
	return 0;
}

/* Encodes n octets into the message.  Only whole quanta go out until the last. */
static int
hold_body(struct stream *s, const unsigned char *p, size_t n)
{
	unsigned char text[BASE64_SIZE(3072)];

	while (s->ncarry > 0 && n > 0) {
		s->carry[s->ncarry++] = *p++;
		n--;
		if (s->ncarry < 3)
			continue;
		if (hold_put(s, text, base64_encode(text, s->carry, 3)) == -1)
			return -1;
		s->ncarry = 0;
	}
	while (n >= 3) {
		size_t k = min_size(n / 3 * 3, 3072);

		if (hold_put(s, text, base64_encode(text, p, k)) == -1)
			return -1;
		p += k;
		n -= k;
	}
	if (n > 0)
		memcpy(s->carry, p, n);
	s->ncarry += n;
	return 0;
}

/* Closes the message: what is left of the body, and the tail. */
static int
hold_end(struct stream *s)
{
	unsigned char text[128];
	struct json_out o = { text, sizeof(text), 0, 0 };

	if (s->ncarry > 0 && hold_put(s, text,
	    base64_encode(text, s->carry, s->ncarry)) == -1)
		return -1;
	s->ncarry = 0;
	msg_start(s, s->link->masks ? WS_MSG_RESPONSE : WS_MSG_REQUEST);
	msg_out.status = s->status;
	ws_v1_tail_put(&o, &msg_out);
	return hold_put(s, text, o.len);
}

/* Starts a frame of the message: a fragment where it is very large, so that
 * pings and pongs come through between them. */
static int
hold_begin_frame(struct stream *s)
{
	struct link *l = s->link;
	size_t n = min_size(s->hold.len, V1_FRAME_MAX);
	unsigned char *p = link_begin(l, 0);

	if (p == NULL)
		return -1;
	if (l->masks)
		random_bytes(l->tx_mask, sizeof(l->tx_mask));
	p = l->tx.p + l->tx.off + l->tx.len;
	l->tx.len += ws_frame_put(p, s->hold_begun ? WS_CONTINUATION : WS_TEXT,
	    n == s->hold.len, n, l->masks ? l->tx_mask : NULL);
	l->tx_left = n;
	l->tx_at = 0;
	s->hold_begun = 1;
	return 0;
}

/* Moves a piece of the message into the link. */
static void
hold_send(struct stream *s)
{
	struct link *l = s->link;
	size_t n, at, k;
	unsigned char *p;

	if (l->tx_left == 0 && hold_begin_frame(s) == -1)
		return;
	n = min_size(l->tx_left, LINK_BODY_ROOM);
	p = buf_space(&l->tx, n, LINK_TX_MAX);
	if (p == NULL)
		return;
	for (at = 0; at < n; at += k) {
		struct block *b = s->hold.head;

		k = min_size(b->len, n - at);
		memcpy(p + at, b->data + b->off, k);
		chain_consume(&s->hold, k);
	}
	if (l->masks)
		ws_mask(p, n, l->tx_mask, l->tx_at);
	l->tx_at += n;
	l->tx_left -= n;
	l->tx.len += n;
	link_later(l);
	if (s->hold.len > 0)
		return;
	l->sent++;
	s->hold_begun = 0;
	s->send_due = 0;
	if (s->up.state == WS_HALF_OPEN)
		s->up.state = WS_HALF_ENDED;
	stream_up_ended(s);
}

/* --- what goes up: reading the source */

enum step { STEP_WAIT, STEP_DATA, STEP_END, STEP_TRAILERS, STEP_FAULT };

/* Copies body octets from rx to out[*n..cap), as far as they are there. */
static enum step
source_copy(struct stream *s, unsigned char *out, size_t *n, size_t cap)
{
	struct buf *rx = &s->http->rx;

	for (;;) {
		struct view in = buf_view(rx), data;
		enum http_body_event ev;
		size_t used;

		if (*n == cap && s->source.framing == HTTP_CHUNKED)
			return STEP_DATA;
		in.n = min_size(in.n, cap - *n);
		ev = http_body_next(&s->source, in.p, in.n, &used, &data);
		if (ev == HTTP_BODY_DATA) {
			memcpy(out + *n, data.p, data.n);
			*n += data.n;
		}
		buf_consume(rx, used);
		if (ev == HTTP_BODY_END)
			return STEP_END;
		if (ev == HTTP_BODY_TRAILERS)
			return STEP_TRAILERS;
		if (ev == HTTP_BODY_BAD)
			return STEP_FAULT;
		if (ev == HTTP_BODY_MORE && (rx->len == 0 || used == 0))
			return *n > 0 ? STEP_DATA : STEP_WAIT;
	}
}

/* Reads straight from the socket to out, where what is read is all body. */
static enum io
source_read(struct stream *s, unsigned char *out, size_t *n, size_t cap)
{
	struct view data;
	size_t want = cap - *n, got, used;
	enum io io;

	if (s->source.framing == HTTP_LENGTH &&
	    s->source.left < (long long)want)
		want = (size_t)s->source.left;
	io = conn_read(s->http, out + *n, want, &got);
	if (io == IO_DATA) {
		http_body_next(&s->source, out + *n, got, &used, &data);
		*n += got;
	}
	return io;
}

static int
source_is_raw(const struct stream *s)
{
	return s->source.framing != HTTP_CHUNKED &&
	    s->source.framing != HTTP_NO_BODY;
}

static int
source_done(const struct stream *s)
{
	return s->source.framing == HTTP_NO_BODY ||
	    (s->source.framing == HTTP_LENGTH && s->source.left == 0);
}

/* Whether EOF is how this body ends. */
static int
source_ends_by_eof(const struct stream *s)
{
	return s->source.framing == HTTP_UNTIL_CLOSE ||
	    s->source.framing == HTTP_RAW;
}

/* Gathers the next octets of the body: from rx, then from the socket.  *io
 * tells what the socket said. */
static enum step
source_gather(struct stream *s, unsigned char *out, size_t *n, size_t cap,
    enum io *io)
{
	enum step step;

	*n = 0;
	*io = IO_DATA;
	if (source_done(s))
		return STEP_END;
	step = source_copy(s, out, n, cap);
	if (step == STEP_END || step == STEP_FAULT || step == STEP_TRAILERS ||
	    *n == cap)
		return step;
	if (s->http->rd_eof) {
		*io = IO_EOF;
	} else if (source_is_raw(s)) {
		*io = source_read(s, out, n, cap);
	} else {
		*io = conn_fill(s->http, pool_size[POOL_LARGE]);
		if (*io == IO_DATA)
			step = source_copy(s, out, n, cap);
	}
	if (step == STEP_END || step == STEP_FAULT || step == STEP_TRAILERS)
		return step;
	if (source_done(s) || (*io == IO_EOF && source_ends_by_eof(s)))
		return STEP_END;
	return *n > 0 ? STEP_DATA : STEP_WAIT;
}

/* The same with the rules that hold for every source: the limit, and which
 * fault it is where it breaks.  Returns STEP_FAULT after the role was told. */
static enum step
source_step(struct stream *s, unsigned char *out, size_t *n, size_t cap)
{
	enum io io;
	enum step step = source_gather(s, out, n, cap, &io);

	s->up_bytes += (long long)*n;
	if (s->up_bytes > s->up_limit) {
		s->role->fault(s, SOURCE_TOO_BIG);
		return STEP_FAULT;
	}
	if (step == STEP_FAULT) {
		s->role->fault(s, SOURCE_BAD);
	} else if (step == STEP_WAIT && (io == IO_EOF || io == IO_ERROR)) {
		s->role->fault(s, io == IO_EOF ? SOURCE_EOF : SOURCE_BROKEN);
		return STEP_FAULT;
	}
	return step;
}

/* The last chunk is past: parses the trailer section, whose *size octets the
 * caller then consumes; the fields are in msg_out until then. */
static enum step
source_trailers(struct stream *s, size_t *size)
{
	struct conn *c = s->http;
	struct view in = buf_view(&c->rx);
	enum io io;
	int r;

	msg_start(s, WS_MSG_TRAILERS);
	r = http_trailers_parse(msg_out.field, &msg_out.nfields, in.p, in.n,
	    &c->scanned);
	if (r > 0) {
		c->scanned = 0;
		*size = (size_t)r;
		return STEP_END;
	}
	if (r < 0) {
		s->role->fault(s, SOURCE_BAD);
		return STEP_FAULT;
	}
	io = conn_fill(c, pool_size[POOL_LARGE]);
	if (io == IO_DATA || io == IO_WAIT)
		return io == IO_DATA ? STEP_DATA : STEP_WAIT;
	s->role->fault(s, SOURCE_EOF);
	return STEP_FAULT;
}

/* Passes the trailers on, if any, and ends the half.  Returns 1 if there may
 * be more at once. */
static int
up_trailers(struct stream *s)
{
	unsigned char *p;
	size_t size;
	enum step step = source_trailers(s, &size);

	if (step != STEP_END)
		return step == STEP_DATA;
	msg_out.nfields = http_trailers_filter(msg_out.field, msg_out.nfields);
	ws_half_pass(&s->up, 0, 1);
	if (msg_out.nfields == 0 || link_put_msg(s->link) == -1) {
		p = link_begin(s->link, WS_V2_BODY_HEAD);
		if (p != NULL)
			put_body(s, p, 0, 1);
	}
	buf_consume(&s->http->rx, size);
	stream_up_ended(s);
	return 0;
}

/* How many full messages may be read in one call: where all that comes is
 * body, no light stream waits for the link, and the credit is there. */
static int
up_run_length(const struct stream *s)
{
	long long n = min_time(s->up.credit, s->up_limit - s->up_bytes);

	if (s->link->light.n > 0 || !source_is_raw(s) ||
	    s->http->rx.len > 0)
		return 0;
	if (s->source.framing == HTTP_LENGTH)
		n = min_time(n, s->source.left);
	return (int)min_time(n / WS_V2_BODY_MAX, RUN_MAX);
}

/* Makes messages of the got octets that were read to where frames at p would
 * have their bodies. */
static void
up_run_put(struct stream *s, unsigned char *p, size_t got, size_t stride)
{
	struct view data;
	size_t n, used;
	int end;

	for (; got > 0; got -= n, p += stride) {
		n = min_size(got, WS_V2_BODY_MAX);
		http_body_next(&s->source, p + WS_V2_BODY_HEAD, n, &used, &data);
		end = n == got && source_done(s);
		ws_half_pass(&s->up, n, end);
		put_body(s, p, n, end);
		s->up_bytes += (long long)n;
	}
	if (s->up.state != WS_HALF_OPEN)
		stream_up_ended(s);
}

/* Reads run messages' worth of body straight into the link.  Returns 1 if
 * there may be more at once. */
static int
up_run(struct stream *s, int run)
{
	struct iovec iov[RUN_MAX];
	size_t got, stride = WS_V2_BODY_HEAD + WS_V2_BODY_MAX +
	    ws_frame_head_size(WS_V2_BODY_MAX, s->link->masks);
	unsigned char *p = link_begin(s->link, stride * RUN_MAX);
	int i;

	if (p == NULL)
		return 0;
	for (i = 0; i < run; i++) {
		iov[i].iov_base = p + (size_t)i * stride + WS_V2_BODY_HEAD;
		iov[i].iov_len = WS_V2_BODY_MAX;
	}
	if (conn_readv(s->http, iov, run, &got) != IO_DATA)
		return s->http->rd_eof || s->http->rd_failed;
	up_run_put(s, p, got, stride);
	return s->up.state == WS_HALF_OPEN &&
	    (got == (size_t)run * WS_V2_BODY_MAX || s->http->slot == NO_SLOT);
}

/* One message of body, v2, or a run of them.  Returns 1 if there may be more
 * at once. */
static int
up_piece(struct stream *s)
{
	size_t n, cap = WS_V2_BODY_MAX;
	unsigned char *p;
	enum step step;
	int run = up_run_length(s);

	if (s->up.credit <= 0)
		return 0;
	if (run > 1 && !s->http->rd_eof && !s->http->rd_failed)
		return up_run(s, run);
	if (s->up.credit < (long long)cap)
		cap = (size_t)s->up.credit;
	p = link_begin(s->link, WS_V2_BODY_HEAD + cap);
	if (p == NULL)
		return 0;
	step = source_step(s, p + WS_V2_BODY_HEAD, &n, cap);
	if (step == STEP_WAIT || step == STEP_FAULT)
		return 0;
	if (n > 0 || step == STEP_END) {
		ws_half_pass(&s->up, n, step == STEP_END);
		put_body(s, p, n, step == STEP_END);
	}
	if (step == STEP_END) {
		stream_up_ended(s);
		return 0;
	}
	if (step == STEP_TRAILERS)
		return up_trailers(s);
	/* An end that is known already makes no further event. */
	return n == cap || s->http->rx.len > 0 || s->http->rd_eof ||
	    s->http->rd_failed || s->http->slot == NO_SLOT;
}

/* v1: reads the body into the message.  Returns 1 if there is more to do. */
static int
up_collect(struct stream *s)
{
	unsigned char piece[12288];
	size_t n;
	enum step step = source_step(s, piece, &n, sizeof(piece));

	if (step == STEP_FAULT || step == STEP_WAIT)
		return 0;
	if (hold_body(s, piece, n) == -1) {
		s->role->fault(s, SOURCE_NO_ROOM);
		return 0;
	}
	if (step == STEP_TRAILERS) {
		step = source_trailers(s, &n);
		if (step == STEP_END)
			buf_consume(&s->http->rx, n);
	}
	if (step == STEP_END && hold_end(s) == -1) {
		s->role->fault(s, SOURCE_NO_ROOM);
		return 0;
	}
	s->send_due = step == STEP_END;
	return step != STEP_FAULT && step != STEP_WAIT;
}

/* One turn at the link.  Returns 1 if s wants another one. */
static int
stream_turn(struct stream *s)
{
	struct link *l = s->link;

	if (s->reset_due) {
		put_reset(s);
		stream_check(s);
		return 0;
	}
	if (s->grant_due)
		put_grant(s);
	if (s->send_due) {
		hold_send(s);
		return s->send_due;
	}
	if (s->up.state != WS_HALF_OPEN || s->http == NULL)
		return 0;
	if (!s->head_up && !s->role->head(s))
		return 0;
	if (s->up.state != WS_HALF_OPEN || s->freed_flag)
		return 0;
	return l->v2 ? up_piece(s) : 0;
}

/* Lets the streams take turns at the link while it has room. */
static void
link_serve(struct link *l)
{
	struct stream *s;

	if (l->pong_due && link_control(l, WS_PONG, l->pong, l->npong))
		l->pong_due = 0;
	while (link_writable(l) && link_unwritten(l) < LINK_BODY_ROOM &&
	    (s = turn_take(l)) != NULL) {
		int more = stream_turn(s);

		if (s->freed_flag)
			continue;
		if (more && s->hold_begun)
			turn_put_back(l, s);
		else if (more)
			turn_wait(s);
		else if (s->http != NULL)
			conn_touch(s->http);
	}
	if (l->leave_due && !l->left && link_writable(l)) {
		memset(&msg_out, 0, offsetof(struct ws_msg, field));
		msg_out.type = WS_MSG_LEAVE;
		l->left = link_put_msg(l) == 0;
	}
}

/* --- what comes down */

/* Large pieces that came for one stream in a row are written together, from
 * where they lie in the link's buffer: before that moves, or anything else is
 * done with the conn, gather_write() must be called. */
#define GATHER_MAX 16

static struct {
	struct conn *c;			/* NULL: nothing waits */
	struct iovec iov[3 * GATHER_MAX];
	unsigned char head[GATHER_MAX][20];
	int k, n;			/* entries of iov; pieces */
	size_t octets;
} gather;

static void
gather_write(void)
{
	struct conn *c = gather.c;

	gather.c = NULL;
	if (c == NULL || c->dead)
		return;
	if (c->tx.len > 0)
		conn_flush(c);
	if (!c->dead)
		conn_write(c, gather.iov, gather.k, gather.octets);
}

static void
gather_add(const void *p, size_t n)
{
	gather.iov[gather.k].iov_base = (void *)p;
	gather.iov[gather.k++].iov_len = n;
	gather.octets += n;
}

static void
gather_piece(struct conn *c, const unsigned char *p, size_t n, int chunked)
{
	unsigned char *head;

	if (gather.c != c || gather.n == GATHER_MAX) {
		gather_write();
		gather.c = c;
		gather.k = gather.n = 0;
		gather.octets = 0;
	}
	head = gather.head[gather.n++];
	if (chunked)
		gather_add(head, http_chunk_head(head, n));
	gather_add(p, n);
	if (chunked)
		gather_add("\r\n", 2);
}

/* Octets for the conn, with the framing that it was promised. */
static void
down_write(struct stream *s, const unsigned char *p, size_t n)
{
	int chunked = s->sink == HTTP_CHUNKED;
	unsigned char head[20];

	s->held += n;
	if (n >= SMALL_PIECE && s->link != NULL && s->link->v2) {
		gather_piece(s->http, p, n, chunked);
		return;
	}
	gather_write();
	if (s->http == NULL)
		return;			/* it broke just now */
	if (chunked)
		conn_put(s->http, head, http_chunk_head(head, n));
	conn_put(s->http, p, n);
	if (chunked)
		conn_put(s->http, "\r\n", 2);
}

/* Body octets came for s.  Returns 0, or -1002 for the link. */
static int
stream_down(struct stream *s, const unsigned char *p, size_t n, int end)
{
	static const char wrong_length[] =
	    "the body is not as long as its Content-Length says";
	int r = ws_half_pass(&s->down, n, end);
	size_t charged = min_size(n, (size_t)s->promised);

	if (r == -1002)
		return r;
	s->promised -= (long long)charged;
	budget_return(charged);
	if (r == -1) {
		gather_write();
		s->down.state = WS_HALF_OPEN;
		s->role->lost(s, 502, wrong_length);
		stream_reset(s, 502, wrong_length);
		return 0;
	}
	s->down_bytes += (long long)n;
	if (n > 0 && !s->sink_dead && s->http != NULL && !s->http->dead)
		down_write(s, p, n);
	else
		window_freed(s, n);
	return 0;
}

/* The half that comes down has ended: f are its trailers. */
static void
stream_down_end(struct stream *s, const struct http_field *f, size_t n)
{
	unsigned char space[HTTP_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };

	gather_write();
	window_close(s);
	if (s->sink == HTTP_CHUNKED && !s->sink_dead && s->http != NULL) {
		http_last_chunk_put(&o, f, n);
		if (o.len > o.cap) {
			o.len = 0;
			http_last_chunk_put(&o, NULL, 0);
		}
		conn_put(s->http, space, o.len);
	}
	if (s->sink == HTTP_RAW && s->http != NULL) {
		s->shut_due = 1;
		conn_flush_later(s->http);
	}
	if (s->role->answer_down && s->up.state == WS_HALF_OPEN &&
	    s->sink != HTTP_RAW)
		stream_reset(s, 502, answered);
	else
		stream_check(s);
}

/* The sink took octets: what left for good may be granted anew. */
static void
stream_sent(struct conn *c, size_t n)
{
	struct stream *s = c->stream;
	size_t before;

	(void)n;
	if (s == NULL)
		return;
	before = s->held;
	s->held = min_size(before, c->tx.len);
	if (before > s->held)
		window_freed(s, before - s->held);
}

/* v1: a message is gathered whether the link has room or not. */
static void
stream_collect(struct stream *s)
{
	int i;

	for (i = 0; i < COLLECT_STEPS && !s->send_due; i++)
		if (s->up.state != WS_HALF_OPEN || s->http == NULL ||
		    (!s->head_up && !s->role->head(s)) ||
		    s->up.state != WS_HALF_OPEN || s->http == NULL ||
		    !up_collect(s))
			break;
	if (s->send_due)
		turn_wait(s);
	else if (s->http != NULL)
		conn_touch(s->http);
}

/* Something to read came from the conn. */
static void
stream_news(struct stream *s)
{
	if (s->up.state != WS_HALF_OPEN || s->link == NULL)
		return;
	if (s->link->v2)
		turn_wait(s);
	else if (!s->send_due)
		stream_collect(s);
}

/* Whether the conn should be read now. */
static int
stream_reads(const struct stream *s)
{
	return s->link != NULL && s->up.state == WS_HALF_OPEN && s->turn.in == NULL &&
	    !s->send_due && (!s->link->v2 || !s->head_up || s->up.credit > 0);
}

/* The link is no more: whatever was open is broken. */
static void
streams_orphan(struct link *l, const char *why)
{
	struct stream *s;

	gather_write();
	while ((s = list_first(&l->streams)) != NULL) {
		int lost = s->down.state == WS_HALF_OPEN;

		s->reset_due = 0;
		s->hold_begun = 0;
		list_leave(&s->turn);
		stream_drop_halves(s);
		stream_leave_link(s);
		if (lost)
			s->role->lost(s, 502, why);
		stream_check(s);
	}
}

/* --- common to messages of both wires */

static struct http_field
field_of(const char *name, const char *value)
{
	struct http_field f = { view_of(name), view_of(value) };

	return f;
}

static long long
clamp(long long v, long long low, long long high)
{
	return v < low ? low : v > high ? high : v;
}

static const struct http_field *
msg_length_field(const struct ws_msg *m)
{
	return http_field_find(m->field, m->nfields, "content-length");
}

static long long
length_of(const struct http_field *f)
{
	long long n = 0;
	size_t i;

	if (f == NULL || f->value.n > 18)
		return -1;
	for (i = 0; i < f->value.n; i++)
		n = n * 10 + (f->value.p[i] - '0');
	return n;
}

/* The largest body that fits the message that a v1 client takes. */
static long long
v1_body_max(const struct stream *s)
{
	size_t max = s->link->python ? PYTHON_MESSAGE_MAX : V1_MESSAGE_MAX;
	size_t rest = s->hold.len + 8;

	return max < rest ? 0 : (long long)((max - rest) / 4 * 3);
}

/* Puts the message's beginning into s->hold.  Returns 0, or minus a status:
 * -431 too large, -503 no room. */
static int
v1_begin(struct stream *s,
    void (*put)(struct json_out *, const struct ws_msg *))
{
	static unsigned char space[4 * HTTP_HEAD_MAX + 4 * HTTP_TARGET_MAX];
	struct json_out o = { space, sizeof(space), 0, 0 };

	put(&o, &msg_out);
	if (o.len > o.cap)
		return -431;
	if (hold_put(s, space, o.len) == -1)
		return -503;
	s->head_up = 1;
	return 0;
}

/* Names the request for people, without its query, which may hold secrets. */
static void
stream_label(struct stream *s, const char *form, struct view method,
    struct view path)
{
	char m[24], p[LABEL_MAX - 32];
	int cut;

	path = view_until(&path, "?");
	cut = path.n > sizeof(p) - 8;
	if (cut)
		path.n = sizeof(p) - 8;
	text_safe(m, sizeof(m), method);
	text_put(s->label, sizeof(s->label), form, m,
	    text_safe(p, sizeof(p), path));
	if (cut)
		memcpy(s->label + strlen(s->label), "...", 4);
}

/* --- messages that came, v2 */

static void
take_body(struct link *l, const unsigned char *p, size_t n)
{
	struct stream *s;
	int r;

	if (n < WS_V2_BODY_HEAD || p[0] > 1) {
		link_fail(l, -1002, "malformed body message");
		return;
	}
	s = stream_find(p + 1);
	if (s == NULL || s->link != l || s->down.state == WS_HALF_RESET ||
	    s->is_over) {
		l->late++;
		return;
	}
	if (!s->head_down && !l->masks) {
		link_fail(l, -1002, "a body before its head");
		return;
	}
	r = stream_down(s, p + WS_V2_BODY_HEAD, n - WS_V2_BODY_HEAD, p[0]);
	if (r < 0)
		link_fail(l, r, "a body past its credit or its end");
	else if (s->down.state == WS_HALF_ENDED)
		stream_down_end(s, NULL, 0);
}

static void
take_window(struct stream *s, const struct ws_msg *m)
{
	if (s->up.state != WS_HALF_OPEN)
		return;
	if (ws_half_grant(&s->up, m->bytes) < 0) {
		link_fail(s->link, -1002, "more credit than there can be");
		return;
	}
	s->http->rx_ms = now_ms;	/* its silence was ours */
	turn_wait(s);
	conn_touch(s->http);
}

static void
take_trailers(struct stream *s, struct ws_msg *m)
{
	if (s->down.state != WS_HALF_OPEN || (!s->head_down && !s->link->masks)) {
		link_fail(s->link, -1002, "trailers after the end");
		return;
	}
	if (stream_down(s, NULL, 0, 1) < 0)
		return;
	if (!http_fields_ok(m->field, m->nfields))
		m->nfields = 0;
	m->nfields = http_trailers_filter(m->field, m->nfields);
	if (s->down.state == WS_HALF_ENDED)
		stream_down_end(s, m->field, m->nfields);
}

static void
take_reset(struct stream *s, const struct ws_msg *m)
{
	char why[256];
	int lost = s->down.state == WS_HALF_OPEN;
	int status = m->status >= 400 && m->status <= 599 ? m->status : 502;

	text_safe(why, sizeof(why), m->reason);
	stream_drop_halves(s);
	s->reset_due = 0;
	if (lost)
		s->role->lost(s, status, why);
	stream_check(s);
}

/* A text message about a stream that is there. */
static void
take_for_stream(struct stream *s, struct ws_msg *m)
{
	switch (m->type) {
	case WS_MSG_WINDOW:
		take_window(s, m);
		break;
	case WS_MSG_TRAILERS:
		take_trailers(s, m);
		break;
	case WS_MSG_RESET:
		take_reset(s, m);
		break;
	default:
		s->role->message(s, m);
	}
}

/* A text message: read into msg_in.  Returns 0, or -1 after closing l. */
static int
take_text(struct link *l, unsigned char *p, size_t n)
{
	int r;

	gather_write();
	r = ws_v2_read(&msg_in, p, n);
	if (r < 0) {
		link_fail(l, r, "malformed message");
		return -1;
	}
	return 0;
}

static struct stream *
take_find(struct link *l, const unsigned char id[16])
{
	struct stream *s = stream_find(id);

	if (s != NULL && s->link == l && !s->is_over && !s->reset_due)
		return s;
	l->late++;
	return NULL;
}

/* --- the conn of a stream, on either side */

static long long
stream_stall_deadline(const struct conn *c)
{
	return c->tx.len > 0 ? c->tx_ms + WRITE_STALL_MS : NEVER;
}

/* After a flush: the FIN that was to follow. */
static void
stream_shut_due(struct conn *c)
{
	struct stream *s = c->stream;

	if (s != NULL && s->shut_due && c->tx.len == 0) {
		s->shut_due = 0;
		conn_shut(c);
	}
}

/* --- settling: after the events of a turn */

static void (*settle_more)(void);	/* of the server: queues */

static void
settle_flushes(void)
{
	struct conn *c;

	while ((c = loop.flush) != NULL) {
		loop.flush = c->flush_next;
		c->flushing = 0;
		if (c->dead || c->state == CONN_CONNECT)
			continue;
		conn_flush(c);
		if (c->dead)
			continue;
		if (c->tx.len > 0 && c->kind->blocked != NULL)
			c->kind->blocked(c);
		stream_shut_due(c);
	}
}

static void
settle_links(void)
{
	struct link *l, *list = later_links;

	later_links = NULL;
	while ((l = list) != NULL) {
		list = l->later_next;
		l->later = 0;
		if (l->freed)
			continue;
		link_serve(l);
		if (l->freed || l->c->dead)
			continue;
		if (link_flush(l) && !turn_none(l))
			link_later(l);
		if (!l->freed && l->close_out && l->close_in && l->tx.len == 0)
			link_closed(l);
	}
}

#define SETTLE_ROUNDS 8		/* then others have their events looked at first */

static void
settle(void)
{
	int i;

	for (i = 0; i < SETTLE_ROUNDS; i++) {
		if (settle_more != NULL)
			settle_more();
		if (loop.flush == NULL && later_links == NULL)
			break;
		settle_flushes();
		settle_links();
	}
	loop.again = i == SETTLE_ROUNDS;
	streams_sweep();
	links_sweep();
}

/* Once a second: streams that found the budget full ask again. */
static void
streams_retry(void)
{
	struct link *l;
	struct stream *s;

	if (!budget.starved)
		return;
	budget.starved = 0;
	for (l = list_first(&all_links); l != NULL; l = list_after(&l->place))
		for (s = list_first(&l->streams); s != NULL; s = list_after(&s->on_link))
			window_freed(s, 0);
}

/* ---------------------------------------------------------------- settings
 * What the environment and the command line said.
 */

#define TRUSTED_MAX 32

struct cidr {
	struct addr net;
	int bits;
};

static struct {
	struct jwt_key key;
	long long ttl_days, max_body, queue_depth, offline_wait_s;
	long long response_timeout_s, max_memory, max_connections;
	struct cidr trusted[TRUSTED_MAX];
	int ntrusted;
	const char *connection_id;
	const char *token, *connect_command;
	const char *host, *port;
} opt;

static int
cidr_has(const struct cidr *n, const struct addr *a)
{
	int whole = n->bits / 8, rest = n->bits % 8;

	if (n->net.family != a->family ||
	    memcmp(n->net.ip, a->ip, (size_t)whole) != 0)
		return 0;
	return rest == 0 ||
	    ((n->net.ip[whole] ^ a->ip[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

static int
peer_is_trusted(const struct addr *a)
{
	int i;

	for (i = 0; i < opt.ntrusted; i++)
		if (cidr_has(&opt.trusted[i], a))
			return 1;
	return 0;
}

/* ------------------------------------------------------------------ server
 * Callers on one side, tunnel clients on the other, and between them the
 * tunnels: one for each id that is served, or may be again soon.
 */

#define TUNNEL_BUCKETS 1024
#define TUNNEL_LINKS_MAX 8
#define V1_STREAMS 100
#define HEAD_MS 10000
#define IDLE_MS 75000
#define BODY_SILENT_MS 60000
#define SPARE_CONNS 16			/* over the cap, for tunnel clients alone */
#define OWN_FDS 32			/* those, and the program's own */
#define EXPIRED_GRACE_S 300
#define UNREAD_MAX 4096			/* of our answers, before more requests are read */
#define ALLOW_ALL "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

struct tunnel {
	char id[JWT_SUB_MAX + 1];
	struct tunnel *hash_next;
	struct link *link[TUNNEL_LINKS_MAX];	/* oldest first */
	int nlinks;
	struct list waiting;		/* streams for which no link has room */
	long long until_ms;		/* without a link: how long one may still come */
	int was_served;
	struct timer timer;
};

static struct {
	struct list idle, heads;	/* callers between requests; inside a head */
	struct list next;		/* callers that may have another request in rx */
	struct list stuck;		/* callers that do not take what we answered */
	size_t nconns;
	struct tunnel *table[TUNNEL_BUCKETS];
	unsigned long long seed;
	long long start_ms;
	long long nwait;		/* requests that wait, of all tunnels */
	size_t wait_octets;		/* the memory that their heads hold */
	size_t head_octets;		/* that heads hold which are not whole yet */
	int spare_fd;
	int stopping;
	long long retry_accept_ms;
	struct http_head head;		/* the request at hand */
	unsigned char scratch[HTTP_HEAD_MAX + 256];	/* values composed for it */
} srv;

static const struct role server_role;
static const char nobody_there[] = "no client is connected for this id";

/* --- answers of our own */

/* Takes the head that is being answered out of rx.  A body that is not going
 * to be read ends the connection. */
static void
caller_eat(struct conn *c)
{
	if (srv.head.framing != HTTP_NO_BODY)
		c->keep_alive = 0;
	buf_consume(&c->rx, c->head_size);
	c->head_size = 0;
}

/* Has c's next request looked for at the end of the turn. */
static void
caller_next(struct conn *c)
{
	if (c->dead)
		return;
	conn_share(c, NULL, 0);
	list_leave(&c->place);
	list_add(&srv.next, &c->place, c);
}

/* After an answer: the next request, once this one has gone; or the end. */
static void
caller_answered(struct conn *c)
{
	if (c->state == CONN_STREAM && c->keep_alive)
		conn_state(c, CONN_HEAD);
	if (!c->keep_alive)
		conn_linger(c);
	else if (c->tx.len == 0)
		caller_next(c);
}

/* Answers with an error of our own: for request label, or "" where none is
 * known. */
static void
caller_error_put(struct conn *c, struct http_error *e, const char *label)
{
	unsigned char space[4096];
	struct http_out o = { space, sizeof(space), 0 };
	char ip[INET6_ADDRSTRLEN];

	if (e->status == 503)
		e->retry_after_s = 5;
	e->html = c->html;
	e->head_only = c->head_only;
	e->keep_alive = c->keep_alive;
	e->minor = c->minor;
	e->date = clock_wall();
	http_error_put(&o, e);
	conn_put(c, space, min_size(o.len, o.cap));
	log_event(LEVEL_INFO, "event=refused status=%d peer=%s request=\"%s\" "
	    "why=\"%s\"", e->status, addr_text(&c->peer, ip), label, e->detail);
	caller_answered(c);
}

static void
caller_error(struct conn *c, int status, const char *detail)
{
	struct http_error e = { .status = status, .detail = detail };

	if (status == 405)
		e.allow = ALLOW_ALL;
	caller_error_put(c, &e, "");
}

/* The same for a request that has a stream: its conn is c, no longer tied. */
static void
stream_error(const struct stream *s, struct conn *c, const char *detail)
{
	struct http_error e = { .status = s->status, .detail = detail };
	char hex[32];

	ws_hex_put(hex, s->id);
	e.correlation_id.p = (const unsigned char *)hex;
	e.correlation_id.n = sizeof(hex);
	if (s->status == 405)
		e.allow = ALLOW_ALL;
	caller_error_put(c, &e, s->label);
}

/* A whole answer without a body of interest: a redirect, a 200. */
static void
caller_answer(struct conn *c, int status, const struct http_field *f,
    size_t n, const char *body)
{
	unsigned char space[HTTP_TARGET_MAX + 1024];
	struct http_out o = { space, sizeof(space), 0 };
	struct http_answer_shape shape;

	memset(&shape, 0, sizeof(shape));
	shape.status = status;
	shape.framing = c->head_only || status == 204 ? HTTP_NO_BODY : HTTP_LENGTH;
	shape.minor = c->minor;
	shape.keep_alive = c->keep_alive;
	shape.date = clock_wall();
	http_answer_put(&o, &shape, f, n);
	if (!c->head_only)
		http_put(&o, body);
	conn_put(c, space, min_size(o.len, o.cap));
	caller_answered(c);
}

static void
caller_health(struct conn *c)
{
	static const char body[] = "{\"status\":\"ok\"}";
	struct http_field f[2];
	struct http_error e = { .status = 405, .allow = "GET, HEAD",
	    .detail = "/healthz answers GET and HEAD only" };

	if (!http_equal(srv.head.method, "GET") && !c->head_only) {
		caller_error_put(c, &e, "/healthz");
		return;
	}
	f[0] = field_of("content-type", "application/json");
	f[1] = field_of("content-length", "15");
	caller_answer(c, 200, f, 2, body);
}

static void
caller_redirect(struct conn *c, struct view id, struct view query)
{
	char to[HTTP_TARGET_MAX + 8];
	struct http_field f[2];
	size_t n = text_put(to, sizeof(to), "/%.*s/%.*s", (int)id.n,
	    (const char *)id.p, (int)query.n, (const char *)query.p);

	f[0].name = view_of("location");
	f[0].value.p = (const unsigned char *)to;
	f[0].value.n = n;
	f[1] = field_of("content-length", "0");
	caller_answer(c, 307, f, 2, "");
}

static void
caller_options(struct conn *c)
{
	struct http_field f = field_of("allow", ALLOW_ALL);

	caller_answer(c, 204, &f, 1, "");
}

/* --- tunnels */

static struct tunnel **
tunnel_bucket(struct view id)
{
	unsigned long long h = srv.seed;
	size_t i;

	for (i = 0; i < id.n; i++)
		h = (h ^ id.p[i]) * 0x9e3779b97f4a7c15u;
	return &srv.table[(h >> 32) % TUNNEL_BUCKETS];
}

static struct tunnel *
tunnel_find(struct view id)
{
	struct tunnel *t = *tunnel_bucket(id);

	while (t != NULL && !http_equal(id, t->id))
		t = t->hash_next;
	return t;
}

static void
wait_leave(struct stream *s)
{
	struct tunnel *t = s->tunnel;

	if (s->wait.in == NULL)
		return;
	list_leave(&s->wait);
	if (t->waiting.n == 0 && !t->was_served)
		timer_set(&t->timer, now_ms);	/* an id that nobody asks for */
	srv.nwait--;
	conn_share(s->http, NULL, 0);
}

static void
wait_add(struct stream *s)
{
	list_add(&s->tunnel->waiting, &s->wait, s);
	srv.nwait++;
	buf_fit(&s->http->rx);
	conn_share(s->http, &srv.wait_octets, s->http->rx.cap);
	conn_touch(s->http);
}

/* Whether a client takes new requests for t now. */
static int
tunnel_is_served(const struct tunnel *t)
{
	int i;

	for (i = 0; i < t->nlinks; i++)
		if (!t->link[i]->leaving)
			return 1;
	return 0;
}

/* Whether one more request may wait in t, or in a tunnel yet to be made. */
static int
wait_has_room(const struct tunnel *t)
{
	if (t != NULL && !tunnel_is_served(t) && now_ms >= t->until_ms)
		return 0;
	return (t == NULL || t->waiting.n < opt.queue_depth) &&
	    opt.queue_depth > 0 &&
	    srv.wait_octets < budget.max / 4 &&
	    srv.nwait < opt.max_connections / 4;
}

/* Answers s, which has no answer yet, and forgets it. */
static void
stream_refuse(struct stream *s, int status, const char *why)
{
	struct conn *c = s->http;

	must(c != NULL);
	s->status = status;
	wait_leave(s);
	if (s->up.state == WS_HALF_OPEN)
		c->keep_alive = 0;
	stream_detach(s);
	buf_consume(&c->rx, c->head_size);
	c->head_size = 0;
	stream_error(s, c, why);
	stream_reset(s, status, why);
}

static void
tunnel_free(struct tunnel *t)
{
	struct tunnel **at = tunnel_bucket(view_of(t->id));

	while (*at != t)
		at = &(*at)->hash_next;
	*at = t->hash_next;
	timer_end(&t->timer);
	free(t);
}

/* A link of t is gone or leaves.  If nobody serves t now, requests wait for as
 * long as a client may come back.  t is freed by its timer alone: who replaces
 * a link still holds it. */
static void
tunnel_unserved(struct tunnel *t, long long wait_ms)
{
	if (tunnel_is_served(t))
		return;
	t->until_ms = now_ms + wait_ms;
	timer_set(&t->timer, t->until_ms);
}

/* Until then an id that nobody serves may be one from before the start. */
static long long
srv_young_until(void)
{
	return srv.start_ms + opt.offline_wait_s * 1000;
}

/* Nobody came back in time.  A goodbye is remembered while the server is
 * young, since an unknown id would be waited for. */
static void
tunnel_timer(struct timer *timer)
{
	struct tunnel *t = CONTAINER(timer, struct tunnel, timer);

	while (t->waiting.n > 0)
		stream_refuse(list_first(&t->waiting), 503, nobody_there);
	if (t->nlinks > 0)
		return;
	if (t->was_served && now_ms < srv_young_until())
		timer_set(&t->timer, srv_young_until());
	else
		tunnel_free(t);
}

static struct tunnel *
tunnel_new(struct view id, long long until_ms)
{
	struct tunnel *t = calloc(1, sizeof(*t)), **at;

	if (t == NULL || timer_init(&t->timer, tunnel_timer) == -1) {
		free(t);
		return NULL;
	}
	memcpy(t->id, id.p, id.n);
	at = tunnel_bucket(id);
	t->hash_next = *at;
	*at = t;
	t->until_ms = until_ms;
	timer_set(&t->timer, until_ms);
	return t;
}

static int
link_is_free(const struct link *l)
{
	return !l->leaving && l->streams.n < l->max_streams &&
	    link_unwritten(l) < LINK_HEAD_ROOM;
}

/* The live link with the fewest streams, the newest among equals. */
static struct link *
tunnel_pick(const struct tunnel *t)
{
	struct link *best = NULL;
	int i;

	for (i = t->nlinks - 1; i >= 0; i--)
		if (link_is_free(t->link[i]) &&
		    (best == NULL || t->link[i]->streams.n < best->streams.n))
			best = t->link[i];
	return best;
}

/* --- passing a request on */

static int
method_is_v1(struct view m)
{
	static const char *const known[] = {
		"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(known); i++)
		if (http_equal(m, known[i]))
			return 1;
	return 0;
}

/* Fills msg_out with request h for s.  Its views point into rx, srv.scratch
 * and what is static here.  Returns 0, or minus a status. */
static int
request_message(struct stream *s, const struct http_head *h)
{
	static char ip[INET6_ADDRSTRLEN], hex[32], prefix[JWT_SUB_MAX + 2];
	struct http_forwarding f;
	struct view id;
	size_t len;
	int n;

	msg_start(s, WS_MSG_REQUEST);
	http_route(h->path, &id, &msg_out.target);
	len = text_put(prefix, sizeof(prefix), "/%s", s->tunnel->id);
	ws_hex_put(hex, s->id);
	f.peer = view_of(addr_text(&s->http->peer, ip));
	f.trusted = peer_is_trusted(&s->http->peer);
	f.prefix.p = (const unsigned char *)prefix;
	f.prefix.n = len;
	f.correlation_id.p = (const unsigned char *)hex;
	f.correlation_id.n = sizeof(hex);
	msg_out.method = h->method;
	n = http_request_fields(msg_out.field, h, &f, s->upgrade, srv.scratch,
	    sizeof(srv.scratch));
	if (n < 0)
		return n;
	msg_out.nfields = (size_t)n;
	return 0;
}

/* Starts s on a v2 link: its head goes at once.  Returns 0, or minus the
 * status to refuse it with. */
static int
forward_v2(struct stream *s, const struct http_head *h)
{
	long long window = window_first();
	int r = request_message(s, h);

	if (r < 0)
		return r;
	if (window_open(s, window) == -1)
		return -503;
	msg_out.bytes = window;
	msg_out.end = h->framing == HTTP_NO_BODY && !s->upgrade;
	if (link_put_msg(s->link) == -1)
		return -431;
	ws_half_init(&s->down, window, -1);
	ws_half_init(&s->up, s->link->window,
	    h->framing == HTTP_LENGTH ? h->length : -1);
	if (msg_out.end)
		s->up.state = WS_HALF_ENDED;
	s->head_up = !s->upgrade;
	s->up_end_ms = h->framing == HTTP_NO_BODY ? now_ms : 0;
	return 0;
}

/* Fields that v1 does not carry: what they ask for is done here. */
static void
v1_strip(struct ws_msg *m)
{
	size_t i, n = 0;

	for (i = 0; i < m->nfields; i++)
		if (!http_equal_nocase(m->field[i].name, "expect") &&
		    !http_equal_nocase(m->field[i].name, "te") &&
		    !http_equal_nocase(m->field[i].name, "trailer"))
			m->field[n++] = m->field[i];
	m->nfields = n;
}

/* Starts s on a v1 link: the message goes when the body is whole. */
static int
forward_v1(struct stream *s, const struct http_head *h)
{
	long long most;
	int r;

	if (!method_is_v1(h->method))
		return -405;
	s->upgrade = 0;
	r = request_message(s, h);
	if (r < 0)
		return r;
	v1_strip(&msg_out);
	r = v1_begin(s, ws_v1_request_put);
	if (r < 0)
		return r;
	most = v1_body_max(s);
	if (h->length > most)
		return -413;
	if (h->length > 0 &&
	    BASE64_SIZE((size_t)h->length) > budget_whole_room())
		return -503;
	if (s->up_limit > most)
		s->up_limit = most;
	ws_half_init(&s->up, LLONG_MAX / 4, h->length);
	ws_half_init(&s->down, LLONG_MAX / 4, -1);
	if (h->expect_continue && h->framing != HTTP_NO_BODY)
		conn_put(s->http, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	return 0;
}

static const char *
forward_refusal(const struct stream *s, int status)
{
	switch (status) {
	case 405:
		return "the connected client passes on only " ALLOW_ALL;
	case 413:
		return "the connected client (v1) takes no body of this size";
	case 431:
		return "the head of the request is too large to be passed on";
	default:
		return s->tunnel->nlinks > 0 ?
		    "the server is short of memory: try again" :
		    nobody_there;
	}
}

/* Sends s, whose head h stands at the front of rx, to link l. */
static void
stream_forward(struct stream *s, struct link *l, const struct http_head *h)
{
	struct conn *c = s->http;
	int r;

	stream_join(s, l);
	c->rx_ms = now_ms;
	s->begun_ms = now_ms;
	r = l->v2 ? forward_v2(s, h) : forward_v1(s, h);
	if (r < 0) {
		window_close(s);
		chain_free(&s->hold);
		s->up.state = h->framing == HTTP_NO_BODY ? WS_HALF_ENDED :
		    WS_HALF_OPEN;
		stream_leave_link(s);
		stream_refuse(s, -r, forward_refusal(s, -r));
		return;
	}
	buf_consume(&c->rx, c->head_size);
	c->head_size = 0;
	conn_touch(c);
	stream_news(s);
}

/* Gives waiting requests to links that have become free. */
static void
tunnel_dispatch(struct tunnel *t)
{
	struct stream *s;
	struct link *l;

	while ((s = list_first(&t->waiting)) != NULL &&
	    (l = tunnel_pick(t)) != NULL) {
		struct view in = buf_view(&s->http->rx);
		size_t scanned = 0;
		int r;

		wait_leave(s);
		r = http_request_parse(&srv.head, in.p, in.n, &scanned);
		must(r > 0 && (size_t)r == s->http->head_size);
		stream_forward(s, l, &srv.head);
	}
}

/* --- a request for a tunnel */

/* Whether a request comes back to the tunnel that it has just passed. */
static int
request_loops(const struct http_head *h, const struct tunnel *t)
{
	const struct http_field *f = http_field_find(h->field, h->nfields,
	    "x-pipegate-correlation-id");
	unsigned char id[16];
	struct stream *s;

	if (f == NULL || t == NULL || ws_uuid_parse(id, f->value) == -1)
		return 0;
	s = stream_find(id);
	return s != NULL && s->tunnel == t;
}

/* The tunnel of id; where none is, a new one if a client for it may still
 * come back after the server's start. */
static struct tunnel *
tunnel_for(struct view id)
{
	struct tunnel *t = tunnel_find(id);

	if (t != NULL || now_ms >= srv_young_until() || !wait_has_room(NULL))
		return t;
	return tunnel_new(id, srv_young_until());
}

/* HTTP/2 over cleartext is not tunnelled: such a request goes on without its
 * Upgrade. */
static int
upgrade_is_h2c(const struct http_head *h)
{
	const struct http_field *f = http_field_find(h->field, h->nfields,
	    "upgrade");

	return f != NULL && http_list_has(f->value, "h2c");
}

static struct stream *
request_stream(struct conn *c, const struct http_head *h, struct tunnel *t)
{
	unsigned char id[16];
	struct stream *s;

	random_bytes(id, sizeof(id));
	ws_uuid_make(id);
	s = stream_new(&server_role, c, id);
	if (s == NULL)
		return NULL;
	s->tunnel = t;
	s->head_only = c->head_only;
	s->minor = c->minor;
	s->upgrade = h->upgrade && h->framing == HTTP_NO_BODY &&
	    !upgrade_is_h2c(h);
	s->up_limit = opt.max_body > 0 ? opt.max_body : LLONG_MAX;
	http_body_init(&s->source, h->framing, h->length);
	if (h->framing == HTTP_NO_BODY && !s->upgrade)
		s->up.state = WS_HALF_ENDED;
	stream_label(s, "%s %s", h->method, h->path);
	list_leave(&c->place);
	conn_state(c, CONN_STREAM);
	return s;
}

/* Refuses a request that has no stream yet. */
static void
caller_refuse(struct conn *c, int status, const char *why)
{
	caller_eat(c);
	caller_error(c, status, why);
}

static void
caller_too_big(struct conn *c)
{
	char why[128];

	text_put(why, sizeof(why), "the body exceeds %lld bytes, the limit "
	    "of PIPEGATE_MAX_BODY_BYTES", opt.max_body);
	caller_refuse(c, 413, why);
}

static void
caller_tunnel(struct conn *c, struct view id)
{
	const struct http_head *h = &srv.head;
	struct tunnel *t = tunnel_for(id);
	struct stream *s;
	struct link *l;

	if (opt.max_body > 0 && h->length > opt.max_body) {
		caller_too_big(c);
	} else if (request_loops(h, t)) {
		caller_refuse(c, 508, "this request has come through this "
		    "tunnel already: its target leads back here");
	} else if (t == NULL) {
		caller_refuse(c, 503, nobody_there);
	} else if ((l = t->waiting.n == 0 ? tunnel_pick(t) : NULL) == NULL &&
	    !wait_has_room(t)) {
		caller_refuse(c, 503, tunnel_is_served(t) ?
		    "too many requests wait for this client: try again" :
		    nobody_there);
	} else if (budget_free() == 0 || (s = request_stream(c, h, t)) == NULL) {
		caller_refuse(c, 503, "the server is short of memory: try again");
	} else if (l != NULL) {
		stream_forward(s, l, h);
	} else {
		wait_add(s);
	}
}

/* --- a tunnel client's connection */

static void link_ops_message(struct link *, int, unsigned char *, size_t);
static void link_ops_oversize(struct link *, const unsigned char *, size_t);
static void link_ops_gone(struct link *, int, const char *);

static const struct link_ops server_link_ops = {
	.message = link_ops_message, .oversize = link_ops_oversize,
	.handled = gather_write, .gone = link_ops_gone,
};

/* Completes the handshake only to say why not: a close frame carries the
 * reason to where a person reads it. */
static void
client_refuse(struct conn *c, const struct ws_offer *offer, int code,
    const char *why)
{
	unsigned char space[1024], body[WS_CONTROL_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	unsigned char head[WS_FRAME_HEAD_MAX];
	size_t n = ws_close_put(body, code, why);
	char ip[INET6_ADDRSTRLEN];

	ws_accept_put(&o, offer);
	conn_put(c, space, min_size(o.len, o.cap));
	conn_put(c, head, ws_frame_put(head, WS_CLOSE, 1, n, NULL));
	conn_put(c, body, n);
	log_event(LEVEL_INFO, "event=client-refused code=%d peer=%s why=\"%s\"",
	    code, addr_text(&c->peer, ip), why);
	conn_linger(c);
}

static void
client_handshake_error(struct conn *c, int status)
{
	struct http_error e = { .status = status };

	c->keep_alive = 0;
	e.detail = status == 426 ?
	    "tunnel clients connect here with a WebSocket (version 13)" :
	    "malformed WebSocket handshake";
	caller_error_put(c, &e, "/");
}

/* A client that comes back takes the place of its own older link at once. */
static void
tunnel_replace(struct tunnel *t, const struct ws_hello *hello)
{
	int i;

	if (!hello->has_instance)
		return;
	for (i = 0; i < t->nlinks; i++)
		if (t->link[i]->has_instance && memcmp(t->link[i]->instance,
		    hello->instance, 16) == 0) {
			link_lost(t->link[i], "the client has connected anew");
			return;
		}
}

/* Takes over what the handshake settled. */
static void
link_settle(struct link *l, const struct ws_offer *offer)
{
	const struct ws_hello *h = &offer->hello;

	l->v2 = offer->v2 != 0;
	l->python = offer->python != 0;
	l->max_streams = V1_STREAMS;
	if (!l->v2)
		return;
	l->max_streams = h->streams < 0 ? V2_STREAMS :
	    clamp(h->streams, 1, V2_STREAMS);
	l->window = h->window < 0 ? V2_WINDOW : clamp(h->window, 0, WINDOW_MAX);
	l->has_instance = h->has_instance != 0;
	memcpy(l->instance, h->instance, 16);
}

static void
client_join(struct conn *c, struct tunnel *t, const struct ws_offer *offer,
    const struct jwt_claims *claims)
{
	char ip[INET6_ADDRSTRLEN];
	struct http_out o = { NULL, 1024, 0 };
	struct link *l = link_new(c, &server_link_ops, 0);

	if (l == NULL || (o.p = buf_space(&l->tx, o.cap, LINK_TX_MAX)) == NULL) {
		conn_kill(c);
		return;
	}
	list_leave(&c->place);
	conn_state(c, CONN_OPEN);
	ws_accept_put(&o, offer);
	l->tx.len = min_size(o.len, o.cap);
	link_settle(l, offer);
	l->expires = claims->exp;
	l->tunnel = t;
	t->link[t->nlinks++] = l;
	t->was_served = 1;
	timer_set(&t->timer, NEVER);
	log_event(LEVEL_INFO, "event=client-connected id=%s peer=%s wire=v%d "
	    "clients=%d", t->id, addr_text(&c->peer, ip), l->v2 ? 2 : 1,
	    t->nlinks);
	link_measure(l);
	link_later(l);
	tunnel_dispatch(t);
	link_input(l);
}

static void
client_verified(struct conn *c, const struct ws_offer *offer,
    const struct jwt_claims *claims)
{
	struct view id = view_of(claims->sub);
	struct tunnel *t = tunnel_find(id);

	if (t == NULL)
		t = tunnel_new(id, NEVER);
	if (t == NULL) {
		client_refuse(c, offer, 1013, "the server is short of memory");
		return;
	}
	tunnel_replace(t, &offer->hello);
	if (t->nlinks == TUNNEL_LINKS_MAX) {
		client_refuse(c, offer, 1013, "too many clients for this id");
		return;
	}
	client_join(c, t, offer, claims);
}

static void
caller_upgrade(struct conn *c)
{
	static struct ws_offer offer;
	static struct jwt_claims claims;
	const char *why;
	int r = ws_offer_read(&offer, &srv.head);

	if (r < 0 || offer.token.n == 0)
		why = "token is missing";
	else
		why = jwt_verify(&claims, offer.token, &opt.key, clock_wall());
	caller_eat(c);
	if (r < 0)
		client_handshake_error(c, -r);
	else if (why != NULL)
		client_refuse(c, &offer, 1008, why);
	else
		client_verified(c, &offer, &claims);
}

static void
tunnel_drop_link(struct tunnel *t, const struct link *l)
{
	int i, n = 0;

	for (i = 0; i < t->nlinks; i++)
		if (t->link[i] != l)
			t->link[n++] = t->link[i];
	t->nlinks = n;
}

static void
link_ops_gone(struct link *l, int code, const char *why)
{
	struct tunnel *t = l->tunnel;

	tunnel_drop_link(t, l);
	log_event(LEVEL_INFO, "event=client-gone id=%s code=%d why=\"%s\" "
	    "requests=%lld clients=%d", t->id, code, why, l->streams.n,
	    t->nlinks);
	streams_orphan(l, srv.stopping ? "the server is stopping" :
	    "the tunnel client went away");
	l->tunnel = NULL;
	if (!srv.stopping)
		tunnel_unserved(t, code == 1000 ? 0 : opt.offline_wait_s * 1000);
}

/* --- answers */

/* Whether no body follows this answer, whatever its fields say. */
static int
answer_is_bare(const struct stream *s, int status)
{
	return s->head_only || status == 204 || status == 304;
}

static enum http_framing
answer_framing(const struct stream *s, struct ws_msg *m)
{
	if (m->status == 101)
		return HTTP_RAW;
	if (answer_is_bare(s, m->status))
		return HTTP_NO_BODY;
	if (msg_length_field(m) != NULL)
		return HTTP_LENGTH;
	if (m->end && m->nfields < HTTP_OUT_FIELDS) {
		m->field[m->nfields++] = field_of("content-length", "0");
		return HTTP_LENGTH;
	}
	return s->minor > 0 ? HTTP_CHUNKED : HTTP_UNTIL_CLOSE;
}

/* Whether a head that came over the link is as a caller may get it. */
static int
answer_head_ok(const struct ws_msg *m)
{
	size_t i, n = m->reason.n;

	for (i = 0; i < m->nfields; i++)
		n += m->field[i].name.n + m->field[i].value.n + 4;
	return n <= HTTP_HEAD_MAX && m->nfields <= HTTP_FIELDS_MAX &&
	    http_fields_ok(m->field, m->nfields);
}

/* Writes the head of an answer, with framing. */
static void
answer_put(struct stream *s, const struct ws_msg *m, enum http_framing framing)
{
	static unsigned char space[3 * HTTP_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	struct http_answer_shape shape;
	char hex[32];

	memset(&shape, 0, sizeof(shape));
	ws_hex_put(hex, s->id);
	shape.status = m->status;
	shape.reason = m->reason;
	shape.framing = framing;
	shape.minor = s->http->minor;
	shape.keep_alive = s->http->keep_alive;
	shape.date = clock_wall();
	shape.correlation_id.p = (const unsigned char *)hex;
	shape.correlation_id.n = sizeof(hex);
	http_answer_put(&o, &shape, m->field, m->nfields);
	if (o.len <= o.cap)
		conn_put(s->http, space, o.len);
	else
		conn_abort(s->http);
}

/* The answer cannot be had, or not to its end. */
static void
server_lost(struct stream *s, int status, const char *why)
{
	struct conn *c = s->http;

	if (c == NULL)
		return;
	if (srv.stopping)
		status = 504;
	if (!s->head_down) {
		stream_detach(s);
		if (s->up.state != WS_HALF_ENDED)
			c->keep_alive = 0;
		s->status = status;
		stream_error(s, c, why);
		return;
	}
	log_event(LEVEL_INFO, "event=broken-off id=%s request=\"%s\" "
	    "why=\"%s\"", s->tunnel->id, s->label, why);
	stream_detach(s);
	conn_abort(c);
}

/* An answer that is not fit to be passed on. */
static void
answer_refuse(struct stream *s, const char *why)
{
	server_lost(s, 502, why);
	stream_reset(s, 502, why);
}

/* After 101 both halves carry raw bytes. */
static void
answer_switch(struct stream *s)
{
	http_body_init(&s->source, HTTP_RAW, -1);
	s->head_up = 1;
	s->http->keep_alive = 0;
	s->up_limit = LLONG_MAX;
	stream_news(s);
}

/* The final answer's head. */
static void
answer_begin(struct stream *s, struct ws_msg *m)
{
	enum http_framing framing = answer_framing(s, m);

	if (framing == HTTP_LENGTH)
		s->down.left = length_of(msg_length_field(m));
	if ((framing == HTTP_LENGTH && (s->down.left < 0 ||
	    (m->end && s->down.left > 0)))) {
		answer_refuse(s, "the answer's Content-Length is not that of "
		    "its body");
		return;
	}
	if (framing == HTTP_UNTIL_CLOSE)
		s->http->keep_alive = 0;
	s->sink = framing;
	s->sink_dead = framing == HTTP_NO_BODY;
	if (framing == HTTP_UNTIL_CLOSE || framing == HTTP_RAW)
		conn_guard(s->http, 1);
	s->status = m->status;
	s->head_down = 1;
	if (s->upgrade && framing == HTTP_RAW)
		answer_switch(s);
	answer_put(s, m, framing);
	if (s->upgrade && framing != HTTP_RAW)
		s->up.state = WS_HALF_ENDED;
	if (m->end) {
		s->down.state = WS_HALF_ENDED;
		stream_down_end(s, NULL, 0);
	}
}

static void
answer_informational(struct stream *s, struct ws_msg *m)
{
	if (++s->informational > 16) {
		link_fail(s->link, -1002, "too many interim answers");
		return;
	}
	if (s->minor > 0)
		answer_put(s, m, HTTP_NO_BODY);
}

/* An answer's head came over v2. */
static void
server_message(struct stream *s, struct ws_msg *m)
{
	if (m->type != WS_MSG_RESPONSE || s->head_down ||
	    s->down.state != WS_HALF_OPEN) {
		link_fail(s->link, -1002, "a message out of its order");
		return;
	}
	if (!answer_head_ok(m))
		answer_refuse(s, "the answer's head is not valid HTTP, or too large");
	else if (m->status < 200 && m->status != 101)
		answer_informational(s, m);
	else if (m->status == 101 && !s->upgrade)
		answer_refuse(s, "the service switched protocols unasked");
	else
		answer_begin(s, m);
}

/* Whether a body begins as its content coding does. */
static int
coding_is_there(struct view coding, struct view body)
{
	const unsigned char *b = body.p;

	if (body.n < 4)
		return body.n == 0;
	if (http_list_has(coding, "gzip") || http_list_has(coding, "x-gzip"))
		return b[0] == 0x1f && b[1] == 0x8b;
	if (http_list_has(coding, "deflate"))
		return (b[0] & 15) == 8 && (b[0] * 256 + b[1]) % 31 == 0;
	if (http_list_has(coding, "zstd"))
		return b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f &&
		    b[3] == 0xfd;
	return 1;
}

/* The reference's client decodes bodies but keeps the fields of the encoded
 * one: Content-Length is made from the body, and a coding that is not there is
 * dropped. */
static void
v1_mend(const struct stream *s, struct ws_msg *m, char length[24])
{
	int bare = answer_is_bare(s, m->status);
	size_t i, n = 0;

	for (i = 0; i < m->nfields; i++) {
		struct http_field *f = &m->field[i];

		if (!bare && http_equal_nocase(f->name, "content-length"))
			continue;
		if (!bare && http_equal_nocase(f->name, "content-encoding") &&
		    !coding_is_there(f->value, m->body))
			continue;
		m->field[n++] = *f;
	}
	m->nfields = n;
	if (bare || n == HTTP_OUT_FIELDS)
		return;
	text_put(length, 24, "%zu", m->body.n);
	m->field[m->nfields++] = field_of("content-length", length);
}

/* A whole answer came over v1. */
static void
answer_v1(struct stream *s, struct ws_msg *m)
{
	char length[24];

	if (!answer_head_ok(m)) {
		answer_refuse(s, "the answer's head is not valid HTTP, or too large");
		return;
	}
	if (m->body.n > budget_whole_room()) {
		answer_refuse(s, "the answer is larger than this server can "
		    "hold now");
		return;
	}
	if (answer_is_bare(s, m->status))
		m->body.n = 0;
	v1_mend(s, m, length);
	m->end = m->body.n == 0;
	answer_begin(s, m);
	if (m->end || s->down.state != WS_HALF_OPEN)
		return;
	if (stream_down(s, m->body.p, m->body.n, 1) == 0 &&
	    s->down.state == WS_HALF_ENDED)
		stream_down_end(s, NULL, 0);
}

static void
take_v1(struct link *l, unsigned char *p, size_t n)
{
	struct stream *s;
	int has_id = 0, r = ws_v1_response_read(&msg_in, p, n, &has_id);

	if (!has_id || (s = take_find(l, msg_in.id)) == NULL) {
		if (!has_id)
			log_event(LEVEL_INFO, "event=message-ignored id=%s "
			    "why=\"not an answer\"", l->tunnel->id);
		return;
	}
	if (s->head_down || s->down.state != WS_HALF_OPEN)
		return;
	if (r < 0)
		answer_refuse(s, "the client sent a malformed answer");
	else
		answer_v1(s, &msg_in);
}

static void
link_ops_oversize(struct link *l, const unsigned char *p, size_t n)
{
	unsigned char id[16];
	struct stream *s;

	if (!ws_v1_id_find(id, p, n) || (s = take_find(l, id)) == NULL ||
	    s->head_down)
		return;
	answer_refuse(s, "the answer is larger than this server holds");
}

static void
link_stop_serving(struct link *l)
{
	if (l->leaving)
		return;
	l->leaving = 1;
	tunnel_unserved(l->tunnel, opt.offline_wait_s * 1000);
}

static void
take_v2(struct link *l, unsigned char *p, size_t n)
{
	struct stream *s;

	if (take_text(l, p, n) == -1)
		return;
	switch (msg_in.type) {
	case WS_MSG_LEAVE:
		link_stop_serving(l);
		l->leave_due = 1;
		link_later(l);
		break;
	case WS_MSG_REQUEST:
		link_fail(l, -1002, "a client sends no requests");
		break;
	case WS_MSG_ACK:
	case WS_MSG_UNKNOWN:
		break;
	default:
		if ((s = take_find(l, msg_in.id)) != NULL)
			take_for_stream(s, &msg_in);
	}
}

static void
link_ops_message(struct link *l, int opcode, unsigned char *p, size_t n)
{
	l->received++;
	if (!l->v2 && opcode == WS_TEXT)
		take_v1(l, p, n);
	else if (!l->v2)
		log_event(LEVEL_INFO, "event=message-ignored id=%s "
		    "why=\"a binary frame on the v1 wire\"", l->tunnel->id);
	else if (opcode == WS_TEXT)
		take_v2(l, p, n);
	else
		take_body(l, p, n);
}

/* --- the stream's calls to its role */

static void
caller_leaves(struct conn *c, const char *why)
{
	struct stream *s = c->stream;

	log_event(LEVEL_INFO, "event=caller-left id=%s request=\"%s\" "
	    "why=\"%s\" ms=%lld", s->tunnel->id, s->label, why,
	    now_ms - s->start_ms);
	wait_leave(s);
	stream_detach(s);
	conn_kill(c);
	stream_reset(s, 499, "the caller left");
}

/* Breaks off a request that is under way, with an answer if none has begun. */
static void
caller_break(struct stream *s, int status, const char *why)
{
	server_lost(s, status, why);
	stream_reset(s, status, "the request was broken off");
}

static void
server_fault(struct stream *s, enum source_fault f)
{
	char why[128];

	switch (f) {
	case SOURCE_EOF:
		caller_leaves(s->http, "closed inside its body");
		break;
	case SOURCE_BROKEN:
		caller_leaves(s->http, "connection broke");
		break;
	case SOURCE_BAD:
		caller_break(s, 400, "the chunked body is malformed");
		break;
	case SOURCE_NO_ROOM:
		caller_break(s, 503, "the server is short of memory: try again");
		break;
	case SOURCE_TOO_BIG:
		if (s->up_limit < opt.max_body || opt.max_body == 0)
			text_put(why, sizeof(why), "%s",
			    forward_refusal(s, 413));
		else
			text_put(why, sizeof(why), "the body exceeds %lld "
			    "bytes, the limit of PIPEGATE_MAX_BODY_BYTES",
			    opt.max_body);
		caller_break(s, 413, why);
		break;
	}
}

/* The head of a request goes at dispatch; what is asked for here is a
 * protocol switch that has not come. */
static int
server_head(struct stream *s)
{
	(void)s;
	return 0;
}

static void
server_sink_gone(struct stream *s)
{
	caller_leaves(s->http, "connection broke");
}

static void
server_over(struct stream *s)
{
	struct conn *c = s->http;

	wait_leave(s);
	if (c == NULL)
		return;
	log_event(LEVEL_INFO, "event=request id=%s request=\"%s\" status=%d "
	    "ms=%lld in=%lld out=%lld", s->tunnel->id, s->label, s->status,
	    now_ms - s->start_ms, s->up_bytes, s->down_bytes);
	stream_detach(s);
	if (s->up.state == WS_HALF_RESET && s->sink == HTTP_RAW) {
		conn_abort(c);
		return;
	}
	if (s->up.state == WS_HALF_RESET || s->sink == HTTP_UNTIL_CLOSE)
		c->keep_alive = 0;
	caller_answered(c);
}

static const struct role server_role = {
	.answer_down = 1, .head = server_head, .fault = server_fault,
	.sink_gone = server_sink_gone, .message = server_message,
	.lost = server_lost, .over = server_over,
};

/* --- callers */

/* OPTIONS with Max-Forwards: 0 is for whoever holds it (RFC 9110 7.6.2). */
static int
request_stops_here(void)
{
	const struct http_field *f;

	if (!http_equal(srv.head.method, "OPTIONS"))
		return 0;
	f = http_field_find(srv.head.field, srv.head.nfields, "max-forwards");
	return f != NULL && http_equal(f->value, "0");
}

static void
caller_request(struct conn *c)
{
	struct view id, rest;
	enum http_route route = http_route(srv.head.path, &id, &rest);

	if (srv.stopping) {
		c->keep_alive = 0;
		caller_refuse(c, 503, "the server is stopping");
		return;
	}
	if (c->tunnel_only && !(route == HTTP_ROUTE_ROOT &&
	    http_field_find(srv.head.field, srv.head.nfields, "upgrade"))) {
		c->keep_alive = 0;
		caller_refuse(c, 503, "too many connections: try again");
		return;
	}
	if (route == HTTP_ROUTE_TUNNEL && !request_stops_here()) {
		caller_tunnel(c, id);
		return;
	}
	if (route == HTTP_ROUTE_ROOT && http_field_find(srv.head.field,
	    srv.head.nfields, "upgrade") != NULL) {
		caller_upgrade(c);
		return;
	}
	caller_eat(c);
	switch (route) {
	case HTTP_ROUTE_HEALTH:
		caller_health(c);
		break;
	case HTTP_ROUTE_REDIRECT:
		caller_redirect(c, id, rest);
		break;
	case HTTP_ROUTE_STAR:
	case HTTP_ROUTE_TUNNEL:
		caller_options(c);
		break;
	case HTTP_ROUTE_ROOT:
		if (http_equal(srv.head.method, "GET") || c->head_only) {
			client_handshake_error(c, 426);
			break;
		}
		/* FALLTHROUGH */
	default:
		caller_error(c, 404, "nothing is here: a tunnel has the form "
		    "/{id}/");
	}
}

static const char *
head_fault(int status)
{
	switch (status) {
	case 405:
		return "CONNECT and TRACE are not passed on";
	case 414:
		return "the request target is too long";
	case 417:
		return "of expectations only 100-continue is known";
	case 431:
		return "the head of the request is too large";
	case 501:
		return "this transfer coding is not known";
	case 505:
		return "only HTTP/1.0 and HTTP/1.1 are spoken here";
	default:
		return "malformed request";
	}
}

/* Unfinished heads, and answers of ours that nobody takes, may hold a quarter
 * of the budget: past that the oldest goes. */
static void
heads_evict(void)
{
	struct conn *c;

	while (srv.head_octets > budget.max / 4) {
		c = list_first(srv.stuck.n > 0 ? &srv.stuck : &srv.heads);
		if (c == NULL)
			return;
		conn_kill(c);
	}
}

/* Keeps a caller whose next head is not whole. */
static void
caller_park(struct conn *c)
{
	struct list *where = c->rx.len > 0 ? &srv.heads : &srv.idle;

	buf_fit(&c->rx);
	conn_share(c, &srv.head_octets, c->rx.cap);
	if (c->place.in != where) {
		list_leave(&c->place);
		list_add(where, &c->place, c);
	}
	heads_evict();
}

/* A caller does not take the answer that it has: what it pipelined behind its
 * request waits. */
static void
caller_blocked(struct conn *c)
{
	if (c->state != CONN_HEAD || c->place.in == &srv.stuck)
		return;
	buf_fit(&c->rx);
	conn_share(c, &srv.head_octets, c->rx.cap + pool_size[POOL_BLOCK]);
	list_leave(&c->place);
	list_add(&srv.stuck, &c->place, c);
	heads_evict();
}

/* Takes what the head says of the answer's form. */
static void
caller_note(struct conn *c)
{
	const struct http_head *h = &srv.head;

	c->minor = h->minor > 0;
	c->head_only = http_equal(h->method, "HEAD") != 0;
	c->html = http_prefers_html(h->field, h->nfields) != 0;
	c->keep_alive = h->keep_alive && !srv.stopping;
	c->reused = 1;
}

/* Reads requests out of rx, until one is at work or more must come. */
static void
caller_parse(struct conn *c)
{
	while (c->state == CONN_HEAD && !c->dead && c->tx.len < UNREAD_MAX) {
		struct view in = buf_view(&c->rx);
		int r = in.n == 0 ? 0 :
		    http_request_parse(&srv.head, in.p, in.n, &c->scanned);

		if (r == 0) {
			caller_park(c);
			return;
		}
		c->scanned = 0;
		conn_share(c, NULL, 0);
		if (r > 0 || r == -405 || r == -417) {
			caller_note(c);
		} else {
			c->minor = 1;
			c->head_only = c->html = 0;
		}
		if (r < 0) {
			c->keep_alive = 0;
			caller_error(c, -r, head_fault(-r));
			return;
		}
		c->head_size = (size_t)r;
		caller_request(c);
	}
}

/* Whether to listen for the caller's leaving while its request is at work. */
static int
caller_watched(const struct conn *c)
{
	const struct stream *s = c->stream;

	return c->keep_alive && c->minor > 0 && s->sink != HTTP_RAW &&
	    (s->wait.in != NULL || s->up.state != WS_HALF_OPEN ||
	    (s->upgrade && !s->head_down));
}

static int
caller_reads(const struct conn *c)
{
	const struct stream *s = c->stream;

	return stream_reads(s) && (!s->upgrade || s->head_down);
}

static void
caller_stream_ready(struct conn *c, short revents)
{
	if (revents & POLLERR)
		caller_leaves(c, "connection broke");
	else if ((revents & (POLLIN | POLLHUP)) && caller_reads(c))
		stream_news(c->stream);
	else if ((revents & POLLHUP) && c->stream->sink == HTTP_RAW)
		loop_remove(c);		/* read on when there is credit */
	else if ((revents & POLLHUP) ||
	    ((revents & POLLRDHUP) && caller_watched(c)))
		caller_leaves(c, "connection closed");
}

static void
caller_head_ready(struct conn *c)
{
	enum io io;

	if (c->rx.len == 0 && c->reused)
		c->since_ms = now_ms;
	io = conn_fill(c, pool_size[POOL_LARGE]);
	if (io == IO_EOF || io == IO_ERROR)
		conn_kill(c);
	else if (io == IO_DATA)
		caller_parse(c);
	if (c->rx.len == 0 && c->link == NULL)
		buf_free(&c->rx);
}

static void
caller_ready(struct conn *c, short revents)
{
	if (revents & POLLOUT)
		conn_flush_later(c);
	if (!(revents & ~POLLOUT))
		return;
	if (c->state == CONN_STREAM)
		caller_stream_ready(c, revents);
	else if (c->tx.len == 0)
		caller_head_ready(c);
	else if (revents & (POLLERR | POLLHUP))
		conn_kill(c);
}

static void
caller_sent(struct conn *c, size_t n)
{
	stream_sent(c, n);
	if (c->state != CONN_HEAD || c->tx.len > 0)
		return;
	c->since_ms = now_ms;
	caller_next(c);
}

static void
caller_broken(struct conn *c)
{
	if (c->state == CONN_STREAM)
		caller_leaves(c, "connection broke");
	else
		conn_kill(c);
}

static short
caller_events(const struct conn *c)
{
	short ev = c->tx.len > 0 ? POLLOUT : 0;

	if (c->state == CONN_HEAD)
		return (short)(ev != 0 ? ev : POLLIN);
	if (caller_reads(c))
		ev = (short)(ev | POLLIN);
	if (caller_watched(c))
		ev = (short)(ev | POLLRDHUP);
	return ev;
}

/* When a request's body or its answer has kept us waiting for too long. */
static long long
caller_stream_deadline(const struct conn *c)
{
	const struct stream *s = c->stream;

	if (s->head_down || s->link == NULL)
		return NEVER;
	if (s->up.state != WS_HALF_OPEN || s->send_due || s->upgrade)
		return s->up_end_ms == 0 ? NEVER :
		    s->up_end_ms + opt.response_timeout_s * 1000;
	if (!s->link->v2)
		return min_time(c->rx_ms + BODY_SILENT_MS,
		    s->begun_ms + 10000 + s->up_bytes * 2);
	return caller_reads(c) ? c->rx_ms + BODY_SILENT_MS : NEVER;
}

static long long
caller_deadline(const struct conn *c)
{
	long long stall = stream_stall_deadline(c);

	if (c->state == CONN_STREAM)
		return min_time(stall, caller_stream_deadline(c));
	if (c->tx.len > 0)
		return stall;
	return c->since_ms + (c->reused && c->rx.len == 0 ? IDLE_MS : HEAD_MS);
}

static void
caller_expire(struct conn *c)
{
	struct stream *s = c->stream;

	if (c->state == CONN_HEAD && c->rx.len > 0 && c->tx.len == 0) {
		c->minor = 1;
		c->keep_alive = c->head_only = c->html = 0;
		caller_error(c, 408, "the head of the request took too long");
	} else if (c->state == CONN_HEAD) {
		conn_kill(c);
	} else if (stream_stall_deadline(c) <= now_ms) {
		c->reset = 1;
		caller_leaves(c, "took nothing of its answer");
	} else if (s->up.state != WS_HALF_OPEN || s->upgrade || s->send_due) {
		caller_break(s, 504, "no answer in time");
	} else {
		caller_break(s, 408, "the body of the request came too slowly");
	}
}

static const struct kind caller_kind = {
	.name = "caller", .ready = caller_ready, .sent = caller_sent,
	.blocked = caller_blocked,
	.broken = caller_broken, .events = caller_events,
	.deadline = caller_deadline, .expire = caller_expire,
};

/* --- accepting */

/* Makes room for one more caller: the one idle longest goes, else the oldest
 * that is still sending its head. */
static int
srv_evict(void)
{
	struct conn *c = list_first(srv.idle.n > 0 ? &srv.idle : &srv.heads);

	if (c == NULL)
		return -1;
	conn_kill(c);
	return 0;
}

static int
socket_accept(int fd, struct sockaddr_storage *ss)
{
	socklen_t n = sizeof(*ss);
	int a;

#ifdef SOCK_NONBLOCK
	a = accept4(fd, (struct sockaddr *)ss, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
	a = accept(fd, (struct sockaddr *)ss, &n);
	if (a != -1)
		fd_prepare(a);
#endif
	return a;
}

/* No fd or memory is left for a new caller.  The spare fd takes one and drops
 * it, so that it does not wait in vain; then nothing is accepted for a while. */
static void
accept_pause(struct conn *listener)
{
	struct sockaddr_storage ss;
	int a;

	srv.retry_accept_ms = now_ms + 100;
	srv_evict();
	close(srv.spare_fd);
	a = socket_accept(listener->fd, &ss);
	if (a != -1)
		close(a);
	srv.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log_event(LEVEL_ERROR, "event=accept-paused why=\"%s\" connections=%zu",
	    strerror(errno), srv.nconns);
}

static void
caller_accepted(int fd, const struct sockaddr_storage *ss)
{
	int full = srv.nconns >= (size_t)opt.max_connections;
	struct conn *c;

	if (full && srv_evict() == -1 &&
	    srv.nconns >= (size_t)opt.max_connections + SPARE_CONNS) {
		close(fd);
		return;
	}
	c = conn_new(&caller_kind, fd, CONN_HEAD);
	if (c == NULL)
		return;
	srv.nconns++;
	c->counted = &srv.nconns;
	c->tunnel_only = srv.nconns > (size_t)opt.max_connections + 1;
	addr_from(&c->peer, ss);
	list_add(&srv.idle, &c->place, c);
}

static void
listener_ready(struct conn *c, short revents)
{
	struct sockaddr_storage ss;
	int i, fd;

	memset(&ss, 0, sizeof(ss));
	(void)revents;
	for (i = 0; i < 64; i++) {
		fd = socket_accept(c->fd, &ss);
		if (fd != -1) {
			caller_accepted(fd, &ss);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			accept_pause(c);
		if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static short
listener_events(const struct conn *c)
{
	(void)c;
	return srv.retry_accept_ms > now_ms ? 0 : POLLIN;
}

static long long
listener_deadline(const struct conn *c)
{
	(void)c;
	return srv.retry_accept_ms > now_ms ? srv.retry_accept_ms : NEVER;
}

static void
listener_expire(struct conn *c)
{
	conn_touch(c);
}

static const struct kind listener_kind = {
	.name = "listener", .ready = listener_ready, .broken = conn_kill,
	.events = listener_events, .deadline = listener_deadline,
	.expire = listener_expire,
};

/* Returns the listening fd. */
static int
srv_listen_on(const struct sockaddr *sa, socklen_t n)
{
	int fd = socket(sa->sa_family, SOCK_STREAM, 0), one = 1, zero = 0;

	if (fd == -1)
		die("socket:");
	fd_prepare(fd);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (sa->sa_family == AF_INET6)	/* :: is IPv4 too */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, sa, n) == -1)
		die("cannot listen on %s port %s:", opt.host, opt.port);
	if (listen(fd, 1024) == -1)
		die("listen:");
	if (conn_new(&listener_kind, fd, CONN_LISTEN) == NULL)
		die("no memory to start");
	return fd;
}

static void
srv_say_port(int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	struct addr a;
	char ip[INET6_ADDRSTRLEN];
	unsigned int port;

	memset(&ss, 0, sizeof(ss));
	if (getsockname(fd, (struct sockaddr *)&ss, &n) == -1)
		die("getsockname:");
	addr_from(&a, &ss);
	port = ntohs(ss.ss_family == AF_INET6 ?
	    ((struct sockaddr_in6 *)(void *)&ss)->sin6_port :
	    ((struct sockaddr_in *)(void *)&ss)->sin_port);
	person_say(a.family == 6 ? "listening on http://[%s]:%u" :
	    "listening on http://%s:%u", addr_text(&a, ip), port);
}

static void
srv_listen(void)
{
	static struct endpoint e;
	int r;

	text_put(e.host, sizeof(e.host), "%s", opt.host);
	text_put(e.port, sizeof(e.port), "%s", opt.port);
	r = endpoint_lookup(&e, AI_PASSIVE);
	if (r != 0 || e.n == 0)
		die("cannot listen on \"%s\": %s", opt.host, gai_strerror(r));
	srv_say_port(srv_listen_on((const void *)&e.addr[0], e.len[0]));
}

/* --- once a second, and at the end */

/* Links whose token has expired take no new requests (v1 stays open, since
 * the reference's client does not survive a close). */
static void
links_expire(void)
{
	long long wall = clock_wall();
	struct link *l, *next;

	for (l = list_first(&all_links); l != NULL; l = next) {
		next = list_after(&l->place);
		if (l->is_gone || l->expires > wall)
			continue;
		link_stop_serving(l);
		if (!l->v2)
			continue;
		l->leave_due = 1;
		link_later(l);
		if (l->streams.n == 0 || wall >= l->expires + EXPIRED_GRACE_S)
			link_close(l, 1008, "token has expired");
	}
}

/* With the budget full, the body that has stalled longest is broken off. */
static void
streams_unclog(void)
{
	struct stream *s, *worst = NULL;
	struct link *l;

	if (budget_free() > budget.max / 16)
		return;
	for (l = list_first(&all_links); l != NULL; l = list_after(&l->place))
		for (s = list_first(&l->streams); s != NULL; s = list_after(&s->on_link))
			if (s->http != NULL && s->http->tx.len > 0 &&
			    now_ms - s->http->tx_ms >= STALLED_MS &&
			    (worst == NULL || s->http->tx_ms < worst->http->tx_ms))
				worst = s;
	if (worst == NULL)
		return;
	worst->http->reset = 1;
	caller_leaves(worst->http, "stalled while memory was short");
}

static void
housekeep(struct timer *t)
{
	pool_trim();
	links_trim();
	links_expire();
	streams_retry();
	streams_unclog();
	timer_set(t, now_ms + 1000);
}

/* Callers that may have a further request in rx already, and links that may
 * have room for those that wait. */
static void
srv_settle(void)
{
	struct conn *c;
	struct link *l;

	while ((c = list_first(&srv.next)) != NULL) {
		list_leave(&c->place);
		caller_parse(c);
	}
	if (srv.nwait == 0)
		return;
	for (l = list_first(&all_links); l != NULL; l = list_after(&l->place))
		if (!l->is_gone && l->tunnel != NULL && l->tunnel->waiting.n > 0)
			tunnel_dispatch(l->tunnel);
}

static void
srv_stop(void)
{
	struct link *l, *next;
	size_t i;

	srv.stopping = 1;
	for (i = 0; i < loop.n; i++)
		if (loop.who[i]->state == CONN_LISTEN)
			conn_kill(loop.who[i]);
	log_event(LEVEL_INFO, "event=stopping");
	for (i = 0; i < TUNNEL_BUCKETS; i++) {
		struct tunnel *t;

		for (t = srv.table[i]; t != NULL; t = t->hash_next)
			while (t->waiting.n > 0)
				stream_refuse(list_first(&t->waiting), 504,
				    "the server is stopping");
	}
	for (l = list_first(&all_links); l != NULL; l = next) {
		next = list_after(&l->place);
		link_close(l, 1001, "the server is stopping");
	}
	loop.stop = 1;
}

static void
srv_signal(int sig)
{
	if (sig == SIGCHLD)
		children_reap();
	if (sig != SIGTERM && sig != SIGINT)
		return;
	if (loop.stop)
		_exit(1);
	srv_stop();
}

/* Whether answers or close frames are still on their way out. */
static int
srv_busy(void)
{
	size_t i;

	for (i = 0; i < loop.n; i++) {
		const struct conn *c = loop.who[i];

		if (c->tx.len > 0 || c->state == CONN_CLOSING ||
		    c->state == CONN_LINGER)
			return 1;
	}
	return 0;
}

#define STOP_MS 3000		/* for the last answers to be taken */

static int
srv_run(void)
{
	static struct timer second;
	long long stop_ms = 0;

	random_bytes(&srv.seed, sizeof(srv.seed));
	srv.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	loop_init(srv_signal);
	srv.start_ms = now_ms;
	settle_more = srv_settle;
	if (timer_init(&second, housekeep) == -1)
		die("no memory to start");
	timer_set(&second, now_ms + 1000);
	srv_listen();
	log_event(LEVEL_INFO, "event=start version=" PIPEGATE_VERSION
	    " max_connections=%lld max_memory=%zu", opt.max_connections,
	    budget.max);
	out_flush(&out_person);
	while (!loop.stop || srv_busy()) {
		if (loop.stop && stop_ms == 0)
			stop_ms = now_ms + STOP_MS;
		if (loop.stop && now_ms >= stop_ms)
			break;
		loop_turn(settle);
	}
	loop_sweep();
	out_flush(&out_log);
	return 0;
}

/* ------------------------------------------------------------------ client
 * Dials the server, and is an HTTP client towards the local service: the
 * origin.
 */

#define ORIGIN_CONNECT_MS 5000		/* for all addresses together */
#define ORIGIN_IDLE_MS 4000
#define ORIGIN_FRESH_MS 1000		/* what is not idempotent takes none idle for longer */
#define DIAL_MS 15000
#define DIAL_AGAIN_MS 3000		/* where the token was refused already */
#define BACKOFF_MAX_MS 60000
#define STEADY_MS 60000			/* a link that stood so long resets the back-off */
#define DRAIN_MS 10000
#define LEAVE_MS 2000			/* for the server to answer leave */
#define TOLD_MS 500			/* for the server to refuse the token */
#define TOKEN_WARN_S 259200LL		/* three days */

static struct {
	struct endpoint server, target;
	int tls;
	char server_host[300];		/* for Host */
	char server_path[2048];		/* with its query, less the token */
	char base[1024];		/* path of the target URL, no slash at the end */
	char target_url[512], public_url[1024];
	char token[JWT_SIZE_MAX + 1];
	int token_in_query;
	struct ws_dial dial;
	struct conn *dialling;
	int address;			/* the one being tried */
	struct link *link;
	struct timer redial;
	int failures;			/* dials since a link was steady */
	long long up_ms;
	int told;			/* that this link stands */
	int refused;			/* as Bearer: the query is the last try */
	int told_url, warned_expiry;
	struct list idle;		/* origin conns for the next request */
	pid_t helper;
	struct conn *helper_err;
	char helper_said[256];
	long long drain_ms;		/* when draining ends; 0: not draining */
	int close_code;			/* to end with */
	int exit_code;
	int colour;
	struct http_head head;		/* the answer at hand */
} cli;

static const struct role client_role;
static const struct kind origin_kind;

/* --- what a person sees */

static const char *
paint(const char *code)
{
	return cli.colour ? code : "";
}

#define DIM paint("\033[2m")
#define BOLD paint("\033[1m")
#define PLAIN paint("\033[0m")

/* "12:34:56" here, made once a second. */
static const char *
person_clock(void)
{
	static time_t made = -1;
	static char stamp[16];
	time_t now = time(NULL);
	struct tm tm;

	if (now == made || localtime_r(&now, &tm) == NULL)
		return stamp;
	made = now;
	text_put(stamp, sizeof(stamp), "%02d:%02d:%02d", tm.tm_hour,
	    tm.tm_min, tm.tm_sec);
	return stamp;
}

/* "12 kB" */
static const char *
person_size(char out[24], long long n)
{
	static const char *const unit[] = { "B", "kB", "MB", "GB", "TB" };
	long long tenths = n > LLONG_MAX / 10 ? LLONG_MAX : n * 10;
	size_t i = 0;

	while (tenths >= 10000 && i + 1 < ARRAY_LEN(unit)) {
		tenths /= 1000;
		i++;
	}
	if (i > 0 && tenths < 100)
		text_put(out, 24, "%lld.%lld %s", tenths / 10, tenths % 10,
		    unit[i]);
	else
		text_put(out, 24, "%lld %s", tenths / 10, unit[i]);
	return out;
}

static void PRINTF_LIKE(1, 2)
person_note(const char *fmt, ...)
{
	char text[1024];
	struct text t = { text, sizeof(text), 0 };
	va_list ap;

	if (log_level < LEVEL_INFO)
		return;
	va_start(ap, fmt);
	text_vadd(&t, fmt, &ap);
	va_end(ap);
	text[t.len] = '\0';
	person_say("%s%s%s  %s", DIM, person_clock(), PLAIN, text);
}

static const char *
status_colour(int status)
{
	if (status >= 500)
		return paint("\033[31m");
	if (status >= 400)
		return paint("\033[33m");
	return paint("\033[32m");
}

static void
person_request(const struct stream *s)
{
	char in[24], out[24], sizes[160], status[12] = "---";

	if (s->status > 0)
		text_put(status, sizeof(status), "%d", s->status);
	if (s->fault != NULL)
		text_put(sizes, sizeof(sizes), "%s", s->fault);
	else
		text_put(sizes, sizeof(sizes), "%s in, %s out",
		    person_size(in, s->down_bytes),
		    person_size(out, s->up_bytes));
	person_note("%s%s%s %-36s %6lld ms  %s", status_colour(s->status),
	    status, PLAIN, s->label, now_ms - s->start_ms, sizes);
}

static void
person_expiry(long long exp)
{
	long long left = exp - clock_wall();
	time_t t = (time_t)exp;
	char when[40];
	struct tm tm;

	memset(&tm, 0, sizeof(tm));
	localtime_r(&t, &tm);
	text_put(when, sizeof(when), "%d-%02d-%02d %02d:%02d",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
	    tm.tm_min);
	if (left < 0)
		person_note("the token has expired (%s): mint a new one with "
		    "`pipegate token`", when);
	else if (left < TOKEN_WARN_S)
		person_note("the token expires soon: %s (in %lld %s); mint "
		    "a new one with `pipegate token`", when,
		    left < 7200 ? left / 60 : left / 3600,
		    left < 7200 ? "minutes" : "hours");
	else
		person_note("token valid until %s (%lld days)", when,
		    (left + 43200) / 86400);
}

static void
person_connected(int v2)
{
	struct jwt_claims claims;
	struct view token = view_of(cli.token);

	cli.told = 1;
	if (cli.told_url) {
		person_note("connected again");
		return;
	}
	cli.told_url = 1;
	cli.warned_expiry = jwt_peek(&claims, token) == 0 &&
	    claims.exp - clock_wall() < TOKEN_WARN_S;
	if (jwt_peek(&claims, token) == -1) {
		person_note("connected");
		return;
	}
	text_put(cli.public_url, sizeof(cli.public_url), "%s://%s/%s/",
	    cli.tls ? "https" : "http", cli.server_host, claims.sub);
	if (log_level >= LEVEL_INFO)
		person_say("%s%s%s  ->  %s%s", BOLD, cli.public_url, PLAIN,
	    cli.target_url, v2 ? "" :
	    "   (v1 server: bodies are held whole, no WebSockets)");
	person_expiry(claims.exp);
}

/* --- origins */

static void
origin_drop(struct stream *s)
{
	struct conn *c = s->http;

	if (c == NULL)
		return;
	stream_detach(s);
	conn_kill(c);
}

/* v1: the answer to a request that failed here. */
static void
v1_fail(struct stream *s, int status, const char *why)
{
	unsigned char space[1024];
	struct http_out text = { space, sizeof(space), 0 };
	struct http_error e = { .status = status, .detail = why, .date = -1 };
	struct http_head *h = &cli.head;
	size_t scanned = 0;
	int r;

	origin_drop(s);
	chain_free(&s->hold);
	s->ncarry = 0;
	s->status = status;
	s->down.state = WS_HALF_ENDED;
	http_error_put(&text, &e);
	r = http_answer_parse(h, space, min_size(text.len, text.cap), &scanned,
	    view_of("GET"));
	msg_start(s, WS_MSG_RESPONSE);
	msg_out.status = status;
	msg_out.nfields = r > 0 ? http_answer_fields(msg_out.field, h) : 0;
	if (r <= 0 || v1_begin(s, ws_v1_response_put) < 0 ||
	    hold_body(s, space + r, text.len - (size_t)r) == -1 ||
	    hold_end(s) == -1) {
		stream_reset(s, status, why);
		return;
	}
	s->send_due = 1;
	turn_wait(s);
}

/* The request cannot be answered by the origin. */
static void
client_fail(struct stream *s, int status, const char *why)
{
	s->status = status;
	s->fault = why;
	if (!s->link->v2 && !s->hold_begun) {
		v1_fail(s, status, why);
		return;
	}
	origin_drop(s);
	stream_reset(s, status, why);
}

static void
client_fault(struct stream *s, enum source_fault f)
{
	switch (f) {
	case SOURCE_EOF:
	case SOURCE_BROKEN:
		client_fail(s, 502, s->head_up ?
		    "the service broke off its answer" :
		    "the service closed the connection without an answer");
		break;
	case SOURCE_BAD:
		client_fail(s, 502, "the service's answer is not valid HTTP");
		break;
	case SOURCE_TOO_BIG:
		client_fail(s, 502, "the answer is too large for this server "
		    "(v1 holds 16 MiB at most)");
		break;
	case SOURCE_NO_ROOM:
		client_fail(s, 503, "the client is short of memory");
		break;
	}
}

static const char *
connect_why(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return "cannot connect to the service: connection refused";
	case ETIMEDOUT:
		return "cannot connect to the service: no answer in 5 s";
	case EMFILE:
	case ENFILE:
		return "cannot connect to the service: too many open files";
	default:
		return "cannot connect to the service";
	}
}

static void
target_looked_up(struct endpoint *e, const char *error)
{
	if (error != NULL)
		person_note("cannot look up %s: %s", e->host, error);
}

/* Every address was tried: the name may have moved. */
static void
origin_unreachable(struct stream *s, int err)
{
	if (!host_is_numeric(cli.target.host))
		lookup_start(&cli.target, target_looked_up);
	client_fail(s, 504, cli.target.n == 0 ?
	    "cannot look up the name of the service" : connect_why(err));
}

/* The address to try as number n: the good one first, then the others. */
static int
target_nth(int n)
{
	if (n == 0)
		return cli.target.good;
	return n <= cli.target.good ? n - 1 : n;
}

/* Starts on the next address that does not fail at once.  Returns its fd, or
 * -1 with errno. */
static int
origin_dial(int *attempt)
{
	int fd = -1;

	errno = EHOSTUNREACH;
	while (fd == -1 && *attempt < cli.target.n)
		fd = endpoint_connect(&cli.target, target_nth((*attempt)++));
	return fd;
}

static struct conn *
origin_new(struct stream *s)
{
	int attempt = 0, fd = origin_dial(&attempt);
	struct conn *c;

	if (fd == -1) {
		origin_unreachable(s, errno);
		return NULL;
	}
	c = conn_new(&origin_kind, fd, CONN_CONNECT);
	if (c == NULL) {
		client_fail(s, 503, "the client is short of memory");
		return NULL;
	}
	c->attempt = attempt;
	c->stream = s;
	s->http = c;
	return c;
}

/* An address did not answer: the next one, on the same conn. */
static void
origin_next(struct conn *c, int err)
{
	int fd = origin_dial(&c->attempt);

	if (fd == -1) {
		origin_unreachable(c->stream, err);
		return;
	}
	close(c->fd);
	c->fd = fd;
	loop.pfd[c->slot].fd = fd;
	conn_touch(c);
}

static void
origin_connected(struct conn *c)
{
	int err = socket_error(c->fd);

	if (err != 0) {
		origin_next(c, err);
		return;
	}
	cli.target.good = target_nth(c->attempt - 1);
	conn_state(c, CONN_STREAM);
	conn_flush_later(c);
}

/* Whether an idle conn is still open and silent. */
static int
origin_is_alive(const struct conn *c)
{
	char b;
	ssize_t n = recv(c->fd, &b, 1, MSG_PEEK);

	return n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static int
method_is_idempotent(struct view m)
{
	return http_equal(m, "GET") || http_equal(m, "HEAD") ||
	    http_equal(m, "OPTIONS") || http_equal(m, "PUT") ||
	    http_equal(m, "DELETE");
}

/* An idle conn that is fit for the request, or NULL. */
static struct conn *
origin_reuse(struct stream *s, int idempotent)
{
	struct conn *c;

	while (cli.idle.tail != NULL) {
		c = cli.idle.tail->of;
		if (!idempotent && now_ms - c->since_ms >= ORIGIN_FRESH_MS)
			return NULL;
		list_leave(&c->place);
		if (!origin_is_alive(c)) {
			conn_kill(c);
			continue;
		}
		c->reused = 1;
		c->stream = s;
		s->http = c;
		c->rx_ms = c->tx_ms = now_ms;
		conn_state(c, CONN_STREAM);
		return c;
	}
	return NULL;
}

/* A reused conn ended before a byte of the answer: once more on a new one. */
static int
origin_retry(struct stream *s)
{
	struct conn *old = s->http, *c;
	struct chain head = s->again;

	if (!old->reused || head.len == 0 || old->rx.len > 0)
		return 0;
	memset(&s->again, 0, sizeof(s->again));
	stream_detach(s);
	conn_kill(old);
	s->sink_dead = 0;
	c = origin_new(s);
	if (c == NULL) {
		chain_free(&head);
		return 1;
	}
	c->tx = head;
	conn_flush_later(c);
	return 1;
}

/* Writes the request to the origin. */
static void
origin_send(struct stream *s, const struct ws_msg *m, struct conn *c)
{
	static unsigned char space[3 * HTTP_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };

	http_request_put(&o, m->method, view_of(cli.base), m->target, m->field,
	    m->nfields, s->sink, s->upgrade);
	if (o.len > o.cap) {
		client_fail(s, 502, "the head of the request is too large");
		return;
	}
	if (s->retry && c->reused && chain_put(&s->again, space, o.len) == -1)
		chain_free(&s->again);
	conn_put(c, space, o.len);
}

/* --- a request that came */

static const char *
request_fault(const struct ws_msg *m)
{
	if (!http_method_ok(m->method) || !http_path_ok(m->target) ||
	    !http_fields_ok(m->field, m->nfields))
		return "the request is not valid HTTP";
	if (cli.base[0] != '\0' && http_path_climbs(m->target))
		return "the path climbs above the target's base path";
	return NULL;
}

static enum http_framing
request_framing(const struct stream *s, const struct ws_msg *m)
{
	if (m->end || s->upgrade)
		return HTTP_NO_BODY;
	return msg_length_field(m) != NULL ? HTTP_LENGTH : HTTP_CHUNKED;
}

/* Gives s a conn to the origin and sends it the request's head. */
static void
client_start(struct stream *s, struct ws_msg *m)
{
	const char *bad = request_fault(m);
	int idempotent = method_is_idempotent(m->method);
	struct conn *c;

	s->head_only = http_equal(m->method, "HEAD") != 0;
	stream_label(s, "%-6s %s", m->method, m->target);
	s->down.left = length_of(msg_length_field(m));
	if (bad == NULL && m->end && s->down.left > 0)
		bad = "the request's Content-Length is not that of its body";
	if (bad != NULL) {
		client_fail(s, 400, bad);
		return;
	}
	s->sink = request_framing(s, m);
	s->retry = idempotent && m->end;
	c = origin_reuse(s, idempotent);
	if (c == NULL)
		c = origin_new(s);
	if (c != NULL)
		origin_send(s, m, c);
}

static void
client_request_v2(struct link *l, struct ws_msg *m)
{
	struct stream *s;

	if (stream_find(m->id) != NULL || l->streams.n >= l->max_streams) {
		link_fail(l, -1002, "a request with an open id, or too many");
		return;
	}
	s = stream_new(&client_role, NULL, m->id);
	if (s == NULL) {
		link_close(l, 1013, "the client is out of memory");
		return;
	}
	stream_join(s, l);
	s->upgrade = !m->end && http_field_find(m->field, m->nfields,
	    "upgrade") != NULL;
	ws_half_init(&s->up, m->bytes, -1);
	ws_half_init(&s->down, m->end ? 0 : V2_WINDOW, -1);
	if (m->end)
		s->down.state = WS_HALF_ENDED;
	else if (window_open(s, V2_WINDOW) == -1) {
		client_fail(s, 503, "the client is short of memory");
		return;
	}
	s->head_down = 1;
	client_start(s, m);
}

/* The framing of a v1 request is made anew from the body that it has. */
static void
v1_frame(struct ws_msg *m, char length[24])
{
	size_t i, n = 0;
	int had = m->body.n > 0;

	for (i = 0; i < m->nfields; i++) {
		if (http_equal_nocase(m->field[i].name, "content-length"))
			had = 1;
		else if (!http_equal_nocase(m->field[i].name, "expect"))
			m->field[n++] = m->field[i];
	}
	m->nfields = n;
	if (!had || n == HTTP_OUT_FIELDS)
		return;
	text_put(length, 24, "%zu", m->body.n);
	m->field[m->nfields++] = field_of("content-length", length);
}

static void
client_request_v1(struct link *l, unsigned char *p, size_t n)
{
	static unsigned char space[4 * HTTP_TARGET_MAX];
	char length[24];
	struct stream *s;
	int has_id = 0, r;

	r = ws_v1_request_read(&msg_in, p, n, &has_id, space, sizeof(space));
	if (!has_id || stream_find(msg_in.id) != NULL) {
		log_event(LEVEL_INFO, "event=message-ignored why=\"not a "
		    "request\"");
		return;
	}
	s = stream_new(&client_role, NULL, msg_in.id);
	if (s == NULL)
		return;
	stream_join(s, l);
	ws_half_init(&s->up, LLONG_MAX / 4, -1);
	ws_half_init(&s->down, LLONG_MAX / 4, -1);
	s->head_down = 1;
	if (r < 0 || l->streams.n > l->max_streams) {
		client_fail(s, r < 0 ? 400 : 503, r < 0 ?
		    "the server sent a malformed request" :
		    "too many requests at once for this client");
		return;
	}
	v1_frame(&msg_in, length);
	msg_in.end = msg_in.body.n == 0;
	client_start(s, &msg_in);
	if (s->http == NULL || s->down.state != WS_HALF_OPEN)
		return;
	if (!msg_in.end)
		stream_down(s, msg_in.body.p, msg_in.body.n, 1);
	s->down.state = WS_HALF_ENDED;
	stream_down_end(s, NULL, 0);
}

static void
client_take_v2(struct link *l, unsigned char *p, size_t n)
{
	struct stream *s;

	if (take_text(l, p, n) == -1)
		return;
	switch (msg_in.type) {
	case WS_MSG_REQUEST:
		client_request_v2(l, &msg_in);
		break;
	case WS_MSG_LEAVE:
		l->leaving = l->leave_due = 1;
		l->peer_left = 1;
		link_later(l);
		break;
	case WS_MSG_ACK:
	case WS_MSG_UNKNOWN:
		break;
	default:
		if ((s = take_find(l, msg_in.id)) != NULL)
			take_for_stream(s, &msg_in);
	}
}

static void
client_message(struct link *l, int opcode, unsigned char *p, size_t n)
{
	l->received++;
	if (!l->v2)
		client_request_v1(l, p, n);
	else if (opcode == WS_TEXT)
		client_take_v2(l, p, n);
	else
		take_body(l, p, n);
}

/* A v1 request too large to be held: only its id is known. */
static void
client_oversize(struct link *l, const unsigned char *p, size_t n)
{
	unsigned char id[16];
	struct stream *s;

	if (!ws_v1_id_find(id, p, n) || stream_find(id) != NULL ||
	    (s = stream_new(&client_role, NULL, id)) == NULL)
		return;
	stream_join(s, l);
	ws_half_init(&s->up, LLONG_MAX / 4, -1);
	client_fail(s, 413, "the request is larger than this client holds");
}

/* --- the origin's answer */

/* Passes the parsed head on.  Returns whether the link took it. */
static int
client_pass_head(struct stream *s, const struct http_head *h, int end)
{
	msg_start(s, WS_MSG_RESPONSE);
	msg_out.status = h->status;
	msg_out.reason = h->reason;
	msg_out.end = end;
	msg_out.nfields = http_answer_fields(msg_out.field, h);
	if (s->link->v2)
		return link_put_msg(s->link) == 0;
	return v1_begin(s, ws_v1_response_put) == 0;
}

/* An interim answer.  v1 has no place for it. */
static int
client_informational(struct stream *s, const struct http_head *h)
{
	if (++s->informational > 16) {
		client_fail(s, 502, "the service sends interim answers without end");
		return 0;
	}
	return !s->link->v2 || client_pass_head(s, h, 0);
}

static void
client_begin(struct stream *s, const struct http_head *h)
{
	int end = h->framing == HTTP_NO_BODY ||
	    (h->framing == HTTP_LENGTH && h->length == 0);

	s->status = h->status;
	s->http->keep_alive = h->keep_alive && h->framing != HTTP_UNTIL_CLOSE;
	if (!client_pass_head(s, h, end)) {
		client_fail(s, 502, "the head of the answer is too large");
		return;
	}
	s->head_up = 1;
	http_body_init(&s->source, h->framing, h->length);
	s->up.left = h->framing == HTTP_LENGTH ? h->length : -1;
	if (!s->link->v2) {
		s->up_limit = v1_body_max(s);
		if (h->framing == HTTP_LENGTH && h->length > s->up_limit)
			client_fault(s, SOURCE_TOO_BIG);
		return;
	}
	if (h->framing == HTTP_RAW) {
		s->sink = HTTP_RAW;
		conn_guard(s->http, 1);
	} else if (s->upgrade)
		s->down.state = WS_HALF_ENDED;
	if (end) {
		s->up.state = WS_HALF_ENDED;
		stream_up_ended(s);
	}
}

/* One head from rx.  Returns 1 when the final one has passed, 0 to wait or
 * because s has ended, -1 to look again. */
static int
client_take_head(struct stream *s)
{
	struct conn *c = s->http;
	struct http_head *h = &cli.head;
	struct view in = buf_view(&c->rx);
	int r = in.n == 0 ? 0 : http_answer_parse(h, in.p, in.n, &c->scanned,
	    view_of(s->head_only ? "HEAD" : "GET"));

	if (r == 0)
		return 0;
	chain_free(&s->again);
	c->scanned = 0;
	if (r < 0 || (h->status == 101 && !s->upgrade)) {
		client_fail(s, 502, r < 0 ?
		    "the service's answer is not valid HTTP" :
		    "the service switched protocols unasked");
		return 0;
	}
	if (h->status < 200 && h->status != 101) {
		r = client_informational(s, h) ? r : 0;
		if (s->http != NULL)
			buf_consume(&c->rx, (size_t)r);
		return r > 0 ? -1 : 0;
	}
	client_begin(s, h);
	if (s->http != NULL)
		buf_consume(&c->rx, (size_t)r);
	return s->up.state == WS_HALF_OPEN && s->http != NULL && s->head_up;
}

static int
client_head(struct stream *s)
{
	struct conn *c = s->http;
	int done;
	enum io io;

	if (c->state == CONN_CONNECT)
		return 0;
	for (;;) {
		while ((done = client_take_head(s)) == -1)
			;
		if (done || s->http != c || s->up.state != WS_HALF_OPEN ||
		    s->head_up || s->send_due)
			return done;
		io = conn_fill(c, pool_size[POOL_LARGE]);
		if (io == IO_WAIT)
			return 0;
		if (io != IO_DATA) {
			if (!origin_retry(s))
				client_fault(s, SOURCE_EOF);
			return 0;
		}
	}
}

static void
client_sink_gone(struct stream *s)
{
	s->sink_dead = 1;
	chain_free(&s->http->tx);
	stream_news(s);
}

static void
client_stray(struct stream *s, struct ws_msg *m)
{
	(void)m;
	link_fail(s->link, -1002, "a message out of its order");
}

static void
client_lost(struct stream *s, int status, const char *why)
{
	(void)why;
	if (s->status == 0)
		s->status = status;
	if (s->http != NULL)
		conn_abort(s->http);
	stream_detach(s);
}

/* Whether the conn is as good as new for another request. */
static int
origin_is_clean(const struct stream *s, const struct conn *c)
{
	return s->up.state == WS_HALF_ENDED && s->down.state == WS_HALF_ENDED &&
	    c->keep_alive && c->tx.len == 0 && c->rx.len == 0 && !c->rd_eof &&
	    !s->sink_dead;
}

static void
client_over(struct stream *s)
{
	struct conn *c = s->http;

	chain_free(&s->again);
	if (s->label[0] != '\0')
		person_request(s);
	if (c == NULL)
		return;
	stream_detach(s);
	if (s->sink == HTTP_RAW && s->up.state == WS_HALF_ENDED) {
		conn_linger(c);
	} else if (origin_is_clean(s, c)) {
		conn_state(c, CONN_IDLE);
		list_add(&cli.idle, &c->place, c);
	} else if (s->up.state == WS_HALF_RESET) {
		conn_abort(c);
	} else {
		conn_kill(c);
	}
}

static const struct role client_role = {
	.head = client_head, .fault = client_fault,
	.sink_gone = client_sink_gone, .message = client_stray,
	.lost = client_lost, .over = client_over,
};

static void
origin_ready(struct conn *c, short revents)
{
	struct stream *s = c->stream;

	if (c->state == CONN_IDLE) {
		conn_kill(c);
		return;
	}
	if (c->state == CONN_CONNECT) {
		origin_connected(c);
		return;
	}
	if (revents & POLLOUT)
		conn_flush_later(c);
	if (s == NULL || !(revents & ~POLLOUT))
		return;
	if ((revents & (POLLERR | POLLHUP)) && !stream_reads(s))
		loop_remove(c);
	if (revents & POLLERR)
		client_sink_gone(s);
	else
		stream_news(s);
}

static void
origin_broken(struct conn *c)
{
	if (c->stream != NULL)
		client_sink_gone(c->stream);
	else
		conn_kill(c);
}

static short
origin_events(const struct conn *c)
{
	short ev = c->tx.len > 0 ? POLLOUT : 0;

	if (c->state == CONN_CONNECT)
		return POLLOUT;
	if (c->state == CONN_IDLE)
		return POLLRDHUP != 0 ? POLLRDHUP : POLLIN;
	if (c->stream != NULL && stream_reads(c->stream) && !c->rd_eof)
		ev = (short)(ev | POLLIN);
	return ev;
}

static long long
origin_deadline(const struct conn *c)
{
	if (c->state == CONN_IDLE)
		return c->since_ms + ORIGIN_IDLE_MS;
	if (c->state == CONN_CONNECT)
		return c->since_ms + ORIGIN_CONNECT_MS * c->attempt /
		    (cli.target.n > 0 ? cli.target.n : 1);
	return NEVER;
}

static void
origin_expire(struct conn *c)
{
	if (c->state == CONN_CONNECT)
		origin_next(c, ETIMEDOUT);
	else
		conn_kill(c);
}

static const struct kind origin_kind = {
	.name = "origin", .ready = origin_ready, .sent = stream_sent,
	.broken = origin_broken, .events = origin_events,
	.deadline = origin_deadline, .expire = origin_expire,
};

/* --- dialling */

static const struct kind dial_kind;

/* Keeps the line that says most: the first of an error, else the last. */
static void
helper_line(struct view line)
{
	static const char *const telling[] = {
		"verify error", "rror", "refused", "not found", "No such"
	};
	char text[sizeof(cli.helper_said)];
	size_t i;

	if (line.n == 0)
		return;
	text_safe(text, sizeof(text), line);
	log_event(LEVEL_DEBUG, "event=helper says=\"%s\"", text);
	for (i = 0; i < ARRAY_LEN(telling); i++)
		if (text_find(cli.helper_said, telling[i]) != NULL)
			return;
	memcpy(cli.helper_said, text, sizeof(text));
}

/* What openssl's words mean for the person who reads them. */
static const char *
helper_meaning(const char *said)
{
	static const struct {
		const char *word, *meaning;
	} known[] = {
		{ "ame mismatch", "its certificate is for another name" },
		{ "address mismatch", "its certificate is for another address" },
		{ "has expired", "its certificate has expired" },
		{ "not yet valid", "its certificate is not valid yet" },
		{ "verify error", "its certificate is not trusted "
		    "(SSL_CERT_FILE names a CA of your own)" },
		{ "wrong version number", "no TLS is spoken there (is it ws://?)" },
		{ "onnection refused", "connection refused" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(known); i++)
		if (text_find(said, known[i].word) != NULL)
			return known[i].meaning;
	return said;
}

static void
helper_note(const char *p, size_t n)
{
	struct view line = { (const unsigned char *)p, 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] == '\n') {
			helper_line(line);
			line.p = (const unsigned char *)p + i + 1;
			line.n = 0;
		} else {
			line.n++;
		}
	}
	helper_line(line);
}

static void
helper_end(void)
{
	child_kill(cli.helper);
	cli.helper = 0;
	if (cli.helper_err != NULL)
		conn_kill(cli.helper_err);
	cli.helper_err = NULL;
}

/* For good: nothing that waiting would mend. */
static void
client_give_up(const char *why)
{
	warn("the server refused this client: %s", why);
	cli.exit_code = 1;
	loop.stop = 1;
}

static const char token_refused[] = "it does not accept the token (missing, "
    "expired, or made with another secret?)";

/* Waits and dials again: 1, 2, 4 ... 60 s, each times 0.5 to 1 at random. */
static void
client_redial(const char *why)
{
	long long span = 1000LL << (cli.failures < 6 ? cli.failures : 6);
	unsigned int r;

	cli.dialling = NULL;
	if (loop.stop || cli.close_code != 0)
		return;
	if (cli.refused) {
		client_give_up(token_refused);
		return;
	}
	helper_end();
	random_bytes(&r, sizeof(r));
	span = min_time(span, BACKOFF_MAX_MS);
	span = span / 2 + (long long)(r % (unsigned int)(span / 2 + 1));
	if (cli.failures < 16)
		cli.failures++;
	person_note("%s; trying again in %lld.%lld s", why, span / 1000,
	    span % 1000 / 100);
	timer_set(&cli.redial, now_ms + span);
}

static void
dial_failed(struct conn *c, const char *why)
{
	conn_kill(c);
	client_redial(why);
}

static void
client_gone(struct link *l, int code, const char *why)
{
	char text[512];

	streams_orphan(l, "the link to the server broke");
	if (cli.link != l)
		return;
	cli.link = NULL;
	if (code == 1008 && l->close_in && now_ms - cli.up_ms < 10000) {
		helper_end();
		client_give_up(why);
		return;
	}
	if (now_ms - cli.up_ms >= STEADY_MS)
		cli.failures = 0;
	text_put(text, sizeof(text), "disconnected: %s", why[0] != '\0' ? why :
	    code == 1001 ? "the server is going away" : "the link was closed");
	client_redial(text);
}

static const struct link_ops client_link_ops = {
	.message = client_message, .oversize = client_oversize,
	.handled = gather_write, .gone = client_gone,
};

static void
dial_accepted(struct conn *c, int v2)
{
	struct link *l = link_new(c, &client_link_ops, 1);

	if (l == NULL) {
		dial_failed(c, "out of memory");
		return;
	}
	conn_state(c, CONN_OPEN);
	cli.dialling = NULL;
	cli.link = l;
	cli.up_ms = now_ms;
	l->v2 = v2 != 0;
	l->max_streams = cli.dial.streams;
	cli.told = 0;
	cli.refused = 0;
	link_measure(l);
	link_later(l);
	link_input(l);
}

/* What a status other than 101 means for a person. */
static void
dial_refused(struct conn *c, int status, const char *why)
{
	char text[512];

	if ((status == 401 || status == 403) && !cli.dial.in_query) {
		/* The reference looks for a token in the query alone. */
		cli.dial.in_query = 1;
		cli.refused = 1;
		conn_kill(c);
		helper_end();
		timer_set(&cli.redial, now_ms);
		return;
	}
	if (status == 401 || status == 403) {
		conn_kill(c);
		client_give_up(token_refused);
		return;
	}
	if (status == 502 && why != NULL)
		text_put(text, sizeof(text), "%s does not answer as a pipegate "
		    "server: %s", cli.server_host, why);
	else
		text_put(text, sizeof(text), "%s answered %d %s instead of "
		    "opening a tunnel%s", cli.server_host, status,
		    http_reason(status), status < 400 || status == 404 ?
		    " (SERVER_URL usually ends in a slash)" : "");
	dial_failed(c, text);
}

static void
dial_answer(struct conn *c)
{
	struct ws_hello hello;
	const char *why = NULL;
	int v2 = 0, r;
	struct view in = buf_view(&c->rx);

	r = http_answer_parse(&cli.head, in.p, in.n, &c->scanned,
	    view_of("GET"));
	if (r == 0)
		return;
	if (r < 0) {
		dial_refused(c, 502, "not HTTP");
		return;
	}
	c->scanned = 0;
	buf_consume(&c->rx, (size_t)r);
	r = ws_answer_check(&cli.head, &cli.dial, &v2, &hello, &why);
	if (r < 0)
		dial_refused(c, -r, why);
	else
		dial_accepted(c, v2);
}

/* What the helper said last is the best reason that there is. */
static void
dial_ended(struct conn *c, const char *why)
{
	char text[1024], buf[1024] = "";
	size_t n;

	while (cli.helper_err != NULL &&
	    conn_read(cli.helper_err, buf, sizeof(buf), &n) == IO_DATA)
		helper_note(buf, n);
	if (cli.helper_said[0] != '\0')
		why = helper_meaning(cli.helper_said);
	text_put(text, sizeof(text), "cannot connect to %s: %s%s",
	    cli.server_host, why, cli.tls || opt.connect_command != NULL ? "" :
	    " (is it wss://?)");
	dial_failed(c, text);
}

static void
dial_send(struct conn *c)
{
	unsigned char space[JWT_SIZE_MAX + 4096];
	struct http_out o = { space, sizeof(space), 0 };

	random_bytes(cli.dial.nonce, sizeof(cli.dial.nonce));
	ws_dial_put(&o, &cli.dial);
	conn_put(c, space, min_size(o.len, o.cap));
	hmac_wipe(space, sizeof(space));
}

static void
dial_next(const char *why)
{
	char text[1024];

	while (cli.address < cli.server.n) {
		int fd = endpoint_connect(&cli.server, cli.address++);

		if (fd == -1) {
			why = strerror(errno);
			continue;
		}
		cli.dialling = conn_new(&dial_kind, fd, CONN_CONNECT);
		if (cli.dialling != NULL)
			return;
	}
	text_put(text, sizeof(text), "cannot connect to %s: %s",
	    cli.server_host, why);
	client_redial(text);
}

static void
dial_ready(struct conn *c, short revents)
{
	enum io io;

	if (c->state == CONN_CONNECT) {
		int err = socket_error(c->fd);

		if (err != 0) {
			conn_kill(c);
			dial_next(strerror(err));
			return;
		}
		conn_state(c, CONN_HANDSHAKE);
		dial_send(c);
		return;
	}
	if (revents & POLLOUT)
		conn_flush_later(c);
	if (!(revents & ~POLLOUT))
		return;
	io = conn_fill(c, pool_size[POOL_LARGE]);
	if (io == IO_DATA)
		dial_answer(c);
	else if (io != IO_WAIT)
		dial_ended(c, io == IO_EOF ? "the connection was closed" :
		    strerror(errno));
}

static short
dial_events(const struct conn *c)
{
	return (short)(c->state == CONN_CONNECT ? POLLOUT :
	    POLLIN | (c->tx.len > 0 ? POLLOUT : 0));
}

static long long
dial_deadline(const struct conn *c)
{
	return c->since_ms + (cli.refused ? DIAL_AGAIN_MS : DIAL_MS);
}

static void
dial_expire(struct conn *c)
{
	if (c->state == CONN_CONNECT) {
		conn_kill(c);
		dial_next("no answer");
	} else {
		dial_ended(c, "no answer to the handshake");
	}
}

static void
dial_broken(struct conn *c)
{
	dial_ended(c, "the connection broke");
}

static const struct kind dial_kind = {
	.name = "dial", .ready = dial_ready, .broken = dial_broken,
	.events = dial_events, .deadline = dial_deadline,
	.expire = dial_expire,
};

static void
server_looked_up(struct endpoint *e, const char *error)
{
	char text[512];

	if (error == NULL) {
		cli.address = 0;
		dial_next("no address");
		return;
	}
	text_put(text, sizeof(text), "cannot look up %s: %s", e->host, error);
	client_redial(text);
}

/* --- the helper: somebody else's program carries the bytes, for TLS or
 * through a proxy, as ssh's ProxyCommand does */

static void
helper_err_ready(struct conn *c, short revents)
{
	char buf[1024];
	size_t n;
	enum io io = conn_read(c, buf, sizeof(buf), &n);

	(void)revents;
	if (io == IO_DATA)
		helper_note(buf, n);
	if (io == IO_EOF || io == IO_ERROR) {
		cli.helper_err = NULL;
		conn_kill(c);
	}
}

static void
helper_err_broken(struct conn *c)
{
	cli.helper_err = NULL;
	conn_kill(c);
}

static const struct kind helper_err_kind = {
	.name = "helper", .ready = helper_err_ready, .broken = helper_err_broken,
	.events = always_readable, .deadline = no_deadline,
	.expire = helper_err_broken,
};

/* Fills %h and %p into the command. */
static void
helper_command(char *out, size_t cap)
{
	const char *p = opt.connect_command;
	size_t n = text_put(out, cap, "exec ");

	for (; *p != '\0' && n + 1 < cap; p++) {
		const char *put = NULL;

		if (p[0] == '%' && p[1] == 'h')
			put = cli.server.host;
		else if (p[0] == '%' && p[1] == 'p')
			put = cli.server.port;
		else if (p[0] == '%' && p[1] == '%')
			put = "%";
		if (put == NULL) {
			out[n++] = *p;
			continue;
		}
		n += text_put(out + n, cap - n, "%s", put);
		p++;
	}
	out[min_size(n, cap - 1)] = '\0';
}

/* The default: openssl, with the chain and the name verified.  -quiet also
 * switches off its command letters, so that all bytes pass. */
static void
helper_openssl(void)
{
	static char to[sizeof(cli.server.host) + 16];
	int v6 = strchr(cli.server.host, ':') != NULL;
	int numeric = host_is_numeric(cli.server.host);
	char *const argv[] = {
		"openssl", "s_client", "-quiet", "-verify_quiet",
		"-verify_return_error", "-verify", "8", "-connect", to,
		numeric ? "-noservername" : "-servername",
		numeric ? "-verify_ip" : cli.server.host,
		numeric ? cli.server.host : "-verify_hostname",
		numeric ? NULL : cli.server.host, NULL
	};

	text_put(to, sizeof(to), v6 ? "[%s]:%s" : "%s:%s", cli.server.host,
	    cli.server.port);
	execvp(argv[0], argv);
	warn("cannot run openssl: %s (install it, or name another program "
	    "with --connect)", strerror(errno));
}

static void
helper_child(int fd, int err)
{
	char command[4096];
	char *const argv[] = { "/bin/sh", "-c", command, NULL };

#ifdef PR_SET_PDEATHSIG
	prctl(PR_SET_PDEATHSIG, SIGKILL);	/* not to outlive a client that is killed */
#endif
	/* A Ctrl-C reaches it too, and it must still carry our goodbye. */
	signal_catch(SIGINT, SIG_IGN);
	signal_catch(SIGTERM, SIG_IGN);
	signal_catch(SIGHUP, SIG_IGN);
	if (dup2(fd, STDIN_FILENO) == -1 || dup2(fd, STDOUT_FILENO) == -1 ||
	    dup2(err, STDERR_FILENO) == -1)
		_exit(126);
	if (opt.connect_command == NULL) {
		helper_openssl();
		_exit(127);
	}
	helper_command(command, sizeof(command));
	execvp(argv[0], argv);
	warn("cannot run /bin/sh:");
	_exit(127);
}

static void
helper_started(int fd, int err)
{
	fd_prepare(fd);
	fd_prepare(err);
	cli.helper_err = conn_new(&helper_err_kind, err, CONN_OPEN);
	cli.dialling = conn_new(&dial_kind, fd, CONN_CONNECT);
	if (cli.dialling == NULL) {
		client_redial("out of memory");
		return;
	}
	conn_state(cli.dialling, CONN_HANDSHAKE);
	dial_send(cli.dialling);
}

static void
helper_dial(void)
{
	int pair[2], err[2];

	cli.helper_said[0] = '\0';
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1) {
		client_redial("no socket for the helper");
		return;
	}
	if (pipe(err) == -1) {
		close(pair[0]);
		close(pair[1]);
		client_redial("no pipe for the helper");
		return;
	}
	fcntl(pair[0], F_SETFD, FD_CLOEXEC);
	fcntl(err[0], F_SETFD, FD_CLOEXEC);
	cli.helper = child_fork();
	if (cli.helper == 0)
		helper_child(pair[1], err[1]);
	close(pair[1]);
	close(err[1]);
	if (cli.helper == -1) {
		cli.helper = 0;
		close(pair[0]);
		close(err[0]);
		client_redial("cannot start the helper");
		return;
	}
	helper_started(pair[0], err[0]);
}

static void
client_dial(void)
{
	log_event(LEVEL_DEBUG, "event=dial host=%s port=%s", cli.server.host,
	    cli.server.port);
	if (cli.tls || opt.connect_command != NULL)
		helper_dial();
	else if (lookup_start(&cli.server, server_looked_up) == -1)
		client_redial("cannot start the look-up");
}

static void
redial_timer(struct timer *t)
{
	(void)t;
	client_dial();
}

/* --- ending */

/* No more requests; what is under way is finished, for a while. */
static void
client_drain(void)
{
	cli.close_code = 1001;
	cli.drain_ms = now_ms + DRAIN_MS;
	timer_set(&cli.redial, NEVER);
	if (cli.link == NULL)
		return;
	if (cli.link->streams.n > 0)
		person_note("finishing %lld request%s; once more to stop at "
		    "once", cli.link->streams.n,
		    cli.link->streams.n == 1 ? "" : "s");
	cli.link->leaving = cli.link->leave_due = 1;
	link_later(cli.link);
}

static void
client_end(int code)
{
	cli.close_code = code;
	loop.stop = 1;
	if (cli.link != NULL)
		link_close(cli.link, code, "");
}

static void
client_signal(int sig)
{
	if (sig == SIGCHLD) {
		children_reap();
		return;
	}
	if (loop.stop) {
		children_end();
		_exit(1);
	}
	if (sig == SIGTERM && cli.close_code == 0)
		client_drain();
	else
		client_end(sig == SIGTERM ? 1001 : 1000);
}

/* Draining is over when the server has said that no request follows, and the
 * last stream has ended.  v1 knows no leave. */
static void
client_settle(void)
{
	struct link *l = cli.link;

	/* A server that refuses the token says so behind its 101. */
	if (l != NULL && !cli.told && (!l->v2 || l->rtt_us > 0 ||
	    now_ms - cli.up_ms >= TOLD_MS))
		person_connected(l->v2);
	if (cli.drain_ms == 0 || loop.stop)
		return;
	if (l == NULL || now_ms >= cli.drain_ms ||
	    (l->streams.n == 0 && l->tx.len == 0 && (l->peer_left || !l->v2 ||
	    now_ms >= cli.drain_ms - DRAIN_MS + LEAVE_MS)))
		client_end(cli.close_code);
}

static void
client_second(struct timer *t)
{
	struct jwt_claims claims;

	pool_trim();
	links_trim();
	streams_retry();
	if (!cli.warned_expiry && cli.told_url &&
	    jwt_peek(&claims, view_of(cli.token)) == 0 &&
	    claims.exp - clock_wall() < TOKEN_WARN_S) {
		cli.warned_expiry = 1;
		person_expiry(claims.exp);
	}
	timer_set(t, now_ms + 1000);
}

static int
client_busy(void)
{
	return all_links.n > 0;
}

static void
dial_prepare(void)
{
	struct rlimit rl = { 1024, 1024 };

	getrlimit(RLIMIT_NOFILE, &rl);
	random_bytes(cli.dial.instance, sizeof(cli.dial.instance));
	ws_uuid_make(cli.dial.instance);
	cli.dial.host = view_of(cli.server_host);
	cli.dial.path = view_of(cli.server_path);
	cli.dial.token = view_of(cli.token);
	cli.dial.in_query = cli.token_in_query;
	cli.dial.streams = clamp((long long)min_size((size_t)rl.rlim_cur, 4096) / 2,
	    1, V2_STREAMS);
	cli.dial.window = V2_WINDOW;
}

static void
target_first_look(struct endpoint *e, const char *error)
{
	target_looked_up(e, error);
	client_dial();
}

static int
cli_run(void)
{
	static struct timer second;
	long long stop_ms = 0;

	loop_init(client_signal);
	settle_more = client_settle;
	cli.colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	if (timer_init(&second, client_second) == -1 ||
	    timer_init(&cli.redial, redial_timer) == -1)
		die("no memory to start");
	timer_set(&second, now_ms + 1000);
	dial_prepare();
	person_note("connecting to %s", cli.server_host);
	if (lookup_start(&cli.target, target_first_look) == -1)
		die("cannot start a child process:");
	while (!loop.stop || client_busy()) {
		if (loop.stop && stop_ms == 0)
			stop_ms = now_ms + LINK_CLOSE_MS;
		if (loop.stop && now_ms >= stop_ms)
			break;
		loop_turn(settle);
	}
	loop_sweep();
	helper_end();
	children_end();
	out_flush(&out_person);
	out_flush(&out_log);
	return cli.exit_code;
}

/* ------------------------------------------------------------------- token
 */

static int
token_run(void)
{
	struct jwt_claims c;
	unsigned char id[16];
	char hex[33] = "", token[JWT_SIZE_MAX + 1], out[JWT_SIZE_MAX + 256];
	struct view sub;
	size_t n;

	memset(&c, 0, sizeof(c));
	random_bytes(id, sizeof(id));
	ws_uuid_make(id);
	ws_hex_put(hex, id);
	sub = view_of(opt.connection_id != NULL ? opt.connection_id : hex);
	if (!jwt_sub_ok(sub))
		die("\"%.200s\" (from --connection-id or "
		    "PIPEGATE_CONNECTION_ID) cannot be a connection id: use 1 to %d of "
		    "A-Z a-z 0-9 . _ ~ - (not \".\", \"..\" or \"healthz\")",
		    (const char *)sub.p, JWT_SUB_MAX);
	memcpy(c.sub, sub.p, sub.n);
	random_bytes(id, sizeof(id));
	ws_uuid_make(id);
	ws_hex_put(c.jti, id);
	c.iat = c.nbf = clock_wall();
	c.exp = c.iat + opt.ttl_days * 86400;
	if (jwt_make(token, sizeof(token), &c, &opt.key) == -1)
		die("the token would be too long: shorten "
		    "PIPEGATE_JWT_ISSUER or PIPEGATE_JWT_AUDIENCE");
	n = text_put(out, sizeof(out), "Connection-id: %s\n"
	    "JWT Bearer:    %s\n", c.sub, token);
	if (write_all(STDOUT_FILENO, out, n) == -1)
		die("cannot write the token:");
	return 0;
}

/* ----------------------------------------------------------------- options
 * Environment and command line.  What does not parse is named, with what
 * would be right.
 */

struct setting {
	const char *name;
	long long *value;
	long long fallback, low, high;
};

static const struct setting settings[] = {
	{ "PIPEGATE_JWT_TTL_DAYS", &opt.ttl_days, 21, 1, 36500 },
	{ "PIPEGATE_MAX_BODY_BYTES", &opt.max_body, 10485760, 0, 1LL << 50 },
	{ "PIPEGATE_MAX_QUEUE_DEPTH", &opt.queue_depth, 100, 0, 1000000 },
	{ "PIPEGATE_OFFLINE_WAIT", &opt.offline_wait_s, 60, 0, 86400 },
	{ "PIPEGATE_RESPONSE_TIMEOUT", &opt.response_timeout_s, 300, 1, 86400 },
	{ "PIPEGATE_MAX_MEMORY", &opt.max_memory, 64 << 20, 1 << 20, 1LL << 40 },
	{ "PIPEGATE_MAX_CONNECTIONS", &opt.max_connections, 16384, 1, 1000000 },
};

static void
setting_read(const struct setting *s)
{
	const char *text = getenv(s->name);
	char *end;
	long long v;

	*s->value = s->fallback;
	if (text == NULL)
		return;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || v < s->low ||
	    v > s->high)
		die("%s is \"%.100s\": it must be a whole number from %lld to "
		    "%lld", s->name, text, s->low, s->high);
	*s->value = v;
}

/* One network of PIPEGATE_TRUSTED_PROXIES: an address, or address/bits. */
static int
cidr_read(struct cidr *n, const char *text, size_t len)
{
	char ip[INET6_ADDRSTRLEN + 8];
	char *slash, *end;
	int max;

	if (len >= sizeof(ip))
		return -1;
	memset(n, 0, sizeof(*n));
	memcpy(ip, text, len);
	ip[len] = '\0';
	slash = strchr(ip, '/');
	if (slash != NULL)
		*slash++ = '\0';
	if (inet_pton(AF_INET, ip, n->net.ip) == 1)
		n->net.family = 4;
	else if (inet_pton(AF_INET6, ip, n->net.ip) == 1)
		n->net.family = 6;
	else
		return -1;
	max = n->net.family == 4 ? 32 : 128;
	n->bits = max;
	if (slash == NULL)
		return 0;
	n->bits = (int)strtol(slash, &end, 10);
	return end == slash || *end != '\0' || n->bits < 0 || n->bits > max ?
	    -1 : 0;
}

static void
trusted_read(void)
{
	const char *text = getenv("PIPEGATE_TRUSTED_PROXIES"), *p;

	p = text == NULL ? "127.0.0.0/8,::1" : text;
	while (*p != '\0') {
		size_t n = strcspn(p, ",");

		if (opt.ntrusted == TRUSTED_MAX ||
		    cidr_read(&opt.trusted[opt.ntrusted++], p, n) == -1)
			die("PIPEGATE_TRUSTED_PROXIES is \"%.200s\": it must "
			    "be addresses or networks with commas between "
			    "them, such as 127.0.0.0/8,::1 (%d at most)",
			    text != NULL ? text : "", TRUSTED_MAX);
		p += n;
		if (*p == ',')
			p += 1 + strspn(p + 1, " ");
	}
}

/* ["HS256"] or HS256: this program knows no other algorithm. */
static void
algorithms_read(void)
{
	const char *text = getenv("PIPEGATE_JWT_ALGORITHMS");
	struct json list, item;
	struct json_iter it;

	if (text == NULL || strcmp(text, "HS256") == 0)
		return;
	if (json_parse(&list, (const unsigned char *)text, strlen(text)) == 0) {
		json_iter_init(&it, &list);
		while (list.type == JSON_ARRAY &&
		    json_iter_next(&it, NULL, &item))
			if (json_equal(&item, "HS256"))
				return;
	}
	die("PIPEGATE_JWT_ALGORITHMS is \"%.100s\": it must be a JSON list "
	    "that has HS256, such as [\"HS256\"]", text);
}

/* A variable's value, copied so that the environment can be wiped. */
static char *
secret_take(const char *name)
{
	char *v = getenv(name), *copy;

	if (v == NULL)
		return NULL;
	copy = strdup(v);
	if (copy == NULL)
		die("no memory to start");
	hmac_wipe(v, strlen(v));
	return copy;
}

static void
secret_read(void)
{
	opt.key.secret = secret_take("PIPEGATE_JWT_SECRET");
	if (opt.key.secret == NULL || opt.key.secret[0] == '\0')
		die("PIPEGATE_JWT_SECRET is %s.  It is what signs tokens, the "
		    "same for the server and `pipegate token`.  Make one "
		    "with:\n    export PIPEGATE_JWT_SECRET=$(head -c 32 "
		    "/dev/urandom | od -An -tx1 | tr -d ' \\n')",
		    opt.key.secret == NULL ? "not set" : "empty");
	if (strlen(opt.key.secret) < 32)
		warn("warning: PIPEGATE_JWT_SECRET is shorter than 32 bytes, "
		    "which makes it easier to guess");
}

static const char *
env_or(const char *name, const char *fallback)
{
	const char *v = getenv(name);

	return v != NULL ? v : fallback;
}

/* A variable that is set to something, or NULL. */
static const char *
env_some(const char *name)
{
	const char *v = getenv(name);

	return v != NULL && v[0] != '\0' ? v : NULL;
}

static void
environment_read(void)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(settings); i++)
		setting_read(&settings[i]);
	budget.max = (size_t)opt.max_memory;
	trusted_read();
	algorithms_read();
	opt.key.issuer = env_or("PIPEGATE_JWT_ISSUER", "pipegate");
	opt.key.audience = env_or("PIPEGATE_JWT_AUDIENCE", "pipegate");
	if (opt.connection_id == NULL)
		opt.connection_id = env_some("PIPEGATE_CONNECTION_ID");
	if (opt.connect_command == NULL)
		opt.connect_command = env_some("PIPEGATE_CONNECT");
	opt.token = secret_take("PIPEGATE_TOKEN");
}

/* --- the command line */

static const char usage_main[] =
"PipeGate " PIPEGATE_VERSION ": reach a local web service through a server of your own.\n"
"\n"
"usage:\n"
"  pipegate server [--host H] [-p N | --port N]   on the machine that people reach\n"
"  pipegate token  [-c ID | --connection-id ID]   mints the token for a client\n"
"  pipegate client TARGET_URL SERVER_URL          beside the service\n"
"  pipegate --help | --version\n"
"\n"
"A first tunnel, all on one machine (the client stays in front: ask from\n"
"another terminal, and put what `pipegate token` printed in TOKEN's place):\n"
"  export PIPEGATE_JWT_SECRET=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n')\n"
"  pipegate server &\n"
"  pipegate token -c my-app\n"
"  pipegate client http://localhost:3000 'ws://localhost:8000/?token=TOKEN'\n"
"  curl http://localhost:8000/my-app/\n"
"\n"
"`pipegate SUBCOMMAND --help` says more of each.\n";

static const char usage_server[] =
"usage: pipegate server [--host H] [-p N | --port N] [--quiet | --verbose]\n"
"\n"
"Takes requests for /{id}/... and passes them to the client that is connected\n"
"with a token for that id.  It speaks plain HTTP: put Caddy, stunnel or another\n"
"TLS terminator in front of it.\n"
"\n"
"  --host H       address to listen on (default 0.0.0.0; :: for IPv6 too)\n"
"  -p, --port N   port (default 8000; 0 takes any that is free)\n"
"  -q, --quiet    log errors only\n"
"  -v, --verbose  log more\n"
"\n"
"The first line on stdout says where it listens.  The log goes to stderr.\n"
"\n"
"environment (default):\n"
"  PIPEGATE_JWT_SECRET         signs the tokens; required\n"
"  PIPEGATE_JWT_ALGORITHMS     [\"HS256\"], the only one\n"
"  PIPEGATE_JWT_ISSUER         pipegate\n"
"  PIPEGATE_JWT_AUDIENCE       pipegate\n"
"  PIPEGATE_MAX_BODY_BYTES     10485760: largest request body; 0 = no limit\n"
"  PIPEGATE_MAX_QUEUE_DEPTH    100: requests that wait for one id\n"
"  PIPEGATE_OFFLINE_WAIT       60: seconds that they wait for a client to return\n"
"  PIPEGATE_RESPONSE_TIMEOUT   300: seconds until an answer must begin\n"
"  PIPEGATE_MAX_MEMORY         67108864: bytes for all buffers\n"
"  PIPEGATE_MAX_CONNECTIONS    16384, or what the limit of open files allows\n"
"  PIPEGATE_TRUSTED_PROXIES    127.0.0.0/8,::1: whose X-Forwarded-* are believed\n";

static const char usage_client[] =
"usage: pipegate client TARGET_URL SERVER_URL [--connect COMMAND]\n"
"                       [--quiet | --verbose]\n"
"\n"
"Connects to the server and passes the requests that it sends to the service at\n"
"TARGET_URL.  Dials again whenever the connection drops.\n"
"\n"
"  TARGET_URL   http://localhost:3000, also with a base path; or just a port\n"
"  SERVER_URL   ws://yourserver:8000/?token=TOKEN, or wss:// through TLS\n"
"               (http:// and https:// are taken for ws:// and wss://)\n"
"\n"
"  --connect COMMAND   a program that carries the bytes to the server on its\n"
"                      stdin and stdout, with %h and %p for host and port;\n"
"                      default for wss://: openssl s_client, verifying the\n"
"                      certificate\n"
"  -q, --quiet         print nothing but errors\n"
"  -v, --verbose       log more, to stderr\n"
"\n"
"environment:\n"
"  PIPEGATE_TOKEN      the token, so that SERVER_URL needs no ?token=\n"
"  PIPEGATE_CONNECT    as --connect\n"
"  PIPEGATE_MAX_MEMORY 67108864: bytes for all buffers\n"
"  SSL_CERT_FILE       a CA certificate that openssl is to trust\n"
"  NO_COLOR            no colour\n";

static const char usage_token[] =
"usage: pipegate token [-c ID | --connection-id ID]\n"
"\n"
"Prints a connection id and a token that lets a client serve it.\n"
"\n"
"  -c, --connection-id ID   1 to 128 of A-Z a-z 0-9 . _ ~ - (default: the\n"
"                           environment's, else a random one)\n"
"\n"
"environment (default):\n"
"  PIPEGATE_JWT_SECRET      signs the token; required, the server's own\n"
"  PIPEGATE_JWT_TTL_DAYS    21: days until it expires\n"
"  PIPEGATE_JWT_ISSUER      pipegate\n"
"  PIPEGATE_JWT_AUDIENCE    pipegate\n"
"  PIPEGATE_CONNECTION_ID   the id\n";

struct option {
	const char *brief, *name;	/* "-p", "--port" */
	const char **value;		/* NULL: a flag */
	enum log_level level;		/* what the flag sets */
};

struct command {
	const char *name, *usage;
	const struct option *option;
	size_t noption;
	int narg;
	int (*run)(const struct command *, char **arg);
};

/* Ends with status 2: "pipegate: server: ...". */
static void NORETURN PRINTF_LIKE(2, 3)
usage_error(const struct command *cmd, const char *fmt, ...)
{
	const char *name = cmd != NULL ? cmd->name : "";
	char text[1024];
	struct text t = { text, sizeof(text), 0 };
	va_list ap;

	va_start(ap, fmt);
	text_vadd(&t, fmt, &ap);
	va_end(ap);
	text[t.len] = '\0';
	warn("%s%s%s\nTry `pipegate %s%s--help`.", name,
	    cmd != NULL ? ": " : "", text, name, cmd != NULL ? " " : "");
	exit(2);
}

static void NORETURN
usage_show(const char *text)
{
	exit(write_all(STDOUT_FILENO, text, strlen(text)) == -1);
}

/* Whether arg is option o; *attached is what follows its '=' or "-p". */
static int
option_is(const struct option *o, const char *arg, const char **attached)
{
	size_t n = strlen(o->name);

	*attached = NULL;
	if (strncmp(arg, o->name, n) == 0 && (arg[n] == '\0' || arg[n] == '=')) {
		if (arg[n] == '=')
			*attached = arg + n + 1;
		return 1;
	}
	if (o->brief == NULL || strncmp(arg, o->brief, 2) != 0)
		return 0;
	if (arg[2] != '\0')
		*attached = arg + 2;
	return 1;
}

/* Takes option argv[i].  Returns the index of the last argument it used. */
static int
option_take(const struct command *cmd, int argc, char **argv, int i)
{
	const char *attached;
	size_t k;

	for (k = 0; k < cmd->noption; k++) {
		const struct option *o = &cmd->option[k];

		if (!option_is(o, argv[i], &attached))
			continue;
		if (o->value == NULL) {
			if (attached != NULL)
				usage_error(cmd, "%s takes no value", o->name);
			log_level = o->level;
			return i;
		}
		if (attached == NULL && ++i == argc)
			usage_error(cmd, "%s needs a value", o->name);
		*o->value = attached != NULL ? attached : argv[i];
		return i;
	}
	usage_error(cmd, "there is no option \"%.100s\"", argv[i]);
}

/* Sorts argv into options and arguments, of which arg has room for narg. */
static void
command_parse(const struct command *cmd, int argc, char **argv, char **arg)
{
	int i, n = 0, only_args = 0;

	for (i = 2; i < argc; i++) {
		if (!only_args && (strcmp(argv[i], "--help") == 0 ||
		    strcmp(argv[i], "-h") == 0)) {
			usage_show(cmd->usage);
		}
		if (!only_args && strcmp(argv[i], "--") == 0) {
			only_args = 1;
		} else if (!only_args && argv[i][0] == '-' && argv[i][1] != '\0') {
			i = option_take(cmd, argc, argv, i);
		} else if (n < cmd->narg) {
			arg[n++] = argv[i];
		} else {
			usage_error(cmd, "there is one argument too many");
		}
	}
	if (n < cmd->narg)
		usage_error(cmd, "%s is missing", n == 0 ?
		    "TARGET_URL, such as http://localhost:3000," :
		    "SERVER_URL, such as ws://yourserver:8000/?token=...,");
}

/* --- URLs */

struct url {
	struct view scheme, host, port, path;	/* path with its query */
};

static void
view_skip(struct view *v, size_t n)
{
	v->p += n;
	v->n -= n;
}

/* Splits scheme://host[:port][/path].  Returns 0 or -1. */
static int
url_split(struct url *u, const char *text)
{
	struct view rest = view_of(text);
	const char *sep = text_find(text, "://");

	memset(u, 0, sizeof(*u));
	if (sep == NULL)
		return -1;
	u->scheme = rest;
	u->scheme.n = (size_t)(sep - text);
	view_skip(&rest, u->scheme.n + 3);
	if (rest.n > 0 && rest.p[0] == '[') {
		view_skip(&rest, 1);
		u->host = view_until(&rest, "]");
		if (rest.n == 0)
			return -1;
		view_skip(&rest, 1);
	} else {
		u->host = view_until(&rest, ":/?#");
	}
	if (rest.n > 0 && rest.p[0] == ':') {
		view_skip(&rest, 1);
		u->port = view_until(&rest, "/?#");
		if (u->port.n == 0)
			return -1;
	}
	u->path = view_until(&rest, "#");
	return u->host.n == 0 || u->host.n > 255 || http_equal(u->port, "0") ||
	    memchr(u->host.p, '@', u->host.n) != NULL ? -1 : 0;
}

static int
port_ok(struct view port)
{
	long v = 0;
	size_t i;

	for (i = 0; i < port.n; i++) {
		if (port.p[i] < '0' || port.p[i] > '9')
			return 0;
		v = v * 10 + (port.p[i] - '0');
	}
	return port.n > 0 && port.n <= 5 && v <= 65535;
}

static void
endpoint_set(struct endpoint *e, const struct url *u, const char *port)
{
	text_put(e->host, sizeof(e->host), "%.*s", (int)u->host.n,
	    (const char *)u->host.p);
	text_put(e->port, sizeof(e->port), "%.*s", u->port.n > 0 ?
	    (int)u->port.n : (int)strlen(port), u->port.n > 0 ?
	    (const char *)u->port.p : port);
}

static void
target_parse(const struct command *cmd, const char *text)
{
	char whole[sizeof(cli.target_url)];
	struct url u;

	if (port_ok(view_of(text)))
		text_put(whole, sizeof(whole), "http://localhost:%s", text);
	else if (text_find(text, "://") == NULL)
		text_put(whole, sizeof(whole), "http://%.400s", text);
	else
		text_put(whole, sizeof(whole), "%.500s", text);
	if (strncmp(text, "https://", 8) == 0)
		usage_error(cmd, "TARGET_URL is \"%.200s\": the service is "
		    "spoken to in plain HTTP, such as http://localhost:3000",
		    text);
	if (url_split(&u, whole) == -1 || !http_equal_nocase(u.scheme, "http") ||
	    (u.port.n > 0 && !port_ok(u.port)) ||
	    memchr(u.path.p, '?', u.path.n) != NULL ||
	    (u.path.n > 0 && !http_path_ok(u.path)))
		usage_error(cmd, "TARGET_URL is \"%.200s\": it must be like "
		    "http://localhost:3000 (http:// only, without a query)",
		    text);
	endpoint_set(&cli.target, &u, "80");
	while (u.path.n > 0 && u.path.p[u.path.n - 1] == '/')
		u.path.n--;
	text_put(cli.base, sizeof(cli.base), "%.*s", (int)u.path.n,
	    (const char *)u.path.p);
	text_put(cli.target_url, sizeof(cli.target_url), "%s", whole);
}

/* Takes token=... out of the query, and keeps the rest of the path. */
static void
server_path_parse(struct view path)
{
	size_t n = 0;
	struct view piece;
	char sep = '?';

	piece = view_until(&path, "?");
	n = text_put(cli.server_path, sizeof(cli.server_path), "%.*s",
	    (int)piece.n, (const char *)piece.p);
	if (n == 0)
		n = text_put(cli.server_path, sizeof(cli.server_path), "/");
	while (path.n > 0 && n < sizeof(cli.server_path)) {
		view_skip(&path, 1);
		piece = view_until(&path, "&");
		if (piece.n > 6 && memcmp(piece.p, "token=", 6) == 0) {
			text_put(cli.token, sizeof(cli.token), "%.*s",
			    (int)piece.n - 6, (const char *)piece.p + 6);
			cli.token_in_query = 1;
			continue;
		}
		n += text_put(cli.server_path + n,
		    sizeof(cli.server_path) - n, "%c%.*s", sep, (int)piece.n,
		    (const char *)piece.p);
		sep = '&';
	}
}

static void
server_parse(const struct command *cmd, const char *text)
{
	struct url u;
	const char *usual;

	if (url_split(&u, text) == -1 || (u.port.n > 0 && !port_ok(u.port)) ||
	    !(http_equal_nocase(u.scheme, "ws") ||
	    http_equal_nocase(u.scheme, "wss") ||
	    http_equal_nocase(u.scheme, "http") ||
	    http_equal_nocase(u.scheme, "https")))
		usage_error(cmd, "SERVER_URL cannot be read: it must be like "
		    "ws://yourserver:8000/?token=... (or wss://)");
	if (u.path.n >= sizeof(cli.server_path))
		usage_error(cmd, "SERVER_URL is too long");
	cli.tls = http_equal_nocase(u.scheme, "wss") ||
	    http_equal_nocase(u.scheme, "https");
	usual = cli.tls ? "443" : "80";
	endpoint_set(&cli.server, &u, usual);
	text_put(cli.server_host, sizeof(cli.server_host),
	    strchr(cli.server.host, ':') != NULL ? "[%s]%s%s" : "%s%s%s",
	    cli.server.host, strcmp(cli.server.port, usual) == 0 ? "" : ":",
	    strcmp(cli.server.port, usual) == 0 ? "" : cli.server.port);
	server_path_parse(u.path);
}

/* --- the subcommands */

/* prlimit(), where it is: musl's setrlimit() brings a way along to stop all
 * threads, which is larger than the whole of this section. */
#ifdef __linux__
#define LIMIT_SET(what, rl) prlimit(0, what, rl, NULL)
#else
#define LIMIT_SET(what, rl) setrlimit(what, rl)
#endif

/* Raises the limit of open files, and keeps to what there is. */
static void
files_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return;
	rl.rlim_cur = rl.rlim_max;
	LIMIT_SET(RLIMIT_NOFILE, &rl);
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 ||
	    rl.rlim_cur == RLIM_INFINITY)
		return;
	if ((long long)rl.rlim_cur - OWN_FDS < opt.max_connections)
		opt.max_connections = clamp((long long)rl.rlim_cur - OWN_FDS,
		    1, opt.max_connections);
}

/* Secrets are to be found neither in a core file nor by a debugger. */
static void
secrets_guard(void)
{
	struct rlimit none = { 0, 0 };

	LIMIT_SET(RLIMIT_CORE, &none);
#ifdef PR_SET_DUMPABLE
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

static int
command_server(const struct command *cmd, char **arg)
{
	(void)arg;
	if (!port_ok(view_of(opt.port)))
		usage_error(cmd, "--port is \"%.50s\": it must be a "
		    "number from 0 to 65535", opt.port);
	secret_read();
	secrets_guard();
	files_limit();
	return srv_run();
}

static int
command_client(const struct command *cmd, char **arg)
{
	target_parse(cmd, arg[0]);
	server_parse(cmd, arg[1]);
	hmac_wipe(arg[1], strlen(arg[1]));
	if (cli.token[0] == '\0' && opt.token != NULL)
		text_put(cli.token, sizeof(cli.token), "%s", opt.token);
	if (cli.token[0] == '\0')
		usage_error(cmd, "there is no token: put ?token=... "
		    "at the end of SERVER_URL, or set PIPEGATE_TOKEN (mint "
		    "one with `pipegate token` where the server's secret is)");
	secrets_guard();
	files_limit();
	return cli_run();
}

static int
command_token(const struct command *cmd, char **arg)
{
	(void)cmd;
	(void)arg;
	secret_read();
	return token_run();
}

static const struct option server_options[] = {
	{ NULL, "--host", &opt.host, LEVEL_INFO },
	{ "-p", "--port", &opt.port, LEVEL_INFO },
	{ "-q", "--quiet", NULL, LEVEL_ERROR },
	{ "-v", "--verbose", NULL, LEVEL_DEBUG },
};

static const struct option client_options[] = {
	{ NULL, "--connect", &opt.connect_command, LEVEL_INFO },
	{ "-q", "--quiet", NULL, LEVEL_ERROR },
	{ "-v", "--verbose", NULL, LEVEL_DEBUG },
};

static const struct option token_options[] = {
	{ "-c", "--connection-id", &opt.connection_id, LEVEL_INFO },
};

static const struct command commands[] = {
	{ "server", usage_server, server_options, ARRAY_LEN(server_options), 0,
	    command_server },
	{ "client", usage_client, client_options, ARRAY_LEN(client_options), 2,
	    command_client },
	{ "token", usage_token, token_options, ARRAY_LEN(token_options), 0,
	    command_token },
};

/* A closed stdin, stdout or stderr must not be taken by a socket. */
static void
standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int
main(int argc, char **argv)
{
	const struct command *cmd = NULL;
	char *arg[2];
	size_t i;

	standard_fds();
	if (argc < 2)
		usage_error(NULL, "which subcommand: server, client or token?");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		usage_show(usage_main);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		usage_show("pipegate " PIPEGATE_VERSION "\n");
	for (i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			cmd = &commands[i];
	if (cmd == NULL)
		usage_error(NULL, "there is no subcommand \"%.100s\"", argv[1]);
	opt.host = "0.0.0.0";
	opt.port = "8000";
	command_parse(cmd, argc, argv, arg);
	environment_read();
	return cmd->run(cmd, arg);
}
