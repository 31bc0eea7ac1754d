/* scope_write.c - handlers that write whole scopes: many changes at once, back to a revision. */
#include "coordinator/http/config/scope_write.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/canon.h"
#include "common/invariant.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/service/conform.h"
#include "coordinator/service/release.h"
#include "coordinator/store/config/inherit.h"
#include "coordinator/store/config/schemas.h"
#include "coordinator/store/config/secrets.h"
#include "coordinator/store/transaction.h"

void scope_write_clear(struct scope_write *m)
{
    for (size_t i = 0; i < m->count; i++)
        free((char *)m->changes[i].text);
    free(m->changes);
    free(m->is_object);
    m->changes = NULL;
    m->is_object = NULL;
    m->count = 0;
}

void scope_write_fini(struct scope_write *m)
{
    scope_write_clear(m);
    config_result_fini(&m->result);
}

/* ---------------------------------------------------------------- reading the body */

static void check_key(const struct fields *f, const char *key)
{
    struct err e;

    if (document_check_key(key, strlen(key), &e) < 0)
        fields_problem(f, key, "%.200s", e.text);
}

static void read_set(const struct fields *body, json_t *set, json_t *marked, struct scope_write *m)
{
    struct fields in, one;
    const char *key;
    json_t *value;

    fields_enter(body, "set", set, &in);
    json_object_foreach(set, key, value) {
        struct config_change *c = &m->changes[m->count];

        c->key = key;
        c->expected_version = CONFIG_ANY_VERSION;
        m->is_object[m->count++] = json_is_object(value);
        check_key(&in, key);
        if (!json_is_object(value)) {
            config_read_value(&in, key, value, canon_member(marked, key), c);
            continue;
        }
        fields_enter(&in, key, value, &one);
        FIELDS_ONLY(&one, CONFIG_OBJECT_FIELDS);
        config_read_object(&one, canon_member(marked, key), c);
    }
}

static void read_delete(const struct fields *body, json_t *list, json_t *set, struct scope_write *m)
{
    json_t *name;
    size_t i;

    json_array_foreach(list, i, name) {
        struct config_change *c = &m->changes[m->count];

        if (!json_is_string(name) || json_object_get(set, json_string_value(name))) {
            fields_problem(body, "delete", "item %zu must be a key that is not also set", i);
            continue;
        }
        for (size_t k = 0; k < m->count; k++)
            if (m->changes[k].is_delete && !strcmp(m->changes[k].key, json_string_value(name)))
                fields_problem(body, "delete", "item %zu is named twice", i);
        c->key = json_string_value(name);
        c->is_delete = true;
        c->expected_version = CONFIG_ANY_VERSION;
        m->count++;
    }
}

int scope_write_read(struct request *rq, struct reply *re, struct scope_write *m, struct err *e)
{
    json_t *set, *list, *marked;
    struct fields f;
    size_t most;

    if (fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "set", "delete", "change_description", "dry_run", "base");
    m->write.is_on_released = config_read_base(&f);
    set = fields_object(&f, "set", false);
    list = fields_list(&f, "delete", false);
    m->write.change_description = fields_text(&f, "change_description", false, 4096);
    if (!m->write.change_description)
        m->write.change_description = "";
    m->is_dry_run = fields_flag(&f, "dry_run") || request_flag(rq, "dry_run");
    most = json_object_size(set) + json_array_size(list);
    if (most == 0 || most > SCOPE_WRITE_MAX)
        problems_add(&re->problems, "", "set and delete must name 1 to %d keys", SCOPE_WRITE_MAX);
    if (fields_done(re, e) < 0)
        return -1;
    m->changes = calloc(most, sizeof(*m->changes));
    m->is_object = calloc(most, sizeof(*m->is_object));
    MUST(m->changes && m->is_object);
    if (canon_parse("the body", rq->body.data, rq->body.size, &marked, e) < 0)
        return -1;
    if (set)
        read_set(&f, set, canon_member(marked, "set"), m);
    read_delete(&f, list, set, m);
    json_decref(marked);
    return fields_done(re, e);
}

/* ---------------------------------------------------------------- writing */

void scope_write_note_problems(struct reply *re, const struct scope_write *m, const struct err *e)
{
    struct fields in = { .reply = re, .pointer = "/set" }, one = { .reply = re };

    if (e->kind == ERR_CONFLICT || e->kind == ERR_STALE)
        problems_extra(&re->problems, "current_version",
                       json_integer((json_int_t)m->result.current_version));
    for (unsigned i = 0; i < m->result.problem_count; i++) {
        size_t change = m->result.problems[i].change;
        const char *key = m->changes[change].key, *detail = m->result.problems[i].detail;

        if (!m->is_object[change]) {
            fields_problem(&in, key, "%s", detail);
            continue;
        }
        fields_pointer(&in, key, one.pointer);
        fields_problem(&one, "config_value", "%s", detail);
    }
}

