/* parents.c - handlers of inheritance: which scopes a scope stands on. */
#include "coordinator/http/config/parents.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/http/config/config.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/service/conform.h"
#include "coordinator/service/release.h"
#include "coordinator/store/config/inherit.h"
#include "coordinator/store/config/inherit_grants.h"
#include "coordinator/store/config/schemas.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"
#include "coordinator/store/transaction.h"

/* ---------------------------------------------------------------- showing */

static json_t *names(const struct rows *rows)
{
    json_t *list = json_array();

    for (size_t i = 0; i < rows_count(rows); i++)
        json_array_append_new(list, json_string(rows_text(rows, i, 0)));
    return list;
}

static const struct closed_way *find_way(const struct closed_ways *ways, int64_t parent_id,
                                         int64_t origin_id)
{
    for (size_t i = 0; i < ways->count; i++)
        if (ways->items[i].parent_id == parent_id &&
            (!origin_id || ways->items[i].origin_id == origin_id))
            return &ways->items[i];
    return NULL;
}

/* Who let the secrets of each parent in, and whether that holds now. */
static json_t *grants_json(const struct rows *parents, const struct closed_ways *ways)
{
    json_t *list = json_array();

    for (size_t i = 0; i < rows_count(parents); i++) {
        const struct closed_way *closed = find_way(ways, rows_int(parents, i, 3), 0);
        const char *by = rows_text(parents, i, 1), *at = rows_text(parents, i, 2);

        json_array_append_new(list,
                              json_pack("{s:s,s:o,s:o,s:b,s:s}", "parent", rows_text(parents, i, 0),
                                        "by", *by ? json_string(by) : json_null(), "at",
                                        *at ? json_string(at) : json_null(), "open", closed == NULL,
                                        "reason", closed ? closed->why : ""));
    }
    return list;
}

static json_t *withheld_json(const struct rows *rows, const struct closed_ways *ways)
{
    json_t *list = json_array();

    for (size_t i = 0; i < rows_count(rows); i++) {
        const struct closed_way *closed =
            find_way(ways, rows_int(rows, i, 1), rows_int(rows, i, 2));

        if (closed)
            json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "key", rows_text(rows, i, 0),
                                                  "parent", closed->parent, "reason", closed->why));
    }
    return list;
}

static int describe(struct request *rq, const struct scope *scope, json_t **out, struct err *e)
{
    SCOPED(rows_free) struct rows *parents = NULL, *children = NULL, *withheld = NULL;
    SCOPED_WAYS struct closed_ways ways = { 0 };
    SCOPED_PLACES places = { 0 };

    access_places(rq, RIGHT_CONFIG_READ, &places);
    if (inherit_parents(rq->pg, scope->scope_id, &parents, e) < 0 ||
        inherit_children(rq->pg, scope->scope_id, &places, &children, e) < 0 ||
        inherit_closed(rq->pg, scope->scope_id, &ways, e) < 0 ||
        inherit_withheld(rq->pg, scope->scope_id, &ways, &withheld, e) < 0)
        return -1;
    *out = json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:I}", "service_name", scope->service, "environment",
                     scope->environment, "parents", names(parents), "children", names(children),
                     "grants", grants_json(parents, &ways), "withheld",
                     withheld_json(withheld, &ways), "revision", (json_int_t)scope->head);
    return 0;
}

int parents_get_one(struct request *rq, struct reply *re, struct err *e)
{
    struct scope scope;
    json_t *body;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || config_scope_of(rq, &scope, e) < 0 ||
        describe(rq, &scope, &body, e) < 0)
        return -1;
    return reply_json(re, 200, body);
}

int parents_get_all(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_PLACES places = { 0 };
    char service[NAME_BUFFER] = "", environment[NAME_BUFFER] = "", cursor[SCOPE_BUFFER];
    const char *after = request_query(rq, "cursor");
    json_t *items;
    int64_t limit;
    bool is_more;

    access_places(rq, RIGHT_CONFIG_READ, &places);
    if (REQUEST_ONLY_QUERY(rq, e, "limit", "cursor") < 0 || request_limit(rq, &limit, e) < 0 ||
        (after && name_split_scope(after, service, environment, e) < 0) ||
        inherit_list(rq->pg, &places, service, environment, limit + 1, &rows, e) < 0)
        return -1;
    is_more = rows_count(rows) > (size_t)limit;
    items = json_array();
    for (size_t i = 0; i < rows_count(rows) && i < (size_t)limit; i++) {
        json_t *parents = rowjson(rows_text(rows, i, 2), "parents of a scope of",
                                  rows_text(rows, i, 0));

        json_array_append_new(items, json_pack("{s:s,s:s,s:o}", "service_name",
                                               rows_text(rows, i, 0), "environment",
                                               rows_text(rows, i, 1), "parents", parents));
        snprintf(cursor, sizeof(cursor), "%s/%s", rows_text(rows, i, 0), rows_text(rows, i, 1));
    }
    return reply_list(re, "parents", items, is_more ? cursor : NULL);
}

/* ---------------------------------------------------------------- naming */

struct naming {
    const char *service, *environment;
    struct inherit_naming naming;
    struct scope scope;
    uint64_t old_head;
};

