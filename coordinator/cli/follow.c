/* follow.c - the loop behind --wait, status and watch, and the lines of the first two. */
#include "coordinator/cli/follow.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/picture.h"
#include "coordinator/cli/table.h"

#define LOOK_MS 200       /* while things happen */
#define LOOK_CALM_MS 1000 /* when nothing changed for a while */
#define CALM_AFTER 25     /* looks without news */
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
        json_array_foreach(json_object_get(reply.body, "events"), i, event)
        {
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

static int fetch_rollout(struct follow_state *s, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };

    buffer_printf(&path, "/api/v1/rollouts/%s", s->f->id);
    if (cli_call(s->f->cli, "GET", path.data, NULL, &reply, e) != 0)
        return -1;
    if (s->rollout && json_equal(s->rollout, reply.body))
        s->quiet++;
    else
        s->quiet = 0;
    json_decref(s->rollout);
    s->rollout = json_incref(reply.body);
    return 0;
}

static bool needs_person(const json_t *rollout)
{
    const char *state = picture_state(rollout);

    return strcmp(state, "paused") == 0 || strcmp(state, "awaiting_approval") == 0;
}

static int exit_of(const struct follow *f, const json_t *rollout)
{
    const char *state = cli_text(rollout, "state");

    if (strcmp(state, "completed") == 0)
        return CLI_DONE;
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
    look.is_last = got == 0 && (picture_is_final(s->rollout) ||
                                (f->ends_for_person && needs_person(s->rollout)));
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

static void say_why_ended(const struct follow *f, int rc)
{
    if (rc == CLI_INTERRUPTED)
        cli_note("stopped looking; the rollout goes on: lockstep rollout watch %s", f->id);
    else if (rc == CLI_TIMED_OUT)
        cli_note("the time is over, the rollout goes on: lockstep rollout watch %s", f->id);
    else if (rc == CLI_NEEDS_PERSON)
        cli_note("the rollout waits for a person (resume, promote or rollback): lockstep rollout "
                 "get %s",
                 f->id);
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
    json_decref(s.rollout);
    if (f->cli->client)
        client_stop_on(f->cli->client, NULL);
    say_why_ended(f, rc);
    return rc;
}

/* ---------------------------------------------------------------- lines */

/* Members that are said in another way, or that nobody reads on a line. */
static bool is_silent_member(const char *name)
{
    static const char *const silent[] = { "id",   "type", "at",    "rollout", "because",
                                          "from", "to",   "actor", "stage",   "epoch" };

    for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
        if (strcmp(silent[i], name) == 0)
            return true;
    return false;
}

static void add_members(struct buffer *line, const json_t *event)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)event, name, value)
    {
        char *text =
            json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

        if (!is_silent_member(name))
            buffer_printf(line, "  %s=%s", name, text ? text : json_string_value(value));
        free(text);
    }
}

static void print_event(const struct output *o, const json_t *event)
{
    const char *to = cli_text(event, "to"), *because = cli_text(event, "because");
    const char *type = cli_text(event, "type"), *at = cli_text(event, "at");
    json_t *stage = json_object_get(event, "stage");
    SCOPED_BUFFER struct buffer line = { 0 }, safe = { 0 };

    if (strncmp(type, "rollout.", 8) == 0)
        type += 8;
    buffer_printf(&line, "%.8s  %-12s", strlen(at) > 19 ? at + 11 : at, *to ? to : type);
    if (json_is_integer(stage))
        buffer_printf(&line, "  stage %lld", json_integer_value(stage) + 1);
    if (*because)
        buffer_printf(&line, "  %s", because);
    add_members(&line, event);
    table_text_add(&safe, line.data, SIZE_MAX, o->is_utf8);
    printf("%s%s%s\n", tint_on(tint_of_state(*to ? to : type), o->is_colour), safe.data,
           tint_off(tint_of_state(*to ? to : type), o->is_colour));
}

static void print_counts(struct follow_lines *l, const json_t *rollout)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    const struct output *o = &l->cli->out;
    char now[CLOCK_TEXT_SIZE];
    struct bar bar;

    picture_counts(json_object_get(rollout, "counts"), &bar);
    if (bar_legend(&bar, &text, o->is_colour) == 0 || strcmp(text.data, l->counts) == 0)
        return;
    snprintf(l->counts, sizeof(l->counts), "%s", text.data);
    clock_format(clock_wall_ms(), now);
    printf("%.8s  %-12s  %s\n", now + 11, "servers", text.data);
}

static void print_end(const struct output *o, const json_t *rollout)
{
    const char *state = picture_state(rollout), *reason = cli_text(rollout, "reason");
    SCOPED_BUFFER struct buffer changes = { 0 };

    picture_changes(rollout, o->is_utf8, &changes);
    printf("%srollout %s %s%s: %s%s%s\n", tint_on(tint_of_state(state), o->is_colour),
           cli_text(rollout, "id"), state, tint_off(tint_of_state(state), o->is_colour),
           changes.data, *reason ? ": " : "", reason);
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
    json_array_foreach(look->events, i, event) print_event(o, event);
    if (look->trouble)
        return;
    print_counts(l, look->rollout);
    if (look->is_last)
        print_end(o, look->rollout);
    fflush(stdout);
}
