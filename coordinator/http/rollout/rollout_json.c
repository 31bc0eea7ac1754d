/* rollout_json.c - puts the pictures of rollouts together. */
#include "coordinator/http/rollout/rollout_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/core/cohort.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/policy/strategy.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/rollout_views.h"

static const char *const states[] = { "pending", "ready", "applied", "failed", "rolled_back" };
#define STATE_COUNT (sizeof(states) / sizeof(states[0]))

struct counts {
    uint64_t of[STATE_COUNT];
    uint64_t failing; /* of the applied: the check says no */
};

/* All that is known of one rollout while its object is made. */
struct picture {
    struct rollout_view view;
    struct counts all, stages[ROLLOUT_STAGES_MAX];
    uint64_t members; /* in opened stages */
    uint64_t away;    /* of them: have it not, and are not reachable now */
    struct rollout_view_fleet fleet;
};

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *counts_json(const struct counts *c)
{
    json_t *out = json_object();

    for (size_t i = 0; i < STATE_COUNT; i++)
        json_object_set_new(out, states[i], json_integer((json_int_t)c->of[i]));
    return out;
}

/* ---------------------------------------------------------------- gathering */

static void add_count(struct picture *p, const struct rollout_view_count *row)
{
    for (size_t i = 0; i < STATE_COUNT; i++) {
        if (strcmp(states[i], row->state) != 0)
            continue;
        p->all.of[i] += row->count;
        p->all.failing += row->failing;
        if (row->stage >= 0 && row->stage < ROLLOUT_STAGES_MAX) {
            p->stages[row->stage].of[i] += row->count;
            p->stages[row->stage].failing += row->failing;
        }
    }
    p->members += row->count;
    p->away += row->away;
}

static void gather(struct picture *p, const struct rows *counts, const struct rows *fleets)
{
    for (size_t i = 0; i < rows_count(counts); i++) {
        struct rollout_view_count row = rollout_view_count_at(counts, i);

        if (row.rollout_id == p->view.rollout_id)
            add_count(p, &row);
    }
    for (size_t i = 0; i < rows_count(fleets); i++) {
        struct rollout_view_fleet row = rollout_view_fleet_at(fleets, i);

        if (row.rollout_id == p->view.rollout_id)
            p->fleet = row;
    }
    p->all.of[0] += p->fleet.outside; /* pending: stages to come */
}

/* ---------------------------------------------------------------- parts */

static json_t *changes_json(const struct rollout_view *view, const struct rows *rows)
{
    json_t *list = json_array();

    for (size_t i = 0; i < rows_count(rows); i++) {
        struct rollout_view_change c = rollout_view_change_at(rows, i);

        if (c.rollout_id == view->rollout_id)
            json_array_append_new(list, json_pack("{s:s,s:s,s:I,s:I}", "service", c.service,
                                                  "environment", c.environment, "from_revision",
                                                  (json_int_t)c.from_revision, "to_revision",
                                                  (json_int_t)c.to_revision));
    }
    return list;
}

static const char *stage_state(const struct rollout_view *view, unsigned stage)
{
    bool was_opened = view->is_opened && (int64_t)stage <= view->stage;

    if (!was_opened)
        return view->is_final ? "skipped" : "pending";
    if (view->is_final)
        return view->state;
    return (int64_t)stage < view->stage && strcmp(view->phase, "rolling_back") != 0 &&
                   strcmp(view->phase, "finalizing") != 0
               ? "applied"
               : view->phase;
}

/* What a stage to come will add, by the sizes alone; -1 when a selector decides. */
static int64_t stage_forecast(const struct picture *p, const struct strategy *strategy,
                              unsigned stage, uint64_t *placed)
{
    uint64_t total = p->members + p->fleet.outside, target;

    if (stage + 1 == strategy->stage_count)
        target = total;
    else if (strategy->stages[stage].size.kind == SIZE_SELECT)
        return -1;
    else
        target = cohort_target(&strategy->stages[stage].size, (uint32_t)total);
    if (target <= *placed)
        return 0;
    total = target - *placed;
    *placed = target;
    return (int64_t)total;
}

static json_t *stages_json(const struct picture *p, const struct strategy_spec *spec)
{
    json_t *list = json_array();
    uint64_t placed = p->members;

    for (unsigned i = 0; i < spec->core.stage_count; i++) {
        bool was_opened = p->view.is_opened && (int64_t)i <= p->view.stage;
        struct counts c = p->stages[i];
        int64_t servers = 0;

        for (size_t s = 0; s < STATE_COUNT; s++)
            servers += (int64_t)c.of[s];
        if (!was_opened && !p->view.is_final) {
            servers = stage_forecast(p, &spec->core, i, &placed);
            c.of[0] = servers > 0 ? (uint64_t)servers : 0;
        }
        json_array_append_new(list,
                              json_pack("{s:s,s:o,s:s,s:o,s:I}", "name", spec->stages[i].name,
                                        "servers",
                                        servers < 0 ? json_null() : json_integer(servers), "state",
                                        stage_state(&p->view, i), "counts", counts_json(&c),
                                        "check_failing", (json_int_t)c.failing));
    }
    return list;
}

static json_t *latency_json(const struct rollout_latency *l)
{
    if (!l->is_known)
        return json_null();
    return json_pack("{s:I,s:I,s:I}", "p50", (json_int_t)l->p50, "p99", (json_int_t)l->p99, "max",
                     (json_int_t)l->max);
}

