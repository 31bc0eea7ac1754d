/* strategies.c - handlers of strategies. */
#include "coordinator/http/rollout/strategies.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/canon.h"
#include "common/memory.h"
#include "common/name.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/policy/strategy.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/strategies.h"
#include "coordinator/store/transaction.h"

/* ---------------------------------------------------------------- strategies */

/* The strategy's own fields, its name and whether it is built in in front. One that this version
 * does not understand is shown as it is stored. */
static json_t *strategy_json(const char *name, const char *body, bool is_built_in)
{
    json_t *out = json_pack("{s:s,s:b}", "name", name, "built_in", is_built_in);
    char *complete = strategy_complete(body);
    json_t *fields = rowjson(complete ? complete : body, "strategy", name);

    if (json_is_object(fields))
        json_object_update_missing(out, fields);
    json_decref(fields);
    free(complete);
    return out;
}

static int reply_strategy(struct request *rq, struct reply *re, int status, const char *name,
                          struct err *e)
{
    char *body;

    if (strategies_get(rq->pg, name, &body, e) < 0)
        return -1;
    reply_json(re, status, strategy_json(name, body, strategy_built_in(name) != NULL));
    free(body);
    return 0;
}

int strategies_get_one(struct request *rq, struct reply *re, struct err *e)
{
    if (REQUEST_ONLY_QUERY(rq, e) < 0)
        return -1;
    return reply_strategy(rq, re, 200, request_param(rq, 0), e);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(json_string_value(json_object_get(*(json_t *const *)a, "name")),
                  json_string_value(json_object_get(*(json_t *const *)b, "name")));
}

static json_t *sorted(json_t **items, size_t count)
{
    json_t *list = json_array();

    qsort(items, count, sizeof(*items), compare_names);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, items[i]);
    return list;
}

int strategies_get_all(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *const *names = strategy_built_in_names();
    size_t count = 0, n = 0;
    json_t **items, *list;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || strategies_list(rq->pg, &rows, e) < 0)
        return -1;
    while (names[count])
        count++;
    items = memory_array(count + rows_count(rows), sizeof(json_t *));
    for (size_t i = 0; i < count; i++) {
        items[n++] = strategy_json(names[i], strategy_built_in(names[i]), true);
    }
    for (size_t i = 0; i < rows_count(rows); i++)
        items[n++] = strategy_json(rows_text(rows, i, 0), rows_text(rows, i, 1), false);
    list = sorted(items, n);
    free(items);
    return reply_list(re, "strategies", list, NULL);
}

/* What it was before; null when there was none. */
static json_t *strategy_now(struct request *rq, const char *name)
{
    struct err ignored;
    char *body = NULL;
    json_t *out = strategies_get(rq->pg, name, &body, &ignored) == 0 ? json_loads(body, 0, NULL)
                                                                     : NULL;

    free(body);
    return out ? out : json_null();
}

/* Takes the old one. */
static void note_audit(struct request *rq, struct transaction *t, const char *action,
                       const char *name, json_t *old)
{
    transaction_note(t, &(struct audit_entry){ .action = action },
                     json_pack("{s:s,s:o,s:o}", "name", name, "old", old, "new",
                               strategy_now(rq, name)));
}

/* The body as it was written: a strategy is read from text. */
static int read_strategy(const struct request *rq, struct reply *re, char **out, struct err *e)
{
    struct strategy_spec *spec = memory_new(sizeof(*spec));
    int rc;

    rc = strategy_parse(rq->body.data, spec, &re->problems, e);
    if (rc == 0)
        *out = strategy_format_said(spec);
    free(spec);
    return rc;
}

static int put_strategy(struct request *rq, const char *name, const char *body, bool *is_new,
                        struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    json_t *old;

    if (request_begin(rq, &t, e) < 0)
        return -1;
    old = strategy_now(rq, name);
    if (strategies_put(rq->pg, name, body, is_new, e) < 0) {
        json_decref(old);
        return -1;
    }
    note_audit(rq, &t, "strategy.set", name, old);
    return transaction_commit(&t, e);
}

int strategies_put_one(struct request *rq, struct reply *re, struct err *e)
{
    const char *name = request_param(rq, 0);
    char *body = NULL;
    bool is_new;
    int rc;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || name_check("strategy", name, e) < 0)
        return -1;
    if (!json_is_object(rq->json))
        return err_set(e, ERR_MALFORMED, "the body must be a JSON object");
    if (read_strategy(rq, re, &body, e) < 0)
        return -1;
    rc = put_strategy(rq, name, body, &is_new, e);
    free(body);
    if (rc < 0)
        return -1;
    if (is_new)
        reply_location(re, "/api/v1/strategies/%s", name);
    return reply_strategy(rq, re, is_new ? 201 : 200, name, e);
}

int strategies_delete_one(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    const char *name = request_param(rq, 0);

    json_t *old;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || request_begin(rq, &t, e) < 0)
        return -1;
    old = strategy_now(rq, name);
    if (strategies_delete(rq->pg, name, e) < 0) {
        json_decref(old);
        return -1;
    }
    note_audit(rq, &t, "strategy.delete", name, old);
    if (transaction_commit(&t, e) < 0)
        return -1;
    return reply_json(re, 200, json_pack("{s:b,s:o}", "success", 1, "message",
                                         json_sprintf("deleted strategy %s", name)));
}
