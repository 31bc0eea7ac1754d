/* http_answers.c - what is kept, what is pushed out, what a drop does to reads in progress. */
#include "coordinator/http/cache/reply_cache.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/http/request/cached_reply.h"
#include "coordinator/http/request/reply.h"
#include "tests/test.h"

static struct reply_cache *answers;
static struct reply_cache_name name;
static struct reply_cache_waiter waiter;
static struct cached_reply *found;
static struct flight *flight;
static unsigned parked;

static void open_with(size_t entries, size_t bytes)
{
    answers = reply_cache_new(&(struct reply_cache_limits){ entries, bytes });
    parked = 0;
}

static void park(struct reply_cache_waiter *w)
{
    ck_assert_ptr_eq(w, &waiter);
    parked++;
}

static struct cached_reply *answer(int status, const char *body)
{
    struct reply re = { .status = status, .content_type = "text/plain" };
    struct cached_reply *a;

    buffer_add_text(&re.body, body);
    reply_header(&re, "ETag", "\"1\"");
    a = cached_reply_of(&re);
    reply_fini(&re);
    return a;
}

static enum reply_cache_outcome find(const char *service, const char *key)
{
    ck_assert(reply_cache_name(&name, service, "prod", key));
    return reply_cache_find(answers, &name, &waiter, park, &found, &flight);
}

static void lead(const char *service, const char *key)
{
    ck_assert_int_eq(find(service, key), REPLY_CACHE_LEADING);
}

static void land(int status, const char *body)
{
    struct cached_reply *a = answer(status, body);

    ck_assert_ptr_null(reply_cache_land(answers, &flight, a));
    cached_reply_release(a);
}

static void keep(const char *service, const char *key, int status, const char *body)
{
    lead(service, key);
    land(status, body);
}

static void must_find(const char *service, const char *key, const char *body)
{
    ck_assert_int_eq(find(service, key), REPLY_CACHE_FOUND);
    ck_assert_uint_eq(found->size, strlen(body));
    ck_assert_mem_eq(found->body, body, found->size);
    cached_reply_release(found);
}

static void must_miss(const char *service, const char *key)
{
    lead(service, key);
    ck_assert_ptr_null(reply_cache_land(answers, &flight, NULL));
}

static void drop(const char *service, const char *key)
{
    ck_assert(reply_cache_name(&name, service, "prod", key));
    reply_cache_drop(answers, &name);
}

TEST(what_landed_is_found)
{
    struct reply_cache_counts c;

    open_with(1000, 1 << 20);
    keep("web", "a", 200, "one");
    must_find("web", "a", "one");
    must_miss("web", "b");
    must_miss("shop", "a");
    reply_cache_count(answers, &c);
    ck_assert_uint_eq(c.size, 1);
    ck_assert_uint_eq(c.hits, 1);
    ck_assert_uint_eq(c.misses, 3);
    ck_assert_uint_gt(c.bytes, 3);
    reply_cache_free(answers);
}

TEST(a_found_answer_outlives_its_drop)
{
    struct reply re = { 0 };
    struct cached_reply *mine;

    open_with(1000, 1 << 20);
    keep("web", "a", 200, "one");
    ck_assert_int_eq(find("web", "a"), REPLY_CACHE_FOUND);
    mine = found;
    drop("web", "a");
    must_miss("web", "a");
    cached_reply_give(mine, "\"2\"", &re);
    ck_assert_int_eq(re.status, 200);
    ck_assert_ptr_eq(re.lent, mine);
    cached_reply_give(mine, "\"1\"", &re);
    ck_assert_int_eq(re.status, 304);
    ck_assert_ptr_null(re.lent);
    ck_assert_str_eq(re.headers[0].value, "\"1\"");
    reply_fini(&re);
    cached_reply_release(mine);
    reply_cache_free(answers);
}

TEST(the_least_used_go_first)
{
    struct reply_cache_counts c;
    char key[16];

    open_with(6400, 1 << 26);
    keep("web", "busy", 200, "busy");
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        keep("web", key, 200, "x");
        if (i % 64 == 0)
            must_find("web", "busy", "busy");
    }
    reply_cache_count(answers, &c);
    ck_assert_uint_le(c.size, 6400);
    ck_assert_uint_gt(c.size, 5500);
    must_find("web", "k19999", "x");
    must_miss("web", "k0");
    reply_cache_free(answers);
}

