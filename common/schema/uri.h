/* uri.h - URIs and references to them (RFC 3986): is it one, and what does it mean at a place?
 * Pure. */
#ifndef COMMON_SCHEMA_URI_H
#define COMMON_SCHEMA_URI_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

enum uri_kind {
    URI_ABSOLUTE,  /* begins with a scheme */
    URI_REFERENCE, /* or stands relative to another one */
    URI_IRI,       /* as URI_ABSOLUTE, letters beyond ASCII allowed (RFC 3987) */
    URI_IRI_REFERENCE,
};

bool uri_is(enum uri_kind kind, const char *text);

/* Append what `reference` means in a document at `base` (RFC 3986 section 5.2). An empty base
 * leaves the reference as it is. */
void uri_resolve(const char *base, const char *reference, struct buffer *out);

/* RFC 4291 section 2.2, without a zone; dotted decimal without leading zeros. `size` bytes. */
bool uri_is_ipv6(const char *text, size_t size);
bool uri_is_ipv4(const char *text, size_t size);

#endif
