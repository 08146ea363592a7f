/*
 * Whether anything listens at a port of this machine, as the kernel says it (Linux):
 * without a connection, which a service would see.
 */
#ifndef GATE_LISTENS_H
#define GATE_LISTENS_H

/* Whether nothing listens at that TCP port, on any address of ours.  0 also where the
 * kernel does not say it. */
int port_is_deserted(unsigned int port);

#endif
