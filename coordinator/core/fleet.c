/* fleet.c - hearing, silence, and the grace after a leader's start. */
#include "coordinator/core/fleet.h"

/* enrolled, connected, unreachable, and the times they were heard. */
uint32_t fleet_words(uint32_t servers_max)
{
    return 3 * bitset_words(servers_max) + servers_max;
}

void fleet_init(struct fleet *f, uint64_t *words, uint32_t servers_max, int64_t heartbeat_ms,
                int64_t grace_ms, int64_t now_ms)
{
    uint32_t n = bitset_words(servers_max);

    *f = (struct fleet){ .servers_max = servers_max,
                         .began_ms = now_ms,
                         .looked_ms = now_ms,
                         .heartbeat_ms = heartbeat_ms,
                         .grace_ms = grace_ms };
    bitset_init(&f->enrolled, words, n);
    bitset_init(&f->connected, words + n, n);
    bitset_init(&f->unreachable, words + 2 * n, n);
    f->heard_ms = (int64_t *)(words + 3 * n);
}

void fleet_enroll(struct fleet *f, uint32_t server)
{
    bitset_add(&f->enrolled, server);
}

void fleet_remove(struct fleet *f, uint32_t server)
{
    bitset_remove(&f->enrolled, server);
    bitset_remove(&f->connected, server);
    bitset_remove(&f->unreachable, server);
}

void fleet_heard(struct fleet *f, uint32_t server, int64_t now_ms)
{
    if (!bitset_has(&f->enrolled, server))
        return;
    f->heard_ms[server] = now_ms;
    bitset_add(&f->connected, server);
    bitset_remove(&f->unreachable, server);
}

void fleet_left(struct fleet *f, uint32_t server)
{
    bitset_remove(&f->connected, server);
}

bool fleet_in_grace(const struct fleet *f, int64_t now_ms)
{
    return now_ms - f->began_ms < f->grace_ms;
}

/* Ticks come many times a heartbeat; a longer gap is this leader's own silence. */
static void forgive_own_silence(struct fleet *f, int64_t now_ms)
{
    int64_t gap_ms = now_ms - f->looked_ms;

    f->looked_ms = now_ms;
    if (gap_ms <= f->heartbeat_ms)
        return;
    for (uint32_t i = bitset_next(&f->connected, 0); i != BITSET_END;
         i = bitset_next(&f->connected, i + 1))
        f->heard_ms[i] += gap_ms;
}

bool fleet_tick(struct fleet *f, int64_t now_ms)
{
    int64_t patience_ms = FLEET_MISSED_HEARTBEATS * f->heartbeat_ms;
    bool changed = false;

    forgive_own_silence(f, now_ms);
    for (uint32_t i = bitset_next(&f->connected, 0); i != BITSET_END;
         i = bitset_next(&f->connected, i + 1)) {
        if (now_ms - f->heard_ms[i] <= patience_ms)
            continue;
        bitset_remove(&f->connected, i);
        changed = true;
    }
    if (fleet_in_grace(f, now_ms))
        return changed;
    for (uint32_t w = 0; w < f->enrolled.word_count; w++) {
        uint64_t gone = f->enrolled.words[w] & ~f->connected.words[w];

        changed |= gone != f->unreachable.words[w];
        f->unreachable.words[w] = gone;
    }
    return changed;
}
