/* yaml_render.h - writes a document as nested YAML. */
#ifndef COMMON_DOCUMENT_YAML_RENDER_H
#define COMMON_DOCUMENT_YAML_RENDER_H

#include "common/buffer.h"
#include "common/document/document.h"

/* Appended. Keys are split at dots into nested maps. Where a key is also the beginning of another,
 * the rest of the longer one stays in one piece ("a: 1" beside "a.b: 2"); so does what is nested
 * too deeply for readers, and a JSON value of that kind stands as "!json TEXT". */
void yaml_render(const struct document *d, struct buffer *out);

/* The same, where secrets stand as "!secret VERSION" (which import leaves as they are). */
typedef uint64_t yaml_version_fn(void *ctx, const char *key);
void yaml_render_with(const struct document *d, yaml_version_fn *version_of, void *ctx,
                      struct buffer *out);

#endif
