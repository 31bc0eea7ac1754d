/* strategy_format.c - writes a strategy as complete JSON; the strategies that are built in. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"
#include "common/invariant.h"
#include "common/scoped.h"
#include "coordinator/policy/strategy.h"

SCOPED_FREE(json_t, json_decref)

static const char *const names[] = { "all-at-once", "canary", "eventual", "percent", "urgent",
                                     NULL };

const char *const *strategy_built_in_names(void)
{
    return names;
}

const char *strategy_built_in(const char *name)
{
    static const char *const bodies[] = {
        "{\"stages\":[{\"name\":\"all\",\"percent\":100}]}",
        "{\"stages\":[{\"name\":\"canary\",\"count\":1,\"bake\":\"1m\"},"
        "{\"name\":\"quarter\",\"percent\":25,\"bake\":\"1m\"},"
        "{\"name\":\"all\",\"percent\":100}]}",
        "{\"mode\":\"eventual\",\"stages\":[{\"name\":\"all\",\"percent\":100}]}",
        "{\"stages\":[{\"percent\":5,\"bake\":\"1m\"},{\"percent\":25,\"bake\":\"1m\"},"
        "{\"percent\":50,\"bake\":\"1m\"},{\"percent\":100,\"bake\":\"1m\"}]}",
        "{\"stages\":[{\"name\":\"all\",\"percent\":100,\"ready_timeout\":\"5s\","
        "\"apply_timeout\":\"5s\",\"max_failed\":\"5%\"}],\"on_failure\":\"pause\"}",
    };

    for (size_t i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return bodies[i];
    return NULL;
}

/* Takes `value`. */
static void put(json_t *object, const char *field, json_t *value)
{
    MUST(value && json_object_set_new(object, field, value) == 0);
}

static void put_duration(json_t *object, const char *field, int64_t ms)
{
    char text[32];

    duration_format(ms, text);
    put(object, field, json_string(ms ? text : "0s"));
}

/* Whole percentages are written as whole numbers. */
static json_t *percent_value(uint32_t thousandths)
{
    if (thousandths % 1000 == 0)
        return json_integer(thousandths / 1000);
    return json_real(thousandths / 1000.0);
}

static json_t *budget_value(const struct budget *b)
{
    bool has_count = b->count != BUDGET_UNLIMITED, has_percent = b->percent != BUDGET_UNLIMITED;
    json_t *object;
    char text[32];

    if (b->of == BUDGET_OF_MEMBERS && has_count != has_percent) {
        if (has_count)
            snprintf(text, sizeof(text), "%u", b->count);
        else
            snprintf(text, sizeof(text), "%g%%", b->percent / 1000.0);
        return json_string(text);
    }
    object = json_object();
    MUST(object);
    if (has_count)
        put(object, "count", json_integer(b->count));
    if (has_percent)
        put(object, "percent", percent_value(b->percent));
    put(object, "of", json_string(b->of == BUDGET_OF_REACHABLE ? "reachable" : "members"));
    return object;
}

static void put_size(json_t *object, const struct stage_size *size, const struct stage_text *text)
{
    json_t *select;

    switch (size->kind) {
    case SIZE_PERCENT:
        put(object, "percent", percent_value(size->amount));
        return;
    case SIZE_COUNT:
        put(object, "count", json_integer(size->amount));
        return;
    case SIZE_SELECT:
        select = json_object();
        MUST(select);
        for (unsigned i = 0; i < text->selector_count; i++)
            put(select, text->selectors[i].name, json_string(text->selectors[i].value));
        put(object, "select", select);
        return;
    }
}

static json_t *stage_value(const struct stage_rule *rule, const struct stage_text *text)
{
    json_t *object = json_object();

    MUST(object);
    put(object, "name", json_string(text->name));
    put_size(object, &rule->size, text);
    put(object, "max_failed", budget_value(&rule->max_failed));
    put_duration(object, "ready_timeout", rule->ready_timeout_ms);
    put_duration(object, "apply_timeout", rule->apply_timeout_ms);
    put_duration(object, "bake", rule->bake_ms);
    put(object, "hold", json_boolean(rule->is_hold));
    put(object, "checks", json_array());
    return object;
}

static const char *unreachable_text(enum unreachable_policy policy)
{
    switch (policy) {
    case UNREACHABLE_SKIP:
        return "skip";
    case UNREACHABLE_WAIT:
        return "wait";
    case UNREACHABLE_FAIL:
        return "fail";
    }
    MUST(!"an unreachable policy");
    return "";
}

static char *format(const struct strategy_spec *spec, bool is_with_failure)
{
    SCOPED(json_decref) json_t *root = json_object();
    const struct strategy *s = &spec->core;
    json_t *stages = json_array();
    char *text;

    MUST(root && stages);
    for (unsigned i = 0; i < s->stage_count; i++)
        MUST(json_array_append_new(stages, stage_value(&s->stages[i], &spec->stages[i])) == 0);
    put(root, "mode", json_string(s->is_eventual ? "eventual" : "two-phase"));
    put(root, "stages", stages);
    put(root, "prepare", json_string("stage"));
    put(root, "unreachable", json_string(unreachable_text(s->unreachable)));
    put(root, "spread_by", json_string(spec->spread_by));
    if (is_with_failure)
        put(root, "on_failure",
            json_string(s->on_failure == ON_FAILURE_PAUSE ? "pause" : "rollback"));
    put(root, "rollback", json_string("at_once"));
    put(root, "on_isolation", json_string(s->isolation_ms ? "revert" : "keep"));
    if (s->isolation_ms)
        put_duration(root, "isolation_timeout", s->isolation_ms);
    text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(10));
    MUST(text);
    return text;
}

char *strategy_format(const struct strategy_spec *spec)
{
    return format(spec, true);
}

char *strategy_format_said(const struct strategy_spec *spec)
{
    return format(spec, spec->is_on_failure_said);
}
