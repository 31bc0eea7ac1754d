/* leader_kit.h - a leader of eight servers under test: every save is answered by hand. */
#ifndef TESTS_UNIT_LEADER_KIT_H
#define TESTS_UNIT_LEADER_KIT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/core/leader.h"
#include "tests/test.h"

#define SERVERS 8
#define EFFECTS 256

static struct leader_limits limits = { .servers_max = 64,
                                       .scopes_max = 4,
                                       .rollouts_max = 4,
                                       .duties_max = 32,
                                       .heartbeat_ms = 5000,
                                       .session_grace_ms = 30000,
                                       .rollback_timeout_ms = 120000 };
static void *memory;
static struct leader *l;
static struct effect items[EFFECTS];
static struct effects out;
static int64_t now;
static uint64_t dseq;
static struct rollout_load load;
static enum save_kind saved_kind; /* of the last SAVE */
static enum decision_kind saved_decision;
static unsigned saved_stage, save_total;
static uint32_t saved_failed_max; /* of the last ACTIVATE */
static const char *activated_because, *turned_because, *ended_because; /* of the last saves */
static bool pair; /* cohorts have two servers instead of one */
static void (*before_chosen)(void); /* what happens while a cohort is being chosen */
static uint64_t sent_to[3]; /* per send_kind, the last set's first word */
static unsigned sends[3];

static inline struct leader_event event(enum leader_event_type type)
{
    return (struct leader_event){ .type = type, .now_ms = now, .chance = 12345, .rollout = 1 };
}

static inline enum command_verdict step(struct leader_event ev);

/* Saves are answered at once, cohorts chosen in the order of the indices. */
static inline void answer(const struct effect *e)
{
    if (e->type == EFFECT_SAVE) {
        struct leader_event ev = event(LEADER_SAVED);

        saved_kind = e->save.kind;
        saved_decision = e->save.decision;
        saved_stage = e->save.stage;
        if (e->save.kind == SAVE_DECISION && e->save.decision == DECISION_ACTIVATE)
            saved_failed_max = e->save.failed_max;
        if (e->save.kind == SAVE_DECISION && e->save.decision == DECISION_ACTIVATE)
            activated_because = e->save.because;
        if (e->save.kind == SAVE_PAUSE || e->save.to == PHASE_ABORTING ||
            e->save.to == PHASE_ROLLING_BACK)
            turned_because = e->save.because;
        if (e->save.kind == SAVE_END)
            ended_because = e->save.because;
        save_total++;
        ev.rollout = e->save.rollout;
        ev.save_kind = e->save.kind;
        ev.decision = e->save.kind == SAVE_ATTEMPT ? DECISION_ACTIVATE : e->save.decision;
        ev.number = e->save.kind == SAVE_ATTEMPT ? ++dseq : 0;
        if (e->save.kind == SAVE_DECISION || (e->save.kind == SAVE_ATTEMPT && e->save.is_eventual))
            ev.dseq = ++dseq;
        step(ev);
    } else if (e->type == EFFECT_CHOOSE) {
        const struct rollout *r = leader_rollout(l, e->choose.rollout);
        uint64_t left =
            r->scope_members.words[0] & ~r->opened.words[0] & leader_fleet(l)->enrolled.words[0];
        bool is_last = r->stage + 1 == r->strategy.stage_count;
        uint64_t first = left & -left, second = (left ^ first) & -(left ^ first);
        uint64_t word = is_last ? left : pair ? first | second : first;
        struct bitset set = { &word, 1 };
        struct leader_event ev = event(LEADER_COHORT_CHOSEN);

        if (before_chosen)
            before_chosen();
        ev.rollout = e->choose.rollout;
        ev.set = &set;
        step(ev);
    } else if (e->type == EFFECT_SEND) {
        sent_to[e->send.kind] = e->send.to->words[0];
        sends[e->send.kind]++;
    }
}

static inline enum command_verdict step(struct leader_event ev)
{
    struct effect copies[EFFECTS];
    enum command_verdict verdict;
    size_t count;

    out.count = 0;
    verdict = leader_step(l, &ev, &out);
    count = out.count;
    memcpy(copies, items, count * sizeof(*copies));
    for (size_t i = 0; i < count; i++) /* sets first: the next step overwrites what is lent */
        if (copies[i].type == EFFECT_SEND)
            answer(&copies[i]);
    for (size_t i = 0; i < count; i++)
        if (copies[i].type != EFFECT_SEND)
            answer(&copies[i]);
    return verdict;
}

