/* command.c - argv becomes a command, its options and its arguments. */
#include "coordinator/cli/command.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/invariant.h"
#include "coordinator/cli/suggest.h"

#define WORDS_MAX 256 /* more than there are commands */

const struct command_option command_globals[] = {
    { "output", 'o', "FORMAT", "table (default), json, yaml or name" },
    { "no-color", 0, NULL, "no colours; so does NO_COLOR in the environment" },
    { "context", 0, "NAME|DIR",
      "which coordinator: a name in contexts.ini, or DIR of `lockstep dev`" },
    { "addr", 0, "URL[,URL…]", "address of the coordinator, or of several (LOCKSTEP_ADDR)" },
    { "token-file", 0, "FILE", "file with the access token (or the token in LOCKSTEP_TOKEN)" },
    { "ca-file", 0, "FILE", "authorities to trust, in place of the system's (LOCKSTEP_CA_FILE)" },
    { "client-cert", 0, "FILE", "our certificate and its key, one file (LOCKSTEP_CLIENT_CERT)" },
    { "request-timeout", 0, "DURATION", "how long one answer may take (1m)" },
    { "yes", 'y', NULL, "do not ask before what cannot be undone" },
    { "verbose", 'v', NULL, "say on standard error what is done and where" },
    { "help", 'h', NULL, "help on this command" },
    { NULL, 0, NULL, NULL },
};

const struct command *command_find(const struct command *table, size_t count, const char *noun,
                                   const char *verb)
{
    for (size_t i = 0; i < count; i++) {
        const struct command *c = &table[i];

        if (strcmp(c->noun, noun) != 0)
            continue;
        if (!c->verb || (verb && strcmp(c->verb, verb) == 0))
            return c;
    }
    return NULL;
}

bool command_is_noun(const struct command *table, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].noun, word) == 0)
            return true;
    return false;
}

/* ---------------------------------------------------------------- words that are none */

static const char *nearest_noun(const struct command *table, size_t count, const char *given)
{
    const char *words[WORDS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < count && n < WORDS_MAX; i++)
        if (n == 0 || strcmp(words[n - 1], table[i].noun) != 0)
            words[n++] = table[i].noun;
    return suggest_word(words, n, given);
}

static size_t verbs_of(const struct command *table, size_t count, const char *noun,
                       const char *words[WORDS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < count && n < WORDS_MAX; i++)
        if (table[i].verb && strcmp(table[i].noun, noun) == 0)
            words[n++] = table[i].verb;
    return n;
}

static int unknown_verb(const struct command *table, size_t count, const char *noun,
                        const char *verb, struct err *e)
{
    SCOPED_BUFFER struct buffer all = { 0 };
    const char *words[WORDS_MAX] = { NULL };
    size_t n = verbs_of(table, count, noun, words);
    const char *meant = suggest_word(words, n, verb);

    if (meant)
        return err_set(e, ERR_MALFORMED, "there is no command \"%s %s\".\nDid you mean %s %s?",
                       noun, verb, noun, meant);
    buffer_add_text(&all, "");
    for (size_t i = 0; i < n; i++)
        buffer_printf(&all, "%s%s", i ? ", " : "", words[i]);
    return err_set(e, ERR_MALFORMED, "there is no command \"%s %s\": %s has %s", noun, verb, noun,
                   all.data);
}

int command_unknown(const struct command *table, size_t count, const char *noun, const char *verb,
                    struct err *e)
{
    const char *meant;

    if (verb && command_is_noun(table, count, noun))
        return unknown_verb(table, count, noun, verb, e);
    if (verb && command_is_noun(table, count, verb) && command_find(table, count, verb, noun))
        return err_set(e, ERR_MALFORMED, "unknown command \"%s %s\".\nDid you mean %s %s?", noun,
                       verb, verb, noun);
    meant = nearest_noun(table, count, noun);
    return err_set(e, ERR_MALFORMED, "unknown command \"%s\"%s%s%s", noun,
                   meant ? ".\nDid you mean " : "", meant ? meant : "", meant ? "?" : "");
}

