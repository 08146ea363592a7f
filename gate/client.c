#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/mem.h"
#include "gate/loop.h"
#include "gate/child.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "gate/from_link.h"
#include "gate/person.h"
#include "gate/origin.h"
#include "gate/dial.h"
#include "gate/client.h"

static struct uplink *uplink;

/* After a person's Ctrl-C the tunnel is gone; after a supervisor's SIGTERM it may
 * be back, so the requests at work are finished first. */
static void
client_signal(int sig)
{
	if (sig == SIGCHLD) {
		children_reap();
		return;
	}
	if (loop_is_stopping()) {
		children_end();
		_exit(1);
	}
	if (sig == SIGTERM && uplink->close_code == 0)
		uplink_drain(uplink);
	else
		uplink_end(uplink, sig == SIGTERM ? 1001 : 1000);
}

static void
client_more(void)
{
	uplink_settle(uplink);
}

static void
client_settle(void)
{
	settle(client_more);
}

static void
client_second(void)
{
	pool_trim();
	streams_retry();
	children_reap();		/* should waitpid() have failed */
	uplink_second(uplink);
}

static void
client_crowded(size_t most)
{
	origins_crowded(&uplink->target, most);
}

static int
client_busy(void)
{
	return link_first() != NULL;
}

static const struct program client_program = {
	.signal = client_signal, .settle = client_settle,
	.second = client_second, .crowded = client_crowded,
	.busy = client_busy,
	.stop_ms = LINK_CLOSE_MS,
};

int
client_run(struct uplink *u)
{
	int status;

	uplink = u;
	loop_init(&client_program);
	person_start();
	uplink_start(u);
	loop_run();
	status = uplink_finish(u);
	children_end();
	say_flush();
	return status;
}
