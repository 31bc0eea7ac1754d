/* secret_parts.c - what an agent's secrets are made of: own key, cache, fetching, redacting. */
#include <check.h>

#include "agent/cache/cache.h"
#include "agent/cache/own_key.h"
#include "agent/link/secret_fetch.h"
#include "agent/tasks/redact.h"
#include "tests/test.h"
#include "tests/unit/agent_kit.h"
#include "tests/unit/secret_kit.h"

#define VALUE "correct horse battery staple"

static char folder[TEMP_PATH / 2], key_path[TEMP_PATH];
static struct err e;

static void begin(void)
{
    temp_make(folder);
    snprintf(key_path, sizeof(key_path), "%s/secrets.key", folder);
}

static void end(void)
{
    temp_remove(folder);
}

struct test_frame test_frame = { .set_up = begin, .tear_down = end };

static struct own_keys open_keys(const char *outer)
{
    struct own_keys keys;
    bool is_new;

    ck_assert_msg(own_keys_open(key_path, outer, &keys, &is_new, &e) == 0, "%s", e.text);
    return keys;
}

/* ---- the own key ---- */

TEST(own_key_is_made_once_and_changes)
{
    struct own_keys keys = open_keys(NULL), again = open_keys(NULL);
    struct envelope_wrapped old, fresh;
    struct seal_key data_key, back;

    ck_assert_uint_eq(temp_mode(key_path), 0400);
    seal_key_draw(&data_key);
    own_keys_wrap(&keys, &data_key, &old);
    ck_assert_int_eq(own_keys_unwrap(&again, &old, &back), 0);
    ck_assert_mem_eq(&back, &data_key, sizeof(back));

    ck_assert_msg(own_keys_add(key_path, NULL, &keys, &e) == 0, "%s", e.text);
    own_keys_wrap(&keys, &data_key, &fresh);
    again = open_keys(NULL); /* a crash now loses neither */
    ck_assert_uint_eq(again.count, 2);
    ck_assert_int_eq(own_keys_unwrap(&again, &old, &back), 0);
    ck_assert_int_eq(own_keys_unwrap(&again, &fresh, &back), 0);

    ck_assert_msg(own_keys_retire(key_path, &keys, &e) == 0, "%s", e.text);
    again = open_keys(NULL);
    ck_assert_int_eq(own_keys_unwrap(&again, &old, &back), -1);
    ck_assert_int_eq(own_keys_unwrap(&again, &fresh, &back), 0);
    ck_assert_uint_eq(temp_mode(key_path), 0400);
}

TEST(an_outer_key_belongs_to_it)
{
    char outer[TEMP_PATH], other[TEMP_PATH];
    struct own_keys with, without, wrong;
    struct envelope_wrapped wrapped;
    struct seal_key data_key, back;
    bool is_new;

    snprintf(outer, sizeof(outer), "%s/outer", folder);
    snprintf(other, sizeof(other), "%s/other", folder);
    temp_write(outer, "0123456789abcdef0123456789abcdef", 0400);
    temp_write(other, "another key of thirty-two bytes!", 0400);
    with = open_keys(outer);
    without = open_keys(NULL);
    wrong = open_keys(other);
    seal_key_draw(&data_key);
    own_keys_wrap(&with, &data_key, &wrapped);
    ck_assert_int_eq(own_keys_unwrap(&without, &wrapped, &back), -1);
    ck_assert_int_eq(own_keys_unwrap(&wrong, &wrapped, &back), -1);
    with = open_keys(outer);
    ck_assert_int_eq(own_keys_unwrap(&with, &wrapped, &back), 0);

    ck_assert_int_eq(unlink(outer), 0); /* nobody may write to it */
    temp_write(outer, "short", 0400);
    ck_assert_int_eq(own_keys_open(key_path, outer, &with, &is_new, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "at least 32"));
    ck_assert_int_eq(chmod(other, 0644), 0);
    ck_assert_int_eq(own_keys_open(key_path, other, &with, &is_new, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "others may read it"));
}

