/* complete.c - understands a command line that is being written: what comes at its cursor. Pure. */
#include "coordinator/cli/complete.h"

#include <stdio.h>
#include <string.h>

static const struct command_option *option_of(const struct command_option *options,
                                              const char *name, size_t size, char letter)
{
    for (const struct command_option *o = options; o && o->name; o++)
        if (letter ? o->letter == letter : strlen(o->name) == size && !strncmp(o->name, name, size))
            return o;
    return NULL;
}

static const struct command_option *find_option(const struct command *c, const char *word)
{
    bool is_long = word[1] == '-';
    const char *name = is_long ? word + 2 : word + 1;
    const struct command_option *o =
        option_of(command_globals, name, strcspn(name, "="), is_long ? 0 : word[1]);

    if (!o && c)
        o = option_of(c->options, name, strcspn(name, "="), is_long ? 0 : word[1]);
    return o;
}

/* The value that stands in the option's own word: --addr=URL, -oFORMAT. NULL: it does not. */
static const char *value_inside(const char *word)
{
    const char *equals = strchr(word, '=');

    if (word[1] == '-')
        return equals ? equals + 1 : NULL;
    return word[2] ? word + 2 : NULL;
}

static void take_option(struct command_line *line, const struct command_option *o,
                        const char *value)
{
    if (line->given_count == COMMAND_OPTIONS_MAX)
        return;
    line->given[line->given_count].name = o->name;
    line->given[line->given_count++].value = o->arg ? value : "";
}

static void take_word(const struct command *table, size_t count, char *word,
                      struct command_line *line, struct cursor *at)
{
    if (!at->noun) {
        at->noun = word;
        at->command = command_find(table, count, word, NULL);
    } else if (!at->command && line->arg_count == 0) {
        at->command = command_find(table, count, at->noun, word);
        if (!at->command)
            line->args[line->arg_count++] = word; /* no verb of this noun */
    } else {
        line->args[line->arg_count++] = word;
    }
    line->command = at->command;
}

void complete_read(const struct command *table, size_t count, int word_count, char **words,
                   struct command_line *line, struct cursor *at)
{
    static char nothing[] = "";

    *at = (struct cursor){ .typed = word_count > 0 ? words[word_count - 1] : nothing };
    *line = (struct command_line){ .args = words }; /* filled behind what is read */
    for (int i = 0; i + 1 < word_count; i++) {
        const struct command_option *o;
        const char *value;

        if (at->is_behind_dashes || words[i][0] != '-' || !words[i][1]) {
            take_word(table, count, words[i], line, at);
        } else if (strcmp(words[i], "--") == 0) {
            at->is_behind_dashes = true;
        } else if ((o = find_option(at->command, words[i]))) {
            value = value_inside(words[i]);
            if (o->arg && !value && i + 2 == word_count)
                at->option = o;
            else
                take_option(line, o, o->arg && !value ? words[++i] : value);
        }
    }
    at->word = at->typed;
    if (at->option || at->is_behind_dashes || strncmp(at->typed, "--", 2) != 0 ||
        !strchr(at->typed, '='))
        return;
    at->option = find_option(at->command, at->typed);
    at->word = strchr(at->typed, '=') + 1;
}

/* One word of a usage line: without brackets and dots, its alternatives one by one. */
static void offer_word(const char *word, size_t size, void (*offer)(void *ctx, const char *what),
                       void *ctx)
{
    char what[64];
    size_t n = 0;

    for (size_t i = 0; i <= size; i++) {
        if (i == size || word[i] == '|') {
            what[n] = 0;
            if (n)
                offer(ctx, what);
            n = 0;
        } else if (!strchr("[]", word[i]) && (unsigned char)word[i] < 0x80 &&
                   n + 1 < sizeof(what)) { /* the sign … is beyond */
            what[n++] = word[i];
        }
    }
}

void complete_places(const char *args, int place, void (*offer)(void *ctx, const char *what),
                     void *ctx)
{
    for (const char *form = args; form;) {
        const char *end = strstr(form, " | "), *found = NULL;
        size_t form_size = end ? (size_t)(end - form) : strlen(form), size = 0, found_size = 0;
        int at = 0;

        for (size_t i = 0; i < form_size; i += size + 1) {
            size = strcspn(form + i, " ");
            if (i + size > form_size)
                size = form_size - i;
            if (at == place || (at < place && memmem(form + i, size, "…", strlen("…")))) {
                found = form + i;
                found_size = size;
            }
            at++;
        }
        if (found)
            offer_word(found, found_size, offer, ctx);
        form = end ? end + strlen(" | ") : NULL;
    }
}
