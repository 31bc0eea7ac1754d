/* readers.c - what local readers see follows the agent's pointer: at start, in an apply, and in between. */
#include "agent/readers.h"

#include <string.h>

#include "agent/publish.h"
#include "common/document.h"
#include "common/log.h"

#define VERIFY_MS 10000

/* The document is written again when its file is not there or not whole. */
static int publish(struct agent *a, unsigned scope, const struct content *content, struct err *e)
{
    SCOPED(document_free) struct document *document = NULL;

    if (!hash_is_zero(&content->hash) && !publish_has(a->publisher, scope, &content->hash) &&
        (agent_document(a, content, &document, e) ||
         publish_write(a->publisher, scope, document, &content->hash, e)))
        return -1;
    return publish_switch(a->publisher, scope, content, e);
}

static void repair(struct agent *a, unsigned scope)
{
    struct err e;

    if (publish(a, scope, &a->durable[scope].active, &e))
        log_warn("local readers do not see the active revision", "scope",
                 agent_scope(a, scope)->name, "reason", e.text);
}

int readers_start(struct agent *a, struct err *e)
{
    if (publish_open(a->settings, &a->publisher, e))
        return -1;
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        repair(a, i);
        readers_sweep(a, i, NULL, 0);
        publish_wake(a->publisher, i); /* consumers find the new agent */
    }
    return 0;
}

int readers_stage(struct agent *a, unsigned scope, const struct document *document,
                  const struct hash *hash, struct err *e)
{
    return document ? publish_write(a->publisher, scope, document, hash, e) : 0;
}

int readers_switch(struct agent *a, const struct target *target, struct err *e)
{
    return publish(a, target->scope, &target->content, e);
}

void readers_step(struct agent *a, uint64_t applying, int64_t now_ms)
{
    if (now_ms < a->readers_ms)
        return;
    a->readers_ms = now_ms + VERIFY_MS;
    for (unsigned i = 0; i < a->settings->scope_count; i++)
        if (!(applying >> i & 1) && a->durable[i].outcome != OUTCOME_APPLYING &&
            !publish_shows(a->publisher, i, &a->durable[i].active))
            repair(a, i);
}

void readers_sweep(struct agent *a, unsigned scope, const struct hash *keep, unsigned count)
{
    const struct promise *p = &a->durable[scope];
    struct hash all[2 * PARTICIPANT_TASKS_MAX + 8] = { p->active.hash, p->lkg.hash, p->slot.hash };
    unsigned all_count = 3;

    MUST(count <= PARTICIPANT_TASKS_MAX + 2);
    for (unsigned i = 0; i < count; i++)
        all[all_count++] = keep[i];
    publish_sweep(a->publisher, scope, all, all_count);
}
