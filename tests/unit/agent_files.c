/* agent_files.c - tests of a scope's files: candidates, groups, modes, links, originals, formats. */
#include "agent/files.h"

#include <dirent.h>

#include "agent/originals.h"
#include "agent/placeholder.h"
#include "agent/render.h"
#include "common/digest.h"
#include "tests/unit/temp_folder.h"

static char folder[TEMP_PATH / 2], state[TEMP_PATH], paths[3][TEMP_PATH];
static struct agent_scope *scope;
static struct err e;

static void add(const char *key, enum agent_file_kind kind)
{
    unsigned i = scope->file_count++;

    snprintf(paths[i], sizeof(paths[i]), "%s/file%u", folder, i);
    scope->files[i] = (struct agent_file){ .kind = kind, .key = strdup(key),
                                           .path = strdup(paths[i]) };
}

/* One file from key a, one from key b. */
static void begin(void)
{
    temp_make(folder);
    snprintf(state, sizeof(state), "%s/state", folder);
    ck_assert_int_eq(mkdir(state, 0700), 0);
    scope = calloc(1, sizeof(*scope));
    add("a", AGENT_FILE_KEY);
    add("b", AGENT_FILE_KEY);
}

static void end(void)
{
    for (unsigned i = 0; i < scope->file_count; i++) {
        free(scope->files[i].key);
        free(scope->files[i].path);
    }
    free(scope);
    temp_remove(folder);
}

/* {"a": a, "b": b}; NULL: without the key. */
static struct document *document_of(const char *a, const char *b, struct hash *hash)
{
    struct document *d = document_new();
    size_t size;
    char *bytes;

    if (a)
        ck_assert_int_eq(document_set(d, "a", VALUE_STRING, a, &e), 0);
    if (b)
        ck_assert_int_eq(document_set(d, "b", VALUE_STRING, b, &e), 0);
    ck_assert_int_eq(document_encode(d, &bytes, &size, hash, &e), 0);
    free(bytes);
    return d;
}

static int apply(const char *a, const char *b)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = document_of(a, b, &hash);

    if (files_stage(scope, d, &hash, &e))
        return -1;
    return files_apply(scope, state, d, &hash, &e);
}

/* Names in the folder that begin with `prefix`. */
static int count(const char *prefix)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    int n = 0;

    while ((entry = readdir(dir)))
        n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(dir);
    return n;
}

START_TEST(test_stage_touches_nothing_and_apply_replaces)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    char candidate[PATH_MAX];

    begin();
    d = document_of("one", "two", &hash);
    ck_assert_int_eq(files_stage(scope, d, &hash, &e), 0);
    ck_assert(temp_holds(paths[0], NULL) && temp_holds(paths[1], NULL));
    ck_assert_int_eq(count(".lockstep-"), 2);
    ck_assert_int_eq(files_candidate(&scope->files[0], &hash, candidate, &e), 0);
    ck_assert(temp_holds(candidate, "one"));
    ck_assert_int_eq(files_verify(scope, d, &e), -1);
    ck_assert_int_eq(files_apply(scope, state, d, &hash, &e), 0);
    ck_assert(temp_holds(paths[0], "one") && temp_holds(paths[1], "two"));
    ck_assert_int_eq(count(".lockstep-"), 0);
    ck_assert_int_eq(files_verify(scope, d, &e), 0);
    ck_assert_int_eq(files_apply(scope, state, d, &hash, &e), 0); /* again: the same */
    ck_assert_int_eq(count(".lockstep-"), 0);
    ck_assert_uint_eq(temp_mode(paths[0]), 0644);
    end();
}
END_TEST

START_TEST(test_damaged_or_lost_candidate_is_written_anew)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    char candidate[PATH_MAX];

    begin();
    d = document_of("one", "two", &hash);
    ck_assert_int_eq(files_stage(scope, d, &hash, &e), 0);
    ck_assert_int_eq(files_candidate(&scope->files[0], &hash, candidate, &e), 0);
    temp_write(candidate, "eno", 0600);
    ck_assert_int_eq(files_candidate(&scope->files[1], &hash, candidate, &e), 0);
    unlink(candidate);
    ck_assert_int_eq(files_apply(scope, state, d, &hash, &e), 0);
    ck_assert(temp_holds(paths[0], "one") && temp_holds(paths[1], "two"));
    end();
}
END_TEST

START_TEST(test_mode_is_kept_or_configured)
{
    begin();
    temp_write(paths[0], "mine", 0600);
    scope->files[1].has_mode = true;
    scope->files[1].mode = 0440;
    ck_assert_int_eq(apply("1", "2"), 0);
    ck_assert_uint_eq(temp_mode(paths[0]), 0600);
    ck_assert_uint_eq(temp_mode(paths[1]), 0440);
    ck_assert_int_eq(chmod(paths[1], 0600), 0);
    ck_assert_int_eq(apply("1", "2"), 0); /* the content is right, the mode is not */
    ck_assert_uint_eq(temp_mode(paths[1]), 0440);
    end();
}
END_TEST

