/* server.c - one server: the shipped participant between a network, a disk and programs. */
#include "tests/sim/world.h"

#define POLL_CHANCE 5 /* of 1000, at each tick */
#define TICK_MS 400
#define SILENCE_MS (3 * HEARTBEAT_MS)

static struct participant_effects effects; /* one step happens at a time in the whole world */

static void perform(struct world *w, unsigned who);

static void step(struct world *w, unsigned who, struct participant_event *ev)
{
    struct server *v = &w->servers[who];
    const char *because;

    ev->now_ms = w->now_ms;
    ev->chance = pick(w, 1u << 30);
    effects.count = 0;
    because = participant_step(&v->participant, ev, &effects);
    if (!because)
        return;
    coverage_participant(w, ev->type, because);
    if (ev->type != PARTICIPANT_TICKED)
        trace(w, "server %u: %s %llu: %s", who, participant_event_name(ev->type),
              (unsigned long long)ev->number, because);
    perform(w, who);
}

/* ---- messages out ---- */

static void send(struct world *w, unsigned who, struct message *m)
{
    struct server *v = &w->servers[who];

    m->from = (uint8_t)who;
    m->to = (uint8_t)v->coordinator;
    m->is_to_server = false;
    m->epoch = v->seen_epoch;
    m->session = v->session;
    m->boot = v->boot;
    m->incarnation = v->incarnation;
    m->read = (uint8_t)v->scopes;
    post(w, m);
}

/* The digest is of what is durable. */
static void fill_digest(struct world *w, unsigned who, struct message *m)
{
    struct server *v = &w->servers[who];

    m->scopes = (uint8_t)v->scopes;
    for (unsigned s = 0; s < w->database.scope_count; s++) {
        const struct promise *pr = &v->disk.promises[s];
        const struct content_row *c = &w->contents[content_of(&pr->active.hash)];

        m->digests[s] = (struct digest_row){ .obeyed = pr->obeyed,
                                             .slot = pr->slot_attempt,
                                             .is_failed = pr->outcome == OUTCOME_FAILED ||
                                                          pr->outcome == OUTCOME_BROKEN,
                                             .is_over = pr->outcome != OUTCOME_APPLYING,
                                             .is_check_failing = pr->outcome == OUTCOME_OK &&
                                                                 c->bad_check & BIT(who) };
        if (m->digests[s].is_check_failing)
            w->told_failing |= BIT(who);
    }
}

static void say_hello(struct world *w, unsigned who)
{
    struct message m = { .type = MESSAGE_HELLO };

    fill_digest(w, who, &m);
    send(w, who, &m);
}

static void send_entry(struct world *w, unsigned who, const struct outbox_entry *e)
{
    struct message m = { .type = MESSAGE_ACK,
                         .word = e->word,
                         .number = e->number,
                         .outbox = e->id,
                         .is_broken = e->is_broken,
                         .scopes = (uint8_t)e->scopes,
                         .refusal = e->word == ACK_WORD_REFUSED ? REFUSAL_STAGING : REFUSAL_NONE };

    if (w->servers[who].is_welcome)
        send(w, who, &m);
}

/* ---- effects ---- */

static void begin_work(struct world *w, unsigned who, const struct participant_effect *e)
{
    struct server *v = &w->servers[who];
    bool is_slow = faults_last(w) && happens(w, 50);

    v->work[e->task]++;
    if (e->type == PARTICIPANT_APPLY)
        judge_apply(w, who, e->scopes);
    later(w,
          (struct event){ .kind = e->type == PARTICIPANT_STAGE ? EVENT_STAGED : EVENT_APPLIED,
                          .who = (uint8_t)who,
                          .life = v->life,
                          .index = e->task,
                          .number = v->work[e->task] | (uint64_t)e->scopes << 32 },
          1 + (int64_t)pick(w, is_slow ? 9000 : 60));
}

