/* lookup.c - handlers that look keys up: several by name, many by pattern over all scopes. */
#include "coordinator/http/lookup.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/name.h"
#include "coordinator/http/access.h"
#include "coordinator/http/config.h"
#include "coordinator/http/reveal.h"
#include "coordinator/store/config_search.h"
#include "coordinator/store/pg.h"

#define BATCH_KEYS_MAX 1000

/* ---------------------------------------------------------------- several keys of one scope */

struct batch {
    struct scope scope;
    size_t count;
    const char *keys[BATCH_KEYS_MAX]; /* lent by the body; each once */
};

static void read_keys(const struct fields *f, struct batch *b)
{
    json_t *list = fields_list(f, "config_keys", true), *key, *seen;
    size_t i;

    if (!list)
        return;
    if (json_array_size(list) == 0 || json_array_size(list) > BATCH_KEYS_MAX) {
        fields_problem(f, "config_keys", "must name 1 to %d keys", BATCH_KEYS_MAX);
        return;
    }
    seen = json_object();
    json_array_foreach(list, i, key) {
        if (!json_is_string(key)) {
            fields_problem(f, "config_keys", "item %zu must be a string", i);
            continue;
        }
        if (!json_object_get(seen, json_string_value(key)))
            b->keys[b->count++] = json_string_value(key);
        json_object_set_new(seen, json_string_value(key), json_true());
    }
    json_decref(seen);
}

static int read_batch(struct request *rq, struct reply *re, struct batch *b, struct err *e)
{
    const char *service, *environment;
    struct fields f;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "service_name", "environment", "config_keys");
    service = fields_text(&f, "service_name", true, 1000);
    environment = fields_text(&f, "environment", true, 1000);
    read_keys(&f, b);
    if (service && name_check("service_name", service, e) < 0)
        fields_problem(&f, "service_name", "%.200s", e->text);
    if (environment && name_check("environment", name_environment(environment), e) < 0)
        fields_problem(&f, "environment", "%.200s", e->text);
    if (fields_done(re, e) < 0)
        return -1;
    environment = name_environment(environment);
    if (access_check(rq, re, RIGHT_CONFIG_READ, service, environment, e) < 0)
        return -1;
    return scopes_find(rq->pg, service, environment, &b->scope, e);
}

/* Rows come in the order of the keys, so one pass tells who is missing. */
static json_t *batch_json(const struct request *rq, const struct batch *b,
                          const struct rows *rows)
{
    json_t *configs = json_array(), *missing = json_array();
    size_t row = 0;

    for (size_t i = 0; i < b->count; i++) {
        struct config_item item;

        if (row < rows_count(rows))
            item = config_item_at(rows, row);
        if (row == rows_count(rows) || strcmp(item.key, b->keys[i]) != 0) {
            json_array_append_new(missing, json_string(b->keys[i]));
            continue;
        }
        json_array_append_new(configs, config_item_json(rq, &b->scope, &item));
        row++;
    }
    return json_pack("{s:s,s:s,s:I,s:o,s:o}", "service_name", b->scope.service, "environment",
                     b->scope.environment, "revision", (json_int_t)b->scope.released, "configs",
                     configs, "missing", missing);
}

static int answer_batch(struct request *rq, struct reply *re, struct batch *b, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (read_batch(rq, re, b, e) < 0 ||
        config_get_some(rq->pg, b->scope.scope_id, b->scope.released, b->keys, b->count, &rows,
                        e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++)
        reveal_want(rq, b->scope.service, b->scope.environment, config_item_at(rows, i).value);
    if (reveal_fetch(rq, re, e) < 0)
        return -1;
    return reply_json(re, 200, batch_json(rq, b, rows));
}

int lookup_batch(struct request *rq, struct reply *re, struct err *e)
{
    struct batch *b = calloc(1, sizeof(*b));
    int rc;

    MUST(b);
    rc = answer_batch(rq, re, b, e);
    free(b);
    return rc;
}

/* ---------------------------------------------------------------- keys by pattern */

static const char *pattern_of(const struct request *rq, const char *name)
{
    const char *pattern = request_query(rq, name);

    return pattern ? pattern : "";
}

/* The cursor is SERVICE/ENVIRONMENT/KEY of the last one shown; keys may hold slashes. */
static int read_cursor(const struct request *rq, struct config_search *q,
                       char scope[SCOPE_BUFFER], struct err *e)
{
    const char *cursor = request_query(rq, "cursor"), *slash;

    q->after_service = q->after_environment = q->after_key = "";
    if (!cursor)
        return 0;
    slash = strchr(cursor, '/');
    slash = slash ? strchr(slash + 1, '/') : NULL;
    if (!slash || slash - cursor >= SCOPE_BUFFER)
        return err_set(e, ERR_INVALID, "?cursor= is none that this list gave");
    memcpy(scope, cursor, (size_t)(slash - cursor));
    scope[slash - cursor] = '\0';
    *strchr(scope, '/') = '\0';
    q->after_service = scope;
    q->after_environment = scope + strlen(scope) + 1;
    q->after_key = slash + 1;
    return 0;
}

static int read_search(const struct request *rq, struct config_search *q,
                       char scope[SCOPE_BUFFER], struct err *e)
{
    const char *revision = request_query(rq, "revision");

    if (REQUEST_ONLY_QUERY(rq, e, "key", "service", "environment", "revision", "limit",
                           "cursor") < 0 ||
        request_limit(rq, &q->limit, e) < 0 || read_cursor(rq, q, scope, e) < 0)
        return -1;
    if (revision && strcmp(revision, "head") != 0 && strcmp(revision, "released") != 0)
        return err_set(e, ERR_INVALID, "?revision= is head or released: scopes count their own");
    q->is_head = revision && strcmp(revision, "head") == 0;
    q->key = pattern_of(rq, "key");
    q->service = pattern_of(rq, "service");
    q->environment = name_environment(pattern_of(rq, "environment"));
    return 0;
}

static json_t *found_json(const struct request *rq, const struct config_found *found)
{
    struct scope scope = { 0 };

    snprintf(scope.service, sizeof(scope.service), "%s", found->service);
    snprintf(scope.environment, sizeof(scope.environment), "%s", found->environment);
    return config_item_json(rq, &scope, &found->item);
}

int lookup_search(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer cursor = { 0 };
    struct config_search q = { 0 };
    char scope[SCOPE_BUFFER];
    json_t *items;
    size_t limit;
    bool is_more;

    if (read_search(rq, &q, scope, e) < 0)
        return -1;
    limit = (size_t)q.limit++;
    if (config_search(rq->pg, &q, &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct config_found found = config_found_at(rows, i);

        reveal_want(rq, found.service, found.environment, found.item.value);
    }
    if (reveal_fetch(rq, re, e) < 0)
        return -1;
    is_more = rows_count(rows) > limit;
    items = json_array();
    for (size_t i = 0; i < rows_count(rows) && i < limit; i++) {
        struct config_found found = config_found_at(rows, i);

        if (access_allows(rq, RIGHT_CONFIG_READ, found.service, found.environment))
            json_array_append_new(items, found_json(rq, &found));
        buffer_clear(&cursor);
        buffer_printf(&cursor, "%s/%s/%s", found.service, found.environment, found.item.key);
    }
    return reply_list(re, "configs", items, is_more ? cursor.data : NULL);
}
