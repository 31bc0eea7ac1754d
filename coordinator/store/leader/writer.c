/* writer.c - the writer's thread: takes requests in order, and tries until they are durable. */
#include "coordinator/store/leader/writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/store/leader/acks.h"
#include "coordinator/store/leader/fence.h"
#include "coordinator/store/leader/lease.h"
#include "coordinator/store/leader/memberships.h"
#include "coordinator/store/leader/save.h"
#include "coordinator/store/leader/writer_queue.h"
#include "coordinator/store/mailbox.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/trail.h"

/* A statement of ours is ended by the server after 5 s, a slow one after 30: longer than that only
 * a server is silent that is stopped or cut off. */
#define PATIENCE_MS 6000
#define SLOW_PATIENCE_MS 35000
#define SLOW_AFTER_MS 4000 /* so long nothing but want of time fails, as a rule */
#define RETRY_FIRST_MS 20
#define RETRY_LAST_MS 500
#define SAY_EVERY_MS 10000
#define LEFT_OUT_MAX 32 /* of one gathering; then it is looked no further for what is at fault */

struct writer {
    const char *conninfo;
    struct lease *lease;
    pthread_t thread;
    struct mailbox *results;
    struct writer_queue *queue;
    pthread_mutex_t lock; /* of these two, which the thread alone changes */
    struct pg *pg;
    bool is_writing;
    uint64_t seq; /* of the newest transaction (fence.h) */
    uint64_t refused; /* the rollout whose save was refused last, and none was taken since */
    unsigned left_out; /* of what was gathered last: pieces that the database refuses */
};

/* ---------------------------------------------------------------- results */

