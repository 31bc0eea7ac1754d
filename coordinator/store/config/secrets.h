/* secrets.h - statements about the envelopes of secrets and their data keys.
 *
 * A version of a secret has a reference to its envelope for a value
 * (common/document/document.h). The envelope stays sealed to the scope, key and version that it
 * was written for; versions that are put back, and the children of the scope, refer to the same
 * one. Its data key lies in a row of its own, which rewrapping changes and destroying removes.
 *
 * Everything but secrets_open is a statement and asks no keyring. secrets_open may ask another
 * machine: outside of transactions, on HTTP and store threads.
 */
#ifndef COORDINATOR_STORE_CONFIG_SECRETS_H
#define COORDINATOR_STORE_CONFIG_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/envelope.h"
#include "common/err.h"

struct keyring;
struct pg;
struct rows;

/* One envelope and where it belongs. Of a destroyed one the digest and the place alone count. */
struct secret {
    char digest[ENVELOPE_DIGEST_SIZE];
    bool is_destroyed;
    char *service, *environment, *key; /* malloc'ed */
    uint64_t version;
    struct envelope envelope;
};
/* Zero-initialise with {0}. */
struct secrets {
    size_t count;
    struct secret *items;
};
void secrets_fini(struct secrets *s);
static inline void secrets_fini_scoped(struct secrets *s)
{
    secrets_fini(s);
}
#define SCOPED_SECRETS __attribute__((cleanup(secrets_fini_scoped)))

/* Lent by the secret: for envelope_open, here or on an agent. */
struct envelope_place secret_place(const struct secret *s);

/* Of the columns iv, tag, ciphertext, key_id and wrapped_key, the first of them at `column`.
 * false: damaged. Release *out in either case. */
bool secrets_envelope_at(const struct rows *rows, size_t row, int column, struct envelope *out);

/* Those of the digests that there are, in any order, each once. */
int secrets_find(struct pg *pg, const char *const *digests, size_t count, struct secrets *out,
                 struct err *e) __attribute__((warn_unused_result));

/* Is there a secret among the keys that differ between two revisions? */
int secrets_differ(struct pg *pg, int64_t scope_id, uint64_t from, uint64_t to, bool *out,
                   struct err *e) __attribute__((warn_unused_result));

/* The plain data key. ERR_GONE secret_destroyed; else as keyring_unwrap. */
int secret_unwrap(const struct secret *s, struct keyring *keyring, struct seal_key *data_key_out,
                  struct err *e) __attribute__((warn_unused_result));
/* The value itself; release it with seal_free. */
int secret_open(const struct secret *s, struct keyring *keyring, char **value_out,
                size_t *size_out, struct err *e) __attribute__((warn_unused_result));

/* What was destroyed does not come back: ERR_GONE secret_destroyed when the value (a plain one is
 * fine), or one that a revision wrote, refers to a destroyed secret. */
int secrets_check_live(struct pg *pg, const char *value, struct err *e)
    __attribute__((warn_unused_result));
int secrets_check_revision(struct pg *pg, int64_t scope_id, uint64_t revision, struct err *e)
    __attribute__((warn_unused_result));

/* ---------------------------------------------------------------- writing */

/* Inside the transaction that writes the version which refers to it. */
int secrets_append(struct pg *pg, int64_t scope_id, const char *digest,
                   const struct envelope_place *place, const struct envelope *envelope,
                   struct err *e) __attribute__((warn_unused_result));

/* ---------------------------------------------------------------- rewrapping */

/* A data key: of a secret, by its digest, or of a signing secret (signing.h), by the id of the
 * subscription. */
struct secret_key {
    char of[ENVELOPE_DIGEST_SIZE];
    struct envelope_wrapped wrapped;
};
/* Data keys that are not wrapped under `newest`, ascending by what they are of from after `after`
 * ("" the first); at most `limit`. */
int secret_keys_due(struct pg *pg, const char *newest, const char *after, int64_t limit,
                    struct rows **out, struct err *e) __attribute__((warn_unused_result));
int secret_key_at(const struct rows *rows, size_t row, struct secret_key *out, struct err *e)
    __attribute__((warn_unused_result));
/* One statement. Rows that changed since they were read, or are gone, are left alone. */
int secret_keys_replace(struct pg *pg, const struct secret_key *old,
                        const struct envelope_wrapped *wrapped, size_t count, size_t *replaced_out,
                        struct err *e) __attribute__((warn_unused_result));

/* One data key for every key-encryption key that wraps some. */
int secret_keys_samples(struct pg *pg, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* Does the keyring open all of them? A key file of the right form may hold the keys of somebody
 * else. Asks the keyring; -1 names the key that it lacks. */
int secret_keys_try(const struct rows *samples, struct keyring *keyring, struct err *e)
    __attribute__((warn_unused_result));
/* The same with several data keys of each: one alone may be damaged. */
int secret_keys_several(struct pg *pg, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* Of several. 1: the keyring works, and opens none of them: it is that of another cluster, and what
 * it wrapped here nobody else could read. *e says so. 0: it lacks an older key at most, or some
 * data keys are damaged. -1: nobody can say. Asks the keyring. */
int secret_keys_are_foreign(const struct rows *several, struct keyring *keyring, struct err *e)
    __attribute__((warn_unused_result));
/* Asked before anything is wrapped: -1 when it is another keyring (secrets_unavailable). Asks the
 * keyring, outside of transactions. */
int secret_keys_compare(struct pg *pg, struct keyring *keyring, struct err *e)
    __attribute__((warn_unused_result));

struct secret_counts {
    uint64_t secrets, destroyed; /* versions of keys */
    uint64_t data_keys, due;     /* due: not under `newest` */
    uint64_t clear;              /* signing secrets that are not sealed */
};
/* newest "": nothing counts as due. */
int secrets_count(struct pg *pg, const char *newest, struct secret_counts *out, struct err *e)
    __attribute__((warn_unused_result));

/* ---------------------------------------------------------------- destroying */

/* Secret versions of a key: version, digest, whether it is destroyed, and SERVICE/ENV of the scope
 * that it is sealed to when that is another one. Those of `versions` that are plain, deleted or not
 * there have no row; others that share an envelope with one have. */
int secrets_of_versions(struct pg *pg, int64_t scope_id, const char *key, const int64_t *versions,
                        size_t count, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* Who still needs one of these: rows of version (in that scope), scope, and a reason such as
 * "is released", "rollout r-1 is open", "2 servers run it". At most 20. */
int secrets_needed(struct pg *pg, const char *const *digests, size_t count, struct rows **out,
                   struct err *e) __attribute__((warn_unused_result));
/* Shred the data keys; inside a transaction. How many were still there. */
int secrets_destroy(struct pg *pg, const char *const *digests, size_t count, size_t *count_out,
                    struct err *e) __attribute__((warn_unused_result));

#endif
