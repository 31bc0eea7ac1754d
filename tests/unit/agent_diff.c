/* agent_diff.c - tests of differences: lines of two texts, and files against a document. */
#include "agent/files/files_diff.h"

#include "agent/files/files.h"
#include "common/linediff.h"
#include "tests/test.h"
#include "tests/unit/temp_folder.h"

static struct buffer out;
static char folder[TEMP_PATH / 2], path[TEMP_PATH], state[TEMP_PATH];
static struct agent_scope scope;
static struct document *d;
static struct err e;

static void tear_down(void)
{
    buffer_fini(&out);
}

struct test_frame test_frame = { .tear_down = tear_down };

static const char *lines(const char *before, const char *after, size_t max)
{
    buffer_clear(&out);
    buffer_add_text(&out, "");
    linediff(before, strlen(before), after, strlen(after), max, &out);
    return out.data;
}

TEST(lines)
{
    ck_assert_str_eq(lines("a\nb\n", "a\nb\n", 999), "");
    ck_assert_str_eq(lines("", "", 999), "");
    ck_assert_str_eq(lines("", "a\n", 999), "@@ -1,0 +1,1 @@\n+a\n");
    ck_assert_str_eq(lines("a\n", "", 999), "@@ -1,1 +1,0 @@\n-a\n");
    ck_assert_str_eq(lines("1\n2\n3\n4\n5\n6\n", "1\n2\n3\nfour\n5\n6\n", 999),
                     "@@ -2,5 +2,5 @@\n 2\n 3\n-4\n+four\n 5\n 6\n");
    ck_assert_str_eq(lines("a\nb\nc\n1\n2\n3\n4\n5\nx\n", "a\nB\nc\n1\n2\n3\n4\n5\ny\n", 999),
                     "@@ -1,4 +1,4 @@\n a\n-b\n+B\n c\n 1\n"
                     "@@ -7,3 +7,3 @@\n 4\n 5\n-x\n+y\n");
    ck_assert_str_eq(lines("a\nb\nc\n", "b\nc\nd\n", 999),
                     "@@ -1,3 +1,3 @@\n-a\n b\n c\n+d\n");
    ck_assert_str_eq(lines("\033[2J\n", "\r\n", 999), "@@ -1,1 +1,1 @@\n-?[2J\n+?\n");
}

TEST(long_ones_are_cut)
{
    SCOPED_BUFFER struct buffer a = { 0 }, b = { 0 };

    for (int i = 0; i < 5000; i++) {
        buffer_printf(&a, "a%d\n", i);
        buffer_printf(&b, "b%d\n", i);
    }
    lines(a.data, b.data, 100);
    ck_assert_uint_lt(out.size, 140);
    ck_assert_msg(strstr(out.data, "\n…\n") != NULL, "%s", out.data);
    buffer_clear(&a);
    for (int i = 0; i < 1000; i++)
        buffer_add_text(&a, "ä");
    lines(a.data, "", 999);
    ck_assert_uint_lt(out.size, 300);
    ck_assert(name_is_utf8(out.data, out.size));
}

/* ---- files ---- */

static void begin(void)
{
    temp_make(folder);
    snprintf(path, sizeof(path), "%s/f", folder);
    snprintf(state, sizeof(state), "%s/state", folder);
    ck_assert_int_eq(mkdir(state, 0700), 0);
    scope = (struct agent_scope){ .name = "a/b", .file_count = 1 };
    scope.files[0] = (struct agent_file){ .kind = AGENT_FILE_KEY, .key = "k", .path = path,
                                          .group = AGENT_NO_GROUP };
    d = document_new();
    ck_assert_int_eq(document_set(d, "k", VALUE_STRING, "one\ntwo\n", &e), 0);
}

static void end(void)
{
    document_free(d);
    temp_remove(folder);
}

static int diff(enum files_diff_shown shown)
{
    struct render_source source = { .scope = &scope, .document = d, .hash = { { 1 } } };

    buffer_clear(&out);
    buffer_add_text(&out, "");
    return files_diff(&source, state, shown, 4000, &out, &e);
}

