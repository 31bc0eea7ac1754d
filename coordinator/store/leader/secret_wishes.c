/* secret_wishes.c - one queue for each server that wishes for secrets, and the round of their turns. */
#include "coordinator/store/leader/secret_wishes.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/table.h"

struct waiting {
    struct secret_wish wish;
    struct waiting *prev, *next;
};

struct secret_asker {
    uint32_t server;
    unsigned count;
    struct waiting *wishes;           /* oldest first */
    struct secret_asker *prev, *next; /* of the turns */
    UT_hash_handle hh;
};

static void drop_oldest(struct secret_wishes *w, struct secret_asker *a)
{
    struct waiting *oldest = a->wishes;

    DL_DELETE(a->wishes, oldest);
    free(oldest);
    a->count--;
    w->count--;
}

static void end_asker(struct secret_wishes *w, struct secret_asker *a)
{
    while (a->wishes)
        drop_oldest(w, a);
    HASH_DEL(w->by_server, a);
    DL_DELETE(w->turns, a);
    free(a);
}

void secret_wishes_fini(struct secret_wishes *w)
{
    while (w->turns)
        end_asker(w, w->turns);
}

static struct secret_asker *asker_of(struct secret_wishes *w, uint32_t server)
{
    struct secret_asker *a;

    HASH_FIND(hh, w->by_server, &server, sizeof(server), a);
    if (a)
        return a;
    a = memory_new(sizeof(*a));
    a->server = server;
    HASH_ADD(hh, w->by_server, server, sizeof(a->server), a);
    DL_APPEND(w->turns, a);
    return a;
}

static bool is_same(const struct secret_wish *a, const struct secret_wish *b)
{
    return a->session == b->session && a->offset == b->offset &&
           hash_equal(&a->digest, &b->digest) && hash_equal(&a->document, &b->document);
}

static bool is_waiting(const struct secret_asker *a, const struct secret_wish *wish)
{
    const struct waiting *one;

    DL_FOREACH(a->wishes, one)
        if (is_same(&one->wish, wish))
            return true;
    return false;
}

bool secret_wishes_add(struct secret_wishes *w, const struct secret_wish *wish)
{
    struct secret_asker *a;
    struct waiting *one;

    if (w->count == w->max)
        return false;
    a = asker_of(w, wish->server);
    if (is_waiting(a, wish))
        return true;
    if (a->count == SECRET_WISHES_EACH)
        return false;
    one = malloc(sizeof(*one));
    MUST(one);
    *one = (struct waiting){ .wish = *wish };
    DL_APPEND(a->wishes, one);
    a->count++;
    w->count++;
    return true;
}

/* One wish of the server whose turn it is. */
static void take_one(struct secret_wishes *w, struct secret_wish *out)
{
    struct secret_asker *a = w->turns;

    *out = a->wishes->wish;
    drop_oldest(w, a);
    if (!a->wishes) {
        end_asker(w, a);
        return;
    }
    DL_DELETE(w->turns, a);
    DL_APPEND(w->turns, a);
}

unsigned secret_wishes_take(struct secret_wishes *w, struct secret_wish *out, unsigned max)
{
    unsigned taken = 0;

    for (unsigned round = 0; round < SECRET_WISHES_ROUNDS; round++)
        for (unsigned left = HASH_COUNT(w->by_server); left > 0 && taken < max; left--)
            take_one(w, &out[taken++]);
    return taken;
}
