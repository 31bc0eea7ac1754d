/* edges.c - envelopes, and sends that may be lost. */
#include "coordinator/link/edges.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"

bool edges_is_left_out(const struct edges *e, int64_t rollout_id)
{
    for (size_t i = 0; i < e->left_out_count; i++)
        if (e->left_out[i] == rollout_id)
            return true;
    return false;
}

void edges_leave_out(struct edges *e, int64_t rollout_id)
{
    if (edges_is_left_out(e, rollout_id))
        return;
    e->left_out = reallocarray(e->left_out, e->left_out_count + 1, sizeof(*e->left_out));
    MUST(e->left_out);
    e->left_out[e->left_out_count++] = rollout_id;
}

struct wire_envelope edges_envelope(struct edges *e, enum wire_type type,
                                    const struct roster_server *to)
{
    struct wire_envelope envelope = { .version = WIRE_VERSION,
                                      .type = type,
                                      .gen = e->gen,
                                      .epoch = e->epoch,
                                      .message_id = ++e->message_id,
                                      .session = to ? to->session : 0 };

    memcpy(envelope.cluster_id, e->cluster_id, sizeof(envelope.cluster_id));
    return envelope;
}

void edges_send(struct edges *e, const struct roster_server *to, enum wire_type type,
                const struct router_frame *body)
{
    struct wire_envelope envelope = edges_envelope(e, type, to);

    if (to->has_peer)
        (void)router_send(e->router, &to->peer, &envelope, body);
}

void edges_send_bytes(struct edges *e, const struct roster_server *to, enum wire_type type,
                      const void *body, size_t size)
{
    struct wire_envelope envelope = edges_envelope(e, type, to);

    if (to->has_peer)
        (void)router_send_bytes(e->router, &to->peer, &envelope, body, size);
}

void edges_send_secret(struct edges *e, const struct roster_server *to, enum wire_type type,
                       uint8_t **body, size_t size)
{
    struct wire_envelope envelope = edges_envelope(e, type, to);

    if (to->has_peer)
        (void)router_send_secret(e->router, &to->peer, &envelope, body, size);
}
