/* rewrap.c - wraps data keys anew, a batch at a time. */
#include "coordinator/commands/rewrap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "coordinator/commands/rewrap_signing.h"
#include "coordinator/commands/secrets.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/settings/settings.h"
#include "coordinator/store/config/secrets.h"
#include "coordinator/store/pg.h"

#define BATCH 200
#define TOLD_MAX 10 /* failures that are told one by one */

struct rewrap {
    struct keyring *keyring;
    struct pg *pg;
    char newest[ENVELOPE_KEY_ID_SIZE];
    char after[ENVELOPE_DIGEST_SIZE];
    struct secret_key old[BATCH];
    struct envelope_wrapped wrapped[BATCH];
    size_t count; /* of both */
    uint64_t done, failed;
};

/* One that cannot be wrapped anew holds nobody up, as long as the keyring answers at all: asked at
 * the first failure of a batch. */
static int note_failure(struct rewrap *r, bool is_first, const char *digest, const struct err *why,
                        struct err *e)
{
    if (is_first && keyring_check(r->keyring, r->newest, e) < 0)
        return -1;
    if (r->failed++ < TOLD_MAX)
        fprintf(stderr, "lockstepd: secret %s stays as it is: %s\n", digest, why->text);
    return 0;
}

static int wrap_rows(struct rewrap *r, const struct rows *rows, struct err *e)
{
    r->count = 0;
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct secret_key *old = &r->old[r->count];
        struct err why;

        if (secret_key_at(rows, i, old, &why) == 0 &&
            keyring_rewrap(r->keyring, &old->wrapped, &r->wrapped[r->count], &why) == 0)
            r->count++;
        else if (note_failure(r, r->count == i, rows_text(rows, i, 0), &why, e) < 0)
            return -1;
    }
    return 0;
}

/* The rows and their line in the audit trail, together or not at all. */
static int save(struct rewrap *r, struct err *e)
{
    size_t replaced;

    if (r->count == 0)
        return 0;
    if (pg_exec(r->pg, "BEGIN", e) < 0 ||
        secret_keys_replace(r->pg, r->old, r->wrapped, r->count, &replaced, e) < 0 ||
        PG_QUERY(r->pg,
                 "SELECT audit_append('lockstepd', 'config.rewrap', NULL, NULL, NULL,"
                 " jsonb_build_object('key_id', $1::text, 'secrets', $2::bigint), '', 'rewrap')",
                 NULL, e, PARAM_TEXT(r->newest), PARAM_INT(replaced)) < 0 ||
        pg_exec(r->pg, "COMMIT", e) < 0)
        return -1;
    r->done += replaced;
    return 0;
}

static int tell(struct rewrap *r, struct err *e)
{
    struct secret_counts counts;

    if (secrets_count(r->pg, r->newest, &counts, e) < 0)
        return -1;
    printf("%" PRIu64 " of %" PRIu64 " data keys are wrapped by %s\n",
           counts.data_keys - counts.due, counts.data_keys, r->newest);
    return fflush(stdout) == 0 ? 0 : err_set(e, ERR_SYSTEM, "standard output is closed");
}

/* Once over all that are due. */
static int pass(struct rewrap *r, struct err *e)
{
    bool is_more = true;

    r->failed = 0;
    for (r->after[0] = '\0'; is_more;) {
        SCOPED(rows_free) struct rows *rows = NULL;
        size_t count;

        if (secret_keys_due(r->pg, r->newest, r->after, BATCH, &rows, e) < 0)
            return -1;
        count = rows_count(rows);
        is_more = count > 0;
        if (is_more)
            snprintf(r->after, sizeof(r->after), "%s", rows_text(rows, count - 1, 0));
        if (wrap_rows(r, rows, e) < 0 || save(r, e) < 0 || (is_more && tell(r, e) < 0))
            return -1;
    }
    return 0;
}

/* What others changed meanwhile, and a key that became the newest meanwhile, ask for one more. */
static int run(struct rewrap *r, struct err *e)
{
    uint64_t before;

    do {
        before = r->done;
        if (keyring_check(r->keyring, r->newest, e) < 0 ||
            secret_keys_compare(r->pg, r->keyring, e) < 0 ||
            rewrap_signing(r->keyring, r->pg, &r->done, e) < 0 || pass(r, e) < 0)
            return -1;
    } while (r->done > before);
    return tell(r, e);
}

int rewrap_command(const struct coordinator_settings *s)
{
    struct rewrap *r = memory_new(sizeof(*r));
    struct err e = { 0 };
    int rc;

    rc = secrets_open(s, &r->keyring, &e);
    if (rc == 0)
        rc = pg_open(s->database_url, "lockstepd rewrap", &r->pg, &e);
    if (rc == 0)
        rc = run(r, &e);
    if (rc < 0)
        fprintf(stderr, "lockstepd: %s\n", e.text);
    else if (r->failed)
        fprintf(stderr, "lockstepd: %" PRIu64 " data keys are still wrapped by older keys\n",
                r->failed);
    rc = rc < 0 || r->failed ? 1 : 0;
    pg_close(r->pg);
    keyring_close(r->keyring);
    free(r);
    return rc;
}
