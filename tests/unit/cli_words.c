/* cli_words.c - what is written on the command line is understood, or refused with a reason. */
#include "coordinator/cli/command.h"
#include "coordinator/cli/help.h"
#include "coordinator/cli/nouns.h"
#include "coordinator/cli/ref.h"
#include "tests/test.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct command_line line;
static struct err e;

/* Words separated by single blanks. */
static int parse(const char *text)
{
    static char words[1000];
    static char *argv[40];
    int argc = 0;

    snprintf(words, sizeof(words), "%s", text);
    for (char *p = words; p && argc < 39;) {
        argv[argc++] = p;
        p = strchr(p, ' ');
        if (p)
            *p++ = 0;
    }
    argv[argc] = NULL;
    memset(&e, 0, sizeof(e));
    return command_parse(commands, command_count, argc, argv, &line, &e);
}

TEST(moments)
{
    char text[CLOCK_TEXT_SIZE];

    ck_assert_int_eq(ref_moment_parse("until", "2026-12-27T06:00:00Z", text, &e), 0);
    ck_assert_str_eq(text, "2026-12-27T06:00:00.000Z");
    ck_assert_int_eq(ref_moment_parse("until", "1h", text, &e), 0);
    ck_assert_int_eq(ref_moment_parse("until", "soon", text, &e), -1);
    ck_assert_str_eq(e.text, "--until: \"soon\" is neither a duration (30s, 5m, 1h30m, 2d) nor a "
                             "time (2026-12-27T06:00:00Z)");
}

static void must_parse(const char *text, const char *noun, const char *verb)
{
    ck_assert_msg(parse(text) == 0, "%s: %s", text, e.text);
    ck_assert_ptr_nonnull(line.command);
    ck_assert_str_eq(line.command->noun, noun);
    if (verb)
        ck_assert_str_eq(line.command->verb, verb);
}

TEST(options_stand_anywhere_behind_the_words)
{
    must_parse("lockstep rollout start a/prod --wait b/prod -s canary", "rollout", "start");
    ck_assert_int_eq(line.arg_count, 2);
    ck_assert_str_eq(line.args[1], "b/prod");
    ck_assert(command_flag(&line, "wait"));
    ck_assert_str_eq(command_option(&line, "strategy"), "canary");
    must_parse("lockstep --addr http://x -o json rollout list", "rollout", "list");
    ck_assert_str_eq(command_option(&line, "addr"), "http://x");
    ck_assert_str_eq(command_option(&line, "output"), "json");
    must_parse("lockstep --addr=http://x version", "version", NULL);
}

TEST(repeated_options_are_all_there_and_the_last_counts)
{
    const char *values[4];

    must_parse("lockstep dev --scope a/prod --scope b/prod --agents 3 --agents 5", "dev", NULL);
    ck_assert_uint_eq(command_option_all(&line, "scope", values, 4), 2);
    ck_assert_str_eq(values[1], "b/prod");
    ck_assert_str_eq(command_option(&line, "agents"), "5");
    ck_assert_ptr_null(command_option(&line, "http"));
}

TEST(two_dashes_end_the_options)
{
    must_parse("lockstep config set a/prod offset -- -5", "config", "set");
    ck_assert_int_eq(line.arg_count, 3);
    ck_assert_str_eq(line.args[2], "-5");
    ck_assert_int_eq(parse("lockstep config set a/prod offset -5"), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "behind --"));
}

static const char *const wrong[] = {
    "lockstep rollout start",
    "lockstep rollout list extra",
    "lockstep frobnicate",
    "lockstep rollout list --nope",
    "lockstep rollout start a --strategy",
    "lockstep config get a/b c d e",
    "lockstep --to x rollout list",
    "lockstep rollout list --to x",
    "lockstep rollout list --to=x",
    "lockstep rollout start a/prod --strateg canary",
    "lockstep rollout start a/prod --wai",
};

TEST_EACH(what_makes_no_sense_is_refused, wrong)
{
    ck_assert_int_eq(parse(wrong[_i]), -1);
    ck_assert_uint_gt(strlen(e.text), 0);
}

static const struct {
    const char *typed, *said;
} slips[] = {
    { "lockstep rolout start a/prod", "unknown command \"rolout\".\nDid you mean rollout?" },
    { "lockstep rollout strat a/prod --wait",
      "there is no command \"rollout strat\".\nDid you mean rollout start?" },
    { "lockstep list server", "unknown command \"list server\".\nDid you mean server list?" },
    { "lockstep freeze create x --until 5",
      "there is no command \"freeze create\": freeze has set, list, delete" },
    { "lockstep frobnicate", "unknown command \"frobnicate\"" },
    { "lockstep rollout start a/prod --wiat", "unknown option --wiat; did you mean --wait?" },
    { "lockstep rollout start a/prod --wait=no", "option --wait takes no value" },
    { "lockstep rollout list --frob=1",
      "unknown option --frob; a value that begins with '-' goes behind --" },
};

