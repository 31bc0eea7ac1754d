/* schema_suite.c - the official test suite of JSON Schema, draft 7: every case, from Debian's
 * package. */
#include "common/schema/schema.h"

#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/canon.h"
#include "tests/test.h"

#define SUITE "/usr/share/json-schema-test-suite"
#define REQUIRED_CASES 423
#define FILE_MAX (4u << 20)
#define REMOTE "http://localhost:1234/"

struct scope_stats {
    int passed, failed;
};

static void read_file(const char *path, struct buffer *out)
{
    struct err e;

    ck_assert_msg(buffer_read_file(out, path, FILE_MAX, &e) == 0, "%s", e.text);
}

/* What the suite expects under REMOTE lies in a folder. */
static int serve(void *ctx, const char *uri, struct buffer *text_out, struct err *e)
{
    char path[512];

    (void)ctx;
    if (strncmp(uri, REMOTE, strlen(REMOTE)) != 0)
        return err_set(e, ERR_NOT_FOUND, "nobody serves %s", uri);
    snprintf(path, sizeof(path), SUITE "/remotes/%s", uri + strlen(REMOTE));
    return buffer_read_file(text_out, path, FILE_MAX, e);
}

static void run_case(const struct schema *s, const char *name, const json_t *group,
                     const json_t *one, struct scope_stats *tally)
{
    SCOPED_BUFFER struct buffer data = { 0 };
    bool expected = json_is_true(canon_member(one, "valid"));
    struct err e = { .text = "" };
    int result;

    canon_emit(canon_member(one, "data"), &data);
    result = schema_check(s, data.data, data.size, NULL, &e);
    if ((result == 0) == expected && (result == 0 || e.kind == ERR_INVALID)) {
        tally->passed++;
        return;
    }
    tally->failed++;
    printf("%s: %s: %s: should be %s: %s\n", name, canon_string(canon_member(group, "description")),
           canon_string(canon_member(one, "description")), expected ? "valid" : "invalid",
           result ? e.text : "it is said to be valid");
}

static void run_group(const char *name, const json_t *group, struct scope_stats *tally)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    const json_t *cases = canon_member(group, "tests");
    struct schema *s;
    struct err e;

    canon_emit(canon_member(group, "schema"), &text);
    if (schema_compile(text.data, text.size, serve, NULL, &s, NULL, &e)) {
        printf("%s: %s: %s\n", name, canon_string(canon_member(group, "description")), e.text);
        tally->failed += (int)json_array_size(cases);
        return;
    }
    for (size_t i = 0; i < json_array_size(cases); i++)
        run_case(s, name, group, json_array_get(cases, i), tally);
    schema_free(s);
}

static void run_file(const char *folder, const char *name, struct scope_stats *tally)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    char path[1024];
    json_t *groups;
    struct err e;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    read_file(path, &text);
    ck_assert_msg(canon_parse(name, text.data, text.size, &groups, &e) == 0, "%s", e.text);
    for (size_t i = 0; i < json_array_size(groups); i++)
        run_group(name, json_array_get(groups, i), tally);
    json_decref(groups);
}

static int is_json(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);

    return size > 5 && !strcmp(entry->d_name + size - 5, ".json");
}

static struct scope_stats run_folder(const char *folder)
{
    struct scope_stats tally = { 0 };
    struct dirent **names;
    int count = scandir(folder, &names, is_json, alphasort);

    ck_assert_msg(count > 0, "%s is not there: install json-schema-test-suite", folder);
    for (int i = 0; i < count; i++) {
        run_file(folder, names[i]->d_name, &tally);
        free(names[i]);
    }
    free(names);
    printf("%s: %d of %d cases\n", folder, tally.passed, tally.passed + tally.failed);
    return tally;
}

struct test_frame test_frame = { .timeout_s = 120 };

TEST(every_required_case)
{
    struct scope_stats tally = run_folder(SUITE "/tests/draft7");

    ck_assert_int_eq(tally.failed, 0);
    ck_assert_int_ge(tally.passed, REQUIRED_CASES);
}

TEST(optional_numbers_patterns_and_contents)
{
    /* content.json asks that contentEncoding and contentMediaType are asserted; they only tell. */
    struct scope_stats tally = run_folder(SUITE "/tests/draft7/optional");

    ck_assert_int_ge(tally.passed, 17);
    ck_assert_int_le(tally.failed, 4);
}

TEST(formats)
{
    /* IDNA's tables know that U+302E may not stand in a host name; we do not. */
    struct scope_stats tally = run_folder(SUITE "/tests/draft7/optional/format");

    ck_assert_int_ge(tally.passed, 118);
    ck_assert_int_le(tally.failed, 2);
}
