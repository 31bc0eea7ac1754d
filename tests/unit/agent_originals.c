/* agent_originals.c - tests that what Lockstep wrote is no original, and no secret lies among them. */
#include "agent/files/originals.h"

#include "tests/test.h"
#include "tests/unit/files_kit.h"

#define SECRET "hunter2"

static int revert(void)
{
    return files_apply(FROM(NULL, nothing), state, &e);
}

static int take_over(const struct document *d, struct hash hash)
{
    return files_keep_originals(scope, state, false, &e) || files_stage(FROM(d, hash), &e) ||
                   files_apply(FROM(d, hash), state, &e)
               ? -1
               : 0;
}

/* A destination that is new in the settings of an agent whose document is active. */
TEST(what_is_written_at_a_new_place_is_no_original, .to = 2)
{
    bool is_group = _i;
    const char *path = is_group ? group : single;
    SCOPED(document_free) struct document *d = NULL;
    struct hash hash;

    begin_files();
    ck_assert_int_eq(unlink(single) | unlink(member) | rmdir(group), 0);
    if (is_group)
        add_group();
    add_file(is_group ? member : single, is_group ? 0 : AGENT_NO_GROUP);
    d = document_with(SECRET, true, &hash);
    ck_assert_int_eq(files_refill(FROM(d, hash), state, &e), 0);
    ck_assert(temp_holds(is_group ? member : single, SECRET));
    ck_assert_int_eq(take_over(d, hash), 0);
    ck_assert_int_eq(originals_look(state, path), ORIGINAL_ABSENT);
    ck_assert_int_eq(revert(), 0);
    ck_assert_int_ne(access(path, F_OK), 0);
    end_files();
}

/* Somebody moved it there, or an agent of before wrote it. */
TEST(what_shows_the_active_secret_is_no_original, .to = 2)
{
    bool is_group = _i;
    const char *path = is_group ? group : single, *file = is_group ? member : single;
    SCOPED(document_free) struct document *d = NULL;
    struct hash hash;

    begin_files();
    temp_write(file, SECRET, 0600);
    if (is_group)
        add_group();
    add_file(file, is_group ? 0 : AGENT_NO_GROUP);
    d = document_with(SECRET, true, &hash);
    ck_assert_int_eq(files_mark_own(FROM(d, hash), state, &e), 0);
    ck_assert_int_eq(originals_look(state, path), ORIGINAL_ABSENT);
    ck_assert_int_eq(take_over(d, hash), 0);
    ck_assert_int_eq(originals_look(state, path), ORIGINAL_ABSENT);
    end_files();
}

TEST(what_is_not_lockstep_s_stays_an_original, .to = 2)
{
    bool is_secret = _i;
    SCOPED(document_free) struct document *d = NULL;
    struct hash hash;

    begin_files(); /* "mine" lies there */
    add_file(single, AGENT_NO_GROUP);
    d = document_with(is_secret ? SECRET : "mine", is_secret, &hash);
    ck_assert_int_eq(files_mark_own(FROM(d, hash), state, &e), 0);
    ck_assert_int_eq(originals_look(state, single), ORIGINAL_UNKNOWN);
    ck_assert_int_eq(take_over(d, hash), 0);
    ck_assert_int_eq(originals_look(state, single), ORIGINAL_FILE);
    ck_assert_int_eq(revert(), 0);
    ck_assert(temp_holds(single, "mine"));
    /* what was kept is not forgotten for what lies there later */
    ck_assert_int_eq(take_over(d, hash), 0);
    ck_assert_int_eq(files_mark_own(FROM(d, hash), state, &e), 0);
    ck_assert_int_eq(originals_look(state, single), ORIGINAL_FILE);
    end_files();
}
