/* token_cache.c - a table of the tokens that were found good, each with its end. */
#include "coordinator/http/request/token_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/table.h"

#define GOOD_FOR_MS 5000
#define RENEW_MS 2000 /* before the end */
#define PASSES_MAX 10000

struct pass {
    UT_hash_handle hh;
    _Atomic unsigned holders;
    struct hash token;
    uint64_t drops; /* of the moment in which the token was checked */
    int64_t until_ms;
    _Atomic bool is_renewed; /* somebody has gone to ask */
    struct token_owner owner;
};

struct token_cache {
    pthread_rwlock_t lock;
    _Atomic uint64_t drops;
    struct pass *table;
};

void pass_release(struct pass *pass)
{
    if (pass && atomic_fetch_sub(&pass->holders, 1) == 1)
        free(pass);
}

static void discard(struct token_cache *p, struct pass *pass)
{
    HASH_DELETE(hh, p->table, pass);
    pass_release(pass);
}

static void clear(struct token_cache *p)
{
    struct pass *pass, *next;

    HASH_ITER(hh, p->table, pass, next)
        discard(p, pass);
}

struct token_cache *token_cache_new(void)
{
    struct token_cache *p = calloc(1, sizeof(*p));

    MUST(p && pthread_rwlock_init(&p->lock, NULL) == 0);
    return p;
}

void token_cache_free(struct token_cache *p)
{
    if (!p)
        return;
    clear(p);
    pthread_rwlock_destroy(&p->lock);
    free(p);
}

uint64_t token_cache_moment(struct token_cache *p)
{
    return p->drops;
}

static struct pass *make(const struct hash *token, const struct token_owner *owner, uint64_t moment)
{
    struct pass *pass = memory_new(sizeof(*pass));
    int64_t until_ms = clock_monotonic_ms() + GOOD_FOR_MS;

    atomic_init(&pass->holders, 1);
    pass->token = *token;
    pass->drops = moment;
    pass->owner = *owner;
    pass->until_ms = owner->until_ms < until_ms ? owner->until_ms : until_ms;
    return pass;
}

void token_cache_keep(struct token_cache *p, const char *token, const struct token_owner *owner,
                      uint64_t moment)
{
    struct pass *old, *pass;
    struct hash hash;

    digest_sha256(token, strlen(token), &hash);
    pass = make(&hash, owner, moment);
    pthread_rwlock_wrlock(&p->lock);
    HASH_FIND(hh, p->table, &hash, sizeof(hash), old);
    if (old)
        discard(p, old);
    else if (HASH_COUNT(p->table) >= PASSES_MAX)
        clear(p);
    HASH_ADD(hh, p->table, token, sizeof(hash), pass);
    pthread_rwlock_unlock(&p->lock);
}

static bool is_valid(struct token_cache *p, const struct pass *pass, int64_t now_ms)
{
    return pass->drops == p->drops && now_ms < pass->until_ms;
}

static bool is_due(const struct pass *pass, int64_t now_ms)
{
    return now_ms >= pass->until_ms - RENEW_MS && !pass->is_renewed;
}

bool token_cache_is_good(struct token_cache *p, const struct pass *pass, int64_t now_ms)
{
    return is_valid(p, pass, now_ms) && !is_due(pass, now_ms);
}

static bool is_mine_to_renew(struct pass *pass, int64_t now_ms)
{
    return is_due(pass, now_ms) && !atomic_exchange(&pass->is_renewed, true);
}

bool token_cache_know(struct token_cache *p, const char *token, char id_out[TOKEN_ID_SIZE])
{
    int64_t now_ms = clock_monotonic_ms();
    struct hash hash;
    struct pass *pass;

    digest_sha256(token, strlen(token), &hash);
    pthread_rwlock_rdlock(&p->lock);
    HASH_FIND(hh, p->table, &hash, sizeof(hash), pass);
    if (pass && !is_valid(p, pass, now_ms))
        pass = NULL;
    if (pass)
        memcpy(id_out, pass->owner.id, TOKEN_ID_SIZE);
    pthread_rwlock_unlock(&p->lock);
    return pass != NULL;
}

struct pass *token_cache_find(struct token_cache *p, const char *token, bool is_asking)
{
    int64_t now_ms = clock_monotonic_ms();
    struct hash hash;
    struct pass *pass;

    digest_sha256(token, strlen(token), &hash);
    pthread_rwlock_rdlock(&p->lock);
    HASH_FIND(hh, p->table, &hash, sizeof(hash), pass);
    if (pass && (!is_valid(p, pass, now_ms) ||
                 (is_asking ? is_mine_to_renew(pass, now_ms) : is_due(pass, now_ms))))
        pass = NULL;
    if (pass)
        atomic_fetch_add(&pass->holders, 1);
    pthread_rwlock_unlock(&p->lock);
    return pass;
}

const struct token_owner *pass_owner(const struct pass *pass)
{
    return &pass->owner;
}

void token_cache_drop(struct token_cache *p)
{
    p->drops++;
    pthread_rwlock_wrlock(&p->lock);
    clear(p);
    pthread_rwlock_unlock(&p->lock);
}
