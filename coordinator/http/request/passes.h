/* passes.h - access tokens that were found good a moment ago, so that a read needs no database.
 *
 * A pass is good for a few seconds, and no longer than until anything about access changes:
 * passes_drop ends them all. A while before its end one of those who need it is sent to ask for a
 * new one, and the others go on: everybody would wait for the database at once otherwise. Tokens
 * are remembered by their SHA-256. Passes are counted; any thread.
 */
#ifndef COORDINATOR_HTTP_REQUEST_PASSES_H
#define COORDINATOR_HTTP_REQUEST_PASSES_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/store/access/tokens.h"

struct pass;
struct passes;
struct passes *passes_new(void);
void passes_free(struct passes *p);

/* Take this before the token is checked; a drop meanwhile makes the finding worthless. */
uint64_t passes_moment(struct passes *p);
void passes_keep(struct passes *p, const char *token, const struct token_owner *owner,
                 uint64_t moment);
/* The caller's to release; NULL: none that is good, or one to renew: whoever can ask (is_asking)
 * and gets NULL does. */
struct pass *passes_find(struct passes *p, const char *token, bool is_asking);
/* Is there a good one, be it to renew? The id of its token. */
bool passes_know(struct passes *p, const char *token, char id_out[TOKEN_ID_SIZE]);
void pass_release(struct pass *pass); /* NULL is fine */
bool passes_is_good(struct passes *p, const struct pass *pass, int64_t now_ms); /* monotonic */
const struct token_owner *pass_owner(const struct pass *pass);
void passes_drop(struct passes *p);

#endif
