/* transaction.c - begins, commits and rolls back what somebody does. */
#include "coordinator/store/transaction.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/invariant.h"
#include "coordinator/store/pg.h"

static void leave(struct transaction *t)
{
    t->pg = NULL;
    trail_fini(&t->trail);
}

int transaction_begin(struct transaction *t, struct pg *pg, struct actor by, struct err *e)
{
    if (pg_exec(pg, "BEGIN; SET LOCAL lock_timeout = '5s'", e) < 0) {
        pg_rollback(pg);
        return -1;
    }
    t->pg = pg;
    t->by = by;
    return 0;
}

void transaction_note_revision(struct transaction *t, const struct audit_entry *entry,
                               struct json_t *data, uint64_t revision)
{
    struct audit_entry full = *entry;
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;

    MUST(!data || text);
    json_decref(data);
    if (!full.actor) {
        full.actor = t->by.name;
        full.address = t->by.address;
    }
    full.data = text;
    trail_note_revision(&t->trail, &full, revision);
    free(text);
}

void transaction_note(struct transaction *t, const struct audit_entry *entry, struct json_t *data)
{
    transaction_note_revision(t, entry, data, 0);
}

int transaction_commit(struct transaction *t, struct err *e)
{
    if (trail_write(t->pg, &t->trail, e) < 0 || pg_exec(t->pg, "COMMIT", e) < 0)
        return -1;
    leave(t);
    return 0;
}

int transaction_keep(struct transaction *t, struct err *e)
{
    if (pg_exec(t->pg, "SAVEPOINT kept", e) < 0)
        return -1;
    t->is_kept = true;
    t->kept_count = t->trail.count;
    return 0;
}

/* -1: nothing of it can be told in the trail any more, or the connection is gone. */
static int commit_kept(struct transaction *t)
{
    struct err e;

    if (t->trail.count < t->kept_count || pg_is_broken(t->pg) ||
        pg_exec(t->pg, "ROLLBACK TO kept", &e) < 0)
        return -1;
    trail_cut(&t->trail, t->kept_count);
    return trail_write(t->pg, &t->trail, &e) < 0 ? -1 : pg_exec(t->pg, "COMMIT", &e);
}

void transaction_close_scoped(struct transaction *t)
{
    if (!t->pg)
        return;
    if (!t->is_kept || commit_kept(t) < 0)
        pg_rollback(t->pg);
    leave(t);
}
