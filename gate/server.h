#ifndef GATE_SERVER_H
#define GATE_SERVER_H

#include "pipegate.h"

int srv_run(void);

#endif
