/* agent.h - what the rooms of the loop share: the agent's state, its queue of ended work, sending.
 *
 * The loop turns messages and ended work into participant events, and effects into transactions,
 * work and messages. Rooms, low to high: agent, say, secrets, stage, watch, drift, apply, hear,
 * change_log, loop.
 */
#ifndef AGENT_TASKS_AGENT_H
#define AGENT_TASKS_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/cache/cache.h"
#include "agent/core/participant.h"
#include "agent/files/render.h"
#include "agent/link/dealer.h"
#include "agent/link/fetch.h"
#include "agent/link/outbox.h"
#include "agent/link/secret_fetch.h"
#include "agent/process/command.h"
#include "agent/settings/settings.h"
#include "agent/tasks/scope_stats.h"
#include "common/buffer.h"
#include "common/wire/wire.h"

#define AGENT_VERSION "0.1.0"
#define AGENT_QUEUE_MAX 512
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

/* Whether a scope's files and documents are as they should be. */
struct drift {
    int64_t verify_ms;             /* the next look */
    int64_t mend_ms, mend_wait_ms; /* not repaired again before; 0: at once */
    uint64_t sequence;
    bool is_drifted, is_in_files;  /* in files: writing them anew helps */
    char found[480];               /* what differs */
    char text[WIRE_TEXT_MAX + 1];  /* what is told */
};

/* The message whose event is being handled; its texts and bytes are lent by the dealer. */
struct incoming {
    bool has_prepare, has_decision;
    struct wire_prepare prepare;
    struct wire_decision decision;
    struct wire_bytes body; /* of the decision */
};

struct log_limit;
struct publisher;
struct consumers;

/* How reading the settings went. */
struct agent_reload {
    int64_t wall_ms; /* when those in use were read */
    bool is_failed;  /* the newest try was refused */
};

struct agent {
    const struct agent_settings *settings;
    struct cache *cache;
    struct publisher *publisher;
    struct consumers *consumers;
    unsigned expected[AGENT_SCOPES_MAX]; /* consumers of before the start, until expected_ms */
    int64_t expected_ms;
    struct dealer *dealer;
    struct secrets *secrets;
    struct participant participant;
    struct promise durable[PARTICIPANT_SCOPES_MAX];
    struct participant_effects effects;
    struct participant_event queue[AGENT_QUEUE_MAX]; /* work that ended */
    unsigned queue_from, queue_count;
    struct work works[PARTICIPANT_TASKS_MAX];
    struct work mend; /* a repair: an apply that no task asked for, of one scope at a time */
    struct watch watches[AGENT_SCOPES_MAX];
    int64_t check_pause_ms; /* none of them begins before */
    struct drift drifts[AGENT_SCOPES_MAX];
    int64_t poll_ms[AGENT_SCOPES_MAX]; /* the next poll; 0: not planned */
    struct buffer answers[AGENT_SCOPES_MAX]; /* newest kept acknowledgement of each scope */
    struct outbox outbox;
    struct scope_stats tallies[AGENT_SCOPES_MAX];
    uint64_t save_count; /* since the start: who shows its state shows it anew */
    struct agent_reload reload;
    int64_t started_wall_ms;
    struct fetch repair; /* a document that a promise names and the cache lost */
    int64_t repair_ms, readers_ms;
    unsigned readers_at; /* the scope whose published files are looked at next */

    uint64_t boot_nonce, session, message_id;
    bool is_welcomed;
    int64_t heard_ms, heartbeat_ms, hello_ms, hello_wait_ms, opened_ms; /* of this connection */
    int64_t welcomed_ms; /* when this connection's first WELCOME came */
    bool is_heard;       /* since the start some coordinator of the cluster was */
    int64_t word_ms; /* when any coordinator of the cluster was heard last; at first the start */
    int64_t turn_ms; /* of the loop: what lies between two turns is not silence, but absence */
    char rejection[400]; /* why this coordinator does not welcome it, as it was logged */
    char said_trouble[512]; /* of the connection, so that it is logged once */
    struct log_limit *repeated; /* for what coordinators would make it log again and again */

    struct incoming incoming;

    bool is_draining; /* about to stop or to follow newer settings: nothing new is begun */
    bool is_broken; /* a save failed: end, restart, verify */
    uint8_t out[WIRE_MESSAGE_MAX];
};

uint64_t agent_chance(void);

/* STAGED, SAVED and APPLIED wait for the end of the step that caused them. */
void agent_post(struct agent *a, enum participant_event_type type, unsigned task, bool is_ok);
bool agent_next_posted(struct agent *a, struct participant_event *out);
/* Forget STAGED and APPLIED of a task that was cancelled. */
void agent_forget_posted(struct agent *a, unsigned task);

/* The first `size` bytes of a->out as a message; lost when there is no connection. */
void agent_send_out(struct agent *a, enum wire_type type, size_t size);
void agent_send(struct agent *a, enum wire_type type, const void *body, size_t size);

const struct agent_scope *agent_scope(const struct agent *a, unsigned scope);
unsigned agent_task_of(const struct agent *a, const struct work *w);
/* The story of the task as it is now: emptied when the place belonged to another. */
struct story *agent_story(struct agent *a, unsigned task);
void agent_story_step(struct story *s, enum wire_step step, int64_t took_ms);

/* End what runs; the story stays. */
void agent_stop_work(struct work *w);

/* The document of a content, with references in place of secrets (secrets_document opens them);
 * *out NULL for revision 0. */
struct document;
int agent_document(struct agent *a, const struct content *content, struct document **out,
                   struct err *e) __attribute__((warn_unused_result));

/* What a scope's files are written from; *document as above, which the source lends. */
struct render_source agent_source(const struct agent *a, unsigned scope,
                                  const struct document *document, const struct hash *hash);

/* The contents whose candidates something still waits for: what is promised or at work, and while a
 * way back may be needed what it leads to (the zero hash: the originals). How many. */
#define AGENT_KEPT_MAX (PARTICIPANT_TASKS_MAX * PARTICIPANT_SCOPES_MAX + 4)
unsigned agent_kept(const struct agent *a, unsigned scope, struct hash out[AGENT_KEPT_MAX]);

/* A command of a scope's settings with the environment that tells it what it is about; staged: the
 * folder of the candidates, or NULL. */
int agent_command(const struct agent_scope *scope, const struct content *content,
                  const char *text, const char *staged, int64_t limit_ms, struct command **out,
                  struct err *e) __attribute__((warn_unused_result));

#endif
