#include <netinet/in.h>
#include <string.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/loop.h"
#include "gate/addr.h"
#include "gate/stream.h"
#include "gate/tunnel.h"
#include "gate/reply.h"

void
caller_eat(struct conn *c)
{
	if (srv.head.framing != HTTP_NO_BODY)
		c->keep_alive = 0;
	buf_consume(&c->rx, c->head_size);
	c->head_size = 0;
}

void
caller_next(struct conn *c)
{
	if (c->dead)
		return;
	conn_share(c, NULL, 0);
	list_leave(&c->place);
	list_add(&srv.next, &c->place, c);
}

void
caller_answered(struct conn *c)
{
	if (c->state == CONN_STREAM && c->keep_alive)
		conn_state(c, CONN_HEAD);
	if (!c->keep_alive)
		conn_linger(c);
	else if (c->tx.len == 0)
		caller_next(c);
}

void
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

void
caller_error(struct conn *c, int status, const char *detail)
{
	struct http_error e = { .status = status, .detail = detail };

	if (status == 405)
		e.allow = ALLOW_ALL;
	caller_error_put(c, &e, "");
}

void
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

void
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

void
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

void
caller_options(struct conn *c)
{
	struct http_field f = field_of("allow", ALLOW_ALL);

	caller_answer(c, 204, &f, 1, "");
}
