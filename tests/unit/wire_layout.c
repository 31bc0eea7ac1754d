/* wire_layout.c - the codec's fixed layouts, limits, sentences and texts, case by case. */
#include "common/wire/wire.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

TEST(the_envelope_has_a_fixed_layout)
{
    struct wire_envelope sent = { .version = WIRE_VERSION,
                                  .type = WIRE_READY,
                                  .gen = 0x04030201,
                                  .epoch = UINT64_C(0x0807060504030201),
                                  .message_id = 3,
                                  .session = 4 };
    uint8_t frame[WIRE_ENVELOPE_SIZE] = { 0 };
    struct wire_envelope got;
    struct err e;

    memset(sent.cluster_id, 0xAA, WIRE_CLUSTER_ID_SIZE);
    ck_assert_uint_eq(wire_encode_envelope(&sent, frame), WIRE_ENVELOPE_SIZE);
    ck_assert_mem_eq(frame,
                     "\x03\x07\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA"
                     "\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08"
                     "\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0",
                     WIRE_ENVELOPE_SIZE);
    ck_assert_int_eq(wire_decode_envelope(frame, sizeof(frame), &got, &e), 0);
    ck_assert_int_eq(got.type, WIRE_READY);
    ck_assert_uint_eq(got.epoch, sent.epoch);
    for (size_t cut = 0; cut < sizeof(frame); cut++)
        ck_assert_int_eq(wire_decode_envelope(frame, cut, &got, &e), -1);
    frame[1] = WIRE_TYPE_COUNT;
    ck_assert_int_eq(wire_decode_envelope(frame, sizeof(frame), &got, &e), -1);
    frame[1] = WIRE_NONE;
    ck_assert_int_eq(wire_decode_envelope(frame, sizeof(frame), &got, &e), -1);
    frame[1] = WIRE_READY;
    frame[0] = WIRE_VERSION + 1;
    ck_assert_int_eq(wire_decode_envelope(frame, sizeof(frame), &got, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "version"));
}

/* Decisions are stored as bytes and sent for ever: their layout may never change. */
TEST(a_decision_has_a_fixed_layout)
{
    struct wire_decision d = { .type = WIRE_ROLLBACK, .gen = 1, .dseq = 2, .rollout = { "r1", 2 },
                               .at_ms = -1, .scope_count = 1 };
    static const char expected[] = "\x0F\x01\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0r1"
                                   "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\0\x02\0ab\x01\0c"
                                   "\x2A\0\0\0\0\0\0\0"
                                   "\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                   "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x22\x07\0\0";
    uint8_t frame[200];

    d.scopes[0] = (struct wire_scope){ { "ab", 2 }, { "c", 1 }, 42, { { 0 } }, 7 };
    d.scopes[0].hash.bytes[0] = 0x11;
    d.scopes[0].hash.bytes[31] = 0x22;
    ck_assert_uint_eq(wire_encode_decision(&d, frame, sizeof(frame)), sizeof(expected));
    ck_assert_mem_eq(frame, expected, sizeof(expected));
}

TEST(the_largest_decision_can_be_stored)
{
    static struct wire_decision d = { .type = WIRE_FINALIZE, .scope_count = WIRE_SCOPES_MAX };
    static uint8_t frame[WIRE_DECISION_MAX];
    char longest[WIRE_NAME_MAX];

    memset(longest, 'a', sizeof(longest));
    d.rollout = (struct wire_text){ longest, WIRE_NAME_MAX };
    for (int i = 0; i < WIRE_SCOPES_MAX; i++)
        d.scopes[i].service = d.scopes[i].environment = d.rollout;
    ck_assert_uint_gt(wire_encode_decision(&d, frame, sizeof(frame)), 16000);
    ck_assert_int_eq(WIRE_BYE, 25);
}

/* The longest piece of a secret, with every text at its limit, is one message. */
TEST(a_piece_of_a_secret_fits_and_its_key_has_one_size)
{
    static uint8_t out[WIRE_MESSAGE_MAX - WIRE_ENVELOPE_SIZE], content[WIRE_CHUNK_MAX];
    static char longest[WIRE_REFUSAL_MAX];
    struct wire_secret secret = { .total = WIRE_SECRET_MAX,
                                  .service = { longest, WIRE_NAME_MAX },
                                  .environment = { longest, WIRE_NAME_MAX },
                                  .key = { longest, WIRE_SECRET_KEY_MAX },
                                  .data_key = { content, WIRE_DATA_KEY_SIZE },
                                  .content = { content, WIRE_CHUNK_MAX },
                                  .text = { longest, WIRE_REFUSAL_MAX } };

    memset(longest, 'a', sizeof(longest));
    ck_assert_uint_gt(wire_encode_secret(&secret, out, sizeof(out)), WIRE_CHUNK_MAX);
    secret.data_key.size--;
    ck_assert_uint_eq(wire_encode_secret(&secret, out, sizeof(out)), 0);
    secret.data_key = (struct wire_bytes){ NULL, 0 };
    secret.total++;
    ck_assert_uint_eq(wire_encode_secret(&secret, out, sizeof(out)), 0);
    ck_assert_int_eq(WIRE_DESTROYED, 29);
    ck_assert_str_eq(wire_secret_state_name(WIRE_SECRET_AWAY), "away");
}

