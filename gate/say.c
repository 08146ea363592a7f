#include <sys/types.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gate/say.h"

struct view
view_until(struct view *rest, const char *stops)
{
	struct view v = *rest;

	for (v.n = 0; v.n < rest->n && strchr(stops, rest->p[v.n]) == NULL; v.n++)
		;
	rest->p += v.n;
	rest->n -= v.n;
	return v;
}

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

/* Appends s[0..n) and pads it to width: before it with fill, or behind it with
 * spaces where width < 0. */
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
	if (negative && fill == '0' && width > 0) {
		text_char(t, '-');
		width--;
	} else if (negative) {
		digits[--at] = '-';
	}
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
	int left = 0;

	c->fill = ' ';
	for (; *f == '-' || *f == '0'; f++) {
		if (*f == '-')
			left = 1;
		else
			c->fill = '0';
	}
	f = text_digits(f, &c->width, ap);
	if (left && c->width > 0)
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
	else if (c->size == 'z')
		v = va_arg(*ap, ssize_t);
	else
		v = va_arg(*ap, int);
	text_number(t, v < 0 ? 0 - (unsigned long long)v :
	    (unsigned long long)v, v < 0, c->width, c->fill);
}

static void
text_unsigned(struct text *t, const struct conversion *c, va_list *ap)
{
	unsigned long long v;

	if (c->size == 'q')
		v = va_arg(*ap, unsigned long long);
	else if (c->size == 'z')
		v = va_arg(*ap, size_t);
	else if (c->size == 'l')
		v = va_arg(*ap, unsigned long);
	else
		v = va_arg(*ap, unsigned int);
	text_number(t, v, 0, c->width, c->fill);
}

static void
text_one(struct text *t, const struct conversion *c, int v)
{
	char ch = (char)v;

	text_field(t, &ch, 1, c->width, ' ');
}

static void
text_string(struct text *t, const struct conversion *c, const char *v)
{
	size_t n = c->precision < 0 ? strlen(v) :
	    strnlen(v, (size_t)c->precision);

	text_field(t, v, n, c->width, ' ');
}

void
text_add(struct text *t, const char *s)
{
	text_copy(t, s, strlen(s));
}

void
text_add_view(struct text *t, struct view v)
{
	text_copy(t, (const char *)v.p, v.n);
}

void
text_add_number(struct text *t, long long v)
{
	text_number(t, v < 0 ? 0 - (unsigned long long)v :
	    (unsigned long long)v, v < 0, 0, ' ');
}

void
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
			text_one(t, &c, va_arg(*ap, int));
		else
			text_char(t, *f);
	}
}

size_t
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

/* As text_safe(); octets below lowest are escaped too. */
static const char *
text_escape(char *out, size_t cap, struct view v, unsigned char lowest)
{
	static const char hex[] = "0123456789abcdef";
	size_t i, o = 0;

	for (i = 0; i < v.n && o + 5 < cap; i++) {
		unsigned char ch = v.p[i];

		if (ch >= lowest && ch < 0x7f && ch != '"' && ch != '\\') {
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

const char *
text_safe(char *out, size_t cap, struct view v)
{
	return text_escape(out, cap, v, ' ');
}

const char *
text_word(char *out, size_t cap, struct view v)
{
	return text_escape(out, cap, v, ' ' + 1);
}

int
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

#define OUT_SIZE 16384
#define OUT_SPARE 64		/* of it, for the note that lines were dropped */

struct out {
	int fd;
	char *buf;		/* OUT_SIZE octets */
	size_t len;
	unsigned long dropped;	/* lines, since the last one that was kept */
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

void
say_flush(void)
{
	out_flush(&out_person);
	out_flush(&out_log);
}

void
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

void
log_set_level(enum log_level level)
{
	log_level = level;
}

int
log_has_level(enum log_level level)
{
	return level <= log_level;
}

/* "2026-01-01T00:00:00Z level=", made once a second. */
static const char *
log_stamp(void)
{
	static time_t made = -1;
	static char stamp[48];
	time_t now = time(NULL);
	struct tm tm;

	if (now == made || gmtime_r(&now, &tm) == NULL)
		return stamp;
	made = now;
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ level=", &tm);
	return stamp;
}

int
log_begin(struct text *t, enum log_level level)
{
	static const char *const name[] = { "error ", "info ", "debug " };

	if (!log_has_level(level))
		return 0;
	text_add(t, log_stamp());
	text_add(t, name[level]);
	return 1;
}

void
log_end(struct text *t)
{
	out_text(&out_log, t);
}

void
log_event(enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	struct text t = { line, sizeof(line), 0 };
	va_list ap;

	if (!log_begin(&t, level))
		return;
	va_start(ap, fmt);
	text_vadd(&t, fmt, &ap);
	va_end(ap);
	log_end(&t);
}

static void
complain(const char *fmt, va_list ap)
{
	char line[2048];
	const char *why = fmt[strlen(fmt) - 1] == ':' ? strerror(errno) : "";

	say_flush();
	vsnprintf(line, sizeof(line), fmt, ap);
	dprintf(STDERR_FILENO, "pipegate: %s%s%s\n", line,
	    why[0] != '\0' ? " " : "", why);
}

void
warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
}

void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	exit(1);
}

void
must_fail(const char *file, int line)
{
	dprintf(STDERR_FILENO, "pipegate: this is a bug: what %s:%d relies on "
	    "is not so\n", file, line);
	abort();
}
