/* router_key.h - is this coordinator's key the one by which the agents of the cluster know it?
 *
 * Agents are given one public key and talk to nobody else: a coordinator that has another pair
 * would lead, be ready, and hear no agent. The cluster's key is kept in the database by the first
 * coordinator that starts; whoever comes with another does not start.
 */
#ifndef COORDINATOR_ROUTER_KEY_H
#define COORDINATOR_ROUTER_KEY_H

#include "common/err.h"

struct coordinator_settings;

/* Needs the tables. ERR_CONFLICT names both keys and the remedy. A key file that is missing is
 * made only where no coordinator was before: a new pair would be the wrong one. */
int router_key_check(const struct coordinator_settings *s, struct err *e)
    __attribute__((warn_unused_result));

/* `lockstepd replace-router-key`: from now on the cluster's key is this coordinator's, which is
 * made when there is none. Returns the exit code. */
int router_key_replace_command(const struct coordinator_settings *s);

#endif
