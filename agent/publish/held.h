/* held.h - a held revision of liblockstep for people and programs: rendered, and compared with another.
 *
 * Of a secret there is the key alone: it is left out of documents, and null among items.
 */
#ifndef AGENT_PUBLISH_HELD_H
#define AGENT_PUBLISH_HELD_H

#include <stdbool.h>

#include "agent/client/lockstep.h"
#include "common/buffer.h"
#include "common/document/document.h"
#include "common/document/env_render.h"
#include "common/err.h"

bool held_knows_format(const char *format); /* json, yaml, env */
/* Appended. -1, for env (choice as in common/document/env_render.h): two keys become one variable,
 * or one becomes a variable that is not allowed. */
int held_render(const struct lockstep_snapshot *s, const char *format,
                const struct env_choice *choice, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

const char *held_type(const struct lockstep_item *item);

/* What differs, in key order; `was` or `is` NULL for an added or a deleted key. before NULL: all
 * keys are new. Returns how many differ. */
typedef void held_diff_fn(void *ctx, const struct lockstep_item *was,
                          const struct lockstep_item *is);
size_t held_diff(const struct lockstep_snapshot *before, const struct lockstep_snapshot *after,
                 held_diff_fn *visit, void *ctx);
/* Members of a JSON object for such a difference: "key", and "value" with "value_type" when they
 * are wanted, or "deleted". */
void held_change(const struct lockstep_item *was, const struct lockstep_item *is, bool with_value,
                 struct buffer *out);

#endif
