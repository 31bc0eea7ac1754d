/* validate.c - handler that answers whether something may be written: in memory, without a lock. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/http/config/scope_write.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/service/conform.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/config/inherit.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/environments.h"

/* A secret that would be made has no envelope yet. Of its place the document says that one is
 * there, which is all that a schema of the whole may know. */
#define NO_DIGEST "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

/* A scope that nobody wrote yet is empty; its environment must be there, as for a write. */
static int find_scope(struct request *rq, struct scope_write *m, struct err *e)
{
    struct environment environment;

    if (scopes_find(rq->pg, m->service, m->environment, &m->scope, e) == 0)
        return 0;
    if (e->kind != ERR_NOT_FOUND || environments_get(rq->pg, m->environment, &environment, e) < 0)
        return -1;
    m->scope = (struct scope){ 0 };
    snprintf(m->scope.service, sizeof(m->scope.service), "%s", m->service);
    snprintf(m->scope.environment, sizeof(m->scope.environment), "%s", m->environment);
    return 0;
}

static int read_document(struct pg *pg, int64_t scope_id, uint64_t revision,
                         struct document **out, struct err *e)
{
    if (scope_id)
        return revision_snapshot(pg, scope_id, revision, out, e);
    *out = document_new();
    return 0;
}

static int change(struct document *d, const char *key, const struct config_outcome *o,
                  struct err *e)
{
    char reference[VALUE_REFERENCE_SIZE];

    if (!o->value && !o->plain) {
        document_unset(d, key);
        return 0;
    }
    value_reference(NO_DIGEST, reference);
    return document_set(d, key, o->type, o->value ? o->value : reference, e);
}

/* Every key that is named is judged, also one that has this value already; and the document as it
 * would be. */
static int judge_document(const struct conform *c, struct scope_write *m, struct err *e)
{
    SCOPED(document_free) struct document *before = NULL, *after = NULL;

    if (read_document(c->pg, m->scope.scope_id, m->scope.head, &before, e) < 0 ||
        read_document(c->pg, m->scope.scope_id, m->scope.head, &after, e) < 0)
        return -1;
    for (size_t i = 0; i < m->count; i++) {
        document_unset(before, m->changes[i].key);
        if (change(after, m->changes[i].key, &m->result.outcomes[i], e) < 0)
            return -1;
    }
    return conform_check_document(c, &m->scope, before, after, e);
}

static int judge_secrets(const struct conform *c, struct scope_write *m, struct err *e)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct config_outcome *o = &m->result.outcomes[i];
        struct document_item item = { .key = m->changes[i].key, .type = o->type,
                                      .text = o->plain };

        if (o->plain && conform_check_secret(c, &m->scope, &item, e) < 0)
            return -1;
    }
    return 0;
}

/* A child that inherits: its own keys stay, the others would get the values of this write. */
static int judge_child(const struct conform *c, struct scope_write *m, const struct scope *child,
                       struct err *e)
{
    SCOPED(document_free) struct document *before = NULL, *after = NULL;
    SCOPED(rows_free) struct rows *own = NULL;

    if (inherit_own_keys(c->pg, child->scope_id, m->scope.scope_id, m->write.changes, m->count,
                         &own, e) < 0 ||
        revision_snapshot(c->pg, child->scope_id, child->head, &before, e) < 0 ||
        revision_snapshot(c->pg, child->scope_id, child->head, &after, e) < 0)
        return -1;
    for (size_t i = 0; i < m->count; i++)
        if (!rows_bool(own, i, 0) &&
            change(after, m->changes[i].key, &m->result.outcomes[i], e) < 0)
            return -1;
    return conform_check_document(c, child, before, after, e);
}

static int judge_children(const struct conform *c, struct scope_write *m, struct err *e)
{
    SCOPED(rows_free) struct rows *below = NULL;

    if (!m->scope.scope_id)
        return 0;
    if (inherit_below(c->pg, m->scope.scope_id, &below, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(below); i++) {
        struct scope child = { .scope_id = rows_int(below, i, 0),
                               .head = (uint64_t)rows_int(below, i, 3) };

        snprintf(child.service, sizeof(child.service), "%s", rows_text(below, i, 1));
        snprintf(child.environment, sizeof(child.environment), "%s", rows_text(below, i, 2));
        if (judge_child(c, m, &child, e) < 0)
            return err_wrap(e, "%s/%s, which inherits this", child.service, child.environment);
    }
    return 0;
}

static int validate_once(struct request *rq, struct reply *re, struct scope_write *m, struct err *e)
{
    struct conform c = config_conform(rq, re, scope_write_point, m);

    if (find_scope(rq, m, e) < 0)
        return -1;
    m->write.changes = m->changes;
    m->write.count = m->count;
    if (config_look(rq->pg, &m->scope, &m->write, &m->result, e) < 0) {
        scope_write_note_problems(re, m, e);
        return -1;
    }
    return judge_secrets(&c, m, e) < 0 || judge_document(&c, m, e) < 0 ||
                   judge_children(&c, m, e) < 0
               ? -1
               : 0;
}

/* Asks for no right to write, as nothing is written, and takes no lock. What is released or written
 * at the same time may be seen or not, key by key: the write itself is judged again. */
int scope_write_validate(struct request *rq, struct reply *re, struct err *e)
{
    struct scope_write m = { 0 };
    int rc = -1;

    if (REQUEST_ONLY_QUERY(rq, e) == 0 &&
        config_names_of(rq, &m.service, &m.environment, e) == 0 &&
        scope_write_read(rq, re, &m, e) == 0) {
        m.write.actor = rq->owner.name;
        m.write.sealing = secret_values_sealing(rq);
        do
            rc = validate_once(rq, re, &m, e);
        while (rc < 0 && config_fetch_secrets(rq, &m.result, e));
    }
    if (rc == 0)
        rc = reply_json(re, 200, json_pack("{s:s,s:s,s:b,s:I}", "service_name", m.service,
                                           "environment", m.environment, "valid", 1, "keys",
                                           (json_int_t)m.count));
    scope_write_fini(&m);
    return rc;
}
