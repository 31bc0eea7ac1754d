/* agent.h - what the rooms of the loop share: the agent's state, its queue of ended work, sending.
 *
 * The loop turns messages and ended work into participant events, and effects into transactions,
 * work and messages. What one room keeps is declared in that room's header.
 */
#ifndef AGENT_TASKS_AGENT_H
#define AGENT_TASKS_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/cache/cache.h"
#include "agent/core/participant.h"
#include "agent/files/render.h"
#include "agent/link/dealer.h"
#include "agent/link/outbox.h"
#include "agent/link/session.h"
#include "agent/process/command.h"
#include "agent/settings/settings.h"
#include "agent/tasks/drift.h"
#include "agent/tasks/scope_stats.h"
#include "agent/tasks/watch.h"
#include "agent/tasks/work.h"
#include "common/buffer.h"
#include "common/wire/wire.h"

#define AGENT_VERSION "0.1.0"
#define AGENT_QUEUE_MAX 512

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

    struct session session;
    int64_t turn_ms; /* of the loop: what lies between two turns is not silence, but absence */

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
