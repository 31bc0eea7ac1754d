/* variables.c - a held revision as environment variables of a command: chosen, named, compared. */
#include "agent/commands/variables.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/name.h"

static bool is_chosen(const struct variables_choice *choice, const char *key)
{
    for (unsigned i = 0; i < choice->only_count; i++)
        if (name_matches(choice->only[i], key))
            return true;
    return choice->only_count == 0;
}

static size_t name_size(const char *text)
{
    return strcspn(text, "=");
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void keep(struct variables *v, const char *name)
{
    size_t size = strlen(v->kept);

    v->kept_count++;
    snprintf(v->kept + size, sizeof(v->kept) - size, "%s%s", size ? ", " : "", name);
}

/* -1: its name is obeyed, and not allowed. */
static int add_variable(struct variables *v, const struct variables_choice *choice,
                        const struct lockstep_item *item, struct err *e)
{
    struct buffer text = { 0 };
    char name[ENV_NAME_SIZE];

    env_name(item->key, choice->names.prefix, name);
    if (env_check_name(item->key, name, &choice->names, e))
        return -1;
    if (!choice->is_overwriting && getenv(name)) {
        keep(v, name);
        return 0;
    }
    buffer_printf(&text, "%s=", name);
    buffer_add(&text, item->text, item->size);
    v->texts[v->count++] = buffer_take(&text);
    return 0;
}

static bool is_null(const struct lockstep_item *item)
{
    return item->type == LOCKSTEP_JSON && item->size == 4 && memcmp(item->text, "null", 4) == 0;
}

int variables_of(const struct lockstep_snapshot *s, const struct variables_choice *choice,
                 struct variables *out, struct err *e)
{
    struct lockstep_item item;

    *out = (struct variables){ .texts = calloc(lockstep_held_count(s) + 1, sizeof(char *)) };
    MUST(out->texts);
    for (size_t i = 0; lockstep_held_at(s, i, &item); i++) {
        if (!is_chosen(choice, item.key) || is_null(&item))
            continue;
        if (item.type == LOCKSTEP_SECRET) {
            out->secret_count++;
            continue;
        }
        if (add_variable(out, choice, &item, e)) {
            variables_fini(out);
            return -1;
        }
    }
    if (out->count)
        qsort(out->texts, out->count, sizeof(char *), compare);
    for (size_t i = 1; i < out->count; i++) {
        size_t size = name_size(out->texts[i]);

        if (strncmp(out->texts[i], out->texts[i - 1], size + 1) != 0)
            continue;
        err_code(e, ERR_CONFLICT, "env_collision", "two keys become the variable %.*s; choose one "
                 "with --only", (int)size, out->texts[i]);
        variables_fini(out);
        return -1;
    }
    return 0;
}

void variables_fini(struct variables *v)
{
    for (size_t i = 0; i < v->count; i++)
        free(v->texts[i]);
    free(v->texts);
    *v = (struct variables){ 0 };
}

bool variables_equal(const struct variables *a, const struct variables *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->texts[i], b->texts[i]) != 0)
            return false;
    return true;
}

/* ---- the command's whole environment ---- */

static char *format_text(const char *name, const char *value)
{
    struct buffer text = { 0 };

    buffer_printf(&text, "%s=%s", name, value);
    return buffer_take(&text);
}

static bool is_replaced(const char *text, char *const *by, size_t count)
{
    size_t size = name_size(text);

    for (size_t i = 0; i < count; i++)
        if (strncmp(by[i], text, size) == 0 && by[i][size] == '=')
            return true;
    return false;
}

static size_t add_said(char **out, const char *scope, const struct lockstep_snapshot *s)
{
    char revision[24];

    snprintf(revision, sizeof(revision), "%" PRIu64, lockstep_held_revision(s));
    out[0] = format_text("LOCKSTEP_SCOPE", scope);
    out[1] = format_text("LOCKSTEP_REVISION", revision);
    out[2] = format_text("LOCKSTEP_HASH", lockstep_held_hash(s));
    return 3;
}

char **variables_environment(const struct variables *v, const char *scope,
                             const struct lockstep_snapshot *s)
{
    size_t own = 0, n, said, given;
    char **out;

    while (environ[own])
        own++;
    out = memory_array(v->count + own + 4, sizeof(*out));
    said = n = add_said(out, scope, s);
    for (size_t i = 0; i < v->count; i++)
        if (!is_replaced(v->texts[i], out, said))
            MUST((out[n++] = strdup(v->texts[i])));
    given = n;
    for (size_t i = 0; i < own; i++)
        if (!is_replaced(environ[i], out, given))
            MUST((out[n++] = strdup(environ[i])));
    return out;
}

void variables_free_environment(char **environment)
{
    for (char **text = environment; text && *text; text++)
        free(*text);
    free(environment);
}
