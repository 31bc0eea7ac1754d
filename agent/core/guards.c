/* guards.c - what the rows about messages ask before they fire. */
#include "agent/core/guards.h"

#define BIT(scope) (UINT64_C(1) << (scope))

uint64_t scopes_of(const struct participant_event *ev)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < ev->target_count; i++)
        mask |= BIT(ev->targets[i].scope);
    return mask;
}

bool always(const struct step *s)
{
    (void)s;
    return true;
}

bool is_full(const struct step *s)
{
    return !tasks_have_room(s->p);
}

bool is_for_nobody(const struct step *s)
{
    return s->ev->target_count == 0;
}

uint64_t scopes_unheld(const struct step *s)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < s->ev->target_count; i++) {
        const struct promise *pr = &s->p->promises[s->ev->targets[i].scope];

        if (pr->slot_attempt != s->ev->number ||
            !hash_equal(&pr->slot.hash, &s->ev->targets[i].content.hash))
            mask |= BIT(s->ev->targets[i].scope);
    }
    return mask;
}

bool is_promised(const struct step *s)
{
    return scopes_unheld(s) == 0;
}

bool is_promised_and_decided(const struct step *s)
{
    return s->ev->is_eventual && s->newer && is_promised(s) && tasks_have_room(s->p);
}

bool is_being_prepared(const struct step *s)
{
    return tasks_preparing(s->p, s->ev->number) != NULL;
}

bool is_being_closed(const struct step *s)
{
    return tasks_closing(s->p, s->ev->number);
}

bool was_refused(const struct step *s)
{
    for (unsigned i = 0; i < s->ev->target_count; i++)
        if (s->p->promises[s->ev->targets[i].scope].refused != s->ev->number)
            return false;
    return true;
}

static bool was_closed_before(const struct participant *p, uint64_t attempt)
{
    for (unsigned i = 0; i < PARTICIPANT_CLOSED_MAX; i++)
        if (p->closed_before.attempts[i] == attempt)
            return true;
    return false;
}

bool is_outdated(const struct step *s)
{
    uint64_t unheld = scopes_unheld(s);

    if (was_closed_before(s->p, s->ev->number))
        return true;
    if (s->ev->is_eventual && s->ev->dseq <= s->ev->number)
        return true;
    for (unsigned i = 0; i < s->ev->target_count; i++)
        if (unheld & BIT(s->ev->targets[i].scope) &&
            !promise_may_hold(&s->p->promises[s->ev->targets[i].scope], s->ev->number))
            return true;
    return tasks_preparing_above(s->p, scopes_of(s->ev), s->ev->number);
}

bool is_off_base(const struct step *s)
{
    return !tasks_on_base(s->p, s->ev->targets, s->ev->target_count);
}

/* The decision (or the one inside an eventual PREPARE) is the newest obeyed in some scope. */
bool is_repeated(const struct step *s)
{
    return s->same && !s->newer;
}

bool is_repeated_at_work(const struct step *s)
{
    return is_repeated(s) && tasks_ordered(s->p, s->same);
}

bool is_old(const struct step *s)
{
    return !s->newer;
}

static bool is_kept(const struct step *s)
{
    for (unsigned i = 0; i < s->p->scope_count; i++)
        if (s->still & BIT(i) && s->p->promises[i].closed < s->ev->number)
            return false;
    return true;
}

/* Where the ROLLBACK has something to take back it was tried before, and failed. */
static bool is_tried_again(const struct step *s)
{
    for (unsigned i = 0; i < s->p->scope_count; i++)
        if (s->newer & BIT(i) && s->p->promises[i].obeyed != s->ev->number)
            return false;
    return true;
}

/* A ROLLBACK to something that does not run here, and nothing of its rollout does either. What
 * failed in other scopes is tried again after that is said: else it would never be. */
bool never_moved(const struct step *s)
{
    return s->still != 0 && (s->newer == 0 || (is_tried_again(s) && !is_kept(s)));
}

bool is_still_beside(const struct step *s)
{
    return s->still != 0 && s->newer != 0 && is_kept(s);
}

