/* schema.c - compiles schemas, and applies them to values. */
#include "common/schema/schema_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"

/* ---------------------------------------------------------------- apply */

static bool apply_rules(struct schema_check *c, const struct schema_node *n,
                        const struct schema_at *at)
{
    unsigned type = (unsigned)schema_type_of(at->value);
    bool fits = true;

    for (size_t i = 0; i < n->rule_count && !c->is_over; i++) {
        const struct schema_rule *r = &n->rules[i];

        if (!r->keyword->check || !(r->keyword->types & type))
            continue;
        if (!schema_charge(c, 1) || !r->keyword->check(c, n, r, at))
            fits = false;
        /* The first problem is enough where none is reported. */
        if (!fits && c->quiet > 0)
            break;
    }
    return fits && !c->is_over;
}

bool schema_apply(struct schema_check *c, const struct schema_node *n, const struct schema_at *at)
{
    bool fits;

    if (!schema_charge(c, 1))
        return false;
    /* No circles: schema_check_circles has seen to it. */
    while (n->ref && schema_charge(c, 1))
        n = n->ref;
    if (json_is_false(n->json))
        return schema_refuse(c, n, "", at, "must not be here");
    if (c->depth == SCHEMA_DEPTH_MAX)
        return schema_give_up(c, "more than %d schemas apply inside each other", SCHEMA_DEPTH_MAX);
    c->depth++;
    fits = apply_rules(c, n, at);
    c->depth--;
    return fits;
}

static int tell(const struct schema_problem *first, struct err *e)
{
    return err_code(e, ERR_INVALID, "schema", "%.150s%s%.250s (schema: %.60s)",
                    first->instance_path, *first->instance_path ? " " : "the value ", first->text,
                    first->schema_path);
}

static _Thread_local uint64_t budget = UINT64_MAX;

void schema_budget(uint64_t steps)
{
    budget = steps;
}

int schema_run(const struct schema *s, const json_t *tree, struct schema_problems *problems,
               struct err *e)
{
    SCOPED_SCHEMA_PROBLEMS struct schema_problems own = { 0 };
    struct schema_check c = {
        .schema = s, .problems = problems ? problems : &own, .e = e,
        .work = budget < SCHEMA_WORK_MAX ? budget : SCHEMA_WORK_MAX
    };
    const uint64_t given = c.work;
    struct schema_at at = { .value = tree };
    bool fits;

    if (problems)
        schema_problems_fini(problems);
    e->kind = ERR_NONE;
    e->code = NULL;
    fits = schema_apply(&c, s->root, &at);
    schema_pattern_forget(&c);
    budget -= budget == UINT64_MAX ? 0 : given - c.work;
    if (e->kind != ERR_NONE)
        return -1;
    if (fits)
        return 0;
    MUST(c.problems->count > 0);
    return tell(&c.problems->items[0], e);
}

static int run_and_release(const struct schema *s, json_t *tree, struct schema_problems *problems,
                           struct err *e)
{
    int result = schema_run(s, tree, problems, e);

    json_decref(tree);
    return result;
}

int schema_check(const struct schema *s, const char *json, size_t size,
                 struct schema_problems *problems, struct err *e)
{
    json_t *tree;

    return schema_tree_of_json(json, size, &tree, e) ? -1 : run_and_release(s, tree, problems, e);
}

int schema_check_value(const struct schema *s, enum value_type type, const char *text,
                       struct schema_problems *problems, struct err *e)
{
    json_t *tree;

    return schema_tree_of_value(type, text, &tree, e) ? -1 : run_and_release(s, tree, problems, e);
}

/* What could not even be read is quoted where the reader stopped: an alias, a tag, a number. */
int schema_check_secret(const struct schema *s, enum value_type type, const char *text,
                        struct schema_problems *problems, struct err *e)
{
    int rc = schema_check_value(s, type, text, problems, e);

    if (rc < 0 && !problems->count)
        return err_set(e, e->kind, "its value, a secret that is not shown, cannot be judged");
    schema_problems_hide(problems);
    return rc;
}

int schema_check_document(const struct schema *s, const struct document *d,
                          struct schema_problems *problems, struct err *e)
{
    json_t *tree;

    return schema_tree_of_document(d, &tree, e) ? -1 : run_and_release(s, tree, problems, e);
}

/* ---------------------------------------------------------------- compile */

static int make(struct schema *s, const char *text, size_t size, struct err *e)
{
    return schema_add_document(s, "", text, size, &s->root, e) || schema_link(s, e) ||
                   schema_check_circles(s, e)
               ? -1
               : 0;
}

/* Without a meta-schema to judge it: for the meta-schema itself. */
static struct schema *make_meta(void)
{
    struct schema_problems none = { 0 };
    struct schema *s = memory_new(sizeof(*s));
    struct err e;

    s->problems = &none;
    MUST(make(s, schema_meta_text, strlen(schema_meta_text), &e) == 0);
    s->problems = NULL;
    return s;
}

int schema_compile(const char *text, size_t size, schema_resolve_fn *resolve, void *ctx,
                   struct schema **out, struct schema_problems *problems, struct err *e)
{
    SCOPED_SCHEMA_PROBLEMS struct schema_problems own = { 0 };
    SCOPED(schema_free) struct schema *meta = make_meta();
    SCOPED(schema_free) struct schema *s = memory_new(sizeof(*s));

    s->meta = meta;
    s->resolve = resolve;
    s->ctx = ctx;
    s->problems = problems ? problems : &own;
    if (make(s, text, size, e))
        return -1;
    s->meta = NULL;
    s->resolve = NULL;
    s->problems = NULL;
    *out = MOVE(s);
    return 0;
}

static void rule_fini(struct schema_rule *r)
{
    for (size_t i = 0; i < r->child_count; i++)
        schema_pattern_free(r->children[i].pattern);
    free(r->children);
    schema_pattern_free(r->pattern);
    free(r->values);
}

void schema_free(struct schema *s)
{
    struct schema_id *id, *next;

    if (!s)
        return;
    HASH_CLEAR(hh, s->by_json);
    for (size_t i = 0; i < s->node_count; i++) {
        struct schema_node *n = s->nodes[i];

        for (size_t j = 0; j < n->rule_count; j++)
            rule_fini(&n->rules[j]);
        free(n->rules);
        free(n->origin);
        free(n);
    }
    free(s->nodes);
    HASH_ITER(hh, s->ids, id, next)
    {
        HASH_DEL(s->ids, id);
        free(id->uri);
        free(id);
    }
    for (size_t i = 0; i < s->base_count; i++)
        free(s->bases[i]);
    free(s->bases);
    for (size_t i = 0; i < s->document_count; i++)
        json_decref(s->documents[i]);
    free(s);
}
