#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/say.h"
#include "gate/settings.h"
#include "gate/target.h"
#include "gate/url.h"
#include "gate/rewrite.h"

static struct view
field_value(const struct http_head *h, const char *name)
{
	static const struct view none = { (const unsigned char *)"", 0 };
	const struct http_field *f = http_field_find(h->field, h->nfields,
	    name);

	return f != NULL ? f->value : none;
}

char *
rewrite_home(const struct http_head *h, int link_says_prefix)
{
	struct view proto, host, prefix;
	size_t cap;
	char *home;

	/* The Python server says neither, or its proxy does and not the prefix. */
	if (opt->host_header == NULL ||
	    strcmp(opt->host_header, "rewrite") != 0 || !link_says_prefix)
		return NULL;
	proto = field_value(h, "x-forwarded-proto");
	host = field_value(h, "x-forwarded-host");
	prefix = field_value(h, "x-forwarded-prefix");
	if (proto.n == 0 || host.n == 0 || memchr(host.p, ',', host.n) != NULL)
		return NULL;		/* a list of hosts is none */
	cap = proto.n + host.n + prefix.n + sizeof("://");
	home = malloc(cap);
	if (home != NULL)
		snprintf(home, cap, "%.*s://%.*s%.*s", (int)proto.n,
		    (const char *)proto.p, (int)host.n, (const char *)host.p,
		    (int)prefix.n, (const char *)prefix.p);
	return home;
}

void
rewrite_answer(struct http_field *out, size_t n, const struct target *t,
    const char *home)
{
	static unsigned char space[HTTP_HEAD_MAX];
	struct http_out o = { space, sizeof(space), 0 };
	struct view rest;
	size_t i;

	for (i = 0; i < n; i++) {
		rest = out[i].value;
		if (!http_equal_nocase(out[i].name, "location") ||
		    !target_take_own(t, &rest) ||
		    !url_take_path(&rest, view_of(t->base)))
			continue;
		http_put(&o, home);
		http_put_view(&o, rest);
		if (o.len > o.cap)
			return;
		out[i].value.p = space;
		out[i].value.n = o.len;
		return;
	}
}
