/* agent_secrets.c - secrets on an agent: own key, cache, fetching, redacting, and a real agent. */
#include <check.h>

#include "agent/cache.h"
#include "agent/own_key.h"
#include "agent/redact.h"
#include "agent/secret_fetch.h"
#include "common/base64.h"
#include "common/digest.h"
#include "tests/unit/agent_kit.h"

#define DISK_FOLDER "/proc/self" /* no tmpfs for sure */
#define VALUE "correct horse battery staple"

static char folder[TEMP_PATH / 2], key_path[TEMP_PATH];
static struct err e;

/* A secret as the coordinator has it. */
struct sealed {
    struct seal_key data_key;
    struct envelope envelope;
    struct hash digest;
    char reference[VALUE_REFERENCE_SIZE];
    uint64_t version;
};

static struct sealed seal(uint64_t version, const char *value)
{
    const struct envelope_place place = { "demo", "prod", "value", version };
    struct sealed s = { .version = version };
    struct envelope_wrapped wrapped = { .key_id = "kek" };
    char digest[ENVELOPE_DIGEST_SIZE];
    size_t size;

    seal_key_draw(&s.data_key);
    envelope_seal(&s.data_key, &wrapped, &place, value, strlen(value), &s.envelope);
    envelope_digest(&s.envelope, digest);
    value_reference(digest, s.reference);
    ck_assert_int_eq(base64_decode(digest, strlen(digest), s.digest.bytes, HASH_SIZE, &size), 0);
    return s;
}

static struct wire_secret piece_of(const struct sealed *s, uint32_t offset, uint32_t most)
{
    uint32_t left = (uint32_t)s->envelope.size - offset;
    struct wire_secret piece = { .digest = s->digest,
                                 .offset = offset,
                                 .total = (uint32_t)s->envelope.size,
                                 .service = wire_text_of("demo"),
                                 .environment = wire_text_of("prod"),
                                 .key = wire_text_of("value"),
                                 .version = s->version };

    memcpy(piece.iv, s->envelope.seal.iv, sizeof(piece.iv));
    memcpy(piece.tag, s->envelope.seal.tag, sizeof(piece.tag));
    if (offset == 0)
        piece.data_key = (struct wire_bytes){ s->data_key.bytes, SEAL_KEY_SIZE };
    piece.content.at = s->envelope.ciphertext + offset;
    piece.content.size = left < most ? left : most;
    return piece;
}

static void begin(void)
{
    temp_make(folder);
    snprintf(key_path, sizeof(key_path), "%s/secrets.key", folder);
}

static void end(void)
{
    temp_remove(folder);
}

static struct own_keys open_keys(const char *outer)
{
    struct own_keys keys;
    bool is_new;

    ck_assert_msg(own_keys_open(key_path, outer, &keys, &is_new, &e) == 0, "%s", e.text);
    return keys;
}

/* ---- the own key ---- */

START_TEST(test_own_key_is_made_once_and_changes)
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
END_TEST

START_TEST(test_an_outer_key_belongs_to_it)
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

    temp_write(outer, "short", 0400);
    ck_assert_int_eq(own_keys_open(key_path, outer, &with, &is_new, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "at least 32"));
    ck_assert_int_eq(chmod(other, 0644), 0);
    ck_assert_int_eq(own_keys_open(key_path, other, &with, &is_new, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "others may read it"));
}
END_TEST

START_TEST(test_a_damaged_own_key_says_what_to_do)
{
    struct own_keys keys = open_keys(NULL);
    bool is_new;

    ck_assert_int_eq(unlink(key_path), 0);
    temp_write(key_path, "key own-1 AAAA\n", 0400);
    ck_assert_int_eq(own_keys_open(key_path, NULL, &keys, &is_new, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "move the file away"));
    ck_assert_ptr_null(strstr(e.text, "AAAA"));
}
END_TEST

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

START_TEST(test_a_secret_stays_while_a_document_names_it)
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
END_TEST

/* ---- fetching ---- */

START_TEST(test_pieces_become_a_proven_secret)
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
END_TEST

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

