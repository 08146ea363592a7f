/*
 * What started us, where it speaks systemd's two small protocols: it may hand over a
 * socket that listens already (sd_listen_fds(3)), and be told how we are
 * (sd_notify(3)).
 */
#ifndef GATE_SUPERVISOR_H
#define GATE_SUPERVISOR_H

/* Takes the variables of both protocols out of the environment.  Returns the
 * descriptor of the socket that was handed over, or -1: none was.  Ends the program
 * where it is not one that listens for streams, or not the only one. */
int supervisor_begin(void);

/* Tells it, without waiting, such as "READY=1", if it asked to be told. */
void supervisor_tell(const char *what);

#endif
