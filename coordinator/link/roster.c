/* roster.c - three hash tables over arrays that only grow. */
#include "coordinator/link/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/name.h"
#include "common/table.h"

struct server_entry {
    struct roster_server server;
    UT_hash_handle by_key, by_id;
};

struct scope_entry {
    struct roster_scope scope;
    char name[SCOPE_BUFFER];
    UT_hash_handle by_name, by_id;
};

/* Ids that the newest snapshot had and that found no room. */
struct left_out {
    int64_t *ids;
    size_t count;
};

struct roster {
    uint32_t servers_max, scopes_max, server_count, scope_count;
    struct server_entry **servers, *servers_by_key, *servers_by_id;
    struct scope_entry **scopes, *scopes_by_name, *scopes_by_id;
    uint32_t bad_counts[CONDITION_KIND_COUNT];
    struct left_out left_out_servers, left_out_scopes;
    bool was_full;
};

struct roster *roster_new(uint32_t servers_max, uint32_t scopes_max)
{
    struct roster *r = memory_new(sizeof(*r));

    r->servers_max = servers_max;
    r->scopes_max = scopes_max;
    r->servers = calloc(servers_max, sizeof(*r->servers));
    r->scopes = calloc(scopes_max, sizeof(*r->scopes));
    MUST(r->servers && r->scopes);
    return r;
}

void roster_free(struct roster *r)
{
    if (!r)
        return;
    HASH_CLEAR(by_key, r->servers_by_key);
    HASH_CLEAR(by_id, r->servers_by_id);
    HASH_CLEAR(by_name, r->scopes_by_name);
    HASH_CLEAR(by_id, r->scopes_by_id);
    for (uint32_t i = 0; i < r->server_count; i++) {
        labels_fini(&r->servers[i]->server.labels);
        labels_fini(&r->servers[i]->server.told_labels);
        free(r->servers[i]->server.labels_text);
        free(r->servers[i]->server.globs);
        free(r->servers[i]);
    }
    for (uint32_t i = 0; i < r->scope_count; i++)
        free(r->scopes[i]);
    free(r->servers);
    free(r->scopes);
    free(r->left_out_servers.ids);
    free(r->left_out_scopes.ids);
    free(r);
}

static void leave_out(struct left_out *out, int64_t id)
{
    out->ids = realloc(out->ids, (out->count + 1) * sizeof(*out->ids));
    MUST(out->ids);
    out->ids[out->count++] = id;
}

static bool has_left_out(const struct left_out *out, int64_t id)
{
    for (size_t i = 0; i < out->count; i++)
        if (out->ids[i] == id)
            return true;
    return false;
}

bool roster_has_left_out_server(const struct roster *r, int64_t server_id)
{
    return has_left_out(&r->left_out_servers, server_id);
}

bool roster_has_left_out_scope(const struct roster *r, int64_t scope_id)
{
    return has_left_out(&r->left_out_scopes, scope_id);
}

uint32_t roster_server_count(const struct roster *r)
{
    return r->server_count;
}

uint32_t roster_scope_count(const struct roster *r)
{
    return r->scope_count;
}

struct roster_server *roster_server(struct roster *r, uint32_t index)
{
    MUST(index < r->server_count);
    return &r->servers[index]->server;
}

struct roster_scope *roster_scope(struct roster *r, uint32_t index)
{
    MUST(index < r->scope_count);
    return &r->scopes[index]->scope;
}

struct roster_server *roster_by_key(struct roster *r, const char *key)
{
    struct server_entry *found;

    HASH_FIND(by_key, r->servers_by_key, key, strlen(key), found);
    return found ? &found->server : NULL;
}

struct roster_server *roster_by_id(struct roster *r, int64_t server_id)
{
    struct server_entry *found;

    HASH_FIND(by_id, r->servers_by_id, &server_id, sizeof(server_id), found);
    return found ? &found->server : NULL;
}

struct roster_scope *roster_scope_by_id(struct roster *r, int64_t scope_id)
{
    struct scope_entry *found;

    HASH_FIND(by_id, r->scopes_by_id, &scope_id, sizeof(scope_id), found);
    return found ? &found->scope : NULL;
}

struct roster_scope *roster_scope_by_name(struct roster *r, struct wire_text service,
                                          struct wire_text environment)
{
    char name[SCOPE_BUFFER];
    struct scope_entry *found;
    size_t size = (size_t)service.size + 1 + environment.size;

    if (size >= sizeof(name))
        return NULL;
    memcpy(name, service.at, service.size);
    name[service.size] = '/';
    memcpy(name + service.size + 1, environment.at, environment.size);
    HASH_FIND(by_name, r->scopes_by_name, name, size, found);
    return found ? &found->scope : NULL;
}

