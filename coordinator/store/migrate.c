/* migrate.c - apply the numbered SQL files that this database has not seen yet. */
#include "coordinator/store/migrate.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/wire/wire.h"
#include "coordinator/store/advisory.h"
#include "coordinator/store/pg.h"

#define LOCK "SELECT pg_advisory_lock(" ADVISORY_MIGRATION ")"
#define UNLOCK "SELECT pg_advisory_unlock(" ADVISORY_MIGRATION ")"

static int number_of(const struct migration_text *text)
{
    char *end;
    long number = strtol(text->name, &end, 10);

    MUST(number > 0 && number <= INT32_MAX && *end == '_');
    return (int)number;
}

static struct hash digest_of(const struct migration_text *text)
{
    struct hash hash;

    digest_sha256(text->at, (size_t)(text->end - text->at), &hash);
    return hash;
}

/* 1: applied already with these bytes; 0: not yet. */
static int is_applied(struct pg *pg, const struct migration_text *text, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct hash now = digest_of(text), then;

    if (PG_QUERY(pg, "SELECT encode(sha256, 'hex') FROM migration WHERE number = $1", &rows, e,
                 PARAM_INT(number_of(text))))
        return -1;
    if (rows_count(rows) == 0)
        return 0;
    then = rows_hash(rows, 0, 0);
    if (!hash_equal(&now, &then))
        return err_set(e, ERR_CORRUPT,
                       "migration %s was applied with other bytes than this program has: start the "
                       "program that belongs to this database, or one that adds a new number",
                       text->name);
    return 1;
}

static int apply(struct pg *pg, const struct migration_text *text, struct err *e)
{
    struct hash hash = digest_of(text);

    if (pg_exec(pg, "BEGIN; SET LOCAL statement_timeout = 0", e) || pg_exec(pg, text->at, e) ||
        PG_QUERY(pg, "INSERT INTO migration (number, name, sha256) VALUES ($1, $2, $3)", NULL, e,
                 PARAM_INT(number_of(text)), PARAM_TEXT(text->name),
                 PARAM_BYTES(hash.bytes, HASH_SIZE)) ||
        pg_exec(pg, "COMMIT", e)) {
        pg_rollback(pg);
        return err_wrap(e, "migration %s", text->name);
    }
    log_info("migration applied", "name", text->name);
    return 0;
}

/* A database that a newer program has migrated must not be touched by an older one. */
static int refuse_newer(struct pg *pg, const struct migration_text *texts, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    int last = 0;

    for (; texts->name; texts++)
        last = number_of(texts);
    if (PG_QUERY(pg, "SELECT name FROM migration WHERE number > $1 ORDER BY number LIMIT 1", &rows,
                 e, PARAM_INT(last)))
        return -1;
    if (rows_count(rows) == 0)
        return 0;
    return err_set(e, ERR_CORRUPT,
                   "the database has migration %s, which this program does not know: start a newer "
                   "lockstepd",
                   rows_text(rows, 0, 0));
}

static int name_cluster(struct pg *pg, struct err *e)
{
    uint8_t id[WIRE_CLUSTER_ID_SIZE];

    MUST(getrandom(id, sizeof(id), 0) == (ssize_t)sizeof(id));
    return PG_QUERY(pg, "INSERT INTO cluster (cluster_id) VALUES ($1) ON CONFLICT DO NOTHING", NULL,
                    e, PARAM_BYTES(id, sizeof(id)));
}

static int migrate_locked(struct pg *pg, const struct migration_text *texts, struct err *e)
{
    if (pg_exec(pg,
                "CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY,"
                " name text NOT NULL, sha256 bytea NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now())",
                e) ||
        refuse_newer(pg, texts, e))
        return -1;
    for (const struct migration_text *text = texts; text->name; text++) {
        int status = is_applied(pg, text, e);

        if (status < 0 || (status == 0 && apply(pg, text, e)))
            return -1;
    }
    return name_cluster(pg, e);
}

int migrate_with(struct pg *pg, const struct migration_text *texts, struct err *e)
{
    struct err ignored;
    int status;

    if (pg_exec(pg, LOCK, e))
        return err_wrap(e, "wait for another coordinator's migration");
    status = migrate_locked(pg, texts, e);
    if (!pg_is_broken(pg) && pg_exec(pg, UNLOCK, &ignored))
        log_warn("migration lock was not given back", "reason", ignored.text);
    return status;
}

int migrate(struct pg *pg, struct err *e)
{
    return migrate_with(pg, migration_texts, e);
}
