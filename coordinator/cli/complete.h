/* complete.h - what may be written next: the shells ask `lockstep __complete WORDS…`. */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include "coordinator/cli/cli.h"
#include "coordinator/cli/command.h"

/* One embedded script per shell, as `completion SHELL` prints it and `make install` installs it:
 * completion.bash, completion.zsh, completion.fish. The Makefile makes the table, which ends
 * without a name. */
struct completion_script {
    const char *name;     /* "completion.bash" */
    const char *at, *end; /* the byte at end is zero */
};
extern const struct completion_script completion_scripts[];

/* What is under the cursor: the last word of a command line that is being written. */
struct cursor {
    const char *noun;                    /* NULL: it comes here */
    const struct command *command;       /* NULL: its last word comes here */
    const struct command_option *option; /* whose value comes here; NULL: no option's */
    const char *typed;                   /* the whole word */
    const char *word;                    /* without the "--addr=" before an option's value */
    bool is_behind_dashes;               /* behind "--" no word is an option */
};

/* Reads words of which the last one is unfinished, and may be empty; says nothing of mistakes.
 * line: the options and arguments before the cursor. Permutes words. Pure. */
void complete_read(const struct command *table, size_t count, int word_count, char **words,
                   struct command_line *line, struct cursor *out);

/* The word WHAT of a usage line or of an option stands for something: "FILE", "SERVICE/ENV".
 * Calls offer for what the argument at this place (from 0) may be; arguments come in forms with
 * " | " between them, the parts of one word have a '|'. Pure. */
void complete_places(const char *args, int place, void (*offer)(void *ctx, const char *what),
                     void *ctx);

/* The command __complete. The first line of the answer says whether names of files come to it:
 * "words", "files BEFORE" or "dirs BEFORE" with what of the word is in front of the name; each line
 * behind it is a candidate, a tab and what it is. Values come from the coordinator when it answers
 * within a second; that it does not is said nowhere. */
int complete_run(struct cli *cli, int word_count, char **words);

#endif
