/* client_swaps.c - readers on eight threads while the agent's side swaps a hundred times a second. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "agent/client/lockstep.h"
#include "agent/publish/publish.h"
#include "common/clock.h"
#include "common/document/document.h"
#include "common/invariant.h"
#include "tests/test.h"
#include "tests/unit/temp_folder.h"

#define READERS 8
#define KEYS 64
#define HELD 4
#define SWAP_MS 10
#define TEXT_MAX 400

static char folder[TEMP_PATH / 2];
static struct agent_settings settings;
static struct agent_scope scope = { .name = "swaps/prod", .service = "swaps",
                                    .environment = "prod" };
static struct lockstep *config;
static atomic_bool is_over;
static atomic_ullong published; /* the newest revision */

/* LOCKSTEP_SWAP_SECONDS: check-all takes a minute of it. */
static int64_t duration_ms(void)
{
    const char *text = getenv("LOCKSTEP_SWAP_SECONDS");

    return text ? strtoll(text, NULL, 10) * 1000 : 5000;
}

/* ---- the writer ---- */

/* Every key of a revision says the same: its number, or one letter, so many times. */
static struct document *document_of(uint64_t revision)
{
    struct document *d = document_new();
    char key[32], value[TEXT_MAX];
    struct err e;

    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "number.%u", i);
        snprintf(value, sizeof(value), "%llu", (unsigned long long)revision);
        ck_assert_int_eq(document_set(d, key, VALUE_NUMBER, value, &e), 0);
        snprintf(key, sizeof(key), "text.%u", i);
        memset(value, 'a' + (int)(revision % 26), sizeof(value));
        value[1 + revision * 7 % (TEXT_MAX - 2)] = '\0';
        ck_assert_int_eq(document_set(d, key, VALUE_STRING, value, &e), 0);
    }
    return d;
}

static void publish(struct publisher *p, uint64_t revision)
{
    struct content content = { .revision = revision };
    struct document *d = document_of(revision);
    struct err e;
    size_t size;
    char *bytes;

    ck_assert_int_eq(document_encode(d, &bytes, &size, &content.hash, &e), 0);
    free(bytes);
    ck_assert_msg(publish_write(p, 0, d, &content.hash, &e) == 0, "%s", e.text);
    ck_assert_msg(publish_switch(p, 0, &content, &e) == 0, "%s", e.text);
    atomic_store(&published, revision);
    publish_sweep(p, 0, NULL, 0); /* only what mappings hold is left of the one before */
    document_free(d);
}

static void *write_swaps(void *context)
{
    struct publisher *p = context;
    int64_t began_ms = clock_monotonic_ms(), now_ms = began_ms;

    for (uint64_t i = 1; now_ms < began_ms + duration_ms(); i++) {
        publish(p, i + 1);
        now_ms = clock_monotonic_ms();
        if (now_ms < began_ms + (int64_t)i * SWAP_MS)
            poll(NULL, 0, (int)(began_ms + (int64_t)i * SWAP_MS - now_ms));
    }
    atomic_store(&is_over, true);
    return NULL;
}

/* ---- the readers: libcheck notes every assertion under a lock, so theirs are MUST ---- */

static void check_text(const char *text, size_t size, uint64_t revision)
{
    MUST(size == 1 + revision * 7 % (TEXT_MAX - 2));
    for (size_t i = 0; i < size; i++)
        MUST(text[i] == 'a' + (int)(revision % 26));
}

/* Everything in it is of one revision. */
static void check_whole(const struct lockstep_snapshot *s)
{
    uint64_t revision = lockstep_held_revision(s);
    struct lockstep_item item;

    MUST(lockstep_held_count(s) == 2 * KEYS);
    for (size_t i = 0; lockstep_held_at(s, i, &item); i++)
        if (item.type == LOCKSTEP_NUMBER)
            MUST((uint64_t)item.int_value == revision);
        else
            check_text(item.text, item.size, revision);
}

