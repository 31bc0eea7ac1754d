/* descriptors.c - who of a coordinator may take how many of the process's descriptors. */
#include "coordinator/descriptors.h"

#include <sys/resource.h>

#define KEPT 192   /* threads' connections to the database, files, 32 webhooks, 16 of a Vault */
#define SPARE 2048 /* of agents that come back before they were missed */
#define HTTP_MAX 10000

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void descriptors_deal(uint64_t limit, uint64_t servers_max, uint64_t workers,
                      struct descriptors *out)
{
    uint64_t kept = least(KEPT + workers, limit - limit / 4); /* each asks the database */
    uint64_t free = limit - kept > 2 ? limit - kept : 2;

    out->agents = (uint32_t)least(least(servers_max + SPARE, free / 2), UINT32_MAX);
    out->http = (uint32_t)least(HTTP_MAX, free - out->agents);
}

void descriptors_of_process(uint64_t servers_max, uint64_t workers, struct descriptors *out)
{
    struct rlimit limit = { .rlim_cur = 1024 };

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    descriptors_deal(limit.rlim_cur, servers_max, workers, out);
}
