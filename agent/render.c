/* render.c - a document as the bytes of a file: one key's value, JSON, or env lines. Pure. */
#include "agent/render.h"

#include <ctype.h>
#include <string.h>

#include "common/canon.h"

static int render_key(const struct agent_file *file, const struct document *document,
                      struct buffer *out, bool *absent_out, struct err *e)
{
    struct document_item item;

    if (document_get(document, file->key, &item)) {
        buffer_add_text(out, item.text);
        return 0;
    }
    *absent_out = true;
    if (file->is_optional)
        return 0;
    return err_code(e, ERR_INVALID, "schema", "the document has no key \"%.200s\", which %.200s is "
                    "written from; add the key, or mark the file optional on this server",
                    file->key, file->path);
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

static void env_name(const char *key, char out[DOCUMENT_KEY_MAX + 2])
{
    size_t n = 0;

    if (isdigit((unsigned char)key[0]))
        out[n++] = '_';
    for (; *key && n <= DOCUMENT_KEY_MAX; key++)
        out[n++] = isalnum((unsigned char)*key) ? (char)toupper((unsigned char)*key) : '_';
    out[n] = '\0';
}

/* In single quotes nothing means anything to a shell but the quote itself. */
static void env_quote(const char *text, struct buffer *out)
{
    buffer_add_text(out, "'");
    for (; *text; text++)
        if (*text == '\'')
            buffer_add_text(out, "'\\''");
        else
            buffer_add(out, text, 1);
    buffer_add_text(out, "'\n");
}

/* The keys before `index` that env would give the same name. */
static bool env_meets(const struct document *document, size_t index, const char *name,
                      struct document_item *other)
{
    char earlier[DOCUMENT_KEY_MAX + 2];

    for (size_t i = 0; i < index; i++) {
        document_at(document, i, other);
        env_name(other->key, earlier);
        if (strcmp(earlier, name) == 0)
            return true;
    }
    return false;
}

static int render_env(const struct document *document, struct buffer *out, struct err *e)
{
    char name[DOCUMENT_KEY_MAX + 2];
    struct document_item item, other;

    for (size_t i = 0; i < document_count(document); i++) {
        document_at(document, i, &item);
        env_name(item.key, name);
        if (env_meets(document, i, name, &other))
            return err_code(e, ERR_INVALID, "schema", "the keys \"%.150s\" and \"%.150s\" are both "
                            "%.100s in an env file; rename one", other.key, item.key, name);
        buffer_add_text(out, name);
        buffer_add_text(out, "=");
        env_quote(item.text, out);
    }
    return 0;
}

bool render_is_secret(const struct agent_file *file, const struct document *document)
{
    struct document_item item;

    if (file->kind == AGENT_FILE_KEY)
        return document_get(document, file->key, &item) && item.is_secret;
    for (size_t i = 0; i < document_count(document); i++) {
        document_at(document, i, &item);
        if (item.is_secret)
            return true;
    }
    return false;
}

int render_file(const struct agent_file *file, const struct document *document,
                struct buffer *out, bool *absent_out, struct err *e)
{
    buffer_clear(out);
    if (render_is_secret(file, document))
        buffer_keep_secret(out);
    *absent_out = false;
    switch (file->kind) {
    case AGENT_FILE_KEY:
        return render_key(file, document, out, absent_out, e);
    case AGENT_FILE_JSON:
        render_json(document, out);
        return 0;
    case AGENT_FILE_ENV:
        return render_env(document, out, e);
    }
    return 0;
}
