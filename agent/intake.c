/* intake.c - what the coordinator says becomes participant events, or is answered at once. */
#include "agent/intake.h"

#include <stdio.h>
#include <string.h>

#include "agent/tasks/drift.h"
#include "agent/tasks/prepare.h"
#include "agent/tasks/refetch.h"
#include "agent/tasks/say.h"
#include "agent/tasks/secrets.h"
#include "common/clock.h"
#include "common/crypto/seal.h"
#include "common/log.h"
#include "common/log_limit.h"

#define RETRY_MAX_MS 60000 /* no coordinator may send an agent away for longer */

static void skip(const struct dealer_message *m, const struct err *e)
{
    log_warn("message skipped", "type", wire_type_name(m->envelope.type), "reason", e->text);
}

/* ---- whose word counts ---- */

static bool is_cluster_known(const struct agent *a)
{
    static const uint8_t none[WIRE_CLUSTER_ID_SIZE];

    return memcmp(cache_facts(a->cache)->cluster_id, none, sizeof(none)) != 0;
}

static bool is_of_cluster(const struct agent *a, const struct wire_envelope *envelope)
{
    return memcmp(envelope->cluster_id, cache_facts(a->cache)->cluster_id,
                  sizeof(envelope->cluster_id)) == 0;
}

/* 1: newer than what was seen, 0: the same, -1: older. */
static int compare_leadership(const struct agent *a, const struct wire_envelope *envelope)
{
    const struct agent_facts *seen = cache_facts(a->cache);

    if (envelope->gen != seen->gen)
        return envelope->gen > seen->gen ? 1 : -1;
    return envelope->epoch == seen->epoch ? 0 : envelope->epoch > seen->epoch ? 1 : -1;
}

static void leave_foreign_cluster(struct agent *a)
{
    log_warn("a coordinator of another cluster answered; it is not obeyed. If the cluster was "
             "made anew on purpose, move this agent's state folder away",
             "coordinator", dealer_address(a->dealer), "state_dir", a->settings->state_dir);
    dealer_move_on(a->dealer, NULL, 5000);
}

/* What was seen is durable before anything is done about it. */
static bool remember_leadership(struct agent *a, const struct wire_envelope *envelope)
{
    struct agent_facts facts = *cache_facts(a->cache);
    struct err e;

    if (compare_leadership(a, envelope) == 0 && is_cluster_known(a))
        return true;
    facts.gen = envelope->gen;
    facts.epoch = envelope->epoch;
    memcpy(facts.cluster_id, envelope->cluster_id, sizeof(facts.cluster_id));
    if (cache_put_facts(a->cache, &facts, &e) == 0)
        return true;
    log_error("cannot remember the leader", "reason", e.text);
    a->is_broken = true;
    return false;
}

/* Before the first WELCOME ever nobody's word counts but a WELCOME. */
static bool counts(struct agent *a, const struct dealer_message *m)
{
    const struct wire_envelope *envelope = &m->envelope;

    if (!is_cluster_known(a))
        return envelope->type == WIRE_WELCOME && remember_leadership(a, envelope);
    if (!is_of_cluster(a, envelope)) {
        leave_foreign_cluster(a);
        return false;
    }
    if (compare_leadership(a, envelope) < 0) {
        say_stale(a);
        return false;
    }
    return remember_leadership(a, envelope);
}

/* ---- the session ---- */

static void hear_welcome(struct agent *a, const struct dealer_message *m, intake_event_fn *happen)
{
    struct participant_event ev = { .type = PARTICIPANT_CONNECTED };
    struct wire_welcome welcome;
    char scope[SCOPE_BUFFER];
    struct err e;

    if (wire_decode_welcome(m->body, m->body_size, &welcome, &e)) {
        skip(m, &e);
        return;
    }
    if (!a->session.is_welcomed) {
        log_limit_over(a->session.repeated, dealer_address(a->dealer));
        log_info("welcomed", "coordinator", dealer_address(a->dealer), "epoch",
                 LOG_NUMBER(m->envelope.epoch));
        a->session.welcomed_ms = clock_monotonic_ms();
    }
    for (unsigned i = 0; i < welcome.refused_count; i++) {
        wire_text_copy(welcome.refused[i], scope, sizeof(scope));
        log_warn("this server's enrolment does not allow a scope of its settings", "scope", scope,
                 "remedy", "lockstep server allow NAME with every scope that it may read, this one "
                           "among them, or take the section out of the settings");
    }
    a->session.is_welcomed = true;
    a->session.rejection[0] = '\0';
    a->session.id = welcome.session;
    a->session.heartbeat_ms = welcome.heartbeat_ms;
    dealer_welcomed(a->dealer);
    say_outbox(a);
    outbox_restart(&a->outbox, clock_monotonic_ms(), agent_chance());
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++)
        fetch_wake(&a->works[i].fetch);
    fetch_wake(&a->repair);
    secrets_welcomed(a);
    drift_tell(a);
    happen(a, &ev, NULL);
}

