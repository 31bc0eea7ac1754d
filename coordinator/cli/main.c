/* main.c - the program lockstep: one command line, one command, one exit code. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/complete.h"
#include "coordinator/cli/help.h"
#include "coordinator/cli/nouns.h"

static int run(struct cli *cli, int argc, char **argv)
{
    const struct command *c;
    struct err e = { 0 };
    bool is_read = command_parse(commands, command_count, argc, argv, &cli->line, &e) == 0;
    bool wants_help = command_flag(&cli->line, "help");

    c = cli->line.command;
    if (!is_read)
        return cli_usage(cli, "%s", e.text);
    if (output_init(&cli->out, command_option(&cli->line, "output"),
                    command_flag(&cli->line, "no-color"), &e) != 0)
        return cli_usage(cli, "%s", e.text);
    cli->is_verbose = command_flag(&cli->line, "verbose");
    cli->is_yes = command_flag(&cli->line, "yes");
    if (c && wants_help) {
        SCOPED_BUFFER struct buffer text = { 0 };

        help_command(&text, c, cli->out.is_colour);
        output_text(&text);
        return CLI_DONE;
    }
    if (c)
        return c->run(cli, cli->line.arg_count, cli->line.args);
    if (cli->line.arg_count > 1) {
        (void)command_unknown(commands, command_count, cli->line.args[0], cli->line.args[1], &e);
        return cli_usage(cli, "%s", e.text);
    }
    return about_show(cli, cli->line.arg_count ? cli->line.args[0] : NULL, wants_help);
}

int main(int argc, char **argv)
{
    struct cli cli = { .is_yes = false };
    int rc;

    signal(SIGPIPE, SIG_IGN); /* `lockstep … | head` ends quietly, by the failed write below */
    signal(SIGCHLD, SIG_DFL); /* where it is ignored nobody learns how a program ended */
    if (argc > 2 && strcmp(argv[1], "__complete") == 0)
        rc = complete_run(&cli, argc - 2, argv + 2);
    else if (argc == 2 && strcmp(argv[1], "--version") == 0)
        rc = about_program();
    else
        rc = run(&cli, argc, argv);
    client_free(cli.client);
    if (fflush(stdout) != 0 && rc == CLI_DONE)
        rc = CLI_FAILED;
    return rc;
}
