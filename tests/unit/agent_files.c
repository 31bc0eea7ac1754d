/* agent_files.c - tests of a scope's files: candidates, modes, links, originals, the way back. */
#include "agent/files/files.h"

#include <dirent.h>

#include "agent/files/backup.h"
#include "agent/files/originals.h"
#include "agent/files/placeholder.h"
#include "common/crypto/digest.h"
#include "tests/test.h"
#include "tests/unit/rights.h"
#include "tests/unit/temp_folder.h"

static char folder[TEMP_PATH / 2], state[TEMP_PATH], paths[3][TEMP_PATH];
static struct agent_scope *scope;
static const struct hash nothing;
static struct err e;

#define FROM(document, hash) (&(struct render_source){ scope, document, hash })

static void add(const char *key, enum agent_file_kind kind)
{
    unsigned i = scope->file_count++;

    snprintf(paths[i], sizeof(paths[i]), "%s/file%u", folder, i);
    scope->files[i] = (struct agent_file){ .kind = kind, .key = strdup(key),
                                           .path = strdup(paths[i]), .group = AGENT_NO_GROUP };
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

    if (files_stage(FROM(d, hash), &e))
        return -1;
    return files_apply(FROM(d, hash), state, &e);
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

TEST(stage_touches_nothing_and_apply_replaces)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    char candidate[PATH_MAX];

    begin();
    d = document_of("one", "two", &hash);
    ck_assert_int_eq(files_stage(FROM(d, hash), &e), 0);
    ck_assert(temp_holds(paths[0], NULL) && temp_holds(paths[1], NULL));
    ck_assert_int_eq(count(".lockstep-"), 2);
    ck_assert_int_eq(files_candidate(scope, &scope->files[0], &hash, candidate, &e), 0);
    ck_assert(temp_holds(candidate, "one"));
    ck_assert_int_eq(files_verify(FROM(d, hash), &e), -1);
    ck_assert_int_eq(files_apply(FROM(d, hash), state, &e), 0);
    ck_assert(temp_holds(paths[0], "one") && temp_holds(paths[1], "two"));
    ck_assert_int_eq(count(".lockstep-"), 0);
    ck_assert_int_eq(files_verify(FROM(d, hash), &e), 0);
    ck_assert_int_eq(files_apply(FROM(d, hash), state, &e), 0); /* again: the same */
    ck_assert_int_eq(count(".lockstep-"), 0);
    ck_assert_uint_eq(temp_mode(paths[0]), 0644);
    end();
}

TEST(damaged_or_lost_candidate_is_written_anew)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    char candidate[PATH_MAX];

    begin();
    d = document_of("one", "two", &hash);
    ck_assert_int_eq(files_stage(FROM(d, hash), &e), 0);
    ck_assert_int_eq(files_candidate(scope, &scope->files[0], &hash, candidate, &e), 0);
    temp_write(candidate, "eno", 0600);
    ck_assert_int_eq(files_candidate(scope, &scope->files[1], &hash, candidate, &e), 0);
    unlink(candidate);
    ck_assert_int_eq(files_apply(FROM(d, hash), state, &e), 0);
    ck_assert(temp_holds(paths[0], "one") && temp_holds(paths[1], "two"));
    end();
}

TEST(mode_is_kept_or_configured)
{
    begin();
    temp_write(paths[0], "mine", 0600);
    scope->files[1].access.has_mode = true;
    scope->files[1].access.mode = 0440;
    ck_assert_int_eq(apply("1", "2"), 0);
    ck_assert_uint_eq(temp_mode(paths[0]), 0600);
    ck_assert_uint_eq(temp_mode(paths[1]), 0440);
    ck_assert_int_eq(chmod(paths[1], 0600), 0);
    ck_assert_int_eq(apply("1", "2"), 0); /* the content is right, the mode is not */
    ck_assert_uint_eq(temp_mode(paths[1]), 0440);
    end();
}

TEST(owner_is_kept)
{
    struct stat st;

    begin();
    temp_write(paths[0], "mine", 0600);
    if (is_root("a file of another user")) {
        ck_assert_int_eq(chown(paths[0], 65534, 65534), 0);
        ck_assert_int_eq(apply("1", "2"), 0);
        ck_assert_int_eq(stat(paths[0], &st), 0);
        ck_assert_uint_eq(st.st_uid, 65534);
        ck_assert_uint_eq(st.st_gid, 65534);
    }
    end();
}

