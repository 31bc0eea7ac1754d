/* load.h - what a leader needs to know, read from the database in one repeatable-read transaction. */
#ifndef COORDINATOR_STORE_LEADER_LOAD_H
#define COORDINATOR_STORE_LEADER_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/err.h"
#include "common/name.h"
#include "common/scoped.h"
#include "common/wire/wire.h"
#include "coordinator/core/rollout.h"
#include "coordinator/store/leader/condition.h"

struct server_row {
    int64_t server_id;
    char name[NAME_BUFFER];
    char public_key[41]; /* Z85 */
    bool is_revoked, is_excluded;
    char *labels;        /* JSON object text, malloc'ed */
    char *scopes;        /* globs, one per line, malloc'ed */
    char *agent_version; /* malloc'ed; NULL: not said */
    int64_t retries;     /* how often somebody asked that it tries again */
};

struct scope_row {
    int64_t scope_id;
    char service[NAME_BUFFER], environment[NAME_BUFFER];
    uint64_t head, settled;
};

/* server_scope: what a server runs, as recorded. */
struct membership_row {
    int64_t server_id, scope_id;
    uint64_t obeyed;
    bool is_bad[CONDITION_KIND_COUNT]; /* what is not as it should be there */
    bool is_failed; /* what it obeyed last failed, whatever runs since */
    uint64_t kept;  /* the ROLLBACK that found nothing to take back there */
};

struct change_row {
    int64_t scope_id;
    uint64_t from_revision, to_revision;
    struct hash from_hash, to_hash;
    uint32_t from_size, to_size; /* of the canonical documents */
    struct hash schemas; /* what agents judge by; zero: nothing */
    uint32_t schemas_size;
};

struct member_row {
    int64_t server_id;
    struct member_load load; /* server index not filled */
};

/* An open rollout. With a fault it cannot be read, and says why; then it has an id, a public id,
 * and whether it was opened, and nothing else can be relied on. */
struct rollout_row {
    char fault[200];
    int64_t rollout_id;
    char public_id[32];
    char salt[64];
    char *strategy; /* JSON text as stored, malloc'ed: store/strategy.h parses it */
    size_t change_count;
    struct change_row changes[ROLLOUT_SCOPES_MAX];
    struct rollout_load load; /* strategy, scopes and members not filled */
    size_t member_count;
    struct member_row *members;
};

/* A decision that is somebody's newest: every FINALIZE that released a scope's present revision,
 * and every ACTIVATE and ROLLBACK drawn after it in that scope. */
struct decision_row {
    uint64_t dseq;
    enum decision_kind kind;
    bool is_unknown; /* its kind is none that this program knows */
    int64_t rollout_id;
    uint64_t attempt_number; /* ACTIVATE */
    size_t body_size;
    uint8_t *body; /* the stored bytes, malloc'ed */
    size_t scope_count;
    int64_t scope_ids[ROLLOUT_SCOPES_MAX];
    bool is_for_all; /* FINALIZE: every server of the scope; else the addressed */
    size_t addressed_count;
    int64_t *addressed; /* server ids: ACTIVATE the members of its attempt, ROLLBACK all members */
};

struct command_row {
    int64_t command_id, rollout_id;
    enum rollout_action action;
    bool is_full;
};

struct snapshot {
    uint8_t cluster_id[WIRE_CLUSTER_ID_SIZE];
    struct server_row *servers;
    size_t server_count;
    struct scope_row *scopes;
    size_t scope_count;
    struct membership_row *memberships;
    size_t membership_count;
    struct rollout_row *rollouts;
    size_t rollout_count;
    struct decision_row *decisions;
    size_t decision_count;
    struct command_row *commands; /* waiting */
    size_t command_count;
    uint64_t audit_number; /* the newest event at that moment */
    int64_t began_ms; /* monotonic: before that moment */
};

struct pg;
/* WORK: rollouts that are not opened yet, and waiting commands (asked for every second).
 * ROSTER: servers, scopes, memberships (asked for when one of them changed).
 * WHOLE: both, members of open rollouts and live decisions: a takeover. */
enum load_what { LOAD_WORK, LOAD_ROSTER, LOAD_WHOLE };
int load_snapshot(struct pg *pg, enum load_what what, struct snapshot **out, struct err *e)
    __attribute__((warn_unused_result));
void snapshot_free(struct snapshot *s);
SCOPED_FREE(struct snapshot, snapshot_free)

/* The canonical bytes of a document, malloc'ed; ERR_NOT_FOUND. */
int load_document(struct pg *pg, const struct hash *hash, uint8_t **bytes_out, size_t *size_out,
                  struct err *e) __attribute__((warn_unused_result));

#endif
