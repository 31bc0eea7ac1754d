/* loop.h - the one thread that joins the edges with the core. */
#ifndef COORDINATOR_LOOP_H
#define COORDINATOR_LOOP_H

#include "common/err.h"
#include "coordinator/http/server.h"
#include "coordinator/settings/settings.h"

struct keyring;
struct listener;
struct loop;

/* Opens the ROUTER and starts the threads around the database: lease, writer, loader, and the
 * reader of secrets, which alone asks the keyring. */
int loop_open(const struct coordinator_settings *settings, const char *http_address,
              struct keyring *keyring, struct loop **out, struct err *e)
    __attribute__((warn_unused_result));
void loop_close(struct loop *l);
/* Hears of commits from now on. */
void loop_listen(struct loop *l, struct listener *listener);
/* What to do on SIGHUP; nothing at first. */
void loop_on_hangup(struct loop *l, void (*fn)(void *ctx), void *ctx);
/* Until SIGTERM or SIGINT (blocked in all threads as SIGHUP is, read here). */
void loop_run(struct loop *l);

/* An http_status_fn: what this process knows at this moment, from any thread. */
void loop_status(void *ctx, struct http_status *out);
/* Whose key was refused lately (policy/knocks.h); lent, for any thread, until loop_close. */
struct knocks *loop_knocks(const struct loop *l);
/* The address agents connect to, and the public key they need (Z85). */
const char *loop_router_address(const struct loop *l);
const char *loop_public_key(const struct loop *l);

#endif
