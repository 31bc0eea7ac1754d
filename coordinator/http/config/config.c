/* config.c - handlers that write single keys, and what all writes share. */
#include "coordinator/http/config/config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/canon.h"
#include "common/invariant.h"
#include "coordinator/http/request/item.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/service/conform.h"
#include "coordinator/service/release.h"
#include "coordinator/store/config/inherit.h"
#include "coordinator/store/config/schemas.h"
#include "coordinator/store/config/secrets.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/transaction.h"

/* ---------------------------------------------------------------- reading changes */

static void take_text(struct json_t *value, struct json_t *marked, struct config_change *out)
{
    struct buffer b = { 0 };

    if (json_is_string(value))
        buffer_add(&b, json_string_value(value), json_string_length(value));
    else
        canon_emit(marked, &b);
    out->size = b.size;
    out->text = buffer_take(&b);
}

/* A native value sets the type; a string is a value of whatever type the key has. */
void config_read_value(const struct fields *f, const char *name, struct json_t *value,
                       struct json_t *marked, struct config_change *out)
{
    if (json_is_null(value) && !out->is_typed) {
        fields_problem(f, name, "null is no value: delete the key, or say value_type json");
        return;
    }
    take_text(value, marked, out);
    if (out->is_typed || json_is_string(value))
        return;
    out->is_typed = true;
    out->type = json_is_number(value)    ? VALUE_NUMBER
                : json_is_boolean(value) ? VALUE_BOOLEAN
                                         : VALUE_JSON;
}

void config_read_object(const struct fields *f, struct json_t *marked, struct config_change *out)
{
    const char *type = fields_text(f, "value_type", false, 20);
    json_t *value = json_object_get(f->object, "config_value");
    struct err e;

    if (type && value_type_parse(type, &out->type, &e) < 0)
        fields_problem(f, "value_type", "%.200s", e.text);
    out->is_typed = type != NULL;
    if (json_object_get(f->object, "encrypt"))
        out->encrypt = fields_flag(f, "encrypt") ? CONFIG_SECRET : CONFIG_PLAIN;
    out->description = fields_text(f, "description", false, 4096);
    out->expected_version =
        fields_number(f, "expected_version", 0, INT64_C(1) << 53, CONFIG_ANY_VERSION);
    if (!value)
        fields_problem(f, "config_value", "config_value is missing");
    else
        config_read_value(f, "config_value", value, canon_member(marked, "config_value"), out);
    if (type && out->text && (strcmp(type, "int") == 0 || strcmp(type, "integer") == 0) &&
        strpbrk(out->text, ".eE"))
        fields_problem(f, "config_value",
                       "must be a whole number, as the value_type %s says; number takes others",
                       type);
}

bool config_read_base(const struct fields *f)
{
    const char *base = fields_text(f, "base", false, 20);

    if (base && strcmp(base, "released") != 0 && strcmp(base, "head") != 0)
        fields_problem(f, "base", "must be head or released");
    return base && strcmp(base, "released") == 0;
}

struct json_t *config_dropped_json(const struct config_result *result)
{
    json_t *list = json_array();

    for (size_t i = 0; result->dropped_drafts && i < rows_count(result->dropped_drafts); i++)
        json_array_append_new(list, rowjson_text(rows_text(result->dropped_drafts, i, 0)));
    return list;
}

/* If-Match and If-None-Match compare with the head. */
static int read_preconditions(const struct request *rq, struct config_change *c, struct err *e)
{
    const char *match = rq->if_match;
    char *end;

    if (rq->if_none_match && strcmp(rq->if_none_match, "*") == 0)
        c->expected_version = 0;
    else if (match && strcmp(match, "*") == 0)
        c->expected_version = CONFIG_MUST_EXIST;
    else if (match) {
        c->expected_version = *match == '"' ? strtoll(match + 1, &end, 10) : 0;
        if (*match != '"' || end == match + 1)
            return err_set(e, ERR_STALE, "If-Match names no version of this key");
    } else
        return 0;
    c->is_if_match = true;
    return 0;
}

/* ---------------------------------------------------------------- PUT and DELETE */

static json_t *audit_keys(const struct config_write *write, const struct config_result *result)
{
    json_t *keys = json_array();

    for (size_t i = 0; i < write->count && json_array_size(keys) < 100; i++)
        if (result->outcomes[i].is_changed)
            json_array_append_new(keys, rowjson_text(write->changes[i].key));
    return keys;
}

struct conform config_conform(const struct request *rq, struct reply *re, conform_point_fn *point,
                              void *ctx)
{
    return (struct conform){ .pg = rq->pg,
                             .schemas = rq->schemas,
                             .sealing = rq->sealing,
                             .problems = &re->problems,
                             .point = point,
                             .ctx = ctx };
}

