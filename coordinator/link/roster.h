/* roster.h - names outside the core: servers and scopes by index, id, key and name; their sessions.
 *
 * Indices are process-local, given out in the order things become known and never reused, so that
 * they mean the same in every leader this process ever builds. The loop's alone.
 */
#ifndef COORDINATOR_LINK_ROSTER_H
#define COORDINATOR_LINK_ROSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/link/router.h"
#include "coordinator/policy/labels.h"
#include "coordinator/store/leader/clones.h"
#include "coordinator/store/leader/condition.h"
#include "coordinator/store/leader/load.h"

#define ROSTER_NONE UINT32_MAX
#define ROSTER_BOOTS 8 /* more machines with one key than that take turns unnoticed */
#define ROSTER_SERVABLE_MAX 64 /* newest contents per scope that its servers may fetch */

struct roster_server {
    uint32_t index;
    int64_t server_id;
    char name[NAME_BUFFER], key[ROUTER_KEY_SIZE];
    bool is_revoked, is_excluded, is_gone; /* gone: forgotten, or enrolled anew under another id */
    struct labels labels;
    char *labels_text; /* as the database has them */
    char agent_version[NAME_BUFFER]; /* likewise */
    /* What its newest HELLO said: told again until the database has it. */
    bool has_told;
    struct labels told_labels;
    char told_version[NAME_BUFFER];
    int64_t retries; /* asked of it, as the database counts them */
    char *globs; /* scopes the enrolment allows, one per line */
    uint32_t scope_count;
    uint32_t scopes[WIRE_SCOPES_MAX]; /* recorded memberships, all within globs */
    /* Of them, by place: what is not as it should be, and the number of the telling that was
     * written last. */
    uint64_t bad[CONDITION_KIND_COUNT], said[CONDITION_KIND_COUNT][WIRE_SCOPES_MAX];
    int64_t left_ms; /* when the newest membership of it ended; 0: none did since the start */
    int64_t told_ms;     /* until when its allowance of tellings is used up (conditions.c) */
    /* The session. */
    bool has_peer;
    struct router_peer peer;
    uint64_t boots[ROSTER_BOOTS]; /* nonces of its agent's processes, the newest first */
    uint64_t session;
    int64_t heard_ms, pinged_ms;
    int64_t spoken_ms[2];   /* until when its allowances of messages are used up (hearing.c), */
    uint32_t excess[2];     /* and how often it spoke beyond them since it was quiet */
    int64_t noted_ms;       /* when a session of it was last noted in the database */
    int64_t aside_until_ms; /* two answer with its key; 0: one at most */
    uint64_t knocked;       /* the nonce that knocked last since then */
    int64_t clone_told_ms;  /* when the database was told last that it goes on */
    char address[CLONE_ADDRESS_SIZE]; /* where its session came from */
    uint32_t unsaved_acks, unsaved_joins; /* handed to the writer in this leadership, not back */
    bool was_foreign, was_ahead; /* it was said of its acknowledgements that they do not count */
    uint64_t greeted_epoch;      /* the leadership that heard its digest */
};

struct roster_scope {
    uint32_t index;
    int64_t scope_id;
    char service[NAME_BUFFER], environment[NAME_BUFFER];
    struct hash servable[ROSTER_SERVABLE_MAX];
};

struct roster;
struct roster *roster_new(uint32_t servers_max, uint32_t scopes_max);
void roster_free(struct roster *r);

/* What a snapshot changed, one call each; indices are valid in the callback. */
struct roster_news {
    void (*enrolled)(void *ctx, uint32_t server);
    void (*revoked)(void *ctx, uint32_t server); /* revoked, excluded or forgotten */
    void (*retried)(void *ctx, uint32_t server); /* it is to try again what failed there */
    void (*scope)(void *ctx, uint32_t scope);
    void (*joined)(void *ctx, uint32_t server, uint32_t scope);
    void (*left)(void *ctx, uint32_t server, uint32_t scope);
    void *ctx;
};
/* Takes over servers, scopes and memberships of a snapshot. news NULL: nobody leads here, and the
 * memberships are exactly those of the snapshot; else memberships only come, since those that this
 * leader had written meanwhile are not in an older snapshot; and none of a server comes that left
 * a scope after the snapshot was taken. A membership that the enrolment does not allow is none in
 * any case. Returns false when something did not fit (limits): said once in the log. */
bool roster_update(struct roster *r, const struct snapshot *s, const struct roster_news *news);

/* The newest snapshot had it, and there was no room: it is not gone, although nobody finds it. */
bool roster_has_left_out_server(const struct roster *r, int64_t server_id);
bool roster_has_left_out_scope(const struct roster *r, int64_t scope_id);
uint32_t roster_server_count(const struct roster *r); /* indices below it exist */
uint32_t roster_scope_count(const struct roster *r);
struct roster_server *roster_server(struct roster *r, uint32_t index);
struct roster_scope *roster_scope(struct roster *r, uint32_t index);
struct roster_server *roster_by_key(struct roster *r, const char *key);
struct roster_server *roster_by_id(struct roster *r, int64_t server_id);
struct roster_scope *roster_scope_by_id(struct roster *r, int64_t scope_id);
struct roster_scope *roster_scope_by_name(struct roster *r, struct wire_text service,
                                          struct wire_text environment);

/* Recorded: the server belongs to the scope. True when that is new. Never what the enrolment does
 * not allow. */
bool roster_add_member(struct roster *r, struct roster_server *s, uint32_t scope);
/* Recorded: it does not any more. True when that is new. */
bool roster_remove_member(struct roster *r, struct roster_server *s, uint32_t scope);
bool roster_is_member(const struct roster_server *s, uint32_t scope);
/* Recorded: labels as JSON text, and the agent's version; NULL: as they were. */
void roster_set_told(struct roster_server *s, const char *labels, const char *version);
/* The number of the telling in this scope that was handed to the writer last; 0: none. */
uint64_t roster_said(const struct roster_server *s, enum condition_kind kind, uint32_t scope);
void roster_set_said(struct roster_server *s, enum condition_kind kind, uint32_t scope,
                     uint64_t number);
bool roster_is_bad(const struct roster_server *s, enum condition_kind kind, uint32_t scope);
void roster_set_bad(struct roster *r, struct roster_server *s, enum condition_kind kind,
                    uint32_t scope, bool is_bad);
uint32_t roster_bad_count(const struct roster *r, enum condition_kind kind); /* servers */
/* Does the enrolment allow the scope? Never what cannot be one by its name. */
bool roster_allows(const struct roster_server *s, const struct roster_scope *scope);
/* May this server speak in rollouts? */
bool roster_is_active(const struct roster_server *s);

/* The one question before anything about a scope leaves for a server, PREPARE, FETCH, ASK and
 * decisions alike: it may speak, belongs to the scope, and its enrolment allows that now. */
bool roster_is_entitled(struct roster *r, const struct roster_server *s, uint32_t scope);
/* Contents that servers of the scope may fetch: targets and bases of its rollouts and decisions. */
void roster_entitle(struct roster_scope *scope, const struct hash *hash);
/* Entitled to a scope that has this content. */
bool roster_may_fetch(struct roster *r, const struct roster_server *s, const struct hash *hash);

/* The keys that may connect: of everybody who is known and not revoked. */
void roster_allow_keys(struct roster *r, struct router *router);

#endif
