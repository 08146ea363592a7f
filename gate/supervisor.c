#include <sys/socket.h>
#include <sys/un.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/net.h"
#include "gate/supervisor.h"

#define FIRST_FD 3		/* handed over */

static struct sockaddr_un notify_at;	/* the supervisor's socket */
static socklen_t notify_size;		/* of that; 0: it is not to be told */

/* The number that variable name holds; -1: it holds none. */
static long
number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (text == NULL || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	n = strtol(text, &end, 10);
	return *end != '\0' || errno != 0 ? -1 : n;
}

static int
socket_option(int name)
{
	int value = -1;
	socklen_t n = sizeof(value);

	if (getsockopt(FIRST_FD, SOL_SOCKET, name, &value, &n) == -1)
		die("LISTEN_FDS: descriptor %d is not a socket:", FIRST_FD);
	return value;
}

/* Whoever comes from a socket of another family would have no address, as those have
 * who come from one in the file system, and are trusted. */
static int
family_is_known(void)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	memset(&ss, 0, sizeof(ss));
	return getsockname(FIRST_FD, (struct sockaddr *)&ss, &n) == 0 &&
	    (ss.ss_family == AF_INET || ss.ss_family == AF_INET6 ||
	    ss.ss_family == AF_UNIX);
}

/* Variables that are for another process, which has passed them on, mean
 * nothing. */
static int
socket_handed_over(void)
{
	const char *text = getenv("LISTEN_FDS");
	long n = number_of("LISTEN_FDS");

	if (text == NULL || number_of("LISTEN_PID") != (long)getpid() || n == 0)
		return -1;
	if (n != 1)
		die("LISTEN_FDS is \"%.100s\": this server listens on one "
		    "socket, so hand over just one", text);
	if (socket_option(SO_TYPE) != SOCK_STREAM ||
	    socket_option(SO_ACCEPTCONN) != 1 || !family_is_known())
		die("LISTEN_FDS: descriptor %d is not a socket that listens "
		    "for streams (ListenStream=, and Accept=no)", FIRST_FD);
	return FIRST_FD;
}

/* '@' stands for the NUL with which an abstract name begins. */
static void
notify_read(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (path == NULL || (path[0] != '/' && path[0] != '@') ||
	    !unix_path_fits(path))
		return;
	notify_at.sun_family = AF_UNIX;
	memcpy(notify_at.sun_path, path, strlen(path));
	if (path[0] == '@')
		notify_at.sun_path[0] = '\0';
	notify_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(path));
}

int
supervisor_begin(void)
{
	int fd = socket_handed_over();

	notify_read();
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("NOTIFY_SOCKET");
	return fd;
}

void
supervisor_tell(const char *what)
{
	size_t n = strlen(what);
	int fd;

	if (notify_size == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (fd == -1 || fd_prepare(fd) == -1 || sendto(fd, what, n, 0,
	    (const struct sockaddr *)&notify_at, notify_size) != (ssize_t)n)
		log_event(LEVEL_ERROR, "event=notify-failed what=%s why=\"%s\"",
		    what, strerror(errno));
	if (fd != -1)
		close(fd);
}
