/* acks_scopes.c - what servers run by now, scope by scope, as their outcomes say. */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/store/leader/acks_internal.h"

/* One row to be written. */
struct entry {
    int64_t server_id, scope_id, dseq, revision;
    struct hash hash;
    const char *outcome, *detail; /* static */
    const struct counted *from;
};

static bool is_outcome(enum ack_kind kind)
{
    return kind == ACK_APPLIED || kind == ACK_FAILED || kind == ACK_ROLLED_BACK ||
           kind == ACK_FINALIZED;
}

static bool is_decided_scope(const struct known *k, int64_t scope_id)
{
    for (unsigned i = 0; i < k->scope_count; i++)
        if (k->scope_ids[i] == scope_id)
            return true;
    return false;
}

/* Of one decision the word that stands. What an ACTIVATE did may fail later on; a FINALIZE or
 * ROLLBACK that failed is tried again, and what is well then stays so. */
static int compare_outcomes(const struct entry *x, const struct entry *y)
{
    int order = strcmp(y->outcome, x->outcome); /* ok, failed, broken */

    return x->from->known->kind == DECISION_ACTIVATE ? order : -order;
}

/* The newest decision last. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->server_id != y->server_id)
        return x->server_id < y->server_id ? -1 : 1;
    if (x->scope_id != y->scope_id)
        return x->scope_id < y->scope_id ? -1 : 1;
    if (x->dseq != y->dseq)
        return x->dseq < y->dseq ? -1 : 1;
    return compare_outcomes(x, y);
}

static void add_entries(struct entry *list, size_t *count, const struct counted *c)
{
    const struct ack *ack = &c->record->ack;
    bool is_failed = ack->kind == ACK_FAILED;

    for (uint32_t i = 0; i < c->record->held_count; i++) {
        if (!is_decided_scope(c->known, c->held[i].scope_id))
            continue;
        list[(*count)++] = (struct entry){
            .server_id = c->record->server_id,
            .scope_id = c->held[i].scope_id,
            .dseq = c->known->number,
            .revision = (int64_t)c->held[i].revision,
            .hash = c->held[i].hash,
            .outcome = !is_failed ? "ok" : ack->is_broken ? "broken" : "failed",
            .detail = !is_failed ? "" : ack->is_broken ? "broken" : "activating",
            .from = c,
        };
    }
}

/* Each server and scope once, the newest. */
static struct entry *entries_of(const struct counted *items, size_t count, size_t *count_out)
{
    size_t total = 0, n = 0, unique = 0;
    struct entry *list;

    for (size_t i = 0; i < count; i++)
        total += items[i].record->held_count;
    list = memory_array(total + 1, sizeof(*list));
    for (size_t i = 0; i < count; i++)
        if (is_outcome(items[i].record->ack.kind))
            add_entries(list, &n, &items[i]);
    qsort(list, n, sizeof(*list), compare_entries);
    for (size_t i = 0; i < n; i++) {
        bool is_next_same = i + 1 < n && list[i].server_id == list[i + 1].server_id &&
                            list[i].scope_id == list[i + 1].scope_id;

        if (!is_next_same)
            list[unique++] = list[i];
    }
    *count_out = unique;
    return list;
}

enum { COLUMN_SERVER, COLUMN_SCOPE, COLUMN_DSEQ, COLUMN_REVISION, COLUMN_HASH, COLUMN_OUTCOME,
       COLUMN_DETAIL, COLUMN_REASON, COLUMN_STEPS, COLUMN_FAILED_STEP, COLUMN_COUNT };

struct columns {
    struct buffer memory[COLUMN_COUNT];
    struct param params[COLUMN_COUNT];
};

static void fill_numbers(struct columns *c, const struct entry *list, size_t count)
{
    int64_t *numbers = memory_array(count, sizeof(*numbers));

    for (int column = COLUMN_SERVER; column <= COLUMN_REVISION; column++) {
        for (size_t i = 0; i < count; i++)
            numbers[i] = column == COLUMN_SERVER  ? list[i].server_id
                         : column == COLUMN_SCOPE ? list[i].scope_id
                         : column == COLUMN_DSEQ  ? list[i].dseq
                                                  : list[i].revision;
        c->params[column] = pg_array_int8(numbers, count, &c->memory[column]);
    }
    free(numbers);
}

static void fill_texts(struct columns *c, const struct entry *list, size_t count)
{
    struct param *hashes = calloc(count, sizeof(*hashes));
    const char **texts = calloc(count, sizeof(*texts));
    char **reasons = calloc(count, sizeof(*reasons));

    MUST(hashes && texts && reasons);
    for (size_t i = 0; i < count; i++) {
        hashes[i] = pg_hash(&list[i].hash);
        reasons[i] = list[i].detail[0] ? acks_reason(list[i].from) : NULL;
    }
    c->params[COLUMN_HASH] = pg_array_bytea(hashes, count, &c->memory[COLUMN_HASH]);
    for (size_t i = 0; i < count; i++)
        texts[i] = list[i].outcome;
    c->params[COLUMN_OUTCOME] = pg_array_text(texts, count, &c->memory[COLUMN_OUTCOME]);
    for (size_t i = 0; i < count; i++)
        texts[i] = list[i].detail;
    c->params[COLUMN_DETAIL] = pg_array_text(texts, count, &c->memory[COLUMN_DETAIL]);
    c->params[COLUMN_REASON] =
        pg_array_text((const char *const *)reasons, count, &c->memory[COLUMN_REASON]);
    for (size_t i = 0; i < count; i++)
        texts[i] = list[i].from->record->steps;
    c->params[COLUMN_STEPS] = pg_array_text(texts, count, &c->memory[COLUMN_STEPS]);
    for (size_t i = 0; i < count; i++)
        texts[i] = acks_failed_step(list[i].from);
    c->params[COLUMN_FAILED_STEP] = pg_array_text(texts, count, &c->memory[COLUMN_FAILED_STEP]);
    for (size_t i = 0; i < count; i++)
        free(reasons[i]);
    free(reasons);
    free(texts);
    free(hashes);
}

