/* ref.c - reads names as people write them, and says what was wrong with them. */
#include "coordinator/cli/ref.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"

#define NUMBERS_MAX 64

int ref_moment_parse(const char *option, const char *text, char out[CLOCK_TEXT_SIZE],
                     struct err *e)
{
    struct err ignored;
    int64_t ms;

    if (clock_parse(text, &ms) != 0) {
        if (duration_parse(text, &ms, &ignored) != 0)
            return err_set(e, ERR_INVALID,
                           "--%s: \"%.60s\" is neither a duration (30s, 5m, 1h30m, 2d) nor a "
                           "time (2026-12-27T06:00:00Z)", option, text);
        ms += clock_wall_ms();
    }
    clock_format(ms, out);
    return 0;
}

int ref_revision_parse(const char *text, int64_t *out, struct err *e)
{
    char *end;

    if (strcmp(text, "head") == 0) {
        *out = REF_HEAD;
        return 0;
    }
    if (strcmp(text, "released") == 0) {
        *out = REF_RELEASED;
        return 0;
    }
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (errno || *end || text[0] < '0' || text[0] > '9')
        return err_set(e, ERR_MALFORMED,
                       "revision \"%s\": a revision is a number, \"head\" or \"released\"", text);
    return 0;
}

void ref_revision_format(int64_t revision, char out[24])
{
    if (revision == REF_HEAD)
        snprintf(out, 24, "head");
    else if (revision < 0)
        snprintf(out, 24, "released");
    else
        snprintf(out, 24, "%lld", (long long)revision);
}

int ref_number_parse(const char *option, const char *text, int64_t min, int64_t max, int64_t *out,
                     struct err *e)
{
    errno = 0;
    *out = strtoll(text, NULL, 10);
    if (errno || !*text || text[strspn(text, "0123456789")] || *out < min || *out > max)
        return err_set(e, ERR_MALFORMED, "--%s \"%.60s\": give a number from %lld to %lld", option,
                       text, (long long)min, (long long)max);
    return 0;
}

int ref_scope_parse(const char *text, struct ref_scope *out, struct err *e)
{
    const char *at = strchr(text, '@');
    char scope[2 * SCOPE_BUFFER];
    size_t n = at ? (size_t)(at - text) : strlen(text);

    out->revision = REF_NONE;
    if (n >= sizeof(scope))
        return err_set(e, ERR_MALFORMED, "\"%.60s...\" is too long for SERVICE/ENV", text);
    memcpy(scope, text, n);
    scope[n] = 0;
    if (name_split_scope(scope, out->service, out->environment, e) != 0) {
        e->kind = ERR_MALFORMED;
        return -1;
    }
    return at ? ref_revision_parse(at + 1, &out->revision, e) : 0;
}

int ref_scope_parse_plain(const char *text, struct ref_scope *out, struct err *e)
{
    if (strchr(text, '@'))
        return err_set(e, ERR_MALFORMED, "\"%s\": no revision is wanted here, just SERVICE/ENV",
                       text);
    return ref_scope_parse(text, out, e);
}

bool ref_is_scope(const char *text)
{
    return strchr(text, '/') != NULL;
}

bool ref_is_id(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return n > 0 && n <= NAME_MAX_BYTES && !text[n];
}

static int numbers_bad(const char *text, struct err *e)
{
    return err_set(e, ERR_MALFORMED,
                   "\"%s\": give numbers of documents from 1 to %d, as 2 or 1,3 or 2-4", text,
                   NUMBERS_MAX);
}

int ref_numbers_parse(const char *text, uint64_t *out, struct err *e)
{
    const char *p = text;

    *out = 0;
    do {
        char *end;
        unsigned long first, last;

        if (*p < '0' || *p > '9')
            return numbers_bad(text, e);
        first = last = strtoul(p, &end, 10);
        if (*end == '-' && end[1] >= '0' && end[1] <= '9')
            last = strtoul(end + 1, &end, 10);
        if (first < 1 || last > NUMBERS_MAX || first > last || (*end && *end != ','))
            return numbers_bad(text, e);
        for (unsigned long i = first; i <= last; i++)
            *out |= UINT64_C(1) << (i - 1);
        p = *end ? end + 1 : end;
        if (*end && !*p)
            return numbers_bad(text, e);
    } while (*p);
    return 0;
}
