/* config.h - handlers of single keys (read, write, delete, history), and what all writes share. */
#ifndef COORDINATOR_HTTP_CONFIG_CONFIG_H
#define COORDINATOR_HTTP_CONFIG_CONFIG_H

#include "coordinator/http/request/fields.h"
#include "coordinator/http/request/route.h"
#include "coordinator/service/conform.h"
#include "coordinator/store/config/config.h"

struct transaction;

route_handler config_get_key, config_put_key, config_delete_key, config_get_history,
    config_rollback_key;

/* Names of the path, checked, aliases resolved; nothing looked up. Texts are lent. */
int config_names_of(const struct request *rq, const char **service_out,
                    const char **environment_out, struct err *e)
    __attribute__((warn_unused_result));
/* The scope that the path names. */
int config_scope_of(const struct request *rq, struct scope *out, struct err *e)
    __attribute__((warn_unused_result));
/* ?NAME=: "head", "released" or a number up to the head; `preset` when absent. */
int config_revision_of(const struct request *rq, const char *name, const struct scope *scope,
                       uint64_t preset, uint64_t *out, struct err *e)
    __attribute__((warn_unused_result));

/* ?revision=, or ?server=NAME: what that server should run. Released when neither is given. */
int config_wanted_revision(const struct request *rq, const struct scope *scope, uint64_t *out,
                           struct err *e) __attribute__((warn_unused_result));

/* A value that a body gives for a key, bare or as {"config_value":…}; `marked` is the same node of
 * the body parsed by canon_parse, which keeps numbers as written. What is wrong is noted. The
 * change's text is malloc'ed; its key is left alone. */
void config_read_value(const struct fields *f, const char *name, struct json_t *value,
                       struct json_t *marked, struct config_change *out);
void config_read_object(const struct fields *f, struct json_t *marked, struct config_change *out);
#define CONFIG_OBJECT_FIELDS                                                                       \
    "config_value", "value_type", "description", "expected_version", "encrypt"

/* "base": true when the write stands on what is released, drafts set aside. */
bool config_read_base(const struct fields *f);
/* The keys whose draft gave way to such a write. */
struct json_t *config_dropped_json(const struct config_result *result);

/* How this request's writes are judged; what is wrong goes into the reply. */
struct conform config_conform(const struct request *rq, struct reply *re, conform_point_fn *point,
                              void *ctx);

/* What every write does after config_write: audit row, and where the environment releases by
 * itself the release and its rollout. rollout_out gets the public id, "" when none was opened. */
#define CONFIG_ROLLOUT_ID_SIZE 32
int config_settle(struct transaction *t, struct scope *scope, const char *action,
                  const struct config_write *write, const struct config_result *result,
                  char rollout_out[CONFIG_ROLLOUT_ID_SIZE], struct err *e)
    __attribute__((warn_unused_result));

/* A key at a revision; ERR_NOT_FOUND also when it is inherited and only own ones are asked for. */
int config_find_item(struct request *rq, const struct scope *scope, const char *key,
                     uint64_t revision, struct rows **rows, struct config_item *out, struct err *e)
    __attribute__((warn_unused_result));

/* A write failed. When that was for secrets that it has to have, they are fetched: true, begin
 * anew. false: it stays failed, with what stands in e. */
bool config_fetch_secrets(struct request *rq, struct config_result *result, struct err *e);

/* ?resolved=false: inherited keys are left out. */
bool config_is_own_only(const struct request *rq);

#endif
