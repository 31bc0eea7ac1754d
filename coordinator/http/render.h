/* render.h - a whole document as people and programs read it: JSON and env lines. */
#ifndef COORDINATOR_HTTP_RENDER_H
#define COORDINATOR_HTTP_RENDER_H

#include "common/buffer.h"
#include "common/document.h"

/* {"KEY": typed value} with numbers as they were written; yaml values are strings. */
void render_json(const struct document *d, struct buffer *out);

/* One value as JSON. */
void render_value(enum value_type type, const char *text, struct buffer *out);

/* DATABASE_URL='…' lines for a POSIX shell: letters in capitals, every other byte but digits an
 * underscore. ERR_CONFLICT "env_collision" names two keys that become the same variable. */
int render_env(const struct document *d, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
