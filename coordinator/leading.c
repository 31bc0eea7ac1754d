/* leading.c - one leadership: fed with news, and thrown away. */
#include "coordinator/leading.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "coordinator/leading_internal.h"

#define SWEEP_MS 10000

static void remember(struct recent *r, uint64_t id)
{
    r->ids[r->next++ % RECENT_MAX] = id;
}

static bool is_recent(const struct recent *r, uint64_t id)
{
    for (uint32_t i = 0; i < RECENT_MAX; i++)
        if (r->ids[i] == id)
            return true;
    return false;
}

/* ---------------------------------------------------------------- rollouts come and go */

static void add_open_rollout(struct leading *l, struct open_rollout *d)
{
    if (l->open_count == l->open_max) {
        l->open_max = l->open_max ? 2 * l->open_max : 64;
        l->open_rollouts =
            reallocarray(l->open_rollouts, l->open_max, sizeof(*l->open_rollouts));
        MUST(l->open_rollouts);
    }
    l->open_rollouts[l->open_count++] = d;
}

static void remove_open_rollout(struct leading *l, uint64_t rollout)
{
    for (uint32_t i = 0; i < l->open_count; i++) {
        if (l->open_rollouts[i]->rollout != rollout)
            continue;
        open_rollout_free(l->open_rollouts[i]);
        l->open_rollouts[i] = l->open_rollouts[--l->open_count];
        return;
    }
}

static void want_documents(struct leading *l, const struct open_rollout *d)
{
    struct parcel missing[2 * ROLLOUT_SCOPES_MAX];
    size_t count = open_rollout_missing(d, l->edges->contents, missing);

    for (size_t i = 0; i < count; i++)
        loader_want_document(l->edges->loader, &missing[i], WISHES_OWN);
}

struct open_rollout *leading_open(struct leading *l, const struct rollout_row *row,
                                          struct err *e)
{
    struct open_rollout *d = open_rollout_new(row, l->edges->roster, e);

    if (!d)
        return NULL;
    open_rollout_entitle(d, l->edges->roster);
    want_documents(l, d);
    add_open_rollout(l, d);
    return d;
}

/* A new rollout that cannot be read ends at once: no server was asked yet. */
static void open_new(struct leading *l, const struct rollout_row *row)
{
    struct err e = { 0 };
    const struct open_rollout *d;
    const char *fault = row->fault[0] ? row->fault : NULL;

    if (leading_open_rollout(l, (uint64_t)row->rollout_id) ||
        edges_is_left_out(l->edges, row->rollout_id) ||
        is_recent(&l->ended, (uint64_t)row->rollout_id))
        return;
    d = fault ? NULL : leading_open(l, row, &e);
    if (d && !leader_fault(&d->load))
        return;
    if (!d && !fault && e.kind == ERR_UNAVAILABLE) {
        loader_want(l->edges->loader, LOAD_ROSTER); /* its scope may be that new */
        return;
    }
    remember(&l->ended, (uint64_t)row->rollout_id);
    leading_force_end(l, row, 0, fault ? fault : d ? leader_fault(&d->load) : e.text);
    remove_open_rollout(l, (uint64_t)row->rollout_id);
}

/* New rollouts enter the core when their documents are at hand, so that the first PREPARE can
 * carry them, and when the core has room. */
static void start_waiting(struct leading *l)
{
    struct parcel missing[2 * ROLLOUT_SCOPES_MAX];

    for (uint32_t i = 0; i < l->open_count; i++) {
        struct open_rollout *d = l->open_rollouts[i];
        struct leader_event ev = { .type = LEADER_ROLLOUT_STARTED, .load = &d->load };

        if (d->is_in_core || open_rollout_missing(d, l->edges->contents, missing) ||
            !leader_has_room(l->leader, &d->load))
            continue;
        d->is_in_core = true;
        leading_step(l, &ev);
    }
}

/* ---------------------------------------------------------------- commands */

static void add_command(struct leading *l, const struct command_row *row)
{
    for (size_t i = 0; i < l->command_count; i++)
        if (l->commands[i].command == (uint64_t)row->command_id)
            return;
    if (is_recent(&l->commanded, (uint64_t)row->command_id))
        return;
    if (l->command_count == l->command_capacity) {
        l->command_capacity = l->command_capacity ? 2 * l->command_capacity : 16;
        l->commands = reallocarray(l->commands, l->command_capacity, sizeof(*l->commands));
        MUST(l->commands);
    }
    l->commands[l->command_count++] =
        (struct pending_command){ .command = (uint64_t)row->command_id,
                                  .rollout = (uint64_t)row->rollout_id,
                                  .action = row->action,
                                  .is_full = row->is_full };
}

