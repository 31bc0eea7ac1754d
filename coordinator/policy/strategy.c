/* strategy.c - reads the JSON of a strategy, says everything that is wrong with it at once. */
#include "coordinator/policy/strategy.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/duration.h"
#include "common/invariant.h"
#include "common/name.h"
#include "common/scoped.h"

SCOPED_FREE(json_t, json_decref)

#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_SPREAD "zone"
#define DEFAULT_ISOLATION_MS 120000
#define ISOLATION_MIN_MS 5000
#define ISOLATION_MAX_MS (INT64_C(7) * 86400 * 1000)
#define WHOLE 100000u /* 100 % in thousandths of a percent */

struct reader {
    struct problems *problems;
    char at[64]; /* pointer of the object being read: "" or "/stages/2" */
};

/* One more problem with `field` of the object being read ("" the object itself). */
__attribute__((format(printf, 3, 4))) static void problem(struct reader *r, const char *field,
                                                          const char *fmt, ...)
{
    char pointer[128], detail[256];
    va_list ap;

    snprintf(pointer, sizeof(pointer), "%s%s%s", r->at, *field ? "/" : "", field);
    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    problems_add(r->problems, pointer, "%s", detail);
}

/* RFC 6901: a name inside a pointer writes ~ as ~0 and / as ~1. */
static void escape_pointer(const char *name, char *out, size_t size)
{
    size_t n = 0;

    for (; *name && n + 3 < size; name++) {
        if (*name == '~' || *name == '/') {
            out[n++] = '~';
            out[n++] = *name == '~' ? '0' : '1';
        } else {
            out[n++] = *name;
        }
    }
    out[n] = 0;
}

static const char *const stage_fields[] = { "name",          "percent",       "count",
                                            "select",        "max_failed",    "ready_timeout",
                                            "apply_timeout", "bake",          "hold",
                                            "checks",        NULL };
static const char *const fields_of_all[] = { "mode",           "stages",       "prepare",
                                             "unreachable",    "spread_by",    "on_failure",
                                             "rollback",       "activate_at",  "activate_delay",
                                             "on_isolation",   "isolation_timeout", NULL };

static bool is_among(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names;
}

/* A field on the wrong level is told where it belongs; of any other unknown one the list is
 * told. */
static void refuse_one(struct reader *r, const char *name, const char *const *known)
{
    SCOPED_BUFFER struct buffer list = { 0 };
    char escaped[64];

    escape_pointer(name, escaped, sizeof(escaped));
    if (known == fields_of_all && is_among(stage_fields, name)) {
        problem(r, escaped, "belongs to a stage: write it inside the objects of \"stages\"");
        return;
    }
    if (known == stage_fields && is_among(fields_of_all, name)) {
        problem(r, escaped, "belongs to the whole strategy: write it beside \"stages\"");
        return;
    }
    for (; *known; known++)
        buffer_printf(&list, "%s%s", list.size ? ", " : "", *known);
    problem(r, escaped, "is not a field that is known here: %s", list.data);
}

static void refuse_unknown(struct reader *r, const json_t *object, const char *const *known)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)object, name, value)
        if (!is_among(known, name))
            refuse_one(r, name, known);
}

/* The index of a text among `choices`; the first one when the field is absent. */
static unsigned read_choice(struct reader *r, const json_t *object, const char *field,
                            const char *const *choices)
{
    const json_t *value = json_object_get(object, field);
    char all[128] = "";

    if (!value)
        return 0;
    for (unsigned i = 0; choices[i]; i++) {
        size_t n = strlen(all);

        if (json_is_string(value) && strcmp(json_string_value(value), choices[i]) == 0)
            return i;
        snprintf(all + n, sizeof(all) - n, "%s\"%s\"", i ? " or " : "", choices[i]);
    }
    problem(r, field, "must be %s", all);
    return 0;
}

static int64_t read_duration(struct reader *r, const json_t *object, const char *field,
                             int64_t least_ms, int64_t otherwise)
{
    const json_t *value = json_object_get(object, field);
    int64_t ms = otherwise;
    struct err e;

    if (!value)
        return otherwise;
    if (!json_is_string(value))
        problem(r, field, "must be a duration in quotes, such as \"30s\"");
    else if (duration_parse(json_string_value(value), &ms, &e))
        problem(r, field, "%.200s", e.text);
    else if (ms < least_ms)
        problem(r, field, "must be at least %lldms", (long long)least_ms);
    return ms;
}

