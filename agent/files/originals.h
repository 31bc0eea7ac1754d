/* originals.h - what lay at a destination when Lockstep took it over, kept in STATE_DIR/originals. */
#ifndef AGENT_FILES_ORIGINALS_H
#define AGENT_FILES_ORIGINALS_H

#include <limits.h>
#include <stdbool.h>

#include "common/err.h"

enum original { ORIGINAL_UNKNOWN, ORIGINAL_ABSENT, ORIGINAL_FILE, ORIGINAL_FOLDER };

enum original originals_look(const char *state_dir, const char *path);
/* Where the kept file or folder lies. */
void originals_name(const char *state_dir, const char *path, char out[PATH_MAX]);
/* Keep the file or the folder at `path` with modes and owners, or that there is none. */
int originals_keep(const char *state_dir, const char *path, bool is_folder, struct err *e)
    __attribute__((warn_unused_result));

/* That there was nothing, whatever lies there now: it is Lockstep's own. */
int originals_keep_absence(const char *state_dir, const char *path, struct err *e)
    __attribute__((warn_unused_result));

#endif
