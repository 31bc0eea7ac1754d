/* coordinator.c - one coordinator process: the shipped leader between a network and a database. */
#include "tests/sim/world.h"

#define EFFECTS_MAX 512

/* One step happens at a time in the whole world. */
struct effects *coordinator_effects(void)
{
    static struct effect items[EFFECTS_MAX];
    static struct effects effects;

    effects = (struct effects){ .max = EFFECTS_MAX, .items = items };
    return &effects;
}

static uint64_t word(const struct bitset *set)
{
    return set ? set->words[0] : 0;
}

/* ---- sending ---- */

static void send(struct world *w, unsigned who, unsigned server, struct message *m)
{
    struct coordinator *c = &w->coordinators[who];

    if (!c->sessions[server])
        return; /* the router knows no such peer yet */
    m->from = (uint8_t)who;
    m->to = (uint8_t)server;
    m->is_to_server = true;
    m->epoch = c->epoch;
    m->session = c->sessions[server];
    m->boot = c->boots[server];
    m->incarnation = w->servers[server].incarnation;
    post(w, m);
}

static const struct message *find_frame(const struct coordinator *c, enum message_type type,
                                        uint64_t number)
{
    for (unsigned i = 0; i < c->frame_count; i++)
        if (c->frames[i].number == number && c->frames[i].body.type == type)
            return &c->frames[i].body;
    return NULL;
}

static void perform_send(struct world *w, unsigned who, const struct send *s)
{
    struct coordinator *c = &w->coordinators[who];
    struct message m = { .type = MESSAGE_ABORT, .number = s->number };

    if (s->kind != SEND_ABORT) {
        enum message_type type = s->kind == SEND_PREPARE ? MESSAGE_PREPARE : MESSAGE_DECISION;
        const struct message *frame = find_frame(c, type, s->number);

        MUST(frame != NULL);
        m = *frame;
    }
    for (uint32_t i = bitset_next(s->to, 0); i != BITSET_END; i = bitset_next(s->to, i + 1))
        send(w, who, i, &m);
}

/* ---- the writer's queue ---- */

static void start_writing(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];

    if (c->is_writing || c->queue_head == c->queue_tail)
        return;
    c->is_writing = true;
    later(w, (struct event){ .kind = EVENT_COMMIT, .who = (uint8_t)who, .life = c->leadership },
          1 + (int64_t)pick(w, happens(w, 100) ? 300 : 15));
}

static void submit(struct world *w, unsigned who, const struct request *q)
{
    struct coordinator *c = &w->coordinators[who];
    struct request *place = &c->queue[c->queue_tail % QUEUE_MAX];

    MUST(c->queue_tail - c->queue_head < QUEUE_MAX / 2);
    *place = *q;
    place->epoch = c->epoch;
    c->queue_tail++;
    start_writing(w, who);
}

/* The database is slow or gone: what is said again anyway is not queued. */
static bool is_congested(const struct coordinator *c)
{
    return c->queue_tail - c->queue_head >= QUEUE_MAX / 4;
}

static void flush_notes(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];
    struct request q = { .kind = REQUEST_ACKS, .note_count = c->note_count };

    if (c->note_count == 0 || is_congested(c))
        return;
    for (unsigned i = 0; i < c->note_count; i++)
        coordinator_step(w, who,
                         &(struct leader_event){ .type = LEADER_ACK_SENT,
                                                 .server = c->notes[i].ack.server });
    memcpy(q.notes, c->notes, c->note_count * sizeof(q.notes[0]));
    c->note_count = 0;
    submit(w, who, &q);
}

/* Whose vote an ACTIVATE needs: members that may speak, read one of its scopes, can be reached, and
 * are not known to be off the base after the deadline. The judge holds it against the rows. */
static uint64_t required(struct world *w, unsigned who, const struct save *s)
{
    struct leader *l = w->coordinators[who].leader;
    const struct rollout *r = leader_rollout(l, s->rollout);
    const struct fleet *fleet = leader_fleet(l);
    uint64_t excused;

    if (s->kind != SAVE_DECISION || s->decision != DECISION_ACTIVATE)
        return 0;
    MUST(r);
    excused = r->strategy.unreachable == UNREACHABLE_SKIP ? word(&fleet->unreachable) : 0;
    if (w->now_ms >= r->round.deadline_ms)
        excused |= word(&r->behind) | word(&fleet->unreachable);
    return word(&r->round.cohort) & word(&r->scope_members) & word(&fleet->enrolled) & ~excused;
}

