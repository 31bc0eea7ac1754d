/* rollout_wait.h - follow one rollout to its end, as lines or as a live picture. */
#ifndef CLI_ROLLOUT_WAIT_H
#define CLI_ROLLOUT_WAIT_H

#include "common/buffer.h"
#include "coordinator/cli/cli.h"

struct json_t;

enum rollout_look {
    ROLLOUT_LINES,         /* status */
    ROLLOUT_PICTURE,       /* watch; lines when standard output is no terminal */
    ROLLOUT_WAIT,          /* --wait: as watch, and ends when a person is needed */
    ROLLOUT_WAIT_ROLLBACK, /* the same; rolled back is what was asked for */
    ROLLOUT_WAIT_BACK,     /* the same; the rollout is a way back, which has to complete */
};

/* Honours --timeout. Returns the exit code. */
int rollout_wait(struct cli *cli, const char *id, enum rollout_look look);

/* The picture of a rollout as it is at this moment, with its failures. */
void rollout_draw_now(struct cli *cli, const struct json_t *rollout, struct buffer *out);

/* A --timeout that is no duration must not start anything. */
int rollout_check_timeout(const struct cli *cli, struct err *e) __attribute__((warn_unused_result));

/* Show a rollout that was started or told something ("started"), and follow it with --wait. Returns
 * the exit code. */
int rollout_show_and_wait(struct cli *cli, const struct json_t *rollout, const char *what,
                          enum rollout_look look);

#endif
