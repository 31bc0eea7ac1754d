/* file_settings.h - the file, document and group lines of a scope: what is written where. */
#ifndef AGENT_SETTINGS_FILE_SETTINGS_H
#define AGENT_SETTINGS_FILE_SETTINGS_H

#include "agent/settings/settings.h"
#include "common/err.h"

/* One line each, added to the scope. What contradicts the lines before it, of this scope or of
 * another, is refused: a place that two lines write, a folder inside a group. */
int file_settings_add(const struct agent_settings *s, struct agent_scope *scope, const char *value,
                      struct err *e) __attribute__((warn_unused_result));
int file_settings_add_document(const struct agent_settings *s, struct agent_scope *scope,
                               const char *value, struct err *e)
    __attribute__((warn_unused_result));
int file_settings_add_group(const struct agent_settings *s, struct agent_scope *scope,
                            const char *value, struct err *e) __attribute__((warn_unused_result));

/* Once everything was read. */
int file_settings_check(const struct agent_scope *scope, struct err *e)
    __attribute__((warn_unused_result));
void file_settings_free(struct agent_scope *scope);

/* The words that may stand behind a path: "mode=", "optional" …; NULL at the end. */
const char *file_settings_word(size_t index);

/* Absolute, without "." or ".." on the way, and of characters that mean nothing to a shell: such
 * paths stand in command texts. */
int file_settings_check_path(const char *what, const char *path, struct err *e)
    __attribute__((warn_unused_result));

#endif
