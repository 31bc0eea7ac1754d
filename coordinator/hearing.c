/* hearing.c - one function per message; sessions are kept in the roster. */
#include "coordinator/hearing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log_limit.h"
#include "common/memory.h"
#include "coordinator/link/conditions.h"
#include "coordinator/link/fetch_slots.h"
#include "coordinator/link/joining.h"
#include "coordinator/link/refusing.h"
#include "coordinator/link/secret_requests.h"
#include "coordinator/link/sessions.h"

#define SEEN_MS 10000
#define SEEN_PARTS 10 /* in as many small pieces: acknowledgements wait in the same queue */
/* What one server may have waiting for the database. An agent says the rest again; one that says
 * it without end takes no memory for it. */
_Static_assert(WIRE_SCOPES_MAX == HEARD_MAX, "one message tells of so many scopes");

#define UNSAVED_ACKS_MAX 16

/* An agent says a few things a second; one that floods takes no more of the loop than this. Pieces
 * of documents and of secrets come one after another for each of its tasks. */
static const struct said {
    int64_t max;      /* at once, */
    int64_t every_ms; /* and one more each time that passed */
} saids[] = { { 400, 5 }, { 1000, 1 } };
/* So much more, and it is kept out for a while: what is read to be dropped costs others, too. */
#define EXCESS_MAX 2000

#define POLLS_MAX 2000 /* a second, of all servers together; who finds nothing left polls again */

struct hearing {
    struct allowance polls;
    struct conditions conditions;
    struct fetch_slots turns;
    struct edges *edges;
    struct leading *leading;
    char leader_router[256];
    struct ack_batch *batch;
    uint32_t ping_next; /* roster index the next PING goes to */
    int64_t ping_ms;
    int64_t seen_ms;
    uint32_t seen_part;
    uint8_t body[WIRE_MESSAGE_MAX];
};

struct hearing *hearing_new(struct edges *edges)
{
    struct hearing *h = memory_new(sizeof(*h));

    h->edges = edges;
    h->conditions.edges = edges;
    h->batch = ack_batch_new();
    h->ping_ms = clock_monotonic_ms();
    return h;
}

void hearing_free(struct hearing *h)
{
    if (!h)
        return;
    ack_batch_free(h->batch);
    free(h);
}

void hearing_set_leading(struct hearing *h, struct leading *leading, const char *leader_router)
{
    h->leading = leading;
    snprintf(h->leader_router, sizeof(h->leader_router), "%s", leader_router);
    if (leading)
        return;
    ack_batch_free(h->batch);
    h->batch = ack_batch_new();
    for (uint32_t i = 0; i < roster_server_count(h->edges->roster); i++) {
        struct roster_server *s = roster_server(h->edges->roster, i);

        s->unsaved_acks = s->unsaved_joins = 0; /* nobody will hand them back */
        memset(s->said, 0, sizeof(s->said));
    }
}

static void warn(struct hearing *h, const char *message, const struct roster_server *s,
                 const char *reason)
{
    log_limit_warn(h->edges->limit, clock_monotonic_ms(), message, s->name, reason);
}

/* ---------------------------------------------------------------- HELLO and PONG */

/* Of scopes that its enrolment allows. A membership may still be on its way to the database: the
 * core knows who belongs where, and what counts before (core/leader_hear.c). */
static uint32_t to_heard(struct hearing *h, const struct roster_server *s,
                         const struct wire_digest *digests, unsigned count,
                         struct heard_scope *out)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct roster_scope *scope =
            roster_scope_by_name(h->edges->roster, digests[i].service, digests[i].environment);

        if (scope && roster_is_active(s) && roster_allows(s, scope))
            out[n++] = (struct heard_scope){ .scope = scope->index,
                                             .obeyed = digests[i].obeyed,
                                             .slot = digests[i].slot,
                                             .is_check_failing = digests[i].is_check_failing,
                                             .is_failed =
                                                 digests[i].outcome == WIRE_OUTCOME_FAILED ||
                                                 digests[i].outcome == WIRE_OUTCOME_BROKEN };
    }
    return n;
}

