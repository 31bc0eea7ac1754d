/* work.h - what runs for a task, and what there is to tell about it. */
#ifndef AGENT_TASKS_WORK_H
#define AGENT_TASKS_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/participant.h"
#include "agent/link/fetch.h"
#include "agent/link/secret_fetch.h"
#include "agent/process/command.h"
#include "common/buffer.h"
#include "common/wire/wire.h"

#define STORY_ROLLOUT_SIZE 24

/* What there is to tell about a task: kept from its staging to its acknowledgement. */
struct story {
    uint32_t gen; /* whose story it is: a task's place is used again by others */
    uint64_t number;
    enum wire_reason reason;
    enum wire_step step;
    char text[WIRE_TEXT_MAX + 1];
    char rollout[STORY_ROLLOUT_SIZE]; /* whose PREPARE began it; empty: not known */
    uint16_t step_count;
    struct wire_step_time steps[WIRE_STEPS_MAX];
};

enum work_phase {
    WORK_IDLE,
    WORK_FETCHING,
    WORK_ASKING, /* for secrets */
    WORK_VALIDATING,
    WORK_RELOADING,
    WORK_CONFIRMING, /* by the consumers */
    WORK_CHECKING,
};

/* A task's running work. */
struct work {
    enum work_phase phase;
    bool is_apply, is_forced, is_revert;
    unsigned target_count, at; /* targets before `at` are done with this phase */
    struct target targets[PARTICIPANT_SCOPES_MAX];
    uint32_t sizes[PARTICIPANT_SCOPES_MAX]; /* announced; 0: not known */
    struct {
        struct hash hash; /* what the target is judged by; zero: nothing */
        uint32_t size;
    } schemas[PARTICIPANT_SCOPES_MAX];
    struct fetch fetch;
    struct secret_fetch secret_fetch;
    int64_t patience_ms; /* with a coordinator that cannot read secrets; 0: the usual */
    struct command *command;
    int64_t began_ms, phase_began_ms, retry_ms;
    int64_t attempts_left;
    bool has_run; /* a command of this phase was started: only what was done is told as a step */
    uint32_t pointer_ms;
    struct story story;
    struct buffer decision; /* the body of the decision behind it */
    uint64_t decision_dseq;
};

void story_step(struct story *s, enum wire_step step, int64_t took_ms);

/* End what runs; the story stays. */
void work_stop(struct work *w);

#endif
