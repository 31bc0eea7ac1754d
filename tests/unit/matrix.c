/* matrix.c - the golden matrix: every state with every event, what happens there, silence included.
 *
 * A change of silence is as visible in review as a change of action. `matrix --print` shows the
 * tables; `matrix --renew` writes the expected files anew, after a change that is meant.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/participant.h"
#include "coordinator/core/rollout.h"
#include "tests/test.h"

/* One table in a common shape. */
struct row {
    const char *in, *on, *when, *to, *because;
};

static bool rollout_row(unsigned i, struct row *out)
{
    struct rule_row r;

    if (!rollout_rule(i, &r))
        return false;
    *out = (struct row){ r.in, r.on, r.when, r.to, r.because };
    return true;
}

static bool round_row(unsigned i, struct row *out)
{
    struct rule_row r;

    if (!round_rule(i, &r))
        return false;
    *out = (struct row){ r.in, r.on, r.when, r.to, r.because };
    return true;
}

static bool participant_row(unsigned i, struct row *out)
{
    struct participant_rule_view r;

    if (!participant_rule(i, &r))
        return false;
    *out = (struct row){ r.in, r.on, r.guard, r.to, r.because };
    return true;
}

static const char *rollout_state(unsigned i)
{
    return i < ROLLOUT_STATE_COUNT ? rollout_state_name((enum rollout_state)i) : NULL;
}

static const char *rollout_event_at(unsigned i)
{
    return i < ROLLOUT_EVENT_COUNT ? rollout_event_name((enum rollout_event)i) : NULL;
}

static const char *round_state_at(unsigned i)
{
    return i < ROUND_STATE_COUNT ? round_state_name((enum round_state)i) : NULL;
}

static const char *round_event_at(unsigned i)
{
    return i < ROUND_EVENT_COUNT ? round_event_name((enum round_event)i) : NULL;
}

/* "-": messages, the clock and starts, which no task need be there for. */
static const char *participant_state_at(unsigned i)
{
    return i == 0 ? "-" : i <= TASK_STATE_COUNT ? task_state_name((enum task_state)(i - 1)) : NULL;
}

static const char *participant_event_at(unsigned i)
{
    return i < PARTICIPANT_EVENT_COUNT ? participant_event_name((enum participant_event_type)i)
                                       : NULL;
}

static const struct table {
    const char *name, *expected;
    bool (*row)(unsigned, struct row *);
    const char *(*state)(unsigned);
    const char *(*event)(unsigned);
} tables[] = {
    { "round", "tests/unit/round.expected", round_row, round_state_at, round_event_at },
    { "rollout", "tests/unit/rollout.expected", rollout_row, rollout_state, rollout_event_at },
    { "participant", "tests/unit/participant.expected", participant_row, participant_state_at,
      participant_event_at },
};

/* Work that ended belongs to a task; everything else to none. */
static bool can_meet(const struct table *t, const char *state, const char *event)
{
    bool is_ended =
        !strcmp(event, "STAGED") || !strcmp(event, "SAVED") || !strcmp(event, "APPLIED");

    return t->row != participant_row || is_ended == (strcmp(state, "-") != 0);
}

static unsigned write_cell(FILE *f, const struct table *t, const char *state, const char *event)
{
    struct row r;
    unsigned found = 0;

    for (unsigned i = 0; t->row(i, &r); i++) {
        if (strcmp(r.in, state) || strcmp(r.on, event))
            continue;
        found++;
        fprintf(f, "%-12s %-14s %-24s -> %-12s %s\n", state, event, r.when, r.to, r.because);
    }
    if (!found)
        fprintf(f, "%-12s %-14s .\n", state, event);
    return found;
}

static unsigned write_table(FILE *f, const struct table *t)
{
    unsigned rules = 0;

    for (unsigned s = 0; t->state(s); s++)
        for (unsigned e = 0; t->event(e); e++)
            if (can_meet(t, t->state(s), t->event(e)))
                rules += write_cell(f, t, t->state(s), t->event(e));
    return rules;
}

static unsigned count_rules(const struct table *t)
{
    struct row r;
    unsigned n = 0;

    while (t->row(n, &r))
        n++;
    return n;
}

/* The first line that differs, said with both sides. */
static void compare(const struct table *t, FILE *now)
{
    FILE *expected = fopen(t->expected, "r");
    char was[400], is[400];

    ck_assert_msg(expected != NULL, "%s is not there: run from the top folder", t->expected);
    rewind(now);
    for (unsigned line = 1;; line++) {
        const char *a = fgets(was, sizeof(was), expected), *b = fgets(is, sizeof(is), now);

        ck_assert_msg(!a == !b && (!a || !strcmp(was, is)),
                      "%s:%u: expected %snow      %s(meant? matrix --renew)", t->expected, line,
                      a ? was : "nothing more\n", b ? is : "nothing more\n");
        if (!a)
            break;
    }
    fclose(expected);
}

TEST_EACH(table_is_as_expected, tables)
{
    const struct table *t = &tables[_i];
    FILE *now = tmpfile();

    ck_assert(now != NULL);
    ck_assert_uint_eq(write_table(now, t), count_rules(t)); /* no rule outside the matrix */
    compare(t, now);
    fclose(now);
}

/* First match wins: nothing may stand behind a row that always matches. */
TEST_EACH(no_rule_is_hidden, tables)
{
    const struct table *t = &tables[_i];
    struct row above, below;

    for (unsigned i = 0; t->row(i, &above); i++)
        for (unsigned j = i + 1; t->row(j, &below); j++)
            ck_assert_msg(strcmp(above.in, below.in) || strcmp(above.on, below.on) ||
                              (strcmp(above.when, "always") && strcmp(above.when, below.when)),
                          "%s: '%s' can never fire behind '%s'", t->name, below.because,
                          above.because);
}

static int renew(void)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        FILE *f = fopen(tables[i].expected, "w");

        if (!f) {
            perror(tables[i].expected);
            return EXIT_FAILURE;
        }
        write_table(f, &tables[i]);
        fclose(f);
    }
    return EXIT_SUCCESS;
}

static int print(void)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        printf("%s%s\n\n", i ? "\n" : "", tables[i].name);
        write_table(stdout, &tables[i]);
    }
    return EXIT_SUCCESS;
}

struct test_frame test_frame = { .words = { { "--print", print }, { "--renew", renew } } };
