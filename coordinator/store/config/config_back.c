/* config_back.c - statements that write old content again: going back, drafts put back on top. */
#include "coordinator/store/config/config_internal.h"

#include "common/crypto/hash.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/config/inherit.h"

/* ---------------------------------------------------------------- copies */

int config_append_copies(struct pg *pg, const struct scope *scope,
                         const struct config_copies *copies, size_t *count_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "INSERT INTO config_version (scope_id, key, version, revision, is_deleted, "
                 "value_type, value, description, change_description, created_by, origin_id, "
                 "copy_of) "
                 "SELECT $1, k.key, n.version + 1, $4, coalesce(t.is_deleted, true), "
                 "coalesce(t.value_type, n.value_type), coalesce(t.value, ''), "
                 "coalesce(t.description, n.description), $5, "
                 "CASE WHEN $9 THEN coalesce(t.created_by, $6) ELSE $6 END, t.origin_id, "
                 "coalesce(t.copy_of, t.version) "
                 "FROM (SELECT DISTINCT key FROM config_version WHERE scope_id = $1 "
                 "      AND revision > $2 AND revision <= $7 "
                 "      AND ($8::text[] IS NULL OR key <> ALL ($8))) k "
                 "JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
                 "      AND v.key = k.key ORDER BY v.revision DESC LIMIT 1) n ON true "
                 "LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
                 "      AND v.key = k.key AND v.revision <= $3 "
                 "      ORDER BY v.revision DESC LIMIT 1) t ON true "
                 "WHERE n.is_deleted <> coalesce(t.is_deleted, true) "
                 "   OR (NOT n.is_deleted AND ((n.value_type, n.value) <> (t.value_type, t.value) "
                 "    OR n.origin_id IS DISTINCT FROM t.origin_id)) RETURNING 1",
                 &rows, e, PARAM_INT(scope->scope_id), PARAM_INT(copies->since),
                 PARAM_INT(copies->target), PARAM_INT(scope->head + 1),
                 PARAM_TEXT(copies->description), PARAM_TEXT(copies->actor),
                 PARAM_INT(copies->until), copies->keys,
                 PARAM_BOOL(copies->is_keeping_authors)) < 0)
        return -1;
    *count_out = rows_count(rows);
    return 0;
}

int config_find_drafts(struct pg *pg, const struct scope *scope,
                       const struct config_copies *copies, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT k.key FROM unnest($4::text[]) AS k (key) "
                    "JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
                    " AND v.key = k.key AND v.revision > $2 AND v.revision <= $3 "
                    " ORDER BY v.revision DESC LIMIT 1) n ON true "
                    "LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
                    " AND v.key = k.key AND v.revision <= $2 "
                    " ORDER BY v.revision DESC LIMIT 1) t ON true "
                    "WHERE n.is_deleted <> coalesce(t.is_deleted, true) OR (NOT n.is_deleted "
                    " AND (n.value_type, n.value) <> (t.value_type, t.value)) "
                    "ORDER BY k.key COLLATE \"C\"",
                    out, e, PARAM_INT(scope->scope_id), PARAM_INT(copies->since),
                    PARAM_INT(copies->until), copies->keys);
}

int config_append_copied_revision(struct pg *pg, struct scope *scope,
                                  const struct config_revision *r, struct err *e)
{
    struct config_revision first = *r;
    struct hash hash;
    size_t size;

    first.size = 2;
    if (config_append_revision(pg, scope, &first, e) < 0 ||
        revision_document(pg, scope->scope_id, scope->head, &hash, NULL, &size, e) < 0)
        return -1;
    return PG_QUERY(pg, "UPDATE revision SET size = $3 WHERE scope_id = $1 AND revision = $2", NULL,
                    e, PARAM_INT(scope->scope_id), PARAM_INT(scope->head),
                    PARAM_INT(size ? size : 2)); /* "{}" */
}

/* ---------------------------------------------------------------- going back */

