/* item.h - a configuration key at a revision, as every handler shows it. */
#ifndef COORDINATOR_HTTP_REQUEST_ITEM_H
#define COORDINATOR_HTTP_REQUEST_ITEM_H

#include <stdint.h>

#include "common/err.h"
#include "coordinator/store/config/config.h"

#define ITEM_TAG_SIZE 48

struct json_t;
struct reply;
struct request;
struct rows;
struct scope;

/* Secrets as far as secret_values_fetch opened them; rq NULL: unseen. */
struct json_t *item_json(const struct request *rq, const struct scope *scope,
                         const struct config_item *item);
/* A row of config_diff: {"key","change","old","new",…}. */
struct json_t *item_difference_json(const struct rows *rows, size_t row);
/* The answer to a reader of the key, complete; a secret without its value, and private. */
void item_give(const struct scope *scope, const struct config_item *item, struct reply *re);

/* ERR_NOT_FOUND: the scope has no such key at this revision. */
int item_absent(const struct scope *scope, const char *key, uint64_t revision, struct err *e);
/* The same as the answer to a reader of what is released. */
void item_give_absent(const struct scope *scope, const char *key, struct reply *re);

/* The ETag of what is said: beside a draft, the version that is not released yet is said, too. The
 * version comes first: If-Match stands on that one. */
const char *item_tag(const struct config_item *item, char out[ITEM_TAG_SIZE]);

#endif
