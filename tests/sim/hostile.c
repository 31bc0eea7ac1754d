/* hostile.c - an enrolled server that lies: claims scopes, answers what it was not asked, floods. */
#include "tests/sim/world.h"

#define HOSTILE_TICK_MS 400
#define LIES_MAX 4 /* at each tick, to one coordinator */

/* Its lies are drawn apart, so that worlds without it stay what they were. */
static unsigned lie(struct world *w, unsigned bound)
{
    w->hostile_chance = w->hostile_chance * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(w->hostile_chance >> 33) % bound;
}

/* One world in seven, when there is a place for it: enrolled for a scope that nobody else reads. */
void hostile_prepare(struct world *w, uint64_t seed)
{
    w->hostile = SERVERS_MAX;
    if (seed % 7 != 1 || w->server_count == SERVERS_MAX)
        return;
    w->hostile = w->server_count;
    w->hostile_chance = seed;
    w->database.enrolled |= BIT(w->hostile);
    later(w, (struct event){ .kind = EVENT_HOSTILE }, HOSTILE_TICK_MS);
}

uint64_t hostile_allowed(const struct world *w, unsigned server)
{
    return server == w->hostile ? 0 : UINT64_MAX;
}

/* The scopes that an enrolment allows: what an agent says of others makes no membership. */
uint64_t entitled(const struct world *w, unsigned server)
{
    return hostile_allowed(w, server);
}

bool entitled_to(const struct world *w, unsigned server, const struct message *frame)
{
    for (unsigned i = 0; i < frame->target_count; i++)
        if (entitled(w, server) & BIT(frame->targets[i].scope))
            return true;
    return false;
}

/* Any number that was issued, and some that were not yet. */
static uint64_t some_number(struct world *w)
{
    return 1 + lie(w, (unsigned)w->database.sequence + 3);
}

static void send(struct world *w, unsigned who, struct message *m)
{
    const struct coordinator *c = &w->coordinators[who];

    m->from = (uint8_t)w->hostile;
    m->to = (uint8_t)who;
    m->epoch = c->epoch;
    m->session = c->sessions[w->hostile];
    m->boot = 1 + lie(w, 3);
    post(w, m);
}

static void claim(struct world *w, unsigned who, enum message_type type)
{
    struct message m = { .type = type, .scopes = (uint8_t)(BIT(w->database.scope_count) - 1) };

    for (unsigned s = 0; s < w->database.scope_count; s++)
        m.digests[s] = (struct digest_row){ .obeyed = some_number(w),
                                            .slot = some_number(w),
                                            .is_check_failing = lie(w, 2) };
    send(w, who, &m);
}

static void answer(struct world *w, unsigned who)
{
    static const enum ack_word words[] = { ACK_WORD_READY,   ACK_WORD_REFUSED,     ACK_WORD_APPLIED,
                                           ACK_WORD_FAILED,  ACK_WORD_ROLLED_BACK, ACK_WORD_ABORTED,
                                           ACK_WORD_FINALIZED };
    struct message m = { .type = MESSAGE_ACK,
                         .word = words[lie(w, sizeof(words) / sizeof(words[0]))],
                         .number = some_number(w),
                         .outbox = lie(w, 200),
                         .is_broken = lie(w, 2) };

    m.refusal = m.word != ACK_WORD_REFUSED ? REFUSAL_NONE
                : lie(w, 2)                ? REFUSAL_BASE
                                           : REFUSAL_STAGING;
    send(w, who, &m);
}

void hostile_act(struct world *w)
{
    unsigned who = lie(w, w->coordinator_count);

    claim(w, who, MESSAGE_HELLO);
    claim(w, who, lie(w, 2) ? MESSAGE_PONG : MESSAGE_POLL);
    for (unsigned i = 0; i < LIES_MAX; i++)
        answer(w, who);
    send(w, who, &(struct message){ .type = MESSAGE_STATUS, .number = some_number(w) });
    later(w, (struct event){ .kind = EVENT_HOSTILE }, HOSTILE_TICK_MS);
}

/* ---- S16, and whose word counts ---- */

/* Nothing about a scope leaves for a server whose enrolment does not allow it. */
void judge_entitled(struct world *w, const struct message *m)
{
    uint64_t allowed = hostile_allowed(w, m->to);
    bool is_about_scopes = m->type == MESSAGE_PREPARE || m->type == MESSAGE_DECISION;

    for (unsigned i = 0; i < m->target_count && is_about_scopes; i++)
        if (allowed & BIT(m->targets[i].scope))
            return;
    if (is_about_scopes)
        violated(w, "S16: %llu is sent to server %u, which is not entitled to it",
                 (unsigned long long)m->number, m->to);
}

/* The leader counts nobody whom the rollout did not ask. */
void judge_counted(struct world *w, unsigned who)
{
    unsigned h = w->hostile;

    for (unsigned i = 0; i < w->database.rollout_count && h < SERVERS_MAX; i++) {
        const struct rollout *r = leader_rollout(w->coordinators[who].leader, i + 1);

        if (!r)
            continue;
        if (bitset_has(&r->round.ready, h) || bitset_has(&r->applied, h) ||
            bitset_has(&r->failed, h) || bitset_has(&r->rolled_back, h) ||
            bitset_has(&r->broken, h) || bitset_has(&r->aborted, h) ||
            bitset_has(&r->finalized, h) || bitset_has(&r->behind, h))
            violated(w, "S16: rollout %u counts the word of server %u, which was never asked",
                     i + 1, h);
    }
}
