/* render.c - a document as the bytes of a file: one key's value, or many in one format. Pure. */
#include "agent/files/render.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "common/document/canon.h"
#include "common/document/env_render.h"
#include "common/document/yaml_render.h"

#define PLACEHOLDER "{lockstep."

void rendering_fini(struct rendering *r)
{
    buffer_fini(&r->content);
}

/* ---- which values, and their texts ---- */

/* The text of a value as it stands in a file. Everything that is written comes through here. */
static const char *text_of(const struct document_item *item, struct rendering *r)
{
    if (item->is_secret) {
        r->is_secret = true;
        r->is_sealed |= value_is_reference(item->text, NULL);
        buffer_keep_secret(&r->content);
    }
    return item->text;
}

static bool is_wanted(const struct agent_file *file, const char *key)
{
    char pattern[DOCUMENT_KEY_MAX + 1];

    if (!file->keys)
        return true;
    for (const char *at = file->keys; *at; at += strspn(at, ",")) {
        size_t size = strcspn(at, ",");

        snprintf(pattern, sizeof(pattern), "%.*s", (int)size, at);
        if (name_matches(pattern, key))
            return true;
        at += size;
    }
    return false;
}

static int strip(const struct agent_file *file, const char *key, const char **name_out,
                 struct err *e)
{
    size_t size = file->strip ? strlen(file->strip) : 0;

    *name_out = key;
    if (!size || strncmp(key, file->strip, size) != 0)
        return 0;
    if (!key[size])
        return err_code(e, ERR_INVALID, "schema", "the key \"%.150s\" is nothing but the prefix "
                        "that %.150s leaves out; rename it, or strip less", key, file->path);
    *name_out = key + size;
    return 0;
}

/* A secret stays one under its new name: wiped in the end, and marked. */
static int select_item(const struct document_item *item, const char *name, const char *text,
                       struct document *out, struct err *e)
{
    static const char any[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    char reference[VALUE_REFERENCE_SIZE];

    if (!item->is_secret || value_is_reference(text, NULL))
        return document_set(out, name, item->type, text, e);
    value_reference(any, reference);
    if (document_set(out, name, item->type, reference, e))
        return -1;
    document_open_secret(out, name, text);
    return 0;
}

/* The document of one file: the keys it wants, under the names it wants. */
static int select_keys(const struct render_source *source, const struct agent_file *file,
                       struct rendering *r, struct document **out, struct err *e)
{
    SCOPED(document_free) struct document *selected = document_new();
    struct document_item item, other;
    const char *name;

    for (size_t i = 0; i < document_count(source->document); i++) {
        document_at(source->document, i, &item);
        if (!is_wanted(file, item.key))
            continue;
        if (strip(file, item.key, &name, e))
            return -1;
        if (document_get(selected, name, &other))
            return err_code(e, ERR_INVALID, "schema", "two keys are \"%.150s\" in %.150s once "
                            "\"%.100s\" is stripped; rename one", name, file->path, file->strip);
        if (select_item(&item, name, text_of(&item, r), selected, e))
            return -1;
    }
    *out = MOVE(selected);
    return 0;
}

/* ---- formats ---- */

static int render_key(const struct render_source *source, const struct agent_file *file,
                      struct rendering *r, struct err *e)
{
    struct document_item item;

    if (document_get(source->document, file->key, &item) && !env_is_null(&item)) {
        buffer_add_text(&r->content, text_of(&item, r));
        return 0;
    }
    r->is_absent = true;
    if (file->is_optional)
        return 0;
    return err_code(e, ERR_INVALID, "schema", "the document has no key \"%.200s\", or null there, "
                    "and %.200s is written from it; add the key, or mark the file optional on "
                    "this server", file->key, file->path);
}

static void render_json(const struct document *document, struct buffer *out)
{
    struct document_item item;

    buffer_add_text(out, "{");
    for (size_t i = 0; i < document_count(document); i++) {
        document_at(document, i, &item);
        buffer_add_text(out, i ? ",\n  " : "\n  ");
        canon_quote(out, item.key);
        buffer_add_text(out, ": ");
        if (item.type == VALUE_STRING || item.type == VALUE_YAML)
            canon_quote(out, item.text);
        else
            buffer_add_text(out, item.text);
    }
    buffer_add_text(out, "\n}\n");
}

static int render_env(const struct agent_scope *scope, const struct agent_file *file,
                      const struct document *document, struct buffer *out, struct err *e)
{
    const struct env_choice choice = {
        .prefix = file->prefix,
        .allowed = scope->allow_variables,
        .remedy = "rename it, write the document with prefix=APP_, or name the variable in "
                  "allow_variables of this scope on this server",
    };

    if (env_render(document, &choice, out, e) == 0)
        return 0;
    e->code = "schema";
    return -1;
}

/* How many bytes of a key are its section; 0: it has none. */
static size_t ini_section(const char *key)
{
    size_t size = strcspn(key, ".");

    return key[size] && key[size + 1] ? size : 0;
}

/* What no reader of ini files holds, or not all of them; NULL: nothing. */
static const char *ini_trouble(const char *text, enum agent_values values)
{
    size_t size = strlen(text);

    if (strpbrk(text, "\r\n\v\f"))
        return "has several lines, which an ini file cannot hold; give it a file of its own";
    if (values == AGENT_VALUES_QUOTED || !size)
        return NULL;
    if (isspace((unsigned char)text[0]) || isspace((unsigned char)text[size - 1]))
        return "has a blank at an end, which readers of ini files drop; take it off, or write the "
               "document with values=quoted if its reader takes quotes";
    if (values == AGENT_VALUES_STRICT && strpbrk(text, ";#\"'\\"))
        return "has a comment sign, a quote or a backslash, which readers of ini files understand "
               "in different ways; write the document with values=quoted or values=plain, as its "
               "reader is, or give the value a file of its own";
    return NULL;
}

static void add_ini_value(const char *text, enum agent_values values, struct buffer *out)
{
    if (values != AGENT_VALUES_QUOTED) {
        buffer_add_text(out, text);
        return;
    }
    buffer_add_text(out, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buffer_add_text(out, "\\");
        buffer_add(out, text, 1);
    }
    buffer_add_text(out, "\"");
}

/* Null is no line. A reference in place of a secret is not what will stand there. */
static int ini_line(const struct document_item *item, const char *name, enum agent_values values,
                    struct buffer *out, struct err *e)
{
    bool is_sealed = item->is_secret && value_is_reference(item->text, NULL);
    const char *trouble = is_sealed ? NULL : ini_trouble(item->text, values);

