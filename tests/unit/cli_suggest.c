/* cli_suggest.c - which name is taken for the one that was meant, and when none is. */
#include "coordinator/cli/suggest.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "tests/test.h"

static json_t *names;

static void there_are(const char *text)
{
    char words[400], *rest = words, *word;

    json_decref(names);
    names = json_array();
    snprintf(words, sizeof(words), "%s", text);
    while ((word = strsep(&rest, " ")))
        json_array_append_new(names, json_string(word));
}

static void meant(const char *given, const char *want)
{
    const char *found = suggest_nearest(names, given, false);

    if (want)
        ck_assert_msg(found && strcmp(found, want) == 0, "%s: %s", given, found ? found : "none");
    else
        ck_assert_msg(!found, "%s: %s", given, found ? found : "");
}

TEST(distances)
{
    ck_assert_uint_eq(suggest_distance("prod", "prod"), 0);
    ck_assert_uint_eq(suggest_distance("prdo", "prod"), 1); /* two letters that changed places */
    ck_assert_uint_eq(suggest_distance("rpdo", "prod"), 2);
    ck_assert_uint_eq(suggest_distance("pro", "prod"), 1);
    ck_assert_uint_eq(suggest_distance("prodd", "prod"), 1);
    ck_assert_uint_eq(suggest_distance("drop", "prod"), 2);
    ck_assert_uint_eq(suggest_distance("", "prod"), 4);
    ck_assert_uint_eq(suggest_distance("prod", ""), 4);
    ck_assert_uint_eq(suggest_distance("", ""), 0);
}

TEST(long_names)
{
    char a[1000], b[1000];

    memset(a, 'a', sizeof(a) - 1);
    memset(b, 'b', sizeof(b) - 1);
    a[sizeof(a) - 1] = b[sizeof(b) - 1] = 0;
    ck_assert_uint_eq(suggest_distance(a, a), 0);
    ck_assert_uint_eq(suggest_distance(a, b), 160);
    there_are("x");
    json_array_append_new(names, json_string(a));
    a[500] = 'x'; /* behind what is compared: the same name as far as this goes */
    ck_assert_ptr_null(suggest_nearest(names, a, true));
}

TEST(near_names)
{
    there_are("payments/prod payments/dev web/prod");
    meant("payment/prod", "payments/prod");
    meant("web/prdo", "web/prod");
    meant("web/staging", NULL); /* as good as any other word */
    there_are("dev staging prod");
    meant("prdo", "prod");
    meant("porduction", NULL);
    meant("de", "dev");
    there_are("");
    meant("prod", NULL);
}

TEST(none_of_many)
{
    there_are("server-1 server-2 server-3");
    meant("server-x", NULL);
    meant("sevrer-2", "server-2");
    meant("server-2", NULL); /* its neighbours are not what a name means that is there */
    there_are("app/prod api/prod");
    meant("ap/prod", NULL);
    meant("appp/prod", "app/prod");
}

TEST(beginnings)
{
    there_are("qw9vhx3k a6k9tt2b");
    ck_assert_str_eq(suggest_nearest(names, "qv9v", true), "qw9vhx3k");
    ck_assert_str_eq(suggest_nearest(names, "a6k9tt2d", true), "a6k9tt2b");
    ck_assert_ptr_null(suggest_nearest(names, "qv9v", false));
    ck_assert_ptr_null(suggest_nearest(names, "zzzz", true));
}

static void forget(void)
{
    json_decref(names);
    names = NULL;
}

struct test_frame test_frame = { .tear_down = forget };
