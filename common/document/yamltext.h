/* yamltext.h - is a text YAML, and harmless to whoever reads it? */
#ifndef COMMON_DOCUMENT_YAMLTEXT_H
#define COMMON_DOCUMENT_YAMLTEXT_H

#include <stddef.h>

#include "common/err.h"

#define YAMLTEXT_DEPTH_MAX 100
#define YAMLTEXT_ANCHORS_MAX 256
#define YAMLTEXT_TAGS_MAX 64
/* Nodes that aliases may add when they are written out ("billion laughs" is a thousand million). */
#define YAMLTEXT_ALIASED_MAX 100000

/* 0, or ERR_MALFORMED with the line; ERR_INVALID when it is nested too deeply, explodes, or has a
 * key twice in one map. Several documents in one text are fine. */
int yamltext_check(const char *text, size_t size, struct err *e)
    __attribute__((warn_unused_result));

#endif
