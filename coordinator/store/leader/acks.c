/* acks.c - sorts acknowledgements by what they change and writes each sort in one statement. */
#include "coordinator/store/leader/acks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "coordinator/store/leader/acks_internal.h"

/* ---------------------------------------------------------------- sorting */

/* Two of one server about different scopes are not the same: each is receipted for what it says. */
static int compare_held(const struct counted *x, const struct counted *y)
{
    if (x->record->held_count != y->record->held_count)
        return x->record->held_count < y->record->held_count ? -1 : 1;
    for (uint32_t i = 0; i < x->record->held_count; i++)
        if (x->held[i].scope_id != y->held[i].scope_id)
            return x->held[i].scope_id < y->held[i].scope_id ? -1 : 1;
    return 0;
}

/* A run of equal number, kind and brokenness is one statement. Kinds are in the order of their
 * enum, so that the furthest state of a server is written last. */
static int compare_counted(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;
    const struct ack_record *r = x->record, *s = y->record;

    if (r->ack.number != s->ack.number)
        return r->ack.number < s->ack.number ? -1 : 1;
    if (r->ack.kind != s->ack.kind)
        return r->ack.kind < s->ack.kind ? -1 : 1;
    if (r->ack.is_broken != s->ack.is_broken)
        return r->ack.is_broken ? 1 : -1;
    if (r->server_id != s->server_id)
        return r->server_id < s->server_id ? -1 : 1;
    return compare_held(x, y);
}

static bool is_same(const struct counted *a, const struct counted *b)
{
    return compare_counted(a, b) == 0;
}

/* The acknowledgements that count, each once; malloc'ed. */
static struct counted *count_in(struct ack_batch *const *batches, size_t batch_count,
                                const struct known *known, size_t known_count, size_t *count_out)
{
    size_t total = 0, n = 0, unique = 0, mismatches = 0;
    struct counted *items;

    for (size_t b = 0; b < batch_count; b++)
        total += batches[b]->count;
    items = memory_array(total + 1, sizeof(*items));
    for (size_t b = 0; b < batch_count; b++)
        for (size_t i = 0; i < batches[b]->count; i++) {
            struct ack_record *r = &batches[b]->records[i];
            struct counted c = { .record = r,
                                 .held = r->held_count ? batches[b]->held + r->held_first : NULL,
                                 .known = acks_find(known, known_count, r->ack.number) };
            bool is_mismatch;

            is_mismatch = false;
            r->is_recorded = c.known && !r->is_foreign && acks_fits(&c, &is_mismatch);
            if (r->is_recorded) {
                r->ack.rollout = c.known->is_attempt || c.known->attempt_number
                                     ? (uint64_t)c.known->rollout_id
                                     : 0;
                r->ack.attempt = (uint64_t)c.known->attempt_number;
                items[n++] = c;
            }
            else if (c.known && is_mismatch && mismatches++ == 0)
                log_warn("an outcome names other content than its decision", "server",
                         LOG_NUMBER(r->server_id), "dseq", LOG_NUMBER(r->ack.number));
        }
    qsort(items, n, sizeof(*items), compare_counted);
    for (size_t i = 0; i < n; i++)
        if (unique == 0 || !is_same(&items[unique - 1], &items[i]))
            items[unique++] = items[i];
    if (mismatches > 1)
        log_warn("more outcomes with other content", "count", LOG_NUMBER(mismatches));
    *count_out = unique;
    return items;
}

/* ---------------------------------------------------------------- members */

/* The arrays of one statement. */
struct columns {
    struct buffer servers, texts;
    struct param server_param, text_param;
    struct buffer steps, failed_steps, reverted; /* of FAILED only */
    struct param steps_param, failed_steps_param, reverted_param;
};

static void columns_fini(struct columns *c)
{
    buffer_fini(&c->servers);
    buffer_fini(&c->texts);
    buffer_fini(&c->steps);
    buffer_fini(&c->failed_steps);
    buffer_fini(&c->reverted);
}

static char *column_text(const struct counted *c)
{
    char *text;

    if (c->record->ack.kind == ACK_REFUSED || c->record->ack.kind == ACK_FAILED)
        return acks_reason(c);
    text = memory_text(c->record->steps);
    return text;
}

