#include <signal.h>
#include <unistd.h>

#include "pipegate.h"
#include "gate/say.h"
#include "gate/clock.h"
#include "gate/mem.h"
#include "gate/account.h"
#include "gate/conn.h"
#include "gate/loop.h"
#include "gate/addr.h"
#include "gate/child.h"
#include "gate/listener.h"
#include "gate/supervisor.h"
#include "gate/settings.h"
#include "gate/revoked.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/reply.h"
#include "gate/tunnel.h"
#include "gate/notice.h"
#include "gate/admin.h"
#include "gate/join.h"
#include "gate/yield.h"
#include "gate/caller.h"
#include "gate/arrival.h"
#include "gate/server.h"

#define SPARE_CONNS 16		/* besides the cap, for tunnel clients alone */
#define STOP_MS 3000		/* for the last answers to be taken */

static void
server_accepted(int fd, const struct sockaddr_storage *ss)
{
	size_t max = (size_t)opt->max_connections;
	struct addr peer;
	int over;

	if (accounts_conns() >= max && caller_evict() == 0)
		conns_bury();		/* so that it is counted no more */
	if (accounts_conns() >= max + SPARE_CONNS) {
		caller_turn_away(fd);
		return;
	}
	addr_from(&peer, ss);
	over = accounts_conns() >= max;
	if (opt->proxy_protocol && peer_is_trusted(&peer))
		arrival_accept(fd, &peer, over);
	else
		caller_accept(fd, &peer, over);
}

static void
server_make_room(void)
{
	caller_evict();
}

static struct listener callers_at;

static const struct listener_ops server_ops = {
	.accepted = server_accepted, .crowded = server_make_room,
	.turned_away = caller_turn_away,
};

static void
server_crowded(size_t most)
{
	size_t before;

	do {
		before = pollset_size();
		if (before > most)
			caller_evict_any();
		conns_bury();
	} while (pollset_size() > most && pollset_size() < before);
}

static void
server_second(void)
{
	pool_trim();
	streams_retry();
	callers_unclog();
	notices_send();
}

/* Some callers may have a further request in rx already, and some links may have
 * room for requests that wait. */
static void
server_more(void)
{
	callers_settle();
	tunnels_dispatch();
}

static void
server_settle(void)
{
	settle(server_more);
}

static void
server_stop(void)
{
	loop_stop();
	listener_close(&callers_at);
	admin_close();
	supervisor_tell("STOPPING=1");
	log_event(LEVEL_INFO, "event=stopping");
	tunnels_refuse_all(504, reply_stopping);
	links_stop();
}

static void
server_reread(void)
{
	if (opt->revoked != NULL && revoked_reread() == 0)
		links_revoke();
}

static void
server_signal(int sig)
{
	if (sig == SIGCHLD)
		children_reap();
	if (sig == SIGHUP)
		server_reread();
	if (sig != SIGTERM && sig != SIGINT)
		return;
	if (loop_is_stopping())
		_exit(1);
	server_stop();
}

static const struct program server_program = {
	.signal = server_signal, .settle = server_settle,
	.second = server_second, .crowded = server_crowded, .busy = conns_are_ending,
	.stop_ms = STOP_MS,
};

int
server_run(void)
{
	int handed = supervisor_begin();	/* before there are others of that number */

	loop_init(&server_program);
	accounts_start((size_t)opt->max_connections,
	    (size_t)opt->max_connections / 4);
	tunnels_start();
	if (opt->revoked != NULL)
		loop_hear_hangup();
	revoked_start();
	if (handed != -1)
		listener_adopt(&callers_at, handed, &server_ops);
	else
		listener_open(&callers_at, opt->host, opt->port, &server_ops);
	admin_open();
	supervisor_tell("READY=1");
	log_event(LEVEL_INFO, "event=start version=" PIPEGATE_VERSION
	    " max_connections=%lld max_memory=%zu", opt->max_connections,
	    budget_max());
	loop_run();
	say_flush();
	return 0;
}