/* A number of percent as thousandths; false when it is none. */
static bool percent_of(const json_t *value, uint32_t *out)
{
    double thousandths = json_number_value(value) * 1000;

    if (!json_is_number(value) || !(thousandths >= 0) || thousandths > WHOLE ||
        fabs(thousandths - round(thousandths)) > 1e-6)
        return false;
    *out = (uint32_t)round(thousandths);
    return true;
}

static bool count_of(const json_t *value, uint32_t *out)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < 0 || n >= UINT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

/* ---------------------------------------------------------------- budgets */

/* "2" or "5%". */
static bool budget_of_text(const char *text, struct budget *out)
{
    size_t digits = strspn(text, "0123456789."), length = strlen(text);
    bool is_percent = length == digits + 1 && text[digits] == '%';
    char number[24];
    json_t *value;
    bool is_good = false;

    if (digits == 0 || digits >= sizeof(number) || (!is_percent && length != digits))
        return false;
    snprintf(number, sizeof(number), "%.*s", (int)digits, text);
    value = json_loads(number, JSON_DECODE_ANY, NULL);
    if (value)
        is_good = is_percent ? percent_of(value, &out->percent) : count_of(value, &out->count);
    json_decref(value);
    return is_good;
}

static void read_budget_object(struct reader *r, const json_t *value, struct budget *out)
{
    static const char *const known[] = { "count", "percent", "of", "per_domain", "by_class", NULL };
    static const char *const of[] = { "members", "reachable", NULL };
    const json_t *count = json_object_get(value, "count");
    const json_t *percent = json_object_get(value, "percent");
    char outer[sizeof(r->at)];

    memcpy(outer, r->at, sizeof(outer));
    snprintf(r->at, sizeof(r->at), "%.40s/max_failed", outer);
    refuse_unknown(r, value, known);
    if (json_object_get(value, "per_domain"))
        problem(r, "per_domain", "budgets per domain are not offered by this build yet");
    if (json_object_get(value, "by_class"))
        problem(r, "by_class", "budgets by class of failure are not offered by this build yet");
    if (count && !count_of(count, &out->count))
        problem(r, "count", "must be a whole number of servers, 0 or more");
    if (percent && !percent_of(percent, &out->percent))
        problem(r, "percent", "must be a number from 0 to 100 with at most three decimals");
    if (!count && !percent)
        problem(r, "", "needs a count, a percent, or both");
    out->of = read_choice(r, value, "of", of) ? BUDGET_OF_REACHABLE : BUDGET_OF_MEMBERS;
    memcpy(r->at, outer, sizeof(outer));
}

static void read_budget(struct reader *r, const json_t *stage, struct budget *out)
{
    const json_t *value = json_object_get(stage, "max_failed");

    *out = (struct budget){ .count = BUDGET_UNLIMITED, .percent = BUDGET_UNLIMITED };
    if (!value) {
        out->count = 0;
    } else if (json_is_object(value)) {
        read_budget_object(r, value, out);
    } else if (!count_of(value, &out->count) &&
               (!json_is_string(value) || !budget_of_text(json_string_value(value), out))) {
        problem(r, "max_failed", "must be a count such as \"2\", a share such as \"5%%\", or an "
                                 "object with count, percent, of");
    }
}

/* ---------------------------------------------------------------- stages */

static void read_select(struct reader *r, const json_t *value, struct stage_text *out)
{
    const char *name;
    json_t *text;

    if (!json_is_object(value) || json_object_size(value) == 0 ||
        json_object_size(value) > SELECTORS_MAX) {
        problem(r, "select", "must be an object of 1 to %d labels, such as {\"zone\":\"a\"}",
                SELECTORS_MAX);
        return;
    }
    json_object_foreach((json_t *)value, name, text)
    {
        unsigned i = out->selector_count;

        if (!json_is_string(text) || strlen(name) == 0 ||
            strlen(name) >= sizeof(out->selectors[0].name) ||
            json_string_length(text) >= sizeof(out->selectors[0].value)) {
            problem(r, "select", "a label has a name of 1 to 100 bytes and a text of at most 256");
            continue;
        }
        snprintf(out->selectors[i].name, sizeof(out->selectors[i].name), "%s", name);
        snprintf(out->selectors[i].value, sizeof(out->selectors[i].value), "%s",
                 json_string_value(text));
        out->selector_count++;
    }
}

static void read_size(struct reader *r, const json_t *stage, struct stage_size *out,
                      struct stage_text *text)
{
    const json_t *percent = json_object_get(stage, "percent");
    const json_t *count = json_object_get(stage, "count");
    const json_t *select = json_object_get(stage, "select");

