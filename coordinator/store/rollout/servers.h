/* servers.h - statements about servers that the API makes: enrol, allow, look at, revoke, forget. */
#ifndef COORDINATOR_STORE_ROLLOUT_SERVERS_H
#define COORDINATOR_STORE_ROLLOUT_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct pg;
struct rows;

/* SQL for "heard of within 30 s" and for "has this label" (NAME=VALUE) of a row of `server`. */
#define SQL_REACHABLE(server)                                                                      \
    "(coalesce(" server ".last_seen, '-infinity') > now() - interval '30 s')"
#define SQL_HAS_LABEL(server, text)                                                                \
    "(" server ".labels ->> split_part(" text ", '=', 1) = "                                       \
    "substr(" text ", strpos(" text ", '=') + 1))"

/* The server with this key: name, is it revoked; no row when there is none. */
int servers_find_key(struct pg *pg, const char *public_key, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));

/* How many servers a coordinator holds; more are refused. Once, before the first enrolment. */
void servers_set_limit(int64_t max);
/* ERR_CONFLICT server_exists, key_exists or limit_reached. scopes: globs of SERVICE/ENV. */
int servers_enroll(struct pg *pg, const char *name, const char *public_key,
                   const char *const *scopes, size_t scope_count, int64_t *server_id_out,
                   struct err *e) __attribute__((warn_unused_result));
/* To enrolled, excluded or revoked; a revoked one stays so (ERR_CONFLICT wrong_state). False in
 * *is_changed_out when it was so already. ERR_NOT_FOUND. */
int servers_set_state(struct pg *pg, const char *name, const char *state, int64_t *server_id_out,
                      bool *is_changed_out, struct err *e) __attribute__((warn_unused_result));
/* What it may read from now on, all of it; memberships beyond it end. ERR_NOT_FOUND; ERR_CONFLICT
 * wrong_state: revoked. */
int servers_set_scopes(struct pg *pg, const char *name, const char *const *scopes,
                       size_t scope_count, int64_t *server_id_out, bool *is_changed_out,
                       struct err *e) __attribute__((warn_unused_result));
/* Gone with its scopes; its rows in rollouts stay. ERR_NOT_FOUND. */
int servers_forget(struct pg *pg, const char *name, int64_t *server_id_out, struct err *e)
    __attribute__((warn_unused_result));

struct server_view {
    int64_t server_id;
    const char *name, *public_key, *labels, *agent_version, *state, *enrolled_at, *last_seen;
    const char *allowed; /* JSON list of globs */
    const char *scopes;  /* JSON list, as the API shows it */
    const char *clone;   /* JSON object of two agents with its key, or null */
    bool is_reachable;
};
/* By name after `after`; label "NAME=VALUE", service, environment: "" all. Of these places: servers
 * that read a scope there, with those scopes alone. */
struct places;
int servers_list(struct pg *pg, const struct places *places, const char *after, const char *label,
                 const char *service, const char *environment, int64_t limit, struct rows **out,
                 struct err *e) __attribute__((warn_unused_result));
/* One row, or ERR_NOT_FOUND unknown_server: also when it reads no scope of these places. */
int servers_get(struct pg *pg, const struct places *places, const char *name, struct rows **out,
                struct err *e)
    __attribute__((warn_unused_result));
struct server_view server_view_at(const struct rows *rows, size_t row);

/* For a plan: the enrolled servers that read any of the scopes, by name. */
struct server_planned {
    const char *name, *labels;
    bool is_reachable;
};
int servers_of_scopes(struct pg *pg, const int64_t *scope_ids, size_t count, struct rows **out,
                      struct err *e) __attribute__((warn_unused_result));
struct server_planned server_planned_at(const struct rows *rows, size_t row);

/* The revision of a scope that a server should run. ERR_NOT_FOUND unknown_server, or
 * server_not_in_scope when it does not read the scope. */
int servers_desired(struct pg *pg, const char *name, int64_t scope_id, uint64_t *revision_out,
                    struct err *e) __attribute__((warn_unused_result));

#endif
