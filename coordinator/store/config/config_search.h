/* config_search.h - looking keys up by list and by pattern, over several scopes. */
#ifndef COORDINATOR_STORE_CONFIG_CONFIG_SEARCH_H
#define COORDINATOR_STORE_CONFIG_CONFIG_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/store/config/config.h"
#include "coordinator/store/places.h"

/* Keys of a scope as released, in one query that sees one moment: those of `keys` when `revision`
 * is the released one; else all. *scope has the names, and is filled in. Rows are of those that
 * are there, in the order of their list (config_item_at); none at all is one row whose key is
 * NULL. */
struct config_rest {
    uint64_t revision;
    const char *const *keys, *const *all;
    size_t count, all_count;
};
int config_get_rest(struct pg *pg, const struct config_rest *rest, struct scope *scope,
                    struct rows **out, struct err *e) __attribute__((warn_unused_result));

/* Patterns are globs: * stands for any text, ? for one character; "" for everything. */
struct config_search {
    const char *key, *service, *environment;
    bool is_head; /* look at the heads; else at what is released */
    const char *after_service, *after_environment, *after_key; /* the last one seen; "" none */
    const struct places *places; /* where who asks may read */
    int64_t limit;
};
struct config_found {
    struct config_item item; /* lent by the rows, as the next */
    const char *service, *environment;
};
/* Ascending by service, environment and key. */
int config_search(struct pg *pg, const struct config_search *q, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
struct config_found config_found_at(const struct rows *rows, size_t row);

#endif