TEST(a_file_against_the_document)
{
    char expected[4 * TEMP_PATH];

    begin();
    ck_assert_int_eq(diff(FILES_DIFF_PUBLIC), 1);
    snprintf(expected, sizeof(expected), "--- /dev/null\n+++ %s\n@@ -1,0 +1,2 @@\n+one\n+two\n",
             path);
    ck_assert_str_eq(out.data, expected);
    ck_assert(temp_holds(path, NULL));
    temp_write(path, "one\n2\n", 0644);
    ck_assert_int_eq(diff(FILES_DIFF_PUBLIC), 1);
    snprintf(expected, sizeof(expected), "--- %s\n+++ %s\n@@ -1,2 +1,2 @@\n one\n-2\n+two\n", path,
             path);
    ck_assert_str_eq(out.data, expected);
    temp_write(path, "one\ntwo", 0644);
    ck_assert_int_eq(diff(FILES_DIFF_PUBLIC), 1);
    ck_assert_msg(strstr(out.data, "line break") != NULL, "%s", out.data);
    temp_write(path, "one\ntwo\n", 0644);
    ck_assert_int_eq(diff(FILES_DIFF_PUBLIC), 0);
    ck_assert_str_eq(out.data, "");
    scope.files[0].access = (struct agent_access){ .has_mode = true, .mode = 0600 };
    ck_assert_int_eq(diff(FILES_DIFF_PUBLIC), 1);
    ck_assert_msg(strstr(out.data, "mode 0644") && strstr(out.data, "mode 0600"), "%s", out.data);
    end();
}

TEST(what_few_may_read_is_not_told_to_all)
{
    char reference[VALUE_REFERENCE_SIZE];

    begin();
    temp_write(path, "private\n", 0640);
    ck_assert_int_eq(diff(FILES_DIFF_PUBLIC), 1);
    ck_assert(!strstr(out.data, "private") && !strstr(out.data, "one"));
    ck_assert_ptr_nonnull(strstr(out.data, "8 bytes, should be 8"));
    ck_assert_int_eq(diff(FILES_DIFF_ALL), 1);
    ck_assert(strstr(out.data, "-private") && strstr(out.data, "+one"));
    temp_write(path, "private\n", 0644); /* nobody else gets as far as the file */
    ck_assert_int_eq(chmod(folder, 0750), 0);
    ck_assert_int_eq(diff(FILES_DIFF_PUBLIC), 1);
    ck_assert(!strstr(out.data, "private") && strstr(out.data, "not everybody may read it"));
    ck_assert_int_eq(chmod(folder, 0751), 0);
    ck_assert_int_eq(diff(FILES_DIFF_PUBLIC), 1);
    ck_assert(strstr(out.data, "-private") && strstr(out.data, "+one"));
    temp_write(path, "private\n", 0640);
    value_reference("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", reference);
    ck_assert_int_eq(document_set(d, "k", VALUE_STRING, reference, &e), 0);
    document_open_secret(d, "k", "hush");
    ck_assert_int_eq(diff(FILES_DIFF_ALL), 1);
    ck_assert(!strstr(out.data, "hush") && !strstr(out.data, "private"));
    end();
}

TEST(strangers_and_originals)
{
    struct render_source back = { .scope = &scope };

    begin();
    temp_write(path, "mine\n", 0644);
    ck_assert_int_eq(files_keep_originals(&scope, state, true, &e), 0);
    temp_write(path, "theirs\n", 0644);
    ck_assert_int_eq(files_diff(&back, state, FILES_DIFF_ALL, 999, &out, &e), 1);
    ck_assert_msg(strstr(out.data, "-theirs\n+mine\n") != NULL, "%s", out.data);
    scope.group_count = 1;
    scope.groups[0].path = folder;
    scope.files[0].group = 0;
    ck_assert_int_eq(diff(FILES_DIFF_ALL), 2); /* state lies in it */
    ck_assert_msg(strstr(out.data, "/state: does not belong there") != NULL, "%s", out.data);
    end();
}

/* Whoever may write in a group's folder does not choose how long a look at it takes. */
TEST(any_number_of_strangers)
{
    SCOPED_BUFFER struct buffer last = { 0 };
    char inner[TEMP_PATH], name[TEMP_PATH + 16];

    begin();
    snprintf(inner, sizeof(inner), "%s/inner", folder);
    ck_assert_int_eq(mkdir(inner, 0755), 0);
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "%s/%u", inner, i);
        temp_write(name, "", 0644);
    }
    scope.group_count = 1;
    scope.groups[0].path = inner;
    ck_assert_int_gt(diff(FILES_DIFF_ALL), 50);
    ck_assert_msg(out.size < 6000, "%zu bytes are told", out.size);
    buffer_add_text(&last, out.data + out.size - strlen("…\n"));
    ck_assert_str_eq(last.data, "…\n");
    scope.group_count = 0;
    end();
}