/* An empty leader with tables of its own. */
static inline void found(const struct leader_limits *with)
{
    free(memory);
    memory = calloc(1, leader_size(with));
    l = leader_init(memory, with, now);
}

/* All servers read the first scope. */
static inline void load_servers(void)
{
    leader_load_scope(l, 0);
    for (uint32_t i = 0; i < SERVERS; i++) {
        leader_load_server(l, i);
        leader_load_member(l, i, 0);
    }
}

static inline void setup(void)
{
    out = (struct effects){ .max = EFFECTS, .items = items };
    now = 1000;
    dseq = 0;
    save_total = 0;
    before_chosen = NULL;
    pair = false;
    memset(sends, 0, sizeof(sends));
    found(&limits);
    load_servers();
    leader_load_scope(l, 1);
    load = (struct rollout_load){ .id = 1, .scope_count = 1, .phase = PHASE_PREPARING };
    load.strategy.stage_count = 2;
    for (int s = 0; s < 2; s++)
        load.strategy.stages[s] = (struct stage_rule){ .size = { SIZE_COUNT, 1 },
                                                       .max_failed = { 0, BUDGET_UNLIMITED, 0 },
                                                       .ready_timeout_ms = 30000,
                                                       .apply_timeout_ms = 30000 };
}

static inline void teardown(void)
{
    free(memory);
    memory = NULL;
}

struct test_frame test_frame = { .set_up = setup, .tear_down = teardown };

static inline void hello(uint32_t server, uint64_t obeyed, uint64_t slot)
{
    struct heard_scope heard = { .scope = 0, .obeyed = obeyed, .slot = slot };
    struct leader_event ev = event(LEADER_HELLO_RECEIVED);

    ev.server = server;
    ev.heard = &heard;
    ev.heard_count = 1;
    step(ev);
}

/* A PONG about two scopes, of which some say that the local check fails. */
static inline void pong(uint32_t server, uint64_t obeyed, bool first_fails, bool second_fails)
{
    struct heard_scope heard[] = {
        { .scope = 0, .obeyed = obeyed, .is_check_failing = first_fails },
        { .scope = 1, .obeyed = obeyed, .is_check_failing = second_fails },
    };
    struct leader_event ev = event(LEADER_PONG_RECEIVED);

    ev.server = server;
    ev.heard = heard;
    ev.heard_count = 2;
    step(ev);
}

static inline void on_choosing(void (*happens_first)(void))
{
    before_chosen = happens_first;
}

static inline void everybody_says_hello(void)
{
    for (uint32_t i = 0; i < SERVERS; i++)
        hello(i, 0, 0);
}

static inline void start(void)
{
    struct leader_event ev = event(LEADER_ROLLOUT_STARTED);

    ev.load = &load;
    step(ev);
}

static inline void ack(enum ack_kind kind, uint32_t server, uint64_t number)
{
    struct ack a = { .kind = kind, .server = server, .number = number };
    struct leader_event ev = event(LEADER_ACKS_SAVED);

    ev.acks = &a;
    ev.ack_count = 1;
    step(ev);
}

static inline void acks(enum ack_kind kind, uint64_t servers, uint64_t number)
{
    for (uint32_t i = 0; i < SERVERS; i++)
        if (servers >> i & 1)
            ack(kind, i, number);
}

static inline enum command_verdict command(enum rollout_action action)
{
    struct leader_event ev = event(LEADER_COMMANDED);

    ev.action = action;
    ev.command = 77;
    return step(ev);
}

static inline void tick(int64_t passed_ms)
{
    now += passed_ms;
    step(event(LEADER_TICKED));
}

static inline enum rollout_state state(void)
{
    const struct rollout *r = leader_rollout(l, 1);

    return r ? r->state : ROLLOUT_ENDED;
}

static inline enum round_state round_state(void)
{
    return leader_rollout(l, 1)->round.state;
}

static inline uint64_t number(void)
{
    return leader_rollout(l, 1)->round.number;
}

/* Stage one applied: the numbers are 1 (attempt) and 2 (ACTIVATE); stage two is asked. */
static inline void pass_the_first_stage(void)
{
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    ack(ACK_APPLIED, 0, 2);
}

/* Every server reads both scopes, and the rollout is about both of them. */
static inline void widen_to_two_scopes(void)
{
    for (uint32_t i = 0; i < SERVERS; i++)
        leader_load_member(l, i, 1);
    load.scope_count = 2;
    load.scopes[1] = 1;
}

#endif