/* What a person at this server can do about it; NULL: nothing needs to be done. */
static const char *remedy_of(enum wire_reject why)
{
    static const char *const remedies[] = {
        [WIRE_REJECT_UNKNOWN] = "this server is not enrolled: see `lockstep help server enroll`",
        [WIRE_REJECT_REVOKED] = "this server was revoked: enroll it with a new key",
        [WIRE_REJECT_CLONE] =
            "another agent runs with a copy of this server's key: stop that one, or give this one "
            "a key of its own (remove its key file, start it, and enroll what it shows)",
        [WIRE_REJECT_CLUSTER] = "this server's state belongs to another cluster: give it a new "
                                "state folder, or correct the coordinators in its settings",
        [WIRE_REJECT_VERSION] = "the coordinator speaks another version of the protocol: install "
                                "the same release on both",
    };

    return (unsigned)why < sizeof(remedies) / sizeof(remedies[0]) ? remedies[why] : NULL;
}

/* While nobody leads, each coordinator says so each second or two: the first time is told, then
 * how often, once a minute. */
static void tell_rejection(struct agent *a, enum wire_reject why, const char *leader)
{
    const char *remedy = remedy_of(why);
    SCOPED_BUFFER struct buffer reason = { 0 };

    buffer_add_text(&reason, wire_reject_name(why));
    if (remedy)
        buffer_printf(&reason, ": %s", remedy);
    else if (leader[0])
        buffer_printf(&reason, ", %s is", leader);
    snprintf(a->session.rejection, sizeof(a->session.rejection), "%s rejects this agent: %s",
             dealer_address(a->dealer), reason.data);
    log_limit_warn(a->session.repeated, clock_monotonic_ms(), "rejected by a coordinator",
                   dealer_address(a->dealer), reason.data);
}

static void hear_reject(struct agent *a, const struct dealer_message *m)
{
    struct wire_rejection rejection;
    char address[256];
    struct err e;

    if (wire_decode_reject(m->body, m->body_size, &rejection, &e)) {
        skip(m, &e);
        return;
    }
    wire_text_copy(rejection.address, address, sizeof(address));
    tell_rejection(a, rejection.reject, address);
    dealer_move_on(a->dealer, rejection.reject == WIRE_REJECT_NOT_LEADER ? address : NULL,
                   rejection.retry_after_ms < RETRY_MAX_MS ? rejection.retry_after_ms
                                                           : RETRY_MAX_MS);
}

static void hear_ping(struct agent *a, const struct dealer_message *m)
{
    struct wire_ping ping;
    struct err e;

    if (wire_decode_ping(m->body, m->body_size, &ping, &e))
        skip(m, &e);
    else
        say_pong(a, &ping);
}

static void hear_receipt(struct agent *a, const struct dealer_message *m)
{
    struct wire_receipt receipt;
    struct err e;

    if (wire_decode_receipt(m->body, m->body_size, &receipt, &e)) {
        skip(m, &e);
        return;
    }
    if (cache_receipt(a->cache, receipt.ids, receipt.id_count, &e)) {
        log_warn("receipt not kept; the acknowledgement will be repeated", "reason", e.text);
        return;
    }
    for (unsigned i = 0; i < receipt.id_count; i++)
        outbox_remove(&a->outbox, receipt.ids[i]);
}

static void hear_chunk(struct agent *a, const struct dealer_message *m)
{
    struct wire_chunk chunk;
    struct err e;

    if (wire_decode_chunk(m->body, m->body_size, &chunk, &e)) {
        skip(m, &e);
        return;
    }
    prepare_take_chunk(a, &chunk);
    refetch_take_chunk(a, &chunk);
}

/* The data key inside is the dealer's memory: it does not lie there until the next message. */
static void hear_secret(struct agent *a, const struct dealer_message *m)
{
    struct wire_secret secret;
    struct err e;

    if (wire_decode_secret(m->body, m->body_size, &secret, &e)) {
        skip(m, &e);
        return;
    }
    prepare_take_secret(a, &secret);
    secrets_take(a, &secret);
    if (secret.data_key.at)
        seal_wipe((uint8_t *)(uintptr_t)secret.data_key.at, secret.data_key.size);
}

