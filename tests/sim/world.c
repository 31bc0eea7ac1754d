/* world.c - time, chance and the network of one simulated schedule. */
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* splitmix64: every seed gives a different and good stream. */
static uint64_t draw(struct world *w)
{
    uint64_t z = w->chance += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

unsigned pick(struct world *w, unsigned bound)
{
    return (unsigned)((draw(w) >> 33) % bound);
}

bool happens(struct world *w, unsigned per_mille)
{
    return per_mille && pick(w, 1000) < per_mille;
}

bool faults_last(const struct world *w)
{
    return w->now_ms < w->faults.end_ms;
}

void trace(const struct world *w, const char *fmt, ...)
{
    va_list args;

    if (!w->is_traced)
        return;
    printf("[%7.3f] ", (double)w->now_ms / 1000);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

void violated(struct world *w, const char *fmt, ...)
{
    va_list args;

    if (w->is_broken)
        return;
    w->is_broken = true;
    va_start(args, fmt);
    vsnprintf(w->verdict, sizeof(w->verdict), fmt, args);
    va_end(args);
    trace(w, "VIOLATED %s", w->verdict);
}

struct hash content_hash(unsigned content)
{
    struct hash h = { { (uint8_t)content, content ? 0xcc : 0 } };

    return h;
}

unsigned content_of(const struct hash *hash)
{
    return hash->bytes[0];
}

/* ---- the heap of events, in the order of time, then of asking ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void later(struct world *w, struct event e, int64_t delay_ms)
{
    unsigned i = w->event_count++;

    MUST(w->event_count <= EVENTS_MAX);
    e.at_ms = w->now_ms + delay_ms;
    e.order = w->order++;
    while (i > 0 && is_before(&e, &w->events[(i - 1) / 2])) {
        w->events[i] = w->events[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->events[i] = e;
}

static struct event next_event(struct world *w)
{
    struct event first = w->events[0], last = w->events[--w->event_count];
    unsigned i = 0;

    for (;;) {
        unsigned child = 2 * i + 1;

        if (child >= w->event_count)
            break;
        if (child + 1 < w->event_count && is_before(&w->events[child + 1], &w->events[child]))
            child++;
        if (!is_before(&w->events[child], &last))
            break;
        w->events[i] = w->events[child];
        i = child;
    }
    w->events[i] = last;
    return first;
}

/* ---- the network: loses, repeats, delays and thereby reorders ---- */

static void post_once(struct world *w, const struct message *m)
{
    unsigned most = faults_last(w) ? w->faults.delay_ms : 30;
    uint16_t place;

    if (w->free_count == 0)
        return; /* a full queue drops */
    place = w->free_messages[--w->free_count];
    w->messages[place] = *m;
    later(w, (struct event){ .kind = EVENT_ARRIVES, .index = place },
          1 + (int64_t)(happens(w, 100) ? pick(w, most + 1) : pick(w, most / 8 + 1)));
}

static bool is_parted(const struct world *w, const struct message *m)
{
    return w->now_ms <
           (m->is_to_server ? w->parted_until[m->from][m->to] : w->parted_until[m->to][m->from]);
}

void post(struct world *w, const struct message *m)
{
    if (m->is_to_server)
        judge_sent(w, m);
    if (m->is_to_server)
        judge_entitled(w, m);
    if (is_parted(w, m))
        return;
    if (faults_last(w) && happens(w, w->faults.loss))
        return;
    post_once(w, m);
    if (faults_last(w) && happens(w, w->faults.repeat))
        post_once(w, m);
}

static void arrives(struct world *w, uint32_t place)
{
    struct message m = w->messages[place];

    w->free_messages[w->free_count++] = (uint16_t)place;
    if (m.is_to_server)
        server_receive(w, m.to, &m);
    else
        coordinator_receive(w, m.to, &m);
}

/* ---- one schedule ---- */

/* Calm schedules and stormy ones: a storm of everything at once seldom commits anything. */
static void draw_faults(struct world *w)
{
    unsigned storm = pick(w, 4);
    struct faults *f = &w->faults;

    *f = (struct faults){ .end_ms = 30000 + (int64_t)pick(w, 30000), .delay_ms = 40 };
    if (storm == 0)
        return;
    f->loss = pick(w, 2) ? pick(w, 80 * storm) : 0;
    f->repeat = pick(w, 2) ? pick(w, 100 * storm) : 0;
    f->delay_ms = pick(w, 2) ? 40 + pick(w, 1500 * storm) : 40;
    f->coordinator_crash_ms = pick(w, 2) ? 4000 + pick(w, 40000 / storm) : 0;
    f->server_crash_ms = pick(w, 2) ? 2000 + pick(w, 30000 / storm) : 0;
    f->cut_ms = pick(w, 3) == 0 ? 5000 + pick(w, 30000 / storm) : 0;
    f->part_ms = pick(w, 3) == 0 ? 3000 + pick(w, 30000 / storm) : 0;
    f->reimage = pick(w, 3) == 0 ? 200 + pick(w, 500) : 0;
    f->at_decision = pick(w, 2) ? pick(w, 150 * storm) : 0;
    f->at_save = pick(w, 3) == 0 ? pick(w, 30 * storm) : 0;
    f->flaky_apply = pick(w, 3) == 0 ? pick(w, 60 * storm) : 0;
}

/* In some schedules leaders come and go and nothing else goes wrong. Drawn apart, so that the other
 * schedules stay what they were. */
static void draw_flapping(struct world *w, uint64_t seed)
{
    uint64_t bits = (seed + 1) * UINT64_C(0xd1342543de82ef95);

    if (bits >> 60 == 0)
        w->faults = (struct faults){ .end_ms = 120000,
                                     .delay_ms = 40,
                                     .flap_ms = 6000 + (unsigned)(bits >> 40 & 4095) };
}

/* Whose event it is, when it is a coordinator's own; COORDINATORS_MAX otherwise. */
static unsigned coordinator_of(const struct world *w, const struct event *e)
{
    const struct message *m = &w->messages[e->index % MESSAGES_MAX];

    switch ((enum event_kind)e->kind) {
    case EVENT_ARRIVES:
        return m->is_to_server ? COORDINATORS_MAX : m->to;
    case EVENT_TICK_COORDINATOR:
    case EVENT_LEASE:
    case EVENT_COMMIT:
    case EVENT_RESULT:
    case EVENT_CHOSEN:
        return e->who;
    case EVENT_TICK_SERVER:
    case EVENT_ORPHAN:
    case EVENT_DISK:
    case EVENT_STAGED:
    case EVENT_APPLIED:
    case EVENT_START_COORDINATOR:
    case EVENT_START_SERVER:
    case EVENT_FAULT:
    case EVENT_OPERATOR:
    case EVENT_LOOK:
    case EVENT_HOSTILE:
    case EVENT_COMINGS:
        break;
    }
    return COORDINATORS_MAX;
}

/* A stopped process goes on where it stopped, with all that came meanwhile still to be read. */
static bool is_frozen(struct world *w, const struct event *e)
{
    unsigned who = coordinator_of(w, e);

    if (who == COORDINATORS_MAX || w->now_ms >= w->coordinators[who].frozen_until)
        return false;
    later(w, *e, w->coordinators[who].frozen_until - w->now_ms);
    return true;
}

/* Has everything come to rest? */
static void look(struct world *w, const struct event *e)
{
    operator_clear_up(w);
    w->is_quiet = judge_is_quiet(w, false);
    if (!w->is_quiet)
        later(w, *e, 1000);
}

static void handle(struct world *w, const struct event *e)
{
    const struct coordinator *c = &w->coordinators[e->who % COORDINATORS_MAX];
    const struct server *s = &w->servers[e->who % SERVERS_MAX];

    switch ((enum event_kind)e->kind) {
    case EVENT_ARRIVES:
        arrives(w, e->index);
        break;
    case EVENT_TICK_COORDINATOR:
        if (e->life == c->leadership)
            coordinator_tick(w, e->who);
        break;
    case EVENT_TICK_SERVER:
        if (e->life == s->life)
            server_tick(w, e->who);
        break;
    case EVENT_LEASE:
        if (e->life == c->life)
            coordinator_lease(w, e->who);
        break;
    case EVENT_COMMIT:
        if (e->life == c->leadership)
            coordinator_commit(w, e->who);
        break;
    case EVENT_RESULT:
        if (e->life == c->leadership)
            coordinator_result(w, e->who, e->index);
        break;
    case EVENT_ORPHAN:
        database_execute(w, &w->orphans[e->index]);
        break;
    case EVENT_CHOSEN:
        if (e->life == c->leadership)
            coordinator_chosen(w, e->who, e->number);
        break;
    case EVENT_DISK:
        if (e->life == s->life)
            server_disk(w, e->who);
        break;
    case EVENT_STAGED:
        if (e->life == s->life)
            server_staged(w, e->who, e->index, e->number);
        break;
    case EVENT_APPLIED:
        if (e->life == s->life)
            server_applied(w, e->who, e->index, e->number);
        break;
    case EVENT_START_COORDINATOR:
        coordinator_start(w, e->who);
        break;
    case EVENT_START_SERVER:
        server_start(w, e->who);
        break;
    case EVENT_FAULT:
        misfortune(w);
        break;
    case EVENT_OPERATOR:
        operator_act(w);
        break;
    case EVENT_HOSTILE:
        hostile_act(w);
        break;
    case EVENT_COMINGS:
        comings_act(w);
        break;
    case EVENT_LOOK:
        look(w, e);
        break;
    }
}

static void populate(struct world *w)
{
    w->coordinator_count = 2 + pick(w, 2);
    w->server_count = 3 + pick(w, 6);
    w->database.scope_count = 1 + pick(w, SCOPES_MAX);
    w->next_session = 1;
    w->free_count = MESSAGES_MAX;
    for (unsigned i = 0; i < MESSAGES_MAX; i++)
        w->free_messages[i] = (uint16_t)i;
    operator_prepare(w);
    for (unsigned c = 0; c < w->coordinator_count; c++)
        later(w, (struct event){ .kind = EVENT_START_COORDINATOR, .who = (uint8_t)c },
              pick(w, 500));
    for (unsigned s = 0; s < w->server_count; s++)
        later(w, (struct event){ .kind = EVENT_START_SERVER, .who = (uint8_t)s },
              happens(w, 150) ? pick(w, 25000) : pick(w, 3000));
    later(w, (struct event){ .kind = EVENT_OPERATOR }, 100);
    later(w, (struct event){ .kind = EVENT_FAULT }, 500);
    later(w, (struct event){ .kind = EVENT_LOOK }, w->faults.end_ms + 1000);
}

/* In some schedules the tables are so small that they are full all the time, and not the same for
 * all. Drawn apart, so that the other schedules stay what they were. */
static void draw_limits(struct world *w, uint64_t seed)
{
    uint64_t bits = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    bool is_tight = (bits >> 60) < 4, is_alike = bits >> 59 & 1;

    for (unsigned c = 0; c < COORDINATORS_MAX; c++) {
        unsigned tight = SMALLEST_TABLE + (unsigned)(bits >> (is_alike ? 40 : 40 - 8 * c) & 15);

        w->duties_max[c] = !is_tight || (c == 0 && !is_alike) ? DUTIES_MAX : tight;
    }
}

/* What is filled before it is read stays as the schedule before left it. */
static void wipe(struct world *w, uint64_t seed, bool is_traced, struct tally_row *tally)
{
    w->chance = seed;
    w->now_ms = 0;
    w->order = 0;
    w->is_traced = is_traced;
    w->is_broken = w->is_quiet = false;
    memset(&w->database, 0, sizeof(w->database));
    memset(w->told, 0, sizeof(w->told));
    memset(w->moved, 0, sizeof(w->moved));
    memset(w->parted_until, 0, sizeof(w->parted_until));
    w->told_failing = 0;
    memset(w->chatter, 0, sizeof(w->chatter));
    memset(w->bakes, 0, sizeof(w->bakes));
    w->unled_ms = w->unled_since = 0;
    w->led_count = 0;
    memset(w->told_applied, 0, sizeof(w->told_applied));
    memset(w->told_failed, 0, sizeof(w->told_failed));
    memset(w->told_back, 0, sizeof(w->told_back));
    memset(w->told_stuck, 0, sizeof(w->told_stuck));
    draw_limits(w, seed);
    w->event_count = w->orphan_next = w->rollouts_wanted = 0;
    w->tally = tally;
    for (unsigned c = 0; c < COORDINATORS_MAX; c++) {
        w->coordinators[c].is_up = w->coordinators[c].is_leading = false;
        w->coordinators[c].life = w->coordinators[c].leadership = 0;
        w->coordinators[c].cut_until = w->coordinators[c].frozen_until = 0;
        w->coordinators[c].epoch = 0; /* who lies says it before anybody leads */
    }
    for (unsigned s = 0; s < SERVERS_MAX; s++) {
        struct server *v = &w->servers[s];

        memset(&v->disk, 0, sizeof(v->disk));
        memset(v->running, 0, sizeof(v->running));
        v->is_up = v->is_there = false;
        v->life = v->incarnation = v->deed_count = 0;
        v->lost_below = v->behind = v->boot = v->seen_epoch = 0;
        v->save_head = v->save_tail = 0;
        v->disk_free_ms = 0;
        v->participant.task_count = 0;
    }
}

bool world_run(struct world *w, uint64_t seed, bool is_traced, struct tally_row *tally)
{
    wipe(w, seed, is_traced, tally);
    draw_faults(w);
    draw_flapping(w, seed);
    populate(w);
    hostile_prepare(w, seed);
    comings_prepare(w, seed);
    while (w->event_count > 0 && !w->is_broken && !w->is_quiet && w->now_ms < FOREVER_MS) {
        struct event e = next_event(w);

        w->now_ms = e.at_ms;
        if (!is_frozen(w, &e))
            handle(w, &e);
        tally->events++;
    }
    tally->schedules++;
    if (!w->is_broken && !w->is_quiet)
        judge_is_quiet(w, true);
    return !w->is_broken;
}
