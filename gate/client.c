#include <sys/resource.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/mem.h"
#include "gate/timer.h"
#include "gate/loop.h"
#include "gate/net.h"
#include "gate/child.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/person.h"
#include "gate/origin.h"
#include "gate/dial.h"
#include "gate/client.h"

#define DRAIN_MS 10000
#define LEAVE_MS 2000			/* for the server to answer leave */

/* No more requests; what is under way is finished, for a while. */
static void
client_drain(void)
{
	cli.close_code = 1001;
	cli.drain_ms = now_ms + DRAIN_MS;
	timer_set(&cli.redial, NEVER);
	if (cli.link == NULL)
		return;
	if (cli.link->streams.n > 0)
		person_note("finishing %lld request%s; once more to stop at "
		    "once", cli.link->streams.n,
		    cli.link->streams.n == 1 ? "" : "s");
	cli.link->leaving = cli.link->leave_due = 1;
	link_later(cli.link);
}

static void
client_end(int code)
{
	cli.close_code = code;
	loop.stop = 1;
	if (cli.link != NULL)
		link_close(cli.link, code, "");
}

static void
client_signal(int sig)
{
	if (sig == SIGCHLD) {
		children_reap();
		return;
	}
	if (loop.stop) {
		children_end();
		_exit(1);
	}
	if (sig == SIGTERM && cli.close_code == 0)
		client_drain();
	else
		client_end(sig == SIGTERM ? 1001 : 1000);
}

/* Draining is over when the server has said that no request follows, and the
 * last stream has ended.  v1 knows no leave. */
static void
client_settle(void)
{
	struct link *l = cli.link;

	/* A server that refuses the token says so behind its 101. */
	if (l != NULL && !cli.told && (!l->v2 || l->rtt_us > 0 ||
	    now_ms - cli.up_ms >= TOLD_MS))
		person_connected(l->v2);
	if (cli.drain_ms == 0 || loop.stop)
		return;
	if (l == NULL || now_ms >= cli.drain_ms ||
	    (l->streams.n == 0 && l->tx.len == 0 && (l->peer_left || !l->v2 ||
	    now_ms >= cli.drain_ms - DRAIN_MS + LEAVE_MS)))
		client_end(cli.close_code);
}

static void
client_second(struct timer *t)
{
	struct jwt_claims claims;

	pool_trim();
	links_trim();
	streams_retry();
	if (!cli.warned_expiry && cli.told_url &&
	    jwt_peek(&claims, view_of(cli.token)) == 0 &&
	    claims.exp - clock_wall() < TOKEN_WARN_S) {
		cli.warned_expiry = 1;
		person_expiry(claims.exp);
	}
	timer_set(t, now_ms + 1000);
}

static int
client_busy(void)
{
	return all_links.n > 0;
}

static void
dial_prepare(void)
{
	struct rlimit rl = { 1024, 1024 };

	getrlimit(RLIMIT_NOFILE, &rl);
	random_bytes(cli.dial.instance, sizeof(cli.dial.instance));
	ws_uuid_make(cli.dial.instance);
	cli.dial.host = view_of(cli.server_host);
	cli.dial.path = view_of(cli.server_path);
	cli.dial.token = view_of(cli.token);
	cli.dial.in_query = cli.token_in_query;
	cli.dial.streams = clamp((long long)min_size((size_t)rl.rlim_cur, 4096) / 2,
	    1, V2_STREAMS);
	cli.dial.window = V2_WINDOW;
}

static void
target_first_look(struct endpoint *e, const char *error)
{
	target_looked_up(e, error);
	client_dial();
}

int
cli_run(void)
{
	static struct timer second;
	long long stop_ms = 0;

	loop_init(client_signal);
	settle_more = client_settle;
	cli.colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	if (timer_init(&second, client_second) == -1 ||
	    timer_init(&cli.redial, redial_timer) == -1)
		die("no memory to start");
	timer_set(&second, now_ms + 1000);
	dial_prepare();
	person_note("connecting to %s", cli.server_host);
	if (lookup_start(&cli.target, target_first_look) == -1)
		die("cannot start a child process:");
	while (!loop.stop || client_busy()) {
		if (loop.stop && stop_ms == 0)
			stop_ms = now_ms + LINK_CLOSE_MS;
		if (loop.stop && now_ms >= stop_ms)
			break;
		loop_turn(settle);
	}
	loop_sweep();
	helper_end();
	children_end();
	out_flush(&out_person);
	out_flush(&out_log);
	return cli.exit_code;
}
