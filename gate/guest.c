#include <stdlib.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/mem.h"
#include "gate/conn.h"
#include "gate/guest.h"

#define GUEST_MS 10000

struct guest {
	struct conn *c;
	struct guests *among;
	struct item place;
};

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

void
guest_error(struct conn *c, const struct http_head *h, int status,
    const char *detail)
{
	static unsigned char space[2048];
	struct http_out o = { space, sizeof(space), 0 };
	struct http_error e = { .status = status, .detail = detail, .minor = 1 };

	e.head_only = h != NULL && http_equal(h->method, "HEAD");
	e.allow = status == 405 ? "GET, HEAD" : NULL;
	e.date = clock_wall();
	http_error_put(&o, &e);
	conn_put(c, space, min_size(o.len, o.cap));
	conn_linger(c);
}

static void
guest_parse(struct guest *g)
{
	struct view in = buf_view(&g->c->rx);
	struct http_head h;
	int r = http_request_parse(&h, in.p, in.n, &g->c->scanned);

	if (r > 0)
		g->among->asked(g->c, &h);
	else if (r < 0)
		guest_error(g->c, NULL, -r, "this request cannot be read");
	else if (in.n == g->among->head_max)
		guest_error(g->c, NULL, 431, "the head of the request is too "
		    "large");
}

static void
guest_ready(struct conn *c, short revents)
{
	struct guest *g = c->of;
	enum io io = conn_fill(c, g->among->head_max);

	(void)revents;
	if (io == IO_DATA)
		guest_parse(g);
	else if (io != IO_WAIT)
		conn_kill(c);
}

static void
guest_gone(struct conn *c)
{
	struct guest *g = c->of;

	list_leave(&g->place);
	free(g);
}

static long long
guest_deadline(const struct conn *c)
{
	return c->since_ms + GUEST_MS;
}

static const struct kind guest_kind = {
	.name = "guest", .ready = guest_ready, .broken = conn_kill,
	.events = always_readable, .deadline = guest_deadline,
	.expire = conn_kill, .gone = guest_gone,
};

void
guest_accept(struct guests *among, int fd)
{
	struct guest *g = calloc(1, sizeof(*g)), *oldest;

	if (g == NULL) {
		close(fd);
		return;
	}
	g->c = conn_new(&guest_kind, g, fd, CONN_HEAD);
	if (g->c == NULL) {
		free(g);
		return;
	}
	g->among = among;
	list_add(&among->here, &g->place, g);
	if (among->here.n <= among->most)
		return;
	oldest = list_first(&among->here);
	conn_kill(oldest->c);
	conns_bury();
}