/* conform_point_fn: where the body gives a key, or the whole of it. */
void scope_write_point(void *ctx, const char *key, char out[CONFORM_POINTER_SIZE])
{
    struct fields in = { .pointer = "/set" }, one = { 0 };
    const struct scope_write *m = ctx;
    size_t i = 0;

    while (i < m->count && strcmp(m->changes[i].key, key) != 0)
        i++;
    snprintf(out, CONFORM_POINTER_SIZE, "%s",
             i < m->count && m->changes[i].is_delete ? "/delete" : "");
    if (i == m->count || m->changes[i].is_delete)
        return;
    fields_pointer(&in, key, m->is_object[i] ? one.pointer : out);
    if (m->is_object[i])
        fields_pointer(&one, "config_value", out);
}

/* Secrets are said to be some, whoever wrote them. */
static bool is_secret(const char *value)
{
    return value && value_is_reference(value, NULL);
}

static json_t *value_or_null(const char *value)
{
    return value && !is_secret(value) ? json_string(value) : json_null();
}

static json_t *outcomes_json(const struct scope_write *m)
{
    json_t *list = json_array();

    for (size_t i = 0; i < m->count; i++) {
        const struct config_outcome *o = &m->result.outcomes[i];
        const char *change = !o->is_changed    ? "unchanged"
                             : !o->was_present ? "added"
                             : !o->value       ? "deleted"
                                               : "changed";

        json_t *one =
            json_pack("{s:s,s:s,s:o,s:o,s:s,s:I}", "key", m->changes[i].key, "change", change,
                      "old", value_or_null(o->old_value), "new", value_or_null(o->value),
                      "value_type", value_type_name(o->type), "version", (json_int_t)o->version);

        MUST(one);
        if (is_secret(o->value) || is_secret(o->old_value))
            json_object_set_new(one, "encrypted", json_true());
        json_array_append_new(list, one);
    }
    return list;
}

int scope_write_reply(struct reply *re, const struct scope_write *m)
{
    uint64_t revision = m->result.revision ? m->result.revision : m->scope.head;
    json_t *body = json_pack(
        "{s:s,s:s,s:I,s:b,s:b,s:b,s:o,s:o}", "service_name", m->scope.service, "environment",
        m->scope.environment, "revision", (json_int_t)revision, "changed",
        m->result.revision != 0, "dry_run", m->is_dry_run, "released",
        revision <= m->scope.released, "rollout",
        m->rollout[0] ? json_string(m->rollout) : json_null(), "changes", outcomes_json(m));

    if (m->write.is_on_released)
        json_object_set_new(body, "dropped_drafts", config_dropped_json(&m->result));
    if (!m->result.revision || m->is_dry_run)
        return reply_json(re, 200, body);
    reply_location(re, "/api/v1/config/%s/%s?revision=%" PRIu64, m->scope.service,
                   m->scope.environment, revision);
    return reply_json(re, 201, body);
}

static int write_once(struct request *rq, struct reply *re, struct scope_write *m, struct err *e)
{
    struct conform conform = config_conform(rq, re, scope_write_point, m);
    SCOPED(transaction_close) struct transaction t = { 0 };

    if (request_begin(rq, &t, e) < 0 || schemas_hold(rq->pg, m->service, e) < 0 ||
        scopes_lock_to_write(rq->pg, m->service, m->environment, true, &m->scope, e) < 0 ||
        release_take_back(&t, !m->is_dry_run, &m->scope, e) < 0 ||
        (m->fill && m->fill(rq, m, e) < 0))
        return -1;
    m->write.changes = m->changes;
    m->write.count = m->count;
    if (config_write(rq->pg, &m->scope, &m->write, &m->result, e) < 0) {
        scope_write_note_problems(re, m, e);
        return -1;
    }
    if (m->result.revision &&
        conform_check_written(&conform, &m->scope, m->result.revision, e) < 0)
        return -1;
    if (m->is_dry_run)
        return 0;
    if (m->result.revision &&
        config_settle(&t, &m->scope, m->action, &m->write, &m->result, m->rollout, e) < 0)
        return -1;
    return m->result.revision || t.is_kept ? transaction_commit(&t, e) : 0;
}

int scope_write_run(struct request *rq, struct reply *re, struct scope_write *m, struct err *e)
{
    int rc;

    m->write.actor = rq->owner.name;
    m->write.sealing = secret_values_sealing(rq);
    do
        rc = write_once(rq, re, m, e);
    while (rc < 0 && config_fetch_secrets(rq, &m->result, e));
    return rc;
}

