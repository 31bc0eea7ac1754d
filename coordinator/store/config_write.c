/* config_write.c - statements that append versions and make revisions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/hash.h"
#include "common/invariant.h"
#include "coordinator/store/config.h"
#include "coordinator/store/documents.h"
#include "coordinator/store/pg.h"

void config_result_fini(struct config_result *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->outcomes[i].value);
        free(r->outcomes[i].old_value);
        free(r->outcomes[i].description);
    }
    free(r->outcomes);
    memset(r, 0, sizeof(*r));
}

static char *copy(const char *text)
{
    char *c = strdup(text);

    MUST(c);
    return c;
}

/* ---------------------------------------------------------------- what is there */

/* The head's versions of the keys that a write names, in the order of the changes. */
static int read_present(struct pg *pg, const struct scope *scope, const struct config_write *write,
                        struct rows **out, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    const char **keys = calloc(write->count + 1, sizeof(*keys));
    int rc;

    MUST(keys);
    for (size_t i = 0; i < write->count; i++)
        keys[i] = write->changes[i].key;
    rc = PG_QUERY(pg,
                  "SELECT v.version, v.is_deleted, v.value_type, v.value, v.description "
                  "FROM unnest($2::text[]) WITH ORDINALITY AS k (key, place) "
                  "LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
                  " AND v.key = k.key ORDER BY v.revision DESC LIMIT 1) v ON true "
                  "ORDER BY k.place",
                  out, e, PARAM_INT(scope->scope_id), pg_array_text(keys, write->count, &memory));
    free(keys);
    return rc;
}

static int take_present(const struct rows *rows, size_t i, struct config_outcome *o, struct err *e)
{
    o->version = (uint64_t)rows_int(rows, i, 0);
    o->type = VALUE_STRING;
    o->description = copy(rows_text(rows, i, 4));
    if (o->version == 0)
        return 0;
    if (value_type_parse(rows_text(rows, i, 2), &o->type, e) < 0)
        return -1;
    o->was_present = !rows_bool(rows, i, 1);
    o->old_type = o->type;
    if (o->was_present)
        o->old_value = copy(rows_text(rows, i, 3));
    return 0;
}

/* ---------------------------------------------------------------- judging one change */

static int check_version(const struct config_change *c, const struct config_outcome *o,
                         struct config_result *result, struct err *e)
{
    int64_t wanted = c->expected_version;
    bool is_so = wanted == 0 ? !o->was_present : wanted == (int64_t)o->version;

    if (wanted == CONFIG_MUST_EXIST)
        is_so = o->was_present;
    if (wanted == CONFIG_ANY_VERSION || is_so)
        return 0;
    result->current_version = o->version;
    if (wanted == CONFIG_MUST_EXIST)
        return err_set(e, ERR_STALE, "%.200s does not exist", c->key);
    return err_code(e, c->is_if_match ? ERR_STALE : ERR_CONFLICT,
                    c->is_if_match ? NULL : "version_conflict",
                    "%.200s is at version %llu, not %lld: someone else changed it first", c->key,
                    (unsigned long long)o->version, (long long)wanted);
}

static void note_problem(struct config_result *result, size_t change, const struct err *e)
{
    if (result->problem_count == CONFIG_PROBLEMS_MAX)
        return;
    result->problems[result->problem_count].change = change;
    snprintf(result->problems[result->problem_count++].detail, sizeof(result->problems[0].detail),
             "%.255s", e->text);
}

/* 0 also when there is a problem with the field: those are gathered. */
static int judge(const struct config_change *c, size_t index, struct config_outcome *o,
                 struct config_result *result, struct err *e)
{
    enum value_type own = o->type;

    if (check_version(c, o, result, e) < 0)
        return -1;
    if (c->is_delete) {
        o->is_changed = o->was_present;
        return 0;
    }
    if (c->is_typed)
        o->type = c->type;
    else if (!o->was_present)
        o->type = VALUE_STRING;
    if (document_check_key(c->key, strlen(c->key), e) < 0 ||
        value_normalize(o->type, c->text, c->size, &o->value, e) < 0) {
        note_problem(result, index, e);
        return e->kind == ERR_INVALID || e->kind == ERR_MALFORMED ? 0 : -1;
    }
    o->is_changed = !o->was_present || own != o->type || strcmp(o->value, o->old_value) != 0 ||
                    (c->description && strcmp(c->description, o->description) != 0);
    if (c->description) {
        free(o->description);
        o->description = copy(c->description);
    }
    return 0;
}

