/* listening.c - compares what a token may do now with what it might when a stream was opened. */
#include "coordinator/http/live/listening.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "coordinator/store/pg.h"

void listening_init(struct listening *l, const char *token, const struct token_owner *owner)
{
    snprintf(l->token, sizeof(l->token), "%s", token);
    l->grants = owner->grants;
    l->until_ms = owner->until_ms;
    l->began_ms = clock_wall_ms();
}

void listening_fini(struct listening *l)
{
    explicit_bzero(l->token, sizeof(l->token));
}

bool listening_has_ended(const struct listening *l)
{
    int64_t now_ms = clock_wall_ms();

    if (clock_monotonic_ms() >= l->until_ms)
        return true;
    for (size_t i = 0; i < l->grants.count; i++) {
        int64_t until_ms = l->grants.items[i].until_ms;

        if (until_ms && until_ms > l->began_ms && until_ms <= now_ms)
            return true;
    }
    return false;
}

static bool is_same(const struct grants *a, const struct grants *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct grant *x = &a->items[i], *y = &b->items[i];

        if (x->rights != y->rights || x->until_ms != y->until_ms ||
            strcmp(x->environment, y->environment) != 0 || strcmp(x->service, y->service) != 0)
            return false;
    }
    return true;
}

int listening_check(const struct listening *l, struct pg *pg, bool *out, struct err *e)
{
    struct token_owner owner;

    *out = false;
    if (tokens_check(pg, l->token, &owner, e) != 0)
        return e->kind == ERR_UNAUTHORIZED ? 0 : -1;
    *out = is_same(&l->grants, &owner.grants);
    return 0;
}
