/* value.c - one configuration value: its type, and its canonical text. */
#include "common/document/document.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/crypto/base64.h"
#include "common/document/canon.h"
#include "common/document/yamltext.h"
#include "common/invariant.h"
#include "common/name.h"

static const char *const type_names[] = {
#define X(name, text) text,
    VALUE_TYPES(X)
#undef X
};
#define TYPE_COUNT (sizeof(type_names) / sizeof(type_names[0]))

const char *value_type_name(enum value_type type)
{
    MUST((unsigned)type < TYPE_COUNT);
    return type_names[type];
}

int value_type_parse(const char *text, enum value_type *out, struct err *e)
{
    if (!strcmp(text, "int") || !strcmp(text, "float"))
        text = "number";
    else if (!strcmp(text, "bool"))
        text = "boolean";
    for (unsigned i = 0; i < TYPE_COUNT; i++) {
        if (!strcmp(text, type_names[i])) {
            *out = (enum value_type)i;
            return 0;
        }
    }
    return err_set(e, ERR_INVALID,
                   "\"%.40s\" is not a value type: string, number, boolean, json or yaml", text);
}

static int normalize_number(const char *text, size_t size, struct err *e)
{
    if (size > 0 && canon_number(text, size) == size)
        return 0;
    return err_set(e, ERR_INVALID,
                   "\"%.*s\" is not a number: write it as JSON does, as in 3600, -0.5 or 1e9",
                   (int)(size < 60 ? size : 60), text);
}

static int normalize_boolean(const char *text, size_t size, struct err *e)
{
    if ((size == 4 && !memcmp(text, "true", 4)) || (size == 5 && !memcmp(text, "false", 5)))
        return 0;
    return err_set(e, ERR_INVALID, "\"%.*s\" is not a boolean: write true or false",
                   (int)(size < 60 ? size : 60), text);
}

static int normalize_json(const char *text, size_t size, struct buffer *out, struct err *e)
{
    json_t *node;

    if (canon_parse("the value", text, size, &node, e))
        return -1;
    canon_emit(node, out);
    json_decref(node);
    return 0;
}

static int normalize(enum value_type type, const char *text, size_t size, struct buffer *out,
                     struct err *e)
{
    int result = 0;

    switch (type) {
    case VALUE_STRING:
        break;
    case VALUE_NUMBER:
        result = normalize_number(text, size, e);
        break;
    case VALUE_BOOLEAN:
        result = normalize_boolean(text, size, e);
        break;
    case VALUE_JSON:
        return normalize_json(text, size, out, e);
    case VALUE_YAML:
        result = yamltext_check(text, size, e);
        break;
    }
    if (result == 0)
        buffer_add(out, text, size);
    return result;
}

int value_normalize(enum value_type type, const char *text, size_t size, char **canonical_out,
                    struct err *e)
{
    SCOPED_BUFFER struct buffer out = { 0 };

    if (size > DOCUMENT_VALUE_MAX)
        return err_set(e, ERR_TOO_LARGE, "the value has %zu bytes, at most %u are allowed", size,
                       DOCUMENT_VALUE_MAX);
    if (!name_is_utf8(text, size))
        return err_set(e, ERR_INVALID,
                       "the value is not UTF-8 text (zero bytes are not allowed either)");
    if (normalize(type, text, size, &out, e))
        return -1;
    if (out.size > DOCUMENT_VALUE_MAX)
        return err_set(e, ERR_TOO_LARGE,
                       "the value has %zu bytes in canonical form, at most %u are allowed",
                       out.size, DOCUMENT_VALUE_MAX);
    if (out.data && value_is_reference(out.data, NULL))
        return err_set(e, ERR_INVALID,
                       "{\"$secret\":…} stands for a secret: say encrypt, and give its value");
    *canonical_out = buffer_take(&out);
    return 0;
}

/* ---------------------------------------------------------------- secrets */

#define REFERENCE_HEAD "{\"$secret\":\""
#define REFERENCE_TAIL "\"}"

_Static_assert(sizeof(REFERENCE_HEAD REFERENCE_TAIL) + VALUE_DIGEST_SIZE - 1 ==
                   VALUE_REFERENCE_SIZE,
               "a reference is its head, a digest and its tail");

void value_reference(const char *digest, char out[VALUE_REFERENCE_SIZE])
{
    MUST(snprintf(out, VALUE_REFERENCE_SIZE, REFERENCE_HEAD "%s" REFERENCE_TAIL, digest) ==
         VALUE_REFERENCE_SIZE - 1);
}

bool value_is_reference(const char *text, char digest_out[VALUE_DIGEST_SIZE])
{
    const size_t head = sizeof(REFERENCE_HEAD) - 1, digest = VALUE_DIGEST_SIZE - 1;
    unsigned char bytes[HASH_SIZE];
    size_t size;

    if (strncmp(text, REFERENCE_HEAD, head) != 0 || strlen(text) != VALUE_REFERENCE_SIZE - 1 ||
        strcmp(text + head + digest, REFERENCE_TAIL) != 0 ||
        base64_decode(text + head, digest, bytes, sizeof(bytes), &size) != 0 ||
        size != sizeof(bytes))
        return false;
    if (digest_out) {
        memcpy(digest_out, text + head, digest);
        digest_out[digest] = '\0';
    }
    return true;
}

int document_check_key(const char *key, size_t size, struct err *e)
{
    if (size == 0)
        return err_set(e, ERR_INVALID, "the key is empty");
    if (size > DOCUMENT_KEY_MAX)
        return err_set(e, ERR_INVALID, "the key has %zu bytes, at most %d are allowed", size,
                       DOCUMENT_KEY_MAX);
    if (!name_is_utf8(key, size))
        return err_set(e, ERR_INVALID, "the key is not valid UTF-8 text");
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)key[i] < 0x20 || key[i] == 0x7F)
            return err_set(e, ERR_INVALID, "the key has a control character at byte %zu", i + 1);
    if (key[0] == ' ' || key[size - 1] == ' ')
        return err_set(e, ERR_INVALID, "the key begins or ends with a blank: leave it out");
    return 0;
}
