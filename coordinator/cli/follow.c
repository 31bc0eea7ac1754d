/* follow.c - the loop behind --wait, status and watch, and the lines of the first two. */
#include "coordinator/cli/follow.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/picture.h"
#include "coordinator/cli/table.h"

#define LOOK_MS 200       /* while things happen */
#define LOOK_CALM_MS 1000 /* when nothing changed for a while */
#define CALM_AFTER 25     /* looks without news */
#define HELD_AFTER 3      /* looks without news */
#define PAGE 200

struct follow_state {
    const struct follow *f;
    json_t *rollout;
    long long last_event;
    unsigned quiet; /* looks without news */
    int64_t deadline_ms;
};

/* New events, oldest first: pages come newest first and end where we were. */
static int fetch_events(struct follow_state *s, json_t *events, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    char cursor[100] = "";
    long long newest = s->last_event;

    for (;;) {
        SCOPED_REPLY struct client_reply reply = { 0 };
        const char *next;
        bool is_known = false;
        size_t i;
        json_t *event;

        buffer_clear(&path);
        buffer_printf(&path, "/api/v1/rollouts/%s/events?limit=%d%s%s", s->f->id, PAGE,
                      *cursor ? "&cursor=" : "", cursor);
        if (cli_call(s->f->cli, "GET", path.data, NULL, &reply, e) != 0)
            return -1;
        json_array_foreach(json_object_get(reply.body, "events"), i, event) {
            long long id = strtoll(cli_text(event, "id"), NULL, 10);

            if (id <= s->last_event) {
                is_known = true;
                break;
            }
            newest = id > newest ? id : newest;
            json_array_insert(events, 0, event);
        }
        next = json_string_value(json_object_get(reply.body, "next"));
        if (is_known || !next)
            break;
        snprintf(cursor, sizeof(cursor), "%s", next);
    }
    s->last_event = newest;
    return 0;
}

/* The clock of the phase goes on by itself, which is no news. */
static bool is_same(const json_t *before, const json_t *now)
{
    json_t *x = json_copy((json_t *)(uintptr_t)before), *y = json_copy((json_t *)(uintptr_t)now);
    bool is_equal;

    json_object_del(x, "phase_ms");
    json_object_del(y, "phase_ms");
    is_equal = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return is_equal;
}

static int fetch_rollout(struct follow_state *s, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };

    buffer_printf(&path, "/api/v1/rollouts/%s", s->f->id);
    if (cli_call(s->f->cli, "GET", path.data, NULL, &reply, e) != 0)
        return -1;
    if (s->rollout && is_same(s->rollout, reply.body))
        s->quiet++;
    else
        s->quiet = 0;
    json_decref(s->rollout);
    s->rollout = json_incref(reply.body);
    return 0;
}

/* A hold counts once it was seen to last: `promote --full` passes through later ones. */
static bool needs_person(const struct follow_state *s)
{
    const char *state = picture_state(s->rollout);

    return strcmp(state, "paused") == 0 || strcmp(state, "awaiting_approval") == 0 ||
           (picture_is_held(s->rollout) && s->quiet >= HELD_AFTER);
}

static int exit_of(const struct follow *f, const json_t *rollout)
{
    const char *state = cli_text(rollout, "state");

    if (strcmp(state, "completed") == 0)
        return picture_reached_nobody(rollout) ? CLI_ENDED_BADLY : CLI_DONE;
    if (f->is_rollback_asked &&
        (strcmp(state, "rolled_back") == 0 || strcmp(state, "aborted") == 0))
        return CLI_DONE;
    return CLI_ENDED_BADLY;
}

/* One look; true when it was the last, with *rc. */
static bool look_once(struct follow_state *s, int *rc)
{
    const struct follow *f = s->f;
    json_t *events = json_array();
    struct follow_look look = { .events = events };
    struct err e = { 0 };
    int got = fetch_rollout(s, &e);

    if (got == 0 && f->wants_events)
        got = fetch_events(s, events, &e);
    if (got != 0 && (e.kind != ERR_UNAVAILABLE || !s->rollout)) {
        *rc = cli_fail(f->cli, &e);
        json_decref(events);
        return true;
    }
    look.trouble = got == 0 || interrupt_happened() ? NULL : e.text;
    look.rollout = s->rollout;
    look.is_last =
        got == 0 && (picture_is_final(s->rollout) || (f->ends_for_person && needs_person(s)));
    if (look.is_last)
        *rc = picture_is_final(s->rollout) ? exit_of(f, s->rollout) : CLI_NEEDS_PERSON;
    else if (interrupt_happened())
        *rc = CLI_INTERRUPTED;
    else if (s->deadline_ms && clock_monotonic_ms() >= s->deadline_ms)
        *rc = CLI_TIMED_OUT;
    look.is_last = *rc >= 0;
    f->look(f->ctx, &look);
    json_decref(events);
    return look.is_last;
}

