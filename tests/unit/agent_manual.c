/* agent_manual.c - every setting and every word that the agent knows is in its manual. */
#include "agent/settings/file_settings.h"
#include "agent/settings/settings.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "tests/test.h"

static struct buffer page;

static void set_up(void)
{
    struct err e;

    ck_assert_msg(buffer_read_file(&page, "agent/README.md", 1 << 20, &e) == 0, "%s", e.text);
}

static void tear_down(void)
{
    buffer_fini(&page);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

/* The part of the page under the heading that begins like this, up to the next. */
static char *part(const char *heading)
{
    const char *from = strstr(page.data, heading), *to;

    ck_assert_msg(from != NULL, "agent/README.md lacks the heading %s", heading);
    to = strstr(from + 1, "\n## ");
    return strndup(from, to ? (size_t)(to - from) : strlen(from));
}

static bool has_row(const char *text, const char *name)
{
    char row[128];

    snprintf(row, sizeof(row), "\n| `%s", name);
    return strstr(text, row) != NULL;
}

TEST(every_key_has_a_row)
{
    const char *section, *key;

    for (size_t i = 0; (key = agent_settings_key(i, &section)); i++) {
        char heading[64], name[80];
        char *text;

        snprintf(heading, sizeof(heading), "\n## `[%s", section);
        snprintf(name, sizeof(name), "%s`", key);
        text = part(heading);
        ck_assert_msg(has_row(text, name), "agent/README.md does not explain [%s] %s", section,
                      key);
        free(text);
    }
}

TEST(every_word_has_a_row)
{
    char *text = part("\n## Files");
    const char *word;

    for (size_t i = 0; (word = file_settings_word(i)); i++)
        ck_assert_msg(has_row(text, word), "agent/README.md does not explain the word %s", word);
#define X(name, format)                                                                            \
    ck_assert_msg(strstr(text, "`" format "`") != NULL, "agent/README.md lacks " format);
    AGENT_FILE_FORMATS(X)
#undef X
    free(text);
}