#define STRING(x) #x
#define TEXT_OF(x) STRING(x)
#define SPENT "its stage was tried " TEXT_OF(ROLLOUT_ATTEMPTS_MAX) " times, which is the limit"
#define NO_ROOM "too many attempts are open in the cluster: [limits] rollouts of the coordinator"

/* `why`: what stands against it beside the state, for people; NULL: nothing. */
static void refuse_command(struct leading *l, const struct pending_command *c, const char *why)
{
    SCOPED_BUFFER struct buffer allowed = { 0 };
    unsigned mask = leader_allowed(l->leader, c->rollout);

    for (unsigned a = 0; a < ROLLOUT_ACTION_COUNT; a++)
        if (mask >> a & 1)
            buffer_printf(&allowed, "%s%s", allowed.size ? "," : "", rollout_action_name(a));
    if (why)
        buffer_printf(&allowed, ";%s", why);
    writer_answer(l->edges->writer, (int64_t)c->command, false, allowed.size ? allowed.data : "");
}

/* true: it is dealt with. */
static bool offer_command(struct leading *l, const struct pending_command *c)
{
    const struct open_rollout *d = leading_open_rollout(l, c->rollout);
    struct leader_event ev = { .type = LEADER_COMMANDED,
                               .rollout = c->rollout,
                               .command = c->command,
                               .action = c->action,
                               .is_full = c->is_full };

    if (d && !d->is_in_core)
        return false;
    switch (leading_step(l, &ev)) {
    case COMMAND_LATER:
        return false;
    case COMMAND_TAKEN:
        break;
    case COMMAND_REPEATED:
        writer_answer(l->edges->writer, (int64_t)c->command, true, "repeated");
        break;
    case COMMAND_REFUSED:
    case COMMAND_UNKNOWN:
    case COMMAND_NOT_ONE:
        refuse_command(l, c, NULL);
        break;
    case COMMAND_SPENT:
        refuse_command(l, c, SPENT);
        break;
    case COMMAND_NO_ROOM:
        refuse_command(l, c, NO_ROOM);
        break;
    }
    return true;
}

static void offer_commands(struct leading *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->command_count; i++) {
        struct pending_command c = l->commands[i];

        if (offer_command(l, &c))
            remember(&l->commanded, c.command);
        else
            l->commands[kept++] = c;
    }
    l->command_count = kept;
}

/* ---------------------------------------------------------------- the end */

void leading_end(struct leading *l)
{
    if (!l)
        return;
    while (l->open_count)
        remove_open_rollout(l, l->open_rollouts[0]->rollout);
    decision_frames_free(l->orders);
    receipts_free(l->receipts);
    free(l->open_rollouts);
    free(l->commands);
    free(l->to_choose);
    free(l->effects.items);
    free(l->memory);
    free(l);
}

/* ---------------------------------------------------------------- news of the threads */

static void note_saved(struct leading *l, struct open_rollout *d, const struct writer_result *r)
{
    if (r->body)
        decision_frames_put(l->orders, r->dseq,
                            r->save.kind == SAVE_ATTEMPT ? DECISION_ACTIVATE : r->save.decision,
                            r->body, r->body_size, l->edges->roster);
    if (r->save.kind != SAVE_ATTEMPT)
        return;
    open_rollout_set_changes(d, r->changes, r->change_count);
    open_rollout_set_attempt(d, r->number, r->save.stage, r->body, r->body_size);
    open_rollout_entitle(d, l->edges->roster);
    want_documents(l, d);
}

void leading_saved(struct leading *l, const struct writer_result *r)
{
    struct open_rollout *d = leading_open_rollout(l, r->save.rollout);
    struct leader_event ev = { .type = LEADER_SAVED,
                               .rollout = r->save.rollout,
                               .save_kind = r->save.kind,
                               .decision = r->save.kind == SAVE_ATTEMPT ? DECISION_ACTIVATE
                                                                        : r->save.decision,
                               .number = r->number,
                               .dseq = r->dseq };

    MUST(d);
    note_saved(l, d, r);
    leading_step(l, &ev);
    if (r->save.kind == SAVE_END) {
        remember(&l->ended, r->save.rollout);
        remove_open_rollout(l, r->save.rollout);
        start_waiting(l);
    }
    offer_commands(l);
}

