/* local_settings.h - the [local] section: where programs of this server read, and who may.
 *
 *     [local]
 *     socket = /run/lockstep/agent.sock   ("off": none; preset: agent.sock in publish_dir)
 *     mode = 0660                         of the socket
 *     group = www-data                    of the socket; preset: the agent's own
 *     listen = 127.0.0.1:7782             also on loopback, for every user of the server
 *     secret_users = app backup           may read secrets, over the socket
 *     connections = 128
 *     metrics_file = /var/lib/prometheus/node-exporter/lockstep.prom
 *     metrics_interval = 15s
 */
#ifndef AGENT_SETTINGS_LOCAL_SETTINGS_H
#define AGENT_SETTINGS_LOCAL_SETTINGS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

#define LOCAL_SECRET_USERS_MAX 64

struct local_settings {
    char *socket; /* NULL after the check: none */
    char *mode_text, *group_text, *listen_text, *secret_users_text;
    char *metrics_file;
    int64_t connections, metrics_interval_ms;
    mode_t mode;
    bool has_group, is_socket_too_long; /* the preset path is; then there is none */
    gid_t group;
    struct sockaddr_in6 listen; /* family 0: nowhere; or a sockaddr_in inside */
    unsigned secret_user_count;
    uid_t secret_users[LOCAL_SECRET_USERS_MAX];
};

/* Fills what the texts say. publish_dir: where the socket lies unless it was named. */
int local_settings_check(struct local_settings *s, const char *publish_dir, struct err *e)
    __attribute__((warn_unused_result));
bool local_settings_equal(const struct local_settings *a, const struct local_settings *b);

#endif