TEST(link_stays_a_link)
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
    ck_assert_int_eq(files_apply(FROM(NULL, nothing), state, &e), 0);
    ck_assert(temp_holds(real, "mine"));
    end();
}

/* Whoever may write a folder could lead an agent that is root anywhere. */
TEST(links_of_strangers_are_not_followed)
{
    char real[TEMP_PATH], sub[TEMP_PATH - 8], theirs[TEMP_PATH];

    begin();
    snprintf(sub, sizeof(sub), "%s/sub", folder);
    ck_assert_int_eq(mkdir(sub, 0755), 0);
    snprintf(real, sizeof(real), "%s/file1", sub);
    temp_write(real, "mine", 0644);
    if (is_root("links of strangers")) {
        ck_assert_int_eq(symlink(real, paths[0]), 0);
        ck_assert_int_eq(lchown(paths[0], 65534, 65534), 0);
        ck_assert_int_eq(apply("1", "2"), -1);
        ck_assert_ptr_nonnull(strstr(e.text, "belongs to user 65534"));
        ck_assert(temp_holds(real, "mine") && temp_holds(paths[1], NULL));
        ck_assert_int_eq(chown(real, 65534, 65534), 0); /* his own file he may have replaced */
        ck_assert_int_eq(apply("1", "2"), 0);
        ck_assert(temp_holds(real, "1"));

        snprintf(theirs, sizeof(theirs), "%s/theirs", folder); /* a folder on the way */
        ck_assert_int_eq(symlink("sub", theirs), 0);
        ck_assert_int_eq(lchown(theirs, 65534, 65534), 0);
        free(scope->files[1].path);
        ck_assert_int_gt(asprintf(&scope->files[1].path, "%s/file1", theirs), 0);
        ck_assert_int_eq(apply("3", "4"), -1);
        ck_assert(temp_holds(real, "1"));
        ck_assert_int_eq(lchown(theirs, 0, 0), 0);
        ck_assert_int_eq(apply("3", "4"), 0);
    }
    end();
}

TEST(set_id_bits_are_not_taken_over)
{
    begin();
    temp_write(paths[0], "mine", 0644);
    ck_assert_int_eq(chmod(paths[0], 06755), 0);
    ck_assert_int_eq(apply("1", "2"), 0);
    ck_assert_uint_eq(temp_mode(paths[0]), 0755);
    end();
}

TEST(missing_key_is_refused_and_leaves_nothing)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;

    begin();
    d = document_of("one", NULL, &hash);
    ck_assert_int_eq(files_stage(FROM(d, hash), &e), -1);
    ck_assert_str_eq(e.code, "schema");
    ck_assert_ptr_nonnull(strstr(e.text, "\"b\""));
    ck_assert_int_eq(count(".lockstep-"), 0);
    end();
}

TEST(optional_key_brings_the_original_back)
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

TEST(revision_0_restores_or_removes)
{
    const struct hash zero = { { 0 } };

    begin();
    temp_write(paths[0], "mine", 0640);
    ck_assert(!files_have_originals(scope, state));
    ck_assert_int_eq(apply("1", "2"), 0);
    ck_assert_int_eq(apply("3", "4"), 0); /* must not replace what was kept */
    ck_assert(files_have_originals(scope, state));
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(files_apply(FROM(NULL, zero), state, &e), 0);
        ck_assert(temp_holds(paths[0], "mine"));
        ck_assert_uint_eq(temp_mode(paths[0]), 0640);
        ck_assert(temp_holds(paths[1], NULL));
    }
    temp_write(paths[0], "mine, and newer", 0600); /* while Lockstep was away */
    ck_assert_int_eq(files_keep_originals(scope, state, true, &e), 0);
    ck_assert_int_eq(apply("5", "6"), 0);
    ck_assert_int_eq(files_apply(FROM(NULL, zero), state, &e), 0);
    ck_assert(temp_holds(paths[0], "mine, and newer"));
    end();
}

TEST(unknown_originals_are_left_alone)
{
    begin();
    temp_write(paths[0], "mine", 0644);
    ck_assert_int_eq(originals_look(state, paths[0]), ORIGINAL_UNKNOWN);
    ck_assert_int_eq(files_apply(FROM(NULL, nothing), state, &e), 0);
    ck_assert(temp_holds(paths[0], "mine"));
    end();
}