static struct writer_result *result_of(enum writer_result_kind kind, uint64_t epoch)
{
    struct writer_result *r = memory_new(sizeof(*r));

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

/* ---------------------------------------------------------------- the connection */

/* The pointer is changed under the lock: the loop may interrupt what waits for it. */
static void set_connection(struct writer *w, struct pg *pg)
{
    pthread_mutex_lock(&w->lock);
    w->pg = pg;
    pthread_mutex_unlock(&w->lock);
}

static void set_writing(struct writer *w, bool is_writing)
{
    pthread_mutex_lock(&w->lock);
    w->is_writing = is_writing;
    pthread_mutex_unlock(&w->lock);
}

static void close_connection(struct writer *w)
{
    struct pg *old = w->pg;

    set_connection(w, NULL);
    pg_close(old);
}

/* After a failover every connection leaves the server that was demoted, an idle one too. */
static void leave_if_broken(struct writer *w)
{
    if (w->pg && pg_is_broken(w->pg))
        close_connection(w);
}

static int keep_connected(struct writer *w, struct err *e)
{
    struct pg *pg;

    leave_if_broken(w);
    if (w->pg)
        return 0;
    if (pg_open(w->conninfo, "lockstepd writer", &pg, e))
        return -1;
    if (w->lease)
        lease_add_backend(w->lease, pg_backend_pid(pg));
    set_connection(w, pg);
    return 0;
}

/* ---------------------------------------------------------------- one transaction */

/* One transaction and what its tries have found out so far. */
struct writing {
    struct gathering *g;
    struct writer_result *saved; /* of the newest try that came as far as COMMIT */
    bool is_at_commit;           /* the same of what was gathered */
    bool is_bare;                /* an end without a way back */
    bool is_slow;                /* an earlier try ran out of time */
};

/* The log names a transaction that was never sent: somebody changed it. */
static int refuse_log(struct err *e)
{
    return err_set(e, ERR_CORRUPT, "the row of leader_log is ahead of the leadership it is of");
}

static int try_save(struct writer *w, struct writing *x, struct err *e)
{
    struct writer_result *r = result_of(WRITER_SAVED, x->g->fence.epoch);
    bool was_done = false;
    int rc = save_write(w->pg, &x->g->fence, x->g->save, x->is_slow, r, &was_done, e);

    /* What an earlier try drew and stored is what counts if it committed. That is known only to a
     * try that gets past the fence, and none before that one can have committed then. */
    if (was_done || !r->is_at_commit) {
        writer_result_free(r);
        return was_done && !x->saved ? refuse_log(e) : rc;
    }
    writer_result_free(x->saved);
    x->saved = r;
    return rc;
}

static int write_gathered(struct writer *w, struct writing *x, struct err *e)
{
    const struct gathering *g = x->g;
    struct acks_summary acks = { 0 };
    struct memberships_summary joined = { 0 };
    SCOPED_TRAIL struct trail trail = { 0 };
    bool was_done;
    int status = 0;

    if (fence_begin(w->pg, &g->fence, g->is_large || x->is_slow, &was_done, e))
        return -1;
    if (was_done)
        return x->is_at_commit ? 0 : refuse_log(e);
    if ((g->join_count && memberships_write(w->pg, g->joins, g->join_count, &joined, e)) ||
        (g->seen_count && memberships_seen(w->pg, g->seen, g->seen_count, e)) ||
        (g->answer_count && memberships_answer(w->pg, g->answers, g->answer_count, e)) ||
        (g->batch_count && acks_write(w->pg, g->batches, g->batch_count, &acks, e)) ||
        clones_write(w->pg, g->clones, g->clone_count, e) ||
        condition_write(w->pg, g->conditions, g->condition_count, &trail, e) ||
        trail_write(w->pg, &trail, e) ||
        memberships_audit(w->pg, &joined, g->answers, g->answer_count, e) ||
        acks_audit(w->pg, &acks, e)) {
        pg_rollback(w->pg);
        status = -1;
    }
    buffer_fini(&acks.data);
    if (status)
        return -1;
    x->is_at_commit = true;
    return fence_commit(w->pg, e);
}

static bool is_large_save(const struct gathering *g)
{
    return g->save && g->save->cohort_count >= SAVE_LARGE_COHORT;
}

static int try_once(struct writer *w, struct writing *x, struct err *e)
{
    bool was_done;

    if (keep_connected(w, e))
        return -1;
    pg_set_patience(w->pg, x->is_slow || x->g->is_large || is_large_save(x->g) ? SLOW_PATIENCE_MS
                                                                               : PATIENCE_MS);
    if (x->g->end)
        return (x->is_bare ? save_forced_close : save_forced_end)(w->pg, &x->g->fence, x->g->end,
                                                                  &was_done, e);
    return x->g->save ? try_save(w, x, e) : write_gathered(w, x, e);
}

static bool is_passing(const struct writer *w, const struct err *e)
{
    return e->kind != ERR_FENCED && (!w->pg || pg_is_passing(w->pg));
}

/* Shorter when the leadership ends meanwhile. */
static void rest(struct writer *w, uint64_t epoch, int64_t wait_ms)
{
    const struct timespec slice = { .tv_nsec = RETRY_FIRST_MS * 1000000L };

    for (; wait_ms > 0 && writer_queue_is_open(w->queue, epoch); wait_ms -= RETRY_FIRST_MS)
        nanosleep(&slice, NULL);
}

/* Until it is durable, cannot be, or nobody wants it any more (then nothing is said). */
static int insist(struct writer *w, struct writing *x, struct err *e)
{
    int64_t wait_ms = RETRY_FIRST_MS, began_ms = clock_monotonic_ms(), said_ms = began_ms;

    x->g->fence.seq = ++w->seq;
    for (;;) {
        int64_t now_ms;

        pulse_beat(); /* who tries again and again is alive; what waits long says so itself */
        if (try_once(w, x, e) == 0)
            return 0;
        if (!is_passing(w, e) || !writer_queue_is_open(w->queue, x->g->fence.epoch))
            return -1;
        now_ms = clock_monotonic_ms();
        x->is_slow |= now_ms - began_ms >= SLOW_AFTER_MS;
        if (now_ms >= said_ms) {
            said_ms = now_ms + SAY_EVERY_MS;
            log_warn("a write waits; it is tried again while this leadership lasts", "reason",
                     e->text);
        }
        rest(w, x->g->fence.epoch, wait_ms);
        wait_ms = wait_ms * 2 < RETRY_LAST_MS ? wait_ms * 2 : RETRY_LAST_MS;
    }
}

/* ---------------------------------------------------------------- what became of it */

/* What was gathered goes back to the loop, request by request. */
static void hand_back(struct writer *w, struct writing *x)
{
    struct gathering *g = x->g;

    if (g->save)
        mailbox_put(w->results, MOVE(x->saved));
    if (g->end) {
        struct writer_result *r = result_of(WRITER_ENDED, g->fence.epoch);

        r->rollout_id = g->end->rollout_id;
        mailbox_put(w->results, r);
    }
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

/* The epoch is over for this writer: nothing that was asked for in its name is written any more. */
static void fail(struct writer *w, uint64_t epoch, const struct err *reason)
{
    struct writer_result *r = result_of(WRITER_FAILED, epoch);

    r->reason = *reason;
    writer_queue_close(w->queue, epoch);
    mailbox_put(w->results, r);
}

static int write_one(struct writer *w, struct gathering *g, struct err *e)
{
    struct writing x = { .g = g };
    int rc = insist(w, &x, e);

    if (rc == 0)
        hand_back(w, &x);
    writer_result_free(x.saved);
    return rc;
}

static int write_by_itself(struct writer *w, struct gathering *one, struct err *e);

/* One entry of the batch is refused by the database: bisect, so that the others are written. */
static int write_halves(struct writer *w, struct gathering *one, struct err *e)
{
    struct ack_batch *rest = ack_batch_halve(one->batches[0]);
    struct gathering half = { .fence = one->fence, .batch_count = 1, .batches = &rest };
    int rc = write_by_itself(w, one, e);

    if (rc == 0)
        rc = write_by_itself(w, &half, e);
    ack_batch_free(rest);
    return rc;
}

/* What is refused by itself is not counted and not receipted, and changes nobody's memory: its
 * server may say it again. */
static void hand_back_refused(struct writer *w, struct gathering *one, const struct err *reason)
{
    w->left_out++;
    log_error("the database refuses what was heard; it is left out", "reason", reason->text);
    for (size_t i = 0; i < one->batch_count; i++)
        ack_batch_forget(one->batches[i]);
    for (size_t i = 0; i < one->join_count; i++)
        join_request_forget(one->joins[i]);
    hand_back(w, &(struct writing){ .g = one });
}

static int write_by_itself(struct writer *w, struct gathering *one, struct err *e)
{
    int rc = write_one(w, one, e);

    if (rc == 0)
        return 0;
    if (e->kind == ERR_FENCED || is_passing(w, e))
        return -1;
    if (one->batch_count == 1 && one->batches[0]->count > 1 && w->left_out < LEFT_OUT_MAX)
        return write_halves(w, one, e);
    hand_back_refused(w, one, e);
    return 0;
}

/* The database will not have one of them, ever: it must not stand in the way of the others. */
static int write_apart(struct writer *w, struct gathering *g, struct err *e)
{
    struct gathering one;

    w->left_out = 0;
    while (gathering_split(g, &one)) {
        int rc = write_by_itself(w, &one, e);

        gathering_fini(&one);
        if (rc)
            return -1;
    }
    return 0;
}

/* The first time the leader may have had a wrong picture, and reads the truth. The second time the
 * truth is what is refused: then it would go on like that for ever, and with it everybody else. */
static void stop_rollout(struct writer *w, const struct gathering *g, const struct err *reason)
{
    struct fence fence = g->fence;
    struct err e = { 0 };

    if (w->refused != g->save->save.rollout) {
        w->refused = g->save->save.rollout;
        return;
    }
    fence.seq = 0;
    if (save_stop(w->pg, &fence, (int64_t)g->save->save.rollout, reason->text, &e))
        log_error("a rollout whose step was refused could not be stopped", "reason", e.text);
}

static void leave_out(struct writer *w, const struct gathering *g, const struct err *reason)
{
    struct writer_result *r = result_of(WRITER_ENDED, g->fence.epoch);
    struct fence fence = g->fence;
    struct err e = { 0 };
    char why[400];

    r->rollout_id = g->end->rollout_id;
    r->is_left_out = true;
    snprintf(why, sizeof(why), "nobody leads it: it cannot be read, and the database refuses its "
             "end (%.250s)", reason->text);
    log_error("a rollout can be neither led nor ended and is left out; the others go on",
              "rollout_id", LOG_NUMBER(r->rollout_id), "reason", why, "remedy",
              "mend its rows, or what refuses their change, and restart lockstepd");
    fence.seq = 0;
    if (save_left_out(w->pg, &fence, r->rollout_id, why, &e))
        log_error("and its row does not take the reason", "reason", e.text);
    mailbox_put(w->results, r);
}

/* What the database refuses once it would refuse every leader, and nobody would ever lead: the
 * rollout ends without a way back, or is left out. */
static int end_barely(struct writer *w, struct gathering *g, struct err *e)
{
    struct writing x = { .g = g, .is_bare = true };
    char why[sizeof(g->end->why)];

    log_error("the end of a rollout is refused; it is closed without a way back", "rollout_id",
              LOG_NUMBER(g->end->rollout_id), "reason", e->text);
    snprintf(why, sizeof(why), "%.100s; what its servers run stays: the way back was refused "
             "(%.120s)", g->end->why, e->text);
    memcpy(g->end->why, why, sizeof(why));
    if (insist(w, &x, e) == 0)
        hand_back(w, &x);
    else if (e->kind == ERR_FENCED || is_passing(w, e))
        return -1;
    else
        leave_out(w, g, e);
    return 0;
}

/* One transaction, and what becomes of it. */
static void write_and_tell(struct writer *w, struct gathering *g)
{
    struct err e = { 0 };
    int rc = write_one(w, g, &e);
    bool is_refused = rc && e.kind != ERR_FENCED && !is_passing(w, &e);

    if (rc == 0 && g->save && w->refused == g->save->save.rollout)
        w->refused = 0;
    if (is_refused && g->save)
        stop_rollout(w, g, &e);
    else if (is_refused)
        rc = g->end ? end_barely(w, g, &e) : write_apart(w, g, &e);
    if (rc)
        fail(w, g->fence.epoch, &e);
}

static void *run(void *arg)
{
    struct writer *w = arg;
    struct gathering g;
    struct err ignored;
    enum writer_queue_news news;

    pulse_begin("writer");
    (void)keep_connected(w, &ignored); /* a process may have no descriptor left later */
    while ((news = writer_queue_gather(w->queue, &g)) != WRITER_QUEUE_STOPPED) {
        if (news == WRITER_QUEUE_IDLE) {
            leave_if_broken(w);
            continue;
        }
        set_writing(w, true); /* what is interrupted from here on was open at the last look */
        if (writer_queue_is_open(w->queue, g.fence.epoch))
            write_and_tell(w, &g);
        set_writing(w, false);
        gathering_fini(&g);
    }
    close_connection(w);
    return NULL;
}

/* ---------------------------------------------------------------- the loop's side */

struct writer *writer_start(const char *conninfo, struct lease *lease)
{
    struct writer *w = memory_new(sizeof(*w));

    w->conninfo = conninfo;
    w->lease = lease;
    w->results = mailbox_new();
    w->queue = writer_queue_new();
    MUST(pthread_mutex_init(&w->lock, NULL) == 0);
    MUST(pthread_create(&w->thread, NULL, run, w) == 0);
    return w;
}

/* Whatever it waits for is of a leadership that is over. Without any, the connection stays. */
static void interrupt(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    if (w->pg && w->is_writing)
        pg_interrupt(w->pg);
    pthread_mutex_unlock(&w->lock);
}

void writer_stop(struct writer *w)
{
    if (!w)
        return;
    writer_queue_stop(w->queue);
    interrupt(w);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
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
    interrupt(w);
    writer_queue_open(w->queue, (struct fence){ .gen = gen, .epoch = epoch });
}

void writer_rest(struct writer *w)
{
    writer_queue_close_any(w->queue);
}

void writer_save(struct writer *w, struct save_request **request)
{
    writer_queue_save(w->queue, MOVE(*request));
}

void writer_end(struct writer *w, const struct end_request *request)
{
    struct end_request *copy = malloc(sizeof(*copy));

    MUST(copy);
    *copy = *request;
    writer_queue_end(w->queue, copy);
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
    char *text = memory_text(answer ? answer : "");

    writer_queue_answer(w->queue,
                        (struct cached_reply){ .command_id = command_id, .is_done = is_done,
                                         .text = text });
}

void writer_condition(struct writer *w, const struct condition_note *note, const char *text,
                      size_t size)
{
    struct condition_note own = *note;

    own.text = strndup(size ? text : "", size);
    MUST(own.text);
    writer_queue_condition(w->queue, own);
}

void writer_clone(struct writer *w, const struct clone_note *note)
{
    writer_queue_clone(w->queue, *note);
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
