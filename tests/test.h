/* test.h - TEST(name) { … } is a whole test: it registers itself, and one main runs them all.
 *
 * A file of tests/unit or tests/db is one program. It writes no list of its tests and no main;
 * those are in test.c, which is linked to each. libcheck does the work: every test is a process of
 * its own and a case of its own, so that CK_RUN_CASE=name runs one of them; the other CK_…
 * variables mean what libcheck says.
 *
 * A test may name what it needs, behind its name and in any order:
 *
 *     TEST(every_body_comes_back, .to = BODY_COUNT)    once with _i from 0 (or .from) below .to
 *     TEST_EACH(broken_files_are_named, broken)        once for each row of the table: broken[_i]
 *     TEST(sealed_ones_open, .set_up = open_keyring, .tear_down = close_keyring)
 *     TEST(ended_at_every_call, .needs = "CALLS")      only where this variable is set
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <check.h>

/* What TEST registers. */
struct test {
    const char *name;
    const TTest *body;
    struct test *next;
    const char *needs;                        /* variable without which the test is left out */
    void (*set_up)(void), (*tear_down)(void); /* inside those of the file; NULL: nothing */
    int from, to;                             /* to 0: once */
};

#define TEST(name_, ...)                                                                           \
    static const TTest *test_##name_;                                                              \
    __attribute__((constructor)) static void register_##name_(void)                                \
    {                                                                                              \
        static struct test test = { .name = #name_, __VA_ARGS__ };                                 \
        test.body = test_##name_;                                                                  \
        test_register(&test);                                                                      \
    }                                                                                              \
    START_TEST(test_##name_)

#define TEST_EACH(name_, table) TEST(name_, .to = sizeof(table) / sizeof((table)[0]))

void test_register(struct test *test);

/* What all tests of a program share. Who needs some of it defines test_frame; others get zeros. */
extern struct test_frame {
    void (*set_up)(void), (*tear_down)(void); /* around each test, in its process */
    int timeout_s;                            /* after which a test has failed; 0: 60 */
    struct {
        const char *word; /* the program called with this word alone … */
        int (*run)(void); /* … runs this instead of the tests; says the exit status */
    } words[2];
} test_frame;

/* Run once, before the first test and after the last one, in the process that starts the tests. Who
 * needs them defines them; others get functions that do nothing. */
void test_begin(void);
void test_end(void);

#endif
