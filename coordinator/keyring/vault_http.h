/* vault_http.h - one request to a Vault: token, time limit, bounded retries, reasons in words. */
#ifndef COORDINATOR_KEYRING_VAULT_HTTP_H
#define COORDINATOR_KEYRING_VAULT_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "common/crypto/seal.h"
#include "common/err.h"

#define VAULT_ANSWER_MAX 16384

/* An answer may hold a data key: it has one place in memory, and vault_answer_wipe clears it.
 * libcurl's own buffers are out of reach. */
struct vault_answer {
    char text[VAULT_ANSWER_MAX + 1]; /* zero-terminated */
    size_t size;
};

static inline void vault_answer_wipe(struct vault_answer *a)
{
    seal_wipe(a, sizeof(*a));
}
#define SCOPED_VAULT_ANSWER __attribute__((cleanup(vault_answer_wipe)))

struct vault_http;

/* ca_file NULL: the system's authorities. ERR_INVALID when the address is not an https:// one, or
 * an http:// one on loopback, or holds a user, a query or a fragment. */
int vault_http_open(const char *url, const char *token_file, const char *ca_file,
                    int64_t timeout_ms, struct vault_http **out, struct err *e)
    __attribute__((warn_unused_result));
void vault_http_close(struct vault_http *v);

/* POST a JSON body to /v1/PATH (both lent; no secrets in them). The token file is read anew. No
 * answer, 429 and 5xx are tried three times in all, within the time-out; redirects are not followed
 * and proxies not used, since the token would go with them. 0 when the answer is 200.
 * ERR_CORRUPT when it says that the ciphertext is not one of its own; all else is
 * "secrets_unavailable". */
int vault_http_post(struct vault_http *v, const char *path, const char *body,
                    struct vault_answer *out, struct err *e) __attribute__((warn_unused_result));

const char *vault_http_url(const struct vault_http *v);

#endif
