/* agent_spot.c - tests of what is told of a file that is read by its name in a folder. */
#include "agent/disk/spot.h"

#include "tests/test.h"
#include "tests/unit/temp_folder.h"

static struct err e;

/* Files of the kernel are 0 bytes long until they are read, as if each grew meanwhile. */
TEST(a_file_that_grows_is_not_empty)
{
    SCOPED_BUFFER struct buffer out = { 0 };
    struct stat st;

    ck_assert_int_eq(spot_read(&SPOT("/proc/self/status"), 10, &out, &st, &e), 1);
    ck_assert_uint_eq(out.size, 0);
    ck_assert_msg(st.st_size > 10, "%jd bytes are told", (intmax_t)st.st_size);
    ck_assert_int_eq(spot_read(&SPOT("/proc/self/status"), 1 << 20, &out, &st, &e), 1);
    ck_assert_uint_gt(out.size, 10);
    ck_assert_uint_eq(out.size, (size_t)st.st_size);
}

TEST(a_file_of_just_that_size)
{
    SCOPED_BUFFER struct buffer out = { 0 };
    char folder[TEMP_PATH / 2], path[TEMP_PATH];
    struct stat st;

    temp_make(folder);
    snprintf(path, sizeof(path), "%s/file", folder);
    temp_write(path, "1234567890", 0600);
    ck_assert_int_eq(spot_read(&SPOT(path), 10, &out, &st, &e), 1);
    ck_assert_uint_eq(out.size, 10);
    buffer_clear(&out);
    ck_assert_int_eq(spot_read(&SPOT(path), 9, &out, &st, &e), 1);
    ck_assert_uint_eq(out.size, 0);
    ck_assert_int_eq(st.st_size, 10);
    temp_remove(folder);
}