/* Said once for each server: it may say the same without end. */
static void note_stranger(struct roster_server *s, const struct ack_record *r)
{
    if (r->is_foreign && !s->was_foreign) {
        s->was_foreign = true;
        log_warn("an acknowledgement does not count: its number is not for this server, or what it "
                 "tells was never there", "server", s->name, "number", LOG_NUMBER(r->ack.number));
    }
    if (r->is_ahead && !s->was_ahead) {
        s->was_ahead = true;
        log_error("a server answers a number that was never issued: was an older database put "
                  "back? The answer gets no receipt and waits there", "server", s->name, "number",
                  LOG_NUMBER(r->ack.number));
    }
}

/* The scopes that an acknowledgement speaks of, at `out`; how many. */
static uint32_t scopes_of(const struct leading *l, const struct ack_batch *batch,
                          const struct ack_record *r, uint32_t *out)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < r->held_count; i++) {
        const struct roster_scope *scope = roster_scope_by_id(
            l->edges->roster, batch->held[r->held_first + i].scope_id);

        if (scope)
            out[count++] = scope->index;
    }
    return count;
}

void leading_acks_sent(struct leading *l, const struct ack_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct leader_event ev = { .type = LEADER_ACK_SENT,
                                   .server = batch->records[i].ack.server };

        leading_step(l, &ev);
    }
}

/* What the database did not take (an outcome with other content, say) is receipted and not counted.
 * Outbox ids start over on a new disk: a receipt goes to the session that the entry came in. */
void leading_acks(struct leading *l, const struct ack_batch *batch)
{
    struct ack *acks = calloc(batch->count + 1, sizeof(*acks));
    uint32_t *scopes = calloc(batch->held_count + 1, sizeof(*scopes)), used = 0;
    struct leader_event ev = { .type = LEADER_ACKS_SAVED,
                               .acks = acks,
                               .ack_count = (uint32_t)batch->count };

    MUST(acks && scopes);
    for (size_t i = 0; i < batch->count; i++) {
        struct roster_server *s =
            roster_server(l->edges->roster, batch->records[i].ack.server);

        s->unsaved_acks--;
        note_stranger(s, &batch->records[i]);
        acks[i] = batch->records[i].ack;
        acks[i].is_void = !batch->records[i].is_recorded;
        acks[i].scopes = scopes + used;
        acks[i].scope_count = scopes_of(l, batch, &batch->records[i], scopes + used);
        used += acks[i].scope_count;
    }
    leading_step(l, &ev);
    free(scopes);
    free(acks);
    for (size_t i = 0; i < batch->count; i++)
        if (batch->records[i].outbox_id && !batch->records[i].is_ahead)
            receipts_add(l->receipts, batch->records[i].ack.server, batch->records[i].session,
                         batch->records[i].outbox_id);
}

static void on_joined(void *ctx, uint32_t server, uint32_t scope)
{
    struct leader_event ev = { .type = LEADER_JOINED, .server = server, .scope = scope };

    leading_step(ctx, &ev);
}

static void on_left(void *ctx, uint32_t server, uint32_t scope)
{
    struct leader_event ev = { .type = LEADER_WITHDREW, .server = server, .scope = scope };

    leading_step(ctx, &ev);
}

void leading_joined(struct leading *l, const struct join_request *join)
{
    struct roster *roster = l->edges->roster;
    struct roster_server *s = roster_by_id(roster, join->server_id);

    if (!s)
        return;
    s->unsaved_joins--;
    roster_set_told(s, join->labels, join->version);
    for (size_t i = 0; i < join->left_count; i++) {
        const struct roster_scope *scope = roster_scope_by_id(roster, join->left[i]);

        if (scope && roster_remove_member(roster, s, scope->index))
            on_left(l, s->index, scope->index);
    }
    for (size_t i = 0; i < join->scope_count; i++) {
        const struct roster_scope *scope =
            roster_scope_by_name(roster, wire_text_of(join->scopes[i].service),
                                 wire_text_of(join->scopes[i].environment));

        if (scope && join->scopes[i].is_recorded &&
            roster_add_member(roster, s, scope->index))
            on_joined(l, s->index, scope->index);
    }
}

