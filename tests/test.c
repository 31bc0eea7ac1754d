/* test.c - the main of every program of tests: runs what registered itself, and says how it went.
 */
#include "tests/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test *first, **end = &first;

/* Not const: of a constant clang believes the value it sees here, weak or not. */
__attribute__((weak)) struct test_frame test_frame = { 0 };

__attribute__((weak)) void test_begin(void)
{
}

__attribute__((weak)) void test_end(void)
{
}

void test_register(struct test *test)
{
    *end = test;
    end = &test->next;
}

static TCase *add(Suite *suite, const struct test *test)
{
    TCase *alone = tcase_create(test->name);

    if (test_frame.timeout_s)
        tcase_set_timeout(alone, test_frame.timeout_s);
    tcase_add_checked_fixture(alone, test_frame.set_up, test_frame.tear_down);
    tcase_add_checked_fixture(alone, test->set_up, test->tear_down);
    tcase_add_loop_test(alone, test->body, test->from, test->to ? test->to : test->from + 1);
    suite_add_tcase(suite, alone);
    return alone;
}

static bool is_wanted(const struct test *test)
{
    const char *name = getenv("CK_RUN_CASE");

    return (!name || strcmp(name, test->name) == 0) && (!test->needs || getenv(test->needs));
}

/* What runs once belongs to the first and to the last case, where it may fail like a test. */
static void add_all(Suite *suite)
{
    TCase *last = NULL;

    for (const struct test *test = first; test; test = test->next) {
        TCase *before = last;

        if (!is_wanted(test))
            continue;
        last = add(suite, test);
        if (!before)
            tcase_add_unchecked_fixture(last, test_begin, NULL);
    }
    if (last)
        tcase_add_unchecked_fixture(last, NULL, test_end);
}

/* For libcheck a run of nothing is a success; here it is a name that was misspelt. */
static bool run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    bool is_good;

    srunner_run_all(runner, CK_ENV);
    is_good = srunner_ntests_run(runner) > 0 && srunner_ntests_failed(runner) == 0;
    if (srunner_ntests_run(runner) == 0)
        fputs("nothing was run: CK_RUN_SUITE or CK_RUN_CASE names no test of this program\n",
              stderr);
    srunner_free(runner);
    return is_good;
}

int main(int argc, char **argv)
{
    Suite *suite = suite_create(program_invocation_short_name);

    for (size_t i = 0; i < 2 && argc == 2; i++)
        if (test_frame.words[i].word && strcmp(argv[1], test_frame.words[i].word) == 0)
            return test_frame.words[i].run();
    setenv("CK_DEFAULT_TIMEOUT", "60", 0);
    add_all(suite);
    return run(suite) ? EXIT_SUCCESS : EXIT_FAILURE;
}
