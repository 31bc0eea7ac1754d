/* keyring.c - the key file: read strictly, made, rotated; secrets that are switched off. */
#include "coordinator/keyring/keyring.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/keyring/key_file.h"
#include "tests/test.h"
#include "tests/unit/rights.h"
#include "tests/unit/temp_folder.h"

#define KEY_A "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=" /* 32 times A */
#define KEY_B "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="

static char folder[TEMP_PATH / 2], path[TEMP_PATH];
static struct keyring *k;
static struct err e;

static void setup(void)
{
    temp_make(folder);
    snprintf(path, sizeof(path), "%s/secrets.key", folder);
    k = NULL;
}

static void teardown(void)
{
    keyring_close(k);
    temp_remove(folder);
}

struct test_frame test_frame = { .set_up = setup, .tear_down = teardown };

static void open_keyring(void)
{
    const struct keyring_settings s = { .provider = "file", .key_file = path };

    ck_assert_int_eq(keyring_open(&s, &k, &e), 0);
}

/* Replaced, as an editor does it. */
static void write_keys(const char *text)
{
    unlink(path);
    temp_write(path, text, 0400);
}

static void check_text(const char *part)
{
    ck_assert_msg(strstr(e.text, part) != NULL, "%s lacks %s", e.text, part);
    ck_assert_ptr_null(strstr(e.text, "QUFB"));
}

static void check_unavailable(const char *part)
{
    struct envelope_wrapped wrapped;
    struct seal_key key;

    ck_assert_int_eq(keyring_new_key(k, &key, &wrapped, &e), -1);
    ck_assert_int_eq(e.kind, ERR_UNAVAILABLE);
    ck_assert_str_eq(e.code, "secrets_unavailable");
    check_text(part);
    check_text(path);
}

TEST(a_key_file_is_made_once)
{
    char id[KEY_FILE_ID_SIZE], other[KEY_FILE_ID_SIZE];
    struct key_file f;
    struct stat st;

    ck_assert_int_eq(key_file_create(path, id, &e), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0400);
    ck_assert_int_eq(key_file_load(path, &f, &e), 0);
    ck_assert_uint_eq(f.count, 1);
    ck_assert_str_eq(f.keys[0].id, id);
    ck_assert_int_eq(key_file_create(path, other, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CONFLICT);
    ck_assert_int_eq(key_file_load(path, &f, &e), 0);
    ck_assert_str_eq(f.keys[0].id, id);
    snprintf(path, sizeof(path), "%s/nowhere/x", folder);
    ck_assert_int_eq(key_file_create(path, id, &e), -1);
    check_text("No such file");
}

TEST(a_new_key_becomes_the_newest)
{
    char first[KEY_FILE_ID_SIZE], second[KEY_FILE_ID_SIZE];
    struct key_file before, after;

    ck_assert_int_eq(key_file_add(path, first, &e), -1);
    ck_assert_int_eq(e.kind, ERR_NOT_FOUND);
    ck_assert_int_eq(key_file_create(path, first, &e), 0);
    ck_assert_int_eq(key_file_load(path, &before, &e), 0);
    ck_assert_int_eq(key_file_add(path, second, &e), 0);
    ck_assert_int_eq(key_file_load(path, &after, &e), 0);
    ck_assert_uint_eq(after.count, 2);
    ck_assert_str_eq(after.keys[0].id, first);
    ck_assert_str_eq(after.keys[1].id, second);
    ck_assert_str_ne(first, second);
    ck_assert(memcmp(&before.keys[0].key, &after.keys[0].key, SEAL_KEY_SIZE) == 0);
    ck_assert(memcmp(&after.keys[0].key, &after.keys[1].key, SEAL_KEY_SIZE) != 0);
    while (after.count < KEY_FILE_KEYS_MAX) {
        ck_assert_int_eq(key_file_add(path, second, &e), 0);
        after.count++;
    }
    ck_assert_int_eq(key_file_add(path, second, &e), -1);
    check_text("64 keys");
    ck_assert_int_eq(key_file_load(path, &after, &e), 0);
}

/* A lost key is a lost secret: of programs that add one at the same time each keeps its own. */
TEST(keys_added_at_once_are_all_kept)
{
    char id[KEY_FILE_ID_SIZE];
    struct key_file f;
    int status;

    ck_assert_int_eq(key_file_create(path, id, &e), 0);
    for (unsigned i = 0; i < 8; i++) {
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0)
            _exit(key_file_add(path, id, &e) || key_file_add(path, id, &e) ? 1 : 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(key_file_load(path, &f, &e), 0);
    ck_assert_uint_eq(f.count, 17);
}

static void check_line(const char *text, unsigned line, const char *part)
{
    char place[32];
    struct key_file f;

    write_keys(text);
    ck_assert_msg(key_file_load(path, &f, &e) == -1, "%s", text);
    ck_assert_uint_eq(f.count, 0);
    snprintf(place, sizeof(place), "secrets.key:%u: ", line);
    check_text(place);
    check_text(part);
}

TEST(mistakes_have_their_line)
{
    struct key_file f;

    check_line("# keys\n\na = " KEY_A "\nb\n", 4, "ID = BASE64");
    check_line(KEY_A "\n", 1, "id is");
    check_line("A = " KEY_A "\n", 1, "id is");
    check_line(" = " KEY_A "\n", 1, "id is");
    check_line("a b = " KEY_A "\n", 1, "id is");
    check_line("a = " KEY_A "\na = " KEY_B "\n", 2, "further up");
    check_line("a = QUFBQQ==\n", 1, "32 bytes");
    check_line("a = " KEY_A KEY_B "\n", 1, "32 bytes");
    check_line("a = QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\n", 1, "32 bytes");
    check_line("a = \n", 1, "32 bytes");
    write_keys("# nothing yet\n");
    ck_assert_int_eq(key_file_load(path, &f, &e), -1);
    check_text("no key in it");
    write_keys("  \r\n# keys\r\n a-1.x_ =" KEY_A " \r\n\tb= " KEY_B);
    ck_assert_int_eq(key_file_load(path, &f, &e), 0);
    ck_assert_uint_eq(f.count, 2);
    ck_assert_str_eq(f.keys[0].id, "a-1.x_");
    ck_assert_int_eq(f.keys[1].key.bytes[31], 'B');
}

TEST(a_large_file_is_refused)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    struct key_file f;

    while (b.size < 20000)
        buffer_add_text(&b, "# filler\n");
    write_keys(b.data);
    ck_assert_int_eq(key_file_load(path, &f, &e), -1);
    check_text("larger");
    ck_assert_int_eq(key_file_load(folder, &f, &e), -1);
    check_text("not a file");
}

TEST(only_the_owner_may_read)
{
    static const mode_t wrong[] = { 0600, 0440, 0404, 0444, 0500, 0644, 04400, 0000 };
    struct key_file f;

    write_keys("a = " KEY_A "\n");
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_int_eq(chmod(path, wrong[i]), 0);
        ck_assert_int_eq(key_file_load(path, &f, &e), -1);
        check_text(geteuid() == 0 || wrong[i] ? "0400; chmod 400" : "Permission denied");
    }
    ck_assert_int_eq(chmod(path, 0400), 0);
    ck_assert_int_eq(key_file_load(path, &f, &e), 0);
    if (is_root("a key file of another user")) { /* nobody else can give a file away */
        ck_assert_int_eq(chown(path, 12345, (gid_t)-1), 0);
        ck_assert_int_eq(key_file_load(path, &f, &e), -1);
        check_text("belongs to user 12345");
    }
}

