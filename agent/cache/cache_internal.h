/* cache_internal.h - what the files of the cache share among themselves; nobody else includes it. */
#ifndef AGENT_CACHE_CACHE_INTERNAL_H
#define AGENT_CACHE_CACHE_INTERNAL_H

#include <limits.h>
#include <lmdb.h>
#include <stdbool.h>
#include <string.h>

#include "agent/cache/cache.h"
#include "common/scoped.h"

struct cache {
    MDB_env *env;
    MDB_dbi promises, documents, outbox, answers, facts_dbi, secrets;
    char folder[PATH_MAX];
    int lock_fd;
    unsigned corrupt_count;
    struct agent_facts facts;
};

#define CACHE_FACTS_KEY "facts"

/* A cursor of a writing transaction must be gone before the transaction is: keep cursors in
 * functions of their own. */
static inline void txn_abort_scoped(MDB_txn **txn)
{
    if (*txn)
        mdb_txn_abort(*txn);
}

static inline void cursor_close_scoped(MDB_cursor **cursor)
{
    if (*cursor)
        mdb_cursor_close(*cursor);
}

static inline MDB_val cache_val(const void *data, size_t size)
{
    return (MDB_val){ .mv_size = size, .mv_data = (void *)(uintptr_t)data };
}

static inline MDB_val cache_val_text(const char *text)
{
    return cache_val(text, strlen(text));
}

/* -1 with the sentence for an LMDB code or errno; full disks have the code "nospace". */
int cache_trouble(const struct cache *c, const char *what, int rc, struct err *e);
int cache_is_corrupt(const struct cache *c, const char *what, struct err *e);
/* Takes the transaction, whatever comes of it. */
int cache_commit(struct cache *c, MDB_txn **txn, const char *what, struct err *e);
/* Blocks for what is used, `extra` bytes more and the small transactions that follow. */
int cache_reserve(struct cache *c, size_t extra, struct err *e);
bool cache_document_fits(const MDB_val *key, const MDB_val *value);
/* Within the transaction of a save: drop the documents that no promise names. */
int cache_collect_garbage(struct cache *c, MDB_txn *txn, const struct cache_save *save,
                          struct err *e);

/* Within the transaction of opening: drop records of secrets that are damaged. */
int cache_drop_bad_secrets(struct cache *c, MDB_txn *txn, struct err *e);

#endif
