#include "gate/say.h"
#include "gate/clock.h"
#include "gate/stream.h"
#include "gate/journal.h"

/* The key and its value, which is a stranger's: with quotes, which text_safe() has
 * left none of within. */
static void
quoted_put(struct text *t, const char *key, const char *value)
{
	text_add(t, key);
	text_add(t, value);
	text_add(t, "\"");
}

static void
number_put(struct text *t, const char *key, long long value)
{
	text_add(t, key);
	text_add_number(t, value);
}

/* Who asked for what. */
static void
asked_put(struct text *t, const struct entry *e)
{
	text_add(t, e->refused ? "event=refused" : "event=request");
	number_put(t, " status=", e->status);
	text_add(t, " peer=");
	text_add(t, e->peer);
	text_add(t, " id=");
	if (e->id.n > 0)
		text_add_view(t, e->id);
	else
		text_add(t, "\"\"");
	quoted_put(t, " request=\"", e->label);
}

/* Whether the caller got a client's answer, or a part of it. */
static int
is_answered(const struct entry *e)
{
	return e->s != NULL && !e->refused && e->s->from_link.head_passed;
}

/* How long it took, and how much came and went. */
static void
work_put(struct text *t, const struct entry *e)
{
	const struct stream *s = e->s;
	char hex[32];
	struct view correlation = { (unsigned char *)hex, sizeof(hex) };

	number_put(t, " ms=", now_ms - s->start_ms);
	if (is_answered(e))
		number_put(t, " first_ms=", s->answer_ms - s->start_ms);
	number_put(t, " in=", s->to_link.octets);
	number_put(t, " out=", is_answered(e) ? s->from_link.octets : 0);
	ws_hex_put(hex, s->id);
	text_add(t, " correlation=");
	text_add_view(t, correlation);
}

/* Who broke it off, and why: an answer that had begun, and its status with it, was
 * cut. */
static void
ending_put(struct text *t, const struct entry *e)
{
	static const char *const by[] = { "", " by=caller", " by=client",
	    " by=server" };

	if (e->why == NULL)
		return;
	text_add(t, by[e->by]);
	quoted_put(t, is_answered(e) ? " cut=\"" : " why=\"", e->why);
}

void
journal_put(const struct entry *e)
{
	char line[LOG_LINE_MAX];
	struct text t = { line, sizeof(line), 0 };

	if (!log_begin(&t, LEVEL_INFO))
		return;
	asked_put(&t, e);
	if (e->s != NULL)
		work_put(&t, e);
	ending_put(&t, e);
	log_end(&t);
}
