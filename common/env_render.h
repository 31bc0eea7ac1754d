/* env_render.h - a document as environment variables: their names, and lines for a POSIX shell. Pure. */
#ifndef COMMON_ENV_RENDER_H
#define COMMON_ENV_RENDER_H

#include "common/buffer.h"
#include "common/document.h"
#include "common/err.h"

#define ENV_NAME_SIZE (DOCUMENT_KEY_MAX + 2)

/* Letters in capitals, every other byte but digits an underscore; one more in front of a digit. */
void env_name(const char *key, char out[ENV_NAME_SIZE]);

/* DATABASE_URL='…' lines, appended in the order of the names. ERR_CONFLICT "env_collision" names
 * two keys that become the same variable. */
int env_render(const struct document *d, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
