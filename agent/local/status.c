/* status.c - what the agent knows of itself at one moment, for whoever asks: never changed, counted. */
#include "agent/local/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/publish/consumers.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/name.h"

static void cut(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
    name_clean_utf8(out, strlen(out));
}

static void take_consumers(const struct agent *a, unsigned i, struct status_scope *out)
{
    struct consumers_tally tally;

    consumers_judge(a->consumers, agent_scope(a, i), &a->durable[i].active.hash, 0, false, &tally);
    out->consumers = tally.registered;
    out->consumers_confirmed = tally.confirmed;
}

/* What the monotonic clock said, as time of day. */
static int64_t wall_of(int64_t monotonic_ms)
{
    return clock_wall_ms() - (clock_monotonic_ms() - monotonic_ms);
}

static void take_scope(const struct agent *a, unsigned i, struct status_scope *out)
{
    const struct promise *p = &a->durable[i];
    const struct watch *w = &a->watches[i];

    memcpy(out->name, agent_scope(a, i)->name, sizeof(out->name));
    out->active = p->active;
    if (p->slot_attempt)
        out->promised = p->slot;
    out->outcome = p->outcome;
    out->kept_revision = p->lkg.revision;
    out->since_wall_ms = a->tallies[i].last_wall_ms;
    if (p->outcome == OUTCOME_APPLYING)
        out->since_wall_ms = a->tallies[i].began_ms ? wall_of(a->tallies[i].began_ms) : 0;
    out->is_reverting = p->is_reverting;
    out->is_finalized = p->is_finalized;
    out->is_check_failing = w->is_failing;
    out->is_check_slow = w->is_stretched;
    out->check_took_ms = w->took_ms;
    out->check_every_ms = w->every_ms;
    out->is_drifted = a->drifts[i].is_drifted;
    cut(out->check, sizeof(out->check), w->detail);
    cut(out->drift, sizeof(out->drift), a->drifts[i].is_drifted ? a->drifts[i].text : "");
    out->tally = a->tallies[i];
    take_consumers(a, i, out);
}

struct status *status_take(const struct agent *a)
{
    unsigned count = a->settings->scope_count;
    struct status *s = calloc(1, sizeof(*s) + count * sizeof(s->scopes[0]));

    MUST(s);
    atomic_init(&s->holders, 1);
    s->wall_ms = clock_wall_ms();
    s->monotonic_ms = clock_monotonic_ms();
    s->started_wall_ms = a->started_wall_ms;
    cut(s->name, sizeof(s->name), a->settings->name);
    cut(s->coordinator, sizeof(s->coordinator), dealer_address(a->dealer));
    cut(s->trouble, sizeof(s->trouble),
        a->session.rejection[0] ? a->session.rejection : dealer_trouble(a->dealer));
    s->connection = dealer_state(a->dealer);
    s->is_welcomed = a->session.is_welcomed;
    s->welcomed_wall_ms = a->session.is_welcomed ? wall_of(a->session.welcomed_ms) : 0;
    s->heard_wall_ms = a->session.is_heard ? wall_of(a->session.word_ms) : 0;
    s->outbox_length = a->outbox.count;
    s->reload = a->reload;
    s->scope_count = count;
    for (unsigned i = 0; i < count; i++)
        take_scope(a, i, &s->scopes[i]);
    return s;
}

struct status *status_hold(struct status *s)
{
    atomic_fetch_add(&s->holders, 1);
    return s;
}

void status_release(struct status *s)
{
    if (s && atomic_fetch_sub(&s->holders, 1) == 1)
        free(s);
}

const char *status_state(const struct status_scope *scope)
{
    switch (scope->outcome) {
    case OUTCOME_NONE:
        return "none";
    case OUTCOME_APPLYING:
        return scope->is_reverting ? "reverting" : "applying";
    case OUTCOME_OK:
        return "ok";
    case OUTCOME_FAILED:
        return "failed";
    case OUTCOME_BROKEN:
        return "broken";
    }
    return "none";
}