static void fill_columns(struct columns *out, const struct counted *run, size_t count)
{
    int64_t *servers = calloc(count, sizeof(*servers));
    char **texts = calloc(count, sizeof(*texts));

    MUST(servers && texts);
    for (size_t i = 0; i < count; i++) {
        servers[i] = run[i].record->server_id;
        texts[i] = column_text(&run[i]);
    }
    out->server_param = pg_array_int8(servers, count, &out->servers);
    out->text_param = pg_array_text((const char *const *)texts, count, &out->texts);
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
    free(servers);
}

/* What each of them runs since it failed, as JSON; NULL: nobody knows. */
static char *reverted_text(const struct counted *c)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    char hex[HASH_HEX_SIZE];

    if (c->record->ack.is_broken || c->record->held_count == 0)
        return NULL;
    for (uint32_t i = 0; i < c->record->held_count; i++) {
        hash_to_hex(&c->held[i].hash, hex);
        buffer_printf(&b, "%s{\"scope\":%lld,\"revision\":%llu,\"hash\":\"%s\"}", i ? "," : "[",
                      (long long)c->held[i].scope_id, (unsigned long long)c->held[i].revision, hex);
    }
    buffer_add_text(&b, "]");
    return buffer_take(&b);
}

static void fill_failures(struct columns *out, const struct counted *run, size_t count)
{
    const char **steps = calloc(count, sizeof(*steps)), **failed = calloc(count, sizeof(*failed));
    char **reverted = calloc(count, sizeof(*reverted));

    MUST(steps && failed && reverted);
    for (size_t i = 0; i < count; i++) {
        steps[i] = run[i].record->steps;
        failed[i] = acks_failed_step(&run[i]);
        reverted[i] = reverted_text(&run[i]);
    }
    out->steps_param = pg_array_text(steps, count, &out->steps);
    out->failed_steps_param = pg_array_text(failed, count, &out->failed_steps);
    out->reverted_param =
        pg_array_text((const char *const *)reverted, count, &out->reverted);
    for (size_t i = 0; i < count; i++)
        free(reverted[i]);
    free(reverted);
    free(failed);
    free(steps);
}

#define FROM_SERVERS " FROM unnest($2::bigint[]) AS a(server_id)"
#define FROM_TEXTS " FROM unnest($2::bigint[], $3::text[]) AS a(server_id, text)"
#define FROM_FAILURES                                                                              \
    " FROM unnest($2::bigint[], $3::text[], $6::text[], $7::text[], $8::text[])"                   \
    " AS a(server_id, text, steps, failed_step, reverted_to)"
#define THE_MEMBER " WHERE m.rollout_id = $1 AND m.server_id = a.server_id"

/* Whoever lost its slot, was silent and is ready again is silent no more. */
static int write_ready(struct pg *pg, const struct known *k, const struct columns *c,
                       struct rows **rows, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET state = 'ready', ready_at = now(), detail = '',"
                    " reason = '', updated_at = now()" FROM_SERVERS THE_MEMBER
                    " AND m.attempt_number = $3 AND (m.state = 'pending'"
                    "  OR (m.state = 'ready' AND m.detail = 'silent'))",
                    rows, e, PARAM_INT(k->rollout_id), c->server_param, PARAM_INT(k->number));
}

/* Who was ready before and refuses since holds nothing any more: a refusal stands, in whichever
 * order the two come. */
static int write_refused(struct pg *pg, const struct known *k, const struct columns *c,
                         struct rows **rows, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET state = 'failed', detail = 'refused',"
                    " outcome_rank = greatest(m.outcome_rank, $5),"
                    " reason = a.text, updated_at = now()" FROM_TEXTS THE_MEMBER
                    " AND m.attempt_number = $4 AND m.state IN ('pending', 'ready')",
                    rows, e, PARAM_INT(k->rollout_id), c->server_param, c->text_param,
                    PARAM_INT(k->number),
                    PARAM_INT(outcome_rank((uint64_t)k->number, true)));
}

/* A refusal of an attempt that a retry replaced: the server is asked again already. */
static int write_refused_before(struct pg *pg, const struct known *k, const struct columns *c,
                                struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET outcome_rank = $3, updated_at = now()" FROM_SERVERS
                        THE_MEMBER " AND m.attempt_number > $4 AND m.outcome_rank < $3"
                    " AND m.state IN ('pending', 'ready')",
                    NULL, e, PARAM_INT(k->rollout_id), c->server_param,
                    PARAM_INT(outcome_rank((uint64_t)k->number, true)), PARAM_INT(k->number));
}

