/* chain.c - follows the hashes of the audit trail. */
#include "coordinator/cli/chain.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/digest.h"

#define SEED "lockstep audit 1"
#define FIELDS 11

int chain_begin(struct chain *c, uint64_t head, const char *head_hash, const char *anchor,
                struct err *e)
{
    char *end;

    *c = (struct chain){ .next = head };
    if (hash_from_hex(head_hash, &c->wanted) < 0)
        return err_set(e, ERR_CORRUPT, "the head has no hash");
    if (!anchor)
        return 0;
    c->anchor = strtoull(anchor, &end, 10);
    if (end == anchor || *end != ':' || !c->anchor || hash_from_hex(end + 1, &c->anchor_hash) < 0)
        return err_set(e, ERR_MALFORMED, "an anchor is NUMBER:HASH, as audit verify printed it");
    if (c->anchor > head)
        return err_set(e, ERR_CORRUPT,
                       "the trail ends with %" PRIu64 ", before the anchor %" PRIu64
                       ": its tail was cut", head, c->anchor);
    return 0;
}

#define ACTION 4
#define DATA 8

/* Newest first: the first one counts. */
static void note_cut(struct chain *c, const json_t *row)
{
    const char *action = json_string_value(json_array_get(row, ACTION));
    const json_t *data = json_array_get(row, DATA), *number = json_object_get(data, "number");
    const char *hash = json_string_value(json_object_get(data, "hash"));

    if (c->cut || !action || strcmp(action, "audit.cut") != 0 || !json_is_number(number) || !hash ||
        hash_from_hex(hash, &c->cut_hash) < 0)
        return;
    c->cut = (uint64_t)json_number_value(number);
}

static int read_row(struct chain *c, const char *canonical, uint64_t *number,
                    struct hash *previous)
{
    json_t *row = json_loads(canonical, JSON_DECODE_INT_AS_REAL, NULL);
    json_t *first = json_array_get(row, 0);
    const char *last = json_string_value(json_array_get(row, FIELDS - 1));
    int rc = json_array_size(row) == FIELDS && json_is_number(first) && last &&
                     hash_from_hex(last, previous) == 0
                 ? 0
                 : -1;

    *number = json_is_number(first) ? (uint64_t)json_number_value(first) : 0;
    if (rc == 0)
        note_cut(c, row);
    json_decref(row);
    return rc;
}

int chain_add(struct chain *c, const char *canonical, struct err *e)
{
    struct hash hash, previous;
    uint64_t number;

    if (read_row(c, canonical, &number, &previous) < 0)
        return err_set(e, ERR_CORRUPT, "row %" PRIu64 " has no canonical form", c->next);
    if (number != c->next)
        return err_set(e, ERR_CORRUPT, "row %" PRIu64 " is missing: %" PRIu64
                       " stands in its place", c->next, number);
    digest_sha256(canonical, strlen(canonical), &hash);
    if (!hash_equal(&hash, &c->wanted))
        return err_set(e, ERR_CORRUPT, "row %" PRIu64 " is not what the row after it, or the head, "
                       "has the hash of: one of them was changed", number);
    if (number == c->anchor && !hash_equal(&hash, &c->anchor_hash))
        return err_set(e, ERR_CORRUPT, "row %" PRIu64 " is not the one of the anchor: the trail "
                       "was written anew", number);
    c->wanted = previous;
    c->next--;
    c->rows++;
    return 0;
}

int chain_end(const struct chain *c, struct err *e)
{
    struct hash seed;

    if (c->cut && c->anchor && c->anchor <= c->cut)
        return err_set(e, ERR_MALFORMED, "the row of the anchor is no longer kept: the trail was "
                       "cut up to %" PRIu64 "; give a newer anchor", c->cut);
    if (c->cut && c->next == c->cut)
        return hash_equal(&c->cut_hash, &c->wanted)
                   ? 0
                   : err_set(e, ERR_CORRUPT, "the first row that is left does not continue the one "
                             "that was cut last");
    if (c->next)
        return err_set(e, ERR_CORRUPT, "row %" PRIu64 " and those before it are missing", c->next);
    digest_sha256(SEED, strlen(SEED), &seed);
    if (!hash_equal(&seed, &c->wanted))
        return err_set(e, ERR_CORRUPT, "the first row does not begin the chain");
    return 0;
}
