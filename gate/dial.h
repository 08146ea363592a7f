#ifndef GATE_DIAL_H
#define GATE_DIAL_H

#include "pipegate.h"

struct timer;

#define TOLD_MS 500			/* for the server to refuse the token */

void helper_end(void);
void client_dial(void);
void redial_timer(struct timer *t);

#endif