TEST(bytes_are_bounded)
{
    static char big[10000];
    struct reply_cache_counts c;
    char key[16];

    memset(big, 'x', sizeof(big) - 1);
    open_with(1000000, 64 * 60000);
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        keep("web", key, 200, big);
    }
    reply_cache_count(answers, &c);
    ck_assert_uint_le(c.bytes, 64 * 60000);
    ck_assert_uint_gt(c.size, 200);
    reply_cache_free(answers);
    open_with(1000, 64 * 20000);
    keep("web", "too big for a shard", 200, big);
    must_miss("web", "too big for a shard");
    reply_cache_free(answers);
}

TEST(who_comes_second_joins)
{
    struct cached_reply *a = answer(200, "one");
    struct flight *leading;

    open_with(1000, 1 << 20);
    lead("web", "a");
    leading = flight;
    ck_assert_int_eq(find("web", "a"), REPLY_CACHE_JOINED);
    ck_assert_uint_eq(parked, 1);
    flight = leading;
    ck_assert_ptr_eq(reply_cache_land(answers, &flight, a), &waiter);
    ck_assert_ptr_null(flight);
    cached_reply_release(a);
    must_find("web", "a", "one");
    reply_cache_free(answers);
}

/* The read began before the commit: it may have seen what was before. */
static void ground_by(void (*drop_it)(void), int status, bool is_kept)
{
    struct flight *before;

    open_with(1000, 1 << 20);
    lead("web", "a");
    before = flight;
    drop_it();
    if (is_kept) {
        land(status, "old");
        must_find("web", "a", "old");
        reply_cache_free(answers);
        return;
    }
    lead("web", "a"); /* does not join what was in the air */
    land(status, "new");
    flight = before;
    land(status, "old");
    must_find("web", "a", "new");
    reply_cache_free(answers);
}

static void drop_key(void)
{
    drop("web", "a");
}

static void drop_scope(void)
{
    reply_cache_drop_scope(answers, "web:prod");
}

static void drop_absent(void)
{
    reply_cache_drop_absent(answers, "web:prod");
}

static void drop_all(void)
{
    reply_cache_drop_all(answers);
}

static void drop_others(void)
{
    drop("web", "b");
    drop("shop", "a");
    reply_cache_drop_scope(answers, "shop:prod");
    reply_cache_drop_scope(answers, "web:dev");
}

TEST(a_drop_grounds_flights)
{
    ground_by(drop_key, 200, false);
    ground_by(drop_scope, 200, false);
    ground_by(drop_absent, 404, false);
    ground_by(drop_all, 200, false);
    ground_by(drop_others, 200, true);
}

TEST(drops)
{
    open_with(1000, 1 << 20);
    keep("web", "a", 200, "a");
    keep("web", "none", 404, "none");
    keep("shop", "a", 200, "shop");
    reply_cache_drop_absent(answers, "web:prod");
    must_find("web", "a", "a");
    must_miss("web", "none");
    reply_cache_drop_scope(answers, "web:prod");
    must_miss("web", "a");
    must_find("shop", "a", "shop");
    keep("web", "a", 200, "again");
    must_find("web", "a", "again");
    reply_cache_drop_all(answers);
    must_miss("web", "a");
    must_miss("shop", "a");
    reply_cache_free(answers);
}

TEST(what_is_put_was_read_after_the_last_drop)
{
    struct cached_reply *a = answer(200, "one");
    uint64_t drops;

    open_with(1000, 1 << 20);
    drops = reply_cache_drops(answers);
    ck_assert(reply_cache_name(&name, "web", "prod", "a"));
    reply_cache_put(answers, &name, a, drops);
    must_find("web", "a", "one");
    drop("shop", "a");
    ck_assert(reply_cache_name(&name, "web", "prod", "b"));
    reply_cache_put(answers, &name, a, drops);
    must_miss("web", "b");
    cached_reply_release(a);
    reply_cache_free(answers);
}

TEST(taken_together)
{
    struct reply_cache_counts c;
    struct cached_reply *taken;

    open_with(1000, 1 << 20);
    lead("web", "a");
    land(200, "one");
    ck_assert(reply_cache_name(&name, "web", "prod", "a"));
    taken = reply_cache_take(answers, &name);
    ck_assert_ptr_nonnull(taken);
    cached_reply_release(taken);
    ck_assert(reply_cache_name(&name, "web", "prod", "b"));
    ck_assert_ptr_null(reply_cache_take(answers, &name));
    reply_cache_count(answers, &c);
    ck_assert_uint_eq(c.hits, 0);
    ck_assert_uint_eq(c.misses, 1);
    reply_cache_note(answers, 3, 4);
    reply_cache_count(answers, &c);
    ck_assert_uint_eq(c.hits, 3);
    ck_assert_uint_eq(c.misses, 5);
    reply_cache_free(answers);
}

