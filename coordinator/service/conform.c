/* conform.c - judges revisions and documents by the schemas of their service. */
#include "coordinator/service/conform.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/config/inherit.h"
#include "coordinator/store/config/schema_cache.h"
#include "coordinator/store/config/schemas.h"
#include "coordinator/store/config/sealing.h"
#include "coordinator/store/pg.h"

void conform_point_fixed(void *ctx, const char *key, char out[CONFORM_POINTER_SIZE])
{
    (void)key;
    snprintf(out, CONFORM_POINTER_SIZE, "%s", (const char *)ctx);
}

/* ---------------------------------------------------------------- saying what is wrong */

static json_t *finding_json(const struct schema_finding *f)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s}", "key", f->key, "instance_path",
                     f->problem.instance_path, "schema_path", f->problem.schema_path, "keyword",
                     f->problem.keyword, "detail", f->problem.text);
}

/* The key whose value a finding is about: the first part of the path in the whole document; ""
 * when it is about the document itself. */
static void key_of(const struct schema_finding *f, char out[DOCUMENT_KEY_MAX + 1])
{
    const char *at = f->problem.instance_path + 1;
    size_t n = 0;

    out[0] = '\0';
    if (strcmp(f->key, SCHEMA_SET_WHOLE) != 0)
        snprintf(out, DOCUMENT_KEY_MAX + 1, "%s", f->key);
    if (strcmp(f->key, SCHEMA_SET_WHOLE) != 0 || !*f->problem.instance_path)
        return;
    for (; *at && *at != '/' && n < DOCUMENT_KEY_MAX; at++) {
        bool is_escape = *at == '~' && (at[1] == '0' || at[1] == '1');

        out[n++] = !is_escape ? *at : at[1] == '0' ? '~' : '/';
        at += is_escape;
    }
    out[n] = '\0';
}

/* `child`: SERVICE/ENV of a scope that inherits the change; NULL: it is about the scope itself. */
static int refuse(const struct conform *c, const char *child, const struct schema_findings *f,
                  struct err *e)
{
    char pointer[CONFORM_POINTER_SIZE], key[DOCUMENT_KEY_MAX + 1], text[1200];
    json_t *list = json_array(), *one;

    for (size_t i = 0; i < f->count; i++) {
        key_of(&f->items[i], key);
        c->point(c->ctx, key, pointer);
        schema_finding_text(&f->items[i], text, sizeof(text));
        problems_add(c->problems, pointer, "%s%s%.250s", child ? child : "", child ? ": " : "",
                     text);
        one = finding_json(&f->items[i]);
        if (child)
            json_object_set_new(one, "scope", json_string(child));
        json_array_append_new(list, one);
    }
    problems_extra(c->problems, "violations", list);
    schema_finding_text(&f->items[0], text, sizeof(text));
    return err_code(e, ERR_INVALID, "schema_violation", "%s%s%.400s", child ? child : "",
             child ? ", which inherits this: " : "", text);
}

/* ---------------------------------------------------------------- a revision that was written */

/* A secret is judged when it is written here, by its value. One that is written elsewhere, or put
 * back, was judged then. */
static int judge_secret(const struct conform *c, const struct schema *schema, enum value_type type,
                        const char *digest, struct schema_problems *problems, struct err *e)
{
    const struct sealed_value *made = c->sealing ? sealing_look(c->sealing, digest) : NULL;

    if (!made || !made->is_made)
        return 0;
    return schema_check_secret(schema, type, made->text, problems, e);
}

static int judge_case(const struct conform *c, const struct scope *scope, uint64_t revision,
                      const struct schema_case *one, struct schema_problems *problems,
                      struct err *e)
{
    SCOPED(schema_held_give) struct schema_held *held = NULL;
    SCOPED(document_free) struct document *document = NULL;
    char digest[VALUE_DIGEST_SIZE];
    enum value_type type;

    if (schema_cache_take(c->schemas, c->pg, scope->service, one->key, &one->schema, &held, e) ||
        (*one->value_type && value_type_parse(one->value_type, &type, e) < 0))
        return -1;
    if (*one->value_type && value_is_reference(one->value, digest))
        return judge_secret(c, schema_held_get(held), type, digest, problems, e);
    if (*one->value_type)
        return schema_check_value(schema_held_get(held), type, one->value, problems, e);
    if (revision_snapshot(c->pg, scope->scope_id, revision, &document, e) < 0)
        return -1;
    if (document_count(document) == 0)
        return 0; /* no configuration, as revision 0 */
    return schema_check_document(schema_held_get(held), document, problems, e);
}

