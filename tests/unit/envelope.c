/* envelope.c - base64, AES-256-GCM and envelopes: known answers, and everything that must not open. */
#include "common/crypto/envelope.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/base64.h"
#include "tests/test.h"

static const struct envelope_place place = { "payments", "prod", "database.password", 3 };
static const char value[] = "correct horse";
#define VALUE_SIZE (sizeof(value) - 1)

static struct err e;

/* Keys of bytes that count up. */
static struct seal_key key_from(uint8_t first)
{
    struct seal_key key;

    for (unsigned i = 0; i < SEAL_KEY_SIZE; i++)
        key.bytes[i] = (uint8_t)(first + i);
    return key;
}

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t size = strlen(hex) / 2;

    for (size_t i = 0; i < size; i++) {
        unsigned byte;

        ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return size;
}

static void check_base64(const char *plain, const char *text)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    char back[16];
    size_t size = 99;

    base64_encode(plain, strlen(plain), &b);
    ck_assert_str_eq(b.data ? b.data : "", text);
    ck_assert_int_eq(base64_decode(text, strlen(text), back, strlen(plain), &size), 0);
    ck_assert_uint_eq(size, strlen(plain));
    ck_assert_int_eq(memcmp(back, plain, size), 0);
    if (size > 0)
        ck_assert_int_eq(base64_decode(text, strlen(text), back, size - 1, &size), -1);
}

TEST(base64_as_in_its_rfc)
{
    check_base64("", "");
    check_base64("f", "Zg==");
    check_base64("fo", "Zm8=");
    check_base64("foo", "Zm9v");
    check_base64("foob", "Zm9vYg==");
    check_base64("fooba", "Zm9vYmE=");
    check_base64("foobar", "Zm9vYmFy");
}

TEST(base64_has_one_text_for_the_same_bytes)
{
    static const char *const wrong[] = { "Z",     "Zg",    "Zg=",      "Zh==",     "Zm9=",
                                         "Zg==\n", " Zg==", "Zg= =",    "Z===",     "====",
                                         "Zg==Zg==", "Zm-_", "Zm9vYg==a", "Zm9v\nYg=", "Zm 9vYg=" };
    uint8_t out[16];
    size_t size;

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_msg(base64_decode(wrong[i], strlen(wrong[i]), out, 16, &size) == -1, "%s",
                      wrong[i]);
    ck_assert_int_eq(base64_decode("Zg=\0", 4, out, 16, &size), -1);
    ck_assert_int_eq(base64_decode("Zg\0=", 4, out, 16, &size), -1);
}

TEST(base64_of_every_length)
{
    static uint8_t bytes[10000], back[10000];
    size_t size;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t n = 0; n <= sizeof(bytes); n += n < 300 || n > 9700 ? 1 : 97) {
        SCOPED_BUFFER struct buffer b = { 0 };

        base64_encode(bytes, n, &b);
        ck_assert_uint_eq(b.size, BASE64_SIZE(n));
        ck_assert_int_eq(base64_decode(b.data ? b.data : "", b.size, back, n, &size), 0);
        ck_assert(size == n && memcmp(bytes, back, n) == 0);
    }
}

