/* canon.c - JSON text in its one canonical form: sorted, compact, numbers as they were written. */
#include "common/document/canon.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/name.h"

static size_t digits(const char *text, size_t size, size_t at)
{
    size_t start = at;

    while (at < size && text[at] >= '0' && text[at] <= '9')
        at++;
    return at - start;
}

size_t canon_number(const char *text, size_t size)
{
    size_t at = 0, n;

    if (at < size && text[at] == '-')
        at++;
    n = digits(text, size, at);
    if (n == 0 || (n > 1 && text[at] == '0'))
        return 0;
    at += n;
    if (at < size && text[at] == '.') {
        n = digits(text, size, at + 1);
        if (n == 0)
            return 0;
        at += 1 + n;
    }
    if (at < size && (text[at] == 'e' || text[at] == 'E')) {
        size_t sign = at + 1 < size && (text[at + 1] == '+' || text[at + 1] == '-');

        n = digits(text, size, at + 1 + sign);
        if (n == 0)
            return 0;
        at += 1 + sign + n;
    }
    return at;
}

size_t canon_string_size(const char *text, size_t size)
{
    size_t at = 1;

    while (at < size && text[at] != '"')
        at += text[at] == '\\' && at + 1 < size ? 2 : 1;
    return at < size ? at + 1 : size;
}

/* Mark every string and number; what is neither stays for jansson to judge. */
static void mark(const char *text, size_t size, struct buffer *out)
{
    for (size_t at = 0; at < size;) {
        size_t n = canon_number(text + at, size - at);

        if (n > 0) {
            buffer_add(out, "\"n", 2);
            buffer_add(out, text + at, n);
            buffer_add(out, "\"", 1);
        } else if (text[at] == '"') {
            n = canon_string_size(text + at, size - at);
            buffer_add(out, "\"s", 2);
            buffer_add(out, text + at + 1, n - 1);
        } else {
            n = 1;
            buffer_add(out, text + at, 1);
        }
        at += n;
    }
}

/* What jansson cannot see: a number in the place of a key, and nesting beyond our limit. */
static int check_tree(const char *what, json_t *node, unsigned depth, struct err *e)
{
    const char *key;
    json_t *child;
    size_t i;

    if (depth > CANON_DEPTH_MAX)
        return err_set(e, ERR_MALFORMED, "%s: JSON is nested deeper than %d levels", what,
                       CANON_DEPTH_MAX);
    json_object_foreach(node, key, child) {
        if (key[0] != 's')
            return err_set(e, ERR_MALFORMED, "%s: JSON has the number %.40s in place of a key",
                           what, key + 1);
        if (check_tree(what, child, depth + 1, e))
            return -1;
    }
    json_array_foreach(node, i, child)
        if (check_tree(what, child, depth + 1, e))
            return -1;
    return 0;
}

/* jansson quotes what stands near the mistake: our marks, and perhaps a secret. */
static int broken(const char *what, json_error_t *error, struct err *e)
{
    char *quoted = strstr(error->text, " near '");

    if (quoted)
        *quoted = '\0';
    return err_set(e, ERR_MALFORMED, "%s: JSON is broken in line %d: %s", what, error->line,
                   json_error_code(error) == json_error_duplicate_key
                       ? "the same key comes twice in one object"
                       : error->text);
}

int canon_parse(const char *what, const char *text, size_t size, struct json_t **out,
                struct err *e)
{
    SCOPED_BUFFER struct buffer marked = { 0 };
    json_error_t error;
    json_t *node;

    if (!name_is_utf8(text, size))
        return err_set(e, ERR_MALFORMED, "%s: JSON is not valid UTF-8 text", what);
    mark(text, size, &marked);
    node = json_loadb(marked.data ? marked.data : "", marked.size,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!node)
        return broken(what, &error, e);
    if (check_tree(what, node, 1, e)) {
        json_decref(node);
        return -1;
    }
    *out = node;
    return 0;
}

void canon_quote(struct buffer *out, const char *text)
{
    static const char letters[] = { ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
                                    ['\t'] = 't', ['"'] = '"',  ['\\'] = '\\' };
    const char *plain = text;

    buffer_add(out, "\"", 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char letter = c < sizeof(letters) ? letters[c] : '\0';

        if (!letter && c >= 0x20)
            continue;
        buffer_add(out, plain, (size_t)(text - plain));
        plain = text + 1;
        if (letter)
            buffer_add(out, (char[]){ '\\', letter }, 2);
        else
            buffer_printf(out, "\\u%04x", c);
    }
    buffer_add(out, plain, (size_t)(text - plain));
    buffer_add(out, "\"", 1);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void emit_object(const json_t *node, struct buffer *out)
{
    size_t count = json_object_size(node), n = 0;
    const char **keys = memory_array(count + 1, sizeof(*keys));

    for (void *i = json_object_iter((json_t *)node); i;
         i = json_object_iter_next((json_t *)node, i))
        keys[n++] = json_object_iter_key(i);
    MUST(n == count);
    qsort(keys, count, sizeof(*keys), compare_keys);
    buffer_add(out, "{", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_add(out, ",", 1);
        canon_quote(out, keys[i] + 1);
        buffer_add(out, ":", 1);
        canon_emit(json_object_get(node, keys[i]), out);
    }
    buffer_add(out, "}", 1);
    free(keys);
}

static void emit_array(const json_t *node, struct buffer *out)
{
    buffer_add(out, "[", 1);
    for (size_t i = 0; i < json_array_size(node); i++) {
        if (i > 0)
            buffer_add(out, ",", 1);
        canon_emit(json_array_get(node, i), out);
    }
    buffer_add(out, "]", 1);
}

void canon_emit(const struct json_t *node, struct buffer *out)
{
    switch (json_typeof(node)) {
    case JSON_OBJECT:
        emit_object(node, out);
        break;
    case JSON_ARRAY:
        emit_array(node, out);
        break;
    case JSON_STRING:
        if (json_string_value(node)[0] == 's')
            canon_quote(out, json_string_value(node) + 1);
        else
            buffer_add_text(out, json_string_value(node) + 1);
        break;
    case JSON_TRUE:
        buffer_add_text(out, "true");
        break;
    case JSON_FALSE:
        buffer_add_text(out, "false");
        break;
    case JSON_NULL:
        buffer_add_text(out, "null");
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        invariant_broken("numbers are marked", __FILE__, __LINE__);
    }
}

const char *canon_string(const struct json_t *node)
{
    const char *text = json_string_value(node);

    return text && text[0] == 's' ? text + 1 : NULL;
}

struct json_t *canon_member(const struct json_t *object, const char *key)
{
    SCOPED_BUFFER struct buffer marked = { 0 };

    buffer_printf(&marked, "s%s", key);
    return json_object_get(object, marked.data);
}
