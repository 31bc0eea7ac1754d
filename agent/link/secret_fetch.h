/* secret_fetch.h - one secret on its way here, piece by piece: asked for, sealed, verified. Pure.
 *
 * The data key comes plain with the first piece and is wrapped under the agent's own key before
 * anything else happens. What is complete must have the digest that the document says and open at
 * its place. A coordinator that cannot read it now ("away") is asked again for as long as the
 * caller has patience: an operator's key-encryption key may come back. Then its reason is the
 * reason.
 */
#ifndef AGENT_LINK_SECRET_FETCH_H
#define AGENT_LINK_SECRET_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/cache/own_key.h"
#include "agent/cache/record.h"
#include "common/buffer.h"
#include "common/err.h"
#include "common/wire/wire.h"

#define SECRET_FETCH_PATIENCE_MS 20000 /* unless the caller says otherwise */

struct secret_fetch {
    bool is_on, is_begun; /* the first piece has come */
    struct hash document, digest;
    char key[DOCUMENT_KEY_MAX + 1]; /* of the document, for sentences */
    struct kept_secret got;
    uint32_t total;
    struct buffer content;
    int64_t ask_ms, wait_ms, away_ms, patience_ms;
    char reason[WIRE_REFUSAL_MAX + 1]; /* of the newest "away" */
};

enum secret_result { SECRET_IGNORED, SECRET_MORE, SECRET_DONE, SECRET_FAILED };

void secret_fetch_begin(struct secret_fetch *f, const struct hash *document,
                        const struct hash *digest, const char *key);
void secret_fetch_end(struct secret_fetch *f);
/* A new session: ask at once. */
void secret_fetch_wake(struct secret_fetch *f);
/* True: send `ask` now; counted as sent. */
bool secret_fetch_is_due(struct secret_fetch *f, int64_t now_ms, struct wire_ask *ask);
/* It was "away" for too long: the reason, code "secret". */
bool secret_fetch_is_over(const struct secret_fetch *f, int64_t now_ms, struct err *e);

/* DONE: f->got is whole and proven. FAILED: it is not to be had, code "secret" or, when the
 * coordinator says that it is destroyed, "secret_destroyed". */
enum secret_result secret_fetch_take(struct secret_fetch *f, const struct wire_secret *piece,
                                     const struct own_keys *keys, int64_t now_ms, struct err *e);

#endif
