/* coverage.c - how often each rule of the shipped tables fired, and which never did. */
#include "tests/sim/world.h"

#include <stdio.h>

#define RULES_MAX 256

struct covered {
    const char *table, *in, *on, *to, *because;
};

static struct covered rules[RULES_MAX]; /* filled once, the same in every process */
static unsigned rule_count, participant_first;

static void add(const char *table, const char *in, const char *on, const char *to,
                const char *because)
{
    MUST(rule_count < RULES_MAX);
    rules[rule_count++] = (struct covered){ table, in, on, to, because };
}

static void fill(void)
{
    struct rule_row row;
    struct participant_rule_view view;

    for (unsigned i = 0; round_rule(i, &row); i++)
        add("round", row.in, row.on, row.to, row.because);
    for (unsigned i = 0; rollout_rule(i, &row); i++)
        add("rollout", row.in, row.on, row.to, row.because);
    participant_first = rule_count;
    for (unsigned i = 0; participant_rule(i, &view); i++)
        add("participant", view.in, view.on, view.to, view.because);
}

void coverage_report(struct world *w, const struct report *r)
{
    if (rule_count == 0)
        fill();
    for (unsigned i = 0; i < participant_first; i++)
        if (rules[i].because == r->because && rules[i].in == r->from && rules[i].on == r->on &&
            rules[i].to == r->to) {
            w->tally->rules[i]++;
            return;
        }
    MUST(!"a rule that fired is in a table");
}

void coverage_participant(struct world *w, enum participant_event_type on, const char *because)
{
    const char *name = participant_event_name(on);

    if (rule_count == 0)
        fill();
    for (unsigned i = participant_first; i < rule_count; i++)
        if (rules[i].because == because && rules[i].on == name) {
            w->tally->rules[i]++;
            return;
        }
    MUST(!"a rule that fired is in a table");
}

unsigned coverage_print(const struct tally_row *tally)
{
    unsigned never = 0;

    if (rule_count == 0)
        fill();
    for (unsigned i = 0; i < rule_count; i++)
        never += tally->rules[i] == 0;
    printf("rules: %u of %u fired\n", rule_count - never, rule_count);
    for (unsigned i = 0; i < rule_count; i++)
        if (tally->rules[i] == 0)
            printf("  never: %s: %s on %s -> %s: %s\n", rules[i].table, rules[i].in, rules[i].on,
                   rules[i].to, rules[i].because);
    return never;
}
