/* uri.c - takes URIs apart as RFC 3986 does, checks the parts, and puts references together. */
#include "common/schema/uri.h"

#include <string.h>

struct span {
    const char *at; /* NULL: not there */
    size_t size;
};

struct uri {
    struct span scheme, authority, path, query, fragment;
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static size_t scheme_size(const char *text)
{
    size_t n = 0;

    if (!is_letter(text[0]))
        return 0;
    while (is_letter(text[n]) || is_digit(text[n]) || (text[n] && strchr("+-.", text[n])))
        n++;
    return text[n] == ':' ? n : 0;
}

static struct span take(const char **text, const char *until)
{
    struct span s = { *text, strcspn(*text, until) };

    *text += s.size;
    return s;
}

static struct uri split(const char *text)
{
    struct uri u = { 0 };
    size_t scheme = scheme_size(text);

    if (scheme > 0) {
        u.scheme = (struct span){ text, scheme };
        text += scheme + 1;
    }
    if (text[0] == '/' && text[1] == '/') {
        text += 2;
        u.authority = take(&text, "/?#");
    }
    u.path = take(&text, "?#");
    if (*text == '?') {
        text++;
        u.query = take(&text, "#");
    }
    if (*text == '#')
        u.fragment = (struct span){ text + 1, strlen(text + 1) };
    return u;
}

/* ---------------------------------------------------------------- is it one? */

/* Unreserved characters, sub-delims, percent escapes, and what `more` adds. */
static bool has_only(struct span s, const char *more, bool is_iri)
{
    for (size_t i = 0; i < s.size; i++) {
        char c = s.at[i];

        if (c == '%' && i + 2 < s.size && is_hex(s.at[i + 1]) && is_hex(s.at[i + 2]))
            i += 2;
        else if (!is_letter(c) && !is_digit(c) && !strchr("-._~!$&'()*+,;=", c) &&
                 !strchr(more, c) && !(is_iri && (unsigned char)c >= 0x80))
            return false;
    }
    return true;
}

bool uri_is_ipv4(const char *text, size_t size)
{
    size_t at = 0;

    for (int part = 0; part < 4; part++) {
        size_t n = 0;
        unsigned value = 0;

        if (part > 0 && (at >= size || text[at++] != '.'))
            return false;
        while (at + n < size && n < 3 && is_digit(text[at + n]))
            value = value * 10 + (unsigned)(text[at + n++] - '0');
        if (n == 0 || value > 255 || (n > 1 && text[at] == '0'))
            return false;
        at += n;
    }
    return at == size;
}

bool uri_is_ipv6(const char *text, size_t size)
{
    unsigned groups = 0;
    bool has_gap = false;
    size_t at = 0;

    while (at < size) {
        size_t n = 0;

        if (size - at >= 2 && text[at] == ':' && text[at + 1] == ':') {
            if (has_gap)
                return false;
            has_gap = true;
            at += 2;
            continue;
        }
        /* A single colon stands between two groups. */
        if (groups > 0 && !(text[at - 1] == ':' && text[at - 2] == ':') && text[at++] != ':')
            return false;
        while (at + n < size && n < 5 && is_hex(text[at + n]))
            n++;
        if (at + n < size && text[at + n] == '.')
            return uri_is_ipv4(text + at, size - at) && (has_gap ? groups < 6 : groups == 6);
        if (n == 0 || n > 4)
            return false;
        at += n;
        groups++;
    }
    return has_gap ? groups < 8 : groups == 8;
}

static bool is_bracketed(struct span s, bool is_iri)
{
    if (s.size < 3 || s.at[s.size - 1] != ']')
        return false;
    if (s.at[1] == 'v')
        return has_only((struct span){ s.at + 2, s.size - 3 }, ":", is_iri);
    return uri_is_ipv6(s.at + 1, s.size - 2);
}

static bool is_authority(struct span s, bool is_iri)
{
    const char *mark = s.size ? memrchr(s.at, '@', s.size) : NULL;
    size_t host = s.size;

    if (mark) {
        struct span user = { s.at, (size_t)(mark - s.at) };

        if (!has_only(user, ":", is_iri))
            return false;
        s.size -= user.size + 1;
        s.at = mark + 1;
        host = s.size;
    }
    while (host > 0 && is_digit(s.at[host - 1]))
        host--;
    host = host > 0 && s.at[host - 1] == ':' ? host - 1 : s.size;
    s.size = host;
    return s.size > 0 && s.at[0] == '[' ? is_bracketed(s, is_iri) : has_only(s, "", is_iri);
}

bool uri_is(enum uri_kind kind, const char *text)
{
    bool is_iri = kind == URI_IRI || kind == URI_IRI_REFERENCE;
    struct uri u = split(text);
    size_t first = 0;

    if (!u.scheme.at && (kind == URI_ABSOLUTE || kind == URI_IRI))
        return false;
    /* Without a scheme a colon in the first segment would be read as one. */
    while (first < u.path.size && u.path.at[first] != '/')
        first++;
    if (!u.scheme.at && !u.authority.at && first > 0 && memchr(u.path.at, ':', first))
        return false;
    return is_authority(u.authority, is_iri) && has_only(u.path, ":@/", is_iri) &&
           has_only(u.query, ":@/?", is_iri) && has_only(u.fragment, ":@/?", is_iri);
}

/* ---------------------------------------------------------------- what does it mean here? */

static void add_part(struct buffer *out, const char *before, struct span s, const char *behind)
{
    if (!s.at)
        return;
    buffer_add_text(out, before);
    buffer_add(out, s.at, s.size);
    buffer_add_text(out, behind);
}

/* RFC 3986 section 5.2.4: "." and ".." go; what was in `out` before `start` stays. */
static void add_without_dots(struct buffer *out, const char *path, size_t size)
{
    size_t start = out->size, at = 0;

    while (at < size) {
        size_t n = path[at] == '/'; /* one segment with the slash before it */
        struct span name;

        while (at + n < size && path[at + n] != '/')
            n++;
        name = (struct span){ path + at + (path[at] == '/'), n - (path[at] == '/') };
        if (name.size == 2 && !memcmp(name.at, "..", 2)) {
            while (out->size > start && out->data[--out->size] != '/')
                continue;
            if (at + n == size)
                buffer_add(out, "/", 1);
        } else if (name.size == 1 && *name.at == '.') {
            if (at + n == size)
                buffer_add(out, "/", 1);
        } else {
            buffer_add(out, path + at, n);
        }
        at += n;
    }
}

static void add_merged(struct buffer *out, const struct uri *base, struct span path)
{
    SCOPED_BUFFER struct buffer whole = { 0 };
    const char *slash = base->path.size ? memrchr(base->path.at, '/', base->path.size) : NULL;

    if (base->authority.at && base->path.size == 0)
        buffer_add(&whole, "/", 1);
    else if (slash)
        buffer_add(&whole, base->path.at, (size_t)(slash - base->path.at) + 1);
    buffer_add(&whole, path.at, path.size);
    add_without_dots(out, whole.data, whole.size);
}

void uri_resolve(const char *base_text, const char *reference, struct buffer *out)
{
    struct uri base = split(base_text), r = split(reference);
    bool has_own_path = r.scheme.at || r.authority.at;

    buffer_add(out, "", 0);
    if (!*base_text) {
        buffer_add_text(out, reference);
        return;
    }
    add_part(out, "", r.scheme.at ? r.scheme : base.scheme, ":");
    add_part(out, "//", has_own_path ? r.authority : base.authority, "");
    if (!has_own_path && r.path.size == 0) {
        buffer_add(out, base.path.at, base.path.size);
        add_part(out, "?", r.query.at ? r.query : base.query, "");
    } else {
        if (has_own_path || r.path.at[0] == '/')
            add_without_dots(out, r.path.at, r.path.size);
        else
            add_merged(out, &base, r.path);
        add_part(out, "?", r.query, "");
    }
    add_part(out, "#", r.fragment, "");
}