/* Pause is a flag in the database and a state to people. */
static const char *shown_state(const struct rollout_view *view)
{
    return view->is_paused && strcmp(view->state, "running") == 0 ? "paused" : view->state;
}

/* What ended has none any more, and what waits to be let start has none yet. */
static bool has_phase(const struct rollout_view *v)
{
    return !v->is_final && strcmp(v->state, "awaiting_approval") != 0 &&
           strcmp(v->state, "scheduled") != 0;
}

static void add_approvals(const struct rollout_view *v, json_t *out)
{
    json_t *given =
        rowjson(*v->approvals ? v->approvals : "[]", "approvals of a rollout", v->id);

    json_object_set_new(out, "approvals",
                        json_pack("{s:I,s:o,s:b}", "needed", (json_int_t)v->approvals_needed,
                                  "given", given, "overtaken", v->is_overtaken));
}

static json_t *picture_json(const struct picture *p, const struct rows *changes)
{
    const struct rollout_view *v = &p->view;
    struct strategy_spec *spec = malloc(sizeof(*spec));
    json_t *out = json_object(), *stages;
    struct err e;

    MUST(spec);
    stages = strategy_parse(v->strategy, spec, NULL, &e) == 0 ? stages_json(p, spec) : json_array();
    free(spec);
    json_object_update_new(
        out, json_pack("{s:s,s:s,s:o,s:o,s:s,s:o,s:o,s:b,s:s,s:o}", "id", v->id, "kind", v->kind,
                       "reverts", text_or_null(v->reverts), "rolled_back_by",
                       text_or_null(v->rolled_back_by), "state", shown_state(v), "phase",
                       has_phase(v) ? json_string(v->phase) : json_null(), "stage",
                       json_integer(v->stage), "paused", v->is_paused, "reason", v->reason,
                       "changes", changes_json(v, changes)));
    json_object_update_new(
        out,
        json_pack("{s:o,s:s,s:s,s:b,s:s,s:s,s:o,s:o,s:o,s:I,s:I,s:o,s:o}", "strategy",
                  rowjson(v->strategy, "strategy of a rollout", v->id), "strategy_name",
                  v->strategy_name, "note", v->note, "break_glass", v->is_break_glass,
                  "created_by", v->created_by, "created_at", v->created_at,
                  "started_at", text_or_null(v->started_at), "finished_at",
                  text_or_null(v->finished_at), "counts", counts_json(&p->all), "check_failing",
                  (json_int_t)p->all.failing, "unreachable",
                  (json_int_t)(v->is_final ? p->away : p->fleet.unreachable), "stages", stages,
                  "latency_ms", json_null()));
    json_object_set_new(out, "phase_ms", has_phase(v) ? json_integer(v->phase_ms) : json_null());
    add_approvals(v, out);
    return out;
}

/* ---------------------------------------------------------------- together */

static int add_latencies(struct pg *pg, int64_t rollout_id, json_t *object, struct err *e)
{
    struct rollout_latency ready, applied;

    if (rollout_view_latencies(pg, rollout_id, &ready, &applied, e) < 0)
        return -1;
    json_object_set_new(object, "latency_ms",
                        json_pack("{s:o,s:o}", "ready", latency_json(&ready), "applied",
                                  latency_json(&applied)));
    return 0;
}

static int fill(struct pg *pg, const struct rows *views, const int64_t *ids, size_t count,
                bool has_latencies, json_t *list, struct err *e)
{
    SCOPED(rows_free) struct rows *changes = NULL;
    SCOPED(rows_free) struct rows *counts = NULL;
    SCOPED(rows_free) struct rows *fleets = NULL;

    if (rollout_view_changes(pg, ids, count, &changes, e) < 0 ||
        rollout_view_counts(pg, ids, count, &counts, e) < 0 ||
        rollout_view_fleets(pg, ids, count, &fleets, e) < 0)
        return -1;
    for (size_t i = rows_count(views); i-- > 0;) {
        struct picture p = { .view = rollout_view_at(views, i) };
        json_t *object;

        gather(&p, counts, fleets);
        object = picture_json(&p, changes);
        json_array_append_new(list, object);
        if (has_latencies && add_latencies(pg, p.view.rollout_id, object, e) < 0)
            return -1;
    }
    return 0;
}

int rollout_json(struct pg *pg, const int64_t *ids, size_t count, bool has_latencies,
                 struct json_t **out, struct err *e)
{
    SCOPED(rows_free) struct rows *views = NULL;
    json_t *list;

    if (rollout_views(pg, ids, count, &views, e) < 0)
        return -1;
    list = json_array();
    if (fill(pg, views, ids, count, has_latencies, list, e) < 0) {
        json_decref(list);
        return -1;
    }
    *out = list;
    return 0;
}

int rollout_json_one(struct pg *pg, int64_t rollout_id, struct json_t **out, struct err *e)
{
    json_t *list;

    if (rollout_json(pg, &rollout_id, 1, true, &list, e) < 0)
        return -1;
    *out = json_incref(json_array_get(list, 0));
    json_decref(list);
    if (!*out)
        return err_set(e, ERR_CORRUPT, "rollout number %lld has no row that can be shown",
                       (long long)rollout_id);
    return 0;
}
