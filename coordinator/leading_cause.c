/* leading_cause.c - says which servers, and which rule, turned a rollout round, or will again. */
#include "coordinator/leading_internal.h"

#include <stdlib.h>

#include "common/buffer.h"
#include "common/invariant.h"

#define NAMES_MAX 5

static bool is_over(const struct rollout *r, uint32_t server)
{
    return (bitset_has(&r->failed, server) || bitset_has(&r->failing, server) ||
            bitset_has(&r->silent, server)) &&
           !bitset_has(&r->unfit, server);
}

static const char *how(const struct rollout *r, uint32_t server)
{
    if (bitset_has(&r->failed, server))
        return "failed";
    return bitset_has(&r->failing, server) ? "its check fails" : "did not answer in time";
}

/* The first few by name, the others by their number. */
static void add_names(struct leading *l, const struct rollout *r, const struct bitset *set,
                      bool says_how, struct buffer *out)
{
    unsigned count = 0;

    for (uint32_t i = bitset_next(set, 0); i != BITSET_END; i = bitset_next(set, i + 1)) {
        if (says_how && !is_over(r, i))
            continue;
        if (count++ >= NAMES_MAX)
            continue;
        buffer_printf(out, "%s%s", count > 1 ? ", " : "",
                      roster_server(l->edges->roster, i)->name);
        if (says_how)
            buffer_printf(out, " (%s)", how(r, i));
    }
    if (count > NAMES_MAX)
        buffer_printf(out, " and %u more", count - NAMES_MAX);
}

static uint32_t count_over(const struct rollout *r, const struct bitset *members)
{
    uint32_t count = 0;

    for (uint32_t i = bitset_next(members, 0); i != BITSET_END; i = bitset_next(members, i + 1))
        count += is_over(r, i);
    return count;
}

static bool add_stage(struct leading *l, const struct rollout *r, unsigned stage,
                      struct buffer *out)
{
    const struct bitset *members = &r->stage_members[stage];
    uint32_t size = bitset_count(members), count = count_over(r, members);
    uint32_t away = bitset_count_both(members, &leader_fleet(l->leader)->unreachable);
    uint32_t most = budget_allows(&r->strategy.stages[stage].max_failed, size, size - away);

    if (count <= most)
        return false;
    buffer_printf(out, " (stage %u of %u: %u of %u servers, max_failed allows %u: ", stage + 1,
                  r->strategy.stage_count, count, size, most);
    add_names(l, r, members, true, out);
    buffer_add_text(out, ")");
    return true;
}

/* No stage is over its budget: time ran out for these. */
static void add_late(struct leading *l, const struct rollout *r, struct buffer *out)
{
    uint32_t words = r->round.cohort.word_count;
    struct bitset late;

    bitset_init(&late, calloc(words, sizeof(uint64_t)), words);
    MUST(late.words);
    bitset_copy(&late, &r->round.cohort);
    bitset_subtract(&late, r->round.is_decided ? &r->applied : &r->round.ready);
    if (!bitset_is_empty(&late)) {
        buffer_printf(out, " (stage %u of %u: no answer of ", r->stage + 1,
                      r->strategy.stage_count);
        add_names(l, r, &late, false, out);
        buffer_add_text(out, ")");
    }
    free(late.words);
}

/* The first stage that is over its budget; false: none is. */
static bool add_over(struct leading *l, const struct rollout *r, struct buffer *out)
{
    for (unsigned s = 0; r->is_opened && s <= r->stage; s++)
        if (add_stage(l, r, s, out))
            return true;
    return false;
}

static void add_cause(struct leading *l, const struct rollout *r, struct buffer *out)
{
    if (!add_over(l, r, out))
        add_late(l, r, out);
}

/* Resuming does not change what failed: whoever asked for it learns at once that the rollout stops
 * at the same place, and what helps instead. Who asked, and why, is put behind it. */
static char *cause_to_pause_again(struct leading *l, const struct rollout *r,
                                  const struct save *save)
{
    SCOPED_BUFFER struct buffer text = { 0 };

    buffer_add_text(&text, "over the failure budget still");
    if (r->strategy.on_failure != ON_FAILURE_PAUSE || !add_over(l, r, &text))
        return NULL;
    buffer_printf(&text, ": it pauses again%s, rollback takes it back; %s",
                  bitset_is_empty(&r->failed) ? " until the checks pass"
                                              : "; retry asks the failed servers again",
                  save->because);
    return buffer_take(&text);
}

/* The end of a way back: who did not answer it, and who answered that it cannot. Whoever had
 * nothing to take back is neither. */
static void add_left(struct leading *l, const struct rollout *r, struct buffer *out)
{
    if (!bitset_is_empty(&r->owing)) {
        buffer_printf(out, "; %u of %u not yet, told again when they answer: ",
                      bitset_count(&r->owing), bitset_count(&r->opened));
        add_names(l, r, &r->owing, false, out);
    }
    if (!bitset_is_empty(&r->broken)) {
        buffer_printf(out, "; %u of %u could not go back, lockstep server retry tries it again: ",
                      bitset_count(&r->broken), bitset_count(&r->opened));
        add_names(l, r, &r->broken, false, out);
    }
}

static bool is_turn(const struct save *save)
{
    if (save->command) /* a person asked for it, and the trail has the person's reason */
        return false;
    return (save->kind == SAVE_DECISION && save->decision == DECISION_ROLLBACK) ||
           (save->kind == SAVE_MOVE && save->to == PHASE_ABORTING) ||
           (save->kind == SAVE_PAUSE && save->is_paused);
}

char *leading_cause(struct leading *l, const struct save *save)
{
    const struct rollout *r = leader_rollout(l->leader, save->rollout);
    bool is_end = save->kind == SAVE_END &&
                  (save->to == PHASE_ROLLED_BACK || save->to == PHASE_FAILED);
    SCOPED_BUFFER struct buffer text = { 0 };

    if (!r || !save->because)
        return NULL;
    if (save->kind == SAVE_PAUSE && !save->is_paused)
        return cause_to_pause_again(l, r, save);
    if (!is_end && !is_turn(save))
        return NULL;
    buffer_add_text(&text, save->because);
    if (is_end)
        add_left(l, r, &text);
    else
        add_cause(l, r, &text);
    return buffer_take(&text);
}
