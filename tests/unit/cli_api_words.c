/* cli_api_words.c - what the API calls a parameter is an option here. */
#include "coordinator/cli/api_words.h"

#include <check.h>

#include "tests/test.h"

static const struct {
    const char *api, *here;
} sentences[] = {
    { "", "" },
    { "?state= knows no state x", "--state knows no state x" },
    { "change them first, or leave ?strict=1 out", "change them first, or leave --strict out" },
    { "?allow_variables= names none", "--allow-variables names none" },
    { "is that so? state= is", "is that so? state= is" },
    { "say an expires_at, or", "say an --expires, or" },
    { "break_glass needs a note", "--break-glass needs a note" },
    { "lacks the right rollout.break_glass", "lacks the right rollout.break_glass" },
    { "/expires_at has passed", "/expires_at has passed" },
    { "no expires_at_all", "no expires_at_all" },
};

TEST_EACH(sentences_are_translated, sentences)
{
    SCOPED_BUFFER struct buffer out = { 0 };

    api_words_add(&out, sentences[_i].api);
    ck_assert_str_eq(out.data, sentences[_i].here);
}