void follow_say_untouched(const json_t *rollout)
{
    if (strcmp(cli_text(rollout, "state"), "aborted") == 0)
        cli_note("rollout %s is aborted: no server had activated it, and nothing was changed",
                 cli_text(rollout, "id"));
}

/* Released, and yet nobody runs it: that is said where it is true. */
static void say_who_has_it(const json_t *rollout)
{
    const json_t *counts = json_object_get(rollout, "counts");
    long long unreachable = cli_number(rollout, "unreachable");
    long long servers = picture_servers(counts);

    if (strcmp(cli_text(rollout, "state"), "completed") != 0 || cli_number(counts, "applied") > 0)
        return;
    if (servers == 0)
        cli_note("released, and brought to nobody: no server reads this, or all that do are "
                 "excluded (lockstep server list)");
    else
        cli_note("released, and no server runs it yet: of %lld, %lld %s unreachable now; each gets "
                 "it when it answers: lockstep rollout servers %s", servers, unreachable,
                 unreachable == 1 ? "is" : "are", cli_text(rollout, "id"));
}

/* What takes back ended otherwise: the change is out there still. */
static void say_not_taken_back(const json_t *rollout)
{
    const char *state = cli_text(rollout, "state"), *reverts = cli_text(rollout, "reverts");

    if (strcmp(cli_text(rollout, "kind"), "rollback") == 0 && strcmp(state, "completed") != 0)
        cli_note("%s was not taken back: what it brought is released still (%s)", reverts,
                 cli_text(rollout, "reason"));
}

/* Which commands help depends on what it waits for. */
static void say_who_is_waited_for(const struct follow *f, const json_t *rollout)
{
    const char *state = picture_state(rollout);
    bool is_unapproved = strcmp(state, "awaiting_approval") == 0;
    bool is_paused = strcmp(state, "paused") == 0;
    bool has_failed = cli_number(json_object_get(rollout, "counts"), "failed") > 0;

    if (picture_is_overtaken(rollout)) {
        cli_note("the rollout cannot start any more, its revision or a newer one was released "
                 "since: lockstep rollout abort %s", f->id);
        return;
    }
    cli_note("the rollout waits for a person%s: lockstep rollout %s %s",
             is_unapproved              ? " to approve or reject it"
             : !is_paused               ? " (promote or rollback)"
             : has_failed               ? " (retry or rollback)"
                                        : " (resume or rollback)",
             is_unapproved              ? "approve"
             : !is_paused               ? "promote"
             : has_failed               ? "retry"
                                        : "resume",
             f->id);
}

static void say_why_ended(const struct follow *f, const json_t *rollout, int rc)
{
    if (rc == CLI_DONE && f->is_rollback_asked)
        follow_say_untouched(rollout);
    if (rc == CLI_DONE || rc == CLI_ENDED_BADLY)
        say_who_has_it(rollout);
    if (rc == CLI_ENDED_BADLY)
        say_not_taken_back(rollout);
    if (rc == CLI_INTERRUPTED)
        cli_note("stopped looking; the rollout goes on: lockstep rollout watch %s", f->id);
    else if (rc == CLI_TIMED_OUT)
        cli_note("the time is over, the rollout goes on: lockstep rollout watch %s", f->id);
    else if (rc == CLI_NEEDS_PERSON)
        say_who_is_waited_for(f, rollout);
}

int follow_run(const struct follow *f)
{
    struct follow_state s = { .f = f };
    int rc = -1;

    interrupt_catch();
    if (f->timeout_ms)
        s.deadline_ms = clock_monotonic_ms() + f->timeout_ms;
    if (f->cli->client)
        client_stop_on(f->cli->client, interrupt_flag());
    while (!look_once(&s, &rc)) {
        int64_t wait_ms = s.quiet > CALM_AFTER ? LOOK_CALM_MS : LOOK_MS;
        int64_t left_ms = s.deadline_ms ? s.deadline_ms - clock_monotonic_ms() : wait_ms;

        interrupt_sleep(left_ms < 0 ? 0 : left_ms < wait_ms ? left_ms : wait_ms);
    }
    if (f->cli->client)
        client_stop_on(f->cli->client, NULL);
    say_why_ended(f, s.rollout, rc);
    json_decref(s.rollout);
    return rc;
}

/* ---------------------------------------------------------------- lines */

/* As clocks on the wall here show it. */
static void format_time(long long wall_ms, char out[16])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;

    localtime_r(&seconds, &tm);
    strftime(out, 16, "%H:%M:%S", &tm);
}

