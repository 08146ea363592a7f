#include <sys/ioctl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/stream.h"
#include "gate/person.h"

#define TOKEN_WARN_S 259200LL		/* three days */
#define SHARED_MS 60000			/* before the same number of clients is told again */
#define UNREACHED_MS 1000		/* and that the service is not there */

#define LABEL_USUAL 36			/* columns that a request's name has, where it needs no more */
#define LABEL_LEAST 16

static int terminal, colour;

void
person_start(void)
{
	terminal = isatty(STDOUT_FILENO);
	colour = terminal && getenv("NO_COLOR") == NULL;
}

/* How wide the terminal is, asked once a second; 0: there is none. */
static int
person_columns(void)
{
	static long long asked = -1;
	static int columns = 80;
#ifdef TIOCGWINSZ
	struct winsize size;

	if (terminal && asked != now_ms / 1000 &&
	    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		columns = size.ws_col;
	asked = now_ms / 1000;
#endif
	return terminal ? columns : 0;
}

static const char *
paint(const char *code)
{
	return colour ? code : "";
}

#define DIM paint("\033[2m")
#define BOLD paint("\033[1m")
#define PLAIN paint("\033[0m")

/* "12:34:56" in local time, made once a second. */
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
	strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
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

void
person_note(const char *fmt, ...)
{
	char text[1024];
	struct text t = { text, sizeof(text), 0 };
	va_list ap;

	if (!log_has_level(LEVEL_INFO))
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
	if (status == 0)
		return "";
	if (status >= 500)
		return paint("\033[31m");
	if (status >= 400)
		return paint("\033[33m");
	return paint("\033[32m");
}

/* Columns that a request's name may have in a line with taken octets besides. */
static size_t
label_room(size_t taken)
{
	int columns = person_columns();

	return columns == 0 ? LABEL_MAX :
	    (size_t)clamp(columns - (long long)taken, LABEL_LEAST, LABEL_MAX);
}

/* "12:34:56  200 ", before the name of a request, and what follows it. */
#define BEFORE_LABEL 14

static void
person_line(const struct stream *s, const char *status, const char *rest)
{
	size_t room = label_room(BEFORE_LABEL + strlen(rest));
	int cut = strlen(s->label) > room;

	person_note("%s%s%s %-*.*s%s%s", status_colour(s->status), status, PLAIN,
	    cut ? 0 : (int)min_size(room, LABEL_USUAL),
	    (int)(cut ? room - 3 : LABEL_MAX), s->label, cut ? "..." : "", rest);
}

static void
passed_add(struct text *t, const struct stream *s)
{
	char size[24];

	text_add(t, person_size(size, s->from_link.octets));
	text_add(t, " in, ");
	text_add(t, person_size(size, s->to_link.octets));
	text_add(t, " out");
}

void
person_request(const struct stream *s)
{
	char rest[256], status[12] = "---";
	struct text t = { rest, sizeof(rest), 0 };
	int passed = s->fault == NULL || s->to_link.head_passed;

	if (s->status > 0)
		text_put(status, sizeof(status), "%d", s->status);
	t.len = text_put(rest, sizeof(rest), " %6lld ms  ",
	    now_ms - s->start_ms);
	if (passed)
		passed_add(&t, s);
	if (passed && s->fault != NULL)
		text_add(&t, ": ");
	if (s->fault != NULL)
		text_add(&t, s->fault);
	rest[t.len] = '\0';
	person_line(s, status, rest);
}

void
person_unreached(const struct stream *s)
{
	static long long told_ms;

	if (told_ms != 0 && now_ms - told_ms < UNREACHED_MS)
		return;
	told_ms = now_ms;
	person_request(s);
}

void
person_running(const struct stream *s)
{
	person_line(s, "...", "  (running)");
}

void
person_connected(const char *url, const char *target_url, int version)
{
	if (log_has_level(LEVEL_INFO))
		person_say("%s%s%s  ->  %s%s", BOLD, url, PLAIN, target_url,
		    version > 1 ? "" :
		    "   (v1 server: bodies are held whole, no WebSockets)");
}

void
person_url(const char *url)
{
	if (log_has_level(LEVEL_INFO))
		person_say("%s%s%s", BOLD, url, PLAIN);
}

/* One that comes and goes is told once in a while. */
void
person_shared(long long clients)
{
	static long long told, told_ms;

	if (clients == told && now_ms - told_ms < SHARED_MS)
		return;
	told = clients;
	told_ms = now_ms;
	if (clients == 2)
		person_note("another client serves this id too, and gets some of "
		    "its requests: unless that is meant, end it or use another "
		    "id");
	else
		person_note("%lld other clients serve this id too, and get some of "
		    "its requests", clients - 1);
}

void
person_refused(long long n, struct view why)
{
	char text[256];

	person_note("the server refused %lld request%s for this id%s%s", n,
	    n == 1 ? "" : "s", why.n > 0 ? ": " : "",
	    text_safe(text, sizeof(text), why));
}

int
token_ends_soon(long long exp)
{
	return exp - clock_wall() < TOKEN_WARN_S;
}

void
person_expiry(long long exp)
{
	long long left = exp - clock_wall();
	time_t t = (time_t)exp;
	char when[40] = "";
	struct tm tm;

	if (localtime_r(&t, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	if (left < 0)
		person_note("the token has expired (%s): mint a new one with "
		    "`pipegate token`", when);
	else if (token_ends_soon(exp))
		person_note("the token expires soon: %s (in %lld %s); mint "
		    "a new one with `pipegate token`", when,
		    left < 7200 ? left / 60 : left / 3600,
		    left < 7200 ? "minutes" : "hours");
	else
		person_note("token valid until %s (%lld days)", when,
		    (left + 43200) / 86400);
}
