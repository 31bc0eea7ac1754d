/* lookup.c - the handler that looks keys up by pattern over all scopes. */
#include "coordinator/http/config/lookup.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/name.h"
#include "coordinator/http/config/config.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/item.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/store/config/config_search.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"

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
    return item_json(rq, &scope, &found->item);
}

int lookup_search(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer cursor = { 0 };
    SCOPED_PLACES places = { 0 };
    struct config_search q = { .places = &places };
    char scope[SCOPE_BUFFER];
    json_t *items;
    size_t limit;
    bool is_more;

    if (read_search(rq, &q, scope, e) < 0)
        return -1;
    limit = (size_t)q.limit++;
    access_places(rq, RIGHT_CONFIG_READ, &places);
    if (config_search(rq->pg, &q, &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct config_found found = config_found_at(rows, i);

        secret_values_want(rq, found.service, found.environment, found.item.value);
    }
    if (secret_values_fetch(rq, re, e) < 0)
        return -1;
    is_more = rows_count(rows) > limit;
    items = json_array();
    for (size_t i = 0; i < rows_count(rows) && i < limit; i++) {
        struct config_found found = config_found_at(rows, i);

        json_array_append_new(items, found_json(rq, &found));
        buffer_clear(&cursor);
        buffer_printf(&cursor, "%s/%s/%s", found.service, found.environment, found.item.key);
    }
    return reply_list(re, "configs", items, is_more ? cursor.data : NULL);
}
