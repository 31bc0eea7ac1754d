/* held.c - a held revision of liblockstep for people and programs: rendered, and compared with another. */
#include "agent/publish/held.h"

#include <string.h>

#include "common/document/canon.h"
#include "common/document/yaml_render.h"
#include "common/invariant.h"

/* ---- rendering ---- */

bool held_knows_format(const char *format)
{
    return !strcmp(format, "json") || !strcmp(format, "yaml") || !strcmp(format, "env");
}

const char *held_type(const struct lockstep_item *item)
{
    static const char *const names[] = { "string", "number", "boolean", "json", "yaml", "secret" };

    return names[item->type];
}

static void held_value(const struct lockstep_item *item, struct buffer *out)
{
    if (item->type == LOCKSTEP_SECRET)
        buffer_add_text(out, "null");
    else if (item->type == LOCKSTEP_STRING || item->type == LOCKSTEP_YAML)
        canon_quote(out, item->text);
    else
        buffer_add(out, item->text, item->size);
}

static void render_json(const struct lockstep_snapshot *s, struct buffer *out)
{
    struct lockstep_item item;
    bool is_first = true;

    buffer_add_text(out, "{");
    for (size_t i = 0; lockstep_held_at(s, i, &item); i++) {
        if (item.type == LOCKSTEP_SECRET)
            continue;
        buffer_add_text(out, is_first ? "" : ",");
        canon_quote(out, item.key);
        buffer_add_text(out, ":");
        held_value(&item, out);
        is_first = false;
    }
    buffer_add_text(out, "}\n");
}

static struct document *to_document(const struct lockstep_snapshot *s)
{
    static const enum value_type types[] = {
        [LOCKSTEP_STRING] = VALUE_STRING,   [LOCKSTEP_NUMBER] = VALUE_NUMBER,
        [LOCKSTEP_BOOLEAN] = VALUE_BOOLEAN, [LOCKSTEP_JSON] = VALUE_JSON,
        [LOCKSTEP_YAML] = VALUE_YAML,
    };
    struct document *d = document_new();
    struct lockstep_item item;
    struct err e;

    for (size_t i = 0; lockstep_held_at(s, i, &item); i++)
        if (item.type != LOCKSTEP_SECRET) /* what was a document is not too large for one */
            MUST(document_set(d, item.key, types[item.type], item.text, &e) == 0);
    return d;
}

int held_render(const struct lockstep_snapshot *s, const char *format,
                const struct env_choice *choice, struct buffer *out, struct err *e)
{
    SCOPED(document_free) struct document *d = NULL;

    MUST(held_knows_format(format));
    if (strcmp(format, "json") == 0) {
        render_json(s, out);
        return 0;
    }
    d = to_document(s);
    if (strcmp(format, "env") == 0)
        return env_render(d, choice, out, e);
    yaml_render(d, out);
    return 0;
}

/* ---- what differs ---- */

static bool is_same(const struct lockstep_item *a, const struct lockstep_item *b)
{
    return a->type == b->type && a->size == b->size &&
           (!a->size || memcmp(a->text, b->text, a->size) == 0);
}

size_t held_diff(const struct lockstep_snapshot *before, const struct lockstep_snapshot *after,
                 held_diff_fn *visit, void *ctx)
{
    struct lockstep_item was, is;
    size_t i = 0, k = 0, count = 0;

    for (;;) {
        bool has_was = before && lockstep_held_at(before, i, &was);
        bool has_is = lockstep_held_at(after, k, &is);
        int order = !has_was ? 1 : !has_is ? -1 : strcmp(was.key, is.key);

        if (!has_was && !has_is)
            return count;
        i += order <= 0;
        k += order >= 0;
        if (order == 0 && is_same(&was, &is))
            continue;
        visit(ctx, order <= 0 ? &was : NULL, order >= 0 ? &is : NULL);
        count++;
    }
}

void held_change(const struct lockstep_item *was, const struct lockstep_item *is, bool with_value,
                 struct buffer *out)
{
    buffer_add_text(out, "\"key\":");
    canon_quote(out, is ? is->key : was->key);
    if (!is) {
        buffer_add_text(out, ",\"deleted\":true");
        return;
    }
    if (!with_value)
        return;
    buffer_add_text(out, ",\"value\":");
    held_value(is, out);
    buffer_printf(out, ",\"value_type\":\"%s\"", held_type(is));
}
