/* cli_picture.c - tables, bars and the picture of a rollout are as wide as they should be. */
#include "coordinator/cli/bar.h"
#include "coordinator/cli/output.h"
#include "coordinator/cli/picture.h"
#include "coordinator/cli/table.h"
#include "tests/test.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static size_t share(struct bar b, size_t cells, enum bar_state state)
{
    size_t shares[BAR_STATE_COUNT], sum = 0;

    bar_share(&b, cells, shares);
    for (size_t i = 0; i < BAR_STATE_COUNT; i++)
        sum += shares[i];
    ck_assert_uint_eq(sum, cells);
    return shares[state];
}

TEST(a_bar_shows_everybody_who_is_there)
{
    ck_assert_uint_eq(share((struct bar){ { 9999, 0, 0, 0, 1, 0 } }, 20, BAR_FAILED), 1);
    ck_assert_uint_eq(share((struct bar){ { 9999, 0, 0, 0, 1, 0 } }, 20, BAR_APPLIED), 19);
    ck_assert_uint_eq(share((struct bar){ { 1, 1, 1, 0, 1, 1000000 } }, 5, BAR_PENDING), 1);
    ck_assert_uint_eq(share((struct bar){ { 1, 1, 1, 0, 1, 1 } }, 3, BAR_APPLIED), 1);
    ck_assert_uint_eq(share((struct bar){ { 5, 0, 0, 0, 0, 5 } }, 11, BAR_FAILED), 0);
    ck_assert_uint_eq(share((struct bar){ { 1, 0, 0, 0, 0, 2 } }, 30, BAR_APPLIED), 10);
    ck_assert_uint_eq(share((struct bar){ { 0 } }, 30, BAR_PENDING), 30);
    ck_assert_uint_eq(share((struct bar){ { 3, 2, 0, 0, 0, 0 } }, 0, BAR_APPLIED), 0);
}

/* Every mixture of small counts, at every width: the sum is exact and the present are seen. */
TEST(shares_always_add_up)
{
    for (size_t n = 0; n < 3125; n++) {
        struct bar b = { { n % 5, n / 5 % 5, n / 25 % 5, n % 3, n / 125 % 5 * 1000, n / 625 } };

        for (size_t cells = 0; cells < 24; cells++) {
            size_t present = 0, shares[BAR_STATE_COUNT], sum = 0;

            bar_share(&b, cells, shares);
            for (size_t i = 0; i < BAR_STATE_COUNT; i++) {
                present += b.counts[i] > 0;
                sum += shares[i];
            }
            ck_assert_uint_eq(sum, cells);
            for (size_t i = 0; cells >= present && i < BAR_STATE_COUNT; i++)
                ck_assert(b.counts[i] == 0 || shares[i] > 0);
        }
    }
}

TEST(a_bar_is_as_wide_as_asked)
{
    struct bar b = { { 3, 2, 1, 0, 1, 9 } };
    SCOPED_BUFFER struct buffer plain = { 0 }, fine = { 0 }, legend = { 0 };

    bar_draw(&b, &plain, 16, false, false);
    ck_assert_str_eq(plain.data, "###==<x.........");
    bar_draw(&b, &fine, 16, false, true);
    ck_assert_uint_eq(table_text_width(fine.data), 16);
    ck_assert_uint_eq(bar_legend(&b, &legend, false), strlen(legend.data));
    ck_assert_str_eq(legend.data, "3 applied, 2 ready, 1 rolled back, 1 failed, 9 pending");
}

TEST(failing_checks_are_no_good_news)
{
    json_t *stage = json_pack("{s:{s:i,s:i},s:i}", "counts", "applied", 3, "pending", 1,
                              "check_failing", 2);
    SCOPED_BUFFER struct buffer bar = { 0 }, legend = { 0 };
    struct bar b;

    picture_counts(stage, &b);
    bar_draw(&b, &bar, 4, false, false);
    ck_assert_str_eq(bar.data, "#!!.");
    bar_legend(&b, &legend, false);
    ck_assert_str_eq(legend.data, "1 applied, 2 check failing, 1 pending");
    json_decref(stage);
}

TEST(text_is_measured_in_cells)
{
    ck_assert_uint_eq(table_text_width("abc"), 3);
    ck_assert_uint_eq(table_text_width("é→…"), 3);
    ck_assert_uint_eq(table_text_width("e\xCC\x81"), 1);
    ck_assert_uint_eq(table_text_width("日本"), 4);
    ck_assert_uint_eq(table_text_width("\xFF\xC3"), 2);
    ck_assert_uint_eq(table_text_fit("日本", 3), 3);
    ck_assert_uint_eq(table_text_fit("abc", 10), 3);
}

