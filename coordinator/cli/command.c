/* command.c - argv becomes a command, its options and its arguments. */
#include "coordinator/cli/command.h"

#include <getopt.h>
#include <string.h>

#include "common/invariant.h"

const struct command_option command_globals[] = {
    { "output", 'o', "FORMAT", "table (default), json, yaml or name" },
    { "no-color", 0, NULL, "no colours; so does NO_COLOR in the environment" },
    { "context", 0, "NAME|DIR",
      "which coordinator: a name in contexts.ini, or DIR of `lockstep dev`" },
    { "addr", 0, "URL", "address of the coordinator (LOCKSTEP_ADDR)" },
    { "token-file", 0, "FILE", "file with the access token (or the token in LOCKSTEP_TOKEN)" },
    { "ca-file", 0, "FILE", "authorities to trust, in place of the system's (LOCKSTEP_CA_FILE)" },
    { "client-cert", 0, "FILE", "our certificate and its key, one file (LOCKSTEP_CLIENT_CERT)" },
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

static int complain(int argc, char **argv, int what, struct err *e)
{
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";

    if (what == ':')
        return err_set(e, ERR_MALFORMED, "option %s needs a value", word);
    if (optopt)
        return err_set(e, ERR_MALFORMED,
                       "unknown option -%c; a value that begins with '-' goes behind --", optopt);
    return err_set(e, ERR_MALFORMED,
                   "unknown or ambiguous option %s; a value that begins with '-' goes behind --",
                   word);
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
            return complain(argc, argv, c, e);
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
        if (read_options(&g, argc, argv, line, e) != 0)
            return -1;
        if (line->arg_count == 0 || command_is_noun(table, count, line->args[0]))
            return 0; /* the caller shows what there is */
        return err_set(e, ERR_MALFORMED, "unknown command \"%s\"", line->args[0]);
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
