/* wire.h - the messages between coordinator and agents, as bytes and as plain structs.
 *
 * A message is two ZeroMQ frames: the sender's envelope and a body (common/PROTOCOL.md). Integers
 * are little-endian and fixed; texts are u16 length + bytes (UTF-8, no zero byte), byte strings
 * u32 length + bytes, lists u16 count + items. A decoder accepts exactly what an encoder makes:
 * every length and count is checked against the limits below, trailing bytes are an error, and
 * nothing is allocated. Decoded texts and bytes point into the frame and live as long as it does.
 * When decoding fails the struct's fields are undefined, and nothing is read through them.
 *
 * Encoders write into a caller's buffer and return the number of bytes, or 0 when it is too small
 * or a limit is broken (a bug of the caller: sizes are validated long before).
 */
#ifndef COMMON_WIRE_WIRE_H
#define COMMON_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/err.h"
#include "common/wire/packing.h"

#define WIRE_VERSION 3
#define WIRE_MESSAGE_MAX 65536 /* both frames together: ZMQ_MAXMSGSIZE of every bound socket */
#define WIRE_INLINE_MAX 32768  /* documents of a PREPARE travel inside when together at most this */
#define WIRE_CHUNK_MAX 61440   /* content bytes of one CHUNK */
#define WIRE_DOCUMENT_MAX (16u << 20)
#define WIRE_DECISION_MAX 16384 /* a stored decision of WIRE_SCOPES_MAX scopes fits */
#define WIRE_NAME_MAX 100      /* service, environment, server, label name */
#define WIRE_SCOPE_MAX 201     /* payments/prod */
#define WIRE_TEXT_MAX 4000     /* a reason with a command's output */
#define WIRE_LABEL_MAX 256
#define WIRE_LABELS_MAX 32
#define WIRE_SCOPES_MAX 64 /* scopes of one agent, and of one message */
#define WIRE_IDS_MAX 512   /* outbox ids in one RECEIPT */
#define WIRE_ENVELOPE_SIZE 46
#define WIRE_CLUSTER_ID_SIZE 16
#define WIRE_STEPS_MAX 8
#define WIRE_SECRET_MAX (1u << 20) /* of one value, and so of its ciphertext */
#define WIRE_SECRET_KEY_MAX 500    /* the key of the document it was written to */
#define WIRE_SECRETS_MAX 512       /* digests in one KEPT or DESTROYED */
#define WIRE_REFUSAL_MAX 1000      /* why a secret is not to be had */
#define WIRE_IV_SIZE 12
#define WIRE_TAG_SIZE 16
#define WIRE_DATA_KEY_SIZE 32

/* name, direction: A agent to coordinator, C coordinator to agent */
#define WIRE_TYPES(X)                                                                              \
    X(HELLO, A) X(WELCOME, C) X(REJECT, C) X(PREPARE, C) X(FETCH, A) X(CHUNK, C) X(READY, A)       \
    X(REFUSED, A) X(ACTIVATE, C) X(APPLIED, A) X(FAILED, A) X(CHECK, A) X(ABORT, C) X(ABORTED, A)  \
    X(ROLLBACK, C) X(ROLLED_BACK, A) X(FINALIZE, C) X(FINALIZED, A) X(RECEIPT, C) X(STATUS, A)     \
    X(ANSWER, C) X(PING, C) X(PONG, A) X(STALE, A) X(BYE, A)      \
    X(ASK, A) X(SECRET, C) X(KEPT, A) X(DESTROYED, C) X(POLL, A)

enum wire_type {
    WIRE_NONE,
#define X(name, direction) WIRE_##name,
    WIRE_TYPES(X)
#undef X
    WIRE_TYPE_COUNT
};

/* Why a server refused a PREPARE. `base` is transient: it is caught up and asked again. */
#define WIRE_REASONS(X)                                                                            \
    X(NONE, "none") X(SCHEMA, "schema") X(VALIDATE, "validate") X(BASE, "base")                    \
    X(NOSPACE, "nospace") X(BUSY, "busy") X(POLICY, "policy") X(IO, "io") X(FETCH, "fetch")
enum wire_reason {
#define X(name, text) WIRE_REASON_##name,
    WIRE_REASONS(X)
#undef X
    WIRE_REASON_COUNT
};