TEST(all_fail_before_the_first_rename)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;

    begin();
    ck_assert_int_eq(apply("1", "2"), 0);
    d = document_of("3", "4", &hash);
    unlink(paths[1]);
    ck_assert_int_eq(mkdir(paths[1], 0755), 0); /* a folder where the second file should be */
    ck_assert_int_eq(files_apply(FROM(d, hash), state, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, paths[1]));
    ck_assert(temp_holds(paths[0], "1"));
    end();
}

TEST(sweep_keeps_what_is_promised)
{
    struct hash first, second;
    SCOPED(document_free) struct document *a = NULL;
    SCOPED(document_free) struct document *b = NULL;

    begin();
    a = document_of("1", "2", &first);
    b = document_of("3", "4", &second);
    ck_assert_int_eq(files_stage(FROM(a, first), &e), 0);
    ck_assert_int_eq(files_stage(FROM(b, second), &e), 0);
    ck_assert_int_eq(count(".lockstep-"), 4);
    files_sweep(scope, &second, 1);
    ck_assert_int_eq(count(".lockstep-"), 2);
    files_sweep(scope, NULL, 0);
    ck_assert_int_eq(count(".lockstep-"), 0);
    end();
}

/* Both lie in one folder, and the name of one is the beginning of the other's. */
TEST(sweep_leaves_the_neighbour_alone)
{
    struct agent_scope neighbour = { .file_count = 1 };
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    char candidate[PATH_MAX];

    begin();
    snprintf(paths[2], sizeof(paths[2]), "%s/file0.conf", folder);
    neighbour.files[0] = (struct agent_file){ .kind = AGENT_FILE_KEY, .key = "a",
                                              .path = paths[2], .group = AGENT_NO_GROUP };
    d = document_of("1", "2", &hash);
    ck_assert_int_eq(files_stage(&(struct render_source){ &neighbour, d, hash }, &e), 0);
    ck_assert_int_eq(files_candidate(&neighbour, &neighbour.files[0], &hash, candidate, &e), 0);
    files_sweep(scope, NULL, 0);
    ck_assert(temp_holds(candidate, "1"));
    files_sweep(&neighbour, NULL, 0);
    ck_assert(temp_holds(candidate, NULL));
    end();
}

TEST(placeholders_and_links)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    char expected[4 * PATH_MAX], a[PATH_MAX], b[PATH_MAX], links[TEMP_PATH], link[TEMP_PATH + 8];
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;

    begin();
    d = document_of("one", "two", &hash);
    ck_assert_int_eq(files_stage(FROM(d, hash), &e), 0);
    ck_assert_int_eq(files_candidate(scope, &scope->files[0], &hash, a, &e), 0);
    ck_assert_int_eq(files_candidate(scope, &scope->files[1], &hash, b, &e), 0);
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

/* Whoever judges the folder has both before him: none hides behind the other's name. */
TEST(two_destinations_with_one_name)
{
    char links[TEMP_PATH], sub[TEMP_PATH - 16], path[3 * TEMP_PATH];
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    struct stat st;

    begin();
    for (unsigned i = 0; i < 2; i++) {
        snprintf(sub, sizeof(sub), "%s/%s", folder, i ? "two" : "one");
        ck_assert_int_eq(mkdir(sub, 0755), 0);
        free(scope->files[i].path);
        ck_assert_int_gt(asprintf(&scope->files[i].path, "%s/server.conf", sub), 0);
    }
    add("b", AGENT_FILE_KEY);
    d = document_of("fine", "broken", &hash);
    ck_assert_int_eq(files_stage(FROM(d, hash), &e), 0);
    snprintf(links, sizeof(links), "%s/links", folder);
    for (unsigned k = 0; k < 2; k++) { /* made anew the second time */
        ck_assert_msg(files_link(scope, &hash, links, &e) == 0, "%s", e.text);
        for (unsigned i = 0; i < 2; i++) {
            snprintf(path, sizeof(path), "%s%s", links, scope->files[i].path);
            ck_assert(temp_holds(path, i ? "broken" : "fine"));
            ck_assert_int_eq(lstat(path, &st), 0);
            ck_assert(S_ISREG(st.st_mode)); /* `grep -r` passes links by */
        }
        snprintf(path, sizeof(path), "%s/file2", links);
        ck_assert(temp_holds(path, "broken"));
    }
    files_unlink(links);
    ck_assert(temp_holds(links, NULL));
    end();
}

