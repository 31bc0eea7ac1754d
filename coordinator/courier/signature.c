/* signature.c - puts together what is signed, and signs it. */
#include "coordinator/courier/signature.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/crypto/base64.h"
#include "common/crypto/digest.h"

#define PREFIX "whsec_"
#define KEY_LEAST 24
#define KEY_MOST 64

int signature_make(const struct signature_input *in, char out[SIGNATURE_SIZE])
{
    SCOPED_BUFFER struct buffer text = { 0 }, base64 = { 0 };
    const char *secret = in->secret;
    uint8_t key[KEY_MOST];
    struct hash hash;
    size_t size;

    if (strncmp(secret, PREFIX, strlen(PREFIX)) != 0)
        return -1;
    secret += strlen(PREFIX);
    if (base64_decode(secret, strlen(secret), key, sizeof(key), &size) != 0 || size < KEY_LEAST)
        return -1;
    buffer_printf(&text, "%s.%" PRId64 ".", in->id, in->timestamp_s);
    buffer_add_text(&text, in->body);
    digest_hmac_sha256(key, size, text.data, text.size, &hash);
    explicit_bzero(key, sizeof(key));
    base64_encode(hash.bytes, sizeof(hash.bytes), &base64);
    snprintf(out, SIGNATURE_SIZE, "v1,%s", base64.data);
    return 0;
}
