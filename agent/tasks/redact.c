/* redact.c - secret values are taken out of a text before it travels or is logged. Pure. */
#include "agent/tasks/redact.h"

#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/document/canon.h"
#include "common/name.h"

#define CUT_MARK "…"

static void put_back(struct buffer *made, char *text, size_t room)
{
    size_t size = made->size < room ? made->size : room - 1;

    memcpy(text, made->data, size);
    text[size] = '\0';
    if (size < made->size)
        name_clean_utf8(text, size);
}

static void take_out(char *text, size_t room, const char *needle, size_t size)
{
    SCOPED_BUFFER struct buffer made = { 0 };
    const char *from = text, *found;

    if (size < REDACT_LEAST || !strstr(text, needle))
        return;
    buffer_keep_secret(&made);
    for (; (found = strstr(from, needle)); from = found + size) {
        buffer_add(&made, from, (size_t)(found - from));
        buffer_add_text(&made, REDACT_MARK);
    }
    buffer_add_text(&made, from);
    put_back(&made, text, room);
}

/* The longest end of the needle that the text goes on with behind a mark of omission. */
static void take_out_rest(char *text, size_t room, const char *needle, size_t size)
{
    char *mark = strstr(text, CUT_MARK);
    char *from = mark ? mark + sizeof(CUT_MARK) - 1 : NULL;

    for (size_t skip = 1; from && size - skip >= REDACT_LEAST && skip < size; skip++) {
        size_t rest = size - skip;

        if (strncmp(from, needle + skip, rest) == 0) {
            SCOPED_BUFFER struct buffer made = { 0 };

            buffer_keep_secret(&made);
            buffer_add(&made, text, (size_t)(from - text));
            buffer_add_text(&made, REDACT_MARK);
            buffer_add_text(&made, from + rest);
            put_back(&made, text, room);
            return;
        }
    }
}

static void redact_needle(char *text, size_t room, const char *at, size_t size)
{
    SCOPED_BUFFER struct buffer needle = { 0 };

    if (size < REDACT_LEAST)
        return;
    buffer_keep_secret(&needle);
    buffer_add(&needle, at, size);
    take_out(text, room, needle.data, size);
    take_out_rest(text, room, needle.data, size);
}

/* As it stands between the quotes of a JSON text. */
static void redact_quoted(char *text, size_t room, const char *value)
{
    SCOPED_BUFFER struct buffer quoted = { 0 };

    buffer_keep_secret(&quoted);
    canon_quote(&quoted, value);
    redact_needle(text, room, quoted.data + 1, quoted.size - 2);
}

static void redact_lines(char *text, size_t room, const char *value)
{
    for (const char *line = value; *line;) {
        size_t size = strcspn(line, "\r\n");

        redact_needle(text, room, line, size);
        line += size + strspn(line + size, "\r\n");
    }
}

static void redact_strings(char *text, size_t room, const char *value)
{
    for (const char *at = strchr(value, '"'); at; at = strchr(at, '"')) {
        const char *from = ++at;

        while (*at && *at != '"')
            at += *at == '\\' && at[1] ? 2 : 1;
        redact_needle(text, room, from, (size_t)(at - from));
        if (!*at++)
            return;
    }
}

void redact_text(char *text, size_t room, const char *value)
{
    redact_needle(text, room, value, strlen(value));
    redact_quoted(text, room, value);
    redact_lines(text, room, value);
    if (value[0] == '{' || value[0] == '[')
        redact_strings(text, room, value);
}