bool roster_is_active(const struct roster_server *s)
{
    return !s->is_revoked && !s->is_excluded && !s->is_gone;
}

bool roster_is_member(const struct roster_server *s, uint32_t scope)
{
    for (uint32_t i = 0; i < s->scope_count; i++)
        if (s->scopes[i] == scope)
            return true;
    return false;
}

static uint32_t place_of(const struct roster_server *s, uint32_t scope)
{
    uint32_t at = 0;

    while (at < s->scope_count && s->scopes[at] != scope)
        at++;
    return at;
}

uint64_t roster_said(const struct roster_server *s, enum condition_kind kind, uint32_t scope)
{
    uint32_t at = place_of(s, scope);

    return at < s->scope_count ? s->said[kind][at] : 0;
}

void roster_set_said(struct roster_server *s, enum condition_kind kind, uint32_t scope,
                     uint64_t number)
{
    uint32_t at = place_of(s, scope);

    if (at < s->scope_count)
        s->said[kind][at] = number;
}

bool roster_is_bad(const struct roster_server *s, enum condition_kind kind, uint32_t scope)
{
    for (uint32_t i = 0; i < s->scope_count; i++)
        if (s->scopes[i] == scope)
            return s->bad[kind] >> i & 1;
    return false;
}

void roster_set_bad(struct roster *r, struct roster_server *s, enum condition_kind kind,
                    uint32_t scope, bool is_bad)
{
    uint64_t *bad = &s->bad[kind];
    bool was_any = *bad != 0;

    for (uint32_t i = 0; i < s->scope_count; i++) {
        uint64_t bit = UINT64_C(1) << i;

        if (s->scopes[i] == scope)
            *bad = is_bad ? *bad | bit : *bad & ~bit;
    }
    r->bad_counts[kind] += (*bad != 0) - (uint32_t)was_any;
}

uint32_t roster_bad_count(const struct roster *r, enum condition_kind kind)
{
    return r->bad_counts[kind];
}

bool roster_add_member(struct roster *r, struct roster_server *s, uint32_t scope)
{
    MUST(scope < r->scope_count);
    if (roster_is_member(s, scope) || s->scope_count == WIRE_SCOPES_MAX ||
        !roster_allows(s, roster_scope(r, scope)))
        return false;
    for (unsigned kind = 0; kind < CONDITION_KIND_COUNT; kind++)
        s->said[kind][s->scope_count] = 0;
    s->scopes[s->scope_count++] = scope;
    return true;
}

/* The last one takes its place, with its marks. */
bool roster_remove_member(struct roster *r, struct roster_server *s, uint32_t scope)
{
    uint32_t at = place_of(s, scope), last = s->scope_count - 1;

    if (at == s->scope_count)
        return false;
    s->left_ms = clock_monotonic_ms();
    for (unsigned kind = 0; kind < CONDITION_KIND_COUNT; kind++) {
        uint64_t is_last_bad = s->bad[kind] >> last & 1;

        roster_set_bad(r, s, (enum condition_kind)kind, scope, false);
        if (at == last)
            continue;
        s->bad[kind] &= ~(UINT64_C(1) << last);
        s->bad[kind] |= is_last_bad << at;
        s->said[kind][at] = s->said[kind][last];
    }
    s->scopes[at] = s->scopes[last];
    s->scope_count--;
    return true;
}

bool roster_allows(const struct roster_server *s, const struct roster_scope *scope)
{
    char name[SCOPE_BUFFER], glob[SCOPE_BUFFER];
    const char *at = s->globs;
    struct err ignored;

    if (name_check("service", scope->service, &ignored) != 0 ||
        name_check("environment", scope->environment, &ignored) != 0)
        return false; /* an agent says what it likes; the database takes names only */
    snprintf(name, sizeof(name), "%s/%s", scope->service, scope->environment);
    while (at && *at) {
        size_t size = strcspn(at, "\n");

        if (size < sizeof(glob)) {
            memcpy(glob, at, size);
            glob[size] = 0;
            if (name_matches(glob, name))
                return true;
        }
        at += size + (at[size] == '\n');
    }
    return false;
}

/* The newest first; what is entitled again is the newest again. */
void roster_entitle(struct roster_scope *scope, const struct hash *hash)
{
    struct hash newest = *hash;
    uint32_t at = 0;

    while (at + 1 < ROSTER_SERVABLE_MAX && !hash_equal(&scope->servable[at], hash))
        at++;
    memmove(scope->servable + 1, scope->servable, at * sizeof(scope->servable[0]));
    scope->servable[0] = newest;
}

bool roster_is_entitled(struct roster *r, const struct roster_server *s, uint32_t scope)
{
    return roster_is_active(s) && roster_is_member(s, scope) &&
           roster_allows(s, roster_scope(r, scope));
}

