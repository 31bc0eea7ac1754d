/* document.h - the configuration of one scope: typed keys, canonical bytes, differences.
 *
 * Canonical bytes (PROTOCOL section 8): JSON, UTF-8, keys sorted by byte, no white space,
 * {"KEY":{"t":TYPE,"v":VALUE}}. TYPE is string, number, boolean, json or yaml. VALUE is a JSON
 * string for string, yaml and number (numbers keep their written text), a JSON boolean for
 * boolean, and the value itself (canonical: sorted, compact) for json. Equal content has equal
 * bytes, and so an equal hash.
 *
 * A secret has a type like any other value, and in place of its value a reference to its
 * envelope (common/crypto/envelope.h): {"$secret":DIGEST}. A reference is a text that no plain
 * value can have, so whoever holds the text of a value knows whether it is a secret, and
 * nothing else of it.
 */
#ifndef COMMON_DOCUMENT_DOCUMENT_H
#define COMMON_DOCUMENT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/err.h"
#include "common/scoped.h"

#define DOCUMENT_VALUE_MAX (1u << 20)
#define DOCUMENT_SIZE_MAX (16u << 20)
#define DOCUMENT_KEY_MAX 500

#define VALUE_TYPES(X)                                                                             \
    X(STRING, "string") X(NUMBER, "number") X(BOOLEAN, "boolean") X(JSON, "json") X(YAML, "yaml")
enum value_type {
#define X(name, text) VALUE_##name,
    VALUE_TYPES(X)
#undef X
};
const char *value_type_name(enum value_type type);
/* Accepts the aliases int, float (number) and bool (boolean); -1 names the types there are. */
int value_type_parse(const char *text, enum value_type *out, struct err *e)
    __attribute__((warn_unused_result));

/* Check that `text` (the written form: 3600, true, {"a":1}, any string) fits the type, and bring
 * it to canonical text (boolean true/false; json compact and sorted; others unchanged).
 * *canonical_out is malloc'ed. UTF-8 is checked, size limited to DOCUMENT_VALUE_MAX
 * (ERR_TOO_LARGE). */
int value_normalize(enum value_type type, const char *text, size_t size, char **canonical_out,
                    struct err *e) __attribute__((warn_unused_result));

/* {"$secret":DIGEST}, where DIGEST is the base64 text of 32 bytes. value_normalize refuses it. */
#define VALUE_DIGEST_SIZE 45    /* with the terminating zero, as the next */
#define VALUE_REFERENCE_SIZE 59
void value_reference(const char *digest, char out[VALUE_REFERENCE_SIZE]);
/* false: a plain value. digest_out may be NULL. */
bool value_is_reference(const char *text, char digest_out[VALUE_DIGEST_SIZE]);

/* A key: 1 to DOCUMENT_KEY_MAX bytes of UTF-8 without control characters or blanks at its ends. */
int document_check_key(const char *key, size_t size, struct err *e)
    __attribute__((warn_unused_result));

struct document; /* a map key -> (type, canonical text) */

struct document *document_new(void);
void document_free(struct document *d);
SCOPED_FREE(struct document, document_free)

/* Text must be canonical (value_normalize), or a reference. Replaces; -1 only when the document
 * grew too large. */
int document_set(struct document *d, const char *key, enum value_type type, const char *text,
                 struct err *e) __attribute__((warn_unused_result));
void document_unset(struct document *d, const char *key);
/* To write files from it: the plain value takes the place of a reference. The item stays marked as
 * a secret, document_free wipes it, and such a document is never encoded again. */
void document_open_secret(struct document *d, const char *key, const char *text);
size_t document_count(const struct document *d);

struct document_item {
    const char *key;
    enum value_type type;
    const char *text; /* of a secret the reference, until it was opened */
    bool is_secret;
};
/* false when absent; item lent until the document changes. */
bool document_get(const struct document *d, const char *key, struct document_item *out);
/* Items in key order: index 0 … count-1. */
void document_at(const struct document *d, size_t index, struct document_item *out);

/* Canonical bytes (malloc'ed, zero-terminated beyond size) and their hash. The empty document is
 * "{}" with its own hash; revision 0 has the zero hash and no bytes. */
int document_encode(const struct document *d, char **bytes_out, size_t *size_out,
                    struct hash *hash_out, struct err *e) __attribute__((warn_unused_result));
int document_decode(const char *bytes, size_t size, struct document **out, struct err *e)
    __attribute__((warn_unused_result));

/* Visit what differs, in key order; before or after is NULL for an added or a removed key. */
typedef void document_diff_fn(void *ctx, const char *key, const struct document_item *before,
                              const struct document_item *after);
void document_diff(const struct document *before, const struct document *after,
                   document_diff_fn *visit, void *ctx);

#endif
