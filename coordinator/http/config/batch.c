/* batch.c - answers for several keys of one scope: from memory what is kept, one query for the rest. */
#include "coordinator/http/config/batch.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/name.h"
#include "coordinator/http/cache/reads.h"
#include "coordinator/http/config/config.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/cached_reply.h"
#include "coordinator/http/request/item.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/store/config/config_search.h"
#include "coordinator/store/pg.h"

#define BATCH_KEYS_MAX 1000

struct batch {
    struct scope scope; /* its names; the rest is known when it was asked for */
    size_t count;
    const char *keys[BATCH_KEYS_MAX];    /* lent by the body; each once */
    struct cached_reply *kept[BATCH_KEYS_MAX]; /* NULL: among the rest */
    struct config_rest rest;
    const char *rest_keys[BATCH_KEYS_MAX];
    uint64_t drops; /* before the rest was asked for */
};

static void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        cached_reply_release(b->kept[i]);
    free(b);
}

/* ---------------------------------------------------------------- what is asked for */

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
    snprintf(b->scope.service, sizeof(b->scope.service), "%s", service);
    snprintf(b->scope.environment, sizeof(b->scope.environment), "%s", environment);
    return 0;
}

/* ---------------------------------------------------------------- memory and database */

static void take_kept(struct request *rq, struct batch *b)
{
    b->rest.revision = reads_take(rq, &b->scope, b->keys, b->count, b->kept);
    b->rest.all = b->keys;
    b->rest.all_count = b->count;
    b->rest.keys = b->rest_keys;
    for (size_t i = 0; i < b->count; i++)
        if (!b->kept[i])
            b->rest_keys[b->rest.count++] = b->keys[i];
    b->drops = reads_drops(rq);
}

/* Another revision is released than the kept ones are of: the rows are all keys'. */
static void forget_kept(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        cached_reply_release(b->kept[i]);
        b->kept[i] = NULL;
    }
    b->rest.count = b->count;
}

static int ask_for_rest(struct request *rq, struct reply *re, struct batch *b, struct rows **rows,
                        struct err *e)
{
    if (config_get_rest(rq->pg, &b->rest, &b->scope, rows, e) < 0)
        return -1;
    if (b->scope.released != b->rest.revision)
        forget_kept(b);
    for (size_t i = 0; i < rows_count(*rows) && !rows_is_null(*rows, i, 0); i++)
        secret_values_want(rq, b->scope.service, b->scope.environment,
                           config_item_at(*rows, i).value);
    return secret_values_fetch(rq, re, e);
}

/* ---------------------------------------------------------------- the answer */

static void add_item(struct buffer *to, const char *body, size_t size)
{
    if (to->data[to->size - 1] != '[')
        buffer_add(to, ",", 1);
    buffer_add(to, body, size - 1); /* without the line's end */
}

static void add_read(struct request *rq, const struct batch *b, const struct config_item *item,
                     struct buffer *to)
{
    struct reply one = { 0 };

    item_give(&b->scope, item, &one);
    if (one.is_private) {
        buffer_keep_secret(&one.body);
        reply_json(&one, 200, item_json(rq, &b->scope, item));
    } else {
        reads_keep(rq, &b->scope, item->key, &one, b->drops);
    }
    add_item(to, one.body.data, one.body.size);
    reply_fini(&one);
}

static void note_absent(struct request *rq, const struct batch *b, const char *key)
{
    struct reply one = { 0 };

    item_give_absent(&b->scope, key, &one);
    reads_keep(rq, &b->scope, key, &one, b->drops);
    reply_fini(&one);
}

/* Rows come in the order of the keys, so one pass tells who is missing. */
static void add_configs(struct request *rq, const struct batch *b, const struct rows *rows,
                        struct buffer *to, json_t *missing)
{
    size_t row = 0;

    for (size_t i = 0; i < b->count; i++) {
        const struct cached_reply *kept = b->kept[i];

        if (kept && kept->status == 200) {
            add_item(to, kept->body, kept->size);
        } else if (!kept && row < rows_count(rows) &&
                   strcmp(rows_text(rows, row, 0), b->keys[i]) == 0) {
            struct config_item item = config_item_at(rows, row++);

            add_read(rq, b, &item, to);
        } else {
            json_array_append_new(missing, json_string(b->keys[i]));
            if (!kept)
                note_absent(rq, b, b->keys[i]);
        }
    }
}

static int give(struct request *rq, struct reply *re, const struct batch *b,
                const struct rows *rows)
{
    json_t *missing = json_array();
    char *text;

    re->status = 200;
    re->content_type = "application/json";
    if (re->is_secret)
        buffer_keep_secret(&re->body);
    buffer_printf(&re->body,
                  "{\"service_name\":\"%s\",\"environment\":\"%s\",\"revision\":%" PRIu64
                  ",\"configs\":[",
                  b->scope.service, b->scope.environment, b->scope.released);
    add_configs(rq, b, rows, &re->body, missing);
    text = json_dumps(missing, JSON_COMPACT);
    MUST(text);
    buffer_printf(&re->body, "],\"missing\":%s}\n", text);
    free(text);
    json_decref(missing);
    return 0;
}

static int answer_batch(struct request *rq, struct reply *re, struct batch *b, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (read_batch(rq, re, b, e) < 0)
        return -1;
    take_kept(rq, b);
    b->scope.released = b->rest.revision;
    rq->is_from_memory = b->rest.count == 0;
    if (b->rest.count && ask_for_rest(rq, re, b, &rows, e) < 0)
        return -1;
    reads_count(rq, b->count - b->rest.count, b->rest.count);
    return give(rq, re, b, rows);
}

int batch_get(struct request *rq, struct reply *re, struct err *e)
{
    struct batch *b = memory_new(sizeof(*b));
    int rc;

    rc = answer_batch(rq, re, b, e);
    batch_free(b);
    return rc;
}
