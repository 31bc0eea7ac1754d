/* wire.c - properties of the message codec: round trips, cut, spoiled and random bytes. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/test.h"
#include "tests/unit/wire_visit.h"

#define BODY_MAX (WIRE_MESSAGE_MAX - WIRE_ENVELOPE_SIZE)

struct body {
    const char *name;
    size_t size;
    void (*visit)(void *body);
    size_t (*encode)(const void *body, void *out, size_t size);
    int (*decode)(const void *data, size_t size, void *out, struct err *e);
};

#define X(name, type)                                                                              \
    static void any_visit_##name(void *b)                                                          \
    {                                                                                              \
        visit_##name(b);                                                                           \
    }                                                                                              \
    static size_t any_encode_##name(const void *b, void *out, size_t size)                         \
    {                                                                                              \
        return wire_encode_##name(b, out, size);                                                   \
    }                                                                                              \
    static int any_decode_##name(const void *data, size_t size, void *b, struct err *e)            \
    {                                                                                              \
        return wire_decode_##name(data, size, b, e);                                               \
    }
WIRE_BODIES(X)
#undef X
static const struct body bodies[] = {
#define X(name, type)                                                                              \
    { #name, sizeof(type), any_visit_##name, any_encode_##name, any_decode_##name },
    WIRE_BODIES(X)
#undef X
};
#define BODY_COUNT ((int)(sizeof(bodies) / sizeof(bodies[0])))

/* Frames of exactly their size, so that a sanitizer sees one byte read too many. */
static uint8_t *exact(const void *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, size);
    return copy;
}

static int decode_copy(const struct body *body, const void *data, size_t size, void *out)
{
    uint8_t *copy = exact(data, size);
    struct err e = { 0 };
    int result = body->decode(copy, size, out, &e);

    SURE(result == 0 || (e.kind == ERR_MALFORMED && e.text[0]));
    free(copy);
    return result;
}

/* A random struct and its bytes; `made` is of body->size. */
static size_t make(const struct body *body, void *made, uint8_t *out)
{
    size_t size;

    memset(made, 0, body->size);
    visit.is_filling = true;
    visit.used = 0;
    visit.base = visit.other = made;
    body->visit(made);
    size = body->encode(made, out, BODY_MAX);
    SURE(size > 0);
    return size;
}

static void check_round_trip(const struct body *body, uint8_t *frame, uint8_t *again)
{
    void *made = malloc(body->size), *read = malloc(body->size);
    size_t size = make(body, made, frame);
    uint8_t *small = malloc(size);
    struct err e;

    SURE(body->decode(frame, size, read, &e) == 0);
    visit.is_filling = false;
    visit.base = made;
    visit.other = read;
    body->visit(made);
    SURE(body->encode(read, again, BODY_MAX) == size && memcmp(frame, again, size) == 0);
    SURE(body->encode(made, small, size) == size);
    SURE(body->encode(made, small, size - 1) == 0);
    free(small);
    free(made);
    free(read);
}

struct test_frame test_frame = { .timeout_s = 120 };

void test_begin(void)
{
    const char *given = getenv("SEED");

    seed = given && *given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    state = seed;
}

TEST(every_body_comes_back_as_it_went, .to = BODY_COUNT)
{
    static uint8_t frame[BODY_MAX], again[BODY_MAX];

    for (int i = 0; i < 400; i++)
        check_round_trip(&bodies[_i], frame, again);
}

/* Every list and text at its limit still makes a message (a PREPARE without its documents). */
TEST(the_largest_bodies_fit, .to = BODY_COUNT)
{
    static uint8_t frame[BODY_MAX], again[BODY_MAX];

    visit.is_largest = true;
    for (int i = 0; i < 20; i++)
        check_round_trip(&bodies[_i], frame, again);
    visit.is_largest = false;
}

TEST(every_cut_and_every_extra_byte_fails, .to = BODY_COUNT)
{
    static uint8_t frame[WIRE_MESSAGE_MAX];
    const struct body *body = &bodies[_i];
    void *made = malloc(body->size);

    for (int i = 0; i < 12; i++) {
        size_t size = make(body, made, frame);
        /* All cuts of short messages, a thousand of long ones. */
        size_t step = size < 2000 ? 1 : size / 1000;

        for (size_t cut = 0; cut < size; cut += step)
            SURE(decode_copy(body, frame, cut, made) == -1);
        SURE(decode_copy(body, frame, size - 1, made) == -1);
        frame[size] = 0;
        SURE(decode_copy(body, frame, size + 1, made) == -1);
    }
    free(made);
}

/* What a decoder accepts is exactly what the encoder makes of it. */
static void check_accepted(const struct body *body, const uint8_t *frame, size_t size, void *room)
{
    static uint8_t again[BODY_MAX];
    struct err e;

    if (decode_copy(body, frame, size, room))
        return;
    SURE(body->decode(frame, size, room, &e) == 0);
    SURE(body->encode(room, again, BODY_MAX) == size && memcmp(frame, again, size) == 0);
}

TEST(spoiled_and_random_bytes_do_no_harm, .to = BODY_COUNT)
{
    static uint8_t frame[WIRE_MESSAGE_MAX];
    const struct body *body = &bodies[_i];
    void *room = malloc(body->size);

    for (int i = 0; i < 1500; i++) {
        size_t size = make(body, room, frame);

        for (uint32_t n = 1 + below(4); n > 0; n--)
            frame[below((uint32_t)size)] = (uint8_t)(below(2) ? draw() : below(3));
        check_accepted(body, frame, size, room);
        size = below(300);
        for (size_t j = 0; j < size; j++)
            frame[j] = (uint8_t)(below(3) ? below(3) : draw());
        check_accepted(body, frame, size, room);
    }
    free(room);
}

TEST(a_frame_larger_than_a_message_is_refused, .to = BODY_COUNT)
{
    static uint8_t frame[WIRE_MESSAGE_MAX + 1];
    void *room = malloc(bodies[_i].size);

    SURE(decode_copy(&bodies[_i], frame, BODY_MAX + 1, room) == -1);
    SURE(decode_copy(&bodies[_i], frame, sizeof(frame), room) == -1);
    free(room);
}
