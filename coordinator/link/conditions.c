/* conditions.c - what agents tell between decisions, drift and failing checks, written down. */
#include "coordinator/link/conditions.h"

#include "common/clock.h"

#define TELLINGS_MAX 100
#define OF_ONE_MAX 16         /* tellings of one server that are written at once, */
#define OF_ONE_EVERY_MS 10000 /* and one more each time that passed: each is a row of the trail */

bool allowance_take(struct allowance *a, uint32_t most)
{
    int64_t now_ms = clock_monotonic_ms();

    if (now_ms - a->since_ms >= 1000)
        *a = (struct allowance){ .since_ms = now_ms };
    return a->used++ < most;
}

/* A server's own allowance comes first, so that one cannot use up that of all. */
static bool may_tell(struct conditions *c, struct roster_server *s)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t since_ms = now_ms - (int64_t)OF_ONE_MAX * OF_ONE_EVERY_MS;

    if (s->told_ms < since_ms)
        s->told_ms = since_ms;
    if (s->told_ms + OF_ONE_EVERY_MS > now_ms || !allowance_take(&c->tellings, TELLINGS_MAX))
        return false;
    s->told_ms += OF_ONE_EVERY_MS;
    return true;
}

static void write(struct conditions *c, struct roster_server *s, const struct roster_scope *scope,
                  enum condition_kind kind, bool is_bad, struct wire_text text)
{
    struct condition_note note = { .server_id = s->server_id, .scope_id = scope->scope_id,
                                   .kind = kind, .is_bad = is_bad };

    roster_set_bad(c->edges->roster, s, kind, scope->index, is_bad);
    writer_condition(c->edges->writer, &note, text.at, text.size);
}

void conditions_hear(struct conditions *c, struct roster_server *s, const struct wire_check *check)
{
    enum condition_kind kind =
        wire_text_is(check->name, WIRE_CHECK_DRIFT) ? CONDITION_DRIFT : CONDITION_CHECK;
    const struct roster_scope *scope =
        roster_scope_by_name(c->edges->roster, check->service, check->environment);

    if (!scope || !roster_is_entitled(c->edges->roster, s, scope->index) ||
        roster_said(s, kind, scope->index) == check->sequence + 1 || !may_tell(c, s))
        return;
    roster_set_said(s, kind, scope->index, check->sequence + 1);
    write(c, s, scope, kind, check->is_failing, check->detail);
}

static void settle(struct conditions *c, struct roster_server *s, const struct roster_scope *scope,
                   enum condition_kind kind, bool is_bad)
{
    if (is_bad || !roster_is_bad(s, kind, scope->index) || !may_tell(c, s))
        return;
    write(c, s, scope, kind, false, (struct wire_text){ 0 });
    roster_set_said(s, kind, scope->index, 0);
}

void conditions_settle(struct conditions *c, struct roster_server *s,
                       const struct wire_digest *digests, unsigned count)
{
    for (unsigned i = 0; (s->bad[CONDITION_DRIFT] || s->bad[CONDITION_CHECK]) && i < count; i++) {
        const struct roster_scope *scope =
            roster_scope_by_name(c->edges->roster, digests[i].service, digests[i].environment);

        if (!scope)
            continue;
        settle(c, s, scope, CONDITION_DRIFT, digests[i].is_drifted);
        settle(c, s, scope, CONDITION_CHECK, digests[i].is_check_failing);
    }
}
