/* agent_publish.c - tests of what the agent publishes and what liblockstep reads of it. */
#include "agent/publish/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/client/lockstep.h"
#include "agent/client/lookup.h"
#include "agent/publish/image.h"
#include "common/clock.h"
#include "common/crypto/digest.h"
#include "tests/test.h"
#include "tests/unit/temp_folder.h"

#define SCOPE "payments/prod"

static char folder[TEMP_PATH / 2], scope_folder[TEMP_PATH];
static struct agent_settings settings;
static struct agent_scope scope;
static struct publisher *publisher;
static struct err e;

static void open_publisher(void)
{
    ck_assert_msg(publish_open(&settings, &publisher, &e) == 0, "%s", e.text);
}

static void begin(void)
{
    temp_make(folder);
    snprintf(scope_folder, sizeof(scope_folder), "%s/" SCOPE, folder);
    scope = (struct agent_scope){ .name = SCOPE, .service = "payments", .environment = "prod" };
    settings = (struct agent_settings){ .publish_dir = folder, .scope_count = 1,
                                        .scopes = { &scope } };
    open_publisher();
}

static void end(void)
{
    publish_close(publisher);
    temp_remove(folder);
}

struct pair {
    const char *key;
    enum value_type type;
    const char *text;
};

static struct document *document_of(const struct pair *pairs, size_t count, struct hash *hash)
{
    struct document *d = document_new();
    size_t size;
    char *bytes;

    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(document_set(d, pairs[i].key, pairs[i].type, pairs[i].text, &e), 0);
    ck_assert_int_eq(document_encode(d, &bytes, &size, hash, &e), 0);
    free(bytes);
    return d;
}

static struct hash publish(uint64_t revision, const struct pair *pairs, size_t count)
{
    struct content content = { .revision = revision };
    struct document *d = document_of(pairs, count, &content.hash);

    ck_assert_msg(publish_write(publisher, 0, d, &content.hash, &e) == 0, "%s", e.text);
    ck_assert_msg(publish_switch(publisher, 0, &content, &e) == 0, "%s", e.text);
    document_free(d);
    return content.hash;
}

static struct hash publish_number(uint64_t revision, const char *number)
{
    struct pair pair = { "limit", VALUE_NUMBER, number };

    return publish(revision, &pair, 1);
}

static struct lockstep *open_scope(int expected)
{
    struct lockstep *ls;

    ck_assert_int_eq(lockstep_open_at(&ls, folder, SCOPE, 0), expected);
    return ls;
}

static void path_of(const struct hash *hash, char out[TEMP_PATH * 2])
{
    char hex[HASH_HEX_SIZE];

    hash_to_hex(hash, hex);
    snprintf(out, TEMP_PATH * 2, "%s/%s", scope_folder, hex);
}

/* What was refused a moment ago is not tried again at once. */
static void expect_int(struct lockstep *ls, int64_t expected)
{
    int64_t until_ms = clock_monotonic_ms() + 5000;

    while (lockstep_int(ls, "limit", -1) != expected) {
        ck_assert_msg(clock_monotonic_ms() < until_ms, "limit is %lld, not %lld",
                      (long long)lockstep_int(ls, "limit", -1), (long long)expected);
        poll(NULL, 0, 5);
    }
}

/* ---- values ---- */

static const struct pair samples[] = {
    { "int", VALUE_NUMBER, "3600" },          { "negative", VALUE_NUMBER, "-7" },
    { "largest", VALUE_NUMBER, "9223372036854775807" },
    { "exponent", VALUE_NUMBER, "1e3" },      { "real", VALUE_NUMBER, "0.25" },
    { "text-int", VALUE_STRING, "42" },       { "hex", VALUE_STRING, "0x10" },
    { "version", VALUE_STRING, "1.2.3" },     { "words", VALUE_STRING, "two words" },
    { "empty", VALUE_STRING, "" },            { "true", VALUE_BOOLEAN, "true" },
    { "false", VALUE_BOOLEAN, "false" },      { "yes", VALUE_STRING, "Yes" },
    { "one", VALUE_NUMBER, "1" },             { "off", VALUE_STRING, "off" },
    { "object", VALUE_JSON, "{\"a\":[1,2]}" }, { "yaml", VALUE_YAML, "a: 1\n" },
    { "secret", VALUE_STRING,
      "{\"$secret\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}" },
};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

