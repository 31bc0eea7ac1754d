/* status_words.c - the agent's status, as GET /v1/status gives it, in words for people. Pure. */
#include "agent/commands/status_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define HUNG_MS 10000 /* the agent tells its state every second */
#define AGO_SIZE 32

struct words {
    struct buffer *out;
    struct buffer bad; /* what is not well, joined by "; " */
    int64_t now_ms;
};

/* ---- fields ---- */

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text ? text : "";
}

static int64_t number_of(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static bool is_true(const json_t *o, const char *name)
{
    return json_is_true(json_object_get(o, name));
}

static void format_span(int64_t ms, char out[AGO_SIZE])
{
    int64_t s = ms < 0 ? 0 : ms / 1000;

    if (s < 120)
        snprintf(out, AGO_SIZE, "%" PRId64 " s", s);
    else if (s < 7200)
        snprintf(out, AGO_SIZE, "%" PRId64 " min", s / 60);
    else if (s < 172800)
        snprintf(out, AGO_SIZE, "%" PRId64 " h", s / 3600);
    else
        snprintf(out, AGO_SIZE, "%" PRId64 " days", s / 86400);
}

/* How long ago that was; false: it is not said. */
static bool span_since(const struct words *w, const json_t *o, const char *name,
                       char out[AGO_SIZE])
{
    int64_t at_ms;

    if (clock_parse(text_of(o, name), &at_ms))
        return false;
    format_span(w->now_ms - at_ms, out);
    return true;
}

/* What commands print goes to a terminal: their lines stay, and nothing else that steers it. */
static void add_lines(struct buffer *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        bool is_c1 = (unsigned char)c[0] == 0xC2 && (unsigned char)c[1] >= 0x80 &&
                     (unsigned char)c[1] < 0xA0;

        if (*c == '\n')
            buffer_add_text(out, c[1] ? "\n        " : "");
        else
            buffer_add(out, ((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7F || is_c1
                       ? "?" : c, 1);
        c += is_c1;
    }
    buffer_add_text(out, "\n");
}

static void is_bad(struct words *w, const char *what, const char *of)
{
    buffer_printf(&w->bad, "%s%s%s", w->bad.size ? "; " : "", of, what);
}

/* ---- the agent ---- */

static void say_connection(struct words *w, const json_t *s)
{
    char ago[AGO_SIZE] = "", heard[AGO_SIZE] = "";
    bool is_heard = span_since(w, s, "heard_at", heard);

    if (strcmp(text_of(s, "connection"), "welcomed") == 0) {
        (void)span_since(w, s, "connected_at", ago);
        buffer_printf(w->out, "coordinator  %s, connected for %s, heard %s ago\n",
                      text_of(s, "coordinator"), ago, heard);
        return;
    }
    is_bad(w, "no coordinator is heard", "");
    if (is_heard)
        buffer_printf(w->out, "coordinator  none, the last word came %s ago; ", heard);
    else
        buffer_printf(w->out, "coordinator  none was heard since the start; ");
    buffer_printf(w->out, "what runs here stays. Tried now: %s\n", text_of(s, "coordinator"));
    if (*text_of(s, "trouble")) {
        buffer_printf(w->out, "        ");
        add_lines(w->out, text_of(s, "trouble"));
    }
}

static void say_agent(struct words *w, const json_t *s)
{
    char ago[AGO_SIZE] = "";
    int64_t at_ms;

    (void)span_since(w, s, "started_at", ago);
    buffer_printf(w->out, "agent        %s, version %s, running for %s\n", text_of(s, "name"),
                  text_of(s, "version"), ago);
    if (clock_parse(text_of(s, "at"), &at_ms) == 0 && w->now_ms - at_ms > HUNG_MS) {
        format_span(w->now_ms - at_ms, ago);
        buffer_printf(w->out, "        its main thread hangs: all of this is %s old\n", ago);
        is_bad(w, "the agent hangs", "");
    }
    say_connection(w, s);
    if (is_true(s, "settings_failed") && span_since(w, s, "settings_read_at", ago)) {
        buffer_printf(w->out, "settings     the file cannot be used (lockstep-agent check-settings "
                      "says why): those read %s ago are in force\n", ago);
        is_bad(w, "the settings file cannot be used", "");
    }
    if (number_of(s, "outbox"))
        buffer_printf(w->out, "outbox       answers on their way to a coordinator: %" PRId64 "\n",
                      number_of(s, "outbox"));
}

/* ---- its scopes ---- */

/* "  refused revision 15 at validate, 2 min ago: …" */
static void say_trouble(struct words *w, const json_t *scope, const char *what)
{
    char ago[AGO_SIZE];

    if (!*text_of(scope, "reason"))
        return;
    buffer_printf(w->out, "    %s", what);
    if (number_of(scope, "reason_revision"))
        buffer_printf(w->out, " revision %" PRId64, number_of(scope, "reason_revision"));
    if (*text_of(scope, "reason_step"))
        buffer_printf(w->out, " at %s", text_of(scope, "reason_step"));
    if (span_since(w, scope, "reason_at", ago))
        buffer_printf(w->out, ", %s ago: ", ago);
    else
        buffer_printf(w->out, ", before the agent started: ");
    add_lines(w->out, text_of(scope, "reason"));
}

static void say_state(struct words *w, const json_t *scope, const char *state)
{
    int64_t revision = number_of(scope, "revision");
    char ago[AGO_SIZE];

    if (strcmp(state, "none") == 0) {
        buffer_printf(w->out, "nothing was rolled out to this server yet\n");
        return;
    }
    buffer_printf(w->out, "%s, runs ", strcmp(state, "ok") == 0 ? "applied" : state);
    if (revision)
        buffer_printf(w->out, "revision %" PRId64, revision);
    else
        buffer_printf(w->out, "what was here before Lockstep");
    if (span_since(w, scope, "since", ago))
        buffer_printf(w->out, ", for %s", ago);
    else
        buffer_printf(w->out, ", since before the agent started");
    if (number_of(scope, "kept_revision") && number_of(scope, "kept_revision") != revision)
        buffer_printf(w->out, "; the way back leads to %" PRId64,
                      number_of(scope, "kept_revision"));
    buffer_printf(w->out, "\n");
}

static void say_check(struct words *w, const json_t *scope, const char *name)
{
    char took[32], every[32];

    if (is_true(scope, "check_failing")) {
        buffer_printf(w->out, "    the check fails: ");
        add_lines(w->out, text_of(scope, "check_detail"));
        is_bad(w, ": the check fails", name);
    } else if (number_of(scope, "check_took_ms") || number_of(scope, "check_every_ms")) {
        snprintf(took, sizeof(took), "%" PRId64 " ms", number_of(scope, "check_took_ms"));
        format_span(number_of(scope, "check_every_ms"), every);
        buffer_printf(w->out, "    the check passes, in %s, every %s\n", took, every);
    }
}

static void say_scope(struct words *w, const json_t *scope)
{
    const char *state = text_of(scope, "state");
    const json_t *consumers = json_object_get(scope, "consumers");
    char name[300];

    snprintf(name, sizeof(name), "%s/%s", text_of(scope, "service_name"),
             text_of(scope, "environment"));
    buffer_printf(w->out, "\n%s  ", name);
    say_state(w, scope, state);
    if (strcmp(state, "failed") == 0)
        is_bad(w, " failed", name);
    if (strcmp(state, "broken") == 0)
        is_bad(w, " is broken", name);
    say_trouble(w, scope, strcmp(state, "failed") == 0 || strcmp(state, "broken") == 0
                              ? "failed" : "did not take");
    if (number_of(scope, "promised_revision"))
        buffer_printf(w->out, "    ready to switch to revision %" PRId64 "\n",
                      number_of(scope, "promised_revision"));
    say_check(w, scope, name);
    if (is_true(scope, "drifted")) {
        buffer_printf(w->out, "    drifted: ");
        add_lines(w->out, text_of(scope, "drift_detail"));
        is_bad(w, " drifted", name);
    }
    if (number_of(consumers, "registered"))
        buffer_printf(w->out, "    programs that run it: %" PRId64 " of %" PRId64 "\n",
                      number_of(consumers, "confirmed"), number_of(consumers, "registered"));
}

bool status_words(const json_t *status, int64_t now_wall_ms, struct buffer *out)
{
    struct words w = { .out = out, .now_ms = now_wall_ms };
    const json_t *scopes = json_object_get(status, "scopes");
    bool is_well;
    size_t i;
    json_t *scope;

    say_agent(&w, status);
    json_array_foreach(scopes, i, scope) say_scope(&w, scope);
    is_well = w.bad.size == 0;
    if (is_well)
        buffer_printf(out, "\nAll is well.\n");
    else
        buffer_printf(out, "\nNot well: %s.\n", w.bad.data);
    buffer_fini(&w.bad);
    return is_well;
}