/* A revision equal to copies->target, and one with what was written after drafts_since on top. */
static int go_back(struct pg *pg, struct scope *scope, struct config_copies *copies,
                   uint64_t drafts_since, int64_t takes_back, bool *is_changed,
                   uint64_t *revision_out, struct err *e)
{
    struct config_revision revision = { .actor = copies->actor,
                                        .description = copies->description,
                                        .takes_back = takes_back };
    uint64_t old_head = scope->head;
    size_t count;

    if (config_append_copies(pg, scope, copies, &count, e) < 0)
        return -1;
    *is_changed = count > 0;
    *revision_out = scope->head;
    if (!count)
        return 0;
    if (config_append_copied_revision(pg, scope, &revision, e) < 0)
        return -1;
    *revision_out = scope->head;
    copies->since = drafts_since;
    copies->target = old_head;
    copies->description = revision.description = CONFIG_DRAFTS_PUT_BACK;
    copies->is_keeping_authors = true;
    revision.takes_back = 0;
    if (drafts_since < old_head && config_append_copies(pg, scope, copies, &count, e) < 0)
        return -1;
    if (drafts_since < old_head && count &&
        config_append_copied_revision(pg, scope, &revision, e) < 0)
        return -1;
    return inherit_spread(pg, scope, old_head, copies->actor, e);
}

int config_revert(struct pg *pg, struct scope *scope, uint64_t target, bool is_keeping_drafts,
                  const char *actor, const char *description, uint64_t *revision_out,
                  bool *is_changed, struct err *e)
{
    struct config_copies copies = { .since = target,
                                    .until = scope->head,
                                    .target = target,
                                    .actor = actor,
                                    .description = description };

    /* Put back is what was written after the servers' revision. */
    return go_back(pg, scope, &copies, is_keeping_drafts ? scope->settled : scope->head, 0,
                   is_changed, revision_out, e);
}

/* Copies, and the revision that they are in, when there are any. */
static int append_step(struct pg *pg, struct scope *scope, const struct config_copies *copies,
                       size_t *count, struct err *e)
{
    const struct config_revision revision = { .actor = copies->actor,
                                              .description = copies->description };

    if (config_append_copies(pg, scope, copies, count, e) < 0)
        return -1;
    return *count ? config_append_copied_revision(pg, scope, &revision, e) : 0;
}

/* Drafts are set aside, the keys go back, and the drafts come on top again. */
int config_revert_keys(struct pg *pg, struct scope *scope, uint64_t from, uint64_t to,
                       const char *actor, const char *description, uint64_t *revision_out,
                       bool *is_changed, struct err *e)
{
    uint64_t old_head = scope->head;
    struct config_copies aside = { .since = scope->settled,
                                   .until = old_head,
                                   .target = scope->settled,
                                   .actor = actor,
                                   .description = "drafts set aside" };
    struct config_copies back = { .since = from,
                                  .until = to,
                                  .target = from,
                                  .actor = actor,
                                  .description = description };
    struct config_copies drafts = aside;
    size_t count, changed;

    if ((old_head > scope->settled && append_step(pg, scope, &aside, &count, e) < 0) ||
        append_step(pg, scope, &back, &changed, e) < 0)
        return -1;
    *is_changed = changed > 0;
    *revision_out = scope->head;
    drafts.target = old_head;
    drafts.description = CONFIG_DRAFTS_PUT_BACK;
    drafts.is_keeping_authors = true;
    if (old_head > scope->settled && append_step(pg, scope, &drafts, &count, e) < 0)
        return -1;
    return scope->head > old_head ? inherit_spread(pg, scope, old_head, actor, e) : 0;
}

int config_take_back(struct pg *pg, struct scope *scope, uint64_t to_revision, int64_t rollout_id,
                     const char *description, uint64_t *revision_out, bool *is_changed,
                     struct err *e)
{
    struct config_copies copies = { .since = scope->settled,
                                    .until = scope->head,
                                    .target = scope->settled,
                                    .actor = "lockstepd",
                                    .description = description };

    return go_back(pg, scope, &copies, to_revision, rollout_id, is_changed, revision_out, e);
}
