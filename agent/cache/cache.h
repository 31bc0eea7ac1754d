/* cache.h - what the agent must not forget: promises, documents, outbox, in LMDB. Sync mode only.
 *
 * One call is one transaction: after 0 it is on the disk, after -1 nothing has changed. Everything
 * is verified when the cache is opened: a record whose seal does not fit is an error that names
 * folder and remedy; a document whose hash does not fit is dropped, counted, and fetched again.
 *
 * The folder may go while it is open: LMDB would write on into a file without a name. So nothing is
 * committed when what is open is not what has the name any more: code "io".
 *
 * Space is reserved before anything is promised: cache_put_documents writes the documents and
 * allocates blocks for the small transactions that follow, so that obeying does not fail on a full
 * disk. Errors of a full disk carry the code "nospace", all others "io".
 */
#ifndef AGENT_CACHE_CACHE_H
#define AGENT_CACHE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/cache/record.h"
#include "common/buffer.h"
#include "common/crypto/hash.h"
#include "common/err.h"

#define CACHE_MAP_SIZE ((size_t)8 << 30) /* address space, not disk: 64 scopes of 16 MiB, 8 each */

struct cache;

/* Makes state_dir (mode 0700) when it is absent. Only one program may have it open. map_size 0:
 * CACHE_MAP_SIZE. Must be called before threads start: a child process tries the file first, since
 * a truncated one kills its reader. */
int cache_open(const char *state_dir, size_t map_size, struct cache **out, struct err *e)
    __attribute__((warn_unused_result));
/* To read beside the agent that has it open: promises and outbox as they are at this moment. */
int cache_peek(const char *state_dir, struct cache **out, struct err *e)
    __attribute__((warn_unused_result));
void cache_close(struct cache *c);

/* Documents that were dropped at open or while reading because their hash did not fit. */
unsigned cache_corrupt_count(const struct cache *c);

const struct agent_facts *cache_facts(const struct cache *c);
/* Leadership seen and cluster known; next_outbox_id of `facts` is ignored. */
int cache_put_facts(struct cache *c, const struct agent_facts *facts, struct err *e)
    __attribute__((warn_unused_result));

/* A scope never heard of has a zero promise. */
int cache_get_promise(struct cache *c, const char *scope, struct promise *out, struct err *e)
    __attribute__((warn_unused_result));

struct cache_document {
    struct hash hash;
    const void *data;
    size_t size;
};
int cache_put_documents(struct cache *c, const struct cache_document *documents, unsigned count,
                        struct err *e) __attribute__((warn_unused_result));
bool cache_has_document(struct cache *c, const struct hash *hash);
/* ERR_NOT_FOUND when absent, ERR_CORRUPT when it was there and is dropped now. */
int cache_get_document(struct cache *c, const struct hash *hash, struct buffer *out,
                       struct err *e) __attribute__((warn_unused_result));

/* Secrets by the digest that documents name them by; see agent/tasks/secrets.h. A secret is
 * kept while a document in the cache names it. */
enum cache_secret { CACHE_SECRET_ABSENT, CACHE_SECRET_KEPT, CACHE_SECRET_DESTROYED };
enum cache_secret cache_secret_state(struct cache *c, const struct hash *digest);
/* Replaces. */
int cache_put_secret(struct cache *c, const struct hash *digest, const struct kept_secret *secret,
                     struct err *e) __attribute__((warn_unused_result));
/* ERR_NOT_FOUND. The caller releases out->envelope. */
int cache_get_secret(struct cache *c, const struct hash *digest, struct kept_secret *out,
                     struct err *e) __attribute__((warn_unused_result));
/* One look at every secret in one transaction, which may change it: what to do with it. */
enum cache_edit { CACHE_LEAVE, CACHE_WRITE, CACHE_DROP };
typedef int cache_edit_fn(void *ctx, const struct hash *digest, struct kept_secret *secret);
int cache_edit_secrets(struct cache *c, cache_edit_fn *edit, void *ctx, struct err *e)
    __attribute__((warn_unused_result));
/* Drop the secrets that no document in the cache names. */
int cache_sweep_secrets(struct cache *c, struct err *e) __attribute__((warn_unused_result));

/* A1, A2 and A3 are this transaction: promises, perhaps an acknowledgement, perhaps the decision
 * obeyed; documents that nothing names any more go. */
struct cache_save {
    unsigned scope_count;
    const char *scopes[PARTICIPANT_SCOPES_MAX];
    const struct promise *promises[PARTICIPANT_SCOPES_MAX];
    const void *ack; /* its outbox id is cache_facts()->next_outbox_id; NULL: none */
    size_t ack_size;
    const void *decision; /* kept as evidence of the newest leadership; NULL: none */
    size_t decision_size;
    const struct hash *pinned; /* documents that are being staged */
    unsigned pinned_count;
};
int cache_save(struct cache *c, const struct cache_save *save, struct err *e)
    __attribute__((warn_unused_result));

/* The newest acknowledgement given for a scope, for a repeated question; empty: none. */
int cache_get_answer(struct cache *c, const char *scope, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));
/* The newest decision obeyed; empty: none. */
int cache_get_decision(struct cache *c, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

/* Unreceipted acknowledgements, lowest id first. */
typedef void cache_visit_fn(void *ctx, uint64_t id, const void *body, size_t size);
int cache_outbox(struct cache *c, cache_visit_fn *visit, void *ctx, struct err *e)
    __attribute__((warn_unused_result));
/* Ids that are not there are ignored. */
int cache_receipt(struct cache *c, const uint64_t *ids, unsigned count, struct err *e)
    __attribute__((warn_unused_result));

#endif