static void welcome(struct hearing *h, const struct roster_server *s,
                    const struct wire_hello *hello)
{
    struct wire_welcome body = { .session = s->session,
                                 .heartbeat_ms = (uint32_t)h->edges->settings->heartbeat_ms };
    char refused[WIRE_SCOPES_MAX][SCOPE_BUFFER];
    size_t size;

    memcpy(body.cluster_id, h->edges->cluster_id, sizeof(body.cluster_id));
    for (unsigned i = 0; i < hello->scope_count; i++) {
        struct roster_scope scope = joining_named(&hello->scopes[i]);

        if (roster_allows(s, &scope))
            continue;
        snprintf(refused[i], SCOPE_BUFFER, "%s/%s", scope.service, scope.environment);
        body.refused[body.refused_count++] = wire_text_of(refused[i]);
    }
    size = wire_encode_welcome(&body, h->body, sizeof(h->body));
    MUST(size > 0);
    edges_send_bytes(h->edges, s, WIRE_WELCOME, h->body, size);
}

static void on_hello(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    static struct wire_hello hello;
    struct heard_scope heard[WIRE_SCOPES_MAX];
    enum session_news news;
    int64_t now_ms = clock_monotonic_ms();
    struct err e;

    if (wire_decode_hello(m->body, m->body_size, &hello, &e) != 0) {
        warn(h, "a HELLO cannot be read", s, e.text);
        return;
    }
    if (session_is_aside(h->edges, s, hello.boot_nonce, now_ms)) {
        refuse_peer(h->edges, &m->peer, WIRE_REJECT_CLONE, "");
        return;
    }
    news = session_greet(h->edges, s, &m->peer, hello.boot_nonce, now_ms);
    if (news == SESSION_CLONE)
        leading_left(h->leading, s);
    if (news == SESSION_CLONE || news == SESSION_LATE)
        return;
    s->heard_ms = now_ms;
    s->greeted_epoch = h->edges->epoch;
    welcome(h, s, &hello);
    conditions_settle(&h->conditions, s, hello.scopes, hello.scope_count);
    joining_note(s, &hello);
    joining_hear(h->edges, s, hello.scopes, hello.scope_count);
    leading_heard(h->leading, s, true, heard,
                  to_heard(h, s, hello.scopes, hello.scope_count, heard));
}

static void on_pong(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    static struct wire_pong pong;
    struct heard_scope heard[WIRE_SCOPES_MAX];
    bool is_first = s->greeted_epoch != h->edges->epoch;
    struct err e;

    if (!session_is_of(s, &m->envelope) ||
        wire_decode_pong(m->body, m->body_size, &pong, &e) != 0)
        return;
    s->greeted_epoch = h->edges->epoch;
    conditions_settle(&h->conditions, s, pong.scopes, pong.scope_count);
    joining_hear(h->edges, s, pong.scopes, pong.scope_count);
    leading_heard(h->leading, s, is_first, heard,
                  to_heard(h, s, pong.scopes, pong.scope_count, heard));
}

/* What it missed is said again, by the same rules as if it had just connected. */
static void on_poll(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    static struct wire_poll poll;
    struct heard_scope heard[WIRE_SCOPES_MAX];
    struct err e;

    if (!session_is_of(s, &m->envelope) || !allowance_take(&h->polls, POLLS_MAX) ||
        wire_decode_poll(m->body, m->body_size, &poll, &e) != 0)
        return;
    leading_polled(h->leading, s, heard, to_heard(h, s, poll.scopes, poll.scope_count, heard));
}

/* ---------------------------------------------------------------- acknowledgements */

static void ping(struct hearing *h, const struct roster_server *s);

static const enum ack_kind ack_kinds[WIRE_TYPE_COUNT] = {
    [WIRE_READY] = ACK_READY,         [WIRE_REFUSED] = ACK_REFUSED,
    [WIRE_APPLIED] = ACK_APPLIED,     [WIRE_FAILED] = ACK_FAILED,
    [WIRE_ABORTED] = ACK_ABORTED,     [WIRE_ROLLED_BACK] = ACK_ROLLED_BACK,
    [WIRE_FINALIZED] = ACK_FINALIZED,
};

static void format_steps(const struct wire_ack *ack, char *out, size_t size)
{
    size_t used = 0;

    out[0] = 0;
    for (unsigned i = 0; i < ack->step_count && used < size; i++) {
        int n = snprintf(out + used, size - used, "%s%s=%ums", i ? " " : "",
                         wire_step_name(ack->steps[i].step), ack->steps[i].took_ms);

        used += n > 0 ? (size_t)n : 0;
    }
}

