/* config_write.c - statements that append versions and make revisions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/crypto/seal.h"
#include "common/memory.h"
#include "coordinator/store/config/config_internal.h"
#include "coordinator/store/config/inherit.h"
#include "coordinator/store/config/inherit_grants.h"

void config_result_fini(struct config_result *r)
{
    for (size_t i = 0; i < r->count; i++) {
        seal_free(r->outcomes[i].plain, r->outcomes[i].plain_size);
        free(r->outcomes[i].value);
        free(r->outcomes[i].old_value);
        free(r->outcomes[i].description);
    }
    free(r->outcomes);
    rows_free(r->dropped_drafts);
    memset(r, 0, sizeof(*r));
}

/* ---------------------------------------------------------------- what is there */

static struct param keys_of(const struct config_write *write, struct buffer *memory)
{
    const char **keys = memory_array(write->count + 1, sizeof(*keys));
    struct param array;

    for (size_t i = 0; i < write->count; i++)
        keys[i] = write->changes[i].key;
    array = pg_array_text(keys, write->count, memory);
    free(keys);
    return array;
}

/* Per key that a write names, in the order of the changes: the head's version, what the base of
 * the write has, and what the parents would give. */
static int read_present(struct pg *pg, const struct scope *scope, const struct config_write *write,
                        struct rows **out, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 }, parents = { 0 }, origins = { 0 };
    SCOPED_WAYS struct closed_ways ways = { 0 };
    uint64_t base = write->is_on_released ? scope->released : scope->head;

    if (inherit_closed(pg, scope->scope_id, &ways, e) < 0)
        return -1;
    return PG_QUERY(
        pg,
        "SELECT h.version, h.is_deleted, b.version, b.is_deleted, b.value_type, "
        "b.value, b.description, " SQL_SCOPE_NAME(
            "b.origin_id") ", "
                           "p.value_type, p.value, p.description, "
                           "CASE WHEN p.is_closed THEN NULL ELSE p.origin_id END, "
                           "(h.secret IS NOT NULL AND NOT h.is_deleted) "
                           "OR (b.secret IS NOT NULL AND NOT b.is_deleted) "
                           "FROM unnest($2::text[]) WITH ORDINALITY AS k (key, place) "
                           "LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = "
                           "$1 "
                           " AND v.key = k.key ORDER BY v.revision DESC LIMIT 1) h ON true "
                           "LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = "
                           "$1 "
                           " AND v.key = k.key AND v.revision <= $3 "
                           " ORDER BY v.revision DESC LIMIT 1) b ON true " SQL_INHERITED(
                               "$1", "k.key", "$4", "$5") "ORDER BY k.place",
        out, e, PARAM_INT(scope->scope_id), keys_of(write, &memory), PARAM_INT(base),
        closed_ways_parents(&ways, &parents), closed_ways_origins(&ways, &origins));
}

static int take_present(const struct rows *rows, size_t i, struct config_outcome *o, struct err *e)
{
    o->version = (uint64_t)rows_int(rows, i, 0);
    o->is_at_head = o->version > 0 && !rows_bool(rows, i, 1);
    o->type = VALUE_STRING;
    o->is_secret = rows_bool(rows, i, 12);
    o->description = memory_text(rows_text(rows, i, 6));
    if (rows_int(rows, i, 2) == 0)
        return 0;
    if (value_type_parse(rows_text(rows, i, 4), &o->type, e) < 0)
        return -1;
    o->was_present = !rows_bool(rows, i, 3);
    o->old_type = o->type;
    o->was_inherited = o->was_present && *rows_text(rows, i, 7);
    if (o->was_present)
        o->old_value = memory_text(rows_text(rows, i, 5));
    return 0;
}

/* ---------------------------------------------------------------- judging one change */

static int check_version(const struct config_change *c, const struct config_outcome *o,
                         struct config_result *result, struct err *e)
{
    int64_t wanted = c->expected_version;
    bool is_so = wanted == 0 ? !o->is_at_head : wanted == (int64_t)o->version;

    if (wanted == CONFIG_MUST_EXIST)
        is_so = o->is_at_head;
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

/* The scope's own value goes; what the parents have, if they do, comes into its place. */
static int judge_delete(const struct config_change *c, const struct rows *rows, size_t i,
                        struct config_outcome *o, struct err *e)
{
    if (!o->was_present)
        return 0;
    if (!rows_is_null(rows, i, 7))
        return err_code(e, ERR_CONFLICT, "inherited",
                        "%.200s comes from %s: delete it there, or write an own value", c->key,
                        rows_text(rows, i, 7));
    o->is_changed = true;
    o->origin_id = rows_int(rows, i, 11);
    if (!o->origin_id)
        return 0;
    o->value = memory_text(rows_text(rows, i, 9));
    free(o->description);
    o->description = memory_text(rows_text(rows, i, 10));
    return value_type_parse(rows_text(rows, i, 8), &o->type, e);
}

/* What is wrong with a secret is not said with its own words. */
static int refuse_value(const struct config_change *c, size_t index,
                        const struct config_outcome *o, struct config_result *result,
                        struct err *e)
{
    bool is_problem = e->kind == ERR_INVALID || e->kind == ERR_MALFORMED;

