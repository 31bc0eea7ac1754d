/* report.h - what a consumer and the agent say to each other over the socket in the agent's folder.
 *
 * One packet of a SOCK_SEQPACKET socket is one struct report, whole. A consumer registers once per
 * connection and then confirms; the connection is its life. The agent learns user and groups from
 * the kernel, not from the packet.
 */
#ifndef AGENT_CLIENT_REPORT_H
#define AGENT_CLIENT_REPORT_H

#include <stdint.h>

#include "agent/client/published.h"

#define REPORT_MAGIC UINT32_C(0x314b5052)
#define REPORT_SCOPE_SIZE 204 /* texts with their terminating zeros */
#define REPORT_NAME_SIZE 64
#define REPORT_TEXT_SIZE 1000

enum report_kind {
    REPORT_REGISTER = 1, /* scope, name */
    REPORT_RUNS,         /* revision, hash */
    REPORT_CANNOT,       /* revision, hash, text: why not */
    REPORT_REJECTED,     /* the agent's: text; the connection ends */
};

struct report {
    uint32_t magic;
    uint32_t kind;
    uint64_t revision;
    uint8_t hash[PUBLISHED_HASH_SIZE];
    char scope[REPORT_SCOPE_SIZE];
    char name[REPORT_NAME_SIZE];
    char text[REPORT_TEXT_SIZE];
};

#endif