/* Names beside a destination that are the same file as it. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

TEST(the_way_back_takes_no_space)
{
    struct hash first, second;
    SCOPED(document_free) struct document *a = NULL;
    SCOPED(document_free) struct document *b = NULL;
    char candidate[PATH_MAX], kept[TEMP_PATH + 32];

    begin();
    a = document_of("1", "2", &first);
    b = document_of("3", "4", &second);
    ck_assert_int_eq(apply("1", "2"), 0);
    ck_assert_int_eq(files_stage(FROM(b, second), &e), 0);
    ck_assert_int_eq(files_reserve(FROM(a, first), state, &e), 0);
    ck_assert_int_eq(files_candidate(scope, &scope->files[0], &first, candidate, &e), 0);
    ck_assert(is_same_file(candidate, paths[0])); /* a second name of what is there */
    ck_assert_int_eq(files_apply(FROM(b, second), state, &e), 0);
    ck_assert(temp_holds(candidate, "1") && temp_holds(paths[0], "3"));
    snprintf(kept, sizeof(kept), "%s/kept", folder);
    ck_assert_int_eq(link(candidate, kept), 0);
    ck_assert_int_eq(files_apply(FROM(a, first), state, &e), 0);
    ck_assert(is_same_file(kept, paths[0])); /* taken over, not written */
    ck_assert_int_eq(count(".lockstep-"), 0);
    end();
}

TEST(the_way_back_to_the_original_takes_no_space)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    char aside[PATH_MAX], kept[TEMP_PATH + 32];

    begin();
    temp_write(paths[0], "mine", 0640);
    d = document_of("1", "2", &hash);
    ck_assert_int_eq(files_keep_originals(scope, state, true, &e), 0);
    ck_assert_int_eq(files_stage(FROM(d, hash), &e), 0);
    ck_assert_int_eq(files_reserve(FROM(NULL, nothing), state, &e), 0);
    snprintf(aside, sizeof(aside), "%s/.lockstep-file0.original", folder);
    ck_assert(is_same_file(aside, paths[0]));
    snprintf(kept, sizeof(kept), "%s/kept", folder);
    ck_assert_int_eq(link(aside, kept), 0);
    ck_assert_int_eq(files_apply(FROM(d, hash), state, &e), 0);
    files_sweep(scope, &nothing, 1);
    ck_assert(temp_holds(aside, "mine"));
    ck_assert_int_eq(files_apply(FROM(NULL, nothing), state, &e), 0);
    ck_assert(is_same_file(kept, paths[0]));
    ck_assert(temp_holds(paths[0], "mine") && temp_holds(paths[1], NULL));
    files_sweep(scope, NULL, 0);
    ck_assert_int_eq(count(".lockstep-"), 0);
    end();
}

TEST(a_folder_that_is_not_there_is_named)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;

    begin();
    d = document_of("1", "2", &hash);
    free(scope->files[1].path);
    scope->files[1].path = strdup("/nosuch-folder/of/mine/file");
    ck_assert_int_eq(files_stage(FROM(d, hash), &e), -1);
    ck_assert_msg(strstr(e.text, "the folder /nosuch-folder/of/mine") != NULL, "%s", e.text);
    ck_assert_str_eq(e.code, "io");
    ck_assert_int_eq(count(".lockstep-"), 0);
    end();
}

TEST(backups_hold_what_was_there)
{
    char path[4 * TEMP_PATH];

    begin();
    snprintf(scope->name, sizeof(scope->name), "pay/prod");
    scope->backup_count = 2;
    for (int i = 1; i <= 4; i++) {
        struct hash hash;
        char value[2] = { (char)('0' + i), '\0' };
        SCOPED(document_free) struct document *d = document_of(value, "same", &hash);

        for (int k = 0; k < 2; k++) { /* the second time nothing changes */
            ck_assert_int_eq(backup_take(FROM(d, hash), state, &e), 0);
            ck_assert_int_eq(files_apply(FROM(d, hash), state, &e), 0);
        }
        if (i == 3)
            temp_write(paths[0], "by hand", 0644);
    }
    snprintf(path, sizeof(path), "%s/backups/pay/prod/3%s", state, paths[0]);
    ck_assert(temp_holds(path, "by hand"));
    snprintf(path, sizeof(path), "%s/backups/pay/prod/2%s", state, paths[0]);
    ck_assert(temp_holds(path, "2"));
    snprintf(path, sizeof(path), "%s/backups/pay/prod/2%s", state, paths[1]);
    ck_assert(temp_holds(path, NULL)); /* was not about to change */
    snprintf(path, sizeof(path), "%s/backups/pay/prod/1", state);
    ck_assert(temp_holds(path, NULL));
    end();
}
