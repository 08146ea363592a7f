/*
 * Tests of gate/stream.c: turns at a link, which is one over a socket; ids,
 * lives and names of streams.  The rows of role and wire are what the rooms
 * above would hand in, and only note that they were called.
 */
#include <sys/socket.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/clock.h"
#include "gate/list.h"
#include "gate/mem.h"
#include "gate/net.h"
#include "gate/conn.h"
#include "gate/link.h"
#include "gate/stream.h"
#include "check.h"

#define STREAMS 40
#define HEAVY (64 << 10)	/* octets that make a stream heavy */

static int overs, gones;

/* --- what stands above */

static void
over_note(struct stream *s)
{
	(void)s;
	overs++;
}

static void
detached_note(struct stream *s)
{
	(void)s;
}

static const struct role role = {
	.over = over_note, .detached = detached_note
};

static int
never_busy(const struct stream *s)
{
	(void)s;
	return 0;
}

static void
drop_nothing(struct stream *s)
{
	(void)s;
}

static const struct wire wire = {
	.version = 2, .flows = 1, .is_busy = never_busy, .drop = drop_nothing
};

/* A link that ends takes its streams with it. */
static void
link_gone(struct link *l, int code, const char *why)
{
	struct stream *s;

	(void)code;
	(void)why;
	gones++;
	while ((s = list_first(&l->streams)) != NULL)
		stream_reset(s, 502, "the link is gone");
}

static size_t messages, payload;

static void
message_note(struct link *l, int opcode, unsigned char *p, size_t n)
{
	(void)l;
	(void)opcode;
	(void)p;
	messages++;
	payload += n;
}

static const struct link_ops ops = {
	.message = message_note, .gone = link_gone, .alone_ms = 20000
};

/* --- a link with streams */

static struct link *link_1;
static struct stream *stream[STREAMS];
static int peer;

static const struct kind bare = {
	.events = always_readable, .deadline = no_deadline
};

static void
link_open(void)
{
	int fd[2];

	clock_turn();
	overs = gones = 0;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0, "no pair");
	fd_prepare(fd[0]);
	peer = fd[1];
	link_1 = link_alloc();
	CHECK(link_1 != NULL, "no memory");
	link_begin_on(link_1, conn_new(&bare, NULL, fd[0], CONN_OPEN), &ops,
	    &wire, NULL, &account_nobody, 0);
}

/* The link's news, after n messages of that size were written to it. */
static void
link_hears(size_t n, size_t size)
{
	static const unsigned char mask[4];
	static unsigned char frame[WS_FRAME_HEAD_MAX + 16000];
	size_t head = ws_frame_put(frame, WS_BINARY, 1, size, mask);

	while (n-- > 0)
		CHECK(write(peer, frame, head + size) ==
		    (ssize_t)(head + size), "write");
	messages = payload = 0;
	conn_news(link_1->c, POLLIN);
}

/* Small messages are taken some at a time, large ones in few reads. */
static void
test_reads(void)
{
	int room = 1 << 20;

	link_open();
	setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	link_hears(500, 120);
	CHECK(messages > 64 && messages < 192, "%zu messages", messages);
	link_hears(0, 0);
	CHECK(messages > 64 && messages < 192, "then %zu", messages);
	while (messages > 0)
		link_hears(0, 0);
	link_hears(2, 16000);
	link_hears(8, 16000);
	CHECK(payload >= 100000, "%zu octets of large messages", payload);
	link_lost(link_1, "the end");
	conns_bury();
	close(peer);
}

/* Who was passed over in a round comes before who was marked anew in it. */
static void
test_passed_over(void)
{
	struct link *one, *two, *three;
	int rest[3];

	link_open();
	one = link_1;
	rest[0] = peer;
	link_open();
	two = link_1;
	rest[1] = peer;
	link_open();
	three = link_1;
	rest[2] = peer;
	while (link_take_later() != NULL)
		continue;
	link_later(one);
	link_later(two);
	link_later(three);
	CHECK(link_take_later() == one, "not in order");
	link_later(one);
	link_passed_over(link_take_later());
	link_passed_over(link_take_later());
	link_lost(two, "it ends meanwhile");
	links_put_back();
	CHECK(links_wait() == 2 && link_take_later() == three &&
	    link_take_later() == one, "it was overtaken");
	link_lost(one, "the end");
	link_lost(three, "the end");
	conns_bury();
	close(rest[0]);
	close(rest[1]);
	close(rest[2]);
}

