/* own_key.h - the agent's own key: under it the data keys of secrets lie wrapped on this server.
 *
 * It is drawn at the first start and stands in a file of mode 0400. To shred a secret is to draw a
 * new key, wrap everything else under it and overwrite the old one: what LMDB and the disk still
 * hold of pages long given up then opens under no key. While that goes on the file has both keys,
 * so that a crash loses neither.
 *
 * Whoever copies the whole disk has key and secrets. An outer key that lies elsewhere (tmpfs, a
 * systemd credential) prevents that: the key in use is then the HMAC-SHA-256 of the file's bytes
 * under it, and another outer key opens nothing.
 */
#ifndef AGENT_CACHE_OWN_KEY_H
#define AGENT_CACHE_OWN_KEY_H

#include <stdbool.h>

#include "common/crypto/envelope.h"
#include "common/crypto/seal.h"
#include "common/err.h"

#define OWN_KEY_ID_SIZE 24

struct own_keys {
    unsigned count; /* 1, or 2 during a change; the newest first */
    struct {
        char id[OWN_KEY_ID_SIZE];
        struct seal_key key; /* in use */
        struct seal_key raw; /* in the file */
    } items[2];
};
static inline void own_keys_wipe(struct own_keys *k)
{
    seal_wipe(k, sizeof(*k));
}

/* From the file, which is made when it is absent. outer_path: the file of the outer key; NULL:
 * none. */
int own_keys_open(const char *path, const char *outer_path, struct own_keys *out, bool *is_new_out,
                  struct err *e) __attribute__((warn_unused_result));

/* A new newest key; the file has both afterwards. */
int own_keys_add(const char *path, const char *outer_path, struct own_keys *keys, struct err *e)
    __attribute__((warn_unused_result));
/* The newest alone is left; what the file held before is overwritten. */
int own_keys_retire(const char *path, struct own_keys *keys, struct err *e)
    __attribute__((warn_unused_result));

void own_keys_wrap(const struct own_keys *keys, const struct seal_key *data_key,
                   struct envelope_wrapped *out);
/* 0, or -1 when it was wrapped under none of these keys. */
int own_keys_unwrap(const struct own_keys *keys, const struct envelope_wrapped *wrapped,
                    struct seal_key *data_key_out) __attribute__((warn_unused_result));

/* Would the file of the setting secrets_key_file do? NULL: there is none, which is fine. */
int own_keys_check_outer(const char *path, struct err *e) __attribute__((warn_unused_result));

#endif