static void save(struct world *w, unsigned who, const struct participant_effect *e)
{
    struct server *v = &w->servers[who];
    struct pending_save *s = &v->saves[v->save_tail++ % SAVES_MAX];

    MUST(v->save_tail - v->save_head <= SAVES_MAX);
    *s = (struct pending_save){
        .task = e->task, .scopes = e->scopes, .has_ack = e->has_ack, .seen_epoch = v->seen_epoch
    };
    for (unsigned i = 0; i < w->database.scope_count; i++)
        s->promises[i] = *participant_promise(&v->participant, i);
    if (e->has_ack)
        s->entry = (struct outbox_entry){ .number = e->number,
                                          .gen = e->gen,
                                          .word = e->word,
                                          .is_broken = e->is_broken,
                                          .scopes = e->scopes };
    if (v->disk_free_ms < w->now_ms)
        v->disk_free_ms = w->now_ms;
    v->disk_free_ms += 1 + (int64_t)pick(w, happens(w, 100) ? 200 : 8);
    later(w, (struct event){ .kind = EVENT_DISK, .who = (uint8_t)who, .life = v->life },
          v->disk_free_ms - w->now_ms);
}

static void perform(struct world *w, unsigned who)
{
    struct server *v = &w->servers[who];

    for (size_t i = 0; i < effects.count; i++) {
        const struct participant_effect *e = &effects.items[i];
        struct message m = { .type = MESSAGE_STATUS, .number = e->number };

        switch (e->type) {
        case PARTICIPANT_STAGE:
        case PARTICIPANT_APPLY:
            begin_work(w, who, e);
            break;
        case PARTICIPANT_SAVE:
            save(w, who, e);
            break;
        case PARTICIPANT_SAY:
            if (e->word == ACK_WORD_REFUSED && e->refusal == REFUSAL_BASE)
                v->behind = e->number;
            if (v->is_welcome) {
                m = (struct message){ .type = MESSAGE_ACK,
                                      .word = e->word,
                                      .number = e->number,
                                      .refusal = e->refusal,
                                      .is_broken = e->is_broken,
                                      .scopes = (uint8_t)e->scopes };
                send(w, who, &m);
            }
            break;
        case PARTICIPANT_CANCEL:
            v->work[e->task]++;
            break;
        case PARTICIPANT_DIGEST:
            m = (struct message){ .type = MESSAGE_PONG };
            fill_digest(w, who, &m);
            if (v->is_welcome)
                send(w, who, &m);
            break;
        case PARTICIPANT_ASK:
            if (v->is_welcome)
                send(w, who, &m);
            break;
        }
    }
}

/* ---- the disk ---- */

static void make_durable(struct world *w, unsigned who, const struct pending_save *s)
{
    struct server *v = &w->servers[who];
    struct promise before[SCOPES_MAX];

    memcpy(before, v->disk.promises, sizeof(before));
    for (unsigned i = 0; i < w->database.scope_count; i++)
        if (s->scopes & BIT(i))
            v->disk.promises[i] = s->promises[i];
    v->disk.seen_epoch = s->seen_epoch;
    if (s->has_ack) {
        struct outbox_entry *e = &v->disk.outbox[v->disk.outbox_count++];

        MUST(v->disk.outbox_count <= OUTBOX_MAX);
        *e = s->entry;
        e->id = ++v->disk.next_outbox;
        MUST(v->deed_count < DEEDS_MAX);
        v->deeds[v->deed_count++] = (struct deed){ .number = e->number,
                                                      .word = e->word,
                                                      .scopes = e->scopes };
    }
    judge_disk(w, who, s, before);
}

static void crash_at_save(struct world *w, unsigned who)
{
    if (faults_last(w) && happens(w, w->faults.at_save))
        server_crash(w, who);
}

void server_disk(struct world *w, unsigned who)
{
    struct server *v = &w->servers[who];
    unsigned life = v->life;
    struct pending_save s;

    crash_at_save(w, who);
    if (v->life != life)
        return;
    s = v->saves[v->save_head++ % SAVES_MAX];
    make_durable(w, who, &s);
    crash_at_save(w, who);
    if (v->life != life)
        return;
    if (s.has_ack)
        send_entry(w, who, &v->disk.outbox[v->disk.outbox_count - 1]);
    step(w, who, &(struct participant_event){ .type = PARTICIPANT_SAVED, .task = s.task });
}