/* Test cases 13 to 16 of the GCM specification that NIST SP 800-38D adopted. */
static const struct {
    const char *key, *iv, *aad, *plain, *ciphertext, *tag;
} vectors[] = {
    { "0000000000000000000000000000000000000000000000000000000000000000",
      "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
    { "0000000000000000000000000000000000000000000000000000000000000000",
      "000000000000000000000000", "", "00000000000000000000000000000000",
      "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
    { "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
      "cafebabefacedbaddecaf888", "",
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
      "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
      "b094dac5d93471bdec1a502270e3cc6c" },
    { "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
      "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
      "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
      "76fc6ece0f4e1768cddf8853bb2d551b" },
};

TEST_EACH(known_answers_open, vectors)
{
    struct seal_key key;
    struct seal seal;
    uint8_t aad[64], plain[64], ciphertext[64], out[64];
    size_t aad_size = from_hex(vectors[_i].aad, aad), size = from_hex(vectors[_i].plain, plain);

    from_hex(vectors[_i].key, key.bytes);
    from_hex(vectors[_i].iv, seal.iv);
    from_hex(vectors[_i].tag, seal.tag);
    ck_assert_uint_eq(from_hex(vectors[_i].ciphertext, ciphertext), size);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(seal_open(&key, aad, aad_size, &seal, ciphertext, size, out), 0);
        ck_assert(memcmp(out, plain, size) == 0);
        seal.tag[15] ^= 1;
        memset(out, 0xAA, sizeof(out));
        ck_assert_int_eq(seal_open(&key, aad, aad_size, &seal, ciphertext, size, out), -1);
        for (size_t i = 0; i < size; i++)
            ck_assert_uint_eq(out[i], 0);
        seal.tag[15] ^= 1;
    }
}

TEST(sealing_draws_a_fresh_iv)
{
    struct seal_key key = key_from(1);
    struct seal one, two;
    uint8_t first[VALUE_SIZE], second[VALUE_SIZE], out[VALUE_SIZE];

    seal_close(&key, "aad", 3, value, VALUE_SIZE, &one, first);
    seal_close(&key, "aad", 3, value, VALUE_SIZE, &two, second);
    ck_assert(memcmp(one.iv, two.iv, SEAL_IV_SIZE) != 0);
    ck_assert(memcmp(first, second, VALUE_SIZE) != 0);
    ck_assert(memcmp(one.tag, two.tag, SEAL_TAG_SIZE) != 0);
    ck_assert_int_eq(seal_open(&key, "aad", 3, &one, first, VALUE_SIZE, out), 0);
    ck_assert_int_eq(seal_open(&key, "aad", 3, &one, second, VALUE_SIZE, out), -1);
    ck_assert_int_eq(seal_open(&key, "aae", 3, &one, first, VALUE_SIZE, out), -1);
    ck_assert_int_eq(seal_open(&key, "aad", 2, &one, first, VALUE_SIZE, out), -1);
    ck_assert_int_eq(seal_open(&key, "aad", 3, &one, first, VALUE_SIZE - 1, out), -1);
    ck_assert_int_eq(seal_open(&key, "aad", 3, &two, second, VALUE_SIZE, second), 0);
    ck_assert_msg(memcmp(second, value, VALUE_SIZE) == 0, "it may be opened where it lies");
}

TEST(keys_are_drawn_and_wiped)
{
    struct seal_key one, two, zero = { { 0 } };

    seal_key_draw(&one);
    seal_key_draw(&two);
    ck_assert(memcmp(&one, &two, sizeof(one)) != 0);
    seal_key_wipe(&one);
    ck_assert(memcmp(&one, &zero, sizeof(one)) == 0);
    seal_free(NULL, 10);
}

/* The context of a thread goes from key to key, from sealing to opening and back. */
static void *seal_and_open(void *failed)
{
    for (unsigned i = 0; i < 2000; i++) {
        struct seal_key one = key_from((uint8_t)i), two = key_from((uint8_t)(i + 1));
        struct seal a, b;
        uint8_t sealed[64] = { 0 }, other[64], out[64];

        seal_close(&one, "a", 1, "text", 4, &a, sealed);
        seal_close(&two, "b", 1, sealed, 64, &b, other);
        if (seal_open(&one, "b", 1, &b, other, 64, out) == 0 ||
            seal_open(&two, "b", 1, &b, other, 64, out) != 0 || memcmp(out, sealed, 64) ||
            seal_open(&one, "a", 1, &a, out, 4, out) != 0 || memcmp(out, "text", 4))
            *(bool *)failed = true;
    }
    return NULL;
}

TEST(threads_do_not_disturb_each_other)
{
    pthread_t threads[4];
    bool failed[4] = { false };

    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, seal_and_open, &failed[i]), 0);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!failed[i]);
    }
}

/* Made by another implementation (Python's cryptography): what is stored today opens tomorrow. */
static const char stored[] =
    "{\"key_id\":\"file:k1\",\"wrapped_key\":\"AAECAwQFBgcICQoLI2ewfK2MqHDhLPnkwZgKHvej8UOIAiUHRBqb"
    "+p3ogjEqxR4nTxEX+GecWQyqpy6V\",\"iv\":\"MjM0NTY3ODk6Ozw9\",\"ciphertext\":"
    "\"m/xMNIkXiIGzwtSuNA==\",\"tag\":\"oE/CkhlXlZA/kp7oCuzuVw==\"}";
static const char stored_digest[] = "vLlsNW1w9eyfJwaWkkvrUWLaLErI/BYTvmKVjBt8kHA=";

/* Unwrap, then open: what a reader does. */
static int read_value(const struct envelope *v, const struct seal_key *key, char **out,
                      size_t *size_out)
{
    struct seal_key data_key;

    if (envelope_unwrap(key, &v->wrapped, &data_key) != 0)
        return -1;
    return envelope_open(v, &data_key, &place, out, size_out, &e);
}

