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

static int colour;

void
person_start(void)
{
	colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
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
	if (status >= 500)
		return paint("\033[31m");
	if (status >= 400)
		return paint("\033[33m");
	return paint("\033[32m");
}

void
person_request(const struct stream *s)
{
	char in[24], out[24], sizes[160], status[12] = "---";

	if (s->status > 0)
		text_put(status, sizeof(status), "%d", s->status);
	if (s->fault != NULL)
		text_put(sizes, sizeof(sizes), "%s", s->fault);
	else
		text_put(sizes, sizeof(sizes), "%s in, %s out",
		    person_size(in, s->from_link.octets),
		    person_size(out, s->to_link.octets));
	person_note("%s%s%s %-36s %6lld ms  %s", status_colour(s->status),
	    status, PLAIN, s->label, now_ms - s->start_ms, sizes);
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
