/* agent_places.c - tests that candidates go where nothing is written any more, and only they. */
#include "agent/files/places.h"

#include "agent/files/files.h"
#include "common/log.h"
#include "tests/test.h"
#include "tests/unit/temp_folder.h"

static char folder[TEMP_PATH / 2], state[TEMP_PATH], one[TEMP_PATH], two[TEMP_PATH];
static struct agent_settings settings;
static struct agent_scope scope;
static struct err e;

static void begin(void)
{
    temp_make(folder);
    snprintf(state, sizeof(state), "%s/state", folder);
    snprintf(one, sizeof(one), "%s/one.conf", folder);
    snprintf(two, sizeof(two), "%s/two.conf", folder);
    ck_assert_int_eq(mkdir(state, 0700), 0);
    scope = (struct agent_scope){ .name = "a/b", .file_count = 1 };
    scope.files[0] = (struct agent_file){ .kind = AGENT_FILE_KEY, .key = "k", .path = one,
                                          .group = AGENT_NO_GROUP };
    settings = (struct agent_settings){ .state_dir = state, .scope_count = 1,
                                        .scopes = { &scope } };
}

/* The path of the candidate. */
static void stage(char candidate[PATH_MAX])
{
    SCOPED(document_free) struct document *d = document_new();
    struct hash hash = { { 7 } };
    struct render_source source = { .scope = &scope, .document = d, .hash = hash };

    ck_assert_int_eq(document_set(d, "k", VALUE_STRING, "value", &e), 0);
    ck_assert_msg(places_remember(&settings, &scope, &e) == 0, "%s", e.text);
    ck_assert_msg(files_stage(&source, &e) == 0, "%s", e.text);
    ck_assert_int_eq(files_candidate(&scope, &scope.files[0], &hash, candidate, &e), 0);
    ck_assert(temp_holds(candidate, "value"));
}

static void forget(void)
{
    ck_assert_msg(places_forget(&settings, &e) == 0, "%s", e.text);
}

void test_begin(void)
{
    log_set_level(LOG_ERROR_);
}

TEST(a_former_place_is_swept)
{
    char candidate[PATH_MAX], now[PATH_MAX], stranger[TEMP_PATH], neighbour[TEMP_PATH];

    begin();
    forget(); /* the first start */
    temp_write(one, "applied", 0644);
    snprintf(stranger, sizeof(stranger), "%s/.lockstep-one.conf.notes", folder);
    snprintf(neighbour, sizeof(neighbour), "%s/.lockstep-one.conf.x.0123456789abcdef", folder);
    temp_write(stranger, "mine", 0644);
    temp_write(neighbour, "mine", 0644);
    stage(candidate);
    forget(); /* a start with the same settings */
    ck_assert(temp_holds(candidate, "value"));
    scope.files[0].path = two;
    stage(now);
    forget(); /* a start with others */
    ck_assert(temp_holds(candidate, NULL));
    ck_assert(temp_holds(now, "value"));
    ck_assert(temp_holds(one, "applied"));
    ck_assert(temp_holds(stranger, "mine") && temp_holds(neighbour, "mine"));
    temp_write(candidate, "of another agent", 0644);
    forget(); /* it is no place of this agent any more */
    ck_assert(temp_holds(candidate, "of another agent"));
    temp_remove(folder);
}

TEST(a_link_that_is_turned)
{
    char link[TEMP_PATH], candidate[PATH_MAX], now[PATH_MAX];

    begin();
    snprintf(link, sizeof(link), "%s/link", folder);
    ck_assert_int_eq(symlink(one, link), 0);
    temp_write(one, "1", 0644);
    temp_write(two, "2", 0644);
    scope.files[0].path = link;
    stage(candidate);
    ck_assert_int_eq(unlink(link), 0);
    ck_assert_int_eq(symlink(two, link), 0);
    stage(now);
    ck_assert_str_ne(candidate, now);
    forget();
    ck_assert(temp_holds(candidate, NULL));
    ck_assert(temp_holds(now, "value") && temp_holds(one, "1"));
    temp_remove(folder);
}

/* A disk that is not mounted at this start is swept at a later one. */
TEST(a_place_that_cannot_be_reached)
{
    char away[TEMP_PATH], back[TEMP_PATH], path[2 * TEMP_PATH], candidate[PATH_MAX];

    begin();
    snprintf(away, sizeof(away), "%s/away", folder);
    snprintf(back, sizeof(back), "%s/back", folder);
    snprintf(path, sizeof(path), "%s/x", away);
    ck_assert_int_eq(mkdir(away, 0755), 0);
    scope.files[0].path = path;
    stage(candidate);
    ck_assert_int_eq(rename(away, back), 0);
    scope.files[0].path = two;
    forget();
    ck_assert_int_eq(rename(back, away), 0);
    ck_assert(temp_holds(candidate, "value"));
    forget();
    ck_assert(temp_holds(candidate, NULL));
    temp_remove(folder);
}

/* Turned 400 times, to a folder that stays or to one that is gone a moment later. */
static void turn_over_and_over(bool is_gone)
{
    char link[TEMP_PATH], to[2 * TEMP_PATH], path[3 * TEMP_PATH], candidate[PATH_MAX];
    char places[2 * TEMP_PATH], text[200] = "";
    struct stat st;

    begin();
    memset(text, 'x', sizeof(text) - 1);
    snprintf(link, sizeof(link), "%s/link", folder);
    snprintf(places, sizeof(places), "%s/places", state);
    snprintf(path, sizeof(path), "%s/x", link);
    scope.files[0].path = path;
    for (unsigned i = 0; i < 400; i++) {
        snprintf(to, sizeof(to), "%s/%u%s", folder, i, text);
        ck_assert_int_eq(mkdir(to, 0755), 0);
        (void)unlink(link);
        ck_assert_int_eq(symlink(to, link), 0);
        stage(candidate);
        ck_assert_int_eq(stat(places, &st), 0);
        ck_assert_int_lt(st.st_size, PLACES_FORMER_MAX + PATH_MAX);
        if (is_gone)
            temp_remove(to);
    }
    forget();
    snprintf(candidate, sizeof(candidate), "%s/0%s/.lockstep-x.0700000000000000", folder, text);
    ck_assert(temp_holds(candidate, NULL));
    temp_remove(folder);
}

TEST(a_link_that_is_turned_over_and_over)
{
    turn_over_and_over(false);
}

TEST(a_link_that_is_turned_to_what_is_gone)
{
    turn_over_and_over(true);
}

/* It is not taken for an empty one, which would lose the places in it. */
TEST(a_list_too_large_is_an_error)
{
    char places[2 * TEMP_PATH];

    begin();
    snprintf(places, sizeof(places), "%s/places", state);
    temp_write(places, "/somewhere/x\n", 0600);
    ck_assert_int_eq(truncate(places, 64 << 20), 0);
    ck_assert_int_ne(places_remember(&settings, &scope, &e), 0);
    ck_assert_msg(strstr(e.text, "larger than the agent writes it") != NULL, "%s", e.text);
    ck_assert_int_ne(places_forget(&settings, &e), 0);
    temp_remove(folder);
}
