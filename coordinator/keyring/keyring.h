/* keyring.h - who wraps the data keys of secrets: a key file, a Vault, or nobody.
 *
 * The key-encryption key is the one thing that is not in the database. Providers:
 *
 *   file   a local file of keys (key_file.h); the newest one wraps, all of them unwrap. The file
 *          counts as it is now: a new key, a wrong mode or a missing file show at the next use.
 *   vault  an HTTP service in the shape of Vault's transit engine: the key never leaves it.
 *   none   secrets are switched off, and every call says so.
 *
 * Opening looks at the settings alone. A key-encryption key that is gone is therefore no reason not
 * to start: plain values are served on, calls here fail with the code "secrets_unavailable" and the
 * reason until it is back. Data keys that were changed are ERR_CORRUPT. No error says what a key,
 * a token or an answer holds.
 *
 * Calls may block (a Vault is another machine) for as long as the time-out in the settings: make
 * them on HTTP, store and courier threads, outside of transactions, never in the loop. They may
 * come from any thread; the providers' tables and connections stand behind their own locks.
 */
#ifndef COORDINATOR_KEYRING_KEYRING_H
#define COORDINATOR_KEYRING_KEYRING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/crypto/envelope.h"
#include "common/err.h"
#include "common/scoped.h"

/* The section [secrets]; lent to keyring_open. NULL: not set. */
struct keyring_settings {
    const char *provider; /* "none", "file", "vault" */
    const char *key_file;
    const char *vault_url; /* https://vault.example:8200; http:// only on loopback */
    const char *vault_key; /* the transit key's name */
    const char *vault_token_file; /* read for every request: tokens are renewed */
    const char *vault_ca_file; /* whom to trust instead of the system's authorities */
    int64_t vault_timeout_ms; /* of a whole call with its retries */
};

struct keyring;

/* Call before threads start. ERR_INVALID names the setting. */
int keyring_open(const struct keyring_settings *s, struct keyring **out, struct err *e)
    __attribute__((warn_unused_result));
void keyring_close(struct keyring *k);
SCOPED_FREE(struct keyring, keyring_close)

/* false: the provider is none. */
bool keyring_is_on(const struct keyring *k);

/* A fresh data key, plain and wrapped under the newest key-encryption key. Wrapping a given data
 * key is not offered: a Vault makes the two together. */
int keyring_new_key(struct keyring *k, struct seal_key *data_key_out,
                    struct envelope_wrapped *wrapped_out, struct err *e)
    __attribute__((warn_unused_result));

int keyring_unwrap(struct keyring *k, const struct envelope_wrapped *wrapped,
                   struct seal_key *data_key_out, struct err *e)
    __attribute__((warn_unused_result));

/* The same data key wrapped under the newest key-encryption key; one that is already is copied or
 * wrapped again. The old form keeps working as long as its key-encryption key is there. `out` may
 * be `wrapped`. */
int keyring_rewrap(struct keyring *k, const struct envelope_wrapped *wrapped,
                   struct envelope_wrapped *out, struct err *e)
    __attribute__((warn_unused_result));

/* Is the key-encryption key there, and do wrapping and unwrapping work? The id of the newest one:
 * what is wrapped under another id is due for rewrapping. */
int keyring_check(struct keyring *k, char newest_out[ENVELOPE_KEY_ID_SIZE], struct err *e)
    __attribute__((warn_unused_result));

#endif
