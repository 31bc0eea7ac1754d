/* strategy.c - what a strategy may say, what it means by default, and how mistakes are named. */
#include "coordinator/policy/strategy.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

static struct strategy_spec spec;
static struct problems problems;
static struct err err;

static int parse(const char *json)
{
    return strategy_parse(json, &spec, &problems, &err);
}

/* Exactly one problem, at this pointer, whose sentence contains `words`. */
static void refused(const char *json, const char *pointer, const char *words)
{
    ck_assert_int_eq(parse(json), -1);
    ck_assert_int_eq(err.kind, ERR_INVALID);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_str_eq(problems.items[0].pointer, pointer);
    ck_assert_msg(strstr(problems.items[0].detail, words), "%s", problems.items[0].detail);
}

TEST(defaults_of_the_empty_strategy)
{
    const struct stage_rule *stage = &spec.core.stages[0];

    ck_assert_int_eq(parse("{}"), 0);
    ck_assert(!spec.core.is_eventual && !spec.core.is_fleet_prepared);
    ck_assert_int_eq(spec.core.unreachable, UNREACHABLE_SKIP);
    ck_assert_int_eq(spec.core.on_failure, ON_FAILURE_ROLLBACK);
    ck_assert_str_eq(spec.spread_by, "zone");
    ck_assert_uint_eq(spec.core.stage_count, 1);
    ck_assert_str_eq(spec.stages[0].name, "stage-1");
    ck_assert(stage->size.kind == SIZE_PERCENT && stage->size.amount == 100000);
    ck_assert_uint_eq(stage->max_failed.count, 0);
    ck_assert_int_eq(stage->ready_timeout_ms, 30000);
    ck_assert_int_eq(stage->apply_timeout_ms, 30000);
    ck_assert_int_eq(stage->bake_ms, 0);
    ck_assert(!stage->is_hold);
}

TEST(every_field_is_read)
{
    ck_assert_int_eq(
        parse("{\"mode\":\"eventual\",\"unreachable\":\"wait\",\"on_failure\":\"pause\","
              "\"spread_by\":\"rack\",\"prepare\":\"stage\",\"rollback\":\"at_once\",\"stages\":["
              "{\"name\":\"a\",\"select\":{\"zone\":\"a\",\"kind\":\"db\"},\"max_failed\":\"2\"},"
              "{\"count\":3,\"max_failed\":{\"count\":1,\"percent\":0.5,\"of\":\"reachable\"},"
              "\"ready_timeout\":\"500ms\",\"apply_timeout\":\"5m\",\"bake\":\"1h\",\"hold\":true},"
              "{\"percent\":12.5,\"max_failed\":\"5%\",\"checks\":[]},{\"percent\":100}]}"),
        0);
    ck_assert(spec.core.is_eventual);
    ck_assert_int_eq(spec.core.unreachable, UNREACHABLE_WAIT);
    ck_assert_int_eq(spec.core.on_failure, ON_FAILURE_PAUSE);
    ck_assert_str_eq(spec.spread_by, "rack");
    ck_assert_uint_eq(spec.core.stage_count, 4);
    ck_assert_uint_eq(spec.stages[0].selector_count, 2);
    ck_assert_uint_eq(spec.core.stages[0].max_failed.count, 2);
    ck_assert_uint_eq(spec.core.stages[0].max_failed.percent, BUDGET_UNLIMITED);
    ck_assert_uint_eq(spec.core.stages[1].size.amount, 3);
    ck_assert_uint_eq(spec.core.stages[1].max_failed.percent, 500);
    ck_assert_int_eq(spec.core.stages[1].max_failed.of, BUDGET_OF_REACHABLE);
    ck_assert_int_eq(spec.core.stages[1].bake_ms, 3600000);
    ck_assert(spec.core.stages[1].is_hold);
    ck_assert_uint_eq(spec.core.stages[2].size.amount, 12500);
    ck_assert_uint_eq(spec.core.stages[2].max_failed.percent, 5000);
    ck_assert_uint_eq(spec.core.stages[2].max_failed.count, BUDGET_UNLIMITED);
}