TEST(limits_hold_for_encoders)
{
    static struct wire_receipt receipt = { .id_count = WIRE_IDS_MAX + 1 };
    static uint8_t out[WIRE_MESSAGE_MAX], content[WIRE_CHUNK_MAX + 1];
    struct wire_chunk chunk = { .total = 1u << 20, .content = { content, sizeof(content) } };
    struct wire_abort abort_ = { .rollout = { "a\0b", 3 } };
    struct wire_check check = { .service = { "a", 1 }, .name = { "b", 1 } };
    struct wire_answer_to answer = { .answer = WIRE_ANSWER_COUNT };
    struct wire_decision decision = { .type = WIRE_READY };
    struct wire_ack ack = { .type = WIRE_PING };

    ck_assert_uint_eq(wire_encode_receipt(&receipt, out, sizeof(out)), 0);
    receipt.id_count--;
    ck_assert_uint_eq(wire_encode_receipt(&receipt, out, sizeof(out)), 2 + 8 * WIRE_IDS_MAX);
    ck_assert_uint_eq(wire_encode_chunk(&chunk, out, sizeof(out)), 0);
    chunk.content.size--;
    ck_assert_uint_gt(wire_encode_chunk(&chunk, out, sizeof(out)), WIRE_CHUNK_MAX);
    chunk.offset = chunk.total - chunk.content.size + 1;
    ck_assert_uint_eq(wire_encode_chunk(&chunk, out, sizeof(out)), 0);
    ck_assert_uint_eq(wire_encode_abort(&abort_, out, sizeof(out)), 0);
    abort_.rollout = (struct wire_text){ "\xC0\x80", 2 };
    ck_assert_uint_eq(wire_encode_abort(&abort_, out, sizeof(out)), 0);
    ck_assert_msg(wire_encode_check(&check, out, sizeof(out)) == 0, "an empty environment");
    ck_assert_uint_eq(wire_encode_answer(&answer, out, sizeof(out)), 0);
    ck_assert_uint_eq(wire_encode_decision(&decision, out, sizeof(out)), 0);
    ck_assert_uint_eq(wire_encode_ack(&ack, out, sizeof(out)), 0);
}

TEST(documents_in_messages_are_limited)
{
    static uint8_t out[WIRE_MESSAGE_MAX], content[WIRE_INLINE_MAX];
    static struct wire_prepare prepare = { .target_count = 2 };
    struct wire_text name = { "a", 1 };
    struct wire_chunk chunk = { .total = WIRE_DOCUMENT_MAX };

    for (int i = 0; i < 2; i++)
        prepare.targets[i] = (struct wire_target){ .service = name, .environment = name,
                                                   .size = WIRE_INLINE_MAX / 2,
                                                   .document = { content, WIRE_INLINE_MAX / 2 } };
    ck_assert_uint_gt(wire_encode_prepare(&prepare, out, sizeof(out)), WIRE_INLINE_MAX);
    prepare.targets[1].size = ++prepare.targets[1].document.size;
    ck_assert_uint_eq(wire_encode_prepare(&prepare, out, sizeof(out)), 0);
    prepare.targets[1].document = (struct wire_bytes){ NULL, 0 };
    prepare.targets[1].size = WIRE_DOCUMENT_MAX;
    ck_assert_uint_gt(wire_encode_prepare(&prepare, out, sizeof(out)), 0);
    prepare.targets[1].size++;
    ck_assert_uint_eq(wire_encode_prepare(&prepare, out, sizeof(out)), 0);
    ck_assert_uint_gt(wire_encode_chunk(&chunk, out, sizeof(out)), 0);
    chunk.total++;
    ck_assert_uint_eq(wire_encode_chunk(&chunk, out, sizeof(out)), 0);
}

TEST(a_broken_body_names_message_and_field)
{
    static struct wire_hello hello;
    static uint8_t frame[WIRE_MESSAGE_MAX];
    struct err e;

    hello = (struct wire_hello){ .label_count = 1, .labels = { { { "zone", 4 }, { "a", 1 } } } };
    ck_assert_uint_eq(wire_encode_hello(&hello, frame, sizeof(frame)), 23);
    ck_assert_int_eq(wire_decode_hello(frame, 19, &hello, &e), -1);
    ck_assert_str_eq(e.text, "HELLO: labels[0].value is cut off (byte 18)");
}

TEST(texts_are_cut_at_characters)
{
    struct wire_text t = wire_text_of("caf\xC3\xA9");
    char out[8];

    wire_text_copy(t, out, 5);
    ck_assert_str_eq(out, "caf");
    wire_text_copy(t, out, 6);
    ck_assert_str_eq(out, "caf\xC3\xA9");
    wire_text_copy((struct wire_text){ NULL, 0 }, out, 1);
    ck_assert_str_eq(out, "");
    ck_assert(wire_text_is(t, "caf\xC3\xA9") && !wire_text_is(t, "caf"));
    ck_assert_str_eq(wire_type_name(WIRE_BYE), "BYE");
    ck_assert_str_eq(wire_reason_name(WIRE_REASON_FETCH), "fetch");
}