static uint32_t to_held(struct hearing *h, const struct wire_ack *ack, struct held_record *out)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < ack->held_count; i++) {
        const struct roster_scope *scope =
            roster_scope_by_name(h->edges->roster, ack->held[i].service, ack->held[i].environment);

        if (scope)
            out[n++] = (struct held_record){ .scope_id = scope->scope_id,
                                             .revision = ack->held[i].revision,
                                             .hash = ack->held[i].hash };
    }
    return n;
}

static void on_ack(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    static struct wire_ack ack;
    struct held_record held[WIRE_SCOPES_MAX];
    struct ack_record record = { 0 };
    struct err e;

    /* An acknowledgement of an earlier session: what still holds is said again in the new one. */
    if (!session_is_of(s, &m->envelope) || s->unsaved_acks == UNSAVED_ACKS_MAX)
        return;
    if (wire_decode_ack(m->body, m->body_size, &ack, &e) != 0) {
        warn(h, "an acknowledgement cannot be read", s, e.text);
        return;
    }
    if (ack.type != m->envelope.type)
        return;
    if (ack.type == WIRE_REFUSED && ack.reason == WIRE_REASON_BASE) {
        leading_base_refused(h->leading, s, ack.number);
        return;
    }
    /* A server that reads none of the scopes has no vote; its digest names what it reads. */
    if (ack.type == WIRE_REFUSED && ack.reason == WIRE_REASON_POLICY) {
        ping(h, s);
        return;
    }
    record.ack = (struct ack){ .kind = ack_kinds[ack.type],
                               .server = s->index,
                               .number = ack.number,
                               .is_broken = ack.is_broken };
    record.server_id = s->server_id;
    record.outbox_id = ack.outbox_id;
    record.session = m->envelope.session;
    record.reason = (uint8_t)ack.reason;
    record.step = (uint8_t)ack.step;
    if (ack.text.size)
        record.text = strndup(ack.text.at, ack.text.size);
    format_steps(&ack, record.steps, sizeof(record.steps));
    s->unsaved_acks++;
    ack_batch_add(h->batch, &record, held, to_held(h, &ack, held));
}

void hearing_flush(struct hearing *h)
{
    if (!h->leading || h->batch->count == 0)
        return;
    leading_acks_sent(h->leading, h->batch);
    writer_acks(h->edges->writer, &h->batch);
    h->batch = ack_batch_new();
}

/* ---------------------------------------------------------------- FETCH, STATUS and the rest */

/* A base says something about what is packed on it: it must be one of the server's own as well. */
static bool may_have(struct hearing *h, const struct roster_server *s, const struct parcel *parcel)
{
    return roster_may_fetch(h->edges->roster, s, &parcel->hash) &&
           (parcel->packing != PACKING_DELTA ||
            roster_may_fetch(h->edges->roster, s, &parcel->base));
}

static void on_fetch(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    struct wire_fetch fetch;
    struct wire_chunk chunk = { 0 };
    const uint8_t *bytes = NULL;
    int64_t now_ms = clock_monotonic_ms();
    size_t size = 0, n;
    struct err e;

    if (!session_is_of(s, &m->envelope) ||
        wire_decode_fetch(m->body, m->body_size, &fetch, &e) != 0 ||
        !fetch_slots_take(&h->turns, s->index))
        return;
    chunk.parcel = fetch.parcel;
    chunk.offset = fetch.offset;
    if (may_have(h, s, &fetch.parcel)) {
        bytes = document_cache_fetch(h->edges->contents, &fetch.parcel, now_ms, &size);
        if (!bytes) { /* the agent asks again soon */
            if (document_cache_has_room(h->edges->contents, s->index, now_ms))
                loader_want_document(h->edges->loader, &fetch.parcel, s->index);
            return;
        }
    }
    if (bytes && fetch.offset < size) {
        n = size - fetch.offset;
        chunk.total = (uint32_t)size;
        chunk.content =
            (struct wire_bytes){ .at = bytes + fetch.offset,
                                 .size = (uint32_t)(n < WIRE_CHUNK_MAX ? n : WIRE_CHUNK_MAX) };
    }
    n = wire_encode_chunk(&chunk, h->body, sizeof(h->body));
    MUST(n > 0);
    edges_send_bytes(h->edges, s, WIRE_CHUNK, h->body, n);
}