START_TEST(test_what_does_not_fit_is_refused)
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
END_TEST

START_TEST(test_a_coordinator_without_its_key_is_given_time)
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
END_TEST

/* ---- redacting ---- */

static void expect_redacted(const char *text, const char *value, const char *expected)
{
    char room[200];

    snprintf(room, sizeof(room), "%s", text);
    redact_text(room, sizeof(room), value);
    ck_assert_str_eq(room, expected);
}

START_TEST(test_values_are_taken_out_of_texts)
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
END_TEST

START_TEST(test_a_text_that_grows_is_cut)
{
    char room[12] = "abcd abcd a";

    redact_text(room, sizeof(room), "abcd");
    ck_assert_str_eq(room, "[secret] [s");
}
END_TEST

/* ---- a real agent ---- */

static struct kit kit;

static void kit_begin(void)
{
    kit_open(&kit, "");
}

static void kit_finish(void)
{
    kit_close(&kit);
}

static struct wire_ask expect_ask(void)
{
    struct wire_ask ask;

    kit_expect(&kit, WIRE_ASK);
    ck_assert_int_eq(wire_decode_ask(kit.last.body, kit.last.body_size, &ask, &e), 0);
    return ask;
}

static void answer(const struct wire_secret *piece)
{
    kit_send(&kit, WIRE_SECRET, kit.out, wire_encode_secret(piece, kit.out, sizeof(kit.out)));
}

static void refuse_by(const struct sealed *s, enum wire_secret_state state, const char *text)
{
    struct wire_secret no = { .digest = s->digest, .state = state, .text = wire_text_of(text) };

    expect_ask();
    answer(&no);
}

static void give(const struct sealed *s)
{
    struct wire_ask ask = expect_ask();
    struct wire_secret piece = piece_of(s, ask.offset, WIRE_CHUNK_MAX);

    ck_assert(hash_equal(&ask.digest, &s->digest));
    answer(&piece);
}

/* Prepared, activated, finalized. */
static void run(const struct version *base, const struct version *v, const struct sealed *s,
                uint64_t number)
{
    kit_prepare(&kit, number, base, v, true);
    if (s)
        give(s);
    kit_expect_ack(&kit, WIRE_READY);
    kit_decide(&kit, WIRE_ACTIVATE, number + 1, number, v);
    kit_expect_ack(&kit, WIRE_APPLIED);
    kit_decide(&kit, WIRE_FINALIZE, number + 2, 0, v);
    kit_expect_ack(&kit, WIRE_FINALIZED);
}

static bool has_bytes(const char *name, const char *bytes)
{
    SCOPED_BUFFER struct buffer content = { 0 };
    char path[KIT_PATH];

    snprintf(path, sizeof(path), "%s/%s", kit.folder, name);
    ck_assert_msg(buffer_read_file(&content, path, (size_t)1 << 30, &e) == 0, "%s", e.text);
    return memmem(content.data, content.size, bytes, strlen(bytes)) != NULL;
}

static bool lies_around(const char *bytes)
{
    return has_bytes("state/data.mdb", bytes) || has_bytes("log", bytes);
}

START_TEST(test_a_secret_is_written_for_its_reader_alone)
{
    struct sealed s = seal(1, VALUE);
    struct version v = version_of(1, s.reference);

    kit_start(&kit);
    kit_welcome(&kit);
    run(NULL, &v, &s, 10);
    ck_assert(temp_holds(kit.file, VALUE));
    ck_assert_uint_eq(temp_mode(kit.file), 0600);
    ck_assert(!lies_around(VALUE));

    /* Started again, with its file gone and without being told anything: it knows the value. */
    kit_kill(&kit);
    ck_assert_int_eq(unlink(kit.file), 0);
    kit_start(&kit);
    kit_expect_file(kit.file, VALUE);
    ck_assert_uint_eq(temp_mode(kit.file), 0600);
    ck_assert(!lies_around(VALUE));
    version_free(&v);
    envelope_fini(&s.envelope);
}
END_TEST