bool roster_may_fetch(struct roster *r, const struct roster_server *s, const struct hash *hash)
{
    if (hash_is_zero(hash))
        return false;
    for (uint32_t i = 0; i < s->scope_count; i++) {
        const struct roster_scope *scope = roster_scope(r, s->scopes[i]);

        if (!roster_is_entitled(r, s, s->scopes[i]))
            continue;
        for (uint32_t k = 0; k < ROSTER_SERVABLE_MAX; k++)
            if (hash_equal(&scope->servable[k], hash))
                return true;
    }
    return false;
}

void roster_allow_keys(struct roster *r, struct router *router)
{
    char(*keys)[ROUTER_KEY_SIZE] = calloc(r->server_count + 1, sizeof(*keys));
    size_t count = 0;

    MUST(keys);
    for (uint32_t i = 0; i < r->server_count; i++)
        if (!r->servers[i]->server.is_gone && !r->servers[i]->server.is_revoked)
            memcpy(keys[count++], r->servers[i]->server.key, ROUTER_KEY_SIZE);
    router_allow(router, (const char(*)[ROUTER_KEY_SIZE])keys, count);
    free(keys);
}

/* ---------------------------------------------------------------- taking over a snapshot */

static void copy_name(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

static struct server_entry *add_server(struct roster *r, const struct server_row *row)
{
    struct server_entry *entry = memory_new(sizeof(*entry));
    struct roster_server *s;

    s = &entry->server;
    s->index = r->server_count;
    s->server_id = row->server_id;
    copy_name(s->name, sizeof(s->name), row->name);
    copy_name(s->key, sizeof(s->key), row->public_key);
    r->servers[r->server_count++] = entry;
    HASH_ADD_KEYPTR(by_key, r->servers_by_key, s->key, strlen(s->key), entry);
    HASH_ADD_KEYPTR(by_id, r->servers_by_id, &s->server_id, sizeof(s->server_id), entry);
    return entry;
}

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
    MUST(*text);
}

static void remove_member(struct roster *r, struct roster_server *s, uint32_t scope,
                          const struct roster_news *news)
{
    if (roster_remove_member(r, s, scope) && news)
        news->left(news->ctx, s->index, scope);
}

void roster_set_told(struct roster_server *s, const char *labels, const char *version)
{
    if (labels && (!s->labels_text || strcmp(s->labels_text, labels) != 0)) {
        labels_fini(&s->labels);
        labels_parse(labels, &s->labels);
        set_text(&s->labels_text, labels);
    }
    if (version)
        copy_name(s->agent_version, sizeof(s->agent_version), version);
}

static void set_server(struct roster *r, struct roster_server *s, const struct server_row *row,
                       const struct roster_news *news)
{
    s->is_revoked = row->is_revoked;
    s->is_excluded = row->is_excluded;
    roster_set_told(s, row->labels, row->agent_version);
    if (s->globs && strcmp(s->globs, row->scopes) == 0)
        return;
    set_text(&s->globs, row->scopes);
    for (uint32_t i = s->scope_count; i-- > 0;)
        if (!roster_allows(s, roster_scope(r, s->scopes[i])))
            remove_member(r, s, s->scopes[i], news);
}

/* An older snapshot, read before the enrolment, had made it look forgotten. */
static void find_again(struct roster *r, struct roster_server *s)
{
    struct server_entry *entry = r->servers[s->index];

    s->is_gone = false;
    HASH_ADD_KEYPTR(by_key, r->servers_by_key, s->key, strlen(s->key), entry);
}

static bool update_server(struct roster *r, const struct server_row *row,
                          const struct roster_news *news)
{
    struct roster_server *s = roster_by_id(r, row->server_id);
    bool was_active = s && roster_is_active(s);

    if (!s) {
        if (r->server_count == r->servers_max) {
            leave_out(&r->left_out_servers, row->server_id);
            return false;
        }
        s = &add_server(r, row)->server;
    } else if (s->is_gone) {
        find_again(r, s);
    }
    set_server(r, s, row, news);
    if (news && roster_is_active(s) && !was_active)
        news->enrolled(news->ctx, s->index);
    if (news && !roster_is_active(s) && was_active)
        news->revoked(news->ctx, s->index);
    if (news && was_active && row->retries > s->retries)
        news->retried(news->ctx, s->index);
    if (s->retries < row->retries) /* a look that was older than the last one changes nothing */
        s->retries = row->retries;
    return true;
}

/* A forgotten server's key is free again: it may be enrolled anew under another id. */
static void forget_server(struct roster *r, struct server_entry *entry,
                          const struct roster_news *news)
{
    bool was_active = roster_is_active(&entry->server);

    entry->server.is_gone = true;
    for (uint32_t i = 0; i < entry->server.scope_count; i++)
        for (unsigned kind = 0; kind < CONDITION_KIND_COUNT; kind++)
            roster_set_bad(r, &entry->server, (enum condition_kind)kind, entry->server.scopes[i],
                           false);
    HASH_DELETE(by_key, r->servers_by_key, entry);
    if (news && was_active)
        news->revoked(news->ctx, entry->server.index);
}

