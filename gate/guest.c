#include "gate/say.h"
#include "gate/mem.h"
#include "gate/conn.h"
#include "gate/guest.h"

#define GUEST_MS 10000

/* The end of the connection ends the answer. */
void
guest_answer(struct conn *c, const struct http_head *h, const char *type,
    struct view body)
{
	char head[256];
	size_t n = text_put(head, sizeof(head), "HTTP/1.1 200 OK\r\n"
	    "Content-Type: %s\r\nCache-Control: no-store\r\n"
	    "Connection: close\r\n\r\n", type);

	conn_put(c, head, n);
	if (!http_equal(h->method, "HEAD"))
		conn_put(c, body.p, body.n);
	conn_linger(c);
}

static void
guest_ready(struct conn *c, short revents)
{
	struct guests *g = c->of;
	struct http_head h;
	struct view in;
	enum io io = conn_fill(c, MEM_LARGE);
	int r;

	(void)revents;
	in = buf_view(&c->rx);
	r = io != IO_DATA ? 0 : http_request_parse(&h, in.p, in.n, &c->scanned);
	if (r > 0)
		g->asked(c, &h);
	else if (r < 0 || (io != IO_DATA && io != IO_WAIT))
		conn_kill(c);
}

static long long
guest_deadline(const struct conn *c)
{
	return c->since_ms + GUEST_MS;
}

static const struct kind guest_kind = {
	.name = "guest", .ready = guest_ready, .broken = conn_kill,
	.events = always_readable, .deadline = guest_deadline,
	.expire = conn_kill,
};

void
guest_accept(struct guests *g, int fd)
{
	conn_new(&guest_kind, g, fd, CONN_HEAD);
}