    if (o->is_secret && is_problem)
        err_set(e, e->kind, "the value of %.200s, a secret that is not shown, is no valid %s",
                c->key, value_type_name(o->type));
    note_problem(result, index, e);
    return is_problem ? 0 : -1;
}

static int set_value(const struct config_write *write, const struct config_change *c,
                     char **normal, struct config_outcome *o, bool *is_changed, struct err *e)
{
    if (o->is_secret && !c->is_reference)
        return config_judge_secret(write, c, normal, o, is_changed, e);
    o->value = MOVE(*normal);
    *is_changed = !o->old_value || strcmp(o->value, o->old_value) != 0;
    return 0;
}

/* 0 also when there is a problem with the field: those are gathered. */
static int judge(const struct config_write *write, const struct rows *rows, size_t index,
                 struct config_result *result, struct err *e)
{
    const struct config_change *c = &write->changes[index];
    struct config_outcome *o = &result->outcomes[index];
    enum value_type own = o->type;
    bool is_other = false;
    char *normal = NULL;

    if (check_version(c, o, result, e) < 0)
        return -1;
    if (c->is_delete)
        return judge_delete(c, rows, index, o, e);
    if (c->is_typed)
        o->type = c->type;
    else if (!o->was_present)
        o->type = VALUE_STRING;
    if (c->encrypt != CONFIG_AS_IT_IS || c->is_reference)
        o->is_secret = c->encrypt == CONFIG_SECRET || c->is_reference;
    if (c->is_reference)
        normal = memory_text(c->text);
    else if (document_check_key(c->key, strlen(c->key), e) < 0 ||
             value_normalize(o->type, c->text, c->size, &normal, e) < 0)
        return refuse_value(c, index, o, result, e);
    if (set_value(write, c, &normal, o, &is_other, e) < 0)
        return -1;
    o->is_changed = !o->was_present || o->was_inherited || own != o->type || is_other ||
                    (c->description && strcmp(c->description, o->description) != 0);
    if (c->description) {
        free(o->description);
        o->description = memory_text(c->description);
    }
    return 0;
}

/* ---------------------------------------------------------------- appending */

int config_entry_size(const char *key, enum value_type type, const char *value, int64_t *out,
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
        if (config_entry_size(c->key, o->old_type, o->old_value, &entry, e) < 0)
            return -1;
        *size -= entry;
    }
    if (o->value) {
        if (config_entry_size(c->key, o->type, o->value, &entry, e) < 0)
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
                    "value_type, value, description, change_description, created_by, origin_id) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, nullif($11::bigint, 0))",
                    NULL, e, PARAM_INT(scope->scope_id), PARAM_TEXT(c->key), PARAM_INT(o->version),
                    PARAM_INT(scope->head + 1), PARAM_BOOL(!o->value),
                    PARAM_TEXT(value_type_name(o->type)), PARAM_TEXT(o->value ? o->value : ""),
                    PARAM_TEXT(o->description), PARAM_TEXT(write->change_description),
                    PARAM_TEXT(write->actor), PARAM_INT(o->origin_id));
}

int config_append_revision(struct pg *pg, struct scope *scope, const struct config_revision *r,
                           struct err *e)
{
    if (PG_QUERY(pg,
                 "INSERT INTO revision (scope_id, revision, size, created_by, description, "
                 "cause_id, cause_revision, takes_back) VALUES ($1, $2, $3, $4, $5, "
                 "nullif($6::bigint, 0), nullif($7::bigint, 0), nullif($8::bigint, 0))",
                 NULL, e, PARAM_INT(scope->scope_id), PARAM_INT(scope->head + 1),
                 PARAM_INT(r->size), PARAM_TEXT(r->actor), PARAM_TEXT(r->description),
                 PARAM_INT(r->cause_id), PARAM_INT(r->cause_revision),
                 PARAM_INT(r->takes_back)) < 0 ||
        PG_QUERY(pg, "UPDATE scope SET head = $2 WHERE scope_id = $1", NULL, e,
                 PARAM_INT(scope->scope_id), PARAM_INT(scope->head + 1)) < 0)
        return -1;
    scope->head++;
    return 0;
}

