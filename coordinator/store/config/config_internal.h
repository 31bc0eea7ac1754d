/* config_internal.h - what the files that append versions and revisions share. */
#ifndef COORDINATOR_STORE_CONFIG_CONFIG_INTERNAL_H
#define COORDINATOR_STORE_CONFIG_CONFIG_INTERNAL_H

#include "coordinator/store/config/config.h"
#include "coordinator/store/pg.h"

#define CONFIG_DRAFTS_PUT_BACK "drafts put back"

/* SERVICE/ENVIRONMENT of a scope id; NULL stays NULL. */
#define SQL_SCOPE_NAME(id)                                                                         \
    "(SELECT o.service || '/' || o.environment FROM scope o WHERE o.scope_id = " id ")"

/* p: what the parents of a scope have for a key; p.origin_id is NULL when they have nothing.
 * p.is_closed: it is a secret whose way is closed (inherit_grants.h): `parents` and `origins` are
 * the two arrays of closed_ways. */
#define SQL_INHERITED(scope, key, parents, origins)                                                \
    "LEFT JOIN LATERAL (SELECT w.value_type, w.value, w.description, m.parent_id, "                \
    " coalesce(w.origin_id, w.scope_id) AS origin_id, w.secret IS NOT NULL AND EXISTS (SELECT 1"   \
    "  FROM unnest(" parents "::bigint[], " origins "::bigint[]) AS x (parent_id, origin_id)"      \
    "  WHERE x.parent_id = m.parent_id AND x.origin_id = coalesce(w.origin_id, w.scope_id))"       \
    " AS is_closed FROM scope_parent m JOIN LATERAL "                                              \
    " (SELECT * FROM config_version x WHERE x.scope_id = m.parent_id AND x.key = " key             \
    "  ORDER BY x.revision DESC LIMIT 1) w ON NOT w.is_deleted "                                   \
    " WHERE m.scope_id = " scope " ORDER BY m.place DESC LIMIT 1) p ON true "

/* config_secret.c: a set value that is to be a secret. `normal` is its canonical text, malloc'ed
 * and taken: sealed when it is another one than the key has. *is_changed stays false when it is the
 * same. ERR_UNAVAILABLE: the value that is there cannot be read at the moment. */
int config_judge_secret(const struct config_write *write, const struct config_change *c,
                        char **normal, struct config_outcome *o, bool *is_changed, struct err *e)
    __attribute__((warn_unused_result));
/* Before anything is appended: false, and result->is_wanting, when data keys or values are to be
 * fetched first. */
bool config_has_secrets(const struct config_write *write, struct config_result *result);
/* Seal o->plain as the key's next version; o->value becomes the reference. */
int config_seal(struct pg *pg, const struct scope *scope, const struct config_write *write,
                const struct config_change *c, struct config_outcome *o, struct err *e)
    __attribute__((warn_unused_result));

/* Bytes that an entry has in the canonical document, its comma included. */
int config_entry_size(const char *key, enum value_type type, const char *value, int64_t *out,
                      struct err *e) __attribute__((warn_unused_result));
int config_head_size(struct pg *pg, const struct scope *scope, int64_t *out, struct err *e)
    __attribute__((warn_unused_result));
/* ERR_TOO_LARGE names the scope. */
int config_check_size(const struct scope *scope, int64_t size, struct err *e)
    __attribute__((warn_unused_result));

/* The row of the next revision, and the head that names it. */
struct config_revision {
    const char *actor, *description;
    int64_t size;
    int64_t cause_id; /* the scope whose change made it; 0 none, as the next */
    uint64_t cause_revision;
    int64_t takes_back; /* rollout_id */
};
int config_append_revision(struct pg *pg, struct scope *scope, const struct config_revision *r,
                           struct err *e) __attribute__((warn_unused_result));
/* The same after copies: its size is found by putting the document together (rare enough). */
int config_append_copied_revision(struct pg *pg, struct scope *scope,
                                  const struct config_revision *r, struct err *e)
    __attribute__((warn_unused_result));

/* Keys written after `since` and up to `until`, but for `keys` (a text array; none when its value
 * is NULL). */
struct config_copies {
    uint64_t since, until, target;
    struct param keys;
    const char *actor, *description;
    bool is_keeping_authors; /* drafts are put back: a plan names who wrote what, not who wrote
                              * something else meanwhile. Else all of it is the actor's work. */
};
/* Versions in the next revision that bring those keys to what they were at `target`. Compared
 * with the newest version of each, so that it can follow itself. */
int config_append_copies(struct pg *pg, const struct scope *scope,
                         const struct config_copies *copies, size_t *count_out, struct err *e)
    __attribute__((warn_unused_result));
/* The other way round: which of `keys` have a draft at `until` that differs from `since`. */
int config_find_drafts(struct pg *pg, const struct scope *scope,
                       const struct config_copies *copies, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));

#endif
