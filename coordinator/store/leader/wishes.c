/* wishes.c - documents that are to be read, in whose turn: the leader's own first, one per server. */
#include "coordinator/store/leader/wishes.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "common/invariant.h"

struct wish {
    struct parcel parcel;
    uint32_t server;
    struct wish *prev, *next;
};

static void drop_all(struct wish **list)
{
    struct wish *one, *spare;

    DL_FOREACH_SAFE(*list, one, spare) {
        DL_DELETE(*list, one);
        free(one);
    }
}

void wishes_fini(struct wishes *w)
{
    drop_all(&w->own);
    drop_all(&w->others);
    *w = (struct wishes){ 0 };
}

static bool is_same(const struct parcel *a, const struct parcel *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static struct wish *find_parcel(struct wish *list, const struct parcel *parcel)
{
    struct wish *one;

    DL_FOREACH(list, one)
        if (is_same(&one->parcel, parcel))
            return one;
    return NULL;
}

static bool has_place(const struct wishes *w, uint32_t server)
{
    const struct wish *one;

    if (w->is_working && w->worker == server)
        return true;
    DL_FOREACH(w->others, one)
        if (one->server == server)
            return true;
    return false;
}

static void append(struct wish **list, const struct parcel *parcel, uint32_t server)
{
    struct wish *one = malloc(sizeof(*one));

    MUST(one);
    *one = (struct wish){ .parcel = *parcel, .server = server };
    DL_APPEND(*list, one);
}

bool wishes_add(struct wishes *w, const struct parcel *parcel, uint32_t server)
{
    if ((w->is_working && is_same(&w->work, parcel)) || find_parcel(w->own, parcel))
        return true;
    if (server == WISHES_OWN) {
        append(&w->own, parcel, server);
        return true;
    }
    if (find_parcel(w->others, parcel))
        return true;
    if (w->other_count == WISHES_MAX || has_place(w, server))
        return false;
    append(&w->others, parcel, server);
    w->other_count++;
    return true;
}

bool wishes_is_empty(const struct wishes *w)
{
    return !w->own && !w->others;
}

void wishes_take(struct wishes *w, struct parcel *out)
{
    struct wish **list = w->own ? &w->own : &w->others;
    struct wish *one = *list;

    MUST(one && !w->is_working);
    if (list == &w->others)
        w->other_count--;
    w->is_working = true;
    w->worker = one->server;
    w->work = *out = one->parcel;
    DL_DELETE(*list, one);
    free(one);
}

void wishes_done(struct wishes *w)
{
    MUST(w->is_working);
    w->is_working = false;
}
