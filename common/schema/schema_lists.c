/* schema_lists.c - the keywords that look at the items of a list. */
#include "common/schema/schema_keywords.h"

#include <stdlib.h>

static struct schema_at item_of(const struct schema_at *at, size_t index)
{
    return (struct schema_at){ at, NULL, index, at->depth + 1, json_array_get(at->value, index) };
}

bool schema_check_unique(struct schema_check *c, const struct schema_node *n,
                         const struct schema_rule *r, const struct schema_at *at)
{
    size_t count = json_array_size(at->value);
    struct schema_hashed *items;
    bool fits = true;

    if (!json_is_true(r->value) || count < 2)
        return true;
    items = schema_hash_items(c, at->value);
    if (!items)
        return false;
    for (size_t i = 0; i < count && fits; i++)
        for (size_t j = i; j > 0 && fits && items[j - 1].hash == items[i].hash && !c->is_over; j--)
            if (schema_equal(c, items[j - 1].value, items[i].value))
                fits = schema_refuse(c, n, "uniqueItems", at,
                                     "must not have an item twice: items %zu and %zu are equal "
                                     "(counted from 0)",
                                     items[j - 1].index, items[i].index);
    free(items);
    return fits;
}

/* Items from `from` on, all with one schema. */
static bool apply_to_rest(struct schema_check *c, const struct schema_node *n, size_t from,
                          const struct schema_at *at)
{
    bool fits = true;

    for (size_t i = from; i < json_array_size(at->value) && !c->is_over; i++) {
        struct schema_at here = item_of(at, i);

        if (!schema_apply(c, n, &here))
            fits = false;
        if (!fits && c->quiet > 0)
            break;
    }
    return fits;
}

bool schema_check_items(struct schema_check *c, const struct schema_node *n,
                        const struct schema_rule *r, const struct schema_at *at)
{
    bool fits = true;

    (void)n;
    if (!json_is_array(r->value))
        return apply_to_rest(c, r->children[0].node, 0, at);
    for (size_t i = 0; i < r->child_count && i < json_array_size(at->value); i++) {
        struct schema_at here = item_of(at, i);

        if (!schema_apply(c, r->children[i].node, &here))
            fits = false;
    }
    return fits;
}

bool schema_check_additional_items(struct schema_check *c, const struct schema_node *n,
                                   const struct schema_rule *r, const struct schema_at *at)
{
    const struct schema_rule *items = schema_rule_of(n, SCHEMA_KEYWORD_ITEMS);

    if (!items || !json_is_array(items->value) || items->child_count >= json_array_size(at->value))
        return true;
    if (json_is_false(r->value))
        return schema_refuse(c, n, "additionalItems", at, "must have at most %zu item%s",
                             items->child_count, items->child_count == 1 ? "" : "s");
    return apply_to_rest(c, r->children[0].node, items->child_count, at);
}

bool schema_check_contains(struct schema_check *c, const struct schema_node *n,
                           const struct schema_rule *r, const struct schema_at *at)
{
    bool fits = false;

    c->quiet++;
    for (size_t i = 0; i < json_array_size(at->value) && !fits && !c->is_over; i++) {
        struct schema_at here = item_of(at, i);

        fits = schema_apply(c, r->children[0].node, &here);
    }
    c->quiet--;
    return fits || schema_refuse(c, n, "contains", at,
                                 "must have at least one item that fits the schema of contains");
}
