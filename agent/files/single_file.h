/* single_file.h - one file that stands by itself: its candidate, its replacement, its way back.
 *
 * Used by files.c, whose header says what holds for every file.
 */
#ifndef AGENT_FILES_SINGLE_FILE_H
#define AGENT_FILES_SINGLE_FILE_H

#include "agent/files/render.h"

int single_file_stage(const struct render_source *source, const struct agent_file *file,
                      struct err *e) __attribute__((warn_unused_result));
/* The candidate can take the place of what is there, or what is there can go. */
int single_file_prove(const struct render_source *source, const struct agent_file *file,
                      struct err *e) __attribute__((warn_unused_result));
/* The file as the source says (a NULL document: the original) becomes a candidate: from what
 * lies at the destination, when that is it, without needing space for the content; and
 * single_file_prove of that. */
int single_file_reserve(const struct render_source *source, const struct agent_file *file,
                        const char *state_dir, struct err *e) __attribute__((warn_unused_result));
int single_file_apply(const struct render_source *source, const struct agent_file *file,
                      const char *state_dir, struct err *e) __attribute__((warn_unused_result));
/* The destination holds what the source says. -1 says which does not. */
int single_file_verify(const struct render_source *source, const struct agent_file *file,
                       struct err *e) __attribute__((warn_unused_result));

#endif