int scope_write_post(struct request *rq, struct reply *re, struct err *e)
{
    struct scope_write m = { .action = "config.write" };
    int rc = -1;

    if (REQUEST_ONLY_QUERY(rq, e, "dry_run") == 0 &&
        config_names_of(rq, &m.service, &m.environment, e) == 0 &&
        scope_write_read(rq, re, &m, e) == 0)
        rc = scope_write_run(rq, re, &m, e);
    if (rc == 0)
        rc = scope_write_reply(re, &m);
    scope_write_fini(&m);
    return rc;
}

/* ---------------------------------------------------------------- back to a revision */

/* Content that today's schemas refuse does not come back this way: agents would refuse it, too.
 * Rolling a rollout back does bring it back. */
static int revert_inside(const struct conform *conform, struct transaction *t, uint64_t target,
                         const char *description, struct scope *scope, bool *is_changed,
                         char *rollout, struct err *e)
{
    struct audit_entry entry = { .action = "config.rollback",
                                 .note = description,
                                 .scope_id = scope->scope_id };
    uint64_t revision, old_head;

    if (target > scope->head)
        return err_code(e, ERR_NOT_FOUND, "unknown_revision",
                        "%s/%s has no revision %" PRIu64 "; its head is %" PRIu64, scope->service,
                        scope->environment, target, scope->head);
    if (scope_check_kept(scope, target, e) < 0)
        return -1;
    old_head = scope->head;
    if (config_revert(t->pg, scope, target, false, t->by.name, description, &revision, is_changed,
                      e) < 0)
        return -1;
    if (!*is_changed)
        return 0;
    if (secrets_check_revision(t->pg, scope->scope_id, revision, e) < 0 ||
        conform_check_written(conform, scope, revision, e) < 0 ||
        inherit_audit(t->pg, &t->trail, scope, old_head, t->by.name, e) < 0)
        return -1;
    transaction_note_revision(t, &entry,
                              json_pack("{s:I,s:I}", "revision", (json_int_t)revision,
                                        "target_revision", (json_int_t)target),
                              revision);
    return release_if_automatic(t, NULL, scope, rollout, e);
}

static int reply_reverted(struct reply *re, const struct scope *scope, uint64_t target,
                          uint64_t previous, bool is_changed, const char *rollout)
{
    json_t *body = json_pack("{s:s,s:s,s:I,s:I,s:I,s:b,s:o}", "service_name", scope->service,
                             "environment", scope->environment, "revision",
                             (json_int_t)scope->head, "previous_revision", (json_int_t)previous,
                             "rolled_back_to", (json_int_t)target, "changed", is_changed, "rollout",
                             *rollout ? json_string(rollout) : json_null());

    if (!is_changed)
        return reply_json(re, 200, body);
    reply_location(re, "/api/v1/config/%s/%s?revision=%" PRIu64, scope->service,
                   scope->environment, scope->head);
    return reply_json(re, 201, body);
}

int scope_write_rollback(struct request *rq, struct reply *re, struct err *e)
{
    struct conform conform =
        config_conform(rq, re, conform_point_fixed, (void *)"/target_revision");
    SCOPED(transaction_close) struct transaction t = { 0 };
    const char *service, *environment, *description;
    char rollout[CONFIG_ROLLOUT_ID_SIZE] = "";
    struct scope scope;
    struct fields f;
    uint64_t previous;
    int64_t target;
    bool is_changed = false;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || config_names_of(rq, &service, &environment, e) < 0 ||
        fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "target_revision", "change_description");
    target = fields_number(&f, "target_revision", 0, INT64_C(1) << 53, -1);
    description = fields_text(&f, "change_description", false, 4096);
    if (target < 0 && !re->problems.count)
        fields_problem(&f, "target_revision", "target_revision is missing");
    if (fields_done(re, e) < 0 || request_begin(rq, &t, e) < 0 ||
        schemas_hold(rq->pg, service, e) < 0 ||
        scopes_lock_to_write(rq->pg, service, environment, false, &scope, e) < 0 ||
        release_take_back(&t, true, &scope, e) < 0)
        return -1;
    previous = scope.head;
    if (revert_inside(&conform, &t, (uint64_t)target, description ? description : "", &scope,
                      &is_changed, rollout, e) < 0)
        return -1;
    if ((is_changed || t.is_kept) && transaction_commit(&t, e) < 0)
        return -1;
    return reply_reverted(re, &scope, (uint64_t)target, previous, is_changed, rollout);
}
