/* acks_addressee.c - who was asked: an acknowledgement of anybody else is none. */
#include <stdlib.h>

#include "common/buffer.h"
#include "common/invariant.h"
#include "coordinator/store/leader/acks_internal.h"

/* The records of all batches in one row, and columns of theirs. */
struct lineup {
    size_t count;
    struct ack_record **records;
    int64_t *servers, *numbers;
    int32_t *aborts; /* 1: ABORTED */
};

static void lineup_fini(struct lineup *l)
{
    free(l->records);
    free(l->servers);
    free(l->numbers);
    free(l->aborts);
}

/* Line up the acknowledgements whose number is known; of the others note whether it was ever
 * issued. */
static void line_up(struct ack_batch *const *batches, size_t batch_count,
                    const struct known *known, size_t known_count, uint64_t issued,
                    struct lineup *out)
{
    size_t total = 0;

    for (size_t b = 0; b < batch_count; b++)
        total += batches[b]->count;
    *out = (struct lineup){ .records = calloc(total + 1, sizeof(*out->records)),
                            .servers = calloc(total + 1, sizeof(*out->servers)),
                            .numbers = calloc(total + 1, sizeof(*out->numbers)),
                            .aborts = calloc(total + 1, sizeof(*out->aborts)) };
    MUST(out->records && out->servers && out->numbers && out->aborts);
    for (size_t b = 0; b < batch_count; b++)
        for (size_t i = 0; i < batches[b]->count; i++) {
            struct ack_record *r = &batches[b]->records[i];

            if (!acks_find(known, known_count, r->ack.number)) {
                r->is_ahead = r->ack.number > issued;
                continue;
            }
            r->is_foreign = true;
            out->servers[out->count] = r->server_id;
            out->aborts[out->count] = r->ack.kind == ACK_ABORTED;
            out->numbers[out->count] = (int64_t)r->ack.number;
            out->records[out->count++] = r;
        }
}

/* A member answers the attempts that asked it, and what was decided about them. An abort ends every
 * attempt of its rollout, whichever its number names. FINALIZE and REASSERT are for whoever belongs
 * to one of their scopes. The newest attempt of a member asked it, also where a leader that is not
 * upgraded yet keeps no list. */
#define ADDRESSED                                                                                  \
    "WITH a AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[])"      \
    " WITH ORDINALITY AS u (server_id, number, is_abort, place))"                                  \
    " SELECT a.place FROM a JOIN attempt AS t ON t.number = a.number JOIN member AS m"             \
    " ON m.rollout_id = t.rollout_id AND m.server_id = a.server_id"                                \
    " WHERE a.is_abort = 1 OR t.number = ANY (m.asked || m.attempt_number)"                        \
    " UNION ALL SELECT a.place FROM a JOIN decision AS d ON d.dseq = a.number JOIN member AS m"    \
    " ON m.rollout_id = d.rollout_id AND m.server_id = a.server_id"                                \
    " WHERE d.kind = 'rollback'"                                                                   \
    " OR (d.kind = 'activate' AND d.attempt_number = ANY (m.asked || m.attempt_number))"           \
    " UNION ALL SELECT a.place FROM a JOIN decision AS d ON d.dseq = a.number"                     \
    " WHERE d.kind IN ('finalize', 'reassert') AND EXISTS (SELECT 1 FROM decision_scope AS s"      \
    " JOIN server_scope AS v USING (scope_id) WHERE s.dseq = d.dseq AND v.server_id = a.server_id)"

static int mark_addressed(struct pg *pg, const struct lineup *l, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer servers = { 0 }, numbers = { 0 }, aborts = { 0 };

    if (l->count == 0)
        return 0;
    if (PG_QUERY(pg, ADDRESSED, &rows, e, pg_array_int8(l->servers, l->count, &servers),
                 pg_array_int8(l->numbers, l->count, &numbers),
                 pg_array_int4(l->aborts, l->count, &aborts)))
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++)
        l->records[rows_int(rows, i, 0) - 1]->is_foreign = false;
    return 0;
}

