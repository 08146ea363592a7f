#ifndef GATE_SETTINGS_H
#define GATE_SETTINGS_H

#include "pipegate.h"
#include "gate/addr.h"

#define TRUSTED_MAX 32

struct opt {
	struct jwt_key key;
	long long ttl_days, max_body, queue_depth, offline_wait_s;
	long long response_timeout_s, max_memory, max_connections;
	struct cidr trusted[TRUSTED_MAX];
	int ntrusted;
	const char *connection_id;
	const char *token, *connect_command;
	const char *host, *port;
};

extern struct opt opt;

int peer_is_trusted(const struct addr *a);

void secret_read(void);
void environment_read(void);

/* Raises the limit of open files, and keeps to what there is. */
void files_limit(void);

/* Secrets are to be found neither in a core file nor by a debugger. */
void secrets_guard(void);

#endif
