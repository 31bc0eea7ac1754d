/* variables.h - a held revision as environment variables of a command: chosen, named, compared. */
#ifndef AGENT_COMMANDS_VARIABLES_H
#define AGENT_COMMANDS_VARIABLES_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/client/lockstep.h"
#include "common/document/env_render.h"
#include "common/err.h"

#define VARIABLES_ONLY_MAX 32

struct variables_choice {
    struct env_choice names;
    bool is_overwriting; /* what has such a name in this process's environment does not stay */
    const char *only[VARIABLES_ONLY_MAX]; /* globs on keys; none: all keys */
    unsigned only_count;
};

struct variables {
    char **texts; /* NAME=VALUE, by name; NULL at the end */
    size_t count, secret_count; /* secrets are left out, and counted */
    size_t kept_count; /* likewise what is set in this process's environment, and stays */
    char kept[200];    /* the names of the first of them */
};

/* Names as ?format=env writes them; null is no variable. -1: two keys become one variable, or one
 * becomes a variable that is obeyed and not allowed. */
int variables_of(const struct lockstep_snapshot *s, const struct variables_choice *choice,
                 struct variables *out, struct err *e) __attribute__((warn_unused_result));
void variables_fini(struct variables *v);
bool variables_equal(const struct variables *a, const struct variables *b);

/* What a command gets: this process's own environment, in which these and LOCKSTEP_SCOPE,
 * LOCKSTEP_REVISION and LOCKSTEP_HASH take the place of what has their names. Free the array
 * and its texts with variables_free_environment. */
char **variables_environment(const struct variables *v, const char *scope,
                             const struct lockstep_snapshot *s);
void variables_free_environment(char **environment);

#endif