#define ENTRIES                                                                                    \
    "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::text[],"      \
    " $7::text[], $8::text[], $9::text[], $10::text[]) AS a(server_id, scope_id, dseq, revision,"  \
    " hash, outcome, detail, reason, steps, failed_step)"

/* A FINALIZE of what runs already takes no steps: those of its ACTIVATE stay. Outcomes only get
 * newer; within one decision an ACTIVATE that was well may fail, and whatever else failed may be
 * well in the end, in whichever order the two are told. */
static int update(struct pg *pg, const struct columns *c, size_t *changed, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(pg,
                 "UPDATE server_scope AS s SET obeyed = a.dseq, revision = a.revision,"
                 " hash = a.hash, outcome = a.outcome, detail = a.detail,"
                 " reason = coalesce(a.reason, ''), failed_step = a.failed_step, steps = CASE"
                 " a.steps WHEN '' THEN s.steps ELSE a.steps END, updated_at = now() FROM " ENTRIES
                 " WHERE s.server_id = a.server_id AND s.scope_id = a.scope_id"
                 " AND (s.obeyed < a.dseq OR (s.obeyed = a.dseq"
                 "  AND (s.outcome = 'ok') <> (a.outcome = 'ok') AND (s.outcome = 'ok') = EXISTS"
                 "  (SELECT 1 FROM decision AS d WHERE d.dseq = a.dseq AND d.kind = 'activate')))",
                 c->params, COLUMN_COUNT, &rows, e))
        return -1;
    *changed = rows_affected(rows);
    return 0;
}

int acks_write_scopes(struct pg *pg, const struct counted *items, size_t count,
                      size_t *changed_out, struct err *e)
{
    struct columns c = { 0 };
    size_t entry_count;
    struct entry *list = entries_of(items, count, &entry_count);
    int status = 0;

    *changed_out = 0;
    if (entry_count > 0) {
        fill_numbers(&c, list, entry_count);
        fill_texts(&c, list, entry_count);
        status = update(pg, &c, changed_out, e);
    }
    for (int i = 0; i < COLUMN_COUNT; i++)
        buffer_fini(&c.memory[i]);
    free(list);
    return status;
}

/* For each scope that an ABORTED of a ROLLBACK speaks of: server, scope, dseq. */
static size_t gather_kept(const struct counted *items, size_t count, int64_t *numbers[3])
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        const struct ack_record *r = items[i].record;

        for (uint32_t k = 0; r->ack.kind == ACK_ABORTED && k < r->held_count; k++) {
            if (!is_decided_scope(items[i].known, items[i].held[k].scope_id))
                continue; /* an attempt has none */
            numbers[0][n] = r->server_id;
            numbers[1][n] = items[i].held[k].scope_id;
            numbers[2][n++] = items[i].known->number;
        }
    }
    return n;
}

int acks_write_kept(struct pg *pg, const struct counted *items, size_t count, size_t *changed,
                    struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct buffer memory[3] = { 0 };
    int64_t *numbers[3];
    size_t total = 1, kept;
    int status = 0;

    for (size_t i = 0; i < count; i++)
        total += items[i].record->held_count;
    for (int i = 0; i < 3; i++) {
        numbers[i] = calloc(total, sizeof(*numbers[i]));
        MUST(numbers[i]);
    }
    kept = gather_kept(items, count, numbers);
    if (kept)
        status = PG_QUERY(pg,
                          "UPDATE server_scope AS s SET kept = a.dseq"
                          " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])"
                          " AS a(server_id, scope_id, dseq) WHERE s.server_id = a.server_id"
                          " AND s.scope_id = a.scope_id AND s.kept < a.dseq",
                          &rows, e, pg_array_int8(numbers[0], kept, &memory[0]),
                          pg_array_int8(numbers[1], kept, &memory[1]),
                          pg_array_int8(numbers[2], kept, &memory[2]));
    if (status == 0 && rows)
        *changed += rows_affected(rows);
    for (int i = 0; i < 3; i++) {
        buffer_fini(&memory[i]);
        free(numbers[i]);
    }
    return status;
}

char *acks_reason(const struct counted *c)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    const struct ack_record *r = c->record;
    bool is_refused = r->ack.kind == ACK_REFUSED;
    const char *what = is_refused ? wire_reason_name((enum wire_reason)r->reason)
                                  : wire_step_name((enum wire_step)r->step);
    const char *text = r->text ? r->text : "";

    /* "validate ended with 1: …" names its step already. */
    if (!is_refused && r->step == WIRE_STEP_NONE)
        buffer_add_text(&b, text);
    else if (strncmp(text, what, strlen(what)) == 0)
        buffer_add_text(&b, text);
    else
        buffer_printf(&b, "%s%s%s", what, *text ? ": " : "", text);
    if (!is_refused && r->ack.is_broken)
        buffer_add_text(&b, ", and going back failed too");
    else if (!is_refused && r->held_count > 0)
        buffer_printf(&b, ", reverted to revision %llu",
                      (unsigned long long)c->held[0].revision);
    return buffer_take(&b);
}

const char *acks_failed_step(const struct counted *c)
{
    const struct ack_record *r = c->record;

    if (r->ack.kind != ACK_FAILED || r->step == WIRE_STEP_NONE || r->step >= WIRE_STEP_COUNT)
        return "";
    return wire_step_name((enum wire_step)r->step);
}
