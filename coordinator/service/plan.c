/* plan.c - works out a rollout's plan with the same functions that later carry it out. */
#include "coordinator/service/plan.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "coordinator/core/cohort.h"
#include "coordinator/policy/selection.h"
#include "coordinator/service/conform.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/config/secrets.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/environments.h"
#include "coordinator/store/rollout/servers.h"
#include "coordinator/store/transaction.h"

void plan_fini(struct plan *p)
{
    free(p->strategy);
    free(p->stage_of);
    rows_free(p->servers);
    memset(p, 0, sizeof(*p));
}

/* ---------------------------------------------------------------- contents and servers */

static int find_contents(struct pg *pg, struct plan *p, struct err *e)
{
    for (size_t i = 0; i < p->change_count; i++) {
        struct plan_change *c = &p->changes[i];

        if (scopes_check_held(pg, &c->scope, e) < 0)
            return -1;
        c->from = c->scope.settled;
        if (revision_document(pg, c->scope.scope_id, c->from, &c->from_hash, NULL, NULL, e) ||
            revision_document(pg, c->scope.scope_id, c->to, &c->to_hash, NULL, NULL, e))
            return -1;
    }
    return 0;
}

/* The environment that asks for most decides. */
static int find_approvals(struct pg *pg, struct plan *p, struct err *e)
{
    struct environment environment;

    p->approvals = 0;
    for (size_t i = 0; i < p->change_count; i++) {
        if (environments_get(pg, p->changes[i].scope.environment, &environment, e) < 0)
            return -1;
        if (environment.approvals > p->approvals)
            p->approvals = environment.approvals;
    }
    return 0;
}

/* Under the schemas of this moment: those that the agents get. */
static int check_schemas(struct pg *pg, struct problems *problems, struct plan *p, struct err *e)
{
    for (size_t i = 0; i < p->change_count && !p->is_going_back; i++) {
        struct plan_change *c = &p->changes[i];

        if (conform_check_rollout(pg, problems, c->scope.service, &c->from_hash, &c->to_hash,
                                       "/changes", &c->schemas, e) < 0)
            return -1;
    }
    return 0;
}

static int find_servers(struct pg *pg, struct plan *p, struct err *e)
{
    int64_t ids[ROLLOUT_SCOPES_MAX];

    for (size_t i = 0; i < p->change_count; i++)
        ids[i] = p->changes[i].scope.scope_id;
    if (servers_of_scopes(pg, ids, p->change_count, &p->servers, e) < 0)
        return -1;
    p->server_count = (uint32_t)rows_count(p->servers);
    return 0;
}

/* Who is reachable at the moment is left out: that changes by the minute and makes no other plan,
 * although who is there is taken first. */
static void find_hash(struct plan *p)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    char from[HASH_HEX_SIZE], to[HASH_HEX_SIZE];
    struct hash hash;

    for (size_t i = 0; i < p->change_count; i++) {
        const struct plan_change *c = &p->changes[i];

        hash_to_hex(&c->from_hash, from);
        hash_to_hex(&c->to_hash, to);
        buffer_printf(&text, "%s/%s %" PRIu64 " %s %" PRIu64 " %s\n", c->scope.service,
                      c->scope.environment, c->from, from, c->to, to);
    }
    buffer_printf(&text, "%s\n", p->strategy);
    for (uint32_t i = 0; i < p->server_count; i++) {
        struct server_planned s = server_planned_at(p->servers, i);

        buffer_printf(&text, "%s %s\n", s.name, s.labels);
    }
    digest_sha256(text.data, text.size, &hash);
    hash_to_hex(&hash, p->hash);
    memcpy(p->salt, p->hash, PLAN_SALT_SIZE - 1);
}

/* ---------------------------------------------------------------- stages */

static void note_stage(struct plan *p, unsigned stage, const struct bitset *chosen,
                       struct bitset *placed)
{
    for (uint32_t s = bitset_next(chosen, 0); s != BITSET_END; s = bitset_next(chosen, s + 1))
        p->stage_of[s] = (uint8_t)stage;
    bitset_unite(placed, chosen);
}

static int choose_stages(struct problems *problems, struct plan *p,
                         const struct selection_server *servers, struct candidate *candidates,
                         struct bitset *placed, struct bitset *chosen)
{
    for (unsigned i = 0; i < p->spec.core.stage_count; i++) {
        uint32_t matching =
            selection_mark(&p->spec, i, servers, candidates, p->server_count);
        const struct stage_text *text = &p->spec.stages[i];
        char pointer[64];

        if (text->selector_count && !matching) {
            snprintf(pointer, sizeof(pointer), "/strategy/stages/%u/select", i);
            problems_add(problems, pointer, "no server has the label %.80s=%.80s%s",
                         text->selectors[0].name, text->selectors[0].value,
                         text->selector_count > 1 ? " and the others" : "");
        }
        for (uint32_t k = 0; k < p->server_count; k++)
            candidates[k].is_away =
                !server_planned_at(p->servers, candidates[k].server).is_reachable;
        cohort_choose(candidates, p->server_count, &p->spec.core.stages[i].size,
                      i + 1 == p->spec.core.stage_count, placed, chosen);
        note_stage(p, i, chosen, placed);
    }
    return problems->count ? -1 : 0;
}