void coordinator_perform(struct world *w, unsigned who, struct effects *out)
{
    struct coordinator *c = &w->coordinators[who];

    for (size_t i = 0; i < out->count; i++) {
        const struct effect *e = &out->items[i];

        switch (e->type) {
        case EFFECT_SAVE:
            judge_asked(w, who, &e->save);
            submit(w, who,
                   &(struct request){ .kind = REQUEST_SAVE,
                                      .save = e->save,
                                      .cohort = word(e->save.cohort),
                                      .required = required(w, who, &e->save),
                                      .silent = word(e->save.silent),
                                      .unfit = word(e->save.unfit) });
            break;
        case EFFECT_SEND:
            perform_send(w, who, &e->send);
            break;
        case EFFECT_CHOOSE:
            later(w,
                  (struct event){ .kind = EVENT_CHOSEN,
                                  .who = (uint8_t)who,
                                  .life = c->leadership,
                                  .number = e->choose.rollout },
                  (int64_t)pick(w, 5));
            break;
        case EFFECT_REPORT:
            coverage_report(w, &e->report);
            trace(w, "coordinator %u: rollout %llu %s -> %s on %s: %s", who,
                  (unsigned long long)e->report.rollout, e->report.from, e->report.to, e->report.on,
                  e->report.because);
            break;
        }
    }
}

void coordinator_step(struct world *w, unsigned who, struct leader_event *ev)
{
    struct effects *out = coordinator_effects();

    ev->now_ms = w->now_ms;
    ev->chance = pick(w, 1u << 30);
    leader_step(w->coordinators[who].leader, ev, out);
    coordinator_perform(w, who, out);
}

/* ---- commits and their answers ---- */

static void crash_at_decision(struct world *w, unsigned who, const struct request *q)
{
    bool is_decision = q->kind == REQUEST_SAVE && q->save.kind != SAVE_PAUSE;

    if (is_decision && faults_last(w) && happens(w, w->faults.at_decision))
        coordinator_crash(w, who);
}

void coordinator_commit(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];
    unsigned place = c->queue_head % QUEUE_MAX, leadership = c->leadership;
    struct request *q = &c->queue[place];
    int64_t result_ms;

    if (w->now_ms < c->cut_until) {
        later(w, (struct event){ .kind = EVENT_COMMIT, .who = (uint8_t)who, .life = leadership },
              c->cut_until - w->now_ms + 1);
        return;
    }
    crash_at_decision(w, who, q); /* the write may still land, as an orphan */
    if (c->leadership != leadership)
        return;
    database_execute(w, q);
    trace(w, "coordinator %u: %s of rollout %llu %s: number %llu dseq %llu", who,
          q->kind == REQUEST_SAVE   ? "save"
          : q->kind == REQUEST_ACKS ? "acks"
                                    : "row",
          (unsigned long long)q->save.rollout,
          q->is_fenced     ? "fenced"
          : q->is_conflict ? "in conflict"
                           : "durable",
          (unsigned long long)q->number, (unsigned long long)q->dseq);
    c->queue_head++;
    c->is_writing = false;
    q->is_lost = q->kind == REQUEST_SAVE && faults_last(w) && happens(w, w->faults.at_decision / 3);
    result_ms = w->now_ms + (int64_t)pick(w, 8);
    c->result_ms = result_ms > c->result_ms ? result_ms : c->result_ms;
    later(w,
          (struct event){
              .kind = EVENT_RESULT, .who = (uint8_t)who, .life = leadership, .index = place },
          c->result_ms - w->now_ms);
    crash_at_decision(w, who, q);
    if (c->leadership == leadership)
        start_writing(w, who);
}

static void add_frame(struct coordinator *c, struct message body, uint64_t number)
{
    MUST(c->frame_count < ATTEMPTS_MAX + DECISIONS_MAX);
    c->frames[c->frame_count++] = (struct frame){ .number = number, .body = body };
}

static const enum order_kind orders[] = { [DECISION_ACTIVATE] = ORDER_ACTIVATE,
                                          [DECISION_ROLLBACK] = ORDER_ROLLBACK,
                                          [DECISION_FINALIZE] = ORDER_FINALIZE };

void coordinator_add_attempt(struct coordinator *c, const struct attempt_row *a)
{
    struct message m = { .type = MESSAGE_PREPARE,
                         .number = a->number,
                         .is_eventual = a->is_eventual,
                         .isolation_ms = a->isolation_ms,
                         .dseq = a->dseq,
                         .target_count = (uint8_t)a->target_count };

    memcpy(m.targets, a->targets, sizeof(m.targets));
    add_frame(c, m, a->number);
}

