/* acks_lookup.c - which attempts and decisions a batch of acknowledgements speaks of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/invariant.h"
#include "coordinator/store/leader/acks_internal.h"

static int compare_int64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Each number once; malloc'ed. What no sequence can have drawn is left out. */
static int64_t *numbers_of(struct ack_batch *const *batches, size_t batch_count, size_t *count_out)
{
    size_t total = 0, n = 0, unique = 0;
    int64_t *numbers;

    for (size_t b = 0; b < batch_count; b++)
        total += batches[b]->count;
    numbers = malloc((total + 1) * sizeof(*numbers));
    MUST(numbers);
    for (size_t b = 0; b < batch_count; b++)
        for (size_t i = 0; i < batches[b]->count; i++)
            if (batches[b]->records[i].ack.number <= INT64_MAX)
                numbers[n++] = (int64_t)batches[b]->records[i].ack.number;
    qsort(numbers, n, sizeof(*numbers), compare_int64);
    for (size_t i = 0; i < n; i++)
        if (unique == 0 || numbers[unique - 1] != numbers[i])
            numbers[unique++] = numbers[i];
    *count_out = unique;
    return numbers;
}

/* DECISION_COUNT: no kind that we know, which no acknowledgement fits. */
static enum decision_kind kind_of(const char *text)
{
    int i = 0;

    while (i < DECISION_COUNT && strcmp(decision_name((enum decision_kind)i), text) != 0)
        i++;
    return (enum decision_kind)i;
}

/* One row per attempt, one per scope of a decision. */
static void read_row(const struct rows *rows, size_t i, struct known *list, size_t *count)
{
    int64_t number = rows_int(rows, i, 0);
    struct known *k = *count ? &list[*count - 1] : NULL;

    if (!k || k->number != number) {
        k = &list[(*count)++];
        k->number = number;
        k->rollout_id = rows_int(rows, i, 1);
        snprintf(k->public_id, sizeof(k->public_id), "%s", rows_text(rows, i, 2));
        k->is_attempt = rows_is_null(rows, i, 3);
        k->kind = k->is_attempt ? DECISION_COUNT : kind_of(rows_text(rows, i, 3));
        k->is_aborted = rows_bool(rows, i, 4);
        k->attempt_number = rows_int(rows, i, 5);
        k->is_open = rows_bool(rows, i, 8);
    }
    if (k->is_attempt || k->scope_count == ROLLOUT_SCOPES_MAX)
        return;
    k->scope_ids[k->scope_count] = rows_int(rows, i, 6);
    k->hashes[k->scope_count++] = rows_hash(rows, i, 7);
}

int acks_look_up(struct pg *pg, struct ack_batch *const *batches, size_t batch_count,
                 struct known **out, size_t *count_out, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    SCOPED(rows_free) struct rows *rows = NULL;
    size_t number_count;
    int64_t *numbers = numbers_of(batches, batch_count, &number_count);
    struct param array = pg_array_int8(numbers, number_count, &memory);

    free(numbers);
    if (PG_QUERY(pg,
                 "SELECT q.number, q.rollout_id, r.public_id, q.kind, q.is_aborted,"
                 " q.attempt_number, q.scope_id, q.hash,"
                 " r.state IN ('running', 'rolling_back') FROM ("
                 " SELECT number, rollout_id, NULL AS kind, coalesce(outcome = 'abort', false)"
                 "  AS is_aborted, NULL::bigint AS attempt_number, NULL::bigint AS scope_id,"
                 "  NULL::text AS hash FROM attempt WHERE number = ANY ($1::bigint[])"
                 " UNION ALL SELECT d.dseq, d.rollout_id, d.kind, false, d.attempt_number,"
                 "  s.scope_id, encode(s.hash, 'hex') FROM decision AS d"
                 "  JOIN decision_scope AS s USING (dseq) WHERE d.dseq = ANY ($1::bigint[])) AS q"
                 " JOIN rollout AS r USING (rollout_id) ORDER BY q.number, q.scope_id",
                 &rows, e, array))
        return -1;
    *count_out = 0;
    *out = calloc(rows_count(rows) + 1, sizeof(**out));
    MUST(*out);
    for (size_t i = 0; i < rows_count(rows); i++)
        read_row(rows, i, *out, count_out);
    return 0;
}

const struct known *acks_find(const struct known *known, size_t count, uint64_t number)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if ((uint64_t)known[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && (uint64_t)known[low].number == number ? &known[low] : NULL;
}

/* Every scope held is one of the decision's, with its content; and there is at least one. */
static bool holds_decided(const struct counted *c)
{
    for (uint32_t i = 0; i < c->record->held_count; i++) {
        bool is_decided = false;

        for (unsigned s = 0; s < c->known->scope_count; s++)
            if (c->known->scope_ids[s] == c->held[i].scope_id)
                is_decided = hash_equal(&c->known->hashes[s], &c->held[i].hash);
        if (!is_decided)
            return false;
    }
    return c->record->held_count > 0;
}

static bool is_decided(const struct known *k, int64_t scope_id)
{
    for (unsigned s = 0; s < k->scope_count; s++)
        if (k->scope_ids[s] == scope_id)
            return true;
    return false;
}

static bool holds_scopes_decided(const struct counted *c)
{
    for (uint32_t i = 0; i < c->record->held_count; i++)
        if (!is_decided(c->known, c->held[i].scope_id))
            return false;
    return c->record->held_count > 0;
}

bool acks_fits(const struct counted *c, bool *is_mismatch_out)
{
    const struct known *k = c->known;
    bool fits = false;

    *is_mismatch_out = false;
    switch (c->record->ack.kind) {
    case ACK_READY:
    case ACK_REFUSED:
        return k->is_attempt && !k->is_aborted && k->is_open;
    case ACK_ABORTED:
        return k->is_attempt ? k->is_aborted : k->kind == DECISION_ROLLBACK;
    case ACK_FAILED: /* it runs something else than was decided: its scopes are what can be compared
                      */
        return !k->is_attempt && k->kind != DECISION_COUNT && holds_scopes_decided(c);
    case ACK_APPLIED:
        fits = !k->is_attempt && k->kind != DECISION_ROLLBACK && k->kind != DECISION_COUNT;
        break;
    case ACK_ROLLED_BACK:
        fits = k->kind == DECISION_ROLLBACK;
        break;
    case ACK_FINALIZED:
        fits = k->kind == DECISION_FINALIZE || k->kind == DECISION_REASSERT;
        break;
    case ACK_COUNT:
        break;
    }
    *is_mismatch_out = fits && !holds_decided(c);
    return fits && !*is_mismatch_out;
}