static void on_enrolled(void *ctx, uint32_t server)
{
    struct leader_event ev = { .type = LEADER_ENROLLED, .server = server };

    leading_step(ctx, &ev);
}

static void on_revoked(void *ctx, uint32_t server)
{
    struct leader_event ev = { .type = LEADER_REVOKED, .server = server };

    leading_step(ctx, &ev);
}

static void on_retried(void *ctx, uint32_t server)
{
    struct leader_event ev = { .type = LEADER_RETRIED, .server = server };

    leading_step(ctx, &ev);
}

static void on_scope(void *ctx, uint32_t scope)
{
    struct leading *l = ctx;

    leader_load_scope(l->leader, scope);
}

void leading_roster(struct leading *l, const struct snapshot *s)
{
    struct roster_news news = { .enrolled = on_enrolled,
                                .revoked = on_revoked,
                                .retried = on_retried,
                                .scope = on_scope,
                                .joined = on_joined,
                                .left = on_left,
                                .ctx = l };

    roster_update(l->edges->roster, s, &news);
}

/* A command whose caller gave up was withdrawn: the newest look does not have it any more. */
static void drop_withdrawn(struct leading *l, const struct snapshot *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->command_count; i++)
        for (size_t k = 0; k < s->command_count; k++)
            if ((uint64_t)s->commands[k].command_id == l->commands[i].command) {
                l->commands[kept++] = l->commands[i];
                break;
            }
    l->command_count = kept;
}

void leading_work(struct leading *l, const struct snapshot *s)
{
    for (size_t i = 0; i < s->rollout_count; i++)
        if (!s->rollouts[i].load.is_opened)
            open_new(l, &s->rollouts[i]);
    drop_withdrawn(l, s);
    for (size_t i = 0; i < s->command_count; i++)
        add_command(l, &s->commands[i]);
    start_waiting(l);
    offer_commands(l);
}

void leading_document(struct leading *l)
{
    start_waiting(l);
}

static bool is_live(void *ctx, uint64_t dseq)
{
    const struct leading *l = ctx;

    return leader_is_live(l->leader, dseq);
}

void leading_tick(struct leading *l)
{
    struct leader_event ev = { .type = LEADER_TICKED };
    int64_t now_ms = clock_monotonic_ms();

    leading_step(l, &ev);
    offer_commands(l);
    receipts_tick(l->receipts);
    if (now_ms < l->sweep_ms)
        return;
    l->sweep_ms = now_ms + SWEEP_MS;
    decision_frames_sweep(l->orders, is_live, l);
}

/* ---------------------------------------------------------------- news of the wire */

void leading_heard(struct leading *l, const struct roster_server *s, bool is_hello,
                   const struct heard_scope *heard, uint32_t count)
{
    struct leader_event ev = { .type = is_hello ? LEADER_HELLO_RECEIVED : LEADER_PONG_RECEIVED,
                               .server = s->index,
                               .heard = heard,
                               .heard_count = count };

    leading_step(l, &ev);
}

void leading_polled(struct leading *l, const struct roster_server *s,
                    const struct heard_scope *heard, uint32_t count)
{
    struct leader_event ev = { .type = LEADER_POLLED,
                               .server = s->index,
                               .heard = heard,
                               .heard_count = count };

    leading_step(l, &ev);
}

void leading_base_refused(struct leading *l, const struct roster_server *s, uint64_t attempt)
{
    struct leader_event ev = { .type = LEADER_BASE_REFUSED, .server = s->index, .number = attempt };

    leading_step(l, &ev);
}

void leading_asked(struct leading *l, const struct roster_server *s, uint64_t attempt)
{
    struct leader_event ev = { .type = LEADER_ASKED, .server = s->index, .number = attempt };

    leading_step(l, &ev);
}

void leading_left(struct leading *l, const struct roster_server *s)
{
    struct leader_event ev = { .type = LEADER_LEFT, .server = s->index };

    leading_step(l, &ev);
}

enum attempt_fate leading_fate(const struct leading *l, uint64_t attempt)
{
    return leader_fate(l->leader, attempt);
}

uint64_t leading_due(const struct leading *l, const struct roster_server *s, uint32_t scope)
{
    return leader_due(l->leader, s->index, scope);
}

uint32_t leading_connected(const struct leading *l)
{
    return bitset_count(&leader_fleet(l->leader)->connected);
}