static const struct {
    const char *text, *wanted;
    size_t cells;
    bool is_utf8;
} cuts[] = {
    { "hello", "hello", 5, true },
    { "hello!", "hell…", 5, true },
    { "hello!", "he...", 5, false },
    { "hello", "hel", 3, false },
    { "a\nb\tc", "a b c", 9, true },
    { "\x1b[31mred\x07", "?[31mred?", 20, true },
    { "\xC2\x9B"
      "2J",
      "?2J", 9, true },
    { "", "", 4, true },
};

TEST_EACH(foreign_text_is_tamed_and_cut, cuts)
{
    SCOPED_BUFFER struct buffer out = { 0 };

    buffer_add_text(&out, "");
    table_text_add(&out, cuts[_i].text, cuts[_i].cells, cuts[_i].is_utf8);
    ck_assert_str_eq(out.data, cuts[_i].wanted);
}

TEST(columns_are_aligned)
{
    static const char *const headings[] = { "NAME", ">COUNT", "WHY", NULL };
    SCOPED_BUFFER struct buffer out = { 0 };
    struct table *t = table_new(headings);

    table_cell(t, TINT_PLAIN, "é");
    table_cellf(t, TINT_PLAIN, "%d", 7);
    table_cell(t, TINT_BAD, "because");
    table_cell(t, TINT_PLAIN, "longer");
    table_cellf(t, TINT_PLAIN, "%d", 12345678);
    table_cell(t, TINT_PLAIN, "");
    table_draw(t, &out, 0, false, true);
    ck_assert_str_eq(out.data, "NAME       COUNT  WHY\n"
                               "é              7  because\n"
                               "longer  12345678\n");
    ck_assert_uint_eq(table_rows(t), 2);
    table_free(t);
}

/* ---------------------------------------------------------------- the picture */

static json_t *rollout_of(const char *state)
{
    json_error_t je;
    json_t *r = json_loads(
        "{\"id\":\"7f3a2c\",\"kind\":\"change\",\"phase\":\"activating\",\"stage\":1,"
        "\"paused\":false,\"reason\":\"every member is ready\",\"strategy_name\":\"canary\","
        "\"note\":\"a note\",\"created_at\":\"2026-11-21T00:00:00.000Z\","
        "\"started_at\":\"2026-11-21T00:00:01.500Z\",\"unreachable\":2,"
        "\"changes\":[{\"service\":\"payments\",\"environment\":\"prod\",\"from_revision\":41,"
        "\"to_revision\":42}],\"stages\":["
        "{\"name\":\"canary\",\"servers\":1,\"state\":\"applied\",\"counts\":{\"applied\":1}},"
        "{\"name\":\"a-very-long-name-of-a-stage-indeed\",\"servers\":4,\"state\":\"activating\","
        "\"counts\":{\"applied\":2,\"failed\":1,\"ready\":1}},"
        "{\"name\":\"rest\",\"servers\":null,\"state\":\"pending\",\"counts\":{\"pending\":15}}],"
        "\"latency_ms\":{\"ready\":{\"p50\":3,\"p99\":12,\"max\":1234},\"applied\":null}}",
        0, &je);

    ck_assert_msg(r, "%s", je.text);
    json_object_set_new(r, "state", json_string(state));
    return r;
}

TEST(a_bake_tells_how_long_and_how_much_may_fail)
{
    json_t *rollout = rollout_of("running");
    struct picture_style style = { .width = 100, .is_utf8 = true };
    SCOPED_BUFFER struct buffer out = { 0 };

    json_object_set_new(rollout, "phase", json_string("baking"));
    json_object_set_new(rollout, "phase_ms", json_integer(42000));
    json_object_set_new(rollout, "strategy",
                        json_pack("{s:[{},{s:s,s:s}]}", "stages", "bake", "1m", "max_failed",
                                  "25%"));
    picture_draw(rollout, NULL, &style, &out);
    ck_assert_msg(strstr(out.data, "bakes 0:42 of 1:00, 1 failed (25% allowed)"), "%s", out.data);
    json_decref(rollout);
}

static const size_t widths[] = { 20, 40, 60, 80, 100, 200 };

TEST_EACH(no_line_of_the_picture_is_too_wide, widths)
{
    json_t *rollout = rollout_of("running");
    json_t *failures =
        json_pack("[{s:s, s:s, s:s}]", "server", "server-7", "state", "failed", "reason",
                  "check: exit status 1:\nsomething\x1b[2J long, long, "
                  "long, long, long, long, long, long, long");

    for (int utf8 = 0; utf8 < 2; utf8++) {
        struct picture_style style = { .width = widths[_i], .is_utf8 = utf8 };
        SCOPED_BUFFER struct buffer out = { 0 };

        picture_draw(rollout, failures, &style, &out);
        for (char *at = out.data, *end; (end = strchr(at, '\n')); at = end + 1) {
            *end = 0;
            ck_assert_msg(widths[_i] < 50 || table_text_width(at) <= widths[_i], "%zu: %s",
                          widths[_i], at);
            ck_assert_ptr_null(strchr(at, '\x1b'));
        }
    }
    json_decref(rollout);
    json_decref(failures);
}