TEST(data_keys_come_back)
{
    struct envelope_wrapped one, two;
    struct seal_key first, second, back;
    char newest[ENVELOPE_KEY_ID_SIZE];

    write_keys("a = " KEY_A "\nb = " KEY_B "\n");
    open_keyring();
    ck_assert_int_eq(keyring_new_key(k, &first, &one, &e), 0);
    ck_assert_int_eq(keyring_new_key(k, &second, &two, &e), 0);
    ck_assert(memcmp(&first, &second, SEAL_KEY_SIZE) != 0);
    ck_assert(memcmp(one.bytes, two.bytes, one.size) != 0);
    ck_assert_str_eq(one.key_id, "file:b");
    ck_assert_int_eq(keyring_check(k, newest, &e), 0);
    ck_assert_str_eq(newest, "file:b");
    ck_assert_int_eq(keyring_unwrap(k, &one, &back, &e), 0);
    ck_assert(memcmp(&back, &first, SEAL_KEY_SIZE) == 0);
    one.bytes[20] ^= 1;
    ck_assert_int_eq(keyring_unwrap(k, &one, &back, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CORRUPT);
}

TEST(a_rotation_needs_no_restart)
{
    struct envelope_wrapped old, anew;
    struct seal_key key, back;
    char newest[ENVELOPE_KEY_ID_SIZE];

    write_keys("a = " KEY_A "\n");
    open_keyring();
    ck_assert_int_eq(keyring_new_key(k, &key, &old, &e), 0);
    write_keys("a = " KEY_A "\nb = " KEY_B "\n");
    ck_assert_int_eq(keyring_check(k, newest, &e), 0);
    ck_assert_str_eq(newest, "file:b");
    anew = old;
    ck_assert_int_eq(keyring_rewrap(k, &anew, &anew, &e), 0);
    ck_assert_str_eq(anew.key_id, "file:b");
    ck_assert_int_eq(keyring_unwrap(k, &old, &back, &e), 0);
    ck_assert(memcmp(&back, &key, SEAL_KEY_SIZE) == 0);
    write_keys("b = " KEY_B "\n");
    ck_assert_int_eq(keyring_unwrap(k, &anew, &back, &e), 0);
    ck_assert(memcmp(&back, &key, SEAL_KEY_SIZE) == 0);
    ck_assert_int_eq(keyring_unwrap(k, &old, &back, &e), -1);
    ck_assert_int_eq(e.kind, ERR_UNAVAILABLE);
    check_text("lacks the key file:a");
    anew = old;
    ck_assert_int_eq(keyring_rewrap(k, &anew, &anew, &e), -1);
    ck_assert_str_eq(anew.key_id, "file:a");
    write_keys("a = " KEY_B "\n");
    ck_assert_int_eq(keyring_unwrap(k, &old, &back, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CORRUPT);
}

TEST(a_key_that_is_gone_is_missed_and_comes_back)
{
    struct envelope_wrapped wrapped;
    struct seal_key key, back;

    open_keyring();
    check_unavailable("No such file");
    write_keys("a = " KEY_A "\n");
    ck_assert_int_eq(keyring_new_key(k, &key, &wrapped, &e), 0);
    ck_assert_int_eq(chmod(path, 0444), 0);
    check_unavailable("chmod 400");
    ck_assert_int_eq(chmod(path, 0400), 0);
    ck_assert_int_eq(keyring_unwrap(k, &wrapped, &back, &e), 0);
    ck_assert_int_eq(unlink(path), 0);
    check_unavailable("No such file");
    ck_assert_int_eq(keyring_unwrap(k, &wrapped, &back, &e), -1);
    write_keys("what = ever\n");
    check_unavailable("32 bytes");
    write_keys("a = " KEY_A "\n");
    ck_assert_int_eq(keyring_unwrap(k, &wrapped, &back, &e), 0);
    ck_assert(memcmp(&back, &key, SEAL_KEY_SIZE) == 0);
    snprintf(wrapped.key_id, sizeof(wrapped.key_id), "vault:lockstep:v1");
    ck_assert_int_eq(keyring_unwrap(k, &wrapped, &back, &e), -1);
    check_text("lacks the key vault:lockstep:v1");
}

static void *use_keys(void *failed)
{
    struct envelope_wrapped wrapped;
    struct seal_key key, back;
    struct err mine;

    for (unsigned i = 0; i < 500; i++)
        if (keyring_new_key(k, &key, &wrapped, &mine) != 0 ||
            keyring_rewrap(k, &wrapped, &wrapped, &mine) != 0 ||
            keyring_unwrap(k, &wrapped, &back, &mine) != 0 ||
            memcmp(&key, &back, SEAL_KEY_SIZE) != 0)
            *(bool *)failed = true;
    return NULL;
}

TEST(rotation_under_load)
{
    bool failed[4] = { false };
    pthread_t threads[4];
    char id[KEY_FILE_ID_SIZE];

    ck_assert_int_eq(key_file_create(path, id, &e), 0);
    open_keyring();
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_keys, &failed[i]), 0);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(key_file_add(path, id, &e), 0);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!failed[i]);
    }
}

