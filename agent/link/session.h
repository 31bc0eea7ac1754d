/* session.h - how this agent stands with its coordinators. */
#ifndef AGENT_LINK_SESSION_H
#define AGENT_LINK_SESSION_H

#include <stdbool.h>
#include <stdint.h>

struct log_limit;

struct session {
    /* Since the start of the program, whichever coordinator it was. */
    uint64_t boot_nonce, message_id;
    bool is_heard;              /* some coordinator of the cluster was */
    int64_t word_ms;            /* when one was heard last; at first the start */
    struct log_limit *repeated; /* for what coordinators would make it log again and again */

    /* Of this connection. */
    uint64_t id; /* 0: none yet */
    bool is_welcomed;
    int64_t opened_ms, hello_ms, hello_wait_ms;
    int64_t welcomed_ms; /* when its first WELCOME came */
    int64_t heard_ms, heartbeat_ms;
    char rejection[400];    /* why the coordinator does not welcome it, as it was logged */
    char said_trouble[512]; /* so that it is logged once */
};

#endif
