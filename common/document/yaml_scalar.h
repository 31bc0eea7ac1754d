/* yaml_scalar.h - what a YAML scalar is: YAML 1.2's core schema, told in our value types. Pure. */
#ifndef COMMON_DOCUMENT_YAML_SCALAR_H
#define COMMON_DOCUMENT_YAML_SCALAR_H

#include <stdbool.h>

#include "common/buffer.h"
#include "common/document/yaml_tree.h"
#include "common/err.h"

enum yaml_scalar {
    YAML_SCALAR_NULL,
    YAML_SCALAR_BOOLEAN, /* text: true or false */
    YAML_SCALAR_NUMBER,  /* text: as JSON writes numbers, digits as written */
    YAML_SCALAR_STRING,
    YAML_SCALAR_SECRET, /* !secret N */
};

/* *doubt_out: what YAML 1.1 would have read instead, NULL when both agree. text is added to `out`.
 * Unknown tags are errors. Messages carry no place; the caller puts it in front. */
int yaml_scalar_read(const struct yaml_node *node, enum yaml_scalar *kind_out, struct buffer *out,
                     const char **doubt_out, struct err *e) __attribute__((warn_unused_result));

/* A list or a map may carry its own standard tag and no other: what a tag that nobody knows means
 * (!GetAtt, !!set) would be lost in silence. */
int yaml_collection_check(const struct yaml_node *node, struct err *e)
    __attribute__((warn_unused_result));

#endif