/* ---------------------------------------------------------------- options */

/* Everything getopt needs, built from the global options and those of one command. */
struct grammar {
    struct option longs[COMMAND_OPTIONS_MAX];
    const struct command_option *specs[COMMAND_OPTIONS_MAX];
    char shorts[2 * COMMAND_OPTIONS_MAX + 2];
    size_t count;
};

static void grammar_add(struct grammar *g, const struct command_option *options)
{
    size_t end = strlen(g->shorts);

    for (const struct command_option *o = options; o && o->name; o++) {
        MUST(g->count + 1 < COMMAND_OPTIONS_MAX);
        g->specs[g->count] = o;
        g->longs[g->count++] =
            (struct option){ o->name, o->arg ? required_argument : no_argument, NULL, 0 };
        if (!o->letter)
            continue;
        g->shorts[end++] = o->letter;
        if (o->arg)
            g->shorts[end++] = ':';
        g->shorts[end] = 0;
    }
}

static const struct command_option *spec_of_letter(const struct grammar *g, int letter)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->specs[i]->letter == letter)
            return g->specs[i];
    return NULL;
}

static int unknown_option(const struct grammar *g, const char *word, struct err *e)
{
    const char *names[COMMAND_OPTIONS_MAX], *meant;
    size_t size = strcspn(word, "=");
    char given[64];

    for (size_t i = 0; i < g->count; i++) {
        names[i] = g->specs[i]->name;
        if (word[size] && strlen(names[i]) + 2 == size &&
            strncmp(word + 2, names[i], size - 2) == 0)
            return err_set(e, ERR_MALFORMED, "option --%s takes no value", names[i]);
    }
    snprintf(given, sizeof(given), "%.*s", (int)size, word);
    meant = strlen(given) > 2 ? suggest_word(names, g->count, given + 2) : NULL;
    if (meant)
        return err_set(e, ERR_MALFORMED, "unknown option %s; did you mean --%s?", given, meant);
    return err_set(e, ERR_MALFORMED,
                   "unknown option %s; a value that begins with '-' goes behind --", given);
}

static int complain(const struct grammar *g, int argc, char **argv, int what, struct err *e)
{
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";

    if (what == ':')
        return err_set(e, ERR_MALFORMED, "option %s needs a value", word);
    if (optopt)
        return err_set(e, ERR_MALFORMED,
                       "unknown option -%c; a value that begins with '-' goes behind --", optopt);
    return unknown_option(g, word, e);
}

/* A beginning of a name is no name: what --to means must not change with the options there are. */
static bool is_whole(const struct command_option *spec, char **argv)
{
    bool is_apart = spec->arg && optarg == argv[optind - 1];
    const char *word = argv[optind - (is_apart ? 2 : 1)] + 2;

    return strcspn(word, "=") == strlen(spec->name);
}

static int read_options(const struct grammar *g, int argc, char **argv, struct command_line *line,
                        struct err *e)
{
    int at = 0, c;

    optind = 0; /* GNU: start afresh, permuting again */
    opterr = 0;
    while ((c = getopt_long(argc, argv, g->shorts, g->longs, &at)) != -1) {
        const struct command_option *spec = c == 0 ? g->specs[at] : spec_of_letter(g, c);

        if (c == '?' || c == ':' || !spec)
            return complain(g, argc, argv, c, e);
        if (c == 0 && !is_whole(spec, argv))
            return err_set(e, ERR_MALFORMED,
                           "unknown option; did you mean --%s? It has to be written out",
                           spec->name);
        if (line->given_count == COMMAND_OPTIONS_MAX)
            return err_set(e, ERR_MALFORMED, "too many options (at most %d)", COMMAND_OPTIONS_MAX);
        line->given[line->given_count].name = spec->name;
        line->given[line->given_count++].value = spec->arg ? optarg : "";
    }
    line->args = argv + optind;
    line->arg_count = argc - optind;
    return 0;
}

