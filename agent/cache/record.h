/* record.h - promises and the agent's own facts as bytes at rest: versioned, little-endian, sealed.
 *
 * A sealed record ends with the first RECORD_SEAL_SIZE bytes of the SHA-256 of everything before,
 * so that a flipped bit is found when it is read and never obeyed. Pure.
 */
#ifndef AGENT_CACHE_RECORD_H
#define AGENT_CACHE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "agent/core/participant.h"
#include "common/buffer.h"
#include "common/crypto/envelope.h"
#include "common/document/document.h"
#include "common/name.h"
#include "common/wire/wire.h"

#define RECORD_VERSION 2 /* 1 had no isolation_ms; it is still read */
#define RECORD_SEAL_SIZE 8

/* What the agent knows beside its scopes. */
struct agent_facts {
    uint32_t gen; /* highest (gen, epoch) seen */
    uint64_t epoch;
    uint8_t cluster_id[WIRE_CLUSTER_ID_SIZE]; /* of the first WELCOME; zero before */
    uint64_t next_outbox_id;
};

/* A promise, and the content that was active before: it stays warm for a rollback. */
struct kept_promise {
    struct promise promise;
    struct content previous;
};

/* A secret at rest: its envelope, the data key wrapped under the agent's own key, and the place
 * that it is bound to. Of a destroyed one the place alone is left. */
struct kept_secret {
    bool is_destroyed;
    char service[NAME_BUFFER], environment[NAME_BUFFER], key[DOCUMENT_KEY_MAX + 1];
    uint64_t version;
    struct envelope envelope; /* release with envelope_fini */
};

void record_put_secret(struct buffer *out, const struct kept_secret *secret);
/* On 0 the caller owns out->envelope. */
int record_get_secret(const void *data, size_t size, struct kept_secret *out)
    __attribute__((warn_unused_result));

void record_put_promise(struct buffer *out, const struct kept_promise *kept);
void record_put_facts(struct buffer *out, const struct agent_facts *facts);
/* Any bytes, sealed. */
void record_put_bytes(struct buffer *out, const void *data, size_t size);

/* -1: the seal or the version does not fit, or values are out of range. */
int record_get_promise(const void *data, size_t size, struct kept_promise *out)
    __attribute__((warn_unused_result));
int record_get_facts(const void *data, size_t size, struct agent_facts *out)
    __attribute__((warn_unused_result));
/* *size_out: of the bytes without their seal. */
int record_get_bytes(const void *data, size_t size, size_t *size_out)
    __attribute__((warn_unused_result));

#endif
