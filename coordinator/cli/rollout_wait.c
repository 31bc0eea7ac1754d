/* rollout_wait.c - chooses between lines and the live picture, and redraws the picture in place. */
#include "coordinator/cli/rollout_wait.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/duration.h"
#include "coordinator/cli/follow.h"
#include "coordinator/cli/picture.h"
#include "coordinator/cli/table.h"

#define FAILURES_SHOWN 50
#define LOG_WIDTH 1000 /* no terminal: reasons are wanted whole */
#define CURSOR_HIDE "\x1b[?25l"
#define CURSOR_SHOW "\x1b[?25h"

/* What stands on the terminal now, so that the next picture can go over it. */
struct screen {
    struct cli *cli;
    const char *id;
    struct buffer drawn;
    json_t *failures;
    long long told[4]; /* the counts `failures` was fetched for */
};

/* ---------------------------------------------------------------- failures */

static void fetch_failures(struct cli *cli, const char *id, const char *query, json_t *into)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e;
    size_t i;
    json_t *one;

    buffer_printf(&path, "/api/v1/rollouts/%s/servers?%s&limit=%d", id, query,
                  FAILURES_SHOWN);
    if (cli_call(cli, "GET", path.data, NULL, &reply, &e) != 0)
        return; /* the picture without its last lines is better than none */
    json_array_foreach(json_object_get(reply.body, "servers"), i, one)
        if (*cli_text(one, "reason"))
            json_array_append(into, one);
}

/* Asks only when a count moved. Who is pending is told of when it is over: before, it is no news.
 */
static void refresh_failures(struct screen *s, const json_t *rollout)
{
    static const char *const queries[] = { "state=failed", "state=applied&detail=check_failing",
                                           "state=rolled_back", "state=pending" };
    const json_t *counts = json_object_get(rollout, "counts");
    long long now[] = { cli_number(counts, "failed"), cli_number(rollout, "check_failing"),
                        cli_number(counts, "rolled_back"),
                        picture_is_final(rollout) ? cli_number(counts, "pending") : 0 };

    if (s->failures && memcmp(now, s->told, sizeof(now)) == 0)
        return;
    json_decref(s->failures);
    s->failures = json_array();
    memcpy(s->told, now, sizeof(now));
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
        if (now[i])
            fetch_failures(s->cli, s->id, queries[i], s->failures);
}

/* ---------------------------------------------------------------- drawing in place */

static struct picture_style style_now(const struct cli *cli)
{
    size_t width = output_width(&cli->out);

    return (struct picture_style){
        .width = width ? width : LOG_WIDTH,
        .height = output_height(&cli->out),
        .is_colour = cli->out.is_colour,
        .is_utf8 = cli->out.is_utf8,
        .now_ms = clock_wall_ms(),
    };
}

/* Cells of one line of `text` without its escapes. */
static size_t visible_width(const char *line, size_t size)
{
    SCOPED_BUFFER struct buffer plain = { 0 };

    buffer_add_text(&plain, "");
    for (size_t i = 0; i < size; i++) {
        if (line[i] != '\x1b') {
            buffer_add(&plain, line + i, 1);
            continue;
        }
        while (i < size && line[i] != 'm')
            i++;
    }
    return table_text_width(plain.data);
}

/* Rows that the old picture takes in a terminal of this width: lines drawn wide wrap when it gets
 * narrower. */
static size_t rows_of(const struct buffer *drawn, size_t width)
{
    const char *line = drawn->size ? drawn->data : "";
    size_t rows = 0;

    for (const char *end; (end = strchr(line, '\n')); line = end + 1) {
        size_t cells = visible_width(line, (size_t)(end - line));

        rows += cells > width ? (cells + width - 1) / width : 1;
    }
    return rows;
}

/* One write per picture: no flicker. Each line clears what is behind it. */
static void show(struct screen *s, const struct buffer *picture, size_t width)
{
    SCOPED_BUFFER struct buffer out = { 0 };
    size_t rows = rows_of(&s->drawn, width);
    const char *line = picture->data;

    buffer_add_text(&out, CURSOR_HIDE);
    if (rows)
        buffer_printf(&out, "\r\x1b[%zuA", rows);
    for (const char *end; (end = strchr(line, '\n')); line = end + 1) {
        buffer_add(&out, line, (size_t)(end - line));
        buffer_add_text(&out, "\x1b[K\n");
    }
    buffer_add_text(&out, "\x1b[J" CURSOR_SHOW);
    output_text(&out);
    fflush(stdout);
    buffer_clear(&s->drawn);
    buffer_add(&s->drawn, picture->data, picture->size);
}

