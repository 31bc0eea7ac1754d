/* canon.h - JSON text in its one canonical form: sorted, compact, numbers as they were written.
 *
 * JSON numbers are text of any length here: neither 0.10 nor 20 digits change on their way, which
 * a parser that makes doubles and 64-bit integers of them cannot promise. So every scalar is
 * marked before jansson parses the text: a string "x" becomes "sx", a number 1.0 becomes "n1.0".
 * Whoever walks such a tree minds the marks (canon_string, canon_member). Keys are unique, sorted
 * by byte; strings are UTF-8 without zero bytes; nesting ends at CANON_DEPTH_MAX.
 */
#ifndef COMMON_DOCUMENT_CANON_H
#define COMMON_DOCUMENT_CANON_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/err.h"

#define CANON_DEPTH_MAX 100

struct json_t; /* jansson's; json_decref releases it */

/* `what` opens the sentence on failure (ERR_MALFORMED, with the line). */
int canon_parse(const char *what, const char *text, size_t size, struct json_t **out,
                struct err *e) __attribute__((warn_unused_result));
/* Append the canonical text of a marked tree. */
void canon_emit(const struct json_t *node, struct buffer *out);
/* The text of a marked string; NULL when the node is not a string. */
const char *canon_string(const struct json_t *node);
/* The node behind a key of a marked object; NULL when there is none. */
struct json_t *canon_member(const struct json_t *object, const char *key);
/* Append `text` as a JSON string. */
void canon_quote(struct buffer *out, const char *text);
/* How many bytes of `text` are a JSON number (RFC 8259 section 6); 0 when it starts with none. */
size_t canon_number(const char *text, size_t size);
/* The bytes from an opening quote to its closing quote; all of them when there is none. */
size_t canon_string_size(const char *text, size_t size);

#endif
