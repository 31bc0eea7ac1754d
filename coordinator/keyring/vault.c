/* vault.c - the provider whose key-encryption key stays in a Vault's transit engine. */
#include "coordinator/keyring/provider.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/base64.h"
#include "common/document/canon.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/keyring/vault_http.h"

/* What a Vault wraps is the text vault:vN:BASE64, N being the version of its key. It is kept as it
 * is, and its key id here is vault:KEY:vN. */
#define PREFIX "vault:v"
#define NAME_SIZE 101

struct vault {
    struct vault_http *http;
    char key[NAME_SIZE];
};

static bool is_name(const char *text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t size = strlen(text);

    return size > 0 && size < NAME_SIZE && strspn(text, letters) == size && text[0] != '.';
}

static int check_settings(const struct keyring_settings *s, struct err *e)
{
    if (!s->vault_url || !s->vault_key || !s->vault_token_file)
        return err_set(e, ERR_INVALID, "[secrets] %s is missing: provider vault needs it",
                       !s->vault_url   ? "vault_url"
                       : !s->vault_key ? "vault_key"
                                       : "vault_token_file");
    if (!is_name(s->vault_key))
        return err_set(e, ERR_INVALID,
                       "[secrets] vault_key is not the name of a transit key: 1 to 100 letters, "
                       "digits, '.', '_' and '-'");
    if (s->vault_timeout_ms <= 0)
        return err_set(e, ERR_INVALID, "[secrets] vault_timeout must be more than nothing");
    return 0;
}

static int open_vault(const struct keyring_settings *s, void **self_out, struct err *e)
{
    struct vault_http *http;
    struct vault *v;

    if (check_settings(s, e) != 0 ||
        vault_http_open(s->vault_url, s->vault_token_file, s->vault_ca_file, s->vault_timeout_ms,
                        &http, e) != 0)
        return -1;
    v = memory_new(sizeof(*v));
    v->http = http;
    snprintf(v->key, sizeof(v->key), "%s", s->vault_key);
    *self_out = v;
    return 0;
}

static void close_vault(void *self)
{
    struct vault *v = self;

    vault_http_close(v->http);
    free(v);
}

static int post(struct vault *v, const char *action, const char *body, struct vault_answer *out,
                struct err *e)
{
    char path[160];

    snprintf(path, sizeof(path), "transit/%s/%s", action, v->key);
    return vault_http_post(v->http, path, body, out, e);
}

static int garbage(const struct vault *v, const char *what, struct err *e)
{
    return provider_unavailable(e, "the Vault at %.200s does not answer as a Vault does: %s",
                                vault_http_url(v->http), what);
}

/* The text behind "plaintext", decoded, and blotted out where it stood, before any parser makes
 * copies of it. Exactly one, of a key's size. */
static int take_data_key(struct vault_answer *a, struct seal_key *out)
{
    unsigned found = 0;

    for (size_t at = 0; at < a->size;) {
        static const char name[] = "\"plaintext\"";
        size_t n = a->text[at] == '"' ? canon_string_size(a->text + at, a->size - at) : 1, size;
        bool is_name = n == sizeof(name) - 1 && memcmp(a->text + at, name, n) == 0;

        at += n;
        if (!is_name)
            continue;
        at += strspn(a->text + at, " \t\r\n:");
        n = canon_string_size(a->text + at, a->size - at);
        if (a->text[at] != '"' || n < 2 || a->text[at + n - 1] != '"')
            return -1;
        if (base64_decode(a->text + at + 1, n - 2, out->bytes, SEAL_KEY_SIZE, &size) == 0 &&
            size == SEAL_KEY_SIZE)
            found++;
        memset(a->text + at + 1, '*', n - 2);
        at += n;
    }
    return found == 1 ? 0 : -1;
}

/* The key id out of what a Vault wrapped; false when it is not of that form. */
static bool name_key(const struct vault *v, const char *text, size_t size,
                     char out[ENVELOPE_KEY_ID_SIZE])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    size_t prefix = strlen(PREFIX), digits, rest;

    if (size <= prefix || memcmp(text, PREFIX, prefix) != 0)
        return false;
    digits = strspn(text + prefix, "0123456789");
    rest = prefix + digits + 1;
    if (digits == 0 || digits > 9 || rest >= size || text[rest - 1] != ':' ||
        strspn(text + rest, letters) != size - rest)
        return false;
    snprintf(out, ENVELOPE_KEY_ID_SIZE, "vault:%s:v%.*s", v->key, (int)digits, text + prefix);
    return true;
}

static int take_wrapped(const struct vault *v, const json_t *data, struct envelope_wrapped *out,
                        struct err *e)
{
    const json_t *text = json_object_get(data, "ciphertext");
    size_t size = json_string_length(text);

    *out = (struct envelope_wrapped){ .size = size };
    if (!text || size > ENVELOPE_WRAPPED_MAX ||
        !name_key(v, json_string_value(text), size, out->key_id))
        return garbage(v, "its ciphertext is not of the form vault:v1:…", e);
    memcpy(out->bytes, json_string_value(text), size);
    return 0;
}

