/* about.c - version, help, completion: the program about itself. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/complete.h"
#include "coordinator/cli/help.h"

#ifndef LOCKSTEP_VERSION
#define LOCKSTEP_VERSION "0.1.0"
#endif

/* The coordinator's version is told when one answers; that none does is no error here. */
int about_version(struct cli *cli, int argc, char **argv)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    json_t *out = json_pack("{s:s}", "lockstep", LOCKSTEP_VERSION);

    (void)argc, (void)argv;
    if (cli_call(cli, "GET", "/version", NULL, &reply, &e) == 0 && reply.body)
        json_object_set(out, "coordinator", json_object_get(reply.body, "version"));
    if (!cli_print_object(cli, out, "lockstep")) {
        printf("lockstep %s\n", LOCKSTEP_VERSION);
        if (reply.body)
            printf("coordinator %s at %s\n", cli_text(reply.body, "version"),
                   client_address(cli->client));
    }
    json_decref(out);
    return CLI_DONE;
}

int about_program(void)
{
    printf("lockstep %s\n", LOCKSTEP_VERSION);
    return CLI_DONE;
}

int about_show(struct cli *cli, const char *noun, bool is_asked)
{
    SCOPED_BUFFER struct buffer text = { 0 };

    if (noun)
        help_noun(&text, commands, command_count, noun, cli->out.is_colour);
    else
        help_overview(&text, commands, command_count, cli->out.is_colour);
    fputs(text.data, is_asked ? stdout : stderr);
    return is_asked ? CLI_DONE : CLI_USAGE;
}

int about_help(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    const struct command *c;
    struct err e = { 0 };

    if (argc == 0)
        return about_show(cli, NULL, true);
    if (strcmp(argv[0], "exit-codes") == 0) {
        help_exit_codes(&text, cli->out.is_colour);
        output_text(&text);
        return CLI_DONE;
    }
    if (strcmp(argv[0], "contexts") == 0) {
        help_contexts(&text, cli->out.is_colour);
        output_text(&text);
        return CLI_DONE;
    }
    c = command_find(commands, command_count, argv[0], argc > 1 ? argv[1] : NULL);
    if (c) {
        help_command(&text, c, cli->out.is_colour);
        output_text(&text);
        return CLI_DONE;
    }
    if (argc == 1 && command_is_noun(commands, command_count, argv[0]))
        return about_show(cli, argv[0], true);
    (void)command_unknown(commands, command_count, argv[0], argc > 1 ? argv[1] : NULL, &e);
    return cli_usage(cli, "%s", e.text);
}

int about_completion(struct cli *cli, int argc, char **argv)
{
    char name[40];

    (void)argc;
    snprintf(name, sizeof(name), "completion.%s", argv[0]);
    for (const struct completion_script *s = completion_scripts; s->name; s++)
        if (strcmp(s->name, name) == 0) {
            fwrite(s->at, 1, (size_t)(s->end - s->at), stdout);
            return CLI_DONE;
        }
    return cli_usage(cli, "completion is there for bash, zsh and fish, not for \"%.30s\"", argv[0]);
}