/* What is done in one scope has been told with it, and may not have been heard: what is tried again
 * in another is told alone. */
bool is_done_beside(const struct step *s)
{
    return s->same != 0 && s->newer != 0 && !tasks_ordered(s->p, s->same);
}

bool is_being_kept(const struct step *s)
{
    return never_moved(s) && tasks_closing(s->p, s->ev->number);
}

bool is_full_and_still(const struct step *s)
{
    return never_moved(s) && is_full(s);
}

bool was_kept(const struct step *s)
{
    return never_moved(s) && is_kept(s);
}

bool activates_unheld(const struct step *s)
{
    if (s->ev->order != ORDER_ACTIVATE)
        return false;
    for (unsigned i = 0; i < s->ev->target_count; i++) {
        const struct target *t = &s->ev->targets[i];
        const struct promise *pr = &s->p->promises[t->scope];

        if (s->newer & BIT(t->scope) && (pr->slot_attempt != s->ev->attempt ||
                                         !hash_equal(&pr->slot.hash, &t->content.hash)))
            return true;
    }
    return false;
}

bool changes_nothing(const struct step *s)
{
    if (s->ev->order == ORDER_ACTIVATE)
        return false;
    for (unsigned i = 0; i < s->ev->target_count; i++) {
        const struct target *t = &s->ev->targets[i];

        if (s->newer & BIT(t->scope) && !promise_runs(&s->p->promises[t->scope], &t->content.hash))
            return false;
    }
    return true;
}

bool is_at_hand(const struct step *s)
{
    for (unsigned i = 0; i < s->ev->target_count; i++) {
        const struct target *t = &s->ev->targets[i];

        if (s->newer & BIT(t->scope) && !promise_has(&s->p->promises[t->scope], &t->content))
            return false;
    }
    return true;
}

bool was_obeyed(const struct step *s)
{
    for (unsigned i = 0; i < s->p->scope_count; i++)
        if (s->p->promises[i].obeyed_attempt == s->ev->number)
            return true;
    return false;
}

/* Scopes that hold the attempt's slot, or are staging or refused it. */
uint64_t scopes_touched(const struct step *s)
{
    const struct task *t = tasks_preparing(s->p, s->ev->number);
    uint64_t mask = t ? t->scopes : 0;

    for (unsigned i = 0; i < s->p->scope_count; i++)
        if (s->p->promises[i].slot_attempt == s->ev->number ||
            s->p->promises[i].refused == s->ev->number)
            mask |= BIT(i);
    return mask;
}

bool is_untouched(const struct step *s)
{
    return scopes_touched(s) == 0;
}

bool holds_nothing(const struct step *s)
{
    for (unsigned i = 0; i < s->p->scope_count; i++)
        if (s->p->promises[i].slot_attempt == s->ev->number)
            return false;
    return true;
}

bool is_known(const struct step *s)
{
    return s->ev->is_known;
}

bool is_in_doubt(const struct step *s)
{
    for (unsigned i = 0; i < s->p->scope_count; i++)
        if (s->p->promises[i].slot_attempt)
            return true;
    return false;
}

bool is_time_to_ask(const struct step *s)
{
    return s->ev->now_ms >= s->p->ask_ms && is_in_doubt(s);
}

/* Scopes that obeyed one decision and are cut off from whoever could take it back; those of one
 * decision go back together. */
uint64_t scopes_cut_off(const struct step *s)
{
    const struct promise *first = NULL;
    uint64_t mask = 0;

    for (unsigned i = 0; i < s->p->scope_count; i++) {
        const struct promise *pr = &s->p->promises[i];

        if (!promise_is_cut_off(pr, s->ev->silent_ms) || tasks_ordered(s->p, BIT(i)) ||
            (first && (pr->gen != first->gen || pr->obeyed != first->obeyed)))
            continue;
        first = first ? first : pr;
        mask |= BIT(i);
    }
    return mask;
}

bool is_cut_off(const struct step *s)
{
    return scopes_cut_off(s) != 0 && tasks_have_room(s->p);
}