static void on_status(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    static const enum wire_answer answers[] = {
        [ATTEMPT_PENDING] = WIRE_ANSWER_PENDING,
        [ATTEMPT_DECIDED] = WIRE_ANSWER_DECIDED,
        [ATTEMPT_ABORTED] = WIRE_ANSWER_ABORTED,
        [ATTEMPT_UNKNOWN] = WIRE_ANSWER_UNKNOWN,
    };
    struct wire_status status;
    struct wire_answer_to body;
    struct err e;
    size_t size;

    if (!session_is_of(s, &m->envelope) ||
        wire_decode_status(m->body, m->body_size, &status, &e) != 0)
        return;
    body = (struct wire_answer_to){ .attempt = status.attempt,
                                    .answer = answers[leading_fate(h->leading, status.attempt)] };
    size = wire_encode_answer(&body, h->body, sizeof(h->body));
    MUST(size > 0);
    edges_send_bytes(h->edges, s, WIRE_ANSWER, h->body, size);
    leading_asked(h->leading, s, status.attempt);
}

static void ping(struct hearing *h, const struct roster_server *s)
{
    static struct wire_ping body;
    size_t size;

    body.at_ms = clock_monotonic_ms();
    body.due_count = 0;
    for (uint32_t i = 0; i < s->scope_count; i++) {
        const struct roster_scope *scope = roster_scope(h->edges->roster, s->scopes[i]);

        if (!roster_is_entitled(h->edges->roster, s, s->scopes[i]))
            continue;
        body.due[body.due_count++] = (struct wire_due){
            .service = wire_text_of(scope->service),
            .environment = wire_text_of(scope->environment),
            .dseq = leading_due(h->leading, s, s->scopes[i]),
        };
    }
    size = wire_encode_ping(&body, h->body, sizeof(h->body));
    MUST(size > 0);
    edges_send_bytes(h->edges, s, WIRE_PING, h->body, size);
}

/* The claim of a newer leadership. Safety does not hang on it: the fence does. The lease's next
 * renewal tells this process the truth. */
static void on_stale(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    struct wire_stale stale;
    struct err e;
    char epoch[48];

    if (wire_decode_stale(m->body, m->body_size, &stale, &e) != 0)
        return;
    snprintf(epoch, sizeof(epoch), "epoch %llu", (unsigned long long)stale.epoch);
    warn(h, "an agent has heard of a newer leader", s, epoch);
}

/* A verdict changed: its words are written down, then the whole digest is asked for, so that what
 * is decided because of it finds them. */
static void on_check(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    struct wire_check check;
    struct err e;

    if (!session_is_of(s, &m->envelope) ||
        wire_decode_check(m->body, m->body_size, &check, &e) != 0)
        return;
    conditions_hear(&h->conditions, s, &check);
    if (!wire_text_is(check.name, WIRE_CHECK_DRIFT))
        ping(h, s);
}

static void on_bye(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    if (!session_is_of(s, &m->envelope))
        return; /* of a process that is over: the one after it may be here already */
    s->has_peer = false;
    leading_left(h->leading, s);
}

static void on_ask(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    secret_requests_ask(h->edges, s, m);
}

static void on_kept(struct hearing *h, struct roster_server *s, const struct router_message *m)
{
    secret_requests_kept(h->edges, s, m);
}

/* What coordinators say and agents do not has no handler. */
typedef void handler(struct hearing *h, struct roster_server *s, const struct router_message *m);
static handler *const handlers[WIRE_TYPE_COUNT] = {
    [WIRE_HELLO] = on_hello, [WIRE_PONG] = on_pong,       [WIRE_READY] = on_ack,
    [WIRE_REFUSED] = on_ack, [WIRE_APPLIED] = on_ack,     [WIRE_FAILED] = on_ack,
    [WIRE_ABORTED] = on_ack, [WIRE_ROLLED_BACK] = on_ack, [WIRE_FINALIZED] = on_ack,
    [WIRE_FETCH] = on_fetch, [WIRE_STATUS] = on_status,   [WIRE_CHECK] = on_check,
    [WIRE_STALE] = on_stale, [WIRE_BYE] = on_bye,         [WIRE_POLL] = on_poll,
    [WIRE_ASK] = on_ask,     [WIRE_KEPT] = on_kept,
};

