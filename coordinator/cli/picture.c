/* picture.c - draws one rollout from the API's object; the same words as everywhere else. */
#include "coordinator/cli/picture.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/duration.h"
#include "coordinator/cli/cli.h"
#include "coordinator/cli/table.h"

#define NAME_CELLS_MAX 24
#define BAR_CELLS_MAX 40
#define BAR_CELLS_MIN 8
#define FAILURES_MAX 12

bool picture_is_final(const json_t *rollout)
{
    static const char *const finals[] = { "completed", "aborted", "rolled_back", "rejected",
                                          "failed" };

    for (size_t i = 0; i < sizeof(finals) / sizeof(finals[0]); i++)
        if (strcmp(cli_text(rollout, "state"), finals[i]) == 0)
            return true;
    return false;
}

const char *picture_state(const json_t *rollout)
{
    const char *state = cli_text(rollout, "state"), *phase = cli_text(rollout, "phase");

    if (picture_is_final(rollout) || strcmp(state, "running") != 0)
        return state;
    if (json_is_true(json_object_get(rollout, "paused")) || strcmp(state, "paused") == 0)
        return "paused";
    return *phase ? phase : state;
}

void picture_counts(const json_t *object, struct bar *out)
{
    const json_t *counts = json_object_get(object, "counts");
    long long failing = cli_number(object, "check_failing");

    for (size_t i = 0; i < BAR_STATE_COUNT; i++) {
        long long n = cli_number(counts, bar_state_name((enum bar_state)i));

        out->counts[i] = n > 0 ? (size_t)n : 0;
    }
    if (failing > 0 && (size_t)failing <= out->counts[BAR_APPLIED]) {
        out->counts[BAR_CHECK_FAILING] = (size_t)failing;
        out->counts[BAR_APPLIED] -= (size_t)failing;
    }
}

bool picture_is_held(const json_t *rollout)
{
    const json_t *stages = json_object_get(json_object_get(rollout, "strategy"), "stages");
    const json_t *stage = json_array_get(stages, (size_t)cli_number(rollout, "stage"));

    return strcmp(cli_text(rollout, "phase"), "baking") == 0 &&
           json_is_true(json_object_get(stage, "hold"));
}

long long picture_servers(const json_t *counts)
{
    long long total = 0;
    const char *state;
    json_t *count;

    json_object_foreach((json_t *)(uintptr_t)counts, state, count)
        total += json_integer_value(count);
    return total;
}

bool picture_reached_nobody(const json_t *rollout)
{
    const json_t *counts = json_object_get(rollout, "counts");

    return strcmp(cli_text(rollout, "state"), "completed") == 0 && picture_servers(counts) > 0 &&
           cli_number(counts, "applied") == 0;
}

/* Completed is good news when everybody has it. */
static bool is_partial(const json_t *rollout)
{
    const json_t *counts = json_object_get(rollout, "counts");

    return strcmp(cli_text(rollout, "state"), "completed") == 0 &&
           cli_number(counts, "failed") + cli_number(counts, "pending") +
                   cli_number(counts, "ready") + cli_number(counts, "rolled_back") >
               0;
}

enum tint picture_tint(const json_t *rollout)
{
    return is_partial(rollout) ? TINT_BACK : tint_of_state(picture_state(rollout));
}

void picture_changes(const json_t *rollout, bool is_utf8, struct buffer *out)
{
    size_t i;
    json_t *change;

    buffer_add_text(out, "");
    json_array_foreach(json_object_get(rollout, "changes"), i, change)
        buffer_printf(out, "%s%s/%s %lld %s %lld", i ? ", " : "", cli_text(change, "service"),
                      cli_text(change, "environment"), cli_number(change, "from_revision"),
                      is_utf8 ? "→" : "->", cli_number(change, "to_revision"));
}

