/* command.h - what a command is: its words, its options, its help; and how argv becomes a call. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/* Exit codes: the contract with scripts. */
enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1, /* any error not below; a comparing command: differences found */
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_CONFLICT = 4,
    CLI_NOT_PERMITTED = 5,
    CLI_ENDED_BADLY = 6, /* a started rollout did not complete, or was refused in PREPARE */
    CLI_INVALID = 7,     /* validation failed before anything started */
    CLI_NEEDS_PERSON = 8,
    CLI_COMPARE_FAILED = 9,
    CLI_TIMED_OUT = 124,
    CLI_INTERRUPTED = 130,
};

struct command_option {
    const char *name; /* without the dashes; NULL ends the list */
    char letter;      /* 0: none */
    const char *arg;  /* NULL: a flag */
    const char *help; /* NULL: an old name, still taken, and shown nowhere */
};

struct cli;

struct command {
    const char *noun;
    const char *verb;    /* NULL: the noun is the whole command */
    const char *args;    /* as written in the usage line */
    const char *summary; /* one line, no full stop */
    const char *details; /* paragraphs, or NULL */
    const char *examples;
    const struct command_option *options;
    int args_min, args_max; /* args_max -1: any number */
    int (*run)(struct cli *cli, int argc, char **argv);
};

#define COMMAND_OPTIONS_MAX 64

/* What was given on one command line. Values are lent from argv. */
struct command_line {
    const struct command *command;
    struct {
        const char *name, *value; /* value "" for flags */
    } given[COMMAND_OPTIONS_MAX];
    size_t given_count;
    char **args;
    int arg_count;
};

/* The options every command takes. */
extern const struct command_option command_globals[];

/* Read one command line; argv[0] is the program. Permutes argv. On -1 the sentence is in `e` and
 * line->command is set as far as it was understood. 0 with command NULL: no words at all, or a
 * noun without one of its verbs (then args[0] is the noun): the caller shows what there is. */
int command_parse(const struct command *table, size_t count, int argc, char **argv,
                  struct command_line *line, struct err *e) __attribute__((warn_unused_result));

/* The last value given, "" for a flag, NULL when absent. */
const char *command_option(const struct command_line *line, const char *name);
/* Why: -m, --message, or what it was called before. NULL when nothing was said. */
const char *command_message(const struct command_line *line);
bool command_flag(const struct command_line *line, const char *name);
/* Every value of a repeatable option, in order; returns how many (at most max). */
size_t command_option_all(const struct command_line *line, const char *name, const char **values,
                          size_t max);

/* The command of two words; verb may be NULL. NULL when there is none. */
const struct command *command_find(const struct command *table, size_t count, const char *noun,
                                   const char *verb);
bool command_is_noun(const struct command *table, size_t count, const char *word);
/* Fill `e` with what is wrong with these words, and with those that were probably meant, or what
 * verbs the noun has; verb may be NULL. Always -1. */
int command_unknown(const struct command *table, size_t count, const char *noun, const char *verb,
                    struct err *e);

#endif
