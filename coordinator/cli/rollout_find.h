/* rollout_find.h - which rollout is meant: an id, a unique beginning of one, or SERVICE/ENV. */
#ifndef CLI_ROLLOUT_FIND_H
#define CLI_ROLLOUT_FIND_H

#include "coordinator/cli/cli.h"

#define ROLLOUT_ID_SIZE 128

/* SERVICE/ENV is its open rollout, or the latest when none is open. */
int rollout_find(struct cli *cli, const char *reference, char id_out[ROLLOUT_ID_SIZE],
                 struct err *e) __attribute__((warn_unused_result));

/* The same for who takes back: SERVICE/ENV is its open or latest rollout that servers were asked
 * for. One that waits for approvals, or was refused them, brought nothing. */
int rollout_find_to_take_back(struct cli *cli, const char *reference, char id_out[ROLLOUT_ID_SIZE],
                              struct err *e) __attribute__((warn_unused_result));

#endif