static void
id_of(unsigned char id[16], int n)
{
	memset(id, 0, 16);
	id[3] = (unsigned char)n;
	id[15] = (unsigned char)(n >> 8);
}

static struct stream *
stream_open(int n)
{
	unsigned char id[16];
	struct stream *s;

	id_of(id, n);
	s = stream_new(&role, id);
	CHECK(s != NULL && s->life == STREAM_NEW, "no stream");
	stream_join(s, link_1);
	half_open(&s->to_link.half, 0, -1);
	return s;
}

/* Opens n streams; each has had a turn, as for its head. */
static void
streams_open(int n)
{
	int i;

	link_open();
	for (i = 0; i < n; i++) {
		stream[i] = stream_open(i);
		turn_wait(stream[i]);
		CHECK(turn_take(link_1) == stream[i], "no turn");
	}
	CHECK(link_1->streams.n == n, "%lld streams", link_1->streams.n);
}

/* The link ends, and all with it. */
static void
streams_close(int n)
{
	conn_kill(link_1->c);
	conns_bury();
	streams_sweep();
	close(peer);
	CHECK(gones == 1 && overs == n, "%d links and %d of %d streams ended",
	    gones, overs, n);
	CHECK(link_first() == NULL && !links_wait(), "a link is left");
	CHECK(budget_free() == budget_max(), "%zu octets are charged",
	    budget_max() - budget_free());
}

/* As the room above does it when octets of s go into the link. */
static void
stream_puts(struct stream *s, long long octets)
{
	s->burst += octets;
}

/* The numbers of the streams whose turns come, in order. */
static const char *
turns(void)
{
	static char text[4 * STREAMS + 1];
	size_t n = 0;
	struct stream *s;
	int i;

	text[0] = '\0';
	while ((s = turn_take(link_1)) != NULL) {
		for (i = 0; stream[i] != s; i++)
			continue;
		n += text_put(text + n, sizeof(text) - n, n > 0 ? " %d" : "%d",
		    i);
	}
	CHECK(turn_none(link_1), "a turn is left");
	return text;
}

/* ------------------------------------------------------------------ turns */

static void
test_fifo(void)
{
	streams_open(5);
	CHECK(turn_none(link_1) && turn_take(link_1) == NULL, "a turn");
	CHECK(strcmp(turns(), "") == 0, "a turn of nobody");
	turn_wait(stream[3]);
	turn_wait(stream[0]);
	turn_wait(stream[4]);
	turn_wait(stream[3]);
	CHECK(!turn_none(link_1), "no turn");
	CHECK(strcmp(turns(), "3 0 4") == 0, "in another order");
	turn_wait(stream[3]);
	CHECK(strcmp(turns(), "3") == 0, "not again");
	streams_close(5);
}

/* Whoever waits has the link served. */
static void
test_link_is_served(void)
{
	streams_open(2);
	while (link_take_later() != NULL)
		continue;
	turn_wait(stream[1]);
	turn_wait(stream[0]);
	CHECK(links_wait() == 1 && link_take_later() == link_1 &&
	    links_wait() == 0, "%d links wait", links_wait());
	CHECK(strcmp(turns(), "1 0") == 0, "in another order");
	streams_close(2);
}

/* A stream that has put much into the link lately waits behind those that have
 * not, but in its own row. */
static void
test_light_first(void)
{
	streams_open(6);
	stream_puts(stream[1], HEAVY);
	stream_puts(stream[0], HEAVY);
	stream_puts(stream[4], 100);
	turn_wait(stream[1]);
	turn_wait(stream[2]);
	turn_wait(stream[0]);
	turn_wait(stream[4]);
	CHECK(strcmp(turns(), "2 4 1 0") == 0, "in another order");
	turn_wait(stream[0]);
	turn_wait(stream[5]);
	CHECK(turn_take(link_1) == stream[5], "the light one is not first");
	turn_wait(stream[3]);
	CHECK(strcmp(turns(), "3 0") == 0, "in another order");
	streams_close(6);
}

