/* env_render.c - a document as environment variables: their names, and lines for a POSIX shell. Pure. */
#include "common/env_render.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"

struct variable {
    char name[ENV_NAME_SIZE];
    struct document_item item;
};

void env_name(const char *key, char out[ENV_NAME_SIZE])
{
    size_t n = 0;

    if (*key >= '0' && *key <= '9')
        out[n++] = '_'; /* no variable begins with a digit */
    for (; *key && n < ENV_NAME_SIZE - 1; key++) {
        char c = *key;

        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        else if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9'))
            c = '_';
        out[n++] = c;
    }
    out[n] = '\0';
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

int env_render(const struct document *d, struct buffer *out, struct err *e)
{
    size_t count = document_count(d);
    struct variable *v = calloc(count + 1, sizeof(*v));
    int rc;

    MUST(v);
    for (size_t i = 0; i < count; i++) {
        document_at(d, i, &v[i].item);
        env_name(v[i].item.key, v[i].name);
    }
    rc = add_variables(v, count, out, e);
    free(v);
    return rc;
}
