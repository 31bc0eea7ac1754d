/* secret_answers.h - what agents ask about secrets becomes the bodies of the messages they get.
 *
 * The document that a wish names must name the digest, as a value of its own: documents are looked
 * at once and the digests of the newest few are remembered. No error that is sent or logged holds
 * anything of a value or a key.
 */
#ifndef COORDINATOR_STORE_LEADER_SECRET_ANSWERS_H
#define COORDINATOR_STORE_LEADER_SECRET_ANSWERS_H

#include "coordinator/store/leader/secret_reader.h"

struct pg;

/* Takes answer->body. */
typedef void secret_answer_fn(void *ctx, const struct secret_answer *answer);

struct secret_answers;
struct secret_answers *secret_answers_new(struct keyring *keyring, secret_answer_fn *put,
                                          void *ctx);
void secret_answers_free(struct secret_answers *a);

/* One answer each; pg NULL: the database is away, and so is what they wish for. */
void secret_answers_give(struct secret_answers *a, struct pg *pg,
                         const struct secret_wish *wishes, unsigned count);
/* An answer when some of them are destroyed. */
void secret_answers_check(struct secret_answers *a, struct pg *pg, uint32_t server,
                          uint64_t session, const struct hash *digests, size_t count);
/* An answer to everybody about what was destroyed lately and not told before. */
void secret_answers_look(struct secret_answers *a, struct pg *pg);

#endif
