/* load_decisions.c - decisions that somebody may still have to hear, and who that is. */
#include <string.h>

#include "common/invariant.h"
#include "coordinator/store/leader/load_internal.h"

/* A scope's live decisions: those since the one that settled it (FINALIZE). */
#define LIVE                                                                                       \
    "live AS (SELECT DISTINCT ds.dseq FROM scope AS s JOIN decision_scope AS ds"                    \
    " ON ds.scope_id = s.scope_id AND ds.dseq >= s.released_dseq)"

static bool kind_of(const char *text, enum decision_kind *out)
{
    for (int i = 0; i < DECISION_COUNT; i++)
        if (strcmp(decision_name((enum decision_kind)i), text) == 0) {
            *out = (enum decision_kind)i;
            return true;
        }
    return false;
}

static int load_heads(struct pg *pg, struct snapshot *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(pg,
                 "WITH " LIVE " SELECT d.dseq, d.kind, d.rollout_id, d.attempt_number, d.body"
                 " FROM live JOIN decision AS d USING (dseq) ORDER BY d.dseq",
                 NULL, 0, &rows, e))
        return -1;
    s->decision_count = rows_count(rows);
    s->decisions = load_array(s->decision_count, sizeof(*s->decisions));
    for (size_t i = 0; i < s->decision_count; i++) {
        struct decision_row *d = &s->decisions[i];

        d->dseq = (uint64_t)rows_int(rows, i, 0);
        d->is_unknown = !kind_of(rows_text(rows, i, 1), &d->kind);
        d->rollout_id = rows_int(rows, i, 2);
        d->attempt_number = (uint64_t)rows_int(rows, i, 3);
        d->body = (uint8_t *)rows_bytes(rows, i, 4, &d->body_size);
        d->is_for_all = d->kind == DECISION_FINALIZE || d->kind == DECISION_REASSERT;
    }
    return 0;
}

/* Both lists are in the order of dseq: the place only moves forward. NULL: there is no such. */
static struct decision_row *seek(struct snapshot *s, size_t *at, uint64_t dseq)
{
    while (*at < s->decision_count && s->decisions[*at].dseq < dseq)
        ++*at;
    return *at < s->decision_count && s->decisions[*at].dseq == dseq ? &s->decisions[*at] : NULL;
}

static int load_scopes_of(struct pg *pg, struct snapshot *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    size_t at = 0;

    if (pg_query(pg,
                 "WITH " LIVE " SELECT ds.dseq, ds.scope_id FROM live"
                 " JOIN decision_scope AS ds USING (dseq) ORDER BY ds.dseq, ds.scope_id",
                 NULL, 0, &rows, e))
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct decision_row *d = seek(s, &at, (uint64_t)rows_int(rows, i, 0));

        if (!d)
            continue;
        d->is_unknown |= d->scope_count == ROLLOUT_SCOPES_MAX;
        if (d->is_unknown)
            continue;
        d->scope_ids[d->scope_count++] = rows_int(rows, i, 1);
    }
    return 0;
}

static int load_addressed(struct pg *pg, struct snapshot *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    size_t at = 0, count, next;

    if (pg_query(pg,
                 "WITH " LIVE " SELECT d.dseq, m.server_id FROM live"
                 " JOIN decision AS d USING (dseq) JOIN member AS m ON m.rollout_id = d.rollout_id"
                 " AND (d.kind = 'rollback' OR m.attempt_number = d.attempt_number)"
                 " WHERE d.kind IN ('activate', 'rollback') ORDER BY d.dseq, m.server_id",
                 NULL, 0, &rows, e))
        return -1;
    count = rows_count(rows);
    for (size_t i = 0; i < count; i = next) {
        uint64_t dseq = (uint64_t)rows_int(rows, i, 0);
        struct decision_row *d = seek(s, &at, dseq);

        for (next = i; next < count && (uint64_t)rows_int(rows, next, 0) == dseq;)
            next++;
        if (!d)
            continue;
        d->addressed_count = next - i;
        d->addressed = load_array(d->addressed_count, sizeof(*d->addressed));
        for (size_t k = 0; k < d->addressed_count; k++)
            d->addressed[k] = rows_int(rows, i + k, 1);
    }
    return 0;
}

int load_decisions(struct pg *pg, struct snapshot *s, struct err *e)
{
    return load_heads(pg, s, e) || load_scopes_of(pg, s, e) || load_addressed(pg, s, e) ? -1 : 0;
}
