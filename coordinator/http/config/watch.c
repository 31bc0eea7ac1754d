/* watch.c - the handler that waits for a scope's released revision to change, and says what did. */
#include "coordinator/http/config/watch.h"

#include <inttypes.h>

#include "common/clock.h"
#include "common/document/canon.h"
#include "coordinator/http/config/config.h"
#include "coordinator/http/config/render.h"
#include "coordinator/http/live/watches.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/store/pg.h"

#define TIMEOUT_PRESET_S 30
#define TIMEOUT_MAX_S 300

/* Of a secret the value, when the caller may read it and it can be had, and in any case that it is
 * one. */
static void add_secret(const struct request *rq, const struct scope *scope, struct buffer *out,
                       enum value_type type, const char *value)
{
    const char *plain = NULL;
    const struct err *why = NULL;
    enum secret_values_state state =
        secret_values_find(rq, scope->service, scope->environment, value, &plain, &why);

    if (state == SECRET_VALUES_OPEN) {
        buffer_add_text(out, ",\"value\":");
        render_value(type, plain, out);
    } else if (state == SECRET_VALUES_AWAY && why->kind == ERR_GONE) {
        buffer_add_text(out, ",\"destroyed\":true");
    } else if (state == SECRET_VALUES_AWAY) {
        buffer_add_text(out, ",\"unavailable\":");
        canon_quote(out, why->text);
    }
    buffer_add_text(out, ",\"encrypted\":true");
}

static int add_value(const struct request *rq, const struct scope *scope, struct buffer *out,
                     const char *key, const char *type, const char *value, uint64_t version,
                     struct err *e)
{
    enum value_type of;

    if (value_type_parse(type, &of, e) < 0)
        return -1;
    canon_quote(out, key);
    if (value_is_reference(value, NULL)) {
        add_secret(rq, scope, out, of, value);
    } else {
        buffer_add_text(out, ",\"value\":");
        render_value(of, value, out);
    }
    buffer_printf(out, ",\"value_type\":\"%s\",\"version\":%" PRIu64 "}", type, version);
    return 0;
}

static int add_everything(struct request *rq, struct reply *re, const struct scope *scope,
                          struct err *e)
{
    struct buffer *out = &re->body;
    SCOPED(rows_free) struct rows *rows = NULL;

    if (config_snapshot(rq->pg, scope->scope_id, scope->released, &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++)
        secret_values_want(rq, scope->service, scope->environment, config_item_at(rows, i).value);
    if (secret_values_fetch(rq, re, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct config_item item = config_item_at(rows, i);

        buffer_add_text(out, i ? ",{\"key\":" : "{\"key\":");
        if (add_value(rq, scope, out, item.key, item.value_type, item.value, item.version, e) < 0)
            return -1;
    }
    return 0;
}

static int add_changes(struct request *rq, struct reply *re, const struct scope *scope,
                       uint64_t since, struct err *e)
{
    struct buffer *out = &re->body;
    SCOPED(rows_free) struct rows *rows = NULL;

    if (config_diff(rq->pg, scope->scope_id, since, scope->released, &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++)
        secret_values_want(rq, scope->service, scope->environment,
                           config_difference_at(rows, i).new_value);
    if (secret_values_fetch(rq, re, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct config_difference d = config_difference_at(rows, i);

        buffer_add_text(out, i ? ",{\"key\":" : "{\"key\":");
        if (!d.is_after) {
            canon_quote(out, d.key);
            buffer_add_text(out, ",\"deleted\":true}");
        } else if (add_value(rq, scope, out, d.key, d.new_type, d.new_value, d.new_version,
                             e) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A revision that this scope never had (another database, say), or has no more, is no base for
 * differences. */
static int answer(struct request *rq, struct reply *re, const struct scope *scope, uint64_t since,
                  struct err *e)
{
    bool is_reset = since > scope->head || (since && since < scope->oldest);

    buffer_printf(&re->body, "{\"service_name\":\"%s\",\"environment\":\"%s\",\"has_changes\":%s,",
                  scope->service, scope->environment, since != scope->released ? "true" : "false");
    buffer_printf(&re->body, "\"reset\":%s,\"latest_version\":%" PRIu64 ",\"changes\":[",
                  is_reset ? "true" : "false", scope->released);
    if (is_reset ? add_everything(rq, re, scope, e) < 0
                 : add_changes(rq, re, scope, since, e) < 0) {
        buffer_clear(&re->body);
        return -1;
    }
    buffer_add_text(&re->body, "]}\n");
    re->status = 200;
    re->content_type = "application/json";
    return 0;
}

int watch_get(struct request *rq, struct reply *re, struct err *e)
{
    int64_t since = 0, timeout = TIMEOUT_PRESET_S;
    struct scope scope;

    if (REQUEST_ONLY_QUERY(rq, e, "since", "timeout") < 0 ||
        request_query_number(rq, "since", 0, INT64_MAX, &since, e) < 0 ||
        request_query_number(rq, "timeout", 0, TIMEOUT_MAX_S, &timeout, e) < 0 ||
        config_scope_of(rq, &scope, e) < 0)
        return -1;
    if (!rq->watch) {
        rq->waiting_for = 1;
        rq->wait_until_ms = clock_monotonic_ms() + timeout * 1000;
    }
    if ((uint64_t)since != scope.released || clock_monotonic_ms() >= rq->wait_until_ms)
        return answer(rq, re, &scope, (uint64_t)since, e);
    if (!rq->watch)
        rq->watch = watch_open(rq->watches, scope.scope_id, (uint64_t)since, rq->wait_until_ms);
    return reply_wait(re);
}
