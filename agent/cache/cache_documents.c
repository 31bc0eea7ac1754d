/* cache_documents.c - documents by hash: kept while a promise names them, their space reserved. */
#include "agent/cache/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/cache/cache_internal.h"
#include "common/crypto/digest.h"
#include "common/invariant.h"

/* Blocks beyond the last page used: a promise transaction touches some dozen pages of 4 KiB. */
#define RESERVE_BYTES (4u << 20)
#define LARGE_BYTES 65536u

unsigned cache_corrupt_count(const struct cache *c)
{
    return c->corrupt_count;
}

bool cache_document_fits(const MDB_val *key, const MDB_val *value)
{
    struct hash hash;

    digest_sha256(value->mv_data, value->mv_size, &hash);
    return key->mv_size == HASH_SIZE && memcmp(key->mv_data, hash.bytes, HASH_SIZE) == 0;
}

struct names {
    struct hash *hashes;
    size_t count;
};

static void names_fini_scoped(struct names *n)
{
    free(n->hashes);
}

static void names_add(struct names *n, const struct hash *hash)
{
    struct hash *more;

    if (hash_is_zero(hash))
        return;
    more = reallocarray(n->hashes, n->count + 1, sizeof(*more));
    MUST(more);
    more[n->count++] = *hash;
    n->hashes = more;
}

static bool names_have(const struct names *n, const MDB_val *key)
{
    for (size_t i = 0; i < n->count; i++)
        if (key->mv_size == HASH_SIZE && memcmp(n->hashes[i].bytes, key->mv_data, HASH_SIZE) == 0)
            return true;
    return false;
}

static int names_collect(struct cache *c, MDB_txn *txn, struct names *n, struct err *e)
{
    SCOPED(cursor_close) MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, c->promises, &cursor);

    while (!rc && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        struct kept_promise kept;

        if (record_get_promise(value.mv_data, value.mv_size, &kept))
            return cache_is_corrupt(c, "a promise", e);
        names_add(n, &kept.promise.active.hash);
        names_add(n, &kept.promise.lkg.hash);
        names_add(n, &kept.promise.slot.hash);
        names_add(n, &kept.promise.slot_base.hash);
        names_add(n, &kept.previous.hash);
    }
    return rc == MDB_NOTFOUND ? 0 : cache_trouble(c, "reading", rc, e);
}

int cache_collect_garbage(struct cache *c, MDB_txn *txn, const struct cache_save *save,
                          struct err *e)
{
    __attribute__((cleanup(names_fini_scoped))) struct names names = { 0 };
    SCOPED(cursor_close) MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc;

    for (unsigned i = 0; i < save->pinned_count; i++)
        names_add(&names, &save->pinned[i]);
    if (names_collect(c, txn, &names, e))
        return -1;
    rc = mdb_cursor_open(txn, c->documents, &cursor);
    while (!rc && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        if (!names_have(&names, &key))
            rc = mdb_cursor_del(cursor, 0);
    return rc == MDB_NOTFOUND ? 0 : cache_trouble(c, "collecting garbage", rc, e);
}

/* Blocks for what is used, `extra` bytes more and the small transactions that follow. */
int cache_reserve(struct cache *c, size_t extra, struct err *e)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_filehandle_t fd;

    mdb_env_info(c->env, &info);
    mdb_env_stat(c->env, &stat);
    mdb_env_get_fd(c->env, &fd);
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0,
                  (off_t)((info.me_last_pgno + 1) * stat.ms_psize + extra + RESERVE_BYTES)) == 0)
        return 0;
    if (errno == EOPNOTSUPP || errno == ENOSYS)
        return 0; /* this file system cannot reserve: what is written is all that is sure */
    return cache_trouble(c, "reserving space", errno, e);
}

int cache_put_documents(struct cache *c, const struct cache_document *documents, unsigned count,
                        struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    size_t extra = 0;
    int rc;

    for (unsigned i = 0; i < count; i++)
        extra += documents[i].size;
    if (cache_reserve(c, extra, e))
        return -1;
    rc = mdb_txn_begin(c->env, NULL, 0, &txn);
    for (unsigned i = 0; !rc && i < count; i++) {
        MDB_val key = cache_val(documents[i].hash.bytes, HASH_SIZE);
        MDB_val value = cache_val(documents[i].data, documents[i].size);

        MUST(cache_document_fits(&key, &value));
        rc = mdb_put(txn, c->documents, &key, &value, MDB_NOOVERWRITE);
        if (rc == MDB_KEYEXIST)
            rc = 0;
    }
    if (rc)
        return cache_trouble(c, "writing a document", rc, e);
    return cache_commit(c, &txn, "writing a document", e) || cache_reserve(c, 0, e) ? -1 : 0;
}

bool cache_has_document(struct cache *c, const struct hash *hash)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    MDB_val key = cache_val(hash->bytes, HASH_SIZE), value;

    return mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn) == 0 &&
           mdb_get(txn, c->documents, &key, &value) == 0;
}

static int drop_document(struct cache *c, const struct hash *hash, struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    MDB_val key = cache_val(hash->bytes, HASH_SIZE);
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    c->corrupt_count++;
    if (!rc)
        rc = mdb_del(txn, c->documents, &key, NULL);
    if (rc || cache_commit(c, &txn, "dropping a document", e))
        return -1;
    return 0;
}

/* It was copied: the map's pages need not count as this program's memory. Whoever looks again gets
 * them from the system's cache of the file. */
static void let_go(const MDB_val *value)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)value->mv_data;

    if (value->mv_size >= LARGE_BYTES)
        madvise((void *)(at - at % page), value->mv_size + at % page, MADV_DONTNEED);
}

int cache_get_document(struct cache *c, const struct hash *hash, struct buffer *out,
                       struct err *e)
{
    MDB_txn *txn = NULL;
    MDB_val key = cache_val(hash->bytes, HASH_SIZE), value;
    bool fits = false;
    int rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn);

    if (!rc)
        rc = mdb_get(txn, c->documents, &key, &value);
    if (!rc) {
        fits = cache_document_fits(&key, &value);
        if (fits)
            buffer_add(out, value.mv_data, value.mv_size);
        let_go(&value);
    }
    if (txn)
        mdb_txn_abort(txn);
    if (rc == MDB_NOTFOUND)
        return err_set(e, ERR_NOT_FOUND, "the document is not in %s", c->folder);
    if (rc)
        return cache_trouble(c, "reading a document", rc, e);
    if (fits || drop_document(c, hash, e))
        return fits ? 0 : -1;
    return err_set(e, ERR_CORRUPT, "a document in %s does not match its hash; it was dropped and "
                   "will be fetched again", c->folder);
}

