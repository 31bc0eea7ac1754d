/* base64.c - base64 through OpenSSL, which alone is too forgiving a reader. */
#include "common/crypto/base64.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/invariant.h"

/* OpenSSL counts in int: longer data goes through in pieces, whole groups of 3 bytes each. */
#define PIECE ((size_t)3 << 10)

void base64_encode(const void *data, size_t size, struct buffer *out)
{
    const uint8_t *from = data;
    unsigned char text[BASE64_SIZE(PIECE) + 1];

    while (size > 0) {
        size_t n = size < PIECE ? size : PIECE;
        int written = EVP_EncodeBlock(text, from, (int)n);

        MUST(written >= 0 && (size_t)written == BASE64_SIZE(n));
        buffer_add(out, text, (size_t)written);
        from += n;
        size -= n;
    }
    OPENSSL_cleanse(text, sizeof(text));
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           c == '+' || c == '/';
}

/* OpenSSL skips blanks and takes '=' for a letter: only letters, and at most two '=' behind. */
static bool is_well_formed(const char *text, size_t size, size_t *padding_out)
{
    size_t padding = 0;

    if (size % 4 != 0)
        return false;
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < size - padding; i++)
        if (!is_letter(text[i]))
            return false;
    *padding_out = padding;
    return true;
}

/* The last group: 1 to 3 bytes, and the bits that carry none must be zero. */
static int decode_last(const char *text, size_t padding, uint8_t *out)
{
    unsigned char bytes[3], again[5];
    size_t size = 3 - padding;
    int rc = EVP_DecodeBlock(bytes, (const unsigned char *)text, 4) == 3 ? 0 : -1;

    if (rc == 0) {
        MUST(EVP_EncodeBlock(again, bytes, (int)size) == 4);
        rc = memcmp(again, text, 4) == 0 ? 0 : -1;
    }
    if (rc == 0)
        memcpy(out, bytes, size);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    OPENSSL_cleanse(again, sizeof(again));
    return rc;
}

int base64_decode(const char *text, size_t size, void *out, size_t most, size_t *size_out)
{
    uint8_t *to = out;
    size_t padding = 0, at = 0, total;

    if (!is_well_formed(text, size, &padding) || size / 4 * 3 - padding > most)
        return -1;
    *size_out = total = size / 4 * 3 - padding;
    while (size - at > 4) {
        size_t n = size - at - 4 < BASE64_SIZE(PIECE) ? size - at - 4 : BASE64_SIZE(PIECE);

        MUST(EVP_DecodeBlock(to, (const unsigned char *)text + at, (int)n) == (int)(n / 4 * 3));
        to += n / 4 * 3;
        at += n;
    }
    if (size > 0 && decode_last(text + at, padding, to) != 0) {
        OPENSSL_cleanse(out, total);
        return -1;
    }
    return 0;
}
