/* reveal.h - secrets in answers: who may read them, opened together, or why they are not there.
 *
 * What is read from the database has references (common/document/document.h). A handler says
 * which of them its answer would have to open (reveal_want), has them opened in one go
 * (reveal_fetch), and finds each (reveal_find). Such an answer is for its caller alone: nobody
 * keeps a copy.
 */
#ifndef COORDINATOR_HTTP_REQUEST_REVEAL_H
#define COORDINATOR_HTTP_REQUEST_REVEAL_H

#include <stdbool.h>

#include "common/document/document.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/store/config/scopes.h"
#include "coordinator/store/config/sealing.h"

/* The request's memory of opened secrets, made when it is first asked for. */
struct sealing *reveal_sealing(struct request *rq);

/* May who asks read the secrets of this scope? */
bool reveal_may(const struct request *rq, const char *service, const char *environment);
/* Nothing when `value` is a plain one, or the caller may not read it. */
void reveal_want(struct request *rq, const char *service, const char *environment,
                 const char *value);
/* Once for all that is wanted; marks the answer when there is something in it to hide. */
int reveal_fetch(struct request *rq, struct reply *re, struct err *e)
    __attribute__((warn_unused_result));

/* What is to be said instead of a reference. */
enum reveal_state {
    REVEAL_PLAIN,  /* it is none: the value itself */
    REVEAL_OPEN,   /* *text_out, lent */
    REVEAL_HIDDEN, /* not for this caller */
    REVEAL_AWAY,   /* *why_out: destroyed, the keyring is away, damaged */
};
enum reveal_state reveal_find(const struct request *rq, const char *service,
                              const char *environment, const char *value, const char **text_out,
                              const struct err **why_out);

/* Members "config_value" and, of a secret, "encrypted", "destroyed", "unavailable". rq NULL:
 * secrets stay unseen whoever asks. */
void reveal_add(struct json_t *object, const char *member, const struct request *rq,
                const char *service, const char *environment, const char *value);

/* Put the secrets of a document in the clear. What the caller may not read, and what was destroyed,
 * is taken out and listed in the header Lockstep-Left-Out. ERR_UNAVAILABLE: half a document is
 * none. */
int reveal_document(struct request *rq, struct reply *re, const struct scope *scope,
                    struct document *d, struct err *e) __attribute__((warn_unused_result));

#endif
