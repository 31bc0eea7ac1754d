/* envelope_json.c - an envelope as the JSON text that is stored and sent. */
#include "common/crypto/envelope.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/base64.h"
#include "common/invariant.h"

/* The five texts, their names and some blanks: a longer text is refused unread. */
#define TEXT_MAX (BASE64_SIZE(ENVELOPE_VALUE_MAX) + 2048)
#define MEMBER_COUNT 5

static void add_member(struct buffer *out, const char *name, const void *data, size_t size)
{
    buffer_printf(out, ",\"%s\":\"", name);
    base64_encode(data, size, out);
    buffer_add_text(out, "\"");
}

void envelope_format(const struct envelope *v, struct buffer *out)
{
    buffer_printf(out, "{\"key_id\":\"%s\"", v->wrapped.key_id);
    add_member(out, "wrapped_key", v->wrapped.bytes, v->wrapped.size);
    add_member(out, "iv", v->seal.iv, sizeof(v->seal.iv));
    add_member(out, "ciphertext", v->ciphertext, v->size);
    add_member(out, "tag", v->seal.tag, sizeof(v->seal.tag));
    buffer_add_text(out, "}");
}

static int wrong(struct err *e, const char *member, const char *reason)
{
    return err_set(e, ERR_MALFORMED, "envelope: %s %s", member, reason);
}

static const json_t *text_of(const json_t *object, const char *member, struct err *e)
{
    const json_t *text = json_object_get(object, member);

    if (json_is_string(text))
        return text;
    wrong(e, member, text ? "is not a text" : "is missing");
    return NULL;
}

static int take_key_id(const json_t *object, char out[ENVELOPE_KEY_ID_SIZE], struct err *e)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-";
    const json_t *text = text_of(object, "key_id", e);
    const char *id = json_string_value(text);
    size_t size = json_string_length(text);

    if (!text)
        return -1;
    if (size == 0 || size >= ENVELOPE_KEY_ID_SIZE || strspn(id, letters) != size)
        return wrong(e, "key_id", "is not the name of a key: 1 to 128 letters, digits or ._:/-");
    memcpy(out, id, size + 1);
    return 0;
}

/* Between `least` and `most` bytes. */
static int take_bytes(const json_t *object, const char *member, size_t least, size_t most,
                      uint8_t *out, size_t *size_out, struct err *e)
{
    const json_t *text = text_of(object, member, e);

    if (!text)
        return -1;
    if (base64_decode(json_string_value(text), json_string_length(text), out, most, size_out) != 0)
        return wrong(e, member, "is not base64, or too long");
    return *size_out >= least ? 0 : wrong(e, member, "is too short");
}

static int take_all(const json_t *object, struct envelope *out, struct err *e)
{
    size_t most = json_string_length(json_object_get(object, "ciphertext")) / 4 * 3, size;

    if (take_key_id(object, out->wrapped.key_id, e) != 0 ||
        take_bytes(object, "wrapped_key", 1, ENVELOPE_WRAPPED_MAX, out->wrapped.bytes,
                   &out->wrapped.size, e) != 0 ||
        take_bytes(object, "iv", SEAL_IV_SIZE, SEAL_IV_SIZE, out->seal.iv, &size, e) != 0 ||
        take_bytes(object, "tag", SEAL_TAG_SIZE, SEAL_TAG_SIZE, out->seal.tag, &size, e) != 0)
        return -1;
    out->ciphertext = malloc(most + 1);
    MUST(out->ciphertext);
    most = most < ENVELOPE_VALUE_MAX ? most : ENVELOPE_VALUE_MAX;
    return take_bytes(object, "ciphertext", 0, most, out->ciphertext, &out->size, e);
}

int envelope_parse(const char *text, size_t size, struct envelope *out, struct err *e)
{
    struct envelope v = { 0 };
    json_error_t why;
    json_t *object;
    int rc;

    if (size > TEXT_MAX)
        return err_set(e, ERR_MALFORMED, "envelope: its text is too long");
    object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(object)) {
        json_decref(object);
        return err_set(e, ERR_MALFORMED, "envelope: it is not a JSON object of unique members");
    }
    rc = take_all(object, &v, e);
    if (rc == 0 && json_object_size(object) != MEMBER_COUNT)
        rc = err_set(e, ERR_MALFORMED, "envelope: it has members that do not belong there");
    json_decref(object);
    if (rc != 0)
        envelope_fini(&v);
    else
        *out = v;
    return rc;
}
