/* name.c - the names of services, environments, servers and scopes, and UTF-8. */
#include "common/name.h"

#include <string.h>

static bool is_name_byte(char c, bool is_first)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return true;
    return !is_first && (c == '.' || c == '_' || c == '-');
}

int name_check(const char *what, const char *text, struct err *e)
{
    size_t size = strlen(text);

    if (size == 0)
        return err_set(e, ERR_INVALID, "%s is empty: give a name such as web-1", what);
    if (size > NAME_MAX_BYTES)
        return err_set(e, ERR_INVALID, "%s is %zu bytes long, at most %d are allowed", what, size,
                       NAME_MAX_BYTES);
    for (size_t i = 0; i < size; i++)
        if (!is_name_byte(text[i], i == 0))
            return err_set(e, ERR_INVALID,
                           "%s is not a name: a-z, 0-9, and after the first character . _ - "
                           "(character %zu does not fit)",
                           what, i + 1);
    return 0;
}

const char *name_environment(const char *text)
{
    if (!strcmp(text, "development"))
        return "dev";
    if (!strcmp(text, "production"))
        return "prod";
    return text;
}

int name_split_scope(const char *text, char service[NAME_BUFFER], char environment[NAME_BUFFER],
                     struct err *e)
{
    const char *slash = strchr(text, '/');
    char first[NAME_BUFFER];
    const char *second;
    size_t size;

    if (!slash)
        return err_set(e, ERR_INVALID,
                       "\"%.100s\" is not a scope: write SERVICE/ENVIRONMENT, as in payments/prod",
                       text);
    size = (size_t)(slash - text);
    if (size > NAME_MAX_BYTES)
        return err_set(e, ERR_INVALID, "the service is %zu bytes long, at most %d are allowed",
                       size, NAME_MAX_BYTES);
    memcpy(first, text, size);
    first[size] = '\0';
    second = name_environment(slash + 1);
    if (name_check("the service", first, e) || name_check("the environment", second, e))
        return -1;
    memcpy(service, first, size + 1);
    memcpy(environment, second, strlen(second) + 1);
    return 0;
}

/* The length of the character at `at`, 0 when it is not one. RFC 3629, section 4. */
static size_t character(const unsigned char *at, size_t size)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t length;

    if (at[0] == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xC2 || at[0] > 0xF4)
        return 0; /* a continuation, an overlong form, or beyond U+10FFFF */
    length = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    if (length > size)
        return 0;
    if (at[0] == 0xE0)
        low = 0xA0; /* overlong below */
    else if (at[0] == 0xED)
        high = 0x9F; /* surrogates above */
    else if (at[0] == 0xF0)
        low = 0x90; /* overlong below */
    else if (at[0] == 0xF4)
        high = 0x8F; /* beyond U+10FFFF above */
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

bool name_is_utf8(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t length = character((const unsigned char *)text + at, size - at);

        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

void name_clean_utf8(char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t length = character((const unsigned char *)text + at, size - at);

        if (length == 0)
            text[at++] = '?';
        else
            at += length;
    }
}

/* The start of the next character. */
static const char *next(const char *text)
{
    do
        text++;
    while (((unsigned char)*text & 0xC0) == 0x80);
    return text;
}

bool name_matches(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;

    /* On a mismatch the newest star takes a character more: no recursion, no explosion. */
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == '?') {
            pattern++;
            text = next(text);
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = resume = next(resume);
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