/* A heavy stream is light again when what it has put in is long ago. */
static void
test_heavy_for_a_while(void)
{
	long long then;
	int ms;

	streams_open(2);
	then = now_ms;
	stream_puts(stream[0], HEAVY);
	turn_wait(stream[0]);
	turn_wait(stream[1]);
	CHECK(strcmp(turns(), "1 0") == 0, "light at once");
	for (ms = 0; ms < 100000; ms++) {
		now_ms = then + ms;
		turn_wait(stream[0]);
		turn_wait(stream[1]);
		if (strcmp(turns(), "0 1") == 0)
			break;
	}
	CHECK(ms > 1 && ms <= HEAVY, "after %d ms", ms);
	stream_puts(stream[0], HEAVY);
	now_ms += 1000000;
	turn_wait(stream[0]);
	turn_wait(stream[1]);
	CHECK(strcmp(turns(), "0 1") == 0, "heavy for ever");
	streams_close(2);
}

/* Whoever is in the midst of a message goes before all, light or heavy. */
static void
test_first(void)
{
	streams_open(4);
	stream_puts(stream[2], HEAVY);
	turn_wait(stream[0]);
	turn_wait(stream[1]);
	turn_wait_first(stream[2]);
	CHECK(strcmp(turns(), "2 0 1") == 0, "in another order");
	turn_wait_first(stream[3]);
	turn_wait(stream[2]);
	turn_wait(stream[0]);
	turn_wait(stream[3]);
	CHECK(strcmp(turns(), "3 0 2") == 0, "in another order");
	streams_close(4);
}

static void
first_twice(void *of)
{
	turn_wait(of);
	turn_wait_first(of);
}

/* One that uses no link, or no more, has no turn; and one that ends while it
 * waits loses it. */
static void
test_no_turn(void)
{
	unsigned char id[16];
	struct stream *s;

	streams_open(3);
	id_of(id, 99);
	s = stream_new(&role, id);
	turn_wait(s);
	CHECK(turn_none(link_1), "before it joined");
	stream_check(s);
	turn_wait(stream[0]);
	turn_wait(stream[1]);
	turn_wait(stream[2]);
	half_end(&stream[1]->to_link.half);
	stream_check(stream[1]);
	turn_wait(stream[1]);
	CHECK(strcmp(turns(), "0 2") == 0, "after its end");
	CHECK(overs == 2 && link_1->streams.n == 2, "%d over", overs);
	CHECK(check_must("gate/list.c", first_twice, stream[0]),
	    "it stands twice");
	streams_close(4);
}

/* Nobody is passed over for ever, and each has one turn for each wait. */
static void
test_random(void)
{
	int waits[STREAMS] = { 0 }, had[STREAMS] = { 0 };
	int step, i, wrong = 0;
	struct stream *s;

	streams_open(STREAMS);
	for (step = 0; step < 20000; step++) {
		now_ms += check_random(3);
		i = (int)check_random(STREAMS);
		if (waits[i] == had[i])
			waits[i]++;
		turn_wait(stream[i]);
		if (check_random(2) > 0 || (s = turn_take(link_1)) == NULL)
			continue;
		for (i = 0; stream[i] != s; i++)
			continue;
		had[i]++;
		stream_puts(s, check_random(20000));
		wrong += had[i] > waits[i];
	}
	while ((s = turn_take(link_1)) != NULL) {
		for (i = 0; stream[i] != s; i++)
			continue;
		had[i]++;
	}
	for (i = 0; i < STREAMS; i++)
		wrong += had[i] != waits[i];
	CHECK(wrong == 0, "%d turns too many or too few", wrong);
	streams_close(STREAMS);
}

/* ----------------------------------------------------------- ids and lives */

