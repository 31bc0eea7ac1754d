/* reads.c - answers single-key reads from memory and gathers those who miss. */
#include "coordinator/http/cache/reads.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/name.h"
#include "common/scoped.h"
#include "coordinator/http/cache/invalidation.h"
#include "coordinator/http/cache/reply_cache.h"
#include "coordinator/http/cache/warmup.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/cached_reply.h"
#include "coordinator/http/request/limits.h"
#include "coordinator/http/request/permit.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/http/request/token_cache.h"
#include "coordinator/store/config/scopes.h"
#include "coordinator/store/pg.h"

struct reads {
    struct reply_cache *answers;
    struct token_cache *passes;
    struct invalidation *freshness;
    struct warmup *warmup;
    struct reads_hands hands;
};

struct reads *reads_start(const struct http_settings *settings, struct pg_pool *pool,
                          struct token_cache *passes, const struct reads_hands *hands)
{
    const struct reply_cache_limits limits = { settings->cache_entries, settings->cache_bytes };
    struct reads *r = memory_new(sizeof(*r));

    r->hands = *hands;
    r->answers = reply_cache_new(&limits);
    r->passes = passes;
    r->freshness =
        invalidation_start(pool, r->answers, r->passes, hands->access_changed, hands->ctx);
    if (!settings->is_cold)
        r->warmup = warmup_start(pool, r->answers, &limits, r->freshness);
    return r;
}

void reads_stop(struct reads *r)
{
    if (!r)
        return;
    warmup_stop(MOVE(r->warmup));
    invalidation_stop(r->freshness);
}

void reads_free(struct reads *r)
{
    if (!r)
        return;
    invalidation_free(r->freshness);
    reply_cache_free(r->answers);
    free(r);
}

void reads_wake(struct reads *r)
{
    invalidation_wake(r->freshness);
}

/* ---------------------------------------------------------------- freshness */

/* Released values by their names, without anything that asks for another form of them. */
static bool is_kept_route(const struct request *rq)
{
    return rq->match.route->way == ROUTE_KEPT && !strchr(rq->target, '?');
}

void reads_note(struct request *rq)
{
    if (!is_kept_route(rq) && !rq->is_from_memory && !pg_is_broken(rq->pg))
        invalidation_catch_up(rq->reads->freshness, rq->pg,
                              strcmp(rq->match.route->method, "GET") != 0);
}

/* ---------------------------------------------------------------- one read */

static struct reads_member *member_of(struct reply_cache_waiter *waiter)
{
    return (struct reads_member *)waiter;
}

static bool name_of(const struct request *rq, struct reply_cache_name *out)
{
    return reply_cache_name(out, rq->match.params[0], name_environment(rq->match.params[1]),
                            rq->match.params[2]);
}

static bool may_be_answered(const struct request *rq, struct reply_cache_name *name)
{
    return is_kept_route(rq) && rq->body.size == 0 &&
           invalidation_is_current(rq->reads->freshness, clock_monotonic_ms()) && name_of(rq, name);
}

static void nothing(struct reply_cache_waiter *waiter)
{
    (void)waiter;
}

static void suspend(struct reply_cache_waiter *waiter)
{
    struct reads_member *m = member_of(waiter);

    m->request->reads->hands.suspend(m);
}

/* From here on a member that joined belongs to whoever leads: `r` is taken before. */
static enum reads_step find(struct reads_member *m, const struct reply_cache_name *name,
                            void (*park)(struct reply_cache_waiter *waiter))
{
    struct reads *r = m->request->reads;
    struct cached_reply *answer;

    switch (reply_cache_find(r->answers, name, &m->waiter, park, &answer, &m->flight)) {
    case REPLY_CACHE_FOUND:
        cached_reply_give(answer, m->request->if_none_match, m->reply);
        cached_reply_release(answer);
        return READS_ANSWERED;
    case REPLY_CACHE_JOINED:
        return READS_PARKED;
    case REPLY_CACHE_LEADING:
        return READS_GO;
    }
    MUST(!"an outcome");
    return READS_GO;
}

/* ---------------------------------------------------------------- the short way */

void reads_caller_fini(struct reads_caller *c)
{
    pass_release(c->pass);
}

/* Takes as long wherever the two begin to differ. */
static bool is_same_token(const struct reads_caller *c, const char *token, size_t size)
{
    unsigned differing = 0;

    if (size != c->size)
        return false;
    for (size_t i = 0; i < size; i++)
        differing |= (unsigned)(c->token[i] ^ token[i]);
    return differing == 0;
}

