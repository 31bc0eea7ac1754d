/* schema_choices.c - the keywords that put several schemas together for one value. */
#include "common/schema/schema_keywords.h"

#include <string.h>

#define BRANCHES_TOLD 5
#define SENTENCE_MAX 400

static bool try_quietly(struct schema_check *c, const struct schema_node *n,
                        const struct schema_at *at)
{
    bool fits;

    c->quiet++;
    fits = schema_apply(c, n, at);
    c->quiet--;
    return fits;
}

bool schema_check_all(struct schema_check *c, const struct schema_node *n,
                      const struct schema_rule *r, const struct schema_at *at)
{
    bool fits = true;

    (void)n;
    for (size_t i = 0; i < r->child_count && (fits || c->quiet == 0); i++)
        if (!schema_apply(c, r->children[i].node, at))
            fits = false;
    return fits;
}

/* ---------------------------------------------------------------- none fits: why? */

/* "must be a string; or must be null": what each of a few branches says first. */
static bool list_branches(struct schema_check *c, const struct schema_rule *r,
                          const struct schema_at *at, struct buffer *out)
{
    struct schema_problems *all = c->problems;

    for (size_t i = 0; i < r->child_count && !c->is_over; i++) {
        SCOPED_SCHEMA_PROBLEMS struct schema_problems own = { 0 };
        const char *text;

        c->problems = &own;
        schema_apply(c, r->children[i].node, at);
        c->problems = all;
        /* A full list of its own is not the end of the check. */
        c->is_over = c->is_over && c->e->kind != ERR_NONE;
        text = own.count > 0 ? own.items[0].text : "";
        if (own.count != 1 || out->size + strlen(text) > SENTENCE_MAX)
            return false;
        if (!out->size || !strstr(out->data, text))
            buffer_printf(out, "%s%s", out->size ? "; or " : "", text);
    }
    return out->size > 0;
}

/* A branch that failed deep inside the value was meant; else the sentences of all are told. */
static bool refuse_all(struct schema_check *c, const struct schema_node *n,
                       const struct schema_rule *r, const struct schema_at *at, size_t meant,
                       unsigned meant_depth)
{
    SCOPED_BUFFER struct buffer told = { 0 };
    const char *keyword = r->keyword->marked + 1;

    if (c->quiet > 0 || c->is_over)
        return schema_refuse(c, n, keyword, at, "must fit one of them");
    if (meant_depth > at->depth && !schema_apply(c, r->children[meant].node, at))
        return false;
    if (r->child_count <= BRANCHES_TOLD && list_branches(c, r, at, &told))
        return schema_refuse(c, n, keyword, at, "%s", told.data);
    return schema_refuse(c, n, keyword, at, "must fit %s one of the %zu schemas of %s",
                         *keyword == 'a' ? "at least" : "exactly", r->child_count, keyword);
}

/* How many fit (counting ends at `enough`); and which of the others came deepest into the value. */
static size_t count_fitting(struct schema_check *c, const struct schema_rule *r,
                            const struct schema_at *at, size_t enough, size_t *meant,
                            unsigned *meant_depth)
{
    unsigned deepest = c->deepest;
    size_t fitting = 0;

    *meant = 0;
    *meant_depth = 0;
    for (size_t i = 0; i < r->child_count && fitting < enough && !c->is_over; i++) {
        c->deepest = 0;
        if (try_quietly(c, r->children[i].node, at)) {
            fitting++;
        } else if (c->deepest > *meant_depth) {
            *meant = i;
            *meant_depth = c->deepest;
        }
        if (c->deepest > deepest)
            deepest = c->deepest;
    }
    c->deepest = deepest;
    return fitting;
}

bool schema_check_any(struct schema_check *c, const struct schema_node *n,
                      const struct schema_rule *r, const struct schema_at *at)
{
    unsigned depth;
    size_t meant;

    return count_fitting(c, r, at, 1, &meant, &depth) > 0 || refuse_all(c, n, r, at, meant, depth);
}

bool schema_check_one(struct schema_check *c, const struct schema_node *n,
                      const struct schema_rule *r, const struct schema_at *at)
{
    unsigned depth;
    size_t meant, fitting = count_fitting(c, r, at, 2, &meant, &depth);

    if (fitting == 0)
        return refuse_all(c, n, r, at, meant, depth);
    return fitting == 1 || schema_refuse(c, n, "oneOf", at,
                                         "must fit exactly one of the %zu schemas of oneOf, and "
                                         "fits more than one",
                                         r->child_count);
}

/* ---------------------------------------------------------------- not, if */

bool schema_check_not(struct schema_check *c, const struct schema_node *n,
                      const struct schema_rule *r, const struct schema_at *at)
{
    return !try_quietly(c, r->children[0].node, at) ||
           schema_refuse(c, n, "not", at, "must not fit the schema of not");
}

bool schema_check_if(struct schema_check *c, const struct schema_node *n,
                     const struct schema_rule *r, const struct schema_at *at)
{
    const struct schema_rule *next = schema_rule_of(
        n, try_quietly(c, r->children[0].node, at) ? SCHEMA_KEYWORD_THEN : SCHEMA_KEYWORD_ELSE);

    return !next || schema_apply(c, next->children[0].node, at);
}