/* ---- work that ended ---- */

/* A task's scopes: what STAGE was about lies in the task; programs are judged by their content. */
void server_staged(struct world *w, unsigned who, unsigned task, uint64_t work)
{
    struct server *v = &w->servers[who];
    const struct task *t = &v->participant.tasks[task];
    bool is_ok = !(faults_last(w) && happens(w, w->faults.flaky_apply / 2));

    if ((uint32_t)work != v->work[task])
        return;
    for (unsigned i = 0; i < t->target_count; i++)
        if (w->contents[content_of(&t->targets[i].content.hash)].bad_staging & BIT(who))
            is_ok = false;
    step(w, who,
         &(struct participant_event){ .type = PARTICIPANT_STAGED, .task = task, .is_ok = is_ok });
}

void server_applied(struct world *w, unsigned who, unsigned task, uint64_t work)
{
    struct server *v = &w->servers[who];
    bool is_ok = !(faults_last(w) && happens(w, w->faults.flaky_apply));

    if ((uint32_t)work != v->work[task])
        return;
    for (unsigned i = 0; i < w->database.scope_count; i++) {
        unsigned content = content_of(&v->disk.promises[i].active.hash);

        if (!(work >> 32 & BIT(i)))
            continue;
        v->running[i] = content;
        if (w->contents[content].bad_applying & BIT(who))
            is_ok = false;
    }
    step(w, who,
         &(struct participant_event){ .type = PARTICIPANT_APPLIED, .task = task, .is_ok = is_ok });
}

/* ---- messages in ---- */

/* Targets of scopes that this server reads. */
static unsigned targets_of(const struct server *v, const struct message *m, struct target *out)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->target_count; i++) {
        const struct target_row *t = &m->targets[i];

        if (v->scopes & BIT(t->scope))
            out[n++] = (struct target){
                .scope = t->scope,
                .content = { .revision = t->revision, .hash = content_hash(t->content) },
                .base = { .revision = t->base_revision, .hash = content_hash(t->base) }
            };
    }
    return n;
}

static void on_order(struct world *w, unsigned who, const struct message *m)
{
    struct target targets[SCOPES_MAX];
    unsigned count = targets_of(&w->servers[who], m, targets);
    struct participant_event ev = { .type = PARTICIPANT_ORDER,
                                    .gen = 1,
                                    .order = m->order,
                                    .number = m->number,
                                    .attempt = m->attempt,
                                    .targets = targets,
                                    .target_count = count };

    if (m->order == ORDER_ACTIVATE)
        judge_unheld(w, who, m);
    step(w, who, &ev);
}

static void on_prepare(struct world *w, unsigned who, const struct message *m)
{
    struct target targets[SCOPES_MAX];
    unsigned count = targets_of(&w->servers[who], m, targets);
    struct participant_event ev = { .type = PARTICIPANT_PREPARE,
                                    .gen = 1,
                                    .number = m->number,
                                    .is_eventual = m->is_eventual,
                                    .isolation_ms = m->isolation_ms,
                                    .dseq = m->dseq,
                                    .targets = targets,
                                    .target_count = count };

    step(w, who, &ev);
    judge_joined(w, who, m);
}

static void on_receipt(struct world *w, unsigned who, uint64_t id)
{
    struct server *v = &w->servers[who];

    for (unsigned i = 0; i < v->disk.outbox_count; i++)
        if (v->disk.outbox[i].id == id) {
            judge_receipt(w, who, id, v->incarnation);
            memmove(&v->disk.outbox[i], &v->disk.outbox[i + 1],
                    (--v->disk.outbox_count - i) * sizeof(v->disk.outbox[0]));
            return;
        }
}

static void on_welcome(struct world *w, unsigned who, const struct message *m)
{
    struct server *v = &w->servers[who];

    v->is_welcome = true;
    v->session = m->session;
    v->coordinator = m->from;
    for (unsigned i = 0; i < v->disk.outbox_count; i++)
        send_entry(w, who, &v->disk.outbox[i]);
    step(w, who, &(struct participant_event){ .type = PARTICIPANT_CONNECTED });
}

