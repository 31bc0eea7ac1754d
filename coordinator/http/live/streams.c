/* streams.c - the thread behind the event streams, and the buffers between it and the I/O side. */
#include "coordinator/http/live/streams.h"

#include <inttypes.h>
#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/http/live/events.h"
#include "coordinator/http/live/listening.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/rollouts.h"

#define STREAM_BUFFER_MAX (256u << 10) /* a client this far behind is told to come back */
#define STREAM_COMMENT_MS 15000
#define STREAM_EVENTS_AT_ONCE 500
#define PUMP_GAP_MS 50 /* commits of a busy rollout are read together */
#define LOOK_AGAIN_MS 1000

/* The pump thread owns rollout_id, after, spoke_ms, access and looks at the list under the list's
 * lock; `lock` guards what it shares with the I/O thread of the connection. */
struct stream {
    struct stream *next;
    struct streams *owner;
    int64_t rollout_id;
    uint64_t after;
    int64_t spoke_ms;
    struct listening access;
    pthread_mutex_t lock;
    struct buffer out;
    size_t sent;
    struct MHD_Connection *connection;
    bool is_suspended, is_over; /* is_over: end after what is in the buffer */
    bool is_closed;             /* the I/O side let go; the pump frees it */
};

struct streams {
    struct pg_pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct stream *first;
    bool is_woken, is_access_changed, is_stopping;
};

/* ---------------------------------------------------------------- the I/O side */

ssize_t stream_read(void *ctx, uint64_t position, char *into, size_t max)
{
    struct stream *s = ctx;
    bool is_over = false;
    size_t size;

    (void)position;
    pthread_mutex_lock(&s->lock);
    size = s->out.size - s->sent;
    if (size > max)
        size = max;
    if (size) {
        memcpy(into, s->out.data + s->sent, size);
        s->sent += size;
        if (s->sent == s->out.size) {
            buffer_clear(&s->out);
            s->sent = 0;
        }
    } else if (s->is_over) {
        is_over = true;
    } else {
        s->is_suspended = true;
        MHD_suspend_connection(s->connection);
    }
    pthread_mutex_unlock(&s->lock);
    return is_over ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)size;
}

void stream_close(void *ctx)
{
    struct stream *s = ctx;
    struct streams *owner = s->owner;

    pthread_mutex_lock(&owner->lock);
    s->is_closed = true;
    owner->is_woken = true;
    pthread_cond_signal(&owner->changed);
    pthread_mutex_unlock(&owner->lock);
}

struct stream *stream_open(struct streams *owner, int64_t rollout_id, uint64_t after,
                           bool is_behind, const char *token, const struct token_owner *owner_of)
{
    struct stream *s = memory_new(sizeof(*s));

    pthread_mutex_init(&s->lock, NULL);
    s->owner = owner;
    s->rollout_id = rollout_id;
    s->after = after;
    s->spoke_ms = clock_monotonic_ms();
    listening_init(&s->access, token, owner_of);
    buffer_add_text(&s->out, "retry: 2000\n\n");
    if (is_behind)
        buffer_add_text(&s->out, "event: resync\ndata: {}\n\n");
    pthread_mutex_lock(&owner->lock);
    s->is_over = owner->is_stopping;
    s->next = owner->first;
    owner->first = s;
    owner->is_woken = true;
    pthread_cond_signal(&owner->changed);
    pthread_mutex_unlock(&owner->lock);
    return s;
}

void stream_attach(struct stream *stream, struct MHD_Connection *connection)
{
    pthread_mutex_lock(&stream->lock);
    stream->connection = connection;
    pthread_mutex_unlock(&stream->lock);
}

/* ---------------------------------------------------------------- the pump */

static void resume_if_suspended(struct stream *s)
{
    if (!s->is_suspended)
        return;
    s->is_suspended = false;
    MHD_resume_connection(s->connection);
}

/* Give text to the I/O side; a buffer that is too full ends the stream instead. */
static void say(struct stream *s, const struct buffer *text, bool is_over)
{
    pthread_mutex_lock(&s->lock);
    if (!s->is_over && s->out.size - s->sent + text->size <= STREAM_BUFFER_MAX)
        buffer_add(&s->out, text->data, text->size);
    else
        s->is_over = true;
    s->is_over |= is_over;
    resume_if_suspended(s);
    pthread_mutex_unlock(&s->lock);
    s->spoke_ms = clock_monotonic_ms();
}

static void add_event(struct buffer *text, const struct event *event)
{
    json_t *object = events_json(event);
    char *data = json_dumps(object, JSON_COMPACT);

    MUST(data);
    buffer_printf(text, "id: %" PRIu64 "\nevent: %s\ndata: %s\n\n", event->number, event->action,
                  data);
    free(data);
    json_decref(object);
}