static int find_stages(struct problems *problems, struct plan *p, struct err *e)
{
    uint32_t count = p->server_count, words = bitset_words(count ? count : 1);
    struct selection_server *servers = calloc((size_t)count + 1, sizeof(*servers));
    struct labels *labels = calloc((size_t)count + 1, sizeof(*labels));
    struct candidate *candidates = calloc((size_t)count + 1, sizeof(*candidates));
    uint64_t *memory = calloc(2 * (size_t)words, sizeof(*memory));
    struct bitset placed, chosen;
    int rc;

    p->stage_of = calloc((size_t)count + 1, 1);
    MUST(servers && labels && candidates && memory && p->stage_of);
    for (uint32_t i = 0; i < count; i++) {
        struct server_planned s = server_planned_at(p->servers, i);

        labels_parse(s.labels, &labels[i]);
        servers[i] = (struct selection_server){ s.name, &labels[i] };
    }
    bitset_init(&placed, memory, words);
    bitset_init(&chosen, memory + words, words);
    selection_rank(&p->spec, p->salt, servers, count, candidates);
    rc = choose_stages(problems, p, servers, candidates, &placed, &chosen);
    for (uint32_t i = 0; i < count; i++)
        labels_fini(&labels[i]);
    free(labels);
    free(servers);
    free(candidates);
    free(memory);
    return rc < 0 ? err_set(e, ERR_INVALID, "%s: %s", problems->items[0].pointer + 1,
                            problems->items[0].detail)
                  : 0;
}

/* An automatic way back would bring back a password that may be dead, so who said nothing about
 * failures is asked then. From here on the strategy says all. */
static int settle_strategy(struct pg *pg, struct plan *p, struct err *e)
{
    bool is_secret = false;

    for (size_t i = 0; i < p->change_count && !is_secret; i++)
        if (secrets_differ(pg, p->changes[i].scope.scope_id, p->changes[i].from,
                           p->changes[i].to, &is_secret, e) < 0)
            return -1;
    p->is_pausing_for_secrets =
        is_secret && !p->is_going_back && !p->spec.is_on_failure_said;
    if (p->is_pausing_for_secrets)
        p->spec.core.on_failure = ON_FAILURE_PAUSE;
    free(p->strategy);
    p->strategy = strategy_format(&p->spec);
    return 0;
}

int plan_make(struct pg *pg, struct problems *problems, struct plan *p, struct err *e)
{
    if (find_contents(pg, p, e) < 0 || settle_strategy(pg, p, e) < 0 ||
        check_schemas(pg, problems, p, e) < 0 ||
        find_approvals(pg, p, e) < 0 || find_servers(pg, p, e) < 0)
        return -1;
    find_hash(p);
    return find_stages(problems, p, e);
}

/* ---------------------------------------------------------------- creating */

static void note_audit(struct transaction *t, const struct plan *p, const char *public_id,
                       const struct plan_origin *origin, unsigned approvals, int64_t rollout_id)
{
    struct audit_entry entry = { .action = "rollout.create",
                                 .note = origin->note,
                                 .rollout_id = rollout_id };
    json_t *changes = json_array();

    for (size_t i = 0; i < p->change_count; i++)
        json_array_append_new(changes,
                              json_sprintf("%s/%s@%" PRIu64, p->changes[i].scope.service,
                                           p->changes[i].scope.environment, p->changes[i].to));
    transaction_note(t, &entry,
                     json_pack("{s:s,s:o,s:s,s:s,s:s,s:i,s:b}", "rollout", public_id, "changes",
                               changes, "strategy", p->strategy_name, "note", origin->note, "plan",
                               p->hash, "approvals_needed", (int)approvals, "break_glass",
                               origin->is_break_glass));
}

int plan_create(struct transaction *t, const struct plan *p, const struct plan_origin *origin,
                char public_id_out[ROLLOUT_PUBLIC_ID_SIZE], struct err *e)
{
    bool is_back = strcmp(origin->kind, "rollback") == 0;
    struct rollout_new r = { .kind = origin->kind,
                             .reverts = origin->reverts,
                             .salt = p->salt,
                             .strategy_name = p->strategy_name,
                             .strategy = p->strategy,
                             .note = origin->note,
                             .actor = t->by.name,
                             .stage_count = p->spec.core.stage_count,
                             .is_break_glass = origin->is_break_glass,
                             .approvals = is_back ? 0 : p->approvals,
                             .change_count = p->change_count };
    int64_t rollout_id;

    for (size_t i = 0; i < p->change_count; i++)
        r.changes[i] = (struct rollout_new_change){ .scope_id = p->changes[i].scope.scope_id,
                                                    .from_revision = p->changes[i].from,
                                                    .to_revision = p->changes[i].to,
                                                    .from_hash = p->changes[i].from_hash,
                                                    .to_hash = p->changes[i].to_hash,
                                                    .schemas = p->changes[i].schemas };
    if (rollouts_make_id(public_id_out, e) < 0 ||
        rollouts_insert(t->pg, &r, public_id_out, &rollout_id, e) < 0)
        return -1;
    note_audit(t, p, public_id_out, origin, r.approvals, rollout_id);
    return 0;
}