static int write_aborted(struct pg *pg, const struct known *k, const struct columns *c,
                         struct rows **rows, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET detail = 'aborted', updated_at = now()" FROM_SERVERS
                        THE_MEMBER " AND m.state IN ('pending', 'ready')"
                    " AND m.detail <> 'aborted'",
                    rows, e, PARAM_INT(k->rollout_id), c->server_param);
}

/* Of an earlier attempt as well: the server runs that content, whoever asked for it; unless it is
 * known to have failed since (outcome_rank of the core says what is newer). */
static int write_applied(struct pg *pg, const struct known *k, const struct columns *c,
                         struct rows **rows, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET state = 'applied', applied_at = now(), detail = '',"
                    " reason = '', steps = a.text, outcome_rank = $4, is_unfit = false,"
                    " updated_at = now()" FROM_TEXTS THE_MEMBER
                    " AND m.state IN ('pending', 'ready', 'applied') AND m.outcome_rank < $4",
                    rows, e, PARAM_INT(k->rollout_id), c->server_param, c->text_param,
                    PARAM_INT(outcome_rank((uint64_t)k->attempt_number, false)));
}

/* The newest attempt that asked it failed there. */
static int write_failed(struct pg *pg, const struct known *k, const struct columns *c,
                        const char *detail, struct rows **rows, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET state = 'failed', detail = $4, reason = a.text,"
                    " steps = a.steps, failed_step = a.failed_step,"
                    " reverted_to = a.reverted_to::jsonb,"
                    " outcome_rank = greatest(m.outcome_rank, $9),"
                    " updated_at = now()" FROM_FAILURES THE_MEMBER
                    " AND m.attempt_number = $5 AND ((m.state < 'failed' AND m.outcome_rank < $9)"
                    "  OR (m.state = 'failed' AND $4 = 'broken' AND m.detail <> 'broken'))",
                    rows, e, PARAM_INT(k->rollout_id), c->server_param, c->text_param,
                    PARAM_TEXT(detail), PARAM_INT(k->attempt_number), c->steps_param,
                    c->failed_steps_param, c->reverted_param,
                    PARAM_INT(outcome_rank((uint64_t)k->attempt_number, true)));
}

/* An attempt that was replaced for it failed there. It is asked again already; what it applied by
 * that attempt, or one before, it runs no more. */
static int write_taken_back(struct pg *pg, const struct known *k, const struct columns *c,
                            struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET outcome_rank = $3, updated_at = now(),"
                    " state = CASE WHEN m.state = 'applied' THEN 'pending' ELSE m.state END,"
                    " ready_at = CASE WHEN m.state = 'applied' THEN NULL ELSE m.ready_at END,"
                    " applied_at = CASE WHEN m.state = 'applied' THEN NULL ELSE m.applied_at END"
                    FROM_SERVERS THE_MEMBER
                    " AND m.attempt_number > $4 AND m.outcome_rank < $3"
                    " AND m.state <> 'rolled_back'",
                    NULL, e, PARAM_INT(k->rollout_id), c->server_param,
                    PARAM_INT(outcome_rank((uint64_t)k->attempt_number, true)),
                    PARAM_INT(k->attempt_number));
}

/* Some scope of this decision was reported as one that could not go back. */
#define IS_STUCK(dseq)                                                                             \
    "EXISTS (SELECT 1 FROM server_scope AS s WHERE s.server_id = m.server_id"                      \
    " AND s.obeyed = " dseq " AND s.outcome <> 'ok')"

/* A server that cannot go back; one that did so before, in every scope, is not counted again. */
static int write_stuck(struct pg *pg, const struct known *k, const struct columns *c,
                       struct rows **rows, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET state = 'failed', detail = 'broken', reason = a.text,"
                    " steps = a.steps, failed_step = a.failed_step, way_back_failed = true,"
                    " reverted_to = a.reverted_to::jsonb,"
                    " updated_at = now() FROM unnest($2::bigint[], $3::text[], $4::text[],"
                    " $5::text[], $6::text[])"
                    " AS a(server_id, text, steps, failed_step, reverted_to)" THE_MEMBER
                    " AND (m.state <> 'rolled_back' OR " IS_STUCK("$7") ")"
                    " AND NOT m.way_back_failed",
                    rows, e, PARAM_INT(k->rollout_id), c->server_param, c->text_param,
                    c->steps_param, c->failed_steps_param, c->reverted_param,
                    PARAM_INT(k->number));
}

