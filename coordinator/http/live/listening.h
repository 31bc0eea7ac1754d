/* listening.h - what a stream was allowed by: the token and its grants, and whether they still stand.
 *
 * A stream that was opened lives for hours: what its token may do is asked again when anything
 * about access changed, and ends by the clock when the token or a grant of it does. Whoever may do
 * something else than before is not judged here: the stream ends, its client comes back, and the
 * request is judged as every other.
 */
#ifndef COORDINATOR_HTTP_LIVE_LISTENING_H
#define COORDINATOR_HTTP_LIVE_LISTENING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "coordinator/store/access/tokens.h"

struct pg;

struct listening {
    char token[TOKEN_TEXT_SIZE];
    struct grants grants;
    int64_t until_ms; /* monotonic: when the token ends */
    int64_t began_ms; /* wall clock */
};

void listening_init(struct listening *l, const char *token, const struct token_owner *owner);
void listening_fini(struct listening *l);
/* Did the token or one of its grants end by the clock? */
bool listening_has_ended(const struct listening *l);
/* *out: the token is good and may do what it might before. -1: nobody could be asked. */
int listening_check(const struct listening *l, struct pg *pg, bool *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
