/* core_dump.c - tests of programs whose memory is written nowhere when they die. */
#include "common/core_dump.h"

#include <check.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/test.h"

TEST(nothing_is_dumped)
{
    struct rlimit limit = { 0 }, before;

    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &before), 0);
    before.rlim_cur = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_CORE, &before), 0);
    core_dump_forbid();
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_cur, 0);
    core_dump_restore(); /* what a command of the settings gets */
    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_cur, before.rlim_cur);
}

TEST(who_looks_for_a_fault_may)
{
    ck_assert_int_eq(setenv("LOCKSTEP_CORE_DUMPS", "1", 1), 0);
    core_dump_forbid();
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 1);
    ck_assert_ptr_null(getenv("LOCKSTEP_CORE_DUMPS"));
}
