/* secret_reader.h - the thread that finds secrets for agents: read, unwrapped, made a message, gone.
 *
 * Wishes come from the loop, which has seen to it that the server may have the document; that the
 * document names the digest is seen to here. Answers are bodies of messages, ready to be sent. At
 * most SECRET_WISHES_MAX wishes wait, in turns by server, and SECRET_ANSWERS_MAX answers lie about;
 * what finds no place is dropped, and the agent asks again. Wishes for one secret that come to be
 * answered together cost one look and one unwrapping. Plain data keys exist in an answer and while
 * it is made, and are wiped.
 */
#ifndef COORDINATOR_STORE_LEADER_SECRET_READER_H
#define COORDINATOR_STORE_LEADER_SECRET_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/wire/wire.h"
#include "coordinator/store/leader/secret_wishes.h"

#define SECRET_WISHES_MAX 4096
#define SECRET_ANSWERS_MAX 256
#define SECRET_EVERYBODY UINT32_MAX

struct keyring;

struct secret_answer {
    enum wire_type type; /* WIRE_SECRET or WIRE_DESTROYED */
    uint32_t server;     /* SECRET_EVERYBODY: destroyed just now */
    uint64_t session;
    uint8_t *body; /* malloc'ed, the taker's: to be wiped */
    size_t size;
};

struct secret_reader;
struct secret_reader *secret_reader_start(const char *conninfo, struct keyring *keyring);
void secret_reader_stop(struct secret_reader *r); /* NULL is fine */
int secret_reader_fd(const struct secret_reader *r);
bool secret_reader_next(struct secret_reader *r, struct secret_answer *out);

void secret_reader_want(struct secret_reader *r, const struct secret_wish *wish);
/* Which of these are destroyed? Answered when some are. The newest list of each server waits. */
void secret_reader_check(struct secret_reader *r, uint32_t server, uint64_t session,
                         const struct wire_digests *kept);
/* What was destroyed lately and not told yet is told to everybody. */
void secret_reader_look(struct secret_reader *r);

#endif