TEST(numbers)
{
    struct lockstep *ls;

    begin();
    publish(1, samples, SAMPLES);
    ls = open_scope(0);
    ck_assert_int_eq(lockstep_int(ls, "int", -1), 3600);
    ck_assert_int_eq(lockstep_int(ls, "negative", -1), -7);
    ck_assert_int_eq(lockstep_int(ls, "largest", -1), INT64_MAX);
    ck_assert_int_eq(lockstep_int(ls, "exponent", -1), 1000);
    ck_assert_int_eq(lockstep_int(ls, "text-int", -1), 42);
    ck_assert_int_eq(lockstep_int(ls, "real", -1), -1);
    ck_assert_int_eq(lockstep_int(ls, "hex", -1), -1);
    ck_assert_int_eq(lockstep_int(ls, "version", -1), -1);
    ck_assert_int_eq(lockstep_int(ls, "empty", -1), -1);
    ck_assert_int_eq(lockstep_int(ls, "absent", -1), -1);
    ck_assert_int_eq(lockstep_int(ls, "secret", -1), -1);
    ck_assert_double_eq(lockstep_double(ls, "real", -1), 0.25);
    ck_assert_double_eq(lockstep_double(ls, "int", -1), 3600);
    ck_assert_double_eq(lockstep_double(ls, "words", 0.5), 0.5);
    ck_assert_uint_eq(lockstep_revision(ls), 1);
    lockstep_close(ls);
    end();
}

TEST(bools)
{
    struct lockstep *ls;

    begin();
    publish(1, samples, SAMPLES);
    ls = open_scope(0);
    ck_assert(lockstep_bool(ls, "true", false));
    ck_assert(lockstep_bool(ls, "yes", false));
    ck_assert(lockstep_bool(ls, "one", false));
    ck_assert(!lockstep_bool(ls, "false", true));
    ck_assert(!lockstep_bool(ls, "off", true));
    ck_assert(lockstep_bool(ls, "words", true));
    ck_assert(!lockstep_bool(ls, "int", false));
    ck_assert(lockstep_bool(ls, "secret", true));
    lockstep_close(ls);
    end();
}

TEST(texts)
{
    struct lockstep *ls;
    char text[8];

    begin();
    publish(1, samples, SAMPLES);
    ls = open_scope(0);
    ck_assert_uint_eq(lockstep_string(ls, "words", NULL, text, sizeof(text)), 9);
    ck_assert_str_eq(text, "two wor");
    ck_assert_uint_eq(lockstep_string(ls, "int", NULL, text, sizeof(text)), 4);
    ck_assert_str_eq(text, "3600");
    ck_assert_uint_eq(lockstep_string(ls, "empty", "preset", text, sizeof(text)), 0);
    ck_assert_str_eq(text, "");
    ck_assert_uint_eq(lockstep_string(ls, "secret", "preset", text, sizeof(text)), 6);
    ck_assert_str_eq(text, "preset");
    ck_assert_uint_eq(lockstep_string(ls, "absent", NULL, text, sizeof(text)), 0);
    ck_assert_str_eq(text, "");
    ck_assert_uint_eq(lockstep_string(ls, "words", NULL, NULL, 0), 9);
    ck_assert_uint_eq(lockstep_json(ls, "words", "null", text, sizeof(text)), 4);
    ck_assert_str_eq(text, "null");
    ck_assert_uint_eq(lockstep_json(ls, "object", NULL, NULL, 0), 11);
    lockstep_close(ls);
    end();
}

TEST(all_keys)
{
    const struct lockstep_snapshot *s;
    struct lockstep_item item;
    char last[64] = "";
    struct lockstep *ls;

    begin();
    publish(1, samples, SAMPLES);
    ls = open_scope(0);
    s = lockstep_hold(ls);
    ck_assert_uint_eq(lockstep_held_count(s), SAMPLES);
    for (size_t i = 0; i < SAMPLES; i++) {
        ck_assert(lockstep_held_at(s, i, &item));
        ck_assert_str_gt(item.key, last);
        snprintf(last, sizeof(last), "%s", item.key);
    }
    ck_assert(!lockstep_held_at(s, SAMPLES, &item));
    ck_assert(lockstep_held_find(s, "secret", &item));
    ck_assert(item.type == LOCKSTEP_SECRET && !item.text && !item.is_bool && !item.is_int);
    ck_assert(lockstep_held_find(s, "object", &item));
    ck_assert(item.type == LOCKSTEP_JSON && item.size == 11);
    ck_assert_str_eq(item.text, "{\"a\":[1,2]}");
    ck_assert(!lockstep_held_find(s, "obj", &item));
    lockstep_release(s);
    lockstep_close(ls);
    end();
}

static void lay_out_many(unsigned count, struct document *d)
{
    for (unsigned i = 0; i < count; i++) {
        char key[32], value[32];

        snprintf(key, sizeof(key), "key.%u", i);
        snprintf(value, sizeof(value), "%u", i);
        ck_assert_int_eq(document_set(d, key, VALUE_NUMBER, value, &e), 0);
    }
}