static bool contains(const struct snapshot *s, int64_t server_id)
{
    size_t low = 0, high = s->server_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (s->servers[middle].server_id < server_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->server_count && s->servers[low].server_id == server_id;
}

static int by_server_id(const void *a, const void *b)
{
    int64_t x = ((const struct server_row *)a)->server_id;
    int64_t y = ((const struct server_row *)b)->server_id;

    return (x > y) - (x < y);
}

static void forget_missing(struct roster *r, const struct snapshot *s,
                           const struct roster_news *news)
{
    if (s->server_count)
        qsort(s->servers, s->server_count, sizeof(*s->servers), by_server_id);
    for (uint32_t i = 0; i < r->server_count; i++)
        if (!r->servers[i]->server.is_gone && !contains(s, r->servers[i]->server.server_id))
            forget_server(r, r->servers[i], news);
}

static bool update_scope(struct roster *r, const struct scope_row *row,
                         const struct roster_news *news)
{
    struct scope_entry *entry;

    if (roster_scope_by_id(r, row->scope_id))
        return true;
    if (r->scope_count == r->scopes_max) {
        leave_out(&r->left_out_scopes, row->scope_id);
        return false;
    }
    entry = memory_new(sizeof(*entry));
    entry->scope.index = r->scope_count;
    entry->scope.scope_id = row->scope_id;
    copy_name(entry->scope.service, NAME_BUFFER, row->service);
    copy_name(entry->scope.environment, NAME_BUFFER, row->environment);
    snprintf(entry->name, sizeof(entry->name), "%s/%s", row->service, row->environment);
    r->scopes[r->scope_count++] = entry;
    HASH_ADD_KEYPTR(by_name, r->scopes_by_name, entry->name, strlen(entry->name), entry);
    HASH_ADD_KEYPTR(by_id, r->scopes_by_id, &entry->scope.scope_id, sizeof(int64_t), entry);
    if (news)
        news->scope(news->ctx, entry->scope.index);
    return true;
}

/* Of a snapshot: is there a membership of the server (by id) in the scope? Both are ascending. */
static bool has_membership(const struct snapshot *s, int64_t server_id, int64_t scope_id)
{
    size_t low = 0, high = s->membership_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct membership_row *row = &s->memberships[middle];

        if (row->server_id < server_id ||
            (row->server_id == server_id && row->scope_id < scope_id))
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->membership_count && s->memberships[low].server_id == server_id &&
           s->memberships[low].scope_id == scope_id;
}

static void drop_missing(struct roster *r, const struct snapshot *s)
{
    for (uint32_t i = 0; i < r->server_count; i++) {
        struct roster_server *server = &r->servers[i]->server;

        for (uint32_t k = server->scope_count; k-- > 0;)
            if (!has_membership(s, server->server_id,
                                roster_scope(r, server->scopes[k])->scope_id))
                roster_remove_member(r, server, server->scopes[k]);
    }
}

bool roster_update(struct roster *r, const struct snapshot *s, const struct roster_news *news)
{
    bool fits = true;

    r->left_out_servers.count = r->left_out_scopes.count = 0;
    forget_missing(r, s, news);
    for (size_t i = 0; i < s->server_count; i++)
        fits &= update_server(r, &s->servers[i], news);
    for (size_t i = 0; i < s->scope_count; i++)
        fits &= update_scope(r, &s->scopes[i], news);
    if (!news)
        drop_missing(r, s);
    for (size_t i = 0; i < s->membership_count; i++) {
        struct roster_server *server = roster_by_id(r, s->memberships[i].server_id);
        struct roster_scope *scope = roster_scope_by_id(r, s->memberships[i].scope_id);

        if (!server || !scope || (news && server->left_ms && s->began_ms <= server->left_ms))
            continue;
        if (roster_add_member(r, server, scope->index) && news)
            news->joined(news->ctx, server->index, scope->index);
        for (unsigned kind = 0; kind < CONDITION_KIND_COUNT; kind++)
            roster_set_bad(r, server, (enum condition_kind)kind, scope->index,
                           s->memberships[i].is_bad[kind]);
    }
    if (!fits && !r->was_full)
        log_error("more servers or scopes than [limits] allows; who is left out cannot connect, "
                  "and its rollouts wait",
                  "servers", LOG_NUMBER(r->left_out_servers.count), "scopes",
                  LOG_NUMBER(r->left_out_scopes.count), "remedy",
                  "raise [limits] servers and scopes and restart");
    r->was_full = !fits;
    return fits;
}
