/* schema_report.c - says what is wrong with a value, where, and what would be right. */
#include "common/schema/schema_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"

static void add_token(struct buffer *out, const char *token)
{
    buffer_add(out, "/", 1);
    for (; *token && out->size < SCHEMA_PATH_MAX; token++) {
        if (*token == '~')
            buffer_add_text(out, "~0");
        else if (*token == '/')
            buffer_add_text(out, "~1");
        else
            buffer_add(out, token, 1);
    }
}

/* Paths are as long as names are; nobody reads more than this. */
static void cut(struct buffer *out)
{
    if (out->size < SCHEMA_PATH_MAX)
        return;
    out->size = SCHEMA_PATH_MAX;
    while (out->size > 0 && ((unsigned char)out->data[out->size] & 0xC0) == 0x80)
        out->size--;
    buffer_add_text(out, "…");
}

static void add_at(const struct schema_at *at, struct buffer *out)
{
    if (!at->up || out->size >= SCHEMA_PATH_MAX)
        return;
    add_at(at->up, out);
    if (at->key)
        add_token(out, at->key);
    else
        buffer_printf(out, "/%zu", at->index);
}

static void schema_at_path(const struct schema_at *at, struct buffer *out)
{
    buffer_add(out, "", 0);
    add_at(at, out);
    cut(out);
}

static void add_node(const struct schema_node *n, struct buffer *out)
{
    if (!n->parent) {
        buffer_add_text(out, n->origin);
        return;
    }
    add_node(n->parent, out);
    add_token(out, n->keyword);
    if (n->key)
        add_token(out, n->key);
    if (n->index != SIZE_MAX)
        buffer_printf(out, "/%zu", n->index);
}

void schema_node_path(const struct schema_node *n, const char *keyword, struct buffer *out)
{
    add_node(n, out);
    if (*keyword)
        add_token(out, keyword);
    cut(out);
}

bool schema_refuse(struct schema_check *c, const struct schema_node *n, const char *keyword,
                   const struct schema_at *at, const char *fmt, ...)
{
    struct buffer instance = { 0 }, schema = { 0 };
    struct schema_problem *p = &c->problems->items[c->problems->count];
    char *text;
    va_list ap;

    if (at->depth > c->deepest)
        c->deepest = at->depth;
    if (c->quiet > 0 || c->is_over)
        return false;
    va_start(ap, fmt);
    MUST(vasprintf(&text, fmt, ap) >= 0);
    va_end(ap);
    schema_at_path(at, &instance);
    schema_node_path(n, *keyword ? keyword : "", &schema);
    *p = (struct schema_problem){ .instance_path = buffer_take(&instance),
                                  .schema_path = buffer_take(&schema),
                                  .keyword = *keyword || !n->keyword ? keyword : n->keyword,
                                  .text = text };
    if (++c->problems->count == SCHEMA_PROBLEMS_MAX) {
        c->problems->is_cut = true;
        c->is_over = true;
    }
    return false;
}

bool schema_give_up(struct schema_check *c, const char *fmt, ...)
{
    va_list ap;

    if (c->e->kind == ERR_NONE) {
        c->e->kind = ERR_TOO_LARGE;
        va_start(ap, fmt);
        vsnprintf(c->e->text, sizeof(c->e->text), fmt, ap);
        va_end(ap);
    }
    c->is_over = true;
    return false;
}

bool schema_charge(struct schema_check *c, uint64_t steps)
{
    if (!c)
        return true;
    if (c->is_over)
        return false;
    if (c->work < steps)
        return schema_give_up(c,
                              "the schema asks for more than %u steps of work: it repeats "
                              "itself, or the value is very large",
                              SCHEMA_WORK_MAX);
    c->work -= steps;
    return true;
}

/* These say what a schema wants; the others may speak of the value's members and parts. */
static bool is_about_schema(const char *keyword)
{
    static const char *const ones[] = { "type",      "enum",      "const",     "minimum",
                                        "maximum",   "minLength", "maxLength", "pattern",
                                        "minItems",  "maxItems",  "required",  "multipleOf",
                                        "exclusiveMinimum", "exclusiveMaximum" };

    for (size_t i = 0; i < sizeof(ones) / sizeof(ones[0]); i++)
        if (strcmp(keyword, ones[i]) == 0)
            return true;
    return false;
}

void schema_problems_hide(struct schema_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        struct schema_problem *p = &problems->items[i];

        p->instance_path[0] = '\0';
        if (is_about_schema(p->keyword))
            continue;
        free(p->text);
        MUST(asprintf(&p->text, "must keep to %s (the value is a secret and is not shown)",
                      *p->keyword ? p->keyword : "the schema") >= 0);
    }
}

void schema_problems_fini(struct schema_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->items[i].instance_path);
        free(problems->items[i].schema_path);
        free(problems->items[i].text);
    }
    *problems = (struct schema_problems){ 0 };
}
