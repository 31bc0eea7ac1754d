/* rewrap_signing.c - seals clear signing secrets, a batch at a time. */
#include "coordinator/commands/rewrap_signing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/keyring/keyring.h"
#include "coordinator/store/access/signing.h"
#include "coordinator/store/access/subscriptions.h"
#include "coordinator/store/pg.h"

#define BATCH 100

struct batch {
    struct envelope sealed[BATCH];
    size_t count;
};

static void batch_fini(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        envelope_fini(&b->sealed[i]);
}

/* Before the transaction: it may ask another machine for every one. */
static int seal_rows(struct keyring *keyring, const struct rows *rows, struct batch *b,
                     struct err *e)
{
    while (b->count < rows_count(rows)) {
        struct signing_clear old = signing_clear_at(rows, b->count);
        struct envelope_place place = signing_place(old.service, old.environment,
                                                    old.subscription_id);
        SCOPED_SEAL_KEY struct seal_key key = { 0 };
        struct envelope_wrapped wrapped;

        if (keyring_new_key(keyring, &key, &wrapped, e) < 0)
            return -1;
        envelope_seal(&key, &wrapped, &place, old.secret, strlen(old.secret),
                      &b->sealed[b->count++]);
    }
    return 0;
}

/* The rows and their line in the audit trail, together or not at all. */
static int save(struct pg *pg, const struct rows *rows, const struct batch *b, uint64_t *count,
                struct err *e)
{
    bool is_sealed;

    *count = 0;
    if (pg_exec(pg, "BEGIN", e) < 0)
        return -1;
    for (size_t i = 0; i < b->count; i++) {
        if (signing_replace(pg, signing_clear_at(rows, i).subscription_id, &b->sealed[i],
                            &is_sealed, e) < 0)
            return -1;
        *count += is_sealed;
    }
    if (PG_QUERY(pg,
                 "SELECT audit_append('lockstepd', 'subscription.seal', NULL, NULL, NULL,"
                 " jsonb_build_object('subscriptions', $1::bigint), '', 'rewrap')",
                 NULL, e, PARAM_INT(*count)) < 0)
        return -1;
    return pg_exec(pg, "COMMIT", e);
}

static int seal_batch(struct keyring *keyring, struct pg *pg, const struct rows *rows,
                      uint64_t *count, struct err *e)
{
    struct batch b = { .count = 0 };
    int rc = seal_rows(keyring, rows, &b, e);

    if (rc == 0)
        rc = save(pg, rows, &b, count, e);
    batch_fini(&b);
    return rc;
}

int rewrap_signing(struct keyring *keyring, struct pg *pg, uint64_t *done, struct err *e)
{
    char after[SUBSCRIPTION_ID_SIZE] = "";

    for (;;) {
        SCOPED(rows_free) struct rows *rows = NULL;
        uint64_t count;

        if (signing_list_clear(pg, after, BATCH, &rows, e) < 0)
            return -1;
        if (rows_count(rows) == 0)
            return 0;
        snprintf(after, sizeof(after), "%s",
                 signing_clear_at(rows, rows_count(rows) - 1).subscription_id);
        if (seal_batch(keyring, pg, rows, &count, e) < 0)
            return -1;
        *done += count;
        printf("%" PRIu64 " signing secrets that lay in the clear are sealed\n", count);
    }
}
