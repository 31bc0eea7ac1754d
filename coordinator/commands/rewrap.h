/* rewrap.h - `lockstepd rewrap`: wraps the data keys of all secrets under the newest key. */
#ifndef COORDINATOR_COMMANDS_REWRAP_H
#define COORDINATOR_COMMANDS_REWRAP_H

struct coordinator_settings;

/* Batch by batch, beside running coordinators: which data keys are due stands in their rows, so
 * that one that was ended goes on where it was when it is started again. Says on standard output
 * how far it is; returns the exit code: 1 also when some data keys could not be wrapped anew. */
int rewrap_command(const struct coordinator_settings *s);

#endif
