/* signature.h - the signature of a message as Standard Webhooks 1.0 asks for it. */
#ifndef COORDINATOR_COURIER_SIGNATURE_H
#define COORDINATOR_COURIER_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#define SIGNATURE_SIZE 48 /* "v1," and 44 characters */

struct signature_input {
    const char *secret;  /* "whsec_" and base64 of 24 to 64 bytes */
    const char *id;      /* webhook-id */
    int64_t timestamp_s; /* webhook-timestamp: of the attempt, seconds since 1970 */
    const char *body;
};

/* "v1," and the base64 of HMAC-SHA-256 over id.timestamp.body. -1: the secret is none. */
int signature_make(const struct signature_input *in, char out[SIGNATURE_SIZE])
    __attribute__((warn_unused_result));

#endif
