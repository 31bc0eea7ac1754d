/* local_watch.c - handlers of local HTTP that wait: the long poll, and the stream of changes. */
#include "agent/local/local_watch.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "agent/publish/held.h"
#include "common/clock.h"
#include "common/memory.h"

#define TIMEOUT_PRESET_S 30
#define TIMEOUT_MAX_S 300
#define COMMENT_MS 15000
#define RETRY_MS 1000
#define EVENT_CHANGES_MAX 1000 /* more: read the document */

/* ---- what differs ---- */

static void add_with_value(void *ctx, const struct lockstep_item *was,
                           const struct lockstep_item *is)
{
    struct buffer *out = ctx;

    buffer_add_text(out, out->size ? ",{" : "{");
    held_change(was, is, true, out);
    buffer_add_text(out, "}");
}

static void add_key(void *ctx, const struct lockstep_item *was, const struct lockstep_item *is)
{
    struct buffer *out = ctx;

    buffer_add_text(out, out->size ? ",{" : "{");
    held_change(was, is, false, out);
    buffer_add_text(out, "}");
}

static void add_names(struct buffer *out, const struct local_scope *scope)
{
    buffer_printf(out, "{\"service_name\":\"%s\",\"environment\":\"%s\"", scope->service,
                  scope->environment);
}

/* ---- the long poll ---- */

static int answer_watch(struct local_request *rq, struct local_scope *scope,
                        const struct edition *now, uint64_t since)
{
    SCOPED(edition_release) struct edition *before =
        local_scope_edition(rq->house->scopes, scope, since);
    SCOPED_BUFFER struct buffer changes = { 0 };
    struct buffer *out = &rq->answer.body;

    held_diff(before ? before->snapshot : NULL, now->snapshot, add_with_value, &changes);
    local_answer_with(&rq->answer, "application/json");
    add_names(out, scope);
    buffer_printf(out, ",\"has_changes\":%s,\"reset\":%s,\"latest_version\":%" PRIu64
                  ",\"hash\":\"%s\",\"changes\":[", now->revision != since ? "true" : "false",
                  before ? "false" : "true", now->revision, lockstep_held_hash(now->snapshot));
    buffer_add_text(out, changes.size ? changes.data : "");
    buffer_add_text(out, "]}\n");
    return 0;
}

static int gone(const struct local_scope *scope, struct err *e)
{
    return err_set(e, ERR_UNAVAILABLE, "the agent stops, or does not read %s any more; ask again",
                   scope->name);
}

int local_get_watch(struct local_request *rq, struct err *e)
{
    int64_t since = 0, timeout = TIMEOUT_PRESET_S;
    struct local_scope *scope;

    if (LOCAL_QUERY_ONLY(rq, e, "since", "timeout") ||
        local_query_number(rq, "since", INT64_MAX, &since, e) ||
        local_query_number(rq, "timeout", TIMEOUT_MAX_S, &timeout, e))
        return -1;
    scope = local_request_scope(rq, e);
    if (!scope)
        return -1;
    if (!rq->waiter) {
        rq->waiter = waiter_open(rq->house->scopes, scope, rq->connection);
        rq->wait_until_ms = clock_monotonic_ms() + timeout * 1000;
    }
    for (;;) {
        SCOPED(edition_release) struct edition *now = waiter_see(rq->waiter);

        if (!now)
            return gone(scope, e);
        if (now->revision != (uint64_t)since || clock_monotonic_ms() >= rq->wait_until_ms)
            return answer_watch(rq, scope, now, (uint64_t)since);
        if (waiter_wait(rq->waiter, rq->wait_until_ms))
            return 1;
    }
}

/* ---- the stream ---- */

struct local_stream {
    const struct local_context *house;
    struct local_scope *scope;
    struct waiter *waiter;
    struct edition *told; /* NULL: nothing, or a revision that is not kept */
    bool is_told;         /* the client knows told_revision, from before or from us */
    uint64_t told_revision;
    int64_t spoke_ms;
    struct buffer out;
    size_t sent;
};