/* The first words that are not options nor values of global options: noun and verb. Options of a
 * command may stand anywhere behind its words; only global ones may stand before. */
static int find_words(int argc, char **argv, int at[2])
{
    int found = 0;

    for (int i = 1; i < argc && found < 2; i++) {
        const char *a = argv[i];
        bool takes_next = false;

        if (strcmp(a, "--") == 0)
            break;
        if (a[0] != '-' || !a[1]) {
            at[found++] = i;
            continue;
        }
        for (const struct command_option *o = command_globals; o->name; o++)
            if (o->arg && ((a[1] == '-' && strcmp(a + 2, o->name) == 0) ||
                           (o->letter && a[1] == o->letter && !a[2])))
                takes_next = true;
        if (takes_next)
            i++;
    }
    return found;
}

static void drop_word(int *argc, char **argv, int at)
{
    memmove(&argv[at], &argv[at + 1], (size_t)(*argc - at) * sizeof(*argv));
    (*argc)--;
}

static int check_count(const struct command_line *line, struct err *e)
{
    const struct command *c = line->command;

    if (command_flag(line, "help"))
        return 0;
    if (line->arg_count < c->args_min)
        return err_set(e, ERR_MALFORMED, "something is missing: lockstep %s%s%s %s", c->noun,
                       c->verb ? " " : "", c->verb ? c->verb : "", c->args);
    if (c->args_max >= 0 && line->arg_count > c->args_max)
        return err_set(e, ERR_MALFORMED, "too many arguments, from \"%s\" on",
                       line->args[c->args_max]);
    return 0;
}

int command_parse(const struct command *table, size_t count, int argc, char **argv,
                  struct command_line *line, struct err *e)
{
    struct grammar g = { .count = 0, .shorts = ":" };
    int at[2] = { 0, 0 };
    int words = find_words(argc, argv, at);

    *line = (struct command_line){ .args = argv + argc };
    grammar_add(&g, command_globals);
    if (words > 0)
        line->command = command_find(table, count, argv[at[0]], words > 1 ? argv[at[1]] : NULL);
    if (!line->command) {
        /* What is behind words that are none cannot be judged; but an option may stand before. */
        if (words > 0 && at[0] == 1 && (words > 1 || !command_is_noun(table, count, argv[1])))
            return command_unknown(table, count, argv[1], words > 1 ? argv[at[1]] : NULL, e);
        if (read_options(&g, argc, argv, line, e) != 0)
            return -1;
        if (line->arg_count == 0 || command_is_noun(table, count, line->args[0]))
            return 0; /* the caller shows what there is */
        return command_unknown(table, count, line->args[0],
                               line->arg_count > 1 ? line->args[1] : NULL, e);
    }
    if (line->command->verb)
        drop_word(&argc, argv, at[1]);
    drop_word(&argc, argv, at[0]);
    grammar_add(&g, line->command->options);
    if (read_options(&g, argc, argv, line, e) != 0)
        return -1;
    return check_count(line, e);
}

const char *command_option(const struct command_line *line, const char *name)
{
    for (size_t i = line->given_count; i > 0; i--)
        if (strcmp(line->given[i - 1].name, name) == 0)
            return line->given[i - 1].value;
    return NULL;
}

const char *command_message(const struct command_line *line)
{
    static const char *const names[] = { "message", "reason", "note" };
    const char *said = NULL;

    for (size_t i = 0; !said && i < sizeof(names) / sizeof(*names); i++)
        said = command_option(line, names[i]);
    return said;
}

bool command_flag(const struct command_line *line, const char *name)
{
    return command_option(line, name) != NULL;
}

size_t command_option_all(const struct command_line *line, const char *name, const char **values,
                          size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < line->given_count && n < max; i++)
        if (strcmp(line->given[i].name, name) == 0)
            values[n++] = line->given[i].value;
    return n;
}
