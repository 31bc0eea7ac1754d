/* passes.c - a table of the tokens that were found good, each with its end. */
#include "coordinator/http/passes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/invariant.h"
#include "common/table.h"

#define GOOD_FOR_MS 5000
#define PASSES_MAX 10000

struct pass {
    UT_hash_handle hh;
    struct hash token;
    struct token_owner owner;
    int64_t until_ms;
};

struct passes {
    pthread_rwlock_t lock;
    uint64_t drops;
    struct pass *table;
};

static void clear(struct passes *p)
{
    struct pass *pass, *next;

    HASH_ITER(hh, p->table, pass, next)
    {
        HASH_DELETE(hh, p->table, pass);
        free(pass);
    }
}

struct passes *passes_new(void)
{
    struct passes *p = calloc(1, sizeof(*p));

    MUST(p && pthread_rwlock_init(&p->lock, NULL) == 0);
    return p;
}

void passes_free(struct passes *p)
{
    if (!p)
        return;
    clear(p);
    pthread_rwlock_destroy(&p->lock);
    free(p);
}

uint64_t passes_moment(struct passes *p)
{
    uint64_t moment;

    pthread_rwlock_rdlock(&p->lock);
    moment = p->drops;
    pthread_rwlock_unlock(&p->lock);
    return moment;
}

void passes_keep(struct passes *p, const char *token, const struct token_owner *owner,
                 uint64_t moment)
{
    struct hash hash;
    struct pass *pass;

    digest_sha256(token, strlen(token), &hash);
    pthread_rwlock_wrlock(&p->lock);
    HASH_FIND(hh, p->table, &hash, sizeof(hash), pass);
    if (p->drops == moment && !pass) {
        if (HASH_COUNT(p->table) >= PASSES_MAX)
            clear(p);
        pass = calloc(1, sizeof(*pass));
        MUST(pass);
        pass->token = hash;
        HASH_ADD(hh, p->table, token, sizeof(hash), pass);
    }
    if (p->drops == moment) {
        pass->owner = *owner;
        pass->until_ms = clock_monotonic_ms() +
                         (owner->left_ms < GOOD_FOR_MS ? owner->left_ms : GOOD_FOR_MS);
    }
    pthread_rwlock_unlock(&p->lock);
}

bool passes_find(struct passes *p, const char *token, struct token_owner *out)
{
    struct hash hash;
    struct pass *pass;

    digest_sha256(token, strlen(token), &hash);
    pthread_rwlock_rdlock(&p->lock);
    HASH_FIND(hh, p->table, &hash, sizeof(hash), pass);
    if (pass && pass->until_ms < clock_monotonic_ms())
        pass = NULL;
    if (pass)
        *out = pass->owner;
    pthread_rwlock_unlock(&p->lock);
    return pass != NULL;
}

void passes_drop(struct passes *p)
{
    pthread_rwlock_wrlock(&p->lock);
    p->drops++;
    clear(p);
    pthread_rwlock_unlock(&p->lock);
}