TEST(a_damaged_own_key_says_what_to_do)
{
    struct own_keys keys = open_keys(NULL);
    bool is_new;

    ck_assert_int_eq(unlink(key_path), 0);
    temp_write(key_path, "key own-1 AAAA\n", 0400);
    ck_assert_int_eq(own_keys_open(key_path, NULL, &keys, &is_new, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "move the file away"));
    ck_assert_ptr_null(strstr(e.text, "AAAA"));
}

/* ---- the cache ---- */

static struct cache *open_cache(void)
{
    struct cache *cache;

    ck_assert_msg(cache_open(folder, 0, &cache, &e) == 0, "%s", e.text);
    return cache;
}

static void keep(struct cache *cache, const struct own_keys *keys, const struct sealed *s)
{
    struct kept_secret kept = { .service = "demo", .environment = "prod", .key = "value",
                                .version = s->version, .envelope = s->envelope };

    own_keys_wrap(keys, &s->data_key, &kept.envelope.wrapped);
    ck_assert_msg(cache_put_secret(cache, &s->digest, &kept, &e) == 0, "%s", e.text);
}

TEST(a_secret_stays_while_a_document_names_it)
{
    struct own_keys keys = open_keys(NULL);
    struct cache *cache = open_cache();
    struct sealed named = seal(1, VALUE), unnamed = seal(2, VALUE);
    struct version v = version_of(1, named.reference);
    struct cache_document document = { v.hash, v.bytes, v.size };
    struct kept_secret kept;

    ck_assert_int_eq(cache_put_documents(cache, &document, 1, &e), 0);
    keep(cache, &keys, &named);
    keep(cache, &keys, &unnamed);
    cache_close(cache);
    cache = open_cache();
    ck_assert_int_eq(cache_sweep_secrets(cache, &e), 0);
    ck_assert_int_eq(cache_secret_state(cache, &named.digest), CACHE_SECRET_KEPT);
    ck_assert_int_eq(cache_secret_state(cache, &unnamed.digest), CACHE_SECRET_ABSENT);
    ck_assert_int_eq(cache_get_secret(cache, &named.digest, &kept, &e), 0);
    ck_assert_uint_eq(kept.envelope.size, named.envelope.size);
    ck_assert_mem_eq(kept.envelope.ciphertext, named.envelope.ciphertext, kept.envelope.size);
    ck_assert_str_eq(kept.key, "value");
    ck_assert_uint_eq(kept.version, 1);
    envelope_fini(&kept.envelope);
    cache_close(cache);
    version_free(&v);
    envelope_fini(&named.envelope);
    envelope_fini(&unnamed.envelope);
}

/* ---- fetching ---- */

TEST(pieces_become_a_proven_secret)
{
    struct own_keys keys = open_keys(NULL);
    struct sealed s = seal(7, VALUE);
    struct secret_fetch f = { 0 };
    struct wire_secret piece;
    struct wire_ask ask;

    secret_fetch_begin(&f, &s.digest, &s.digest, "value");
    ck_assert(secret_fetch_is_due(&f, 1000, &ask) && ask.offset == 0);
    ck_assert(!secret_fetch_is_due(&f, 1000, &ask));
    piece = piece_of(&s, 10, 100);
    ck_assert_int_eq(secret_fetch_take(&f, &piece, &keys, 1000, &e), SECRET_IGNORED);
    piece = piece_of(&s, 0, 10);
    ck_assert_int_eq(secret_fetch_take(&f, &piece, &keys, 1000, &e), SECRET_MORE);
    ck_assert_int_eq(secret_fetch_take(&f, &piece, &keys, 1000, &e), SECRET_IGNORED);
    ck_assert(secret_fetch_is_due(&f, 1000, &ask) && ask.offset == 10);
    piece = piece_of(&s, 10, 100);
    ck_assert_msg(secret_fetch_take(&f, &piece, &keys, 1000, &e) == SECRET_DONE, "%s", e.text);
    ck_assert_str_eq(f.got.envelope.wrapped.key_id, keys.items[0].id);
    secret_fetch_end(&f);
    envelope_fini(&s.envelope);
}

