/* scope_write.h - one write of many keys, shared by the handlers that make such writes. */
#ifndef COORDINATOR_HTTP_CONFIG_SCOPE_WRITE_H
#define COORDINATOR_HTTP_CONFIG_SCOPE_WRITE_H

#include "coordinator/http/config/config.h"
#include "coordinator/service/conform.h"

route_handler scope_write_post, scope_write_validate, scope_write_rollback;

#define SCOPE_WRITE_MAX 20000

struct scope_write {
    const char *service, *environment, *action;
    bool is_dry_run;
    size_t count;
    struct config_change *changes; /* texts are malloc'ed */
    bool *is_object; /* given as {"config_value":…}: where problems point */
    struct config_write write;
    struct config_result result;
    struct scope scope;
    char rollout[CONFIG_ROLLOUT_ID_SIZE];
    /* Finds the changes when the scope is locked, anew at every attempt (scope_write_clear
     * first); NULL: they are there already. */
    int (*fill)(struct request *rq, struct scope_write *m, struct err *e);
};
/* Without changes again. */
void scope_write_clear(struct scope_write *m);
void scope_write_fini(struct scope_write *m);
/* From the body of a request: set and delete. */
int scope_write_read(struct request *rq, struct reply *re, struct scope_write *m, struct err *e)
    __attribute__((warn_unused_result));
/* What config_write or config_look found wrong, where the body says it. */
void scope_write_note_problems(struct reply *re, const struct scope_write *m, const struct err *e);
/* conform_point_fn; ctx is the struct scope_write. */
void scope_write_point(void *ctx, const char *key, char out[CONFORM_POINTER_SIZE]);
/* In one transaction; nothing is left of a dry run. */
int scope_write_run(struct request *rq, struct reply *re, struct scope_write *m, struct err *e)
    __attribute__((warn_unused_result));
int scope_write_reply(struct reply *re, const struct scope_write *m);

#endif
