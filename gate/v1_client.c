#include <limits.h>

#include "gate/say.h"
#include "gate/mem.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/v2.h"
#include "gate/held.h"
#include "gate/origin.h"
#include "gate/v1_client.h"

void
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

void
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

void
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