TEST(written_out_and_read_again_it_is_the_same)
{
    for (const char *const *name = strategy_built_in_names(); *name; name++) {
        char *first, *second;

        ck_assert_msg(parse(strategy_built_in(*name)) == 0, "%s: %s", *name, err.text);
        first = strategy_format(&spec);
        ck_assert_msg(parse(first) == 0, "%s: %s", *name, err.text);
        second = strategy_format(&spec);
        ck_assert_str_eq(first, second);
        free(first);
        free(second);
    }
    ck_assert_ptr_null(strategy_built_in("bogus"));
}

TEST(fractions_survive_writing)
{
    char *text;

    ck_assert_int_eq(parse("{\"stages\":[{\"percent\":33.333,\"max_failed\":\"0.125%\"},"
                           "{\"percent\":100}]}"),
                     0);
    text = strategy_format(&spec);
    ck_assert_int_eq(parse(text), 0);
    ck_assert_uint_eq(spec.core.stages[0].size.amount, 33333);
    ck_assert_uint_eq(spec.core.stages[0].max_failed.percent, 125);
    free(text);
}

TEST(urgent_is_what_the_manual_says)
{
    ck_assert_int_eq(parse(strategy_built_in("urgent")), 0);
    ck_assert_uint_eq(spec.core.stage_count, 1);
    ck_assert_int_eq(spec.core.stages[0].ready_timeout_ms, 5000);
    ck_assert_uint_eq(spec.core.stages[0].max_failed.percent, 5000);
    ck_assert_int_eq(spec.core.on_failure, ON_FAILURE_PAUSE);
}