TEST_EACH(what_was_meant_is_offered, slips)
{
    ck_assert_int_eq(parse(slips[_i].typed), -1);
    ck_assert_str_eq(e.text, slips[_i].said);
}

TEST(a_bare_noun_is_no_error)
{
    ck_assert_int_eq(parse("lockstep rollout"), 0);
    ck_assert_ptr_null(line.command);
    ck_assert_str_eq(line.args[0], "rollout");
    ck_assert_int_eq(parse("lockstep"), 0);
    ck_assert_int_eq(line.arg_count, 0);
}

TEST(every_command_is_whole)
{
    for (size_t i = 0; i < command_count; i++) {
        SCOPED_BUFFER struct buffer text = { 0 };

        ck_assert_ptr_eq(command_find(commands, command_count, commands[i].noun, commands[i].verb),
                         &commands[i]);
        ck_assert_ptr_nonnull(commands[i].run);
        ck_assert(commands[i].args_max == -1 || commands[i].args_max >= commands[i].args_min);
        ck_assert(commands[i].summary[strlen(commands[i].summary) - 1] != '.');
        help_command(&text, &commands[i], false);
        ck_assert_ptr_nonnull(strstr(text.data, commands[i].summary));
    }
}

TEST(scopes_and_revisions)
{
    struct ref_scope s;

    ck_assert_int_eq(ref_scope_parse("payments/production@42", &s, &e), 0);
    ck_assert_str_eq(s.service, "payments");
    ck_assert_str_eq(s.environment, "prod");
    ck_assert_int_eq(s.revision, 42);
    ck_assert_int_eq(ref_scope_parse("a/b", &s, &e), 0);
    ck_assert_int_eq(s.revision, REF_NONE);
    ck_assert_int_eq(ref_scope_parse("a/b@head", &s, &e), 0);
    ck_assert_int_eq(s.revision, REF_HEAD);
    ck_assert_int_eq(ref_scope_parse("a/b@0", &s, &e), 0);
    ck_assert_int_eq(s.revision, 0);
    ck_assert_int_eq(ref_scope_parse_plain("a/b@1", &s, &e), -1);
}

static const char *const no_scopes[] = {
    "",      "a",     "a/",     "/b",     "A/b",
    "a/b/c", "a/b@",  "a/b@-1", "a/b@1x", "a/b@99999999999999999999",
    "a b/c", "a/b@+1"
};

TEST_EACH(broken_scopes_are_usage_errors, no_scopes)
{
    struct ref_scope s;

    e.kind = ERR_NONE;
    ck_assert_int_eq(ref_scope_parse(no_scopes[_i], &s, &e), -1);
    ck_assert_int_eq(e.kind, ERR_MALFORMED);
}

TEST(a_long_scope_is_refused)
{
    char text[2000];
    struct ref_scope s;

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    ck_assert_int_eq(ref_scope_parse(text, &s, &e), -1);
}

TEST(numbers_of_documents)
{
    uint64_t bits;

    ck_assert_int_eq(ref_numbers_parse("1,3", &bits, &e), 0);
    ck_assert_uint_eq(bits, 5);
    ck_assert_int_eq(ref_numbers_parse("2-4", &bits, &e), 0);
    ck_assert_uint_eq(bits, 14);
    ck_assert_int_eq(ref_numbers_parse("64", &bits, &e), 0);
    static const char *const bad[] = { "", "0", "65", "a", "1,", "1,,2", "3-1", "-1", "1 2" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(ref_numbers_parse(bad[i], &bits, &e), -1);
}

TEST(an_option_that_counts_takes_numbers_alone)
{
    static const char *const bad[] = { "",   "x",  "1x", " 1", "+1", "-1",
                                       "1 ", "65", "0x1", "99999999999999999999" };
    int64_t n = -1;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(ref_number_parse("stage", bad[i], 0, 64, &n, &e), -1);
        ck_assert_int_eq(e.kind, ERR_MALFORMED);
    }
    ck_assert_str_eq(e.text, "--stage \"99999999999999999999\": give a number from 0 to 64");
    ck_assert_int_eq(ref_number_parse("stage", "0", 0, 64, &n, &e), 0);
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(ref_number_parse("stage", "64", 0, 64, &n, &e), 0);
    ck_assert_int_eq(n, 64);
    ck_assert_int_eq(ref_number_parse("stage", "0", 1, 64, &n, &e), -1);
}

TEST(ids_may_stand_in_a_path)
{
    ck_assert(ref_is_id("7f3a-B_9"));
    ck_assert(!ref_is_id(""));
    ck_assert(!ref_is_id("a/b"));
    ck_assert(!ref_is_id("a?b"));
    ck_assert(!ref_is_id("a%2F"));
    ck_assert(ref_is_scope("a/b"));
}

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))
