/* descriptors.h - who of a coordinator may take how many of the process's descriptors.
 *
 * Strangers open connections on two ports. Both together leave enough for what the process itself
 * needs: the database, key files, requests to a Vault and to receivers of webhooks.
 */
#ifndef COORDINATOR_DESCRIPTORS_H
#define COORDINATOR_DESCRIPTORS_H

#include <stdint.h>

struct descriptors {
    uint32_t agents, http; /* connections to the port for agents, and to the API; at least one */
};

/* Of `limit` in all. Agents come first, with every server and a wave of those that come back, and
 * yet half of what may be dealt out is there for HTTP, which takes what they leave. */
void descriptors_deal(uint64_t limit, uint64_t servers_max, uint64_t workers,
                      struct descriptors *out);
/* The same of what this process has (RLIMIT_NOFILE). */
void descriptors_of_process(uint64_t servers_max, uint64_t workers, struct descriptors *out);

#endif