/* ---------------------------------------------------------------- what a failed one runs */

/* The contents that FAILED tells of, and whose they are. */
struct fallbacks {
    size_t count;
    struct ack_record **records;
    int64_t *scopes, *revisions;
    struct param *hashes;
};

static void fallbacks_fini(struct fallbacks *f)
{
    free(f->records);
    free(f->scopes);
    free(f->revisions);
    free(f->hashes);
}

static void add_fallbacks(struct fallbacks *f, struct ack_record *r, const struct held_record *held)
{
    for (uint32_t k = 0; k < r->held_count; k++) {
        f->records[f->count] = r;
        f->scopes[f->count] = held[k].scope_id;
        f->revisions[f->count] = (int64_t)held[k].revision;
        f->hashes[f->count++] = pg_hash(&held[k].hash);
    }
}

static void gather_fallbacks(struct ack_batch *const *batches, size_t batch_count,
                             struct fallbacks *f)
{
    size_t total = 0;

    for (size_t b = 0; b < batch_count; b++)
        total += batches[b]->held_count;
    *f = (struct fallbacks){ .records = calloc(total + 1, sizeof(*f->records)),
                             .scopes = calloc(total + 1, sizeof(*f->scopes)),
                             .revisions = calloc(total + 1, sizeof(*f->revisions)),
                             .hashes = calloc(total + 1, sizeof(*f->hashes)) };
    MUST(f->records && f->scopes && f->revisions && f->hashes);
    for (size_t b = 0; b < batch_count; b++)
        for (size_t i = 0; i < batches[b]->count; i++) {
            struct ack_record *r = &batches[b]->records[i];

            if (r->ack.kind == ACK_FAILED && !r->is_foreign && r->held_count)
                add_fallbacks(f, r, batches[b]->held + r->held_first);
        }
}

/* Who failed runs what its scope had once: its last known good, not necessarily the base. What was
 * dropped with old history is believed. */
#define NEVER_WAS                                                                                  \
    "SELECT u.place FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) WITH ORDINALITY"          \
    " AS u (scope_id, revision, hash, place) JOIN scope AS s USING (scope_id)"                     \
    " WHERE u.revision >= s.oldest AND NOT (u.revision = 0 AND u.hash IS NULL)"                    \
    " AND NOT EXISTS (SELECT 1 FROM revision AS r WHERE r.scope_id = u.scope_id"                   \
    " AND r.revision = u.revision AND r.hash = u.hash)"

static int mark_fallbacks(struct pg *pg, struct ack_batch *const *batches, size_t batch_count,
                          struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer scopes = { 0 }, revisions = { 0 }, hashes = { 0 };
    struct fallbacks f;
    int status = 0;

    gather_fallbacks(batches, batch_count, &f);
    if (f.count)
        status = PG_QUERY(pg, NEVER_WAS, &rows, e, pg_array_int8(f.scopes, f.count, &scopes),
                          pg_array_int8(f.revisions, f.count, &revisions),
                          pg_array_bytea(f.hashes, f.count, &hashes));
    for (size_t i = 0; status == 0 && rows && i < rows_count(rows); i++)
        f.records[rows_int(rows, i, 0) - 1]->is_foreign = true;
    fallbacks_fini(&f);
    return status;
}

int acks_mark(struct pg *pg, struct ack_batch *const *batches, size_t batch_count,
              const struct known *known, size_t known_count, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct lineup l;
    int status;

    if (pg_query(pg, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM dseq", NULL, 0,
                 &rows, e))
        return -1;
    line_up(batches, batch_count, known, known_count, (uint64_t)rows_int(rows, 0, 0), &l);
    status = mark_addressed(pg, &l, e) || mark_fallbacks(pg, batches, batch_count, e) ? -1 : 0;
    lineup_fini(&l);
    return status;
}
