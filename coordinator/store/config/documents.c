/* documents.c - snapshots of key versions become canonical documents, addressed by content. */
#include "coordinator/store/config/documents.h"

#include <stdlib.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "coordinator/store/pg.h"

int revision_snapshot(struct pg *pg, int64_t scope_id, uint64_t revision, struct document **out,
                      struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED(document_free) struct document *d = document_new();

    if (PG_QUERY(pg,
                 "SELECT key, value_type, value FROM ("
                 " SELECT DISTINCT ON (key) key, value_type, value, is_deleted FROM config_version"
                 " WHERE scope_id = $1 AND revision <= $2 ORDER BY key, revision DESC) AS newest"
                 " WHERE NOT is_deleted",
                 &rows, e, PARAM_INT(scope_id), PARAM_INT(revision)))
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        enum value_type type;

        if (value_type_parse(rows_text(rows, i, 1), &type, e) ||
            document_set(d, rows_text(rows, i, 0), type, rows_text(rows, i, 2), e))
            return -1;
    }
    *out = MOVE(d);
    return 0;
}

int document_load(struct pg *pg, const struct hash *hash, char **bytes_out, size_t *size_out,
                  struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    char hex[HASH_HEX_SIZE];

    if (PG_QUERY(pg, "SELECT bytes FROM document WHERE hash = $1", &rows, e,
                 PARAM_BYTES(hash->bytes, HASH_SIZE)))
        return -1;
    hash_to_hex(hash, hex);
    if (rows_count(rows) == 0)
        return err_set(e, ERR_NOT_FOUND, "there is no document with hash %s", hex);
    *bytes_out = rows_bytes(rows, 0, 0, size_out);
    return 0;
}

/* Put the document together and remember it. The bytes are the caller's. Without a single key it is
 * no configuration, as revision 0: taking back a scope's first rollout leads there. */
static int materialise(struct pg *pg, int64_t scope_id, uint64_t revision, struct hash *hash_out,
                       char **bytes_out, size_t *size_out, struct err *e)
{
    SCOPED(document_free) struct document *d = NULL;
    char *bytes = NULL;

    if (revision_snapshot(pg, scope_id, revision, &d, e))
        return -1;
    if (document_count(d) == 0)
        return 0;
    if (document_encode(d, &bytes, size_out, hash_out, e))
        return -1;
    if (PG_QUERY(pg, "INSERT INTO document (hash, bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                 NULL, e, PARAM_BYTES(hash_out->bytes, HASH_SIZE),
                 PARAM_BYTES(bytes, *size_out)) ||
        PG_QUERY(pg, "UPDATE revision SET hash = $3 WHERE scope_id = $1 AND revision = $2", NULL, e,
                 PARAM_INT(scope_id), PARAM_INT(revision),
                 PARAM_BYTES(hash_out->bytes, HASH_SIZE))) {
        free(bytes);
        return -1;
    }
    *bytes_out = bytes;
    return 0;
}

int revision_document(struct pg *pg, int64_t scope_id, uint64_t revision, struct hash *hash_out,
                      char **bytes_out, size_t *size_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct hash hash = { 0 };
    char *bytes = NULL;
    size_t size = 0;

    if (revision > 0) {
        if (PG_QUERY(pg,
                     "SELECT encode(hash, 'hex') FROM revision"
                     " WHERE scope_id = $1 AND revision = $2",
                     &rows, e, PARAM_INT(scope_id), PARAM_INT(revision)))
            return -1;
        if (rows_count(rows) == 0)
            return err_set(e, ERR_NOT_FOUND, "there is no revision %llu in this scope",
                           (unsigned long long)revision);
        hash = rows_hash(rows, 0, 0);
        if (hash_is_zero(&hash)) {
            if (materialise(pg, scope_id, revision, &hash, &bytes, &size, e))
                return -1;
        } else if ((bytes_out || size_out) && document_load(pg, &hash, &bytes, &size, e))
            return -1;
    }
    *hash_out = hash;
    if (size_out)
        *size_out = size;
    if (bytes_out)
        *bytes_out = MOVE(bytes);
    free(bytes);
    return 0;
}