    if (!!percent + !!count + !!select != 1) {
        problem(r, "", "needs exactly one of percent, count and select");
        return;
    }
    if (percent) {
        out->kind = SIZE_PERCENT;
        if (!percent_of(percent, &out->amount) || out->amount == 0)
            problem(r, "percent",
                    "must be a number above 0, at most 100, with at most three decimals");
    } else if (count) {
        out->kind = SIZE_COUNT;
        if (!count_of(count, &out->amount) || out->amount == 0)
            problem(r, "count", "must be a whole number of servers, 1 or more");
    } else {
        out->kind = SIZE_SELECT;
        read_select(r, select, text);
    }
}

static void read_stage_name(struct reader *r, const json_t *stage, unsigned index,
                            struct strategy_spec *out)
{
    const json_t *value = json_object_get(stage, "name");
    char *name = out->stages[index].name;
    struct err e;

    snprintf(name, sizeof(out->stages[index].name), "stage-%u", index + 1);
    if (value && !json_is_string(value))
        problem(r, "name", "must be a text");
    else if (value && name_check("the name of a stage", json_string_value(value), &e))
        problem(r, "name", "%.200s", e.text);
    else if (value)
        snprintf(name, sizeof(out->stages[index].name), "%s", json_string_value(value));
    for (unsigned i = 0; i < index; i++)
        if (strcmp(out->stages[i].name, name) == 0)
            problem(r, "name", "\"%.100s\" names stage %u already", name, i + 1);
}

static void read_stage(struct reader *r, const json_t *stage, unsigned index,
                       struct strategy_spec *out)
{
    struct stage_rule *rule = &out->core.stages[index];
    const json_t *hold = json_object_get(stage, "hold"), *checks = json_object_get(stage, "checks");

    if (!json_is_object(stage)) {
        problem(r, "", "must be an object");
        return;
    }
    refuse_unknown(r, stage, stage_fields);
    read_stage_name(r, stage, index, out);
    read_size(r, stage, &rule->size, &out->stages[index]);
    read_budget(r, stage, &rule->max_failed);
    rule->ready_timeout_ms = read_duration(r, stage, "ready_timeout", 100, DEFAULT_TIMEOUT_MS);
    rule->apply_timeout_ms = read_duration(r, stage, "apply_timeout", 100, DEFAULT_TIMEOUT_MS);
    rule->bake_ms = read_duration(r, stage, "bake", 0, 0);
    rule->is_hold = json_is_true(hold);
    if (hold && !json_is_boolean(hold))
        problem(r, "hold", "must be true or false");
    if (checks && !json_is_array(checks))
        problem(r, "checks", "must be a list");
    else if (json_array_size(checks) > 0)
        problem(r, "checks", "checks named by the strategy are not offered by this build yet; the "
                             "agents' own checks always count");
}

static bool is_everyone(const struct stage_size *size)
{
    return size->kind == SIZE_PERCENT && size->amount == WHOLE;
}

/* Sizes are cumulative: of one kind they may not fall, and only everyone follows everyone. */
static void check_sizes(struct reader *r, const struct strategy *s)
{
    uint32_t largest[] = { [SIZE_PERCENT] = 0, [SIZE_COUNT] = 0, [SIZE_SELECT] = 0 };
    static const char *const fields[] = { [SIZE_PERCENT] = "percent", [SIZE_COUNT] = "count",
                                          [SIZE_SELECT] = "select" };

    for (unsigned i = 0; i < s->stage_count; i++) {
        const struct stage_size *size = &s->stages[i].size;
        bool is_after_everyone = i > 0 && is_everyone(&s->stages[i - 1].size);

        snprintf(r->at, sizeof(r->at), "/stages/%u", i);
        if (size->amount < largest[size->kind] || (is_after_everyone && !is_everyone(size)))
            problem(r, fields[size->kind],
                    "falls: sizes are cumulative, a later stage contains the earlier ones");
        if (size->amount > largest[size->kind])
            largest[size->kind] = size->amount;
        if (i + 1 == s->stage_count && !is_everyone(size))
            problem(r, fields[size->kind], "the last stage must cover everyone: \"percent\": 100");
    }
    r->at[0] = 0;
}

