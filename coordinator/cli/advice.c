/* advice.c - which line to type after which problem of the API. */
#include "coordinator/cli/advice.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/cli/cli.h"

static void after_freeze(const struct cli *cli, const struct err *e)
{
    static const char before[] = " is frozen by ";
    const char *name = strstr(e->text, before);

    (void)cli;
    name = name ? name + sizeof(before) - 1 : "NAME";
    fprintf(stderr,
            "Lift it: lockstep freeze delete %.*s. To start all the same: --break-glass with -m, "
            "which takes the right rollout.break_glass\n",
            (int)strcspn(name, " :"), name);
}

static void after_forbidden(const struct cli *cli, const struct err *e)
{
    (void)cli, (void)e;
    fputs("What this token may do: lockstep whoami. Who has the right token.write makes another: "
          "lockstep help token create\n", stderr);
}

static void after_token(const struct cli *cli, const struct err *e)
{
    (void)e;
    if (*client_token_source(cli->client))
        fprintf(stderr, "The token came from %s\n", client_token_source(cli->client));
}

static void after_strategy(const struct cli *cli, const struct err *e)
{
    const char *given = command_option(&cli->line, "strategy");
    const char *end = given ? strrchr(given, '.') : NULL;

    (void)e;
    if (given && given[0] != '@' &&
        ((end && (strcmp(end, ".json") == 0 || strcmp(end, ".yaml") == 0 ||
                  strcmp(end, ".yml") == 0)) || access(given, F_OK) == 0))
        fprintf(stderr, "A file that holds a strategy is given with an @: --strategy @%s\n", given);
}

static void after_superseded(const struct cli *cli, const struct err *e)
{
    (void)cli, (void)e;
    fputs("To bring older content back by a rollout of its own: lockstep rollout undo SERVICE/ENV "
          "--to REVISION\n", stderr);
}

/* What an argument means is text, unless its type is said. */
static void after_schema(const struct cli *cli, const struct err *e)
{
    bool is_set = cli->line.command && strcmp(cli->line.command->noun, "config") == 0 &&
                  cli->line.command->verb && strcmp(cli->line.command->verb, "set") == 0;

    if (is_set && !command_option(&cli->line, "type") && strstr(e->text, "not a string"))
        fputs("A value is a string unless its type is said: --type number, boolean, json or yaml\n",
              stderr);
}

static const struct {
    const char *code;
    void (*say)(const struct cli *cli, const struct err *e);
} advices[] = {
    { "frozen", after_freeze },
    { "forbidden", after_forbidden },
    { "unauthorized", after_token },
    { "unknown_strategy", after_strategy },
    { "superseded", after_superseded },
    { "schema_violation", after_schema },
};

void advice_after(const struct cli *cli, const struct err *e)
{
    for (size_t i = 0; cli->client && e->code && i < sizeof(advices) / sizeof(*advices); i++)
        if (strcmp(advices[i].code, e->code) == 0)
            advices[i].say(cli, e);
}
