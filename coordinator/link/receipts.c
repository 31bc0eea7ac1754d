/* receipts.c - a queue of servers in the order of their oldest unreceipted entry. */
#include "coordinator/link/receipts.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/memory.h"

#define HOLD_MS 430 /* an agent repeats after 500 ms at the earliest */
#define IDS_MAX 4 /* more at once are sent without waiting */

/* What one server is to be told; by roster index. */
struct pending {
    uint64_t session; /* the entries came in */
    uint64_t ids[IDS_MAX];
    uint32_t count;
    bool is_queued;
};

struct waiting {
    uint32_t server;
    int64_t due_ms;
};

struct receipts {
    struct edges *edges;
    struct pending *pending;
    struct waiting *queue; /* a ring: every server waits at most once */
    uint32_t size, first, count;
};

struct receipts *receipts_new(struct edges *edges)
{
    struct receipts *r = memory_new(sizeof(*r));

    r->edges = edges;
    r->size = coordinator_settings_places(edges->settings);
    r->pending = calloc(r->size, sizeof(*r->pending));
    r->queue = calloc(r->size, sizeof(*r->queue));
    MUST(r->pending && r->queue);
    return r;
}

void receipts_free(struct receipts *r)
{
    if (!r)
        return;
    free(r->pending);
    free(r->queue);
    free(r);
}

/* Outbox ids start over on a new disk: what came in a session that is over is not receipted. */
static void send(struct receipts *r, uint32_t server)
{
    const struct roster_server *s = roster_server(r->edges->roster, server);
    struct pending *p = &r->pending[server];
    struct wire_receipt body = { .id_count = (uint16_t)p->count };
    uint8_t bytes[16 + IDS_MAX * sizeof(uint64_t)];
    size_t size;

    for (uint32_t i = 0; i < p->count; i++)
        body.ids[i] = p->ids[i];
    p->count = 0;
    if (s->session != p->session)
        return;
    size = wire_encode_receipt(&body, bytes, sizeof(bytes));
    MUST(size > 0);
    edges_send_bytes(r->edges, s, WIRE_RECEIPT, bytes, size);
}

void receipts_add(struct receipts *r, uint32_t server, uint64_t session, uint64_t outbox_id)
{
    struct pending *p = &r->pending[server];

    if (p->session != session)
        p->count = 0;
    p->session = session;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->ids[i] == outbox_id)
            return;
    if (p->count == IDS_MAX)
        send(r, server);
    p->ids[p->count++] = outbox_id;
    if (p->is_queued)
        return;
    p->is_queued = true;
    MUST(r->count < r->size);
    r->queue[(r->first + r->count++) % r->size] =
        (struct waiting){ .server = server, .due_ms = clock_monotonic_ms() + HOLD_MS };
}

void receipts_tick(struct receipts *r)
{
    int64_t now_ms = clock_monotonic_ms();

    while (r->count && r->queue[r->first].due_ms <= now_ms) {
        uint32_t server = r->queue[r->first].server;

        r->first = (r->first + 1) % r->size;
        r->count--;
        r->pending[server].is_queued = false;
        if (r->pending[server].count)
            send(r, server);
    }
}
