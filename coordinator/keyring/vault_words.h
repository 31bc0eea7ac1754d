/* vault_words.h - what may be asked of a Vault, and what its refusals mean. */
#ifndef COORDINATOR_KEYRING_VAULT_WORDS_H
#define COORDINATOR_KEYRING_VAULT_WORDS_H

#include <stddef.h>

#include "common/err.h"

#define VAULT_TOKEN_SIZE 4096 /* with the terminating zero; OIDC and batch tokens are long */

/* All lent. */
struct vault_request {
    const char *url;  /* of the Vault */
    const char *path; /* behind /v1/ */
    const char *body;
    const char *token_file, *token;
};

/* ERR_INVALID names the setting. */
int vault_check_url(const char *url, struct err *e) __attribute__((warn_unused_result));

/* The first line of the file, which nobody but its owner and group may read. */
int vault_read_token(const char *path, char out[VAULT_TOKEN_SIZE], struct err *e)
    __attribute__((warn_unused_result));

/* An answer that is not 200: the kind and the sentence. Returns -1. What the Vault itself says is
 * quoted only as far as it is short, printable and does not repeat the token. */
int vault_refused(const struct vault_request *request, long status, const char *answer,
                  size_t size, struct err *e);

#endif
