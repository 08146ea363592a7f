#include <string.h>

#include "gate/say.h"
#include "gate/cookie.h"

struct view
cookie_next(struct view *rest)
{
	struct view piece = view_until(rest, ";");

	if (rest->n > 0)
		view_skip(rest, 1);
	return piece;
}

struct view
cookie_split(struct view pair, struct view *value)
{
	struct view name = view_until(&pair, "=");

	if (pair.n > 0)
		view_skip(&pair, 1);
	*value = http_trim(pair);
	return http_trim(name);
}
