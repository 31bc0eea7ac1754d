/* judge_promise.c - what a server promised and a coordinator counted: votes, slots, decisions (S3). */
#include "tests/sim/world.h"

#include "agent/core/tasks.h"

#define U(x) ((unsigned long long)(x))

/* A promise went with the disk, or with the right to speak. */
bool judge_excuses(const struct world *w, unsigned server, uint64_t number)
{
    return w->servers[server].lost_below >= number || w->database.revoked & BIT(server);
}

/* Runs the candidate already, by an earlier attempt of the same rollout: as good as a slot. Or went
 * back by itself since, as the rollout asks: its FAILED is on the way. */
static bool ran_candidate(const struct world *w, const struct attempt_row *a, unsigned target,
                           const struct promise *pr)
{
    for (unsigned i = 0; i < w->database.decision_count; i++) {
        const struct decision_row *d = &w->database.decisions[i];

        if (d->dseq == pr->obeyed)
            return d->kind == DECISION_ACTIVATE && d->rollout == a->rollout &&
                   (pr->outcome == OUTCOME_OK
                        ? content_of(&pr->active.hash) == a->targets[target].content
                        : a->isolation_ms > 0);
    }
    return false;
}

/* The scopes that its READYs of an attempt spoke of: what it reads only since is not promised. */
static uint64_t promised(const struct server *v, uint64_t number)
{
    uint64_t scopes = 0;

    for (unsigned i = 0; i < v->deed_count; i++)
        if (v->deeds[i].number == number && v->deeds[i].word == ACK_WORD_READY)
            scopes |= v->deeds[i].scopes;
    return scopes & v->scopes;
}

static void judge_promise(struct world *w, const struct attempt_row *a, unsigned server)
{
    const struct server *v = &w->servers[server];

    for (unsigned i = 0; i < a->target_count; i++) {
        const struct promise *pr = &v->disk.promises[a->targets[i].scope];

        if (!(promised(v, a->number) & BIT(a->targets[i].scope)) ||
            judge_excuses(w, server, a->number))
            continue;
        if (pr->slot_attempt != a->number && pr->obeyed < a->number && !ran_candidate(w, a, i, pr))
            violated(w, "S3: READY of server %u for attempt %llu is counted and not held", server,
                     U(a->number));
    }
}

/* C3: `required` had to be ready when the leader asked for the decision. */
void judge_activate(struct world *w, const struct rollout_row *r, struct attempt_row *a,
                    uint64_t required)
{
    for (unsigned s = 0; s < SERVERS_MAX; s++) {
        const struct member_row *m = &r->members[s];

        if (!m->is_in || m->attempt_number != a->number)
            continue;
        if (m->is_ready && m->state != MEMBER_FAILED) {
            a->counted |= BIT(s);
            judge_promise(w, a, s);
        } else if (required & BIT(s) && m->state != MEMBER_FAILED && !m->is_silent) {
            violated(w, "S3: attempt %llu is activated without the vote of server %u", U(a->number),
                     s);
        }
    }
    if (judge_blamed(r, a->stage) > judge_budget(r, a->stage))
        violated(w, "S3: attempt %llu is activated over the failure budget", U(a->number));
    if (a->counted == 0)
        violated(w, "S3: attempt %llu is activated and nobody is ready", U(a->number));
}

/* A retry asked this server again, and what it asked is decided: the ACTIVATE before is owed no
 * more, and whoever asks about its attempt is told that it is unknown. */
static bool is_replaced(struct world *w, const struct rollout_row *r, const struct attempt_row *a,
                        unsigned server)
{
    const struct attempt_row *newer = database_attempt(&w->database,
                                                       r->members[server].attempt_number);

    return newer && newer->number > a->number && newer->outcome == ATTEMPT_ACTIVATE;
}

/* S3: a valid ACTIVATE finds what was counted; one that a ROLLBACK or FINALIZE of its rollout, or
 * the ACTIVATE of a retry, has overtaken is valid no more. */
void judge_unheld(struct world *w, unsigned server, const struct message *m)
{
    const struct attempt_row *a = database_attempt(&w->database, m->attempt);
    const struct rollout_row *r = a ? database_rollout(&w->database, a->rollout) : NULL;
    const struct server *v = &w->servers[server];

    if (!a || !(a->counted & BIT(server)) || judge_excuses(w, server, a->number) ||
        r->decision_number || is_replaced(w, r, a, server))
        return;
    for (unsigned i = 0; i < a->target_count; i++) {
        const struct promise *pr = &v->disk.promises[a->targets[i].scope];

        if (promised(v, a->number) & BIT(a->targets[i].scope) && pr->obeyed < m->number &&
            pr->slot_attempt < a->number && !ran_candidate(w, a, i, pr))
            violated(w, "S3: ACTIVATE %llu finds no slot of attempt %llu on server %u",
                     U(m->number), U(a->number), server);
    }
}

/* A scope that a server reads only since it promised the others joins the promise when it is asked
 * again, or the decision about all of them would find it unheld. */
void judge_joined(struct world *w, unsigned server, const struct message *m)
{
    const struct attempt_row *a = database_attempt(&w->database, m->number);
    const struct server *v = &w->servers[server];
    uint64_t held = 0, missing = 0;

    for (unsigned i = 0; i < m->target_count; i++) {
        const struct target_row *t = &m->targets[i];
        const struct promise *pr = &v->participant.promises[t->scope];

        if (!(v->scopes & BIT(t->scope)))
            continue;
        if (content_of(&pr->active.hash) != t->base || pr->outcome == OUTCOME_APPLYING)
            return;
        if (pr->slot_attempt == m->number)
            held |= BIT(t->scope);
        else if (promise_may_hold(pr, m->number))
            missing |= BIT(t->scope);
        else
            return;
    }
    if (held && missing && a->outcome != ATTEMPT_ABORT && !m->is_eventual &&
        !tasks_preparing(&v->participant, m->number) && tasks_have_room(&v->participant) &&
        !tasks_preparing_above(&v->participant, held | missing, m->number))
        violated(w, "S3: server %u promised attempt %llu without a scope that it reads", server,
                 U(m->number));
}
