/* base64.h - base64 (RFC 4648 section 4) through OpenSSL, read strictly: one text per bytes. */
#ifndef COMMON_CRYPTO_BASE64_H
#define COMMON_CRYPTO_BASE64_H

#include <stddef.h>

#include "common/buffer.h"

/* Characters for so many bytes, without a terminating zero. */
#define BASE64_SIZE(bytes) (((bytes) + 2) / 3 * 4)

/* Append the text of `size` bytes. */
void base64_encode(const void *data, size_t size, struct buffer *out);

/* Into memory of the caller, so that secrets leave no copies behind. 0, or -1 when the text is not
 * exactly what base64_encode writes (padding missing or misplaced, blanks, line ends, characters of
 * the URL alphabet, stray bits in the last character) or has more than `most` bytes; then `out`
 * holds nothing of it. */
int base64_decode(const char *text, size_t size, void *out, size_t most, size_t *size_out)
    __attribute__((warn_unused_result));

#endif