START_TEST(test_owner_is_kept)
{
    struct stat st;

    begin();
    temp_write(paths[0], "mine", 0600);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(paths[0], 65534, 65534), 0);
        ck_assert_int_eq(apply("1", "2"), 0);
        ck_assert_int_eq(stat(paths[0], &st), 0);
        ck_assert_uint_eq(st.st_uid, 65534);
        ck_assert_uint_eq(st.st_gid, 65534);
    }
    end();
}
END_TEST

START_TEST(test_link_stays_a_link)
{
    char real[TEMP_PATH], sub[TEMP_PATH - 8];
    struct stat st;

    begin();
    snprintf(sub, sizeof(sub), "%s/sub", folder);
    ck_assert_int_eq(mkdir(sub, 0755), 0);
    snprintf(real, sizeof(real), "%s/real", sub);
    temp_write(real, "mine", 0644);
    ck_assert_int_eq(symlink(real, paths[0]), 0);
    ck_assert_int_eq(apply("1", "2"), 0);
    ck_assert_int_eq(lstat(paths[0], &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    ck_assert(temp_holds(real, "1"));
    ck_assert_int_eq(files_apply(scope, state, NULL, &(struct hash){ { 0 } }, &e), 0);
    ck_assert(temp_holds(real, "mine"));
    end();
}
END_TEST

START_TEST(test_missing_key_is_refused_and_leaves_nothing)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;

    begin();
    d = document_of("one", NULL, &hash);
    ck_assert_int_eq(files_stage(scope, d, &hash, &e), -1);
    ck_assert_str_eq(e.code, "schema");
    ck_assert_ptr_nonnull(strstr(e.text, "\"b\""));
    ck_assert_int_eq(count(".lockstep-"), 0);
    end();
}
END_TEST

START_TEST(test_optional_key_brings_the_original_back)
{
    begin();
    scope->files[1].is_optional = true;
    temp_write(paths[1], "mine", 0644);
    ck_assert_int_eq(apply("1", "2"), 0);
    ck_assert(temp_holds(paths[1], "2"));
    ck_assert_int_eq(apply("1", NULL), 0);
    ck_assert(temp_holds(paths[1], "mine"));
    end();
}
END_TEST

START_TEST(test_revision_0_restores_or_removes)
{
    const struct hash zero = { { 0 } };

    begin();
    temp_write(paths[0], "mine", 0640);
    ck_assert(!files_have_originals(scope, state));
    ck_assert_int_eq(apply("1", "2"), 0);
    ck_assert_int_eq(apply("3", "4"), 0); /* must not replace what was kept */
    ck_assert(files_have_originals(scope, state));
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(files_apply(scope, state, NULL, &zero, &e), 0);
        ck_assert(temp_holds(paths[0], "mine"));
        ck_assert_uint_eq(temp_mode(paths[0]), 0640);
        ck_assert(temp_holds(paths[1], NULL));
    }
    temp_write(paths[0], "mine, and newer", 0600); /* while Lockstep was away */
    ck_assert_int_eq(files_keep_originals(scope, state, true, &e), 0);
    ck_assert_int_eq(apply("5", "6"), 0);
    ck_assert_int_eq(files_apply(scope, state, NULL, &zero, &e), 0);
    ck_assert(temp_holds(paths[0], "mine, and newer"));
    end();
}
END_TEST

START_TEST(test_unknown_originals_are_left_alone)
{
    begin();
    temp_write(paths[0], "mine", 0644);
    ck_assert_int_eq(originals_look(state, paths[0]), ORIGINAL_UNKNOWN);
    ck_assert_int_eq(files_apply(scope, state, NULL, &(struct hash){ { 0 } }, &e), 0);
    ck_assert(temp_holds(paths[0], "mine"));
    end();
}
END_TEST

START_TEST(test_group_fails_before_the_first_rename)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;

    begin();
    ck_assert_int_eq(apply("1", "2"), 0);
    d = document_of("3", "4", &hash);
    unlink(paths[1]);
    ck_assert_int_eq(mkdir(paths[1], 0755), 0); /* a folder where the second file should be */
    ck_assert_int_eq(files_apply(scope, state, d, &hash, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, paths[1]));
    ck_assert(temp_holds(paths[0], "1"));
    end();
}
END_TEST

START_TEST(test_sweep_keeps_what_is_promised)
{
    struct hash first, second;
    SCOPED(document_free) struct document *a = NULL;
    SCOPED(document_free) struct document *b = NULL;

    begin();
    a = document_of("1", "2", &first);
    b = document_of("3", "4", &second);
    ck_assert_int_eq(files_stage(scope, a, &first, &e), 0);
    ck_assert_int_eq(files_stage(scope, b, &second, &e), 0);
    ck_assert_int_eq(count(".lockstep-"), 4);
    files_sweep(scope, &second, 1);
    ck_assert_int_eq(count(".lockstep-"), 2);
    files_sweep(scope, NULL, 0);
    ck_assert_int_eq(count(".lockstep-"), 0);
    end();
}
END_TEST

