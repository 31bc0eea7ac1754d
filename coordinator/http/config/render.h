/* render.h - a whole document as people and programs read it: JSON. */
#ifndef COORDINATOR_HTTP_CONFIG_RENDER_H
#define COORDINATOR_HTTP_CONFIG_RENDER_H

#include "common/buffer.h"
#include "common/document/document.h"

/* {"KEY": typed value} with numbers as they were written; yaml values are strings. */
void render_json(const struct document *d, struct buffer *out);

/* One value as JSON. */
void render_value(enum value_type type, const char *text, struct buffer *out);

#endif