void coordinator_add_decision(struct coordinator *c, const struct decision_row *d)
{
    struct message m = { .type = MESSAGE_DECISION,
                         .number = d->dseq,
                         .attempt = d->attempt,
                         .order = orders[d->kind],
                         .target_count = (uint8_t)d->target_count };

    memcpy(m.targets, d->targets, sizeof(m.targets));
    add_frame(c, m, d->dseq);
}

/* Frames are what the writer gave back, or what was loaded: the stored bytes. */
static void build_frames(struct world *w, unsigned who, uint64_t number, uint64_t dseq)
{
    struct coordinator *c = &w->coordinators[who];
    const struct attempt_row *a = database_attempt(&w->database, number);
    const struct decision_row *d = database_decision(&w->database, dseq);

    if (a && number)
        coordinator_add_attempt(c, a);
    if (d && dseq)
        coordinator_add_decision(c, d);
}

static void on_saved(struct world *w, unsigned who, const struct request *q)
{
    const struct save *s = &q->save;
    struct leader_event ev = { .type = LEADER_SAVED,
                               .rollout = s->rollout,
                               .save_kind = s->kind,
                               .decision =
                                   s->kind == SAVE_ATTEMPT ? DECISION_ACTIVATE : s->decision,
                               .number = s->kind == SAVE_ATTEMPT ? q->number : s->number,
                               .dseq = q->dseq };

    build_frames(w, who, q->number, q->dseq);
    coordinator_step(w, who, &ev);
}

static void on_recorded(struct world *w, unsigned who, const struct request *q)
{
    struct ack acks[BATCH_MAX];
    uint32_t scopes[BATCH_MAX][SCOPES_MAX];

    for (unsigned i = 0; i < q->note_count; i++) {
        const struct ack_note *n = &q->notes[i];
        struct message m = { .type = MESSAGE_RECEIPT, .outbox = n->outbox };

        acks[i] = n->ack;
        acks[i].is_void = !n->is_recorded;
        acks[i].scopes = scopes[i];
        for (uint32_t s = 0; s < w->database.scope_count; s++)
            if (n->scopes & BIT(s))
                scopes[i][acks[i].scope_count++] = s;
        if (!n->outbox || w->coordinators[who].sessions[n->ack.server] != n->session)
            continue;
        judge_receipt(w, n->ack.server, n->outbox, n->incarnation);
        send(w, who, n->ack.server, &m);
    }
    coordinator_step(w, who,
                     &(struct leader_event){
                         .type = LEADER_ACKS_SAVED, .acks = acks, .ack_count = q->note_count });
    judge_counted(w, who);
}

static void on_joined(struct world *w, unsigned who, const struct request *q)
{
    for (unsigned s = 0; s < w->database.scope_count; s++) {
        struct leader_event ev = { .server = q->server, .scope = s };

        if (!((q->scopes | q->left) & BIT(s)))
            continue;
        ev.type = q->left & BIT(s) ? LEADER_WITHDREW : LEADER_JOINED;
        judge_reads(w, who, q->server, s, ev.type == LEADER_JOINED);
        coordinator_step(w, who, &ev);
    }
}

void coordinator_result(struct world *w, unsigned who, unsigned place)
{
    struct coordinator *c = &w->coordinators[who];
    struct request q = c->queue[place];

    c->result_count++;
    if (q.is_fenced || q.is_conflict || q.is_lost) {
        coordinator_step_down(w, who,
                              q.is_fenced ? "fenced"
                              : q.is_lost ? "no answer"
                                          : "conflict");
        return;
    }
    if (q.kind == REQUEST_SAVE)
        on_saved(w, who, &q);
    else if (q.kind == REQUEST_ACKS)
        on_recorded(w, who, &q);
    else if (q.kind == REQUEST_JOIN)
        on_joined(w, who, &q);
}