static void add_event(struct local_stream *s, const struct edition *now)
{
    SCOPED_BUFFER struct buffer changes = { 0 };
    bool is_reset = !s->told || held_diff(s->told->snapshot, now->snapshot, add_key, &changes) >
                                    EVENT_CHANGES_MAX;

    buffer_printf(&s->out, "id: %" PRIu64 "\nevent: change\ndata: ", now->revision);
    add_names(&s->out, s->scope);
    buffer_printf(&s->out, ",\"revision\":%" PRIu64 ",\"hash\":\"%s\",\"reset\":%s", now->revision,
                  lockstep_held_hash(now->snapshot), is_reset ? "true" : "false");
    if (s->is_told)
        buffer_printf(&s->out, ",\"from_revision\":%" PRIu64, s->told_revision);
    buffer_printf(&s->out, ",\"changes\":[%s]}\n\n", is_reset || !changes.data ? "" : changes.data);
}

/* What is to be said now, into s->out. False: all ends. */
static bool fill(struct local_stream *s)
{
    struct edition *now = waiter_see(s->waiter);

    if (!now)
        return false;
    if (!s->is_told || s->told_revision != now->revision) {
        add_event(s, now);
        s->is_told = true;
        s->told_revision = now->revision;
    } else if (clock_monotonic_ms() - s->spoke_ms >= COMMENT_MS) {
        buffer_add_text(&s->out, ": still here\n\n");
    }
    edition_release(s->told);
    s->told = now;
    return true;
}

static size_t hand_out(struct local_stream *s, char *into, size_t max)
{
    size_t size = s->out.size - s->sent;

    if (size > max)
        size = max;
    memcpy(into, s->out.data + s->sent, size);
    s->sent += size;
    if (s->sent == s->out.size) {
        buffer_clear(&s->out);
        s->sent = 0;
        s->spoke_ms = clock_monotonic_ms();
    }
    return size;
}

ssize_t local_stream_read(void *stream, uint64_t position, char *into, size_t max)
{
    struct local_stream *s = stream;

    (void)position;
    while (!s->out.size) {
        if (!fill(s))
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (!s->out.size && waiter_wait(s->waiter, s->spoke_ms + COMMENT_MS))
            return 0;
    }
    return (ssize_t)hand_out(s, into, max);
}

void local_stream_close(void *stream)
{
    struct local_stream *s = stream;

    waiter_close(s->waiter);
    edition_release(s->told);
    buffer_fini(&s->out);
    free(s);
}

/* A client that comes back names the last revision it was told of. */
static int read_last_id(const struct local_request *rq, struct local_stream *s, struct err *e)
{
    const char *text = rq->last_event_id;
    char *end;

    if (!text || !*text)
        return 0;
    s->told_revision = strtoull(text, &end, 10);
    if (*end || *text < '0' || *text > '9')
        return err_set(e, ERR_INVALID, "Last-Event-ID: \"%.50s\" is no revision", text);
    s->is_told = true;
    s->told = local_scope_edition(rq->house->scopes, s->scope, s->told_revision);
    return 0;
}

int local_get_events(struct local_request *rq, struct err *e)
{
    struct local_scope *scope;
    struct local_stream *s;

    if (LOCAL_QUERY_ONLY(rq, e))
        return -1;
    scope = local_request_scope(rq, e);
    if (!scope)
        return -1;
    s = memory_new(sizeof(*s));
    s->house = rq->house;
    s->scope = scope;
    s->spoke_ms = clock_monotonic_ms();
    if (read_last_id(rq, s, e)) {
        free(s);
        return -1;
    }
    s->waiter = waiter_open(rq->house->scopes, scope, rq->connection);
    buffer_printf(&s->out, "retry: %d\n\n", RETRY_MS);
    local_answer_with(&rq->answer, "text/event-stream");
    rq->answer.stream = s;
    return 0;
}
