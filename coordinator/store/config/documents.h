/* documents.h - the canonical document of a revision: put together once, kept by its content. */
#ifndef COORDINATOR_STORE_CONFIG_DOCUMENTS_H
#define COORDINATOR_STORE_CONFIG_DOCUMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/document/document.h"
#include "common/err.h"

struct pg;

/* The snapshot of a scope at a revision: per key the newest version with revision <= it. */
int revision_snapshot(struct pg *pg, int64_t scope_id, uint64_t revision, struct document **out,
                      struct err *e) __attribute__((warn_unused_result));

/* Its canonical bytes and hash; stores both when nobody needed them before (one statement each, so
 * that it works inside the caller's transaction and without one). Bytes are malloc'ed; bytes_out
 * and size_out may be NULL. Revision 0, and any without keys: the
 * zero hash, no bytes (NULL, 0). A revision that does not
 * exist: ERR_NOT_FOUND. */
int revision_document(struct pg *pg, int64_t scope_id, uint64_t revision, struct hash *hash_out,
                      char **bytes_out, size_t *size_out, struct err *e)
    __attribute__((warn_unused_result));

/* The bytes of a stored document, malloc'ed and zero-terminated beyond size. ERR_NOT_FOUND. */
int document_load(struct pg *pg, const struct hash *hash, char **bytes_out, size_t *size_out,
                  struct err *e) __attribute__((warn_unused_result));

#endif
