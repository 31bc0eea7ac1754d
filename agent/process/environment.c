/* environment.c - what a command of the settings finds in its environment: little, and named. */
#include "agent/process/environment.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/invariant.h"

#define PATH_PRESET "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- the settings ---- */

static size_t name_size(const char *word)
{
    return strcspn(word, "=");
}

static int check_name(const char *word, struct err *e)
{
    size_t size = name_size(word);

    for (size_t i = 0; i < size; i++)
        if (!isalpha((unsigned char)word[i]) && word[i] != '_' &&
            !(i && isdigit((unsigned char)word[i])))
            size = 0;
    if (!size)
        return err_set(e, ERR_INVALID, "\"%.100s\" is no name of a variable: it has letters, "
                       "digits and underscores; write names with blanks between them, or "
                       "one NAME=VALUE", word);
    if (strncmp(word, "LOCKSTEP_", 9) == 0)
        return err_set(e, ERR_INVALID, "%.100s: LOCKSTEP_ variables are set by the agent itself; "
                       "take another name", word);
    return 0;
}

static int add_word(struct environment *env, const char *word, struct err *e)
{
    if (check_name(word, e))
        return -1;
    if (env->count == ENVIRONMENT_MAX)
        return err_set(e, ERR_INVALID, "a scope names at most %d variables", ENVIRONMENT_MAX);
    MUST((env->words[env->count++] = strdup(word)));
    return 0;
}

int environment_add(struct environment *env, const char *line, struct err *e)
{
    char *words, *rest = NULL;
    int rc = 0;

    if (!*line)
        return err_set(e, ERR_INVALID, "it names no variable; leave the line out instead");
    if (line[strcspn(line, "= \t,")] == '=')
        return add_word(env, line, e);
    MUST((words = strdup(line)));
    for (char *w = strtok_r(words, " \t,", &rest); w && rc == 0; w = strtok_r(NULL, " \t,", &rest))
        rc = strchr(w, '=') ? err_set(e, ERR_INVALID, "%.100s: a NAME=VALUE has a line of its own",
                                      w)
                            : add_word(env, w, e);
    free(words);
    return rc;
}

void environment_fini(struct environment *env)
{
    for (unsigned i = 0; i < env->count; i++)
        free(env->words[i]);
    env->count = 0;
}

/* ---- a command's ---- */

struct texts {
    char **all;
    size_t count;
};

/* The first one of a name stays. */
static void put(struct texts *t, const char *name, size_t size, const char *value)
{
    struct buffer text = { 0 };

    for (size_t i = 0; i < t->count; i++)
        if (name_size(t->all[i]) == size && strncmp(t->all[i], name, size) == 0)
            return;
    buffer_add(&text, name, size);
    buffer_printf(&text, "=%s", value);
    MUST((t->all = reallocarray(t->all, t->count + 2, sizeof(char *))));
    t->all[t->count++] = buffer_take(&text);
    t->all[t->count] = NULL;
}

static void put_own(struct texts *t, const char *name)
{
    const char *value = getenv(name);

    if (value)
        put(t, name, strlen(name), value);
}

static void put_named(struct texts *t, const struct environment *named)
{
    for (unsigned i = 0; i < named->count; i++) {
        const char *word = named->words[i];
        size_t size = name_size(word);

        if (word[size])
            put(t, word, size, word + size + 1);
        else
            put_own(t, word);
    }
}

static void put_user(struct texts *t, const struct user *user)
{
    if (user) {
        put(t, "HOME", 4, user->home);
        put(t, "USER", 4, user->name);
        put(t, "LOGNAME", 7, user->name);
        return;
    }
    put_own(t, "HOME");
    put_own(t, "USER");
    put_own(t, "LOGNAME");
}

/* LC_ALL, LC_CTYPE …: the language, like LANG. */
static void put_language(struct texts *t)
{
    put_own(t, "LANG");
    put_own(t, "LANGUAGE");
    put_own(t, "TZ");
    for (char **text = environ; *text; text++)
        if (strncmp(*text, "LC_", 3) == 0 && (*text)[name_size(*text)])
            put(t, *text, name_size(*text), *text + name_size(*text) + 1);
}

char **environment_of_command(const char *const *said, const struct user *user,
                              const struct environment *named)
{
    struct texts t = { 0 };

    for (; *said; said++)
        put(&t, *said, name_size(*said), *said + name_size(*said) + 1);
    if (named)
        put_named(&t, named);
    put_user(&t, user);
    put_language(&t);
    put_own(&t, "PATH");
    put(&t, "PATH", 4, PATH_PRESET);
    return t.all;
}

void environment_free(char **texts)
{
    for (char **text = texts; text && *text; text++)
        free(*text);
    free(texts);
}