static void hear_destroyed(struct agent *a, const struct dealer_message *m)
{
    static struct wire_digests destroyed;
    struct err e;

    if (wire_decode_destroyed(m->body, m->body_size, &destroyed, &e))
        skip(m, &e);
    else
        secrets_destroy(a, &destroyed);
}

/* ---- rollouts ---- */

/* The scope's index here; -1: this agent does not read it. */
static int find_scope(const struct agent *a, struct wire_text service,
                      struct wire_text environment)
{
    char service_text[NAME_BUFFER], environment_text[NAME_BUFFER];

    wire_text_copy(service, service_text, sizeof(service_text));
    wire_text_copy(environment, environment_text, sizeof(environment_text));
    return agent_settings_find(a->settings, service_text, environment_text);
}

static unsigned prepare_targets(const struct agent *a, const struct wire_prepare *prepare,
                                struct target out[PARTICIPANT_SCOPES_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < prepare->target_count; i++) {
        const struct wire_target *t = &prepare->targets[i];
        int scope = find_scope(a, t->service, t->environment);

        if (scope >= 0)
            out[count++] = (struct target){ .scope = (unsigned)scope,
                                            .content = { t->revision, t->hash },
                                            .base = { t->base_revision, t->base_hash } };
    }
    return count;
}

static unsigned decision_targets(const struct agent *a, const struct wire_decision *decision,
                                 struct target out[PARTICIPANT_SCOPES_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < decision->scope_count; i++) {
        const struct wire_scope *s = &decision->scopes[i];
        int scope = find_scope(a, s->service, s->environment);

        if (scope >= 0)
            out[count++] = (struct target){ .scope = (unsigned)scope,
                                            .content = { s->revision, s->hash } };
    }
    return count;
}

/* A scope named twice would be judged twice. */
static bool has_double(const struct target *targets, unsigned count)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t bit = UINT64_C(1) << targets[i].scope;

        if (seen & bit)
            return true;
        seen |= bit;
    }
    return false;
}

static bool is_same_text(struct wire_text a, struct wire_text b)
{
    return a.size == b.size && (!a.size || memcmp(a.at, b.at, a.size) == 0);
}

/* Nothing is activated without a decision that names it: the one inside an eventual PREPARE must be
 * about this attempt and these contents. */
static bool decides(const struct wire_decision *decision, const struct wire_prepare *prepare)
{
    if (decision->type != WIRE_ACTIVATE || decision->attempt != prepare->attempt)
        return false;
    for (unsigned i = 0; i < prepare->target_count; i++) {
        const struct wire_target *t = &prepare->targets[i];
        bool is_named = false;

        for (unsigned k = 0; k < decision->scope_count && !is_named; k++) {
            const struct wire_scope *s = &decision->scopes[k];

            is_named = is_same_text(s->service, t->service) &&
                       is_same_text(s->environment, t->environment) &&
                       s->revision == t->revision && hash_equal(&s->hash, &t->hash);
        }
        if (!is_named)
            return false;
    }
    return true;
}

static void hear_prepare(struct agent *a, const struct dealer_message *m, intake_event_fn *happen)
{
    struct target targets[PARTICIPANT_SCOPES_MAX];
    struct participant_event ev = { .type = PARTICIPANT_PREPARE, .targets = targets };
    struct wire_prepare prepare;
    struct wire_decision decision;
    struct incoming in = { .prepare = &prepare };
    struct err e;

    if (wire_decode_prepare(m->body, m->body_size, &prepare, &e) ||
        (prepare.is_eventual &&
         wire_decode_decision(prepare.decision.at, prepare.decision.size, &decision, &e))) {
        skip(m, &e);
        return;
    }
    ev.number = ev.attempt = prepare.attempt;
    ev.is_eventual = prepare.is_eventual;
    ev.isolation_ms = prepare.isolation_ms;
    ev.target_count = prepare_targets(a, &prepare, targets);
    if (!ev.target_count || has_double(targets, ev.target_count)) {
        say_not_mine(a, &prepare);
        return;
    }
    if (ev.is_eventual && !decides(&decision, &prepare)) {
        log_warn("PREPARE skipped: the decision inside is about something else");
        return;
    }
    if (ev.is_eventual) {
        ev.gen = decision.gen;
        ev.dseq = decision.dseq;
        in.decision = &decision;
        in.body = prepare.decision;
    }
    happen(a, &ev, &in);
}

static enum order_kind order_of(enum wire_type type)
{
    return type == WIRE_ACTIVATE ? ORDER_ACTIVATE
           : type == WIRE_ROLLBACK ? ORDER_ROLLBACK : ORDER_FINALIZE;
}