/* The server's stage was never told to activate, so it had nothing to go back from. */
#define IS_UNTOUCHED                                                                               \
    "NOT EXISTS (SELECT 1 FROM attempt AS t WHERE t.rollout_id = m.rollout_id"                     \
    " AND t.stage = m.stage AND t.outcome = 'activate')"

/* Why it had failed stays readable. */
static int write_rolled_back(struct pg *pg, const struct known *k, const struct columns *c,
                             struct rows **rows, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET state = 'rolled_back',"
                    " detail = CASE WHEN " IS_UNTOUCHED " THEN 'untouched' ELSE '' END,"
                    " way_back_failed = false, reason ="
                    " CASE WHEN m.way_back_failed"
                    "  THEN left('went back when it was told again; before: ' || m.reason, 4000)"
                    " WHEN m.state = 'failed' OR m.detail = 'check_failing' THEN m.reason"
                    " ELSE '' END,"
                    " updated_at = now()" FROM_SERVERS THE_MEMBER
                    " AND m.state <> 'rolled_back' AND NOT " IS_STUCK("$3"),
                    rows, e, PARAM_INT(k->rollout_id), c->server_param, PARAM_INT(k->number));
}

/* Who was away, or too slow, and was brought there by the release itself: the record of the rollout
 * says so, with when. All others keep their place in it. */
static int write_late(struct pg *pg, const struct known *k, const struct columns *c,
                      struct rows **rows, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET state = 'applied', applied_at = now(),"
                    " detail = 'late', reason = 'was not there in time: applied it after the"
                    " release', steps = a.text, failed_step = '', updated_at = now()" FROM_TEXTS
                        THE_MEMBER
                    " AND m.state IN ('pending', 'ready')",
                    rows, e, PARAM_INT(k->rollout_id), c->server_param, c->text_param);
}

/* The release failed on who was away, or too slow: it had no part in the stages and stays pending,
 * and the record of the rollout says what came of it, until it works. */
static int write_failed_late(struct pg *pg, const struct known *k, const struct columns *c,
                             struct rows **rows, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE member AS m SET detail = 'failed_late', reason = n.text,"
                    " steps = n.steps, failed_step = n.failed_step, updated_at = now() FROM"
                    " (SELECT a.server_id, a.steps, a.failed_step, 'failed when it got the release"
                    " late: ' || a.text AS text FROM unnest($2::bigint[], $3::text[], $4::text[],"
                    " $5::text[]) AS a(server_id, text, steps, failed_step)) AS n"
                    " WHERE m.rollout_id = $1 AND m.server_id = n.server_id"
                    " AND m.state IN ('pending', 'ready')"
                    " AND (m.detail <> 'failed_late' OR m.reason <> n.text)",
                    rows, e, PARAM_INT(k->rollout_id), c->server_param, c->text_param,
                    c->steps_param, c->failed_steps_param);
}

/* What of a run concerns members; *rows stays NULL when nothing does. */
static int write_run(struct pg *pg, const struct counted *first, const struct columns *c,
                     bool is_broken, struct rows **rows, struct err *e)
{
    const struct known *k = first->known;

    switch (first->record->ack.kind) {
    case ACK_READY:
        return write_ready(pg, k, c, rows, e);
    case ACK_REFUSED:
        return write_refused(pg, k, c, rows, e) || write_refused_before(pg, k, c, e) ? -1 : 0;
    case ACK_ABORTED:
        return write_aborted(pg, k, c, rows, e);
    case ACK_APPLIED:
        if (k->kind == DECISION_FINALIZE)
            return write_late(pg, k, c, rows, e);
        return k->kind == DECISION_ACTIVATE ? write_applied(pg, k, c, rows, e) : 0;
    case ACK_FAILED:
        if (k->kind == DECISION_ROLLBACK)
            return write_stuck(pg, k, c, rows, e);
        if (k->kind != DECISION_ACTIVATE)
            return write_failed_late(pg, k, c, rows, e);
        return write_failed(pg, k, c, is_broken ? "broken" : "activating", rows, e) ||
                       write_taken_back(pg, k, c, e)
                   ? -1
                   : 0;
    case ACK_ROLLED_BACK:
        return write_rolled_back(pg, k, c, rows, e);
    case ACK_FINALIZED:
        return write_late(pg, k, c, rows, e);
    case ACK_COUNT:
        break;
    }
    MUST(!"an acknowledgement has a kind");
    return -1;
}

