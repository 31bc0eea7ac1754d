/* comings.c - servers that are excluded and included again, and settings that name other scopes. */
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
    w->has_settings = seed % KIND_COUNT == 4;
    w->is_unattended = seed % KIND_COUNT == 6;
    w->comings_chance = seed;
    for (unsigned s = 0; s < w->server_count; s++)
        w->settings[s] = w->servers[s].scopes;
    if (w->has_exclusions || w->has_settings)
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
static void act_on_rights(struct world *w)
{
    unsigned who = draw(w, w->server_count);

    if (w->database.excluded || !faults_last(w))
        for (unsigned s = 0; s < w->server_count; s++)
            include(w, s);
    else if (w->servers[who].is_there)
        exclude(w, who);
}

static void set(struct world *w, unsigned who, uint64_t scopes)
{
    struct server *v = &w->servers[who];

    if (v->scopes == scopes)
        return;
    trace(w, "server %u reads scopes %llx, no longer %llx", who, (unsigned long long)scopes,
          (unsigned long long)v->scopes);
    if (draw(w, 3) == 0)
        server_crash(w, who); /* newer settings, and a restart for them */
    server_renew(w, who, scopes);
}

/* An agent reads one scope at least. One that is dropped is added again sooner or later, and some
 * read more for a while; when the faults are over everybody reads what it read first. */
static void act_on_settings(struct world *w)
{
    unsigned who = draw(w, w->server_count);
    uint64_t all = BIT(w->database.scope_count) - 1;
    uint64_t scopes = draw(w, 2) ? w->settings[who]
                                 : w->servers[who].scopes ^ BIT(draw(w, w->database.scope_count));

    if (faults_last(w) && w->servers[who].is_there && scopes & all)
        set(w, who, scopes);
    for (unsigned s = 0; s < w->server_count && !faults_last(w); s++)
        set(w, s, w->settings[s]);
}

void comings_act(struct world *w)
{
    if (w->has_settings)
        act_on_settings(w);
    else
        act_on_rights(w);
    if (faults_last(w) || w->database.excluded)
        later(w, (struct event){ .kind = EVENT_COMINGS }, COMINGS_MS);
}