static bool is_known_caller(struct reads *r, struct reads_caller *c, const char *token,
                            int64_t now_ms)
{
    size_t size = strlen(token);

    if (c->pass && is_same_token(c, token, size) && token_cache_is_good(r->passes, c->pass, now_ms))
        return true;
    pass_release(c->pass);
    c->pass = size <= sizeof(c->token) ? token_cache_find(r->passes, token, false) : NULL;
    if (!c->pass)
        return false;
    c->size = size;
    memcpy(c->token, token, size);
    return true;
}

/* "/api/v1/config/SERVICE/ENVIRONMENT/KEY" as it is: no escapes, no query, no alias. */
static bool name_of_target(const char *target, struct reply_cache_name *out)
{
    static const char prefix[] = "/api/v1/config/";
    char *colon[2] = { NULL, NULL };
    unsigned count = 0;
    size_t n = 0;

    if (strncmp(target, prefix, sizeof(prefix) - 1) != 0)
        return false;
    for (const char *at = target + sizeof(prefix) - 1; *at; at++, n++) {
        if (*at == '%' || *at == '?' || *at == ':' || n == sizeof(out->text) - 1 ||
            (*at == '/' && count == 2))
            return false;
        if (*at == '/')
            colon[count++] = &out->text[n];
        out->text[n] = *at == '/' ? ':' : *at;
    }
    if (count != 2)
        return false;
    out->text[n] = '\0';
    out->size = n;
    out->scope_size = (size_t)(colon[1] - out->text);
    return true;
}

static bool may_read(const struct token_owner *owner, const struct reply_cache_name *name)
{
    const char *service_end = strchr(name->text, ':');
    char service[SCOPE_BUFFER], *environment;

    if (name->scope_size >= sizeof(service))
        return false;
    memcpy(service, name->text, name->scope_size);
    service[name->scope_size] = '\0';
    environment = service + (service_end - name->text);
    *environment++ = '\0';
    return grants_reach(&owner->grants, RIGHT_CONFIG_READ, service, environment, clock_wall_ms());
}

struct cached_reply *reads_hit(struct reads *r, struct reads_caller *c, const char *target,
                               const char *authorization)
{
    const char *token = request_token(authorization);
    int64_t now_ms = clock_monotonic_ms();
    struct reply_cache_name name;

    if (!token || !name_of_target(target, &name) ||
        !invalidation_is_current(r->freshness, now_ms) || !is_known_caller(r, c, token, now_ms) ||
        !may_read(pass_owner(c->pass), &name))
        return NULL;
    return reply_cache_peek(r->answers, &name);
}

/* ---------------------------------------------------------------- with a request */

/* Who was sent to renew a pass and found nobody to ask goes on with the one that still stands. */
static bool stays_permitted(struct reads_member *m)
{
    struct reply unused = { 0 };
    struct err e;

    if (m->reply->status != 503 || !permit_knows(m->request) ||
        access_check_route(m->request, &unused, &e) < 0) {
        reply_fini(&unused);
        return false;
    }
    reply_fini(m->reply);
    *m->reply = unused;
    m->request->is_permitted = true;
    return true;
}

enum reads_step reads_begin(struct reads_member *m)
{
    struct request *rq = m->request;
    struct reply_cache_name name;
    struct err e;

    if (!may_be_answered(rq, &name) || !permit_knows(rq))
        return READS_GO;
    if (limits_take_token(rq->limits, rq->owner.id, clock_monotonic_us(), &e) < 0 ||
        access_check_route(rq, m->reply, &e) < 0) {
        reply_error(m->reply, &e);
        return READS_ANSWERED;
    }
    rq->is_permitted = rq->is_counted = true;
    return find(m, &name, suspend);
}

enum reads_step reads_resume(struct reads_member *m, bool is_stopping)
{
    struct request *rq = m->request;
    struct reply_cache_name name;

    if (m->flight || m->is_alone || !may_be_answered(rq, &name))
        return READS_GO;
    if (!rq->is_permitted && !permit_ask(rq, m->reply, is_stopping) &&
        (is_stopping || !stays_permitted(m)))
        return READS_ANSWERED;
    return find(m, &name, nothing);
}

