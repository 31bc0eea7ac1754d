/* change_log.c - what changed in a scope, one line of the log each, for people of this server. */
#include "agent/tasks/change_log.h"

#include "common/log.h"

struct scope_story change_log_story(struct agent *a, unsigned scope, unsigned task)
{
    const struct story *s = agent_story(a, task);
    const struct task *t = &a->participant.tasks[task];
    struct scope_story out = { .text = s->text };

    if (s->step != WIRE_STEP_NONE)
        out.step = wire_step_name(s->step);
    else if (s->reason != WIRE_REASON_NONE)
        out.step = wire_reason_name(s->reason);
    for (unsigned i = 0; i < t->target_count; i++)
        if (t->targets[i].scope == scope)
            out.revision = t->targets[i].content.revision;
    return out;
}

/* The rollout behind a decision that this task obeyed, else the one whose PREPARE began it. */
static const char *rollout_of(struct agent *a, unsigned task, uint64_t dseq,
                              char out[STORY_ROLLOUT_SIZE])
{
    const struct work *w = &a->works[task];
    struct wire_decision decision;
    struct err ignored; /* the line is told without a name then */

    if (w->decision.size && w->decision_dseq == dseq &&
        wire_decode_decision(w->decision.data, w->decision.size, &decision, &ignored) == 0) {
        wire_text_copy(decision.rollout, out, STORY_ROLLOUT_SIZE);
        return out;
    }
    return agent_story(a, task)->rollout[0] ? agent_story(a, task)->rollout : NULL;
}

static void tell_refusal(struct agent *a, unsigned scope, unsigned task)
{
    struct scope_story s = change_log_story(a, scope, task);
    char rollout[STORY_ROLLOUT_SIZE];

    log_warn("refused: what runs stays", "scope", agent_scope(a, scope)->name, "revision",
             LOG_NUMBER(s.revision), "runs", LOG_NUMBER(a->durable[scope].active.revision), "at",
             s.step, "rollout", rollout_of(a, task, 0, rollout), "reason", s.text);
}

static void tell_end(struct agent *a, unsigned scope, unsigned task)
{
    const struct promise *p = &a->durable[scope];
    const struct scope_stats *t = &a->tallies[scope];
    const char *name = agent_scope(a, scope)->name;
    char buffer[STORY_ROLLOUT_SIZE];
    const char *rollout = rollout_of(a, task, p->obeyed, buffer);

    if (p->outcome == OUTCOME_OK)
        log_info(p->obeyed_kind == ORDER_ROLLBACK ? "gone back" : "applied", "scope", name,
                 "revision", LOG_NUMBER(p->active.revision), "was", LOG_NUMBER(t->was_revision),
                 "took_ms", LOG_NUMBER(t->last_took_ms), "rollout", rollout);
    else if (p->outcome == OUTCOME_FAILED)
        log_warn("not applied: what ran before runs again", "scope", name, "revision",
                 LOG_NUMBER(t->tried_revision), "runs", LOG_NUMBER(p->active.revision), "at",
                 t->reason_step, "took_ms", LOG_NUMBER(t->last_took_ms), "rollout", rollout);
    else
        log_error("broken: applying failed, and going back failed too", "scope", name, "revision",
                  LOG_NUMBER(t->tried_revision), "runs", LOG_NUMBER(p->active.revision), "at",
                  t->reason_step, "rollout", rollout);
}

/* A decision was obeyed without anything to apply, or could not be followed. */
static void tell_still(struct agent *a, unsigned scope, unsigned task,
                       const struct promise *before)
{
    const struct promise *p = &a->durable[scope];
    const char *name = agent_scope(a, scope)->name;
    struct scope_story s = change_log_story(a, scope, task);
    char buffer[STORY_ROLLOUT_SIZE];
    const char *rollout = rollout_of(a, task, p->obeyed, buffer);

    if (p->outcome == OUTCOME_FAILED || p->outcome == OUTCOME_BROKEN)
        log_warn("a decision cannot be followed: what runs stays", "scope", name, "revision",
                 LOG_NUMBER(s.revision), "runs", LOG_NUMBER(p->active.revision), "at", s.step,
                 "rollout", rollout, "reason", s.text[0] ? s.text : NULL);
    else if (p->active.revision != before->active.revision)
        log_info("applied: the content is the same as before", "scope", name, "revision",
                 LOG_NUMBER(p->active.revision), "was", LOG_NUMBER(before->active.revision),
                 "rollout", rollout);
}

void change_log_saved(struct agent *a, unsigned scope, unsigned task,
                      const struct promise *before)
{
    const struct promise *p = &a->durable[scope];
    bool is_applying = p->outcome == OUTCOME_APPLYING;

    if (p->refused != before->refused)
        tell_refusal(a, scope, task);
    if (before->outcome == OUTCOME_APPLYING && !is_applying)
        tell_end(a, scope, task);
    else if (!is_applying && (p->obeyed != before->obeyed || p->gen != before->gen))
        tell_still(a, scope, task, before);
}
