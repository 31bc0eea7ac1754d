/* cache_open.c - opening the cache: the folder, the lock, and the proof that nothing is damaged. */
#include "agent/cache/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cache/cache_internal.h"
#include "agent/disk/disk.h"
#include "common/invariant.h"
#include "common/memory.h"

#define TABLES_MAX 16

static int open_tables(struct cache *c, unsigned env_flags, unsigned table_flags, struct err *e)
{
    struct {
        const char *name;
        MDB_dbi *dbi;
    } tables[] = { { "promises", &c->promises }, { "documents", &c->documents },
                   { "outbox", &c->outbox }, { "answers", &c->answers },
                   { "facts", &c->facts_dbi }, { "secrets", &c->secrets } };
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(c->env, NULL, env_flags, &txn);

    for (size_t i = 0; !rc && i < sizeof(tables) / sizeof(tables[0]); i++)
        rc = mdb_dbi_open(txn, tables[i].name, table_flags, tables[i].dbi);
    return rc ? cache_trouble(c, "opening the tables", rc, e) : cache_commit(c, &txn, "opening", e);
}

/* Touch every page of every table: what is damaged shows here. For a process that may die of it. */
static int walk(const char *folder, size_t map_size)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_cursor *tables, *rows;
    MDB_dbi main_dbi, dbi;
    MDB_val name, key, value;
    volatile unsigned sum = 0;
    int rc;

    if (mdb_env_create(&env) || mdb_env_set_mapsize(env, map_size) ||
        mdb_env_set_maxdbs(env, TABLES_MAX) ||
        mdb_env_open(env, folder, MDB_RDONLY, 0600) ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) || mdb_dbi_open(txn, NULL, 0, &main_dbi) ||
        mdb_cursor_open(txn, main_dbi, &tables))
        return 1;
    while ((rc = mdb_cursor_get(tables, &name, &value, MDB_NEXT)) == 0) {
        char text[32];

        snprintf(text, sizeof(text), "%.*s", (int)name.mv_size, (const char *)name.mv_data);
        if (mdb_dbi_open(txn, text, 0, &dbi) || mdb_cursor_open(txn, dbi, &rows))
            return 1;
        while ((rc = mdb_cursor_get(rows, &key, &value, MDB_NEXT)) == 0)
            for (size_t i = 0; i < value.mv_size; i += 512)
                sum += ((const uint8_t *)value.mv_data)[i];
        if (rc != MDB_NOTFOUND)
            return 1;
    }
    (void)sum;
    return rc == MDB_NOTFOUND ? 0 : 1;
}

/* LMDB reads through a memory map: a truncated file ends its reader with SIGBUS. */
static int try_in_child(const struct cache *c, size_t map_size, struct err *e)
{
    char file[PATH_MAX + 16];
    int status = 0;
    pid_t child;

    snprintf(file, sizeof(file), "%s/data.mdb", c->folder);
    if (access(file, F_OK) != 0)
        return 0;
    child = fork();
    if (child < 0)
        return err_set(e, ERR_SYSTEM, "checking %s: fork: %s", c->folder, strerror(errno));
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);

        if (null >= 0)
            dup2(null, STDERR_FILENO);
        _exit(walk(c->folder, map_size));
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return cache_is_corrupt(c, "the database", e);
}

static int lock_folder(struct cache *c, const char *state_dir, struct err *e)
{
    char path[PATH_MAX + 16];

    if (disk_make_folder(state_dir, 0700, e))
        return -1;
    if (snprintf(c->folder, sizeof(c->folder), "%s", state_dir) >= (int)sizeof(c->folder))
        return err_set(e, ERR_INVALID, "the path of the state folder is too long");
    snprintf(path, sizeof(path), "%s/lock", state_dir);
    c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (c->lock_fd < 0)
        return err_set(e, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    if (flock(c->lock_fd, LOCK_EX | LOCK_NB))
        return err_set(e, ERR_CONFLICT, "another agent runs with the state folder %s", state_dir);
    return 0;
}

static int load_facts(struct cache *c, MDB_txn *txn, struct err *e)
{
    MDB_val key = cache_val_text(CACHE_FACTS_KEY), value;
    int rc = mdb_get(txn, c->facts_dbi, &key, &value);

    c->facts.next_outbox_id = 1;
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc)
        return cache_trouble(c, "reading", rc, e);
    if (record_get_facts(value.mv_data, value.mv_size, &c->facts))
        return cache_is_corrupt(c, "the record of the agent's facts", e);
    return 0;
}