/* The steps of applying, in order; FAILED names the one that failed. */
#define WIRE_STEPS(X)                                                                              \
    X(NONE, "none") X(POINTER, "pointer") X(FILES, "files") X(READERS, "readers")                  \
    X(RELOAD, "reload") X(CONSUMERS, "consumers") X(CHECK, "check") X(REVERT, "revert")
enum wire_step {
#define X(name, text) WIRE_STEP_##name,
    WIRE_STEPS(X)
#undef X
    WIRE_STEP_COUNT
};

#define WIRE_REJECTS(X)                                                                            \
    X(NOT_LEADER, "not_leader") X(UNKNOWN, "unknown") X(REVOKED, "revoked") X(CLONE, "clone")      \
    X(CLUSTER, "cluster") X(VERSION, "version")
enum wire_reject {
#define X(name, text) WIRE_REJECT_##name,
    WIRE_REJECTS(X)
#undef X
    WIRE_REJECT_COUNT
};

#define WIRE_ANSWERS(X)                                                                            \
    X(PENDING, "pending") X(DECIDED, "decided") X(ABORTED, "aborted") X(UNKNOWN, "unknown")
enum wire_answer {
#define X(name, text) WIRE_ANSWER_##name,
    WIRE_ANSWERS(X)
#undef X
    WIRE_ANSWER_COUNT
};

/* What became of an ASK. `away` is transient: the key-encryption key or the database cannot be had
 * now. The others are final. */
#define WIRE_SECRET_STATES(X)                                                                      \
    X(THERE, "there") X(AWAY, "away") X(DESTROYED, "destroyed") X(REFUSED, "refused")
enum wire_secret_state {
#define X(name, text) WIRE_SECRET_##name,
    WIRE_SECRET_STATES(X)
#undef X
    WIRE_SECRET_STATE_COUNT
};

const char *wire_type_name(enum wire_type type);       /* "READY" */
const char *wire_reason_name(enum wire_reason reason); /* "validate" */
const char *wire_step_name(enum wire_step step);
const char *wire_reject_name(enum wire_reject reject);
const char *wire_secret_state_name(enum wire_secret_state state);

struct wire_text {
    const char *at; /* not zero-terminated */
    uint32_t size;
};

struct wire_bytes {
    const uint8_t *at; /* NULL: not there */
    uint32_t size;
};

struct wire_envelope {
    uint8_t version;
    enum wire_type type;
    uint8_t cluster_id[WIRE_CLUSTER_ID_SIZE]; /* all zero in an agent's first HELLO ever */
    uint32_t gen;
    uint64_t epoch; /* the sender's: a leader's own, an agent's highest seen */
    uint64_t message_id;
    uint64_t session; /* given by WELCOME; 0 before */
};

struct wire_label {
    struct wire_text name, value;
};

/* What an agent durably holds of one scope: the digest in HELLO and PONG. */
struct wire_digest {
    struct wire_text service, environment;
    uint32_t gen;           /* of the newest decision obeyed */
    uint64_t obeyed;        /* its dseq; 0 none */
    uint64_t revision;      /* active */
    struct hash active;     /* zero: revision 0 */
    struct hash lkg;        /* last known good */
    uint64_t slot;          /* attempt number of the prepared slot; 0 empty */
    uint64_t closed;        /* highest attempt number closed by an abort */
    uint8_t is_finalized;   /* the active revision is finalized */
    uint8_t outcome;        /* enum wire_outcome of the newest decision obeyed */
    uint8_t is_check_failing; /* current verdict of the scope's local check */
    uint8_t is_drifted;
};

#define WIRE_OUTCOMES(X)                                                                           \
    X(NONE, "none") X(APPLYING, "applying") X(OK, "ok") X(FAILED, "failed") X(BROKEN, "broken")
enum wire_outcome {
#define X(name, text) WIRE_OUTCOME_##name,
    WIRE_OUTCOMES(X)
#undef X
    WIRE_OUTCOME_COUNT
};
const char *wire_outcome_name(enum wire_outcome outcome);

struct wire_hello {
    uint64_t boot_nonce; /* fresh at every start of the agent */
    struct wire_text version; /* of the program */
    uint16_t label_count, scope_count;
    struct wire_label labels[WIRE_LABELS_MAX];
    struct wire_digest scopes[WIRE_SCOPES_MAX];
};

struct wire_welcome {
    uint64_t session;
    uint8_t cluster_id[WIRE_CLUSTER_ID_SIZE];
    uint32_t heartbeat_ms; /* PING comes this often; three missed: the agent reconnects */
    uint16_t refused_count; /* scopes of the HELLO that the enrolment does not allow */
    struct wire_text refused[WIRE_SCOPES_MAX]; /* "payments/prod" */
};