/* The state is read before the events: when it is final, no event can come after those. */
static int pump_one(struct pg *pg, struct stream *s, struct err *e)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    SCOPED(rows_free) struct rows *rows = NULL;
    bool is_final;

    if (rollouts_is_final(pg, s->rollout_id, &is_final, e) < 0 ||
        events_after(pg, s->rollout_id, s->after, STREAM_EVENTS_AT_ONCE, &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct event event = event_at(rows, i);

        add_event(&text, &event);
        s->after = event.number;
    }
    is_final &= rows_count(rows) < STREAM_EVENTS_AT_ONCE;
    if (is_final)
        buffer_add_text(&text, "event: end\ndata: {}\n\n");
    else if (!text.size && clock_monotonic_ms() - s->spoke_ms >= STREAM_COMMENT_MS)
        buffer_add_text(&text, ": still here\n\n");
    if (text.size)
        say(s, &text, is_final);
    return 0;
}

static void stream_free(struct stream *s)
{
    listening_fini(&s->access);
    pthread_mutex_destroy(&s->lock);
    buffer_fini(&s->out);
    free(s);
}

static void free_closed(struct streams *owner)
{
    for (struct stream **link = &owner->first; *link;) {
        struct stream *s = *link;

        if (s->is_closed) {
            *link = s->next;
            stream_free(s);
        } else {
            link = &s->next;
        }
    }
}

/* Streams are only freed by this thread, so the list's tail from `first` on stays whole while
 * the lock is open; new ones come before it. A stream that failed is tried again later. */
static bool is_over(struct stream *s)
{
    bool is_so;

    pthread_mutex_lock(&s->lock);
    is_so = s->is_over;
    pthread_mutex_unlock(&s->lock);
    return is_so;
}

/* Before anything more is said to anybody. -1: nobody could be asked. */
static int end_forbidden(struct pg *pg, struct stream *first, bool is_access_changed,
                         struct err *e)
{
    const struct buffer nothing = { 0 };

    for (struct stream *s = first; s; s = s->next) {
        bool is_good = !listening_has_ended(&s->access);

        if (is_over(s))
            continue;
        if (is_good && is_access_changed && listening_check(&s->access, pg, &is_good, e) < 0)
            return -1;
        if (!is_good)
            say(s, &nothing, true);
    }
    return 0;
}

/* false: what changed about access could not be asked for; it is asked again. */
static bool pump_all(struct streams *owner, struct stream *first, bool is_access_changed)
{
    struct pg *pg = NULL;
    struct err e = { 0 };
    int rc;

    if (pg_pool_take(owner->pool, LOOK_AGAIN_MS, &pg, &e) < 0)
        return false;
    rc = end_forbidden(pg, first, is_access_changed, &e);
    for (struct stream *s = first; rc == 0 && s; s = s->next)
        if (!is_over(s) && pump_one(pg, s, &e) < 0)
            break;
    pg_pool_give(owner->pool, &pg);
    return rc == 0;
}

static struct timespec in_ms(int64_t ms)
{
    int64_t at = clock_monotonic_ms() + ms;

    return (struct timespec){ .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };
}

static void *pump(void *arg)
{
    struct streams *owner = arg;

    pulse_begin("http streams");
    pthread_mutex_lock(&owner->lock);
    while (!owner->is_stopping) {
        struct timespec until = in_ms(LOOK_AGAIN_MS);
        struct stream *first;
        bool is_access_changed, is_asked;

        if (!owner->is_woken)
            pthread_cond_timedwait(&owner->changed, &owner->lock, &until);
        pulse_beat();
        owner->is_woken = false;
        free_closed(owner);
        first = owner->first;
        if (!first)
            continue;
        is_access_changed = owner->is_access_changed;
        owner->is_access_changed = false;
        pthread_mutex_unlock(&owner->lock);
        is_asked = pump_all(owner, first, is_access_changed);
        nanosleep(&(struct timespec){ .tv_nsec = PUMP_GAP_MS * 1000000 }, NULL);
        pthread_mutex_lock(&owner->lock);
        owner->is_access_changed |= is_access_changed && !is_asked;
    }
    pthread_mutex_unlock(&owner->lock);
    return NULL;
}

/* ---------------------------------------------------------------- start and stop */

struct streams *streams_start(struct pg_pool *pool)
{
    struct streams *s = memory_new(sizeof(*s));
    pthread_condattr_t monotonic;

    s->pool = pool;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    MUST(pthread_create(&s->thread, NULL, pump, s) == 0);
    return s;
}

void streams_stop(struct streams *owner)
{
    if (!owner)
        return;
    pthread_mutex_lock(&owner->lock);
    owner->is_stopping = true;
    pthread_cond_signal(&owner->changed);
    pthread_mutex_unlock(&owner->lock);
    pthread_join(owner->thread, NULL);
    pthread_mutex_lock(&owner->lock);
    for (struct stream *s = owner->first; s; s = s->next) {
        pthread_mutex_lock(&s->lock);
        s->is_over = true;
        resume_if_suspended(s);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&owner->lock);
}

void streams_free(struct streams *owner)
{
    if (!owner)
        return;
    free_closed(owner);
    MUST(!owner->first);
    pthread_cond_destroy(&owner->changed);
    pthread_mutex_destroy(&owner->lock);
    free(owner);
}

void streams_wake(struct streams *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_woken = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void streams_access_changed(struct streams *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_access_changed = s->is_woken = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}