int config_head_size(struct pg *pg, const struct scope *scope, int64_t *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT size FROM revision WHERE scope_id = $1 AND revision = $2", &rows, e,
                 PARAM_INT(scope->scope_id), PARAM_INT(scope->head)) < 0)
        return -1;
    *out = rows_count(rows) ? rows_int(rows, 0, 0) : 2;
    return 0;
}

int config_check_size(const struct scope *scope, int64_t size, struct err *e)
{
    if (size <= (int64_t)DOCUMENT_SIZE_MAX)
        return 0;
    return err_set(e, ERR_TOO_LARGE,
                   "the document of %s/%s would have %lld bytes; %u are allowed", scope->service,
                   scope->environment, (long long)size, DOCUMENT_SIZE_MAX);
}

static int append_on_head(struct pg *pg, struct scope *scope, const struct config_write *write,
                          const struct config_result *result, struct err *e)
{
    struct config_revision revision = { .actor = write->actor,
                                        .description = write->change_description };

    if (config_head_size(pg, scope, &revision.size, e) < 0)
        return -1;
    for (size_t i = 0; i < write->count; i++) {
        struct config_outcome *o = &result->outcomes[i];

        if (o->is_changed &&
            (config_seal(pg, scope, write, &write->changes[i], o, e) < 0 ||
             size_difference(&write->changes[i], o, &revision.size, e) < 0 ||
             append_version(pg, scope, write, &write->changes[i], o, e) < 0))
            return -1;
    }
    if (config_check_size(scope, revision.size, e) < 0)
        return -1;
    return config_append_revision(pg, scope, &revision, e);
}

/* Released content and this change first, then the drafts of the other keys on top again. */
static int append_on_released(struct pg *pg, struct scope *scope, const struct config_write *write,
                              struct config_result *result, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    uint64_t old_head = scope->head;
    struct config_copies copies = { .since = scope->released,
                                    .until = old_head,
                                    .target = scope->released,
                                    .keys = keys_of(write, &memory),
                                    .actor = write->actor,
                                    .description = write->change_description };
    struct config_revision revision = { .actor = write->actor,
                                        .description = write->change_description };
    size_t count;

    if (config_find_drafts(pg, scope, &copies, &result->dropped_drafts, e) < 0 ||
        config_append_copies(pg, scope, &copies, &count, e) < 0)
        return -1;
    for (size_t i = 0; i < write->count; i++)
        if (result->outcomes[i].is_changed &&
            (config_seal(pg, scope, write, &write->changes[i], &result->outcomes[i], e) < 0 ||
             append_version(pg, scope, write, &write->changes[i], &result->outcomes[i], e) < 0))
            return -1;
    if (config_append_copied_revision(pg, scope, &revision, e) < 0)
        return -1;
    result->revision = scope->head;
    copies.target = old_head;
    copies.description = revision.description = CONFIG_DRAFTS_PUT_BACK;
    copies.is_keeping_authors = true;
    if (config_append_copies(pg, scope, &copies, &count, e) < 0)
        return -1;
    return count ? config_append_copied_revision(pg, scope, &revision, e) : 0;
}

static int append_all(struct pg *pg, struct scope *scope, const struct config_write *write,
                      struct config_result *result, struct err *e)
{
    uint64_t old_head = scope->head;
    bool is_changed = false;

    for (size_t i = 0; i < write->count; i++)
        is_changed |= result->outcomes[i].is_changed;
    if (!is_changed)
        return 0;
    if (write->is_on_released && scope->head > scope->released) {
        if (append_on_released(pg, scope, write, result, e) < 0)
            return -1;
    } else {
        if (append_on_head(pg, scope, write, result, e) < 0)
            return -1;
        result->revision = scope->head;
    }
    return inherit_spread(pg, scope, old_head, write->actor, e);
}

int config_look(struct pg *pg, const struct scope *scope, const struct config_write *write,
                struct config_result *result, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    memset(result, 0, sizeof(*result));
    if (read_present(pg, scope, write, &rows, e) < 0)
        return -1;
    result->count = write->count;
    result->outcomes = memory_array(write->count + 1, sizeof(*result->outcomes));
    for (size_t i = 0; i < write->count; i++)
        if (take_present(rows, i, &result->outcomes[i], e) < 0 ||
            judge(write, rows, i, result, e) < 0)
            return -1;
    if (result->problem_count)
        return err_set(e, ERR_INVALID, "%s", result->problems[0].detail);
    if (!config_has_secrets(write, result))
        return err_code(e, ERR_UNAVAILABLE, "secrets_unavailable",
                        "the secrets of this write were not fetched");
    return 0;
}

int config_write(struct pg *pg, struct scope *scope, const struct config_write *write,
                 struct config_result *result, struct err *e)
{
    if (config_look(pg, scope, write, result, e) < 0)
        return -1;
    return append_all(pg, scope, write, result, e);
}
