/* image.h - a document as the file that local readers map: values parsed once, keys hashed. Pure. */
#ifndef AGENT_PUBLISH_IMAGE_H
#define AGENT_PUBLISH_IMAGE_H

#include "common/buffer.h"
#include "common/document/document.h"

/* The bytes of agent/client/published.h, appended to `out`. Of a secret the key alone. */
void image_build(const struct document *document, const struct hash *hash, struct buffer *out);

#endif
