/* picture.h - a rollout as text: header, one bar per stage, timings, failures. Pure. */
#ifndef CLI_PICTURE_H
#define CLI_PICTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "coordinator/cli/bar.h"
#include "coordinator/cli/table.h"

struct json_t;

struct picture_style {
    size_t width, height; /* of the terminal; height 0: no limit */
    bool is_colour, is_utf8;
    bool has_whole_reasons; /* failures may be wider than `width`: the picture that stays */
    long long now_ms;
};

/* rollout: the API's object. failures: items of /rollouts/{id}/servers worth showing, or NULL.
 * Every line ends with a line feed and is at most `width` cells wide, but for
 * whole reasons. */
void picture_draw(const struct json_t *rollout, const struct json_t *failures,
                  const struct picture_style *style, struct buffer *out);

/* The counts of a rollout or a stage; those that applied and fail their check stand apart. */
void picture_counts(const struct json_t *object, struct bar *out);
/* The colour of its state: what completed without some of its servers is not green. */
enum tint picture_tint(const struct json_t *rollout);

/* "payments/prod 41 → 42, search/prod 7 → 8". */
void picture_changes(const struct json_t *rollout, bool is_utf8, struct buffer *out);

/* "paused" when it is, else the phase while open, else the final state. */
const char *picture_state(const struct json_t *rollout);
/* It bakes until somebody promotes its stage. */
bool picture_is_held(const struct json_t *rollout);
/* It waits for approvals, and what it brings was released or passed since: it cannot start. */
bool picture_is_overtaken(const struct json_t *rollout);
/* Of an object `counts`: all of its servers. */
long long picture_servers(const struct json_t *counts);
/* It completed, there are servers of it, and not one of them runs what it brought. */
bool picture_reached_nobody(const struct json_t *rollout);
bool picture_is_final(const struct json_t *rollout);

/* 0:42, 12:07, 3:02:11 */
void picture_elapsed(long long ms, char out[32]);
/* 0.4ms, 12ms, 1.3s, 2m10s */
void picture_latency(double ms, char out[32]);

#endif
