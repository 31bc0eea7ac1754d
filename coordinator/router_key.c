/* router_key.c - compares the coordinator's public key with the cluster's, or makes it the cluster's. */
#include "coordinator/router_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/link/curve_keys.h"
#include "coordinator/settings/settings.h"
#include "coordinator/store/leader/cluster.h"
#include "coordinator/store/migrate.h"
#include "coordinator/store/pg.h"

_Static_assert(CLUSTER_KEY_SIZE == ROUTER_KEY_SIZE, "one size of keys");

#define REMEDY                                                                                     \
    "copy the key file of another coordinator there, or if every agent is to be given a new "      \
    "public key: lockstepd replace-router-key"

static int public_key(const struct coordinator_settings *s, char out[ROUTER_KEY_SIZE],
                      struct err *e)
{
    struct key_pair keys;
    int rc = curve_keys_load(s->router_key_file, &keys, e);

    if (rc == 0)
        memcpy(out, keys.public_key, ROUTER_KEY_SIZE);
    explicit_bzero(&keys, sizeof(keys));
    return rc;
}

int router_key_check(const struct coordinator_settings *s, struct err *e)
{
    SCOPED(pg_close) struct pg *pg = NULL;
    char known[CLUSTER_KEY_SIZE], own[ROUTER_KEY_SIZE];

    if (s->is_plain)
        return 0;
    if (pg_open(s->database_url, "lockstepd router key", &pg, e) ||
        cluster_router_key(pg, known, e))
        return -1;
    if (*known && access(s->router_key_file, F_OK) != 0)
        return err_set(e, ERR_CONFLICT,
                       "[router] key_file: %.160s is not there, and agents know the coordinators "
                       "by %s: " REMEDY, s->router_key_file, known);
    if (public_key(s, own, e) || cluster_offer_router_key(pg, own, known, e))
        return -1;
    if (strcmp(own, known) != 0)
        return err_set(e, ERR_CONFLICT,
                       "[router] key_file: %.120s has the public key %s, and agents know the "
                       "coordinators by %s: " REMEDY, s->router_key_file, own, known);
    return 0;
}

static int replace(const struct coordinator_settings *s, char own[ROUTER_KEY_SIZE], struct err *e)
{
    SCOPED(pg_close) struct pg *pg = NULL;

    if (s->is_plain)
        return err_set(e, ERR_INVALID, "[router] plain: there is no key");
    return pg_open(s->database_url, "lockstepd router key", &pg, e) || migrate(pg, e) ||
           public_key(s, own, e) || cluster_replace_router_key(pg, own, e) ? -1 : 0;
}

int router_key_replace_command(const struct coordinator_settings *s)
{
    char own[ROUTER_KEY_SIZE];
    struct err e = { 0 };

    if (replace(s, own, &e) != 0) {
        fprintf(stderr, "lockstepd: %s\n", e.text);
        return EXIT_FAILURE;
    }
    printf("agents are to know the coordinators by %s: give %s.pub to every agent and %s to every "
           "coordinator, and start them anew\n", own, s->router_key_file, s->router_key_file);
    return EXIT_SUCCESS;
}
