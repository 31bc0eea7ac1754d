/* yaml_scalar.c - decides by the letters of a plain scalar, or by its tag, what type it has. */
#include "common/document/yaml_scalar.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STANDARD "tag:yaml.org,2002:"

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static bool is_null(const char *s)
{
    return is_one_of(s, (const char *const[]){ "", "~", "null", "Null", "NULL", NULL });
}

static bool is_true(const char *s)
{
    return is_one_of(s, (const char *const[]){ "true", "True", "TRUE", NULL });
}

static bool is_false(const char *s)
{
    return is_one_of(s, (const char *const[]){ "false", "False", "FALSE", NULL });
}

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

/* 0x1F and 0o17 as decimal; false: not of this form, or above 63 bits. */
static bool add_based(const char *s, struct buffer *out)
{
    int base = s[0] == '0' && s[1] == 'x' ? 16 : s[0] == '0' && s[1] == 'o' ? 8 : 0;
    const char *set = base == 16 ? "0123456789abcdefABCDEF" : "01234567";
    long long value;

    if (!base || !s[2] || s[2 + strspn(s + 2, set)])
        return false;
    errno = 0;
    value = strtoll(s + 2, NULL, base);
    if (errno)
        return false;
    buffer_printf(out, "%lld", value);
    return true;
}

/* [-+]? ( . digits | digits [ . digits? ] ) [ e [-+]? digits ]: 0 when it is none. */
struct decimal {
    const char *sign, *whole, *part, *exponent;
    size_t whole_size, part_size;
    bool has_dot;
};

static bool read_decimal(const char *s, struct decimal *d)
{
    *d = (struct decimal){ .sign = *s == '-' ? "-" : "", .exponent = "" };
    s += *s == '-' || *s == '+';
    d->whole = s;
    d->whole_size = digits(s);
    s += d->whole_size;
    d->part = s;
    if (*s == '.') {
        d->has_dot = true;
        d->part = s + 1;
        d->part_size = digits(s + 1);
        s += 1 + d->part_size;
    }
    if (d->whole_size + d->part_size == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        d->exponent = s;
        s += 1 + (s[1] == '-' || s[1] == '+');
        if (digits(s) == 0)
            return false;
        s += digits(s);
    }
    return *s == 0;
}

static bool add_number(const char *s, struct buffer *out)
{
    struct decimal d;

    if (add_based(s, out))
        return true;
    if (!read_decimal(s, &d) || (d.whole_size > 1 && d.whole[0] == '0'))
        return false;
    buffer_printf(out, "%s%.*s", d.sign, d.whole_size ? (int)d.whole_size : 1,
                  d.whole_size ? d.whole : "0");
    if (d.has_dot)
        buffer_printf(out, ".%.*s", d.part_size ? (int)d.part_size : 1, d.part_size ? d.part : "0");
    buffer_add_text(out, d.exponent);
    return true;
}

static bool is_infinite(const char *s)
{
    s += *s == '-' || *s == '+';
    return is_one_of(s,
                     (const char *const[]){ ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL });
}

/* Numbers in YAML 1.2 that are words in YAML 1.1: an exponent there wants a dot before it and a
 * sign behind it, and octal has no o. A short commit hash such as 72044e0 is one. */
static const char *number_doubt(const char *s)
{
    struct decimal d;

    if (s[0] == '0' && s[1] == 'o')
        return "a string";
    if (read_decimal(s, &d) && *d.exponent &&
        (!d.has_dot || (d.exponent[1] != '+' && d.exponent[1] != '-')))
        return "a string";
    return NULL;
}

/* Strings in YAML 1.2 that YAML 1.1 (and many programs) reads as something else. */
static const char *doubt(const char *s)
{
    static const char *const words[] = { "yes", "no", "on", "off", NULL };
    struct decimal d;

    for (size_t i = 0; words[i]; i++)
        if (strcasecmp(s, words[i]) == 0)
            return "a boolean";
    if (read_decimal(s, &d) && !d.has_dot && !*d.exponent && d.whole_size > 1 && d.whole[0] == '0')
        return "an octal number";
    return NULL;
}

static int read_plain(const char *s, enum yaml_scalar *kind, struct buffer *out,
                      const char **doubt_out, struct err *e)
{
    if (is_null(s)) {
        *kind = YAML_SCALAR_NULL;
        buffer_add_text(out, "null");
    } else if (is_true(s) || is_false(s)) {
        *kind = YAML_SCALAR_BOOLEAN;
        buffer_add_text(out, is_true(s) ? "true" : "false");
    } else if (add_number(s, out)) {
        *kind = YAML_SCALAR_NUMBER;
        *doubt_out = number_doubt(s);
    } else if (is_infinite(s)) {
        return err_set(e, ERR_INVALID,
                       "%s is no number that can be stored; quote it to have it "
                       "as a string",
                       s);
    } else {
        *kind = YAML_SCALAR_STRING;
        *doubt_out = doubt(s);
        buffer_add_text(out, s);
    }
    return 0;
}

static int read_as(enum yaml_scalar wanted, const char *what, const char *s, enum yaml_scalar *kind,
                   struct buffer *out, struct err *e)
{
    const char *ignored;

    if (read_plain(s, kind, out, &ignored, e) != 0)
        return -1;
    if (*kind != wanted)
        return err_set(e, ERR_INVALID, "\"%.60s\" is tagged as %s and is none", s, what);
    return 0;
}

int yaml_scalar_read(const struct yaml_node *node, enum yaml_scalar *kind_out, struct buffer *out,
                     const char **doubt_out, struct err *e)
{
    const char *tag = node->tag;

    *doubt_out = NULL;
    buffer_add_text(out, "");
    if (!tag && node->is_plain)
        return read_plain(node->text, kind_out, out, doubt_out, e);
    if (!tag || strcmp(tag, "!") == 0 || strcmp(tag, STANDARD "str") == 0) {
        *kind_out = YAML_SCALAR_STRING;
        buffer_add_text(out, node->text);
        return 0;
    }
    if (strcmp(tag, "!secret") == 0) {
        *kind_out = YAML_SCALAR_SECRET;
        return 0;
    }
    if (strcmp(tag, STANDARD "int") == 0 || strcmp(tag, STANDARD "float") == 0)
        return read_as(YAML_SCALAR_NUMBER, "a number", node->text, kind_out, out, e);
    if (strcmp(tag, STANDARD "bool") == 0)
        return read_as(YAML_SCALAR_BOOLEAN, "a boolean", node->text, kind_out, out, e);
    if (strcmp(tag, STANDARD "null") == 0)
        return read_as(YAML_SCALAR_NULL, "null", node->text, kind_out, out, e);
    return err_set(e, ERR_INVALID,
                   "tag %.80s is not known here (known: !!str !!int !!float "
                   "!!bool !!null !secret)",
                   tag);
}

int yaml_collection_check(const struct yaml_node *node, struct err *e)
{
    const char *own = node->kind == YAML_KIND_MAP ? STANDARD "map" : STANDARD "seq";

    if (!node->tag || strcmp(node->tag, "!") == 0 || strcmp(node->tag, own) == 0)
        return 0;
    return err_set(e, ERR_INVALID,
                   "tag %.80s is not known here for a %s: write it as plain values, or quote the "
                   "whole as a string",
                   node->tag, node->kind == YAML_KIND_MAP ? "map" : "list");
}