static void hear_decision(struct agent *a, const struct dealer_message *m, intake_event_fn *happen)
{
    struct target targets[PARTICIPANT_SCOPES_MAX];
    struct participant_event ev = { .type = PARTICIPANT_ORDER, .targets = targets };
    struct wire_decision decision;
    struct incoming in = { .decision = &decision,
                           .body = { m->body, (uint32_t)m->body_size } };
    struct err e;

    if (wire_decode_decision(m->body, m->body_size, &decision, &e)) {
        skip(m, &e);
        return;
    }
    ev.order = order_of(decision.type);
    ev.gen = decision.gen;
    ev.number = decision.dseq;
    ev.attempt = decision.attempt;
    ev.target_count = decision_targets(a, &decision, targets);
    if (!ev.target_count || has_double(targets, ev.target_count))
        return; /* not about this agent */
    happen(a, &ev, &in);
}

static void hear_abort(struct agent *a, const struct dealer_message *m, intake_event_fn *happen)
{
    struct participant_event ev = { .type = PARTICIPANT_ABORT };
    struct wire_abort abort_;
    struct err e;

    if (wire_decode_abort(m->body, m->body_size, &abort_, &e)) {
        skip(m, &e);
        return;
    }
    ev.number = abort_.attempt;
    happen(a, &ev, NULL);
}

static void hear_answer(struct agent *a, const struct dealer_message *m, intake_event_fn *happen)
{
    struct participant_event ev = { .type = PARTICIPANT_ANSWERED };
    struct wire_answer_to answer;
    struct err e;

    if (wire_decode_answer(m->body, m->body_size, &answer, &e)) {
        skip(m, &e);
        return;
    }
    ev.number = answer.attempt;
    ev.is_known = answer.answer == WIRE_ANSWER_PENDING || answer.answer == WIRE_ANSWER_DECIDED;
    happen(a, &ev, NULL);
}

/* Said again by the coordinator until it is answered: whoever is about to stop leaves it. */
static bool begins_work(enum wire_type type)
{
    return type == WIRE_PREPARE || type == WIRE_ACTIVATE || type == WIRE_ROLLBACK ||
           type == WIRE_FINALIZE;
}

void intake_message(struct agent *a, const struct dealer_message *m, intake_event_fn *happen)
{
    if (m->envelope.type == WIRE_REJECT) {
        if (is_of_cluster(a, &m->envelope)) { /* no leader, but the network is there */
            a->session.word_ms = clock_monotonic_ms();
            a->session.is_heard = true;
        }
        hear_reject(a, m);
        return;
    }
    if (!counts(a, m))
        return;
    /* An old leader's heartbeat does not keep us with it. */
    a->session.heard_ms = a->session.word_ms = clock_monotonic_ms();
    a->session.is_heard = true;
    if (a->is_draining && begins_work(m->envelope.type))
        return;
    switch (m->envelope.type) {
    case WIRE_WELCOME:
        hear_welcome(a, m, happen);
        break;
    case WIRE_PREPARE:
        hear_prepare(a, m, happen);
        break;
    case WIRE_ACTIVATE:
    case WIRE_ROLLBACK:
    case WIRE_FINALIZE:
        hear_decision(a, m, happen);
        break;
    case WIRE_ABORT:
        hear_abort(a, m, happen);
        break;
    case WIRE_ANSWER:
        hear_answer(a, m, happen);
        break;
    case WIRE_CHUNK:
        hear_chunk(a, m);
        break;
    case WIRE_SECRET:
        hear_secret(a, m);
        break;
    case WIRE_DESTROYED:
        hear_destroyed(a, m);
        break;
    case WIRE_RECEIPT:
        hear_receipt(a, m);
        break;
    case WIRE_PING:
        hear_ping(a, m);
        break;
    case WIRE_NONE: case WIRE_HELLO: case WIRE_REJECT: case WIRE_FETCH: case WIRE_READY:
    case WIRE_REFUSED: case WIRE_APPLIED: case WIRE_FAILED: case WIRE_CHECK: case WIRE_ABORTED:
    case WIRE_ROLLED_BACK: case WIRE_FINALIZED: case WIRE_STATUS: case WIRE_PONG: case WIRE_STALE:
    case WIRE_BYE: case WIRE_ASK: case WIRE_KEPT: case WIRE_POLL: case WIRE_TYPE_COUNT:
        log_warn("a coordinator does not say this", "type", wire_type_name(m->envelope.type));
        break;
    }
}