static int judge_cases(const struct conform *c, const struct scope *scope, uint64_t revision,
                       struct schema_findings *findings, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (schemas_cases(c->pg, scope->service, scope->scope_id, revision, &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows) && !findings->is_cut; i++) {
        SCOPED_SCHEMA_PROBLEMS struct schema_problems problems = { 0 };
        struct schema_case one = schema_case_at(rows, i);

        if (judge_case(c, scope, revision, &one, &problems, e) < 0 && !problems.count)
            return err_wrap(e, "the schema of %.200s", one.key);
        schema_findings_add(findings, one.key, &problems);
    }
    return 0;
}

static int check_child(const struct conform *c, const struct rows *rows, size_t row,
                       struct err *e)
{
    SCOPED_SCHEMA_FINDINGS struct schema_findings findings = { 0 };
    struct scope child = { .scope_id = rows_int(rows, row, 0) };
    char name[SCOPE_BUFFER];

    snprintf(child.service, sizeof(child.service), "%s", rows_text(rows, row, 1));
    snprintf(name, sizeof(name), "%s/%s", child.service, rows_text(rows, row, 2));
    if (judge_cases(c, &child, (uint64_t)rows_int(rows, row, 3), &findings, e) < 0)
        return err_wrap(e, "%s", name);
    return findings.count ? refuse(c, name, &findings, e) : 0;
}

int conform_check_written(const struct conform *c, const struct scope *scope, uint64_t revision,
                          struct err *e)
{
    SCOPED_SCHEMA_FINDINGS struct schema_findings findings = { 0 };
    SCOPED(rows_free) struct rows *children = NULL;

    if (judge_cases(c, scope, revision, &findings, e) < 0)
        return -1;
    if (findings.count)
        return refuse(c, NULL, &findings, e);
    if (inherit_caused(c->pg, scope->scope_id, revision, &children, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(children); i++)
        if (check_child(c, children, i, e) < 0)
            return -1;
    return 0;
}

/* ---------------------------------------------------------------- a rollout that is planned */

static int load_document(struct pg *pg, const struct hash *hash, struct document **out,
                         struct err *e)
{
    char *bytes;
    size_t size;
    int rc;

    *out = NULL;
    if (hash_is_zero(hash))
        return 0;
    if (document_load(pg, hash, &bytes, &size, e) < 0)
        return -1;
    rc = document_decode(bytes, size, out, e);
    free(bytes);
    return rc;
}

static int load_set(struct pg *pg, const struct hash *hash, struct schema_set **out,
                    struct err *e)
{
    char *bytes;
    size_t size;
    int rc;

    if (document_load(pg, hash, &bytes, &size, e) < 0)
        return -1;
    rc = schema_set_open(bytes, size, out, e);
    free(bytes);
    return rc;
}

int conform_check_document(const struct conform *c, const struct scope *scope,
                           const struct document *before, const struct document *after,
                           struct err *e)
{
    SCOPED_SCHEMA_FINDINGS struct schema_findings findings = { 0 };
    SCOPED(schema_set_free) struct schema_set *set = NULL;
    struct hash hash;

    if (schemas_newest_set(c->pg, scope->service, &hash, e) < 0)
        return -1;
    if (hash_is_zero(&hash))
        return 0;
    if (load_set(c->pg, &hash, &set, e) < 0 ||
        schema_set_check(set, before, after, &findings, e) < 0)
        return -1;
    return findings.count ? refuse(c, NULL, &findings, e) : 0;
}

int conform_check_secret(const struct conform *c, const struct scope *scope,
                         const struct document_item *item, struct err *e)
{
    SCOPED_SCHEMA_FINDINGS struct schema_findings findings = { 0 };
    SCOPED(schema_set_free) struct schema_set *set = NULL;
    struct hash hash;

    if (schemas_newest_set(c->pg, scope->service, &hash, e) < 0)
        return -1;
    if (hash_is_zero(&hash))
        return 0;
    if (load_set(c->pg, &hash, &set, e) < 0 ||
        schema_set_check_secret(set, item, &findings, e) < 0)
        return -1;
    return findings.count ? refuse(c, NULL, &findings, e) : 0;
}

int conform_check_rollout(struct pg *pg, struct problems *problems, const char *service,
                          const struct hash *from, const struct hash *to, const char *pointer,
                          struct hash *set_out, struct err *e)
{
    struct conform c = {
        .problems = problems, .point = conform_point_fixed, .ctx = (void *)pointer
    };
    SCOPED_SCHEMA_FINDINGS struct schema_findings findings = { 0 };
    SCOPED(document_free) struct document *before = NULL, *after = NULL;
    SCOPED(schema_set_free) struct schema_set *set = NULL;

