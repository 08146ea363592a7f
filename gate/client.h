#ifndef GATE_CLIENT_H
#define GATE_CLIENT_H

#include "pipegate.h"

int cli_run(void);

#endif
