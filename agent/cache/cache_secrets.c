/* cache_secrets.c - secrets by digest: kept as they came, while a document in the cache names them. */
#include "agent/cache/cache.h"

#include <stdlib.h>

#include "agent/cache/cache_internal.h"
#include "common/crypto/base64.h"
#include "common/crypto/digest.h"
#include "common/document/document.h"
#include "common/invariant.h"

#define REFERENCE_MARK "{\"$secret\":"

/* ---- one secret ---- */

enum cache_secret cache_secret_state(struct cache *c, const struct hash *digest)
{
    struct kept_secret kept;
    enum cache_secret state;
    struct err e;

    if (cache_get_secret(c, digest, &kept, &e))
        return CACHE_SECRET_ABSENT;
    state = kept.is_destroyed ? CACHE_SECRET_DESTROYED : CACHE_SECRET_KEPT;
    envelope_fini(&kept.envelope);
    return state;
}

static int put(struct cache *c, MDB_txn *txn, const struct hash *digest,
               const struct kept_secret *secret)
{
    SCOPED_BUFFER struct buffer record = { 0 };
    MDB_val key = cache_val(digest->bytes, HASH_SIZE), value;

    record_put_secret(&record, secret);
    value = cache_val(record.data, record.size);
    return mdb_put(txn, c->secrets, &key, &value, 0);
}

int cache_put_secret(struct cache *c, const struct hash *digest, const struct kept_secret *secret,
                     struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    int rc;

    if (cache_reserve(c, secret->envelope.size, e))
        return -1;
    rc = mdb_txn_begin(c->env, NULL, 0, &txn);
    if (!rc)
        rc = put(c, txn, digest, secret);
    return rc ? cache_trouble(c, "writing a secret", rc, e)
              : cache_commit(c, &txn, "writing a secret", e);
}

int cache_get_secret(struct cache *c, const struct hash *digest, struct kept_secret *out,
                     struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    MDB_val key = cache_val(digest->bytes, HASH_SIZE), value;
    int rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn);

    *out = (struct kept_secret){ 0 };
    if (!rc)
        rc = mdb_get(txn, c->secrets, &key, &value);
    if (rc == MDB_NOTFOUND || (!rc && record_get_secret(value.mv_data, value.mv_size, out)))
        return err_set(e, ERR_NOT_FOUND, "the secret is not in %s", c->folder);
    return rc ? cache_trouble(c, "reading a secret", rc, e) : 0;
}

/* ---- all of them ---- */

static int edit_one(MDB_cursor *cursor, const MDB_val *key, const MDB_val *value,
                    cache_edit_fn *edit, void *ctx)
{
    SCOPED_BUFFER struct buffer record = { 0 };
    struct kept_secret kept;
    struct hash digest;
    MDB_val again = *key, written;
    int what;
    int rc = 0;

    if (key->mv_size != HASH_SIZE || record_get_secret(value->mv_data, value->mv_size, &kept))
        return mdb_cursor_del(cursor, 0);
    memcpy(digest.bytes, key->mv_data, HASH_SIZE);
    again.mv_data = digest.bytes;
    what = edit(ctx, &digest, &kept);
    if (what == CACHE_WRITE) {
        record_put_secret(&record, &kept);
        written = cache_val(record.data, record.size);
        rc = mdb_cursor_put(cursor, &again, &written, MDB_CURRENT);
    } else if (what == CACHE_DROP) {
        rc = mdb_cursor_del(cursor, 0);
    }
    envelope_fini(&kept.envelope);
    return rc;
}

static int edit_all(struct cache *c, MDB_txn *txn, cache_edit_fn *edit, void *ctx)
{
    SCOPED(cursor_close) MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, c->secrets, &cursor);

    while (!rc && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        rc = edit_one(cursor, &key, &value, edit, ctx);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int cache_edit_secrets(struct cache *c, cache_edit_fn *edit, void *ctx, struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    if (!rc)
        rc = edit_all(c, txn, edit, ctx);
    return rc ? cache_trouble(c, "changing secrets", rc, e)
              : cache_commit(c, &txn, "changing secrets", e);
}

static int leave(void *ctx, const struct hash *digest, struct kept_secret *secret)
{
    (void)ctx, (void)digest, (void)secret;
    return CACHE_LEAVE;
}

int cache_drop_bad_secrets(struct cache *c, MDB_txn *txn, struct err *e)
{
    int rc = edit_all(c, txn, leave, NULL);

    return rc ? cache_trouble(c, "verifying secrets", rc, e) : 0;
}

/* ---- what documents name ---- */

struct named {
    struct hash *digests;
    size_t count;
};

static void named_fini_scoped(struct named *n)
{
    free(n->digests);
}

static void add_named(struct named *n, const struct document *d)
{
    struct document_item item;

    for (size_t i = 0; i < document_count(d); i++) {
        char text[VALUE_DIGEST_SIZE];
        size_t size;

        document_at(d, i, &item);
        if (!value_is_reference(item.text, text))
            continue;
        n->digests = reallocarray(n->digests, n->count + 1, sizeof(*n->digests));
        MUST(n->digests);
        if (base64_decode(text, strlen(text), n->digests[n->count].bytes, HASH_SIZE, &size) == 0)
            n->count++;
    }
}

static int collect_named(struct cache *c, MDB_txn *txn, struct named *n)
{
    SCOPED(cursor_close) MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, c->documents, &cursor);

    while (!rc && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        SCOPED(document_free) struct document *d = NULL;
        struct err ignored; /* a set of schemas, or nothing that anybody can apply */

        if (memmem(value.mv_data, value.mv_size, REFERENCE_MARK, sizeof(REFERENCE_MARK) - 1) &&
            document_decode(value.mv_data, value.mv_size, &d, &ignored) == 0)
            add_named(n, d);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int drop_unnamed(void *ctx, const struct hash *digest, struct kept_secret *secret)
{
    const struct named *n = ctx;

    (void)secret;
    for (size_t i = 0; i < n->count; i++)
        if (hash_equal(&n->digests[i], digest))
            return CACHE_LEAVE;
    return CACHE_DROP;
}

static bool has_secrets(struct cache *c, MDB_txn *txn)
{
    MDB_stat stat;

    return mdb_stat(txn, c->secrets, &stat) == 0 && stat.ms_entries > 0;
}

int cache_sweep_secrets(struct cache *c, struct err *e)
{
    __attribute__((cleanup(named_fini_scoped))) struct named named = { 0 };
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    if (!rc && !has_secrets(c, txn))
        return 0;
    if (!rc)
        rc = collect_named(c, txn, &named);
    if (!rc)
        rc = edit_all(c, txn, drop_unnamed, &named);
    return rc ? cache_trouble(c, "sweeping secrets", rc, e)
              : cache_commit(c, &txn, "sweeping secrets", e);
}
