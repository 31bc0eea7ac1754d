/* lifecycle.c - the agent's state made from settings and disk, ended, and taken over by newer settings. */
#include "agent/lifecycle.h"

#include <stdlib.h>
#include <string.h>

#include "agent/disk/mark.h"
#include "agent/publish/consumers.h"
#include "agent/publish/publish.h"
#include "agent/tasks/readers.h"
#include "agent/tasks/say.h"
#include "agent/tasks/secrets.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/log_limit.h"
#include "common/memory.h"

/* ---- beginning and end ---- */

static void remember_entry(void *ctx, uint64_t id, const void *body, size_t size)
{
    outbox_add(ctx, id, body, size);
}

/* What the newest answer of a scope tells of a refusal or a failure, also after a restart. */
static void remember_trouble(struct agent *a, unsigned scope)
{
    const struct promise *p = &a->durable[scope];
    bool is_bad = p->outcome == OUTCOME_FAILED || p->outcome == OUTCOME_BROKEN;
    struct scope_stats *t = &a->tallies[scope];
    char text[SCOPE_STATS_REASON_SIZE];
    struct wire_ack ack;
    struct err ignored; /* what cannot be read is not told */

    if (t->reason[0] || !a->answers[scope].size ||
        wire_decode_ack(a->answers[scope].data, a->answers[scope].size, &ack, &ignored))
        return;
    wire_text_copy(ack.text, text, sizeof(text));
    if (ack.type == WIRE_FAILED && is_bad)
        scope_stats_remember(t, text,
                             ack.step == WIRE_STEP_NONE ? NULL : wire_step_name(ack.step));
    else if (ack.type == WIRE_REFUSED && ack.number == p->refused)
        scope_stats_remember(t, text, wire_reason_name(ack.reason));
}

static int load(struct agent *a, struct err *e)
{
    const struct agent_settings *s = a->settings;

    for (unsigned i = 0; i < s->scope_count; i++)
        if (cache_get_promise(a->cache, s->scopes[i]->name, &a->durable[i], e) ||
            cache_get_answer(a->cache, s->scopes[i]->name, &a->answers[i], e))
            return -1;
        else
            remember_trouble(a, i);
    if (secrets_open(a, e))
        return -1;
    participant_init(&a->participant, s->scope_count, a->durable);
    return cache_outbox(a->cache, remember_entry, &a->outbox, e);
}

static int open_cache(struct agent *a, struct err *e)
{
    if (cache_open(a->settings->state_dir, 0, &a->cache, e) ||
        mark_open(a->settings->state_dir, e))
        return -1;
    if (cache_corrupt_count(a->cache))
        log_warn("corrupt documents were dropped and will be fetched again", "count",
                 LOG_NUMBER(cache_corrupt_count(a->cache)), "state_dir", a->settings->state_dir);
    return 0;
}

static int open_dealer(struct agent *a, const struct lifecycle_keys *keys, struct err *e)
{
    const struct agent_settings *s = a->settings;
    struct dealer_settings dealer = { .coordinator_count = s->coordinator_count,
                                      .server_key = s->server_key,
                                      .public_key = keys->public_key,
                                      .secret_key = keys->secret_key };

    for (unsigned i = 0; i < s->coordinator_count; i++)
        dealer.coordinators[i] = s->coordinators[i];
    return dealer_open(&dealer, &a->dealer, e);
}

static struct agent *new_agent(const struct agent_settings *settings)
{
    struct agent *a = memory_new(sizeof(*a));

    a->settings = settings;
    a->session.boot_nonce = agent_chance();
    a->session.repeated = log_limit_new();
    a->session.word_ms = clock_monotonic_ms();
    a->started_wall_ms = a->reload.wall_ms = clock_wall_ms();
    return a;
}

int lifecycle_begin(const struct agent_settings *settings, const struct lifecycle_keys *keys,
                    struct agent **out, struct err *e)
{
    struct agent *a = new_agent(settings);

    *out = NULL;
    if (open_cache(a, e) || load(a, e) || readers_start(a, e) || open_dealer(a, keys, e)) {
        lifecycle_end(a);
        return -1;
    }
    *out = a;
    return 0;
}

