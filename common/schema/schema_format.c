/* schema_format.c - what date-time, email, uri and the other formats of draft-07 look like. */
#include "common/schema/schema_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/schema/uri.h"

#define EMAIL_LOCAL_MAX 64
#define HOST_MAX 253
#define LABEL_MAX 63

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---------------------------------------------------------------- times (RFC 3339) */

/* Exactly `count` digits, then `behind`; -1 when it is something else. */
static int take_number(const char **at, int count, char behind)
{
    int value = 0;

    for (; count > 0; count--, (*at)++) {
        if (!is_digit(**at))
            return -1;
        value = value * 10 + (**at - '0');
    }
    if (behind && *(*at)++ != behind)
        return -1;
    return value;
}

static bool take_date(const char **at)
{
    static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int year = take_number(at, 4, '-'), month, day;
    bool is_leap;

    if (year < 0 || (month = take_number(at, 2, '-')) < 1 || month > 12)
        return false;
    day = take_number(at, 2, '\0');
    is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day >= 1 && day <= days[month - 1] && (month != 2 || day < 29 || is_leap);
}

/* Minutes from UTC; -1 when it is none. */
static int take_offset(const char **at, int *sign)
{
    int hours, minutes;

    *sign = 0;
    if ((**at | 0x20) == 'z') {
        (*at)++;
        return 0;
    }
    if (**at != '+' && **at != '-')
        return -1;
    *sign = *(*at)++ == '+' ? 1 : -1;
    hours = take_number(at, 2, ':');
    if (hours < 0 || hours > 23)
        return -1;
    minutes = take_number(at, 2, '\0');
    return minutes < 0 || minutes > 59 ? -1 : hours * 60 + minutes;
}

/* A second 60 is a leap second, which comes at 23:59 UTC only. */
static bool take_time(const char **at)
{
    int hour = take_number(at, 2, ':'), minute, second, offset, sign, utc;

    if (hour < 0 || hour > 23 || (minute = take_number(at, 2, ':')) < 0 || minute > 59)
        return false;
    second = take_number(at, 2, '\0');
    if (second < 0 || second > 60)
        return false;
    if (**at == '.') {
        if (!is_digit(*++*at))
            return false;
        *at += strspn(*at, "0123456789");
    }
    offset = take_offset(at, &sign);
    utc = (hour * 60 + minute - sign * offset + 2 * 1440) % 1440;
    return offset >= 0 && (second < 60 || utc == 1439);
}

static bool is_date(const char *text)
{
    return take_date(&text) && !*text;
}

static bool is_time(const char *text)
{
    return take_time(&text) && !*text;
}

static bool is_date_time(const char *text)
{
    return take_date(&text) && (*text | 0x20) == 't' && (text++, take_time(&text)) && !*text;
}

/* ---------------------------------------------------------------- names and addresses */

/* RFC 1123: labels of letters, digits and inner hyphens; more letters where is_idn. */
static bool is_host(const char *text, size_t size, bool is_idn)
{
    size_t label = 0;

    if (size == 0 || (!is_idn && size > HOST_MAX))
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool is_first = label == 0, is_last = i + 1 == size || text[i + 1] == '.';

        if (c == '.') {
            if (is_first)
                return false;
            label = 0;
            continue;
        }
        if (!is_letter(c) && !is_digit(c) && !(c == '-' && !is_first && !is_last) &&
            !(is_idn && (unsigned char)c >= 0x80))
            return false;
        label += ((unsigned char)c & 0xC0) != 0x80;
        if (label > LABEL_MAX)
            return false;
    }
    return label > 0;
}

static bool is_hostname(const char *text)
{
    return is_host(text, strlen(text), false);
}

static bool is_idn_hostname(const char *text)
{
    return is_host(text, strlen(text), true);
}

/* RFC 5321: a dot-string or a quoted one, then a host or an address in brackets. */
static bool is_local_part(const char *text, size_t size, bool is_idn)
{
    if (size == 0 || size > EMAIL_LOCAL_MAX * (is_idn ? 4 : 1))
        return false;
    if (text[0] == '"') {
        for (size_t i = 1; i < size; i++) {
            if (text[i] == '"')
                return i + 1 == size;
            i += text[i] == '\\';
            if (i >= size || (unsigned char)text[i] < 0x20 ||
                (!is_idn && (unsigned char)text[i] >= 0x7F))
                return false;
        }
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        bool is_edge = i == 0 || i + 1 == size || text[i + 1] == '.';

        if (text[i] == '.' ? is_edge
                           : !is_letter(text[i]) && !is_digit(text[i]) &&
                                 !strchr("!#$%&'*+-/=?^_`{|}~", text[i]) &&
                                 !(is_idn && (unsigned char)text[i] >= 0x80))
            return false;
    }
    return true;
}

