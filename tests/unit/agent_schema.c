/* agent_schema.c - a real agent process judges what it is to promise by the schemas of a PREPARE. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"
#include "tests/unit/agent_kit.h"
#include "tests/unit/secret_kit.h"

static struct kit kit;
static struct version v1, v2, schemas;

/* A set with one schema, for `value`. */
static struct version set_of(const char *schema)
{
    struct version v = { 0 };
    struct document *d = document_new();
    struct err e;

    ck_assert_int_eq(document_set(d, "value", VALUE_JSON, schema, &e), 0);
    ck_assert_int_eq(document_encode(d, &v.bytes, &v.size, &v.hash, &e), 0);
    document_free(d);
    return v;
}

static void set_up(void)
{
    v1 = version_of(1, "one");
    v2 = version_of(2, "two");
    schemas = set_of("{\"pattern\":\"^t\"}");
    kit_open(&kit, "check_interval = 0");
    kit_start(&kit);
    kit_welcome(&kit);
}

static void tear_down(void)
{
    version_free(&v1);
    version_free(&v2);
    version_free(&schemas);
    kit_close(&kit);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static void prepare(uint64_t attempt, const struct version *base, const struct version *to,
                    bool is_inlined)
{
    static struct wire_prepare p;

    memset(&p, 0, sizeof(p));
    p.attempt = attempt;
    p.rollout = wire_text_of("r1");
    p.target_count = 1;
    p.targets[0] = (struct wire_target){
        .service = wire_text_of("demo"), .environment = wire_text_of("prod"),
        .revision = to->revision, .hash = to->hash, .size = (uint32_t)to->size,
        .document = { (const uint8_t *)to->bytes, (uint32_t)to->size },
        .schemas = schemas.hash, .schemas_size = (uint32_t)schemas.size
    };
    if (base) {
        p.targets[0].base_revision = base->revision;
        p.targets[0].base_hash = base->hash;
    }
    if (is_inlined)
        p.targets[0].schema_set =
            (struct wire_bytes){ (const uint8_t *)schemas.bytes, (uint32_t)schemas.size };
    kit_send(&kit, WIRE_PREPARE, kit.out, wire_encode_prepare(&p, kit.out, sizeof(kit.out)));
}

static void expect_refusal(const char *sentence)
{
    struct wire_ack ack = kit_expect_ack(&kit, WIRE_REFUSED);
    char text[WIRE_TEXT_MAX + 1];

    ck_assert_int_eq(ack.reason, WIRE_REASON_SCHEMA);
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_msg(strstr(text, sentence) != NULL, "%s", text);
    kit_receipt(&kit, ack.outbox_id);
}

TEST(what_does_not_fit_is_refused)
{
    prepare(10, NULL, &v1, true);
    expect_refusal("value: must match");
    prepare(20, NULL, &v2, true);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_READY).outbox_id);
}

TEST(schemas_are_fetched)
{
    prepare(10, NULL, &v1, false);
    kit_serve(&kit, &schemas, NULL, 7);
    expect_refusal("value: must match");
}

TEST(schemas_that_are_not_to_be_had)
{
    prepare(10, NULL, &v2, false);
    kit_deny(&kit, &schemas);
    ck_assert_int_eq(kit_expect_ack(&kit, WIRE_REFUSED).reason, WIRE_REASON_FETCH);
}

TEST(forged_schemas_are_fetched_instead)
{
    char *bytes = schemas.bytes, *forged = strdup(bytes);

    memset(strchr(forged, '^'), '.', 1);
    schemas.bytes = forged;
    prepare(10, NULL, &v1, true);
    schemas.bytes = bytes;
    kit_serve(&kit, &schemas, NULL, 60000);
    expect_refusal("value: must match");
    free(forged);
}

TEST(going_back_and_decisions_are_not_judged)
{
    kit_roll(&kit, 10, NULL, &v1);  /* a PREPARE without schemas */
    prepare(20, &v1, &v1, true);    /* nothing differs */
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_READY).outbox_id);
    prepare(30, &v1, &v2, true);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_READY).outbox_id);
    kit_decide(&kit, WIRE_ACTIVATE, 31, 30, &v2);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_APPLIED).outbox_id);
    kit_decide(&kit, WIRE_ROLLBACK, 32, 0, &v1);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_ROLLED_BACK).outbox_id);
}

/* `<<` merges maps; whoever reads the value as a schema does stops at it. */
TEST(a_secret_that_cannot_be_judged_is_refused)
{
    struct sealed s = seal(1, "<<: hush\n");
    struct document *d = document_new();
    struct version v = { .revision = 1 };
    struct wire_secret piece;
    struct wire_ack ack;
    struct err e;
    char text[WIRE_TEXT_MAX + 1];

    ck_assert_int_eq(document_set(d, "value", VALUE_YAML, s.reference, &e), 0);
    ck_assert_int_eq(document_encode(d, &v.bytes, &v.size, &v.hash, &e), 0);
    prepare(10, NULL, &v, true);
    kit_expect(&kit, WIRE_ASK);
    piece = piece_of(&s, 0, WIRE_CHUNK_MAX);
    kit_send(&kit, WIRE_SECRET, kit.out, wire_encode_secret(&piece, kit.out, sizeof(kit.out)));
    ack = kit_expect_ack(&kit, WIRE_REFUSED);
    ck_assert_int_eq(ack.reason, WIRE_REASON_SCHEMA);
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_msg(strstr(text, "value") && strstr(text, "not shown"), "%s", text);
    ck_assert_msg(!strstr(text, "<<"), "%s", text);
    document_free(d);
    version_free(&v);
    envelope_fini(&s.envelope);
}