void coordinator_chosen(struct world *w, unsigned who, uint64_t rollout)
{
    const struct rollout *r = leader_rollout(w->coordinators[who].leader, rollout);
    const struct fleet *fleet = leader_fleet(w->coordinators[who].leader);
    struct candidate candidates[SERVERS_MAX];
    uint64_t chosen_words[1] = { 0 };
    struct bitset chosen;
    uint32_t count = 0;

    bitset_init(&chosen, chosen_words, 1);
    if (!r || r->state != ROLLOUT_CHOOSING)
        return;
    for (uint32_t s = 0; s < SERVERS_MAX; s++)
        if (bitset_has(&r->scope_members, s) &&
            bitset_has(&fleet->enrolled, s))
            candidates[count++] =
                (struct candidate){ .server = s,
                                    .rank = (s + 1 + rollout * 7) * UINT64_C(0x9e3779b97f4a7c15),
                                    .is_selected = s % 2,
                                    .is_away = !bitset_has(&fleet->connected, s) };
    cohort_choose(candidates, count, &r->strategy.stages[r->stage].size,
                  r->stage + 1 == r->strategy.stage_count, &r->opened, &chosen);
    coordinator_step(
        w, who,
        &(struct leader_event){ .type = LEADER_COHORT_CHOSEN, .rollout = rollout, .set = &chosen });
}

/* ---- messages in ---- */

static void note_ack(struct world *w, unsigned who, const struct message *m)
{
    static const enum ack_kind kinds[] = {
        [ACK_WORD_READY] = ACK_READY,        [ACK_WORD_REFUSED] = ACK_REFUSED,
        [ACK_WORD_APPLIED] = ACK_APPLIED,    [ACK_WORD_FAILED] = ACK_FAILED,
        [ACK_WORD_ABORTED] = ACK_ABORTED,    [ACK_WORD_ROLLED_BACK] = ACK_ROLLED_BACK,
        [ACK_WORD_FINALIZED] = ACK_FINALIZED
    };
    struct coordinator *c = &w->coordinators[who];

    if (m->word == ACK_WORD_REFUSED && m->refusal != REFUSAL_STAGING) {
        if (m->refusal == REFUSAL_BASE)
            coordinator_step(w, who,
                             &(struct leader_event){ .type = LEADER_BASE_REFUSED,
                                                     .server = m->from,
                                                     .number = m->number });
        return;
    }
    c->notes[c->note_count++] = (struct ack_note){ .ack = { .kind = kinds[m->word],
                                                            .server = m->from,
                                                            .number = m->number,
                                                            .is_broken = m->is_broken },
                                                   .outbox = m->outbox,
                                                   .session = m->session,
                                                   .incarnation = m->incarnation,
                                                   .scopes = m->scopes,
                                                   .read = m->read };
    if (c->note_count == BATCH_MAX || !c->is_writing)
        flush_notes(w, who);
    if (c->note_count == BATCH_MAX)
        c->note_count--; /* still full: it is said again */
}

/* What a server reads is recorded before it counts. */
static void join(struct world *w, unsigned who, const struct message *m)
{
    struct request q = { .kind = REQUEST_JOIN, .server = m->from };

    for (unsigned s = 0; s < w->database.scope_count; s++) {
        bool is_member = w->database.scopes[s].members & BIT(m->from);

        if (m->scopes & entitled(w, m->from) & BIT(s) && !is_member)
            q.scopes |= BIT(s);
        if (!(m->scopes & BIT(s)) && is_member)
            q.left |= BIT(s);
        q.obeyed[s] = m->digests[s].is_over ? m->digests[s].obeyed : 0;
    }
    if ((q.scopes || q.left) && !is_congested(&w->coordinators[who]))
        submit(w, who, &q);
}

static void hear(struct world *w, unsigned who, const struct message *m,
                 enum leader_event_type type)
{
    struct heard_scope heard[SCOPES_MAX];
    struct leader_event ev = { .type = type,
                               .server = m->from,
                               .heard = heard };

    join(w, who, m);
    judge_heard(w, who, m);
    for (unsigned s = 0; s < w->database.scope_count; s++)
        if (m->scopes & entitled(w, m->from) & BIT(s))
            heard[ev.heard_count++] =
                (struct heard_scope){ .scope = s,
                                      .obeyed = m->digests[s].obeyed,
                                      .slot = m->digests[s].slot,
                                      .is_check_failing = m->digests[s].is_check_failing,
                                      .is_failed = m->digests[s].is_failed };
    coordinator_step(w, who, &ev);
}

static void on_hello(struct world *w, unsigned who, const struct message *m)
{
    struct coordinator *c = &w->coordinators[who];
    struct message welcome = { .type = MESSAGE_WELCOME };

    if (c->boots[m->from] != m->boot || !c->sessions[m->from])
        c->sessions[m->from] = w->next_session++;
    c->boots[m->from] = m->boot;
    send(w, who, m->from, &welcome);
    hear(w, who, m, LEADER_HELLO_RECEIVED);
}