static void
test_find(void)
{
	unsigned char id[16];
	int i;

	streams_open(STREAMS);
	for (i = 0; i < STREAMS; i++) {
		id_of(id, i);
		CHECK(stream_find(id) == stream[i], "%d is another", i);
	}
	id_of(id, STREAMS);
	CHECK(stream_find(id) == NULL, "one that is not");
	for (i = 0; i < STREAMS; i += 2) {
		half_end(&stream[i]->to_link.half);
		stream_check(stream[i]);
		CHECK(stream[i]->life == STREAM_FREED, "life %d",
		    (int)stream[i]->life);
	}
	for (i = 0; i < STREAMS; i++) {
		id_of(id, i);
		CHECK(stream_find(id) == (i % 2 ? stream[i] : NULL),
		    "%d is another", i);
	}
	streams_close(STREAMS);
}

struct move {
	enum stream_life from, to;
};

static void
move_it(void *of)
{
	const struct move *m = of;
	unsigned char id[16] = { 0 };
	struct stream *s = stream_new(&role, id);

	s->life = m->from;
	stream_move(s, m->to);
}

static int
may_not(int from, int to)
{
	struct move m = { (enum stream_life)from, (enum stream_life)to };

	return check_must("gate/stream.c", move_it, &m);
}

/* A life has one direction. */
static void
test_moves(void)
{
	int from, to;

	for (from = STREAM_NEW; from <= STREAM_FREED; from++)
		for (to = STREAM_NEW; to <= from; to++)
			CHECK(may_not(from, to), "%d becomes %d", from, to);
	CHECK(may_not(STREAM_NEW, STREAM_FREED) &&
	    may_not(STREAM_WAITING, STREAM_FREED) &&
	    may_not(STREAM_JOINED, STREAM_FREED), "freed without being over");
}

/* ----------------------------------------------------------------- credit */

/* What is promised is charged, until it is used or the stream ends. */
static void
test_window(void)
{
	struct window *w;

	streams_open(1);
	w = &stream[0]->from_link.window;
	half_open(&stream[0]->from_link.half, 1000, -1);
	CHECK(stream_window_open(stream[0], 1000) == 0 && w->promised == 1000
	    && budget_free() == budget_max() - 1000, "%lld", w->promised);
	stream_window_use(stream[0], 300);
	CHECK(w->promised == 700 && budget_free() == budget_max() - 700,
	    "%lld", w->promised);
	stream_window_gone(stream[0], 100);
	CHECK(!stream[0]->grant_due && turn_none(link_1), "a tenth went");
	stream_window_gone(stream[0], 400);
	CHECK(stream[0]->grant_due && strcmp(turns(), "0") == 0,
	    "half went");
	stream_window_use(stream[0], 5000);
	CHECK(w->promised == 0 && budget_free() == budget_max(),
	    "more was used than promised");
	CHECK(stream_window_grant(stream[0]) > 0 &&
	    budget_free() == budget_max() - (size_t)w->promised, "%lld",
	    w->promised);
	stream_window_close(stream[0]);
	CHECK(w->promised == 0 && !stream[0]->grant_due &&
	    budget_free() == budget_max(), "%lld", w->promised);
	streams_close(1);
}

static void
test_window_full(void)
{
	streams_open(1);
	budget_set_max(1000);
	CHECK(stream_window_open(stream[0], 1001) == -1 &&
	    stream[0]->from_link.window.promised == 0 &&
	    budget_free() == 1000, "there is no room");
	CHECK(stream_window_open(stream[0], 1000) == 0, "there is room");
	stream_window_use(stream[0], 400);
	stream_window_gone(stream[0], 400);
	budget_set_max(600);
	CHECK(stream_window_grant(stream[0]) == 0 && budget_free() == 0,
	    "granted past the budget");
	stream_window_close(stream[0]);
	budget_set_max(64 << 20);
	budget_starved();
	streams_close(1);
}

/* ------------------------------------------------------------------ names */