/* "canary, stage 1 of 3" */
static void add_stage(struct buffer *line, const json_t *event, const json_t *rollout)
{
    const json_t *stages = json_object_get(rollout, "stages");
    const json_t *number = json_object_get(event, "stage");
    size_t index = (size_t)json_integer_value(number);

    if (!json_is_integer(number) || !json_array_get(stages, index))
        return;
    buffer_printf(line, "%s, stage %zu of %zu: ", cli_text(json_array_get(stages, index), "name"),
                  index + 1, json_array_size(stages));
}

/* What an event says in words; the numbers it is made of are in `rollout status -o json`. */
static void add_words(struct buffer *line, const json_t *event, const json_t *rollout)
{
    const char *because = cli_text(event, "because"), *reason = cli_text(event, "reason");
    const char *actor = cli_text(event, "actor");
    long long members = cli_number(event, "members"), attempt = cli_number(event, "attempt");
    long long decision = cli_number(event, "dseq");

    add_stage(line, event, rollout);
    buffer_add_text(line, because);
    if (members)
        buffer_printf(line, " (%lld server%s)", members, members == 1 ? "" : "s");
    if (decision)
        buffer_printf(line, " (decision %lld)", decision);
    if (attempt > 1)
        buffer_printf(line, " (attempt %lld)", attempt);
    if (*actor && strcmp(actor, "lockstepd") != 0)
        buffer_printf(line, "%sby %s", line->size ? " " : "", actor);
    if (*reason)
        buffer_printf(line, ": %s", reason);
}

/* "resume refused, possible: retry,rollback ": what was asked for, and what came of it. */
static void add_command(struct buffer *line, const json_t *event, const char *outcome)
{
    const char *answer = cli_text(event, "answer");

    buffer_printf(line, "%s %s", cli_text(event, "action"), outcome);
    if (strcmp(outcome, "refused") == 0 && *answer)
        buffer_printf(line, ", possible: %s", answer);
    buffer_add_text(line, " ");
}

static void print_line(const struct output *o, long long at_ms, const char *what, const char *words)
{
    SCOPED_BUFFER struct buffer name = { 0 }, text = { 0 };
    enum tint tint = tint_of_state(what);
    char time[16];

    format_time(at_ms, time);
    buffer_add_text(&text, "");
    table_text_add(&name, what, 24, o->is_utf8);
    table_text_add(&text, words, SIZE_MAX, o->is_utf8);
    printf("%s%s%s  %s%-12s%s  %s\n", tint_on(TINT_DIM, o->is_colour), time,
           tint_off(TINT_DIM, o->is_colour), tint_on(tint, o->is_colour), name.data,
           tint_off(tint, o->is_colour), text.data);
}

/* Acknowledgements come in hundreds: the counts tell them. */
static void print_event(const struct output *o, const json_t *event, const json_t *rollout)
{
    const char *to = cli_text(event, "to"), *type = cli_text(event, "type");
    SCOPED_BUFFER struct buffer words = { 0 };

    if (strncmp(type, "rollout.", 8) == 0)
        type += 8;
    if (strcmp(type, "acks") == 0)
        return;
    buffer_add_text(&words, "");
    if (strncmp(type, "command.", 8) == 0) {
        add_command(&words, event, type + 8);
        type = cli_text(event, "action");
    }
    if (strcmp(type, "create") == 0) {
        type = "created";
        picture_changes(rollout, o->is_utf8, &words);
        buffer_add_text(&words, " ");
    }
    add_words(&words, event, rollout);
    print_line(o, cli_time_ms(cli_text(event, "at")), *to ? to : type, words.data);
}

static void print_counts(struct follow_lines *l, const json_t *rollout)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    struct bar bar;

    picture_counts(rollout, &bar);
    if (bar_legend(&bar, &text, false) == 0 || strcmp(text.data, l->counts) == 0)
        return;
    snprintf(l->counts, sizeof(l->counts), "%s", text.data);
    print_line(&l->cli->out, clock_wall_ms(), "servers", text.data);
}

void follow_print_lines(void *lines, const struct follow_look *look)
{
    struct follow_lines *l = lines;
    const struct output *o = &l->cli->out;
    size_t i;
    json_t *event;

    if (o->format == OUTPUT_JSON || o->format == OUTPUT_YAML || o->format == OUTPUT_NAME) {
        if (look->is_last)
            (void)cli_print_object(l->cli, look->rollout, "id");
        return;
    }
    if (look->trouble && !l->had_trouble)
        cli_note("%s; looking again until it answers", look->trouble);
    l->had_trouble = look->trouble != NULL;
    json_array_foreach(look->events, i, event)
        print_event(o, event, look->rollout);
    if (!look->trouble)
        print_counts(l, look->rollout);
    fflush(stdout);
}
