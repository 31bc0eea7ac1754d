/* sealing.h - what a request needs of the keyring: noted inside a transaction, fetched outside.
 *
 * Wrapping and unwrapping may ask another machine, and nobody waits for one while he holds a
 * scope. So who works inside a transaction looks here, notes what is missing and gives up; between
 * two attempts sealing_fetch gets it. Values and keys are wiped in the end. Of one request, one
 * thread.
 */
#ifndef COORDINATOR_STORE_CONFIG_SEALING_H
#define COORDINATOR_STORE_CONFIG_SEALING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/crypto/envelope.h"
#include "common/err.h"
#include "common/name.h"
#include "common/scoped.h"

struct keyring;
struct pg;

struct sealing;
struct sealing *sealing_new(void);
void sealing_free(struct sealing *s);
SCOPED_FREE(struct sealing, sealing_free)

struct sealed_value {
    char digest[ENVELOPE_DIGEST_SIZE];
    char *text; /* the plain value; NULL: why says why not (ERR_GONE: it was destroyed) */
    size_t size;
    struct err why;
    char scope[SCOPE_BUFFER]; /* SERVICE/ENV that it is sealed to */
    bool is_made; /* by this request */
};
/* NULL: it is not known here, and wanted from now on. Lent until the next call. */
const struct sealed_value *sealing_find(struct sealing *s, const char *digest);
/* The same without wanting it. */
const struct sealed_value *sealing_look(const struct sealing *s, const char *digest);
/* So many fresh data keys are needed at once. */
void sealing_want_keys(struct sealing *s, size_t count);
bool sealing_is_wanting(const struct sealing *s);

/* Get what is wanted, in no transaction. A value that cannot be had says so itself; -1: the
 * database failed, or there are no data keys (secrets_unavailable). */
int sealing_fetch(struct sealing *s, struct keyring *keyring, struct pg *pg, struct err *e)
    __attribute__((warn_unused_result));

/* Seal a value under one of the data keys that were fetched. It is remembered. */
void sealing_seal(struct sealing *s, const struct envelope_place *place, const char *text,
                  size_t size, struct envelope *out);

#endif