static void move_on(struct world *w, unsigned who)
{
    struct server *v = &w->servers[who];

    v->is_welcome = false;
    v->session = 0;
    v->coordinator = (v->coordinator + 1) % w->coordinator_count;
    v->next_hello_ms = w->now_ms + 50 + (int64_t)pick(w, 400);
}

static void obey(struct world *w, unsigned who, const struct message *m)
{
    struct message pong = { .type = MESSAGE_PONG };
    struct participant_event ev = { .number = m->number };

    switch (m->type) {
    case MESSAGE_WELCOME:
        on_welcome(w, who, m);
        break;
    case MESSAGE_PREPARE:
        on_prepare(w, who, m);
        break;
    case MESSAGE_DECISION:
        on_order(w, who, m);
        break;
    case MESSAGE_RECEIPT:
        on_receipt(w, who, m->outbox);
        break;
    case MESSAGE_ABORT:
        ev.type = PARTICIPANT_ABORT;
        step(w, who, &ev);
        break;
    case MESSAGE_ANSWER:
        ev.type = PARTICIPANT_ANSWERED;
        ev.is_known = m->fate == ATTEMPT_PENDING || m->fate == ATTEMPT_DECIDED;
        step(w, who, &ev);
        break;
    case MESSAGE_PING:
        fill_digest(w, who, &pong);
        send(w, who, &pong);
        break;
    case MESSAGE_HELLO:
    case MESSAGE_REJECT:
    case MESSAGE_ACK:
    case MESSAGE_STATUS:
    case MESSAGE_PONG:
    case MESSAGE_POLL:
    case MESSAGE_STALE:
        break;
    }
}

/* STALE judges the envelope: what an older leader says is not listened to. Every word belongs to
 * the boot it was meant for: one of an earlier life may speak of a disk that is gone. */
void server_receive(struct world *w, unsigned who, const struct message *m)
{
    struct server *v = &w->servers[who];

    if (!v->is_up || m->boot != v->boot)
        return;
    if (m->type == MESSAGE_REJECT) {
        if (m->from == v->coordinator && !v->is_welcome)
            move_on(w, who);
        return;
    }
    if (m->epoch < v->seen_epoch) {
        struct message stale = { .type = MESSAGE_STALE };
        unsigned own = v->coordinator;

        v->coordinator = m->from;
        send(w, who, &stale);
        v->coordinator = own;
        return;
    }
    v->seen_epoch = m->epoch;
    if (m->type != MESSAGE_WELCOME && m->session != v->session)
        return;
    v->heard_ms = w->now_ms;
    obey(w, who, m);
}

/* ---- time and lives ---- */

void server_tick(struct world *w, unsigned who)
{
    struct server *v = &w->servers[who];
    struct promise before[SCOPES_MAX];

    later(w, (struct event){ .kind = EVENT_TICK_SERVER, .who = (uint8_t)who, .life = v->life },
          TICK_MS);
    if (v->is_welcome && w->now_ms - v->heard_ms > SILENCE_MS)
        move_on(w, who);
    if (!v->is_welcome && w->now_ms >= v->next_hello_ms) {
        if (w->now_ms - v->heard_ms > SILENCE_MS && happens(w, 300))
            move_on(w, who);
        v->next_hello_ms = w->now_ms + 500 + (int64_t)pick(w, 1000);
        say_hello(w, who);
    }
    if (v->is_welcome && w->now_ms >= v->next_outbox_ms) {
        v->next_outbox_ms = w->now_ms + 1000 + (int64_t)pick(w, 2000);
        for (unsigned i = 0; i < v->disk.outbox_count; i++)
            send_entry(w, who, &v->disk.outbox[i]);
    }
    if (v->is_welcome && happens(w, POLL_CHANCE)) {
        struct message poll = { .type = MESSAGE_POLL };

        fill_digest(w, who, &poll);
        send(w, who, &poll);
    }
    memcpy(before, v->participant.promises, sizeof(before));
    step(w, who, &(struct participant_event){ .type = PARTICIPANT_TICKED,
                                              .silent_ms = w->now_ms - v->heard_ms });
    judge_tick(w, who, before);
}