START_TEST(test_a_refused_secret_refuses_the_prepare)
{
    struct sealed s = seal(1, VALUE);
    struct version v = version_of(1, s.reference);
    struct wire_ack ack;
    char text[WIRE_TEXT_MAX + 1];

    kit_start(&kit);
    kit_welcome(&kit);
    kit_prepare(&kit, 10, NULL, &v, true);
    refuse_by(&s, WIRE_SECRET_REFUSED, "it is not for this server");
    ack = kit_expect_ack(&kit, WIRE_REFUSED);
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_int_eq(ack.reason, WIRE_REASON_FETCH);
    ck_assert_msg(strstr(text, "\"value\"") && strstr(text, "not for this server"), "%s", text);
    version_free(&v);
    envelope_fini(&s.envelope);
}
END_TEST

/* A crash between a new own key and the end of the old one: both are there, and that is ended. */
START_TEST(test_a_change_of_key_that_never_ended_is_ended)
{
    struct sealed s = seal(1, VALUE);
    struct version v = version_of(1, s.reference);
    struct own_keys keys;
    char path[KIT_PATH];
    bool is_new;

    kit_start(&kit);
    kit_welcome(&kit);
    run(NULL, &v, &s, 10);
    kit_end(&kit, SIGTERM);
    snprintf(path, sizeof(path), "%s/state/secrets.key", kit.folder);
    ck_assert_int_eq(own_keys_open(path, NULL, &keys, &is_new, &e), 0);
    ck_assert_int_eq(own_keys_add(path, NULL, &keys, &e), 0);
    ck_assert_int_eq(unlink(kit.file), 0);
    kit_start(&kit);
    kit_expect_file(kit.file, VALUE);
    ck_assert_int_eq(own_keys_open(path, NULL, &keys, &is_new, &e), 0);
    ck_assert_uint_eq(keys.count, 1);
    version_free(&v);
    envelope_fini(&s.envelope);
}
END_TEST

/* The own key gone: said, and everything is asked for again. */
START_TEST(test_without_its_key_the_agent_asks_again)
{
    struct sealed s = seal(1, VALUE);
    struct version v = version_of(1, s.reference);
    char path[KIT_PATH];

    kit_start(&kit);
    kit_welcome(&kit);
    run(NULL, &v, &s, 10);
    kit_end(&kit, SIGTERM);
    snprintf(path, sizeof(path), "%s/state/secrets.key", kit.folder);
    ck_assert_int_eq(unlink(path), 0);
    kit_start(&kit);
    kit_welcome(&kit);
    give(&s);
    ck_assert(temp_holds(kit.file, VALUE));
    ck_assert(has_bytes("log", "key that sealed"));
    kit_decide(&kit, WIRE_ROLLBACK, 20, 0, &v);
    kit_expect_ack(&kit, WIRE_ROLLED_BACK);
    version_free(&v);
    envelope_fini(&s.envelope);
}
END_TEST

/* What runs goes on; the way back is closed, with the reason; and nothing opens it any more. */
START_TEST(test_a_destroyed_secret_is_not_applied_again)
{
    struct sealed old = seal(1, "the first password"), new = seal(2, VALUE);
    struct version first = version_of(1, old.reference), second = version_of(2, new.reference);
    struct wire_digests digests = { .digest_count = 1 };
    char text[WIRE_TEXT_MAX + 1], path[KIT_PATH];
    struct own_keys before, after;
    struct wire_ack ack;
    bool is_new;

    kit_start(&kit);
    kit_welcome(&kit);
    run(NULL, &first, &old, 10);
    run(&first, &second, &new, 20);
    snprintf(path, sizeof(path), "%s/state/secrets.key", kit.folder);
    ck_assert_int_eq(own_keys_open(path, NULL, &before, &is_new, &e), 0);
    digests.digests[0] = old.digest;
    kit_send(&kit, WIRE_DESTROYED, kit.out,
             wire_encode_destroyed(&digests, kit.out, sizeof(kit.out)));
    kit_ping(&kit);
    kit_expect(&kit, WIRE_PONG);
    ck_assert_int_eq(own_keys_open(path, NULL, &after, &is_new, &e), 0);
    ck_assert_uint_eq(after.count, 1);
    ck_assert_str_ne(before.items[0].id, after.items[0].id);
    ck_assert(temp_holds(kit.file, VALUE));

    kit_decide(&kit, WIRE_ROLLBACK, 30, 0, &first);
    ack = kit_expect_ack(&kit, WIRE_FAILED);
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_msg(strstr(text, "\"value\" was destroyed") != NULL, "%s", text);
    ck_assert(temp_holds(kit.file, VALUE));
    version_free(&first);
    version_free(&second);
    envelope_fini(&old.envelope);
    envelope_fini(&new.envelope);
}
END_TEST

