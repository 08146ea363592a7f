/*
 * The client's side of a tunnel, the uplink: it dials the server, makes a link
 * of the connection, and dials again with a back-off whenever the link is gone.
 */
#ifndef GATE_DIAL_H
#define GATE_DIAL_H

#include "gate/uplink.h"

/* Looks up the target and dials for the first time.  Ends the program where
 * there is no memory for that. */
void uplink_start(struct uplink *u);

/* At the end of a turn: tells the person that the link stands; ends the uplink
 * once it has drained. */
void uplink_settle(struct uplink *u);

/* Once a second: warns of a token that expires soon. */
void uplink_second(struct uplink *u);

/* Takes no more requests, gives those at work a while to finish, and then ends
 * as uplink_end() does, with 1001. */
void uplink_drain(struct uplink *u);

/* Closes the link with close_code, and stops the loop. */
void uplink_end(struct uplink *u, int close_code);

/* After the loop: ends the helpers.  Returns the exit status: 1 where the server
 * refused the client for good, else 0. */
int uplink_finish(struct uplink *u);

#endif