void lifecycle_end(struct agent *a)
{
    if (!a)
        return;
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++) {
        work_stop(&a->works[i]);
        buffer_fini(&a->works[i].decision);
    }
    for (unsigned i = 0; i < AGENT_SCOPES_MAX; i++) {
        command_free(a->watches[i].command);
        buffer_fini(&a->answers[i]);
    }
    work_stop(&a->mend);
    fetch_end(&a->repair);
    secrets_close(a);
    outbox_fini(&a->outbox);
    dealer_close(a->dealer);
    log_limit_free(a->session.repeated);
    consumers_close(a->consumers);
    publish_close(a->publisher);
    cache_close(a->cache);
    free(a);
}

/* ---- newer settings ---- */

static int check_fixed(const char *what, const char *now, const char *next, struct err *e)
{
    if (strcmp(now, next) == 0)
        return 0;
    return err_set(e, ERR_INVALID, "[agent] %s cannot change from %s to %s while the agent runs: "
                   "restart it for that", what, now, next);
}

int lifecycle_read(const struct agent *a, const char *config, struct agent_settings **out,
                   struct err *e)
{
    SCOPED(agent_settings_free) struct agent_settings *next = NULL;
    const struct agent_settings *now = a->settings;

    *out = NULL;
    if (agent_settings_new(config, &next, e))
        return -1;
    if (check_fixed("state_dir", now->state_dir, next->state_dir, e) ||
        check_fixed("publish_dir", now->publish_dir, next->publish_dir, e) ||
        check_fixed("key_file", now->key_file, next->key_file, e) ||
        check_fixed("secrets_key_file", now->secrets_key_file ? now->secrets_key_file : "none",
                    next->secrets_key_file ? next->secrets_key_file : "none", e) ||
        check_fixed("log_format", now->log_format, next->log_format, e))
        return err_wrap(e, "%s", config);
    *out = MOVE(next);
    return 0;
}

static bool has_same_coordinators(const struct agent_settings *a, const struct agent_settings *b)
{
    if (a->coordinator_count != b->coordinator_count || strcmp(a->server_key, b->server_key) != 0)
        return false;
    for (unsigned i = 0; i < a->coordinator_count; i++)
        if (strcmp(a->coordinators[i], b->coordinators[i]) != 0)
            return false;
    return true;
}

static void carry_session(struct agent *from, struct agent *to)
{
    struct session kept = from->session;

    from->session.repeated = to->session.repeated;
    to->turn_ms = from->turn_ms; /* nobody is silent while the settings are taken over */
    if (has_same_coordinators(from->settings, to->settings)) {
        to->dealer = MOVE(from->dealer);
        to->session = kept;
        return;
    }
    to->session.repeated = kept.repeated; /* what was told stays told */
    to->session.boot_nonce = kept.boot_nonce; /* the same start of the same agent: no new session */
    to->session.message_id = kept.message_id;
    to->session.word_ms = kept.word_ms;
    to->session.is_heard = kept.is_heard;
}

/* A check that failed before still fails until it is seen to pass: that would be no news. */
static void carry_scopes(const struct agent *from, struct agent *to)
{
    to->started_wall_ms = from->started_wall_ms;
    for (unsigned i = 0; i < to->settings->scope_count; i++) {
        const struct agent_scope *s = to->settings->scopes[i];
        int before = agent_settings_find(from->settings, s->service, s->environment);

        if (before < 0)
            continue;
        to->tallies[i] = from->tallies[before];
        if (!s->check)
            continue;
        to->watches[i].is_failing = from->watches[before].is_failing;
        memcpy(to->watches[i].detail, from->watches[before].detail, sizeof(to->watches[i].detail));
    }
}

int lifecycle_renew(struct agent **a, const struct agent_settings *settings,
                    const struct lifecycle_keys *keys, struct err *e)
{
    struct agent *from = MOVE(*a);
    struct agent *to = new_agent(settings);
    const struct participant_closed closed = from->participant.closed_before;

    carry_session(from, to);
    carry_scopes(from, to);
    if (from->dealer && from->session.is_welcomed)
        say_bye(from);
    to->cache = MOVE(from->cache);
    to->consumers = MOVE(from->consumers);
    lifecycle_end(from);
    if (load(to, e) || readers_start(to, e) || (!to->dealer && open_dealer(to, keys, e))) {
        lifecycle_end(to);
        return -1;
    }
    participant_carry(&to->participant, &closed);
    *a = to;
    return 0;
}
