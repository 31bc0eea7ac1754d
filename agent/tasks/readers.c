/* readers.c - what local readers see follows the agent's pointer; and who of them is waited for. */
#include "agent/tasks/readers.h"

#include <string.h>

#include "agent/publish/consumers.h"
#include "agent/publish/publish.h"
#include "common/clock.h"
#include "common/document/document.h"
#include "common/log.h"

#define VERIFY_MS 10000
#define RETURN_MS 2000 /* consumers of before a restart of the agent come back within it */

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

/* The socket is there before anybody is woken: who wakes up registers again. */
int readers_start(struct agent *a, struct err *e)
{
    if (publish_open(a->settings, &a->publisher, e) ||
        (!a->consumers && consumers_open(a->settings->publish_dir, &a->consumers, e)))
        return -1;
    a->expected_ms = clock_monotonic_ms() + RETURN_MS;
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        a->expected[i] = publish_consumers(a->publisher, i);
        repair(a, i);
        readers_sweep(a, i, NULL, 0);
        publish_wake(a->publisher, i);
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
    consumers_forget_refusals(a->consumers, agent_scope(a, target->scope)->name);
    return publish(a, target->scope, &target->content, e);
}

/* Until those of before are back, their number stays in the control file: the agent may be
 * restarted once more. */
void readers_hear(struct agent *a)
{
    bool is_over = clock_monotonic_ms() >= a->expected_ms;

    if (!consumers_step(a->consumers, a->settings) && !(is_over && a->expected_ms))
        return;
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        unsigned count = consumers_count(a->consumers, agent_scope(a, i)->name);

        if (is_over || count >= a->expected[i])
            a->expected[i] = 0;
        if (!a->expected[i])
            publish_set_consumers(a->publisher, i, count);
    }
    if (is_over)
        a->expected_ms = 0;
}

bool readers_has_consumers(const struct agent *a, unsigned scope)
{
    return consumers_count(a->consumers, agent_scope(a, scope)->name) > 0;
}

int readers_confirmed(struct agent *a, const struct target *target, bool is_revert,
                      bool is_late, struct err *e)
{
    const struct agent_scope *scope = agent_scope(a, target->scope);
    struct consumers_tally tally;

    consumers_judge(a->consumers, scope, &target->content.hash, a->expected[target->scope],
                    is_revert, &tally);
    if (tally.is_refused)
        return err_set(e, ERR_CONFLICT, "%s: %.400s", scope->name, tally.reason);
    if (tally.confirmed >= tally.needed)
        return 1;
    if (!is_late || a->expected[target->scope])
        return 0;
    return err_set(e, ERR_CONFLICT, "%s: %u of the %u consumers needed confirmed it within "
                   "%lld ms%s%.250s", scope->name, tally.confirmed, tally.needed,
                   (long long)scope->consumers_timeout_ms,
                   tally.reason[0] ? "; no word from " : "; so many are not registered",
                   tally.reason);
}

void readers_step(struct agent *a, uint64_t applying, int64_t now_ms)
{
    unsigned i = a->readers_at % a->settings->scope_count;

    if (now_ms < a->readers_ms)
        return;
    a->readers_ms = now_ms + VERIFY_MS / a->settings->scope_count; /* one after the other */
    a->readers_at = i + 1;
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
