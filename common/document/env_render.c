/* env_render.c - a document as environment variables: their names, and lines for a POSIX shell. Pure. */
#include "common/document/env_render.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"

struct variable {
    char name[ENV_NAME_SIZE];
    struct document_item item;
};

void env_name(const char *key, const char *prefix, char out[ENV_NAME_SIZE])
{
    size_t n = prefix ? strlen(prefix) : 0;

    MUST(n <= VARIABLE_PREFIX_MAX);
    memcpy(out, prefix ? prefix : "", n);
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

int env_check_name(const char *key, const char *name, const struct env_choice *choice,
                   struct err *e)
{
    const char *who = variable_obeyed_by(name);

    if (!who || variable_is_allowed(choice->allowed, name))
        return 0;
    return err_code(e, ERR_CONFLICT, "env_reserved", "the key \"%.150s\" would be the variable "
                    "%.150s, which is obeyed by %s: %.300s", key, name, who,
                    choice->remedy ? choice->remedy : "rename the key");
}

bool env_is_null(const struct document_item *item)
{
    return item->type == VALUE_JSON && strcmp(item->text, "null") == 0;
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

static int add_variables(struct variable *v, size_t count, const struct env_choice *choice,
                         struct buffer *out, struct err *e)
{
    qsort(v, count, sizeof(*v), compare_variables);
    for (size_t i = 0; i + 1 < count; i++)
        if (strcmp(v[i].name, v[i + 1].name) == 0)
            return err_code(e, ERR_CONFLICT, "env_collision",
                            "the keys %.120s and %.120s both become the variable %.120s",
                            v[i].item.key, v[i + 1].item.key, v[i].name);
    for (size_t i = 0; i < count; i++)
        if (env_check_name(v[i].item.key, v[i].name, choice, e))
            return -1;
    for (size_t i = 0; i < count; i++) {
        buffer_printf(out, "%s=", v[i].name);
        add_quoted(out, v[i].item.text);
    }
    return 0;
}

int env_render(const struct document *d, const struct env_choice *choice, struct buffer *out,
               struct err *e)
{
    static const struct env_choice plain = { 0 };
    size_t all = document_count(d), count = 0;
    struct variable *v = memory_array(all + 1, sizeof(*v));
    int rc;

    if (!choice)
        choice = &plain;
    for (size_t i = 0; i < all; i++) {
        document_at(d, i, &v[count].item);
        if (env_is_null(&v[count].item))
            continue;
        env_name(v[count].item.key, choice->prefix, v[count].name);
        count++;
    }
    rc = add_variables(v, count, choice, out, e);
    free(v);
    return rc;
}
