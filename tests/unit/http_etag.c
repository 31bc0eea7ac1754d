/* http_etag.c - conditions of reads: lists, weak tags, *, and what is no tag at all. */
#include "coordinator/http/request/etag.h"

#include <check.h>
#include <stdlib.h>

#include "tests/test.h"

TEST(conditions)
{
    static const struct {
        const char *condition;
        bool is_known;
    } cases[] = {
        { NULL, false },           { "", false },
        { "\"7\"", true },         { "W/\"7\"", true },
        { "*", true },             { " * ", true },
        { "\"8\"", false },        { "\"77\"", false },
        { "\"\"", false },         { "7", false },
        { "\"7", false },          { "w/\"7\"", false },
        { "\"x\", \"7\"", true },  { "\"x\",W/\"7\"", true },
        { "\"7\" , \"x\"", true }, { "\"a,b\", \"7\"", true },
        { "\"x\" nonsense \"7\"", false },
        { ",,\"7\"", true },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(etag_is_known(cases[i].condition, "\"7\"") == cases[i].is_known, "%s",
                      cases[i].condition ? cases[i].condition : "none");
}