static bool is_mail(const char *text, bool is_idn)
{
    const char *mark = strrchr(text, '@'), *host = mark ? mark + 1 : "";
    size_t size = strlen(host);

    if (!mark || !is_local_part(text, (size_t)(mark - text), is_idn))
        return false;
    if (host[0] != '[')
        return is_host(host, size, is_idn);
    if (size < 3 || host[size - 1] != ']')
        return false;
    return !strncmp(host, "[IPv6:", 6) ? uri_is_ipv6(host + 6, size - 7)
                                       : uri_is_ipv4(host + 1, size - 2);
}

static bool is_email(const char *text)
{
    return is_mail(text, false);
}

static bool is_idn_email(const char *text)
{
    return is_mail(text, true);
}

static bool is_ipv4(const char *text)
{
    return uri_is_ipv4(text, strlen(text));
}

static bool is_ipv6(const char *text)
{
    return uri_is_ipv6(text, strlen(text));
}

static bool is_uri(const char *text)
{
    return uri_is(URI_ABSOLUTE, text);
}

static bool is_uri_reference(const char *text)
{
    return uri_is(URI_REFERENCE, text);
}

static bool is_iri(const char *text)
{
    return uri_is(URI_IRI, text);
}

static bool is_iri_reference(const char *text)
{
    return uri_is(URI_IRI_REFERENCE, text);
}

static bool is_uuid(const char *text)
{
    size_t i = 0;

    for (; text[i]; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23
                ? text[i] != '-'
                : !is_digit(text[i]) && ((text[i] | 0x20) < 'a' || (text[i] | 0x20) > 'f'))
            return false;
    return i == 36;
}

/* ---------------------------------------------------------------- templates, pointers */

/* {name}, {+name:3}, {?a,b*}: RFC 6570 section 2. */
static size_t expression_size(const char *text)
{
    size_t at = text[1] && strchr("+#./;?&=,!@|", text[1]) ? 2 : 1;

    do {
        size_t start = at;

        while (is_letter(text[at]) || is_digit(text[at]) || text[at] == '_' || text[at] == '%' ||
               (text[at] == '.' && at > start))
            at++;
        if (at == start)
            return 0;
        if (text[at] == '*')
            at++;
        else if (text[at] == ':' && is_digit(text[at + 1]))
            at += 1 + strspn(text + at + 1, "0123456789");
    } while (text[at] == ',' && at++);
    return text[at] == '}' ? at + 1 : 0;
}

static bool is_uri_template(const char *text)
{
    while (*text) {
        size_t n = *text == '{' ? expression_size(text) : 1;

        if (n == 0 || (unsigned char)*text <= ' ' || strchr("\"'<>\\^`|}", *text))
            return false;
        text += n;
    }
    return true;
}

static bool is_pointer(const char *text)
{
    if (*text && *text != '/')
        return false;
    for (; *text; text++)
        if (*text == '~' && text[1] != '0' && text[1] != '1')
            return false;
    return true;
}

static bool is_relative_pointer(const char *text)
{
    size_t n = strspn(text, "0123456789");

    if (n == 0 || (n > 1 && *text == '0'))
        return false;
    return !strcmp(text + n, "#") || is_pointer(text + n);
}

/* ---------------------------------------------------------------- the table */

/* clang-format off */
static const struct schema_format formats[] = {
    { "date-time",             "a date and time as in 2026-03-31T23:59:00Z (RFC 3339)",  is_date_time },
    { "date",                  "a date as in 2026-03-31",                                is_date },
    { "time",                  "a time with its offset as in 23:59:00Z (RFC 3339)",      is_time },
    { "email",                 "an e-mail address",                                      is_email },
    { "idn-email",             "an e-mail address",                                      is_idn_email },
    { "hostname",              "a host name",                                            is_hostname },
    { "idn-hostname",          "a host name",                                            is_idn_hostname },
    { "ipv4",                  "an IPv4 address as in 192.0.2.1",                        is_ipv4 },
    { "ipv6",                  "an IPv6 address as in 2001:db8::1",                      is_ipv6 },
    { "uri",                   "a URI with its scheme, as in https://example.org/",      is_uri },
    { "uri-reference",         "a URI or a relative reference (RFC 3986)",               is_uri_reference },
    { "iri",                   "an IRI with its scheme (RFC 3987)",                      is_iri },
    { "iri-reference",         "an IRI or a relative reference (RFC 3987)",              is_iri_reference },
    { "uri-template",          "a URI template as in /users/{id} (RFC 6570)",            is_uri_template },
    { "json-pointer",          "a JSON pointer as in /a/0 (RFC 6901)",                   is_pointer },
    { "relative-json-pointer", "a relative JSON pointer as in 1/name",                   is_relative_pointer },
    { "regex",                 "a regular expression (ECMA 262)",                        NULL },
    { "uuid",                  "a UUID as in 123e4567-e89b-12d3-a456-426614174000",      is_uuid },
};
/* clang-format on */

const struct schema_format *schema_format_find(const char *name)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (!strcmp(name, formats[i].name))
            return &formats[i];
    return NULL;
}
