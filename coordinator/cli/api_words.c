/* api_words.c - parameters and fields of the API become the options of this command line. */
#include "coordinator/cli/api_words.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* Fields of the API whose option has another name; those of one name need no row. */
static const struct {
    const char *field, *option;
} options[] = {
    { "expires_at", "--expires" },
    { "include_rolled_back", "--include-rolled-back" },
    { "break_glass", "--break-glass" },
    { "expected_version", "--expect" },
    { "value_type", "--type" },
};

static bool is_letter(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* "?state=" and "?strict=1": the size of what is replaced; 0 when it is no parameter. */
static size_t add_parameter(const char *at, struct buffer *out)
{
    size_t size = 1;

    while (is_letter(at[size]))
        size++;
    if (at[0] != '?' || size == 1 || at[size] != '=')
        return 0;
    buffer_add_text(out, "--");
    for (size_t i = 1; i < size; i++)
        buffer_add(out, at[i] == '_' ? "-" : &at[i], 1);
    size++;
    return at[size] == '1' && !is_letter(at[size + 1]) ? size + 1 : size;
}

static size_t add_field(const char *at, struct buffer *out)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
        size_t size = strlen(options[i].field);

        if (strncmp(at, options[i].field, size) != 0 || is_letter(at[size]))
            continue;
        buffer_add_text(out, options[i].option);
        return size;
    }
    return 0;
}

/* A name behind a dot, a slash or a dash is part of a longer one: the right rollout.break_glass. */
static bool is_at_beginning(const char *sentence, const char *at)
{
    return at == sentence || !(is_letter(at[-1]) || strchr("./-", at[-1]));
}

void api_words_add(struct buffer *out, const char *sentence)
{
    buffer_add_text(out, "");
    for (const char *at = sentence; *at;) {
        size_t size = add_parameter(at, out);

        if (size == 0 && is_at_beginning(sentence, at))
            size = add_field(at, out);
        if (size == 0)
            buffer_add(out, at, size = 1);
        at += size;
    }
}
