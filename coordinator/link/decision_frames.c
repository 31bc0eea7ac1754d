/* decision_frames.c - a hash table of frames. */
#include "coordinator/link/decision_frames.h"

#include <stdlib.h>

#include "common/memory.h"
#include "common/table.h"

struct order {
    uint64_t dseq;
    enum wire_type type;
    struct router_frame *frame;
    uint32_t scope_count;
    uint32_t scopes[WIRE_SCOPES_MAX]; /* by roster index */
    UT_hash_handle hh;
};

struct decision_frames {
    struct order *table;
};

struct decision_frames *decision_frames_new(void)
{
    struct decision_frames *o = memory_new(sizeof(*o));

    return o;
}

static void drop(struct decision_frames *o, struct order *order)
{
    HASH_DEL(o->table, order);
    router_frame_free(order->frame);
    free(order);
}

void decision_frames_free(struct decision_frames *o)
{
    if (!o)
        return;
    while (o->table)
        drop(o, o->table);
    free(o);
}

static enum wire_type type_of(enum decision_kind kind)
{
    switch (kind) {
    case DECISION_ACTIVATE:
        return WIRE_ACTIVATE;
    case DECISION_ROLLBACK:
        return WIRE_ROLLBACK;
    case DECISION_FINALIZE:
    case DECISION_REASSERT:
    case DECISION_COUNT:
        break;
    }
    return WIRE_FINALIZE;
}

static struct order *find(const struct decision_frames *o, uint64_t dseq)
{
    struct order *found;

    HASH_FIND(hh, o->table, &dseq, sizeof(dseq), found);
    return found;
}

static void note_scopes(struct order *order, const void *body, size_t size, struct roster *roster)
{
    struct wire_decision said;
    struct err ignored; /* what this version cannot read it has no scopes of: it reaches nobody */

    if (wire_decode_decision(body, size, &said, &ignored) != 0)
        return;
    for (unsigned i = 0; i < said.scope_count; i++) {
        const struct roster_scope *scope =
            roster_scope_by_name(roster, said.scopes[i].service, said.scopes[i].environment);

        if (scope)
            order->scopes[order->scope_count++] = scope->index;
    }
}

void decision_frames_put(struct decision_frames *o, uint64_t dseq, enum decision_kind kind,
                         const void *body, size_t size, struct roster *roster)
{
    struct order *order;

    if (find(o, dseq))
        return; /* the bytes of a decision never change */
    order = memory_new(sizeof(*order));
    order->dseq = dseq;
    order->type = type_of(kind);
    order->frame = router_frame_new(body, size);
    note_scopes(order, body, size, roster);
    HASH_ADD(hh, o->table, dseq, sizeof(order->dseq), order);
}

const struct router_frame *decision_frames_get(const struct decision_frames *o, uint64_t dseq,
                                               enum wire_type *type_out)
{
    const struct order *order = find(o, dseq);

    if (!order)
        return NULL;
    *type_out = order->type;
    return order->frame;
}

bool decision_frames_is_for(const struct decision_frames *o, uint64_t dseq, struct roster *roster,
                            const struct roster_server *s)
{
    const struct order *order = find(o, dseq);

    for (uint32_t i = 0; order && i < order->scope_count; i++)
        if (roster_is_entitled(roster, s, order->scopes[i]))
            return true;
    return false;
}

void decision_frames_sweep(struct decision_frames *o, decision_frames_live_fn *is_live, void *ctx)
{
    struct order *order, *next;

    HASH_ITER(hh, o->table, order, next)
    if (!is_live(ctx, order->dseq))
        drop(o, order);
}