START_TEST(test_a_file_marked_tmpfs_never_lies_on_a_disk)
{
    struct sealed s = seal(1, VALUE);
    struct version v = version_of(1, s.reference);
    char lines[KIT_PATH + 64], text[WIRE_TEXT_MAX + 1];
    struct wire_ack ack;

    snprintf(lines, sizeof(lines), "document = json -> %s/all.json [tmpfs]", DISK_FOLDER);
    kit_settle(&kit, lines);
    kit_start(&kit);
    kit_welcome(&kit);
    kit_prepare(&kit, 10, NULL, &v, true);
    give(&s);
    ack = kit_expect_ack(&kit, WIRE_REFUSED);
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_msg(strstr(text, "is marked tmpfs") != NULL, "%s", text);
    version_free(&v);
    envelope_fini(&s.envelope);
}
END_TEST

/* What a command prints travels without the values of its scope. */
START_TEST(test_the_output_of_commands_is_redacted)
{
    struct sealed s = seal(1, VALUE);
    struct version v = version_of(1, s.reference);
    char text[WIRE_TEXT_MAX + 1];
    struct wire_ack ack;

    kit_settle(&kit, "validate = echo \"cannot use $(cat {file})\"; exit 3\n");
    kit_start(&kit);
    kit_welcome(&kit);
    kit_prepare(&kit, 10, NULL, &v, true);
    give(&s);
    ack = kit_expect_ack(&kit, WIRE_REFUSED);
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_msg(strstr(text, "cannot use [secret]") != NULL, "%s", text);
    ck_assert(!lies_around(VALUE));
    version_free(&v);
    envelope_fini(&s.envelope);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_secrets");
    TCase *parts = tcase_create("parts"), *agent = tcase_create("agent");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(parts, begin, end);
    tcase_add_test(parts, test_own_key_is_made_once_and_changes);
    tcase_add_test(parts, test_an_outer_key_belongs_to_it);
    tcase_add_test(parts, test_a_damaged_own_key_says_what_to_do);
    tcase_add_test(parts, test_a_secret_stays_while_a_document_names_it);
    tcase_add_test(parts, test_pieces_become_a_proven_secret);
    tcase_add_test(parts, test_what_does_not_fit_is_refused);
    tcase_add_test(parts, test_a_coordinator_without_its_key_is_given_time);
    tcase_add_test(parts, test_values_are_taken_out_of_texts);
    tcase_add_test(parts, test_a_text_that_grows_is_cut);
    tcase_add_checked_fixture(agent, kit_begin, kit_finish);
    tcase_set_timeout(agent, 60);
    tcase_add_test(agent, test_a_secret_is_written_for_its_reader_alone);
    tcase_add_test(agent, test_a_refused_secret_refuses_the_prepare);
    tcase_add_test(agent, test_a_change_of_key_that_never_ended_is_ended);
    tcase_add_test(agent, test_without_its_key_the_agent_asks_again);
    tcase_add_test(agent, test_a_destroyed_secret_is_not_applied_again);
    tcase_add_test(agent, test_a_file_marked_tmpfs_never_lies_on_a_disk);
    tcase_add_test(agent, test_the_output_of_commands_is_redacted);
    suite_add_tcase(suite, parts);
    suite_add_tcase(suite, agent);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
