/* agent_secrets.c - secrets on a real agent: in files, over restarts, lost, redacted, destroyed. */
#include <check.h>

#include "agent/cache/own_key.h"
#include "tests/test.h"
#include "tests/unit/agent_kit.h"
#include "tests/unit/secret_kit.h"

#define DISK_FOLDER "/proc/self" /* no tmpfs for sure */
#define VALUE "correct horse battery staple"

static struct err e;
static struct kit kit;

static void kit_begin(void)
{
    kit_open(&kit, "");
}

static void kit_finish(void)
{
    kit_close(&kit);
}

struct test_frame test_frame = { .set_up = kit_begin, .tear_down = kit_finish };

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

TEST(a_secret_is_written_for_its_reader_alone)
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

TEST(a_refused_secret_refuses_the_prepare)
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

/* A crash between a new own key and the end of the old one: both are there, and that is ended. */
TEST(a_change_of_key_that_never_ended_is_ended)
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

/* The own key gone: said, and everything is asked for again. */
TEST(without_its_key_the_agent_asks_again)
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

/* What runs goes on; the way back is closed, with the reason; and nothing opens it any more. */
TEST(a_destroyed_secret_is_not_applied_again)
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

    kit_decide(&kit, WIRE_FINALIZE, 30, 0, &first);
    ack = kit_expect_ack(&kit, WIRE_FAILED);
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_msg(strstr(text, "\"value\" was destroyed") != NULL, "%s", text);
    ck_assert(temp_holds(kit.file, VALUE));
    version_free(&first);
    version_free(&second);
    envelope_fini(&old.envelope);
    envelope_fini(&new.envelope);
}

TEST(a_file_marked_tmpfs_never_lies_on_a_disk)
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

/* What a command prints travels without the values of its scope. */
TEST(the_output_of_commands_is_redacted)
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
