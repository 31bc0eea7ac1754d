/* descriptors.c - however few there are, both ports together leave some for the process itself. */
#include "coordinator/descriptors.h"

#include <check.h>
#include <stdlib.h>

#include "tests/test.h"

#define OWN 128 /* what a coordinator uses beside its workers' and others' connections */

TEST(some_are_left)
{
    static const uint64_t limits[] = { 512, 1024, 4096, 20000, 65536, 1u << 20, UINT64_MAX };
    static const uint64_t servers[] = { 1, 1000, 10000, 1000000 }, workers[] = { 1, 8, 256 };
    struct descriptors d;

    for (unsigned l = 0; l < sizeof(limits) / sizeof(limits[0]); l++)
        for (unsigned s = 0; s < 4; s++)
            for (unsigned w = 0; w < 3; w++) {
                descriptors_deal(limits[l], servers[s], workers[w], &d);
                ck_assert(d.agents >= 1 && d.http >= 1);
                ck_assert_uint_le(d.agents + d.http + workers[w] + OWN, limits[l]);
            }
}

TEST(each_has_its_share)
{
    struct descriptors d;

    descriptors_deal(20000, 10000, 8, &d); /* as the unit says */
    ck_assert(d.agents >= 9800 && d.http >= 9800);
    descriptors_deal(65536, 10000, 8, &d);
    ck_assert(d.agents > 12000 && d.http == 10000);
    descriptors_deal(1024, 100, 8, &d);
    ck_assert(d.agents >= 400 && d.http >= 400);
    descriptors_deal(128, 100, 8, &d); /* the little that there is, is shared */
    ck_assert(d.agents == 16 && d.http == 16);
    descriptors_deal(0, 100, 256, &d); /* nothing works with so few */
    ck_assert(d.agents == 1 && d.http == 1);
}
