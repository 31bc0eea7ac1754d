/* secret_values.h - secrets in answers: who may read them, opened together, or why they are not there.
 *
 * What is read from the database has references (common/document/document.h). A handler says
 * which of them its answer would have to open (secret_values_want), has them opened in one go
 * (secret_values_fetch), and finds each (secret_values_find). Such an answer is for its caller
 * alone: nobody keeps a copy.
 */
#ifndef COORDINATOR_HTTP_REQUEST_SECRET_VALUES_H
#define COORDINATOR_HTTP_REQUEST_SECRET_VALUES_H

#include <stdbool.h>

#include "common/document/document.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/store/config/scopes.h"
#include "coordinator/store/config/sealing.h"

/* The request's memory of opened secrets, made when it is first asked for. */
struct sealing *secret_values_sealing(struct request *rq);

/* May who asks read the secrets of this scope? */
bool secret_values_may(const struct request *rq, const char *service, const char *environment);
/* Nothing when `value` is a plain one, or the caller may not read it. */
void secret_values_want(struct request *rq, const char *service, const char *environment,
                        const char *value);
/* Once for all that is wanted; marks the answer when there is something in it to hide. */
int secret_values_fetch(struct request *rq, struct reply *re, struct err *e)
    __attribute__((warn_unused_result));

/* What is to be said instead of a reference. */
enum secret_values_state {
    SECRET_VALUES_PLAIN,  /* it is none: the value itself */
    SECRET_VALUES_OPEN,   /* *text_out, lent */
    SECRET_VALUES_HIDDEN, /* not for this caller */
    SECRET_VALUES_AWAY,   /* *why_out: destroyed, the keyring is away, damaged */
};
enum secret_values_state secret_values_find(const struct request *rq, const char *service,
                                            const char *environment, const char *value,
                                            const char **text_out, const struct err **why_out);

/* Members "config_value" and, of a secret, "encrypted", "destroyed", "unavailable". rq NULL:
 * secrets stay unseen whoever asks. */
void secret_values_add(struct json_t *object, const char *member, const struct request *rq,
                       const char *service, const char *environment, const char *value);

/* Put the secrets of a document in the clear. What the caller may not read, and what was destroyed,
 * is taken out and listed in the header Lockstep-Left-Out. ERR_UNAVAILABLE: half a document is
 * none. */
int secret_values_document(struct request *rq, struct reply *re, const struct scope *scope,
                           struct document *d, struct err *e) __attribute__((warn_unused_result));

#endif
