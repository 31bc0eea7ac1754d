/* token_cache.h - access tokens that were found good a moment ago, so that a read needs no database.
 *
 * A pass is good for a few seconds, and no longer than until anything about access changes:
 * token_cache_drop ends them all. A while before its end one of those who need it is sent to ask
 * for a new one, and the others go on: everybody would wait for the database at once otherwise.
 * Tokens are remembered by their SHA-256. Passes are counted; any thread.
 */
#ifndef COORDINATOR_HTTP_REQUEST_TOKEN_CACHE_H
#define COORDINATOR_HTTP_REQUEST_TOKEN_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/store/access/tokens.h"

struct pass;
struct token_cache;
struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache *p);

/* Take this before the token is checked; a drop meanwhile makes the finding worthless. */
uint64_t token_cache_moment(struct token_cache *p);
void token_cache_keep(struct token_cache *p, const char *token, const struct token_owner *owner,
                      uint64_t moment);
/* The caller's to release; NULL: none that is good, or one to renew: whoever can ask (is_asking)
 * and gets NULL does. */
struct pass *token_cache_find(struct token_cache *p, const char *token, bool is_asking);
/* Is there a good one, be it to renew? The id of its token. */
bool token_cache_know(struct token_cache *p, const char *token, char id_out[TOKEN_ID_SIZE]);
void pass_release(struct pass *pass); /* NULL is fine */
bool token_cache_is_good(struct token_cache *p, const struct pass *pass,
                         int64_t now_ms); /* monotonic */
const struct token_owner *pass_owner(const struct pass *pass);
void token_cache_drop(struct token_cache *p);

#endif
