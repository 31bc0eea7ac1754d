/* local_bind.h - the sockets that local HTTP listens on: one in a folder, perhaps one on loopback. */
#ifndef AGENT_LOCAL_LOCAL_BIND_H
#define AGENT_LOCAL_LOCAL_BIND_H

#include "agent/settings/local_settings.h"
#include "common/err.h"

/* Replaces what a crashed agent left at the path, and nothing else. A descriptor. */
int local_bind_unix(const struct local_settings *s, struct err *e)
    __attribute__((warn_unused_result));
int local_bind_loopback(const struct local_settings *s, struct err *e)
    __attribute__((warn_unused_result));

#endif
