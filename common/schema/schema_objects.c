/* schema_objects.c - the keywords that look at the members of an object. */
#include "common/schema/schema_keywords.h"

#include <string.h>

#define LISTED_MAX 300 /* bytes of a list inside a sentence */

static struct schema_at member_of(const struct schema_at *at, const char *marked_key,
                                  const json_t *value)
{
    return (struct schema_at){ at, marked_key + 1, 0, at->depth + 1, value };
}

bool schema_check_required(struct schema_check *c, const struct schema_node *n,
                           const struct schema_rule *r, const struct schema_at *at)
{
    bool fits = true;

    for (size_t i = 0; i < json_array_size(r->value) && schema_charge(c, 1); i++) {
        const json_t *name = json_array_get(r->value, i);

        if (!json_object_get(at->value, json_string_value(name)))
            fits = schema_refuse(c, n, "required", at, "must have the member \"%.200s\"",
                                 schema_text(name));
    }
    return fits;
}

static bool check_companions(struct schema_check *c, const struct schema_node *n,
                             const struct schema_child *child, const struct schema_at *at)
{
    bool fits = true;

    for (size_t i = 0; i < json_array_size(child->value) && schema_charge(c, 1); i++) {
        const json_t *name = json_array_get(child->value, i);

        if (!json_object_get(at->value, json_string_value(name)))
            fits = schema_refuse(c, n, "dependencies", at,
                                 "must have the member \"%.150s\" when it has \"%.150s\"",
                                 schema_text(name), child->key);
    }
    return fits;
}

bool schema_check_dependencies(struct schema_check *c, const struct schema_node *n,
                               const struct schema_rule *r, const struct schema_at *at)
{
    bool fits = true;

    for (size_t i = 0; i < r->child_count && schema_charge(c, 1); i++) {
        const struct schema_child *child = &r->children[i];

        /* One before the key stands its mark. */
        if (!json_object_get(at->value, child->key - 1))
            continue;
        if (child->node ? !schema_apply(c, child->node, at) : !check_companions(c, n, child, at))
            fits = false;
    }
    return fits;
}

/* What is wrong with a name is said in one sentence, at its place. */
static bool check_name(struct schema_check *c, const struct schema_node *n,
                       const struct schema_rule *r, const struct schema_at *here)
{
    SCOPED_SCHEMA_PROBLEMS struct schema_problems own = { 0 };
    struct schema_problems *all = c->problems;
    bool fits;

    c->problems = &own;
    fits = schema_apply(c, r->children[0].node, here);
    c->problems = all;
    /* A full list of its own is not the end of the check. */
    c->is_over = c->is_over && c->e->kind != ERR_NONE;
    return fits || schema_refuse(c, n, "propertyNames", here, "must have another name: a name %s",
                                 own.count > 0 ? own.items[0].text : "that fits");
}

bool schema_check_names(struct schema_check *c, const struct schema_node *n,
                        const struct schema_rule *r, const struct schema_at *at)
{
    bool fits = true;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)at->value, key, value) {
        json_t *name = json_string(key);
        struct schema_at here = member_of(at, key, name);

        fits = check_name(c, n, r, &here) && fits;
        json_decref(name);
        if (c->is_over)
            return false;
    }
    return fits;
}

bool schema_check_properties(struct schema_check *c, const struct schema_node *n,
                             const struct schema_rule *r, const struct schema_at *at)
{
    bool fits = true;
    const char *key;
    json_t *value;

    (void)n;
    /* The shorter of the two lists decides how long this takes. */
    if (r->child_count <= json_object_size(at->value)) {
        for (size_t i = 0; i < r->child_count && schema_charge(c, 1); i++) {
            const char *marked = r->children[i].key - 1;
            struct schema_at here = member_of(at, marked, json_object_get(at->value, marked));

            if (here.value && !schema_apply(c, r->children[i].node, &here))
                fits = false;
        }
        return fits;
    }
    json_object_foreach((json_t *)at->value, key, value) {
        const struct schema_child *child = schema_child_of(r, key + 1);
        struct schema_at here = member_of(at, key, value);

        if (!schema_charge(c, 1))
            return false;
        if (child && !schema_apply(c, child->node, &here))
            fits = false;
    }
    return fits;
}

bool schema_check_pattern_properties(struct schema_check *c, const struct schema_node *n,
                                     const struct schema_rule *r, const struct schema_at *at)
{
    bool fits = true;
    const char *key;
    json_t *value;

    (void)n;
    json_object_foreach((json_t *)at->value, key, value) {
        struct schema_at here = member_of(at, key, value);

        for (size_t i = 0; i < r->child_count && schema_charge(c, 1); i++)
            if (schema_pattern_fits(c, r->children[i].pattern, key + 1) &&
                !schema_apply(c, r->children[i].node, &here))
                fits = false;
        if (c->is_over)
            return false;
    }
    return fits;
}

/* Is the member spoken of by properties or patternProperties? */
static bool is_known(struct schema_check *c, const struct schema_rule *properties,
                     const struct schema_rule *patterns, const char *key)
{
    if (schema_child_of(properties, key))
        return true;
    for (size_t i = 0; patterns && i < patterns->child_count && schema_charge(c, 1); i++)
        if (schema_pattern_fits(c, patterns->children[i].pattern, key))
            return true;
    return c->is_over;
}

/* "the names are a, b, c" */
static bool refuse_unknown(struct schema_check *c, const struct schema_node *n,
                           const struct schema_rule *properties, bool has_patterns,
                           const struct schema_at *at)
{
    SCOPED_BUFFER struct buffer names = { 0 };

    if (c->quiet > 0)
        return schema_refuse(c, n, "additionalProperties", at, "must not be here");
    buffer_add(&names, "", 0);
    for (size_t i = 0; properties && i < properties->child_count; i++) {
        if (names.size > LISTED_MAX) {
            buffer_add_text(&names, ", …");
            break;
        }
        buffer_printf(&names, "%s%.100s", i > 0 ? ", " : "", properties->children[i].key);
    }
    if (names.size == 0)
        return schema_refuse(c, n, "additionalProperties", at, "must not be here");
    return schema_refuse(c, n, "additionalProperties", at, "must not be here: the members are %s%s",
                         names.data, has_patterns ? ", and those of patternProperties" : "");
}

bool schema_check_additional(struct schema_check *c, const struct schema_node *n,
                             const struct schema_rule *r, const struct schema_at *at)
{
    const struct schema_rule *properties = schema_rule_of(n, SCHEMA_KEYWORD_PROPERTIES);
    const struct schema_rule *patterns = schema_rule_of(n, SCHEMA_KEYWORD_PATTERN_PROPERTIES);
    bool fits = true;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)at->value, key, value) {
        struct schema_at here = member_of(at, key, value);

        if (!schema_charge(c, 1))
            return false;
        if (is_known(c, properties, patterns, key + 1))
            continue;
        if (json_is_false(r->value))
            fits = refuse_unknown(c, n, properties, patterns != NULL, &here);
        else if (!schema_apply(c, r->children[0].node, &here))
            fits = false;
    }
    return fits;
}