TEST(a_stored_envelope_opens)
{
    struct seal_key key = key_from(0);
    SCOPED_ENVELOPE struct envelope v = { 0 };
    SCOPED_BUFFER struct buffer b = { 0 };
    char digest[ENVELOPE_DIGEST_SIZE], *out;
    size_t size;

    ck_assert_int_eq(envelope_parse(stored, strlen(stored), &v, &e), 0);
    ck_assert_int_eq(read_value(&v, &key, &out, &size), 0);
    ck_assert_str_eq(out, value);
    ck_assert_uint_eq(size, VALUE_SIZE);
    seal_free(out, size);
    envelope_digest(&v, digest);
    ck_assert_str_eq(digest, stored_digest);
    envelope_format(&v, &b);
    ck_assert_str_eq(b.data, stored);
}

/* Every bit of the stored text counts: a changed one is refused while reading, unwrapping or
 * opening. */
TEST(no_bit_may_change)
{
    struct seal_key key = key_from(0);
    char text[sizeof(stored)];

    for (size_t bit = 0; bit < 8 * (sizeof(stored) - 1); bit++) {
        SCOPED_ENVELOPE struct envelope v = { 0 };
        char *out = NULL;
        size_t size;

        memcpy(text, stored, sizeof(text));
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        ck_assert_msg(envelope_parse(text, sizeof(text) - 1, &v, &e) != 0 ||
                          read_value(&v, &key, &out, &size) != 0,
                      "bit %zu: %s", bit, text);
        ck_assert_ptr_null(strstr(e.text, value));
    }
}

static void flip_all(struct envelope *v, uint8_t *bytes, size_t size)
{
    struct seal_key key = key_from(0);

    for (size_t bit = 0; bit < 8 * size; bit++) {
        char *out;
        size_t n;

        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1 << bit % 8);
        ck_assert_int_eq(read_value(v, &key, &out, &n), -1);
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1 << bit % 8);
    }
}

TEST(no_bit_of_any_field_may_change)
{
    struct seal_key key = key_from(0);
    SCOPED_ENVELOPE struct envelope v = { 0 };
    char *out;
    size_t size;

    ck_assert_int_eq(envelope_parse(stored, strlen(stored), &v, &e), 0);
    flip_all(&v, (uint8_t *)v.wrapped.key_id, strlen(v.wrapped.key_id));
    flip_all(&v, v.wrapped.bytes, v.wrapped.size);
    flip_all(&v, v.seal.iv, SEAL_IV_SIZE);
    flip_all(&v, v.ciphertext, v.size);
    flip_all(&v, v.seal.tag, SEAL_TAG_SIZE);
    for (size_t bit = 0; bit < 8 * SEAL_KEY_SIZE; bit++) {
        struct seal_key other = key;

        other.bytes[bit / 8] = (uint8_t)(other.bytes[bit / 8] ^ 1 << bit % 8);
        ck_assert_int_eq(read_value(&v, &other, &out, &size), -1);
    }
    ck_assert_int_eq(read_value(&v, &key, &out, &size), 0);
    seal_free(out, size);
    v.size--;
    ck_assert_int_eq(read_value(&v, &key, &out, &size), -1);
}

TEST(an_envelope_opens_in_its_place_alone)
{
    static const struct envelope_place others[] = {
        { "payments", "prod", "database.password", 4 },
        { "payments", "prod", "database.password", 3 + (UINT64_C(1) << 32) },
        { "payments", "prod", "database.passwore", 3 },
        { "payments", "prod", "database.passwor", 3 },
        { "payments", "proddatabase.password", "", 3 },
        { "paymentsp", "rod", "database.password", 3 },
        { "payment", "sprod", "database.password", 3 },
        { "payments", "dev", "database.password", 3 },
        { "search", "prod", "database.password", 3 },
        { "prod", "payments", "database.password", 3 },
        { "", "", "", 3 },
    };
    struct seal_key data_key;
    struct envelope_wrapped wrapped = { .key_id = "k", .size = 1 };
    SCOPED_ENVELOPE struct envelope v = { 0 };
    char *out;
    size_t size;

    seal_key_draw(&data_key);
    envelope_seal(&data_key, &wrapped, &place, value, VALUE_SIZE, &v);
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        ck_assert_int_eq(envelope_open(&v, &data_key, &others[i], &out, &size, &e), -1);
        ck_assert_int_eq(e.kind, ERR_CORRUPT);
    }
    ck_assert_int_eq(envelope_open(&v, &data_key, &place, &out, &size, &e), 0);
    ck_assert_str_eq(out, value);
    seal_free(out, size);
}

