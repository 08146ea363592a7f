/*
 * The admin listener: what those ask who run the server, as does what stands in front
 * of it.  It is off unless PIPEGATE_ADMIN says where.  No tunnel is behind it.
 */
#ifndef GATE_ADMIN_H
#define GATE_ADMIN_H

/* Listens, where that is set. */
void admin_open(void);

/* Listens no more. */
void admin_close(void);

#endif