int config_settle(struct transaction *t, struct scope *scope, const char *action,
                  const struct config_write *write, const struct config_result *result,
                  char rollout_out[CONFIG_ROLLOUT_ID_SIZE], struct err *e)
{
    struct audit_entry entry = { .action = action,
                                 .note = write->change_description,
                                 .scope_id = scope->scope_id };

    rollout_out[0] = '\0';
    if (inherit_audit(t->pg, &t->trail, scope, result->revision - 1, t->by.name, e) < 0)
        return -1;
    transaction_note_revision(t, &entry,
                              json_pack("{s:I,s:o}", "revision", (json_int_t)result->revision,
                                        "keys", audit_keys(write, result)),
                              result->revision);
    return release_if_automatic(t, NULL, scope, rollout_out, e);
}

bool config_fetch_secrets(struct request *rq, struct config_result *result, struct err *e)
{
    bool is_wanting = result->is_wanting;

    if (!is_wanting)
        return false;
    config_result_fini(result);
    return sealing_fetch(rq->sealing, rq->deps->keyring, rq->pg, e) == 0;
}

/* The conflict's current version goes into the problem. */
static void note_conflict(struct reply *re, const struct config_result *result, const struct err *e)
{
    if (e->kind == ERR_CONFLICT || e->kind == ERR_STALE)
        problems_extra(&re->problems, "current_version",
                       json_integer((json_int_t)result->current_version));
    for (unsigned i = 0; i < result->problem_count; i++)
        problems_add(&re->problems, "/config_value", "%s", result->problems[i].detail);
}

struct key_write {
    const char *service, *environment, *action;
    bool is_delete;
    struct config_change change;
    struct config_write write;
    struct config_result result;
    struct scope scope;
    const char *pointer; /* where in the body the value was said */
    char rollout[CONFIG_ROLLOUT_ID_SIZE];
};

static int write_inside(struct request *rq, struct reply *re, struct transaction *t,
                        struct key_write *w, struct err *e)
{
    struct conform conform = config_conform(rq, re, conform_point_fixed, (void *)w->pointer);

    if (schemas_hold(rq->pg, w->service, e) < 0 ||
        scopes_lock_to_write(rq->pg, w->service, w->environment, !w->is_delete, &w->scope, e) < 0 ||
        release_take_back(t, true, &w->scope, e) < 0 ||
        config_write(rq->pg, &w->scope, &w->write, &w->result, e) < 0)
        return -1;
    if (!w->result.revision)
        return 0;
    if (conform_check_written(&conform, &w->scope, w->result.revision, e) < 0)
        return -1;
    return config_settle(t, &w->scope, w->action, &w->write, &w->result, w->rollout, e);
}

static int write_once(struct request *rq, struct reply *re, struct key_write *w, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };

    if (request_begin(rq, &t, e) < 0)
        return -1;
    if (write_inside(rq, re, &t, w, e) < 0) {
        note_conflict(re, &w->result, e);
        return -1;
    }
    return w->result.revision || t.is_kept ? transaction_commit(&t, e) : 0;
}

static int write_key(struct request *rq, struct reply *re, struct key_write *w, struct err *e)
{
    int rc;

    w->write.actor = rq->owner.name;
    w->write.changes = &w->change;
    w->write.count = 1;
    w->write.sealing = secret_values_sealing(rq);
    do
        rc = write_once(rq, re, w, e);
    while (rc < 0 && config_fetch_secrets(rq, &w->result, e));
    return rc;
}

static int written_json(struct request *rq, const struct key_write *w, json_t **out,
                        struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct config_item item;
    json_t *body;

    if (config_find_item(rq, &w->scope, w->change.key, w->scope.head, &rows, &item, e) < 0)
        return -1;
    body = item_json(NULL, &w->scope, &item);
    json_object_set_new(body, "config_id",
                        json_sprintf("%s/%s/%s", w->scope.service, w->scope.environment,
                                     w->change.key));
    json_object_set_new(body, "changed", json_boolean(w->result.revision != 0));
    json_object_set_new(body, "released", json_boolean(item.revision <= w->scope.released));
    json_object_set_new(body, "rollout", w->rollout[0] ? rowjson_text(w->rollout) : json_null());
    if (w->write.is_on_released)
        json_object_set_new(body, "dropped_drafts", config_dropped_json(&w->result));
    *out = body;
    return 0;
}

static int reply_written(struct request *rq, struct reply *re, const struct key_write *w,
                         struct err *e)
{
    json_t *body;

    if (written_json(rq, w, &body, e) < 0)
        return -1;
    if (w->result.outcomes[0].was_present)
        return reply_json(re, 200, body);
    reply_header(re, "Location", rq->target);
    return reply_json(re, 201, body);
}

static int put_key(struct request *rq, struct reply *re, struct key_write *w, struct err *e)
{
    struct fields f;
    json_t *marked;

    if (fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, CONFIG_OBJECT_FIELDS, "change_description", "base");
    w->write.is_on_released = config_read_base(&f);
    w->write.change_description = fields_text(&f, "change_description", false, 4096);
    if (!w->write.change_description)
        w->write.change_description = "";
    if (canon_parse("the body", rq->body.data, rq->body.size, &marked, e) < 0)
        return -1;
    config_read_object(&f, marked, &w->change);
    json_decref(marked);
    if (fields_done(re, e) < 0 || read_preconditions(rq, &w->change, e) < 0 ||
        write_key(rq, re, w, e) < 0)
        return -1;
    return reply_written(rq, re, w, e);
}

