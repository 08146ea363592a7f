/*
 * Tokens that are good no more, though they have not expired: PIPEGATE_REVOKED
 * names a file with a jti or an id (sub) a line.  Blank lines are nothing; a # at
 * the front of a line, or behind a blank, begins a comment.
 */
#ifndef GATE_REVOKED_H
#define GATE_REVOKED_H

/* Reads the file, if there is to be one, and logs how many it names.  Where it
 * cannot be read the program ends. */
void revoked_start(void);

/* Reads it anew, which holds up the loop for as long as a file of 1 MiB at most
 * takes.  Returns 0, or -1 where it cannot be read: what was read before stays.
 * Logs which. */
int revoked_reread(void);

/* Whether a token of that sub and that jti, which is empty where it has none, is
 * named by either. */
int revoked_has(const char *sub, const char *jti);

#endif
