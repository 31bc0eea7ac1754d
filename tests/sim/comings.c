/* comings.c - servers that are excluded and included again. */
#include "tests/sim/world.h"

#define COMINGS_MS 2500
#define KIND_COUNT 11

/* Drawn apart, so that worlds without them stay what they were. */
static unsigned draw(struct world *w, unsigned bound)
{
    w->comings_chance = w->comings_chance * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(w->comings_chance >> 33) % bound;
}

void comings_prepare(struct world *w, uint64_t seed)
{
    w->has_exclusions = seed % KIND_COUNT == 9;
    w->comings_chance = seed;
    if (w->has_exclusions)
        later(w, (struct event){ .kind = EVENT_COMINGS }, COMINGS_MS);
}

static void include(struct world *w, unsigned who)
{
    if (w->database.excluded & BIT(who))
        trace(w, "server %u is included again", who);
    w->database.excluded &= ~BIT(who);
}

static void exclude(struct world *w, unsigned who)
{
    trace(w, "server %u is excluded", who);
    w->database.excluded |= BIT(who);
    coordinator_revoked(w, who);
}

/* One server at a time; when the faults are over everybody is back. */
void comings_act(struct world *w)
{
    unsigned who = draw(w, w->server_count);

    if (w->database.excluded || !faults_last(w))
        for (unsigned s = 0; s < w->server_count; s++)
            include(w, s);
    else if (w->servers[who].is_there)
        exclude(w, who);
    if (faults_last(w) || w->database.excluded)
        later(w, (struct event){ .kind = EVENT_COMINGS }, COMINGS_MS);
}
