/* watch.h - between rollouts: the scopes' own checks at their intervals, one after the other.
 *
 * One check runs at a time, so that many scopes are no burst of processes. One that takes longer
 * than a quarter of its interval comes less often, and after each there is a pause as long as it
 * took, of 5 s at most: checks that a machine cannot finish do not pile up on it. The status tells
 * how long a check took and how often it really comes.
 */
#ifndef AGENT_TASKS_WATCH_H
#define AGENT_TASKS_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/wire/wire.h"

struct agent;
struct command;

/* The local check of a scope between rollouts. */
struct watch {
    struct command *command;
    int64_t next_ms;
    int64_t began_ms, took_ms, every_ms; /* the newest; every: between the two newest beginnings */
    bool is_stretched; /* it takes too long for its interval */
    uint64_t sequence;
    bool is_failing;
    char detail[WIRE_TEXT_MAX + 1];
};

/* At start: check soon. */
void watch_start(struct agent *a, int64_t now_ms);
void watch_step(struct agent *a, uint64_t applying, int64_t now_ms); /* scopes being applied: not */
/* The scope is about to be applied: its running check ends unheard. */
void watch_pause(struct agent *a, unsigned scope);
/* Applied, first check passed. */
void watch_applied(struct agent *a, unsigned scope);
/* What it went back to fails its check. */
void watch_failed(struct agent *a, unsigned scope, const char *reason);

#endif
