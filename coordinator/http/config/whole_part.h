/* whole_part.h - one write of many keys, shared by the handlers that make such writes. */
#ifndef COORDINATOR_HTTP_CONFIG_WHOLE_PART_H
#define COORDINATOR_HTTP_CONFIG_WHOLE_PART_H

#include "coordinator/http/config/config.h"
#include "coordinator/http/config/whole.h"
#include "coordinator/service/conform.h"

#define WHOLE_CHANGES_MAX 20000

struct many {
    const char *service, *environment, *action;
    bool is_dry_run;
    size_t count;
    struct config_change *changes; /* texts are malloc'ed */
    bool *is_object; /* given as {"config_value":…}: where problems point */
    struct config_write write;
    struct config_result result;
    struct scope scope;
    char rollout[CONFIG_ROLLOUT_ID_SIZE];
    /* Finds the changes when the scope is locked, anew at every attempt (many_clear first); NULL:
     * they are there already. */
    int (*fill)(struct request *rq, struct many *m, struct err *e);
};
/* Without changes again. */
void many_clear(struct many *m);
void many_fini(struct many *m);
/* From the body of a request: set and delete. */
int many_read(struct request *rq, struct reply *re, struct many *m, struct err *e)
    __attribute__((warn_unused_result));
/* What config_write or config_look found wrong, where the body says it. */
void many_note_problems(struct reply *re, const struct many *m, const struct err *e);
/* conform_point_fn; ctx is the struct many. */
void many_point(void *ctx, const char *key, char out[CONFORM_POINTER_SIZE]);
/* In one transaction; nothing is left of a dry run. */
int many_write(struct request *rq, struct reply *re, struct many *m, struct err *e)
    __attribute__((warn_unused_result));
int many_reply(struct reply *re, const struct many *m);

#endif