/* Every key is found again, and none that is not there. */
TEST(many_keys)
{
    static const unsigned counts[] = { 0, 1, 2, 3, 7, 100, 20000 };
    struct hash hash = { { 7 } };

    for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
        SCOPED_BUFFER struct buffer image = { 0 };
        SCOPED(document_free) struct document *d = document_new();
        const char *why;

        lay_out_many(counts[n], d);
        image_build(d, &hash, &image);
        why = published_check_document(image.data, image.size, hash.bytes);
        ck_assert_msg(!why, "%u keys: the image %s", counts[n], why);
        for (unsigned i = 0; i < counts[n]; i++) {
            const struct published_entry *entry;
            char key[32];

            snprintf(key, sizeof(key), "key.%u", i);
            entry = lookup_key(image.data, key);
            ck_assert(entry && entry->integer == i);
        }
        ck_assert_ptr_null(lookup_key(image.data, "key."));
        ck_assert_ptr_null(lookup_key(image.data, ""));
    }
}

/* ---- revisions ---- */

TEST(switching)
{
    const struct lockstep_snapshot *old, *current;
    char hex[HASH_HEX_SIZE];
    struct hash first, second;
    struct lockstep *ls;

    begin();
    ls = open_scope(LOCKSTEP_NOT_LOADED);
    ck_assert_int_eq(lockstep_int(ls, "limit", 5), 5);
    first = publish_number(1, "10");
    expect_int(ls, 10);
    old = lockstep_hold(ls);
    second = publish_number(2, "20");
    ck_assert_int_eq(lockstep_int(ls, "limit", 5), 20);
    publish_sweep(publisher, 0, NULL, 0);
    ck_assert(!publish_has(publisher, 0, &first));
    ck_assert(publish_has(publisher, 0, &second));
    current = lockstep_hold(ls);
    ck_assert_int_eq(lockstep_held_int(old, "limit", 5), 10);
    ck_assert_int_eq(lockstep_held_int(current, "limit", 5), 20);
    ck_assert_uint_eq(lockstep_held_revision(old), 1);
    hash_to_hex(&first, hex);
    ck_assert_str_eq(lockstep_held_hash(old), hex);
    lockstep_close(ls);
    ck_assert_int_eq(lockstep_held_int(old, "limit", 5), 10);
    lockstep_release(current);
    lockstep_release(old);
    end();
}

TEST(no_configuration)
{
    struct content nothing = { 0 };
    struct lockstep *ls;

    begin();
    publish_number(1, "10");
    ls = open_scope(0);
    ck_assert_int_eq(publish_switch(publisher, 0, &nothing, &e), 0);
    ck_assert_int_eq(lockstep_int(ls, "limit", 5), 5);
    ck_assert_uint_eq(lockstep_revision(ls), 0);
    publish_number(3, "30");
    ck_assert_int_eq(lockstep_int(ls, "limit", 5), 30);
    lockstep_close(ls);
    end();
}

/* The control file goes on where it was: readers of before the restart follow. */
TEST(agent_restarts)
{
    struct lockstep *ls;

    begin();
    publish_number(1, "10");
    ls = open_scope(0);
    publish_close(publisher);
    ck_assert_int_eq(lockstep_int(ls, "limit", 5), 10);
    open_publisher();
    ck_assert_int_eq(lockstep_int(ls, "limit", 5), 10);
    publish_number(2, "20");
    ck_assert_int_eq(lockstep_int(ls, "limit", 5), 20);
    lockstep_close(ls);
    end();
}

/* ---- damage ---- */

static void damage(const char *path, off_t at, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, bytes, size, at), (ssize_t)size);
    close(fd);
}

TEST(truncated_document)
{
    char path[TEMP_PATH * 2], trouble[300];
    struct hash hash;
    struct lockstep *ls;

    begin();
    publish_number(1, "10");
    ls = open_scope(0);
    hash = publish_number(2, "20");
    path_of(&hash, path);
    for (off_t size = 200; size >= 0; size -= 40) {
        ck_assert_int_eq(truncate(path, size), 0);
        ck_assert_int_eq(lockstep_wait(ls, 0), 0);
        ck_assert_int_eq(lockstep_int(ls, "limit", 5), 10);
        ck_assert_ptr_nonnull(strstr(lockstep_trouble(ls, trouble, sizeof(trouble)), path));
    }
    ck_assert(!publish_has(publisher, 0, &hash));
    publish_number(2, "20"); /* written again */
    expect_int(ls, 20);
    ck_assert_str_eq(lockstep_trouble(ls, trouble, sizeof(trouble)), "");
    lockstep_close(ls);
    end();
}