static void draw_look(void *ctx, const struct follow_look *look)
{
    struct screen *s = ctx;
    struct picture_style style = style_now(s->cli);
    SCOPED_BUFFER struct buffer picture = { 0 };

    if (look->is_last) { /* the picture that stays may be as long as it needs to be */
        style.height = 0;
        style.has_whole_reasons = true;
    }
    refresh_failures(s, look->rollout);
    picture_draw(look->rollout, s->failures, &style, &picture);
    if (look->trouble) {
        buffer_printf(&picture, "%s", tint_on(TINT_BACK, style.is_colour));
        table_text_add(&picture, look->trouble, style.width, style.is_utf8);
        buffer_printf(&picture, "%s\n", tint_off(TINT_BACK, style.is_colour));
    }
    show(s, &picture, style.width);
}

/* Lines as they come, and the picture at the end: a log shall also say who failed and why. */
static void print_look(void *ctx, const struct follow_look *look)
{
    struct follow_lines *lines = ctx;
    SCOPED_BUFFER struct buffer picture = { 0 };

    follow_print_lines(lines, look);
    if (!look->is_last || look->trouble || lines->cli->out.format != OUTPUT_TABLE)
        return;
    buffer_add_text(&picture, "\n");
    rollout_draw_now(lines->cli, look->rollout, &picture);
    output_text(&picture);
    fflush(stdout);
}

void rollout_draw_now(struct cli *cli, const json_t *rollout, struct buffer *out)
{
    struct screen s = { .cli = cli, .id = cli_text(rollout, "id") };
    struct picture_style style = style_now(cli);

    style.height = 0;
    style.has_whole_reasons = true;
    refresh_failures(&s, rollout);
    picture_draw(rollout, s.failures, &style, out);
    json_decref(s.failures);
}

/* ---------------------------------------------------------------- */

int rollout_wait(struct cli *cli, const char *id, enum rollout_look look)
{
    const char *timeout = command_option(&cli->line, "timeout");
    struct follow_lines lines = { .cli = cli };
    struct screen screen = { .cli = cli, .id = id };
    bool is_picture =
        look != ROLLOUT_LINES && cli->out.is_terminal && cli->out.format == OUTPUT_TABLE;
    struct follow f = {
        .cli = cli,
        .id = id,
        .ends_for_person = look >= ROLLOUT_WAIT,
        .is_rollback_asked = look == ROLLOUT_WAIT_ROLLBACK,
        .wants_events = !is_picture && cli->out.format == OUTPUT_TABLE,
        .look = is_picture ? draw_look : print_look,
        .ctx = is_picture ? (void *)&screen : (void *)&lines,
    };
    struct err e = { 0 };
    int rc;

    if (timeout && duration_parse(timeout, &f.timeout_ms, &e) != 0)
        return cli_usage(cli, "--timeout: %s", e.text);
    rc = follow_run(&f);
    buffer_fini(&screen.drawn);
    json_decref(screen.failures);
    return rc;
}

int rollout_check_timeout(const struct cli *cli, struct err *e)
{
    const char *timeout = command_option(&cli->line, "timeout");
    int64_t ms;

    if (!timeout || duration_parse(timeout, &ms, e) == 0)
        return 0;
    err_wrap(e, "--timeout");
    e->kind = ERR_MALFORMED;
    return -1;
}

int rollout_show_and_wait(struct cli *cli, const json_t *rollout, const char *what,
                          enum rollout_look look)
{
    SCOPED_BUFFER struct buffer changes = { 0 };
    const char *id = cli_text(rollout, "id");

    if (command_flag(&cli->line, "wait")) {
        cli_note("rollout %s %s", id, what);
        return rollout_wait(cli, id, look);
    }
    if (cli_print_object(cli, rollout, "id"))
        return CLI_DONE;
    picture_changes(rollout, cli->out.is_utf8, &changes);
    printf("rollout %s %s: %s, %s\n", id, what, changes.data, picture_state(rollout));
    if (look == ROLLOUT_WAIT_ROLLBACK)
        follow_say_untouched(rollout);
    if (strcmp(cli_text(rollout, "state"), "awaiting_approval") == 0)
        cli_note("somebody else lets it start: lockstep rollout approve %s", id);
    if (!picture_is_final(rollout))
        cli_note("follow it: lockstep rollout watch %s", id);
    return CLI_DONE;
}
