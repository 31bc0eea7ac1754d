/* secrets.h - the secrets that this server's documents name: got, kept sealed, opened, shredded.
 *
 * A document holds references; agent_document gives it as it is. Envelopes come from the
 * coordinator when a document is staged, and lie in the cache with their data keys wrapped under
 * the agent's own key (own_key.h). They are opened at the last moment, into files, and wiped.
 *
 * A destroyed secret leaves a mark: what names it is not applied again, and says why. What runs
 * stays until the next change. Errors about secrets carry the code "secret".
 */
#ifndef AGENT_TASKS_SECRETS_H
#define AGENT_TASKS_SECRETS_H

#include "agent/link/secret_fetch.h"
#include "agent/tasks/agent.h"

/* Own key and cache; secrets that the key does not open are dropped, said, and fetched again. */
int secrets_open(struct agent *a, struct err *e) __attribute__((warn_unused_result));
void secrets_close(struct agent *a);

/* As agent_document, with every secret in it opened. */
int secrets_document(struct agent *a, const struct content *content, struct document **out,
                     struct err *e) __attribute__((warn_unused_result));

/* The first secret of a document in the cache that is not here: fetching begins and is asked for.
 * 1: begun; 0: all are here; -1: one is destroyed, or the document is not to be read. */
int secrets_fetch_next(struct agent *a, const struct hash *document, struct secret_fetch *f,
                       struct err *e) __attribute__((warn_unused_result));
/* Asks again when it is time to; -1: asked long enough. */
int secrets_fetch_step(struct agent *a, struct secret_fetch *f, int64_t now_ms, struct err *e)
    __attribute__((warn_unused_result));
/* What came; DONE: it is in the cache now. */
enum secret_result secrets_fetch_take(struct agent *a, struct secret_fetch *f,
                                      const struct wire_secret *piece, struct err *e);

/* Between rollouts: what promises name and is not here is fetched; destroyed ones are asked for. */
void secrets_step(struct agent *a, int64_t now_ms);
void secrets_welcomed(struct agent *a);
void secrets_take(struct agent *a, const struct wire_secret *piece);
void secrets_destroy(struct agent *a, const struct wire_digests *destroyed);
/* A promise changed: in a moment what nothing names is dropped, and what is missing fetched. */
void secrets_saved(struct agent *a);

/* command_reason without the secrets of the scope's contents and of `content`. */
void secrets_reason(struct agent *a, unsigned scope, const struct content *content,
                    const struct command *command, const char *what, char *out, size_t size);

#endif
