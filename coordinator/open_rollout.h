/* open_rollout.h - what the core does not know of an open rollout: names, changes, and its frames. */
#ifndef COORDINATOR_OPEN_ROLLOUT_H
#define COORDINATOR_OPEN_ROLLOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/link/document_cache.h"
#include "coordinator/link/roster.h"
#include "coordinator/policy/strategy.h"
#include "coordinator/store/leader/load.h"

#define OPEN_ROLLOUT_FRAMES_MAX 16

struct open_rollout_change {
    struct change_row row;
    uint32_t scope; /* roster index */
};

/* PREPARE for servers that belong to the same scopes of the rollout. */
struct open_rollout_frame {
    uint32_t mask; /* bit i: changes[i]; 0: a free place */
    bool has_documents;
    struct router_frame *frame;
};

struct open_rollout {
    uint64_t rollout;
    char public_id[32], salt[64];
    struct strategy_spec spec;
    size_t change_count;
    struct open_rollout_change changes[ROLLOUT_SCOPES_MAX];
    bool is_in_core; /* the leader has it */
    struct rollout_load load; /* for the leader; members below */
    struct member_load *members;
    /* The attempt whose PREPARE the frames carry. */
    uint64_t attempt;
    unsigned stage;
    uint8_t *decision; /* eventual: the stored ACTIVATE inside the PREPARE */
    size_t decision_size;
    struct open_rollout_frame frames[OPEN_ROLLOUT_FRAMES_MAX];
};

/* NULL with the reason when the stored strategy cannot be read or a scope is not in the roster. */
struct open_rollout *open_rollout_new(const struct rollout_row *row, struct roster *roster,
                                      struct err *e);
void open_rollout_free(struct open_rollout *d);

/* The first C1 fixed the base; later ones repeat it. */
void open_rollout_set_changes(struct open_rollout *d, const struct change_row *changes,
                              size_t count);
/* A new attempt is durable: frames are made anew. `decision` is copied; NULL: two-phase. */
void open_rollout_set_attempt(struct open_rollout *d, uint64_t number, unsigned stage,
                              const uint8_t *decision, size_t size);

/* Targets and bases may be fetched by the servers of their scopes. */
void open_rollout_entitle(const struct open_rollout *d, struct roster *roster);
/* How many of the documents and schema sets that PREPARE is to carry are not in `contents`. */
size_t open_rollout_missing(const struct open_rollout *d, struct document_cache *contents,
                            struct parcel out[2 * ROLLOUT_SCOPES_MAX]);

/* Which changes concern this server, as bits. */
uint32_t open_rollout_mask(const struct open_rollout *d, struct roster *roster,
                           const struct roster_server *s);
/* PREPARE for such servers; documents inside when wanted, at hand and small. Lent. */
const struct router_frame *open_rollout_prepare(struct open_rollout *d, uint32_t mask,
                                                bool with_documents, struct roster *roster,
                                                struct document_cache *contents);

#endif
