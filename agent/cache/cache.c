/* cache.c - what the agent must not forget: promises, answers, outbox, in LMDB. Sync mode only. */
#include "agent/cache/cache.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "agent/cache/cache_internal.h"

#define DECISION_KEY "decision"
#define FULL_BYTES (1u << 20) /* an I/O error with less than this free is a full disk */

static bool is_full(const struct cache *c, int rc)
{
    struct statvfs fs;

    if (rc == ENOSPC || rc == EDQUOT || rc == MDB_MAP_FULL)
        return true;
    /* LMDB 0.9 reports the short write of a full disk as EIO. */
    return rc == EIO && statvfs(c->folder, &fs) == 0 && fs.f_bavail * fs.f_frsize < FULL_BYTES;
}

int cache_trouble(const struct cache *c, const char *what, int rc, struct err *e)
{
    if (is_full(c, rc))
        return err_code(e, ERR_SYSTEM, "nospace", "%s in %s: no space left; free some", what,
                        c->folder);
    return err_code(e, ERR_SYSTEM, "io", "%s in %s: %s", what, c->folder, mdb_strerror(rc));
}

int cache_is_corrupt(const struct cache *c, const char *what, struct err *e)
{
    return err_set(e, ERR_CORRUPT, "%s in %s is corrupt; move the folder away and start again: the "
                   "agent then asks its coordinator for everything, files and programs stay as "
                   "they are", what, c->folder);
}

/* What is open is what has the name. */
static bool is_same(int fd, const char *folder, const char *name)
{
    char path[PATH_MAX + 16];
    struct stat open, named;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return fstat(fd, &open) == 0 && stat(path, &named) == 0 && open.st_dev == named.st_dev &&
           open.st_ino == named.st_ino;
}

/* A file that somebody removed takes every write, and nobody will ever read it. */
static int check_there(const struct cache *c, struct err *e)
{
    mdb_filehandle_t fd = -1;

    if (mdb_env_get_fd(c->env, &fd) == 0 && is_same(fd, c->folder, "data.mdb") &&
        (c->lock_fd < 0 || is_same(c->lock_fd, c->folder, "lock")))
        return 0;
    return err_code(e, ERR_SYSTEM, "io",
                    "the state folder %.300s was removed or replaced while the agent ran, and what "
                    "is promised now would be on no disk: start the agent anew",
                    c->folder);
}

int cache_commit(struct cache *c, MDB_txn **txn, const char *what, struct err *e)
{
    MDB_txn *taken = *txn;
    int rc;

    *txn = NULL;
    if (check_there(c, e)) {
        mdb_txn_abort(taken);
        return -1;
    }
    rc = mdb_txn_commit(taken);
    return rc ? cache_trouble(c, what, rc, e) : 0;
}

const struct agent_facts *cache_facts(const struct cache *c)
{
    return &c->facts;
}

static int put_record(struct cache *c, MDB_txn *txn, MDB_dbi dbi, MDB_val key,
                      const struct buffer *record, struct err *e)
{
    MDB_val value = cache_val(record->data, record->size);
    int rc = mdb_put(txn, dbi, &key, &value, 0);

    return rc ? cache_trouble(c, "writing", rc, e) : 0;
}

static int put_facts(struct cache *c, MDB_txn *txn, const struct agent_facts *facts,
                     struct err *e)
{
    SCOPED_BUFFER struct buffer record = { 0 };

    record_put_facts(&record, facts);
    return put_record(c, txn, c->facts_dbi, cache_val_text(CACHE_FACTS_KEY), &record, e);
}

int cache_put_facts(struct cache *c, const struct agent_facts *facts, struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    struct agent_facts next = *facts;
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    next.next_outbox_id = c->facts.next_outbox_id;
    if (rc)
        return cache_trouble(c, "writing", rc, e);
    if (put_facts(c, txn, &next, e) || cache_commit(c, &txn, "writing", e))
        return -1;
    c->facts = next;
    return 0;
}

static int get_kept(struct cache *c, MDB_txn *txn, const char *scope, struct kept_promise *out,
                    struct err *e)
{
    MDB_val key = cache_val_text(scope), value;
    int rc = mdb_get(txn, c->promises, &key, &value);

    *out = (struct kept_promise){ 0 };
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc)
        return cache_trouble(c, "reading", rc, e);
    if (record_get_promise(value.mv_data, value.mv_size, out))
        return cache_is_corrupt(c, "a promise", e);
    return 0;
}

int cache_get_promise(struct cache *c, const char *scope, struct promise *out, struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    struct kept_promise kept;
    int rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn);

    if (rc)
        return cache_trouble(c, "reading", rc, e);
    if (get_kept(c, txn, scope, &kept, e))
        return -1;
    *out = kept.promise;
    return 0;
}

