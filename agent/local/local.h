/* local.h - HTTP for programs of this server: on a Unix socket, perhaps on loopback too.
 *
 *     GET /v1/config/SERVICE/ENV[?format=json|yaml|env]   what is active; ETag is its content hash
 *     GET /v1/config/SERVICE/ENV/KEY[?raw=1]
 *     POST /v1/config/SERVICE/ENV/confirm                 what this process runs (local_confirm.h)
 *     GET /v1/watch/SERVICE/ENV?since=REVISION&timeout=30 long poll
 *     GET /v1/events/SERVICE/ENV                          server-sent events of changes
 *     GET /v1/status   /healthz   /metrics                the agent itself
 *
 * Its threads are its own. They read what the agent published through liblockstep, and of the agent
 * nothing but the status it gives away; so nobody here can make the agent wait. Connections, bodies
 * and times are limited (local_peer.h).
 */
#ifndef AGENT_LOCAL_LOCAL_H
#define AGENT_LOCAL_LOCAL_H

#include "agent/local/status.h"
#include "agent/settings/settings.h"
#include "common/err.h"

struct desk;
struct local;

/* The settings are not lent: what is needed is copied. -1: it cannot listen. */
int local_start(const struct agent_settings *settings, struct local **out, struct err *e)
    __attribute__((warn_unused_result));
/* Newer settings with an equal [local] section: scopes come and go. */
void local_follow(struct local *l, const struct agent_settings *settings);
/* Takes the status; it is what is answered from now on. */
void local_tell(struct local *l, struct status **status);
/* Where asks for secrets lie, for the loop's thread. */
struct desk *local_desk(struct local *l);
void local_stop(struct local *l); /* NULL is fine */

#endif