/* An agent loads what its disk holds of the scopes that it reads; of the others nothing is lost. */
static void begin(struct world *w, unsigned who)
{
    struct server *v = &w->servers[who];
    struct promise loaded[SCOPES_MAX] = { 0 };

    for (unsigned i = 0; i < w->database.scope_count; i++)
        if (v->scopes & BIT(i))
            loaded[i] = v->disk.promises[i];
    participant_init(&v->participant, w->database.scope_count, loaded);
    step(w, who, &(struct participant_event){ .type = PARTICIPANT_STARTED });
    later(w, (struct event){ .kind = EVENT_TICK_SERVER, .who = (uint8_t)who, .life = v->life },
          (int64_t)pick(w, TICK_MS));
}

/* Newer settings are taken over in place: the session goes on, work is begun anew by what is
 * durable, and the agent waits for its disk before it lets go of what it had in memory. */
void server_renew(struct world *w, unsigned who, uint64_t scopes)
{
    struct server *v = &w->servers[who];
    const struct participant_closed closed = v->participant.closed_before;

    if (v->is_up) /* work that did not end is excused: this is no failed start */
        step(w, who, &(struct participant_event){ .type = PARTICIPANT_STOPPING });
    v->scopes = scopes;
    if (!v->is_up)
        return;
    while (v->save_head != v->save_tail)
        make_durable(w, who, &v->saves[v->save_head++ % SAVES_MAX]);
    v->life++;
    v->disk_free_ms = w->now_ms;
    begin(w, who);
    participant_carry(&v->participant, &closed);
}

void server_start(struct world *w, unsigned who)
{
    struct server *v = &w->servers[who];

    if (v->is_up)
        return;
    if (!v->is_there) {
        v->is_there = true;
        w->database.enrolled |= BIT(who);
    }
    v->is_up = true;
    v->boot = w->next_session++;
    v->is_welcome = false;
    v->session = 0;
    v->coordinator = pick(w, w->coordinator_count);
    v->next_hello_ms = v->next_outbox_ms = v->heard_ms = w->now_ms;
    v->seen_epoch = v->disk.seen_epoch;
    v->save_head = v->save_tail = 0;
    v->disk_free_ms = w->now_ms;
    begin(w, who);
}

/* Some of the saves on their way reached the disk, in their order. */
void server_crash(struct world *w, unsigned who)
{
    struct server *v = &w->servers[who];

    if (!v->is_up)
        return;
    if (happens(w, 200)) /* a stop on purpose */
        step(w, who, &(struct participant_event){ .type = PARTICIPANT_STOPPING });
    trace(w, "server %u crashes with %u saves on their way", who, v->save_tail - v->save_head);
    while (v->save_head != v->save_tail && happens(w, 500))
        make_durable(w, who, &v->saves[v->save_head++ % SAVES_MAX]);
    v->is_up = false;
    v->life++;
    w->tally->crashes++;
    later(w, (struct event){ .kind = EVENT_START_SERVER, .who = (uint8_t)who },
          faults_last(w) ? 50 + (int64_t)pick(w, happens(w, 200) ? 12000 : 1500) : 100);
}

void server_reimage(struct world *w, unsigned who)
{
    struct server *v = &w->servers[who];

    if (!v->is_there)
        return;
    server_crash(w, who);
    trace(w, "server %u is re-imaged", who);
    memset(&v->disk, 0, sizeof(v->disk));
    memset(v->running, 0, sizeof(v->running));
    memset(w->database.recorded[who], 0, sizeof(w->database.recorded[who]));
    v->incarnation++;
    v->lost_below = w->database.sequence;
    for (unsigned r = 0; r < ROLLOUTS_MAX; r++)
        w->moved[r][who] = 0;
    w->tally->reimages++;
}