void picture_elapsed(long long ms, char out[32])
{
    long long s = ms > 0 ? ms / 1000 : 0;

    if (s < 3600)
        snprintf(out, 32, "%lld:%02lld", s / 60, s % 60);
    else
        snprintf(out, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

void picture_latency(double ms, char out[32])
{
    if (ms < 10)
        snprintf(out, 32, "%.1f ms", ms);
    else if (ms < 1000)
        snprintf(out, 32, "%.0f ms", ms);
    else if (ms < 100000)
        snprintf(out, 32, "%.1f s", ms / 1000);
    else
        snprintf(out, 32, "%.0f min", ms / 60000);
}

/* A line that may not be wider than the terminal; plain text only, tinted as a whole. */
static void add_line(struct buffer *out, const struct picture_style *st, enum tint tint,
                     const char *text)
{
    buffer_add_text(out, tint_on(tint, st->is_colour));
    table_text_add(out, text, st->width, st->is_utf8);
    buffer_printf(out, "%s\n", tint_off(tint, st->is_colour));
}

/* ---------------------------------------------------------------- header */

static long long elapsed_ms(const json_t *rollout, long long now_ms)
{
    long long from = cli_time_ms(cli_text(rollout, "started_at"));
    long long to = cli_time_ms(cli_text(rollout, "finished_at"));

    if (!from)
        from = cli_time_ms(cli_text(rollout, "created_at"));
    return (to ? to : now_ms) - from;
}

/* ", 2 of 3 servers have it": who lags gets it when it answers. */
static void add_partial(const json_t *rollout, struct buffer *rest)
{
    const json_t *counts = json_object_get(rollout, "counts");

    buffer_printf(rest, ", %lld of %lld servers have it", cli_number(counts, "applied"),
                  picture_servers(counts));
}

bool picture_is_overtaken(const json_t *rollout)
{
    return json_is_true(json_object_get(json_object_get(rollout, "approvals"), "overtaken"));
}

/* Who waits for whom, and what to type. */
static void draw_approvals(const json_t *rollout, const struct picture_style *st,
                           struct buffer *out)
{
    const json_t *approvals = json_object_get(rollout, "approvals");
    SCOPED_BUFFER struct buffer line = { 0 };
    size_t i, valid = 0;
    json_t *one;
    char ago[32];

    if (strcmp(cli_text(rollout, "state"), "awaiting_approval") != 0)
        return;
    if (picture_is_overtaken(rollout)) {
        buffer_printf(&line, "cannot start any more, its revision or a newer one was released "
                             "since: lockstep rollout abort %s", cli_text(rollout, "id"));
        add_line(out, st, TINT_READY, line.data);
        return;
    }
    json_array_foreach(json_object_get(approvals, "given"), i, one)
        valid += !json_is_true(json_object_get(one, "void"));
    cli_ago(cli_text(rollout, "created_at"), ago);
    buffer_printf(&line, "%zu of %lld approvals given; asked for by %s %s; who else may: lockstep "
                         "rollout approve %s",
                  valid, cli_number(approvals, "needed"), cli_text(rollout, "created_by"), ago,
                  cli_text(rollout, "id"));
    add_line(out, st, TINT_READY, line.data);
    json_array_foreach(json_object_get(approvals, "given"), i, one) {
        buffer_clear(&line);
        cli_ago(cli_text(one, "at"), ago);
        buffer_printf(&line, "  approved by %s %s%s%s%s", cli_text(one, "by"), ago,
                      *cli_text(one, "reason") ? ": " : "", cli_text(one, "reason"),
                      json_is_true(json_object_get(one, "void"))
                          ? " (void: what it replaces has moved since)"
                          : "");
        add_line(out, st, TINT_DIM, line.data);
    }
}

/* Who asked for it, and what is unusual about it. */
static void draw_origin(const json_t *rollout, const struct picture_style *st, struct buffer *out)
{
    const char *note = cli_text(rollout, "note"), *by = cli_text(rollout, "created_by");
    const char *taken_back_by = cli_text(rollout, "rolled_back_by");
    bool is_break_glass = json_is_true(json_object_get(rollout, "break_glass"));
    SCOPED_BUFFER struct buffer line = { 0 };

    if (*note || is_break_glass) {
        buffer_printf(&line, "%sby %s%s%s", is_break_glass ? "BREAK GLASS " : "", by,
                      *note ? ": " : "", note);
        add_line(out, st, is_break_glass ? TINT_BACK : TINT_DIM, line.data);
    }
    if (*taken_back_by) {
        buffer_clear(&line);
        buffer_printf(&line, "taken back by %s", taken_back_by);
        add_line(out, st, TINT_BACK, line.data);
    }
    draw_approvals(rollout, st, out);
}

/* What could not go back at the end of it did later, when it was told again. */
static bool is_mended(const json_t *rollout)
{
    const json_t *counts = json_object_get(rollout, "counts");

    return strcmp(cli_text(rollout, "state"), "failed") == 0 &&
           cli_number(counts, "rolled_back") > 0 && cli_number(counts, "failed") == 0 &&
           cli_number(counts, "applied") == 0;
}

/* "bakes 0:42 of 1:00, 0 failed (1 allowed)". False: it does not bake, or does so for no time. */
static bool add_bake(const json_t *rollout, struct buffer *out)
{
    size_t stage = (size_t)cli_number(rollout, "stage");
    const json_t *rules = json_object_get(json_object_get(rollout, "strategy"), "stages");
    const json_t *rule = json_array_get(rules, stage);
    const json_t *allowed = json_object_get(rule, "max_failed");
    const json_t *here = json_array_get(json_object_get(rollout, "stages"), stage);
    char done[32], whole[32];
    int64_t bake_ms;
    struct err ignored;

    if (strcmp(cli_text(rollout, "state"), "running") != 0 ||
        strcmp(cli_text(rollout, "phase"), "baking") != 0 ||
        duration_parse(cli_text(rule, "bake"), &bake_ms, &ignored) != 0 || bake_ms == 0)
        return false;
    picture_elapsed(cli_number(rollout, "phase_ms"), done);
    picture_elapsed(bake_ms, whole);
    buffer_printf(out, "bakes %s of %s, %lld failed", done, whole,
                  cli_number(json_object_get(here, "counts"), "failed") +
                      cli_number(here, "check_failing"));
    if (json_is_string(allowed))
        buffer_printf(out, " (%s allowed)", json_string_value(allowed));
    return true;
}

static void draw_state(const json_t *rollout, const struct picture_style *st, struct buffer *out)
{
    const char *state = picture_state(rollout), *reason = cli_text(rollout, "reason");
    size_t stages = json_array_size(json_object_get(rollout, "stages"));
    json_t *stage = json_object_get(rollout, "stage");
    SCOPED_BUFFER struct buffer rest = { 0 }, bake = { 0 };
    char time[32], word[64];
    size_t used;

    snprintf(word, sizeof(word), "%s", state);
    for (char *p; (p = strchr(word, '_'));)
        *p = ' ';
    buffer_printf(out, "%s%s%s", tint_on(picture_tint(rollout), st->is_colour), word,
                  tint_off(picture_tint(rollout), st->is_colour));
    picture_elapsed(elapsed_ms(rollout, st->now_ms), time);
    if (!picture_is_final(rollout) && json_is_integer(stage) && stages)
        buffer_printf(&rest, ", stage %lld of %zu", json_integer_value(stage) + 1, stages);
    if (is_partial(rollout))
        add_partial(rollout, &rest);
    buffer_printf(&rest, "  %s", time);
    if (cli_number(rollout, "unreachable") > 0)
        buffer_printf(&rest, "  %lld unreachable", cli_number(rollout, "unreachable"));
    if (picture_is_held(rollout) && strcmp(state, "paused") != 0)
        buffer_printf(&rest, "  held until somebody promotes it: lockstep rollout promote %s",
                      cli_text(rollout, "id"));
    else if (add_bake(rollout, &bake))
        buffer_printf(&rest, "  %s", bake.data);
    else if (*reason)
        buffer_printf(&rest, "  %s%s",
                      is_mended(rollout) ? "every server went back since; at its end: " : "",
                      reason);
    used = table_text_width(word);
    table_text_add(out, rest.data, st->width > used ? st->width - used : 0, st->is_utf8);
    buffer_add_text(out, "\n");
}

static void draw_header(const json_t *rollout, const struct picture_style *st, struct buffer *out)
{
    SCOPED_BUFFER struct buffer line = { 0 }, name = { 0 };
    const char *strategy = cli_text(rollout, "strategy_name");

    if (!*strategy)
        strategy = cli_text(json_object_get(rollout, "strategy"), "name");
    picture_changes(rollout, st->is_utf8, &line);
    if (*strategy)
        buffer_printf(&line, "   strategy %s", strategy);
    buffer_printf(&name, "rollout %s", cli_text(rollout, "id"));
    if (strcmp(cli_text(rollout, "kind"), "rollback") == 0)
        buffer_printf(&name, ", takes back %s", cli_text(rollout, "reverts"));
    /* In a narrow window the id has a line of its own: it is wanted whole. */
    if (table_text_width(line.data) + 3 + table_text_width(name.data) <= st->width) {
        buffer_printf(&line, "   %s", name.data);
        add_line(out, st, TINT_BOLD, line.data);
    } else {
        add_line(out, st, TINT_BOLD, line.data);
        add_line(out, st, TINT_BOLD, name.data);
    }
    draw_state(rollout, st, out);
    draw_origin(rollout, st, out);
}

/* ---------------------------------------------------------------- stages */

struct columns {
    size_t name, servers, bar;
};

static size_t stage_servers(const json_t *stage)
{
    const json_t *servers = json_object_get(stage, "servers");

    if (json_is_array(servers))
        return json_array_size(servers);
    return json_integer_value(servers) > 0 ? (size_t)json_integer_value(servers) : 0;
}

static struct columns measure(const json_t *stages, const struct picture_style *st)
{
    struct columns c = { .name = 4, .servers = 1 };
    size_t i, legend = 0;
    json_t *stage;

    json_array_foreach(stages, i, stage) {
        SCOPED_BUFFER struct buffer text = { 0 };
        struct bar bar;
        size_t width = table_text_width(cli_text(stage, "name"));
        int digits = snprintf(NULL, 0, "%zu", stage_servers(stage));

        if (width > c.name)
            c.name = width < NAME_CELLS_MAX ? width : NAME_CELLS_MAX;
        if ((size_t)digits > c.servers)
            c.servers = (size_t)digits;
        picture_counts(stage, &bar);
        width = bar_legend(&bar, &text, false);
        if (width > legend)
            legend = width;
    }
    c.bar = st->width > c.name + c.servers + legend + 8
                ? st->width - c.name - c.servers - legend - 8
                : 0;
    if (c.bar > BAR_CELLS_MAX)
        c.bar = BAR_CELLS_MAX;
    if (c.bar < BAR_CELLS_MIN)
        c.bar = BAR_CELLS_MIN;
    return c;
}

static void pad_to(struct buffer *out, size_t have, size_t cells)
{
    for (; have < cells; have++)
        buffer_add(out, " ", 1);
}

/* "▸ canary       1  ██████████  1 applied": the legend is left out when it does not fit. */
static void draw_stage(const json_t *stage, bool is_open, const struct columns *c,
                       const struct picture_style *st, struct buffer *out)
{
    SCOPED_BUFFER struct buffer name = { 0 }, legend = { 0 };
    size_t used = 2 + c->name + 1 + c->servers + 2 + c->bar, width;
    const char *nobody =
        strcmp(cli_text(stage, "state"), "completed") == 0 ? "adds nobody" : "not reached";
    struct bar bar;

    picture_counts(stage, &bar);
    table_text_add(&name, cli_text(stage, "name"), c->name, st->is_utf8);
    buffer_printf(out, "%s %s", !is_open ? " " : st->is_utf8 ? "▸" : ">", name.data);
    pad_to(out, table_text_width(name.data), c->name);
    buffer_printf(out, " %*zu  ", (int)c->servers, stage_servers(stage));
    bar_draw(&bar, out, c->bar, st->is_colour, st->is_utf8);
    width = bar_legend(&bar, &legend, st->is_colour);
    if (width == 0) {
        buffer_printf(&legend, "%s%s%s", tint_on(TINT_DIM, st->is_colour), nobody,
                      tint_off(TINT_DIM, st->is_colour));
        width = strlen(nobody);
    }
    if (used + 2 + width <= st->width)
        buffer_printf(out, "  %s", legend.data);
    buffer_add_text(out, "\n");
}

/* ---------------------------------------------------------------- below */

static void draw_latency(const json_t *rollout, const char *what, const struct picture_style *st,
                         struct buffer *out)
{
    const json_t *l = json_object_get(json_object_get(rollout, "latency_ms"), what);
    char p50[32], p99[32], max[32], line[160];

    if (!json_is_number(json_object_get(l, "max")))
        return;
    picture_latency(json_number_value(json_object_get(l, "p50")), p50);
    picture_latency(json_number_value(json_object_get(l, "p99")), p99);
    picture_latency(json_number_value(json_object_get(l, "max")), max);
    snprintf(line, sizeof(line), "  %-8s half within %s, 99 %% within %s, last %s", what, p50, p99,
             max);
    add_line(out, st, TINT_DIM, line);
}

static void draw_failure(const json_t *server, size_t names, const struct picture_style *st,
                         struct buffer *out)
{
    const char *state = cli_text(server, "state"), *detail = cli_text(server, "detail");
    const char *reason = cli_text(server, "reason");
    SCOPED_BUFFER struct buffer line = { 0 };
    struct picture_style whole = *st;
    char word[64];

    snprintf(word, sizeof(word), "%s", *detail ? detail : state);
    for (char *p; (p = strchr(word, '_'));)
        *p = ' ';
    buffer_printf(&line, "  %-*s  %s", (int)names, cli_text(server, "server"), word);
    if (*reason)
        buffer_printf(&line, "  %s", reason);
    if (st->has_whole_reasons)
        whole.width = SIZE_MAX;
    add_line(out, &whole, tint_of_state(strcmp(detail, "check_failing") == 0 ? detail : state),
             line.data);
}

static void draw_failures(const json_t *failures, const struct picture_style *st, size_t room,
                          struct buffer *out)
{
    size_t i, shown = json_array_size(failures), names = 6;
    json_t *server;
    char more[64];

    if (!shown || room < 3)
        return;
    if (shown > room - 2)
        shown = room - 2;
    json_array_foreach(failures, i, server) {
        size_t width = strlen(cli_text(server, "server"));

        if (i < shown && width > names)
            names = width;
    }
    buffer_add_text(out, "\n");
    json_array_foreach(failures, i, server)
        if (i < shown)
            draw_failure(server, names, st, out);
    if (json_array_size(failures) > shown) {
        snprintf(more, sizeof(more), "  and %zu more: lockstep rollout servers",
                 json_array_size(failures) - shown);
        add_line(out, st, TINT_DIM, more);
    }
}

void picture_draw(const json_t *rollout, const json_t *failures, const struct picture_style *st,
                  struct buffer *out)
{
    const json_t *stages = json_object_get(rollout, "stages");
    struct columns c = measure(stages, st);
    size_t from = out->size, lines = 0, i, room = FAILURES_MAX + 2;
    json_t *stage;

    draw_header(rollout, st, out);
    buffer_add_text(out, "\n");
    json_array_foreach(stages, i, stage)
        draw_stage(stage,
                   !picture_is_final(rollout) && cli_number(rollout, "stage") == (long long)i, &c,
                   st, out);
    if (json_is_object(json_object_get(rollout, "latency_ms"))) {
        size_t mark = out->size;

        buffer_add_text(out, "\n");
        draw_latency(rollout, "ready", st, out);
        draw_latency(rollout, "applied", st, out);
        if (out->size == mark + 1)
            out->data[--out->size] = 0;
    }
    for (i = from; i < out->size; i++)
        lines += out->data[i] == '\n';
    if (st->height)
        room = st->height > lines + 1 ? st->height - lines - 1 : 0;
    draw_failures(failures, st, room < FAILURES_MAX + 2 ? room : FAILURES_MAX + 2, out);
}
