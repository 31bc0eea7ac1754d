/* follow.h - looks at a rollout again and again until it ends, and tells somebody what it saw. */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/cli/cli.h"

struct json_t;

/* One look. events: those that are new since the last look, oldest first. trouble: why the
 * coordinator could not be asked this time (then rollout is what was seen last), or NULL. */
struct follow_look {
    const struct json_t *rollout, *events;
    const char *trouble;
    bool is_last;
};
typedef void follow_fn(void *ctx, const struct follow_look *look);

struct follow {
    struct cli *cli;
    const char *id;
    int64_t timeout_ms;     /* 0: none */
    bool ends_for_person;   /* --wait: paused or awaiting approval ends it, with exit code 8 */
    bool is_rollback_asked; /* rolled back and aborted are what was asked for */
    bool wants_events;
    follow_fn *look;
    void *ctx;
};

/* Returns the exit code. Once the first look was good, a coordinator that goes away (restarts,
 * takeovers) is waited for. */
int follow_run(const struct follow *f);

/* Says of a rollout that was aborted that it changed nothing; of another nothing. */
void follow_say_untouched(const struct json_t *rollout);

/* The lines of `status` and --wait on standard output: events and counts, as they come. */
struct follow_lines {
    struct cli *cli;
    bool had_trouble;
    char counts[160];
};
void follow_print_lines(void *lines, const struct follow_look *look);

#endif
