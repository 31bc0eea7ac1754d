/* secret_reader.c - what agents get when they ask for secrets: the value, a reason, or the end of it. */
#include "coordinator/store/leader/secret_reader.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/crypto/base64.h"
#include "common/document/document.h"
#include "coordinator/keyring/key_file.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/config/secrets.h"
#include "tests/db/kit.h"
#include "tests/test.h"

#define VALUE "correct horse battery staple"
#define SERVER 3
#define SESSION 77

static char folder[64], path[96], aside[96], key_id[KEY_FILE_ID_SIZE];
static struct pg *pg;
static struct keyring *keyring;
static struct secret_reader *reader;
static struct secret_answer answer;
static struct wire_secret got;
static struct err err;

static void set_up(void)
{
    const struct keyring_settings settings = { .provider = "file", .key_file = path };
    const char *database = kit_database();

    pg = kit_open(database);
    snprintf(folder, sizeof(folder), "/tmp/lockstep-reader-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/key", folder);
    snprintf(aside, sizeof(aside), "%s/aside", folder);
    ck_assert_int_eq(key_file_create(path, key_id, &err), 0);
    ck_assert_int_eq(keyring_open(&settings, &keyring, &err), 0);
    reader = secret_reader_start(database, keyring);
}

static void tear_down(void)
{
    secret_reader_stop(reader);
    keyring_close(keyring);
    free(answer.body);
    answer.body = NULL;
    unlink(path);
    unlink(aside);
    rmdir(folder);
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

struct world {
    char digest[ENVELOPE_DIGEST_SIZE];
    struct hash document, secret;
};

/* A document with one secret, and a scope that has it. */
static struct world seal(const char *service, const char *value, size_t size)
{
    const struct envelope_place place = { service, "prod", "pass", 1 };
    int64_t scope = kit_scope(pg, service, 1);
    char reference[VALUE_REFERENCE_SIZE];
    struct envelope_wrapped wrapped;
    SCOPED_ENVELOPE struct envelope v;
    struct seal_key key;
    struct world w;

    ck_assert_int_eq(keyring_new_key(keyring, &key, &wrapped, &err), 0);
    envelope_seal(&key, &wrapped, &place, value, size, &v);
    envelope_digest(&v, w.digest);
    value_reference(w.digest, reference);
    ck_assert_msg(secrets_append(pg, scope, w.digest, &place, &v, &err) == 0, "%s", err.text);
    kit_sql(pg,
            "INSERT INTO config_version (scope_id, key, version, revision, value_type, value,"
            " created_by) VALUES (%lld, 'pass', 1, 1, 'string', '%s', 'kit')",
            (long long)scope, reference);
    ck_assert_msg(revision_document(pg, scope, 1, &w.document, NULL, NULL, &err) == 0, "%s",
                  err.text);
    ck_assert_int_eq(base64_decode(w.digest, strlen(w.digest), w.secret.bytes, HASH_SIZE, &size),
                     0);
    return w;
}

static void want_as(uint32_t server, const struct hash *document, const struct hash *digest,
                    uint32_t offset)
{
    const struct secret_wish wish = { .server = server, .session = SESSION, .document = *document,
                                      .digest = *digest, .offset = offset };

    secret_reader_want(reader, &wish);
}

static void want(const struct hash *document, const struct hash *digest, uint32_t offset)
{
    want_as(SERVER, document, digest, offset);
}

static void expect(enum wire_type type)
{
    struct pollfd fd = { .fd = secret_reader_fd(reader), .events = POLLIN };

    free(answer.body);
    ck_assert_int_eq(poll(&fd, 1, 10000), 1);
    ck_assert(secret_reader_next(reader, &answer));
    ck_assert_int_eq(answer.type, type);
    if (type == WIRE_SECRET) {
        ck_assert_int_eq(wire_decode_secret(answer.body, answer.size, &got, &err), 0);
        ck_assert_uint_eq(answer.server, SERVER);
        ck_assert_uint_eq(answer.session, SESSION);
    }
}

static void check_opens(const char *expected)
{
    const struct envelope_place place = { "web", "prod", "pass", 1 };
    struct envelope v = { .ciphertext = (uint8_t *)(uintptr_t)got.content.at,
                          .size = got.content.size };
    struct seal_key key;
    size_t size;
    char *value;

    ck_assert_int_eq(got.state, WIRE_SECRET_THERE);
    ck_assert_uint_eq(got.data_key.size, SEAL_KEY_SIZE);
    memcpy(key.bytes, got.data_key.at, SEAL_KEY_SIZE);
    memcpy(v.seal.iv, got.iv, SEAL_IV_SIZE);
    memcpy(v.seal.tag, got.tag, SEAL_TAG_SIZE);
    ck_assert(wire_text_is(got.service, "web") && wire_text_is(got.key, "pass"));
    ck_assert_uint_eq(got.version, 1);
    ck_assert_int_eq(envelope_open(&v, &key, &place, &value, &size, &err), 0);
    ck_assert_str_eq(value, expected);
    seal_free(value, size);
}

static void expect_no(enum wire_secret_state state, const char *why)
{
    char text[WIRE_REFUSAL_MAX + 1];

    expect(WIRE_SECRET);
    wire_text_copy(got.text, text, sizeof(text));
    ck_assert_msg(got.state == state && strstr(text, why), "%s: %s",
                  wire_secret_state_name(got.state), text);
    ck_assert_uint_eq(got.data_key.size, 0);
    ck_assert_uint_eq(got.content.size, 0);
}

TEST(a_secret_that_its_document_names_is_given)
{
    struct world w = seal("web", VALUE, strlen(VALUE));

    want(&w.document, &w.secret, 0);
    expect(WIRE_SECRET);
    check_opens(VALUE);
}

/* The key goes with the first piece alone. */
TEST(a_long_secret_comes_in_pieces)
{
    static char value[WIRE_CHUNK_MAX + 1000];
    struct world w;

    memset(value, 'a', sizeof(value));
    w = seal("web", value, sizeof(value));
    want(&w.document, &w.secret, 0);
    expect(WIRE_SECRET);
    ck_assert_uint_eq(got.content.size, WIRE_CHUNK_MAX);
    ck_assert_uint_eq(got.total, sizeof(value));
    ck_assert_uint_eq(got.data_key.size, SEAL_KEY_SIZE);
    want(&w.document, &w.secret, WIRE_CHUNK_MAX);
    expect(WIRE_SECRET);
    ck_assert_uint_eq(got.offset, WIRE_CHUNK_MAX);
    ck_assert_uint_eq(got.content.size, 1000);
    ck_assert_uint_eq(got.data_key.size, 0);
}

/* S16: who may have one document gets nothing of another one. */
TEST(what_the_document_does_not_name_is_refused)
{
    struct world web = seal("web", VALUE, strlen(VALUE)), shop = seal("shop", "other", 5);
    struct hash nothing = { { 1 } };

    want(&web.document, &shop.secret, 0);
    expect_no(WIRE_SECRET_REFUSED, "does not name it");
    want(&nothing, &web.secret, 0);
    expect_no(WIRE_SECRET_REFUSED, "is not there");
    want(&web.document, &nothing, 0);
    expect_no(WIRE_SECRET_REFUSED, "does not name it");
}

TEST(a_key_that_is_gone_may_come_back)
{
    struct world w = seal("web", VALUE, strlen(VALUE));

    ck_assert_int_eq(rename(path, aside), 0);
    want(&w.document, &w.secret, 0);
    expect_no(WIRE_SECRET_AWAY, "key");
    ck_assert_int_eq(rename(aside, path), 0);
    want(&w.document, &w.secret, 0);
    expect(WIRE_SECRET);
    check_opens(VALUE);
}

TEST(a_destroyed_secret_is_told)
{
    struct world w = seal("web", VALUE, strlen(VALUE)), other = seal("shop", "other", 5);
    const char *digest = w.digest;
    struct wire_digests kept = { .digest_count = 2, .digests = { other.secret, w.secret } }, list;
    size_t count;

    ck_assert_int_eq(secrets_destroy(pg, &digest, 1, &count, &err), 0);
    want(&w.document, &w.secret, 0);
    expect_no(WIRE_SECRET_DESTROYED, "was destroyed");
    secret_reader_check(reader, SERVER, SESSION, &kept);
    expect(WIRE_DESTROYED);
    ck_assert_uint_eq(answer.server, SERVER);
    ck_assert_int_eq(wire_decode_destroyed(answer.body, answer.size, &list, &err), 0);
    ck_assert_uint_eq(list.digest_count, 1);
    ck_assert(hash_equal(&list.digests[0], &w.secret));

    secret_reader_look(reader);
    expect(WIRE_DESTROYED);
    ck_assert_uint_eq(answer.server, SECRET_EVERYBODY);
    secret_reader_look(reader); /* told already: the next answer is another one */
    want(&other.document, &other.secret, 0);
    expect(WIRE_SECRET);
}

static void expect_any(void)
{
    struct pollfd fd = { .fd = secret_reader_fd(reader), .events = POLLIN };

    free(answer.body);
    ck_assert_int_eq(poll(&fd, 1, 10000), 1);
    ck_assert(secret_reader_next(reader, &answer));
    ck_assert_int_eq(wire_decode_secret(answer.body, answer.size, &got, &err), 0);
}

/* More wishes than answers may lie about: all are answered as the loop takes them. */
TEST(many_ask_at_once)
{
    struct world w = seal("web", VALUE, strlen(VALUE));

    for (uint32_t i = 0; i < 2000; i++)
        want_as(i, &w.document, &w.secret, 0);
    for (int i = 0; i < 2000; i++)
        expect_any();
    check_opens(VALUE);
}

/* Proven by the order of the answers: whoever asks behind a flood comes after the few that are in
 * work and those of one more turn, not after all of it. */
TEST(who_asks_behind_a_flood_has_a_turn)
{
    struct world w = seal("web", VALUE, strlen(VALUE));
    unsigned before = 0;

    kit_sql(pg, "BEGIN");
    kit_sql(pg, "LOCK TABLE secret IN ACCESS EXCLUSIVE MODE"); /* nothing is answered meanwhile */
    for (uint32_t i = 0; i < 4000; i++)
        want_as(8, &w.document, &w.secret, i % 40);
    want(&w.document, &w.secret, 0);
    kit_sql(pg, "COMMIT");
    for (expect_any(); answer.server != SERVER; expect_any())
        before++;
    ck_assert_msg(before <= 2 * SECRET_WISHES_ROUNDS, "%u of the flood came before", before);
    check_opens(VALUE);
}