/* Naming a parent lets its secrets come down, those that are there and those to come: it takes the
 * right to read them, and those of everything above. A parent that the scope has already may be
 * named again without it, and keeps the grant that it has. */
static int check_secrets(struct request *rq, struct reply *re, const struct naming *n,
                         const struct scope *parent, bool *is_granted_out, struct err *e)
{
    SCOPED(rows_free) struct rows *above = NULL;
    bool is_there;

    if (inherit_above(rq->pg, parent->scope_id, &above, e) < 0)
        return -1;
    *is_granted_out = true;
    for (size_t i = 0; i < rows_count(above) && *is_granted_out; i++) {
        const char *service = rows_text(above, i, 0), *environment = rows_text(above, i, 1);

        if (secret_values_may(rq, service, environment))
            continue;
        *is_granted_out = false;
        if (inherit_has_parent(rq->pg, n->service, n->environment, parent->scope_id, &is_there, e) <
            0)
            return -1;
        if (!is_there)
            return access_check(rq, re, RIGHT_SECRET_READ, service, environment, e);
    }
    return 0;
}

static void read_parent(struct request *rq, const struct fields *list, size_t index,
                        const json_t *value, struct naming *n)
{
    char service[NAME_BUFFER], environment[NAME_BUFFER], name[24];
    struct inherit_naming *to = &n->naming;
    struct scope parent;
    struct err e;

    snprintf(name, sizeof(name), "%zu", index);
    if (!json_is_string(value)) {
        fields_problem(list, name, "must be a string, SERVICE/ENVIRONMENT");
        return;
    }
    if (name_split_scope(json_string_value(value), service, environment, &e) < 0 ||
        access_check(rq, list->reply, RIGHT_CONFIG_READ, service, environment, &e) < 0 ||
        scopes_find(rq->pg, service, environment, &parent, &e) < 0 ||
        check_secrets(rq, list->reply, n, &parent, &to->is_granted[to->count], &e) < 0) {
        fields_problem(list, name, "%.200s", e.text);
        return;
    }
    for (size_t i = 0; i < to->count; i++)
        if (to->parent_ids[i] == parent.scope_id)
            fields_problem(list, name, "%s/%s is named twice", service, environment);
    to->parent_ids[to->count++] = parent.scope_id;
}

static int read_body(struct request *rq, struct reply *re, struct naming *n, struct err *e)
{
    struct fields f, list = { .reply = re, .pointer = "/parents" };
    json_t *parents, *one;
    size_t i;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 ||
        config_names_of(rq, &n->service, &n->environment, e) < 0 ||
        fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "parents");
    parents = fields_list(&f, "parents", true);
    if (json_array_size(parents) > INHERIT_PARENTS_MAX)
        fields_problem(&f, "parents", "may name at most %d scopes", INHERIT_PARENTS_MAX);
    else
        json_array_foreach(parents, i, one)
            read_parent(rq, &list, i, one, n);
    return fields_done(re, e);
}

static int note_audit(struct transaction *t, const struct naming *n, const json_t *shown,
                      struct err *e)
{
    struct audit_entry entry = { .action = "config.parents", .scope_id = n->scope.scope_id };

    if (inherit_audit(t->pg, &t->trail, &n->scope, n->old_head, t->by.name, e) < 0)
        return -1;
    transaction_note(t, &entry,
                     json_pack("{s:I,s:O}", "revision", (json_int_t)n->scope.head, "parents",
                               json_object_get(shown, "parents")));
    return 0;
}

static int name_inside(struct request *rq, struct reply *re, struct naming *n, json_t **shown,
                       struct err *e)
{
    struct conform conform = config_conform(rq, re, conform_point_fixed, (void *)"/parents");
    SCOPED(transaction_close) struct transaction t = { 0 };
    char rollout[CONFIG_ROLLOUT_ID_SIZE] = "";

    if (request_begin(rq, &t, e) < 0 || schemas_hold(rq->pg, n->service, e) < 0 ||
        inherit_set_parents(rq->pg, n->service, n->environment, &n->naming, &n->scope, &n->old_head,
                            e) < 0 ||
        describe(rq, &n->scope, shown, e) < 0)
        return -1;
    if (n->scope.head > n->old_head &&
        conform_check_written(&conform, &n->scope, n->scope.head, e) < 0)
        return -1;
    if (note_audit(&t, n, *shown, e) < 0 ||
        (n->scope.head > n->old_head &&
         release_if_automatic(&t, NULL, &n->scope, rollout, e) < 0) ||
        transaction_commit(&t, e) < 0)
        return -1;
    json_object_set_new(*shown, "changed", json_boolean(n->scope.head > n->old_head));
    json_object_set_new(*shown, "rollout", *rollout ? json_string(rollout) : json_null());
    return 0;
}

int parents_put_one(struct request *rq, struct reply *re, struct err *e)
{
    struct naming n = { .naming = { .actor = rq->owner.name, .token = rq->owner.id } };
    json_t *shown = NULL;

    if (read_body(rq, re, &n, e) < 0)
        return -1;
    if (name_inside(rq, re, &n, &shown, e) < 0) {
        json_decref(shown);
        return -1;
    }
    return reply_json(re, 200, shown);
}
