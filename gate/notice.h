/*
 * Notices, on the server: what the clients of an id are told for their people.
 */
#ifndef GATE_NOTICE_H
#define GATE_NOTICE_H

struct link;
struct tunnel;

/* Once a second: tells one client of each id what was refused for it. */
void notices_send(void);

/* Tells the clients of t but joined, which is new, how many they are now. */
void notice_joined(const struct tunnel *t, const struct link *joined);

#endif
