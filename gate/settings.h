/*
 * What the environment and the command line said, checked.  main() fills it in
 * before anything runs; from then on nobody writes it.
 */
#ifndef GATE_SETTINGS_H
#define GATE_SETTINGS_H

#include "pipegate.h"
#include "gate/addr.h"

#define TRUSTED_MAX 32

struct settings {
	struct jwt_key key;
	long long ttl_days;
	long long max_body;		/* octets of a request; 0: no limit */
	long long queue_depth;		/* requests that wait for one id */
	long long offline_wait_s, response_timeout_s;
	long long max_memory;		/* octets */
	long long max_connections;
	struct cidr trusted[TRUSTED_MAX];
	int ntrusted;
	const char *trusted_fields;	/* names that these may set, with commas between */
	const char *connection_id;
	const char *token, *connect_command;
	const char *host, *port;
};

extern struct settings settings_said;	/* for main() and its table of options */
extern const struct settings *const opt;

/* Whether X-Forwarded-* of a peer with address a are believed. */
int peer_is_trusted(const struct addr *a);

/* Reads the environment, but for what the command line said.  A value that
 * does not parse ends the program, and is named. */
void environment_read(void);

/* Reads PIPEGATE_JWT_SECRET, without which the program ends; or wipes it out
 * of the environment, for what does not use it. */
void secret_read(void);
void secret_drop(void);

/* Raises the limit of open files, and keeps max_connections within it. */
void files_limit(void);

/* Secrets are to be found neither in a core file nor by a debugger. */
void secrets_guard(void);

#endif
