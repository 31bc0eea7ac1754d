/* schemas.h - statements about the JSON Schemas of services: versions, sets, what a write needs.
 *
 * A schema belongs to a service and one of its keys, SCHEMA_SET_WHOLE for the whole document. As
 * with configuration nothing is updated in place; each change also makes the service's next set
 * (common/schema/schema_set.h), which rollouts name and agents fetch.
 */
#ifndef COORDINATOR_STORE_CONFIG_SCHEMAS_H
#define COORDINATOR_STORE_CONFIG_SCHEMAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/err.h"

struct pg;
struct rows;

/* Whoever writes configuration holds the schemas of its service from before it locks a scope until
 * its transaction ends; whoever changes them waits for those and keeps later ones out. So no write
 * that was judged by an old schema is committed after the new one. */
int schemas_hold(struct pg *pg, const char *service, struct err *e)
    __attribute__((warn_unused_result));
int schemas_lock(struct pg *pg, const char *service, struct err *e)
    __attribute__((warn_unused_result));

/* Texts are lent by the rows. */
struct schema_row {
    const char *service, *key, *body;
    uint64_t version;
    bool is_deleted;
    const char *change_description, *created_at, *created_by;
};
struct schema_row schema_row_at(const struct rows *rows, size_t row);
/* The version, or with 0 the newest: one row, or none when it was never written. */
int schemas_get(struct pg *pg, const char *service, const char *key, uint64_t version,
                struct rows **out, struct err *e) __attribute__((warn_unused_result));
/* Versions below `before` (0: all), newest first. */
int schemas_history(struct pg *pg, const char *service, const char *key, uint64_t before,
                    int64_t limit, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* Those that are there, ascending by service and key, after the given pair ("" from the start);
 * of one service when it is not "". */
struct places;
int schemas_list(struct pg *pg, const struct places *places, const char *service,
                 const char *after_service, const char *after_key, int64_t limit,
                 struct rows **out, struct err *e) __attribute__((warn_unused_result));

struct schema_new {
    const char *service, *key;
    const char *body; /* canonical JSON; NULL: it is deleted */
    const char *actor, *change_description;
    uint64_t version; /* the newest one plus 1 */
};
/* Append a version and make the next set, under schemas_lock. ERR_TOO_LARGE: the set. */
int schemas_append(struct pg *pg, const struct schema_new *n, struct err *e)
    __attribute__((warn_unused_result));

/* The set as it is now; the zero hash: there are no schemas. */
int schemas_newest_set(struct pg *pg, const char *service, struct hash *out, struct err *e)
    __attribute__((warn_unused_result));

/* What a revision of a scope wrote and has a schema, with the hash of that; then, when there is
 * one, the schema of the whole, without type and value. */
struct schema_case {
    const char *key, *value_type, *value;
    struct hash schema;
};
int schemas_cases(struct pg *pg, const char *service, int64_t scope_id, uint64_t revision,
                  struct rows **out, struct err *e) __attribute__((warn_unused_result));
struct schema_case schema_case_at(const struct rows *rows, size_t row);
/* The schema with that hash, malloc'ed. */
int schemas_body(struct pg *pg, const char *service, const char *key, const struct hash *hash,
                 char **out, struct err *e) __attribute__((warn_unused_result));

/* Scopes of a service: scope_id, environment, head, released. */
int schemas_scopes(struct pg *pg, const char *service, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* Does a revision above `since` and up to `until` write that key; SCHEMA_SET_WHOLE: any key? */
int schemas_is_written(struct pg *pg, int64_t scope_id, const char *key, uint64_t since,
                       uint64_t until, bool *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