static void
test_label(void)
{
	static const struct {
		const char *method, *path, *label;
	} t[] = {
		{ "GET", "/", "GET /" },
		{ "GET", "/a/b?token=secret", "GET /a/b" },
		{ "POST", "/\x1b[2J\"", "POST /\\x1b[2J\\x22" },
		{ "GET", "?x", "GET " },
	};
	char path[400];
	size_t i;

	streams_open(1);
	for (i = 0; i < ARRAY_LEN(t); i++) {
		stream_label(stream[0]->label, "%s %s", view_of(t[i].method),
		    view_of(t[i].path));
		CHECK(strcmp(stream[0]->label, t[i].label) == 0, "\"%s\"",
		    stream[0]->label);
	}
	for (i = 1; i < sizeof(path); i++) {
		snprintf(path, sizeof(path), "%0*d", (int)i, 0);
		stream_label(stream[0]->label, "%s %s", view_of("OPTIONS"),
		    view_of(path));
		CHECK(strlen(stream[0]->label) < LABEL_MAX &&
		    (i > 200) >= (strstr(stream[0]->label, "...") != NULL) &&
		    (i < 240) >= (strstr(stream[0]->label, "...") == NULL),
		    "%zu octets: %s", i, stream[0]->label);
	}
	streams_close(1);
}

/* ------------------------------------------------------------ given out again */

/* Ties a stream to the end of a pair of sockets, whose other end is *far. */
static struct conn *
stream_tie(struct stream *s, int *far)
{
	static const struct kind kind = {
		.name = "tied", .events = always_readable,
		.deadline = no_deadline
	};
	int fd[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0, "no pair");
	fd_prepare(fd[0]);
	*far = fd[1];
	s->http = conn_new(&kind, NULL, fd[0], CONN_STREAM);
	CHECK(s->http != NULL, "no conn");
	return s->http;
}

/* What was read of a request can be put back, up to a limit; nothing of it stays
 * once that is out of the question. */
static void
test_unread(void)
{
	static unsigned char sink[4096];
	struct conn *c;
	size_t n, i;
	int far;

	streams_open(1);
	c = stream_tie(stream[0], &far);
	CHECK(!stream_unread(stream[0]), "nothing was kept");
	CHECK(write(far, "head body", 9) == 9, "write");
	conn_fill(c, MEM_BLOCK);
	stream_keep(stream[0]);
	buf_consume(&c->rx, 5);
	CHECK(write(far, " and more", 9) == 9, "write");
	conn_read(c, sink, sizeof(sink), &n);
	CHECK(stream_unread(stream[0]) && c->rx.len == 18 &&
	    memcmp(buf_view(&c->rx).p, "head body and more", 18) == 0,
	    "%zu octets", c->rx.len);
	CHECK(!stream_unread(stream[0]), "put back twice");
	stream_keep(stream[0]);
	stream_forget(stream[0]);
	CHECK(c->copy == NULL && !stream_unread(stream[0]), "forgotten");
	stream_keep(stream[0]);
	for (i = 0; i < CONN_COPY_MAX; i += n) {
		CHECK(write(far, sink, sizeof(sink)) > 0, "write");
		conn_read(c, sink, sizeof(sink), &n);
	}
	CHECK(!stream_unread(stream[0]) && stream[0]->kept.head == NULL,
	    "more was kept than may be");
	stream_detach(stream[0]);
	conn_kill(c);
	conns_bury();
	close(far);
	streams_close(1);
	CHECK(budget_free() == budget_max(), "something is still charged");
}

/* With half of the budget held only what is little of the rest is kept. */
static void
test_unread_full(void)
{
	static const char head[40];
	struct conn *c;
	size_t held;
	int far;

	streams_open(1);
	c = stream_tie(stream[0], &far);
	CHECK(write(far, head, sizeof(head)) > 0, "write");
	conn_fill(c, MEM_BLOCK);
	held = budget_max() - budget_free();
	budget_set_max(held + sizeof(head) * 255);
	stream_keep(stream[0]);
	CHECK(!stream_unread(stream[0]), "kept");
	budget_set_max(held + sizeof(head) * 256);
	stream_keep(stream[0]);
	CHECK(stream_unread(stream[0]), "not kept");
	budget_set_max(64 << 20);
	stream_detach(stream[0]);
	conn_kill(c);
	conns_bury();
	close(far);
	streams_close(1);
}

void
test_stream(void)
{
	test_reads();
	test_passed_over();
	test_fifo();
	test_link_is_served();
	test_light_first();
	test_heavy_for_a_while();
	test_first();
	test_no_turn();
	test_random();
	test_find();
	test_moves();
	test_window();
	test_window_full();
	test_label();
	test_unread();
	test_unread_full();
}