TEST(names)
{
    char key[700];

    ck_assert(reply_cache_name(&name, "payments", "prod", "database.url"));
    ck_assert_str_eq(name.text, "payments:prod:database.url");
    ck_assert_uint_eq(name.size, strlen(name.text));
    ck_assert_uint_eq(name.scope_size, strlen("payments:prod"));
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    ck_assert(reply_cache_name(&name, "web", "prod", key));
    ck_assert(!reply_cache_name(&name, "payments-and-more", "prod", key));
}

/* The state that a hash without a key has after "w:prod:k" and one block of eight bytes, and a
 * second block that leads from it to nought: whoever knows the hash makes names that meet in one
 * chain. */
#define FACTOR UINT64_C(0x9e3779b97f4a7c15)

static uint64_t inverse(uint64_t odd)
{
    uint64_t x = odd;

    for (int i = 0; i < 6; i++)
        x *= 2 - odd * x;
    return x;
}

static bool make_colliding(uint64_t number, char key[18])
{
    const size_t size = strlen("w:prod:k") + 16;
    uint64_t hash = size * FACTOR, part;

    memcpy(&part, "w:prod:k", 8);
    hash = ((hash ^ part) * FACTOR) ^ (hash >> 29);
    part = UINT64_C(0x4141414141414141) + number;
    key[0] = 'k';
    memcpy(key + 1, &part, 8);
    hash = ((hash ^ part) * FACTOR) ^ (hash >> 29);
    part = hash ^ (hash >> 29) * inverse(FACTOR);
    memcpy(key + 9, &part, 8);
    key[17] = '\0';
    return strlen(key) == 17;
}

TEST(names_cannot_be_chosen_to_meet)
{
    char key[18];
    unsigned count = 0, by_chance;

    open_with(1000000, 1 << 26);
    for (int i = 0; i < 4000; i++) {
        snprintf(key, sizeof(key), "k%016d", i);
        keep("w", key, 404, "");
    }
    by_chance = reply_cache_longest_chain(answers);
    ck_assert_uint_le(by_chance, 16);
    reply_cache_free(answers);
    open_with(1000000, 1 << 26);
    for (uint64_t i = 0; count < 4000; i++)
        if (make_colliding(i, key)) {
            keep("w", key, 404, "");
            count++;
        }
    ck_assert_uint_le(reply_cache_longest_chain(answers), 16);
    reply_cache_free(answers);
}

/* A value that only grows: nobody may read a smaller one than the drop before promised. */
#define WRITES 20000

static _Atomic int written, promised;

static void *write_on(void *arg)
{
    struct reply_cache_name n;

    (void)arg;
    ck_assert(reply_cache_name(&n, "web", "prod", "grows"));
    for (int i = 0; i < WRITES; i++) {
        written++;
        reply_cache_drop(answers, &n);
        promised = written;
    }
    return NULL;
}

/* What whoever leads does. */
static void read_and_land(struct flight *f)
{
    struct cached_reply *a;
    char text[16];

    snprintf(text, sizeof(text), "%d", written);
    a = answer(200, text);
    reply_cache_land(answers, &f, a);
    cached_reply_release(a);
}

static void ignore(struct reply_cache_waiter *w)
{
    (void)w;
}

/* Gives something back when it found what must not be there any more. */
static void *read_on(void *arg)
{
    static struct reply_cache_waiter waiters[2][1000000];
    struct reply_cache_waiter *mine = waiters[arg != &written];
    struct reply_cache_name n;
    bool is_wrong = false;

    ck_assert(reply_cache_name(&n, "web", "prod", "grows"));
    for (size_t i = 0; promised < WRITES && i < 1000000; i++) {
        int least = promised;
        struct cached_reply *a;
        struct flight *f;
        enum reply_cache_outcome outcome = reply_cache_find(answers, &n, &mine[i], ignore, &a, &f);

        if (outcome == REPLY_CACHE_LEADING)
            read_and_land(f);
        if (outcome != REPLY_CACHE_FOUND)
            continue;
        is_wrong |= strtol(a->body, NULL, 10) < least;
        cached_reply_release(a);
    }
    return is_wrong ? arg : NULL;
}

TEST(nothing_stale_under_a_stream_of_drops)
{
    pthread_t threads[3];
    void *wrong;

    open_with(1000, 1 << 20);
    written = promised = 0;
    pthread_create(&threads[0], NULL, write_on, NULL);
    pthread_create(&threads[1], NULL, read_on, &written);
    pthread_create(&threads[2], NULL, read_on, &promised);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    reply_cache_free(answers);
}