static bool is_sound(const struct cache *c, MDB_dbi dbi, const MDB_val *value)
{
    struct kept_promise kept;
    size_t size;

    if (dbi == c->promises)
        return record_get_promise(value->mv_data, value->mv_size, &kept) == 0;
    return record_get_bytes(value->mv_data, value->mv_size, &size) == 0;
}

static int verify_table(struct cache *c, MDB_txn *txn, MDB_dbi dbi, const char *what,
                        struct err *e)
{
    SCOPED(cursor_close) MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, dbi, &cursor);

    while (!rc && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        if (!is_sound(c, dbi, &value))
            return cache_is_corrupt(c, what, e);
    return rc == MDB_NOTFOUND ? 0 : cache_trouble(c, "verifying", rc, e);
}

static int drop_bad_documents(struct cache *c, MDB_txn *txn, struct err *e)
{
    SCOPED(cursor_close) MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, c->documents, &cursor);

    while (!rc && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        if (cache_document_fits(&key, &value))
            continue;
        c->corrupt_count++;
        rc = mdb_cursor_del(cursor, 0);
    }
    return rc == MDB_NOTFOUND ? 0 : cache_trouble(c, "verifying documents", rc, e);
}

static int verify(struct cache *c, struct err *e)
{
    SCOPED(txn_abort) MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    if (rc)
        return cache_trouble(c, "verifying", rc, e);
    if (load_facts(c, txn, e) || verify_table(c, txn, c->promises, "a promise", e) ||
        verify_table(c, txn, c->outbox, "an acknowledgement", e) ||
        verify_table(c, txn, c->answers, "an answer", e) || drop_bad_documents(c, txn, e) ||
        cache_drop_bad_secrets(c, txn, e))
        return -1;
    return cache_commit(c, &txn, "verifying", e);
}

static int open_env(struct cache *c, size_t map_size, unsigned flags, struct err *e)
{
    int rc = mdb_env_create(&c->env);

    MUST(rc == 0);
    rc = mdb_env_set_mapsize(c->env, map_size);
    if (!rc)
        rc = mdb_env_set_maxdbs(c->env, TABLES_MAX);
    if (!rc)
        rc = mdb_env_open(c->env, c->folder, flags, 0600);
    if (rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_VERSION_MISMATCH)
        return cache_is_corrupt(c, "the database", e);
    return rc ? cache_trouble(c, "opening the database", rc, e) : 0;
}

int cache_open(const char *state_dir, size_t map_size, struct cache **out, struct err *e)
{
    struct cache *c = memory_new(sizeof(*c));

    c->lock_fd = -1;
    if (!map_size)
        map_size = CACHE_MAP_SIZE;
    if (lock_folder(c, state_dir, e) || try_in_child(c, map_size, e) ||
        open_env(c, map_size, 0, e) || open_tables(c, 0, MDB_CREATE, e) || verify(c, e)) {
        cache_close(c);
        return -1;
    }
    *out = c;
    return 0;
}

int cache_peek(const char *state_dir, struct cache **out, struct err *e)
{
    struct cache *c = memory_new(sizeof(*c));

    c->lock_fd = -1;
    snprintf(c->folder, sizeof(c->folder), "%s", state_dir);
    if (open_env(c, CACHE_MAP_SIZE, MDB_RDONLY, e) || open_tables(c, MDB_RDONLY, 0, e)) {
        cache_close(c);
        return -1;
    }
    *out = c;
    return 0;
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    if (c->env)
        mdb_env_close(c->env);
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    free(c);
}
