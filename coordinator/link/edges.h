/* edges.h - what the loop's parts work with: the sockets, threads and tables of this process. */
#ifndef COORDINATOR_LINK_EDGES_H
#define COORDINATOR_LINK_EDGES_H

#include <stdint.h>

#include "common/wire/wire.h"
#include "coordinator/link/document_cache.h"
#include "coordinator/link/roster.h"
#include "coordinator/link/router.h"
#include "coordinator/settings/settings.h"
#include "coordinator/store/leader/lease.h"
#include "coordinator/store/leader/loader.h"
#include "coordinator/store/leader/secret_reader.h"
#include "coordinator/store/leader/writer.h"

struct log_limit;

struct edges {
    const struct coordinator_settings *settings;
    struct router *router;
    struct writer *writer;
    struct loader *loader;
    struct secret_reader *secret_reader;
    struct lease *lease;
    struct roster *roster;
    struct document_cache *contents;
    struct log_limit *limit; /* lines that agents can cause go through it; NULL: none are written */
    uint8_t cluster_id[WIRE_CLUSTER_ID_SIZE];
    uint32_t gen; /* of the leadership this process speaks for; 0: it does not lead */
    uint64_t epoch;
    uint64_t message_id; /* of the newest message sent */
    int64_t *left_out;   /* rollouts that can be neither led nor ended, while this process lives */
    size_t left_out_count;
};

void edges_leave_out(struct edges *e, int64_t rollout_id);
bool edges_is_left_out(const struct edges *e, int64_t rollout_id);

/* The envelope of a message to this server (NULL: to somebody without a session). */
struct wire_envelope edges_envelope(struct edges *e, enum wire_type type,
                                    const struct roster_server *to);
/* Best effort, as every send. */
void edges_send(struct edges *e, const struct roster_server *to, enum wire_type type,
                const struct router_frame *body);
void edges_send_bytes(struct edges *e, const struct roster_server *to, enum wire_type type,
                      const void *body, size_t size);

/* Takes the malloc'ed bytes and wipes them. */
void edges_send_secret(struct edges *e, const struct roster_server *to, enum wire_type type,
                       uint8_t **body, size_t size);

#endif
