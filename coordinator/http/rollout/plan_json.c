/* plan_json.c - a rollout's plan as the API shows it. */
#include "coordinator/http/rollout/plan_json.h"

#include <jansson.h>

#include "common/invariant.h"
#include "coordinator/http/request/item.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/store/config/config.h"
#include "coordinator/store/config/rolled_back.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/freezes.h"
#include "coordinator/store/rollout/servers.h"

static json_t *stage_json(const struct plan *p, unsigned stage)
{
    json_t *names = json_array();

    for (uint32_t i = 0; i < p->server_count; i++)
        if (p->stage_of[i] == stage)
            json_array_append_new(names, json_string(server_planned_at(p->servers, i).name));
    return json_pack("{s:s,s:i,s:o}", "name", p->spec.stages[stage].name, "server_count",
                     (int)json_array_size(names), "servers", names);
}

static json_t *unreachable_json(const struct plan *p)
{
    json_t *names = json_array();

    for (uint32_t i = 0; i < p->server_count; i++) {
        struct server_planned s = server_planned_at(p->servers, i);

        if (!s.is_reachable)
            json_array_append_new(names, json_string(s.name));
    }
    return names;
}

static int change_json(struct pg *pg, const struct plan_change *c, json_t **out,
                       struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    json_t *keys;

    if (config_diff(pg, c->scope.scope_id, c->from, c->to, &rows, e) < 0)
        return -1;
    keys = json_array();
    for (size_t i = 0; i < rows_count(rows); i++)
        json_array_append_new(keys, item_difference_json(rows, i));
    *out = json_pack("{s:s,s:s,s:I,s:I,s:o}", "service", c->scope.service, "environment",
                     c->scope.environment, "from_revision", (json_int_t)c->from, "to_revision",
                     (json_int_t)c->to, "keys", keys);
    return 0;
}

static int add_rolled_back(struct pg *pg, const struct plan_change *c, json_t *list,
                           struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (rolled_back_between(pg, c->scope.scope_id, c->from, c->to, &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct rolled_back b = rolled_back_at(rows, i);

        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:I,s:s}", "service", c->scope.service,
                                              "environment", c->scope.environment, "key", b.key,
                                              "version", (json_int_t)b.version, "rollout",
                                              b.rollout));
    }
    return 0;
}

int plan_json_rolled_back(struct pg *pg, const struct plan *p, struct json_t **out,
                          struct err *e)
{
    json_t *list = json_array();

    for (size_t i = 0; i < p->change_count; i++)
        if (add_rolled_back(pg, &p->changes[i], list, e) < 0) {
            json_decref(list);
            return -1;
        }
    *out = list;
    return 0;
}

/* The first freeze that stands against it at this moment, in words; NULL: none. */
static int blocked_json(struct pg *pg, const struct plan *p, json_t **out, struct err *e)
{
    *out = NULL;
    for (size_t i = 0; i < p->change_count && !*out; i++) {
        const struct scope *s = &p->changes[i].scope;

        if (freezes_check(pg, s->service, s->environment, e) == 0)
            continue;
        if (e->kind != ERR_CONFLICT)
            return -1;
        *out = json_string(e->text);
    }
    if (!*out)
        *out = json_null();
    return 0;
}

int plan_json(struct pg *pg, const struct plan *p, struct json_t **out, struct err *e)
{
    json_t *changes, *stages, *change, *rolled_back, *blocked;

    if (blocked_json(pg, p, &blocked, e) < 0)
        return -1;
    if (plan_json_rolled_back(pg, p, &rolled_back, e) < 0) {
        json_decref(blocked);
        return -1;
    }
    changes = json_array();
    stages = json_array();

    for (size_t i = 0; i < p->change_count; i++) {
        if (change_json(pg, &p->changes[i], &change, e) < 0) {
            json_decref(changes);
            json_decref(stages);
            json_decref(rolled_back);
            json_decref(blocked);
            return -1;
        }
        json_array_append_new(changes, change);
    }
    for (unsigned i = 0; i < p->spec.core.stage_count; i++)
        json_array_append_new(stages, stage_json(p, i));
    *out = json_pack("{s:b,s:s,s:o,s:o,s:s,s:i,s:o,s:o,s:o,s:i,s:b,s:o}", "dry_run", 1,
                     "plan", p->hash, "changes", changes, "strategy",
                     rowjson(p->strategy, "strategy of a plan", p->hash), "strategy_name",
                     p->strategy_name, "servers", (int)p->server_count, "stages", stages,
                     "unreachable", unreachable_json(p), "rolled_back", rolled_back,
                     "approvals", (int)p->approvals, "pauses_for_secrets",
                     p->is_pausing_for_secrets, "blocked_by", blocked);
    MUST(*out);
    return 0;
}
