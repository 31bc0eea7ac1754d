/* writer.c - the writer's thread: takes requests in order, gathers what can be written together. */
#include "coordinator/store/writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/pulse.h"
#include "coordinator/store/acks.h"
#include "coordinator/store/fence.h"
#include "coordinator/store/lease.h"
#include "coordinator/store/mailbox.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/joins.h"
#include "coordinator/store/save.h"
#include "coordinator/store/writer_queue.h"

/* A statement of ours is ended by the server after 30 s at most. */
#define PATIENCE_MS 40000

struct writer {
    const char *conninfo;
    struct lease *lease;
    pthread_t thread;
    struct mailbox *results;
    struct writer_queue *queue;
    struct pg *pg; /* the thread's own */
};

/* ---------------------------------------------------------------- results */

static struct writer_result *result_of(enum writer_result_kind kind, uint64_t epoch)
{
    struct writer_result *r = calloc(1, sizeof(*r));

    MUST(r);
    r->kind = kind;
    r->epoch = epoch;
    return r;
}

void writer_result_free(struct writer_result *r)
{
    if (!r)
        return;
    free(r->body);
    ack_batch_free(r->acks);
    join_request_free(r->join);
    free(r);
}

static void free_result(void *item)
{
    writer_result_free(item);
}

/* ---------------------------------------------------------------- writing */

static int keep_connected(struct writer *w, struct err *e)
{
    if (w->pg && pg_is_broken(w->pg)) {
        pg_close(w->pg);
        w->pg = NULL;
    }
    if (w->pg)
        return 0;
    if (pg_open(w->conninfo, "lockstepd writer", &w->pg, e))
        return -1;
    pg_set_patience(w->pg, PATIENCE_MS);
    if (w->lease)
        lease_add_backend(w->lease, pg_backend_pid(w->pg));
    return 0;
}

static int write_save(struct writer *w, const struct fence *fence,
                      const struct save_request *request, struct err *e)
{
    struct writer_result *r = result_of(WRITER_SAVED, fence->epoch);

    if (save_write(w->pg, fence, request, r, e)) {
        writer_result_free(r);
        return -1;
    }
    mailbox_put(w->results, r);
    return 0;
}

static int write_gathered(struct writer *w, const struct gathering *g, struct err *e)
{
    struct acks_summary acks = { 0 };
    struct joins_summary joined = { 0 };
    int status = 0;

    if (fence_begin(w->pg, &g->fence, g->is_large, e))
        return -1;
    if ((g->join_count && joins_write(w->pg, g->joins, g->join_count, &joined, e)) ||
        (g->seen_count && joins_seen(w->pg, g->seen, g->seen_count, e)) ||
        (g->answer_count && joins_answer(w->pg, g->answers, g->answer_count, e)) ||
        (g->batch_count && acks_write(w->pg, g->batches, g->batch_count, &acks, e)) ||
        drift_write(w->pg, g->drifts, g->drift_count, e) ||
        joins_audit(w->pg, &joined, g->answers, g->answer_count, e) ||
        acks_audit(w->pg, &acks, e)) {
        pg_rollback(w->pg);
        status = -1;
    }
    buffer_fini(&acks.data);
    return status ? -1 : fence_commit(w->pg, e);
}

/* What was gathered goes back to the loop, request by request. */
static void hand_back(struct writer *w, struct gathering *g)
{
    for (size_t i = 0; i < g->join_count; i++) {
        struct writer_result *r = result_of(WRITER_JOINED, g->fence.epoch);

        r->join = MOVE(g->joins[i]);
        mailbox_put(w->results, r);
    }
    for (size_t i = 0; i < g->batch_count; i++) {
        struct writer_result *r = result_of(WRITER_ACKS, g->fence.epoch);

        r->acks = MOVE(g->batches[i]);
        mailbox_put(w->results, r);
    }
}

/* Nothing that was asked for in this epoch's name will be written any more. */
static void fail(struct writer *w, uint64_t epoch, const struct err *reason)
{
    struct writer_result *r = result_of(WRITER_FAILED, epoch);

    r->reason = *reason;
    writer_queue_close(w->queue, epoch);
    mailbox_put(w->results, r);
}

static void *run(void *arg)
{
    struct writer *w = arg;
    struct gathering g;

    pulse_begin("writer");
    while (writer_queue_gather(w->queue, &g)) {
        struct err e = { 0 };
        int status = keep_connected(w, &e);

        if (status == 0 && g.save)
            status = write_save(w, &g.fence, g.save, &e);
        else if (status == 0)
            status = write_gathered(w, &g, &e);
        if (status)
            fail(w, g.fence.epoch, &e);
        else
            hand_back(w, &g);
        gathering_fini(&g);
    }
    pg_close(w->pg);
    return NULL;
}

/* ---------------------------------------------------------------- the loop's side */

struct writer *writer_start(const char *conninfo, struct lease *lease)
{
    struct writer *w = calloc(1, sizeof(*w));

    MUST(w);
    w->conninfo = conninfo;
    w->lease = lease;
    w->results = mailbox_new();
    w->queue = writer_queue_new();
    MUST(pthread_create(&w->thread, NULL, run, w) == 0);
    return w;
}

void writer_stop(struct writer *w)
{
    if (!w)
        return;
    writer_queue_stop(w->queue);
    pthread_join(w->thread, NULL);
    writer_queue_free(w->queue);
    mailbox_free(w->results, free_result);
    free(w);
}

int writer_fd(const struct writer *w)
{
    return mailbox_fd(w->results);
}

struct writer_result *writer_next(struct writer *w)
{
    return mailbox_take(w->results);
}

void writer_lead(struct writer *w, uint32_t gen, uint64_t epoch)
{
    writer_queue_open(w->queue, (struct fence){ .gen = gen, .epoch = epoch });
}

void writer_save(struct writer *w, struct save_request **request)
{
    writer_queue_save(w->queue, MOVE(*request));
}

void writer_acks(struct writer *w, struct ack_batch **batch)
{
    writer_queue_acks(w->queue, MOVE(*batch));
}

void writer_join(struct writer *w, struct join_request **request)
{
    writer_queue_join(w->queue, MOVE(*request));
}

void writer_answer(struct writer *w, int64_t command_id, bool is_done, const char *answer)
{
    char *text = strdup(answer ? answer : "");

    MUST(text);
    writer_queue_answer(w->queue,
                        (struct answer){ .command_id = command_id, .is_done = is_done,
                                         .text = text });
}

void writer_drift(struct writer *w, int64_t server_id, int64_t scope_id, bool is_drifted,
                  const char *text, size_t size)
{
    struct drift_note note = { .server_id = server_id, .scope_id = scope_id,
                               .is_drifted = is_drifted, .text = strndup(size ? text : "", size) };

    MUST(note.text);
    writer_queue_drift(w->queue, note);
}

void writer_seen(struct writer *w, int64_t **server_ids, size_t count)
{
    writer_queue_seen(w->queue, MOVE(*server_ids), count);
}

void writer_seen_one(struct writer *w, int64_t server_id)
{
    int64_t *id = malloc(sizeof(*id));

    MUST(id);
    *id = server_id;
    writer_seen(w, &id, 1);
}
