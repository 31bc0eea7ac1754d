/* difference.c - draws what a change does to values: one line, or the lines that differ. */
#include "coordinator/cli/difference.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/linediff.h"
#include "coordinator/cli/config_secret.h"
#include "coordinator/cli/table.h"

#define VALUE_CELLS 100
#define LEAD_BYTES 40           /* equal bytes shown before the first difference of long values */
#define HUNKS_SIZE (256u << 10) /* a difference that is longer than this is not read by people */
#define WHOLE_LINES 20          /* of a file that comes or goes */

struct drawing {
    const struct output *o;
    const json_t *change;
    unsigned indent;
    struct buffer *out;
};

static bool is(const json_t *change, const char *kind)
{
    return strcmp(cli_text(change, "change"), kind) == 0;
}

static const char *side_text(const json_t *change, const char *side, const char *absent)
{
    return is(change, absent) ? "" : config_secret_shown(change, side);
}

/* "                     by ada": behind the last line of a key. */
static void add_author(const struct drawing *d)
{
    const char *author = cli_text(d->change, "author");

    if (*author)
        buffer_printf(d->out, "   %sby %s%s", tint_on(TINT_DIM, d->o->is_colour), author,
                      tint_off(TINT_DIM, d->o->is_colour));
    buffer_add_text(d->out, "\n");
}

static enum tint tint_of_sign(char sign)
{
    return sign == '+' ? TINT_GOOD : sign == '-' ? TINT_BAD : TINT_DIM;
}

/* skip: how much of the value is left out at its beginning. */
static void add_side(const struct drawing *d, char sign, const char *value, size_t skip)
{
    enum tint tint = tint_of_sign(sign);

    buffer_printf(d->out, "%*s%s%c %s = %s", (int)d->indent, "", tint_on(tint, d->o->is_colour),
                  sign, cli_text(d->change, "key"),
                  skip == 0 ? "" : d->o->is_utf8 ? "…" : "...");
    table_text_add(d->out, value + skip, VALUE_CELLS, d->o->is_utf8);
    if (strcmp(cli_text(d->change, "old_type"), cli_text(d->change, "new_type")) != 0 &&
        is(d->change, "changed"))
        buffer_printf(d->out, " (%s)",
                      cli_text(d->change, sign == '-' ? "old_type" : "new_type"));
    buffer_add_text(d->out, tint_off(tint, d->o->is_colour));
}

/* Where to begin so that the first difference is seen: 0 when both fit, else on a character. */
static size_t find_skip(const char *before, const char *after)
{
    size_t same = 0;

    if (table_text_width(before) <= VALUE_CELLS && table_text_width(after) <= VALUE_CELLS)
        return 0;
    while (before[same] && before[same] == after[same])
        same++;
    same = same > LEAD_BYTES ? same - LEAD_BYTES : 0;
    while (same > 0 && ((unsigned char)before[same] & 0xC0) == 0x80)
        same--;
    return same;
}

static void add_line(const struct drawing *d, const char *line, size_t size)
{
    enum tint tint = tint_of_sign(*line);
    SCOPED_BUFFER struct buffer text = { 0 };

    buffer_add(&text, line, size);
    buffer_add_text(&text, "");
    buffer_printf(d->out, "%*s%s", (int)d->indent + 2, "", tint_on(tint, d->o->is_colour));
    table_text_add(d->out, text.data, SIZE_MAX, d->o->is_utf8);
    buffer_printf(d->out, "%s\n", tint_off(tint, d->o->is_colour));
}

static void add_hunks(const struct drawing *d, const char *before, const char *after)
{
    SCOPED_BUFFER struct buffer hunks = { 0 };
    bool had = before[0] && before[strlen(before) - 1] == '\n';
    bool has = after[0] && after[strlen(after) - 1] == '\n';

    linediff(before, strlen(before), after, strlen(after), HUNKS_SIZE, &hunks);
    buffer_add_text(&hunks, "");
    for (const char *line = hunks.data, *end; *line; line = *end ? end + 1 : end) {
        end = strchrnul(line, '\n');
        add_line(d, line, (size_t)(end - line));
    }
    if (had != has) {
        const char *note = has ? "(the last line has its line end now)"
                               : "(the last line has no line end any more)";

        add_line(d, note, strlen(note));
    }
}

/* A file that comes or goes: its beginning, and how much more there is. */
static void add_beginning(const struct drawing *d, char sign, const char *value)
{
    size_t shown = 0, rest = 0;

    for (const char *line = value, *end; *line; line = *end ? end + 1 : end) {
        SCOPED_BUFFER struct buffer text = { 0 };

        end = strchrnul(line, '\n');
        if (shown++ >= WHOLE_LINES) {
            rest++;
            continue;
        }
        buffer_printf(&text, "%c%.*s", sign, (int)(end - line), line);
        add_line(d, text.data, text.size);
    }
    if (rest)
        buffer_printf(d->out, "%*s%s and %zu more lines\n", (int)d->indent + 2, "",
                      d->o->is_utf8 ? "…" : "...", rest);
}

static void add_lines(const struct drawing *d, const char *before, const char *after)
{
    char sign = is(d->change, "added") ? '+' : is(d->change, "deleted") ? '-' : '~';

    buffer_printf(d->out, "%*s%s%c %s%s", (int)d->indent, "",
                  tint_on(sign == '~' ? TINT_BOLD : tint_of_sign(sign), d->o->is_colour), sign,
                  cli_text(d->change, "key"), tint_off(TINT_BOLD, d->o->is_colour));
    add_author(d);
    if (sign == '~')
        add_hunks(d, before, after);
    else
        add_beginning(d, sign, sign == '+' ? after : before);
}

void difference_add(const struct output *o, const json_t *change, unsigned indent,
                    struct buffer *out)
{
    const char *before = side_text(change, "old", "added");
    const char *after = side_text(change, "new", "deleted");
    struct drawing d = { o, change, indent, out };
    size_t skip = 0;

    if (is(change, "unchanged"))
        return;
    if (strchr(before, '\n') || strchr(after, '\n')) {
        add_lines(&d, before, after);
        return;
    }
    if (is(change, "changed"))
        skip = find_skip(before, after);
    if (!is(change, "added"))
        add_side(&d, '-', before, skip);
    if (is(change, "changed"))
        buffer_add_text(out, "\n");
    if (!is(change, "deleted"))
        add_side(&d, '+', after, skip);
    add_author(&d);
}

size_t difference_add_all(const struct output *o, const json_t *changes, unsigned indent,
                          struct buffer *out)
{
    size_t i, count = 0;
    json_t *change;

    json_array_foreach(changes, i, change) {
        difference_add(o, change, indent, out);
        count += !is(change, "unchanged");
    }
    return count;
}