TEST(wrapping_anew_changes_no_digest)
{
    struct seal_key old_key = key_from(0), new_key = key_from(9), data_key, back;
    struct envelope_wrapped wrapped;
    SCOPED_ENVELOPE struct envelope v = { 0 };
    char before[ENVELOPE_DIGEST_SIZE], after[ENVELOPE_DIGEST_SIZE], *out;
    size_t size;

    seal_key_draw(&data_key);
    envelope_wrap(&old_key, "k1", &data_key, &wrapped);
    envelope_seal(&data_key, &wrapped, &place, value, VALUE_SIZE, &v);
    envelope_digest(&v, before);
    ck_assert_int_eq(envelope_unwrap(&old_key, &v.wrapped, &back), 0);
    envelope_wrap(&new_key, "k2", &back, &v.wrapped);
    envelope_digest(&v, after);
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(read_value(&v, &old_key, &out, &size), -1);
    ck_assert_int_eq(read_value(&v, &new_key, &out, &size), 0);
    ck_assert_str_eq(out, value);
    seal_free(out, size);
}

TEST(values_of_any_size)
{
    static const size_t sizes[] = { 0, 1, 15, 16, 17, 4096, ENVELOPE_VALUE_MAX };
    struct envelope_wrapped wrapped;
    struct seal_key key = key_from(0), data_key;
    char *text = malloc(ENVELOPE_VALUE_MAX), *out;

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', ENVELOPE_VALUE_MAX);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        SCOPED_ENVELOPE struct envelope v = { 0 }, back = { 0 };
        SCOPED_BUFFER struct buffer b = { 0 };
        size_t size;

        seal_key_draw(&data_key);
        envelope_wrap(&key, "k", &data_key, &wrapped);
        envelope_seal(&data_key, &wrapped, &place, text, sizes[i], &v);
        envelope_format(&v, &b);
        ck_assert_int_eq(envelope_parse(b.data, b.size, &back, &e), 0);
        ck_assert_int_eq(read_value(&back, &key, &out, &size), 0);
        ck_assert(size == sizes[i] && memcmp(out, text, size) == 0 && out[size] == '\0');
        seal_free(out, size);
    }
    free(text);
}

/* The stored text with `from` replaced is refused in words that contain `part`. */
static void check_refused(const char *from, const char *to, const char *part)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    SCOPED_ENVELOPE struct envelope v = { 0 };
    const char *at = strstr(stored, from);

    ck_assert_msg(at != NULL, "%s", from);
    buffer_add(&b, stored, (size_t)(at - stored));
    buffer_printf(&b, "%s%s", to, at + strlen(from));
    ck_assert_msg(envelope_parse(b.data, b.size, &v, &e) == -1, "%s", b.data);
    ck_assert_int_eq(e.kind, ERR_MALFORMED);
    ck_assert_msg(strstr(e.text, part) != NULL, "%s lacks %s", e.text, part);
    ck_assert_ptr_null(v.ciphertext);
}

TEST(other_texts_are_refused)
{
    char long_id[140];

    check_refused("{", "[{", "not a JSON object of unique members");
    check_refused(stored, "[]", "not a JSON object of unique members");
    check_refused(stored, "", "not a JSON object of unique members");
    check_refused("\"key_id\":\"file:k1\",", "", "key_id is missing");
    check_refused("file:k1", "", "key_id is not the name");
    check_refused("file:k1", "file k1", "key_id is not the name");
    check_refused("file:k1", "file:\\u0000", "not a JSON object of unique members");
    memset(long_id, 'k', 129);
    long_id[129] = '\0';
    check_refused("file:k1", long_id, "key_id is not the name");
    check_refused("\"file:k1\"", "7", "key_id is not a text");
    check_refused("\"tag\"", "\"tig\"", "tag is missing");
    check_refused("{", "{\"tag\":\"oE/CkhlXlZA/kp7oCuzuVw==\",",
                  "not a JSON object of unique members");
    check_refused("{", "{\"value\":\"hunter2\",", "do not belong");
    ck_assert_ptr_null(strstr(e.text, "hunter2"));
    check_refused("AAECAwQF", "AAEC wQF", "wrapped_key is not base64");
    check_refused("MjM0NTY3ODk6Ozw9", "MjM0NTY3ODk6Ozw9AA==", "iv is not base64, or too long");
    check_refused("MjM0NTY3ODk6Ozw9", "MjM0NTY3ODk6Ozw=", "iv is too short");
    check_refused("uzuVw==", "uzuVw=", "tag is not base64");
    check_refused("SuNA==", "SuNB==", "ciphertext is not base64");
}
