/* passes.h - access tokens that were found good a moment ago, so that a read needs no database.
 *
 * A pass is good for a few seconds, and for no longer than nobody changed anything about access:
 * passes_drop forgets them all. Tokens are remembered by their SHA-256. Any thread.
 */
#ifndef COORDINATOR_HTTP_PASSES_H
#define COORDINATOR_HTTP_PASSES_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/store/tokens.h"

struct passes;
struct passes *passes_new(void);
void passes_free(struct passes *p);

/* Take this before the token is checked; a drop meanwhile makes the finding worthless. */
uint64_t passes_moment(struct passes *p);
void passes_keep(struct passes *p, const char *token, const struct token_owner *owner,
                 uint64_t moment);
bool passes_find(struct passes *p, const char *token, struct token_owner *out);
void passes_drop(struct passes *p);

#endif