static const struct {
    const char *json, *pointer, *words;
} mistakes[] = {
    { "[]", "", "object" },
    { "{\"mod\":1}", "/mod", "not a field" },
    { "{\"a/b~\":1}", "/a~1b~0", "not a field" },
    { "{\"mode\":\"both\"}", "/mode", "\"two-phase\" or \"eventual\"" },
    { "{\"stages\":[]}", "/stages", "1 to 32" },
    { "{\"stages\":{}}", "/stages", "list" },
    { "{\"stages\":[1]}", "/stages/0", "object" },
    { "{\"stages\":[{}]}", "/stages/0", "exactly one" },
    { "{\"stages\":[{\"percent\":1,\"count\":1}]}", "/stages/0", "exactly one" },
    { "{\"stages\":[{\"percent\":101}]}", "/stages/0/percent", "at most 100" },
    { "{\"stages\":[{\"percent\":0}]}", "/stages/0/percent", "above 0" },
    { "{\"stages\":[{\"percent\":\"100\"}]}", "/stages/0/percent", "number" },
    { "{\"stages\":[{\"percent\":0.0001},{\"percent\":100}]}", "/stages/0/percent", "decimals" },
    { "{\"stages\":[{\"count\":0},{\"percent\":100}]}", "/stages/0/count", "1 or more" },
    { "{\"stages\":[{\"count\":1.5},{\"percent\":100}]}", "/stages/0/count", "whole" },
    { "{\"stages\":[{\"percent\":50}]}", "/stages/0/percent", "last stage" },
    { "{\"stages\":[{\"count\":50}]}", "/stages/0/count", "last stage" },
    { "{\"stages\":[{\"percent\":50},{\"percent\":20},{\"percent\":100}]}", "/stages/1/percent", "falls" },
    { "{\"stages\":[{\"count\":5},{\"count\":2},{\"percent\":100}]}", "/stages/1/count", "falls" },
    { "{\"stages\":[{\"percent\":100},{\"count\":2},{\"percent\":100}]}", "/stages/1/count", "falls" },
    { "{\"stages\":[{\"select\":{}},{\"percent\":100}]}", "/stages/0/select", "1 to 8" },
    { "{\"stages\":[{\"select\":{\"zone\":1}},{\"percent\":100}]}", "/stages/0/select", "label" },
    { "{\"stages\":[{\"percent\":100,\"bake\":5}]}", "/stages/0/bake", "duration" },
    { "{\"stages\":[{\"percent\":100,\"ready_timeout\":\"0s\"}]}", "/stages/0/ready_timeout", "at least" },
    { "{\"stages\":[{\"percent\":100,\"hold\":1}]}", "/stages/0/hold", "true or false" },
    { "{\"stages\":[{\"percent\":100,\"name\":\"A b\"}]}", "/stages/0/name", "" },
    { "{\"stages\":[{\"percent\":5,\"name\":\"a\"},{\"percent\":100,\"name\":\"a\"}]}", "/stages/1/name", "already" },
    { "{\"stages\":[{\"percent\":100,\"max_failed\":\"x\"}]}", "/stages/0/max_failed", "count" },
    { "{\"stages\":[{\"percent\":100,\"max_failed\":\"101%\"}]}", "/stages/0/max_failed", "count" },
    { "{\"stages\":[{\"percent\":100,\"max_failed\":{}}]}", "/stages/0/max_failed", "needs" },
    { "{\"stages\":[{\"percent\":100,\"max_failed\":{\"count\":1,\"of\":\"x\"}}]}", "/stages/0/max_failed/of", "members" },
    { "{\"stages\":[{\"percent\":100,\"max_failed\":{\"count\":1,\"per_domain\":1}}]}", "/stages/0/max_failed/per_domain", "not offered" },
    { "{\"stages\":[{\"percent\":100,\"max_failed\":{\"count\":1,\"by_class\":{}}}]}", "/stages/0/max_failed/by_class", "not offered" },
    { "{\"stages\":[{\"percent\":100,\"checks\":[{}]}]}", "/stages/0/checks", "not offered" },
    { "{\"prepare\":\"fleet\"}", "/prepare", "not offered" },
    { "{\"rollback\":\"staged\"}", "/rollback", "not offered" },
    { "{\"activate_at\":\"2030-01-01T00:00:00Z\"}", "/activate_at", "not offered" },
    { "{\"activate_delay\":\"5s\"}", "/activate_delay", "not offered" },
    { "{\"spread_by\":7}", "/spread_by", "label" },
    { "{\"unreachable\":\"ignore\"}", "/unreachable", "\"skip\"" },
    { "{\"on_isolation\":\"sometimes\"}", "/on_isolation", "\"keep\"" },
    { "{\"isolation_timeout\":\"1m\"}", "/isolation_timeout", "on_isolation" },
    { "{\"on_isolation\":\"revert\",\"isolation_timeout\":\"1s\"}", "/isolation_timeout", "at least" },
    { "{\"on_isolation\":\"revert\",\"isolation_timeout\":\"8d\"}", "/isolation_timeout", "7d" },
    { "{\"on_failure\":null}", "/on_failure", "\"rollback\"" },
};

TEST_EACH(each_mistake_is_named_where_it_is, mistakes)
{
    refused(mistakes[_i].json, mistakes[_i].pointer, mistakes[_i].words);
}

TEST(all_problems_are_said_at_once)
{
    ck_assert_int_eq(parse("{\"mode\":1,\"x\":1,\"stages\":[{\"percent\":200},{\"bake\":1}]}"), -1);
    ck_assert_uint_eq(problems.count, 5);
}

TEST(more_problems_than_there_is_room_for)
{
    char text[2048] = "{";

    for (int i = 0; i < 40; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\"x%d\":1", i ? "," : "", i);
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "}");
    ck_assert_int_eq(parse(text), -1);
    ck_assert_uint_eq(problems.count, PROBLEMS_MAX);
}

TEST(no_json_is_malformed_with_its_line)
{
    ck_assert_int_eq(parse("{\n\"stages\": [,]}"), -1);
    ck_assert_int_eq(err.kind, ERR_MALFORMED);
    ck_assert_ptr_nonnull(strstr(err.text, "line 2"));
    ck_assert_int_eq(parse("{\"mode\":\"eventual\",\"mode\":\"eventual\"}"), -1);
    ck_assert_int_eq(err.kind, ERR_MALFORMED);
}
