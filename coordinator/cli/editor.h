/* editor.h - a text in the editor of whoever sits there. */
#ifndef CLI_EDITOR_H
#define CLI_EDITOR_H

#include "common/buffer.h"
#include "common/err.h"

#define EDITOR_PATH_SIZE 600

/* A file of this text for nobody else (0600). Editors look at how its name ends. */
int editor_begin(const struct buffer *text, const char *ending, char path_out[EDITOR_PATH_SIZE],
                 struct err *e) __attribute__((warn_unused_result));
/* $VISUAL, $EDITOR or vi, until it ends; then what the file holds. -1 also when the editor ended
 * badly; the file is left in any case. */
int editor_run(const char *path, struct buffer *text_out, struct err *e)
    __attribute__((warn_unused_result));

#endif
