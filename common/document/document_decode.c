/* document_decode.c - canonical bytes become a document again, and nothing else does. */
#include "common/document/document.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/document/canon.h"
#include "common/invariant.h"

static int not_canonical(struct err *e)
{
    return err_set(e, ERR_MALFORMED, "document: its bytes are not in canonical form");
}

static int wrong_item(const char *key, const char *reason, struct err *e)
{
    return err_set(e, ERR_MALFORMED, "document: key %.200s %s", key, reason);
}

/* The canonical text of a value as it stands in the bytes; what fits no type is an error. */
static int decode_value(const char *key, enum value_type type, const json_t *v, char **out,
                        struct err *e)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    struct err inner;

    if (json_is_object(v)) {
        canon_emit(v, &text);
        if (value_is_reference(text.data, NULL)) {
            *out = buffer_take(&text);
            return 0;
        }
        buffer_clear(&text);
    }
    if (type == VALUE_BOOLEAN ? !json_is_boolean(v) : type != VALUE_JSON && !canon_string(v))
        return wrong_item(key, "has a value that does not fit its type", e);
    if (type == VALUE_BOOLEAN || type == VALUE_JSON)
        canon_emit(v, &text);
    else
        buffer_add_text(&text, canon_string(v));
    if (value_normalize(type, text.data ? text.data : "", text.size, out, &inner))
        return wrong_item(key, inner.text, e);
    return 0;
}

static int decode_item(struct document *d, const char *key, const json_t *node, struct err *e)
{
    const json_t *v = canon_member(node, "v");
    const char *type_name = canon_string(canon_member(node, "t"));
    enum value_type type;
    struct err inner;
    char *text;
    int result;

    if (document_check_key(key, strlen(key), &inner))
        return wrong_item(key, inner.text, e);
    if (json_object_size(node) != 2 || !type_name || !v)
        return wrong_item(key, "is not of the form {\"t\":TYPE,\"v\":VALUE}", e);
    if (value_type_parse(type_name, &type, &inner))
        return wrong_item(key, inner.text, e);
    if (decode_value(key, type, v, &text, e))
        return -1;
    result = document_set(d, key, type, text, e);
    free(text);
    return result;
}

/* The JSON value at `at` ends where its brackets close; 0: it does not end, or is no object. */
static size_t object_size(const char *bytes, size_t size)
{
    size_t at = 0, depth = 0;

    do {
        char c = at < size ? bytes[at] : '\0';

        if (c == '"')
            at += canon_string_size(bytes + at, size - at);
        else if (c == '\0')
            return 0;
        else
            at++;
        depth += c == '{' || c == '[';
        depth -= (c == '}' || c == ']') && depth > 0;
    } while (depth > 0);
    return at > 1 && bytes[0] == '{' ? at : 0;
}

/* "KEY":{…} at `bytes`: how many bytes it takes, 0 when it is nothing of the kind. */
static size_t item_size(const char *bytes, size_t size)
{
    size_t key, value;

    if (size == 0 || bytes[0] != '"')
        return 0;
    key = canon_string_size(bytes, size);
    if (key >= size || bytes[key] != ':')
        return 0;
    value = object_size(bytes + key + 1, size - key - 1);
    return value > 0 ? key + 1 + value : 0;
}

/* A tree takes many times the memory of its text, so only one item at a time is made into one. */
static int take_item(struct document *d, const char *bytes, size_t size, struct err *e)
{
    SCOPED_BUFFER struct buffer alone = { 0 };
    size_t count = document_count(d);
    json_t *root;
    const char *key;
    int result;

    buffer_add(&alone, "{", 1);
    buffer_add(&alone, bytes, size);
    buffer_add(&alone, "}", 1);
    if (canon_parse("document", alone.data, alone.size, &root, e))
        return -1;
    MUST(json_object_size(root) == 1);
    key = json_object_iter_key(json_object_iter(root)) + 1;
    result = decode_item(d, key, canon_member(root, key), e);
    if (result == 0 && document_count(d) == count)
        result = wrong_item(key, "comes twice", e);
    json_decref(root);
    return result;
}

static int fill(struct document *d, const char *bytes, size_t size, struct err *e)
{
    size_t at = 1, n;

    if (size < 2 || bytes[0] != '{')
        return not_canonical(e);
    while (at < size && (bytes[at] != '}' || at + 1 < size)) {
        n = item_size(bytes + at, size - at);
        if (n == 0 || at + n >= size)
            return not_canonical(e);
        if (take_item(d, bytes + at, n, e))
            return -1;
        at += n;
        /* A comma leads to another item; what follows instead has to be the closing bracket. */
        if (bytes[at] == ',')
            at++;
        else if (bytes[at] != '}' || at + 1 < size)
            return not_canonical(e);
    }
    return at < size ? 0 : not_canonical(e);
}

/* Two spellings of one content would have two hashes, so only the canonical one is a document. */
static int check_canonical(const struct document *d, const char *bytes, size_t size,
                           struct err *e)
{
    struct hash hash;
    char *made;
    size_t made_size;
    int result;

    if (document_encode(d, &made, &made_size, &hash, e))
        return -1;
    result = made_size == size && !memcmp(made, bytes, size) ? 0 : -1;
    free(made);
    return result ? not_canonical(e) : 0;
}

int document_decode(const char *bytes, size_t size, struct document **out, struct err *e)
{
    SCOPED(document_free) struct document *d = document_new();

    if (size > DOCUMENT_SIZE_MAX)
        return err_set(e, ERR_TOO_LARGE, "document: %zu bytes, at most %u are allowed", size,
                       DOCUMENT_SIZE_MAX);
    if (fill(d, bytes, size, e) || check_canonical(d, bytes, size, e))
        return -1;
    *out = MOVE(d);
    return 0;
}