static int put_promise(struct cache *c, MDB_txn *txn, const char *scope,
                       const struct promise *promise, struct err *e)
{
    SCOPED_BUFFER struct buffer record = { 0 };
    struct kept_promise kept;

    if (get_kept(c, txn, scope, &kept, e))
        return -1;
    if (!hash_equal(&kept.promise.active.hash, &promise->active.hash))
        kept.previous = kept.promise.active;
    kept.promise = *promise;
    record_put_promise(&record, &kept);
    return put_record(c, txn, c->promises, cache_val_text(scope), &record, e);
}

static void outbox_key(uint64_t id, uint8_t out[8])
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(id >> (56 - 8 * i)); /* big-endian: LMDB sorts by bytes */
}

static int put_ack(struct cache *c, MDB_txn *txn, const struct cache_save *save,
                   struct agent_facts *facts, struct err *e)
{
    SCOPED_BUFFER struct buffer record = { 0 };
    uint8_t key[8];

    outbox_key(facts->next_outbox_id++, key);
    record_put_bytes(&record, save->ack, save->ack_size);
    if (put_record(c, txn, c->outbox, cache_val(key, sizeof(key)), &record, e) ||
        put_facts(c, txn, facts, e))
        return -1;
    for (unsigned i = 0; i < save->scope_count; i++)
        if (put_record(c, txn, c->answers, cache_val_text(save->scopes[i]), &record, e))
            return -1;
    return 0;
}

static int put_decision(struct cache *c, MDB_txn *txn, const struct cache_save *save,
                        struct err *e)
{
    SCOPED_BUFFER struct buffer record = { 0 };

    record_put_bytes(&record, save->decision, save->decision_size);
    return put_record(c, txn, c->facts_dbi, cache_val_text(DECISION_KEY), &record, e);
}

int cache_save(struct cache *c, const struct cache_save *save, struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    struct agent_facts facts = c->facts;
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    if (rc)
        return cache_trouble(c, "saving", rc, e);
    for (unsigned i = 0; i < save->scope_count; i++)
        if (put_promise(c, txn, save->scopes[i], save->promises[i], e))
            return -1;
    if (save->ack && put_ack(c, txn, save, &facts, e))
        return -1;
    if (save->decision && put_decision(c, txn, save, e))
        return -1;
    if (cache_collect_garbage(c, txn, save, e) || cache_commit(c, &txn, "saving", e))
        return -1;
    c->facts = facts;
    return 0;
}

static int get_bytes(struct cache *c, MDB_dbi dbi, const char *name, struct buffer *out,
                     struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    MDB_val key = cache_val_text(name), value;
    size_t size;
    int rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn);

    if (!rc)
        rc = mdb_get(txn, dbi, &key, &value);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc)
        return cache_trouble(c, "reading", rc, e);
    if (record_get_bytes(value.mv_data, value.mv_size, &size))
        return cache_is_corrupt(c, "a record", e);
    buffer_add(out, value.mv_data, size);
    return 0;
}

int cache_get_answer(struct cache *c, const char *scope, struct buffer *out, struct err *e)
{
    return get_bytes(c, c->answers, scope, out, e);
}

int cache_get_decision(struct cache *c, struct buffer *out, struct err *e)
{
    return get_bytes(c, c->facts_dbi, DECISION_KEY, out, e);
}

int cache_outbox(struct cache *c, cache_visit_fn *visit, void *ctx, struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    SCOPED(cursor_close) MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn);

    if (!rc)
        rc = mdb_cursor_open(txn, c->outbox, &cursor);
    while (!rc && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        const uint8_t *bytes = key.mv_data;
        uint64_t id = 0;
        size_t size;

        if (key.mv_size != 8 || record_get_bytes(value.mv_data, value.mv_size, &size))
            return cache_is_corrupt(c, "an acknowledgement", e);
        for (unsigned i = 0; i < 8; i++)
            id = id << 8 | bytes[i];
        visit(ctx, id, value.mv_data, size);
    }
    return rc == MDB_NOTFOUND ? 0 : cache_trouble(c, "reading the outbox", rc, e);
}

int cache_receipt(struct cache *c, const uint64_t *ids, unsigned count, struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    for (unsigned i = 0; !rc && i < count; i++) {
        uint8_t bytes[8];
        MDB_val key = cache_val(bytes, sizeof(bytes));

        outbox_key(ids[i], bytes);
        rc = mdb_del(txn, c->outbox, &key, NULL);
        if (rc == MDB_NOTFOUND)
            rc = 0;
    }
    return rc ? cache_trouble(c, "receipting", rc, e) : cache_commit(c, &txn, "receipting", e);
}
