/* file_group.h - a folder whose files are replaced together: laid out beside it, exchanged by one rename.
 *
 * The folder holds the files of the settings and nothing else: whoever reads it sees the old folder
 * or the new one, whole. What lay in it before is the original, with all that was in it.
 */
#ifndef AGENT_FILES_FILE_GROUP_H
#define AGENT_FILES_FILE_GROUP_H

#include "agent/files/render.h"

/* Lay the folder out beside its destination. */
int file_group_stage(const struct render_source *source, unsigned group, struct err *e)
    __attribute__((warn_unused_result));
/* The two can change places. */
int file_group_prove(const struct render_source *source, unsigned group, struct err *e)
    __attribute__((warn_unused_result));
/* As single_file_reserve. */
int file_group_reserve(const struct render_source *source, unsigned group, const char *state_dir,
                       struct err *e) __attribute__((warn_unused_result));
int file_group_apply(const struct render_source *source, unsigned group, const char *state_dir,
                     struct err *e) __attribute__((warn_unused_result));
/* The folder holds what the source says and nothing else. -1 names what does not fit. */
int file_group_verify(const struct render_source *source, unsigned group, struct err *e)
    __attribute__((warn_unused_result));

/* A file of that name is one of the group's. */
bool file_group_has_member(const struct agent_scope *scope, unsigned group, const char *name);

#endif