/* Both lie in one folder, and the name of one is the beginning of the other's. */
START_TEST(test_sweep_leaves_the_neighbour_alone)
{
    struct agent_scope neighbour = { .file_count = 1 };
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    char candidate[PATH_MAX];

    begin();
    snprintf(paths[2], sizeof(paths[2]), "%s/file0.conf", folder);
    neighbour.files[0] = (struct agent_file){ .kind = AGENT_FILE_KEY, .key = "a",
                                              .path = paths[2] };
    d = document_of("1", "2", &hash);
    ck_assert_int_eq(files_stage(&neighbour, d, &hash, &e), 0);
    ck_assert_int_eq(files_candidate(&neighbour.files[0], &hash, candidate, &e), 0);
    files_sweep(scope, NULL, 0);
    ck_assert(temp_holds(candidate, "1"));
    files_sweep(&neighbour, NULL, 0);
    ck_assert(temp_holds(candidate, NULL));
    end();
}
END_TEST

START_TEST(test_placeholders_and_links)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    char expected[4 * PATH_MAX], a[PATH_MAX], b[PATH_MAX], links[TEMP_PATH], link[TEMP_PATH + 8];
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;

    begin();
    d = document_of("one", "two", &hash);
    ck_assert_int_eq(files_stage(scope, d, &hash, &e), 0);
    ck_assert_int_eq(files_candidate(&scope->files[0], &hash, a, &e), 0);
    ck_assert_int_eq(files_candidate(&scope->files[1], &hash, b, &e), 0);
    snprintf(links, sizeof(links), "%s/links", folder);
    ck_assert_int_eq(files_link(scope, &hash, links, &e), 0);
    snprintf(link, sizeof(link), "%s/file1", links);
    ck_assert(temp_holds(link, "two"));
    ck_assert_int_eq(placeholder_fill(scope, &hash, links, "t {file} {b} {dir} ${X} {c} { a; } {",
                                      &text, &e), 0);
    snprintf(expected, sizeof(expected), "t %s %s %s ${X} {c} { a; } {", a, b, links);
    ck_assert_str_eq(text.data, expected);
    files_unlink(links);
    ck_assert(temp_holds(links, NULL));
    end();
}
END_TEST

START_TEST(test_whole_document_formats)
{
    SCOPED_BUFFER struct buffer out = { 0 };
    SCOPED(document_free) struct document *d = document_new();
    struct agent_file file = { .kind = AGENT_FILE_JSON, .key = NULL };
    bool is_absent;

    ck_assert_int_eq(document_set(d, "db.url", VALUE_STRING, "it's \"x\"", &e), 0);
    ck_assert_int_eq(document_set(d, "limit", VALUE_NUMBER, "1.50", &e), 0);
    ck_assert_int_eq(document_set(d, "on", VALUE_BOOLEAN, "true", &e), 0);
    ck_assert_int_eq(document_set(d, "list", VALUE_JSON, "[1,2]", &e), 0);
    ck_assert_int_eq(render_file(&file, d, &out, &is_absent, &e), 0);
    ck_assert_str_eq(out.data, "{\n  \"db.url\": \"it's \\\"x\\\"\",\n  \"limit\": 1.50,\n"
                               "  \"list\": [1,2],\n  \"on\": true\n}\n");
    file.kind = AGENT_FILE_ENV;
    ck_assert_int_eq(render_file(&file, d, &out, &is_absent, &e), 0);
    ck_assert_str_eq(out.data, "DB_URL='it'\\''s \"x\"'\nLIMIT='1.50'\nLIST='[1,2]'\nON='true'\n");
    ck_assert_int_eq(document_set(d, "db-url", VALUE_STRING, "y", &e), 0);
    ck_assert_int_eq(render_file(&file, d, &out, &is_absent, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "DB_URL"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_files");
    TCase *t = tcase_create("files");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, test_stage_touches_nothing_and_apply_replaces);
    tcase_add_test(t, test_damaged_or_lost_candidate_is_written_anew);
    tcase_add_test(t, test_mode_is_kept_or_configured);
    tcase_add_test(t, test_owner_is_kept);
    tcase_add_test(t, test_link_stays_a_link);
    tcase_add_test(t, test_missing_key_is_refused_and_leaves_nothing);
    tcase_add_test(t, test_optional_key_brings_the_original_back);
    tcase_add_test(t, test_revision_0_restores_or_removes);
    tcase_add_test(t, test_unknown_originals_are_left_alone);
    tcase_add_test(t, test_group_fails_before_the_first_rename);
    tcase_add_test(t, test_sweep_keeps_what_is_promised);
    tcase_add_test(t, test_sweep_leaves_the_neighbour_alone);
    tcase_add_test(t, test_placeholders_and_links);
    tcase_add_test(t, test_whole_document_formats);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