static int open_write(struct request *rq, struct key_write *w, struct err *e)
{
    w->change.key = request_param(rq, 2);
    w->change.expected_version = CONFIG_ANY_VERSION;
    if (REQUEST_ONLY_QUERY(rq, e) < 0 ||
        config_names_of(rq, &w->service, &w->environment, e) < 0)
        return -1;
    return document_check_key(w->change.key, strlen(w->change.key), e);
}

int config_put_key(struct request *rq, struct reply *re, struct err *e)
{
    struct key_write w = { .action = "config.set", .pointer = "/config_value" };
    int rc = open_write(rq, &w, e) < 0 ? -1 : put_key(rq, re, &w, e);

    free((char *)w.change.text);
    config_result_fini(&w.result);
    return rc;
}

int config_delete_key(struct request *rq, struct reply *re, struct err *e)
{
    struct key_write w = { .action = "config.unset", .pointer = "", .is_delete = true };
    int rc = -1;

    w.write.change_description = "";
    w.change.is_delete = true;
    if (open_write(rq, &w, e) == 0 && read_preconditions(rq, &w.change, e) == 0)
        rc = write_key(rq, re, &w, e);
    if (rc == 0 && !w.result.revision)
        rc = err_set(e, ERR_NOT_FOUND, "%s/%s has no key %.200s", w.service, w.environment,
                     w.change.key);
    if (rc == 0)
        rc = reply_json(re, 200,
                        json_pack("{s:b,s:o,s:I,s:o}", "success", 1, "message",
                                  json_sprintf("deleted %s in revision %" PRIu64, w.change.key,
                                               w.result.revision),
                                  "revision", (json_int_t)w.result.revision, "rollout",
                                  w.rollout[0] ? rowjson_text(w.rollout) : json_null()));
    config_result_fini(&w.result);
    return rc;
}

/* ---------------------------------------------------------------- back to a version */

/* The change that writes an old version's content again; its texts are lent by rows. */
static int read_target(struct request *rq, struct key_write *w, int64_t target,
                       struct rows **rows, struct err *e)
{
    struct config_item item;

    if (scopes_find(rq->pg, w->service, w->environment, &w->scope, e) < 0 ||
        config_history(rq->pg, w->scope.scope_id, w->change.key, (uint64_t)target + 1, 1, rows,
                       e) < 0)
        return -1;
    if (rows_count(*rows) == 0 ||
        (item = config_item_at(*rows, 0)).version != (uint64_t)target)
        return err_code(e, ERR_NOT_FOUND, "unknown_version", "%s/%s has no version %" PRId64
                        " of %.200s", w->service, w->environment, target, w->change.key);
    if (item.is_deleted)
        return err_code(e, ERR_CONFLICT, "version_deleted",
                        "version %" PRId64 " of %.200s is its deletion: delete the key instead",
                        target, w->change.key);
    if (value_type_parse(item.value_type, &w->change.type, e) < 0 ||
        secrets_check_live(rq->pg, item.value, e) < 0)
        return -1;
    w->change.is_typed = true;
    w->change.is_reference = value_is_reference(item.value, NULL);
    w->change.encrypt = w->change.is_reference ? CONFIG_SECRET : CONFIG_PLAIN;
    w->change.text = item.value;
    w->change.size = strlen(item.value);
    w->change.description = item.description;
    return 0;
}

static int rollback_key(struct request *rq, struct reply *re, struct key_write *w, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    json_t *body;
    struct fields f;
    int64_t target;
    uint64_t version;

    if (fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "target_version", "change_description", "expected_version");
    target = fields_number(&f, "target_version", 1, INT64_C(1) << 53, -1);
    if (!json_object_get(f.object, "target_version"))
        fields_problem(&f, "target_version", "target_version is missing");
    w->change.expected_version =
        fields_number(&f, "expected_version", 0, INT64_C(1) << 53, CONFIG_ANY_VERSION);
    w->write.change_description = fields_text(&f, "change_description", false, 4096);
    if (fields_done(re, e) < 0 || read_preconditions(rq, &w->change, e) < 0 ||
        read_target(rq, w, target, &rows, e) < 0)
        return -1;
    if (!w->write.change_description)
        w->write.change_description = "";
    if (write_key(rq, re, w, e) < 0)
        return -1;
    version = w->result.outcomes[0].version;
    if (written_json(rq, w, &body, e) < 0)
        return -1;
    json_object_set_new(body, "previous_version",
                        json_integer((json_int_t)(w->result.revision ? version - 1 : version)));
    json_object_set_new(body, "rolled_back_to", json_integer(target));
    return reply_json(re, 200, body);
}

/* Only ever a new version: the ones between stay in the history. */
int config_rollback_key(struct request *rq, struct reply *re, struct err *e)
{
    struct key_write w = { .action = "config.rollback", .pointer = "/target_version" };
    int rc = open_write(rq, &w, e) < 0 ? -1 : rollback_key(rq, re, &w, e);

    config_result_fini(&w.result);
    return rc;
}
