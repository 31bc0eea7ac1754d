/* schema_compile.c - a schema's tree becomes nodes, and its keywords rules with prepared operands.
 */
#include "common/schema/schema_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/document/canon.h"
#include "common/invariant.h"
#include "common/memory.h"

static struct schema_node *node_new(struct schema *s, const json_t *json)
{
    struct schema_node *n = calloc(1, sizeof(*n));

    if (s->node_count == s->node_capacity) {
        s->node_capacity = s->node_capacity ? 2 * s->node_capacity : 64;
        s->nodes = realloc(s->nodes, s->node_capacity * sizeof(struct schema_node *));
    }
    MUST(n && s->nodes);
    s->nodes[s->node_count++] = n;
    *n = (struct schema_node){ .json = json, .index = SIZE_MAX };
    if (json_is_object(json))
        HASH_ADD_PTR(s->by_json, json, n);
    return n;
}

const char *schema_keep_base(struct schema *s, const char *uri)
{
    char *kept = strdup(uri);

    if (s->base_count == s->base_capacity) {
        s->base_capacity = s->base_capacity ? 2 * s->base_capacity : 16;
        s->bases = realloc(s->bases, s->base_capacity * sizeof(char *));
    }
    MUST(kept && s->bases);
    s->bases[s->base_count++] = kept;
    return kept;
}

static int compare_children(const void *a, const void *b)
{
    return strcmp(((const struct schema_child *)a)->key, ((const struct schema_child *)b)->key);
}

const struct schema_child *schema_child_of(const struct schema_rule *r, const char *key)
{
    struct schema_child wanted = { .key = key };

    return r && r->child_count > 0
               ? bsearch(&wanted, r->children, r->child_count, sizeof(wanted), compare_children)
               : NULL;
}

const struct schema_rule *schema_rule_of(const struct schema_node *n, enum schema_keyword_id id)
{
    for (size_t i = 0; i < n->rule_count; i++)
        if (n->rules[i].keyword->id == id)
            return &n->rules[i];
    return NULL;
}

static int fill_node(struct schema *s, struct schema_node *n, struct err *e);

static int add_child(struct schema *s, struct schema_node *parent, const struct schema_rule *r,
                     struct schema_child *child, size_t index, struct err *e)
{
    if (json_is_array(child->value) || !child->value)
        return 0;
    child->node = node_new(s, child->value);
    child->node->parent = parent;
    child->node->keyword = r->keyword->marked + 1;
    child->node->key = child->key;
    child->node->index = index;
    child->node->base = parent->base;
    return fill_node(s, child->node, e);
}

/* The schemas inside a keyword's operand. The meta-schema has said that there are some. */
static int add_children(struct schema *s, struct schema_node *n, struct schema_rule *r,
                        struct err *e)
{
    bool is_list = json_is_array(r->value), is_map = r->keyword->shape == SCHEMA_MEMBERS;
    size_t i = 0;
    const char *key;
    json_t *value;

    if (r->keyword->shape == SCHEMA_NO_SCHEMAS)
        return 0;
    r->child_count = is_map ? json_object_size(r->value) : is_list ? json_array_size(r->value) : 1;
    r->children = memory_array(r->child_count + 1, sizeof(*r->children));
    if (is_map) {
        json_object_foreach((json_t *)r->value, key, value) {
            r->children[i++] = (struct schema_child){ .key = key + 1, .value = value };
        }
        qsort(r->children, r->child_count, sizeof(*r->children), compare_children);
    }
    for (i = 0; i < r->child_count; i++) {
        if (!is_map)
            r->children[i].value = is_list ? json_array_get(r->value, i) : r->value;
        if (add_child(s, n, r, &r->children[i], is_list ? i : SIZE_MAX, e))
            return -1;
    }
    return 0;
}

static int add_rule(struct schema *s, struct schema_node *n, const struct schema_keyword *keyword,
                    const json_t *value, struct err *e)
{
    /* The room was made beforehand: rules may be pointed to while children are added. */
    struct schema_rule *r = &n->rules[n->rule_count++];

    *r = (struct schema_rule){ .keyword = keyword, .value = value };
    if (add_children(s, n, r, e))
        return -1;
    if (keyword->prepare && keyword->prepare(s, n, r, e)) {
        SCOPED_BUFFER struct buffer path = { 0 };

        schema_node_path(n, keyword->marked + 1, &path);
        return err_wrap(e, "the schema cannot be used at %.200s", path.data);
    }
    return 0;
}

static int fill_node(struct schema *s, struct schema_node *n, struct err *e)
{
    const json_t *values[SCHEMA_KEYWORD_COUNT];
    const char *id = canon_string(canon_member(n->json, "$id"));
    size_t count = 0;

    if (s->node_count > SCHEMA_NODES_MAX)
        return err_set(e, ERR_TOO_LARGE, "the schema has more than %d schemas inside",
                       SCHEMA_NODES_MAX);
    if (id && !canon_member(n->json, "$ref") && schema_add_id(s, n, id, e))
        return -1;
    for (unsigned i = 0; i < SCHEMA_KEYWORD_COUNT; i++) {
        values[i] = json_object_get(n->json, schema_keywords[i].marked);
        count += values[i] != NULL;
    }
    n->rules = memory_array(count + 1, sizeof(*n->rules));
    for (unsigned i = 0; i < SCHEMA_KEYWORD_COUNT; i++)
        if (values[i] && add_rule(s, n, &schema_keywords[i], values[i], e))
            return -1;
    return 0;
}

/* Only what the meta-schema accepts is looked at further. */
static int check_meta(struct schema *s, const json_t *json, const char *origin, struct err *e)
{
    struct schema_problem *first;
    struct err inner;

    schema_problems_fini(s->problems);
    if (!s->meta || schema_run(s->meta, json, s->problems, &inner) == 0)
        return 0;
    first = &s->problems->items[0];
    if (s->problems->count == 0)
        return err_set(e, inner.kind, "the schema cannot be checked: %s", inner.text);
    return err_set(e, ERR_INVALID, "the schema is not valid at %.100s%.200s: it %.160s", origin,
                   first->instance_path, first->text);
}

int schema_add_tree(struct schema *s, const json_t *json, const char *base, char *origin,
                    struct schema_node **out, struct err *e)
{
    struct schema_node *n;

    if (check_meta(s, json, origin, e)) {
        free(origin);
        return -1;
    }
    n = node_new(s, json);
    n->origin = origin;
    n->base = base;
    *out = n;
    return fill_node(s, n, e);
}