/* A copied text is whole, and nothing goes backwards. */
static uint64_t check_single(unsigned turn, uint64_t least)
{
    char key[32], text[TEXT_MAX];
    uint64_t revision;
    size_t size;

    snprintf(key, sizeof(key), "number.%u", turn % KEYS);
    revision = (uint64_t)lockstep_int(config, key, 0);
    MUST(revision >= least);
    snprintf(key, sizeof(key), "text.%u", turn % KEYS);
    size = lockstep_string(config, key, NULL, text, sizeof(text));
    MUST(strlen(text) == size);
    for (size_t i = 1; i < size; i++)
        MUST(text[i] == text[0]);
    return revision;
}

static void *read_on(void *context)
{
    const struct lockstep_snapshot *held[HELD] = { NULL };
    uint64_t least = 1;
    unsigned turn = (unsigned)(size_t)context;

    for (; !atomic_load(&is_over); turn++) {
        unsigned place = turn % HELD;

        for (unsigned i = 0; i < 100; i++)
            least = check_single(turn + i, least);
        if (held[place])
            check_whole(held[place]); /* it may be swept since long */
        lockstep_release(held[place]);
        held[place] = lockstep_hold(config);
        MUST(lockstep_held_revision(held[place]) >= least);
        check_whole(held[place]);
    }
    for (unsigned i = 0; i < HELD; i++)
        lockstep_release(held[i]);
    return NULL;
}

static void *visit(void *context)
{
    const struct lockstep_snapshot *s = lockstep_hold(config);

    (void)context;
    check_whole(s);
    lockstep_release(s);
    return NULL;
}

/* Threads come and go: their places are taken over by others. */
static void *come_and_go(void *context)
{
    while (!atomic_load(&is_over)) {
        pthread_t thread;

        MUST(pthread_create(&thread, NULL, visit, context) == 0);
        pthread_join(thread, NULL);
    }
    return NULL;
}

static atomic_ullong last_heard;
static atomic_uint calls;

static void on_change(struct lockstep *ls, const struct lockstep_snapshot *s, void *context)
{
    (void)ls;
    (void)context;
    check_whole(s);
    MUST(lockstep_held_revision(s) >= atomic_load(&last_heard));
    atomic_store(&last_heard, lockstep_held_revision(s));
    atomic_fetch_add(&calls, 1);
}

/* A process that forks in the middle of it all: the child reads on. */
static void fork_now_and_then(void)
{
    while (!atomic_load(&is_over)) {
        pid_t child = fork();
        int status;

        MUST(child >= 0);
        if (child == 0) {
            const struct lockstep_snapshot *s = lockstep_hold(config);

            check_whole(s);
            lockstep_release(s);
            MUST(lockstep_changed(config) >= 0);
            _exit(lockstep_int(config, "number.1", 0) > 0 ? 0 : 1);
        }
        MUST(waitpid(child, &status, 0) == child);
        MUST(status == 0);
        poll(NULL, 0, 50);
    }
}

struct test_frame test_frame = { .timeout_s = 300 };

TEST(swaps)
{
    pthread_t readers[READERS], writer, visitor;
    struct publisher *p;
    struct err e;

    temp_make(folder);
    settings = (struct agent_settings){ .publish_dir = folder, .scope_count = 1,
                                        .scopes = { &scope } };
    ck_assert_msg(publish_open(&settings, &p, &e) == 0, "%s", e.text);
    publish(p, 1);
    ck_assert_int_eq(lockstep_open_at(&config, folder, scope.name, 0), 0);
    ck_assert_int_eq(lockstep_watch(config, on_change, NULL), 0);
    for (size_t i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_on, (void *)i), 0);
    ck_assert_int_eq(pthread_create(&visitor, NULL, come_and_go, NULL), 0);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_swaps, p), 0);
    if (!getenv("LOCKSTEP_SWAP_SECONDS"))
        fork_now_and_then(); /* sanitizers do not take threads into a child */
    pthread_join(writer, NULL);
    pthread_join(visitor, NULL);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    for (int i = 0; i < 1000 && atomic_load(&last_heard) != atomic_load(&published); i++)
        poll(NULL, 0, 5);
    ck_assert_uint_eq(atomic_load(&last_heard), atomic_load(&published));
    ck_assert_uint_gt(atomic_load(&calls), atomic_load(&published) / 4);
    lockstep_close(config);
    publish_close(p);
    temp_remove(folder);
}
