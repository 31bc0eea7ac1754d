/* drifting.c - what agents tell of files and documents that are not as they should be, written down. */
#include "coordinator/drifting.h"

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
static bool may_tell(struct drifting *d, struct roster_server *s)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t since_ms = now_ms - (int64_t)OF_ONE_MAX * OF_ONE_EVERY_MS;

    if (s->told_ms < since_ms)
        s->told_ms = since_ms;
    if (s->told_ms + OF_ONE_EVERY_MS > now_ms || !allowance_take(&d->tellings, TELLINGS_MAX))
        return false;
    s->told_ms += OF_ONE_EVERY_MS;
    return true;
}

static void write(struct drifting *d, struct roster_server *s, const struct roster_scope *scope,
                  bool is_drifted, struct wire_text text)
{
    roster_set_drifted(d->edges->roster, s, scope->index, is_drifted);
    writer_drift(d->edges->writer, s->server_id, scope->scope_id, is_drifted, text.at, text.size);
}

void drifting_hear(struct drifting *d, struct roster_server *s, const struct wire_check *check)
{
    const struct roster_scope *scope =
        roster_scope_by_name(d->edges->roster, check->service, check->environment);
    uint64_t said = scope ? check->sequence * WIRE_SCOPES_MAX + scope->index + 1 : 0;

    if (!scope || !roster_is_entitled(d->edges->roster, s, scope->index) || s->drift_said == said ||
        !may_tell(d, s))
        return;
    s->drift_said = said;
    write(d, s, scope, check->is_failing, check->detail);
}

void drifting_settle(struct drifting *d, struct roster_server *s,
                     const struct wire_digest *digests, unsigned count)
{
    for (unsigned i = 0; s->drifted && i < count; i++) {
        const struct roster_scope *scope =
            roster_scope_by_name(d->edges->roster, digests[i].service, digests[i].environment);

        if (digests[i].is_drifted || !scope || !roster_is_drifted(s, scope->index) ||
            !may_tell(d, s))
            continue;
        write(d, s, scope, false, (struct wire_text){ 0 });
        s->drift_said = 0;
    }
}