TEST(secrets_may_be_switched_off)
{
    const struct keyring_settings none = { .provider = "none" }, unset = { 0 };
    struct keyring_settings wrong = { .provider = "flie" };
    struct envelope_wrapped wrapped = { .key_id = "file:a", .size = 60 };
    struct keyring *other;
    struct seal_key key;
    char newest[ENVELOPE_KEY_ID_SIZE];

    ck_assert_int_eq(keyring_open(&none, &k, &e), 0);
    ck_assert_int_eq(keyring_new_key(k, &key, &wrapped, &e), -1);
    ck_assert_str_eq(e.code, "secrets_unavailable");
    ck_assert_int_eq(keyring_unwrap(k, &wrapped, &key, &e), -1);
    ck_assert_int_eq(keyring_rewrap(k, &wrapped, &wrapped, &e), -1);
    ck_assert_int_eq(keyring_check(k, newest, &e), -1);
    check_text("switched off");
    ck_assert_int_eq(keyring_open(&unset, &other, &e), 0);
    keyring_close(other);
    ck_assert_int_eq(keyring_open(&wrong, &other, &e), -1);
    check_text("[secrets] provider is \"flie\"");
    wrong.provider = "file";
    ck_assert_int_eq(keyring_open(&wrong, &other, &e), -1);
    check_text("[secrets] key_file is missing");
}