static void expect_failure(const struct sealed *s, const struct wire_secret *piece,
                           const char *sentence)
{
    struct own_keys keys = open_keys(NULL);
    struct secret_fetch f = { 0 };

    secret_fetch_begin(&f, &s->digest, &s->digest, "value");
    ck_assert_int_eq(secret_fetch_take(&f, piece, &keys, 1000, &e), SECRET_FAILED);
    ck_assert_msg(strstr(e.text, sentence) != NULL, "%s", e.text);
    ck_assert_ptr_nonnull(strstr(e.text, "\"value\""));
    secret_fetch_end(&f);
}

TEST(what_does_not_fit_is_refused)
{
    struct sealed s = seal(7, VALUE), other = seal(8, VALUE);
    struct wire_secret piece = piece_of(&s, 0, 1000);

    piece.content.at = other.envelope.ciphertext;
    expect_failure(&s, &piece, "does not match its digest");
    piece = piece_of(&s, 0, 1000);
    piece.version = 8;
    expect_failure(&s, &piece, "does not open it at its place");
    piece = piece_of(&s, 0, 1000);
    piece.data_key.at = other.data_key.bytes;
    expect_failure(&s, &piece, "does not open it at its place");
    piece.data_key = (struct wire_bytes){ 0 };
    expect_failure(&s, &piece, "without its place or data key");
    piece = (struct wire_secret){ .digest = s.digest, .state = WIRE_SECRET_REFUSED,
                                  .text = wire_text_of("not for this server") };
    expect_failure(&s, &piece, "not for this server");
    piece.state = WIRE_SECRET_DESTROYED;
    expect_failure(&s, &piece, "it was destroyed");
    envelope_fini(&s.envelope);
    envelope_fini(&other.envelope);
}

TEST(a_coordinator_without_its_key_is_given_time)
{
    struct own_keys keys = open_keys(NULL);
    struct sealed s = seal(7, "");
    struct secret_fetch f = { 0 };
    struct wire_secret away = { .digest = s.digest, .state = WIRE_SECRET_AWAY,
                                .text = wire_text_of("the key file is gone") };
    struct wire_secret piece = piece_of(&s, 0, 1000);
    struct wire_ask ask;

    secret_fetch_begin(&f, &s.digest, &s.digest, "value");
    ck_assert(secret_fetch_is_due(&f, 1000, &ask));
    ck_assert_int_eq(secret_fetch_take(&f, &away, &keys, 1000, &e), SECRET_MORE);
    ck_assert(secret_fetch_is_due(&f, 2500, &ask));
    ck_assert(!secret_fetch_is_over(&f, 2500, &e));
    ck_assert(secret_fetch_is_over(&f, 1000 + SECRET_FETCH_PATIENCE_MS, &e));
    ck_assert_msg(strstr(e.text, "the key file is gone") != NULL, "%s", e.text);
    piece.content = (struct wire_bytes){ 0 };
    ck_assert_msg(secret_fetch_take(&f, &piece, &keys, 3000, &e) == SECRET_DONE, "%s", e.text);
    secret_fetch_end(&f);
    envelope_fini(&s.envelope);
}

/* ---- redacting ---- */

static void expect_redacted(const char *text, const char *value, const char *expected)
{
    char room[200];

    snprintf(room, sizeof(room), "%s", text);
    redact_text(room, sizeof(room), value);
    ck_assert_str_eq(room, expected);
}

TEST(values_are_taken_out_of_texts)
{
    expect_redacted("no such user hunter22: hunter22", "hunter22",
                    "no such user [secret]: [secret]");
    expect_redacted("line 3: END CERT", "BEGIN KEY\nabcdefgh\nEND CERT\n", "line 3: [secret]");
    expect_redacted("bad value say \\\"yes\\\" in app.json", "say \"yes\"",
                    "bad value [secret] in app.json");
    expect_redacted("token abcd1234 is old", "{\"a\":\"abcd1234\"}", "token [secret] is old");
    expect_redacted("check ended with 1: …ter22 is wrong", "hunter22",
                    "check ended with 1: …[secret] is wrong");
    expect_redacted("1 of 10", "1", "1 of 10"); /* too short to say anything about */
}

TEST(a_text_that_grows_is_cut)
{
    char room[12] = "abcd abcd a";

    redact_text(room, sizeof(room), "abcd");
    ck_assert_str_eq(room, "[secret] [s");
}
