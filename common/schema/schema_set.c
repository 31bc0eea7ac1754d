/* schema_set.c - judges what changed in a document by the schemas of its service. */
#include "common/schema/schema_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"

struct schema_set {
    struct document *schemas;
};

/* ---------------------------------------------------------------- findings */

void schema_findings_fini(struct schema_findings *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->items[i].key);
        free(f->items[i].problem.instance_path);
        free(f->items[i].problem.schema_path);
        free(f->items[i].problem.text);
    }
    *f = (struct schema_findings){ 0 };
}

void schema_findings_add(struct schema_findings *f, const char *key,
                         struct schema_problems *problems)
{
    f->is_cut = f->is_cut || problems->is_cut;
    for (size_t i = 0; i < problems->count && f->count < SCHEMA_PROBLEMS_MAX; i++) {
        struct schema_finding *one = &f->items[f->count++];

        *one = (struct schema_finding){ .key = strdup(key), .problem = problems->items[i] };
        MUST(one->key);
        problems->items[i] = (struct schema_problem){ 0 };
    }
    for (size_t i = 0; i < problems->count; i++)
        f->is_cut = f->is_cut || problems->items[i].text;
    schema_problems_fini(problems);
}

void schema_finding_text(const struct schema_finding *f, char *out, size_t size)
{
    const struct schema_problem *p = &f->problem;
    bool is_whole = strcmp(f->key, SCHEMA_SET_WHOLE) == 0;

    snprintf(out, size, "%.200s%s%.300s: %s (%s%s%.300s)", is_whole ? "the document" : f->key,
             *p->instance_path ? " at " : "", p->instance_path, p->text, p->keyword,
             *p->keyword ? ", " : "", p->schema_path);
}

/* ---------------------------------------------------------------- judging */

int schema_set_open(const char *bytes, size_t size, struct schema_set **out, struct err *e)
{
    struct schema_set *set = memory_new(sizeof(*set));

    if (document_decode(bytes, size, &set->schemas, e) < 0) {
        free(set);
        return err_wrap(e, "the schemas");
    }
    *out = set;
    return 0;
}

void schema_set_free(struct schema_set *set)
{
    if (!set)
        return;
    document_free(set->schemas);
    free(set);
}

struct judging {
    const struct schema_set *set;
    struct schema_findings *findings;
    int rc;
    struct err *e;
};

/* A check that ended without an answer ends the judging: what was not judged does not pass. */
static void conclude(struct judging *j, const char *key, int rc, struct schema_problems *problems)
{
    if (rc < 0 && (j->e->kind != ERR_INVALID || !problems->count))
        j->rc = err_wrap(j->e, "the schema of %.200s", key);
    else
        schema_findings_add(j->findings, key, problems);
}

static void judge_key(void *ctx, const char *key, const struct document_item *before,
                      const struct document_item *after)
{
    SCOPED_SCHEMA_PROBLEMS struct schema_problems problems = { 0 };
    SCOPED(schema_free) struct schema *schema = NULL;
    struct judging *j = ctx;
    struct document_item text;
    int rc;

    (void)before;
    if (j->rc < 0 || !after || after->is_secret || !strcmp(key, SCHEMA_SET_WHOLE) ||
        !document_get(j->set->schemas, key, &text))
        return;
    if (j->findings->count == SCHEMA_PROBLEMS_MAX) {
        j->findings->is_cut = true;
        return;
    }
    rc = schema_compile(text.text, strlen(text.text), NULL, NULL, &schema, NULL, j->e);
    if (rc < 0) {
        j->rc = err_wrap(j->e, "the schema of %.200s", key);
        return;
    }
    rc = schema_check_value(schema, after->type, after->text, &problems, j->e);
    conclude(j, key, rc, &problems);
}

static void judge_whole(struct judging *j, const struct document *after)
{
    SCOPED_SCHEMA_PROBLEMS struct schema_problems problems = { 0 };
    SCOPED(schema_free) struct schema *schema = NULL;
    struct document_item text;
    int rc;

    if (j->rc < 0 || !document_get(j->set->schemas, SCHEMA_SET_WHOLE, &text))
        return;
    rc = schema_compile(text.text, strlen(text.text), NULL, NULL, &schema, NULL, j->e);
    if (rc < 0) {
        j->rc = err_wrap(j->e, "the schema of " SCHEMA_SET_WHOLE);
        return;
    }
    rc = schema_check_document(schema, after, &problems, j->e);
    conclude(j, SCHEMA_SET_WHOLE, rc, &problems);
}

int schema_set_check(const struct schema_set *set, const struct document *before,
                     const struct document *after, struct schema_findings *findings,
                     struct err *e)
{
    SCOPED(document_free) struct document *nothing = document_new();
    struct judging j = { .set = set, .findings = findings, .e = e };

    document_diff(before ? before : nothing, after, judge_key, &j);
    judge_whole(&j, after);
    return j.rc;
}

int schema_set_check_secret(const struct schema_set *set, const struct document_item *item,
                            struct schema_findings *findings, struct err *e)
{
    SCOPED_SCHEMA_PROBLEMS struct schema_problems problems = { 0 };
    SCOPED(schema_free) struct schema *schema = NULL;
    struct document_item text;

    if (!strcmp(item->key, SCHEMA_SET_WHOLE) || !document_get(set->schemas, item->key, &text))
        return 0;
    if (schema_compile(text.text, strlen(text.text), NULL, NULL, &schema, NULL, e) < 0 ||
        (schema_check_secret(schema, item->type, item->text, &problems, e) < 0 && !problems.count))
        return err_wrap(e, "the schema of %.200s", item->key);
    schema_findings_add(findings, item->key, &problems);
    return 0;
}
