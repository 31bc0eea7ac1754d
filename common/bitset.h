/* bitset.h - sets of small numbers (servers of a fleet) over memory the caller lends. Pure.
 *
 * All sets that meet in one call have the same word_count. Nothing here allocates: bitset_init
 * points a set at zeroed words, bitset_words says how many are needed.
 */
#ifndef COMMON_BITSET_H
#define COMMON_BITSET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/invariant.h"

#define BITSET_END UINT32_MAX

struct bitset {
    uint64_t *words;
    uint32_t word_count;
};

static inline uint32_t bitset_words(uint32_t members_max)
{
    return (members_max + 63) / 64;
}

static inline void bitset_init(struct bitset *s, uint64_t *words, uint32_t word_count)
{
    s->words = words;
    s->word_count = word_count;
}

static inline void bitset_clear(struct bitset *s)
{
    memset(s->words, 0, s->word_count * sizeof(uint64_t));
}

static inline void bitset_add(struct bitset *s, uint32_t i)
{
    MUST(i / 64 < s->word_count);
    s->words[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline void bitset_remove(struct bitset *s, uint32_t i)
{
    MUST(i / 64 < s->word_count);
    s->words[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

static inline bool bitset_has(const struct bitset *s, uint32_t i)
{
    return i / 64 < s->word_count && (s->words[i / 64] >> (i % 64) & 1);
}

static inline void bitset_copy(struct bitset *to, const struct bitset *from)
{
    MUST(to->word_count == from->word_count);
    memcpy(to->words, from->words, from->word_count * sizeof(uint64_t));
}

/* to |= other */
static inline void bitset_unite(struct bitset *to, const struct bitset *other)
{
    MUST(to->word_count == other->word_count);
    for (uint32_t w = 0; w < to->word_count; w++)
        to->words[w] |= other->words[w];
}

/* to &= ~other */
static inline void bitset_subtract(struct bitset *to, const struct bitset *other)
{
    MUST(to->word_count == other->word_count);
    for (uint32_t w = 0; w < to->word_count; w++)
        to->words[w] &= ~other->words[w];
}

/* to &= other */
static inline void bitset_intersect(struct bitset *to, const struct bitset *other)
{
    MUST(to->word_count == other->word_count);
    for (uint32_t w = 0; w < to->word_count; w++)
        to->words[w] &= other->words[w];
}

static inline uint32_t bitset_count(const struct bitset *s)
{
    uint32_t n = 0;

    for (uint32_t w = 0; w < s->word_count; w++)
        n += (uint32_t)__builtin_popcountll(s->words[w]);
    return n;
}

static inline bool bitset_is_empty(const struct bitset *s)
{
    for (uint32_t w = 0; w < s->word_count; w++)
        if (s->words[w])
            return false;
    return true;
}

/* How many members a and b share. */
static inline uint32_t bitset_count_both(const struct bitset *a, const struct bitset *b)
{
    uint32_t n = 0;

    MUST(a->word_count == b->word_count);
    for (uint32_t w = 0; w < a->word_count; w++)
        n += (uint32_t)__builtin_popcountll(a->words[w] & b->words[w]);
    return n;
}

/* The first member at or after `from`, or BITSET_END:
 *     for (uint32_t i = bitset_next(s, 0); i != BITSET_END; i = bitset_next(s, i + 1)) */
static inline uint32_t bitset_next(const struct bitset *s, uint32_t from)
{
    uint32_t w = from / 64;
    uint64_t bits;

    if (w >= s->word_count)
        return BITSET_END;
    bits = s->words[w] & (UINT64_MAX << (from % 64));
    while (!bits) {
        if (++w == s->word_count)
            return BITSET_END;
        bits = s->words[w];
    }
    return w * 64 + (uint32_t)__builtin_ctzll(bits);
}

#endif
