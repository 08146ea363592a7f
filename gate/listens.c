#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/listens.h"

#define LISTENS 0x0a		/* the state of a socket that does */

enum found { FOUND_NOT, FOUND, FOUND_UNKNOWN };

/* Whether line, of a table of sockets, is of one that listens at port:
 * "   0: 0100007F:0BB8 00000000:0000 0A ...", all in hex. */
static int
line_listens(const char *line, unsigned int port)
{
	const char *at = strchr(line, ':');
	char *end;

	at = at == NULL ? NULL : strchr(at + 1, ':');
	if (at == NULL || strtoul(at + 1, &end, 16) != port)
		return 0;
	end = strchr(end, ':');
	if (end == NULL)
		return 0;
	strtoul(end + 1, &end, 16);
	return strtoul(end, NULL, 16) == LISTENS;
}

static enum found
table_search(const char *path, unsigned int port)
{
	enum found found = FOUND_NOT;
	char line[512];
	FILE *f = fopen(path, "r");

	if (f == NULL)
		return FOUND_UNKNOWN;
	while (found == FOUND_NOT && fgets(line, sizeof(line), f) != NULL)
		if (line_listens(line, port))
			found = FOUND;
	if (ferror(f))
		found = FOUND_UNKNOWN;
	fclose(f);
	return found;
}

/* Without IPv6 there is but one table. */
int
port_is_deserted(unsigned int port)
{
	return table_search("/proc/net/tcp", port) == FOUND_NOT &&
	    table_search("/proc/net/tcp6", port) != FOUND;
}
