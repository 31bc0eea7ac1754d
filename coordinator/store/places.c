/* places.c - puts the grants that hold a right into arrays. */
#include "coordinator/store/places.h"

#include <string.h>

void places_of(const struct grants *grants, enum right right, int64_t now_ms, struct places *out)
{
    const char *environments[GRANTS_MAX], *services[GRANTS_MAX];
    size_t n = 0;

    *out = (struct places){ .is_everywhere = grants_allow(grants, right, NULL, NULL, now_ms) };
    for (size_t i = 0; i < grants->count; i++) {
        const struct grant *g = &grants->items[i];

        if (!(g->rights & RIGHT_BIT(right)) || (g->until_ms && now_ms >= g->until_ms))
            continue;
        environments[n] = g->environment;
        services[n++] = g->service;
    }
    out->environments = pg_array_text(environments, n, &out->memory[0]);
    out->services = pg_array_text(services, n, &out->memory[1]);
}

void places_fini(struct places *p)
{
    buffer_fini(&p->memory[0]);
    buffer_fini(&p->memory[1]);
}