static bool may_speak(struct hearing *h, struct roster_server *s, const struct router_message *m,
                      int64_t now_ms)
{
    unsigned which = m->envelope.type == WIRE_FETCH || m->envelope.type == WIRE_ASK;
    int64_t since_ms = now_ms - saids[which].max * saids[which].every_ms;
    int64_t *spoken_ms = &s->spoken_ms[which];

    if (*spoken_ms < since_ms) {
        *spoken_ms = since_ms;
        s->excess[which] = 0;
    }
    if (*spoken_ms + saids[which].every_ms <= now_ms) {
        *spoken_ms += saids[which].every_ms;
        return true;
    }
    if (++s->excess[which] > EXCESS_MAX) {
        s->excess[which] = 0;
        router_bar(h->edges->router, m->key, "it says far more than agents do");
    }
    return false;
}

void hearing_message(struct hearing *h, const struct router_message *m)
{
    struct roster_server *s = roster_by_key(h->edges->roster, m->key);
    int64_t now_ms = clock_monotonic_ms();
    bool is_hello = m->envelope.type == WIRE_HELLO;

    if (s && !may_speak(h, s, m, now_ms))
        return;
    if (m->envelope.version != WIRE_VERSION)
        refuse_version(h->edges, s, m);
    else if (!s)
        refuse_peer(h->edges, &m->peer, WIRE_REJECT_UNKNOWN, "");
    else if (s->is_revoked)
        refuse_peer(h->edges, &m->peer, WIRE_REJECT_REVOKED, "");
    else if (refuse_cluster(h->edges, &m->envelope))
        refuse_peer(h->edges, &m->peer, WIRE_REJECT_CLUSTER, "");
    else if (!h->leading)
        refuse_peer(h->edges, &m->peer, WIRE_REJECT_NOT_LEADER, h->leader_router);
    else if (!is_hello && session_is_aside(h->edges, s, 0, now_ms))
        refuse_peer(h->edges, &m->peer, WIRE_REJECT_CLONE, "");
    else if (handlers[m->envelope.type]) {
        if (!is_hello)
            s->heard_ms = now_ms;
        handlers[m->envelope.type](h, s, m);
    }
}

void hearing_gone(struct hearing *h, const struct router_peer *peer)
{
    struct roster_server *s = roster_by_key(h->edges->roster, peer->key);

    if (s)
        session_lost(s, peer);
}

/* ---------------------------------------------------------------- time */

static void note_seen(struct hearing *h, int64_t now_ms)
{
    uint32_t count = roster_server_count(h->edges->roster);
    int64_t *ids = malloc((count + 1) * sizeof(*ids));
    size_t n = 0;

    MUST(ids);
    for (uint32_t i = h->seen_part++ % SEEN_PARTS; i < count; i += SEEN_PARTS) {
        const struct roster_server *s = roster_server(h->edges->roster, i);

        if (s->has_peer && s->heard_ms > now_ms - SEEN_MS - 2000 && !s->is_gone)
            ids[n++] = s->server_id;
    }
    if (n)
        writer_seen(h->edges->writer, &ids, n);
    else
        free(ids);
}

/* Acknowledgements prove life as well as a PONG; every other PING may stay away for them. */
static bool is_busy_talking(const struct hearing *h, const struct roster_server *s, int64_t now_ms)
{
    int64_t heartbeat_ms = h->edges->settings->heartbeat_ms;

    return now_ms - s->heard_ms < heartbeat_ms / 2 && now_ms - s->pinged_ms < 3 * heartbeat_ms / 2;
}

/* So many of the roster that every server is pinged once per heartbeat. */
static void ping_some(struct hearing *h, int64_t now_ms)
{
    uint32_t count = roster_server_count(h->edges->roster);
    int64_t heartbeat_ms = h->edges->settings->heartbeat_ms;
    int64_t passed_ms = now_ms - h->ping_ms;
    uint32_t due = (uint32_t)((int64_t)count * passed_ms / heartbeat_ms);

    if (count == 0 || (due == 0 && passed_ms < heartbeat_ms))
        return;
    h->ping_ms = now_ms;
    for (due = due > count ? count : due ? due : 1; due > 0; due--) {
        struct roster_server *s = roster_server(h->edges->roster, h->ping_next++ % count);

        if (!s->has_peer || !roster_is_active(s) || is_busy_talking(h, s, now_ms))
            continue;
        s->pinged_ms = now_ms;
        ping(h, s);
    }
}

void hearing_tick(struct hearing *h)
{
    int64_t now_ms = clock_monotonic_ms();

    if (!h->leading)
        return;
    ping_some(h, now_ms);
    if (now_ms - h->seen_ms < SEEN_MS / SEEN_PARTS)
        return;
    h->seen_ms = now_ms;
    note_seen(h, now_ms);
}