struct wire_rejection {
    enum wire_reject reject;
    struct wire_text address; /* the leader's, with NOT_LEADER; else empty */
    uint32_t retry_after_ms;
};

/* One scope of a PREPARE. */
struct wire_target {
    struct wire_text service, environment;
    uint64_t revision;
    struct hash hash; /* zero (with size 0): revision 0 */
    uint64_t base_revision;
    struct hash base_hash;
    uint32_t size;              /* of the canonical document */
    enum packing packing;       /* of the document; a delta is one on the base */
    struct wire_bytes document; /* inlined when all together fit WIRE_INLINE_MAX */
    /* What the document has to keep to (schema_set.h); zero, with size 0: nothing. */
    struct hash schemas;
    uint32_t schemas_size;
    struct wire_bytes schema_set; /* inlined when there is room left */
};

struct wire_prepare {
    uint64_t attempt;          /* number drawn from dseq */
    struct wire_text rollout;  /* public id */
    uint32_t stage;
    uint32_t wait_ms;      /* the stage waits so long for the answer; 0: nobody said */
    uint32_t isolation_ms; /* without a coordinator for so long it is given up; 0: it is kept */
    uint8_t is_eventual;       /* then `decision` holds the stored ACTIVATE body */
    struct wire_bytes decision;
    uint16_t target_count;
    struct wire_target targets[WIRE_SCOPES_MAX];
};

/* One scope of a decision. */
struct wire_scope {
    struct wire_text service, environment;
    uint64_t revision;
    struct hash hash;
    uint32_t size;
};

/* The stored body of ACTIVATE, ROLLBACK and FINALIZE: the same bytes for ever. */
struct wire_decision {
    enum wire_type type; /* WIRE_ACTIVATE, WIRE_ROLLBACK, WIRE_FINALIZE */
    uint32_t gen;
    uint64_t dseq;
    uint64_t attempt; /* ACTIVATE: the attempt it decides; else 0 */
    struct wire_text rollout;
    int64_t at_ms; /* wall clock, 0: at once */
    uint16_t scope_count;
    struct wire_scope scopes[WIRE_SCOPES_MAX];
};

struct wire_fetch {
    struct parcel parcel;
    uint32_t offset; /* in its packed bytes */
};

struct wire_chunk {
    struct parcel parcel;
    uint32_t offset, total; /* packed bytes; total 0: not to be had (unknown, or not allowed) */
    struct wire_bytes content; /* at most WIRE_CHUNK_MAX */
};

/* What an agent holds after an outcome, per scope. */
struct wire_held {
    struct wire_text service, environment;
    uint64_t revision;
    struct hash hash;
};

struct wire_step_time {
    enum wire_step step;
    uint32_t took_ms;
};

/* READY, REFUSED (number: attempt), APPLIED, FAILED, ROLLED_BACK, FINALIZED (number: dseq),
 * ABORTED (number: attempt, outbox_id 0). One shape for all acknowledgements. */
struct wire_ack {
    enum wire_type type;
    uint64_t outbox_id; /* durable and growing; 0: not kept, not receipted */
    uint32_t gen;
    uint64_t number;
    enum wire_reason reason; /* REFUSED */
    enum wire_step step;     /* FAILED */
    uint8_t is_broken;       /* FAILED: the revert failed too */
    struct wire_text text;   /* a sentence, or the command's output */
    uint16_t held_count;
    struct wire_held held[WIRE_SCOPES_MAX]; /* what is active now, scopes of the message */
    uint16_t step_count;
    struct wire_step_time steps[WIRE_STEPS_MAX];
};

/* CHECK: a verdict of this moment. WIRE_CHECK_DRIFT is said by the agent itself: is_failing means
 * that something differs from the active document, detail where; not failing with a detail, that
 * it was put right, and what had been wrong. */
#define WIRE_CHECK_DRIFT "drift"
struct wire_check {
    struct wire_text service, environment, name;
    uint64_t sequence;
    struct hash active; /* the document it was judged on */
    uint8_t is_failing;
    struct wire_text detail;
};

/* ABORT: slots of these attempts are dropped and the highest number remembered as closed. */
struct wire_abort {
    struct wire_text rollout;
    uint64_t attempt;
};

struct wire_receipt {
    uint16_t id_count;
    uint64_t ids[WIRE_IDS_MAX];
};

