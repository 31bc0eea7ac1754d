/* render.h - a document as the bytes of a file: one key's value, JSON, or env lines. Pure. */
#ifndef AGENT_RENDER_H
#define AGENT_RENDER_H

#include <stdbool.h>

#include "agent/settings.h"
#include "common/buffer.h"
#include "common/document.h"
#include "common/err.h"

/* *absent_out: an optional key is not in the document, so there is no such file. JSON is one object
 * {"key": typed value} in key order, env one KEY='value' a line; keys that env would write alike
 * are an error. Of a document with opened secrets; what shows one is a secret buffer. */
int render_file(const struct agent_file *file, const struct document *document,
                struct buffer *out, bool *absent_out, struct err *e)
    __attribute__((warn_unused_result));

/* Does this file show a secret of the document? */
bool render_is_secret(const struct agent_file *file, const struct document *document);

#endif
