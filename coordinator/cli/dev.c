/* dev.c - lockstep dev: everything on this machine. */
#include "coordinator/cli/nouns.h"

const struct command_option dev_options[] = {
    { NULL, 0, NULL, NULL },
};

int dev_run(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    return cli_usage(cli, "dev is not there yet");
}