struct wire_status {
    uint64_t attempt;
};

struct wire_answer_to {
    uint64_t attempt;
    enum wire_answer answer;
};

/* PING: the newest decision addressed to this server per scope. */
struct wire_due {
    struct wire_text service, environment;
    uint64_t dseq;
};
struct wire_ping {
    int64_t at_ms; /* coordinator's monotonic clock, echoed */
    uint16_t due_count;
    struct wire_due due[WIRE_SCOPES_MAX];
};
struct wire_pong {
    int64_t at_ms;       /* the PING's */
    int64_t wall_ms;     /* agent's wall clock, for the offset */
    uint16_t scope_count;
    struct wire_digest scopes[WIRE_SCOPES_MAX];
};

/* POLL: what is owed for these scopes is wanted now. */
struct wire_poll {
    uint16_t scope_count;
    struct wire_digest scopes[WIRE_SCOPES_MAX];
};

/* The newer leadership an agent has seen, as evidence against an old envelope. */
struct wire_stale {
    uint32_t gen;
    uint64_t epoch;
    struct wire_bytes decision; /* the newest decision body obeyed; may be absent */
};

/* ASK: the secret that a document of this hash names by this digest, from `offset` on. */
struct wire_ask {
    struct hash document, digest;
    uint32_t offset;
};

/* A secret as it is stored, and the data key that opens it, plain: sent inside CURVE only, to a
 * server that may have the document. Ciphertexts longer than a message come piece by piece. */
struct wire_secret {
    struct hash digest; /* SHA-256(iv || ciphertext || tag) */
    enum wire_secret_state state;
    uint32_t offset, total;
    /* Where it was written (of an inherited one the parent's); empty unless THERE. */
    struct wire_text service, environment, key;
    uint64_t version;
    uint8_t iv[WIRE_IV_SIZE], tag[WIRE_TAG_SIZE];
    struct wire_bytes data_key; /* of WIRE_DATA_KEY_SIZE, with the piece at offset 0; else absent */
    struct wire_bytes content;  /* of the ciphertext, at most WIRE_CHUNK_MAX */
    struct wire_text text;      /* why it is not there */
};

/* KEPT: digests an agent holds data keys of. DESTROYED: those whose data keys it shreds. */
struct wire_digests {
    uint16_t digest_count;
    struct hash digests[WIRE_SECRETS_MAX];
};

/* BYE has an empty body: the agent stops on purpose. */

size_t wire_encode_envelope(const struct wire_envelope *envelope, uint8_t out[WIRE_ENVELOPE_SIZE]);
int wire_decode_envelope(const void *data, size_t size, struct wire_envelope *out, struct err *e)
    __attribute__((warn_unused_result));

/* suffix, struct, the types it carries */
#define WIRE_BODIES(X)                                                                             \
    X(hello, struct wire_hello) X(welcome, struct wire_welcome) X(reject, struct wire_rejection)   \
    X(prepare, struct wire_prepare) X(decision, struct wire_decision) X(fetch, struct wire_fetch)  \
    X(chunk, struct wire_chunk) X(ack, struct wire_ack) X(check, struct wire_check)                \
    X(abort, struct wire_abort) X(receipt, struct wire_receipt) X(status, struct wire_status)      \
    X(answer, struct wire_answer_to) X(ping, struct wire_ping) X(pong, struct wire_pong)           \
    X(stale, struct wire_stale) X(ask, struct wire_ask) X(secret, struct wire_secret)              \
    X(kept, struct wire_digests) X(destroyed, struct wire_digests) X(poll, struct wire_poll)

/* wire_encode_hello(const struct wire_hello *, void *out, size_t size) and so on; wire_decode_*
 * fail with ERR_MALFORMED and a sentence that names message and field. The decision and ack bodies
 * carry their own type byte first (the stored bytes must say what they are). */
#define X(name, type)                                                                              \
    size_t wire_encode_##name(const type *body, void *out, size_t size);                           \
    int wire_decode_##name(const void *data, size_t size, type *out, struct err *e)                \
        __attribute__((warn_unused_result));
WIRE_BODIES(X)
#undef X

/* True when text equals the zero-terminated other. */
bool wire_text_is(struct wire_text text, const char *other);
struct wire_text wire_text_of(const char *text); /* lends */
/* Copy with a terminating zero; cut to size - 1 at a UTF-8 boundary. */
void wire_text_copy(struct wire_text text, char *out, size_t size);

#endif
