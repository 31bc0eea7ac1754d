/* provider.h - what a provider of key-encryption keys does: one table of functions each. */
#ifndef COORDINATOR_KEYRING_PROVIDER_H
#define COORDINATOR_KEYRING_PROVIDER_H

#include "coordinator/keyring/keyring.h"

/* As the functions of the keyring; `self` is the provider's own. */
struct provider {
    int (*open)(const struct keyring_settings *s, void **self_out, struct err *e);
    void (*close)(void *self);
    int (*new_key)(void *self, struct seal_key *data_key_out, struct envelope_wrapped *wrapped_out,
                   struct err *e);
    int (*unwrap)(void *self, const struct envelope_wrapped *wrapped,
                  struct seal_key *data_key_out, struct err *e);
    int (*rewrap)(void *self, const struct envelope_wrapped *wrapped,
                  struct envelope_wrapped *out, struct err *e);
    int (*check)(void *self, char newest_out[ENVELOPE_KEY_ID_SIZE], struct err *e);
};

extern const struct provider provider_file, provider_vault;

/* The key-encryption key cannot be had: ERR_UNAVAILABLE with its code; -1. */
#define provider_unavailable(e, ...)                                                               \
    err_code((e), ERR_UNAVAILABLE, "secrets_unavailable", __VA_ARGS__)

#endif
