/* chain.h - follows the hashes of the audit trail from its head back to its first row, pure.
 *
 * The canonical form of a row is a JSON array: its number first, the hash of the row before last;
 * the hash of a row is the SHA-256 of that text (`lockstepd` documents it with its audit trail).
 * Where old rows are no longer kept, the newest row audit.cut has number and hash of the last one
 * that is gone, and the chain goes back to there.
 */
#ifndef CLI_CHAIN_H
#define CLI_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/err.h"

struct chain {
    uint64_t next; /* the number that must come now; 0: the beginning is reached */
    struct hash wanted; /* its hash */
    uint64_t anchor; /* 0: none */
    struct hash anchor_hash;
    uint64_t cut; /* what was cut off last ends with this row; 0: nothing was */
    struct hash cut_hash;
    uint64_t rows;
};

/* From the head; anchor "NUMBER:HASH" or NULL. ERR_MALFORMED: it is none; ERR_CORRUPT: the trail
 * ends before it. */
int chain_begin(struct chain *c, uint64_t head, const char *head_hash, const char *anchor,
                struct err *e) __attribute__((warn_unused_result));
/* The next row, newest first. ERR_CORRUPT says what is wrong with it. */
int chain_add(struct chain *c, const char *canonical, struct err *e)
    __attribute__((warn_unused_result));
/* No row is left: -1 when one should be. */
int chain_end(const struct chain *c, struct err *e) __attribute__((warn_unused_result));

#endif