/* ---------------------------------------------------------------- appending */

/* Bytes that an entry has in the canonical document, its comma included. */
static int entry_size(const char *key, enum value_type type, const char *value, int64_t *out,
                      struct err *e)
{
    SCOPED(document_free) struct document *d = document_new();
    struct hash hash;
    char *bytes;
    size_t size;

    if (document_set(d, key, type, value, e) < 0 || document_encode(d, &bytes, &size, &hash, e) < 0)
        return -1;
    free(bytes);
    *out = (int64_t)size - 2 + 1;
    return 0;
}

static int size_difference(const struct config_change *c, const struct config_outcome *o,
                           int64_t *size, struct err *e)
{
    int64_t entry;

    if (o->old_value) {
        if (entry_size(c->key, o->old_type, o->old_value, &entry, e) < 0)
            return -1;
        *size -= entry;
    }
    if (o->value) {
        if (entry_size(c->key, o->type, o->value, &entry, e) < 0)
            return -1;
        *size += entry;
    }
    return 0;
}

static int append_version(struct pg *pg, const struct scope *scope,
                          const struct config_write *write, const struct config_change *c,
                          struct config_outcome *o, struct err *e)
{
    o->version++;
    return PG_QUERY(pg,
                    "INSERT INTO config_version (scope_id, key, version, revision, is_deleted, "
                    "value_type, value, description, change_description, created_by) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                    NULL, e, PARAM_INT(scope->scope_id), PARAM_TEXT(c->key), PARAM_INT(o->version),
                    PARAM_INT(scope->head + 1), PARAM_BOOL(c->is_delete),
                    PARAM_TEXT(value_type_name(o->type)), PARAM_TEXT(o->value ? o->value : ""),
                    PARAM_TEXT(o->description), PARAM_TEXT(write->change_description),
                    PARAM_TEXT(write->actor));
}

/* The row of the next revision, and the head that names it. */
static int append_revision(struct pg *pg, struct scope *scope, int64_t size, const char *actor,
                           const char *description, struct err *e)
{
    if (PG_QUERY(pg,
                 "INSERT INTO revision (scope_id, revision, size, created_by, description) "
                 "VALUES ($1, $2, $3, $4, $5)",
                 NULL, e, PARAM_INT(scope->scope_id), PARAM_INT(scope->head + 1), PARAM_INT(size),
                 PARAM_TEXT(actor), PARAM_TEXT(description)) < 0 ||
        PG_QUERY(pg, "UPDATE scope SET head = $2 WHERE scope_id = $1", NULL, e,
                 PARAM_INT(scope->scope_id), PARAM_INT(scope->head + 1)) < 0)
        return -1;
    scope->head++;
    return 0;
}

static int head_size(struct pg *pg, const struct scope *scope, int64_t *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT size FROM revision WHERE scope_id = $1 AND revision = $2", &rows, e,
                 PARAM_INT(scope->scope_id), PARAM_INT(scope->head)) < 0)
        return -1;
    *out = rows_count(rows) ? rows_int(rows, 0, 0) : 2;
    return 0;
}

static int append_all(struct pg *pg, struct scope *scope, const struct config_write *write,
                      struct config_result *result, struct err *e)
{
    bool is_changed = false;
    int64_t size;

    if (head_size(pg, scope, &size, e) < 0)
        return -1;
    for (size_t i = 0; i < write->count; i++) {
        struct config_outcome *o = &result->outcomes[i];

        if (!o->is_changed)
            continue;
        is_changed = true;
        if (size_difference(&write->changes[i], o, &size, e) < 0 ||
            append_version(pg, scope, write, &write->changes[i], o, e) < 0)
            return -1;
    }
    if (!is_changed)
        return 0;
    if (size > (int64_t)DOCUMENT_SIZE_MAX)
        return err_set(e, ERR_TOO_LARGE,
                       "the document of %s/%s would have %lld bytes; %u are allowed",
                       scope->service, scope->environment, (long long)size, DOCUMENT_SIZE_MAX);
    if (append_revision(pg, scope, size, write->actor, write->change_description, e) < 0)
        return -1;
    result->revision = scope->head;
    return 0;
}

