#include <string.h>
#include <stddef.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/loop.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/v2.h"

struct ws_msg msg_in, msg_out;	/* too large for the stack */

int
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

void
msg_start(const struct stream *s, enum ws_type type)
{
	size_t fields = offsetof(struct ws_msg, field);

	memset(&msg_out, 0, fields);
	msg_out.type = type;
	memcpy(msg_out.id, s->id, 16);
}

void
put_reset(struct stream *s)
{
	msg_start(s, WS_MSG_RESET);
	msg_out.status = s->reset_status;
	msg_out.reason = view_of(s->reset_why);
	link_put_msg(s->link);
	s->reset_due = 0;
}

void
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

void
put_body(struct stream *s, unsigned char *p, size_t n, int end)
{
	p[0] = end != 0;
	memcpy(p + 1, s->id, 16);
	link_commit(s->link, WS_BINARY, 1, WS_V2_BODY_HEAD + n);
	s->burst += (long long)n;
	s->link->sent++;
}

void
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

void
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

int
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

struct stream *
take_find(struct link *l, const unsigned char id[16])
{
	struct stream *s = stream_find(id);

	if (s != NULL && s->link == l && !s->is_over && !s->reset_due)
		return s;
	l->late++;
	return NULL;
}