TEST(the_picture_says_what_matters)
{
    json_t *rollout = rollout_of("running");
    struct picture_style style = { .width = 100, .now_ms = 1795219262500 };
    SCOPED_BUFFER struct buffer out = { 0 };
    static const char *const wanted[] = {
        "payments/prod 41 -> 42",
        "strategy canary",
        "rollout 7f3a2c",
        "activating, stage 2 of 3",
        "2 unreachable",
        "a note",
        "2 applied, 1 ready, 1 failed",
        "half within 3.0 ms, 99 % within 12 ms, last 1.2 s",
    };

    picture_draw(rollout, NULL, &style, &out);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        ck_assert_msg(strstr(out.data, wanted[i]), "no \"%s\" in:\n%s", wanted[i], out.data);
    ck_assert_ptr_null(strstr(out.data, "applied  half"));
    json_decref(rollout);
}

TEST(ids_are_never_cut)
{
    static const char *const headings[] = { "SCOPE", "!OPEN ROLLOUT", NULL };
    struct table *t = table_new(headings);
    json_t *rollout = rollout_of("running");
    struct picture_style style = { .width = 20 };
    SCOPED_BUFFER struct buffer picture = { 0 }, out = { 0 };

    table_cell(t, TINT_PLAIN, "payments/production");
    table_cell(t, TINT_PLAIN, "dr5tcke0mm7f3a2c");
    table_draw(t, &out, 24, false, true);
    ck_assert_ptr_nonnull(strstr(out.data, "  dr5tcke0mm7f3a2c\n"));
    table_free(t);
    picture_draw(rollout, NULL, &style, &picture);
    ck_assert_ptr_nonnull(strstr(picture.data, "rollout 7f3a2c\n"));
    json_decref(rollout);
}

TEST(a_low_terminal_shows_fewer_failures)
{
    json_t *rollout = rollout_of("rolling_back"), *failures = json_array();
    struct picture_style style = { .width = 100, .height = 14 };
    SCOPED_BUFFER struct buffer out = { 0 };
    size_t lines = 0;

    for (int i = 0; i < 30; i++)
        json_array_append_new(failures, json_pack("{s:s, s:s, s:s}", "server", "s", "state",
                                                  "failed", "reason", "no"));
    picture_draw(rollout, failures, &style, &out);
    for (size_t i = 0; i < out.size; i++)
        lines += out.data[i] == '\n';
    ck_assert_uint_le(lines, 14);
    ck_assert_ptr_nonnull(strstr(out.data, "more: lockstep rollout servers"));
    json_decref(rollout);
    json_decref(failures);
}

TEST(states_of_a_rollout)
{
    json_t *r = rollout_of("running");

    ck_assert_str_eq(picture_state(r), "activating");
    ck_assert(!picture_is_final(r));
    json_object_set_new(r, "paused", json_true());
    ck_assert_str_eq(picture_state(r), "paused");
    json_object_set_new(r, "state", json_string("rolled_back"));
    ck_assert_str_eq(picture_state(r), "rolled_back");
    ck_assert(picture_is_final(r));
    json_decref(r);
}

TEST(times_are_short)
{
    char out[32];

    picture_elapsed(42500, out);
    ck_assert_str_eq(out, "0:42");
    picture_elapsed(3723000, out);
    ck_assert_str_eq(out, "1:02:03");
    picture_elapsed(-5, out);
    ck_assert_str_eq(out, "0:00");
    picture_latency(0.4, out);
    ck_assert_str_eq(out, "0.4 ms");
    picture_latency(2500, out);
    ck_assert_str_eq(out, "2.5 s");
}

TEST(yaml_keeps_types_apart)
{
    json_t *value =
        json_pack("{s:s, s:i, s:b, s:n, s:[s,s], s:s, s:{}}", "text", "true", "number", 3, "flag",
                  1, "nothing", "list", "0644", "plain words", "lines", "a\nb\n", "empty");
    SCOPED_BUFFER struct buffer out = { 0 };

    output_yaml(&out, value);
    ck_assert_str_eq(out.data, "text: \"true\"\nnumber: 3\nflag: true\nnothing: null\nlist:\n"
                               "- \"0644\"\n- plain words\nlines: |\n  a\n  b\nempty: {}\n");
    json_decref(value);
}

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))
