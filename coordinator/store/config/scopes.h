/* scopes.h - finding, creating and locking scopes; listing them; environments' policies. */
#ifndef COORDINATOR_STORE_CONFIG_SCOPES_H
#define COORDINATOR_STORE_CONFIG_SCOPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/name.h"

struct pg;
struct rows;

struct scope {
    int64_t scope_id;
    char service[NAME_BUFFER], environment[NAME_BUFFER];
    uint64_t head;
    uint64_t released; /* what readers get */
    uint64_t settled;  /* what its servers were told to run in the end: at most released */
    uint64_t oldest;   /* revisions below are no longer kept */
};
/* Can what the scope was at this revision still be told? ERR_NOT_FOUND unknown_revision. */
int scope_check_kept(const struct scope *scope, uint64_t revision, struct err *e)
    __attribute__((warn_unused_result));

/* How many scopes there may be: what a leader holds ([limits] scopes). A scope is made by its first
 * write or by a server that reads it; one too many is refused (ERR_CONFLICT limit_reached). Before
 * other threads begin. */
void scopes_set_limit(int64_t max);
int64_t scopes_limit(void);
/* One that was made when the limit was higher: a leader could not roll it out. */
int scopes_check_held(struct pg *pg, const struct scope *scope, struct err *e)
    __attribute__((warn_unused_result));

/* Always -1: ERR_NOT_FOUND unknown_scope. */
int scopes_unknown(const char *service, const char *environment, struct err *e);
/* The same when there is none. */
int scopes_find(struct pg *pg, const char *service, const char *environment, struct scope *out,
                struct err *e) __attribute__((warn_unused_result));
/* The same inside a transaction, holding the row; with is_creating it is made when it is not
 * there (ERR_NOT_FOUND unknown_environment when that cannot be). Whoever makes one lets others that
 * make one wait until its end. */
int scopes_lock(struct pg *pg, const char *service, const char *environment, bool is_creating,
                struct scope *out, struct err *e) __attribute__((warn_unused_result));

/* The same, with all scopes that inherit from it, in the order of their ids. */
int scopes_lock_to_write(struct pg *pg, const char *service, const char *environment,
                         bool is_creating, struct scope *out, struct err *e)
    __attribute__((warn_unused_result));

/* Readers get this revision from now on, and subscribers are told, in the caller's transaction,
 * which holds the scope. An older one than they get already changes nothing. */
int scopes_release(struct pg *pg, struct scope *scope, uint64_t revision, struct err *e)
    __attribute__((warn_unused_result));

/* scope_id and released, by scope_id. */
int scopes_released(struct pg *pg, const int64_t *scope_ids, size_t count, struct rows **out,
                    struct err *e) __attribute__((warn_unused_result));

/* GET /services, ascending by service and environment after the given pair ("" from the start). */
struct scope_summary {
    const char *service, *environment; /* lent by the rows, as the next */
    const char *rollout;               /* public id of the open one, "" none */
    uint64_t head, released, settled, drafts, servers;
};
struct places;
int scopes_list(struct pg *pg, const struct places *places, const char *after_service,
                const char *after_environment, int64_t limit, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
struct scope_summary scopes_at(const struct rows *rows, size_t row);

#endif