    if (schemas_newest_set(pg, service, set_out, e) < 0)
        return -1;
    if (hash_equal(from, to))
        *set_out = (struct hash){ 0 }; /* what runs already is not asked again */
    if (hash_is_zero(set_out) || hash_is_zero(to))
        return 0;
    if (load_set(pg, set_out, &set, e) < 0 || load_document(pg, from, &before, e) < 0 ||
        load_document(pg, to, &after, e) < 0 ||
        schema_set_check(set, before, after, &findings, e) < 0)
        return -1;
    return findings.count ? refuse(&c, NULL, &findings, e) : 0;
}

/* ---------------------------------------------------------------- what is there already */

struct existing {
    struct pg *pg;
    const char *service, *key;
    const struct schema *schema;
    size_t max;
    json_t *list;
};

/* A value that no schema can be asked about is told of with the rest. */
static void list_unread(struct schema_problems *problems, const struct err *e)
{
    struct schema_problem *p = &problems->items[problems->count++];

    *p = (struct schema_problem){ .instance_path = strdup(""), .schema_path = strdup("#"),
                                  .keyword = "", .text = strdup(e->text) };
    MUST(p->instance_path && p->schema_path && p->text);
}

static int judge_existing(struct existing *x, const struct document *document,
                          struct schema_problems *problems, struct err *e)
{
    struct document_item item;
    int rc = 0;

    if (strcmp(x->key, SCHEMA_SET_WHOLE) == 0)
        rc = schema_check_document(x->schema, document, problems, e);
    else if (document_get(document, x->key, &item) && !item.is_secret)
        rc = schema_check_value(x->schema, item.type, item.text, problems, e);
    if (rc < 0 && e->kind == ERR_INVALID && !problems->count)
        list_unread(problems, e);
    return rc < 0 && e->kind != ERR_INVALID ? -1 : 0;
}

static void list_problems(struct existing *x, const char *environment, uint64_t revision,
                          bool is_released, struct schema_problems *problems)
{
    SCOPED_SCHEMA_FINDINGS struct schema_findings findings = { 0 };

    schema_findings_add(&findings, x->key, problems);
    for (size_t i = 0; i < findings.count && json_array_size(x->list) < x->max; i++) {
        json_t *one = finding_json(&findings.items[i]);

        json_object_set_new(one, "environment", json_string(environment));
        json_object_set_new(one, "revision", json_integer((json_int_t)revision));
        json_object_set_new(one, "released", json_boolean(is_released));
        json_array_append_new(x->list, one);
    }
}

static int list_revision(struct existing *x, int64_t scope_id, const char *environment,
                         uint64_t revision, bool is_released, struct err *e)
{
    SCOPED_SCHEMA_PROBLEMS struct schema_problems problems = { 0 };
    SCOPED(document_free) struct document *document = NULL;

    if (revision_snapshot(x->pg, scope_id, revision, &document, e) < 0)
        return -1;
    if (document_count(document) == 0)
        return 0;
    if (judge_existing(x, document, &problems, e) < 0)
        return err_wrap(e, "%s/%s@%" PRIu64, x->service, environment, revision);
    list_problems(x, environment, revision, is_released, &problems);
    return 0;
}

/* The head is judged by itself only where it has another value than what is released. */
static int list_scope(struct existing *x, const struct rows *rows, size_t row, struct err *e)
{
    int64_t id = rows_int(rows, row, 0);
    const char *environment = rows_text(rows, row, 1);
    uint64_t head = (uint64_t)rows_int(rows, row, 2), released = (uint64_t)rows_int(rows, row, 3);
    bool is_written;

    if (released > 0 && list_revision(x, id, environment, released, true, e) < 0)
        return -1;
    if (schemas_is_written(x->pg, id, x->key, released, head, &is_written, e) < 0)
        return -1;
    return is_written ? list_revision(x, id, environment, head, false, e) : 0;
}

int conform_list_existing(struct pg *pg, const char *service, const char *key,
                          const struct schema *schema, size_t max, struct json_t **out,
                          struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct existing x = { .pg = pg, .service = service, .key = key, .schema = schema, .max = max };

    if (schemas_scopes(pg, service, &rows, e) < 0)
        return -1;
    x.list = json_array();
    MUST(x.list);
    for (size_t i = 0; i < rows_count(rows); i++)
        if (list_scope(&x, rows, i, e) < 0) {
            json_decref(x.list);
            return -1;
        }
    *out = x.list;
    return 0;
}
