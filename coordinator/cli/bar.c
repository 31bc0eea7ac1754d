/* bar.c - divides the cells of a bar among the states, and draws them. */
#include "coordinator/cli/bar.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/cli/table.h"

static const char *const names[] = {
#define X(name, text) text,
    BAR_STATES(X)
#undef X
};

static const struct {
    const char *utf8, *ascii;
} letters[] = {
    [BAR_APPLIED] = { "█", "#" }, [BAR_READY] = { "▓", "=" },   [BAR_ROLLED_BACK] = { "▒", "<" },
    [BAR_FAILED] = { "╳", "x" },  [BAR_PENDING] = { "░", "." }, [BAR_CHECK_FAILING] = { "╱", "!" },
};

const char *bar_state_name(enum bar_state state)
{
    return names[state];
}

/* The state that is furthest below its exact share of the cells. */
static size_t neediest(const struct bar *bar, size_t total, size_t cells,
                       const size_t shares[BAR_STATE_COUNT])
{
    size_t best = BAR_PENDING;
    double best_gap = -1e300;

    for (size_t i = 0; i < BAR_STATE_COUNT; i++) {
        double gap = (double)bar->counts[i] * (double)cells / (double)total - (double)shares[i];

        if (bar->counts[i] && gap > best_gap) {
            best_gap = gap;
            best = i;
        }
    }
    return best;
}

void bar_share(const struct bar *bar, size_t cells, size_t shares[BAR_STATE_COUNT])
{
    size_t total = 0, given = 0;

    memset(shares, 0, BAR_STATE_COUNT * sizeof(shares[0]));
    for (size_t i = 0; i < BAR_STATE_COUNT; i++)
        total += bar->counts[i];
    if (total == 0) {
        shares[BAR_PENDING] = cells;
        return;
    }
    for (size_t i = 0; i < BAR_STATE_COUNT; i++) {
        shares[i] = bar->counts[i] > 0 && given < cells;
        given += shares[i];
    }
    for (; given < cells; given++)
        shares[neediest(bar, total, cells, shares)]++;
}

void bar_draw(const struct bar *bar, struct buffer *out, size_t cells, bool is_colour, bool is_utf8)
{
    size_t shares[BAR_STATE_COUNT];

    bar_share(bar, cells, shares);
    for (size_t i = 0; i < BAR_STATE_COUNT; i++) {
        enum tint tint = tint_of_state(names[i]);

        if (!shares[i])
            continue;
        buffer_add_text(out, tint_on(tint, is_colour));
        for (size_t n = 0; n < shares[i]; n++)
            buffer_add_text(out, is_utf8 ? letters[i].utf8 : letters[i].ascii);
        buffer_add_text(out, tint_off(tint, is_colour));
    }
}

size_t bar_legend(const struct bar *bar, struct buffer *out, bool is_colour)
{
    size_t width = 0;

    for (size_t i = 0; i < BAR_STATE_COUNT; i++) {
        enum tint tint = tint_of_state(names[i]);
        char text[64], *blank;

        if (!bar->counts[i])
            continue;
        snprintf(text, sizeof(text), "%zu %s", bar->counts[i], names[i]);
        while ((blank = strchr(text, '_')))
            *blank = ' ';
        buffer_printf(out, "%s%s%s%s", width ? ", " : "", tint_on(tint, is_colour), text,
                      tint_off(tint, is_colour));
        width += strlen(text) + (width ? 2 : 0);
    }
    return width;
}