/* ---------------------------------------------------------------- the summary */

struct scope_stats {
    int64_t rollout_id;
    char public_id[32];
    size_t counts[ACK_COUNT];
};

struct tallies {
    size_t count;
    struct scope_stats *items; /* room for one per number */
};

static void tally_add(struct tallies *t, const struct counted *c, size_t changed)
{
    struct scope_stats *at = t->items;

    while (at < t->items + t->count && at->rollout_id != c->known->rollout_id)
        at++;
    if (at == t->items + t->count) {
        at->rollout_id = c->known->rollout_id;
        memcpy(at->public_id, c->known->public_id, sizeof(at->public_id));
        t->count++;
    }
    at->counts[c->record->ack.kind] += changed;
}

static void summarise(const struct tallies *t, size_t scopes, struct acks_summary *out)
{
    buffer_add_text(&out->data, "{\"rollouts\":{");
    for (size_t i = 0; i < t->count; i++) {
        const char *comma = "";

        buffer_printf(&out->data, "%s\"%s\":{", i ? "," : "", t->items[i].public_id);
        for (int kind = 0; kind < ACK_COUNT; kind++) {
            size_t n = t->items[i].counts[kind];

            if (n == 0)
                continue;
            buffer_printf(&out->data, "%s\"%s\":%zu", comma, ack_name((enum ack_kind)kind), n);
            out->changed_count += n;
            comma = ",";
        }
        buffer_add_text(&out->data, "}");
    }
    buffer_printf(&out->data, "},\"scopes\":%zu}", scopes);
    out->changed_count += scopes;
    out->rollout_id = t->count == 1 ? t->items[0].rollout_id : 0;
}

/* ---------------------------------------------------------------- the whole */

static bool is_one_run(const struct counted *a, const struct counted *b)
{
    return a->record->ack.number == b->record->ack.number &&
           a->record->ack.kind == b->record->ack.kind &&
           a->record->ack.is_broken == b->record->ack.is_broken;
}

static int write_members(struct pg *pg, const struct counted *items, size_t count,
                         struct tallies *tallies, struct err *e)
{
    size_t next;

    for (size_t i = 0; i < count; i = next) {
        struct columns c = { 0 };
        SCOPED(rows_free) struct rows *rows = NULL;
        int status;

        for (next = i + 1; next < count && is_one_run(&items[i], &items[next]);)
            next++;
        fill_columns(&c, &items[i], next - i);
        if (items[i].record->ack.kind == ACK_FAILED)
            fill_failures(&c, &items[i], next - i);
        status = write_run(pg, &items[i], &c, items[i].record->ack.is_broken, &rows, e);
        columns_fini(&c);
        if (status)
            return -1;
        tally_add(tallies, &items[i], rows ? rows_affected(rows) : 0);
    }
    return 0;
}

int acks_write(struct pg *pg, struct ack_batch *const *batches, size_t batch_count,
               struct acks_summary *out, struct err *e)
{
    struct known *known = NULL;
    struct counted *items;
    struct tallies tallies = { 0 };
    size_t known_count, count, scopes = 0;
    int status;

    *out = (struct acks_summary){ 0 };
    if (acks_look_up(pg, batches, batch_count, &known, &known_count, e))
        return -1;
    if (acks_mark(pg, batches, batch_count, known, known_count, e)) {
        free(known);
        return -1;
    }
    items = count_in(batches, batch_count, known, known_count, &count);
    tallies.items = memory_array(known_count + 1, sizeof(*tallies.items));
    status = acks_write_scopes(pg, items, count, &scopes, e) ||
                     acks_write_kept(pg, items, count, &scopes, e) ||
                     write_members(pg, items, count, &tallies, e) /* it asks the scopes */
                 ? -1
                 : 0;
    if (status == 0)
        summarise(&tallies, scopes, out);
    free(tallies.items);
    free(items);
    free(known);
    return status;
}

int acks_audit(struct pg *pg, const struct acks_summary *summary, struct err *e)
{
    if (summary->changed_count == 0)
        return 0;
    return PG_QUERY(pg,
                    "SELECT audit_append('lockstepd', 'rollout.acks', nullif($1, 0::bigint), NULL,"
                    " NULL, $2::jsonb)",
                    NULL, e, PARAM_INT(summary->rollout_id), PARAM_TEXT(summary->data.data));
}
