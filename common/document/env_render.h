/* env_render.h - a document as environment variables: their names, and lines for a POSIX shell. Pure.
 *
 * A key that is null is no variable. What no list allows and a loader, shell or interpreter obeys
 * (common/variable_names.h) is refused, and so are two keys that become one variable.
 */
#ifndef COMMON_DOCUMENT_ENV_RENDER_H
#define COMMON_DOCUMENT_ENV_RENDER_H

#include <stdbool.h>

#include "common/buffer.h"
#include "common/document/document.h"
#include "common/err.h"
#include "common/variable_names.h"

#define ENV_NAME_SIZE (DOCUMENT_KEY_MAX + VARIABLE_PREFIX_MAX + 2)

struct env_choice {
    const char *prefix;  /* in front of every name, checked by variable_check_prefix; NULL: none */
    const char *allowed; /* obeyed names that may be written all the same; NULL: none */
    const char *remedy;  /* what the reader of a refusal can do here; NULL: rename the key */
};

/* The prefix, then letters in capitals, every other byte but digits an underscore; one more in
 * front of a digit. */
void env_name(const char *key, const char *prefix, char out[ENV_NAME_SIZE]);

/* -1, ERR_CONFLICT "env_reserved": the variable of this key is obeyed, and not allowed. */
int env_check_name(const char *key, const char *name, const struct env_choice *choice,
                   struct err *e) __attribute__((warn_unused_result));

/* Null is no text: no form without a null shows it. */
bool env_is_null(const struct document_item *item);

/* DATABASE_URL='…' lines, appended in the order of the names; choice NULL: as it is by itself.
 * ERR_CONFLICT "env_collision" names two keys that become the same variable. */
int env_render(const struct document *d, const struct env_choice *choice, struct buffer *out,
               struct err *e) __attribute__((warn_unused_result));

#endif
