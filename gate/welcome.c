#include <signal.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/mem.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/listener.h"
#include "gate/guest.h"
#include "gate/settings.h"
#include "gate/welcome.h"

#define GUESTS_MAX 1024

static const char page_begin[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width\">"
    "<title>It works</title>\n"
    "<style>body{font:1rem/1.5 sans-serif;max-width:46rem;margin:3rem auto;"
    "padding:0 1rem}pre{background:#eee;color:#111;padding:1rem;"
    "overflow:auto}</style></head>\n<body><h1>It works</h1>\n"
    "<p>Your browser asked a PipeGate server, which passed the request to a "
    "PipeGate client, which passed it to this page. This is the request as it "
    "arrived here:</p>\n<pre>";
static const char page_end[] =
    "</pre>\n<p>In place of this page, let a tunnel lead to a service of "
    "yours:</p>\n<pre>make demo TARGET=http://localhost:3000</pre>\n"
    "</body></html>\n";

static void
put_escaped(struct http_out *o, struct view v)
{
	size_t i;

	for (i = 0; i < v.n; i++) {
		struct view one = { v.p + i, 1 };

		if (v.p[i] == '<')
			http_put(o, "&lt;");
		else if (v.p[i] == '&')
			http_put(o, "&amp;");
		else
			http_put_view(o, one);
	}
}

static void
put_request(struct http_out *o, const struct http_head *h)
{
	size_t i;

	put_escaped(o, h->method);
	http_put(o, " ");
	put_escaped(o, h->target);
	http_put(o, "\n");
	for (i = 0; i < h->nfields; i++) {
		put_escaped(o, h->field[i].name);
		http_put(o, ": ");
		put_escaped(o, h->field[i].value);
		http_put(o, "\n");
	}
}

static void
welcome_asked(struct conn *c, const struct http_head *h)
{
	static unsigned char space[8 * HTTP_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };

	http_put(&o, page_begin);
	put_request(&o, h);
	http_put(&o, page_end);
	o.len = min_size(o.len, o.cap);
	guest_answer(c, h, "text/html; charset=utf-8", http_out_view(&o));
}

static struct guests guests = {
	.asked = welcome_asked, .head_max = MEM_LARGE, .most = GUESTS_MAX,
};

static void
welcome_accepted(int fd, const struct sockaddr_storage *peer)
{
	(void)peer;
	guest_accept(&guests, fd);
}

static struct listener guests_at;

static const struct listener_ops welcome_ops = {
	.accepted = welcome_accepted,
};

static void
welcome_signal(int sig)
{
	if (sig == SIGTERM || sig == SIGINT)
		loop_stop();
}

static int
welcome_busy(void)
{
	return 0;
}

static const struct program welcome_program = {
	.signal = welcome_signal, .settle = conns_flush, .second = pool_trim,
	.busy = welcome_busy,
};

int
welcome_run(void)
{
	loop_init(&welcome_program);
	listener_open(&guests_at, opt->host, opt->port, &welcome_ops);
	loop_run();
	say_flush();
	return 0;
}
