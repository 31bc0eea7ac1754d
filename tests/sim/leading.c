/* leading.c - who leads: the lease, takeovers, crashes and the writes that outlive them. */
#include "tests/sim/world.h"

/* What the writer was about to commit may land any time later, if the fence lets it. */
static void orphan_head(struct world *w, const struct coordinator *c)
{
    unsigned place = w->orphan_next++ % ORPHANS_MAX;

    if (!c->is_writing || happens(w, 500))
        return;
    w->orphans[place] = c->queue[c->queue_head % QUEUE_MAX];
    later(w, (struct event){ .kind = EVENT_ORPHAN, .index = place }, 1 + (int64_t)pick(w, 6000));
}

void coordinator_step_down(struct world *w, unsigned who, const char *why)
{
    struct coordinator *c = &w->coordinators[who];

    if (!c->is_leading)
        return;
    trace(w, "coordinator %u steps down: %s", who, why);
    orphan_head(w, c);
    c->is_leading = false;
    c->leadership++;
    c->queue_head = c->queue_tail = 0;
    c->is_writing = false;
    if (w->database.epoch != c->epoch)
        return;
    judge_unled(w);
    w->database.lease_until = w->now_ms; /* given up */
    database_observe(w);
}

void coordinator_crash(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];
    bool was_leading = c->is_leading;
    struct database *d = &w->database;
    int64_t lease = d->lease_until, observed_ms = d->observed_ms, seen_ms = d->seen_ms;

    if (!c->is_up)
        return;
    w->tally->crashes++;
    coordinator_step_down(w, who, "crash");
    if (was_leading) { /* it says nothing any more */
        d->lease_until = lease;
        d->observed_ms = observed_ms;
        d->seen_ms = seen_ms;
    }
    c->is_up = false;
    c->life++;
    later(w, (struct event){ .kind = EVENT_START_COORDINATOR, .who = (uint8_t)who },
          faults_last(w) ? 100 + (int64_t)pick(w, 6000) : 100);
}

void coordinator_start(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];

    if (c->is_up)
        return;
    c->is_up = true;
    later(w, (struct event){ .kind = EVENT_LEASE, .who = (uint8_t)who, .life = c->life },
          (int64_t)pick(w, 300));
}

static void take_over(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];
    struct database *d = &w->database;
    struct effects *out = coordinator_effects();

    d->epoch++;
    d->holder = who;
    d->lease_until = w->now_ms + LEASE_MS;
    d->seen_ms = w->now_ms;
    judge_led(w);
    c->led_ms = w->now_ms;
    w->tally->takeovers++;
    trace(w, "coordinator %u leads with epoch %llu", who, (unsigned long long)d->epoch);
    c->is_leading = true;
    c->leadership++;
    c->epoch = d->epoch;
    c->queue_head = c->queue_tail = c->note_count = c->frame_count = 0;
    c->is_writing = false;
    c->result_count = 0;
    c->known_rollouts = 0;
    c->ping_ms = 0;
    c->result_ms = 0;
    memset(c->offered, 0, sizeof(c->offered));
    memset(c->sessions, 0, sizeof(c->sessions));
    memset(c->boots, 0, sizeof(c->boots));
    memset(c->heard, 0, sizeof(c->heard));
    if (!coordinator_load(w, who)) { /* rather nobody leads than somebody who knows half of it */
        coordinator_step_down(w, who, "what is open does not fit here");
        return;
    }
    for (unsigned i = 0; i < d->attempt_count; i++)
        coordinator_add_attempt(c, &d->attempts[i]);
    for (unsigned i = 0; i < d->decision_count; i++)
        coordinator_add_decision(c, &d->decisions[i]);
    leader_begin(c->leader, w->now_ms, pick(w, 1u << 30), out);
    coordinator_perform(w, who, out);
    later(w,
          (struct event){
              .kind = EVENT_TICK_COORDINATOR, .who = (uint8_t)who, .life = c->leadership },
          (int64_t)pick(w, COORDINATOR_TICK_MS));
}

/* A leader that is cut off notices late, if at all: two may believe that they lead. */
void coordinator_lease(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];
    struct database *d = &w->database;

    later(w, (struct event){ .kind = EVENT_LEASE, .who = (uint8_t)who, .life = c->life },
          LEASE_MS / 3 + (int64_t)pick(w, 200));
    if (w->now_ms < c->cut_until)
        return;
    if (c->is_leading && d->epoch == c->epoch) {
        d->lease_until = w->now_ms + LEASE_MS;
        database_observe(w);
    } else if (c->is_leading && (happens(w, 500) || !faults_last(w))) {
        coordinator_step_down(w, who, "the lease is somebody else's");
    } else if (!c->is_leading && w->now_ms >= d->lease_until) {
        take_over(w, who);
    }
}

void coordinator_revoked(struct world *w, unsigned server)
{
    for (unsigned who = 0; who < w->coordinator_count; who++)
        if (w->coordinators[who].is_leading) {
            coordinator_step(w, who,
                             &(struct leader_event){ .type = LEADER_REVOKED, .server = server });
            w->coordinators[who].sessions[server] = 0;
        }
}

void coordinator_retried(struct world *w, unsigned server)
{
    for (unsigned who = 0; who < w->coordinator_count; who++) {
        uint64_t before = w->chatter[server].in_all;

        if (!w->coordinators[who].is_leading)
            continue;
        coordinator_step(w, who,
                         &(struct leader_event){ .type = LEADER_RETRIED, .server = server });
        judge_retried(w, who, server, before);
    }
}