static void answer_status(struct world *w, unsigned who, const struct message *m)
{
    struct coordinator *c = &w->coordinators[who];
    struct message answer = { .type = MESSAGE_ANSWER, .number = m->number };

    answer.fate = leader_fate(c->leader, m->number);
    send(w, who, m->from, &answer);
    coordinator_step(w, who,
                     &(struct leader_event){
                         .type = LEADER_ASKED, .server = m->from, .number = m->number });
}

static void reject(struct world *w, unsigned who, const struct message *m)
{
    struct message rejection = { .type = MESSAGE_REJECT,
                                 .from = (uint8_t)who,
                                 .to = m->from,
                                 .is_to_server = true,
                                 .boot = m->boot };

    post(w, &rejection);
}

void coordinator_receive(struct world *w, unsigned who, const struct message *m)
{
    struct coordinator *c = &w->coordinators[who];

    if (!c->is_up)
        return;
    if (!c->is_leading) {
        if (m->type == MESSAGE_HELLO)
            reject(w, who, m);
        return;
    }
    if (!(bitset_has(&leader_fleet(c->leader)->enrolled, m->from)))
        return;
    if (m->epoch > c->epoch) {
        coordinator_step_down(w, who, "a server has seen a newer leader");
        return;
    }
    if (m->type == MESSAGE_HELLO)
        on_hello(w, who, m);
    else if (m->session != c->sessions[m->from])
        return; /* of a session that is over */
    else if (m->type == MESSAGE_PONG)
        hear(w, who, m, LEADER_PONG_RECEIVED);
    else if (m->type == MESSAGE_POLL)
        hear(w, who, m, LEADER_POLLED);
    else if (m->type == MESSAGE_ACK)
        note_ack(w, who, m);
    else if (m->type == MESSAGE_STATUS)
        answer_status(w, who, m);
}

/* ---- time ---- */

static void offer_command(struct world *w, unsigned who, struct command_row *row)
{
    struct effects *out = coordinator_effects();
    struct coordinator *c = &w->coordinators[who];
    struct leader_event ev = { .type = LEADER_COMMANDED,
                               .now_ms = w->now_ms,
                               .chance = pick(w, 1u << 30),
                               .rollout = row->rollout,
                               .command = row->id,
                               .action = row->action,
                               .is_full = row->is_full };
    enum command_verdict verdict = leader_step(c->leader, &ev, out);

    if (verdict != COMMAND_LATER)
        c->offered[row->id / 64] |= BIT(row->id % 64);
    coordinator_perform(w, who, out);
    if (verdict == COMMAND_LATER || verdict == COMMAND_TAKEN)
        return;
    submit(w, who,
           &(struct request){ .kind = REQUEST_ANSWER,
                              .command = row->id,
                              .is_done = verdict == COMMAND_REPEATED });
}

static void look_at_rows(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];
    struct database *d = &w->database;

    for (unsigned s = 0; s < w->server_count; s++)
        if (d->enrolled & ~d->revoked & ~d->excluded & BIT(s) &&
            !bitset_has(&leader_fleet(c->leader)->enrolled, s))
            coordinator_step(w, who,
                             &(struct leader_event){ .type = LEADER_ENROLLED, .server = s });
    for (unsigned i = 0; i < d->rollout_count; i++)
        if (!(c->known_rollouts & BIT(i)) && !d->rollouts[i].is_over && !d->rollouts[i].is_opened)
            coordinator_start_rollout(w, who, &d->rollouts[i]);
    for (unsigned i = 0; i < d->command_count && !is_congested(c); i++)
        if (!d->commands[i].is_answered &&
            !(c->offered[d->commands[i].id / 64] & BIT(d->commands[i].id % 64)))
            offer_command(w, who, &d->commands[i]);
}

static void ping(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];
    struct message m = { .type = MESSAGE_PING };

    if (w->now_ms < c->ping_ms)
        return;
    c->ping_ms = w->now_ms + HEARTBEAT_MS;
    for (unsigned s = 0; s < w->server_count; s++)
        send(w, who, s, &m);
}

void coordinator_tick(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];

    if (w->now_ms >= c->cut_until)
        look_at_rows(w, who);
    flush_notes(w, who);
    coordinator_step(w, who, &(struct leader_event){ .type = LEADER_TICKED });
    judge_duties(w, c->leader);
    judge_rows(w, who);
    ping(w, who);
    later(w,
          (struct event){
              .kind = EVENT_TICK_COORDINATOR, .who = (uint8_t)who, .life = c->leadership },
          COORDINATOR_TICK_MS);
}