int config_write(struct pg *pg, struct scope *scope, const struct config_write *write,
                 struct config_result *result, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    memset(result, 0, sizeof(*result));
    if (read_present(pg, scope, write, &rows, e) < 0)
        return -1;
    result->count = write->count;
    result->outcomes = calloc(write->count + 1, sizeof(*result->outcomes));
    MUST(result->outcomes);
    for (size_t i = 0; i < write->count; i++)
        if (take_present(rows, i, &result->outcomes[i], e) < 0 ||
            judge(&write->changes[i], i, &result->outcomes[i], result, e) < 0)
            return -1;
    if (result->problem_count)
        return err_set(e, ERR_INVALID, "%s", result->problems[0].detail);
    return append_all(pg, scope, write, result, e);
}

/* ---------------------------------------------------------------- going back */

/* Versions in the next revision that bring the keys written after `since`, up to `until`, to what
 * they were at `target`. Compared with the newest version of each key, so that it can follow
 * itself. */
static int append_copies(struct pg *pg, const struct scope *scope, uint64_t since, uint64_t until,
                         uint64_t target, const char *actor, const char *description,
                         size_t *count_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "INSERT INTO config_version (scope_id, key, version, revision, is_deleted, "
                 "value_type, value, description, change_description, created_by) "
                 "SELECT $1, k.key, n.version + 1, $4, coalesce(t.is_deleted, true), "
                 "coalesce(t.value_type, n.value_type), coalesce(t.value, ''), "
                 "coalesce(t.description, n.description), $5, $6 "
                 "FROM (SELECT DISTINCT key FROM config_version "
                 "      WHERE scope_id = $1 AND revision > $2 AND revision <= $7) k "
                 "JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
                 "      AND v.key = k.key ORDER BY v.revision DESC LIMIT 1) n ON true "
                 "LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
                 "      AND v.key = k.key AND v.revision <= $3 "
                 "      ORDER BY v.revision DESC LIMIT 1) t ON true "
                 "WHERE n.is_deleted <> coalesce(t.is_deleted, true) "
                 "   OR (NOT n.is_deleted AND (n.value_type, n.value) <> (t.value_type, t.value)) "
                 "RETURNING 1",
                 &rows, e, PARAM_INT(scope->scope_id), PARAM_INT(since), PARAM_INT(target),
                 PARAM_INT(scope->head + 1), PARAM_TEXT(description), PARAM_TEXT(actor),
                 PARAM_INT(until)) < 0)
        return -1;
    *count_out = rows_count(rows);
    return 0;
}

/* The size is only known when the document is put together: rare enough here. */
static int append_copied_revision(struct pg *pg, struct scope *scope, const char *actor,
                                  const char *description, struct err *e)
{
    struct hash hash;
    size_t size;

    if (append_revision(pg, scope, 2, actor, description, e) < 0 ||
        revision_document(pg, scope->scope_id, scope->head, &hash, NULL, &size, e) < 0)
        return -1;
    return PG_QUERY(pg, "UPDATE revision SET size = $3 WHERE scope_id = $1 AND revision = $2", NULL,
                    e, PARAM_INT(scope->scope_id), PARAM_INT(scope->head),
                    PARAM_INT(size ? size : 2)); /* "{}" */
}

int config_revert(struct pg *pg, struct scope *scope, uint64_t target, bool is_keeping_drafts,
                  const char *actor, const char *description, uint64_t *revision_out,
                  bool *is_changed, struct err *e)
{
    uint64_t old_head = scope->head, released = scope->released;
    size_t count;

    if (append_copies(pg, scope, target, old_head, target, actor, description, &count, e) < 0)
        return -1;
    *is_changed = count > 0;
    *revision_out = scope->head;
    if (!count)
        return 0;
    if (append_copied_revision(pg, scope, actor, description, e) < 0)
        return -1;
    *revision_out = scope->head;
    if (!is_keeping_drafts || old_head <= released)
        return 0;
    /* Drafts are the keys that were written after the released revision. */
    if (append_copies(pg, scope, released, old_head, old_head, actor, "drafts put back", &count,
                      e) < 0)
        return -1;
    return count ? append_copied_revision(pg, scope, actor, "drafts put back", e) : 0;
}
