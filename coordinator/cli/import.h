/* import.h - a YAML or JSON file becomes flat, typed keys: the pure half of `config import`.
 *
 * Nested keys are joined with dots; lists (and empty maps) become json values. Types follow YAML
 * 1.2's core schema: true/false are boolean, numbers keep their written text (+5, .5, 5. and 0x1F
 * are brought to JSON's way of writing numbers), null and nothing at all become the json value
 * null, everything else is a string. Words that YAML 1.1 reads otherwise (yes, off, 0644) are
 * strings, with a warning. <<: merges maps as in YAML 1.1. `!secret N` stands for a secret that is
 * stored already: the key is named and left alone. !json and !yaml make a value of that type of a
 * text.
 */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/document/document.h"
#include "common/err.h"

/* More keys or more expanded nodes than this is a mistake or an attack (aliases of aliases). */
#define IMPORT_NODES_MAX 200000

struct import_item {
    char *key;
    enum value_type type;
    char *text; /* the value's canonical text */
    size_t line;
    unsigned document; /* from 1 */
    size_t first_line; /* of the oldest one that this overrides; 0: none */
    unsigned first_document;
    bool is_secret; /* stays as it is */
};

struct import {
    struct import_item *items; /* in the order of the file */
    size_t count, capacity;
    struct buffer warnings; /* lines */
    size_t document_count;  /* in the file, chosen or not */
};

/* documents: a bit per chosen document (bit 0: the first), 0: all of them, overlaid in order.
 * Messages begin with NAME:LINE:COLUMN. ERR_INVALID; ERR_TOO_LARGE. */
int import_read(const char *bytes, size_t size, const char *name, uint64_t documents,
                struct import *out, struct err *e) __attribute__((warn_unused_result));
void import_fini(struct import *im);
static inline void import_fini_scoped(struct import *im)
{
    import_fini(im);
}
#define SCOPED_IMPORT __attribute__((cleanup(import_fini_scoped)))

/* NULL when absent. */
const struct import_item *import_find(const struct import *im, const char *key);

/* One YAML or JSON document as JSON text, by the same rules, for what is no configuration: a
 * strategy, a list of grants. Appended; warnings likewise. */
int import_json(const char *bytes, size_t size, const char *name, struct buffer *out,
                struct buffer *warnings, struct err *e) __attribute__((warn_unused_result));

#endif
