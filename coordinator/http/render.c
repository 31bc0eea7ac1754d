/* render.c - writes documents as JSON and as env lines. */
#include "coordinator/http/render.h"

#include <stdlib.h>
#include <string.h>

#include "common/canon.h"
#include "common/invariant.h"

void render_value(enum value_type type, const char *text, struct buffer *out)
{
    if (type == VALUE_STRING || type == VALUE_YAML)
        canon_quote(out, text);
    else
        buffer_add_text(out, text);
}

void render_json(const struct document *d, struct buffer *out)
{
    struct document_item item;

    buffer_add_text(out, "{");
    for (size_t i = 0; i < document_count(d); i++) {
        document_at(d, i, &item);
        if (i)
            buffer_add_text(out, ",");
        canon_quote(out, item.key);
        buffer_add_text(out, ":");
        render_value(item.type, item.text, out);
    }
    buffer_add_text(out, "}\n");
}

struct variable {
    char *name;
    struct document_item item;
};

static char *variable_name(const char *key)
{
    size_t size = strlen(key);
    char *name = malloc(size + 2), *at = name;

    MUST(name);
    if (*key >= '0' && *key <= '9')
        *at++ = '_'; /* no variable begins with a digit */
    for (; *key; key++) {
        char c = *key;

        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        else if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9'))
            c = '_';
        *at++ = c;
    }
    *at = '\0';
    return name;
}

static int compare_variables(const void *a, const void *b)
{
    return strcmp(((const struct variable *)a)->name, ((const struct variable *)b)->name);
}

/* In single quotes a shell changes nothing; the quote itself is closed, escaped and opened. */
static void add_quoted(struct buffer *out, const char *text)
{
    buffer_add_text(out, "'");
    for (const char *quote; (quote = strchr(text, '\'')); text = quote + 1) {
        buffer_add(out, text, (size_t)(quote - text));
        buffer_add_text(out, "'\\''");
    }
    buffer_add_text(out, text);
    buffer_add_text(out, "'\n");
}

static int add_variables(struct variable *v, size_t count, struct buffer *out, struct err *e)
{
    qsort(v, count, sizeof(*v), compare_variables);
    for (size_t i = 0; i + 1 < count; i++)
        if (strcmp(v[i].name, v[i + 1].name) == 0)
            return err_code(e, ERR_CONFLICT, "env_collision",
                            "the keys %.120s and %.120s both become the variable %.120s",
                            v[i].item.key, v[i + 1].item.key, v[i].name);
    for (size_t i = 0; i < count; i++) {
        buffer_printf(out, "%s=", v[i].name);
        add_quoted(out, v[i].item.text);
    }
    return 0;
}

int render_env(const struct document *d, struct buffer *out, struct err *e)
{
    size_t count = document_count(d);
    struct variable *v = calloc(count + 1, sizeof(*v));
    int rc;

    MUST(v);
    for (size_t i = 0; i < count; i++) {
        document_at(d, i, &v[i].item);
        v[i].name = variable_name(v[i].item.key);
    }
    rc = add_variables(v, count, out, e);
    for (size_t i = 0; i < count; i++)
        free(v[i].name);
    free(v);
    return rc;
}