    if (trouble)
        return err_code(e, ERR_INVALID, "schema", "the value of \"%.200s\" %s", item->key, trouble);
    if (strpbrk(item->key, "=:[]") || strchr("#;", *name))
        return err_code(e, ERR_INVALID, "schema", "the key \"%.200s\" means something else in an "
                        "ini file; rename it", item->key);
    buffer_add_text(out, name);
    buffer_add_text(out, " = ");
    add_ini_value(item->text, values, out);
    buffer_add_text(out, "\n");
    return 0;
}

/* Keys of one section stand together in key order; those without one must come before. */
static int render_ini(const struct document *document, enum agent_values values,
                      struct buffer *out, struct err *e)
{
    const char *section = NULL;
    struct document_item item;
    size_t size;

    for (size_t i = 0; i < document_count(document); i++) {
        document_at(document, i, &item);
        if (!ini_section(item.key) && !env_is_null(&item) &&
            ini_line(&item, item.key, values, out, e))
            return -1;
    }
    for (size_t i = 0; i < document_count(document); i++) {
        document_at(document, i, &item);
        size = ini_section(item.key);
        if (!size || env_is_null(&item))
            continue;
        if (!section || strncmp(section, item.key, size + 1) != 0) {
            buffer_add_text(out, out->size ? "\n[" : "[");
            buffer_add(out, item.key, size);
            buffer_add_text(out, "]\n");
        }
        section = item.key;
        if (ini_line(&item, item.key + size + 1, values, out, e))
            return -1;
    }
    return 0;
}

static void render_raw(const struct document *document, struct buffer *out)
{
    struct document_item item;

    for (size_t i = 0; i < document_count(document); i++) {
        document_at(document, i, &item);
        if (env_is_null(&item))
            continue;
        buffer_add_text(out, item.text);
        if (out->size && out->data[out->size - 1] != '\n')
            buffer_add_text(out, "\n");
    }
}

static int render_document(const struct render_source *source, const struct agent_file *file,
                           struct rendering *r, struct err *e)
{
    SCOPED(document_free) struct document *selected = NULL;

    if (select_keys(source, file, r, &selected, e))
        return -1;
    r->is_absent = file->is_optional && document_count(selected) == 0;
    if (r->is_absent)
        return 0;
    switch (file->kind) {
    case AGENT_FILE_KEY:
        break;
    case AGENT_FILE_JSON:
        render_json(selected, &r->content);
        break;
    case AGENT_FILE_YAML:
        yaml_render(selected, &r->content);
        break;
    case AGENT_FILE_ENV:
        return render_env(source->scope, file, selected, &r->content, e);
    case AGENT_FILE_INI:
        return render_ini(selected, file->values, &r->content, e);
    case AGENT_FILE_RAW:
        render_raw(selected, &r->content);
        break;
    }
    return 0;
}

/* ---- placeholders ---- */

static int fill(const struct render_source *source, const struct agent_file *file,
                struct rendering *r, struct err *e)
{
    struct buffer filled = { 0 };
    const char *at = r->content.data, *next;
    char hex[HASH_HEX_SIZE];

    if (r->is_secret)
        buffer_keep_secret(&filled);
    hash_to_hex(&source->hash, hex);
    for (; (next = strstr(at, PLACEHOLDER)); at = next + strcspn(next, "}") + 1) {
        const char *name = next + strlen(PLACEHOLDER);

        buffer_add(&filled, at, (size_t)(next - at));
        if (strncmp(name, "hash}", 5) == 0) {
            buffer_add_text(&filled, hex);
        } else if (strncmp(name, "scope}", 6) == 0) {
            buffer_add_text(&filled, source->scope->name);
        } else {
            buffer_fini(&filled);
            return err_code(e, ERR_INVALID, "schema", "%.200s holds \"%.40s\": there are only "
                            "{lockstep.hash} and {lockstep.scope}", file->path, next);
        }
    }
    buffer_add_text(&filled, at);
    buffer_fini(&r->content);
    r->content = filled;
    return 0;
}

int render_file(const struct render_source *source, const struct agent_file *file,
                struct rendering *out, struct err *e)
{
    buffer_clear(&out->content);
    out->is_absent = out->is_secret = out->is_sealed = false;
    if (file->kind == AGENT_FILE_KEY ? render_key(source, file, out, e)
                                     : render_document(source, file, out, e))
        return -1;
    buffer_add_text(&out->content, "");
    return file->is_filled && !out->is_absent ? fill(source, file, out, e) : 0;
}