/* Whatever byte is wrong, the document is refused. */
TEST(damaged_document)
{
    SCOPED_BUFFER struct buffer image = { 0 };
    struct hash hash;
    struct document *d;

    begin();
    d = document_of(samples, SAMPLES, &hash);
    image_build(d, &hash, &image);
    document_free(d);
    for (size_t i = 0; i < image.size; i++) {
        image.data[i] ^= 0x10;
        ck_assert_msg(published_check_document(image.data, image.size, hash.bytes),
                      "byte %zu is wrong, and nothing noticed", i);
        image.data[i] ^= 0x10;
    }
    for (size_t size = 0; size < image.size; size++) {
        char *cut = malloc(size + 1); /* where a read beyond the end is noticed */

        memcpy(cut, image.data, size);
        ck_assert(published_check_document(cut, size, hash.bytes));
        free(cut);
    }
    end();
}

/* The checksum may be right and the places wrong all the same. */
TEST(wrong_places)
{
    SCOPED_BUFFER struct buffer image = { 0 };
    struct hash hash;
    struct document *d;

    begin();
    d = document_of(samples, SAMPLES, &hash);
    image_build(d, &hash, &image);
    document_free(d);
    for (size_t i = 32; i + 4 <= image.size; i += 4) {
        struct published_header *h = (void *)image.data;
        static const uint32_t values[] = { 4, 92, 0x7fffffff, 0xfffffff8, UINT32_MAX };
        uint32_t was;

        memcpy(&was, image.data + i, 4);
        for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
            memcpy(image.data + i, &values[k], 4);
            h->checksum = published_checksum(image.data, image.size);
            if (!published_check_document(image.data, image.size, NULL))
                for (size_t n = 0; n < SAMPLES; n++)
                    lookup_key(image.data, samples[n].key);
        }
        memcpy(image.data + i, &was, 4);
    }
    end();
}

TEST(damaged_control)
{
    char path[TEMP_PATH * 2], trouble[300];
    struct lockstep *ls;

    begin();
    publish_number(1, "10");
    publish_close(publisher);
    snprintf(path, sizeof(path), "%s/current", scope_folder);
    damage(path, 100, "rubbish", 7);
    for (unsigned i = 0; i < 16; i++)
        damage(path, (off_t)(offsetof(struct published_control, ring) + 64 * i + 20), "x", 1);
    ls = open_scope(LOCKSTEP_NOT_LOADED);
    ck_assert_ptr_nonnull(strstr(lockstep_trouble(ls, trouble, sizeof(trouble)), "damaged"));
    open_publisher();
    publish_number(2, "20");
    ck_assert_int_eq(lockstep_wait(ls, 0), 0);
    ck_assert_int_eq(lockstep_int(ls, "limit", 5), 20);
    lockstep_close(ls);
    ck_assert_int_eq(truncate(path, 50), 0);
    ls = open_scope(LOCKSTEP_NOT_LOADED);
    lockstep_close(ls);
    publish_close(publisher);
    open_publisher();
    publish_number(3, "30");
    ls = open_scope(0);
    ck_assert_int_eq(lockstep_int(ls, "limit", 5), 30);
    lockstep_close(ls);
    end();
}

/* A process that only gets, and never asks for news, finds the new file as well. */
static void get_until(struct lockstep *ls, int64_t expected)
{
    for (unsigned i = 0; i < 1000 && lockstep_int(ls, "limit", 0) != expected; i++)
        poll(NULL, 0, 5);
    ck_assert_int_eq(lockstep_int(ls, "limit", 0), expected);
}

TEST(lost_control)
{
    char path[TEMP_PATH * 2];
    struct lockstep *ls;

    begin();
    publish_number(1, "10");
    ls = open_scope(0);
    get_until(ls, 10);
    snprintf(path, sizeof(path), "%s/current", scope_folder);
    ck_assert_int_eq(unlink(path), 0);
    publish_number(2, "20");
    get_until(ls, 20);
    publish_close(publisher);
    for (unsigned i = 0; i < 16; i++)
        damage(path, (off_t)(offsetof(struct published_control, ring) + 64 * i + 20), "x", 1);
    open_publisher();
    publish_number(3, "30");
    get_until(ls, 30);
    lockstep_close(ls);
    end();
}

TEST(bad_names)
{
    static const char *const names[] = { "", "payments", "/prod", "payments/", "a/b/c", "../prod",
                                         "payments/..", "Payments/prod", "a/.b", ".consumers/a" };
    struct lockstep *ls;

    begin();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        ck_assert_int_eq(lockstep_open_at(&ls, folder, names[i], 0), -EINVAL);
        ck_assert_ptr_null(ls);
    }
    end();
}

TEST(modes)
{
    char path[TEMP_PATH * 2];
    struct hash hash;

    begin();
    hash = publish_number(1, "10");
    path_of(&hash, path);
    ck_assert_int_eq(temp_mode(path), 0640);
    ck_assert_int_eq(temp_mode(scope_folder), 0750);
    snprintf(path, sizeof(path), "%s/current", scope_folder);
    ck_assert_int_eq(temp_mode(path), 0640);
    end();
}
