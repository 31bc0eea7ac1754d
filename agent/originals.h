/* originals.h - what lay at a destination when Lockstep took it over, kept in STATE_DIR/originals. */
#ifndef AGENT_ORIGINALS_H
#define AGENT_ORIGINALS_H

#include <stdbool.h>

#include "common/err.h"

enum original { ORIGINAL_UNKNOWN, ORIGINAL_ABSENT, ORIGINAL_FILE };

enum original originals_look(const char *state_dir, const char *path);
/* Keep the file at `path` with mode and owner, or that there is none. */
int originals_keep(const char *state_dir, const char *path, struct err *e)
    __attribute__((warn_unused_result));
/* Put what was kept for `path` back to `to` (where a link at path leads, else path itself), through
 * `aside`, a name beside it; unknown: nothing is done. */
int originals_restore(const char *state_dir, const char *path, const char *to, const char *aside,
                      struct err *e) __attribute__((warn_unused_result));

#endif
