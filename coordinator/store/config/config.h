/* config.h - statements about keys, versions and revisions: read, write, compare.
 *
 * Nothing is updated in place: a write appends versions and makes the next revision. Functions
 * that write run inside the caller's transaction, under the scope's lock (scopes_lock).
 */
#ifndef COORDINATOR_STORE_CONFIG_CONFIG_H
#define COORDINATOR_STORE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/document/document.h"
#include "common/err.h"
#include "coordinator/store/config/scopes.h"

#define CONFIG_PROBLEMS_MAX 16
#define CONFIG_ANY_VERSION (-1)
#define CONFIG_MUST_EXIST (-2)

struct pg;
struct rows;
struct sealing;

/* ---------------------------------------------------------------- reading */

/* A version of a key; texts are lent by the rows they came from. */
struct config_item {
    const char *key, *value, *value_type;
    uint64_t version, head_version, revision;
    bool is_deleted;
    const char *updated_at, *description, *change_description, *created_by;
    const char *origin; /* SERVICE/ENV it is inherited from; "" the scope's own */
};
/* The key at a revision: one row, or none when it was never written up to there. */
int config_get(struct pg *pg, int64_t scope_id, const char *key, uint64_t revision,
               struct rows **out, struct err *e) __attribute__((warn_unused_result));
/* Its versions below `before` (0: all), newest first. */
int config_history(struct pg *pg, int64_t scope_id, const char *key, uint64_t before,
                   int64_t limit, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* All keys that are there at a revision, ascending. */
int config_snapshot(struct pg *pg, int64_t scope_id, uint64_t revision, struct rows **out,
                    struct err *e) __attribute__((warn_unused_result));
struct config_item config_item_at(const struct rows *rows, size_t row);

struct revision_item {
    uint64_t revision;
    const char *created_at, *created_by, *description;
    const char *keys; /* JSON list of the keys it changed, at most 100 of them */
    uint64_t keys_changed;
    const char *cause; /* SERVICE/ENV whose change made it; "" its own */
    uint64_t cause_revision;
    const char *state; /* draft, released, refused, rolled_back, rejected, superseded */
    bool was_released; /* readers got it at some time */
};
int revisions_list(struct pg *pg, int64_t scope_id, uint64_t before, int64_t limit,
                   struct rows **out, struct err *e) __attribute__((warn_unused_result));
struct revision_item revision_at(const struct rows *rows, size_t row);

/* Per key that differs between two revisions, ascending. */
struct config_difference {
    const char *key;
    bool is_before, is_after; /* present there */
    const char *old_type, *old_value, *new_type, *new_value;
    uint64_t old_version, new_version;
    const char *author, *changed_at; /* of the newer of the two */
};
int config_diff(struct pg *pg, int64_t scope_id, uint64_t from, uint64_t to, struct rows **out,
                struct err *e) __attribute__((warn_unused_result));
struct config_difference config_difference_at(const struct rows *rows, size_t row);

/* ---------------------------------------------------------------- writing */

/* Is the value to be a secret? */
enum config_encrypt {
    CONFIG_AS_IT_IS, /* as the key is now; a new key is not one */
    CONFIG_SECRET,
    CONFIG_PLAIN,
};

/* What is asked for one key. */
struct config_change {
    const char *key;
    bool is_delete;
    enum config_encrypt encrypt;
    bool is_reference; /* text is a reference to an envelope, taken as it is (document.h) */
    bool is_typed; /* type was said; else the key keeps its own, a new key is a string */
    enum value_type type;
    const char *text; /* as written; checked and normalised here */
    size_t size;
    const char *description;       /* of the key; NULL: keeps its own */
    int64_t expected_version;      /* CONFIG_ANY_VERSION, CONFIG_MUST_EXIST, 0: must be absent */
    bool is_if_match;              /* a wrong expected_version is ERR_STALE, not ERR_CONFLICT */
};

/* What became of it. */
struct config_outcome {
    bool is_changed;
    uint64_t version; /* the key's newest; 0: there never was one */
    enum value_type type;
    char *value;       /* malloc'ed; NULL when deleted; of a secret the reference */
    bool is_secret;
    char *plain;       /* of a secret that is to be sealed; malloc'ed, wiped in the end */
    size_t plain_size;
    char *description; /* malloc'ed */
    bool was_present; /* in what the write stands on, as old_value and old_type */
    bool was_inherited; /* … from a parent: the same value, written, becomes its own */
    char *old_value;  /* malloc'ed; NULL when it was absent */
    enum value_type old_type;
    bool is_at_head;
    int64_t origin_id; /* deleted, and the parents have one: whose it is; 0: its own */
};

struct config_write {
    const char *actor, *change_description;
    const struct config_change *changes;
    size_t count;
    bool is_on_released; /* the drafts of other keys stay drafts */
    struct sealing *sealing; /* NULL: secrets can be neither written nor replaced */
};

struct config_result {
    uint64_t revision; /* the one made (drafts put back are one more); 0 when nothing changed */
    size_t count;
    struct config_outcome *outcomes;
    unsigned problem_count;
    struct {
        size_t change;
        char detail[256];
    } problems[CONFIG_PROBLEMS_MAX];
    uint64_t current_version; /* with ERR_CONFLICT or ERR_STALE: of the key that moved on */
    bool is_wanting; /* failed only for what sealing_fetch gets: do so, and write again */
    struct rows *dropped_drafts; /* one column: written keys whose draft gave way; NULL none */
};
void config_result_fini(struct config_result *r);

/* What config_write would find and make of the values, without a lock and without writing: the
 * outcomes and the problems. A scope that is not there yet has the id 0. */
int config_look(struct pg *pg, const struct scope *scope, const struct config_write *write,
                struct config_result *result, struct err *e) __attribute__((warn_unused_result));

/* Append versions, make the next revision, advance scope->head; the scopes that inherit from this
 * one get theirs. Unchanged values make no version,
 * and no revision when all are unchanged. Keys must differ. On -1 the caller rolls back; result
 * has the problems. Finish result in any case. */
int config_write(struct pg *pg, struct scope *scope, const struct config_write *write,
                 struct config_result *result, struct err *e) __attribute__((warn_unused_result));

/* Make a revision whose content equals that of `target`; false in *is_changed when the head does
 * already. With is_keeping_drafts, a second revision puts the drafts (what was written after
 * `settled`) back on top. revision_out: the one that equals the target. */
int config_revert(struct pg *pg, struct scope *scope, uint64_t target, bool is_keeping_drafts,
                  const char *actor, const char *description, uint64_t *revision_out,
                  bool *is_changed, struct err *e) __attribute__((warn_unused_result));
/* The same for the keys alone that were written after `from` and up to `to`: they become what they
 * were at `from`, on top of the settled revision; all else stays. */
int config_revert_keys(struct pg *pg, struct scope *scope, uint64_t from, uint64_t to,
                       const char *actor, const char *description, uint64_t *revision_out,
                       bool *is_changed, struct err *e) __attribute__((warn_unused_result));
/* After a rollout to `to_revision` was rolled back: make a revision equal to the settled one, and
 * put what was written after to_revision back on top. */
int config_take_back(struct pg *pg, struct scope *scope, uint64_t to_revision, int64_t rollout_id,
                     const char *description, uint64_t *revision_out, bool *is_changed,
                     struct err *e) __attribute__((warn_unused_result));

#endif
