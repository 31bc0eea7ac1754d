/* files_diff.h - what lies on this server against what a document says, for people. */
#ifndef AGENT_FILES_FILES_DIFF_H
#define AGENT_FILES_FILES_DIFF_H

#include <stdbool.h>

#include "agent/files/render.h"

enum files_diff_shown {
    FILES_DIFF_PUBLIC, /* what everybody on the server may read; of the rest, that it differs */
    FILES_DIFF_ALL,    /* but secrets */
};

/* Appends a unified diff of each file that files_apply would change ("-" is on this server, "+" is
 * what the source says; a NULL document: the originals), each cut at size_max bytes, and what does
 * not belong in a group too. Touches nothing. How many places differ, as far as they are shown; -1
 * when the document cannot be written at all. */
int files_diff(const struct render_source *source, const char *state_dir,
               enum files_diff_shown shown, size_t size_max, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