/* The parsed answer, with its object "data"; NULL: garbage. */
static json_t *parse(const struct vault *v, const struct vault_answer *a, const json_t **data_out,
                     struct err *e)
{
    json_error_t why;
    json_t *root = json_loadb(a->text, a->size, JSON_REJECT_DUPLICATES, &why);

    *data_out = json_object_get(root, "data");
    if (json_is_object(*data_out))
        return root;
    json_decref(root);
    garbage(v, "its answer is not JSON with an object \"data\"", e);
    return NULL;
}

/* An answer with a data key; and with its wrapped form, unless wrapped_out is NULL. */
static int post_for_key(struct vault *v, const char *action, const char *body,
                        struct seal_key *data_key_out, struct envelope_wrapped *wrapped_out,
                        struct err *e)
{
    SCOPED_VAULT_ANSWER struct vault_answer answer;
    SCOPED_SEAL_KEY struct seal_key key;
    const json_t *data;
    json_t *root;
    int rc;

    if (post(v, action, body, &answer, e) != 0)
        return -1;
    rc = take_data_key(&answer, &key);
    root = parse(v, &answer, &data, e);
    if (!root)
        return -1;
    if (rc != 0 || !json_is_string(json_object_get(data, "plaintext")))
        rc = garbage(v, "there is no data key of 256 bits in it", e);
    if (rc == 0 && wrapped_out)
        rc = take_wrapped(v, data, wrapped_out, e);
    if (rc == 0)
        *data_key_out = key;
    json_decref(root);
    return rc;
}

static int new_key(void *self, struct seal_key *data_key_out, struct envelope_wrapped *wrapped_out,
                   struct err *e)
{
    return post_for_key(self, "datakey/plaintext", "{\"bits\":256}", data_key_out, wrapped_out, e);
}

/* {"ciphertext":"vault:v1:…"}, when this Vault's key wrapped it: no letter of it needs escaping. */
static int ciphertext_body(const struct vault *v, const struct envelope_wrapped *wrapped,
                           char out[ENVELOPE_WRAPPED_MAX + 32], struct err *e)
{
    char text[ENVELOPE_WRAPPED_MAX + 1], id[ENVELOPE_KEY_ID_SIZE];

    MUST(wrapped->size <= ENVELOPE_WRAPPED_MAX);
    memcpy(text, wrapped->bytes, wrapped->size);
    text[wrapped->size] = '\0';
    snprintf(id, sizeof(id), "vault:%s:v", v->key);
    if (strncmp(wrapped->key_id, id, strlen(id)) != 0)
        return provider_unavailable(e,
                                    "the secret was written under %s, not under the key %s of the "
                                    "Vault at %.100s: [secrets] says so now",
                                    wrapped->key_id, v->key, vault_http_url(v->http));
    if (!name_key(v, text, wrapped->size, id) || strcmp(id, wrapped->key_id) != 0)
        return err_set(e, ERR_CORRUPT, "a data key was changed at rest: it is not wrapped by %s",
                       wrapped->key_id);
    snprintf(out, ENVELOPE_WRAPPED_MAX + 32, "{\"ciphertext\":\"%s\"}", text);
    return 0;
}

static int unwrap(void *self, const struct envelope_wrapped *wrapped,
                  struct seal_key *data_key_out, struct err *e)
{
    char body[ENVELOPE_WRAPPED_MAX + 32];

    if (ciphertext_body(self, wrapped, body, e) != 0)
        return -1;
    return post_for_key(self, "decrypt", body, data_key_out, NULL, e);
}

static int rewrap(void *self, const struct envelope_wrapped *wrapped, struct envelope_wrapped *out,
                  struct err *e)
{
    SCOPED_VAULT_ANSWER struct vault_answer answer;
    char body[ENVELOPE_WRAPPED_MAX + 32];
    struct vault *v = self;
    const json_t *data;
    json_t *root;
    int rc;

    if (ciphertext_body(v, wrapped, body, e) != 0 || post(v, "rewrap", body, &answer, e) != 0)
        return -1;
    root = parse(v, &answer, &data, e);
    if (!root)
        return -1;
    rc = take_wrapped(v, data, out, e);
    json_decref(root);
    return rc;
}

/* There and back: both rights are needed, and a Vault that wraps what it cannot unwrap would be
 * noticed too late. */
static int check(void *self, char newest_out[ENVELOPE_KEY_ID_SIZE], struct err *e)
{
    SCOPED_SEAL_KEY struct seal_key key, back;
    struct envelope_wrapped wrapped;

    if (new_key(self, &key, &wrapped, e) != 0 || unwrap(self, &wrapped, &back, e) != 0)
        return -1;
    if (memcmp(key.bytes, back.bytes, SEAL_KEY_SIZE) != 0)
        return garbage(self, "it unwraps a data key to another one", e);
    memcpy(newest_out, wrapped.key_id, ENVELOPE_KEY_ID_SIZE);
    return 0;
}

const struct provider provider_vault = { open_vault, close_vault, new_key,
                                         unwrap,     rewrap,      check };
