/*
 * What the environment and the command line said, checked.  main() fills it in
 * before anything runs; from then on nobody writes it.
 */
#ifndef GATE_SETTINGS_H
#define GATE_SETTINGS_H

#include "pipegate.h"
#include "gate/addr.h"

#define TRUSTED_MAX 32
#define ALLOW_MAX 32
#define DOMAINS_MAX 16
#define OFFLINE_PAGE_MAX 16384
#define TTL_DAYS_MAX 36500
#define ADMIN_CONNS 32		/* at the admin listener at once */

struct settings {
	struct jwt_key key;
	long long ttl_days;
	const char *ttl;		/* of --ttl, such as 2h; NULL: ttl_days */
	int bare;			/* --bare: a new token has sub and exp alone */
	const char *revoked;		/* file of the revoked tokens; NULL: there is none */
	long long max_body;		/* octets of a request; 0: no limit */
	long long queue_depth;		/* requests that wait for one id */
	long long max_rate;		/* requests a second for one id; 0: no limit */
	long long offline_wait_s, service_wait_s, response_timeout_s;
	long long max_memory;		/* octets */
	long long max_connections;
	struct cidr trusted[TRUSTED_MAX];
	int ntrusted;
	const char *domain[DOMAINS_MAX];	/* in lower case; under them each id has a host */
	int ndomains;
	const char *public_url;		/* under which /{id}/ are for callers, with a slash at its end;
					   NULL: where clients dial */
	const char *admin_host, *admin_port;	/* where the admin listener is; NULL: there is none */
	struct view offline_page;	/* HTML for an id that nobody serves; empty: our own */
	long long proxy_protocol;	/* whether these say in a PROXY header whom they speak for,
					   and not in fields */
	int https;			/* callers come by https, where nobody who is believed
					   says otherwise */
	const char *trusted_fields;	/* names of fields that these may set, with commas between */
	const char *connection_id;
	const char *own[JWT_DOMAINS_MAX];	/* of --domain */
	int nown;
	const char *token, *connect_command;
	const char *auth;		/* of --auth: USER:PASSWORD; NULL: callers need none */
	int nauth;			/* of these: one at most, since the last alone is wiped */
	const char *allow_text;
	struct cidr allow[ALLOW_MAX];	/* the same, of --allow: who may call; none: anybody */
	int nallow;
	const char *host_header;	/* of --host-header; NULL: Host passes as it came */
	int as_is;			/* of --no-rewrite: answers pass as they came */
	const char *host, *port;
	int insecure_target;		/* --insecure-target: its certificate may be any */
};

extern struct settings settings_said;	/* written by main() and its table of options */
extern const struct settings *const opt;	/* the same, as everyone else reads it */

/* Whether a peer with address a is believed when it says whom it speaks for.  One
 * without an address came by a socket in the file system: by whose leave it
 * connects, the file's permissions say. */
int peer_is_trusted(const struct addr *a);

/* Reads the environment, but for what the command line said, and sets the size
 * of the budget.  A value that does not parse ends the program with a message
 * that names it. */
void environment_read(void);

/* Reads what --allow said.  Returns 0, or -1: it is no list of networks. */
int allow_read(void);

/* Takes PIPEGATE_JWT_SECRET, and that with _PREVIOUS, out of the environment and
 * keeps them; without the first the program ends.  Or wipes both, for a subcommand
 * that does not use them. */
void secret_read(void);
void secret_drop(void);

/* Raises the limit of open files as far as it goes, and lowers max_connections to
 * what it then allows. */
void files_limit(void);

/* Keeps secrets out of core files, and from debuggers. */
void secrets_guard(void);

#endif
