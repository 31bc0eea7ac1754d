/* consumers.h - processes that registered as consumers of a scope, and what each says it runs.
 *
 * They speak over a SOCK_SEQPACKET socket in the publish folder (agent/client/report.h). Who they
 * are is what the kernel says: root, the agent's own user and those whom consumer_users of the
 * scope names may register. To read a scope is no right to hold up its changes, and one user has at
 * most half of the places. A consumer counts for as long as its connection lives. Nobody can make
 * the agent wait: what cannot be read or written at once is left.
 */
#ifndef AGENT_PUBLISH_CONSUMERS_H
#define AGENT_PUBLISH_CONSUMERS_H

#include "agent/settings/settings.h"
#include "common/crypto/hash.h"
#include "common/err.h"

#define CONSUMERS_USER_MAX (AGENT_CONSUMERS_MAX / 2) /* of one user */

struct consumers;

/* May a process of this user confirm? `users`: the consumer_users of the scope. For local HTTP,
 * too, from any thread. */
bool consumers_may(const uid_t *users, unsigned count, uid_t uid);

int consumers_open(const char *publish_dir, struct consumers **out, struct err *e)
    __attribute__((warn_unused_result));
void consumers_close(struct consumers *c);
/* Readable when there is something to do for consumers_step. */
int consumers_fd(const struct consumers *c);
/* Takes in whoever came, spoke or left. True: somebody did. */
bool consumers_step(struct consumers *c, const struct agent_settings *settings);
unsigned consumers_count(const struct consumers *c, const char *scope);

/* What the registered consumers of a scope make of a content. */
struct consumers_tally {
    unsigned registered, confirmed, needed;
    bool is_refused;  /* one said that it cannot run it */
    char reason[600]; /* which and why; or whose word is missing */
};

/* `expected`: processes that were registered before the agent's restart and may come back.
 * is_revert: whoever never confirmed anything is not waited for, and a refusal is no news. */
void consumers_judge(const struct consumers *c, const struct agent_scope *scope,
                     const struct hash *hash, unsigned expected, bool is_revert,
                     struct consumers_tally *out);

/* Once, when it begins: a word about a content of before does not count for the new one. */
void consumers_forget_refusals(struct consumers *c, const char *scope);

#endif