static void read_stages(struct reader *r, const json_t *root, struct strategy_spec *out)
{
    const json_t *stages = json_object_get(root, "stages");
    json_t *whole = NULL;
    unsigned before = r->problems->count;

    if (stages && (!json_is_array(stages) || json_array_size(stages) == 0 ||
                   json_array_size(stages) > ROLLOUT_STAGES_MAX)) {
        problem(r, "stages", "must be a list of 1 to %d stages", ROLLOUT_STAGES_MAX);
        return;
    }
    if (!stages)
        stages = whole = json_pack("[{s:i}]", "percent", 100);
    MUST(stages);
    out->core.stage_count = (unsigned)json_array_size(stages);
    for (unsigned i = 0; i < out->core.stage_count; i++) {
        snprintf(r->at, sizeof(r->at), "/stages/%u", i);
        read_stage(r, json_array_get(stages, i), i, out);
    }
    json_decref(whole);
    r->at[0] = 0;
    if (r->problems->count == before) /* sizes that could not be read cannot be compared */
        check_sizes(r, &out->core);
}

/* ---------------------------------------------------------------- the whole */

static void read_spread(struct reader *r, const json_t *root, struct strategy_spec *out)
{
    const json_t *value = json_object_get(root, "spread_by");

    snprintf(out->spread_by, sizeof(out->spread_by), "%s", value ? "" : DEFAULT_SPREAD);
    if (!value || json_is_null(value))
        return;
    if (!json_is_string(value) || json_string_length(value) >= sizeof(out->spread_by))
        problem(r, "spread_by", "must be the name of a label of at most 100 bytes, or \"\"");
    else
        snprintf(out->spread_by, sizeof(out->spread_by), "%s", json_string_value(value));
}

/* A takeover is silence as well: shorter than that nobody should give up. */
static void read_isolation(struct reader *r, const json_t *root, struct strategy_spec *out)
{
    static const char *const choices[] = { "keep", "revert", NULL };
    int64_t ms = read_duration(r, root, "isolation_timeout", ISOLATION_MIN_MS,
                               DEFAULT_ISOLATION_MS);

    out->core.isolation_ms = 0;
    if (read_choice(r, root, "on_isolation", choices) == 0) {
        if (json_object_get(root, "isolation_timeout"))
            problem(r, "isolation_timeout", "belongs to \"on_isolation\": \"revert\"");
    } else if (ms > ISOLATION_MAX_MS) {
        problem(r, "isolation_timeout", "must be at most 7d");
    } else {
        out->core.isolation_ms = (uint32_t)ms;
    }
}

static void read_strategy(struct reader *r, const json_t *root, struct strategy_spec *out)
{
    static const char *const modes[] = { "two-phase", "eventual", NULL };
    static const char *const prepares[] = { "stage", "fleet", NULL };
    static const char *const unreachables[] = { "skip", "wait", "fail", NULL };
    static const char *const failures[] = { "rollback", "pause", NULL };
    static const char *const rollbacks[] = { "at_once", "staged", NULL };
    static const enum unreachable_policy policies[] = { UNREACHABLE_SKIP, UNREACHABLE_WAIT,
                                                        UNREACHABLE_FAIL };

    refuse_unknown(r, root, fields_of_all);
    out->core.is_eventual = read_choice(r, root, "mode", modes) == 1;
    read_stages(r, root, out);
    if (read_choice(r, root, "prepare", prepares) == 1)
        problem(r, "prepare", "preparing the whole fleet first is not offered by this build yet: "
                              "use \"stage\"");
    out->core.unreachable = policies[read_choice(r, root, "unreachable", unreachables)];
    read_spread(r, root, out);
    out->is_on_failure_said = json_object_get(root, "on_failure") != NULL;
    out->core.on_failure =
        read_choice(r, root, "on_failure", failures) ? ON_FAILURE_PAUSE : ON_FAILURE_ROLLBACK;
    read_isolation(r, root, out);
    if (read_choice(r, root, "rollback", rollbacks) == 1)
        problem(r, "rollback", "a staged rollback is not offered by this build yet: use "
                               "\"at_once\"");
    for (const char *const *field = (const char *const[]){ "activate_at", "activate_delay", NULL };
         *field; field++)
        if (json_object_get(root, *field))
            problem(r, *field, "activating at a given time is not offered by this build yet");
}

int strategy_parse(const char *json, struct strategy_spec *out, struct problems *problems,
                   struct err *e)
{
    struct problems own, *all = problems ? problems : &own;
    struct reader r = { .problems = all };
    json_error_t why;
    SCOPED(json_decref) json_t *root =
        json_loads(json, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);

    all->count = 0;
    memset(out, 0, sizeof(*out));
    if (!root)
        return err_set(e, ERR_MALFORMED, "strategy: line %d: %s", why.line, why.text);
    if (!json_is_object(root))
        problem(&r, "", "a strategy is an object");
    else
        read_strategy(&r, root, out);
    if (all->count == 0)
        return 0;
    return err_set(e, ERR_INVALID, "strategy%s %s", all->items[0].pointer, all->items[0].detail);
}