/* Everybody who joined gets the answer, in the form his own conditions ask for. */
static void share(struct reads *r, struct reply_cache_waiter *waiters, struct cached_reply *answer)
{
    while (waiters) {
        struct reads_member *m = member_of(waiters);

        waiters = waiters->next;
        if (answer) {
            cached_reply_give(answer, m->request->if_none_match, m->reply);
            r->hands.resume(m);
        } else {
            m->is_alone = true;
            r->hands.requeue(m);
        }
    }
}

void reads_land(struct reads_member *m)
{
    struct reads *r = m->request->reads;
    struct reply *re = m->reply;
    bool is_kept = re->status == 200 || re->status == 404;
    /* What was wrong with the request, or is over its limits, is nobody else's. */
    bool is_shared = !re->is_private && (is_kept || re->status >= 500);
    struct cached_reply *answer = is_shared ? cached_reply_of(re) : NULL;
    struct reply_cache_waiter *waiters =
        reply_cache_land(r->answers, &m->flight, is_kept ? answer : NULL);

    share(r, waiters, answer);
    if (answer)
        cached_reply_give(answer, m->request->if_none_match, re);
    cached_reply_release(answer);
}

/* ---------------------------------------------------------------- several keys */

static void release_all(struct cached_reply **found, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cached_reply_release(MOVE(found[i]));
}

/* An answer that was read at a later revision than the one whose drops are done may have been
 * changed by that very revision: beside answers of before it would be half of it. */
static struct cached_reply *take_one(struct reads *r, const struct scope *scope, const char *key,
                                     uint64_t revision)
{
    struct reply_cache_name name;
    struct cached_reply *answer = reply_cache_name(&name, scope->service, scope->environment, key)
                                ? reply_cache_take(r->answers, &name)
                                : NULL;

    if (answer && answer->revision && answer->revision <= revision)
        return answer;
    cached_reply_release(answer);
    return NULL;
}

uint64_t reads_take(struct request *rq, const struct scope *scope, const char *const *keys,
                    size_t count, struct cached_reply **found)
{
    struct reads *r = rq->reads;
    struct invalidation_moment moment;

    memset(found, 0, count * sizeof(*found));
    if (!invalidation_is_current(r->freshness, clock_monotonic_ms()) ||
        !invalidation_moment(r->freshness, scope->service, scope->environment, &moment))
        return 0;
    for (size_t i = 0; i < count; i++)
        found[i] = take_one(r, scope, keys[i], moment.released);
    if (invalidation_is_still(r->freshness, scope->service, scope->environment, &moment))
        return moment.released;
    release_all(found, count);
    return 0;
}

void reads_count(struct request *rq, size_t hits, size_t misses)
{
    reply_cache_note(rq->reads->answers, hits, misses);
}

uint64_t reads_drops(const struct request *rq)
{
    return reply_cache_drops(rq->reads->answers);
}

void reads_keep(struct request *rq, const struct scope *scope, const char *key,
                const struct reply *re, uint64_t drops)
{
    struct reply_cache_name name;
    struct cached_reply *answer;

    if (re->is_private || re->is_secret ||
        !reply_cache_name(&name, scope->service, scope->environment, key))
        return;
    answer = cached_reply_of(re);
    if (answer)
        reply_cache_put(rq->reads->answers, &name, answer, drops);
    cached_reply_release(answer);
}

/* ---------------------------------------------------------------- metrics */

static void metric(struct buffer *to, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    buffer_printf(to, "# HELP lockstep_cache_%s %s\n# TYPE lockstep_cache_%s %s\n"
                      "lockstep_cache_%s %" PRIu64 "\n",
                  name, help, name, type, name, value);
}

void reads_metrics(struct reads *r, struct buffer *to)
{
    struct reply_cache_counts c;
    uint64_t all;

    reply_cache_count(r->answers, &c);
    all = c.hits + c.misses;
    metric(to, "hits_total", "counter", "Keys answered from memory.", c.hits);
    metric(to, "misses_total", "counter", "Keys that had to wait for the database.",
           c.misses);
    metric(to, "size", "gauge", "Answers kept in memory.", c.size);
    metric(to, "bytes", "gauge", "Memory that kept answers take.", c.bytes);
    buffer_printf(to, "# HELP lockstep_cache_hit_rate Share of hits since the start.\n"
                      "# TYPE lockstep_cache_hit_rate gauge\nlockstep_cache_hit_rate %.6f\n",
                  all ? (double)c.hits / (double)all : 0.0);
}
