/* readers.c - what readers of the configuration get: writes, releases, and what is taken back. */
#include "tests/sim/world.h"

/* Every second scope releases by itself. Nothing is drawn here: seeds stay what they are. */
static bool is_automatic(unsigned scope)
{
    return scope % 2 == 0;
}

static void judge(struct world *w, unsigned scope)
{
    const struct scope_row *s = &w->database.scopes[scope];

    if (is_automatic(scope) && s->published != s->head_revision)
        violated(w, "release: readers of scope %u get revision %u, written is %u", scope,
                 s->published, s->head_revision);
    if (s->published < s->released_revision)
        violated(w, "release: readers of scope %u get revision %u, its servers were told %u", scope,
                 s->published, s->released_revision);
}

unsigned readers_write(struct world *w, unsigned scope)
{
    struct scope_row *s = &w->database.scopes[scope];

    s->head_revision++;
    if (is_automatic(scope))
        s->published = s->head_revision;
    judge(w, scope);
    return s->head_revision;
}

/* In the transaction of FINALIZE, when the servers' revision is the rollout's. */
void readers_settle(struct world *w, unsigned scope)
{
    struct scope_row *s = &w->database.scopes[scope];

    if (s->published < s->released_revision)
        s->published = s->released_revision;
    judge(w, scope);
}

/* A revision with the servers' content takes the place of what did not go well. */
void readers_take_back(struct world *w, const struct rollout_row *r)
{
    for (unsigned i = 0; i < r->target_count; i++)
        if (is_automatic(r->targets[i].scope))
            readers_write(w, r->targets[i].scope);
}

/* People go on writing while rollouts are open. */
void readers_act(struct world *w)
{
    for (unsigned s = 0; s < w->database.scope_count; s++)
        if (is_automatic(s) && w->now_ms / 250 % 3 == 0)
            readers_write(w, s);
}
