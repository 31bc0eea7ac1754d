/* refusing.c - saying no to whoever may not be heard: strangers, other clusters, versions and clones. */
#include "coordinator/link/refusing.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log_limit.h"

#define RETRY_MS 1000
#define VERSION_RETRY_MS 30000 /* nothing changes before somebody installs another version */

void refuse_peer(struct edges *e, const struct router_peer *peer, enum wire_reject why,
                 const char *leader_router)
{
    struct wire_rejection body = {
        .reject = why,
        .retry_after_ms = why == WIRE_REJECT_VERSION ? VERSION_RETRY_MS : RETRY_MS,
    };
    struct wire_envelope envelope = edges_envelope(e, WIRE_REJECT, NULL);
    uint8_t bytes[1024];
    size_t size;

    if (why == WIRE_REJECT_NOT_LEADER)
        body.address = wire_text_of(leader_router);
    size = wire_encode_reject(&body, bytes, sizeof(bytes));
    MUST(size > 0);
    (void)router_send_bytes(e->router, peer, &envelope, bytes, size);
}

void refuse_version(struct edges *e, const struct roster_server *s,
                    const struct router_message *m)
{
    char reason[160];

    snprintf(reason, sizeof(reason),
             "it speaks version %u of the protocol, this coordinator version %u: install the same "
             "release on both",
             m->envelope.version, WIRE_VERSION);
    log_limit_warn(e->limit, clock_monotonic_ms(), "an agent of another version is refused",
                   s ? s->name : m->key, reason);
    refuse_peer(e, &m->peer, WIRE_REJECT_VERSION, "");
}

bool refuse_cluster(const struct edges *e, const struct wire_envelope *envelope)
{
    static const uint8_t none[WIRE_CLUSTER_ID_SIZE];

    return memcmp(e->cluster_id, none, sizeof(none)) != 0 &&
           memcmp(envelope->cluster_id, none, sizeof(none)) != 0 &&
           memcmp(envelope->cluster_id, e->cluster_id, sizeof(none)) != 0;
}
